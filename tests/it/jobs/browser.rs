//! An operator of jobs in Chromium, at a console that is reached over https: logs in by a link, and tries a job once more.

use super::admin::{self, operator};
use super::stage::{World, ana, ask, hand_in, until};
use crate::support::peers::{at_the_jobs, repository};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::upstream::{Answer, Body};
use crate::tls::{Authority, put_before};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn over_https_an_operator_sees_to_jobs_with_a_cookie_that_no_other_page_can_have() {
    let (authority, listener) = (Authority::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    authority.issue("console", "IP:127.0.0.1");
    let url = format!("https://{}", listener.local_addr().unwrap());
    let world = World::new().await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Closed));
    let console = json!({"audiences": [admin::AUDIENCE], "public_url": url});
    let gateway = admin::setup(&world).with("console", console).with("jobs", json!({"lease": "1m"})).start().await;
    put_before(authority.acceptor("console", &["http/1.1"]), listener, gateway.admin().to_owned());
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    until(&gateway, &id, &["needs_review"]).await;
    world.upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let other = hand_in(&gateway, "etl.run", &json!({"number": 2})).await;
    wait_until("the other call is there", PATIENCE, async || (world.upstream.calls().len() == 2).then_some(())).await;
    world.upstream.answer(Answer::text("at last"));

    let folder = repository().join("target/console");
    std::fs::create_dir_all(&folder).unwrap();
    let link = format!("{url}/login?next=/jobs#token={}", operator("manager").sign());
    let seen = at_the_jobs(&link, &id, &folder).await;

    let cookie = json!({
        "name": "__Host-portcullis", "secure": true, "httpOnly": true, "sameSite": "Lax", "domain": "127.0.0.1", "path": "/",
    });
    assert_eq!(seen["cookies"], json!([cookie]), "{seen}");
    assert_eq!(seen["address"], format!("{url}/login?next=/jobs"), "the token is not kept in the address: {seen}");
    assert_eq!((&seen["waiting"], &seen["running"]), (&json!(1), &json!(1)), "{seen}");
    assert!(seen["tool"].as_str().unwrap().contains("etl.run"), "{seen}");
    assert_eq!(seen["after"], json!([]), "logged out: {seen}");
    assert_eq!(ask(&gateway, &ana(), &id).await.message()["state"], "done");
    assert_eq!(ask(&gateway, &ana(), &other).await.message()["state"], "cancelled");
    for (method, id) in [("operator/jobs.requeue", &id), ("operator/jobs.cancel", &other)] {
        let row = gateway.ended_call(|row| row["method"] == method).await;
        assert_eq!((&row["subject"], &row["job_id"]), (&json!("olga"), &json!(id)), "{row:?}");
    }
}
