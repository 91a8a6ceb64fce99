//! Upstreams that come and go, are slow, break off or lie: what a caller sees of it, and how soon it is over.

use crate::support::gateway::{Gateway, Setup, modern, modern_call};
use crate::support::http::{Connection, Response, Version};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Body, Speaks, Upstream};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
limits: [{ per: [user], rate: 6000/m, burst: 6000, concurrency: 40 }]
"#;

/// How long a replica whose calls fail is left alone.
pub const EJECTION: Duration = Duration::from_secs(10);

pub fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

pub async fn recorder() -> Upstream {
    Upstream::start(Speaks::Modern, vec![tool("echo")]).await
}

/// A gateway before these replicas of the upstream `one`, which are checked often.
pub fn before(replicas: &[&Upstream]) -> Setup {
    let urls: Vec<_> = replicas.iter().map(|replica| replica.url()).collect();
    Setup::new(&[("one", String::new())], POLICY).replicas("one", &urls).upstream(
        "one",
        "health_interval",
        json!("100ms"),
    )
}

pub fn ana() -> String {
    token("ana", &["tester"])
}

pub async fn call(gateway: &Gateway) -> Response {
    gateway.modern_call("one", &ana(), "echo", &json!({})).await
}

pub async fn expect(gateway: &Gateway, status: u16) {
    let response = call(gateway).await;
    assert_eq!(response.status, status, "{}\n{}", response.text(), gateway.process.lines().join("\n"));
}

/// The replicas of `one` that are well, as `/readyz` sees them.
pub async fn well(gateway: &Gateway) -> usize {
    let readiness = gateway.readiness().await;
    let replicas = readiness["upstreams"]["one"]["replicas"].as_object().cloned().unwrap_or_default();
    replicas.values().filter(|well| **well == true).count()
}

pub async fn until_well(gateway: &Gateway, count: usize) {
    let what = format!("{count} replicas are well");
    wait_until(&what, PATIENCE, async || (well(gateway).await == count).then_some(())).await;
}

/// The names of the tools of `endpoint`, from all pages of the list.
pub async fn names(gateway: &Gateway, endpoint: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut params = json!({});
    loop {
        let list = gateway.send(&modern(endpoint, "tools/list", params).bearer(&ana())).await.message();
        let tools = list["result"]["tools"].as_array().cloned().unwrap_or_default();
        names.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        match list["result"]["nextCursor"].as_str() {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return names,
        }
    }
}

