//! Plays a case: a recording upstream, a real gateway, the request, and every expectation checked. All faults are
//! reported, not the first alone.

use crate::cases::case::{Case, Expect};
use crate::support::gateway::Gateway;
use crate::support::http::Response;
use crate::support::upstream::{Answer, Seen, Speaks, Upstream};
use serde_json::{Map, Value, json};

/// The tools of the upstream.
fn tools() -> Vec<Value> {
    let tool = |name: &str, properties: Value, required: &[&str]| {
        let schema = json!({"type": "object", "properties": properties, "required": required});
        json!({"name": name, "description": name, "inputSchema": schema})
    };
    let id = json!({"id": {"type": "string", "maxLength": 20}});
    vec![
        tool("get_customer", id.clone(), &["id"]),
        tool("list_orders", json!({}), &[]),
        tool("update_customer", json!({"id": {"type": "string"}, "note": {"type": "string"}}), &["id"]),
        tool("set_discount", json!({"id": {"type": "string"}, "percent": {"type": "integer"}}), &["id", "percent"]),
        tool("delete_customer", id, &["id"]),
        tool("read_file", json!({"path": {"type": "string"}}), &["path"]),
    ]
}

/// What the upstream has besides: the prompt `greet` and the resource `crm://terms`, which are asked for by what `answer`
/// is the answer to.
fn offer(seen: &Seen, answer: &Answer) -> Option<Answer> {
    let capabilities =
        json!({"tools": {}, "prompts": {}, "resources": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    Some(match seen.json()["method"].as_str()? {
        "server/discover" => Answer::result(&json!({
            "supportedVersions": ["2026-07-28"], "capabilities": capabilities, "ttlMs": 0, "cacheScope": "public",
        })),
        "prompts/list" => Answer::result(&json!({"prompts": [{"name": "greet"}, {"name": "scold"}]})),
        "resources/list" => Answer::result(&json!({"resources": [{"name": "terms", "uri": "crm://terms"}]})),
        "resources/templates/list" => Answer::result(&json!({"resourceTemplates": []})),
        "prompts/get" | "resources/read" => answer.clone(),
        _ => return None,
    })
}

/// What did not come out as written.
pub async fn play(case: Case) -> Vec<String> {
    let mut upstream = Upstream::start(Speaks::Modern, tools()).await;
    upstream.answer(case.upstream.answer());
    let answer = case.upstream.answer();
    upstream.behave(move |seen| offer(seen, &answer));
    let gateway = case.setup(&upstream.url()).start().await;
    if case.upstream.is_dead() {
        upstream.stop().await;
    }
    let session = match case.token() {
        Some(token) if case.legacy => gateway.legacy_session(&case.endpoint, &token).await,
        _ => Vec::new(),
    };
    let request = case.request(case.tool.as_deref(), &session);
    let mut response = gateway.send(&request).await;
    for _ in 1..case.times {
        response = gateway.send(&request).await;
    }
    let mut faults = Vec::new();
    check_response(&case.expect, &response, &mut faults);
    check_upstream(&case.expect, &upstream, &mut faults);
    check_audit(&case, &gateway, &mut faults).await;
    if let Some(other) = &case.expect.same_as {
        let twin = gateway.send(&case.request(Some(other), &session)).await;
        check_twin(case.tool.as_deref().unwrap(), &response, other, &twin, &mut faults);
    }
    faults
}

fn check_response(expect: &Expect, response: &Response, faults: &mut Vec<String>) {
    let text = response.text();
    if response.status != expect.status {
        faults.push(format!("status {}, not {}: {text}", response.status, expect.status));
        return;
    }
    for (name, wanted) in &expect.headers {
        if !response.header(name).is_some_and(|value| value.contains(wanted.as_str())) {
            faults.push(format!("header {name} is {:?}, without {wanted:?}", response.header(name)));
        }
    }
    faults.extend(
        expect.contains.iter().filter(|part| !text.contains(*part)).map(|part| format!("no {part:?} in {text}")),
    );
    faults.extend(expect.lacks.iter().filter(|part| text.contains(*part)).map(|part| format!("{part:?} is in {text}")));
    if let Some(error) = &expect.error {
        let said = &response.message()["error"];
        let message = said["message"].as_str().unwrap_or_default();
        if said["code"] != error.code || !message.contains(&error.message) {
            faults.push(format!("not the error {} {:?}: {text}", error.code, error.message));
        }
    }
    if let Some(result) = &expect.result
        && !holds(&response.message()["result"], result)
    {
        faults.push(format!("the result is not {result}: {text}"));
    }
    if let Some(tools) = &expect.tools {
        let message = response.message();
        let listed = message["result"]["tools"].as_array().into_iter().flatten();
        let mut listed: Vec<_> = listed.filter_map(|tool| tool["name"].as_str()).collect();
        let mut wanted: Vec<_> = tools.iter().map(String::as_str).collect();
        listed.sort_unstable();
        wanted.sort_unstable();
        if listed != wanted {
            faults.push(format!("lists {listed:?}, not {wanted:?}"));
        }
    }
}

/// Whether `value` holds all of `wanted`: objects may hold more, all else is equal.
fn holds(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(members) => members.iter().all(|(key, member)| holds(&value[key], member)),
        Value::Array(elements) => {
            value.as_array().is_some_and(|all| all.len() == elements.len())
                && elements.iter().enumerate().all(|(at, element)| holds(&value[at], element))
        }
        _ => value == wanted,
    }
}

fn check_upstream(expect: &Expect, upstream: &Upstream, faults: &mut Vec<String>) {
    let uses = ["tools/call", "prompts/get", "resources/read"];
    let calls: Vec<_> =
        upstream.seen().into_iter().filter(|seen| uses.iter().any(|method| seen.json()["method"] == *method)).collect();
    if let Some(wanted) = expect.upstream_calls
        && calls.len() != wanted
    {
        faults.push(format!("{} calls reached the upstream, not {wanted}", calls.len()));
    }
    if let Some(wanted) = &expect.upstream_sees
        && !calls.last().is_some_and(|seen| holds(&seen.json()["params"], wanted))
    {
        faults.push(format!("the upstream did not see {wanted}"));
    }
}

async fn check_audit(case: &Case, gateway: &Gateway, faults: &mut Vec<String>) {
    let wanted = &case.expect.audit;
    if wanted.is_empty() {
        return;
    }
    // Every request leaves one row; that of the last one is the one that counts. A session's own requests are left out.
    let expected = case.times as usize;
    let counts = |row: &Map<String, Value>| !case.legacy || row["method"] == case.method();
    let rows = gateway.ended_calls(expected, counts).await;
    if rows.len() != expected {
        faults.push(format!("{} rows in the journal, not {expected}", rows.len()));
    }
    let row = rows.last().unwrap();
    let differ = wanted.iter().filter(|(column, value)| !agrees(row, column, value));
    faults.extend(differ.map(|(column, value)| format!("the journal's {column} is not {value}: {}", json!(row))));
}

fn agrees(row: &Map<String, Value>, column: &str, wanted: &Value) -> bool {
    let Some(value) = row.get(column) else { return false };
    if wanted.is_object() {
        let inner: Value = value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        return holds(&inner, wanted);
    }
    value == wanted
}

/// Whether nothing but the name tells the two answers apart.
fn check_twin(name: &str, response: &Response, other: &str, twin: &Response, faults: &mut Vec<String>) {
    let passing = ["date", "x-request-id", "x-trace-id", "content-length"];
    let plain = |response: &Response| {
        let headers = response.headers.iter().filter(|(name, _)| !passing.contains(&name.as_str()));
        headers.cloned().collect::<Vec<_>>()
    };
    let same = response.status == twin.status
        && plain(response) == plain(twin)
        && response.text().replace(name, "*") == twin.text().replace(other, "*");
    if !same {
        faults.push(format!("{response:?}\ndiffers from that of {other}: {twin:?}"));
    }
}
