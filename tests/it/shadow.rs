//! A policy that is only being tried: it is asked about each call, and what it says differently goes to operators alone.

use crate::support::gateway::{Gateway, Setup};
use crate::support::http::Response;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::token;
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};

const POLICY: &str = r#"
version: 1
roles: { tester: {}, writer: {} }
tools: [{ match: "one.get", class: read }, { match: "one.put", class: write }]
access: [{ roles: [tester], upstreams: [one], level: read }]
limits: [{ per: [user], rate: 100/d }]
"#;

/// Denies what the live one allows, and allows what that one denies.
const SHADOW: &str = r#"
version: 1
roles: { tester: {}, writer: {} }
tools: [{ match: "one.get", class: read }, { match: "one.put", class: write }]
access: [{ roles: [tester], upstreams: [one], level: write }]
rules: [{ id: no-secrets, effect: deny, tools: [one.get], args: { id: { prefix: "secret" } } }]
limits: [{ per: [user], rate: 1/d }]
"#;

async fn started(shadow: Option<&str>) -> (Gateway, Upstream) {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, vec![tool("get"), tool("put")]).await;
    let mut setup = Setup::new(&[("one", upstream.url())], POLICY);
    if let Some(shadow) = shadow {
        setup = setup.with("shadow_policy", json!("shadow.yaml")).beside("shadow.yaml", shadow);
    }
    (setup.start().await, upstream)
}

async fn call(gateway: &Gateway, tool: &str, id: &str) -> Response {
    gateway.modern_call("one", &token("ana", &["tester"]), tool, &json!({ "id": id })).await
}

/// What a caller can see of an answer, but for what each answer has of its own.
fn visible(response: &Response) -> (u16, Vec<(String, String)>, String) {
    let own = ["date", "x-request-id", "x-trace-id"];
    let headers = response.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    (response.status, headers.cloned().collect(), response.text().to_string())
}

async fn metric(gateway: &Gateway, line: &str) -> f64 {
    let text = gateway.metrics().await;
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {line} in\n{text}"))
}

const ALLOW_DENY: &str = r#"portcullis_policy_shadow_total{live="allow",shadow="deny"}"#;
const DENY_ALLOW: &str = r#"portcullis_policy_shadow_total{live="deny",shadow="allow"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_the_same_bytes_with_and_without_and_operators_the_difference() {
    let (plain, _upstream) = started(None).await;
    let (shadowed, _other) = started(Some(SHADOW)).await;
    let calls = [("get", "a"), ("get", "secret-1"), ("put", "a"), ("nothing", "a"), ("get", "b")];
    for (tool, id) in calls {
        let (without, with) = (call(&plain, tool, id).await, call(&shadowed, tool, id).await);
        assert_eq!(visible(&with), visible(&without), "{tool} {id}");
    }
    let said = |row: &serde_json::Map<String, Value>| {
        ["decision", "rule", "shadow_decision", "shadow_rule"].map(|key| row[key].as_str().unwrap_or("-").to_owned())
    };
    let rows: Vec<_> = shadowed.ended_calls(calls.len(), |_| true).await.iter().map(said).collect();
    let wanted = [
        ["allow", "access[0]", "-", "-"],
        ["allow", "access[0]", "deny", "no-secrets"],
        ["deny", "default", "allow", "access[0]"],
        ["deny", "default", "-", "-"],
        ["allow", "access[0]", "-", "-"],
    ];
    assert_eq!(rows, wanted.map(|row| row.map(str::to_owned)));
    assert!(plain.ended_calls(calls.len(), |_| true).await.iter().all(|row| row["shadow_decision"].is_null()));
    assert_eq!((metric(&shadowed, ALLOW_DENY).await, metric(&shadowed, DENY_ALLOW).await), (1.0, 1.0));
    assert_eq!(metric(&plain, ALLOW_DENY).await, 0.0);
    assert_eq!(shadowed.readiness().await["shadow_policy"], "ok");
    assert!(plain.readiness().await["shadow_policy"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_shadow_is_told_to_operators_and_stops_nothing_until_it_is_mended() {
    let (gateway, _upstream) = started(Some(&SHADOW.replace("effect: deny", "effect: dney"))).await;
    let broken = gateway.readiness().await;
    let told = broken["shadow_policy"].as_str().unwrap();
    assert!(told.contains("shadow.yaml:6:") && told.contains("did you mean `deny`?"), "{told}");
    assert_eq!(broken["status"], "ready");
    assert_eq!(call(&gateway, "get", "secret-1").await.status, 200);
    assert_eq!(metric(&gateway, "portcullis_policy_shadow_broken").await, 1.0);
    let logged = |line: &Value| line["message"].as_str().unwrap_or_default().contains("the shadow policy is not asked");
    wait_until("the log says so too", PATIENCE, async || gateway.log().iter().any(logged).then_some(())).await;

    let file = gateway.dir().join("shadow.yaml");
    std::fs::write(&file, SHADOW).unwrap();
    let state = async |wanted: &str| {
        wait_until(&format!("the shadow policy is {wanted}"), PATIENCE, async || {
            let readiness = gateway.readiness().await;
            readiness["shadow_policy"].as_str().is_some_and(|state| state.contains(wanted)).then_some(())
        })
        .await;
    };
    state("ok").await;
    assert_eq!(call(&gateway, "get", "secret-1").await.status, 200);
    assert_eq!(metric(&gateway, ALLOW_DENY).await, 1.0);
    assert_eq!(metric(&gateway, "portcullis_policy_shadow_broken").await, 0.0);

    std::fs::remove_file(&file).unwrap();
    state("there is no such file").await;
    assert_eq!(call(&gateway, "get", "secret-1").await.status, 200);
    assert_eq!(metric(&gateway, ALLOW_DENY).await, 1.0);
    assert!(gateway.readiness().await["rejected_configuration"].is_null());
}
