//! What a crash leaves behind, at each step from an approved call to its answer: never two executions, never a lost approval.

use super::stores::Store;
use super::{POLICY, Scene, dana, erase, setup, text, upstream};
use crate::support::gateway::Setup;
use crate::support::http::{Connection, Version};
use serde_json::json;

/// The steps, with how often the call has run once it was made again after the crash, and whether the approval is still good
/// for it.
const STEPS: [(&str, bool); 4] =
    [("redeem.before", true), ("redeem.after", false), ("intent.before", false), ("intent.after", false)];

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_never_runs_a_call_twice() {
    for store in Store::both().await {
        for (round, (step, is_good)) in STEPS.into_iter().enumerate() {
            let upstream = upstream().await;
            let name = format!("crash-{round}");
            let with = |setup: Setup| store.used_by(setup, &name);
            let gateway = with(setup(&upstream, POLICY)).variable("PORTCULLIS_CRASH_AT", step).start().await;
            let mut scene = Scene { upstream, gateway };
            let call = erase(&dana(), &json!({ "round": round }));
            let id = scene.asks(&call).await;
            scene.approve(&id).await;
            let mut connection = Connection::open(scene.gateway.authority(), Version::Http1).await;
            assert!(connection.exchange(&call).await.is_err(), "{step}: there is nobody to answer");
            assert!(!scene.gateway.process.end().await, "{step}");
            assert!(scene.upstream.calls().is_empty(), "{step}");
            scene.gateway = with(setup(&scene.upstream, POLICY)).start().await;
            if is_good {
                assert_eq!(text(&scene.call(&call).await), "fine", "{step}");
                assert_eq!(scene.upstream.calls().len(), 1, "{step}");
            } else {
                assert_ne!(scene.asks(&call).await, id, "{step}: people are asked anew");
                assert!(scene.upstream.calls().is_empty(), "{step}");
            }
            assert_eq!(scene.show(&id).await["state"], "redeemed", "{step}");
            if step == "intent.after" {
                let row = scene.rows(&id).await.pop().unwrap();
                assert_eq!(row["outcome"], "unknown", "{row:?}");
            }
        }
    }
}
