//! Requests and connections that are too large, too slow or too many.

use super::{Bench, CHUNKED, POLICY};
use crate::support::gateway::modern_call;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw::Connection;
use crate::support::tokens::token;
use serde_json::json;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// The answer arrives although much more was sent than is read: the gateway does not reset the connection before.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_with_an_answer_that_arrives() {
    let bench = Bench::start(json!({})).await;
    let large = vec![b'x'; 6 << 20];
    let label = Some("payload_too_large");
    let announced = format!("Content-Length: {}\r\n", large.len());
    let over = vec![b'x'; (64 << 10) + 1];
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    bench
        .refuses(vec![
            (bench.framed(&announced, b""), 413, label),
            (bench.framed(&announced, &large), 413, label),
            (bench.framed(CHUNKED, &chunk(&over)), 413, label),
            (bench.framed(CHUNKED, &chunk(&large)), 413, label),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_in_time_is_refused() {
    let bench = Bench::start(json!({"body_deadline": "1s"})).await;
    let late = Some("request_timeout");
    bench
        .refuses(vec![
            (bench.framed("Content-Length: 9\r\n", b"{"), 408, late),
            (bench.framed(CHUNKED, b"1\r\n{\r\n"), 408, late),
            (bench.framed("Content-Length: 9\r\nExpect: 100-continue\r\n", b""), 408, late),
        ])
        .await;
    let mut connection = bench.connect().await;
    connection.send(&bench.framed("Content-Length: 1000\r\n", b"")).await.unwrap();
    let mut ticks = interval(Duration::from_millis(20));
    let trickle = async {
        while connection.send(b" ").await.is_ok() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, trickle).await.expect("a trickle does not keep it open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_is_told_to_go_on_once_it_is_known() {
    let bench = Bench::start(json!({})).await;
    let body = bench.call().body;
    let fields = format!("Content-Length: {}\r\nExpect: 100-Continue\r\n", body.len());
    let mut connection = bench.connect().await;
    for _ in 0..2 {
        connection.send(&bench.framed(&fields, b"")).await.unwrap();
        assert_eq!(connection.read_response_head().await.unwrap().0, 100);
        connection.send(&body).await.unwrap();
        assert_eq!(connection.read_response().await.unwrap().status, 200);
    }
    let stranger = String::from_utf8(bench.framed(&fields, b"")).unwrap().replace(&bench.token, "x");
    connection.send(stranger.as_bytes()).await.unwrap();
    let (status, headers) = connection.read_response_head().await.unwrap();
    assert_eq!(status, 401);
    assert!(headers.contains(&("connection".into(), "close".into())), "{headers:?}");
    timeout(PATIENCE, connection.closed()).await.unwrap();
    assert_eq!(bench.upstream.calls().len(), 2);
}

/// Who holds many bodies back has the memory for bodies of one principal, not that of all.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_of_one_caller_leave_room_for_those_of_others() {
    let bench = Bench::start_with(json!({}), &POLICY.replace("64KiB", "32MiB")).await;
    let slow = bench.framed(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", 32 << 20), b"");
    let mut held = [bench.connect().await, bench.connect().await];
    for connection in &mut held {
        connection.send(&slow).await.unwrap();
        let (status, _) = connection.read_response_head().await.unwrap();
        assert_eq!(status, 100, "each takes its share");
    }
    assert_eq!(bench.gateway.send(&bench.call()).await.status, 503);
    let other = modern_call("one", "echo", &json!({"value": 1})).bearer(&token("bob", &["tester"]));
    assert_eq!(bench.gateway.send(&other).await.status, 200);
    drop(held);
    wait_until("their share is given back", PATIENCE, async || {
        let answer = bench.gateway.send(&bench.call()).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Sends `bytes` one by one for as long as the other side takes them, then waits for the close.
async fn trickle(mut connection: Connection, bytes: &[u8]) {
    let mut ticks = interval(Duration::from_millis(50));
    for byte in bytes {
        ticks.tick().await;
        if connection.send(&[*byte]).await.is_err() {
            return;
        }
    }
    panic!("all {} bytes were taken", bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed() {
    let bench = Bench::start(json!({"header_deadline": "2s", "keepalive": "1s"})).await;
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    let begun = [PREFACE, SETTINGS].concat();
    let starts: [&[u8]; 7] = [b"", b"P", b"POST /one", b"PRI * HT", &PREFACE[..20], PREFACE, &begun];
    let closed = starts.map(|start| {
        let bench = &bench;
        async move {
            let mut connection = bench.connect().await;
            connection.send(start).await.unwrap();
            let what = String::from_utf8_lossy(start).into_owned();
            timeout(PATIENCE, connection.closed()).await.unwrap_or_else(|_| panic!("{what:?} is kept"));
        }
    });
    let slow = bench.framed(&format!("X: {}\r\n", "y".repeat(4000)), b"");
    let header = async { timeout(PATIENCE, trickle(bench.connect().await, &slow)).await.unwrap() };
    let used = async |then: &[u8]| {
        let mut connection = bench.connect().await;
        connection.send(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        connection.send(format!("{}\r\n", bench.host()).as_bytes()).await.unwrap();
        assert_eq!(connection.read_response().await.unwrap().status, 200);
        if then.is_empty() { connection.closed().await } else { trickle(connection, then).await }
    };
    let used_twice = async { timeout(PATIENCE, async { tokio::join!(used(b""), used(&slow)) }).await.unwrap() };
    tokio::join!(futures::future::join_all(closed), header, used_twice);
    assert_eq!(bench.upstream.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_connections_than_allowed() {
    let bench = Bench::start(json!({"connections": 2})).await;
    let (first, _second) = (bench.connect().await, bench.connect().await);
    // Accepted in order: when this one is closed, the two before have their places.
    timeout(PATIENCE, bench.connect().await.closed()).await.expect("the third is closed");
    drop(first);
    wait_until("a place is free again", PATIENCE, async || {
        let mut connection = bench.connect().await;
        connection.send(&bench.call().to_http1(bench.gateway.authority())).await.ok()?;
        connection.read_response().await.ok().filter(|response| response.status == 200)
    })
    .await;
}
