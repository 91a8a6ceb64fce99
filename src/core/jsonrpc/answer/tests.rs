//! Answers of upstreams, sound and not.

use super::*;

#[test]
fn an_answer_of_an_upstream_is_read_whatever_its_order() {
    let read = |body: &'static str| answer(body.as_bytes(), &Limits::ANSWER);
    let body = r#"{"result":{"resultType":"complete","_meta":{"a":1}},"jsonrpc":"2.0","id":"x"}"#;
    let Ok(Answer::Result { id, result, meta }) = read(body) else { panic!() };
    assert_eq!(id.of(body.as_bytes()), b"\"x\"");
    assert_eq!(result.value("resultType").unwrap().of(body.as_bytes()), b"\"complete\"");
    assert_eq!(meta.unwrap().members.len(), 1);
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"x"}}"#),
        Ok(Answer::Error { id: None, .. })
    ));
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#),
        Ok(Answer::Notification { method, params: Some(_) }) if method == "notifications/progress"
    ));
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage"}"#),
        Ok(Answer::Request { params: None, .. })
    ));
}

#[test]
fn an_answer_that_could_be_read_in_two_ways_is_unreadable() {
    for body in [
        "",
        "[]",
        "<html>",
        r#"{"jsonrpc":"2.0","id":1,"result":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"Result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"Content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#,
        r#"{"id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"a","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"salary":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","salary":1}}"#,
    ] {
        let result = answer(body.as_bytes(), &Limits::ANSWER);
        assert!(matches!(result, Err(Rejection::ResponseUnreadable(_))), "{body}: {result:?}");
    }
}
