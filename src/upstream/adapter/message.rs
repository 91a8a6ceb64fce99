//! What an adapter changes of a message: its id and its progress token, which are numbers of our own on the other side,
//! so that callers who share it never get each other's answers; and its line ends. Every other byte stays.

use portcullis_core::jsonrpc::{self, Answer, Frame, Limits, Object, Span};
use portcullis_core::mcp::news::META_SUBSCRIPTION;
use portcullis_core::mcp::rewrite::{change, splice};
use portcullis_core::mcp::version::Version;

/// The key of `_meta`, and of `notifications/progress`, that says which call is told of.
const TOKEN: &str = "progressToken";
/// The revision of HTTP+SSE; programs that were written for it still answer it over stdio.
const WITHOUT_HTTP: &[u8] = b"\"2024-11-05\"";

/// A request as its asker wrote it.
pub struct Original {
    /// The raw id.
    pub id: Vec<u8>,
    /// The raw progress token, where there is one.
    pub token: Option<Vec<u8>>,
}

impl Original {
    /// What `number` will stand for.
    pub fn of(body: &[u8], frame: &Frame) -> Self {
        let raw = |span: Span| span.of(body).to_vec();
        let token = frame.meta.as_ref().and_then(|meta| meta.value(TOKEN)).map(raw);
        Self { id: frame.id.map(raw).unwrap_or_default(), token }
    }
}

/// The request in `body` under `number`, in one line.
pub fn numbered(body: &[u8], frame: &Frame, number: u64) -> Vec<u8> {
    let token = frame.meta.as_ref().and_then(|meta| meta.value(TOKEN));
    let raw = number.to_string().into_bytes();
    let edits = frame.id.into_iter().chain(token).map(|span| (span, raw.clone())).collect();
    line(splice(body, edits))
}

/// The same text in one line. JSON has line ends between its parts alone, where a blank means the same.
pub fn line(mut text: Vec<u8>) -> Vec<u8> {
    for byte in text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    text
}

/// `notifications/cancelled` for the request `number`.
pub fn cancellation(number: u64, reason: &str) -> Vec<u8> {
    let reason = String::from_utf8_lossy(&jsonrpc::quote(reason)).into_owned();
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number},"reason":{reason}}}}}"#
    )
    .into_bytes()
}

