//! The processes of a program: whose they are, when they end, and what is left of them.

use super::{all_ended, before, lines, pids, processes, runs, start, status, stdio, text};
use crate::support::events::Events;
use crate::support::gateway::{legacy, modern, modern_call};
use crate::support::http::Response;
use crate::support::peers::Program;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{Claims, token};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;

const ERAS: [&str; 2] = ["modern", "legacy"];

/// A folder, and in it where programs write their numbers and what they get.
struct Notes {
    _folder: TempDir,
    pids: PathBuf,
    log: PathBuf,
}

fn notes() -> Notes {
    let folder = tempfile::tempdir().unwrap();
    let (pids, log) = (folder.path().join("pids"), folder.path().join("log"));
    Notes { _folder: folder, pids, log }
}

impl Notes {
    fn stdio(&self, arguments: &[&str], mut others: Value) -> Value {
        others["env"] = json!({"ODD_PIDS": self.pids, "ODD_LOG": self.log});
        stdio(Program::Odd(arguments), &others)
    }

    /// Waits until a program got a message with this method that `is` it.
    async fn got(&self, method: &str) -> Value {
        let what = format!("a program gets {method}");
        wait_until(&what, PATIENCE, async || {
            let messages = lines(&self.log).into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            messages.into_iter().find(|message| message["method"] == method)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_principals_share_a_process() {
    for era in ERAS {
        let notes = notes();
        let gateway = start(before(notes.stdio(&[era], json!({})))).await;
        let mut seen = BTreeSet::new();
        for claims in [
            Claims::new("ana", &["tester"]),
            Claims::new("bob", &["tester"]),
            Claims::new("ana", &["tester"]).with("tid", json!("other-tenant")),
            Claims::new("ana", &["tester"]).with("azp", json!("other-agent")),
        ] {
            let token = claims.sign();
            let none = json!({});
            let calls = (0..3).map(|_| gateway.modern_call("it", &token, "pid", &none));
            let answers = futures::future::join_all(calls).await;
            let text = |response: &Response| response.message()["result"]["content"][0]["text"].to_string();
            let own: BTreeSet<_> = answers.iter().map(text).collect();
            assert_eq!(own.len(), 1, "{era}: {answers:?}");
            assert!(seen.is_disjoint(&own), "{era}: {claims:?}");
            seen.extend(own);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_process_serves_all_and_mixes_nobody_up() {
    for era in ERAS {
        let gateway = start(before(stdio(Program::Odd(&[era]), &json!({"per": "shared"})))).await;
        let users: Vec<_> = (0..20).map(|number| format!("user-{number}")).collect();
        let pids = futures::future::join_all(users.iter().map(|user| text(&gateway, user, "pid", json!({})))).await;
        assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), 1, "{era}: {pids:?}");
        // Each says how long its own text is, and all have the same id.
        let echo = |length: usize| {
            let (gateway, users) = (&gateway, &users);
            async move { text(gateway, &users[length % 20], "echo", json!({"text": "x".repeat(length)})).await }
        };
        let echoes = futures::future::join_all((0..200).map(echo)).await;
        assert!(echoes.iter().enumerate().all(|(length, echo)| *echo == length.to_string()), "{era}: {echoes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_process_dies_fails_at_once_and_the_next_finds_another() {
    for (era, per) in [("modern", "principal"), ("legacy", "principal"), ("modern", "shared"), ("legacy", "shared")] {
        let gateway = start(before(stdio(Program::Odd(&[era]), &json!({"per": per})))).await;
        let first = text(&gateway, "ana", "pid", json!({})).await;
        assert_eq!(status(&gateway, "ana", "die", json!({})).await, 502, "{era} {per}");
        let second = async || {
            let response = gateway.modern_call("it", &token("ana", &["tester"]), "pid", &json!({})).await;
            (response.status == 200).then(|| response.message()["result"]["content"][0]["text"].clone())
        };
        assert_ne!(wait_until("another process answers", PATIENCE, second).await, json!(first), "{era} {per}");
        let metrics = gateway.metrics().await;
        assert!(metrics.contains(r#"portcullis_stdio_restarts_total{upstream="it"} 1"#), "{era} {per}: {metrics}");
        let row = gateway.ended_call(|row| row["tool"] == "it.die").await;
        assert_eq!((&row["outcome"], &row["status"]), (&json!("failed"), &json!(502)), "{row:?}");
    }
}

/// Its neighbours' calls are not touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_its_callers_own() {
    let gateway = start(before(stdio(Program::Odd(&["modern"]), &json!({})))).await;
    let bob = text(&gateway, "bob", "pid", json!({})).await;
    let long = text(&gateway, "bob", "count", json!({"seconds": 1}));
    let crashes = async {
        for _ in 0..3 {
            assert!([502, 503].contains(&status(&gateway, "ana", "die", json!({})).await));
        }
    };
    let (counted, ()) = tokio::join!(long, crashes);
    assert_eq!(counted, "counted");
    assert_eq!(text(&gateway, "bob", "pid", json!({})).await, bob);
    // Nor is who comes new.
    text(&gateway, "cyd", "pid", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_dies_at_its_start_is_seen_and_not_started_without_pause() {
    let (notes, start) = (notes(), Instant::now());
    let gateway = before(notes.stdio(&["modern", "die"], json!({}))).start().await;
    let ill = async || {
        let replicas = gateway.readiness().await["upstreams"]["it"]["replicas"].clone();
        replicas.as_object()?.values().all(|well| well == false).then_some(())
    };
    wait_until("the upstream is not well", PATIENCE, ill).await;
    for _ in 0..50 {
        assert_ne!(status(&gateway, "ana", "pid", json!({})).await, 200);
    }
    let (starts, seconds) = (lines(&notes.pids).len() as u64, start.elapsed().as_secs());
    assert!(starts < 12 + seconds / 10, "{starts} in {seconds} s");
    let said =
        async || gateway.log().iter().any(|line| line.to_string().contains("it dies, as it was told")).then_some(());
    wait_until("the log has what it said", PATIENCE, said).await;
    all_ended(&notes.pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_said_to_be_not_there() {
    let upstream = json!({"stdio": {"command": ["no-such-program-anywhere"]}});
    let gateway = before(upstream).start().await;
    let said = async || {
        let log = gateway.log();
        log.iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.contains("does not start")))
            .then_some(())
    };
    wait_until("the log says so", PATIENCE, said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_gateway_ends() {
    for era in ERAS {
        let notes = notes();
        let mut gateway = start(before(notes.stdio(&[era, "stay", "parent"], json!({})))).await;
        for user in ["ana", "bob"] {
            text(&gateway, user, "pid", json!({})).await;
        }
        let all = pids(&notes.pids);
        assert!(all.len() >= 4 && all.iter().filter(|pid| runs(pid)).count() >= 4, "{all:?}");
        gateway.process.signal("-TERM");
        assert!(gateway.process.end().await);
        all_ended(&notes.pids).await;
    }
}

/// Nothing can be done then but to close the pipes, and a program that is well-behaved ends with its input.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_ends_when_the_gateway_is_killed() {
    let notes = notes();
    let gateway = start(before(notes.stdio(&["modern"], json!({})))).await;
    text(&gateway, "ana", "pid", json!({})).await;
    gateway.process.signal("-KILL");
    all_ended(&notes.pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_nobody_calls_ends() {
    for era in ERAS {
        let notes = notes();
        let setup = before(notes.stdio(&[era], json!({"idle": "1s"}))).upstream("it", "refresh", json!("1h"));
        let gateway = start(setup).await;
        text(&gateway, "ana", "pid", json!({})).await;
        all_ended(&notes.pids).await;
        wait_until("it is not counted", PATIENCE, async || (processes(&gateway).await == Some(0)).then_some(())).await;
        text(&gateway, "ana", "pid", json!({})).await;
        // One that works is not idle.
        text(&gateway, "ana", "count", json!({"seconds": 1})).await;
        assert!(gateway.metrics().await.lines().all(|line| !line.starts_with("portcullis_stdio_restarts_total{")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_never_more_processes_than_allowed() {
    for era in ERAS {
        let notes = notes();
        let stdio = notes.stdio(&[era], json!({"max_processes": 2}));
        let gateway = start(before(stdio).upstream("it", "refresh", json!("1h"))).await;
        for user in ["ana", "bob", "cyd", "dan", "ana"] {
            text(&gateway, user, "pid", json!({})).await;
            let running = pids(&notes.pids).iter().filter(|pid| runs(pid)).count();
            assert!(running <= 2, "{era}: {running}");
        }
        // Those who work are not interrupted for others.
        let work = |user| status(&gateway, user, "count", json!({"seconds": 25}));
        let late = async {
            let busy = async || {
                let counts = lines(&notes.log).iter().filter(|line| line.contains("\"count\"")).count();
                (counts == 2).then_some(())
            };
            wait_until("both places are at work", PATIENCE, busy).await;
            status(&gateway, "eve", "pid", json!({})).await
        };
        tokio::select! {
            status = work("ana") => panic!("{era}: {status}"),
            status = work("bob") => panic!("{era}: {status}"),
            late = late => assert_eq!(late, 502, "{era}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_learns_that_its_caller_left() {
    for era in ERAS {
        let notes = notes();
        let gateway = start(before(notes.stdio(&[era], json!({})))).await;
        let call = modern_call("it", "count", &json!({"seconds": 60})).bearer(&token("ana", &["tester"]));
        let left = async {
            notes.got("tools/call").await;
        };
        tokio::select! {
            response = gateway.send(&call) => panic!("{response:?}"),
            () = left => {}
        }
        let cancelled = notes.got("notifications/cancelled").await;
        assert_eq!(cancelled["params"]["requestId"], notes.got("tools/call").await["id"], "{era}");
    }
}

/// No header reaches a program: the message names the span, whether its client named one or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_of_the_trace_in_the_message() {
    for era in ERAS {
        let notes = notes();
        let gateway = start(before(notes.stdio(&[era], json!({})))).await;
        let response = gateway.modern_call("it", &token("ana", &["tester"]), "pid", &json!({})).await;
        let told = notes.got("tools/call").await["params"]["_meta"]["traceparent"].take();
        let trace = response.header("x-trace-id").unwrap();
        assert!(told.as_str().is_some_and(|told| told.contains(trace)), "{era}: {told} {trace}");
    }
}

/// MCP 2025-11-25 "Sending Messages to the Server": what an older client means by a call it takes back is said in words.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_of_an_older_client_that_lost_its_connection_works_on() {
    let notes = notes();
    let gateway = start(before(notes.stdio(&["legacy"], json!({})))).await;
    let ana = token("ana", &["tester"]);
    let session = gateway.legacy_session("it", &ana).await;
    let within = |tool: &str, arguments: Value| {
        let mut call = legacy("it", "tools/call", json!({"name": tool, "arguments": arguments}));
        call.headers.extend(session.clone());
        call
    };
    let call = within("count", json!({"seconds": 60}));
    tokio::select! {
        response = gateway.send(&call) => panic!("{response:?}"),
        _ = notes.got("tools/call") => {}
    }
    // The gateway has noticed that it left.
    gateway.ended_call(|row| row["tool"] == "it.count").await;
    let own = gateway.send(&within("pid", json!({}))).await;
    assert_eq!(own.status, 200, "{own:?}");
    let told: Vec<_> = lines(&notes.log).into_iter().filter(|line| line.contains("notifications/cancelled")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_hears_what_changes_in_the_process_that_runs_its_calls() {
    let gateway = start(before(stdio(Program::Odd(&["modern", "news"]), &json!({})))).await;
    let ana = token("ana", &["tester"]);
    let wanted = json!({"notifications": {"resourceSubscriptions": ["odd:a"]}});
    let listen = modern("it", "subscriptions/listen", wanted).bearer(&ana);
    let mut events = Events::open(gateway.authority(), &listen).await;
    let first = events.next().await.unwrap();
    assert_eq!(first["params"]["notifications"]["resourceSubscriptions"], json!(["odd:a"]), "{first}");
    text(&gateway, "ana", "touch", json!({"uri": "odd:a"})).await;
    let news = events.next().await.unwrap();
    assert_eq!(news["params"]["uri"], "odd:a", "{news}");
}

/// A changed definition is another program; an unchanged one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn processes_follow_the_configuration() {
    let notes = notes();
    let setup = before(notes.stdio(&["modern"], json!({})));
    let mut upstreams = setup.upstreams.clone();
    let gateway = start(setup).await;
    let first = text(&gateway, "ana", "pid", json!({})).await;
    upstreams["endpoints"]["other"] = json!({"upstreams": ["it"]});
    let revision = gateway.readiness().await["revision"].clone();
    gateway.replace_upstreams(&upstreams);
    wait_until("the change is live", PATIENCE, async || {
        (gateway.readiness().await["revision"] != revision).then_some(())
    })
    .await;
    assert_eq!(text(&gateway, "ana", "pid", json!({})).await, first, "the same process");
    upstreams["upstreams"]["it"]["stdio"]["env"]["MORE"] = json!("x");
    gateway.replace_upstreams(&upstreams);
    wait_until("there is another process", PATIENCE, async || {
        (text(&gateway, "ana", "pid", json!({})).await != first).then_some(())
    })
    .await;
    wait_until("the first has ended", PATIENCE, async || (!runs(&first)).then_some(())).await;
    upstreams["upstreams"] = json!({});
    upstreams["endpoints"] = json!({});
    gateway.replace_upstreams(&upstreams);
    all_ended(&notes.pids).await;
    wait_until("nothing is counted", PATIENCE, async || processes(&gateway).await.is_none().then_some(())).await;
}
