//! The calculator as a process. See `backends/README.md` for what it reads from the environment.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    portcullis_calculator::run(
        "portcullis-calculator",
        portcullis_calculator::DEFAULT_PORT,
        portcullis_calculator::router,
    )
    .await
}