/// An error as the answer to the request with the raw id `id`.
pub fn error(id: &[u8], code: i64, message: &str) -> Vec<u8> {
    let id = if id.is_empty() { b"null" } else { id };
    let error = [b"\"code\":", code.to_string().as_bytes(), b",\"message\":", &jsonrpc::quote(message)].concat();
    [br#"{"jsonrpc":"2.0","id":"#, id, br#","error":{"#, &error, b"}}"].concat()
}

/// A result, raw JSON, as the answer to the request with the raw id `id`.
pub fn result(id: &[u8], result: &[u8]) -> Vec<u8> {
    [br#"{"jsonrpc":"2.0","id":"#, id, br#","result":"#, result, b"}"].concat()
}

/// The end of a subscription as an answer (MCP 2026-07-28 "Subscriptions"): over stdio the server says it with
/// `notifications/cancelled`, over HTTP with a result.
pub fn subscription_ended(id: &[u8]) -> Vec<u8> {
    let meta = [b"{\"", META_SUBSCRIPTION.as_bytes(), b"\":", id, b"}"].concat();
    result(id, &[br#"{"resultType":"complete","_meta":"#, &meta[..], b"}"].concat())
}

/// The answer in `message` as its asker must see it.
pub fn answered(message: &[u8], answer: &Answer, original: &Original) -> Vec<u8> {
    let mut edits = Vec::new();
    match answer {
        Answer::Result { id, meta, .. } => {
            edits.push((*id, original.id.clone()));
            let subscription = meta.as_ref().and_then(|meta| meta.value(META_SUBSCRIPTION));
            edits.extend(subscription.map(|span| (span, original.id.clone())));
        }
        Answer::Error { id: Some(id), .. } => edits.push((*id, original.id.clone())),
        Answer::Error { id: None, error } => {
            return [br#"{"jsonrpc":"2.0","id":"#, &original.id[..], b",\"error\":", error.span.of(message), b"}"]
                .concat();
        }
        Answer::Notification { .. } | Answer::Request { .. } => {}
    }
    splice(message, edits)
}

/// Which of our requests a notification tells of.
pub enum About {
    /// The progress of a request, whose number stands at the span.
    Progress(u64, Span),
    /// A subscription, whose number stands at the span.
    Subscription(u64, Span),
    /// The end of the request that is named.
    End(u64),
    /// Nothing that it names.
    Nothing,
}

impl About {
    /// Reads the `params` of the notification `method` in `message`.
    pub fn read(message: &[u8], method: &str, params: Option<&Object>) -> Self {
        let Some(params) = params else { return Self::Nothing };
        if method == "notifications/progress" {
            let token = params.value(TOKEN);
            return token
                .and_then(|span| Some(Self::Progress(number(span.of(message))?, span)))
                .unwrap_or(Self::Nothing);
        }
        if method == "notifications/cancelled" {
            let request = params.value("requestId").and_then(|span| number(span.of(message)));
            return request.map_or(Self::Nothing, Self::End);
        }
        subscription(message, params).unwrap_or(Self::Nothing)
    }
}

fn subscription(message: &[u8], params: &Object) -> Option<About> {
    let outer = params.value("_meta")?;
    let meta = jsonrpc::parse_value(outer.of(message), &Limits::ANSWER).ok()??;
    let inner = meta.value(META_SUBSCRIPTION)?;
    let span = Span { start: outer.start + inner.start, end: outer.start + inner.end };
    Some(About::Subscription(number(span.of(message))?, span))
}

/// A number of ours, from its raw JSON. Some servers give numbers back as strings.
pub fn number(raw: &[u8]) -> Option<u64> {
    let digits = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(raw);
    std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// `message` with the raw JSON `with` at `span`.
pub fn with(message: &[u8], span: Span, with: &[u8]) -> Vec<u8> {
    splice(message, vec![(span, with.to_vec())])
}

/// The answer to a handshake, with 2025-03-26 in the place of 2024-11-05.
///
/// The gateway speaks no revision before Streamable HTTP. What 2025-03-26 adds to messages (batches, audio, annotations of
/// tools, the capability `completions`, a text in progress) is there for either side to use or not: a server of 2024-11-05
/// uses none of it, and the gateway sends no batch. What it takes away is HTTP+SSE, which ends at the adapter.
pub fn of_known_revision(message: &[u8], answer: &Answer) -> Vec<u8> {
    match answer {
        Answer::Result { result, .. } => {
            let old = result.value("protocolVersion").is_some_and(|span| span.of(message) == WITHOUT_HTTP);
            let known = jsonrpc::quote(Version::V2025_03_26.as_str());
            let edits = if old { change(result, &[("protocolVersion", &known)], &[]) } else { Vec::new() };
            splice(message, edits)
        }
        _ => message.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &str) -> Frame {
        jsonrpc::parse(body.as_bytes(), &Limits::default()).unwrap()
    }

    fn read(message: &str) -> Answer {
        jsonrpc::answer(message.as_bytes(), &Limits::ANSWER).unwrap()
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_goes_under_our_number_and_comes_back_under_its_own() {
        let body = "{\"jsonrpc\":\"2.0\",\n\"id\":\"a\\n\",\"method\":\"tools/call\",\r\n\"params\":{\"_meta\":{\"progressToken\":\"t\"},\"n\":1.10}}";
        let sent = text(numbered(body.as_bytes(), &frame(body), 7));
        let expected =
            r#"{"jsonrpc":"2.0", "id":7,"method":"tools/call",  "params":{"_meta":{"progressToken":7},"n":1.10}}"#;
        assert_eq!(sent, expected);
        let original = Original::of(body.as_bytes(), &frame(body));
        for (answer, expected) in [
            (r#"{"result":{},"id":7,"jsonrpc":"2.0"}"#, r#"{"result":{},"id":"a\n","jsonrpc":"2.0"}"#),
            (
                r#"{"jsonrpc":"2.0","id":"7","error":{"code":1,"message":""}}"#,
                r#"{"jsonrpc":"2.0","id":"a\n","error":{"code":1,"message":""}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#,
                r#"{"jsonrpc":"2.0","id":"a\n","error":{"code":1,"message":""}}"#,
            ),
        ] {
            assert_eq!(text(answered(answer.as_bytes(), &read(answer), &original)), expected);
        }
        assert_eq!(original.token.unwrap(), b"\"t\"");
    }

    #[test]
    fn news_say_which_request_they_are_about() {
        let about = |message: &str| match read(message) {
            Answer::Notification { method, params } => About::read(message.as_bytes(), &method, params.as_ref()),
            other => panic!("{other:?}"),
        };
        let progress =
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#;
        let About::Progress(7, span) = about(progress) else { panic!("progress") };
        assert!(text(with(progress.as_bytes(), span, b"\"t\"")).contains(r#""progressToken":"t","#));
        let news = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"x":1,"io.modelcontextprotocol/subscriptionId":7}}}"#;
        let About::Subscription(7, span) = about(news) else { panic!("subscription") };
        assert!(
            text(with(news.as_bytes(), span, b"\"l\""))
                .ends_with(r#""x":1,"io.modelcontextprotocol/subscriptionId":"l"}}}"#)
        );
        let end = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"7"}}"#;
        assert!(matches!(about(end), About::End(7)));
        for other in [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"theirs"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"_meta":{}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
        ] {
            assert!(matches!(about(other), About::Nothing), "{other}");
        }
    }

    #[test]
    fn the_oldest_revision_is_told_as_the_one_after_it() {
        let told = |version: &str| {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{version}","x":1}}}}"#);
            text(of_known_revision(answer.as_bytes(), &read(&answer)))
        };
        assert!(told("2024-11-05").contains(r#""protocolVersion":"2025-03-26","x":1"#));
        for version in ["2025-06-18", "2024-10-07", ""] {
            assert!(told(version).contains(&format!(r#""protocolVersion":"{version}""#)));
        }
    }

    #[test]
    fn what_we_write_ourselves_is_sound() {
        assert!(matches!(read(&text(error(b"", -32600, "a \"b\""))), Answer::Error { id: None, .. }));
        assert!(matches!(read(&text(subscription_ended(b"\"l\""))), Answer::Result { .. }));
        assert!(matches!(read(&text(cancellation(7, "the \"caller\" left"))), Answer::Notification { .. }));
    }
}
