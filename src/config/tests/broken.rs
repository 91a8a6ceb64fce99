//! Broken configurations, and what is said about each: `broken.golden`, which UPDATE=1 writes. Read it as a user would.

use super::{Folder, GATEWAY, POLICY, UPSTREAMS};
use std::fmt::Write;

/// Which file is broken.
#[derive(Clone, Copy)]
enum In {
    Gateway,
    Upstreams,
    Policy,
}

/// The whole text of a broken file.
const WHOLE: &[(In, &str)] = &[
    (In::Gateway, ""),
    (In::Gateway, "# only a comment\n"),
    (In::Gateway, "--- \n"),
    (In::Gateway, "just text"),
    (In::Gateway, "[1, 2]"),
    (In::Gateway, "version: 1\n"),
    (In::Gateway, "version: 1\n---\nversion: 1\n"),
    (In::Gateway, "%YAML 1.1\n---\nversion: 1\n"),
    (In::Gateway, "a: [1, 2\nb: 3\n"),
    (In::Gateway, "a: 1\n  b: 2\n"),
    (In::Gateway, "a:\n\t- b\n"),
    (In::Gateway, "identity:\n  issuers: []\n"),
    (In::Upstreams, "upstreams: {}\n"),
    (In::Upstreams, "version: 2\nupstreams: {}\n"),
    (In::Upstreams, "version: \"1\"\nupstreams:\nendpoints: []\n"),
    (
        In::Upstreams,
        "version: 1\nupstreams:\n  a: { url: http://a/mcp, timeout: 5 }\n  a: { url: http://b/mcp }\nupstreams: {}\n",
    ),
    (In::Policy, "version: 1\nroles: &r { a: {} }\nrules: *r\n<<: *r\nlimits: !!seq []\n? [x]\n: y\n: z\n"),
    (
        In::Policy,
        "version: 1\nrules:\n  - id: first\n    effect: alow\n    tools: \"crm.*\"\n    min_sevrity: high\n    ttl: soon\n",
    ),
    (In::Policy, "version: 1\nrules:\n  - id: first\n    effect: allow\n    tools:\n    # - crm.get\n"),
    (
        In::Policy,
        "version: 1\nrules:\n  - { id: a, effect: deny, args: { x: { equals: null } } }\n  - { effect: deny }\n",
    ),
    (In::Policy, "version: 1\ntools:\n  - { match: a.b, class: read, pii: yes }\n  - { match: 12, class: reed }\n"),
    (
        In::Policy,
        "version: 1\nlimits:\n  - { per: [user, team], rate: 0/m, burst: -1, concurrency: 4294967296 }\n  - { rate: 5 }\n",
    ),
    (In::Policy, "version: 1\npayload: { request: 1.5MiB, response: 0, text_chars: 0 }\n"),
    (In::Policy, "version: 1\npayload: { request: 0, response: 0B, text_chars: 0 }\n"),
    (In::Policy, "version: 1\nredaction:\n  - { detect: [emial], action: hide }\n  - { fields: { a: b } }\n"),
    (In::Policy, "version: 1\nroles: { viewer: , developer: { inherit: [viewer] } }\n"),
    (
        In::Policy,
        "version: 1\nrules:\n  - { id: a, effect: deny, users: [0123, 12345678901234567890123, .nan, 007] }\n",
    ),
    (In::Policy, "version: 1\nrules: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"),
];

