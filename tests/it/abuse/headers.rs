//! Group B: headers that contradict the body, and revisions that are named to dodge a check.

use crate::abuse::stage::{Attack, Stage, call, good};
use crate::support::gateway::legacy;
use crate::support::http::Request;
use crate::support::tokens::token;
use serde_json::{Value, json};

/// The same with one more header line of a name that is there already.
fn twice(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.into(), value.into()));
    request
}

/// A call with this `_meta`.
fn with_meta(meta: Value) -> Request {
    let mut request = good();
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    body["params"]["_meta"] = meta;
    request.body = body.to_string().into_bytes();
    request
}

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn mirrors() -> Vec<Attack> {
    let bad = |name, request| Attack::malformed(name, request, -32020);
    let delete = || call("delete_customer", &json!({}));
    vec![
        bad("26 another method", good().header("mcp-method", "tools/list")),
        bad("27 a harmless name", delete().header("mcp-name", "get_customer")),
        bad("28 no method", good().without("mcp-method")),
        bad("28 no name", good().without("mcp-name")),
        bad("28 no version", good().without("mcp-protocol-version")),
        bad("29 two names", twice(good(), "mcp-name", "get_customer")),
        bad("29 two methods", twice(good(), "Mcp-Method", "tools/call")),
        bad("29 two versions", twice(good(), "mcp-protocol-version", "2025-11-25")),
        bad("29 a list", good().header("mcp-name", "get_customer,get_customer")),
        bad("29 a list of methods", good().header("mcp-method", "tools/call, tools/call")),
        Attack::runs("30 base64", good().header("mcp-name", "=?base64?Z2V0X2N1c3RvbWVy?=")),
        bad("30 not canonical", good().header("mcp-name", "=?base64?Z2V0X2N1c3RvbWVz?=")),
        bad("30 no base64", good().header("mcp-name", "=?base64?*?=")),
        bad("30 upper case is literal", good().header("mcp-name", "=?BASE64?Z2V0X2N1c3RvbWVy?=")),
        bad("31 percent", good().header("mcp-name", "get%5Fcustomer")),
        bad("31 case", good().header("mcp-name", "Get_Customer")),
        bad("31 case of the method", good().header("mcp-method", "Tools/Call")),
        Attack::runs("31 blanks around", good().header("mcp-name", "  get_customer\t ")),
        Attack::runs("37 a session", good().header("mcp-session-id", "somebody-elses")),
    ]
}

fn arguments() -> Vec<Attack> {
    let region = || call("get_region", &json!({"region": "eu"}));
    let bad = |name, request| Attack::malformed(name, request, -32020);
    vec![
        Attack::runs("32 as annotated", region().header("mcp-param-region", "eu")),
        bad("32 another value", region().header("mcp-param-region", "us")),
        bad("32 missing", region()),
        bad("32 for nothing", call("get_region", &json!({})).header("mcp-param-region", "eu")),
        bad("32 for null", call("get_region", &json!({"region": null})).header("mcp-param-region", "eu")),
        bad("32 twice", twice(region().header("mcp-param-region", "eu"), "Mcp-Param-REGION", "eu")),
        bad("32 bad base64", region().header("mcp-param-region", "=?base64?!?=")),
        Attack::unknown("36 an illegal annotation", call("get_illegal", &json!({}))),
    ]
}

