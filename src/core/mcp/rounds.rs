//! How a server asks its client back, in the words of either era: a request of its own on the stream of the call (MCP
//! 2025-11-25), or a result that asks for input and is answered by the same call once more (MCP 2026-07-28 "Multi
//! Round-Trip Requests").

use super::capabilities::Capabilities;
use super::rewrite::{change, splice};
use crate::jsonrpc::{self, Answer, Frame, Limits, Object, Span, object, parse_value, quote};
use crate::reject::Rejection;
use std::collections::BTreeMap;

/// Something that a client is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: String,
    /// The raw object of its parameters, where it has any.
    pub params: Option<Vec<u8>>,
}

/// A result that asks for input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// What is asked for, each under the key that its answer comes with. It may be nothing: then there is only a state
    /// to bring back.
    pub questions: Vec<(String, Question)>,
    /// The raw string that has to be brought back byte by byte, where there is one.
    pub state: Option<Vec<u8>>,
}

impl Question {
    /// From an object of `text` with `method` and `params`.
    fn read(text: &[u8], object: &Object) -> Option<Self> {
        let method = jsonrpc::string(object.value("method")?.of(text))?.into_owned();
        let params = object.value("params").map(|span| span.of(text).to_vec());
        params.as_ref().is_none_or(|params| params.starts_with(b"{")).then_some(Self { method, params })
    }

    /// From the method and parameters of a request in `message`.
    pub fn of(message: &[u8], method: &str, params: Option<&Object>) -> Self {
        Self { method: method.to_owned(), params: params.map(|params| params.span.of(message).to_vec()) }
    }

    /// Whether it may be put to a client that declared `capabilities`.
    pub fn is_for(&self, capabilities: Capabilities) -> bool {
        let with_tools = self.method == "sampling/createMessage" && self.says("tools") | self.says("toolChoice");
        self.method != "ping"
            && capabilities.takes(&self.method, self.mode().as_deref())
            && (capabilities.sampling_tools || !with_tools)
    }

    /// The same without the members `names` of its parameters.
    #[must_use]
    pub fn without(self, names: &[&str]) -> Self {
        let params = self.params.map(|params| edited(params, |object| change(object, &[], names)));
        Self { params, ..self }
    }

    /// The same with the id `id` for its page, where it asks to open one that has none: 2025-11-25 wants one, and later
    /// revisions have none ("Elicitation", URL mode).
    #[must_use]
    pub fn with_page_id(self, id: &str) -> Self {
        let (name, id) = ("elicitationId", quote(id));
        let absent = |object: &Object| {
            if object.value(name).is_none() { change(object, &[(name, &id)], &[]) } else { Vec::new() }
        };
        let params = match self.mode().as_deref() {
            Some("url") => self.params.map(|params| edited(params, absent)),
            _ => self.params,
        };
        Self { params, ..self }
    }

    fn says(&self, member: &str) -> bool {
        let params = self.params.as_deref().and_then(|params| parse_value(params, &Limits::ANSWER).ok()?);
        params.is_some_and(|params| params.value(member).is_some())
    }

    fn mode(&self) -> Option<String> {
        let params = self.params.as_deref()?;
        let mode = parse_value(params, &Limits::ANSWER).ok()??.value("mode")?;
        Some(jsonrpc::string(mode.of(params)).unwrap_or_default().into_owned())
    }

    /// As a request with the raw id `id` (MCP 2025-11-25).
    pub fn request(&self, id: &[u8]) -> Vec<u8> {
        let method = quote(&self.method);
        let mut members: Vec<(&str, &[u8])> = vec![("jsonrpc", b"\"2.0\""), ("id", id), ("method", &method)];
        members.extend(self.params.as_deref().map(|params| ("params", params)));
        object(&members)
    }

    fn write(&self) -> Vec<u8> {
        let method = quote(&self.method);
        let mut members: Vec<(&str, &[u8])> = vec![("method", &method)];
        // A question without parameters may leave them out; one with them may not (MCP 2026-07-28 `InputRequest`).
        members.extend(self.params.as_deref().map(|params| ("params", params)));
        object(&members)
    }
}

