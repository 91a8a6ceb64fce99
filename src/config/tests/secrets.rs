//! No secret in any message.

use super::{Folder, GATEWAY, POLICY, UPSTREAMS};
use crate::config::load;

const CANARY: &str = "canary7f3a9c";

/// Loads with an environment in which every variable holds the canary, and gives all that is said.
fn said(gateway: &str, upstreams: &str) -> String {
    let folder = Folder::of(gateway, upstreams, POLICY);
    match load(&folder.path("conf/gateway.yaml"), &|_| Some(format!("{CANARY}, which is long enough for a key"))) {
        Err(report) => format!("{report}\n{report:?}"),
        Ok(loaded) => format!("{:?}", loaded.warnings),
    }
}

#[test]
fn no_message_shows_what_a_reference_gave() {
    let gateway = "
version: ${env:X}
listen: { ingress: '${env:X}', admin: '${env:X}', public_url: '${env:X}', hosts: ['*${env:X}'], origins: ['${env:X}'] }
gateway_secret: '${env:X} '
digest_key: ${env:X}
identity:
  issuers:
    - { issuer: '${env:X}', algorithms: ['${env:X}', HS256], audiences: ['${env:X}'], claims: { user: '.${env:X}' } }
    - { issuer: '${env:X}', algorithms: [HS256], secret: '${env:X}', jwks_url: '${env:X}', max_token_age: '${env:X}' }
telemetry: { level: 'x=${env:X}=', log: '${env:X}' }
edge: { bad_tokens: '${env:X}', header_bytes: '${env:X}' }
drain: ${env:X}
journal: { sinks: [{ name: '${env:X}', postgres: '${env:X}' }, { name: a, webhook: { url: '${env:X}', secret: '${env:X}' } }, { name: a, otlp: '${env:X}' }] }
";
    let upstreams = "
version: 1
upstreams:
  a: { url: '${env:X}', ca: '${env:X}', health: '${env:X}', http: '${env:X}' }
  b: { urls: ['http://user:${env:X}@host/', 'http://${env:X}/#'], timeout: '${env:X}' }
endpoints:
  e: { upstreams: ['${env:X}'] }
";
    let said_all = said(gateway, upstreams);
    assert!(said_all.contains("problems in") && !said_all.contains(CANARY), "{said_all}");

    // The same without what the schema refuses, so that the compilers speak.
    let well_typed = |text: &str| {
        let kept = |line: &&str| !["version: $", "telemetry", "edge", "drain"].iter().any(|key| line.starts_with(key));
        let text: Vec<&str> = text.lines().filter(kept).collect();
        text.join("\n")
            .replace("'${env:X}', HS256", "HS256")
            .replace(", max_token_age: '${env:X}'", "")
            .replace(", http: '${env:X}'", "")
            .replace(", timeout: '${env:X}'", "")
    };
    let telemetry = "\ntelemetry: { level: 'x=${env:X}=' }\n";
    let said_all = said(&(well_typed(gateway) + telemetry), &well_typed(upstreams));
    assert!(said_all.contains("telemetry.level") && said_all.contains("unknown upstream"), "{said_all}");
    assert!(!said_all.contains(CANARY), "{said_all}");
}

#[test]
fn no_message_shows_a_secret_that_stands_in_the_file_however_it_is_mistyped() {
    for line in [
        "gateway_secret:CANARY",
        "gateway_secret: &CANARY",
        "gateway_secret: *CANARY",
        "gateway_secret: !CANARY x",
        "gateway_secret: @CANARY",
        "gateway_secret: %CANARY",
        "gateway_secret: \"CANARY",
        "gateway_secret: CANARY: x",
        "gateway_secret: [CANARY]",
        "gateway_secret: {CANARY}",
        "gateway_secret: a${CANARY}b",
        "gateway_secret: ${env:CANARY",
        "gateway_secret: ${vault:CANARY}",
        "gateway_secret: 'CANARY and more'",
        "gateway_secret=CANARY: x",
        "digest_key: CANARY",
        "identity: { issuers: [{ issuer: dev, algorithms: [HS256], secret: CANARY }] }",
        "identity: { issuers: [{ issuer: dev, algorithms: [CANARY/+==], secret: x }] }",
        "identity: { issuers: [{ issuer: 'https://u:CANARY@idp', algorithms: [RS256] }] }",
        "identity: { issuers: [{ issuer: dev, algorithms: [RS256], public_key: CANARY }] }",
        "identity: { issuers: [{ issuer: dev, algorithms: [RS256], jwks_url: 'https://idp/?key=CANARY#' }] }",
        "identity: { issuers: [{ issuer: dev, algorithms: [RS256], secret: 'CANARY' }, CANARY] }",
    ] {
        let rest = if line.starts_with("identity") { "" } else { GATEWAY };
        let said = said(&format!("{}\n{rest}", line.replace("CANARY", CANARY)), UPSTREAMS);
        assert!(said.contains("problem") && !said.contains(CANARY), "{line}: {said}");
    }
}
