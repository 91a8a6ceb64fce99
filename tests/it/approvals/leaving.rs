//! Clients that leave while people are asked within the call (`wait`).

use super::{POLICY, Scene, dana, erase, setup, text, upstream};
use crate::support::http::{Connection, Version};
use crate::support::process::{PATIENCE, wait_until};
use serde_json::json;

/// A policy whose calls wait for longer than any test.
fn waiting() -> String {
    POLICY.replace("ttl: 10m", "ttl: 10m, wait: 1m")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_place_back_and_people_are_still_asked() {
    for version in [Version::Http1, Version::Http2] {
        let upstream = upstream().await;
        let gateway = setup(&upstream, &waiting()).with("edge", json!({"calls": 1})).start().await;
        let scene = Scene { upstream, gateway };
        let call = erase(&dana(), &json!({"id": 1}));
        let mut connection = Connection::open(scene.gateway.authority(), version).await;
        let approval = tokio::select! {
            answer = connection.exchange(&call) => panic!("it is not to be answered: {answer:?}"),
            id = scene.pending() => id,
        };
        // Over HTTP/2 the stream alone is reset by what is dropped here, and the connection stays.
        let kept = (version == Version::Http2).then_some(connection);
        let row = scene.gateway.ended_call(|row| row["error"] == "client_gone").await;
        assert_eq!((&row["outcome"], &row["approval_id"]), (&json!("cancelled"), &json!(approval)), "{row:?}");
        assert_eq!(row["termination"], "client_closed", "{row:?}");
        assert_eq!(scene.show(&approval).await["state"], "pending", "people are still asked");
        assert!(scene.upstream.calls().is_empty());
        scene.approve(&approval).await;
        // Its place is free: there is but one.
        assert_eq!(text(&scene.call(&call).await), "fine");
        assert_eq!(scene.upstream.calls().len(), 1);
        drop(kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stays_is_answered_within_its_call() {
    let upstream = upstream().await;
    let gateway = setup(&upstream, &waiting()).start().await;
    let scene = Scene { upstream, gateway };
    for version in [Version::Http1, Version::Http2] {
        let call = erase(&dana(), &json!({"version": format!("{version:?}")}));
        let mut connection = Connection::open(scene.gateway.authority(), version).await;
        let decided = async { scene.approve(&scene.pending().await).await };
        let (answer, ()) = tokio::join!(connection.exchange(&call), decided);
        assert_eq!(text(&answer.unwrap().message()), "fine");
        let again = connection.exchange(&erase("nobody", &json!({}))).await;
        assert_eq!(again.unwrap().status, 401, "the connection is good for more");
    }
}

impl Scene {
    /// The id of the approval that is pending, once there is one.
    async fn pending(&self) -> String {
        wait_until("people are asked", PATIENCE, async || {
            let token = super::OLLI.token(&self.gateway);
            let listed = self.api("GET", "/api/approvals?state=pending", &token, json!(null)).await.message();
            listed["approvals"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    }
}
