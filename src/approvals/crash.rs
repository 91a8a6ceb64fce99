//! Ends the process at a named step, as a power cut would: how the tests see what a crash leaves behind. Only builds with debug
//! assertions know of it; in others there is nothing here.

/// The variable that names the step.
#[cfg(debug_assertions)]
const VARIABLE: &str = "PORTCULLIS_CRASH_AT";

/// The process has come to `step`.
#[cfg(debug_assertions)]
pub fn here(step: &str) {
    if std::env::var(VARIABLE).is_ok_and(|wanted| wanted == step) {
        // Nothing is written, closed or unwound after this.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::thread::park();
    }
}

/// The process has come to `step`.
#[cfg(not(debug_assertions))]
pub const fn here(_step: &str) {}
