//! Which message goes to whom, without a process.

use super::*;
use serde_json::{Value, json};

struct Other {
    session: Option<u64>,
    conversation: Arc<Conversation>,
    unwritten: mpsc::Receiver<Outgoing>,
}

fn begin(sharing: Sharing) -> Other {
    let (conversation, unwritten) = Conversation::new(sharing, Arc::new(Metrics::new().unwrap()));
    Other { session: None, conversation, unwritten }
}

impl Other {
    async fn ask(&mut self, request: Value) -> (Asked, Value) {
        let body = request.to_string();
        let frame = jsonrpc::parse(body.as_bytes(), &Limits::default()).unwrap();
        let asked = self.conversation.ask(self.session, body.as_bytes(), &frame, HeaderMap::new()).await.unwrap();
        (asked, self.written().await)
    }

    async fn written(&mut self) -> Value {
        serde_json::from_slice(&self.unwritten.recv().await.unwrap().text).unwrap()
    }

    fn says(&self, message: Value) {
        assert_eq!(self.conversation.take(message.to_string().as_bytes()), Ok(()), "{message}");
    }

    fn nothing_is_written(&mut self) {
        assert!(self.unwritten.try_recv().is_err());
    }
}

fn call(id: Value, meta: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "t", "_meta": meta}})
}

fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

async fn next(inbox: &mut Inbox) -> Value {
    serde_json::from_slice(&inbox.next().await.unwrap()).unwrap()
}

async fn answer(asked: &mut Asked) -> Value {
    serde_json::from_slice(&asked.answer().await.unwrap().message).unwrap()
}

#[tokio::test]
async fn equal_ids_and_tokens_of_two_callers_are_not_mixed_up() {
    let mut other = begin(Sharing::Shared);
    let (mut ana, first) = other.ask(call(json!(1), json!({"progressToken": "p"}))).await;
    let (mut bob, second) = other.ask(call(json!(1), json!({"progressToken": "p"}))).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["params"]["_meta"]["progressToken"], first["id"]);
    other.says(notification("notifications/progress", json!({"progressToken": second["id"], "progress": 2})));
    other.says(json!({"jsonrpc": "2.0", "id": second["id"], "result": {"of": "bob"}}));
    other.says(json!({"jsonrpc": "2.0", "id": first["id"], "result": {"of": "ana"}}));
    assert_eq!(next(&mut bob.news).await["params"], json!({"progressToken": "p", "progress": 2}));
    assert!(bob.news.next().await.is_none() && ana.news.next().await.is_none());
    assert_eq!(answer(&mut ana).await, json!({"jsonrpc": "2.0", "id": 1, "result": {"of": "ana"}}));
    assert_eq!(answer(&mut bob).await, json!({"jsonrpc": "2.0", "id": 1, "result": {"of": "bob"}}));
}

#[tokio::test]
async fn what_names_no_request_goes_to_the_only_call_or_to_the_session_or_to_nobody() {
    let mut other = begin(Sharing::Principal);
    let log = notification("notifications/message", json!({"level": "info", "data": "x"}));
    other.says(log.clone());
    let mut session = other.conversation.listen(1);
    other.says(log.clone());
    assert_eq!(next(&mut session).await, log);
    let (mut one, _) = other.ask(call(json!(1), json!({}))).await;
    other.says(log.clone());
    let changed = notification("notifications/tools/list_changed", json!({}));
    other.says(changed.clone());
    assert_eq!(next(&mut one.news).await, log);
    assert_eq!(next(&mut session).await, changed);
    let (_two, _) = other.ask(call(json!(2), json!({}))).await;
    other.says(log.clone());
    assert_eq!(next(&mut session).await, log);
}

#[tokio::test]
async fn in_a_shared_conversation_nothing_is_told_that_could_be_anothers() {
    let mut other = begin(Sharing::Shared);
    let mut sessions = [1, 2].map(|number| other.conversation.listen(number));
    let (one, _) = other.ask(call(json!(1), json!({}))).await;
    other.says(notification("notifications/message", json!({"level": "info", "data": "x"})));
    other.says(notification("notifications/resources/updated", json!({"uri": "x:y"})));
    other.says(json!({"jsonrpc": "2.0", "id": 0, "method": "elicitation/create", "params": {}}));
    let refusal = other.written().await;
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&json!(0), &json!(-32601)));
    let counted = other.conversation.metrics.render();
    let line = r#"portcullis_questions_total{method="elicitation/create",outcome="refused"} 1"#;
    assert!(counted.contains(line), "{counted}");
    let changed = notification("notifications/tools/list_changed", json!({}));
    other.says(changed.clone());
    for session in &mut sessions {
        assert_eq!(next(session).await, changed, "the only thing that all may know");
    }
    drop(one);
}

