//! How much work a schema can make of a value, known before it is done.
//!
//! Schemas can double the work with every reference (`allOf` of the same reference twice, forty times in a row) or with
//! every level of the value, and the validating crate then runs for years. So the schema is read as a graph. An edge
//! either stays at the same value (`allOf`, `$ref`, ...) or steps into it (`properties`, `items`, ...); the bound is the
//! number of ways in which one value of the instance can be reached, times the number of values.

use super::SchemaProblem;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The deepest value that is checked, in containers open at once.
pub(super) const MAX_INSTANCE_DEPTH: usize = 64;
/// Checks of one value against one subschema that a call may cause. Some 100 ns each.
pub(super) const MAX_CHECKS: u64 = 2_000_000;
/// Those that it may cause where each may leave an error to be told. Some 200 bytes each.
pub(super) const MAX_TOLD_CHECKS: u64 = 100_000;
/// What the patterns of a schema may take together, compiled, in bytes; what one of them may; and how many there may be.
const ALL_PATTERN_BYTES: usize = 16 * 1024 * 1024;
const PATTERN_BYTES: usize = 2 * 1024 * 1024;
const MAX_PATTERNS: usize = 512;
/// Subschemas that a schema may refer to: the crate's recursion goes through each of them, on the stack.
const MAX_TARGETS: usize = 256;
/// Subschemas that may apply in a row to the same value.
const MAX_CHAIN: usize = 128;
/// Nodes and steps of all closures together: bounds the time of the bound itself.
const MAX_ENTRIES: usize = 50_000;

/// The bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    /// By the depth of the instance: in how many ways one value of it is checked at most, each by its weight. Constant
    /// after the end.
    ways: Vec<u64>,
}

impl Work {
    /// Reads `schema`, whose depth is bounded.
    pub(super) fn bound(schema: &Value) -> Result<Self, SchemaProblem> {
        let graph = Graph::read(schema)?;
        let closures = graph.closures()?;
        Ok(Self { ways: ways(&graph, &closures) })
    }

    /// How many checks of one value against one subschema an instance of so many values and such a depth causes at most.
    pub(super) fn checks(&self, values: usize, depth: usize) -> u64 {
        let ways = self.ways.get(depth).or(self.ways.last()).copied().unwrap_or(u64::MAX);
        ways.saturating_mul(values as u64)
    }
}

/// The step from a value to one within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    Property(&'a str),
    AnyProperty,
    Item(usize),
    AnyItem,
}

#[derive(Debug)]
struct Node<'a> {
    /// What looking at one value costs by itself: long lists are gone through for each.
    weight: u64,
    /// Subschemas of the same value.
    stay: Vec<usize>,
    /// Subschemas of values within it.
    step: Vec<(Step<'a>, usize)>,
    /// How often it looks at each of them: `unevaluated*` looks again.
    looks: u64,
}

impl Node<'_> {
    fn new() -> Self {
        Self { weight: 1, stay: vec![], step: vec![], looks: 1 }
    }
}

/// The subschemas that can apply. Each is told from the others by its address: pointers as text would cost the length of
/// every key once for every value below it.
struct Graph<'a> {
    schema: &'a Value,
    anchors: BTreeMap<&'a str, Vec<&'a Value>>,
    by_address: BTreeMap<*const Value, usize>,
    nodes: Vec<Node<'a>>,
    due: Vec<(usize, &'a Value)>,
    targets: BTreeSet<usize>,
}

impl<'a> Graph<'a> {
    fn read(schema: &'a Value) -> Result<Self, SchemaProblem> {
        // Within an inner resource a reference means something else than it says.
        if holds(schema, refers) && children(schema).any(|child| holds(child, is_resource)) {
            return Err(SchemaProblem::InnerResource);
        }
        let mut graph = Self {
            schema,
            anchors: anchors(schema),
            by_address: BTreeMap::new(),
            nodes: vec![],
            due: vec![],
            targets: BTreeSet::new(),
        };
        graph.node(schema);
        while let Some((node, value)) = graph.due.pop() {
            let read = graph.read_node(value)?;
            if let Some(slot) = graph.nodes.get_mut(node) {
                *slot = read;
            }
        }
        if graph.targets.len() > MAX_TARGETS { Err(SchemaProblem::TooComplex) } else { Ok(graph) }
    }

    /// The node of `value`, to be read if it is new.
    fn node(&mut self, value: &'a Value) -> usize {
        let next = self.nodes.len();
        let node = *self.by_address.entry(std::ptr::from_ref(value)).or_insert(next);
        if node == next {
            self.nodes.push(Node::new());
            self.due.push((node, value));
        }
        node
    }

