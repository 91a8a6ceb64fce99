//! Constraints on single arguments: the `args:` of a rule.

mod path;
mod url;

use crate::policy::constraint::url::UrlPrefix;
use crate::policy::document::{ArgumentDocument, ArgumentType};
use crate::policy::json::{Json, Number};
use crate::policy::verdict::Fault;
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The largest compiled pattern, in bytes. Matching is linear in the text, whatever the pattern.
const PATTERN_SIZE: usize = 1 << 20;

/// What must be true of one argument.
#[derive(Debug)]
pub(super) struct Constraint {
    /// As the policy names it: `a.b`.
    pub name: String,
    path: Vec<String>,
    kind: Option<ArgumentType>,
    tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    OneOf(Vec<Json>),
    Prefix(String),
    PathPrefix(path::PathPrefix),
    UrlPrefix(UrlPrefix),
    Pattern(Regex),
    Min(f64),
    Max(f64),
    MaxLen(u64),
}

/// A fault of a constraint as written: the key it is in, what is wrong, what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub key: Option<&'static str>,
    pub message: String,
    pub hint: Option<&'static str>,
}

impl Flaw {
    fn new(key: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), hint: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl Constraint {
    /// Compiles the constraint on the argument `name`; all flaws at once.
    pub fn compile(name: &str, document: &ArgumentDocument) -> Result<Self, Vec<Flaw>> {
        let mut flaws = check_shape(name, document);
        let mut tests = Vec::new();
        for test in compile_tests(document) {
            match test {
                Ok(test) => tests.push(test),
                Err(flaw) => flaws.push(flaw),
            }
        }
        let path = name.split('.').map(str::to_owned).collect();
        if flaws.is_empty() { Ok(Self { name: name.to_owned(), path, kind: document.kind, tests }) } else { Err(flaws) }
    }

    /// The position of the first test that the argument fails, or none.
    pub fn judge(&self, members: &BTreeMap<String, Json>) -> Result<Option<usize>, Fault> {
        let argument = self.find(members)?;
        let canonical = self.canonical(argument)?;
        for (position, test) in self.tests.iter().enumerate() {
            if !test.passes(argument, canonical.as_deref())? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn find<'j>(&self, members: &'j BTreeMap<String, Json>) -> Result<&'j Json, Fault> {
        let mut names = self.path.iter();
        let mut found = names.next().and_then(|name| members.get(name)).ok_or(Fault::Missing)?;
        for name in names {
            let Json::Object(members) = found else { return Err(Fault::NotAnObject) };
            found = members.get(name).ok_or(Fault::Missing)?;
        }
        Ok(found)
    }

    /// The argument's text in the form that is compared; `None` where it is not text.
    fn canonical<'j>(&self, argument: &'j Json) -> Result<Option<Cow<'j, str>>, Fault> {
        match (self.kind, argument) {
            (None, Json::Text(text)) => Ok(Some(Cow::Borrowed(text))),
            (None, _) => Ok(None),
            (Some(kind), Json::Text(text)) => canonical(kind, text).map(Cow::Owned).map(Some).map_err(Fault::Ambiguous),
            (Some(_), _) => Err(Fault::OddType("text")),
        }
    }

    /// The test of this position, in words.
    pub fn describe(&self, position: usize) -> String {
        match self.tests.get(position) {
            None => "fits".to_owned(),
            Some(Test::OneOf(values)) if values.len() == 1 => "is the value stated".to_owned(),
            Some(Test::OneOf(_)) => "is one of the values stated".to_owned(),
            Some(Test::Prefix(prefix)) => format!("begins with `{prefix}`"),
            Some(Test::PathPrefix(prefix)) => format!("is {prefix}"),
            Some(Test::UrlPrefix(prefix)) => format!("is {prefix}"),
            Some(Test::Pattern(pattern)) => format!("matches `{pattern}`"),
            Some(Test::Min(bound)) => format!("is not below {bound}"),
            Some(Test::Max(bound)) => format!("is not above {bound}"),
            Some(Test::MaxLen(bound)) => format!("is not longer than {bound}"),
        }
    }
}

