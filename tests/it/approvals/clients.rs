//! The official SDKs' clients go through an approval from end to end. The human's part is played by the client's own handler,
//! which takes the link it is shown and decides over the admin API with another person's token.

use super::{OLLI, POLICY, Scene, dana, scene, text};
use crate::support::peers;
use serde_json::json;

async fn approved_by(client: &str, mode: &str, is_asked: bool) {
    let scene: Scene = scene(POLICY).await;
    let deciding = json!({"admin": scene.gateway.ready.admin, "token": OLLI.token(&scene.gateway), "page": is_asked});
    let script = json!({"call": "erase", "arguments": {"id": 1}, "deciding": deciding});
    let said = peers::ask(client, scene.gateway.endpoint("crm"), mode, &dana(), &script).await;
    assert_eq!(text(&json!({ "result": said["result"] })), "fine", "{client} {mode}: {said}");
    assert_eq!(said["asked"], is_asked, "{client} {mode}: {said}");
    assert_eq!(scene.upstream.calls().len(), 1, "{client} {mode}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_opens_the_page_and_goes_on() {
    approved_by("approved.mjs", "modern", true).await;
    approved_by("approved.mjs", "legacy", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_opens_the_page_and_goes_on() {
    approved_by("approved.py", "2026-07-28", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_open_no_page_call_again() {
    approved_by("approved.mjs", "modern", false).await;
    approved_by("approved.mjs", "legacy", false).await;
    approved_by("approved.py", "2026-07-28", false).await;
    approved_by("approved.py", "legacy", false).await;
}