    fn read_node(&mut self, value: &'a Value) -> Result<Node<'a>, SchemaProblem> {
        let mut found = Node::new();
        for (keyword, value) in value.as_object().into_iter().flatten() {
            match (keyword.as_str(), value) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference)) => {
                    found.stay.extend(self.targets_of(reference)?);
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                    found.stay.extend(all.iter().map(|value| self.node(value)));
                }
                ("not" | "if" | "then" | "else", _) => found.stay.push(self.node(value)),
                ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                    found.stay.extend(all.values().map(|value| self.node(value)));
                }
                ("items" | "prefixItems", Value::Array(all)) => {
                    let items = all.iter().enumerate();
                    found.step.extend(items.map(|(item, value)| (Step::Item(item), self.node(value))));
                }
                ("properties", Value::Object(all)) => {
                    found.step.extend(all.iter().map(|(key, value)| (Step::Property(key), self.node(value))));
                }
                ("enum" | "required", Value::Array(all)) => found.weight += all.len() as u64 / 8,
                ("patternProperties", Value::Object(all)) => {
                    found.weight += all.len() as u64;
                    found.step.extend(all.values().map(|value| (Step::AnyProperty, self.node(value))));
                }
                ("additionalProperties" | "propertyNames" | "unevaluatedProperties", _) => {
                    found.step.push((Step::AnyProperty, self.node(value)));
                }
                ("items" | "additionalItems" | "contains" | "unevaluatedItems", _) => {
                    found.step.push((Step::AnyItem, self.node(value)));
                }
                _ => {}
            }
            if keyword.starts_with("unevaluated") {
                found.looks = 2;
            }
        }
        Ok(found)
    }

    /// What `reference` may refer to. An anchor counts wherever it stands, which is more than it can mean.
    fn targets_of(&mut self, reference: &str) -> Result<Vec<usize>, SchemaProblem> {
        let foreign = || SchemaProblem::ForeignReference(reference.chars().take(120).collect());
        let base = self.schema.get("$id").and_then(Value::as_str).unwrap_or_default();
        let local = reference.strip_prefix(base.trim_end_matches('#')).unwrap_or(reference);
        let fragment = if local.is_empty() { "" } else { local.strip_prefix('#').ok_or_else(foreign)? };
        let fragment = unescape(fragment).ok_or_else(foreign)?;
        let values = match self.anchors.get(fragment.as_str()) {
            Some(values) => values.clone(),
            None => vec![self.schema.pointer(&fragment).ok_or_else(foreign)?],
        };
        let nodes: Vec<usize> = values.into_iter().map(|value| self.node(value)).collect();
        self.targets.extend(&nodes);
        Ok(nodes)
    }

    /// For each node, which nodes apply to the same value and how often; refuses circles, long chains and too many.
    fn closures(&self) -> Result<Vec<BTreeMap<usize, u64>>, SchemaProblem> {
        let mut closures: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); self.nodes.len()];
        let mut chains = vec![0_usize; self.nodes.len()];
        let mut entries = 0;
        for node in self.leaves_first()? {
            let Some(Node { stay, looks, .. }) = self.nodes.get(node) else { continue };
            let mut closure = BTreeMap::from([(node, 1)]);
            let mut chain = 0;
            for below in stay {
                chain = chain.max(chains.get(*below).copied().unwrap_or_default());
                for (other, times) in closures.get(*below).into_iter().flatten() {
                    let sum = closure.entry(*other).or_insert(0_u64);
                    *sum = sum.saturating_add(times.saturating_mul(*looks));
                }
            }
            let steps = |node: &usize| self.nodes.get(*node).map_or(0, |node| node.step.len());
            entries += closure.keys().map(|node| 1 + steps(node)).sum::<usize>();
            if entries > MAX_ENTRIES || chain >= MAX_CHAIN || self.cost(&closure) > MAX_CHECKS {
                return Err(SchemaProblem::TooComplex);
            }
            if let (Some(slot), Some(length)) = (closures.get_mut(node), chains.get_mut(node)) {
                *slot = closure;
                *length = chain + 1;
            }
        }
        Ok(closures)
    }

    /// What it costs to check one value against all of `closure`.
    fn cost(&self, closure: &BTreeMap<usize, u64>) -> u64 {
        closure.iter().fold(0, |sum, (node, times)| {
            let weight = self.nodes.get(*node).map_or(1, |node| node.weight);
            sum.saturating_add(times.saturating_mul(weight))
        })
    }

    /// All nodes, each after those that it stays with.
    fn leaves_first(&self) -> Result<Vec<usize>, SchemaProblem> {
        let mut above = vec![vec![]; self.nodes.len()];
        let mut open: Vec<usize> = self.nodes.iter().map(|node| node.stay.len()).collect();
        for (node, Node { stay, .. }) in self.nodes.iter().enumerate() {
            for below in stay {
                if let Some(above) = above.get_mut(*below) {
                    above.push(node);
                }
            }
        }
        let mut order: Vec<usize> = (0..open.len()).filter(|node| open.get(*node) == Some(&0)).collect();
        let mut next = 0;
        while let Some(node) = order.get(next).copied() {
            next += 1;
            for parent in above.get(node).into_iter().flatten() {
                if let Some(count) = open.get_mut(*parent) {
                    *count -= 1;
                    if *count == 0 {
                        order.push(*parent);
                    }
                }
            }
        }
        if order.len() == self.nodes.len() { Ok(order) } else { Err(SchemaProblem::Circular) }
    }
}