fn canonical(kind: ArgumentType, text: &str) -> Result<String, &'static str> {
    match kind {
        ArgumentType::Path => path::canonical(text),
        ArgumentType::Url => url::canonical(text).map(String::from),
    }
}

impl Test {
    /// `text` is the argument's text in the form that is compared.
    fn passes(&self, argument: &Json, text: Option<&str>) -> Result<bool, Fault> {
        match self {
            Self::OneOf(values) => is_one_of(argument, text, values),
            Self::Prefix(prefix) => text.map(|text| text.starts_with(prefix)).ok_or(Fault::OddType("text")),
            Self::PathPrefix(prefix) => text.map(|text| prefix.covers(text)).ok_or(Fault::OddType("text")),
            Self::UrlPrefix(prefix) => text.map(|text| prefix.covers(text)).ok_or(Fault::OddType("text")),
            Self::Pattern(pattern) => text.map(|text| pattern.is_match(text)).ok_or(Fault::OddType("text")),
            Self::Min(bound) => number(argument).map(|number| number >= *bound),
            Self::Max(bound) => number(argument).map(|number| number <= *bound),
            Self::MaxLen(bound) => length(argument).map(|length| length <= *bound),
        }
    }
}

/// Typed strictly: a value of a type that none of the stated values has is an error, not an unequal value.
fn is_one_of(argument: &Json, text: Option<&str>, values: &[Json]) -> Result<bool, Fault> {
    if argument.is_inexact() {
        return Err(Fault::InexactNumber);
    }
    let equal = |value: &Json| match (text, value) {
        (Some(text), Json::Text(value)) => text == value,
        _ => argument.same(value),
    };
    if values.iter().any(equal) {
        return Ok(true);
    }
    let wanted = values.first().map_or("a value", Json::type_name);
    if values.iter().any(|value| value.type_name() == argument.type_name()) {
        return Ok(false);
    }
    Err(Fault::OddType(wanted))
}

fn number(argument: &Json) -> Result<f64, Fault> {
    match argument {
        Json::Number(number) => number.exact().ok_or(Fault::InexactNumber),
        _ => Err(Fault::OddType("a number")),
    }
}

/// Of the argument as sent: that is what the upstream gets.
fn length(argument: &Json) -> Result<u64, Fault> {
    let length = match argument {
        Json::Text(text) => text.chars().count(),
        Json::List(members) => members.len(),
        _ => return Err(Fault::OddType("text or a list")),
    };
    Ok(u64::try_from(length).unwrap_or(u64::MAX))
}

/// What can be wrong with a constraint beside its values.
fn check_shape(name: &str, document: &ArgumentDocument) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if name.split('.').any(str::is_empty) {
        flaws.push(Flaw::new(None, "an argument's name is empty, or has an empty part").hint("write `a` or `a.b`"));
    }
    if *document == ArgumentDocument::default() {
        let hint = "state equals, one_of, prefix, pattern, min, max, max_len or type; for null, `one_of: [null]`";
        flaws.push(Flaw::new(None, "nothing is stated of this argument").hint(hint));
    }
    let about_text = document.kind.is_some() || document.prefix.is_some() || document.pattern.is_some();
    let about_numbers = document.min.is_some() || document.max.is_some();
    if about_numbers && (about_text || document.max_len.is_some()) {
        let hint = "min and max are for numbers; type, prefix, pattern and max_len are not";
        flaws.push(Flaw::new(None, "no value can be text and a number").hint(hint));
    }
    if document.one_of.as_ref().is_some_and(Vec::is_empty) {
        flaws.push(Flaw::new("one_of", "no value is one of none").hint("list the values"));
    }
    flaws.extend(check_values(document, about_text, about_numbers));
    flaws
}

