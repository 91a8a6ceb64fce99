//! `redaction` of a policy, checked and made ready.

use super::Redactor;
use super::detect::Detectors;
use super::fields::FieldPath;
use super::kind::{BUILT_IN, Kind};
use super::replace::Replacer;
use crate::policy::document::{RedactionAction, RedactionDocument};
use crate::policy::subject::{Subject, flaw};
use crate::problem::{Path, Problem};
use crate::tool::Kind as Named;
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Everything that plans share.
pub(super) struct Compiled {
    /// The entries, as written, by what they refer to.
    pub(super) entries: Vec<Entry>,
    /// Every field that some entry names.
    pub(super) fields: Vec<FieldPath>,
    /// Every pattern, by its kind's place behind the built-in ones.
    pub(super) patterns: Vec<Regex>,
    /// Names of all kinds, by place.
    pub(super) names: Vec<Arc<str>>,
    pub(super) detectors: Detectors,
    pub(super) replacer: Replacer,
    /// The longest text content, in characters.
    pub(super) text_chars: usize,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("entries", &self.entries.len())
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// One entry of the policy.
#[derive(Debug)]
pub(super) struct Entry {
    /// The kinds it finds, fields apart.
    pub(super) kinds: Vec<Kind>,
    /// The fields it finds, by their place.
    pub(super) fields: Vec<usize>,
    pub(super) action: RedactionAction,
    pub(super) subject: Subject,
    pub(super) roles: Option<Vec<String>>,
}

impl Redactor {
    /// Compiles the `redaction` of a policy. `text_chars` is the longest text content of a tool's result in characters,
    /// `digest_key` the key of `hash`.
    ///
    /// # Errors
    ///
    /// All that is wrong with all entries, by path from the document's root.
    pub fn compile(rules: &[RedactionDocument], text_chars: usize, digest_key: &[u8]) -> Result<Self, Vec<Problem>> {
        let mut draft = Draft::default();
        let entries = rules.iter().enumerate().map(|(place, rule)| draft.entry(rule, place, digest_key)).collect();
        let (names, patterns): (Vec<_>, Vec<_>) = draft.ordered_patterns();
        let names: Vec<Arc<str>> = BUILT_IN.into_iter().map(Arc::from).chain(names).collect();
        let replacer = Replacer::new(names.iter().map(AsRef::as_ref), digest_key);
        let unusable = || Problem::new(root(), "redaction can't be set up with this policy");
        match (Detectors::new(), replacer) {
            (Ok(detectors), Some(replacer)) if draft.problems.is_empty() => {
                let fields = draft.fields;
                Ok(Self(Arc::new(Compiled { entries, fields, patterns, names, detectors, replacer, text_chars })))
            }
            (Ok(_), Some(_)) => Err(draft.problems),
            (Err(error), _) => Err(vec![unusable().hint(error.to_string())]),
            (_, None) => Err(vec![unusable().hint("give `digest_key` another value")]),
        }
    }
}

fn root() -> Path {
    Path::root().then("redaction")
}

/// What has been read so far.
#[derive(Default)]
struct Draft {
    problems: Vec<Problem>,
    fields: Vec<FieldPath>,
    /// By name: the place, as written, and where.
    patterns: BTreeMap<String, (usize, Option<Regex>, String, Path)>,
}

impl Draft {
    fn entry(&mut self, rule: &RedactionDocument, place: usize, digest_key: &[u8]) -> Entry {
        let path = root().then(place);
        if rule.detect.is_empty() && rule.patterns.is_empty() && rule.fields.is_empty() {
            let problem = Problem::new(path.clone(), "the entry names nothing to find");
            self.problems.push(problem.hint("add `detect`, `patterns` or `fields`"));
        }
        self.scope(rule, &path);
        if rule.action == RedactionAction::Hash && digest_key.is_empty() {
            let problem = Problem::new(path.then("action"), "`hash` needs a digest key and there is none");
            self.problems.push(problem.hint("set `digest_key` in gateway.yaml"));
        }
        let mut kinds: Vec<Kind> = rule.detect.iter().map(|detector| Kind::of(*detector)).collect();
        for (name, pattern) in &rule.patterns {
            kinds.extend(self.pattern(name, pattern, &path.then("patterns").then(name.as_str())));
        }
        let fields = rule.fields.iter().enumerate();
        let fields = fields.filter_map(|(at, field)| self.field(field, &path.then("fields").then(at))).collect();
        let subject = Subject::new(rule.tools.as_deref(), rule.prompts.as_deref(), rule.resources.as_deref());
        Entry { kinds, fields, action: rule.action, subject, roles: rule.roles.clone() }
    }