fn versions() -> Vec<Attack> {
    let bad = |name, request, code| Attack::malformed(name, request, code);
    vec![
        bad("33 header and body differ", good().header("mcp-protocol-version", "2025-11-25"), -32020),
        bad("33 unknown", good().header("mcp-protocol-version", "2099-01-01"), -32020),
        bad(
            "33 unknown in both",
            with_meta(json!({VERSION: "2099-01-01", CAPABILITIES: {}})).header("mcp-protocol-version", "2099-01-01"),
            -32022,
        ),
        bad("34 an old claim below a new header", with_meta(json!({VERSION: "2025-11-25"})), -32020),
        bad("35 no claim below a new header", with_meta(json!({CAPABILITIES: {}})), -32602),
        bad("35 no capabilities", with_meta(json!({VERSION: "2026-07-28"})), -32602),
        bad("35 odd capabilities", with_meta(json!({VERSION: "2026-07-28", CAPABILITIES: []})), -32602),
        bad("35 an odd claim", with_meta(json!({VERSION: 20260728, CAPABILITIES: {}})), -32602),
        bad("35 _meta as a list", with_meta(json!([])), -32602),
        bad("35 no _meta", with_meta(Value::Null), -32602),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_contradicts_the_body_reaches_nobody() {
    let stage = Stage::set().await;
    stage.play(mirrors().into_iter().chain(arguments()).chain(versions()).collect()).await;
    let sessions = stage.upstream.seen().into_iter().filter(|seen| seen.header("mcp-session-id").is_some()).count();
    assert_eq!(sessions, 0, "37: a client's session id went on");
}

/// 34: whatever revision a caller names, and by REST, the decision is the same.
#[tokio::test(flavor = "multi_thread")]
async fn no_revision_dodges_a_decision() {
    let stage = Stage::set().await;
    let token = token("dora", &["developer"]);
    for tool in ["delete_customer", "set_discount"] {
        let arguments = json!({"percent": 99});
        let params = json!({"name": tool, "arguments": arguments});
        let old = |version: Option<&str>| {
            let request = legacy("crm", "tools/call", params.clone()).bearer(&token);
            // Older revisions do not know the header; it must not be believed either.
            let request = request.header("mcp-name", "get_customer");
            version.map_or_else(|| request.clone(), |version| request.clone().header("mcp-protocol-version", version))
        };
        let mut seen = Vec::new();
        for (request, protocol) in [
            (call(tool, &arguments), "2026-07-28"),
            (old(None), "2025-03-26"),
            (old(Some("2025-03-26")), "2025-03-26"),
            (old(Some("2025-06-18")), "2025-06-18"),
            (old(Some("2025-11-25")), "2025-11-25"),
        ] {
            let response = stage.gateway.send(&request).await;
            assert_eq!(response.message()["error"]["code"], -32602, "{}", response.text());
            let row = stage.row(&response).await;
            assert_eq!(row["protocol"], protocol);
            seen.push((row["decision"].clone(), row["rule"].clone(), row["arguments"].clone()));
        }
        let rest = stage.gateway.rest_invoke(&token, &format!("crm.{tool}"), &arguments).await;
        assert_eq!(rest.status, 404);
        let row = stage.row(&rest).await;
        assert_eq!(row["protocol"], "rest");
        seen.push((row["decision"].clone(), row["rule"].clone(), row["arguments"].clone()));
        assert!(seen.iter().all(|one| *one == seen[0] && one.0 == "deny"), "{seen:?}");
    }
    assert_eq!(stage.upstream.calls().len(), 0);
}

/// 32: an upstream of today gets the header from the gateway where the caller speaks something older.
#[tokio::test(flavor = "multi_thread")]
async fn callers_that_do_not_know_the_header_get_it_written_for_them() {
    let stage = Stage::set().await;
    let token = token("dora", &["developer"]);
    let params = json!({"name": "get_region", "arguments": {"region": "zürich"}});
    let request = legacy("crm", "tools/call", params).bearer(&token).header("mcp-param-region", "elsewhere");
    assert_eq!(stage.gateway.send(&request).await.status, 200);
    assert_eq!(stage.gateway.rest_invoke(&token, "crm.get_region", &json!({"region": "zürich"})).await.status, 200);
    let calls = stage.upstream.calls();
    assert_eq!(calls.len(), 2);
    for seen in calls {
        assert_eq!(seen.header("mcp-param-region"), Some("=?base64?esO8cmljaA==?="));
    }
    let unknown = good().header("mcp-param-other", "as sent");
    assert_eq!(stage.gateway.send(&unknown).await.status, 200);
    assert_eq!(stage.upstream.calls().pop().unwrap().header("mcp-param-other"), Some("as sent"));
}
