//! Stage 10: what of an upstream's answer reaches the caller.
//!
//! It fails closed: an answer that can't be read, is too large, or is not an answer to this request is not passed on.

mod stream;
mod terms;
mod whole;
mod words;

pub use stream::Withheld;
pub use terms::{Eras, Talk, Tasks, Terms};

use crate::pipeline::reply::{Form as Asker, Reply, rpc_refusal};
use crate::pipeline::session::line::Renaming;
use bytes::Bytes;
use http::{HeaderMap, header};
use portcullis_core::jsonrpc::{self, Answer, Limits, Object};
use portcullis_core::mcp::asking;
use portcullis_core::mcp::level::Level;
use portcullis_core::mcp::method::Method;
use portcullis_core::mcp::rounds::Question;
use portcullis_core::mcp::sse;
use portcullis_core::redact::{Counts, Failure};
use portcullis_core::reject::{Era, Rejection};
use std::borrow::Cow;

/// How an answer is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// When it is complete.
    Whole,
    /// Event by event.
    Events,
}

/// The filter of one answer.
pub struct Filter {
    terms: Terms,
    upstream_status: u16,
    parser: Option<sse::Parser>,
    answered: bool,
    tool_error: bool,
    outdated: bool,
    counts: Counts,
    last_event: Option<String>,
}

/// What a caller must do who can't be asked by plain REST.
const OVER_MCP: &str = "call it over MCP, and declare that you can be asked";
/// The same for one of an older revision without a session, or with one in which it can be asked for nothing.
const WITHIN_A_SESSION: &str = "begin a session with initialize, declare in it that you can be asked (elicitation, sampling, \
                                roots), and call again within it";

/// What a message of an answer is to the caller.
enum Passed<'a> {
    /// The answer itself, or news about it.
    On(Cow<'a, [u8]>),
    /// Nothing that the caller asked for.
    Dropped,
}

impl Filter {
    /// The filter of an answer.
    pub fn new(terms: Terms) -> Self {
        let counts = Counts::default();
        let (answered, tool_error, outdated) = (false, false, false);
        Self { terms, upstream_status: 0, parser: None, answered, tool_error, outdated, counts, last_event: None }
    }

    /// Makes it the filter of the answer to the raw id `id`: the same call was sent again.
    pub fn again(&mut self, id: Bytes) {
        self.terms.id = id;
        (self.parser, self.answered, self.tool_error) = (None, false, false);
    }

    /// Makes it the filter of what is left of the answer of which `before` passed a part: the upstream knows the call by
    /// what the first request said.
    pub fn go_on_from(&mut self, before: &Self) {
        self.again(before.terms.id.clone());
        self.terms.talk.known = before.terms.talk.known.clone();
    }

    /// The raw id of the caller's request.
    pub fn asker(&self) -> &[u8] {
        if let Asker::Rpc(Some(id)) = &self.terms.asker { id } else { b"null" }
    }

    /// The most bytes that an answer, or an event of one, may have.
    pub fn limit(&self) -> usize {
        self.terms.limit
    }

    /// What was redacted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether the answer says that the tool failed, or is an error of the upstream's.
    pub fn tool_error(&self) -> bool {
        self.tool_error
    }

    /// Whether the caller has the answer.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Whether the upstream does not know the session, or may not: 404 says so (MCP 2025-11-25 "Session Management"), but
    /// there are servers that say 400, which with an answer to our own request speaks of that.
    pub fn lost_session(&self) -> bool {
        let lost = match self.upstream_status {
            404 => true,
            400 => !self.answered,
            _ => false,
        };
        lost && self.terms.eras.upstream == Era::Legacy
    }

    /// Whether what answered says that the upstream behind it can't.
    pub fn unavailable(&self) -> bool {
        matches!(self.upstream_status, 502..=504)
    }

