//! The token: where it comes from, when it is asked for again, and that nobody sees it.

use super::{Bridge, call, command, modern};
use crate::support::gateway::{BINARY, Gateway, Setup};
use crate::support::tokens::{Claims, token};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.*", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

/// A gateway in front of one tool.
async fn gateway() -> (Gateway, Upstream) {
    let tool = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let upstream = Upstream::start(Speaks::Modern, vec![tool]).await;
    (Setup::new(&[("peer", upstream.url())], POLICY).start().await, upstream)
}

fn echo(id: i64) -> Value {
    modern(id, "tools/call", call("echo", json!({})))
}

/// A command that prints the lines of a file in turn, the last one again and again, and counts how often.
fn in_turn(folder: &Path, tokens: &[String]) -> String {
    let (list, count) = (folder.join("tokens"), folder.join("count"));
    std::fs::write(&list, tokens.join("\n") + "\n").unwrap();
    let (list, count) = (list.display(), count.display());
    format!("echo x >> {count}; head -n $(wc -l < {count}) {list} | tail -n 1")
}

fn count(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("count")).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_run_again_when_its_token_is_refused_and_never_otherwise() {
    let (gateway, _upstream) = gateway().await;
    let folder = TempDir::new().unwrap();
    let stale = Claims::new("ana", &["tester"]).sign_with("the secret of yesterday");
    let tokens = [stale, token("ana", &["tester"]), token("eve", &[])];
    let mut bridge = Bridge::to(gateway.endpoint("peer"), &["--token-command", &in_turn(folder.path(), &tokens)]);
    for id in 1..=8 {
        bridge.send(&echo(id));
    }
    for id in 1..=8 {
        assert_eq!(bridge.answer(id).await["result"]["content"][0]["text"], "fine");
    }
    assert_eq!(count(folder.path()), 2);
    let log = bridge.log();
    assert!(tokens.iter().all(|token| !log.contains(&token[..20])), "{log}");
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_again_when_its_token_is_refused() {
    let (gateway, _upstream) = gateway().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    let mut bridge = Bridge::to(gateway.endpoint("peer"), &["--token-file", file.to_str().unwrap()]);
    let answer = bridge.ask(&echo(1)).await;
    assert_eq!(answer["error"]["code"], -31401);
    assert!(answer["error"]["message"].as_str().unwrap().contains("can't be read"), "{answer}");
    std::fs::write(&file, "not.a.token").unwrap();
    let answer = bridge.ask(&echo(2)).await;
    assert_eq!(answer["error"]["code"], -31401);
    assert!(answer["error"]["message"].as_str().unwrap().contains("refused the token"), "{answer}");
    std::fs::write(&file, format!("{}\n", token("ana", &["tester"]))).unwrap();
    assert_eq!(bridge.ask(&echo(3)).await["result"]["content"][0]["text"], "fine");
    bridge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_is_told_where_to_put_one() {
    let (gateway, upstream) = gateway().await;
    let mut bridge = Bridge::to(gateway.endpoint("peer"), &[]);
    let answer = bridge.ask(&echo(1)).await;
    assert_eq!(answer["error"]["code"], -31401);
    assert!(answer["error"]["message"].as_str().unwrap().contains("PORTCULLIS_TOKEN"), "{answer}");
    let mut bridge = Bridge::to(gateway.endpoint("peer"), &["--token-command", "exit 7"]);
    let answer = bridge.ask(&echo(1)).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("exit status: 7"), "{answer}");
    assert!(upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_from_each_of_its_sources_and_headers_come_along() {
    let upstream = Upstream::start(Speaks::Modern, vec![]).await;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("token"), "of-file\n").unwrap();
    let file = folder.path().join("token");
    for (options, expected) in [
        (&["--token", "of-flag"][..], "Bearer of-flag"),
        (&["--token-env", "MINE"][..], "Bearer of-mine"),
        (&["--token-file", file.to_str().unwrap()][..], "Bearer of-file"),
        (&["--token-command", "echo of-command"][..], "Bearer of-command"),
        (&[][..], "Bearer of-default"),
    ] {
        let mut command = command(&upstream.url(), options);
        command.env("MINE", "of-mine").env("PORTCULLIS_TOKEN", "of-default");
        command.args(["--header", "X-Team: blue", "--header", "x-key: s3cret"]);
        let mut bridge = Bridge::spawn(command);
        bridge.ask(&echo(1)).await;
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.header("authorization"), Some(expected));
        assert_eq!((seen.header("x-team"), seen.header("x-key")), (Some("blue"), Some("s3cret")));
        let log = bridge.log();
        assert!(!log.contains("of-") && !log.contains("s3cret"), "{log}");
        assert_eq!(log.contains("--token can be seen"), options.contains(&"--token"), "{log}");
        bridge.end().await;
    }
}

/// Ends at once, as nothing is on its standard input.
fn refused(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(BINARY);
    command.arg("connect").args(arguments).env_remove("PORTCULLIS_TOKEN").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_is_sent() {
    let url = "http://127.0.0.1:9/mcp";
    for (arguments, expected) in [
        (&["gateway/mcp"][..], "write it whole"),
        (&["https://user:s3cret@a.example/mcp"][..], "leave the user and password out"),
        (&[url, "--token-env", "NO_SUCH_NAME"][..], "NO_SUCH_NAME is not set"),
        (&[url, "--token", "a", "--token-file", "b"][..], "cannot be used with"),
        (&[url, "--token", "a", "--header", "Authorization: Basic s3cret"][..], "leave one of them out"),
        (&[url, "--header", "s3cret"][..], "--header no. 1"),
        (&[url, "--header", "Mcp-Session-Id: s3cret"][..], "can't set mcp-session-id"),
        (&[url, "--ca", "nowhere.pem"][..], "nowhere.pem can't be read"),
        (&[url, "--ca", "Cargo.toml"][..], "holds no certificate"),
        (&[url, "--timeout", "soon"][..], "not a length of time"),
    ] {
        let (well, text) = refused(arguments);
        assert!(!well && text.contains(expected), "{arguments:?}: {text}");
        assert!(!text.contains("s3cret") || arguments[0].contains("s3cret"), "{text}");
    }
}

#[test]
fn a_token_in_the_clear_is_warned_of() {
    for (url, token, warned) in [
        ("http://gateway.example/mcp", "a", true),
        ("https://gateway.example/mcp", "a", false),
        ("http://localhost:9/mcp", "a", false),
    ] {
        let (well, text) = refused(&[url, "--token", token]);
        assert!(well && text.contains("plain http") == warned, "{url}: {text}");
    }
    let (well, text) = refused(&["http://gateway.example/mcp"]);
    assert!(well && text.is_empty(), "{text}");
}
