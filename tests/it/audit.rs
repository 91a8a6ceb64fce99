//! The commands that read the record, on a journal that the real gateway writes: what is looked for is found, nothing in it
//! speaks to a terminal, and a policy is tried on what was recorded.

use crate::support::gateway::{BINARY, Gateway, Setup};
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};
use std::process::{Command, Output};

const POLICY: &str = r#"
version: 1
roles: { tester: {}, writer: { inherits: [tester] } }
tools: [{ match: "one.get*", class: read }, { match: "one.put", class: write }]
access:
  - { roles: [tester], upstreams: [one], level: read }
  - { roles: [writer], upstreams: [one], level: write }
redaction: [{ detect: [email], action: drop }]
"#;

async fn started() -> (Gateway, Upstream) {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, ["get", "get_all", "put"].map(tool).to_vec()).await;
    let gateway = Setup::new(&[("one", upstream.url())], POLICY).start().await;
    (gateway, upstream)
}

/// Seven calls: of ana, a tester, and of bo, a writer.
async fn calls(gateway: &Gateway) {
    let (ana, bo) = (token("ana", &["tester"]), token("bo", &["writer"]));
    let all = [
        (&ana, "get", json!({"id": "a"})),
        (&ana, "get_all", json!({})),
        (&ana, "put", json!({"id": "a"})),
        (&bo, "put", json!({"id": "a", "n": 3})),
        (&bo, "put", json!({"id": "b", "n": 9})),
        (&bo, "put", json!({"id": "ada@example.com", "n": 4})),
        (&bo, "put", json!({"id": "c".repeat(5000), "n": 4})),
    ];
    for (number, (token, tool, arguments)) in all.iter().enumerate() {
        gateway.modern_call("one", token, tool, arguments).await;
        // An answer is there before its row is, which may then come after that of the next call.
        gateway.ended_calls(number + 1, |_| true).await;
    }
}

fn run(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).args(["--config", "gateway.yaml"]).current_dir(gateway.dir()).output().unwrap()
}