/// Values that the other tests, or all arguments, can never equal.
fn check_values(document: &ArgumentDocument, about_text: bool, about_numbers: bool) -> Vec<Flaw> {
    let equals = document.equals.iter().map(|value| ("equals", value));
    let one_of = document.one_of.iter().flatten().map(|value| ("one_of", value));
    let flaw = |(key, value): (&'static str, &serde_json::Value)| {
        if about_text && !value.is_string() {
            return Some(Flaw::new(key, "this value is not text, and the other tests are about text"));
        }
        if about_numbers && !value.is_number() {
            return Some(Flaw::new(key, "this value is not a number, and the other tests are about numbers"));
        }
        Json::from(value).is_inexact().then(|| {
            Flaw::new(key, "a number beyond 2^53 can't be compared").hint("such an argument is an error for every rule")
        })
    };
    equals.chain(one_of).filter_map(flaw).collect()
}

fn compile_tests(document: &ArgumentDocument) -> Vec<Result<Test, Flaw>> {
    let kind = document.kind;
    let (min, max) = (document.min.as_ref().map(bound), document.max.as_ref().map(bound));
    let mut tests = Vec::new();
    tests.extend(document.equals.as_ref().map(|value| one_of("equals", kind, std::slice::from_ref(value))));
    tests.extend(document.one_of.as_ref().map(|values| one_of("one_of", kind, values)));
    tests.extend(document.prefix.as_ref().map(|prefix| compile_prefix(kind, prefix)));
    tests.extend(document.pattern.as_ref().map(|pattern| compile_pattern(pattern)));
    if let (Some(Some(min)), Some(Some(max))) = (min, max)
        && min > max
    {
        tests.push(Err(Flaw::new("min", "no number is both not below min and not above max").hint("swap them")));
    }
    let inexact = |key| Flaw::new(key, "a number beyond 2^53 can't be compared").hint("choose a bound within 2^53");
    tests.extend(min.map(|bound| bound.map(Test::Min).ok_or_else(|| inexact("min"))));
    tests.extend(max.map(|bound| bound.map(Test::Max).ok_or_else(|| inexact("max"))));
    tests.extend(document.max_len.map(|bound| Ok(Test::MaxLen(bound))));
    tests
}

fn bound(number: &serde_json::Number) -> Option<f64> {
    match Json::from(&serde_json::Value::Number(number.clone())) {
        Json::Number(number) => Number::exact(number),
        _ => None,
    }
}

fn one_of(key: &'static str, kind: Option<ArgumentType>, values: &[serde_json::Value]) -> Result<Test, Flaw> {
    let canonical = |value: &serde_json::Value| match (kind, value.as_str()) {
        (Some(kind), Some(text)) => canonical(kind, text)
            .map(Json::Text)
            .map_err(|reason| Flaw::new(key, format!("`{text}` {reason}, so no argument can equal it"))),
        _ => Ok(Json::from(value)),
    };
    values.iter().map(canonical).collect::<Result<_, _>>().map(Test::OneOf)
}

fn compile_prefix(kind: Option<ArgumentType>, prefix: &str) -> Result<Test, Flaw> {
    let flaw = |reason: &str| Flaw::new("prefix", format!("`{prefix}` {reason}, so no argument can begin with it"));
    match kind {
        None if prefix.is_empty() => Err(Flaw::new("prefix", "every text begins with nothing").hint("remove it")),
        None => Ok(Test::Prefix(prefix.to_owned())),
        Some(ArgumentType::Path) => path::PathPrefix::new(prefix).map(Test::PathPrefix).map_err(flaw),
        Some(ArgumentType::Url) => UrlPrefix::new(prefix).map(Test::UrlPrefix).map_err(flaw),
    }
}

/// The pattern must stand alone before it is put between anchors: `a)|(?:b` would otherwise step out of them.
fn compile_pattern(pattern: &str) -> Result<Test, Flaw> {
    let flaw = |error: regex::Error| {
        let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        Flaw::new("pattern", format!("not a regular expression: {reason}"))
            .hint("the syntax is that of the Rust crate `regex`: no look-around, no back-references")
    };
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build().map_err(flaw);
    build(pattern)?;
    build(&format!("^(?:{pattern})$")).map(Test::Pattern)
}

#[cfg(test)]
mod tests;
