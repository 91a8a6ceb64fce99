//! Dry runs: whoever decides sees what the call would do, as its read-only twin says, and what must be seen is.

use super::{POLICY, Scene, dana, erase, scene, text};
use crate::support::upstream::Answer;
use serde_json::json;

fn policy(required: bool) -> String {
    let twin = format!("class: destructive, dry_run: crm.drop, dry_run_required: {required}");
    let tools = format!("{{ match: \"crm.erase\", {twin} }}, {{ match: \"crm.drop\", class: read }}");
    let start = POLICY.find("tools: [").unwrap() + "tools: [".len();
    let end = start + POLICY[start..].find("]\n").unwrap();
    let access = "access: [{ roles: [developer], upstreams: [crm], level: read }]";
    format!("{}{tools}]\n{access}{}", &POLICY[..start], &POLICY[end + 1..])
}

fn wants(scene: &Scene) -> Vec<String> {
    scene.upstream.calls().iter().map(|call| call.json()["params"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_decides_sees_what_the_call_would_do() {
    let scene = scene(&policy(true)).await;
    scene.upstream.answer(Answer::text("erases ana@example.com and 3 others"));
    let call = erase(&dana(), &json!({"id": 1}));
    let id = scene.asks(&call).await;
    scene.asks(&call).await;
    assert_eq!(wants(&scene), ["drop"], "once, with the call's arguments");
    assert_eq!(scene.upstream.calls()[0].json()["params"]["arguments"], json!({"id": 1}));
    let shown = scene.show(&id).await;
    let preview = shown["matter"]["preview"].as_str().unwrap();
    assert!(preview.contains("and 3 others") && !preview.contains("ana@example.com"), "{preview}");
    let row = scene.gateway.ended_call(|row| row["tool"] == "crm.drop").await;
    assert_eq!((&row["approval_id"], &row["outcome"], &row["subject"]), (&json!(id), &json!("ok"), &json!("dana")));
    scene.approve(&id).await;
    assert!(text(&scene.call(&call).await).contains("3 others"));
    assert_eq!(wants(&scene), ["drop", "erase"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_without_a_preview_that_must_be_there() {
    for required in [true, false] {
        let scene = scene(&policy(required)).await;
        scene.upstream.answer(Answer::result(&json!({"content": [], "isError": true, "resultType": "complete"})));
        let said = scene.call(&erase(&dana(), &json!({"id": 1}))).await;
        if required {
            assert!(text(&said).contains("needs a preview"), "{said}");
            let row = scene.gateway.ended_call(|row| row["tool"] == "crm.erase").await;
            assert_eq!(row["error"], "approval_without_preview");
            let preview = scene.gateway.ended_call(|row| row["tool"] == "crm.drop").await;
            assert_eq!((&preview["outcome"], &preview["approval_id"]), (&json!("tool_error"), &json!(null)));
        } else {
            let shown = scene.show(&super::asked(&said)).await;
            assert_eq!(shown["matter"]["preview"], "[the preview failed]");
        }
        assert_eq!(wants(&scene), ["drop"]);
    }
}

/// A preview is made within its call, and does not take the place that the call has.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shares_the_place_of_its_call() {
    let scene = scene(&format!("{}limits: [{{ per: [user], concurrency: 1 }}]\n", policy(true))).await;
    let id = scene.asks(&erase(&dana(), &json!({"id": 1}))).await;
    assert_eq!(scene.show(&id).await["matter"]["preview"].as_str().map(|shown| shown.contains("fine")), Some(true));
}
