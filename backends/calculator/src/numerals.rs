//! Keeps the numbers of a tool call as the caller wrote them. A JSON parser turns 0.12345678901234567890 into the nearest
//! 64-bit float before a tool sees it; here every number among the arguments becomes a string of the same characters
//! first. Nothing else of the message changes, and what is not a JSON-RPC object passes as it is, for the MCP layer to
//! refuse.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use portcullis_backend_server::MAX_REQUEST_BYTES;
use serde_json::value::RawValue;

/// A JSON object whose values keep their text.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads the body, quotes the numbers among the arguments and passes the request on.
pub async fn keep(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        let problem = format!("the body is broken off or longer than {MAX_REQUEST_BYTES} bytes");
        return (StatusCode::PAYLOAD_TOO_LARGE, problem).into_response();
    };
    let body = match quote_arguments(&body) {
        Some(changed) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Body::from(changed)
        }
        None => Body::from(body),
    };
    next.run(Request::from_parts(parts, body)).await
}

/// The message with its `params.arguments` quoted, or nothing where it has none.
fn quote_arguments(message: &[u8]) -> Option<String> {
    let mut message: Fields = serde_json::from_slice(message).ok()?;
    let mut params: Fields = serde_json::from_str(message.get("params")?.get()).ok()?;
    let arguments = RawValue::from_string(quote(params.get("arguments")?.get())).ok()?;
    params.insert("arguments".to_owned(), &arguments);
    let params = serde_json::value::to_raw_value(&params).ok()?;
    message.insert("params".to_owned(), &params);
    serde_json::to_string(&message).ok()
}

/// Puts every number of a JSON text between quotation marks. The text is well-formed: a parser has been over it.
fn quote(json: &str) -> String {
    let mut quoted = String::with_capacity(json.len() + json.len() / 4);
    let (mut in_string, mut escaped, mut in_number) = (false, false, false);
    for character in json.chars() {
        // Outside strings these characters occur in numbers only, but for the e of true and false and the - of none.
        let numeric = !in_string && (matches!(character, '0'..='9' | '-') || (in_number && ".eE+".contains(character)));
        if numeric != in_number {
            quoted.push('"');
            in_number = numeric;
        }
        quoted.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            _ => {}
        }
    }
    if in_number {
        quoted.push('"');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn numbers_become_strings_of_the_same_characters() {
        let cases = [
            ("[0.10, -1E+400,2e-5]", r#"["0.10", "-1E+400","2e-5"]"#),
            (
                r#"{"a1":[true,false,null],"b":{"c":12345678901234567890}}"#,
                r#"{"a1":[true,false,null],"b":{"c":"12345678901234567890"}}"#,
            ),
            (r#"{"text":"1.5 and \"2\" \\","n":3}"#, r#"{"text":"1.5 and \"2\" \\","n":"3"}"#),
            (r#"["\\",7,"é7"]"#, r#"["\\","7","é7"]"#),
            ("42", r#""42""#),
            ("{}", "{}"),
        ];
        for (given, expected) in cases {
            assert_eq!(quote(given), expected);
            serde_json::from_str::<Value>(&quote(given)).unwrap();
        }
    }

    #[test]
    fn only_the_arguments_change() {
        let given = br#"{"jsonrpc":"2.0","id":1,"params":{"_meta":{"progressToken":7},"arguments":{"x":0.1}}}"#;
        let changed: Value = serde_json::from_str(&quote_arguments(given).unwrap()).unwrap();
        let expected = r#"{"jsonrpc":"2.0","id":1,"params":{"_meta":{"progressToken":7},"arguments":{"x":"0.1"}}}"#;
        assert_eq!(changed, serde_json::from_str::<Value>(expected).unwrap());
    }

    #[test]
    fn what_has_no_arguments_passes_as_it_is() {
        for given in ["", "[1]", "{", "{}", r#"{"params":[1]}"#, r#"{"params":{"name":"x"}}"#, "{\"a\":1}\u{0}"] {
            assert_eq!(quote_arguments(given.as_bytes()), None, "{given}");
        }
    }
}
