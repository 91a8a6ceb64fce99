//! One text: a string, a key or a number of a JSON document, or a text by itself. It is searched, changed and searched
//! again until nothing more is found, so that redacting twice is redacting once.

use super::detect::{Context, names_secret};
use super::kind::{Kind, Tally};
use super::plan::{Failure, Look, Plan};
use super::replace::{Edit, Finding, escape, merge, outside, splice};
use super::traits::Traits;
use super::view::View;
use super::walk::{Place, Walker};
use crate::policy::document::RedactionAction;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// How a text stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The body of a JSON string.
    Json,
    /// The body of a JSON string that is a key.
    Key,
    /// As it is.
    Plain,
}

/// A text's surroundings.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'p, 'd> {
    pub(super) plan: &'p Plan,
    pub(super) context: Context<'d>,
    pub(super) form: Form,
    /// Documents around it, beyond the first.
    pub(super) level: usize,
    /// Whether something in the text, as it stands in its document, begins like a secret.
    pub(super) secrets: bool,
}

/// No number that a detector finds is shorter, `1e7` apart, which says nothing.
const SHORTEST_NUMBER: usize = 7;

/// A text that still changes after so many rounds is replaced as a whole: only one made for the purpose does.
const ROUNDS: usize = 8;

/// Documents inside texts of documents: deeper ones are searched as text, or refused where fields are to be found.
const LEVELS: usize = 4;

impl Leaf<'_, '_> {
    /// The text without its findings; `None` where it has none.
    pub(super) fn settle(&self, raw: &str, traits: Traits, tally: &mut Tally) -> Result<Option<String>, Failure> {
        if !self.plan.cares(Look { traits, secrets: self.may_hold_secrets(traits) }, raw.len()) {
            return Ok(None);
        }
        let mut traits = traits.shown();
        let mut changed: Option<String> = None;
        for _ in 0..ROUNDS {
            match self.round(changed.as_deref().unwrap_or(raw), traits, tally)? {
                Some(next) => changed = Some(next),
                None => return Ok(changed),
            }
            traits = Traits::ALL;
        }
        tally.add(Kind::FIELD);
        Ok(Some(self.plan.replacer().mask(Kind::FIELD)))
    }

    /// What escapes or codes hide begins like nothing; a key may say that any text is a secret.
    fn may_hold_secrets(&self, traits: Traits) -> bool {
        let hiding = Traits::BACKSLASH.and(Traits::WIDE).and(Traits::CODE);
        self.secrets || traits.any(hiding) || !self.context.key.is_empty() && names_secret(self.context.key)
    }

    fn round(&self, raw: &str, traits: Traits, tally: &mut Tally) -> Result<Option<String>, Failure> {
        let view = (self.form != Form::Plain && traits.any(Traits::BACKSLASH)).then(|| View::unescape(raw));
        let text = view.as_ref().map_or(raw, View::text);
        let edits = match self.document(text, traits, tally)? {
            Some(edits) => edits,
            None => self.search(text, traits, tally)?,
        };
        if edits.is_empty() {
            return Ok(None);
        }
        let edits: Vec<Edit> = edits.into_iter().map(|edit| self.outward(edit, view.as_ref())).collect();
        Ok(Some(splice(raw, &edits)))
    }

    /// The edit of the text as one of its source.
    fn outward(&self, edit: Edit, view: Option<&View>) -> Edit {
        let span = view.map_or(edit.span.clone(), |view| view.source(&edit.span));
        let text = if self.form == Form::Plain { edit.text } else { escape(&edit.text) };
        Edit { span, text }
    }

