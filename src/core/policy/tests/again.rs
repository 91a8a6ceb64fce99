//! Deciding once more with what a record holds: never another answer than the call itself would get.

use super::random::{ARGUMENTS, case, policy};
use super::{ask, compile};
use crate::policy::document::PolicyDocument;
use crate::policy::tests::reference::Case;
use crate::policy::{AccessRequest, Gap, PolicySet, decide, decide_again};
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::tool::{Kind, ToolName};
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

fn again(gaps: &[Gap]) -> impl Fn(&PolicySet, &AccessRequest<'_>, Timestamp) -> Result<(String, String), Gap> {
    |policy, request, now| {
        decide_again(policy, request, gaps, now).map(|decision| (decision.word().to_owned(), decision.rule.to_string()))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn without_a_gap_it_is_the_same_decision(document in policy(), case in case()) {
        let policy = compile(&document);
        let decision = ask(&policy, &case, decide);
        let said = (decision.word().to_owned(), decision.rule.to_string());
        prop_assert_eq!(ask(&policy, &case, again(&[])), Ok(said));
    }

    #[test]
    fn what_is_said_without_the_arguments_holds_whatever_they_were(document in policy(), case in case()) {
        let policy = compile(&document);
        let case = Case { arguments: Some("{}"), ..case };
        if let Ok((word, _)) = ask(&policy, &case, again(&[Gap::Arguments])) {
            for arguments in ARGUMENTS {
                let call = ask(&policy, &Case { arguments: Some(arguments), ..case.clone() }, decide);
                prop_assert_eq!(call.word(), &word, "{}", arguments);
            }
        }
    }
}

#[test]
fn a_gap_is_named_where_it_matters_and_only_there() {
    let rules = serde_json::json!([
        {"id": "large", "effect": "deny", "tools": ["crm.set"], "args": {"n": {"min": 5}}},
        {"id": "staff", "effect": "allow", "tools": ["crm.list"], "when": "principal.claims.staff == true"},
        {"id": "odd", "effect": "deny", "tools": ["crm.get"], "when": "args.n == 1"},
        {"id": "never", "effect": "deny", "tools": ["crm.get"]},
    ]);
    let access = serde_json::json!([{"roles": ["viewer"], "upstreams": ["*"], "level": "destroy"}]);
    let document = serde_json::json!({"version": 1, "roles": {"viewer": {}}, "access": access, "rules": rules});
    let document: PolicyDocument = serde_json::from_value(document).unwrap();
    let policy = compile(&document);
    let principal = Principal { roles: ["viewer".to_owned()].into(), ..Principal::new("dev", "ada") };
    let said = |tool: &str, gaps: &[Gap]| {
        let tool = ToolName::parse(tool).unwrap();
        let case =
            Case { principal: principal.clone(), kind: Kind::Tool, tool, arguments: Some("{}"), endpoint: "work" };
        ask(&policy, &case, again(gaps)).map(|(word, _)| word)
    };
    let both = [Gap::Arguments, Gap::Claims];
    assert_eq!(said("crm.set", &both), Err(Gap::Arguments));
    assert_eq!(said("crm.get", &both), Ok("deny".into()), "another rule denies in any case");
    assert_eq!(said("crm.list", &both), Ok("allow".into()), "the level allows in any case");
    assert_eq!(said("files.x", &both), Ok("allow".into()));
    let strict = PolicyDocument { access: Vec::new(), ..document };
    let policy = compile(&strict);
    let case = |tool: &str| Case {
        principal: principal.clone(),
        kind: Kind::Tool,
        tool: ToolName::parse(tool).unwrap(),
        arguments: Some("{}"),
        endpoint: "work",
    };
    assert_eq!(ask(&policy, &case("crm.list"), again(&both)).map(|_| ()), Err(Gap::Claims));
    assert_eq!(ask(&policy, &case("crm.set"), again(&both)).map(|(word, _)| word), Ok("deny".into()));
}
