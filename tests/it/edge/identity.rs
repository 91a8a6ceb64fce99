//! Who calls is said by the gateway alone, to the upstream and in the trace.

use super::Bench;
use crate::support::gateway::GATEWAY_SECRET;
use crate::support::upstream::Answer;
use serde_json::{Value, json};

/// A stranger's body is not read, so its connection can't go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_before_the_body_is_read() {
    let bench = Bench::start(json!({})).await;
    let without = bench.call().without("authorization").to_http1(bench.gateway.authority());
    let wrong = bench.call().bearer("x").to_http1(bench.gateway.authority());
    let label = Some("unauthenticated");
    bench.refuses(vec![(without, 401, label), (wrong, 401, label)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateway_says_who_calls() {
    let bench = Bench::start(json!({})).await;
    let mut request = bench.call();
    let spoofed = [
        ("X-User-ID", "root"),
        ("x-user-id", "root"),
        ("X_User_ID", "root"),
        ("X-User-Roles", "admin"),
        ("X-Tenant", "other"),
        ("X-Gateway-Auth", "guess"),
        ("X-Request-ID", "mine"),
        ("Cookie", "session=1"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "evil"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("Baggage", "a=b"),
        ("Tracestate", "a=b"),
        ("Connection", "X-User-ID, X-Gateway-Auth"),
        ("TE", "trailers"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Mcp-Session-Id", "stolen"),
        ("Last-Event-ID", "7"),
        ("Accept-Encoding", "gzip, br"),
        ("X-Secret", "1"),
    ];
    request.headers.extend(spoofed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut answer = Answer::text("fine");
    let set =
        [("Set-Cookie", "a=b"), ("X-User-ID", "root"), ("Server", "old"), ("X-Request-ID", "theirs"), ("Link", "x")];
    answer.headers.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
    bench.upstream.answer(answer);
    let response = bench.gateway.send(&request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-request-id", "x-trace-id", "content-type", "content-length", "date", "connection"]);
    assert_ne!(response.header("x-request-id"), Some("theirs"));
    let seen = bench.upstream.calls().pop().unwrap();
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "traceparent",
        "x-gateway-auth",
        "x-request-id",
        "x-user-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(seen.header("x-user-id"), Some("ana"));
    assert_eq!(seen.header("x-gateway-auth"), Some(GATEWAY_SECRET));
    assert_eq!(seen.header("x-request-id"), response.header("x-request-id"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert!(seen.header("traceparent").unwrap().contains(response.header("x-trace-id").unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_trace_is_not_taken_over() {
    let bench = Bench::start(json!({})).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let good = format!("00-{trace}-00f067aa0ba902b7-01");
    let response = bench.gateway.send(&bench.call().header("traceparent", &good)).await;
    assert_eq!(response.header("x-trace-id"), Some(trace));
    let upper = good.to_ascii_uppercase();
    let long = format!("{good}-{}", "a".repeat(9000));
    for odd in ["", "00", &upper, &long, &good[..54], "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let response = bench.gateway.send(&bench.call().header("traceparent", odd)).await;
        assert_eq!(response.status, 200, "{odd}");
        let ours = response.header("x-trace-id").unwrap();
        assert!(ours != trace && ours.len() == 32, "{odd}");
        assert_eq!(bench.upstream.calls().pop().unwrap().header("traceparent").unwrap().len(), 55);
    }
}

/// The message carries the context of a trace as well (SEP-414): its span becomes ours, and nothing else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_message_is_taken_over_and_its_baggage_is_not() {
    let bench = Bench::start(json!({})).await;
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    for (theirs, taken) in [(format!("00-{trace}-{span}-01"), true), ("00-odd".to_owned(), false)] {
        let mut call = bench.call();
        let mut message: Value = serde_json::from_slice(&call.body).unwrap();
        let meta = &mut message["params"]["_meta"];
        (meta["traceparent"], meta["tracestate"], meta["baggage"]) = (json!(theirs), json!("a=b"), json!("user=ana"));
        call.body = message.to_string().into_bytes();
        let response = bench.gateway.send(&call).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let ours = response.header("x-trace-id").unwrap().to_owned();
        assert_eq!(ours == trace, taken);
        let seen = bench.upstream.calls().pop().unwrap();
        let meta = seen.json()["params"]["_meta"].clone();
        assert_eq!(meta["traceparent"], seen.header("traceparent").unwrap(), "{meta}");
        let told = meta["traceparent"].as_str().unwrap();
        assert!(told.contains(&ours) && !told.contains(span), "{told}");
        assert!(meta.get("baggage").is_none() && meta.get("tracestate").is_none(), "{meta}");
        let row = bench.gateway.ended_call(|row| row["trace_id"] == json!(ours)).await;
        assert_eq!(row["outcome"], "ok");
    }
}
