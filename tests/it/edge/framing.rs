//! Requests that two readers could take for two different ones: where they end and where they want to go.

use super::{Bench, CHUNKED, END};
use crate::support::gateway::modern_call;
use crate::support::http::Request;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_end_could_be_read_in_two_ways_is_refused() {
    let bench = Bench::start(json!({})).await;
    let body = bench.call().body;
    let length = format!("Content-Length: {}\r\n", body.len());
    let chunks = [format!("{:x}\r\n", body.len()).as_bytes(), &body, END.as_bytes()].concat();
    let (ours, theirs) = (Some("bad_request"), None);
    let mut attacks = Vec::new();
    for (fields, label) in [
        (format!("{length}{CHUNKED}"), ours),
        (format!("{CHUNKED}{length}"), ours),
        (format!("{CHUNKED}{CHUNKED}"), ours),
        ("Transfer-Encoding: gzip, chunked\r\n".into(), ours),
        (format!("Transfer-Encoding: identity\r\n{CHUNKED}"), ours),
        ("Transfer-Encoding: xchunked\r\n".into(), theirs),
        ("Transfer-Encoding: chunked;q=1\r\n".into(), theirs),
        ("Transfer-Encoding : chunked\r\n".into(), theirs),
        ("Transfer-Encoding: \x0bchunked\r\n".into(), theirs),
    ] {
        attacks.push((bench.framed(&fields, &chunks), 400, label));
    }
    let n = body.len();
    for (fields, label) in [
        (format!("Content-Length: {n}, {n}\r\n"), ours),
        (format!("{length}{length}"), ours),
        (format!("Content-Length: +{n}\r\n"), theirs),
        (format!("Content-Length: {n:#x}\r\n"), theirs),
        ("Content-Length: 99999999999999999999\r\n".into(), theirs),
        ("Content-Length: \r\n".into(), theirs),
        (format!("X: y\n{length}"), ours),
        (format!("X: y\rz\r\n{length}"), theirs),
        (format!("X: y\0\r\n{length}"), theirs),
        (format!("X: y\r\n z\r\n{length}"), theirs),
    ] {
        attacks.push((bench.framed(&fields, &body), 400, label));
    }
    for (size, end) in [("0xN", END), ("00000000000000000N", END), ("N", "0\r\n\r\n"), ("-1", END)] {
        attacks.push((bench.chunked(size, end), 400, ours));
    }
    // The library reads no size as the last chunk's, so this body is empty.
    attacks.push((bench.chunked("", END), 400, Some("parse_error")));
    bench.refuses(attacks).await;
}

