//! 2026-07-28: no session, and headers that repeat the body of each request (MCP 2026-07-28 "Standard Request Headers").

use super::bridge::Bridge;
use super::exchange::{Answer, Channel, End};
use super::message::{self, Message};
use super::refusal::Refusal;
use super::session::PROTOCOL_VERSION;
use super::tools::{Tools, next_cursor};
use portcullis_core::jsonrpc::{object, quote};
use portcullis_core::mcp::headers::encode;
use portcullis_core::mcp::method::Method;
use portcullis_core::mcp::{META_CAPABILITIES, META_CLIENT, META_VERSION};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A header contradicts the body, or is missing; so the call did not run (MCP 2026-07-28 "Error Codes").
const HEADER_MISMATCH: i64 = -32020;

/// The id of our own requests; each is alone in its exchange.
const OUR_ID: &[u8] = b"\"portcullis-connect-tools\"";

/// Pages of a list that are read.
const PAGES: usize = 50;

/// Sends a request, with the raw id `id`, of a client that speaks `revision`.
///
/// # Errors
/// Why there is no answer.
pub async fn ask(bridge: &Bridge, message: &Message, id: &[u8], revision: &str) -> Result<Answer, Refusal> {
    let (channel, tools) = (&bridge.channel, &bridge.tools);
    let method = Method::parse(&message.frame.method);
    let silence = (method != Method::Listen).then_some(channel.timeout);
    let headers = headers(message, revision, tools)?;
    let mut end = channel.ask(&headers, message.body.clone(), id, silence).await;
    if method == Method::ToolsCall && mismatched(&end) {
        refresh(channel, tools, message, revision).await;
        let anew = self::headers(message, revision, tools)?;
        if anew != headers {
            tracing::info!("the server's tools had changed; the call is sent with other headers");
            end = channel.ask(&anew, message.body.clone(), id, silence).await;
        }
    }
    match end {
        End::Answered(mut answer) => {
            if method == Method::ToolsList {
                answer.line = tools.learn(&answer.line);
            }
            Ok(*answer)
        }
        End::Refused(refusal) => Err(refusal),
        End::Broken { failure, .. } => Err(Refusal::of(&failure, &channel.http)),
    }
}

/// What a message repeats in headers.
///
/// # Errors
/// It holds what no header can.
pub fn headers(message: &Message, revision: &str, tools: &Tools) -> Result<HeaderMap, Refusal> {
    let method = message.frame.method.as_str();
    let mut headers = HeaderMap::new();
    headers.insert(PROTOCOL_VERSION, value(revision)?);
    headers.insert(METHOD, value(method)?);
    let method = Method::parse(method);
    if let Some(name) = method.named_by().and_then(|key| message.text(key)) {
        headers.insert(NAME, value(&encode(&name))?);
    }
    if method == Method::ToolsCall
        && let Some(tool) = message.text("name")
    {
        for (name, text) in tools.headers(&tool, message.param("arguments").unwrap_or_default()) {
            let name = HeaderName::from_bytes(format!("mcp-param-{name}").as_bytes());
            headers.insert(name.map_err(|_| unfit())?, value(&text)?);
        }
    }
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| unfit())
}

fn unfit() -> Refusal {
    Refusal::new(-32600, "the method or the revision can't be repeated in a header")
}

fn mismatched(end: &End) -> bool {
    let code = match end {
        End::Answered(answer) => message::outcome(&answer.line).error.map(|error| error.code),
        End::Refused(refusal) => Some(refusal.code),
        End::Broken { .. } => None,
    };
    code == Some(HEADER_MISMATCH)
}

/// Reads the list of tools anew, in the name of the client.
async fn refresh(channel: &Channel, tools: &Tools, message: &Message, revision: &str) {
    let mut cursor = None;
    for _ in 0..PAGES {
        let Ok(page) = Message::read(list(message, revision, cursor.as_deref()).into()) else { return };
        let Ok(headers) = headers(&page, revision, tools) else { return };
        let end = channel.ask(&headers, page.body, OUR_ID, Some(channel.timeout)).await;
        let End::Answered(answer) = end else { return };
        tools.learn(&answer.line);
        cursor = next_cursor(&answer.line);
        answer.part().await;
        if cursor.is_none() {
            return;
        }
    }
}

/// A request for the tools, with what `message` says of the client, but not with its progress token.
fn list(message: &Message, revision: &str, cursor: Option<&str>) -> Vec<u8> {
    let revision = quote(revision);
    let mut meta = BTreeMap::from([(META_VERSION, &revision[..]), (META_CAPABILITIES, b"{}")]);
    for key in [META_CLIENT, META_CAPABILITIES] {
        if let Some(value) = message.meta(key) {
            meta.insert(key, value);
        }
    }
    let meta = object(&meta.into_iter().collect::<Vec<_>>());
    let cursor = cursor.map(quote);
    let mut params = vec![("_meta", &meta[..])];
    params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
    let params = object(&params);
    object(&[("jsonrpc", b"\"2.0\""), ("id", OUR_ID), ("method", b"\"tools/list\""), ("params", &params)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(method: &str, params: &str) -> Message {
        Message::read(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#).into()).unwrap()
    }

    #[test]
    fn headers_repeat_the_body() {
        let tools = Tools::default();
        let list = r#"{"result":{"tools":[{"name":"é","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"R"}}}}]}}"#;
        tools.learn(&list.into());
        for (method, params, expected) in [
            ("tools/list", "{}", "mcp-method: tools/list"),
            ("tools/call", r#"{"name":"add"}"#, "mcp-method: tools/call, mcp-name: add"),
            (
                "tools/call",
                r#"{"name":"\u00e9","arguments":{"r":"x"}}"#,
                "mcp-method: tools/call, mcp-name: =?base64?w6k=?=, mcp-param-r: x",
            ),
            ("resources/read", r#"{"uri":"a://b"}"#, "mcp-method: resources/read, mcp-name: a://b"),
            ("prompts/get", r#"{"name":7}"#, "mcp-method: prompts/get"),
        ] {
            let headers = headers(&message(method, params), "2026-07-28", &tools).unwrap();
            assert_eq!(headers[PROTOCOL_VERSION], "2026-07-28");
            let others = headers.iter().filter(|(name, _)| *name != PROTOCOL_VERSION);
            let others: Vec<_> = others.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            assert_eq!(others.join(", "), expected);
        }
        assert!(headers(&message("tools/list", "{}"), "2026\n", &tools).is_err());
    }

    #[test]
    fn our_own_list_speaks_for_the_client() {
        let call = message(
            "tools/call",
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1,
               "io.modelcontextprotocol/clientInfo":{"name":"c"}},"name":"a"}"#,
        );
        let list: serde_json::Value = serde_json::from_slice(&list(&call, "2026-07-28", Some("p"))).unwrap();
        assert_eq!(list["params"]["cursor"], "p");
        assert_eq!(list["params"]["_meta"][META_CLIENT]["name"], "c");
        assert_eq!(list["params"]["_meta"][META_CAPABILITIES], serde_json::json!({}));
        assert!(list["params"]["_meta"]["progressToken"].is_null());
    }
}
