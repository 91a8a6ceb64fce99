//! Which finding meets which action, for one caller and one tool.

use super::compile::{Compiled, Entry};
use super::detect::{Context, NUMERIC, Text};
use super::fields::FieldPath;
use super::kind::{Counts, DETECTED, Kind, KindSet, Tally};
use super::leaf::{Form, Leaf};
use super::replace::{Finding, Replacer, splice};
use super::traits::Traits;
use super::view::View;
use super::walk::{Place, Walker};
use crate::policy::document::RedactionAction;
use crate::principal::RoleSet;
use crate::tool::{Kind as Named, ToolName};
use regex::Regex;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// The compiled `redaction` of a policy.
#[derive(Debug, Clone)]
pub struct Redactor(pub(super) Arc<Compiled>);

impl Redactor {
    /// What is done for a caller with these roles in the answers of what is `named`. Where nothing is (lists, news), entries
    /// that name something do not apply.
    pub fn plan(&self, roles: &RoleSet, named: Option<(Named, &ToolName)>) -> Plan {
        let applies = |entry: &&Entry| {
            let permits = entry.action == RedactionAction::Allow;
            entry.subject.covers(permits, named) && entry.roles.as_ref().is_none_or(|wanted| roles.contains_any(wanted))
        };
        let mut plan = Plan::nothing(&self.0);
        for entry in self.0.entries.iter().filter(applies) {
            plan.add(entry, entry.action);
        }
        plan.wanted = plan.detected();
        plan
    }

    /// What is done to arguments and texts that are kept: everything that any entry finds for anybody, and secrets
    /// always. Nothing is allowed, blocked, dropped or cut; what would be is masked.
    pub fn unconditional(&self) -> Plan {
        let mut plan = Plan::nothing(&self.0);
        plan.text_chars = usize::MAX;
        for entry in self.0.entries.iter().filter(|entry| entry.action != RedactionAction::Allow) {
            let action =
                if entry.action == RedactionAction::Hash { RedactionAction::Hash } else { RedactionAction::Mask };
            plan.add(entry, action);
        }
        plan.set(Kind::SECRET, RedactionAction::Mask);
        plan.wanted = plan.detected();
        plan
    }
}

/// Redacts the answers of one call.
#[derive(Debug, Clone)]
pub struct Plan {
    compiled: Arc<Compiled>,
    /// By the kind's place.
    actions: Vec<Option<RedactionAction>>,
    /// By the field's place.
    fields: Vec<Option<RedactionAction>>,
    wanted: KindSet,
    text_chars: usize,
}

/// A redacted document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The document; borrowed where nothing changed.
    pub bytes: Cow<'a, [u8]>,
    /// What was found.
    pub counts: Counts,
}

/// A redacted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedText<'a> {
    /// The text; borrowed where nothing changed.
    pub text: Cow<'a, str>,
    /// What was found.
    pub counts: Counts,
}

/// Why there is no redacted document. It must not be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It holds something that the policy blocks.
    #[error("the answer holds a finding of kind `{kind}`, which the policy blocks")]
    Blocked {
        /// A detector's name, a pattern's, or `field`.
        kind: Arc<str>,
    },
    /// It is not JSON (RFC 8259) in UTF-8.
    #[error("the answer is not well-formed JSON")]
    Malformed,
    /// It nests deeper than 128 levels.
    #[error("the answer nests deeper than 128 levels")]
    TooDeep,
}

impl Plan {
    fn nothing(compiled: &Arc<Compiled>) -> Self {
        Self {
            compiled: Arc::clone(compiled),
            actions: vec![None; compiled.names.len()],
            fields: vec![None; compiled.fields.len()],
            wanted: KindSet::default(),
            text_chars: compiled.text_chars,
        }
    }

    fn add(&mut self, entry: &Entry, action: RedactionAction) {
        for kind in &entry.kinds {
            self.set(*kind, action);
        }
        for field in &entry.fields {
            if let Some(slot) = self.fields.get_mut(*field) {
                *slot = stronger(*slot, action);
            }
        }
    }

    fn set(&mut self, kind: Kind, action: RedactionAction) {
        if let Some(slot) = self.actions.get_mut(kind.place()) {
            *slot = stronger(*slot, action);
        }
    }

    fn detected(&self) -> KindSet {
        let active = DETECTED.into_iter().filter(|kind| self.action(*kind).is_some());
        active.fold(KindSet::default(), KindSet::with)
    }