impl Required {
    /// What `message`, a response, asks for; `None` where it is complete, or an error.
    ///
    /// # Errors
    /// [`Rejection::ResponseUnreadable`] where it asks in no way that can be understood.
    pub fn read(message: &[u8]) -> Result<Option<Self>, Rejection> {
        let unreadable = || Rejection::ResponseUnreadable("input_requests");
        let Answer::Result { result, .. } = jsonrpc::answer(message, &Limits::ANSWER)? else { return Ok(None) };
        let kind = result.value("resultType").and_then(|kind| jsonrpc::string(kind.of(message)));
        if kind.as_deref() != Some("input_required") {
            return Ok(None);
        }
        let state = result.value("requestState").map(|span| span.of(message).to_vec());
        if state.as_ref().is_some_and(|state| !state.starts_with(b"\"")) {
            return Err(unreadable());
        }
        let requests = result.value("inputRequests").map(|span| span.of(message));
        let questions = requests.map(|raw| questions(raw).ok_or_else(unreadable)).transpose()?.unwrap_or_default();
        // At least one of them (MCP 2026-07-28 "Multi Round-Trip Requests").
        if questions.is_empty() && state.is_none() {
            return Err(unreadable());
        }
        Ok(Some(Self { questions, state }))
    }

    /// As a response to the request with the raw id `id`.
    pub fn response(&self, id: &[u8]) -> Vec<u8> {
        let questions: Vec<_> = self.questions.iter().map(|(key, question)| (key.as_str(), question.write())).collect();
        let questions: Vec<_> = questions.iter().map(|(key, question)| (*key, question.as_slice())).collect();
        let questions = object(&questions);
        let mut result: Vec<(&str, &[u8])> = vec![("resultType", b"\"input_required\""), ("inputRequests", &questions)];
        result.extend(self.state.as_deref().map(|state| ("requestState", state)));
        object(&[("jsonrpc", b"\"2.0\""), ("id", id), ("result", &object(&result))])
    }
}

/// The questions of `raw`, an `inputRequests`, with their keys; `None` where it can't be read.
pub(super) fn questions(raw: &[u8]) -> Option<Vec<(String, Question)>> {
    let all = parse_value(raw, &Limits::ANSWER).ok()??;
    let read = |member: &jsonrpc::Member| {
        let text = member.value.of(raw);
        let question = Question::read(text, &parse_value(text, &Limits::ANSWER).ok()??)?;
        Some((member.key.clone(), question))
    };
    all.members.iter().map(read).collect()
}

/// The raw objects of `raw`, an `inputResponses`, by their keys. What is no object answers nothing.
pub fn responses(raw: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let Ok(Some(all)) = parse_value(raw, &Limits::default()) else { return BTreeMap::new() };
    let entries = all.members.into_iter().map(|member| (member.key, member.value.of(raw).to_vec()));
    entries.filter(|(_, value)| value.starts_with(b"{")).collect()
}

/// `body`, a request whose envelope is `frame`, once more: under the raw id `id`, with the `answers` to what was asked for
/// and the raw `state` that was given out with it.
pub fn again(
    body: &[u8],
    frame: &Frame,
    id: &[u8],
    answers: &BTreeMap<String, Vec<u8>>,
    state: Option<&[u8]>,
) -> Option<Vec<u8>> {
    let answers: Vec<_> = answers.iter().map(|(key, answer)| (key.as_str(), answer.as_slice())).collect();
    let answers = object(&answers);
    let mut edits: Vec<(Span, Vec<u8>)> = vec![(frame.id?, id.to_vec())];
    let params = frame.params.as_ref()?;
    edits.extend(match state {
        Some(state) => change(params, &[("inputResponses", &answers), ("requestState", state)], &[]),
        None => change(params, &[("inputResponses", &answers)], &["requestState"]),
    });
    Some(splice(body, edits))
}

/// What a client says to a question that it was asked by a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The raw object of its answer.
    Result(Vec<u8>),
    /// It gives none.
    Error,
}

/// Reads the response `message` of a client; `None` where it is none.
pub fn reply(message: &[u8]) -> Option<Reply> {
    match jsonrpc::answer(message, &Limits::default()).ok()? {
        Answer::Result { result, .. } => Some(Reply::Result(result.span.of(message).to_vec())),
        Answer::Error { .. } => Some(Reply::Error),
        Answer::Notification { .. } | Answer::Request { .. } => None,
    }
}