    /// Whom and what the entry is for.
    fn scope(&mut self, rule: &RedactionDocument, path: &Path) {
        let RedactionDocument { tools, prompts, resources, roles, .. } = rule;
        for (key, names) in [("tools", tools), ("prompts", prompts), ("resources", resources), ("roles", roles)] {
            if names.as_ref().is_some_and(Vec::is_empty) {
                let problem =
                    Problem::new(path.then(key), format!("an empty `{key}` makes the entry apply to nothing"));
                self.problems.push(problem.hint(format!("name {key}, or leave `{key}` out for all of them")));
            }
        }
        for (at, tool) in tools.iter().flatten().enumerate() {
            if !tool.contains(['.', '*']) {
                let problem = Problem::new(path.then("tools").then(at), format!("`{tool}` can't match a tool"));
                self.problems.push(problem.hint("write `upstream.tool` or a glob such as `crm.*`"));
            }
        }
        for (key, kind, patterns) in [("prompts", Named::Prompt, prompts), ("resources", Named::Resource, resources)] {
            for (at, pattern) in patterns.iter().flatten().enumerate() {
                if let Some((message, hint)) = flaw(kind, pattern) {
                    self.problems.push(Problem::new(path.then(key).then(at), message).hint(hint));
                }
            }
        }
        let names_all = |pattern: &String| pattern.chars().all(|sign| matches!(sign, '*' | '?' | '.'));
        let named = [tools, prompts, resources];
        let all = named.iter().all(|named| named.is_none()) || named.into_iter().flatten().flatten().any(names_all);
        if rule.action == RedactionAction::Allow && rule.roles.is_none() && all {
            let message = "`allow` for everybody and every tool, prompt or resource switches redaction off";
            let hint = "name the `roles`, `tools`, `prompts` or `resources` it is for, or take the other entries out";
            self.problems.push(Problem::new(path.then("action"), message).hint(hint));
        }
    }

    fn pattern(&mut self, name: &str, pattern: &str, path: &Path) -> Option<Kind> {
        if let Some(problem) = misnamed(name, path) {
            self.problems.push(problem);
            return None;
        }
        let place = self.patterns.len();
        if let Some((place, _, known, first)) = self.patterns.get(name) {
            if known != pattern {
                let problem = Problem::new(path.clone(), format!("`{name}` is another pattern in {first}"));
                self.problems.push(problem.hint("write it the same everywhere, or give it another name"));
            }
            return Some(Kind::pattern(*place));
        }
        let regex = match compile_pattern(pattern, path) {
            Ok(regex) => Some(regex),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        };
        self.patterns.insert(name.to_owned(), (place, regex, pattern.to_owned(), path.clone()));
        Some(Kind::pattern(place))
    }

    fn field(&mut self, field: &str, path: &Path) -> Option<usize> {
        match FieldPath::parse(field) {
            Ok(field) => {
                let known = self.fields.iter().position(|known| *known == field);
                Some(known.unwrap_or_else(|| {
                    self.fields.push(field);
                    self.fields.len() - 1
                }))
            }
            Err(reason) => {
                let problem =
                    Problem::new(path.clone(), format!("`{field}` is no path that can be followed: {reason}"));
                let hint =
                    "supported are `$.a`, `$['a']`, `$[0]`, `$[*]`, `$.*`, `$..a` and their like one after the other";
                self.problems.push(problem.hint(hint));
                None
            }
        }
    }

    /// Names and patterns by their place.
    fn ordered_patterns(&mut self) -> (Vec<Arc<str>>, Vec<Regex>) {
        let mut patterns: Vec<_> = std::mem::take(&mut self.patterns).into_iter().collect();
        patterns.sort_by_key(|(_, (place, ..))| *place);
        patterns.into_iter().filter_map(|(name, (_, regex, ..))| Some((Arc::from(name), regex?))).unzip()
    }
}

fn misnamed(name: &str, path: &Path) -> Option<Problem> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let problem = Problem::new(path.clone(), format!("`{name}` is no name for a pattern"));
        return Some(problem.hint("use up to 64 of a-z, 0-9 and _"));
    }
    let reserved = BUILT_IN.contains(&name) || name == "redacted";
    reserved.then(|| {
        let problem = Problem::new(path.clone(), format!("`{name}` has a meaning of its own"));
        problem.hint("give the pattern another name; what Portcullis finds by itself goes under `detect`")
    })
}

fn compile_pattern(pattern: &str, path: &Path) -> Result<Regex, Problem> {
    let problem = |message: String, hint: &str| Err(Problem::new(path.clone(), message).hint(hint));
    if pattern.len() > 4096 {
        return problem("the pattern is longer than 4096 bytes".to_owned(), "split it into several patterns");
    }
    let regex = match RegexBuilder::new(pattern).size_limit(1 << 20).dfa_size_limit(1 << 21).build() {
        Ok(regex) => regex,
        Err(regex::Error::CompiledTooBig(_)) => {
            return problem("the pattern is too large once compiled".to_owned(), "make repetitions smaller");
        }
        Err(error) => {
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            return problem(
                format!("the pattern can't be read: {reason}"),
                "look-around and back-references do not exist",
            );
        }
    };
    let samples = ["", "a", "1", "a 1\n-b ä_", " ", "\n"];
    match samples.iter().any(|sample| regex.find_iter(sample).any(|found| found.is_empty())) {
        true => problem("the pattern matches where nothing stands".to_owned(), "make at least one sign of it required"),
        false => Ok(regex),
    }
}
