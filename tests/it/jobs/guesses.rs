//! Ids that are guessed (abuse case 156): whoever names too many that are not theirs is not answered for a while, caller or
//! operator, and it shows.

use super::admin::{self, operator};
use super::stage::{World, ana, ask, hand_in, poll, until};
use crate::support::http::Request;
use crate::support::tokens::token;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_ids_is_not_answered_for_a_while_and_nobody_else_suffers() {
    let world = World::new().await;
    let gateway = admin::setup(&world)
        .with("edge", json!({"wrong_ids": "3/h"}))
        .with("jobs", json!({"lease": "1m"}))
        .start()
        .await;
    let id = hand_in(&gateway, "etl.run", &json!({})).await;
    until(&gateway, &id, &["done"]).await;
    let bob = token("bob", &["runner"]);
    let none = format!("job_{}", "0".repeat(32));
    assert_eq!(ask(&gateway, &bob, &id).await.status, 404, "it is not his");
    assert_eq!(ask(&gateway, &bob, &none).await.status, 404);
    let polled = poll(&gateway, &bob, &json!({"id": none})).await;
    assert_eq!(polled["error"]["code"], -32602, "{polled}");
    for guess in [&id, &none] {
        let refused = ask(&gateway, &bob, guess).await;
        assert_eq!(refused.status, 429, "{}", refused.text());
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=1200).contains(&wait), "{wait}");
    }
    assert_eq!(poll(&gateway, &bob, &json!({"id": none})).await["error"]["code"], -31429);
    assert_eq!(ask(&gateway, &ana(), &id).await.status, 200, "who names her own is answered");
    assert_eq!(gateway.rest_invoke(&bob, "etl.read", &json!({})).await.status, 200, "he may do all else");
    let rows = gateway.ended_calls(3, |row| row["error"] == "too_many_wrong_ids").await;
    assert!(rows.iter().all(|row| row["subject"] == "bob" && row["outcome"] == "refused"), "{rows:?}");

    let olga = operator("manager").sign();
    let paths =
        [format!("/api/jobs/{none}"), format!("/api/approvals/{}", "0".repeat(32)), "/api/jobs?before=x".into()];
    for path in &paths {
        assert_eq!(admin::ask(&gateway, &olga, "GET", path).await.status, 404, "{path}");
    }
    for path in [&paths[0], &paths[1], &format!("/api/jobs/{id}")] {
        let refused = admin::ask(&gateway, &olga, "GET", path).await;
        assert!(refused.status == 429 && refused.header("retry-after").is_some(), "{path}: {}", refused.text());
    }
    assert_eq!(admin::ask(&gateway, &olga, "GET", "/api/jobs").await.status, 200, "lists are hers all the same");
    let rows = gateway.ended_calls(3, |row| row["error"] == "unknown_id").await;
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows.iter().all(|row| row["subject"] == "olga" && row["client"] == "127.0.0.1"), "{rows:?}");
    let metrics = gateway.metrics().await;
    for series in [
        r#"{result="unknown",side="caller"} 3"#,
        r#"{result="refused",side="caller"} 3"#,
        r#"{result="unknown",side="operator"} 3"#,
        r#"{result="refused",side="operator"} 3"#,
    ] {
        assert!(metrics.contains(&format!("portcullis_wrong_ids_total{series}\n")), "{series} in {metrics}");
    }
    let foreign = Request::get(&format!("/jobs/{id}")).bearer(&bob);
    assert_eq!(gateway.send(&foreign).await.status, 429, "by whichever way");
}
