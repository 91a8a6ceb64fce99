//! The same edge over HTTP/2, whose framing the library guards: what is left to us is bounds, time and names.

use super::Bench;
use crate::support::http::{Connection, Request, Version};
use crate::support::process::PATIENCE;
use h2::client::SendRequest;
use serde_json::json;
use tokio::time::timeout;

async fn connect(bench: &Bench) -> (SendRequest<bytes::Bytes>, String) {
    match Connection::open(bench.gateway.authority(), Version::Http2).await {
        Connection::Http2(sender, authority) => (sender, authority),
        Connection::Http1(..) => panic!("not HTTP/2"),
    }
}

/// Sends `request` with `body` but does not say that it has ended; the status of the answer, or an error.
async fn unended(bench: &Bench, request: &Request, body: Vec<u8>) -> Result<u16, h2::Error> {
    let (sender, authority) = connect(bench).await;
    let head = request.to_http2(&authority);
    let (answer, mut upload) = sender.ready().await?.send_request(head, false)?;
    upload.send_data(body.into(), false)?;
    let answer = timeout(PATIENCE, answer).await.expect("an answer")?;
    Ok(answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_requests_have_the_same_bounds() {
    let bench = Bench::start(json!({"body_deadline": "1s", "header_bytes": "16KiB"})).await;
    let large = vec![b'x'; 200_000];
    assert_eq!(unended(&bench, &bench.call(), large).await.unwrap(), 413);
    assert_eq!(unended(&bench, &bench.call(), b"{".to_vec()).await.unwrap(), 408);
    assert_eq!(unended(&bench, &bench.call().header("x-large", &"y".repeat(20_000)), Vec::new()).await.unwrap(), 431);
    assert_eq!(unended(&bench, &bench.call().without("authorization"), Vec::new()).await.unwrap(), 401);
    assert_eq!(unended(&bench, &bench.call().header("content-length", "999999999"), Vec::new()).await.unwrap(), 413);
    let (sender, _) = connect(&bench).await;
    let foreign = bench.call().to_http2("evil.example");
    let (answer, _upload) = sender.ready().await.unwrap().send_request(foreign, false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 403);
    assert_eq!(bench.upstream.calls().len(), 0);
    let calls = bench.gateway.ended_calls(6, |_| true).await;
    let labels: Vec<_> = calls.iter().map(|call| call["error"].as_str().unwrap()).collect();
    let expected = [
        "payload_too_large",
        "request_timeout",
        "header_too_large",
        "unauthenticated",
        "payload_too_large",
        "foreign_host",
    ];
    assert_eq!(labels, expected);
}

/// RFC 9113 section 8.1.1: a body of another length than announced is no body.
#[tokio::test(flavor = "multi_thread")]
async fn an_http2_body_of_another_length_is_not_run() {
    let bench = Bench::start(json!({})).await;
    let length = bench.call().body.len();
    for wrong in [length - 1, length + 1] {
        let request = bench.call().header("content-length", &wrong.to_string());
        let answer = Connection::open(bench.gateway.authority(), Version::Http2).await.exchange(&request).await;
        assert!(answer.is_err() || answer.as_ref().is_ok_and(|answer| answer.status == 400), "{answer:?}");
    }
    let two_hosts = bench.call().header("host", "evil.example");
    let answer = Connection::open(bench.gateway.authority(), Version::Http2).await.exchange(&two_hosts).await;
    assert!(answer.is_err() || answer.as_ref().is_ok_and(|answer| answer.status == 400), "{answer:?}");
    assert_eq!(bench.upstream.calls().len(), 0);
    assert_eq!(bench.gateway.send(&bench.call()).await.status, 200);
}
