//! Whatever an upstream does, in whatever order, the client gets one head, one end, and nothing after it.

use super::{Answer, Step};
use crate::pipeline::filter::{Eras, Filter, Talk, Tasks, Terms};
use crate::pipeline::reply::Form;
use crate::server::cors::Cors;
use crate::server::reply::Head;
use crate::store::limits::local::LocalLimits;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType};
use portcullis_core::catalog::Tool;
use portcullis_core::mcp::level::Level;
use portcullis_core::principal::RoleSet;
use portcullis_core::redact::{Redactor, Unseen};
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::tool::ToolName;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RESULT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
const NEWS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;

/// What an upstream may do next.
#[derive(Debug, Clone)]
enum Move {
    Header(u16, &'static str, bool),
    Body(String, bool),
    Nothing(bool),
    Trailer,
    Done,
    Fail,
}

impl Move {
    fn task(&self) -> HttpTask {
        match self {
            Self::Header(status, kind, end) => {
                let mut header = ResponseHeader::build(*status, None).unwrap();
                header.insert_header("content-type", *kind).unwrap();
                HttpTask::Header(Box::new(header), *end)
            }
            Self::Body(text, end) => HttpTask::Body(Some(Bytes::from(text.clone())), *end),
            Self::Nothing(end) => HttpTask::Body(None, *end),
            Self::Trailer => HttpTask::Trailer(Some(Box::new(HeaderMap::new()))),
            Self::Done => HttpTask::Done,
            Self::Fail => HttpTask::Failed(Error::new_up(ErrorType::ConnectionClosed)),
        }
    }
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let kind = prop_oneof![
        4 => Just("application/json"),
        4 => Just("text/event-stream"),
        1 => Just("text/html"),
    ];
    let status = prop_oneof![6 => Just(200), 1 => Just(100), 1 => Just(404), 1 => Just(500), 1 => Just(204)];
    let end = prop::bool::weighted(0.2);
    let text = prop_oneof![
        3 => Just(RESULT.to_owned()),
        3 => Just(format!("data: {RESULT}\n\n")),
        3 => Just(format!("data: {NEWS}\r\n\r\n")),
        1 => Just("data: {".to_owned()),
        1 => Just(": alive\n\n".to_owned()),
        1 => Just("x".repeat(1500)),
        1 => ".{0,20}",
    ];
    let one = prop_oneof![
        2 => (status.clone(), kind.clone(), end).prop_map(|(status, kind, end)| Move::Header(status, kind, end)),
        6 => (text, end).prop_map(|(text, end)| Move::Body(text, end)),
        1 => end.prop_map(Move::Nothing),
        1 => Just(Move::Trailer),
        1 => Just(Move::Done),
        1 => Just(Move::Fail),
    ];
    let first = (status, kind, end).prop_map(|(status, kind, end)| Move::Header(status, kind, end));
    (prop::option::weighted(0.9, first), prop::collection::vec(one, 0..8))
        .prop_map(|(first, rest)| first.into_iter().chain(rest).collect())
}

fn answer(form: Form) -> Answer {
    let plan = Redactor::compile(&[], 100_000, b"a key").unwrap().plan(&RoleSet::default(), None);
    let tool = Tool::read("here", br#"{"name":"x","inputSchema":{"type":"object"}}"#).unwrap();
    let filter = Filter::new(Terms {
        plan,
        unseen: Unseen::default(),
        limit: 1000,
        id: Bytes::from_static(b"7"),
        asker: form,
        eras: Eras { caller: Era::Legacy, upstream: Era::Legacy },
        name: ToolName::new("here", "x"),
        tool: Some(Arc::new(tool)),
        capabilities: None,
        tasks: Tasks::None,
        states: None,
        talk: Talk::of(None, Some(Level::ALL)),
        line: None,
        reads: false,
    });
    let places = LocalLimits::new().admit([]).unwrap();
    let (request_id, trace_id) = (HeaderValue::from_static("r"), HeaderValue::from_static("t"));
    let head = Head { request_id, trace_id, http1: true, cors: Cors::of(&HeaderMap::new(), &[]) };
    Answer::new(filter, head, Instant::now() + Duration::from_secs(600), None, places)
}

/// What was sent: status, announced length, body; and whether it ended.
#[derive(Default)]
struct Sent {
    head: Option<(u16, Option<usize>)>,
    body: Vec<u8>,
    ended: bool,
}

impl Sent {
    fn take(&mut self, tasks: Vec<HttpTask>) {
        for task in tasks {
            assert!(!self.ended, "something after the end");
            match task {
                HttpTask::Header(header, end) => {
                    assert!(self.head.is_none() && !end, "a second head, or one without an end");
                    let length = header.headers.get("content-length");
                    let length = length.map(|length| length.to_str().unwrap().parse().unwrap());
                    self.head = Some((header.status.as_u16(), length));
                }
                HttpTask::Body(data, end) => {
                    assert!(self.head.is_some(), "a body before the head");
                    self.body.extend_from_slice(&data.unwrap_or_default());
                    self.ended = end;
                }
                other => panic!("{other:?} is never sent"),
            }
        }
    }
}

fn check(form: &Form, moves: &[Move]) {
    let mut answer = answer(form.clone());
    let mut sent = Sent::default();
    let mut failed = false;
    for one in moves {
        match answer.take(one.task()) {
            Ok(Step::Wait) => {}
            Ok(Step::Send(tasks)) => sent.take(tasks),
            Ok(Step::Last(tasks)) => {
                sent.take(tasks);
                assert!(sent.ended, "the last of it has no end");
                break;
            }
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    assert_ne!(answer.failure, Some(Rejection::Internal), "it panicked");
    assert!(!(failed && sent.head.is_some()), "a failure was left to the proxy although the client has a head");
    assert!(!failed || answer.failure.is_some());
    assert_eq!(answer.bytes_out, sent.body.len() as u64);
    assert_eq!(answer.status, sent.head.map(|(status, _)| status));
    if let Some((_, Some(length))) = sent.head {
        assert!(sent.ended && length == sent.body.len(), "{length} bytes were announced");
        let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
        assert!(matches!(form, Form::Rest) || body["id"] == 7, "{body}");
    }
    if let (Some((_, None)), true) = (sent.head, sent.ended) {
        let answers = String::from_utf8(sent.body).unwrap().matches(r#""id":7"#).count();
        assert_eq!(answers, 1, "a stream has one answer, or one error");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_client_gets_one_complete_message(moves in moves()) {
        check(&Form::Rpc(Some(Bytes::from_static(b"7"))), &moves);
        check(&Form::Rest, &moves);
    }
}

#[test]
fn a_stream_that_is_cut_off_says_so_once() {
    let mut answer = answer(Form::Rpc(Some(Bytes::from_static(b"7"))));
    assert!(answer.farewell().is_empty(), "nothing has begun");
    assert!(answer.take(Move::Header(200, "text/event-stream", false).task()).is_ok());
    answer.failure = Some(Rejection::ShuttingDown);
    assert!(String::from_utf8_lossy(&answer.farewell()).contains("-31503"));
    assert!(answer.farewell().is_empty());
}