#[tokio::test]
async fn a_question_of_the_servers_is_asked_once_and_only_its_answer_goes_back() {
    let mut other = begin(Sharing::Principal);
    let question = json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list"});
    other.says(question.clone());
    assert_eq!(other.written().await["error"]["code"], -32601, "nobody is there");
    let (mut asked, _) = other.ask(call(json!(1), json!({}))).await;
    other.says(question.clone());
    assert_eq!(next(&mut asked.news).await, question);
    for (id, passed) in [("other", false), ("q", true), ("q", false)] {
        let reply = json!({"jsonrpc": "2.0", "id": id, "result": {"roots": []}});
        let text = reply.to_string();
        let frame = jsonrpc::parse(text.as_bytes(), &Limits::default()).unwrap();
        other.conversation.reply(text.as_bytes(), &frame, HeaderMap::new()).await.unwrap();
        if passed {
            assert_eq!(other.written().await, reply);
        } else {
            other.nothing_is_written();
        }
    }
    other.says(json!({"jsonrpc": "2.0", "id": 9, "method": "ping"}));
    assert_eq!(other.written().await, json!({"jsonrpc": "2.0", "id": 9, "result": {}}));
}

#[tokio::test]
async fn the_server_learns_that_a_caller_left_but_never_that_a_handshake_did() {
    let mut other = begin(Sharing::Principal);
    let (asked, sent) = other.ask(call(json!("mine"), json!({}))).await;
    drop(asked);
    let cancelled = other.written().await;
    assert_eq!(cancelled["params"]["requestId"], sent["id"]);
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    let (asked, _) = other.ask(hello).await;
    drop(asked);
    other.nothing_is_written();
    let (mut asked, sent) = other.ask(call(json!(1), json!({}))).await;
    other.says(json!({"jsonrpc": "2.0", "id": sent["id"], "result": {}}));
    answer(&mut asked).await;
    drop(asked);
    other.nothing_is_written();
}

/// MCP 2025-11-25 "Sending Messages to the Server": a connection that breaks takes nothing back.
#[tokio::test]
async fn a_call_in_a_session_runs_on_without_its_asker_until_it_is_taken_back() {
    let mut other = Other { session: Some(1), ..begin(Sharing::Principal) };
    let (asked, sent) = other.ask(call(json!("mine"), json!({}))).await;
    drop(asked);
    other.nothing_is_written();
    assert!(other.conversation.is_busy() && !other.conversation.is_held());
    other.says(json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}}));
    assert_eq!(other.written().await["error"]["code"], -32601, "nobody is there to be asked");
    cancel(&other, "mine").await;
    assert_eq!(other.written().await["params"]["requestId"], sent["id"]);
    assert!(!other.conversation.is_busy());
    // What is taken back first and left then is taken back once.
    let (asked, _) = other.ask(call(json!("mine"), json!({}))).await;
    cancel(&other, "mine").await;
    other.written().await;
    drop(asked);
    other.nothing_is_written();
    let (asked, sent) = other.ask(call(json!("mine"), json!({}))).await;
    drop(asked);
    other.says(json!({"jsonrpc": "2.0", "id": sent["id"], "result": {}}));
    assert!(!other.conversation.is_busy());
}

#[tokio::test]
async fn what_runs_on_of_a_session_ends_with_it_and_is_never_much() {
    let mut other = Other { session: Some(1), ..begin(Sharing::Shared) };
    let (asked, sent) = other.ask(call(json!(1), json!({}))).await;
    drop(asked);
    other.conversation.part(2);
    other.nothing_is_written();
    other.conversation.part(1);
    assert_eq!(other.written().await["params"]["requestId"], sent["id"]);
    let mut all = Vec::new();
    for _ in 0..300 {
        let (asked, sent) = other.ask(call(json!(1), json!({}))).await;
        drop(asked);
        all.push(sent["id"].clone());
        if all.len() > 256 {
            let oldest = &all[all.len() - 257];
            assert_eq!(other.written().await["params"]["requestId"], *oldest);
        }
    }
}

