//! The file that tells scripts that the process is ready, and where.

use crate::app::App;
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What the file says.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// The ingress.
    pub gateway: String,
    /// The admin listener.
    pub admin: String,
    /// The MCP URL of each endpoint.
    pub endpoints: BTreeMap<String, String>,
    /// A token for each role, where this is the demo.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, String>,
    /// The journal's file, absolute.
    pub journal: PathBuf,
}

impl Ready {
    /// Of a process that serves.
    pub fn of(app: &App) -> Self {
        let gateway = app.public_url();
        let (names, journal) = app.endpoints();
        let url = |name: String| (name.clone(), format!("{gateway}/{name}/mcp"));
        Self {
            endpoints: names.into_iter().map(url).collect(),
            gateway,
            admin: format!("http://{}", app.admin),
            tokens: BTreeMap::new(),
            journal: std::path::absolute(&journal).unwrap_or(journal),
        }
    }
}

/// Removes the file of an earlier process, which would be taken for this one's.
///
/// # Errors
/// It can't be removed.
pub fn clear(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can't be replaced", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the file at once, not piece by piece: who sees it sees all of it. Where it holds tokens, nobody but this user may
/// read it.
///
/// # Errors
/// The file can't be written.
pub fn write(path: &Path, ready: &Ready) -> anyhow::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    let text = serde_json::to_vec_pretty(ready)?;
    // What is left of an earlier try would keep its mode.
    let _ = std::fs::remove_file(&unfinished);
    let mode = if ready.tokens.is_empty() { 0o644 } else { 0o600 };
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished);
    opened
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(|| format!("{} can't be written", path.display()))
}
