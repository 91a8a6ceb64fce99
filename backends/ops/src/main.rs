//! The operations desk as a process. See `backends/README.md` for what it reads from the environment.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    portcullis_ops::run("portcullis-ops", portcullis_ops::DEFAULT_PORT, portcullis_ops::router).await
}
