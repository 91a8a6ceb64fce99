//! What the commands print, as people see it: each test is a transcript, kept in `tests/snapshots/cli`. After a change
//! that is meant, write them anew with `UPDATE=1`.

use crate::support::gateway::BINARY;
use crate::support::peers::repository;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const GATEWAY: &str = r#"version: 1
listen: { ingress: "127.0.0.1:8000", admin: "127.0.0.1:9000" }
upstreams: upstreams.yaml
policy: policy.yaml
identity:
  issuers:
    - { issuer: dev, algorithms: [HS256], secret: "${env:JWT_SECRET}", max_token_age: 1h }
digest_key: "${env:JWT_SECRET}"
"#;

const UPSTREAMS: &str = r#"version: 1
upstreams:
  crm: { url: "http://127.0.0.1:8091/mcp" }
  files: { url: "http://127.0.0.1:8092/mcp" }
  hidden: { url: "http://127.0.0.1:8093/mcp" }
endpoints:
  all: { upstreams: [crm, files] }
  crm: { upstreams: [crm] }
"#;

const POLICY: &str = r#"version: 1
roles:
  reader: {}
  writer: { inherits: [reader] }
tools:
  - { match: "crm.get_*", class: read }
  - { match: "crm.update_*", class: write, pii: true }
  - { match: "hidden.*", class: read }
access:
  - { roles: [reader], upstreams: [crm, hidden], level: read }
  - { roles: [writer], upstreams: [crm], level: write }
rules:
  - { id: big, effect: deny, tools: ["crm.update_*"], args: { amount: { min: 1000 } } }
  - { id: office, effect: review, tools: ["crm.update_*"], when: "args.amount > 100", approvers: [writer], ttl: 15m }
  - { id: own, effect: allow, tools: ["files.read"], roles: [reader], args: { path: { type: path, prefix: "/srv/docs/" } } }
  - { id: game, effect: deny, tools: ["crm.get_*"], endpoints: [all] }
"#;

/// A folder with a configuration, and what was typed in it.
struct Shell {
    folder: TempDir,
    transcript: String,
}

impl Shell {
    fn new() -> Self {
        let shell = Self { folder: TempDir::new().unwrap(), transcript: String::new() };
        for (name, text) in [("gateway.yaml", GATEWAY), ("upstreams.yaml", UPSTREAMS), ("policy.yaml", POLICY)] {
            shell.write(name, text);
        }
        shell
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PORTCULLIS_CONFIG", "gateway.yaml").env("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        command.output().unwrap()
    }

    /// Runs the command, which goes into the transcript with all that it says.
    fn run(&mut self, arguments: &[&str]) {
        let output = self.output(arguments);
        let quoted = |argument: &&str| {
            let plain = argument.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
            if plain && !argument.is_empty() { (*argument).to_owned() } else { format!("'{argument}'") }
        };
        let line: Vec<_> = arguments.iter().map(quoted).collect();
        let _ = writeln!(self.transcript, "$ portcullis {}", line.join(" "));
        for text in [output.stdout, output.stderr] {
            for line in String::from_utf8(text).unwrap().lines() {
                // Of the three files' bytes, which say enough by themselves.
                let line = line.split_once(", revision ").map_or(line, |(before, _)| before);
                let _ = writeln!(self.transcript, "{line}");
            }
        }
        if !output.status.success() {
            let _ = writeln!(self.transcript, "[{}]", output.status);
        }
        self.transcript.push('\n');
    }

    fn compare(self, name: &str) {
        let path = repository().join("tests/snapshots/cli").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &self.transcript).unwrap();
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let now = &self.transcript;
        assert_eq!(*now, before, "{name} changed; if it is meant, run the tests with UPDATE=1 and look at it");
    }
}

#[test]
fn every_command_says_what_it_is_for() {
    let mut shell = Shell::new();
    shell.run(&["--help"]);
    for command in ["serve", "check", "explain", "catalogue", "reference", "connect", "token", "demo"] {
        shell.run(&[command, "--help"]);
    }
    for action in ["list", "show", "diff", "accept"] {
        shell.run(&["catalogue", action, "--help"]);
    }
    shell.run(&["policy", "--help"]);
    for action in ["test", "replay"] {
        shell.run(&["policy", action, "--help"]);
    }
    shell.run(&["audit", "--help"]);
    for action in ["query", "tail", "export"] {
        shell.run(&["audit", action, "--help"]);
    }
    shell.compare("help.txt");
}