pub async fn until_named(gateway: &Gateway, endpoint: &str, expected: &[&str]) {
    let what = format!("{endpoint} shows {expected:?}");
    wait_until(&what, PATIENCE, async || (names(gateway, endpoint).await == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_spread_over_all_replicas() {
    let (one, two) = (recorder().await, recorder().await);
    let gateway = before(&[&one, &two]).start().await;
    until_well(&gateway, 2).await;
    for _ in 0..20 {
        expect(&gateway, 200).await;
    }
    assert_eq!(one.calls().len() + two.calls().len(), 20);
    assert!(one.calls().len().min(two.calls().len()) >= 5, "{} and {}", one.calls().len(), two.calls().len());
}

/// By the calls alone: the health check is too rare to help.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_another_replica_lives() {
    let (one, mut two) = (recorder().await, recorder().await);
    let gateway = before(&[&one, &two]).upstream("one", "health_interval", json!("1h")).start().await;
    until_well(&gateway, 2).await;
    two.stop().await;
    let since = Instant::now();
    for _ in 0..20 {
        expect(&gateway, 200).await;
    }
    assert_eq!(one.calls().len(), 20);
    assert_eq!(two.calls().len(), 0);
    let (well, metrics) = (well(&gateway).await, gateway.metrics().await);
    let gauge = |url: &str, value| {
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        metrics.lines().any(|line| line.contains("replica=") && line.contains(address) && line.ends_with(value))
    };
    let is_ejected = well == 1 && gauge(&one.url(), " 1") && gauge(&two.url(), " 0");
    assert!(is_ejected || since.elapsed() >= EJECTION, "{well} are well\n{metrics}");
    two.resume().await;
    let back = async || {
        expect(&gateway, 200).await;
        (!two.calls().is_empty()).then_some(())
    };
    wait_until("the replica gets calls again", PATIENCE, back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_fails_its_health_check_gets_no_call_until_it_passes() {
    let (one, two) = (recorder().await, recorder().await);
    let gateway = before(&[&one, &two]).upstream("one", "health", json!("/health")).start().await;
    until_well(&gateway, 2).await;
    two.behave(|seen| (seen.path == "/health").then(|| Answer::nothing(500)));
    until_well(&gateway, 1).await;
    for _ in 0..10 {
        expect(&gateway, 200).await;
    }
    assert_eq!((one.calls().len(), two.calls().len()), (10, 0));
    two.behave(|_| None);
    until_well(&gateway, 2).await;
    for _ in 0..10 {
        expect(&gateway, 200).await;
    }
    assert!(!two.calls().is_empty());
    let check = two.seen().into_iter().find(|seen| seen.path == "/health").unwrap();
    assert!(two.url().contains(check.header("host").unwrap()), "each replica is asked in its own name");
}

/// Neither a check that hangs nor one whose answer never ends keeps the others waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_is_over_in_time() {
    let (one, two) = (recorder().await, recorder().await);
    let setup = before(&[&one, &two]).upstream("one", "health", json!("/health"));
    let gateway = setup.upstream("one", "connect_timeout", json!("300ms")).start().await;
    until_well(&gateway, 2).await;
    one.behave(|seen| (seen.path == "/health").then(|| Answer::new(200, "text/plain", Body::Silent)));
    until_well(&gateway, 1).await;
    one.behave(|seen| (seen.path == "/health").then(|| Answer::new(200, "text/plain", Body::Gated(vec![vec![0]]))));
    until_well(&gateway, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_speaks_http_2_where_the_upstream_does() {
    let one = recorder().await;
    let setup = before(&[&one]).upstream("one", "health", json!("/health"));
    let gateway = setup.upstream("one", "http", json!("http2")).start().await;
    let checked = async || (one.seen().iter().filter(|seen| seen.path == "/health").count() > 3).then_some(());
    wait_until("it is checked", PATIENCE, checked).await;
    assert_eq!(well(&gateway).await, 1);
    assert!(one.seen().iter().all(|seen| seen.version == Version::Http2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_dead_is_told_of_at_once_and_needs_no_restart() {
    let (mut one, mut two) = (recorder().await, recorder().await);
    let gateway = before(&[&one, &two]).start().await;
    until_well(&gateway, 2).await;
    one.stop().await;
    two.stop().await;
    let start = Instant::now();
    expect(&gateway, 502).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let row = gateway.ended_call(|row| row["status"] == 502).await;
    assert_eq!(row["error"], "upstream_unavailable", "{row:?}");
    until_well(&gateway, 0).await;
    expect(&gateway, 502).await;
    two.resume().await;
    let back = async || (call(&gateway).await.status == 200).then_some(());
    wait_until("calls are served again", PATIENCE, back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_stand_for_several_addresses() {
    let one = recorder().await;
    let url = one.url().replace("127.0.0.1", "localhost");
    let gateway = before(&[]).replicas("one", &[url]).start().await;
    until_named(&gateway, "one", &["echo"]).await;
    for _ in 0..4 {
        expect(&gateway, 200).await;
    }
    assert!(one.calls()[0].header("host").unwrap().starts_with("localhost:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_is_given_up_and_its_place_is_free_again() {
    for http in ["http1", "http2"] {
        let one = recorder().await;
        let policy = POLICY.replace("concurrency: 40", "concurrency: 1");
        let setup = Setup { policy, ..before(&[&one]).upstream("one", "http", json!(http)) };
        let gateway = setup.upstream("one", "timeout", json!("2s")).start().await;
        until_named(&gateway, "one", &["echo"]).await;
        one.answer(Answer::new(200, "application/json", Body::Silent));
        expect(&gateway, 504).await;
        wait_until("the upstream is let go", PATIENCE, async || one.calls()[0].abandoned.then_some(())).await;
        let row = gateway.ended_call(|row| row["status"] == 504).await;
        assert_eq!(row["error"], "upstream_timeout", "{row:?}");
        one.answer(Answer::text("fine"));
        expect(&gateway, 200).await;
        assert_eq!(one.calls().len(), 2, "nothing is sent twice");
    }
}

/// Each read is in time, and the whole is not.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_drips_is_given_up_as_a_silent_one_is() {
    for http in ["http1", "http2"] {
        let one = recorder().await;
        let setup = before(&[&one]).upstream("one", "http", json!(http));
        let gateway = setup.upstream("one", "timeout", json!("2s")).start().await;
        until_named(&gateway, "one", &["echo"]).await;
        one.answer(Answer::new(200, "application/json", Body::Gated(vec![b" ".to_vec(); 10_000])));
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                one.release();
            }
        };
        let start = Instant::now();
        tokio::select! {
            () = drip => {}
            () = expect(&gateway, 504) => {}
        }
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_ends_with_an_error() {
    for http in ["http1", "http2"] {
        let one = recorder().await;
        let setup = before(&[&one]).upstream("one", "http", json!(http));
        let gateway = setup.upstream("one", "timeout", json!("2s")).start().await;
        until_named(&gateway, "one", &["echo"]).await;
        let news = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"news"}}"#;
        let event = format!("data: {news}\n\n").into_bytes();
        one.answer(Answer::new(200, "text/event-stream", Body::Gated(vec![event.clone(), event])));
        one.release();
        let response = call(&gateway).await;
        assert_eq!(response.status, 200);
        let messages = response.messages();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert_eq!((&messages[1]["id"], &messages[1]["error"]["code"]), (&json!(1), &json!(-31504)), "{messages:?}");
        let row = gateway.ended_call(|row| row["error"] == "upstream_timeout").await;
        assert_eq!(row["outcome"], "failed", "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_last_longer_than_a_silence_may() {
    let one = recorder().await;
    let gateway = before(&[&one]).upstream("one", "timeout", json!("5s")).start().await;
    until_named(&gateway, "one", &["echo"]).await;
    let news = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"news"}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"resultType":"complete"}}"#;
    let mut events = vec![format!("data: {news}\n\n").into_bytes(); 29];
    events.push(format!("data: {answer}\n\n").into_bytes());
    one.answer(Answer::new(200, "text/event-stream", Body::Gated(events)));
    let feed = async {
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            one.release();
        }
    };
    let ((), response) = tokio::join!(feed, call(&gateway));
    assert_eq!(response.messages().len(), 30, "{}", response.text());
    assert_eq!(response.message()["id"], 1);
}

/// What a status of the upstream's becomes, and whether its body is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_passed_on_where_the_caller_can_use_it() {
    let (one, elsewhere) = (recorder().await, recorder().await);
    let gateway = before(&[&one]).start().await;
    let body = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-31000,"message":"from the upstream"}}"#;
    let kept = [(400, 400), (402, 402), (404, 404), (429, 429)];
    let replaced =
        [201, 202, 204, 301, 302, 307, 308, 401, 403, 500, 501, 502, 503, 504, 599].map(|status| (status, 502));
    for (status, expected) in kept.into_iter().chain(replaced) {
        let mut answer = Answer { status, ..Answer::json(body) };
        if status == 204 {
            answer.body = Body::Pieces(Vec::new());
        }
        answer.headers.push(("location".into(), elsewhere.url()));
        one.answer(answer);
        let response = call(&gateway).await;
        assert_eq!(response.status, expected, "{status}: {}", response.text());
        assert_eq!(response.text().contains("from the upstream"), expected != 502, "{status}: {}", response.text());
        assert_eq!(response.message()["id"], 1, "{status}");
        assert_eq!(response.header("location"), None, "{status}");
    }
    assert!(elsewhere.seen().is_empty(), "no redirect is followed");
    assert_eq!(one.calls().len(), kept.len() + replaced.len(), "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_share_a_connection_over_http_2() {
    let one = recorder().await;
    let gateway = before(&[&one]).upstream("one", "http", json!("http2")).start().await;
    expect(&gateway, 200).await;
    one.answer(Answer::new(200, "application/json", Body::Gated(vec![body_of(1)])));
    let calls = futures::future::join_all((0..20).map(|_| call(&gateway)));
    let release = async {
        wait_until("all calls are there", PATIENCE, async || (one.calls().len() == 21).then_some(())).await;
        (0..20).for_each(|_| one.release());
    };
    let (responses, ()) = tokio::join!(calls, release);
    assert!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    let connections: std::collections::BTreeSet<_> = one.calls().iter().map(|seen| seen.connection).collect();
    // Calls that come while the connection is just given back may open another one.
    assert!(connections.len() < 10, "{} connections for 21 calls, 20 of them at once", connections.len());
}

pub fn body_of(id: u64) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"resultType":"complete"}}}}"#).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_broken_off_is_told_of_once_and_sent_once() {
    for http in ["http1", "http2"] {
        let (one, two) = (recorder().await, recorder().await);
        let gateway = before(&[&one, &two]).upstream("one", "http", json!(http)).start().await;
        until_well(&gateway, 2).await;
        expect(&gateway, 200).await;
        expect(&gateway, 200).await;
        for body in [Body::Closed, Body::Broken(b"{\"jsonrpc\":".to_vec())] {
            let before = one.calls().len() + two.calls().len();
            one.answer(Answer::new(200, "application/json", body.clone()));
            two.answer(Answer::new(200, "application/json", body));
            expect(&gateway, 502).await;
            assert_eq!(one.calls().len() + two.calls().len(), before + 1, "{http}");
        }
    }
}

