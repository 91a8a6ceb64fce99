//! Changes of the three files while the real gateway serves: a good one is live, whatever way it came; a bad one changes
//! nothing and is shown until it is mended; nothing else of a running process is lost by either.

use crate::support::gateway::{GATEWAY_SECRET, Gateway, Setup, modern_call};
use crate::support::http::{Connection, Response, Version};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::{self, Claims, token};
use crate::support::upstream::{Speaks, Upstream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const POLICY: &str = r#"
version: 1
roles: { tester: {} }
tools: [{ match: "*.echo", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
"#;

/// How often the files change under load.
const RELOADS: usize = 12;

async fn recorder() -> Upstream {
    Upstream::start(Speaks::Modern, vec![json!({"name": "echo", "inputSchema": {"type": "object"}})]).await
}

async fn started(change: impl FnOnce(Setup) -> Setup) -> (Gateway, Upstream) {
    let upstream = recorder().await;
    let gateway = change(Setup::new(&[("one", upstream.url())], POLICY)).start().await;
    (gateway, upstream)
}

fn write(gateway: &Gateway, name: &str, text: &str) {
    std::fs::write(gateway.dir().join(name), text).unwrap();
}

/// Writes beside, then renames: nobody reads half of it.
fn replace(gateway: &Gateway, name: &str, text: &str) {
    write(gateway, "new.yaml", text);
    std::fs::rename(gateway.dir().join("new.yaml"), gateway.dir().join(name)).unwrap();
}

fn read(gateway: &Gateway, name: &str) -> String {
    std::fs::read_to_string(gateway.dir().join(name)).unwrap()
}

/// What the gateway calls the files as they are now.
fn revision(gateway: &Gateway) -> String {
    let all = ["gateway.yaml", "upstreams.yaml", "policy.yaml"].map(|name| read(gateway, name)).concat();
    Sha256::digest(all.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Waits until the files are live, as they are now, and nothing is held against them.
async fn live(gateway: &Gateway) -> String {
    let revision = revision(gateway);
    wait_until(&format!("revision {revision} is live"), PATIENCE, async || {
        let readiness = gateway.readiness().await;
        (readiness["revision"] == *revision && readiness["rejected_configuration"].is_null()).then_some(())
    })
    .await;
    revision
}

/// Waits until the files are refused with these words.
async fn refused(gateway: &Gateway, words: &str) {
    let shown = wait_until(&format!("the change is refused with: {words}"), PATIENCE, async || {
        let readiness = gateway.readiness().await;
        assert_eq!(readiness["status"], "ready", "a bad change is no reason to serve nobody");
        readiness["rejected_configuration"].as_str().filter(|shown| shown.contains(words)).map(str::to_owned)
    })
    .await;
    let logged = |line: &Value| line["level"] == "ERROR" && line["message"].as_str().unwrap_or("").contains(&shown);
    wait_until("the log says the same", PATIENCE, async || gateway.log().iter().any(logged).then_some(())).await;
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = gateway.metrics().await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

async fn call(gateway: &Gateway, token: &str) -> Response {
    gateway.modern_call("one", token, "echo", &json!({})).await
}

fn is_fine(response: &Response) -> bool {
    response.status == 200 && response.message()["result"]["content"][0]["text"] == "fine"
}

fn tester() -> String {
    token("ana", &["tester"])
}

/// A policy that differs from the others by nothing but its revision.
fn variant(number: usize) -> String {
    format!("{POLICY}# {number}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_replace_a_file_is_seen() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let path = |name: &str| gateway.dir().join(name);
    let mut seen = vec![live(&gateway).await];

    write(&gateway, "policy.yaml", &variant(1));
    seen.push(live(&gateway).await);

    replace(&gateway, "policy.yaml", &variant(2));
    seen.push(live(&gateway).await);

    std::fs::remove_file(path("policy.yaml")).unwrap();
    write(&gateway, "policy.yaml", &variant(3));
    seen.push(live(&gateway).await);
    // A file that was gone, or half there, when it was looked at is a failure; one that is renamed is never seen so.
    let failures = metric(&gateway, r#"portcullis_config_reloads_total{result="failure"}"#).await;
    assert!(failures <= 2.0, "{failures}");

    // As a Kubernetes volume is made: each file a link through `..data`, which alone is replaced.
    for number in [4, 5] {
        std::fs::create_dir(path(&format!("..{number}"))).unwrap();
        write(&gateway, &format!("..{number}/policy.yaml"), &variant(number));
    }
    symlink("..4", path("..data")).unwrap();
    symlink("..data/policy.yaml", path("new.yaml")).unwrap();
    std::fs::rename(path("new.yaml"), path("policy.yaml")).unwrap();
    seen.push(live(&gateway).await);
    symlink("..5", path("..new")).unwrap();
    std::fs::rename(path("..new"), path("..data")).unwrap();
    std::fs::remove_dir_all(path("..4")).unwrap();
    seen.push(live(&gateway).await);

    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 6, "{seen:?}");
    assert!(is_fine(&call(&gateway, &tester()).await));
    assert_eq!(metric(&gateway, r#"portcullis_config_reloads_total{result="failure"}"#).await, failures);
    assert_eq!(metric(&gateway, r#"portcullis_config_reloads_total{result="success"}"#).await, 6.0);
}

/// A change of policy.yaml that can't be taken, and what is said of it.
const BAD: [(&str, &str); 9] = [
    ("version: 1\nroles: { tester: {} }\ntools: [{ match: \"*.ec", "policy.yaml:3:"),
    ("version: 1\nroles: [ }\n", "policy.yaml:2:"),
    ("version: 1\nrulez: []\n", "policy.yaml:2:1: unknown key `rulez`"),
    ("version: 1\nroles: {}\nroles: {}\n", "policy.yaml:3:1: `roles` is here a second time"),
    (
        "version: 1\nrules:\n  - { id: odd-path, effect: deny, tools: [\"one.*\"], args: { path: { pattern: \"(\" } } }\n",
        "policy.yaml:3:78: rule odd-path: not a regular expression",
    ),
    (
        "version: 1\nrules:\n  - { id: odd-condition, effect: deny, when: \"args.a >\" }\n",
        "policy.yaml:3:46: rule odd-condition: ",
    ),
    ("a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n", "aliases (`*name`) are not supported"),
    ("", "policy.yaml:1:1: the file is empty"),
    ("version: 2\n", "policy.yaml:1:10: unknown version 2"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_change_changes_nothing_and_is_shown_until_it_is_mended() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let good = live(&gateway).await;
    for (text, words) in BAD {
        replace(&gateway, "policy.yaml", text);
        refused(&gateway, words).await;
        assert_eq!(gateway.readiness().await["revision"], *good);
        assert!(is_fine(&call(&gateway, &tester()).await), "{words}");
    }
    std::fs::remove_file(gateway.dir().join("policy.yaml")).unwrap();
    refused(&gateway, "policy.yaml: there is no such file").await;
    assert_eq!(metric(&gateway, "portcullis_config_last_reload_successful").await, 0.0);
    assert_eq!(metric(&gateway, r#"portcullis_config_reloads_total{result="failure"}"#).await, 10.0);

    // What was there before is as good as something new.
    write(&gateway, "policy.yaml", POLICY);
    assert_eq!(live(&gateway).await, good);
    assert_eq!(metric(&gateway, "portcullis_config_last_reload_successful").await, 1.0);
    let calls = gateway.ended_calls(BAD.len(), |call| call["tool"] == "one.echo").await;
    assert!(calls.iter().all(|call| call["revision"] == *good), "{calls:?}");
}

/// What only a later step can judge is no exception: a key that is no key comes to light when tokens are to be checked
/// with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_late_changes_nothing_either() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let good = read(&gateway, "gateway.yaml");
    let mut bad: Value = serde_json::from_str(&good).unwrap();
    let key = "-----BEGIN PUBLIC KEY-----\nbm8ga2V5\n-----END PUBLIC KEY-----\n";
    let odd = json!({"issuer": "odd", "public_key": key, "algorithms": ["ES256"], "audiences": ["x"]});
    bad["identity"]["issuers"].as_array_mut().unwrap().push(odd);
    replace(&gateway, "gateway.yaml", &bad.to_string());
    refused(&gateway, "issuer `odd`: its public key can't be used").await;
    assert!(is_fine(&call(&gateway, &tester()).await));

    // The next change is judged beside what runs, and not beside what failed: the other file alone mends nothing.
    replace(&gateway, "policy.yaml", &variant(1));
    wait_until("the change is judged", PATIENCE, async || {
        let failures = metric(&gateway, r#"portcullis_config_reloads_total{result="failure"}"#).await;
        (failures >= 2.0).then_some(())
    })
    .await;
    refused(&gateway, "issuer `odd`").await;
    replace(&gateway, "gateway.yaml", &good);
    live(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fixed_at_start_asks_for_a_restart() {
    let (gateway, _upstream) = started(|setup| setup).await;
    let good = read(&gateway, "gateway.yaml");
    let changes = [
        ("listen.admin", json!({"listen": {"ingress": "127.0.0.1:0", "admin": "127.0.0.1:1"}})),
        ("journal.path", json!({"journal": {"path": "elsewhere.db"}})),
        ("edge.keepalive", json!({"edge": {"keepalive": "1s"}})),
        ("threads", json!({"threads": 3})),
    ];
    for (key, change) in changes {
        let mut changed: Value = serde_json::from_str(&good).unwrap();
        changed.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        replace(&gateway, "gateway.yaml", &format!("{changed:#}\n"));
        refused(&gateway, &format!("`{key}` can't change while the process runs")).await;
        assert!(gateway.readiness().await["rejected_configuration"].as_str().unwrap().contains("restart to change"));
    }
    assert!(!gateway.dir().join("elsewhere.db").exists());
    replace(&gateway, "gateway.yaml", &good);
    live(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_the_configuration_changes() {
    let (gateway, upstream) = started(|setup| setup).await;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (authority, done) = (gateway.authority().to_owned(), Arc::clone(&done));
            let request = modern_call("one", "echo", &json!({})).bearer(&token(&format!("user-{number}"), &["tester"]));
            tokio::spawn(async move {
                let mut connection = Connection::open(&authority, Version::Http1).await;
                let mut calls = 0;
                while !done.load(Ordering::SeqCst) {
                    let response = connection.exchange(&request).await.unwrap();
                    assert!(is_fine(&response), "{}", response.text());
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let mut known = BTreeSet::from([live(&gateway).await]);
    for number in 0..RELOADS {
        // Every third change is one of the upstream itself, which gets a new pool of connections.
        if number % 3 == 2 {
            let mut upstreams: Value = serde_json::from_str(&read(&gateway, "upstreams.yaml")).unwrap();
            upstreams["upstreams"]["one"]["timeout"] = json!(format!("{}s", 30 + number));
            gateway.replace_upstreams(&upstreams);
        } else {
            replace(&gateway, "policy.yaml", &variant(number));
        }
        known.insert(live(&gateway).await);
    }
    done.store(true, Ordering::SeqCst);
    let mut calls = 0;
    for client in clients {
        calls += client.await.unwrap();
    }
    assert_eq!(known.len(), RELOADS + 1);
    assert_eq!(upstream.calls().len(), calls);
    let rows = gateway.ended_calls(calls, |row| row["tool"] == "one.echo").await;
    assert_eq!(rows.len(), calls);
    let named: BTreeSet<String> = rows.iter().map(|row| row["revision"].as_str().unwrap().to_owned()).collect();
    assert!(named.is_subset(&known), "{named:?} {known:?}");
    assert!(rows.iter().all(|row| row["outcome"] == "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_refills_nobody() {
    let limited =
        |events: u32, note: &str| format!("{POLICY}limits: [{{ per: [user], rate: {events}/d }}]\n# {note}\n");
    let (gateway, upstream) = started(|mut setup| {
        setup.policy = limited(2, "first");
        setup
    })
    .await;
    let limits = async |fine: usize| {
        for _ in 0..fine {
            assert!(is_fine(&call(&gateway, &tester()).await));
        }
        let response = call(&gateway, &tester()).await;
        assert_eq!(response.status, 429, "{}", response.text());
        assert!(response.header("retry-after").unwrap().parse::<u32>().unwrap() > 3600);
    };
    limits(2).await;
    replace(&gateway, "policy.yaml", &limited(2, "second"));
    live(&gateway).await;
    limits(0).await;
    // Another number is no other limit: what was used stays used.
    replace(&gateway, "policy.yaml", &limited(1, "third"));
    live(&gateway).await;
    limits(0).await;
    assert_eq!(upstream.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_is_gone_at_once() {
    let (gateway, upstream) = started(|setup| setup).await;
    let token = tester();
    let good = read(&gateway, "gateway.yaml");
    // A token that was verified before is in a cache.
    assert!(is_fine(&call(&gateway, &token).await) && is_fine(&call(&gateway, &token).await));

    replace(&gateway, "gateway.yaml", &good.replace(r#""issuer": "dev""#, r#""issuer": "another""#));
    live(&gateway).await;
    let response = call(&gateway, &token).await;
    assert_eq!(response.status, 401, "{}", response.text());
    let renamed = Claims::new("ana", &["tester"]).with("iss", json!("another")).sign();
    assert!(is_fine(&call(&gateway, &renamed).await));

    replace(&gateway, "gateway.yaml", &good);
    live(&gateway).await;
    assert!(is_fine(&call(&gateway, &token).await));

    replace(&gateway, "policy.yaml", &POLICY.replace("tester", "stranger"));
    live(&gateway).await;
    let response = call(&gateway, &token).await;
    assert!(!is_fine(&response) && response.message()["error"]["code"] == -32602, "{}", response.text());
    assert_eq!(upstream.calls().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_secrets_are_used_without_a_restart() {
    let secrets = tempfile::tempdir().unwrap();
    let (key, shared) = (secrets.path().join("issuer"), secrets.path().join("gateway"));
    std::fs::write(&key, tokens::SECRET).unwrap();
    std::fs::write(&shared, GATEWAY_SECRET).unwrap();
    let (gateway, upstream) = started(|mut setup| {
        setup.gateway["identity"]["issuers"][0]["secret"] = json!(format!("${{file:{}}}", key.display()));
        setup.with("gateway_secret", json!(format!("${{file:{}}}", shared.display())))
    })
    .await;
    let old = tester();
    assert!(is_fine(&call(&gateway, &old).await));
    assert_eq!(upstream.calls()[0].header("x-gateway-auth"), Some(GATEWAY_SECRET));

    const NEXT: &str = "the-next-secret-between-gateway-and-tools";
    std::fs::write(&shared, NEXT).unwrap();
    wait_until("the upstream sees the new secret", PATIENCE, async || {
        // Not one call fails for the change.
        assert!(is_fine(&call(&gateway, &old).await));
        (upstream.calls().last()?.header("x-gateway-auth") == Some(NEXT)).then_some(())
    })
    .await;

    const SECRET: &str = "another secret that only the tests of portcullis know";
    std::fs::write(&key, SECRET).unwrap();
    wait_until("the old token is refused", PATIENCE, async || {
        let response = call(&gateway, &old).await;
        assert!(is_fine(&response) || response.status == 401, "{}", response.text());
        (response.status == 401).then_some(())
    })
    .await;
    assert!(is_fine(&call(&gateway, &Claims::new("ana", &["tester"]).sign_with(SECRET)).await));
    let said = gateway.process.lines().join("\n");
    for secret in [GATEWAY_SECRET, NEXT, SECRET] {
        assert!(!said.contains(secret));
    }
}
