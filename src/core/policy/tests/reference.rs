//! The semantics of policy a second time, as plainly as can be: straight from the document, no order, no index, no
//! compiled form. Slow, and knows only the constraints and conditions that the property tests use.

use crate::policy::document::{AccessDocument, ArgumentDocument, Effect, Level, PolicyDocument, RuleDocument};
use crate::principal::Principal;
use crate::tool::{Class, Kind, Severity, ToolName};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The one pattern that `meets` knows.
pub const PATTERN: &str = "/srv/.";

/// A question, owned.
#[derive(Debug, Clone)]
pub struct Case {
    pub principal: Principal,
    pub kind: Kind,
    pub tool: ToolName,
    /// JSON text; `None` where arguments are not known.
    pub arguments: Option<&'static str>,
    pub endpoint: &'static str,
}

/// A condition: its source, whether it reads arguments, and what it says (`None` for a fault).
pub type Condition = (&'static str, bool, fn(&Case, &Map<String, Value>) -> Option<bool>);

pub const CONDITIONS: [Condition; 8] = [
    ("args.n > 5", true, |_, args| number(args.get("n")?).map(|n| n > 5.0)),
    ("has(args.n) && args.n > 5", true, |_, args| args.get("n").map_or(Some(false), |n| number(n).map(|n| n > 5.0))),
    ("args.p == '/srv/a'", true, |_, args| Some(args.get("p")? == "/srv/a")),
    ("principal.tenant == 'acme'", false, |case, _| Some(case.principal.tenant.as_deref() == Some("acme"))),
    ("principal.tenant.startsWith('a')", false, |case, _| Some(case.principal.tenant.as_ref()?.starts_with('a'))),
    ("request.endpoint == 'all' && principal.subject != 'ada'", false, |case, _| {
        Some(case.endpoint == "all" && case.principal.subject != "ada")
    }),
    ("tool.kind != 'tool'", false, |case, _| Some(case.kind != Kind::Tool)),
    ("tool.name.startsWith('crm.file:///srv/')", false, |case, _| {
        let name = case.tool.to_string();
        (!is_ambiguous(case)).then(|| name.starts_with("crm.file:///srv/"))
    }),
];

/// A number that all readers read alike.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.abs() < 9e15)
}

/// The effect, and the rule that is named for it.
pub fn decide(policy: &PolicyDocument, case: &Case) -> (Effect, String) {
    let rules = policy.rules.iter().filter(|rule| rule_matches(policy, rule, case)).map(|rule| {
        let key = (false, 0, rule.id.clone());
        (rule.effect, key, rule.id.clone())
    });
    let access = policy.access.iter().enumerate().filter_map(|(position, entry)| {
        let effect = access_effect(policy, entry, case)?;
        Some((effect, (true, position, String::new()), format!("access[{position}]")))
    });
    let matching: Vec<_> = rules.chain(access).collect();
    let Some(effect) = matching.iter().map(|(effect, ..)| *effect).max() else {
        return (Effect::Deny, "default".to_owned());
    };
    let named = matching.into_iter().filter(|(of, ..)| *of == effect).min_by_key(|(_, key, _)| key.clone());
    (effect, named.unwrap().2)
}

/// The review rules that match, in the order of their ids.
pub fn reviews(policy: &PolicyDocument, case: &Case) -> Vec<String> {
    let wants = |rule: &&RuleDocument| rule.effect == Effect::Review && rule_matches(policy, rule, case);
    let mut ids: Vec<String> = policy.rules.iter().filter(wants).map(|rule| rule.id.clone()).collect();
    ids.sort();
    ids
}

/// Whether the whole of `text` matches: `*` is any characters, `?` is one.
fn glob(pattern: &str, text: &str) -> bool {
    let mut signs = pattern.chars();
    let rest = |text: &str, first: char| text.strip_prefix(first).map(str::to_owned);
    match (signs.next(), text.chars().next()) {
        (None, first) => first.is_none(),
        (Some('*'), None) => glob(signs.as_str(), text),
        (Some('*'), Some(first)) => {
            glob(signs.as_str(), text) || rest(text, first).is_some_and(|rest| glob(pattern, &rest))
        }
        (Some(sign), Some(first)) if sign == '?' || sign == first => {
            rest(text, first).is_some_and(|rest| glob(signs.as_str(), &rest))
        }
        (Some(_), _) => false,
    }
}

