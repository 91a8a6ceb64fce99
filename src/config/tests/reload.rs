//! Changes while the process runs, over real files. `poll` is asked as often as it takes; no test waits for a time.

use super::{Folder, GATEWAY, POLICY, UPSTREAMS, environment};
use crate::config::Loaded;
use crate::config::reload::{Reloaded, Watcher, watch};
use crate::config::report::Report;
use crate::config::snapshot::{Gateway, Snapshot};
use arc_swap::ArcSwap;
use std::os::unix::fs::symlink;
use std::sync::Arc;

/// A process that runs a folder's configuration.
struct Running {
    folder: Folder,
    watcher: Watcher,
    gateway: Gateway,
    revision: String,
}

impl Running {
    fn start(folder: Folder) -> Self {
        let Loaded { snapshot, sources, .. } = folder.load().unwrap_or_else(|report| panic!("{report}"));
        let watcher = Watcher::new(sources, environment);
        Self { folder, watcher, gateway: snapshot.gateway, revision: snapshot.revision }
    }

    fn poll(&mut self) -> Option<Result<Reloaded, Report>> {
        self.watcher.poll(&self.gateway)
    }

    /// Polls as often as a change takes to settle.
    fn settle(&mut self) -> Result<Reloaded, Report> {
        (0..4).find_map(|_| self.poll()).expect("a change is reported")
    }

    fn refused(&mut self) -> String {
        let report = self.settle().err().expect("the change is refused");
        assert!(self.poll().is_none() && self.poll().is_none(), "a bad change is reported once");
        self.folder.inside(&report.to_string())
    }

    fn accepted(&mut self) -> Arc<Snapshot> {
        let snapshot = self.settle().map(|reloaded| reloaded.snapshot);
        let snapshot = snapshot.unwrap_or_else(|report| panic!("{report}"));
        assert!(self.poll().is_none() && self.poll().is_none(), "a good change is reported once");
        self.revision.clone_from(&snapshot.revision);
        snapshot
    }
}

fn with_endpoint(name: &str) -> String {
    format!("{UPSTREAMS}  {name}: {{ upstreams: [ops] }}\n")
}

#[test]
fn nothing_is_reported_while_nothing_changes() {
    let mut running = Running::start(Folder::good());
    assert!((0..5).all(|_| running.poll().is_none()));
}

#[test]
fn an_edit_in_place_is_live_after_it_was_seen_twice() {
    let mut running = Running::start(Folder::good());
    let before = running.revision.clone();
    running.folder.write("upstreams.yaml", with_endpoint("tools"));
    assert!(running.poll().is_none(), "the first sight is not enough");
    let snapshot = running.accepted();
    assert!(snapshot.routes.0.contains_key("tools"));
    assert_ne!(snapshot.revision, before);
}

#[test]
fn a_rename_and_a_deleted_and_new_file_are_seen() {
    let mut running = Running::start(Folder::good());
    running.folder.write("new.yaml", with_endpoint("one"));
    std::fs::rename(running.folder.path("new.yaml"), running.folder.path("upstreams.yaml")).unwrap();
    assert!(running.accepted().routes.0.contains_key("one"));
    std::fs::remove_file(running.folder.path("upstreams.yaml")).unwrap();
    running.folder.write("upstreams.yaml", with_endpoint("two"));
    assert!(running.accepted().routes.0.contains_key("two"));
}

#[test]
fn the_swapped_link_of_a_kubernetes_volume_is_seen() {
    let folder = Folder::good();
    for (version, endpoint) in [("v1", "one"), ("v2", "two")] {
        std::fs::create_dir(folder.path(version)).unwrap();
        folder.write(&format!("{version}/policy.yaml"), POLICY);
        folder.write(&format!("{version}/upstreams.yaml"), with_endpoint(endpoint));
    }
    symlink("v1", folder.path("..data")).unwrap();
    for name in ["policy.yaml", "upstreams.yaml"] {
        std::fs::remove_file(folder.path(name)).unwrap();
        symlink(format!("..data/{name}"), folder.path(name)).unwrap();
    }
    let mut running = Running::start(folder);
    symlink("v2", running.folder.path("..next")).unwrap();
    std::fs::rename(running.folder.path("..next"), running.folder.path("..data")).unwrap();
    assert!(running.accepted().routes.0.contains_key("two"));
}

#[test]
fn a_bad_change_is_said_once_and_the_mended_one_is_live() {
    let mut running = Running::start(Folder::good());
    running.folder.write("upstreams.yaml", with_endpoint("mcp"));
    let said = running.refused();
    assert!(said.starts_with("upstreams.yaml:7:3: this name is the gateway's own (endpoints.mcp)"), "{said}");
    running.folder.write("policy.yaml", "rules: nonsense");
    assert!(running.refused().contains("policy.yaml:1:8: expected a list, found text (rules)"));
    running.folder.write("upstreams.yaml", with_endpoint("tools"));
    running.folder.write("policy.yaml", POLICY);
    assert!(running.accepted().routes.0.contains_key("tools"));
}

#[test]
fn the_old_content_put_back_is_good_news_again() {
    let mut running = Running::start(Folder::good());
    running.folder.write("policy.yaml", "");
    assert!(running.refused().contains("policy.yaml:1:1: the file is empty"));
    running.folder.write("policy.yaml", POLICY);
    let before = running.revision.clone();
    assert_eq!(running.accepted().revision, before);
}

