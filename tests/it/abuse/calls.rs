//! Group F, what data can't say: the REST form, lists against calls, and upstreams of which one is down.

use crate::abuse::stage::{Attack, Stage};
use crate::support::gateway::{modern, modern_call};
use crate::support::http::Request;
use crate::support::tokens::token;
use serde_json::{Value, json};

/// The status of each attack on the REST form is its own, so they are told apart here.
#[tokio::test(flavor = "multi_thread")]
async fn rest_is_no_way_around() {
    let setup = |mut setup: crate::support::gateway::Setup| {
        // An upstream that no endpoint shows.
        setup.upstreams["upstreams"]["hidden"] = setup.upstreams["upstreams"]["crm"].clone();
        setup
    };
    let policy = r#"
version: 1
roles: { developer: {} }
tools: [{ match: "*.get_*", class: read }]
access: [{ roles: [developer], upstreams: ["*"], level: read }]
"#;
    let stage = Stage::with(setup, policy).await;
    let rest = |body: &str| Request::post("/mcp/invoke", body).bearer(&token("dora", &["developer"]));
    let attack = |name, body: &str, status, label| Attack::new(name, rest(body), status, 0, label);
    let bad = |name, body: &str| attack(name, body, 400, "invalid_request");
    stage
        .play(vec![
            attack("as it should be", r#"{"tool_name":"crm.get_customer","arguments":{"id":"c"}}"#, 200, ""),
            attack("without arguments", r#"{"tool_name":"crm.get_customer"}"#, 200, ""),
            attack("not allowed", r#"{"tool_name":"crm.delete_customer","arguments":{}}"#, 404, "unknown_tool"),
            attack("an upstream that is not shown", r#"{"tool_name":"hidden.get_customer"}"#, 404, "unknown_tool"),
            attack("no such upstream", r#"{"tool_name":"nowhere.get_customer"}"#, 404, "unknown_tool"),
            attack("no upstream", r#"{"tool_name":"get_customer"}"#, 404, "unknown_tool"),
            attack("no tool", r#"{"tool_name":"crm."}"#, 404, "unknown_tool"),
            bad("two tools", r#"{"tool_name":"crm.get_customer","tool_name":"crm.delete_customer"}"#),
            bad("two tools, one escaped", r#"{"tool_name":"crm.get_customer","tool\u005fname":"crm.delete_customer"}"#),
            bad("a look-alike", r#"{"tool_name":"crm.get_customer","Tool_Name":"crm.delete_customer"}"#),
            bad("a look-alike of the arguments", r#"{"tool_name":"crm.get_customer","Arguments":{}}"#),
            bad("a whole message", r#"{"tool_name":"crm.get_customer","method":"tools/list"}"#),
            bad("_meta", r#"{"tool_name":"crm.get_customer","_meta":{}}"#),
            bad("a number", r#"{"tool_name":7}"#),
            bad("nothing", "{}"),
            bad("a batch", r#"[{"tool_name":"crm.get_customer"}]"#),
            bad(
                "deep",
                &format!(
                    r#"{{"tool_name":"crm.get_customer","arguments":{{"deep":{}{}}}}}"#,
                    "[".repeat(64),
                    "]".repeat(64)
                ),
            ),
            attack("no JSON", "tool_name=crm.get_customer", 400, "parse_error"),
            attack("arguments null", r#"{"tool_name":"crm.get_customer","arguments":null}"#, 400, "invalid_params"),
            attack("arguments as a list", r#"{"tool_name":"crm.get_customer","arguments":[]}"#, 400, "invalid_params"),
            attack(
                "arguments that break out",
                r#"{"tool_name":"crm.get_customer\",\"x\":\"","arguments":{}}"#,
                404,
                "unknown_tool",
            ),
            attack(
                "not of the schema",
                r#"{"tool_name":"crm.get_customer","arguments":{"other":1}}"#,
                422,
                "invalid_arguments",
            ),
        ])
        .await;
}

fn listed(message: &Value) -> Vec<String> {
    let tools = message["result"]["tools"].as_array().into_iter().flatten();
    tools.filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect()
}

/// 93: for every role and every tool, at endpoints of one upstream and of several: what is listed can be called with some
/// arguments, and what is not listed can't be told from what does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn lists_and_calls_agree_for_every_role() {
    let stage = Stage::set().await;
    for roles in [&[][..], &["viewer"], &["developer"], &["oncall"], &["admin"]] {
        let token = token("someone", roles);
        for (endpoint, prefixes) in [("crm", vec![""]), ("files", vec![""]), ("work", vec!["crm.", "files."])] {
            let list = modern(endpoint, "tools/list", json!({})).bearer(&token);
            let listed = listed(&stage.gateway.send(&list).await.message());
            for prefix in prefixes {
                for tool in ["get_customer", "set_discount", "delete_customer", "list_orders", "read_file", "nowhere"] {
                    let name = format!("{prefix}{tool}");
                    let arguments = json!({"id": "c", "path": "/srv/docs/a", "percent": 1});
                    let arguments = if tool == "get_customer" { json!({"id": "c"}) } else { arguments };
                    let request = modern_call(endpoint, &name, &arguments).bearer(&token);
                    let message = stage.gateway.send(&request).await.message();
                    let called = message["result"].is_object();
                    assert_eq!(called, listed.contains(&name), "{roles:?} {endpoint} {name} {message}");
                    let unknown = json!({"code": -32602, "message": format!("Unknown tool: {name}")});
                    assert!(called || message["error"] == unknown, "{message}");
                }
            }
        }
    }
}

/// An upstream that is down hides nothing of another, and its tools are not listed before it was ever reached.
#[tokio::test(flavor = "multi_thread")]
async fn one_upstream_that_is_down_leaves_the_others_as_they_are() {
    let setup = |mut setup: crate::support::gateway::Setup| {
        setup.upstreams["upstreams"]["files"]["url"] = "http://127.0.0.1:1/mcp".into();
        setup.until_ready = false;
        setup
    };
    let policy = "version: 1\nroles: { developer: {} }\ntools: [{ match: \"*.*\", class: read }]\naccess: [{ roles: [developer], upstreams: [\"*\"], level: read }]\n";
    let stage = Stage::with(setup, policy).await;
    let developer = token("dora", &["developer"]);
    let list = modern("work", "tools/list", json!({})).bearer(&developer);
    let names = crate::support::process::wait_until("crm is listed", crate::support::process::PATIENCE, async || {
        Some(listed(&stage.gateway.send(&list).await.message())).filter(|names| !names.is_empty())
    })
    .await;
    assert!(names.iter().all(|name| name.starts_with("crm.")), "{names:?}");
    let call = |tool: &str| modern_call("work", tool, &json!({"id": "c"})).bearer(&developer);
    assert_eq!(stage.gateway.send(&call("crm.get_customer")).await.status, 200);
    let down = stage.gateway.send(&call("files.read_file")).await;
    assert_eq!((down.status, &down.message()["error"]["code"]), (502, &json!(-31502)));
    assert_eq!(stage.row(&down).await["error"], "upstream_unavailable");
}