/// What follows the size of a chunk is not shown to us, so it must at least never stand before another request.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_a_body_in_chunks_and_trailers_are_dropped() {
    let bench = Bench::start(json!({})).await;
    let second = String::from_utf8(bench.framed("Content-Length: 0\r\n", b"")).unwrap();
    let trailer = "\r\n0\r\nX-User-ID: root\r\n\r\n";
    for (size, end) in [("N", END), ("N;a=b", END), ("N;a\nb", END), ("N", trailer), ("N", &format!("{END}{second}"))] {
        let response = bench.attack(&bench.chunked(size, end)).await;
        assert_eq!((response.status, response.header("connection")), (200, Some("close")), "{size}");
    }
    let calls = bench.upstream.calls();
    assert_eq!(calls.len(), 5);
    for seen in calls {
        assert_eq!(seen.body, bench.call().body);
        assert_eq!(seen.header("x-user-id"), Some("ana"));
        assert_eq!((seen.header("transfer-encoding"), seen.header("trailer")), (None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_says_in_one_way_where_it_goes() {
    let bench = Bench::start(json!({})).await;
    let (body, host, authority) = (bench.call().body, bench.host(), bench.gateway.authority());
    let length = format!("Content-Length: {}\r\n", body.len());
    let fields = format!("{host}{length}");
    let attack = |line: &str, fields: &str| bench.raw(line, fields, &body);
    let post = "POST /one/mcp HTTP/1.1";
    bench
        .refuses(vec![
            (attack(post, &length), 400, Some("bad_request")),
            (attack(post, &format!("{host}{fields}")), 400, None),
            (attack(post, &format!("Host: evil.example\r\n{length}")), 403, Some("foreign_host")),
            (attack(post, &format!("Host:\r\n{length}")), 403, Some("foreign_host")),
            (attack(post, &format!("{fields}Origin: http://evil.example\r\n")), 403, Some("foreign_origin")),
            (attack(post, &format!("{fields}Origin: null\r\n")), 403, Some("foreign_origin")),
            (attack(&format!("POST http://{authority}/one/mcp HTTP/1.1"), &fields), 400, Some("bad_request")),
            (attack(&format!("POST {authority} HTTP/1.1"), &fields), 400, None),
            (attack("OPTIONS * HTTP/1.1", &fields), 400, None),
            (attack("POST /one/mcp?access_token=x HTTP/1.1", &fields), 400, Some("bad_request")),
            (attack("POST /one/mcp HTTP/1.0", &fields), 400, Some("bad_request")),
            (attack("POST /one/mcp HTTP/2.0", &fields), 400, None),
            (attack(&format!("CONNECT {authority} HTTP/1.1"), &fields), 405, None),
            (attack("GET /one/mcp HTTP/1.1", &fields), 405, Some("method_not_allowed")),
            (attack("DELETE /one/mcp HTTP/1.1", &fields), 405, Some("method_not_allowed")),
            (attack(post, &format!("{fields}Content-Encoding: gzip\r\n")), 415, Some("unsupported_media_type")),
            (attack(post, &format!("{fields}Content-Type: text/plain\r\n")), 415, Some("unsupported_media_type")),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_spelling_of_a_path_leads_anywhere() {
    let bench = Bench::start(json!({})).await;
    let body = bench.call().body;
    let fields = format!("{}Content-Length: {}\r\n", bench.host(), body.len());
    let spellings = [
        "/one/MCP",
        "//one/mcp",
        "/one//mcp",
        "/one/mcp/",
        "/one/mcp;x",
        "/one/%6dcp",
        "/%6fne/mcp",
        "/one%2fmcp",
        "/x/../one/mcp",
        "/x/%2e%2e/one/mcp",
        "/./one/mcp",
        "/one\\mcp",
        "/one/mcp%00",
        "/two/mcp",
        "/mcp",
        "/",
        "/One/mcp",
        "/one/mcp .",
        "/mcp/invoke/",
        "/healthz/one/mcp",
        "/one/mcp%20",
    ];
    let attack = |path: &&str| (bench.raw(&format!("POST {path} HTTP/1.1"), &fields, &body), 404, None);
    bench.refuses(spellings.iter().map(attack).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lives_on_after_what_is_refused_in_order() {
    let bench = Bench::start(json!({})).await;
    let mut connection = bench.connect().await;
    let unknown = modern_call("one", "no_such_tool", &json!({})).bearer(&bench.token);
    let mut mismatch = bench.call();
    mismatch = mismatch.header("mcp-name", "other");
    let mut nonsense = bench.call();
    nonsense.body = b"{".to_vec();
    let requests = [
        (unknown, 200),
        (Request::get("/one/mcp"), 405),
        (Request::get("/nowhere"), 404),
        (Request::get("/healthz"), 200),
        (mismatch, 400),
        (nonsense, 400),
        (Request::get("/.well-known/oauth-protected-resource/one/mcp"), 200),
    ];
    for (request, status) in requests {
        for (request, status) in [(request, status), (bench.call(), 200)] {
            connection.send(&request.to_http1(bench.gateway.authority())).await.unwrap();
            let response = connection.read_response().await.unwrap_or_else(|error| panic!("{error}: {request:?}"));
            assert_eq!(response.status, status, "{request:?}");
            assert_eq!(response.header("connection"), Some("keep-alive"), "{request:?}");
        }
    }
    assert_eq!(bench.upstream.calls().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_after_a_request_is_taken_for_another() {
    let bench = Bench::start(json!({})).await;
    let one = bench.call().to_http1(bench.gateway.authority());
    let upgrade = bench.call().header("upgrade", "websocket").header("connection", "upgrade");
    let upgrade = upgrade.to_http1(bench.gateway.authority());
    let h2c = bench.call().header("upgrade", "h2c").header("connection", "upgrade, http2-settings");
    let h2c = h2c.header("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA").to_http1(bench.gateway.authority());
    for attack in [[one.clone(), one.clone()], [upgrade, one.clone()], [h2c, one]] {
        let before = bench.upstream.calls().len();
        assert_eq!(bench.attack(&attack.concat()).await.status, 200);
        let calls = bench.upstream.calls();
        assert_eq!(calls.len(), before + 1);
        let seen = calls.last().unwrap();
        assert_eq!(seen.body, bench.call().body);
        assert!(["upgrade", "http2-settings"].iter().all(|name| seen.header(name).is_none()), "{seen:?}");
    }
}