#[test]
fn a_file_that_is_being_written_is_not_read() {
    let mut running = Running::start(Folder::good());
    let whole = with_endpoint("tools");
    // Each part is longer than the one before, and valid YAML at line ends.
    for (end, _) in whole.match_indices('\n').skip(4) {
        running.folder.write("upstreams.yaml", &whole[..=end]);
        assert!(running.poll().is_none());
    }
    assert!(running.accepted().routes.0.contains_key("tools"));
}

#[test]
fn files_that_change_one_after_the_other_are_taken_together() {
    let mut running = Running::start(Folder::good());
    running.folder.write("upstreams.yaml", UPSTREAMS.replace("ops", "jobs"));
    assert!(running.poll().is_none());
    running.folder.write("policy.yaml", format!("{POLICY}rules: []\n"));
    assert!(running.poll().is_none());
    let snapshot = running.accepted();
    assert!(snapshot.upstreams.contains_key("jobs"));
}

#[test]
fn a_deleted_file_changes_nothing() {
    let mut running = Running::start(Folder::good());
    std::fs::remove_file(running.folder.path("policy.yaml")).unwrap();
    assert!(running.refused().contains("policy.yaml: there is no such file"));
    running.folder.write("policy.yaml", POLICY);
    running.accepted();
}

#[test]
fn what_is_fixed_at_start_is_refused_with_its_line() {
    let mut running = Running::start(Folder::good());
    let gateway = format!(
        "{GATEWAY}listen:\n  ingress: 127.0.0.1:8001\nthreads: 999\nedge: {{ connections: 7, header_count: 7 }}\n"
    );
    running.folder.write("conf/gateway.yaml", &gateway);
    let said = running.refused();
    assert!(said.contains("conf/gateway.yaml:6:12: `listen.ingress` can't change while the process runs"), "{said}");
    assert!(said.contains("conf/gateway.yaml:7:10: `threads` can't change while the process runs"), "{said}");
    assert!(said.contains("conf/gateway.yaml:8:22: `edge.connections` can't change while the process runs"), "{said}");
    assert!(said.contains("3 problems"), "{said}");
    running.folder.write("conf/gateway.yaml", format!("{GATEWAY}edge: {{ header_count: 7 }}\n"));
    assert_eq!(running.accepted().gateway.edge.header_count, 7);
}

#[test]
fn a_rotated_secret_is_live_without_any_other_change() {
    let folder = Folder::good();
    folder.write("secret", "the-first-secret-of-this-gateway");
    let reference = format!("{GATEWAY}gateway_secret: ${{file:{}}}\n", folder.path("secret").display());
    folder.write("conf/gateway.yaml", reference);
    let mut running = Running::start(folder);
    running.folder.write("secret", "the-second-secret-of-this-gateway\n");
    let before = running.revision.clone();
    let snapshot = running.accepted();
    let secret = snapshot.gateway.gateway_secret.as_ref().unwrap();
    assert_eq!(secret.expose(), "the-second-secret-of-this-gateway");
    assert_eq!(snapshot.revision, before, "the three files are the same");
    std::fs::remove_file(running.folder.path("secret")).unwrap();
    assert!(running.refused().contains("there is no such file (gateway_secret)"));
}

#[test]
fn a_file_named_for_the_first_time_is_watched_from_then_on() {
    let mut running = Running::start(Folder::good());
    running.folder.write("other.yaml", with_endpoint("one"));
    running.folder.write("conf/gateway.yaml", format!("{GATEWAY}upstreams: ../other.yaml\n"));
    assert!(running.accepted().routes.0.contains_key("one"));
    running.folder.write("other.yaml", with_endpoint("two"));
    assert!(running.accepted().routes.0.contains_key("two"));
    running.folder.write("upstreams.yaml", "");
    assert!((0..4).all(|_| running.poll().is_none()), "nobody reads this file any more");
}

#[test]
fn a_digest_key_that_was_made_up_stays() {
    let mut running = Running::start(Folder::good());
    let key = running.gateway.digest_key.expose().clone();
    assert_eq!(key.len(), 32);
    running.folder.write("policy.yaml", format!("{POLICY}rules: []\n"));
    assert_eq!(running.accepted().gateway.digest_key.expose(), &key);
}

#[tokio::test]
async fn a_change_is_compared_with_what_runs_and_not_with_what_was_read() {
    let folder = Folder::good();
    let Loaded { snapshot, sources, .. } = folder.load().unwrap_or_else(|report| panic!("{report}"));
    let live = Arc::new(ArcSwap::from_pointee(snapshot));
    let (results, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let running = Arc::clone(&live);
    let report = move |result: Result<Reloaded, Report>| {
        results.send(result).unwrap();
        std::future::ready(())
    };
    let watching = tokio::spawn(watch(Watcher::new(sources, environment), move || running.load_full(), report));

    folder.write("policy.yaml", "nonsense");
    let report = heard.recv().await.unwrap().err().expect("nonsense is refused");
    assert!(report.summary().starts_with("1 problem in "));

    // A change that nobody makes live leaves nothing behind: what is fixed at start is still what runs.
    folder.write("policy.yaml", POLICY);
    folder.write("conf/gateway.yaml", format!("{GATEWAY}digest_key: 0123456789abcdef0123456789abcdef\n"));
    heard.recv().await.unwrap().unwrap_or_else(|report| panic!("{report}"));
    folder.write("conf/gateway.yaml", format!("{GATEWAY}threads: 999\n"));
    let report = heard.recv().await.unwrap().err().expect("what is fixed is refused");
    assert!(report.to_string().contains("`threads` can't change while the process runs"), "{report}");
    watching.abort();
}
