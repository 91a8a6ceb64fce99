//! The suite's client scenarios, with the gateway between the suite's server and a real client: the gateway must be as
//! good a client as the one that it stands for. Those about OAuth are not here: its tokens end at the gateway.

use crate::conformance::POLICY;
use crate::conformance::compare::Ratchet;
use crate::conformance::suite::{self, Results};
use crate::support::gateway::{BINARY, Setup};
use crate::support::tokens::token;
use futures::{StreamExt, stream};
use serde_json::json;
use tempfile::TempDir;

const MODERN: &[&str] = &[
    "tools_call",
    "request-metadata",
    "sep-2322-client-request-state",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "json-schema-2020-12-preservation",
];
const LEGACY: &[&str] = &[
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "json-schema-2020-12-preservation",
];

/// How many scenarios run at the same time.
const AT_ONCE: usize = 3;

/// Runs `scenarios` in `revision`, each with a server of its own.
async fn run(program: &str, revision: &str, scenarios: &[&str], environment: &[(&str, &str)]) -> Results {
    let command = format!("node clients/{program}");
    let one = async |scenario: &&str| {
        let arguments = ["--command", &command, "--scenario", scenario, "--spec-version", revision];
        suite::run("client", &arguments, environment).await
    };
    let results: Vec<Results> = stream::iter(scenarios).map(one).buffer_unordered(AT_ONCE).collect().await;
    results.into_iter().flatten().collect()
}

async fn hold(list: &str, revision: &str, scenarios: &[&str]) {
    let mut setup = Setup::new(&[("mock", "${env:UPSTREAM}".into())], POLICY);
    setup.gateway["journal"] = json!({"path": "journal.db"});
    let dir = TempDir::new().unwrap();
    let config = setup.write(dir.path());
    let environment = [
        ("GATEWAY", BINARY),
        ("GATEWAY_CONFIG", config.to_str().unwrap()),
        ("GATEWAY_ENDPOINT", "mock"),
        ("TOKEN", &token("ana", &["tester"])),
    ];
    let direct = run("conformance.mjs", revision, scenarios, &[]).await;
    for (scenario, outcome) in &direct {
        let lacks = (outcome.tally().1, outcome.count("WARNING"));
        assert_eq!(lacks, (0, 0), "the client does {scenario} wrong by itself: {outcome:?}");
    }
    let through = run("through.mjs", revision, scenarios, &environment).await;
    Ratchet::read(list).hold(&direct, &through);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_finds_no_worse_a_server_behind_the_gateway() {
    hold("clients-2026-07-28", "2026-07-28", MODERN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_client_finds_no_worse_a_server_behind_the_gateway() {
    hold("clients-2025-11-25", "2025-11-25", LEGACY).await;
}