    /// The edits of a text that is a JSON document; `None` for any other.
    fn document(&self, text: &str, traits: Traits, tally: &mut Tally) -> Result<Option<Vec<Edit>>, Failure> {
        let looks = traits.any(Traits::OPEN) && text.trim_start().starts_with(['{', '[']);
        if !looks || self.form == Form::Key {
            return Ok(None);
        }
        if self.level >= LEVELS {
            let hides_fields = self.plan.fields().next().is_some() && serde_json::from_str::<IgnoredAny>(text).is_ok();
            return if hides_fields { Err(Failure::TooDeep) } else { Ok(None) };
        }
        match Walker::new(self.plan, text, self.level + 1).run(Place::Root) {
            Ok((edits, found)) => {
                tally.absorb(found);
                Ok(Some(edits))
            }
            Err(Failure::Malformed) => Ok(None),
            // Fields can't be looked for in it, so that it must not pass if there are any; else it is a text.
            Err(Failure::TooDeep) if self.plan.fields().next().is_none() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn search(&self, text: &str, traits: Traits, tally: &mut Tally) -> Result<Vec<Edit>, Failure> {
        // What the rest of the text holds is found in the next round.
        let uris = if traits.any(Traits::COLON) { self.data_uris(text, tally)? } else { Vec::new() };
        if !uris.is_empty() {
            return Ok(uris);
        }
        let tokens = if traits.any(Traits::OPEN) { self.plan.replacer().find(text) } else { Vec::new() };
        let look = Look { traits, secrets: self.may_hold_secrets(traits) };
        let findings = self.plan.find(text, look, self.context, &tokens);
        let new = findings.into_iter().filter(|finding| !outside(&finding.span, &tokens).is_empty()).collect();
        let new = self.unblocked(new)?;
        let mut edits = Vec::new();
        for finding in merge(new) {
            tally.add(finding.kind);
            let replacement = self.replacement(&finding);
            let parts = outside(&finding.span, &tokens).into_iter();
            edits.extend(parts.map(|span| Edit { span, text: replacement.clone() }));
        }
        Ok(edits)
    }

    fn unblocked(&self, findings: Vec<Finding>) -> Result<Vec<Finding>, Failure> {
        let blocked = |finding: &&Finding| self.plan.action(finding.kind) == Some(RedactionAction::Block);
        match findings.iter().find(blocked) {
            Some(finding) => Err(self.plan.blocked(finding.kind)),
            None => Ok(findings),
        }
    }

    fn replacement(&self, finding: &Finding) -> String {
        let replacer = self.plan.replacer();
        match self.plan.action(finding.kind) {
            Some(RedactionAction::Hash) => replacer.digest(finding.kind, &finding.value),
            Some(RedactionAction::Drop) if self.form != Form::Key => String::new(),
            _ => replacer.mask(finding.kind),
        }
    }

    /// The value to stand in the place of a number that is a finding; `None` for any other.
    pub(super) fn number(&self, token: &str, tally: &mut Tally) -> Result<Option<String>, Failure> {
        if token.len() < SHORTEST_NUMBER && !self.plan.has_patterns() {
            return Ok(None);
        }
        let look = Look { traits: Traits::DIGIT, secrets: false };
        let mut findings = self.plan.find(token, look, self.context, &[]);
        if let Cow::Owned(digits) = integer(token) {
            findings.extend(self.plan.find(&digits, look, self.context, &[]));
        }
        let longest = self.unblocked(findings)?.into_iter().max_by_key(|finding| finding.span.len());
        Ok(longest.map(|finding| {
            tally.add(finding.kind);
            match self.plan.action(finding.kind) {
                Some(RedactionAction::Drop) => "null".to_owned(),
                _ => format!("\"{}\"", self.replacement(&finding)),
            }
        }))
    }

    /// The text of a content, without its findings and not longer than the policy allows.
    pub(super) fn settle_content(
        &self,
        raw: &str,
        traits: Traits,
        tally: &mut Tally,
    ) -> Result<Option<String>, Failure> {
        let limit = self.plan.text_chars();
        let (body, mut total) = match cut_before(raw, limit) {
            Some((body, total)) => (body, Some(total)),
            None => (raw, None),
        };
        let mut changed = self.settle(body, traits, tally)?;
        for _ in 0..ROUNDS {
            let Some((end, length)) = too_long(changed.as_deref().unwrap_or(body), limit) else { break };
            if total.is_none() {
                total = Some(length);
                tally.add(Kind::TRUNCATED);
            }
            let cut = changed.as_deref().unwrap_or(body).get(..end).unwrap_or_default().to_owned();
            changed = Some(self.settle(&cut, Traits::ALL, tally)?.unwrap_or(cut));
        }
        Ok(changed.map(|text| match total {
            Some(total) => format!("{text}{}", cut_note(limit, total)),
            None => text,
        }))
    }
}

/// The body of a JSON string as text.
pub(super) fn plain(raw: &str) -> Cow<'_, str> {
    if raw.contains('\\') { Cow::Owned(View::unescape(raw).text().to_owned()) } else { Cow::Borrowed(raw) }
}

/// A whole number written with a fraction of zeros or an exponent, in digits: what some JSON printers make of a card.
fn integer(token: &str) -> Cow<'_, str> {
    let unchanged = Cow::Borrowed(token);
    let (mantissa, exponent) = match token.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<usize>().unwrap_or(usize::MAX)),
        None => (token, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (kept, rest) = fraction.split_at_checked(exponent).unwrap_or((fraction, ""));
    let zeros = exponent.saturating_sub(fraction.len());
    if mantissa == token && fraction.is_empty() || zeros > 20 || rest.bytes().any(|digit| digit != b'0') {
        return unchanged;
    }
    Cow::Owned(format!("{whole}{kept}{}", "0".repeat(zeros)))
}

/// Where the text must be cut, and how many characters it has; `None` where it is short enough.
fn too_long(raw: &str, limit: usize) -> Option<(usize, usize)> {
    if raw.len() <= limit {
        return None;
    }
    let view = View::unescape(raw);
    let (end, _) = view.text().char_indices().nth(limit)?;
    Some((view.source(&(0..end)).end, view.text().chars().count()))
}

fn cut_note(limit: usize, total: usize) -> String {
    format!(" [truncated: {limit} of {total} characters shown]")
}

/// A text that was cut before at the same length, without the note, and its length before.
fn cut_before(raw: &str, limit: usize) -> Option<(&str, usize)> {
    let start = if raw.ends_with(" characters shown]") { raw.rfind(" [truncated: ")? } else { return None };
    let (body, note) = raw.split_at_checked(start)?;
    let total = note.split(' ').nth(4)?.parse().ok()?;
    (note == cut_note(limit, total)).then_some((body, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_read_in_any_spelling() {
        for (token, digits) in [
            ("4111111111111111", "4111111111111111"),
            ("4111111111111111.0", "4111111111111111"),
            ("4.111111111111111E15", "4111111111111111"),
            ("4.111111111111111e+15", "4111111111111111"),
            ("41111111111111110e-1", "41111111111111110e-1"),
            ("1.5", "1.5"),
            ("1e400", "1e400"),
            ("12e2", "1200"),
        ] {
            assert_eq!(integer(token), digits, "{token}");
        }
    }

    #[test]
    fn a_note_is_known_again_only_for_the_same_length() {
        assert_eq!(cut_before("abc [truncated: 3 of 9 characters shown]", 3), Some(("abc", 9)));
        assert_eq!(cut_before("abc [truncated: 3 of 9 characters shown]", 4), None);
        assert_eq!(cut_before("abc [truncated: 3 of +9 characters shown]", 3), None);
        assert_eq!(cut_before("abc", 3), None);
    }
}
