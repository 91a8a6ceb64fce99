//! What limits apply to, and what they count by.

use super::*;

fn limits(json: &str) -> Vec<LimitDocument> {
    serde_json::from_str(json).unwrap()
}

fn compiled(json: &str) -> LimitSet {
    LimitSet::compile(&limits(json)).unwrap()
}

fn problems(json: &str) -> Vec<String> {
    let problems = LimitSet::compile(&limits(json)).unwrap_err();
    assert!(problems.iter().all(|problem| problem.hint.is_some()));
    problems.iter().map(|problem| format!("{} {}", problem.path, problem.message)).collect()
}

struct Call {
    subject: &'static str,
    agent: Option<&'static str>,
    tenant: Option<&'static str>,
    roles: RoleSet,
    named: Option<(Kind, ToolName)>,
}

fn call() -> Call {
    Call {
        subject: "alice",
        agent: Some("bot"),
        tenant: Some("acme"),
        roles: ["developer".to_owned()].into_iter().collect(),
        named: Some((Kind::Tool, ToolName::new("etl", "run"))),
    }
}

impl Call {
    fn budgets(&self, set: &LimitSet) -> Vec<Budget> {
        let subject = LimitSubject {
            issuer: "https://idp.example.com/",
            subject: self.subject,
            agent: self.agent,
            tenant: self.tenant,
            roles: &self.roles,
            named: self.named.as_ref().map(|(kind, name)| (*kind, name)),
            endpoint: "work",
        };
        set.applicable(&subject).collect()
    }

    fn key(&self, set: &LimitSet) -> BudgetKey {
        self.budgets(set).remove(0).key
    }
}