fn edited(text: Vec<u8>, edits: impl FnOnce(&Object) -> Vec<(Span, Vec<u8>)>) -> Vec<u8> {
    match parse_value(&text, &Limits::ANSWER) {
        Ok(Some(object)) => splice(&text, edits(&object)),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::parse;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_read_and_written_the_same() {
        let message = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"Who?"}},"b":{"method":"roots/list"}},"requestState":"é\u0041"}}"#;
        let required = Required::read(message.as_bytes()).unwrap().unwrap();
        assert_eq!(required.questions.len(), 2);
        assert_eq!(required.state.as_deref(), Some(r#""é\u0041""#.as_bytes()), "byte by byte");
        assert_eq!(text(&required.response(b"7")), message);
        let asked = required.questions[0].1.request(b"\"x\"");
        assert_eq!(
            text(&asked),
            r#"{"jsonrpc":"2.0","id":"x","method":"elicitation/create","params":{"message":"Who?"}}"#
        );
    }

    #[test]
    fn a_result_that_asks_for_nothing_in_particular_is_refused() {
        let read = |result: &str| Required::read(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).as_bytes());
        assert_eq!(read(r#"{"resultType":"complete","inputRequests":{}}"#).unwrap(), None);
        assert_eq!(read("{}").unwrap(), None);
        assert!(read(r#"{"resultType":"input_required","requestState":"s"}"#).unwrap().is_some());
        for odd in [
            r#"{"resultType":"input_required"}"#,
            r#"{"resultType":"input_required","inputRequests":{}}"#,
            r#"{"resultType":"input_required","inputRequests":[]}"#,
            r#"{"resultType":"input_required","inputRequests":{"a":{}}}"#,
            r#"{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list","params":[]}}}"#,
            r#"{"resultType":"input_required","requestState":{}}"#,
        ] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_call_is_sent_again_with_answers_and_state_and_nothing_else_changed() {
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"n":1.0}}}"#;
        let frame = parse(body, &Limits::default()).unwrap();
        let answers = BTreeMap::from([("a".to_owned(), br#"{"action":"accept"}"#.to_vec())]);
        let second = again(body, &frame, b"\"2\"", &answers, Some(b"\"s\"")).unwrap();
        assert_eq!(
            text(&second),
            r#"{"jsonrpc":"2.0","id":"2","method":"tools/call","params":{"inputResponses":{"a":{"action":"accept"}},"requestState":"s","name":"x","arguments":{"n":1.0}}}"#
        );
        let frame = parse(&second, &Limits::default()).unwrap();
        let third = again(&second, &frame, b"3", &BTreeMap::new(), None).unwrap();
        assert!(!text(&third).contains("requestState") && text(&third).contains(r#""inputResponses":{}"#));
    }

    #[test]
    fn a_question_is_for_who_declared_its_kind() {
        let form = Capabilities::read(br#"{"elicitation":{}}"#);
        let ask = |method: &str, params: &str| Question { method: method.into(), params: Some(params.into()) };
        assert!(ask("elicitation/create", r#"{"message":"x"}"#).is_for(form));
        assert!(ask("elicitation/create", r#"{"mode":"form"}"#).is_for(form));
        for (method, params) in [
            ("elicitation/create", r#"{"mode":"url"}"#),
            ("elicitation/create", r#"{"mode":7}"#),
            ("sampling/createMessage", "{}"),
            ("sampling/createMessage", r#"{"tools":[]}"#),
            ("tools/call", "{}"),
            ("ping", "{}"),
        ] {
            assert!(!ask(method, params).is_for(form), "{method} {params}");
        }
    }

    #[test]
    fn answers_are_objects_and_parameters_keep_their_bytes() {
        let read = responses(br#"{"a":{"action":"accept"},"b":7,"c":null}"#);
        assert_eq!(read.keys().collect::<Vec<_>>(), ["a"]);
        assert!(responses(b"[]").is_empty());
        let question = Question { method: "x".into(), params: Some(br#"{"_meta":{},"n":1.0,"mode":"url"}"#.to_vec()) };
        let question = question.without(&["_meta"]).with_page_id("e");
        assert_eq!(text(&question.params.unwrap()), r#"{"elicitationId":"e","n":1.0,"mode":"url"}"#);
        assert_eq!(
            reply(br#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#),
            Some(Reply::Result(br#"{"roots":[]}"#.to_vec()))
        );
        assert_eq!(reply(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#), Some(Reply::Error));
        assert_eq!(reply(br#"{"jsonrpc":"2.0","method":"x"}"#), None);
    }
}
