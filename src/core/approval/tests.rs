//! What can become of an approval, and what can't.

use super::{
    Approval, Closing, Expected, Matter, Refusal, Requester, State, Terms, Verdict, Voter, expire, redeem, vote,
    withdraw,
};
use crate::principal::{Principal, RoleSet};
use crate::time::Timestamp;
use crate::tool::{Class, Severity};

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
        terms: Terms {
            rule: "destroy".into(),
            why: None,
            revision: "r".into(),
            approvers: vec!["oncall".into()],
            quorum,
        },
        created: at(0),
        expires: at(100),
        votes: Vec::new(),
        closing: None,
        call: None,
    }
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
    let approvers: Vec<String> = approvers.iter().map(|role| (*role).to_owned()).collect();
    let expected =
        Expected { digest, principal: who, rule: "destroy", approvers: &approvers, quorum: approval.terms.quorum };
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
    let nobody = Approval { terms: Terms { approvers: Vec::new(), ..approval(1).terms }, ..approval(1) };
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
