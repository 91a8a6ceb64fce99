//! policy.yaml, whatever stands in it: parsed, held against its schema, compiled, asked. Nothing panics, every complaint has
//! a line, every decision a rule.

use crate::config::document::PolicyDocument;
use crate::config::schema;
use crate::configuration::{lines, source};
use portcullis_core::limit::LimitSet;
use portcullis_core::policy::document::Effect;
use portcullis_core::policy::{
    AccessRequest, Arguments, CallArguments, Context, Inventory, PolicySet, decide, explain,
};
use portcullis_core::principal::{Principal, RoleSet};
use portcullis_core::problem::Problem;
use portcullis_core::redact::Redactor;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Kind, ToolName};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema::policy);

const ARGUMENTS: [Option<&str>; 6] = [
    None,
    Some("{}"),
    Some(r#"{"n":7,"p":"/srv/../etc","u":"http://a@b/","list":[1,{"x":null}],"text":"aaa"}"#),
    Some(r#"{"n":1e400,"p":["a"],"text":"\u0000"}"#),
    Some(r#"{"n":1,"n":2}"#),
    Some("["),
];

const THINGS: [(Kind, &str); 5] = [
    (Kind::Tool, "crm.get_user"),
    (Kind::Tool, "files.delete_all"),
    (Kind::Prompt, "crm.ask"),
    (Kind::Resource, "files.file:///srv/a"),
    (Kind::Resource, "files.file:///srv/%2e%2e/etc"),
];

/// A policy file.
pub fn check(data: &[u8]) {
    let mut source = source(data);
    source.check(&SCHEMA);
    let Some(document) = source.document::<PolicyDocument>() else { return lines(data, &source.findings) };
    let compiled = compile(&document);
    let problems: Vec<Problem> = compiled.as_ref().err().cloned().unwrap_or_default();
    assert!(problems.iter().all(|problem| !problem.message.is_empty()));
    source.problems(problems);
    lines(data, &source.findings);
    let _ = LimitSet::compile(&document.limits);
    if let Ok(redactor) = Redactor::compile(&document.redaction, 100, b"key") {
        let plan = redactor.plan(&RoleSet::default(), None);
        let _ = plan.json(br#"{"result":{"content":[{"text":"a@example.com 4111111111111111 abc"}],"x":{"y":[1]}}}"#);
    }
    let Ok(policy) = compiled else { return };
    let roles: Vec<BTreeSet<String>> =
        [vec![], document.roles.keys().cloned().collect()].map(BTreeSet::from_iter).into();
    for held in roles {
        for (kind, name) in THINGS {
            ask(&document, &policy, &principal(held.clone()), kind, &ToolName::parse(name).expect("it is one"));
        }
    }
}

fn compile(document: &PolicyDocument) -> Result<PolicySet, Vec<Problem>> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let inventory = Inventory { upstreams: names(&["crm", "files"]), endpoints: names(&["work", "all"]) };
    PolicySet::compile(document, &inventory)
}

fn principal(roles: BTreeSet<String>) -> Principal {
    let claims = serde_json::from_str(r#"{"dept":"x","n":1,"deep":{"a":[null]}}"#).expect("it is an object");
    Principal {
        issuer: "https://idp.example".into(),
        subject: "ada".into(),
        tenant: Some("acme".into()),
        agent: None,
        roles,
        scopes: BTreeSet::new(),
        claims,
        expires_at: None,
    }
}

/// A decision names a rule that there is, and what no call may do is in no list.
fn ask(document: &PolicyDocument, policy: &PolicySet, principal: &Principal, kind: Kind, tool: &ToolName) {
    let context = Context { endpoint: "work", method: kind.method(), protocol: "2026-07-28", client: None };
    let roles = policy.roles(principal);
    let mut listed = false;
    for text in ARGUMENTS {
        let call = CallArguments::new(text.unwrap_or_default().as_bytes());
        let arguments = if text.is_some() { Arguments::Of(&call) } else { Arguments::Any };
        let request = AccessRequest { principal, roles: &roles, kind, tool, arguments, context: &context };
        let now = Timestamp::from_secs(1_800_000_000);
        let decision = decide(policy, &request, now);
        assert_eq!(decision, decide(policy, &request, now), "asked twice");
        let explanation = explain(policy, &request, now);
        assert_eq!((decision.effect, &*decision.rule), (explanation.effect, explanation.rule.as_str()));
        let position = |rule: &str| rule.strip_prefix("access[")?.strip_suffix(']')?.parse::<usize>().ok();
        let known = document.rules.iter().any(|rule| rule.id == *decision.rule && rule.effect == decision.effect)
            || position(&decision.rule).is_some_and(|position| position < document.access.len())
            || (&*decision.rule, decision.effect) == ("default", Effect::Deny);
        assert!(known, "no such rule: {decision:?}");
        match text {
            None => listed = decision.effect != Effect::Deny,
            Some(_) => assert!(listed || decision.effect == Effect::Deny, "{tool} is in no list and can be called"),
        }
    }
}
