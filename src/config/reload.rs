//! Replaces the configuration while the process runs.
//!
//! The files are polled by content rather than by notification: that sees edits in place, renames, a deleted and new
//! file and the swapped `..data` link of a Kubernetes volume alike, and misses nothing on network file systems. A change
//! counts when two polls in a row read the same bytes of all files, so that a file that is being written is not taken
//! for a short one. It can't see that a writer stopped half-way for longer than that: write beside, then rename.

use crate::config::files::{Files, Fingerprint};
use crate::config::report::{Finding, Report};
use crate::config::snapshot::{Gateway, Snapshot};
use crate::config::{Environment, Loaded, Process, Sources, assemble};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{MissedTickBehavior, interval};

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// A file changed so lately that a second change may have left the same times behind, which some file systems count in
/// whole seconds.
const RECENT: Duration = Duration::from_secs(3);

/// A change that can be made live.
pub struct Reloaded {
    /// What is to run from now on.
    pub snapshot: Arc<Snapshot>,
    /// What is allowed, but seldom meant.
    pub warnings: Vec<Finding>,
}

/// Watches the files of a configuration. Each different content is reported once.
pub struct Watcher {
    sources: Sources,
    environment: Box<Environment<'static>>,
    watched: BTreeSet<PathBuf>,
    /// What the files held when they were last judged.
    settled: Fingerprint,
    /// What they held at the last poll, where that is something else.
    candidate: Option<Fingerprint>,
    /// How they looked from outside when they last held what is settled.
    stamps: Vec<Option<Stamp>>,
}

impl Watcher {
    /// Watches what `config::load` has read. A change since then counts as one.
    pub fn new(sources: Sources, environment: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        let named = [&sources.gateway, &sources.upstreams, &sources.policy];
        let watched = named.into_iter().chain(&sources.others).cloned().collect();
        let settled = sources.fingerprint;
        Self { sources, environment: Box::new(environment), watched, settled, candidate: None, stamps: Vec::new() }
    }

    /// Looks once. `Some` where a change has settled: what it makes, or why nothing has changed. Blocks on the disk.
    pub fn poll(&mut self, running: &Gateway) -> Option<Result<Reloaded, Report>> {
        let stamps: Vec<_> = self.watched.iter().map(|path| Stamp::of(path)).collect();
        let recent = stamps.iter().flatten().any(Stamp::is_recent);
        if stamps == self.stamps && !recent && self.candidate.is_none() {
            return None;
        }
        let files = Files::now(&self.watched);
        let fingerprint = files.fingerprint();
        if fingerprint == self.settled {
            self.candidate = None;
            self.stamps = stamps;
            return None;
        }
        if self.candidate.replace(fingerprint) != Some(fingerprint) {
            return None;
        }
        self.candidate = None;
        self.settled = fingerprint;
        self.stamps = stamps;
        self.judge(files, running)
    }

    fn judge(&mut self, files: Files, running: &Gateway) -> Option<Result<Reloaded, Report>> {
        let mut files = Files::reusing(files);
        let process =
            Process { environment: &*self.environment, own: Arc::clone(&self.sources.own), running: Some(running) };
        let outcome = assemble(&self.sources.gateway, &mut files, &process);
        let read: BTreeSet<PathBuf> = files.paths().cloned().collect();
        if !read.is_subset(&self.watched) {
            // A file that was named for the first time has been read once, and must be seen twice like the others.
            self.watched.extend(read);
            self.candidate = Some(Files::now(&self.watched).fingerprint());
            return None;
        }
        match outcome {
            Ok(Loaded { snapshot, sources, warnings }) => {
                self.watched = read;
                self.settled = sources.fingerprint;
                self.sources = sources;
                Some(Ok(Reloaded { snapshot: Arc::new(snapshot), warnings }))
            }
            Err(report) => Some(Err(report)),
        }
    }
}

/// How a file looks from outside.
#[derive(PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Follows links: the target is what counts.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_recent(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = self.modified.0.max(self.changed.0);
        u64::try_from(last).is_ok_and(|last| last + RECENT.as_secs() >= now.as_secs())
    }
}

/// Polls until it is dropped. `on_result` makes a good change live, or doesn't; what a change is compared with is what
/// `running` then says, so that nothing here takes for live what is not.
pub async fn watch<F: Future<Output = ()>>(
    watcher: Watcher,
    running: impl Fn() -> Arc<Snapshot>,
    mut on_result: impl FnMut(Result<Reloaded, Report>) -> F,
) {
    let file = watcher.sources.gateway.clone();
    let watcher = Arc::new(Mutex::new(watcher));
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (watcher, running) = (Arc::clone(&watcher), running());
        match tokio::task::spawn_blocking(move || watcher.lock().poll(&running.gateway)).await {
            Ok(None) => {}
            Ok(Some(result)) => on_result(result).await,
            Err(error) if error.is_cancelled() => return,
            Err(_) => {
                let hint = "the configuration from before is still live; please report this with the files";
                let finding = Finding::of_file(&file, "the change made the compiler of the configuration fail", hint);
                on_result(Err(Report::new(vec![finding]))).await;
            }
        }
    }
}