/// Whether the caller has `role`, by name or by inheritance.
fn has_role(policy: &PolicyDocument, principal: &Principal, role: &str) -> bool {
    fn includes(policy: &PolicyDocument, held: &str, role: &str) -> bool {
        let Some(document) = policy.roles.get(held) else { return false };
        held == role || document.inherits.iter().any(|inherited| includes(policy, inherited, role))
    }
    principal.roles.iter().any(|held| includes(policy, held, role))
}

fn traits(policy: &PolicyDocument, case: &Case) -> (Class, Severity) {
    if case.kind != Kind::Tool {
        return (Class::Read, Severity::Low);
    }
    let name = case.tool.to_string();
    let Some(entry) = policy.tools.iter().find(|entry| glob(&entry.pattern, &name)) else {
        return (Class::Destructive, Severity::High);
    };
    let default = match entry.class {
        Class::Read => Severity::Low,
        Class::Write => Severity::Medium,
        Class::Destructive => Severity::High,
    };
    (entry.class, entry.severity.unwrap_or(default))
}

fn access_effect(policy: &PolicyDocument, entry: &AccessDocument, case: &Case) -> Option<Effect> {
    let concerns = entry.roles.iter().any(|role| has_role(policy, &case.principal, role))
        && entry.upstreams.iter().any(|upstream| glob(upstream, &case.tool.upstream));
    let (class, _) = traits(policy, case);
    let reaches = match entry.level {
        Level::Disabled => return concerns.then_some(Effect::Deny),
        Level::Read => class == Class::Read,
        Level::Write => class != Class::Destructive,
        Level::Destroy => true,
    };
    (concerns && reaches).then_some(Effect::Allow)
}

fn rule_matches(policy: &PolicyDocument, rule: &RuleDocument, case: &Case) -> bool {
    let (class, severity) = traits(policy, case);
    let one = |names: &Option<Vec<String>>, name: Option<&str>| {
        names.as_ref().is_none_or(|names| names.iter().any(|known| Some(known.as_str()) == name))
    };
    let (speaks, doubt) = subject(rule, case);
    let stated = rule.classes.as_ref().is_none_or(|classes| classes.contains(&class))
        && rule.severity.is_none_or(|exact| severity == exact)
        && rule.min_severity.is_none_or(|min| severity >= min)
        && rule.max_severity.is_none_or(|max| severity <= max)
        && one(&rule.endpoints, Some(case.endpoint))
        && one(&rule.users, Some(&case.principal.subject))
        && one(&rule.tenants, case.principal.tenant.as_deref())
        && one(&rule.agents, case.principal.agent.as_deref())
        && rule.roles.as_ref().is_none_or(|roles| roles.iter().any(|role| has_role(policy, &case.principal, role)));
    let speaks = speaks || (doubt && rule.effect != Effect::Allow);
    speaks && stated && conditions(rule, case).into_iter().all(|truth| holds(truth, rule.effect))
}

