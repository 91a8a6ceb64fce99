//! Which rules may match what is asked for, found without asking each: a policy of ten thousand rules is asked as quickly as
//! one of ten. It never decides: a rule that it leaves out could not have matched.

use crate::policy::rule::Rule;
use crate::policy::subject::Naming;
use crate::tool::{Kind, ToolName};
use std::collections::{BTreeSet, HashMap};
use std::iter;

/// Positions of rules, in the order in which they are asked.
type Positions = Vec<usize>;

/// The rules by what they speak of.
#[derive(Debug, Default)]
pub(super) struct Index {
    tools: Names,
    prompts: Names,
    /// For each known upstream, the rules that may concern what it offers.
    by_upstream: HashMap<String, Positions>,
}

/// The rules that speak of things of one kind.
#[derive(Debug, Default)]
struct Names {
    /// Those that name what they speak of, by each of these names.
    named: HashMap<String, Positions>,
    /// For each known upstream, the others that may concern what it offers.
    open: HashMap<String, Positions>,
}

impl Index {
    /// The index of `rules`, which are in the order in which they are asked.
    pub fn new(rules: &[Rule], upstreams: &BTreeSet<String>) -> Self {
        let names = |kind| Names::new(kind, rules, upstreams);
        let by_upstream = by_upstream(upstreams, rules, |_| true);
        Self { tools: names(Kind::Tool), prompts: names(Kind::Prompt), by_upstream }
    }

    /// The rules to be asked about `thing`, called `name` in patterns, in order; `None` where that is all of them.
    pub fn candidates(&self, kind: Kind, thing: &ToolName, name: &str) -> Option<impl Iterator<Item = usize>> {
        let (open, named) = match kind {
            Kind::Tool => (self.tools.open.get(&thing.upstream)?, self.tools.named.get(name)),
            Kind::Prompt => (self.prompts.open.get(&thing.upstream)?, self.prompts.named.get(name)),
            Kind::Resource => (self.by_upstream.get(&thing.upstream)?, None),
        };
        Some(in_order(open, named.map_or(&[], Vec::as_slice)))
    }
}

impl Names {
    fn new(kind: Kind, rules: &[Rule], upstreams: &BTreeSet<String>) -> Self {
        let mut named: HashMap<String, Positions> = HashMap::new();
        for (position, rule) in rules.iter().enumerate() {
            let Naming::Exact(names) = rule.subject.naming(kind) else { continue };
            for name in names {
                named.entry(name.to_owned()).or_default().push(position);
            }
        }
        let is_open = |rule: &Rule| matches!(rule.subject.naming(kind), Naming::Open);
        Self { named, open: by_upstream(upstreams, rules, is_open) }
    }
}

fn by_upstream(
    upstreams: &BTreeSet<String>,
    rules: &[Rule],
    counts: impl Fn(&Rule) -> bool,
) -> HashMap<String, Positions> {
    let concerning = |upstream: &String| {
        let rules = rules.iter().enumerate().filter(|(_, rule)| rule.concerns(upstream) && counts(rule));
        (upstream.clone(), rules.map(|(position, _)| position).collect())
    };
    upstreams.iter().map(concerning).collect()
}

/// Both, in the order of their numbers.
fn in_order(one: &[usize], other: &[usize]) -> impl Iterator<Item = usize> {
    let (mut one, mut other) = (one.iter().copied().peekable(), other.iter().copied().peekable());
    iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second < first => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_asked_in_one_order_wherever_they_are_filed() {
        let all = |one: &[usize], other: &[usize]| in_order(one, other).collect::<Vec<_>>();
        assert_eq!(all(&[0, 3, 4, 9], &[1, 2, 7, 10]), [0, 1, 2, 3, 4, 7, 9, 10]);
        assert_eq!(all(&[], &[1, 2]), [1, 2]);
        assert_eq!(all(&[5], &[]), [5]);
    }
}
