//! A modern client is asked by the answer to its call, and the stream of an older server waits until it comes back.

use super::stage::{
    CAPABILITIES, POLICY, UPSTREAM, accept, ask, before, before_with, begun, edit, entries, form, is, is_parked,
    question, result, retry, script, script_calls, seen, server, set_policy, told, told_once,
};
use crate::support::gateway::{Gateway, modern};
use crate::support::journal;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::raw::Connection;
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Answer, Body, Speaks, Upstream};
use serde_json::{Value, json};

/// The line of the policy that declares its roles.
const ROLES: &str = "roles: { tester: {} }\n";

fn able() -> Value {
    json!({"elicitation": {}})
}

/// A server that asks for a name, and goes on with what it was called with after a `release`.
async fn asking() -> Upstream {
    let upstream = server(Speaks::Legacy).await;
    script(&upstream, |seen| {
        let call = seen.json();
        let text = format!("{} in {}", call["params"]["arguments"], call["id"]);
        let question = question(0, "elicitation/create", form("Write to ana@example.com?"));
        is(seen, "tools/call").then(|| begun(&[question, result(&call, &text)]))
    });
    upstream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_its_client_and_goes_on_with_its_answer() {
    let upstream = asking().await;
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({"n": 1}));
    let first = is_parked(&gateway.send(&call).await);
    let asked = &first["result"]["inputRequests"]["1"];
    assert_eq!((&first["id"], &asked["method"]), (&json!(1), &json!("elicitation/create")), "{first}");
    assert!(!first.to_string().contains("ana@example.com"), "what is asked is redacted: {first}");
    let opened = upstream.seen().into_iter().rfind(|seen| is(seen, "initialize")).unwrap();
    assert_eq!(opened.json()["params"]["capabilities"], json!({"elicitation": {}}));
    // The answer is there before the call is counted.
    let counted = async || gateway.metrics().await.contains("portcullis_calls_parked 1").then_some(());
    wait_until("it is counted", PATIENCE, counted).await;

    let second = retry(&call, &first, json!({"1": accept(), "more": accept()}));
    let (response, ()) = tokio::join!(gateway.send(&second), async {
        let told = told_once(&upstream, 1).await;
        assert_eq!(told, [json!({"jsonrpc": "2.0", "id": 0, "result": accept()})]);
        upstream.release();
    });
    let message = response.message();
    assert_eq!(message["id"], 2, "{message}");
    assert_eq!(message["result"]["resultType"], "complete", "{message}");
    let sent = upstream.calls();
    assert_eq!(sent.len(), 1, "the call is sent once");
    assert!(sent[0].json()["params"].get("requestState").is_none());
    assert!(message.to_string().contains(sent[0].json()["id"].as_str().unwrap()), "{message}");
    assert!(gateway.metrics().await.contains("portcullis_calls_parked 0"));

    let (intents, outcomes) = (entries(&gateway, "intent", 1).await, entries(&gateway, "outcome", 1).await);
    let events = entries(&gateway, "event", 1).await;
    assert_eq!((intents.len(), outcomes.len(), events.len()), (1, 1, 1));
    assert_eq!((&outcomes[0]["outcome"], &events[0]["outcome"]), (&json!("ok"), &json!("ok")));
    assert_eq!(events[0]["call_id"], intents[0]["call_id"], "the row of the second request names the call");
    assert_ne!(events[0]["request_id"], intents[0]["request_id"]);
    assert!(outcomes[0]["redactions"].as_str().unwrap().contains("email"), "{:?}", outcomes[0]);
}

