//! The journal's promise: one row for each request, whatever became of it, with what happened and without what must not be
//! kept. What makes rows trustworthy afterwards is the business of `store::journal`.

use crate::support::gateway::{BINARY, GATEWAY_SECRET, Gateway, Setup, legacy, modern, modern_call};
use crate::support::http::{Connection, Request, Response, Version, fetch};
use crate::support::journal;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{SECRET, token};
use crate::support::upstream::{Answer, Body, Speaks, Upstream};
use serde_json::{Map, Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _};
use std::process::Command;

const POLICY: &str = r#"
version: 1
roles: { developer: {} }
tools: [{ match: "crm.echo", class: read }, { match: "crm.erase", class: destructive }]
access: [{ roles: [developer], upstreams: [crm], level: read }]
rules: [{ id: ask, effect: review, tools: [crm.erase], roles: [developer], approvers: [developer] }]
payload: { request: 2MiB, response: 64KiB }
redaction: [{ detect: [email], action: mask }]
"#;

async fn set(change: impl FnOnce(Setup) -> Setup) -> (Upstream, Gateway) {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, ["echo", "erase", "hidden"].map(tool).to_vec()).await;
    let gateway = change(Setup::new(&[("crm", upstream.url()), ("files", upstream.url())], POLICY)).start().await;
    (upstream, gateway)
}

fn developer() -> String {
    token("dora", &["developer"])
}

fn call(tool: &str, arguments: &Value) -> Request {
    modern_call("crm", tool, arguments).bearer(&developer())
}

/// The one row of the exchange that was answered with `response`.
async fn row(gateway: &Gateway, response: &Response) -> Map<String, Value> {
    let id = response.header("x-request-id").unwrap();
    let rows = gateway.ended_calls(1, |call| call["request_id"] == id).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.into_iter().next().unwrap()
}

/// A request and what its row must say; an empty text for what is not there.
struct Sent {
    name: &'static str,
    request: Request,
    method: &'static str,
    error: &'static str,
    decision: &'static str,
}

fn sent(
    name: &'static str,
    request: Request,
    method: &'static str,
    error: &'static str,
    decision: &'static str,
) -> Sent {
    Sent { name, request, method, error, decision }
}

fn calls() -> Vec<Sent> {
    let rest = |tool: &str| {
        let body = json!({"tool_name": tool, "arguments": {"a": 1}});
        Request::post("/mcp/invoke", body.to_string()).bearer(&developer())
    };
    let called = |name, request, error, decision| sent(name, request, "tools/call", error, decision);
    let plain = |tool: &str| call(tool, &json!({}));
    vec![
        called("a call", plain("echo"), "", "allow"),
        called("a call by REST", rest("crm.echo"), "", "allow"),
        called("a hidden tool", plain("hidden"), "unknown_tool", "deny"),
        called("no such tool", plain("none"), "unknown_tool", "deny"),
        called("hidden, by REST", rest("crm.hidden"), "unknown_tool", "deny"),
        called("for review", plain("erase"), "needs_approval", "review"),
        called("a header that lies", plain("echo").header("mcp-name", "x"), "header_mismatch", ""),
        sent("no JSON", Request { body: b"{".to_vec(), ..plain("echo") }, "", "parse_error", ""),
        sent("no token", plain("echo").without("authorization"), "", "unauthenticated", ""),
        sent("too large", call("echo", &json!({"a": "x".repeat(3 << 20)})), "", "payload_too_large", ""),
    ]
}