async fn cancel(other: &Other, id: &str) {
    let text = notification("notifications/cancelled", json!({"requestId": id})).to_string();
    let frame = jsonrpc::parse(text.as_bytes(), &Limits::default()).unwrap();
    other.conversation.notify(other.session, text.as_bytes(), &frame, HeaderMap::new()).await.unwrap();
}

#[tokio::test]
async fn a_cancellation_names_the_callers_own_request_as_the_server_knows_it() {
    for (sharing, asked_in, cancelled_in, id, passed) in [
        (Sharing::Principal, None, None, "mine", true),
        (Sharing::Principal, Some(1), Some(1), "mine", true),
        (Sharing::Principal, Some(1), Some(1), "unknown", false),
        (Sharing::Shared, Some(1), Some(1), "mine", true),
        (Sharing::Shared, Some(1), Some(2), "mine", false),
        (Sharing::Shared, None, None, "mine", false),
    ] {
        let mut other = Other { session: asked_in, ..begin(sharing) };
        let (_asked, sent) = other.ask(call(json!("mine"), json!({}))).await;
        let text = notification("notifications/cancelled", json!({"requestId": id})).to_string();
        let frame = jsonrpc::parse(text.as_bytes(), &Limits::default()).unwrap();
        other.conversation.notify(cancelled_in, text.as_bytes(), &frame, HeaderMap::new()).await.unwrap();
        if passed {
            assert_eq!(other.written().await["params"]["requestId"], sent["id"]);
        } else {
            other.nothing_is_written();
        }
    }
}

#[tokio::test]
async fn a_subscription_keeps_its_name_until_its_end() {
    const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
    let mut other = begin(Sharing::Principal);
    let listen = json!({"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": {"_meta": {}}});
    let (mut asked, sent) = other.ask(listen).await;
    let news = |id: &Value| notification("notifications/tools/list_changed", json!({"_meta": {SUBSCRIPTION: id}}));
    other.says(news(&sent["id"]));
    assert_eq!(next(&mut asked.news).await, news(&json!("l")));
    other.says(notification("notifications/cancelled", json!({"requestId": sent["id"]})));
    assert!(asked.news.next().await.is_none());
    let end = answer(&mut asked).await;
    assert_eq!((&end["id"], &end["result"]["_meta"][SUBSCRIPTION]), (&json!("l"), &json!("l")));
}

#[tokio::test]
async fn who_waits_when_the_server_ends_learns_it_at_once() {
    let mut other = begin(Sharing::Principal);
    let (mut asked, _) = other.ask(call(json!(1), json!({}))).await;
    let mut session = other.conversation.listen(1);
    other.conversation.end();
    assert!(asked.answer().await.is_err() && session.next().await.is_none());
    assert!(other.conversation.listen(1).next().await.is_none());
    assert!(!other.conversation.claim() && !other.conversation.is_busy());
}

#[tokio::test]
async fn what_is_no_message_is_garbage_unless_somebody_waits_for_it() {
    let mut other = begin(Sharing::Principal);
    let (mut asked, sent) = other.ask(call(json!(1), json!({}))).await;
    for garbage in ["listening on stdio", "[]", "{}", "{\"id\":77}", "\u{1b}[2J"] {
        assert_eq!(other.conversation.take(garbage.as_bytes()), Err(Garbage), "{garbage}");
    }
    let odd = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}},"extra":1}}"#, sent["id"]);
    assert_eq!(other.conversation.take(odd.as_bytes()), Ok(()));
    assert_eq!(asked.answer().await.unwrap().message, odd.as_bytes(), "it is refused further on");
    let (mut asked, sent) = other.ask(call(json!(1), json!({}))).await;
    let broken = format!(r#"{{"jsonrpc":"2.0","id":{},"result":NaN}}"#, sent["id"]);
    assert_eq!(other.conversation.take(broken.as_bytes()), Err(Garbage));
    assert!(asked.answer().await.is_err(), "nobody waits for what was lost");
}

#[tokio::test]
async fn only_a_server_that_refused_to_be_modern_can_be_taken_over() {
    let discover = || json!({"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {}});
    for (reply, taken) in [("error", true), ("result", false)] {
        let mut other = begin(Sharing::Principal);
        let (mut asked, sent) = other.ask(discover()).await;
        assert!(!other.conversation.claim(), "it is asked just now");
        other.says(json!({"jsonrpc": "2.0", "id": sent["id"], reply: {"code": -32601, "message": ""}}));
        answer(&mut asked).await;
        assert_eq!(other.conversation.claim(), taken, "{reply}");
        assert!(!other.conversation.claim(), "once");
    }
}