/// Each of them leaves a row in the record, and nothing for the server; the state is still good for who it was given to.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_good_for_its_own_request_alone_and_once() {
    let upstream = asking().await;
    let gateway = before_with(&upstream, |mut setup| {
        setup.upstreams["endpoints"]["twin"] = json!({"upstreams": [UPSTREAM]});
        setup
    })
    .await;
    let call = ask("ana", &able(), json!({"n": 1}));
    let first = is_parked(&gateway.send(&call).await);
    let good = retry(&call, &first, json!({"1": accept()}));

    let with = |change: &dyn Fn(&mut Value)| edit(good.clone(), |body| change(body));
    let mut elsewhere = good.clone();
    elsewhere.path = "/twin/mcp".into();
    let state = first["result"]["requestState"].as_str().unwrap();
    let hostile = [
        good.clone().bearer(&Claims::new("bob", &["tester"]).sign()),
        good.clone().bearer(&Claims::new("ana", &["tester"]).with("azp", json!("other-agent")).sign()),
        elsewhere,
        with(&|body| body["params"]["arguments"] = json!({"n": 2})),
        with(&|body| {
            body["params"]["_meta"][CAPABILITIES] = json!({"elicitation": {}, "sampling": {}});
        }),
        with(&|body| body["params"]["requestState"] = json!("garbage")),
        with(&|body| body["params"]["requestState"] = json!("")),
        with(&|body| body["params"]["requestState"] = json!(format!("{state}A"))),
        with(&|body| body["params"]["requestState"] = json!(state.to_lowercase())),
    ];
    let before = upstream.seen().len();
    for (number, request) in hostile.iter().enumerate() {
        let response = gateway.send(request).await;
        assert_eq!((response.status, &response.message()["error"]["code"]), (400, &json!(-32602)), "{number}");
        assert_eq!(response.message()["id"], 2);
    }
    assert_eq!(upstream.seen().len(), before, "nothing has reached the server");
    let refused = entries(&gateway, "event", hostile.len()).await;
    assert!(refused.iter().all(|row| row["outcome"] == "refused"), "{refused:?}");

    let (response, replayed) = tokio::join!(gateway.send(&good), async {
        told_once(&upstream, 1).await;
        let replayed = gateway.send(&good).await;
        upstream.release();
        replayed
    });
    assert_eq!(response.message()["result"]["resultType"], "complete", "{}", response.text());
    assert_eq!((replayed.status, &replayed.message()["error"]["code"]), (400, &json!(-32602)));
    let late = gateway.send(&good).await;
    assert_eq!((late.status, &late.message()["error"]["code"]), (400, &json!(-32602)));
    assert_eq!(told(&upstream).len(), 1, "the question is answered once");
    assert_eq!(upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_at_once_get_their_own_answers() {
    let upstream = asking().await;
    let gateway = before(&upstream).await;
    let calls = [1, 2, 3].map(|n| ask("ana", &able(), json!({"n": n})));
    let mut waiting = Vec::new();
    for call in &calls {
        waiting.push(is_parked(&gateway.send(call).await));
    }
    let opened = seen(&upstream, "initialize", 2).await;
    assert_eq!(opened.len(), 2, "they share a session, beside that of the discovery");
    for (n, call, first) in [(3, &calls[2], &waiting[2]), (1, &calls[0], &waiting[0]), (2, &calls[1], &waiting[1])] {
        let before = told(&upstream).len();
        let second = retry(call, first, json!({"1": {"action": "decline"}}));
        let (response, ()) = tokio::join!(gateway.send(&second), async {
            told_once(&upstream, before + 1).await;
            // Those that still wait for it are released alike.
            (0..3).for_each(|_| upstream.release());
        });
        let message = response.message();
        let id = upstream.calls()[n - 1].json()["id"].clone();
        let text = message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{message}"));
        assert_eq!(text, format!("{} in {id}", json!({"n": n})));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_is_asked_for_again() {
    let upstream = server(Speaks::Legacy).await;
    // Two questions at once are two events of one piece.
    script(&upstream, |seen| {
        let call = seen.json();
        is(seen, "tools/call").then(|| {
            let ask = |id| question(id, "elicitation/create", form("Who?"));
            let event = |message: &Value| format!("data: {message}\n\n");
            let both = [event(&ask(5)), event(&ask(6))].concat();
            let pieces = [both, event(&result(&call, "done"))].map(String::into_bytes);
            Answer::new(200, "text/event-stream", Body::Begun(pieces.into()))
        })
    });
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({}));
    let first = is_parked(&gateway.send(&call).await);
    assert_eq!(first["result"]["inputRequests"].as_object().unwrap().len(), 2, "{first}");

    // Neither a stranger's key nor what is no object answers anything.
    let nothing = retry(&call, &first, json!({"3": accept(), "1": "yes", "2": accept()}));
    let second = is_parked(&gateway.send(&nothing).await);
    assert_eq!(told(&upstream), [json!({"jsonrpc": "2.0", "id": 6, "result": accept()})]);
    assert_eq!(second["result"]["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["1"]);
    assert_ne!(second["result"]["requestState"], first["result"]["requestState"]);
    // It has been answered: its row does not wait for the client to come back.
    assert_eq!(entries(&gateway, "event", 1).await.len(), 1);

    let rest = retry(&call, &second, json!({"1": accept()}));
    let (response, ()) = tokio::join!(gateway.send(&rest), async {
        assert_eq!(told_once(&upstream, 2).await[1]["id"], 5);
        upstream.release();
    });
    assert_eq!(response.message()["result"]["content"][0]["text"], "done");
    assert_eq!(entries(&gateway, "event", 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_asked_for_what_it_declared_and_the_server_is_told_of_the_rest() {
    let upstream = server(Speaks::Legacy).await;
    script_calls(&upstream, |call| {
        vec![
            question(1, "sampling/createMessage", json!({"messages": [], "maxTokens": 1})),
            question(2, "elicitation/create", json!({"mode": "url", "url": "https://example.com", "message": "x"})),
            question(3, "tools/call", json!({"name": "ask"})),
            question(4, "ping", json!({})),
            result(call, "without"),
        ]
    });
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({}));
    let (response, ()) = tokio::join!(gateway.send(&call), async {
        for count in 1..=4 {
            upstream.release();
            told_once(&upstream, count).await;
        }
        upstream.release();
    });
    assert_eq!(response.message()["result"]["content"][0]["text"], "without", "{}", response.text());
    let told = told(&upstream);
    assert!(told[..3].iter().all(|answer| answer["error"]["code"] == -32601), "{told:?}");
    assert_eq!(told[3], json!({"jsonrpc": "2.0", "id": 4, "result": {}}));
}

/// A call that has to wait for a person must not take the place of the request with the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_takes_no_place_among_those_that_run() {
    let upstream = asking().await;
    let limit = "limits: [{ per: [user], rate: 6000/m, burst: 600, concurrency: 1 }]\n";
    let gateway = before_with(&upstream, |mut setup| {
        setup.policy.push_str(limit);
        setup
    })
    .await;
    let call = ask("ana", &able(), json!({}));
    let first = is_parked(&gateway.send(&call).await);
    upstream.release();
    let response = gateway.send(&retry(&call, &first, json!({"1": accept()}))).await;
    assert_eq!(response.message()["result"]["resultType"], "complete", "{}", response.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_calls_of_one_principal_wait() {
    let upstream = asking().await;
    let gateway = before(&upstream).await;
    for n in 0..16 {
        is_parked(&gateway.send(&ask("ana", &able(), json!({"n": n}))).await);
    }
    let call = ask("ana", &able(), json!({"n": 16}));
    let message = gateway.send(&call).await.message();
    assert_eq!((&message["id"], &message["error"]["code"]), (&json!(1), &json!(-31429)), "{message}");
    assert!(message["error"]["message"].as_str().unwrap().contains("answer one of them"), "{message}");
    assert_eq!(told_once(&upstream, 1).await[0]["error"]["code"], -32601);
    assert_eq!(cancelled(&upstream).await, upstream.calls()[16].json()["id"], "it is taken back");
    let row = gateway.ended_call(|row| row["error"] == "too_many_waiting").await;
    assert_eq!(row["outcome"], "failed", "{row:?}");
    is_parked(&gateway.send(&ask("bob", &able(), json!({}))).await);
}

/// What policy comes to forbid does not wait for its client: the record says so at once, and the server stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_denied_while_it_waits_ends() {
    let upstream = asking().await;
    let gateway = before(&upstream).await;
    let call = ask("ana", &able(), json!({"n": 1}));
    let first = is_parked(&gateway.send(&call).await);
    // A change that says nothing of it.
    set_policy(&gateway, &format!("{POLICY}# more\nroles: {{ tester: {{}}, other: {{}} }}\n").replacen(ROLES, "", 1))
        .await;
    assert!(gateway.metrics().await.contains("portcullis_calls_parked 1"));
    set_policy(&gateway, &format!("{POLICY}rules: [{{ id: no-more, effect: deny, tools: [\"other.ask\"] }}]\n")).await;
    let outcome = entries(&gateway, "outcome", 1).await.remove(0);
    assert_eq!((&outcome["outcome"], &outcome["error"]), (&json!("failed"), &json!("unknown_tool")), "{outcome:?}");
    let row = gateway.ended_call(|row| row["method"] == "tools/call").await;
    assert_eq!(row["rule"], "no-more", "{row:?}");
    assert_eq!(cancelled(&upstream).await, upstream.calls()[0].json()["id"]);
    assert_eq!(told(&upstream)[0]["error"]["code"], -32601, "its question is answered by nobody");
    assert!(gateway.metrics().await.contains("portcullis_calls_parked 0"));

    set_policy(&gateway, POLICY).await;
    let late = gateway.send(&retry(&call, &first, json!({"1": accept()}))).await;
    assert_eq!((late.status, &late.message()["error"]["code"]), (400, &json!(-32602)), "it is no more");
    assert_eq!(upstream.calls().len(), 1);
}

async fn cancelled(upstream: &Upstream) -> Value {
    seen(upstream, "notifications/cancelled", 1).await[0].json()["params"]["requestId"].clone()
}

async fn leave(gateway: &Gateway, upstream: &Upstream, capabilities: &Value) {
    let call = ask("ana", capabilities, json!({}));
    {
        let mut connection = Connection::open(gateway.authority()).await;
        connection.send(&call.to_http1(gateway.authority())).await.unwrap();
        wait_until("the call runs", PATIENCE, async || (upstream.calls().len() == 1).then_some(())).await;
    }
    assert_eq!(cancelled(upstream).await, upstream.calls()[0].json()["id"]);
    let outcomes = entries(gateway, "outcome", 1).await;
    assert_eq!(outcomes[0]["outcome"], "cancelled");
}

/// An older server does not take a lost connection for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_call_back() {
    for capabilities in [able(), json!({})] {
        let upstream = asking().await;
        let gateway = before(&upstream).await;
        leave(&gateway, &upstream, &capabilities).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_end_with_the_process_and_their_server_is_told() {
    let upstream = asking().await;
    let mut gateway = before(&upstream).await;
    is_parked(&gateway.send(&ask("ana", &able(), json!({}))).await);
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    assert_eq!(cancelled(&upstream).await, upstream.calls()[0].json()["id"]);
    assert_eq!(told(&upstream)[0]["error"]["code"], -32601);
    assert_eq!(entries(&gateway, "outcome", 1).await[0]["outcome"], "cancelled");
}

/// Nobody can be asked outside of a call, and the server is told so, lest it wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_outside_of_a_call_is_refused() {
    let upstream = server(Speaks::Legacy).await;
    script(&upstream, |seen| {
        let ask = question(9, "roots/list", json!({}));
        (seen.method == "GET" && seen.path == "/mcp").then(|| begun(&[ask, json!({})]))
    });
    let gateway = before(&upstream).await;
    let response = gateway.send(&ask("ana", &json!({"roots": {}}), json!({}))).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let told = told_once(&upstream, 1).await;
    assert_eq!((&told[0]["id"], &told[0]["error"]["code"]), (&json!(9), &json!(-32601)));
    let row = gateway.ended_call(|row| row["method"] == "roots/list").await;
    assert_eq!((&row["outcome"], &row["error"]), (&json!("refused"), &json!("method_not_found")));
    assert_eq!((&row["subject"], &row["upstream"]), (&json!("ana"), &json!(UPSTREAM)));
    assert!(row["detail"].as_str().is_some_and(|detail| detail.starts_with("outside of a call")), "{row:?}");
}

/// It asks for as long as the session lasts, which is longer than any call: what has no row of its own is summed up before
/// the process ends, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_asks_outside_of_calls_is_bounded_and_all_of_it_counted() {
    let upstream = server(Speaks::Legacy).await;
    script(&upstream, |seen| {
        let asks = (0..40).map(|id| question(id, "roots/list", json!({})));
        (seen.method == "GET" && seen.path == "/mcp").then(|| begun(&[vec![json!({})], asks.collect()].concat()))
    });
    let mut gateway = before(&upstream).await;
    let response = gateway.send(&ask("ana", &json!({"roots": {}}), json!({}))).await;
    assert_eq!(response.status, 200, "{}", response.text());
    (0..41).for_each(|_| upstream.release());
    told_once(&upstream, 40).await;
    let metrics = gateway.metrics().await;
    assert!(metrics.contains(r#"portcullis_questions_total{method="roots/list",outcome="refused"} 40"#), "{metrics}");
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    let rows = journal::entries(&gateway.ready.journal).await;
    let refused: Vec<_> = rows.iter().filter(|row| row["error"] == "method_not_found").collect();
    let (sums, rows): (Vec<_>, Vec<_>) = refused.into_iter().partition(|row| row["method"] == "journal/summary");
    assert_eq!((rows.len(), sums.len()), (16, 1));
    let detail = sums[0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("24 refused questions are not recorded one by one"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_read_with_the_clients_help_too() {
    let upstream = server(Speaks::Legacy).await;
    script(&upstream, |seen| {
        let mut done = result(&seen.json(), "");
        done["result"] = json!({"contents": [{"uri": "x:y", "text": "read"}]});
        is(seen, "resources/read").then(|| begun(&[question(0, "elicitation/create", form("Really?")), done]))
    });
    let gateway = before(&upstream).await;
    let read = modern(UPSTREAM, "resources/read", json!({"uri": "x:y"})).header("mcp-name", "x:y");
    let read = edit(read, |body| body["params"]["_meta"][CAPABILITIES] = able()).bearer(&token("ana", &["tester"]));
    let first = is_parked(&gateway.send(&read).await);
    let (response, ()) =
        tokio::join!(async { gateway.send(&retry(&read, &first, json!({"1": accept()}))).await }, async {
            told_once(&upstream, 1).await;
            upstream.release();
        });
    let message = response.message();
    assert_eq!(message["result"]["contents"][0]["text"], "read", "{message}");
    assert_eq!(message["result"]["cacheScope"], "private");
}