/// Lines after a file without fault.
const AFTER: &[(In, &str)] = &[
    (In::Gateway, "listne: {}\n"),
    (In::Gateway, "listen: { ingres: 1, hostz: [] }\n"),
    (In::Gateway, "listen: { ingress: localhost:8000, admin: \":9000\" }\n"),
    (In::Gateway, "listen: { ingress: 0.0.0.0:8000 }\n"),
    (In::Gateway, "listen: { ingress: 127.0.0.1:8000, admin: 127.0.0.1:8000 }\n"),
    (In::Gateway, "listen: { public_url: gateway.example.com, hosts: [] }\n"),
    (
        In::Gateway,
        "listen: { public_url: https://gateway.example.com/mcp, hosts: ['*.example.com', ok.example.com, a/b] }\n",
    ),
    (In::Gateway, "listen: { origins: [https://ok.example.com, '*', 'null', https://a.example.com/] }\n"),
    (In::Gateway, "listen: { tls: { certificate: none.pem } }\n"),
    (In::Gateway, "listen: { tls: { certificate: none.pem, key: none.key } }\n"),
    (In::Gateway, "listen: { tls: { certificate: Cargo.toml, key: tests/keys/ec.pub.pem } }\n"),
    (In::Gateway, "gateway_secret: ${env:NOT_SET}\ndigest_key: ${env:EMPTY}\n"),
    (In::Gateway, "gateway_secret: ${file:/nowhere/secret}\ndigest_key: ${vault:kv/key#value}\n"),
    (In::Gateway, "gateway_secret: ${JWT_SECRET}\ndigest_key: ${env:JWT_SECRET\n"),
    (In::Gateway, "gateway_secret: \"two words\"\ndigest_key: short\n"),
    (In::Gateway, "gateway_secret: 12345\n"),
    (In::Gateway, "journal: { path: '', durability: sinced, deadline: 2 }\n"),
    (In::Gateway, "journal: { path: '', deadline: 0s }\n"),
    (
        In::Gateway,
        "journal: { sinks: [{ name: A b, file: '' }, { name: a }, { name: a, file: x, otlp: y }, { name: a, postgres: mysql://x }] }\n",
    ),
    (
        In::Gateway,
        "journal: { sinks: [{ name: a, webhook: { url: http://siem.example.com/, secret: whsec_c2hvcnQ= } }] }\n",
    ),
    (
        In::Gateway,
        "journal: { sinks: [{ name: a, file: '-' }, { name: b, file: '-' }, { name: c, otlp: 'http://u:p@h/' }] }\n",
    ),
    (In::Gateway, "edge: { connections: 0, header_count: 0, header_bytes: 0, body_deadline: 0s }\n"),
    (In::Gateway, "edge: { connections: many, bad_tokens: 5/w, keepalive: 99999999999999999999d }\n"),
    (In::Gateway, "telemetry: { level: inof }\n"),
    (In::Gateway, "telemetry: { level: 'info,portcullis=loud', log: jsno }\n"),
    (In::Gateway, "threads: 0\n"),
    (In::Gateway, "threads: ${env:JWT_SECRET}\ndrain: 10 fortnights\n"),
    (In::Gateway, "policy: nowhere.yaml\nupstreams: conf\n"),
    (In::Gateway, "policy: [a]\nversion: 1\n"),
    (In::Upstreams, "  mcp: { upstreams: [ops] }\n  Tools: { upstreams: [ops] }\n"),
    (In::Upstreams, "  a: { upstreams: [] }\n  b: { upstreams: [calculater, ops, ops] }\n"),
];

/// One issuer in the place of the one without fault.
const ISSUERS: &[&str] = &[
    "{ issuer: dev, algorithms: [HS256], secret: too-short }",
    "{ issuer: dev, algorithms: [HS256, RS256], secret: \"${env:JWT_SECRET}\" }",
    "{ issuer: dev, algorithms: [], secret: \"${env:JWT_SECRET}\" }",
    "{ issuer: dev, algorithms: [RS256] }",
    "{ issuer: https://idp.example.com, algorithms: [HS256, RS256, RS256] }",
    "{ issuer: http://idp.example.com, algorithms: [RS256] }",
    "{ issuer: https://idp.example.com/?a=b, algorithms: [RS256], audiences: [] }",
    "{ issuer: dev, algorithms: [RS256], jwks_url: https://user@idp.example.com/ }",
    "{ issuer: dev, algorithms: [RS256], jwks_url: https://idp.example.com/, secret: \"${env:JWT_SECRET}\" }",
    "{ issuer: dev, algorithms: [ES256], public_key: /etc/key.pem }",
    "{ issuer: dev, algorithms: [ES256], public_key: \"-----BEGIN PRIVATE KEY-----\" }",
    "{ issuer: '', algorithms: [HS256], secret: \"${env:JWT_SECRET}\", claims: { user: '', roles: a..b }, audiences: [''] }",
];

/// One upstream in the place of one without fault.
const UPSTREAM: &[&str] = &[
    "calculator: {}",
    "calculator: { url: http://a/mcp, urls: [http://b/mcp] }",
    "calculator: { url: ftp://a/mcp }",
    "calculator: { url: http://user:password@a/mcp }",
    "calculator: { url: http://a/mcp#x, health: health }",
    "calculator: { urls: [http://a/mcp, https://b/mcp, http://c/other, http://a/mcp] }",
    "calculator: { url: http://a/mcp, ca: ca.pem, timeout: 0s, refresh: 0s }",
    "calculator: { url: https://a/mcp, ca: /nowhere/ca.pem }",
    "calculator: { url: http://a/mcp, http: http3, retries: 3 }",
    "Calc.ulator: { url: http://a/mcp }",
    "calculator: { url: http://a/mcp, stdio: { command: [a] }, sse: http://a/sse }",
    "calculator: { stdio: {} }",
    "calculator: { stdio: { command: [] }, health: /health, ca: ca.pem, http: http1 }",
    "calculator: { stdio: { command: ['', b], idle: 0s, max_processes: 0 } }",
    "calculator: { stdio: { command: [\"a\\0\"], cwd: \"b\\0\", env: { 1A: x, A-B: y, C: \"d\\0\" } } }",
    "calculator: { stdio: { command: [a], per: user, shell: true } }",
    "calculator: { stdio: { command: [a] }, catalogue: per_user }",
    "calculator: { url: http://a/mcp, catalogue: per_principal }",
    "calculator: { stdio: { command: [a], env: { API_TOKEN: 5, OTHER: \"${env:NOT_SET}\" } } }",
    "calculator: { url: http://a/mcp, addresses: [10.0.0.0/8, 10.0.0.1/8, fd00::/129, example.com] }",
    "calculator: { stdio: { command: [a] }, addresses: [10.0.0.0/8] }",
    "calculator: { sse: http://a/sse, addresses: [10.0.0.0/8] }",
    "calculator: { sse: ws://a/sse }",
    "calculator: { sse: http://user:password@a/sse, http: http2, ca: ca.pem }",
];