fn printed(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = run(gateway, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The column of each row that a query finds.
fn found(gateway: &Gateway, column: &str, arguments: &[&str]) -> Vec<String> {
    let text = printed(gateway, &[&["audit", "query", "--format", "json"], arguments].concat());
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row[column].as_str().map_or_else(|| row[column].to_string(), str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_finds_what_is_asked_for_newest_first_and_by_pages() {
    let (gateway, _upstream) = started().await;
    calls(&gateway).await;
    let tools = |arguments: &[&str]| found(&gateway, "tool", arguments);
    assert_eq!(tools(&["--user", "ana"]), ["one.put", "one.get_all", "one.get"]);
    assert_eq!(tools(&["--tool", "one.get*"]), ["one.get_all", "one.get"]);
    assert_eq!(tools(&["--tool", "one.get*", "--limit", "1"]), ["one.get_all"]);
    assert_eq!(tools(&["--tool", "one.get"]), ["one.get"]);
    assert_eq!(tools(&["--decision", "deny"]), ["one.put"]);
    assert_eq!(tools(&["--outcome", "refused", "--user", "bo"]), [""; 0]);
    assert_eq!(tools(&["--rule", "access[1]"]).len(), 4);
    assert_eq!(tools(&["--text", "\"N\":9"]), ["one.put"]);
    assert_eq!(tools(&["--since", "1h"]).len(), 7);
    assert_eq!(tools(&["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(tools(&["--until", "2001-01-01T00:00:00Z"]).len(), 0);

    for unknown in [["--decision", "denied"], ["--outcome", "success"]] {
        let refused = run(&gateway, &[&["audit", "query"], &unknown[..]].concat());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            !refused.status.success() && said.contains(unknown[1]),
            "nothing is found where nothing was meant: {said}"
        );
    }

    let all: Vec<i64> = found(&gateway, "seq", &[]).iter().map(|seq| seq.parse().unwrap()).collect();
    assert!(all.len() == 7 && all.is_sorted_by(|later, earlier| later > earlier), "{all:?}");
    let (mut pages, mut before) = (Vec::new(), i64::MAX.to_string());
    while let page = found(&gateway, "seq", &["--limit", "2", "--before", &before])
        && let Some(last) = page.last()
    {
        before.clone_from(last);
        pages.extend(page.iter().map(|seq| seq.parse::<i64>().unwrap()));
    }
    assert_eq!(pages, all);

    let table = printed(&gateway, &["audit", "query", "--decision", "deny"]);
    assert!(table.lines().count() == 2 && table.contains("ana") && table.contains("unknown_tool"), "{table}");
    let csv = printed(&gateway, &["audit", "query", "--format", "csv"]);
    assert!(csv.lines().count() == 8 && csv.starts_with("seq,event_id,"), "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_follows_and_an_export_has_every_row() {
    let (gateway, _upstream) = started().await;
    calls(&gateway).await;
    assert_eq!(printed(&gateway, &["audit", "tail", "-n", "2"]).lines().count(), 3, "a head and two rows");
    let mut command = Command::new(BINARY);
    command.args(["audit", "tail", "-f", "-n", "1", "--tool", "one.get*", "--format", "json"]);
    let mut tail = Process::spawn(command.args(["--config", "gateway.yaml"]).current_dir(gateway.dir()));
    let printed_tools = |tail: &Process| {
        let rows = tail.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        rows.map(|row| row["tool"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    tail.until("the last row", async |tail| (printed_tools(tail) == ["one.get_all"]).then_some(())).await;
    let bo = token("bo", &["writer"]);
    for (number, tool) in ["put", "get", "nothing", "get_all"].into_iter().enumerate() {
        gateway.modern_call("one", &bo, tool, &json!({})).await;
        gateway.ended_calls(7 + number + 1, |_| true).await;
    }
    let wanted = ["one.get_all", "one.get", "one.get_all"];
    tail.until("what comes", async |tail| (printed_tools(tail) == wanted).then_some(())).await;

    // Two rows for each call that left, one for each of the two that were refused.
    let export = wait_until("all rows are in an export", PATIENCE, async || {
        let export = printed(&gateway, &["audit", "export"]);
        (export.lines().count() == 20).then_some(export)
    })
    .await;
    let rows: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().zip(1..).all(|(row, seq)| row["seq"] == seq && row["hash"].is_string()));
    assert_eq!(rows[0]["kind"], "intent");
    let rest = printed(&gateway, &["audit", "export", "--after", "17"]);
    assert_eq!(rest.lines().collect::<Vec<_>>(), export.lines().skip(17).collect::<Vec<_>>());
    printed(&gateway, &["audit", "export", "--out", "all.jsonl"]);
    assert_eq!(std::fs::read_to_string(gateway.dir().join("all.jsonl")).unwrap(), export);
    assert!(!run(&gateway, &["audit", "export", "--out", "all.jsonl"]).status.success(), "nothing is overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_put_into_the_record_speaks_to_no_terminal() {
    let (gateway, _upstream) = started().await;
    let hostile = "one.\u{1b}[2J\u{202e}x\u{9b}\u{200b}";
    gateway.rest_invoke(&token("ana", &["tester"]), hostile, &json!({})).await;
    gateway.ended_calls(1, |_| true).await;
    for format in ["table", "json", "csv"] {
        let text = printed(&gateway, &["audit", "query", "--format", format]);
        let safe = |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{200b}".contains(c));
        assert!(text.chars().all(safe), "{text:?}");
        assert_eq!(text.lines().count(), if format == "json" { 1 } else { 2 }, "{text:?}");
    }
}

/// The exit code of a command, and what it says.
fn told(gateway: &Gateway, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(BINARY).args(arguments).current_dir(gateway.dir()).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proved_is_told_from_what_is_wrong_and_says_what_to_do() {
    let (gateway, _upstream) = started().await;
    calls(&gateway).await;
    let signed = async || printed(&gateway, &["audit", "export", "--checkpoints"]).contains("checkpoint").then_some(());
    wait_until("rows are signed", PATIENCE, signed).await;
    let key = format!("{}.pub", gateway.ready.journal.display());
    let check = |name: &str, export: &str| {
        std::fs::write(gateway.dir().join(name), export).unwrap();
        told(&gateway, &["audit", "verify", "--export", name, "--key", &key])
    };
    let rows = printed(&gateway, &["audit", "export"]);
    let (code, said) = check("rows", &rows);
    assert!(code == 3 && said.starts_with("not proved: rows 1 to"), "{code} {said}");
    assert!(said.contains("whole and in order") && said.contains("`audit export --checkpoints`"), "{said}");
    let (code, said) = check("later", &rows.lines().skip(3).map(|line| format!("{line}\n")).collect::<String>());
    assert!(
        code == 1 && said.contains("rows 1 to 3 are missing") && said.contains("put the older ones in front"),
        "{said}"
    );
    let changed = rows.replacen("\"ana\"", "\"bob\"", 1);
    let (code, said) = check("changed", &changed);
    assert!(code == 1 && said.contains("is not as it was written"), "what is wrong is not called unproved: {said}");

    for command in ["query", "verify"] {
        let (code, said) = told(&gateway, &["audit", command, "--journal", "nowhere.db"]);
        assert!(code == 1 && said.contains("there is no journal at nowhere.db") && said.contains("--config"), "{said}");
    }
    let (code, said) = told(&gateway, &["audit", "query", "--config", "nowhere.yaml"]);
    assert!(code == 1 && said.contains("--journal FILE"), "{said}");
    let event = "00000000-0000-4000-8000-000000000000";
    let (code, said) = told(&gateway, &["audit", "prove", event, "--config", "gateway.yaml"]);
    assert!(code == 1 && said.contains("audit query --format json"), "{said}");

    // Whoever reads the record needs none of the gateway's secrets.
    let issuer = json!({"issuer": "x", "algorithms": ["HS256"], "secret": "${env:NO_SUCH_VARIABLE}"});
    let config = json!({"version": 1, "identity": {"issuers": [issuer]}, "journal": {"path": gateway.ready.journal}});
    std::fs::write(gateway.dir().join("bare.yaml"), config.to_string()).unwrap();
    let (code, said) = told(&gateway, &["audit", "query", "--config", "bare.yaml", "--user", "bo"]);
    assert!(code == 0 && said.contains("one.put"), "{said}");
    let config = json!({"version": 1, "journal": {"path": "${env:NO_SUCH_VARIABLE}"}});
    std::fs::write(gateway.dir().join("bare.yaml"), config.to_string()).unwrap();
    let (code, said) = told(&gateway, &["audit", "query", "--config", "bare.yaml"]);
    assert!(code != 0 && said.contains("NO_SUCH_VARIABLE"), "{said}");
}

/// Denies updates from 5 on, lets testers write, and asks for a claim before `get_all`.
const CANDIDATE: &str = r#"
version: 1
roles: { tester: {}, writer: {} }
tools: [{ match: "one.get*", class: read }, { match: "one.put", class: write }]
access:
  - { roles: [tester, writer], upstreams: [one], level: write }
rules:
  - { id: large, effect: deny, tools: [one.put], roles: [writer], args: { n: { min: 5 } } }
  - { id: staff, effect: deny, tools: [one.get_all], when: "!principal.claims.staff" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_says_what_would_change_and_guesses_nothing() {
    let (gateway, _upstream) = started().await;
    calls(&gateway).await;
    let bo = Claims::new("bo", &["writer"]).with("staff", json!(true)).sign();
    gateway.modern_call("one", &bo, "get", &json!({})).await;
    gateway.ended_calls(8, |_| true).await;
    std::fs::write(gateway.dir().join("next.yaml"), CANDIDATE).unwrap();
    let replay = |policy: &str, more: &[&str]| {
        let output = run(&gateway, &[&["policy", "replay", "--policy", policy], more].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text, _) = replay("next.yaml", &["--json", "--since", "1h"]);
    assert_eq!(code, Some(1), "{text}");
    let results: Value = serde_json::from_str(&text).unwrap();
    let counts = ["calls", "same", "changed", "unknown"].map(|key| results[key].as_u64().unwrap());
    // Unchanged: get of ana, the small update of bo, get of bo. Not known: get_all for its claim, two updates for their
    // arguments, of which one was redacted without a trace and one was too long.
    assert_eq!(counts, [8, 3, 2, 3], "{text}");
    let change = |at: usize| {
        let change = &results["changes"][at];
        let words = ["before", "rule_before", "after", "rule_after"].map(|key| change[key].as_str().unwrap());
        (words.join(" "), change["calls"].as_u64().unwrap(), change["examples"][0]["user"].as_str().unwrap().to_owned())
    };
    assert_eq!(change(0), ("allow access[1] deny large".into(), 1, "bo".into()));
    assert_eq!(change(1), ("deny default allow access[0]".into(), 1, "ana".into()));
    assert_eq!(
        results["reasons"],
        json!({
            "claims of its token are not kept, and matter": 1,
            "its arguments are not kept as they were, and matter": 2,
        })
    );

    let (code, text, _) = replay("next.yaml", &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("allow by access[1] -> deny by large: 1 call\n  #"), "{text}");
    assert!(text.ends_with("8 decided calls: 2 would change, 3 would not, 3 can't be told\n"), "{text}");
    let (code, text, _) = replay("policy.yaml", &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("8 decided calls: 0 would change, 8 would not, 0 can't be told\n"), "{text}");
    let (code, _, error) = replay("nowhere.yaml", &[]);
    assert!(code == Some(2) && error.contains("there is no such file"), "{error}");
    let (code, _, error) = replay("next.yaml", &["--journal", "nowhere.db"]);
    assert!(code == Some(2) && error.contains("nowhere.db"), "{error}");
}