#[test]
fn every_fault_of_a_limit_is_reported_at_its_place() {
    assert_eq!(problems(r#"[{"per": ["user"]}]"#), ["limits[0] limits nothing"]);
    assert_eq!(
        problems(r#"[{"per": [], "concurrency": 1}, {"per": [], "burst": 5, "concurrency": 1}]"#),
        ["limits[1].burst means nothing without a rate"]
    );
    assert_eq!(
        problems(r#"[{"per": ["user", "tool", "user"], "rate": "1/s", "burst": 0, "concurrency": 0}]"#),
        [
            "limits[0].burst is 0, so no call could ever pass",
            "limits[0].concurrency is 0, so no call could ever pass",
            "limits[0].per[2] is there twice",
        ]
    );
    assert_eq!(
        problems(r#"[{"per": [], "rate": "1/s", "tools": ["run", "etl.run", "*"], "roles": []}]"#),
        [
            "limits[0].roles is empty, so the limit applies to nothing",
            "limits[0].tools[0] `run` is not the name of a tool",
        ]
    );
}

#[test]
fn a_limit_applies_where_all_that_it_states_is_true() {
    let set = compiled(
        r#"[
        {"per": [], "rate": "600/m"},
        {"per": [], "rate": "10/m", "burst": 3, "tools": ["crm.*", "etl.*"], "concurrency": 2},
        {"per": [], "rate": "5/m", "tools": ["crm.*"]},
        {"per": [], "rate": "4/m", "roles": ["oncall"]}
    ]"#,
    );
    let budgets = call().budgets(&set);
    assert_eq!(budgets.iter().map(|budget| budget.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(budgets[0].rate.unwrap().burst, 600, "the rate's own number");
    assert_eq!((budgets[1].rate.unwrap().burst, budgets[1].concurrency), (3, Some(2)));
    let list = Call { named: None, ..call() };
    assert_eq!(list.budgets(&set).len(), 1, "a list calls no tool");
}

#[test]
fn budgets_are_apart_exactly_where_a_dimension_differs() {
    let set = compiled(r#"[{"per": ["tenant", "user"], "rate": "1/s"}]"#);
    let key = call().key(&set);
    assert_eq!(key, Call { agent: None, named: None, ..call() }.key(&set), "neither dimension is counted by");
    assert_ne!(key, Call { subject: "bob", ..call() }.key(&set));
    assert_ne!(key, Call { tenant: None, ..call() }.key(&set));
    assert_ne!(Call { tenant: Some("-"), ..call() }.key(&set), Call { tenant: None, ..call() }.key(&set));
    assert_ne!(Call { tenant: Some(""), ..call() }.key(&set), Call { tenant: None, ..call() }.key(&set));
}

#[test]
fn no_spelling_of_values_runs_into_the_next_one() {
    let set = compiled(r#"[{"per": ["agent", "tenant"], "rate": "1/s"}]"#);
    let key = |agent, tenant| Call { agent, tenant, ..call() }.key(&set);
    let values = [None, Some(""), Some("-"), Some("a"), Some("1:a"), Some("a1:a"), Some("a-"), Some("0:")];
    let mut keys = BTreeSet::new();
    for agent in values {
        for tenant in values {
            assert!(keys.insert(key(agent, tenant)), "{agent:?} {tenant:?}");
        }
    }
}

#[test]
fn a_limit_keeps_its_id_when_its_numbers_or_its_place_change() {
    let id = |json: &str, index: usize| compiled(json).0[index].id;
    let before = r#"[{"per": ["user", "tool"], "rate": "600/m"}, {"per": ["user"], "rate": "5/s"}]"#;
    let after = r#"[{"per": ["user"], "rate": "6/s"}, {"per": ["tool", "user"], "rate": "60/m", "concurrency": 3}]"#;
    assert_eq!(id(before, 0), id(after, 1));
    assert_eq!(id(before, 1), id(after, 0));
    assert_ne!(id(before, 0), id(before, 1));
    assert_ne!(id(before, 0), id(r#"[{"per": ["user", "tool"], "rate": "600/m", "tools": ["etl.*"]}]"#, 0));
}

#[test]
fn limits_that_count_the_same_thing_are_told_apart_by_their_rates() {
    let id = |json: &str, index: usize| compiled(json).0[index].id;
    let one = r#"[{"per": ["user"], "rate": "10/s"}, {"per": ["user"], "rate": "100/h"}]"#;
    let other = r#"[{"per": ["user"], "rate": "90/h"}, {"per": ["user"], "rate": "11/s"}]"#;
    assert_ne!(id(one, 0), id(one, 1));
    assert_eq!((id(one, 0), id(one, 1)), (id(other, 1), id(other, 0)));
    let twice = r#"[{"per": ["user"], "rate": "10/s"}, {"per": ["user"], "rate": "10/s"}]"#;
    assert_ne!(id(twice, 0), id(twice, 1), "even twins count apart");
}

#[test]
fn limits_of_prompts_and_resources_apply_to_these_alone() {
    let set = compiled(
        r#"[
        {"per": ["tool"], "rate": "9/s"},
        {"per": ["tool"], "rate": "9/s", "tools": ["crm.*"]},
        {"per": ["tool"], "rate": "9/s", "prompts": ["crm.*"]},
        {"per": ["tool"], "rate": "9/s", "resources": ["crm.file:///srv/*"], "prompts": ["x.*"]}
    ]"#,
    );
    let budgets = |kind, name: &str| {
        let named = named(kind, name);
        call_of(named).budgets(&set).into_iter().map(|budget| (budget.index, budget.key)).collect::<Vec<_>>()
    };
    let indexes = |kind, name| budgets(kind, name).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
    assert_eq!(indexes(Kind::Tool, "greet"), [0, 1]);
    assert_eq!(indexes(Kind::Prompt, "greet"), [0, 2]);
    assert_eq!(indexes(Kind::Resource, "file:///home/a"), [0]);
    // Nobody gets round a limit by another spelling.
    for uri in ["file:///srv/a", "FILE:///SRV/a", "file:///%73rv/a", "file:///home/../srv/a", "file:///srv/a?x"] {
        assert_eq!(indexes(Kind::Resource, uri), [0, 3], "{uri}");
    }
    // Nor by many URIs, which are the caller's to write.
    assert_eq!(budgets(Kind::Resource, "file:///srv/a"), budgets(Kind::Resource, "file:///srv/b"));
    assert_eq!(call_of(None).budgets(&set).len(), 1);
    let faults = problems(
        r#"[{"per": [], "rate": "1/s", "prompts": ["greet"], "resources": []},
            {"per": [], "rate": "1/s", "resources": ["file:///srv/a.txt"]}]"#,
    );
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].starts_with("limits[0].resources is empty"), "{faults:?}");
    assert!(faults[1].starts_with("limits[0].prompts[0] `greet` names no upstream"), "{faults:?}");
    assert!(faults[2].starts_with("limits[1].resources[0] "), "{faults:?}");
}

fn named(kind: Kind, name: &str) -> Option<(Kind, ToolName)> {
    Some((kind, ToolName::new("crm", name)))
}

fn call_of(named: Option<(Kind, ToolName)>) -> Call {
    Call { named, ..call() }
}
