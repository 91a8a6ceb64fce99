//! Group F: calls that policy does not allow, by names that look like allowed ones, by other methods, by REST.

use crate::abuse::stage::{Attack, Stage, call, good, with_body};
use crate::support::gateway::{legacy, modern, modern_call};
use crate::support::http::Request;
use crate::support::tokens::token;
use serde_json::{Value, json};

fn names() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for name in [
        "Get_Customer",
        "get_customer ",
        " get_customer",
        "get_customer.",
        "crm.get_customer",
        "crm.crm.get_customer",
        "g\u{435}t_customer",
        "ｇet_customer",
        "get_customer\u{200b}",
        "get_customer\u{301}",
        "get_*",
        "*",
        "get_customer/../delete_customer",
        "delete_customer",
        "set_discount\u{202e}",
        "__proto__",
    ] {
        let mut request = call("get_customer", &json!({"id": "c-1"}));
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["params"]["name"] = name.into();
        request.body = body.to_string().into_bytes();
        let encoded = format!("=?base64?{}?=", base64(name));
        attacks.push(Attack::unknown("89 a name that looks like another", request.header("mcp-name", &encoded)));
    }
    attacks.push(Attack::malformed("an empty name", named("\"\""), -32602));
    attacks.push(Attack::malformed("a long name", named(&format!("\"{}\"", "n".repeat(257))), -32602));
    attacks.push(Attack::malformed("a name that is a list", named("[\"get_customer\"]"), -32602));
    attacks.push(Attack::malformed("a name with a line break", named("\"get\\ncustomer\""), -32602));
    attacks.push(Attack::malformed(
        "no name",
        with_body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":$META}}"#),
        -32602,
    ));
    attacks
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A legacy call, which no header names.
fn named(name: &str) -> Request {
    let mut request = legacy("crm", "tools/call", json!({})).bearer(&token("dora", &["developer"]));
    request.body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name}}}}}"#).into();
    request
}

fn paths() -> Vec<Attack> {
    let read = |arguments: Value| modern_call("files", "read_file", &arguments).bearer(&token("vera", &["viewer"]));
    let mut attacks = vec![
        Attack::runs("a path that is allowed", read(json!({"path": "/srv/docs/a.txt"}))),
        Attack::unknown("90 a longer name", {
            modern_call("files", "read_file_and_delete", &json!({"path": "/srv/docs/a"}))
                .bearer(&token("vera", &["viewer"]))
        }),
        Attack::unknown("102 no path", read(json!({}))),
    ];
    for path in [
        json!("/srv/docs/../../etc/passwd"),
        json!("/srv/docs/%2e%2e/%2e%2e/etc/passwd"),
        json!("/srv/docs\\..\\..\\etc"),
        json!("/srv/docs/\u{0}/../../etc/passwd"),
        json!("/srv/docsx"),
        json!("srv/docs/a"),
        json!(["/srv/docs/a"]),
        json!({"path": "/srv/docs/a"}),
        json!(7),
        json!(null),
        json!(true),
    ] {
        attacks.push(Attack::unknown("102 an odd path", read(json!({"path": path}))));
    }
    attacks
}

fn methods() -> Vec<Attack> {
    let mut attacks = Vec::new();
    let developer = token("dora", &["developer"]);
    let params = json!({"name": "a", "uri": "file:///etc/passwd", "taskId": "t", "protocolVersion": "2025-11-25"});
    let ask = |method: &str| modern("crm", method, params.clone()).bearer(&developer);
    let ask_older = |method: &str| legacy("crm", method, params.clone()).bearer(&developer);
    for method in [
        "resources/subscribe",
        "tasks/list",
        "tasks/result",
        "sampling/createMessage",
        "initialize",
        "ping",
        "tools/Call",
        "tools/call ",
        "x",
    ] {
        let request = ask(method).header("mcp-name", "t");
        // The header takes the blank away, so that it contradicts the body.
        attacks.push(match method {
            "tools/call " => Attack::malformed("98 a method with a blank", request, -32020),
            _ => Attack::new("95, 98, 100, 101 a method that is not served", request, 404, -32601, "method_not_found"),
        });
        if !matches!(method, "initialize" | "ping" | "resources/subscribe") {
            let name = "95, 98 the same, legacy";
            attacks.push(Attack::new(name, ask_older(method), 200, -32601, "method_not_found"));
        }
    }
    let file = ask("resources/read").header("mcp-name", "file:///etc/passwd");
    let prompt = ask("prompts/get").header("mcp-name", "a");
    let task = |method: &str| {
        let request = ask(method).header("mcp-name", "t");
        Attack::new("102 a task, by who does not say that it knows them", request, 400, -32021, "missing_capability")
    };
    attacks.extend([
        Attack::new("100 a resource of a server that has none", file, 200, -32602, "unknown_resource"),
        Attack::new("100 the same, legacy", ask_older("resources/read"), 200, -32002, "unknown_resource"),
        Attack::new("100 a prompt that there is not", prompt, 200, -32602, "unknown_prompt"),
        Attack::new("100 the same, legacy", ask_older("prompts/get"), 200, -32602, "unknown_prompt"),
        Attack::malformed("101 news of nothing", ask("subscriptions/listen"), -32602),
        Attack::malformed("101 news without a session", ask_older("resources/subscribe"), -32600),
        task("tasks/get"),
        task("tasks/update"),
        task("tasks/cancel"),
    ]);
    let hidden = good().body;
    let hidden = String::from_utf8(hidden).unwrap().replace(r#""id":1,"#, "");
    attacks.push(Attack::malformed("97 a call as a notification", with_body(hidden), -32600));
    let list =
        |cursor: &str| modern("crm", "tools/list", json!({"cursor": cursor})).bearer(&token("dora", &["developer"]));
    attacks.push(Attack::malformed("94 a forged cursor", list("2"), -32602));
    attacks.push(Attack::malformed("94 an empty cursor", list(""), -32602));
    let task = legacy("crm", "tools/call", json!({"name": "get_customer", "task": {}})).bearer(&developer);
    attacks.push(Attack::malformed("a task, as 2025-11-25 has it", task, -32602));
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_does_not_allow_reaches_nobody() {
    let stage = Stage::set().await;
    stage.play(names().into_iter().chain(paths()).chain(methods()).collect()).await;
}

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