    /// Whether the upstream says that the headers which repeat the arguments are not those of its tool: it has another
    /// definition than the one that is known of it.
    pub fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Judges the header.
    ///
    /// # Errors
    /// Why the answer can't be passed on.
    pub fn start(&mut self, status: u16, headers: &HeaderMap) -> Result<Form, Rejection> {
        self.upstream_status = status;
        match status {
            // It speaks of our session; a client of ours would take it for its own end of the conversation.
            404 if self.lost_session() => return Err(Rejection::UpstreamUnavailable),
            200 | 400 | 402 | 404..=499 => {}
            // Our own credential was refused: the caller can do nothing about it, and must not take it for their own.
            401 | 403 => return Err(Rejection::UpstreamUnavailable),
            500..=599 => return Err(Rejection::UpstreamUnavailable),
            _ => return Err(Rejection::ResponseUnreadable("status")),
        }
        if headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
            return Err(Rejection::ResponseUnreadable("content_encoding"));
        }
        match media_type(headers) {
            Some("application/json") => Ok(Form::Whole),
            Some("text/event-stream") if status == 200 => {
                self.parser = Some(sse::Parser::new(self.terms.limit));
                Ok(if self.is_rest() { Form::Whole } else { Form::Events })
            }
            _ if self.lost_session() => Err(Rejection::UpstreamUnavailable),
            _ => Err(Rejection::ResponseUnreadable("content_type")),
        }
    }

    /// Filters an answer that is complete: the status and body for the caller.
    ///
    /// # Errors
    /// Why it can't be passed on.
    pub fn whole(&mut self, body: &[u8]) -> Result<(u16, Bytes), Rejection> {
        let filtered = self.complete(body);
        if self.lost_session() { filtered.map_err(|_| Rejection::UpstreamUnavailable) } else { filtered }
    }

    fn complete(&mut self, body: &[u8]) -> Result<(u16, Bytes), Rejection> {
        let message = if self.parser.is_some() { self.collect(body)? } else { Cow::Borrowed(body) };
        match self.message(&message)? {
            Passed::On(filtered) if self.answered => self.finish(filtered),
            _ => Err(Rejection::ResponseUnreadable("not_our_answer")),
        }
    }

    /// Filters a piece of a stream: appends the events that are complete with it to `out`, as they go to the caller.
    ///
    /// # Errors
    /// Why the stream must end. What came before is in `out` all the same, so that it does not depend on how the stream
    /// was cut.
    pub fn events(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Rejection> {
        let mut events = Vec::new();
        let parser = self.parser.as_mut().ok_or(Rejection::Internal)?;
        let pushed = parser.push(chunk, &mut events);
        for event in events {
            self.event(event, out)?;
        }
        pushed.map_err(|_| Rejection::ResponseTooLarge)
    }

    fn event(&mut self, mut event: sse::Event, out: &mut Vec<u8>) -> Result<(), Rejection> {
        // An id is only good where the upstream's stream can be taken up again; names and comments could carry what
        // messages may not.
        if let Some(id) = event.id.take() {
            event.id = self.terms.line.as_mut().and_then(|line| line.event_id(&id));
            self.last_event = Some(id);
        }
        event.event = event.event.filter(|name| name == "message");
        event.comments.iter_mut().for_each(String::clear);
        let Some(data) = event.data.take() else {
            event.write(out);
            return Ok(());
        };
        if data.is_empty() {
            // It says from where on the stream could be taken up again (SEP-1699), or nothing at all.
            if event.id.is_some() {
                event.data = Some(data);
                event.write(out);
            }
            return Ok(());
        }
        if let Passed::On(message) = self.message(data.as_bytes())? {
            event.data = Some(text(&message)?);
            event.write(out);
        }
        Ok(())
    }

    /// The stream is over.
    ///
    /// # Errors
    /// [`Rejection::UpstreamUnavailable`] where it ended before it held the answer.
    pub fn end(&mut self) -> Result<(), Rejection> {
        if self.answered { Ok(()) } else { Err(Rejection::UpstreamUnavailable) }
    }

    /// A refusal as the last event of a stream.
    pub fn error_event(&self, rejection: &Rejection) -> Bytes {
        if self.answered {
            return Bytes::new();
        }
        let id = if let Asker::Rpc(id) = &self.terms.asker { id.as_deref() } else { None };
        let refusal = rpc_refusal(id, rejection);
        let mut out = Vec::new();
        sse::Event::message(String::from_utf8_lossy(&refusal)).write(&mut out);
        out.into()
    }

    /// A refusal in place of the answer.
    pub fn refusal(&self, rejection: &Rejection) -> Reply {
        self.terms.asker.refusal(rejection)
    }

    /// What the upstream asks of the caller in `message`, as the caller may see it, under the upstream's own raw id; `None`
    /// where it asks nothing.
    ///
    /// # Errors
    /// Why it can't be put to the caller.
    pub fn question(&mut self, message: &[u8]) -> Result<Option<(Bytes, Question)>, Rejection> {
        let Answer::Request { id, .. } = read(message)? else { return Ok(None) };
        let id = Bytes::copy_from_slice(id.of(message));
        self.check_unseen(message)?;
        let redacted = self.redact(message)?;
        let Answer::Request { method, params, .. } = read(&redacted)? else { return Err(Rejection::Internal) };
        Ok(Some((id, Question::of(&redacted, &method, params.as_ref()))))
    }

    /// What of an event's `message` is for the caller; `None` where nothing is.
    ///
    /// # Errors
    /// Why the stream must end.
    pub fn pass(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>, Rejection> {
        Ok(match self.message(message)? {
            Passed::On(message) => Some(message.into_owned()),
            Passed::Dropped => None,
        })
    }

    fn check_unseen(&self, message: &[u8]) -> Result<(), Rejection> {
        if self.terms.unseen.is_in(message) {
            tracing::error!(tool = %self.terms.name, "an answer holds a secret of the gateway's and is not passed on");
            return Err(Rejection::ResponseBlocked);
        }
        Ok(())
    }

    /// Filters one message.
    fn message<'a>(&mut self, message: &'a [u8]) -> Result<Passed<'a>, Rejection> {
        let answer = read(message)?;
        let mut renaming = None;
        match &answer {
            Answer::Request { id, method, params } => {
                let line = self.terms.line.as_mut();
                renaming = line.and_then(|line| line.ask(*id, method, params.as_ref(), message));
                if renaming.is_none() {
                    return Ok(Passed::Dropped);
                }
            }
            // News of this call. Any other is of something else, which the caller may not know of (abuse case 101).
            Answer::Notification { method, params } if self.is_news(method, params.as_ref(), message) => {
                renaming = self.own_token(method, params.as_ref(), message);
            }
            Answer::Notification { method, params } => match self.told(method, params.as_ref(), message) {
                Some(told) => renaming = told,
                None => return Ok(Passed::Dropped),
            },
            _ if self.answered || !self.is_ours(&answer, message) => return Ok(Passed::Dropped),
            Answer::Error { error, .. } => {
                self.tool_error = true;
                self.outdated = self.is_outdated_by(error, message);
            }
            Answer::Result { result, .. } => {
                self.check_kind(result, message)?;
                self.tool_error = result.value("isError").is_some_and(|span| span.of(message) == b"true");
            }
        }
        let passed = self.clear(message, &answer, renaming);
        if let (Answer::Request { id, method, .. }, Some(line)) = (&answer, &mut self.terms.line) {
            line.put(id.of(message), method, passed.as_ref().err());
        }
        let passed = passed?;
        // Not before: where it is refused, the caller still waits for an answer.
        self.answered |= matches!(answer, Answer::Result { .. } | Answer::Error { .. });
        Ok(Passed::On(passed))
    }

    /// What of `message` may be passed on, as its caller must see it.
    fn clear<'a>(
        &mut self,
        message: &'a [u8],
        answer: &Answer,
        renaming: Option<Renaming>,
    ) -> Result<Cow<'a, [u8]>, Rejection> {
        self.check_unseen(message)?;
        match self.translate(message, answer, renaming)? {
            Cow::Borrowed(message) => self.redact(message),
            Cow::Owned(message) => Ok(Cow::Owned(self.redact(&message)?.into_owned())),
        }
    }

    /// A result is the end of the call, or asks for something that the caller said it can give (MCP 2026-07-28 "ResultType").
    fn check_kind(&self, result: &Object, message: &[u8]) -> Result<(), Rejection> {
        // One that does not say what it is, is complete.
        let kind = result.value("resultType").map_or(&b"\"complete\""[..], |kind| kind.of(message));
        match (jsonrpc::string(kind).as_deref(), &self.terms.capabilities) {
            (Some("complete"), Some(declared)) if matches!(self.terms.tasks, Tasks::About(_)) => {
                let fits = asking::is_declared(result, message, declared);
                if fits {
                    Ok(())
                } else {
                    Err(Rejection::UpstreamIncompatible("it asks for input that you can't give"))
                }
            }
            (Some("complete"), _) => Ok(()),
            (Some("task"), _) if matches!(self.terms.tasks, Tasks::Begun(_)) => Ok(()),
            (Some("task"), _) => Err(Rejection::UpstreamIncompatible("it makes a task of it, which you can't follow")),
            // There is no such result in older revisions; whoever made it would not know what comes back.
            (Some("input_required"), _) if self.terms.eras.upstream == Era::Legacy => {
                Err(Rejection::ResponseUnreadable("result_type"))
            }
            (Some("input_required"), Some(declared)) if asking::is_declared(result, message, declared) => Ok(()),
            (Some("input_required"), None) if self.is_rest() => Err(Rejection::InputMissing(OVER_MCP)),
            (Some("input_required"), None) => Err(Rejection::InputMissing(WITHIN_A_SESSION)),
            (Some("input_required"), _) => {
                Err(Rejection::UpstreamIncompatible("it asks for input that you can't give"))
            }
            _ => Err(Rejection::ResponseUnreadable("result_type")),
        }
    }

    /// Whether a notification tells of this call what its caller wants to know: of no progress but its own, and of logs
    /// where it asked (MCP 2026-07-28 "Progress", "Logging").
    fn is_news(&self, method: &str, params: Option<&Object>, message: &[u8]) -> bool {
        match Method::parse(method) {
            Method::LogMessage => {
                let level = params.and_then(|params| params.value("level"));
                let level = level.and_then(|span| Level::parse(&jsonrpc::string(span.of(message))?));
                self.terms.talk.logs.is_some_and(|from| from == Level::ALL || level >= Some(from))
            }
            Method::Progress => {
                let told = params.and_then(|params| params.value("progressToken")).map(|span| span.of(message));
                match (told, &self.terms.talk.known) {
                    (Some(told), Some(known)) => self.terms.talk.progress.is_some() && jsonrpc::same_id(told, known),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// How the token of progress becomes the caller's, where the upstream knows the call by that of an earlier request.
    fn own_token(&self, method: &str, params: Option<&Object>, message: &[u8]) -> Option<Renaming> {
        let told = params?.value("progressToken").filter(|_| Method::parse(method) == Method::Progress)?;
        let own = self.terms.talk.progress.as_ref().filter(|own| !jsonrpc::same_id(told.of(message), own))?;
        Some((told, own.to_vec()))
    }

    fn redact<'a>(&mut self, message: &'a [u8]) -> Result<Cow<'a, [u8]>, Rejection> {
        let redacted = self.terms.plan.json(message).map_err(|failure| match failure {
            Failure::Blocked { .. } => Rejection::ResponseBlocked,
            _ => Rejection::ResponseUnreadable("redaction"),
        })?;
        self.counts.merge(&redacted.counts);
        if let Cow::Owned(changed) = &redacted.bytes {
            self.check_output(changed)?;
        }
        Ok(redacted.bytes)
    }

    /// Redaction must not leave a `structuredContent` that its own schema forbids: the client would take it for a fault of
    /// the tool, or read another meaning into it (abuse case 143). Failures need not fit it.
    fn check_output(&self, message: &[u8]) -> Result<(), Rejection> {
        let output = self.terms.tool.as_ref().and_then(|tool| tool.output.as_ref());
        let Some(validator) = output.filter(|_| !self.tool_error) else { return Ok(()) };
        let Answer::Result { result, .. } = read(message)? else { return Ok(()) };
        let Some(structured) = result.value("structuredContent") else { return Ok(()) };
        let fits = serde_json::from_slice(structured.of(message)).is_ok_and(|value| validator.validate(&value).is_ok());
        if fits { Ok(()) } else { Err(Rejection::ResponseUnreadable("redaction_breaks_output_schema")) }
    }

    fn is_rest(&self) -> bool {
        matches!(self.terms.asker, Asker::Rest)
    }

    /// Whether the message answers our request.
    fn is_ours(&self, answer: &Answer, message: &[u8]) -> bool {
        match answer {
            Answer::Result { id, .. } | Answer::Error { id: Some(id), .. } => {
                jsonrpc::same_id(id.of(message), &self.terms.id)
            }
            _ => false,
        }
    }
}

fn read(message: &[u8]) -> Result<Answer, Rejection> {
    jsonrpc::answer(message, &Limits::ANSWER)
}

fn text(message: &[u8]) -> Result<String, Rejection> {
    std::str::from_utf8(message).map(str::to_owned).map_err(|_| Rejection::Internal)
}

/// The media type, without parameters; `None` where it is missing or repeated.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let only = values.next()?;
    if values.next().is_some() {
        return None;
    }
    only.to_str().ok()?.split(';').next().map(str::trim)
}

#[cfg(test)]
mod tests;
