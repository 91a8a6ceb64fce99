//! What an upstream may ask of a client: whether an `input_required` result asks only for what the client said it can do
//! (MCP 2026-07-28 "Multi Round-Trip Requests": a server must not ask for more).

use super::capabilities::Capabilities;
use super::rounds;
use crate::jsonrpc::Object;

/// Whether each of the `inputRequests` of `result`, an object of `message`, is of a kind that `capabilities` declare, the
/// raw object of the request's `_meta`.
pub fn is_declared(result: &Object, message: &[u8], capabilities: &[u8]) -> bool {
    let Some(requests) = result.value("inputRequests") else { return true };
    let declared = Capabilities::read(capabilities);
    rounds::questions(requests.of(message))
        .is_some_and(|questions| questions.iter().all(|(_, question)| question.is_for(declared)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Limits, parse_value};

    #[test]
    fn a_client_is_asked_for_what_it_declared_alone() {
        let ask = |result: &str, capabilities: &str| {
            let object = parse_value(result.as_bytes(), &Limits::default()).unwrap().unwrap();
            is_declared(&object, result.as_bytes(), capabilities.as_bytes())
        };
        let elicit = r#"{"inputRequests":{"a":{"method":"elicitation/create","params":{}}}}"#;
        assert!(ask(elicit, r#"{"elicitation":{}}"#));
        assert!(ask(r#"{"requestState":"s"}"#, "{}"));
        for capabilities in ["{}", r#"{"sampling":{}}"#, r#"{"elicitation":null}"#, "null"] {
            assert!(!ask(elicit, capabilities), "{capabilities}");
        }
        for odd in [
            r#"{"inputRequests":[]}"#,
            r#"{"inputRequests":{"a":{}}}"#,
            r#"{"inputRequests":{"a":{"method":"tools/call"}}}"#,
            r#"{"inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url"}}}}"#,
            r#"{"inputRequests":{"a":{"method":"elicitation/create"},"b":{"method":"sampling/createMessage"}}}"#,
        ] {
            assert!(!ask(odd, r#"{"elicitation":{}}"#), "{odd}");
        }
    }
}
