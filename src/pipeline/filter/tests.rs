//! An answer is filtered alike whether it comes whole or as events, and however those are cut.

use super::{Eras, Filter, Form, Terms};
use crate::pipeline::reply::Form as Asker;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use portcullis_core::mcp::sse::Parser;
use portcullis_core::principal::RoleSet;
use portcullis_core::redact::{Redactor, Unseen};
use portcullis_core::reject::Era;
use portcullis_core::tool::ToolName;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const RULES: &str = r#"[
    { "detect": ["email", "phone", "iban", "card", "ssn", "ahv", "ip", "secret"], "action": "mask" },
    { "fields": ["$..salary"], "action": "drop" }
]"#;

fn filter(kind: &'static str) -> Filter {
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
        capabilities: None,
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