fn cases() -> Vec<(String, Folder)> {
    let whole = WHOLE.iter().map(|(place, text)| (*place, (*text).to_owned()));
    let after = AFTER.iter().map(|(place, text)| match place {
        In::Gateway => (*place, format!("{GATEWAY}{text}")),
        In::Upstreams => (*place, format!("{UPSTREAMS}{text}")),
        In::Policy => (*place, format!("{POLICY}{text}")),
    });
    let issuers = ISSUERS.iter().map(|issuer| (In::Gateway, format!("identity:\n  issuers:\n    - {issuer}\n")));
    let upstream = UPSTREAM.iter().map(|entry| {
        (
            In::Upstreams,
            format!("version: 1\nupstreams:\n  {entry}\nendpoints: {{ all: {{ upstreams: [calculator] }} }}\n"),
        )
    });
    let folder = |place, text: &str| match place {
        In::Gateway => Folder::of(text, UPSTREAMS, POLICY),
        In::Upstreams => Folder::of(GATEWAY, text, POLICY),
        In::Policy => Folder::of(GATEWAY, UPSTREAMS, text),
    };
    let all = whole.chain(after).chain(issuers).chain(upstream);
    all.map(|(place, text)| (text.clone(), folder(place, &text))).collect()
}

#[test]
fn each_broken_configuration_is_refused_with_all_that_is_wrong() {
    let mut said = String::new();
    for (text, folder) in cases() {
        let text = text.strip_prefix(GATEWAY).or(text.strip_prefix(UPSTREAMS)).unwrap_or(&text);
        let quoted: Vec<String> = text.lines().map(|line| format!("| {}", line.replace('\t', "→"))).collect();
        let _ = write!(said, "{}\n{}\n\n", quoted.join("\n"), folder.refused());
    }
    crate::config::golden::compare("src/config/tests/broken.golden", &said);
}

#[test]
fn problems_of_all_three_files_come_at_once() {
    let folder = Folder::of("identity: {}\nfoo: 1\n", "version: 1\nbar: 1\n", "version: 1\nbaz: 1\n");
    let said = folder.refused();
    for expected in
        ["gateway.yaml:1:11: `issuers`", "`foo`", "upstreams.yaml:2:1:", "policy.yaml:2:1:", "4 problems in"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_file_that_is_not_text_not_there_or_too_large_is_refused() {
    let folder = Folder::good();
    folder.write("policy.yaml", b"version: 1\n# caf\xe9\n");
    assert!(folder.refused().contains("policy.yaml:2:1: this line is not UTF-8"));
    folder.write("policy.yaml", "#".repeat((4 << 20) + 1));
    assert!(folder.refused().contains("policy.yaml: the file is larger than 4 MiB"));
    std::fs::remove_file(folder.path("policy.yaml")).unwrap();
    assert!(folder.refused().contains("policy.yaml: there is no such file"));
    std::fs::remove_file(folder.path("conf/gateway.yaml")).unwrap();
    assert!(folder.refused().contains("conf/gateway.yaml: there is no such file"));
}

#[test]
fn what_is_seldom_meant_is_a_warning() {
    let gateway = "\
listen: { ingress: 0.0.0.0:8000, admin: 0.0.0.0:9000, public_url: http://gateway.example.com }
gateway_secret: short
identity:
  issuers:
    - { issuer: dev, algorithms: [HS256], secret: 0123456789-0123456789-0123456789, clock_skew: 1h }
journal:
  sinks:
    - { name: here, postgres: postgres://audit@localhost/audit }
    - { name: socket, postgres: 'postgres://audit@db/audit?host=/run/postgresql' }
    - { name: encrypted, postgres: 'postgres://audit@db/audit?sslmode=require' }
    - { name: open, postgres: postgres://audit:password@db/audit }
    - { name: otel, otlp: http://collector:4318 }
    - { name: hook, webhook: { url: https://siem.example.com/, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw } }
";
    let folder = Folder::of(gateway, "version: 1\n", POLICY);
    let loaded = folder.load().unwrap_or_else(|report| panic!("{report}"));
    let warnings: Vec<String> = loaded.warnings.iter().map(|warning| folder.inside(&warning.message)).collect();
    assert_eq!(
        warnings,
        [
            "whoever reaches this machine reaches the admin listener",
            "tokens cross the network unencrypted",
            "the tolerance for clocks is very large",
            "a secret stands in the file itself",
            "the secret is short enough to be guessed",
            "a secret stands in the file itself",
            "a secret stands in the file itself",
            "the record and the password may cross the network unencrypted",
            "the record crosses the network unencrypted",
            "a secret stands in the file itself",
            "there is no endpoint, so every call is answered with 404",
        ]
    );
}
