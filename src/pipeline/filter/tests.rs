//! An answer is filtered alike whether it comes whole or as events, and however those are cut.

use super::{Eras, Filter, Form, Talk, Tasks, Terms};
use crate::pipeline::reply::Form as Asker;
use crate::pipeline::state::StateSeal;
use crate::pipeline::task::TaskSeal;
use crate::secrets::seal::Seal;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use portcullis_core::mcp::level::Level;
use portcullis_core::mcp::sse::Parser;
use portcullis_core::principal::RoleSet;
use portcullis_core::redact::{Redactor, Unseen};
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::ToolName;
use proptest::prelude::*;
use serde_json::{Value, json};

const RULES: &str = r#"[
    { "detect": ["email", "phone", "iban", "card", "ssn", "ahv", "ip", "secret"], "action": "mask" },
    { "fields": ["$..salary"], "action": "drop" }
]"#;

fn filter(kind: &'static str) -> Filter {
    filter_with(kind, Tasks::None, Talk::of(None, Some(Level::ALL)))
}

fn filter_with(kind: &'static str, tasks: Tasks, talk: Talk) -> Filter {
    let rules: Vec<_> = serde_json::from_str(RULES).unwrap();
    let plan = Redactor::compile(&rules, 100_000, b"a key").unwrap().plan(&RoleSet::default(), None);
    let mut filter = Filter::new(Terms {
        plan,
        unseen: Unseen::default(),
        limit: 1 << 20,
        id: Bytes::from_static(b"7"),
        asker: Asker::Rpc(Some(Bytes::from_static(b"7"))),
        eras: Eras { caller: Era::Modern, upstream: Era::Modern },
        name: ToolName::new("here", "x"),
        tool: None,
        capabilities: Some(Bytes::from_static(b"{}")),
        tasks,
        states: Some(states()),
        talk,
        line: None,
        reads: false,
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let form = filter.start(200, &headers).unwrap();
    assert_eq!(form == Form::Events, kind == "text/event-stream");
    filter
}

/// The answer that holds `texts` in every place there is for them.
fn answer(texts: &[String]) -> Value {
    let content: Vec<_> = texts.iter().map(|text| json!({ "type": "text", "text": text })).collect();
    let inner = json!({ "note": texts, "salary": 1 }).to_string();
    json!({ "jsonrpc": "2.0", "id": 7, "result": {
        "resultType": "complete", "content": content, "structuredContent": { "inner": inner, "salary": 2, "texts": texts },
    }})
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    let finding = prop::sample::select(vec![
        "ana.silva@example.com",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
        "756.9217.0769.85",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "nothing at all",
        "ünïcödé \u{1f600} \"quoted\"\nline",
    ]);
    prop::collection::vec((".{0,12}", finding).prop_map(|(before, found)| format!("{before} {found}")), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn events_are_filtered_like_a_whole_however_they_are_cut(
        texts in texts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let message = answer(&texts).to_string();
        let mut whole = filter("application/json");
        let (status, wanted) = whole.whole(message.as_bytes()).unwrap();
        prop_assert_eq!(status, 200);

        let stream = format!(": alive{line_end}{line_end}event: message{line_end}data: {message}{line_end}{line_end}");
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).chain([0, stream.len()]).collect();
        at.sort_unstable();
        let (mut events, mut out) = (filter("text/event-stream"), Vec::new());
        for piece in at.windows(2) {
            events.events(&stream.as_bytes()[piece[0]..piece[1]], &mut out).unwrap();
        }
        events.end().unwrap();
        let mut seen = Vec::new();
        Parser::new(1 << 20).push(&out, &mut seen).unwrap();
        let data: Vec<_> = seen.into_iter().filter_map(|event| event.data).collect();
        prop_assert_eq!(data, [String::from_utf8(wanted.to_vec()).unwrap()]);
        prop_assert_eq!(events.counts(), whole.counts());
    }
}

/// The seal of the states of `here.x`.
fn states() -> StateSeal {
    StateSeal::of(Seal::new(b"a key").unwrap(), vec![b"ana".to_vec()])
}

/// The seal of the tasks of `here.x`.
fn seal() -> TaskSeal {
    TaskSeal::of(Seal::new(b"a key").unwrap(), b"ana".to_vec(), "work", &ToolName::new("here", "x"))
}

fn result_of(filter: &mut Filter, result: &Value) -> Value {
    let message = json!({ "jsonrpc": "2.0", "id": 7, "result": result }).to_string();
    let (_, passed) = filter.whole(message.as_bytes()).unwrap();
    serde_json::from_slice::<Value>(&passed).unwrap()["result"].take()
}

#[test]
fn a_task_is_known_to_its_caller_by_a_seal() {
    let begun =
        json!({ "resultType": "task", "taskId": "t-1", "status": "working", "statusMessage": "ana.silva@example.com" });
    let mut filter = filter_with("application/json", Tasks::Begun(seal()), Talk::default());
    let passed = result_of(&mut filter, &begun);
    assert_eq!(passed["taskId"], seal().seal("t-1").unwrap().as_str());
    assert!(!passed.to_string().contains("ana.silva"));

    let done = json!({ "resultType": "complete", "taskId": "t-1", "status": "completed",
        "result": { "content": [], "structuredContent": { "salary": 1 } } });
    let mut filter = filter_with("application/json", Tasks::About(seal()), Talk::default());
    let passed = result_of(&mut filter, &done);
    assert_eq!(passed["taskId"], seal().seal("t-1").unwrap().as_str());
    assert_eq!(passed["result"]["structuredContent"], json!({}), "fields are dropped in what a task holds");

    let message = json!({ "jsonrpc": "2.0", "id": 7, "result": begun }).to_string();
    assert!(filter_with("application/json", Tasks::None, Talk::default()).whole(message.as_bytes()).is_err());
}

#[test]
fn what_redaction_leaves_alone_is_a_state_and_nothing_else() {
    let odd =
        json!({ "resultType": "complete", "content": [], "requestState": "ana.silva@example.com", "taskId": "x" });
    let mut filter = filter_with("application/json", Tasks::None, Talk::default());
    assert_eq!(result_of(&mut filter, &odd), json!({ "resultType": "complete", "content": [] }));
    let state = json!({ "resultType": "input_required", "requestState": "ghp_0123456789abcdefghijABCDEFGHIJ012345" });
    let mut filter = filter_with("application/json", Tasks::None, Talk::default());
    let passed = result_of(&mut filter, &state);
    let sealed = passed["requestState"].to_string();
    assert_ne!(sealed, state["requestState"].to_string());
    let opened = states().open(sealed.as_bytes()).unwrap();
    assert_eq!(opened.state.unwrap(), state["requestState"].to_string().as_bytes(), "it must come back byte by byte");
    let long = json!({ "resultType": "input_required", "requestState": "x".repeat(200_000) });
    let message = json!({ "jsonrpc": "2.0", "id": 7, "result": long }).to_string();
    let mut filter = filter_with("application/json", Tasks::None, Talk::default());
    assert!(matches!(filter.whole(message.as_bytes()), Err(Rejection::UpstreamIncompatible(_))));
    let object = json!({ "resultType": "input_required", "requestState": { "mail": "ana.silva@example.com" } });
    let message = json!({ "jsonrpc": "2.0", "id": 7, "result": object }).to_string();
    assert!(filter_with("application/json", Tasks::None, Talk::default()).whole(message.as_bytes()).is_err());
}

#[test]
fn a_call_tells_of_itself_what_its_caller_asked_for() {
    let tell = |talk: Talk, method: &str, params: Value| {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        let (mut filter, mut out) = (filter_with("text/event-stream", Tasks::None, talk), Vec::new());
        filter.events(format!("data: {message}\n\n").as_bytes(), &mut out).unwrap();
        !out.is_empty()
    };
    let asked = || Talk::of(Some(Bytes::from_static(b"\"p\"")), Some(Level::ALL));
    let progress = |token: Value| json!({ "progressToken": token, "progress": 1 });
    assert!(tell(asked(), "notifications/progress", progress(json!("p"))));
    assert!(!tell(asked(), "notifications/progress", progress(json!("q"))));
    assert!(!tell(Talk::default(), "notifications/progress", progress(json!("p"))));
    let log = json!({ "level": "info", "data": "x" });
    assert!(tell(asked(), "notifications/message", log.clone()));
    assert!(!tell(Talk::default(), "notifications/message", log));
    assert!(!tell(asked(), "notifications/tools/list_changed", json!({})));
}

/// MCP 2026-07-28 "ResultType": what an older server says is complete, and a newer one that says nothing means the same.
#[test]
fn a_result_that_does_not_say_what_it_is_is_complete() {
    let mut plain = filter_with("application/json", Tasks::None, Talk::default());
    assert_eq!(result_of(&mut plain, &json!({ "content": [] })), json!({ "content": [], "resultType": "complete" }));
    let asks = json!({ "taskId": "t-1", "status": "input_required",
        "inputRequests": { "a": { "method": "elicitation/create", "params": {} } } });
    let message = json!({ "jsonrpc": "2.0", "id": 7, "result": asks }).to_string();
    let mut about = filter_with("application/json", Tasks::About(seal()), Talk::default());
    assert!(about.whole(message.as_bytes()).is_err(), "nobody declared that it can be asked for this");
}