    /// The same without its fields: for descriptions of data, such as a schema, in which a property is no value.
    #[must_use]
    pub fn without_fields(mut self) -> Self {
        self.fields.iter_mut().for_each(|action| *action = None);
        self
    }

    /// Whether every document and text stays as it is, whatever it holds.
    pub fn is_empty(&self) -> bool {
        let idle = |action: &Option<RedactionAction>| matches!(action, None | Some(RedactionAction::Allow));
        self.text_chars == usize::MAX && self.actions.iter().all(idle) && self.fields.iter().all(idle)
    }

    /// Redacts a JSON-RPC message or a batch of them. The members `jsonrpc`, `id` and `method` of the message and
    /// `resultType` of its result stay as they are; everything else is searched. Bytes outside of findings stay as they
    /// are.
    ///
    /// Fields are looked for from `result`, `result.structuredContent`, `error.data`, `params`, `params.data` and the
    /// root of every JSON document inside a text. A number that is a finding becomes a string.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the document must then be withheld.
    pub fn json<'a>(&self, document: &'a [u8]) -> Result<Redacted<'a>, Failure> {
        self.walk(document, Place::Message)
    }

    /// Redacts any other JSON document, such as a call's arguments. Fields are looked for from its root; nothing is
    /// exempt and nothing is cut.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the document must then be withheld.
    pub fn value<'a>(&self, document: &'a [u8]) -> Result<Redacted<'a>, Failure> {
        self.walk(document, Place::Root)
    }

    /// Redacts a text, and the JSON document it may be.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the text must then be withheld.
    pub fn text<'a>(&self, text: &'a str) -> Result<RedactedText<'a>, Failure> {
        let mut tally = Tally::default();
        let leaf = Leaf { plan: self, context: Context::default(), form: Form::Plain, level: 0, secrets: true };
        let changed = leaf.settle(text, Traits::of_plain(text), &mut tally)?;
        let text = changed.map_or(Cow::Borrowed(text), Cow::Owned);
        Ok(RedactedText { text, counts: tally.named(&self.compiled.names) })
    }

    fn walk<'a>(&self, document: &'a [u8], place: Place) -> Result<Redacted<'a>, Failure> {
        let text = std::str::from_utf8(document).map_err(|_| Failure::Malformed)?;
        let (edits, tally) = Walker::new(self, text, 0).run(place)?;
        let bytes = match edits.is_empty() {
            true => Cow::Borrowed(document),
            false => Cow::Owned(splice(text, &edits).into_bytes()),
        };
        Ok(Redacted { bytes, counts: tally.named(&self.compiled.names) })
    }

    /// What is done with a kind; `None` for nothing.
    pub(super) fn action(&self, kind: Kind) -> Option<RedactionAction> {
        self.actions.get(kind.place()).copied().flatten().filter(|action| *action != RedactionAction::Allow)
    }

    /// What is done with a field; unlike kinds, an allowed field is one whose whole value stays.
    pub(super) fn field_action(&self, field: usize) -> Option<RedactionAction> {
        self.fields.get(field).copied().flatten()
    }

    /// The fields that something is done with.
    pub(super) fn fields(&self) -> impl Iterator<Item = usize> {
        self.fields.iter().enumerate().filter(|(_, action)| action.is_some()).map(|(place, _)| place)
    }

    /// A field's path.
    pub(super) fn field(&self, field: usize) -> Option<&FieldPath> {
        self.compiled.fields.get(field)
    }

    /// Makes replacements.
    pub(super) fn replacer(&self) -> &Replacer {
        &self.compiled.replacer
    }

    /// The longest text content, in characters.
    pub(super) fn text_chars(&self) -> usize {
        self.text_chars
    }

    /// The refusal of an answer with a finding of this kind.
    pub(super) fn blocked(&self, kind: Kind) -> Failure {
        let name = self.compiled.names.get(kind.place());
        Failure::Blocked { kind: name.map_or_else(|| Arc::from("finding"), Arc::clone) }
    }

    fn patterns(&self) -> impl Iterator<Item = (Kind, &Regex)> {
        let patterns = self.compiled.patterns.iter().enumerate();
        patterns.map(|(place, regex)| (Kind::pattern(place), regex)).filter(|(kind, _)| self.action(*kind).is_some())
    }

    /// Whether any pattern is looked for.
    pub(super) fn has_patterns(&self) -> bool {
        self.patterns().next().is_some()
    }

    /// Where in a document something begins like a secret, in order; nowhere if none are looked for.
    pub(super) fn secret_starts(&self, document: &str) -> Vec<usize> {
        let wanted = self.wanted.has(Kind::SECRET);
        if wanted { self.compiled.detectors.secret_starts(document) } else { Vec::new() }
    }

    /// Whether a text with these traits can hold anything that the plan is about.
    pub(super) fn cares(&self, look: Look, length: usize) -> bool {
        let traits = look.traits;
        let hidden = Traits::WIDE.and(Traits::HIDING);
        let secret =
            look.secrets && self.wanted.has(Kind::SECRET) && (length >= SHORTEST_SECRET || traits.any(Traits::AT));
        let uri = traits.any(Traits::COLON.and(hidden)) && length >= SHORTEST_URI;
        secret
            || uri && !self.wanted.is_empty()
            || !self.possible(traits.shown()).without(Kind::SECRET).is_empty()
            || self.has_patterns()
            || traits.any(Traits::OPEN.and(hidden)) && self.fields().next().is_some()
    }

    /// The kinds that detectors may find in a text that shows these signs.
    fn possible(&self, traits: Traits) -> KindSet {
        let mut possible = self.wanted;
        if !traits.any(Traits::DIGIT.and(Traits::CODE)) {
            possible = possible.less(NUMERIC);
        }
        if !traits.any(Traits::AT.and(Traits::CODE)) {
            possible = possible.without(Kind::EMAIL);
        }
        possible
    }

    /// Everything in a text, by where it stands in it. `tokens` are replacements that the text already holds.
    pub(super) fn find(&self, text: &str, look: Look, context: Context<'_>, tokens: &[Range<usize>]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let traits = look.traits;
        let wanted = self.possible(traits);
        let wanted = if look.secrets { wanted } else { wanted.without(Kind::SECRET) };
        let folded = if traits.any(Traits::WIDE) || !tokens.is_empty() { View::fold(text, tokens) } else { None };
        let read = folded.as_ref().map_or(text, View::text);
        let back = |span: Range<usize>| folded.as_ref().map_or(span.clone(), |view| view.source(&span));
        self.compiled.detectors.find(Text::new(read, context), wanted, |kind, span| {
            findings.push(finding(kind, read, span.clone(), back(span)));
        });
        let codes = if traits.any(Traits::CODE.and(Traits::HIDING)) { View::resolve_codes(read) } else { None };
        if let Some(codes) = codes {
            self.compiled.detectors.find(Text::new(codes.text(), context), wanted, |kind, span| {
                findings.push(finding(kind, codes.text(), span.clone(), back(codes.source(&span))));
            });
        }
        for (kind, regex) in self.patterns() {
            let plain = regex.find_iter(text).filter(|found| !found.is_empty());
            findings.extend(plain.map(|found| finding(kind, text, found.range(), found.range())));
            if folded.is_some() {
                let folded = regex.find_iter(read).filter(|found| !found.is_empty());
                findings.extend(folded.map(|found| finding(kind, read, found.range(), back(found.range()))));
            }
        }
        findings
    }
}

/// What is known of a text before it is searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// The signs in it.
    pub(super) traits: Traits,
    /// Whether it may hold secrets.
    pub(super) secrets: bool,
}

/// No `data:` URI with base64 in it is shorter.
const SHORTEST_URI: usize = 16;

/// No secret is shorter, but for a password in a URL, which has an `@` behind it.
const SHORTEST_SECRET: usize = 12;

fn finding(kind: Kind, read: &str, span: Range<usize>, source: Range<usize>) -> Finding {
    Finding { span: source, kind, value: read.get(span).unwrap_or_default().to_owned() }
}

/// The stronger of two actions where several entries speak of the same finding.
pub(super) fn stronger(one: Option<RedactionAction>, other: RedactionAction) -> Option<RedactionAction> {
    one.filter(|one| strength(*one) >= strength(other)).or(Some(other))
}

/// `allow` wins, then `block`, `drop`, `mask`, `hash`.
fn strength(action: RedactionAction) -> u8 {
    match action {
        RedactionAction::Allow => 4,
        RedactionAction::Block => 3,
        RedactionAction::Drop => 2,
        RedactionAction::Mask => 1,
        RedactionAction::Hash => 0,
    }
}
