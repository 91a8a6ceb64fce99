//! Group B beyond its data: what is the same for every revision, and headers that the gateway writes itself.

use crate::abuse::stage::{Stage, call, good};
use crate::support::gateway::legacy;
use crate::support::tokens::token;
use serde_json::json;

/// 34: whatever revision a caller names, and by REST, the decision is the same.
#[tokio::test(flavor = "multi_thread")]
pub async fn no_revision_dodges_a_decision() {
    let stage = Stage::set().await;
    let token = token("dora", &["developer"]);
    for tool in ["delete_customer", "set_discount"] {
        let arguments = json!({"percent": 99});
        let params = json!({"name": tool, "arguments": arguments});
        let old = |version: Option<&str>| {
            let request = legacy("crm", "tools/call", params.clone()).bearer(&token);
            // Older revisions do not know the header; where it is there, it must be true.
            let request = request.header("mcp-name", tool);
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
    let request = legacy("crm", "tools/call", params).bearer(&token);
    let elsewhere = request.clone().header("mcp-param-region", "elsewhere");
    let refused = stage.gateway.send(&elsewhere).await;
    assert_eq!((refused.status, &refused.message()["error"]["code"]), (400, &json!(-32020)), "{}", refused.text());
    assert_eq!(stage.upstream.calls().len(), 0);
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
