//! What can become of an approval, and what can't.

use super::{
    Approval, Closing, Demand, Expected, Matter, Refusal, Requester, State, Terms, Verdict, Voter, carry_on, expire,
    redeem, stands, vote, withdraw,
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
            answers: None,
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
    let live = approval.terms.demands.iter().cloned().map(Arc::new).collect();
    let voter = Voter { principal: who, roles: &roles, live };
    vote(approval, voter, verdict, None, at(second))
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

/// What a call was let through for holds later under the same terms, and no longer.
#[test]
fn what_was_redeemed_stands_while_all_is_as_it_was() {
    let approved = says(&approval(1), &person("olli", APPROVERS), Verdict::Approve, 10).unwrap();
    let spent = Approval { state: State::Redeemed, ..approved.clone() };
    let wanted = |rule, approvers, quorum| [Arc::new(demand(rule, approvers, quorum))];
    let (dana, demands) = (person("dana", &[]), wanted("destroy", APPROVERS, 1));
    let expected = Expected { digest: "d", principal: &dana, demands: &demands };
    let refused = |expected: Expected<'_>| stands(&spent, expected, plain).unwrap_err();
    assert_eq!(stands(&spent, expected, plain).unwrap().id(), "a");
    assert_eq!(stands(&approved, expected, plain).unwrap_err(), Refusal::State(State::Approved));
    assert_eq!(refused(Expected { digest: "e", ..expected }), Refusal::Mismatch);
    let by = |demands: &[Arc<Demand>]| stands(&spent, Expected { demands, ..expected }, plain).unwrap_err();
    assert_eq!(by(&wanted("other", APPROVERS, 1)), Refusal::Mismatch);
    assert_eq!(by(&wanted("destroy", APPROVERS, 2)), Refusal::ApproversLost);
    assert_eq!(by(&wanted("destroy", &[], 1)), Refusal::ApproversLost);
    assert_eq!(refused(Expected { principal: &person("eve", &[]), ..expected }), Refusal::Unknown);
}

/// Who asks and takes back, or lets the time pass, leaves nothing of any size behind.
#[test]
fn what_ended_without_a_call_keeps_no_arguments() {
    let long = Approval {
        matter: Matter { arguments: "x".repeat(1 << 16), preview: Some("y".repeat(1 << 14)), ..approval(1).matter },
        ..approval(1)
    };
    let closing = Closing { subject: None, reason: None, at: at(20) };
    for ended in [expire(&long, at(100)).unwrap(), withdraw(&long, closing, at(20)).unwrap()] {
        assert_eq!((ended.matter.arguments.as_str(), ended.matter.preview), ("[not kept]", None));
    }
}

#[test]
fn another_call_another_caller_and_lost_roles_redeem_nothing() {
    let approved = says(&approval(1), &person("olli", APPROVERS), Verdict::Approve, 10).unwrap();
    let dana = person("dana", &[]);
    assert_eq!(redeemed(&approved, "e", &dana, APPROVERS, 20).unwrap_err(), Refusal::Mismatch);
    assert_eq!(redeemed(&approved, "d", &person("eve", &[]), APPROVERS, 20).unwrap_err(), Refusal::Unknown);
    assert_eq!(redeemed(&approved, "d", &dana, &["security"], 20).unwrap_err(), Refusal::ApproversLost);
}

#[test]
fn a_redeemed_approval_carries_what_was_asked_last_and_nothing_else() {
    let (dana, oncall) = (person("dana", &[]), person("olli", APPROVERS));
    let demands = |rule: &str, approver: &str, quorum: u32| [Arc::new(demand(rule, &[approver], quorum))];
    let asked = demands("destroy", "oncall", 1);
    let expected = Expected { digest: "d", principal: &dana, demands: &asked };
    let approved = says(&approval(1), &oncall, Verdict::Approve, 1).unwrap();
    let carried = |approval: &Approval, expected, calls| {
        carry_on(approval, expected, plain, calls).map(|redemption| redemption.next().clone())
    };
    assert_eq!(carried(&approved, expected, ("one", "two")), Err(Refusal::State(State::Redeemed)), "not redeemed yet");
    let redeemed = redeem(&approved, expected, plain, "one", at(2)).unwrap().next().clone();
    let next = carried(&redeemed, expected, ("one", "two")).unwrap();
    assert_eq!((next.state, next.call.as_deref()), (State::Redeemed, Some("two")));
    assert_eq!(carried(&next, expected, ("one", "three")), Err(Refusal::State(State::Redeemed)), "it was answered");
    let mallory = person("mallory", &[]);
    for (odd, refusal) in [
        (Expected { digest: "e", ..expected }, Refusal::Mismatch),
        (Expected { demands: &demands("other", "oncall", 1), ..expected }, Refusal::Mismatch),
        (Expected { demands: &[], ..expected }, Refusal::Mismatch),
        (Expected { principal: &mallory, ..expected }, Refusal::Unknown),
        (Expected { demands: &demands("destroy", "security", 1), ..expected }, Refusal::ApproversLost),
        (Expected { demands: &demands("destroy", "oncall", 2), ..expected }, Refusal::ApproversLost),
    ] {
        assert_eq!(carried(&next, odd, ("two", "three")), Err(refusal), "{odd:?}");
    }
}

#[test]
fn whom_the_rule_names_no_more_has_nothing_to_say() {
    let (approval, olli) = (approval(1), person("olli", &["oncall"]));
    let roles: RoleSet = olli.roles.iter().cloned().collect();
    for (live, refused) in [
        (vec![demand("destroy", &["oncall"], 1)], None),
        (vec![demand("destroy", &["security"], 1)], Some(Refusal::NotApprover)),
        (vec![demand("other", &["oncall"], 1)], Some(Refusal::NotApprover)),
        (vec![], Some(Refusal::NotApprover)),
    ] {
        let voter = Voter { principal: &olli, roles: &roles, live: live.into_iter().map(Arc::new).collect() };
        assert_eq!(voter.is_asked(&approval), refused.is_none());
        assert_eq!(vote(&approval, voter, Verdict::Deny, None, at(1)).err(), refused);
    }
}
