//! Group G: what is counted, and that places are given back on every way out.

use crate::abuse::stage::{Stage, call, good, with_body};
use crate::support::gateway::{Setup, modern, modern_call};
use crate::support::http::{Connection, Request, Version};
use crate::support::peers::repository;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Answer, Body};
use serde_json::{Value, json};

fn policy(limit: &str) -> String {
    format!(
        r#"
version: 1
roles: {{ developer: {{}} }}
tools: [{{ match: "*.get_*", class: read }}]
access: [{{ roles: [developer], upstreams: ["*"], level: read }}]
limits: [{limit}]
payload: {{ response: 2KiB }}
"#
    )
}

/// 109: looking for what may be called is not free. Lists, calls of what is hidden or does not exist, methods that are not
/// served, and bodies that can't be read all draw on the caller's own budget; what tools they name makes no difference.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_counted_too() {
    let stage = Stage::with(|setup| setup, &policy("{ per: [user], rate: 2/h }")).await;
    let kinds: [(&str, Request); 8] = [
        ("a list", modern("crm", "tools/list", json!({}))),
        ("a sign of life", modern("crm", "server/discover", json!({}))),
        ("a hidden tool", call("delete_customer", &json!({}))),
        ("no tool", call("nowhere", &json!({}))),
        ("no such upstream", modern_call("work", "nowhere.get_customer", &json!({}))),
        ("no such method", modern("crm", "resources/list", json!({}))),
        ("a header that lies", good().header("mcp-name", "other")),
        ("no JSON", with_body("{")),
    ];
    for (place, (kind, request)) in kinds.into_iter().enumerate() {
        let request = request.bearer(&token(&format!("user-{place}"), &["developer"]));
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(stage.gateway.send(&request).await.status);
        }
        assert!(statuses[0] != 429 && statuses[1] != 429 && statuses[2] == 429, "{kind}: {statuses:?}");
    }
    assert_eq!(stage.upstream.calls().len(), 0);
}

/// 106 and 107: neither a new token nor a new connection is a new caller; another issuer's or user's is.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_the_users_own_whatever_token_they_bring() {
    let stage = Stage::with(|setup| setup, &policy("{ per: [user], rate: 3/h }")).await;
    let mut statuses = Vec::new();
    for version in [Version::Http1, Version::Http2, Version::Http1, Version::Http2] {
        let token = Claims::new("ana", &["developer"]).with("jti", json!(statuses.len())).sign();
        let request = good().bearer(&token).header("x-forwarded-for", "203.0.113.9");
        let mut connection = Connection::open(stage.gateway.authority(), version).await;
        statuses.push(connection.exchange(&request).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    let other = good().bearer(&token("anton", &["developer"]));
    assert_eq!(stage.gateway.send(&other).await.status, 200);
    assert_eq!(stage.upstream.calls().len(), 4);
}

/// 113: the burst and the rate bound what passes, however the calls come.
#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_no_way_past_a_rate() {
    let stage = Stage::with(|setup| setup, &policy("{ per: [user], rate: 1/h, burst: 5 }")).await;
    let sends = (0..20).map(|_| async { stage.gateway.send(&good()).await.status });
    let statuses = futures::future::join_all(sends).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5, "{statuses:?}");
    assert_eq!(stage.upstream.calls().len(), 5);
}

/// A place that was not given back would be seen at once: there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_given_back_on_every_way_out() {
    let slow = |setup: Setup| setup.upstream("crm", "timeout", json!("2s"));
    let stage = Stage::with(slow, &policy("{ per: [user], concurrency: 1 }")).await;
    let json = |body| Answer::new(200, "application/json", body);
    let long = "x".repeat(4096);
    let ways = [
        ("closed", json(Body::Closed), 502),
        ("broken", json(Body::Broken(b"{".to_vec())), 502),
        ("silent", json(Body::Silent), 504),
        ("no JSON", Answer::json("oops"), 502),
        ("too large", Answer::text(&long), 502),
        ("an error", Answer { status: 500, ..Answer::json("{}") }, 502),
        ("a stream that breaks off", Answer::events(&[], 1), 200),
    ];
    for (way, answer, status) in ways {
        stage.upstream.answer(answer);
        let response = stage.gateway.send(&good()).await;
        assert_eq!(response.status, status, "{way}: {}", response.text());
        stage.upstream.answer(Answer::text("fine"));
        let free = wait_until(way, PATIENCE, async || {
            let status = stage.gateway.send(&good()).await.status;
            (status == 200).then_some(())
        });
        free.await;
    }
    for request in [call("delete_customer", &json!({})), call("get_customer", &json!({"odd": 1}))] {
        stage.gateway.send(&request).await;
        assert_eq!(stage.gateway.send(&good()).await.status, 200);
    }
}

/// 121: also where the client leaves while the upstream works.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_place_back() {
    let stage = Stage::with(|setup| setup, &policy("{ per: [user], concurrency: 1 }")).await;
    stage.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let authority = stage.gateway.authority().to_owned();
    let client = tokio::spawn(async move {
        let mut connection = Connection::open(&authority, Version::Http1).await;
        connection.exchange(&good()).await
    });
    wait_until("the call is at the upstream", PATIENCE, async || stage.upstream.calls().pop()).await;
    let second = stage.gateway.send(&good()).await;
    assert_eq!((second.status, stage.row(&second).await["error"].as_str()), (429, Some("too_many_at_once")));
    client.abort();
    stage.upstream.answer(Answer::text("fine"));
    wait_until("the place is free", PATIENCE, async || (stage.gateway.send(&good()).await.status == 200).then_some(()))
        .await;
}

/// What is beyond `edge.calls` costs no more than being told so: neither its token nor its body is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_bound_are_told_to_come_back() {
    let one = |setup: Setup| setup.with("edge", json!({"calls": 1}));
    let stage = Stage::with(one, &policy("{ per: [user], concurrency: 9 }")).await;
    stage.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let authority = stage.gateway.authority().to_owned();
    let client = tokio::spawn(async move {
        let mut connection = Connection::open(&authority, Version::Http1).await;
        connection.exchange(&good()).await
    });
    wait_until("the call is at the upstream", PATIENCE, async || stage.upstream.calls().pop()).await;
    for request in [good(), good().bearer("a.b.c"), good().without("authorization")] {
        let response = stage.gateway.send(&request).await;
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{}", response.text());
        let row = stage.row(&response).await;
        assert_eq!((&row["error"], &row["subject"]), (&json!("overloaded"), &Value::Null));
    }
    assert_eq!(stage.gateway.send(&Request::get("/healthz")).await.status, 200);
    client.abort();
    stage.upstream.answer(Answer::text("fine"));
    wait_until("the place is free", PATIENCE, async || (stage.gateway.send(&good()).await.status == 200).then_some(()))
        .await;
    assert_eq!(stage.upstream.calls().len(), 2, "what was refused reached nobody");
}

/// 111: no step of the wall clock refills anybody, since nothing that counts reads it.
#[test]
pub fn no_limit_reads_the_time_of_day() {
    let folder = repository().join("src/store/limits");
    let folders = [folder.clone(), folder.join("local")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files.map(|file| file.unwrap().path()).filter(|file| file.is_file());
    let files: Vec<_> =
        files.chain(["src/pipeline/limit.rs", "src/identity/guard.rs"].map(|file| repository().join(file))).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["SystemTime", "clock::", "Timestamp", "Utc"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}
