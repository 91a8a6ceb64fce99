//! The official conformance suite, directly and through the gateway: what passes without it has to pass with it, check by
//! check.

mod clients;
mod compare;
mod suite;
mod told;

use crate::support::bearer::Bound;
use crate::support::gateway::Setup;
use crate::support::peers::Server;
use crate::support::tokens::token;
use compare::Ratchet;
use serde_json::json;
use suite::Results;
use tokio::sync::OnceCell;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

/// What of the suite is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of 2026-07-28: what is required, both header scenarios, and the tasks extension.
    Modern,
    /// The same, from an upstream that always streams.
    ModernStreams,
    /// All of 2025-11-25.
    Legacy2025November,
    /// All of 2025-06-18.
    Legacy2025June,
    /// All of 2025-03-26.
    Legacy2025March,
}

impl Part {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Modern | Self::ModernStreams => &["--requirements", "2026-07-28"],
            Self::Legacy2025November => &["--requirements", "2025-11-25"],
            Self::Legacy2025June => &["--suite", "all", "--spec-version", "2025-06-18"],
            Self::Legacy2025March => &["--suite", "all", "--spec-version", "2025-03-26"],
        }
    }

    fn flags(self) -> &'static [&'static str] {
        if self == Self::ModernStreams { &["--sse"] } else { &[] }
    }

    /// How many checks pass directly, those of the tasks extension apart.
    fn bar(self) -> (usize, usize) {
        match self {
            Self::Modern => (152, 44),
            // One more: that streams next to each other work.
            Self::ModernStreams => (153, 44),
            Self::Legacy2025November => (84, 0),
            Self::Legacy2025June => (56, 0),
            Self::Legacy2025March => (3, 0),
        }
    }

    /// What the suite finds with no gateway between. It is the same for all tests, and asked for once.
    async fn direct(self) -> &'static Results {
        static DIRECT: [OnceCell<Results>; 5] = [const { OnceCell::const_new() }; 5];
        let run = async || {
            let server = Server::conformance(self.flags()).await;
            self.run(&server.url()).await
        };
        DIRECT[self as usize].get_or_init(run).await
    }

    async fn run(self, url: &str) -> Results {
        suite::run("server", &[&["--url", url], self.arguments()].concat(), &[]).await
    }
}

/// What the suite finds through a gateway with the one upstream `server`.
async fn through(part: Part, server: &Server) -> Results {
    through_policy(part, server, POLICY).await
}

/// The same where the gateway judges by `policy`.
async fn through_policy(part: Part, server: &Server, policy: &str) -> Results {
    let bound = Bound::new().await;
    let authority = bound.authority();
    let mut setup = Setup::new(&[("fixture", server.url())], policy);
    // The suite calls the address that stands before the gateway, and says in `Origin` that it comes from there.
    setup.gateway["listen"]["hosts"] = json!([authority]);
    setup.gateway["listen"]["origins"] = json!([format!("http://{authority}")]);
    let gateway = setup.start().await;
    let _bearer = bound.forward(gateway.authority(), &token("ana", &["tester"]));
    part.run(&format!("http://{authority}/fixture/mcp")).await
}

/// Compares what `part` finds through the gateway, before an upstream with `flags`, with what it finds directly.
async fn hold(list: &str, part: Part, flags: &[&str]) {
    let server = Server::conformance(flags).await;
    let (direct, through) = tokio::join!(part.direct(), through(part, &server));
    Ratchet::read(list).hold(direct, &through);
}

/// The same before an upstream of the other era, of which a table tells.
async fn hold_across(list: &str, part: Part, server: Server) {
    let (direct, through) = tokio::join!(part.direct(), through(part, &server));
    let ratchet = Ratchet::read(list);
    ratchet.hold(direct, &through);
    told::hold(list, direct, |scenario| ratchet.must(scenario));
}

/// Where this fails, the upstream is at fault, and not the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_passes_all_of_every_revision() {
    for part in
        [Part::Modern, Part::ModernStreams, Part::Legacy2025November, Part::Legacy2025June, Part::Legacy2025March]
    {
        let (mut core, mut tasks) = (0, 0);
        for (scenario, outcome) in part.direct().await {
            let (passed, failed) = outcome.tally();
            assert_eq!((failed, outcome.count("WARNING")), (0, 0), "{part:?} {scenario}: {outcome:?}");
            *(if scenario.starts_with("tasks-") { &mut tasks } else { &mut core }) += passed;
        }
        assert_eq!((core, tasks), part.bar(), "{part:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_passes_through_the_gateway() {
    hold("2026-07-28", Part::Modern, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_passes_before_an_upstream_that_always_streams() {
    hold("2026-07-28-streams", Part::ModernStreams, &["--sse"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_11_25_passes_through_the_gateway() {
    hold("2025-11-25", Part::Legacy2025November, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_06_18_passes_through_the_gateway() {
    hold("2025-06-18", Part::Legacy2025June, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_03_26_passes_through_the_gateway() {
    hold("2025-03-26", Part::Legacy2025March, &[]).await;
}

/// The gateway speaks both eras on both sides: what a suite finds missing then is what no bridge can give.
#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_passes_before_an_upstream_that_has_never_heard_of_it() {
    hold_across("2026-07-28-on-legacy", Part::Modern, Server::conformance(&["--legacy-only"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_11_25_passes_before_an_upstream_that_has_forgotten_it() {
    hold_across("2025-11-25-on-modern", Part::Legacy2025November, Server::conformance(&["--modern-only"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_06_18_passes_before_an_upstream_that_has_forgotten_it() {
    hold_across("2025-06-18-on-modern", Part::Legacy2025June, Server::conformance(&["--modern-only"]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2025_03_26_passes_before_an_upstream_that_has_forgotten_it() {
    hold_across("2025-03-26-on-modern", Part::Legacy2025March, Server::conformance(&["--modern-only"]).await).await;
}

/// The tasks are the gateway's own jobs: the upstream has never heard of any. What is missing then is what a job never does: it
/// asks nobody for input, and it runs for a client that knows no tasks too.
#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_2026_07_28_are_jobs_of_the_gateway_before_an_upstream_that_knows_none() {
    let jobs = ["slow_compute", "failing_job", "protocol_error_job"];
    let jobs = jobs.map(|name| format!("{{ match: fixture.{name}, class: read, mode: job }}, ")).concat();
    let policy = POLICY.replace("tools: [", &format!("tools: [{jobs}"));
    let server = Server::conformance(&["--no-tasks"]).await;
    let (direct, through) = tokio::join!(Part::Modern.direct(), through_policy(Part::Modern, &server, &policy));
    Ratchet::read("2026-07-28-on-jobs").hold(direct, &through);
}

/// Most of what the suite calls for is not there: only what is about the protocol itself can pass.
#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_2026_07_28_passes_before_the_reference_server_as_far_as_that_goes() {
    hold_across("2026-07-28-on-everything", Part::Modern, Server::legacy().await).await;
}
