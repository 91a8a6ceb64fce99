//! What can become of an approval, and what can't.

use super::{
    Approval, Closing, Demand, Expected, Matter, Refusal, Requester, State, Terms, Verdict, Voter, expire, redeem,
    vote, withdraw,
};
use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use crate::tool::{Class, Severity};
use std::sync::Arc;

fn person(subject: &str, roles: &[&str]) -> Principal {
    Principal {
        tenant: Some("acme".into()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Principal::new("dev", subject)
    }
}

fn approval(quorum: u32) -> Approval {
    Approval {
        id: "a".into(),
        version: 1,
        state: State::Pending,
        digest: "d".into(),
        requester: Requester::of(&person("dana", &[])),
        matter: Matter {
            endpoint: "work".into(),
            upstream: "crm".into(),
            tool: "crm.delete".into(),
            definition: "0".into(),
            class: Class::Destructive,
            severity: Severity::High,
            arguments: "{}".into(),
            preview: None,
        },
        terms: Terms { revision: "r".into(), demands: vec![demand("destroy", APPROVERS, quorum)] },
        created: at(0),
        expires: at(100),
        votes: Vec::new(),
        closing: None,
        call: None,
    }
}

fn demand(rule: &str, approvers: &[&str], quorum: u32) -> Demand {
    let approvers = approvers.iter().map(|role| (*role).to_owned()).collect();
    Demand { rule: rule.into(), why: None, approvers, quorum }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(second)
}

fn says(approval: &Approval, who: &Principal, verdict: Verdict, second: i64) -> Result<Approval, Refusal> {
    let roles: RoleSet = who.roles.iter().cloned().collect();
    vote(approval, Voter { principal: who, roles: &roles }, verdict, None, at(second))
}

fn plain(roles: &[String]) -> RoleSet {
    roles.iter().cloned().collect()
}

const APPROVERS: &[&str] = &["oncall"];

fn redeemed(
    approval: &Approval,
    digest: &str,
    who: &Principal,
    approvers: &[&str],
    second: i64,
) -> Result<(), Refusal> {
    let quorum = approval.terms.demands[0].quorum;
    redeemed_by(approval, digest, who, &[demand("destroy", approvers, quorum)], second)
}

fn redeemed_by(
    approval: &Approval,
    digest: &str,
    who: &Principal,
    demands: &[Demand],
    second: i64,
) -> Result<(), Refusal> {
    let demands: Vec<_> = demands.iter().cloned().map(Arc::new).collect();
    let expected = Expected { digest, principal: who, demands: &demands };
    redeem(approval, expected, plain, "call", at(second)).map(|redemption| {
        assert_eq!(redemption.next().state, State::Redeemed);
        assert!(redemption.settled(false).is_none());
    })
}

#[test]
fn an_approver_approves_and_the_requester_redeems() {
    let approved = says(&approval(1), &person("olli", APPROVERS), Verdict::Approve, 10).unwrap();
    assert_eq!(approved.state, State::Approved);
    assert_eq!(redeemed(&approved, "d", &person("dana", &[]), APPROVERS, 20), Ok(()));
}

#[test]
fn nobody_decides_on_their_own_request_through_any_client() {
    let other_client = Principal { agent: Some("another".into()), ..person("dana", APPROVERS) };
    assert_eq!(says(&approval(1), &other_client, Verdict::Approve, 1).unwrap_err(), Refusal::OwnRequest);
    assert_eq!(says(&approval(1), &other_client, Verdict::Deny, 1).unwrap_err(), Refusal::OwnRequest);
}

#[test]
fn only_members_of_the_roles_and_the_tenant_decide() {
    assert_eq!(says(&approval(1), &person("vio", &["viewer"]), Verdict::Approve, 1).unwrap_err(), Refusal::NotApprover);
    let foreign = Principal { tenant: Some("other".into()), ..person("olli", APPROVERS) };
    assert_eq!(says(&approval(1), &foreign, Verdict::Approve, 1).unwrap_err(), Refusal::Unknown);
    let none = Terms { demands: vec![demand("destroy", &[], 1)], ..approval(1).terms };
    let nobody = Approval { terms: none, ..approval(1) };
    assert_eq!(says(&nobody, &person("olli", APPROVERS), Verdict::Approve, 1).unwrap_err(), Refusal::NotApprover);
}

#[test]
fn a_quorum_is_of_different_people_and_one_refusal_ends_it() {
    let olli = person("olli", APPROVERS);
    let first = says(&approval(2), &olli, Verdict::Approve, 1).unwrap();
    assert_eq!(first.state, State::Pending);
    assert_eq!(says(&first, &olli, Verdict::Approve, 2).unwrap_err(), Refusal::Voted);
    let second = person("omar", APPROVERS);
    assert_eq!(says(&first, &second, Verdict::Approve, 2).unwrap().state, State::Approved);
    assert_eq!(says(&first, &second, Verdict::Deny, 2).unwrap().state, State::Denied);
}

#[test]
fn of_several_rules_each_must_be_agreed_to() {
    let demands = || vec![demand("a-writes", &["developer"], 1), demand("z-large", &["finance"], 2)];
    let asked = Approval { terms: Terms { demands: demands(), ..approval(1).terms }, ..approval(1) };
    let dana = person("dana", &[]);
    let first = says(&asked, &person("dev", &["developer"]), Verdict::Approve, 1).unwrap();
    assert_eq!(first.state, State::Pending);
    let second = says(&first, &person("fina", &["finance"]), Verdict::Approve, 2).unwrap();
    assert_eq!(second.state, State::Pending);
    // Whoever may decide under both speaks for both.
    let third = says(&second, &person("fay", &["finance", "developer"]), Verdict::Approve, 3).unwrap();
    assert_eq!(third.state, State::Approved);
    assert_eq!(redeemed_by(&third, "d", &dana, &demands(), 4), Ok(()));
    assert_eq!(redeemed_by(&third, "d", &dana, &demands()[1..], 4), Ok(()));
    let stricter = [demand("a-writes", &["developer"], 3)];
    assert_eq!(redeemed_by(&third, "d", &dana, &stricter, 4).unwrap_err(), Refusal::ApproversLost);
    let another = [demand("a-writes", &["developer"], 1), demand("new", &["developer"], 1)];
    assert_eq!(redeemed_by(&third, "d", &dana, &another, 4).unwrap_err(), Refusal::Mismatch);
    assert_eq!(redeemed_by(&third, "d", &dana, &[], 4).unwrap_err(), Refusal::Mismatch);
}

#[test]
fn one_name_under_two_issuers_is_one_person_here() {
    let elsewhere = |name: &str| Principal { issuer: "other".into(), ..person(name, APPROVERS) };
    assert_eq!(says(&approval(1), &elsewhere("dana"), Verdict::Approve, 1).unwrap_err(), Refusal::OwnRequest);
    let first = says(&approval(2), &person("olli", APPROVERS), Verdict::Approve, 1).unwrap();
    assert_eq!(says(&first, &elsewhere("olli"), Verdict::Approve, 2).unwrap_err(), Refusal::Voted);
}

#[test]
fn what_is_over_is_over() {
    let approved = says(&approval(1), &person("olli", APPROVERS), Verdict::Approve, 10).unwrap();
    let dana = person("dana", &[]);
    assert_eq!(redeemed(&approved, "d", &dana, APPROVERS, 100).unwrap_err(), Refusal::State(State::Expired));
    assert_eq!(
        says(&approval(1), &person("olli", APPROVERS), Verdict::Approve, 100).unwrap_err(),
        Refusal::State(State::Expired)
    );
    assert_eq!(redeemed(&approval(1), "d", &dana, APPROVERS, 1).unwrap_err(), Refusal::State(State::Pending));
    assert!(expire(&approved, at(99)).is_none());
    assert_eq!(expire(&approved, at(100)).unwrap().state, State::Expired);
    let closing = Closing { subject: None, reason: None, at: at(20) };
    let withdrawn = withdraw(&approved, closing.clone(), at(20)).unwrap();
    assert_eq!(redeemed(&withdrawn, "d", &dana, APPROVERS, 21).unwrap_err(), Refusal::State(State::Withdrawn));
    assert_eq!(withdraw(&withdrawn, closing, at(22)).unwrap_err(), Refusal::State(State::Withdrawn));
}

#[test]
fn another_call_another_caller_and_lost_roles_redeem_nothing() {
    let approved = says(&approval(1), &person("olli", APPROVERS), Verdict::Approve, 10).unwrap();
    let dana = person("dana", &[]);
    assert_eq!(redeemed(&approved, "e", &dana, APPROVERS, 20).unwrap_err(), Refusal::Mismatch);
    assert_eq!(redeemed(&approved, "d", &person("eve", &[]), APPROVERS, 20).unwrap_err(), Refusal::Unknown);
    assert_eq!(redeemed(&approved, "d", &dana, &["security"], 20).unwrap_err(), Refusal::ApproversLost);
}