#[test]
fn check_names_each_problem_with_file_line_and_hint() {
    let mut shell = Shell::new();
    shell.run(&["check"]);
    shell.write("policy.yaml", &POLICY.replace("effect: review", "effect: revieuw").replace("[reader]", "[raeder]"));
    shell.write("upstreams.yaml", &UPSTREAMS.replace("[crm, files]", "[crm, flies]"));
    shell.run(&["check"]);
    shell.write("policy.yaml", "version: 1\nrules:\n\t- {}\n");
    shell.run(&["check"]);
    shell.run(&["check", "--config", "nowhere.yaml"]);
    for (name, text) in [("upstreams.yaml", UPSTREAMS), ("policy.yaml", POLICY)] {
        shell.write(name, text);
    }
    shell.write("gateway.yaml", &(GATEWAY.to_owned() + "shadow_policy: shadow.yaml\n"));
    shell.run(&["check"]);
    shell.write("shadow.yaml", &POLICY.replace("[reader]", "[raeder]"));
    shell.run(&["check"]);
    shell.compare("check.txt");
}

#[test]
fn check_finds_what_only_a_start_would() {
    let shell = Shell::new();
    let tls = "listen: { tls: { certificate: \"c.pem\", key: \"k.pem\" } }";
    shell.write("c.pem", "no certificate");
    shell.write("k.pem", "no key");
    shell.write("gateway.yaml", &GATEWAY.replace(GATEWAY.lines().nth(1).unwrap(), tls));
    let output = shell.output(&["check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        !output.status.success() && text.contains("listen.tls.certificate") && text.contains("listen.tls.key"),
        "{text}"
    );
}

#[test]
fn explain_says_what_decides_and_why() {
    let mut shell = Shell::new();
    let (get, update, read) = ("crm.get_customer", "crm.update_customer", "files.read");
    shell.run(&["explain", "--role", "reader", "--tool", get]);
    shell.run(&["explain", "--role", "reader", "--tool", get, "--endpoint", "all"]);
    shell.run(&["explain", "--role", "writer", "--tool", update, "--args", r#"{"amount":10}"#]);
    shell.run(&["explain", "--role", "writer", "--tool", update, "--args", r#"{"amount":500}"#]);
    shell.run(&["explain", "--role", "writer", "--tool", update, "--args", "{}"]);
    shell.run(&["explain", "--role", "reader", "--tool", read, "--args", r#"{"path":"/srv/docs/../x"}"#]);
    shell.run(&["explain", "--role", "reader", "--tool", get, "--json"]);
    shell.run(&["explain", "--role", "reader", "--prompt", "crm.summarise"]);
    shell.run(&["explain", "--role", "reader", "--resource", "files.file:///srv/docs/a.txt"]);
    shell.run(&["explain", "--role", "reader", "--resource", "memo"]);
    shell.run(&["explain", "--tool", get, "--prompt", get]);
    shell.compare("explain.txt");
}

#[test]
fn explain_refuses_what_makes_no_sense() {
    let mut shell = Shell::new();
    shell.run(&["explain", "--tool", "get_customer"]);
    shell.run(&["explain", "--tool", "crn.get_customer"]);
    shell.run(&["explain", "--tool", "crm.get_customer", "--endpoint", "al"]);
    shell.run(&["explain", "--tool", "files.read", "--endpoint", "crm"]);
    for arguments in ["[1]", "{", "{a:1}", r#"{"a":1,"a":2}"#] {
        shell.run(&["explain", "--tool", "crm.get_customer", "--args", arguments]);
    }
    shell.run(&["explain", "--tool", "hidden.x", "--role", "raeder"]);
    shell.write("policy.yaml", "version: 1\nrulez: []\n");
    shell.run(&["explain", "--tool", "crm.get_customer"]);
    shell.compare("explain_refused.txt");
}

const TESTS: &str = r#"version: 1
tests:
  - { name: "readers read", principal: { roles: [reader] }, tool: crm.get_customer, expect: allow, rule: "access[0]" }
  - { principal: { roles: [writer] }, tool: crm.update_customer, args: { amount: 10 }, expect: allow }
  - name: "large ones are reviewed"
    principal: { roles: [writer] }
    tool: crm.update_customer
    args: { amount: 500 }
    expect: review
    rule: office
    listed: true
  - { principal: { roles: [reader] }, tool: files.read, args: { path: /srv/docs/a.txt }, expect: allow, rule: own }
  - { principal: {}, prompt: crm.summarise, expect: deny, rule: default, listed: false }
"#;

#[test]
fn policy_tests_say_what_is_not_as_expected_and_what_no_test_reached() {
    let mut shell = Shell::new();
    shell.write("crm.policy-test.yaml", TESTS);
    shell.run(&["policy", "test"]);
    shell.run(&["policy", "test", "--coverage"]);
    shell.run(&["policy", "test", "--min-coverage", "90"]);
    // A change that only tests would notice: updates are denied from 500 on.
    shell.write("policy.yaml", &POLICY.replace("min: 1000", "min: 500"));
    shell.run(&["policy", "test"]);
    shell.run(&["policy", "test", "--json"]);
    shell.write("policy.yaml", &(POLICY.to_owned() + "scopes:\n  - { scope: crm, tools: [\"crm.*\"] }\n"));
    shell.run(&["policy", "test", "crm.policy-test.yaml"]);
    shell.compare("policy_test.txt");
}

#[test]
fn policy_tests_that_make_no_sense_are_refused_with_their_line() {
    let mut shell = Shell::new();
    shell.run(&["policy", "test"]);
    shell.write("a.policy-test.yaml", "version: 1\ntests:\n  - { tool: crm.x, expect: alow }\n  - { tol: crm.x }\n");
    shell.run(&["policy", "test"]);
    let tests = r#"version: 1
tests:
  - { expect: deny }
  - { tool: crm.x, prompt: crm.x, expect: deny }
  - { tool: x, expect: deny }
  - { tool: crn.x, expect: deny }
  - { tool: files.x, endpoint: crm, expect: deny }
  - { tool: crm.x, rule: bigg, expect: deny }
  - { tool: crm.x, time: yesterday, client: home, expect: deny }
  - { tool: crm.x, client: home, expect: deny }
  - { tool: crm.x, protocol: "2020-01-01", expect: deny }
"#;
    shell.write("a.policy-test.yaml", tests);
    shell.run(&["policy", "test", "."]);
    shell.write("a.policy-test.yaml", "version: 1\npolicy: nowhere.yaml\ntests: []\n");
    shell.run(&["policy", "test"]);
    shell.run(&["policy", "test", "nowhere.yaml"]);
    shell.compare("policy_test_refused.txt");
}

#[test]
fn policy_tests_need_no_secret_and_may_name_another_policy() {
    let mut shell = Shell::new();
    shell.write("gateway.yaml", &GATEWAY.replace("JWT_SECRET", "NOT_SET_HERE"));
    std::fs::create_dir(shell.folder.path().join("tests")).unwrap();
    shell.write(
        "next.yaml",
        &POLICY.replace("effect: review", "effect: deny").replace(", approvers: [writer], ttl: 15m", ""),
    );
    let next = TESTS.replacen("tests:", "policy: ../next.yaml\ntests:", 1).replace("expect: review", "expect: deny");
    shell.write("tests/next.policy-test.yaml", &next.replace("    listed: true\n", ""));
    shell.write("now.policy-test.yaml", TESTS);
    shell.run(&["policy", "test", ".", "--coverage"]);
    shell.compare("policy_test_two.txt");
}

#[test]
fn the_demo_policy_decides_as_its_tests_say_and_each_rule_has_one() {
    let test =
        Command::new(BINARY).args(["policy", "test", "--min-coverage", "100"]).current_dir(repository()).output();
    let output = test.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn token_mints_only_what_the_gateway_takes() {
    let mut shell = Shell::new();
    let command =
        ["token", "--user", "ada", "--role", "writer", "--role", "nobody", "--tenant", "acme", "--agent", "bot"];
    let output = shell.output(&command);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("`nobody`"));
    let token = String::from_utf8(output.stdout).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 3600);
    claims.as_object_mut().unwrap().retain(|name, _| name != "exp" && name != "iat");
    let expected = serde_json::json!({
        "iss": "dev", "aud": ["http://127.0.0.1:8000"], "sub": "ada", "roles": ["writer", "nobody"],
        "tid": "acme", "azp": "bot",
    });
    assert_eq!(claims, expected);
    shell.run(&["token"]);
    shell.run(&["token", "--user", ""]);
    shell.run(&["token", "--user", "é"]);
    shell.run(&["token", "--user", "ada", "--ttl", "2h"]);
    shell.run(&["token", "--user", "ada", "--ttl", "soon"]);
    shell.run(&["token", "--user", "ada", "--issuer", "https://idp.example.com"]);
    shell.compare("token_refused.txt");
}

#[test]
fn reference_prints_what_the_repository_keeps() {
    let shell = Shell::new();
    let printed = |arguments: &[&str]| String::from_utf8(shell.output(arguments).stdout).unwrap();
    let kept = |path: &str| std::fs::read_to_string(repository().join(Path::new(path))).unwrap();
    assert_eq!(printed(&["reference"]).trim_end(), kept("docs/config.md").trim_end());
    for file in ["gateway", "upstreams", "policy", "policy-test"] {
        let schema: Value = serde_json::from_str(&printed(&["reference", "--schema", file])).unwrap();
        let kept: Value = serde_json::from_str(&kept(&format!("conf/schema/{file}.json"))).unwrap();
        assert_eq!(schema, kept, "{file}");
    }
}

#[test]
fn serve_says_why_it_does_not_start() {
    let mut shell = Shell::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    shell.write("gateway.yaml", &GATEWAY.replace("127.0.0.1:8000", &address));
    let output = shell.output(&["serve"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains(&address) && text.contains("listen.ingress"), "{text}");
    let free = GATEWAY.replace(":8000", ":0").replace(":9000", ":0");
    shell.write("gateway.yaml", &format!("{free}journal: {{ path: policy.yaml/journal.db }}\n"));
    shell.run(&["serve"]);
    shell.write("gateway.yaml", &GATEWAY.replace("version: 1", "version: 2"));
    shell.run(&["serve"]);
    shell.compare("serve_refused.txt");
}