/// The scopes that are needed, where policy does not deny and one of them is lacking.
pub fn lacking(policy: &PolicyDocument, case: &Case) -> Vec<String> {
    let mut needed: Vec<String> = Vec::new();
    for entry in &policy.scopes {
        let speaks_of = RuleDocument {
            tools: entry.tools.clone(),
            prompts: entry.prompts.clone(),
            resources: entry.resources.clone(),
            classes: entry.classes.clone(),
            endpoints: entry.endpoints.clone(),
            ..serde_json::from_str(r#"{"id": "scope", "effect": "deny"}"#).unwrap()
        };
        let names_none = entry.tools.is_none() && entry.prompts.is_none() && entry.resources.is_none();
        let for_something = !names_none || entry.classes.is_some();
        if for_something && rule_matches(policy, &speaks_of, case) && !needed.contains(&entry.scope) {
            needed.push(entry.scope.clone());
        }
    }
    let held = needed.iter().all(|scope| case.principal.scopes.iter().any(|held| stands_for(policy, held, scope)));
    if decide(policy, case).0 == Effect::Deny || held { Vec::new() } else { needed }
}

fn stands_for(policy: &PolicyDocument, held: &str, scope: &str) -> bool {
    let entries = policy.scopes.iter().filter(|entry| entry.scope == held);
    let mut includes = entries.flat_map(|entry| &entry.includes).filter(|included| *included != held);
    held == scope || includes.any(|included| stands_for(policy, included, scope))
}

/// Whether the rule speaks of what is asked for, and whether it would if the URI were read in another way.
fn subject(rule: &RuleDocument, case: &Case) -> (bool, bool) {
    if rule.tools.is_none() && rule.prompts.is_none() && rule.resources.is_none() {
        return (true, false);
    }
    let name = case.tool.to_string();
    let (patterns, is_uri) = match case.kind {
        Kind::Tool => (&rule.tools, false),
        Kind::Prompt => (&rule.prompts, false),
        Kind::Resource => (&rule.resources, true),
    };
    let (mut speaks, mut doubt) = (false, false);
    for pattern in patterns.iter().flatten() {
        let (upstream, uri) = pattern.split_once('.').unwrap();
        let ours = glob(upstream, &case.tool.upstream);
        if !is_uri {
            speaks |= glob(pattern, &name);
        } else if ours && is_ambiguous(case) {
            speaks |= uri == "*" || uri == case.tool.tool;
            doubt = true;
        } else if ours {
            let plain = |text: &str| text.to_lowercase().replace("%40", "@").replace("%20", " ");
            let wide = |text: &str| glob(&plain(uri), &plain(text));
            let path = case.tool.tool.split('?').next().unwrap();
            let forbids = rule.effect != Effect::Allow;
            speaks |= glob(uri, &case.tool.tool) || (forbids && (wide(&case.tool.tool) || wide(path)));
        }
    }
    (speaks, doubt)
}

/// Whether a URI of the tests is marked as one that can be read in two ways.
fn is_ambiguous(case: &Case) -> bool {
    case.kind == Kind::Resource && super::random::AMBIGUOUS.contains(&case.tool.tool.as_str())
}

/// What a condition says.
#[derive(Debug, Clone, Copy)]
enum Truth {
    Is(bool),
    Fault,
    Unknown,
}

fn holds(truth: Truth, effect: Effect) -> bool {
    match truth {
        Truth::Is(truth) => truth,
        Truth::Fault => effect != Effect::Allow,
        Truth::Unknown => effect != Effect::Deny,
    }
}

fn conditions(rule: &RuleDocument, case: &Case) -> Vec<Truth> {
    let truth = |outcome: Option<bool>| outcome.map_or(Truth::Fault, Truth::Is);
    let arguments = case.arguments.map(read);
    let constraints = rule.args.iter().map(|(name, constraint)| match &arguments {
        None => Truth::Unknown,
        Some(None) => Truth::Fault,
        Some(Some(members)) => truth(members.get(name).and_then(|argument| meets(constraint, argument))),
    });
    let when = rule.when.iter().map(|source| {
        let (_, reads, judge) = CONDITIONS.iter().find(|(known, ..)| known == source).unwrap();
        match &arguments {
            None if *reads => Truth::Unknown,
            Some(None) if *reads => Truth::Fault,
            Some(Some(members)) => truth(judge(case, members)),
            _ => truth(judge(case, &Map::new())),
        }
    });
    constraints.chain(when).collect()
}

/// The arguments, where they are an object and no key stands in them twice (at the top, where the tests put them).
fn read(text: &str) -> Option<Map<String, Value>> {
    let text = if text.is_empty() { "{}" } else { text };
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return None };
    let keys: Vec<&str> = text.split('"').skip(1).step_by(2).filter(|word| word.len() == 1).collect();
    let unique: BTreeSet<&str> = keys.iter().copied().collect();
    (unique.len() == keys.len()).then_some(members)
}

fn meets(constraint: &ArgumentDocument, argument: &Value) -> Option<bool> {
    let mut met = true;
    for bound in constraint.min.iter().chain(&constraint.max) {
        let number = number(argument)?;
        let bound = bound.as_f64()?;
        met &= if constraint.min.is_some() { number >= bound } else { number <= bound };
    }
    for value in constraint.equals.iter() {
        let same_type = std::mem::discriminant(value) == std::mem::discriminant(argument);
        let readable = !argument.is_number() || number(argument).is_some();
        met &= (same_type && readable).then(|| value == argument)?;
    }
    for values in constraint.one_of.iter() {
        let readable = !argument.is_number() || number(argument).is_some();
        let same_type = |value: &&Value| std::mem::discriminant(*value) == std::mem::discriminant(argument);
        met &= (readable && values.iter().any(|value| same_type(&value))).then(|| values.contains(argument))?;
    }
    for pattern in constraint.pattern.iter() {
        assert_eq!(pattern, PATTERN);
        met &= argument.as_str()?.strip_prefix("/srv/").is_some_and(|rest| rest.len() == 1);
    }
    // For those that are typed as paths too: the tests have no path in a spelling that is not its plainest.
    for prefix in constraint.prefix.iter() {
        met &= argument.as_str()?.starts_with(prefix.as_str());
    }
    for limit in constraint.max_len.iter() {
        let length = argument.as_str().map(str::len).or_else(|| argument.as_array().map(Vec::len))?;
        met &= length as u64 <= *limit;
    }
    Some(met)
}
