//! Child processes with captured output, and the one way to wait for anything. Not a place for what is started.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Long enough for anything that works, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `check` gives something; panics with `what` when it takes longer than `limit`.
pub async fn wait_until<T>(what: &str, limit: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A running program. It ends with this value: asked to first, made to after three seconds.
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Ends when both pipes have been read to their end.
    ended: Mutex<Receiver<()>>,
    group: bool,
}

impl Process {
    /// Starts `command`.
    pub fn spawn(command: &mut Command) -> Self {
        Self::start(command.stdin(Stdio::null()), false)
    }

    /// Starts `command` and gives its standard input, to talk to it.
    pub fn spawn_talking(command: &mut Command) -> (Self, ChildStdin) {
        let mut process = Self::start(command.stdin(Stdio::piped()), false);
        let input = process.child.stdin.take().unwrap();
        (process, input)
    }

    /// Starts `command` as the head of a group of processes that ends with it.
    pub fn spawn_group(command: &mut Command) -> Self {
        Self::start(command.stdin(Stdio::null()).process_group(0), true)
    }

    fn start(command: &mut Command, group: bool) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}. Run `make peers`"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, ended) = mpsc::channel();
        collect(child.stdout.take().unwrap(), &lines, sender.clone());
        collect(child.stderr.take().unwrap(), &lines, sender);
        Self { name, child, lines, ended: Mutex::new(ended), group }
    }

    /// Everything it has written so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// What `find` makes of the first line that it makes anything of.
    pub async fn line<T>(&mut self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let what = format!("{} says {what}", self.name);
        self.until(&what, async |process: &Self| process.lines().iter().find_map(|line| find(line))).await
    }

    /// The port of its line `READY <port>`.
    pub async fn ready_port(&mut self) -> u16 {
        self.line("READY", |line| line.strip_prefix("READY ")?.trim().parse().ok()).await
    }

    /// Waits for `check`, and panics with the output when the process ends before that.
    pub async fn until<T>(&mut self, what: &str, mut check: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        wait_until(what, PATIENCE + PATIENCE, async || {
            if let Some(found) = check(self).await {
                return Some(found);
            }
            let status = self.child.try_wait().unwrap();
            let late = start.elapsed() > PATIENCE;
            assert!(status.is_none() && !late, "{what}? status {status:?}, output:\n{}", self.lines().join("\n"));
            None
        })
        .await
    }

    /// Waits for its end; `true` where it ended well.
    pub async fn end(&mut self) -> bool {
        self.end_within(PATIENCE).await
    }

    /// The same for what takes longer.
    pub async fn end_within(&mut self, limit: Duration) -> bool {
        let what = format!("{} ends; output so far:\n{}", self.name, self.lines().join("\n"));
        let status = wait_until(&what, limit, async || self.child.try_wait().unwrap()).await;
        self.read_to_end();
        status.success()
    }

    /// Waits until all it wrote has been read, for at most three seconds.
    fn read_to_end(&self) {
        let _ = self.ended.lock().unwrap().recv_timeout(Duration::from_secs(3));
    }

    /// The memory that it has taken at most, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Sends a signal, such as `-KILL`, to it or its group.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id();
        let target = if self.group { format!("-{pid}") } else { pid.to_string() };
        let _ = Command::new("kill").args([signal, "--", &target]).stderr(Stdio::null()).status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        if self.group || !ended {
            self.signal("-TERM");
            self.read_to_end();
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("-KILL");
        }
        let _ = self.child.wait();
    }
}

/// Reads `pipe` line by line until its end; says so by letting go of `sender`.
fn collect(pipe: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>, sender: Sender<()>) {
    let lines = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
        drop(sender);
    });
}
