//! What operators see: metrics that count right and stay few whatever clients send, readiness that means what it says,
//! log lines that machines read, and a listener that no web page can ask.

use crate::support::gateway::{Gateway, Setup, modern_call};
use crate::support::http::{Connection, Request, Response, Version, fetch};
use crate::support::ports::free_port;
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Answer, Body, Speaks, Upstream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

const POLICY: &str = r#"
version: 1
roles: { tester: {}, slow: {}, stranger: {} }
tools: [{ match: "crm.get", class: read }, { match: "dead.*", class: read }, { match: "crm.put", class: write }]
access: [{ roles: [tester, slow], upstreams: [crm, dead], level: read }]
rules: [{ id: forty-two, effect: deny, tools: ["crm.get"], when: "has(args.n) && args.n == 42" }]
limits: [{ per: [user], roles: [slow], rate: 1/d }]
redaction: [{ detect: [email], action: mask }]
"#;

/// As many names of each kind as a client makes up.
const MADE_UP: usize = 2_000;

async fn recorder() -> Upstream {
    let tool =
        |name| json!({"name": name, "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}}});
    Upstream::start(Speaks::Modern, vec![tool("get"), tool("put")]).await
}

/// A URL at which nobody listens.
fn nobody() -> String {
    "http://127.0.0.1:1/mcp".into()
}

async fn started(change: impl FnOnce(Setup) -> Setup) -> (Gateway, Upstream) {
    let upstream = recorder().await;
    let gateway = change(Setup::new(&[("crm", upstream.url()), ("dead", nobody())], POLICY)).start().await;
    (gateway, upstream)
}

fn get(roles: &[&str], arguments: &Value) -> Request {
    modern_call("crm", "get", arguments).bearer(&token("ana", roles))
}

/// The value of each series.
async fn series(gateway: &Gateway) -> BTreeMap<String, f64> {
    let text = gateway.metrics().await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

async fn send_all(gateway: &Gateway, requests: impl IntoIterator<Item = (Request, u16)>) -> Vec<Response> {
    let mut answers = Vec::new();
    for (request, status) in requests {
        let answer = gateway.send(&request).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        answers.push(answer);
    }
    answers
}

/// One or more of everything that can become of a request, with the status it is answered with.
fn traffic() -> Vec<(Request, u16)> {
    let ok = get(&["tester"], &json!({}));
    vec![
        (ok.clone(), 200),
        (ok.clone(), 200),
        (ok.clone(), 200),
        (get(&["tester"], &json!({"n": 42})), 200),
        (get(&["tester"], &json!({"n": "text"})), 200),
        (get(&["stranger"], &json!({})), 200),
        (modern_call("crm", "put", &json!({})).bearer(&token("ana", &["tester"])), 200),
        (modern_call("crm", "none", &json!({})).bearer(&token("ana", &["tester"])), 200),
        (get(&["slow"], &json!({})), 200),
        (get(&["slow"], &json!({})), 429),
        (ok.clone().without("authorization"), 401),
        (ok.clone().bearer(&Claims::new("ana", &[]).sign_with("some other secret that nobody configured")), 401),
        (ok.clone().header("host", "evil.example"), 403),
        (Request::get("/nowhere"), 404),
        (Request::post("/crm/mcp", "{").bearer(&token("ana", &["tester"])), 400),
        (ok.header("mcp-method", "tools/list"), 400),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_counted_exactly() {
    let (gateway, upstream) = started(|setup| setup).await;
    upstream.answer(Answer::text("write to ana@example.com and bob@example.com"));
    let answers = send_all(&gateway, traffic()).await;
    assert!(answers[0].text().contains("[REDACTED:EMAIL]"), "{}", answers[0].text());

    let rows = gateway.ended_calls(answers.len(), |_| true).await;
    // A row can be read a moment before it is counted, and before its request counts as ended.
    let series = wait_until("the last of them is counted", PATIENCE, async || {
        let stored = crate::support::journal::entries(&gateway.ready.journal).await.len() as f64;
        let series = series(&gateway).await;
        let is = |name: &str, value: f64| series.get(name).copied() == Some(value);
        (is("portcullis_audit_entries_total", stored) && is("portcullis_requests_in_flight", 0.0)).then_some(series)
    })
    .await;
    let count = |name: &str| series.get(name).copied().unwrap_or_else(|| panic!("no {name} in {series:#?}"));
    let calls = r#"portcullis_tool_calls_total{outcome="ok",tool="get",upstream="crm"}"#;
    assert_eq!((count(calls), upstream.calls().len()), (4.0, 4));
    assert_eq!(count(r#"portcullis_requests_total{endpoint="crm",method="tools/call",outcome="ok"}"#), 4.0);
    assert_eq!(count(r#"portcullis_redactions_total{kind="email"}"#), 8.0);
    assert_eq!(count(r#"portcullis_refusals_total{blame="client",reason="rate_limited"}"#), 1.0);
    assert_eq!(count(r#"portcullis_refusals_total{blame="client",reason="foreign_host"}"#), 1.0);
    assert_eq!(count(r#"portcullis_bad_tokens_total{reason="signature"}"#), 1.0);
    assert_eq!(count("portcullis_requests_in_flight"), 0.0);
    assert_eq!(count("portcullis_audit_dropped_total"), 0.0);
    assert_eq!(count("portcullis_audit_failing"), 0.0);
    // Each way to count comes to the same number.
    let total =
        |name: &str| -> f64 { series.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum() };
    let of_endpoint = rows.iter().filter(|row| row["endpoint"] == "crm").count();
    assert_eq!(total(r#"portcullis_requests_total{endpoint="crm""#), of_endpoint as f64);
    let entries = count("portcullis_audit_entries_total");
    let stored = crate::support::journal::entries(&gateway.ready.journal).await;
    assert_eq!(entries, stored.len() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_all_kinds_of_traffic_pass_promtool() {
    let (gateway, mut upstream) = started(|setup| setup).await;
    upstream.answer(Answer::text("write to ana@example.com"));
    send_all(&gateway, traffic()).await;
    upstream.stop().await;
    let dead = Request::post("/mcp/invoke", r#"{"tool_name":"dead.x","arguments":{}}"#);
    let dead = dead.bearer(&token("ana", &["tester"]));
    send_all(&gateway, [(get(&["tester"], &json!({})), 502), (dead, 502)]).await;
    std::fs::write(gateway.dir().join("policy.yaml"), "nonsense").unwrap();
    wait_until("the change is refused", PATIENCE, async || {
        (!gateway.readiness().await["rejected_configuration"].is_null()).then_some(())
    })
    .await;
    let metrics = gateway.metrics().await;
    for name in [
        r#"portcullis_config_reloads_total{result="failure"} 1"#,
        "portcullis_config_last_reload_successful 0",
        r#"portcullis_upstream_failures_total{kind="upstream_unavailable",upstream="crm"} 1"#,
        r#"portcullis_catalogue_refresh_failures_total{upstream="dead"}"#,
    ] {
        assert!(metrics.contains(name), "no {name} in\n{metrics}");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("metrics"), metrics).unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", "promtool check metrics <metrics"]).current_dir(dir.path());
    let mut promtool = Process::spawn(&mut command);
    assert!(promtool.end().await, "{}", promtool.lines().join("\n"));
    assert!(promtool.lines().is_empty(), "{}", promtool.lines().join("\n"));
}

/// Five requests, each with another thing that a client makes up.
fn made_up(number: usize) -> [Request; 5] {
    let name = format!("madeup-{number}");
    let claims = Claims::new(&name, &["tester"]).with("tid", json!(name)).with("azp", json!(name));
    let mut method = modern_call("crm", "get", &json!({})).bearer(&token("ana", &["tester"]));
    method.body = String::from_utf8(method.body).unwrap().replace("tools/call", &name).into_bytes();
    let header = jsonwebtoken::Header { kid: Some(name.clone()), ..jsonwebtoken::Header::default() };
    let key = jsonwebtoken::EncodingKey::from_secret(name.repeat(4).as_bytes());
    let forged = jsonwebtoken::encode(&header, &json!({"iss": name, "sub": name}), &key).unwrap();
    [
        modern_call("crm", &name, &json!({})).bearer(&claims.sign()),
        Request::post(&format!("/{name}/mcp"), "{}"),
        method.header("mcp-method", &name).without("mcp-name"),
        Request::post("/mcp/invoke", json!({"tool_name": format!("{name}.{name}")}).to_string()).bearer(&claims.sign()),
        modern_call("crm", "get", &json!({})).bearer(&forged),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_can_not_make_up_series() {
    let (gateway, _upstream) = started(|setup| setup.with("edge", json!({"bad_tokens": "1000000/s"}))).await;
    let authority = gateway.authority();
    let send = async |part: usize| {
        let mut connection = Connection::open(authority, Version::Http2).await;
        for number in (0..MADE_UP).filter(|number| number % 4 == part) {
            for request in made_up(number) {
                assert!(connection.exchange(&request).await.unwrap().status < 500);
            }
        }
    };
    tokio::join!(send(0), send(1), send(2), send(3));
    let metrics = gateway.metrics().await;
    let series = metrics.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 500, "{series} series");
    assert!(!metrics.contains("madeup"), "{metrics}");
    let dropped = metrics.lines().find(|line| line.starts_with("portcullis_audit_dropped_total"));
    assert_eq!(dropped, Some("portcullis_audit_dropped_total 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_reads_what_operators_see() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let ask = async |request: Request| fetch(gateway.admin(), &request).await.status;
    for path in ["/metrics", "/readyz", "/healthz"] {
        assert_eq!(ask(Request::get(path)).await, 200);
        assert_eq!(ask(Request::get(path).header("host", "localhost:9000")).await, 200);
        for host in ["evil.example", "evil.example:9000", "127.0.0.1.evil.example", "ana@evil.example", "", "a b"] {
            assert_eq!(ask(Request::get(path).header("host", host)).await, 403, "{host}");
        }
        for origin in ["https://evil.example", "null", "http://localhost:9000"] {
            assert_eq!(ask(Request::get(path).header("origin", origin)).await, 403, "{origin}");
        }
        assert_eq!(ask(Request::post(path, "x")).await, 405);
    }
    assert_eq!(ask(Request::get("/crm/mcp")).await, 404, "the admin side serves no client");
    assert_eq!(gateway.send(&Request::get("/metrics")).await.status, 404, "the ingress serves no operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_ready_though_its_upstreams_are_down() {
    let gateway = Setup::new(&[("crm", nobody()), ("dead", nobody())], POLICY).start().await;
    let readiness = wait_until("the replica is known to be down", PATIENCE, async || {
        let readiness = gateway.readiness().await;
        let replicas = readiness["upstreams"]["crm"]["replicas"].as_object()?.clone();
        (replicas.len() == 1 && replicas.values().all(|well| *well == false)).then_some(readiness)
    })
    .await;
    assert_eq!((&readiness["status"], &readiness["upstreams"]["crm"]["tools"]), (&json!("ready"), &Value::Null));
    let series = series(&gateway).await;
    let up: Vec<_> = series.iter().filter(|(name, _)| name.starts_with("portcullis_upstream_up{")).collect();
    assert!(up.len() == 2 && up.iter().all(|(_, value)| **value == 0.0), "{up:?}");
}

/// Before it has asked, it knows no tool, and no call could be served.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_not_ready_before_it_has_asked_its_upstreams() {
    let mut upstream = recorder().await;
    upstream.behave(|seen| {
        (seen.method == "POST").then_some(Answer { status: 200, headers: Vec::new(), body: Body::Silent })
    });
    let admin = format!("127.0.0.1:{}", free_port());
    let listen = json!({"ingress": "127.0.0.1:0", "admin": admin});
    let starting = Setup::new(&[("crm", upstream.url()), ("dead", nobody())], POLICY).with("listen", listen);
    let status = async || {
        tokio::net::TcpStream::connect(&admin).await.ok()?;
        let answer = fetch(&admin, &Request::get("/readyz")).await;
        Some((answer.status, answer.message()["status"].clone()))
    };
    let watching = async {
        let first = wait_until("/readyz answers", PATIENCE, status).await;
        assert_eq!(first, (503, json!("starting")));
        // Though nobody ever answers, it does not wait for ever.
        wait_until("it is ready", PATIENCE, async || (status().await? == (200, json!("ready"))).then_some(())).await;
        upstream.stop().await;
    };
    tokio::join!(starting.start(), watching);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_about_to_end_is_not_ready() {
    let (gateway, upstream) = started(|setup| setup.with("drain", json!("60s"))).await;
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"resultType":"complete"}}"#;
    upstream.answer(Answer::new(200, "application/json", Body::Gated(vec![text.into()])));
    let (authority, request) = (gateway.authority().to_owned(), get(&["tester"], &json!({})));
    let client = tokio::spawn(async move { fetch(&authority, &request).await });
    wait_until("the call is at the upstream", PATIENCE, async || upstream.calls().pop()).await;
    gateway.process.signal("-TERM");
    wait_until("/readyz says that it ends", PATIENCE, async || {
        (gateway.readiness().await["status"] == "ending").then_some(())
    })
    .await;
    upstream.release();
    assert_eq!(client.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_exchange_is_one_line_of_json() {
    let (gateway, mut upstream) = started(|setup| setup).await;
    let mut answers = send_all(&gateway, traffic()).await;
    upstream.stop().await;
    answers.extend(send_all(&gateway, [(get(&["tester"], &json!({})), 502)]).await);
    let secret = token("ana", &["tester"]);
    let recorded: Vec<_> = answers.iter().filter(|answer| ![403, 404].contains(&answer.status)).collect();
    wait_until("all lines are there", PATIENCE, async || {
        let lines = gateway.log();
        recorded.iter().all(|answer| line_of(&lines, answer).is_some()).then_some(())
    })
    .await;

    let lines = gateway.log();
    assert_eq!(lines.len(), gateway.process.lines().len(), "each line is JSON: {:#?}", gateway.process.lines());
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
        // What a library has to say of each failed connection is said once, in our own words.
        assert!(line["target"].as_str().unwrap().starts_with("portcullis"), "{line}");
        assert!(!line.to_string().contains(secret.split('.').next_back().unwrap()));
    }
    for answer in recorded {
        let line = line_of(&lines, answer).unwrap();
        assert_eq!(line["trace_id"].as_str(), answer.header("x-trace-id"));
        assert_eq!(line["status"], answer.status, "{line}");
        assert_eq!(line["endpoint"], "crm");
        for field in ["revision", "outcome"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
        assert!(line["latency_us"].is_u64(), "{line}");
    }
    let line = line_of(&lines, &answers[3]).unwrap();
    let names = ["principal", "method", "tool", "rule", "outcome"].map(|name| line[name].as_str().unwrap_or_default());
    assert_eq!(names, ["ana", "tools/call", "crm.get", "forty-two", "refused"]);
}

/// The line of an exchange; panics where it has two.
fn line_of<'a>(lines: &'a [Value], answer: &Response) -> Option<&'a Value> {
    let id = answer.header("x-request-id").unwrap();
    let mut found = lines.iter().filter(|line| line["message"] == "request" && line["request_id"] == id);
    let first = found.next();
    assert!(found.next().is_none(), "two lines of {id}");
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_filter_without_sense_stops_the_start_and_the_check() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let good = std::fs::read_to_string(gateway.dir().join("gateway.yaml")).unwrap();
    for filter in ["inof", "info,,warn", "portcullis", "portcullis=loud", "[x", "info portcullis=debug"] {
        let mut bad: Value = serde_json::from_str(&good).unwrap();
        bad["telemetry"] = json!({"level": filter});
        std::fs::write(gateway.dir().join("bad.yaml"), format!("{bad:#}\n")).unwrap();
        for command in ["check", "serve"] {
            let mut program = Command::new(crate::support::gateway::BINARY);
            program.args([command, "--config", "bad.yaml"]).current_dir(gateway.dir());
            let mut program = Process::spawn(&mut program);
            assert!(!program.end().await, "{command} {filter}");
            let said = program.lines().join("\n");
            assert!(said.contains("(telemetry.level)") && said.contains("bad.yaml:"), "{command} {filter}: {said}");
        }
    }
}
