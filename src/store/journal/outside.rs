//! Checkpoints on their way to a file elsewhere: what shows that the end of a journal was cut off. A thread of its own
//! writes them, so that a place that hangs holds nobody up.

use portcullis_core::audit::checkpoint::Checkpoint;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the end waits for the file.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes checkpoints to a file, one a line, and never anything else.
pub(super) struct Outside {
    notes: Option<mpsc::Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Outside {
    /// Appends to `path`; counts in `failures` what it could not write.
    pub(super) fn start(path: PathBuf, failures: Arc<AtomicU64>) -> io::Result<Self> {
        let (notes, receiver) = mpsc::channel::<String>();
        let run = move || {
            for note in receiver {
                if let Err(error) = append(&path, &note) {
                    failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, path = %path.display(), "a checkpoint could not be written outside the journal");
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(run)?;
        Ok(Self { notes: Some(notes), thread: Some(thread) })
    }

    /// Hands a checkpoint over.
    pub(super) fn send(&self, note: &str) {
        if let Some(notes) = &self.notes {
            // The thread ends only when this does.
            let _ = notes.send(note.to_owned());
        }
    }
}

/// Waits until all is written, but not for a place that hangs.
impl Drop for Outside {
    fn drop(&mut self) {
        self.notes = None;
        let end = Instant::now() + PATIENCE;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn append(path: &Path, note: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
    file.write_all(format!("{}\n", Checkpoint::line(note)).as_bytes())?;
    file.sync_data()
}
