//! Policy over prompts and resources, on the wire: what is refused leaves no byte and looks as if it did not exist, and what is
//! said of tools alone is not said of them.

use crate::support::gateway::{Gateway, Setup, modern};
use crate::support::http::Response;
use crate::support::tokens::token;
use crate::support::upstream::{Answer, Speaks, Upstream};
use serde_json::json;

const POLICY: &str = r#"
version: 1
roles: { reader: {}, writer: {} }
rules:
  - { id: docs, effect: allow, roles: [reader], resources: ["crm.file:///srv/docs/*"] }
  - { id: prompts, effect: allow, roles: [reader], prompts: ["crm.get_*"] }
  - { id: unreal, effect: deny, prompts: ["crm.get_*"], when: "tool.kind != 'prompt'" }
limits:
  - { per: [user], tools: ["crm.*"], rate: 1/h }
redaction:
  - { detect: [email], action: mask }
  - { tools: ["crm.*"], detect: [email], action: allow }
"#;

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start(Speaks::Modern, Vec::new()).await;
    upstream.behave(|seen| {
        let body = seen.json();
        let result = match body["method"].as_str()? {
            "server/discover" => {
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {"prompts": {}, "resources": {}}})
            }
            "prompts/list" => json!({"prompts": [{"name": "get_x"}, {"name": "set_x"}]}),
            "prompts/get" => json!({"messages": [{"role": "user", "content": {"type": "text", "text": "ada@example.com"}}]}),
            "resources/read" => json!({
                "contents": [{"uri": body["params"]["uri"], "text": "ada@example.com"}], "ttlMs": 0, "cacheScope": "private",
            }),
            _ => return None,
        };
        let mut result = result;
        result["resultType"] = json!("complete");
        Some(Answer::result(&result))
    });
    let gateway = Setup::new(&[("crm", upstream.url())], POLICY).upstream("crm", "refresh", json!("1h")).start().await;
    (upstream, gateway)
}

async fn read(gateway: &Gateway, role: &str, uri: &str) -> Response {
    let request = modern("crm", "resources/read", json!({"uri": uri})).header("mcp-name", uri);
    gateway.send(&request.bearer(&token("ana", &[role]))).await
}

async fn prompt(gateway: &Gateway, role: &str, name: &str) -> Response {
    let request = modern("crm", "prompts/get", json!({"name": name})).header("mcp-name", name);
    gateway.send(&request.bearer(&token("ana", &[role]))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_read_where_policy_names_it_and_nowhere_else() {
    let (upstream, gateway) = start().await;
    let allowed = read(&gateway, "reader", "file:///srv/docs/a.txt").await;
    assert_eq!(
        (allowed.status, allowed.message()["error"].is_null()),
        (200, true),
        "{}\n{:?}",
        allowed.text(),
        gateway.log().last()
    );
    let before = upstream.seen().len();
    for (role, uri) in [
        ("writer", "file:///srv/docs/a.txt"),
        ("reader", "file:///srv/secret"),
        ("reader", "file:///srv/docs/../secret"),
        ("reader", "file:///srv/docs/%2e%2e/secret"),
        ("reader", "file:///srv/docs/..%2fsecret"),
        ("reader", "file:///srv/docs/..\\secret"),
        ("reader", "file:///srv/docs//secret"),
        ("reader", "FILE:///srv/docs/a.txt"),
        ("reader", "x.file:///srv/docs/a.txt"),
        ("reader", "get_x"),
    ] {
        let refused = read(&gateway, role, uri).await;
        assert_eq!(refused.message()["error"]["code"], -32602, "{role} {uri}: {}", refused.text());
        let message = refused.message()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message, format!("Resource not found: {uri}"));
    }
    assert_eq!(upstream.seen().len(), before, "a refused request left for the upstream");
    let refused = gateway.ended_calls(10, |call| call["error"] == "unknown_resource").await;
    assert_eq!(refused.len(), 10);
    assert!(refused.iter().all(|call| call["decision"] == "deny" && call["method"] == "resources/read"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_tools_is_not_said_of_prompts_and_resources() {
    let (_upstream, gateway) = start().await;
    for _ in 0..3 {
        // Three are more than the limit of tools, and the exemption from masking is for tools.
        for response in
            [prompt(&gateway, "reader", "get_x").await, read(&gateway, "reader", "file:///srv/docs/a.txt").await]
        {
            assert_eq!(response.status, 200, "{}", response.text());
            let text = response.text();
            assert!(response.message()["error"].is_null() && !text.contains("ada@example.com"), "{text}");
        }
    }
    for (role, name) in [("writer", "get_x"), ("reader", "set_x")] {
        let refused = prompt(&gateway, role, name).await;
        assert_eq!(refused.message()["error"]["message"], format!("Unknown prompt: {name}"), "{}", refused.text());
    }
}
