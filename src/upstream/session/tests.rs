//! What answers to a handshake say.

use super::*;

#[test]
fn what_one_caller_is_refused_says_nothing_of_others() {
    let answer =
        |status: u16, body: &str| Answer { status, headers: http::HeaderMap::new(), body: body.to_owned().into() };
    let error = |code: i64| format!(r#"{{"jsonrpc":"2.0","id":0,"error":{{"code":{code},"message":"no"}}}}"#);
    let result = |version: &str| format!(r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{version}"}}}}"#);
    for (status, body) in [
        (404, String::new()),
        (405, String::new()),
        (404, error(-32601)),
        (400, error(-32022)),
        (200, error(-32601)),
        (200, result("2026-07-28")),
    ] {
        assert!(agreed(&answer(status, &body)).unwrap_err().is_of_all(), "{status} {body}");
    }
    for (status, body) in [
        (401, String::new()),
        (403, error(-32601)),
        (429, error(-32000)),
        (500, error(-32603)),
        (503, String::new()),
        (400, error(-32000)),
        (400, String::new()),
        (200, error(-32000)),
        (200, "<html>log in</html>".into()),
    ] {
        assert!(!agreed(&answer(status, &body)).unwrap_err().is_of_all(), "{status} {body}");
    }
    assert!(agreed(&answer(200, &result("2025-11-25"))).is_ok());
}
