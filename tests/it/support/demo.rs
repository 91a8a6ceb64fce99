//! `portcullis demo`: the gateway with its sample backends, in one process, with tokens ready.

use crate::support::gateway::{BINARY, Ready};
use crate::support::process::Process;
use std::process::Command;
use tempfile::TempDir;

/// A running demo. It ends with this value.
pub struct Demo {
    pub ready: Ready,
    _process: Process,
    _dir: TempDir,
}

impl Demo {
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("ready.json");
        let mut command = Command::new(BINARY);
        command.args(["demo", "--port", "0", "--ready-file"]).arg(&file);
        command.arg("--data").arg(dir.path().join("data")).current_dir(dir.path());
        let mut process = Process::spawn(&mut command);
        let ready = Ready::read(&mut process, &file).await;
        Self { ready, _process: process, _dir: dir }
    }
}