/// The upstream's end of an idle connection is noticed before the connection is used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_upstream_has_closed_costs_no_call() {
    let one = recorder().await;
    let gateway = before(&[&one]).upstream("one", "health_interval", json!("1h")).start().await;
    one.answer(Answer::new(200, "application/json", Body::Parting(body_of(1))));
    let mut connection = Connection::open(gateway.authority(), Version::Http1).await;
    for round in 1..=30 {
        let request = modern_call("one", "echo", &json!({})).bearer(&ana());
        let response = connection.exchange(&request).await.unwrap();
        assert_eq!(response.status, 200, "round {round}: {}", response.text());
        assert_eq!(one.calls().len(), round);
        let gone = async || one.calls().last().is_some_and(|last| one.has_ended(last.connection)).then_some(());
        wait_until("the upstream has closed", PATIENCE, gone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_restarts_between_calls_costs_no_call() {
    for http in ["http1", "http2"] {
        let mut one = recorder().await;
        let setup = before(&[&one]).upstream("one", "http", json!(http));
        let gateway = setup.upstream("one", "health_interval", json!("1h")).start().await;
        for round in 1..=20 {
            let mut response = call(&gateway).await;
            // The end of an HTTP/2 connection is noticed by a task of its own, which may be late on a busy machine.
            if http == "http2" && response.status == 502 {
                assert_eq!(one.calls().len(), round - 1, "what failed was not taken");
                response = call(&gateway).await;
            }
            assert_eq!(response.status, 200, "{http} {round}: {}", response.text());
            assert_eq!(one.calls().len(), round, "{http}");
            one.stop().await;
            one.resume().await;
        }
    }
}