/// [`Work::ways`] of the root, by depth, until it no longer grows.
fn ways(graph: &Graph<'_>, closures: &[BTreeMap<usize, u64>]) -> Vec<u64> {
    let mut level: Vec<u64> = closures.iter().map(|closure| graph.cost(closure)).collect();
    let mut ways = vec![level.first().copied().unwrap_or_default()];
    for _ in 0..MAX_INSTANCE_DEPTH {
        let next: Vec<u64> =
            closures.iter().zip(&level).map(|(closure, now)| deepest(graph, closure, &level).max(*now)).collect();
        if next == level {
            break;
        }
        level = next;
        ways.push(level.first().copied().unwrap_or_default());
    }
    ways
}

/// Over all steps from a value of `closure`, the most ways in which one value is reached through it.
fn deepest(graph: &Graph<'_>, closure: &BTreeMap<usize, u64>, level: &[u64]) -> u64 {
    let mut steps: BTreeMap<Step<'_>, u64> = BTreeMap::new();
    for (node, times) in closure {
        let Some(Node { step, looks, .. }) = graph.nodes.get(*node) else { continue };
        for (step, below) in step {
            let ways = level.get(*below).copied().unwrap_or(u64::MAX).saturating_mul(*times).saturating_mul(*looks);
            let sum = steps.entry(*step).or_default();
            *sum = sum.saturating_add(ways);
        }
    }
    let any = |step| steps.get(&step).copied().unwrap_or_default();
    let (any_property, any_item) = (any(Step::AnyProperty), any(Step::AnyItem));
    let most = steps.iter().map(|(step, ways)| match step {
        Step::Property(_) => ways.saturating_add(any_property),
        Step::Item(_) => ways.saturating_add(any_item),
        Step::AnyProperty | Step::AnyItem => *ways,
    });
    most.max().unwrap_or_default()
}

/// Every name that an anchor gives, and to what.
fn anchors(schema: &Value) -> BTreeMap<&str, Vec<&Value>> {
    let mut anchors: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let mut due = vec![schema];
    while let Some(value) = due.pop() {
        for key in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = value.get(key).and_then(Value::as_str) {
                anchors.entry(name).or_default().push(value);
            }
        }
        due.extend(children(value));
    }
    anchors
}

/// How large each pattern of `schema` may be, compiled, in bytes.
pub(super) fn pattern_bytes(schema: &Value) -> Result<usize, SchemaProblem> {
    let patterns = patterns(schema);
    if patterns > MAX_PATTERNS {
        return Err(SchemaProblem::TooComplex);
    }
    Ok(PATTERN_BYTES.min(ALL_PATTERN_BYTES / patterns.max(1)))
}

fn patterns(schema: &Value) -> usize {
    let of_value = usize::from(schema.get("pattern").is_some_and(Value::is_string));
    let of_names = schema.get("patternProperties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    of_value + of_names + children(schema).map(patterns).sum::<usize>()
}

/// Whether `found` is true of a keyword of `schema`, however deep.
fn holds(schema: &Value, found: fn(&str, &Value) -> bool) -> bool {
    let here = schema.as_object().is_some_and(|members| members.iter().any(|(key, value)| found(key, value)));
    here || children(schema).any(|child| holds(child, found))
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let members = value.as_object().into_iter().flat_map(|members| members.values());
    members.chain(value.as_array().into_iter().flatten())
}

fn refers(keyword: &str, value: &Value) -> bool {
    matches!(keyword, "$ref" | "$dynamicRef" | "$recursiveRef") && value.is_string()
}

/// `id` is draft 4's name for it, and everybody's name for a property, whose value is then a schema.
fn is_resource(keyword: &str, value: &Value) -> bool {
    matches!(keyword, "$id" | "id") && value.is_string()
}

/// A fragment with its percent signs decoded (RFC 3986 section 2.1).
fn unescape(fragment: &str) -> Option<String> {
    let mut parts = fragment.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