fn others() -> Vec<Sent> {
    let new = |method: &'static str| modern("crm", method, json!({})).bearer(&developer());
    let old = |method: &'static str| legacy("crm", method, json!({})).bearer(&developer());
    let mut notification = old("notifications/initialized");
    notification.body = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec();
    vec![
        sent("a list", new("tools/list"), "tools/list", "", ""),
        sent("discovery", new("server/discover"), "server/discover", "", ""),
        sent("a ping", old("ping"), "ping", "", ""),
        sent("a notification", notification, "notifications/initialized", "", ""),
        sent("no method", old("tasks/list"), "tasks/list", "method_not_found", ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_leaves_one_row() {
    let (upstream, gateway) = set(|setup| setup).await;
    let table: Vec<_> = calls().into_iter().chain(others()).collect();
    let wanted = table.len();
    for Sent { name, request, method, error, decision } in table {
        let row = row(&gateway, &gateway.send(&request).await).await;
        let said = ["method", "error", "decision"].map(|column| row[column].as_str().unwrap_or_default());
        assert_eq!(said, [method, error, decision], "{name}: {row:?}");
        assert_eq!(row["outcome"], if error.is_empty() { "ok" } else { "refused" }, "{name}: {row:?}");
        assert_eq!(row["arguments"].is_null(), decision.is_empty(), "{name}: {row:?}");
        assert!(row["protocol"] != "", "{name}: what is not known is not there");
        assert!(row["latency_us"].as_i64().is_some() && row["trace_id"].as_str().unwrap().len() == 32, "{name}");
    }
    assert_eq!(gateway.calls().await.len(), wanted);
    assert_eq!(upstream.calls().len(), 2);
}

/// What would be lines, a terminal's commands or an end of text to whoever reads it without care; then more.
fn hostile(more: usize) -> String {
    format!("\r\n{{\"seq\":1}}\n\u{1b}[2J\0\u{202e}\u{200b}\u{9b}{}", "é".repeat(more / 2))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_up_to_a_megabyte_is_one_row_that_is_bounded_escaped_and_hashed() {
    let (_upstream, gateway) = set(|setup| setup).await;
    let mut digests = Vec::new();
    for size in [10, 1 << 20] {
        let sent = gateway.send(&call("echo", &json!({"note": hostile(size)}))).await;
        assert_eq!(sent.status, 200);
        let row = row(&gateway, &sent).await;
        let kept = row["arguments"].as_str().unwrap();
        assert!(kept.len() <= 4096 && !kept.contains(['\n', '\r', '\0', '\u{1b}']), "{kept}");
        assert_eq!(kept.contains(" bytes]"), size > 10, "how long it was stands for what is too long: {kept}");
        digests.push(row["arguments_digest"].as_str().unwrap().to_owned());
    }
    assert!(digests[0] != digests[1] && digests.iter().all(|digest| digest.len() == 64), "{digests:?}");
    let asked = json!({"tool_name": format!("crm.{}", hostile(1 << 20)), "arguments": {}});
    let named = gateway.send(&Request::post("/mcp/invoke", asked.to_string()).bearer(&developer())).await;
    assert_eq!(named.status, 400, "no name is so long: {}", named.text());
    assert_eq!(row(&gateway, &named).await["tool"], Value::Null);
    for (arguments, lines) in [(&["audit", "export"][..], 5), (&["audit", "query", "--format", "csv"], 4)] {
        let mut command = Command::new(BINARY);
        command.args(arguments).args(["--config", "gateway.yaml"]).current_dir(gateway.dir());
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(text.lines().count(), lines, "two rows for each call that left, one for what was refused");
        assert!(!text.contains(['\u{1b}', '\r', '\0']) && text.len() < 50_000, "{} bytes", text.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_sent_call_leaves_one_row() {
    let (upstream, gateway) = set(|setup| setup.upstream("crm", "timeout", json!("2s"))).await;
    let json = |body| Answer::new(200, "application/json", body);
    let ways = [
        (Answer::text("fine"), "ok", Value::Null),
        (
            Answer::json(
                r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"isError":true,"resultType":"complete"}}"#,
            ),
            "tool_error",
            Value::Null,
        ),
        (Answer::json(r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":1,"message":"a"}}"#), "tool_error", Value::Null),
        (json(Body::Closed), "failed", json!("upstream_unavailable")),
        (json(Body::Broken(b"{".to_vec())), "failed", json!("upstream_unavailable")),
        (json(Body::Silent), "failed", json!("upstream_timeout")),
        (Answer::json("oops"), "failed", json!("response_unreadable")),
        (Answer::text(&"x".repeat(65 << 10)), "failed", json!("response_too_large")),
        (Answer::events(&[], 1), "failed", json!("upstream_unavailable")),
    ];
    let wanted = ways.len();
    for (answer, outcome, error) in ways {
        upstream.answer(answer);
        let row = row(&gateway, &gateway.send(&call("echo", &json!({}))).await).await;
        assert_eq!((row["outcome"].as_str().unwrap(), &row["error"]), (outcome, &error), "{row:?}");
    }
    let entries = journal::entries(&gateway.ready.journal).await;
    let kinds = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
    assert_eq!((kinds("intent"), kinds("outcome"), kinds("event")), (wanted, wanted, 0));
    assert_eq!(gateway.calls().await.len(), wanted);
}

/// 121: a client that leaves before it has sent all of its request, and one that leaves before the answer.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_leave_a_row() {
    let (upstream, gateway) = set(|setup| setup).await;
    upstream.answer(Answer::new(200, "application/json", Body::Silent));
    let authority = gateway.authority().to_owned();
    let waiting = tokio::spawn(async move {
        let mut connection = Connection::open(&authority, Version::Http1).await;
        connection.exchange(&call("echo", &json!({}))).await
    });
    wait_until("the call is at the upstream", PATIENCE, async || upstream.calls().pop()).await;
    waiting.abort();
    let row = gateway.ended_call(|call| call["tool"] == "crm.echo").await;
    assert_eq!(row["outcome"], "cancelled", "{row:?}");
    let half = call("echo", &json!({"a": "b"})).to_http1(gateway.authority());
    let mut connection = crate::support::raw::Connection::open(gateway.authority()).await;
    connection.send(&half[..half.len() - 5]).await.unwrap();
    drop(connection);
    let row = gateway.ended_call(|call| call["error"] == "bad_request").await;
    assert_eq!((&row["outcome"], &row["subject"]), (&json!("refused"), &json!("dora")), "{row:?}");
    assert_eq!(gateway.calls().await.len(), 2);
}

/// 186: what can't be recorded does not run. The file is locked by another process here, as a backup could do.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_can_not_be_recorded_does_not_run() {
    let (upstream, gateway) = set(|mut setup| {
        setup.gateway["journal"] = Value::Null;
        setup
    })
    .await;
    assert_eq!(gateway.send(&call("echo", &json!({}))).await.status, 200);
    let options = SqliteConnectOptions::new().filename(&gateway.ready.journal);
    let mut other = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let response = gateway.send(&call("echo", &json!({"second": true}))).await;
    assert_eq!((response.status, &response.message()["error"]["code"]), (503, &json!(-31503)), "{}", response.text());
    assert!(response.header("retry-after").is_some());
    assert_eq!(upstream.calls().len(), 1);
    let list = gateway.send(&modern("crm", "tools/list", json!({})).bearer(&developer())).await;
    assert_eq!(list.status, 200, "what reaches no upstream still is answered");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    wait_until("calls run again", PATIENCE, async || {
        (gateway.send(&call("echo", &json!({}))).await.status == 200).then_some(())
    })
    .await;
    let row = row(&gateway, &response).await;
    assert_eq!((&row["outcome"], &row["error"]), (&json!("refused"), &json!("journal_unavailable")), "{row:?}");
}

/// Values that may be seen nowhere but at the upstream, where the caller sent them.
fn canaries() -> Vec<String> {
    vec![
        developer(),
        format!("ghp_{}", "A1b2C3d4".repeat(5)),
        "canary.person@example.com".into(),
        GATEWAY_SECRET.into(),
        SECRET.into(),
    ]
}

/// 173 and 193: whatever field a secret is put into, of a call that runs or of one that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_kept_nowhere() {
    let (upstream, gateway) = set(|setup| setup).await;
    let [jwt, key, mail, secret, ..] = &canaries()[..] else { panic!() };
    let all = format!("{jwt} {key} {mail} {secret}");
    let arguments = json!({"text": all, "deep": [{"mail": mail}], key: 1, "json": json!({"k": key}).to_string()});
    let tools = ["echo", "hidden", "erase", "none", key.as_str(), mail.as_str()];
    for tool in tools {
        gateway.send(&call(tool, &arguments)).await;
        gateway.rest_invoke(jwt, &format!("crm.{tool}"), &arguments).await;
        gateway.rest_invoke(jwt, tool, &arguments).await;
    }
    upstream.answer(Answer::text(&all));
    gateway.send(&call("echo", &arguments)).await;
    let odd = |method: &str| legacy("crm", method, json!({})).bearer(jwt);
    gateway.send(&odd(key)).await;
    gateway.send(&odd(mail)).await;
    gateway.send(&call("echo", &arguments).header("mcp-name", key)).await;
    gateway.send(&call("echo", &arguments).header("mcp-protocol-version", key)).await;
    gateway.send(&call("echo", &arguments).header("authorization", &format!("Bearer {jwt}x"))).await;
    gateway.send(&call("echo", &arguments).header("traceparent", key)).await;
    let mut path = call("echo", &arguments);
    path.path = format!("/{key}/mcp");
    gateway.send(&path).await;
    let good = call("echo", &json!({"last": 1}));
    let last = row(&gateway, &gateway.send(&good).await).await;
    assert_eq!(last["arguments"], r#"{"last":1}"#);

    let mut places = vec![("the log".to_owned(), gateway.process.lines().join("\n"))];
    for path in ["/metrics", "/readyz"] {
        places.push((path.to_owned(), fetch(gateway.admin(), &Request::get(path)).await.text()));
    }
    for entry in std::fs::read_dir(gateway.ready.journal.parent().unwrap()).unwrap() {
        let file = entry.unwrap().path();
        if file.file_name().unwrap().to_string_lossy().starts_with("journal.db") {
            places.push((file.display().to_string(), String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into()));
        }
    }
    assert!(places.iter().any(|(place, text)| place.ends_with("journal.db-wal") && text.contains("tools/call")));
    for (place, text) in &places {
        for canary in [jwt, key, mail, secret] {
            let at = text.find(canary.as_str());
            let around = at.map(|at| text.get(at.saturating_sub(100)..at + 20).unwrap_or_default());
            assert!(at.is_none(), "{canary} is in {place}: {around:?}");
        }
        assert!(!text.contains(SECRET), "{place}");
    }
}

/// 188 and 147: what would forge a line or hide a part of one stays data, in one row and one line of the log.
#[tokio::test(flavor = "multi_thread")]
async fn no_argument_and_no_name_forges_a_record() {
    let (_upstream, gateway) = set(|setup| setup).await;
    let odd = "a\r\n{\"outcome\":\"ok\"}\u{1b}[2J\u{0}\u{202e}b\u{2028}";
    for request in [
        call("echo", &json!({"a": odd})),
        call("hidden", &json!({"a": odd})),
        call("echo", &json!({"a": "x".repeat(1 << 20)})),
        call("echo", &json!({odd: odd})),
    ] {
        let row = row(&gateway, &gateway.send(&request).await).await;
        let kept = row["arguments"].as_str().unwrap();
        assert!(kept.len() <= 4096 && !kept.contains(['\n', '\r', '\u{1b}', '\0']), "{kept:?}");
        assert_eq!(row["arguments_digest"].as_str().unwrap().len(), 64);
    }
    let mut request = legacy("crm", "tools/call", json!({})).bearer(&developer());
    request.body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo\u{202e}\u{2028}"}})
            .to_string()
            .into_bytes();
    assert_eq!(row(&gateway, &gateway.send(&request).await).await["error"], "unknown_tool");
    let is_record = |line: &&String| line.contains("request_id");
    let lines = wait_until("the log has a line of each", PATIENCE, async || {
        Some(gateway.process.lines()).filter(|lines| lines.iter().filter(is_record).count() >= 5)
    })
    .await;
    assert!(lines.iter().filter(is_record).all(|line| serde_json::from_str::<Value>(line).is_ok()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains('\u{1b}')));
}

/// The digest is of the caller's own bytes: it tells two calls apart that are shown alike, and can't be guessed from outside.
#[tokio::test(flavor = "multi_thread")]
async fn the_digest_tells_apart_what_is_shown_alike() {
    let (_upstream, gateway) = set(|setup| setup).await;
    let mut digests = Vec::new();
    for mail in ["a@example.com", "b@example.com", "a@example.com"] {
        let row = row(&gateway, &gateway.send(&call("echo", &json!({"mail": mail}))).await).await;
        assert!(!row["arguments"].as_str().unwrap().contains("@example"), "{row:?}");
        digests.push(row["arguments_digest"].as_str().unwrap().to_owned());
    }
    assert!(digests[0] == digests[2] && digests[0] != digests[1], "{digests:?}");
    let plain = {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(br#"{"mail":"a@example.com"}"#);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_ne!(digests[0], plain, "it is keyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_strangers_beyond_the_rate_share_a_row_and_none_is_lost() {
    const SENT: usize = 300;
    let (_upstream, mut gateway) = set(|setup| setup.with("edge", json!({"refusal_rows": "20/d"}))).await;
    for number in 0..SENT {
        let nowhere = Request::post("/nowhere", "{}");
        let request = if number % 2 == 0 { nowhere } else { call("echo", &json!({})).without("authorization") };
        let wanted = if number % 2 == 0 { 404 } else { 401 };
        assert_eq!(gateway.send(&request).await.status, wanted, "it is answered as ever");
    }
    assert_eq!(gateway.send(&call("echo", &json!({}))).await.status, 200);
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("portcullis_audit_summarised_total 280\n"), "{metrics}");
    gateway.process.signal("-TERM");
    assert!(gateway.process.end().await);
    let rows = gateway.calls().await;
    let (sums, single): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter(|row| ["not_found", "unauthenticated"].iter().any(|error| row["error"] == *error))
        .partition(|row| row["method"] == "journal/summary");
    assert_eq!(single.len(), 20, "{single:?}");
    let count = |row: &&Map<String, Value>| {
        assert_eq!((&row["client"], &row["outcome"]), (&json!("127.0.0.1"), &json!("refused")), "{row:?}");
        let (count, _) = row["detail"].as_str().unwrap().split_once(' ').unwrap();
        count.parse::<usize>().unwrap()
    };
    assert_eq!(single.len() + sums.iter().map(count).sum::<usize>(), SENT, "{sums:?}");
}
