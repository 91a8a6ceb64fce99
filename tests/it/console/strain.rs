//! What one person, or somebody whom nobody knows, can do to the rest of the operators' side; and what a tail misses: nothing.

use super::{AUDIENCE, World, logged_in, token};
use crate::support::events::Events;
use crate::support::http::Request;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw::Connection;
use crate::support::tokens;
use serde_json::json;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_where_the_page_or_the_connection_ended() {
    let world = World::plain().await;
    let (caller, ana) = (tokens::token("dan", &["developer"]), token("ana", &["oncall"]));
    let calls = async |count: usize| {
        assert_eq!(world.gateway.modern_call("crm", &caller, "get", &json!({})).await.status, 200);
        world.gateway.ended_calls(count, |row| row["subject"] == "dan").await;
    };
    calls(1).await;
    let cookie = logged_in(&world, &ana).await;
    let page = world.ask(&Request::get("/audit?user=dan").header("cookie", &cookie)).await.text();
    let stream = page.split("data-stream=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    calls(2).await;
    let path = stream.replace("/audit/tail", "/api/audit/tail");
    let follow = async |request: Request| Events::open(world.gateway.admin(), &request.bearer(&ana)).await;
    let mut tail = follow(Request::get(&path)).await;
    let missed = tail.next().await.unwrap();
    assert_eq!((&missed["subject"], &missed["tool"]), (&json!("dan"), &json!("crm.get")), "{path}");
    drop(tail);
    calls(3).await;
    let mut again = follow(Request::get(&path).header("last-event-id", &missed["seq"].to_string())).await;
    let next = again.next().await.unwrap();
    assert_eq!(next["subject"], "dan");
    assert!(next["seq"].as_i64() > missed["seq"].as_i64(), "no row comes twice: {next}");
    assert_eq!(world.ask(&Request::get("/api/audit?after=1").bearer(&ana)).await.status, 400);
    assert_eq!(world.ask(&Request::get("/api/audit/tail?after=x").bearer(&ana)).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_can_not_watch_in_everybodys_place() {
    let world = World::plain().await;
    let (eve, ana) = (token("eve", &["developer"]), token("ana", &["oncall"]));
    let admin = world.gateway.admin();
    let tail = async |who: &str| Events::open(admin, &Request::get("/api/audit/tail").bearer(who)).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(tail(&eve).await);
    }
    assert!(held.iter().all(|stream| stream.status == 200));
    assert_eq!(tail(&eve).await.status, 429);
    assert_eq!(tail(&ana).await.status, 200, "others watch all the same");
    let cookie = logged_in(&world, &eve).await;
    let changes = Request::get("/approvals/changes").header("cookie", &cookie);
    assert_eq!(Events::open(admin, &changes).await.status, 200, "and she sees approvals change");
    drop(held);
    let free = async || (tail(&eve).await.status == 200).then_some(());
    wait_until("streams that were left give their places back", PATIENCE, free).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_the_gateway_is_can_not_be_asked_by_its_public_name() {
    let console = json!({"audiences": [AUDIENCE], "public_url": "https://console.example.com"});
    let world = World::start(console, &[], |setup| setup).await;
    let ask = async |path: &str, host: &str| world.ask(&Request::get(path).header("host", host)).await.status;
    for path in ["/metrics", "/readyz"] {
        assert_eq!(ask(path, "console.example.com").await, 404, "{path}");
        assert_eq!(ask(path, "127.0.0.1:9000").await, 200, "{path}");
    }
    assert_eq!(ask("/healthz", "console.example.com").await, 200);
    assert_eq!(ask("/login", "console.example.com").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_say_what_is_wanted_is_not_waited_for() {
    let world = World::plain().await;
    let head = async {
        let mut slow = Connection::open(world.gateway.admin()).await;
        slow.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        // Either there is an answer that says so, or there is none; in both cases it ends.
        timeout(PATIENCE, slow.read_body(&[], true)).await.expect("the connection ends").unwrap_or_default();
    };
    let body = async {
        let mut slow = Connection::open(world.gateway.admin()).await;
        let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000";
        let request = format!("POST /login/token HTTP/1.1\r\nHost: localhost\r\n{form}\r\n\r\ntoken=");
        slow.send(request.as_bytes()).await.unwrap();
        timeout(PATIENCE, slow.read_response()).await.expect("an answer").unwrap().status
    };
    let ((), status) = tokio::join!(head, body);
    assert_eq!(status, 408);
}
