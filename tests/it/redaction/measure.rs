//! How well findings are found: by whole spans and by single signs, against the labels of the corpus.

use super::corpus::Sample;
use portcullis_core::principal::RoleSet;
use portcullis_core::redact::{Plan, Redactor};
use std::ops::Range;

/// Everything that one detector, or all, finds is masked.
pub fn plan(detectors: &[&str]) -> Plan {
    let rules = serde_json::json!([{ "detect": detectors, "action": "mask" }]);
    let rules: Vec<_> = serde_json::from_value(rules).unwrap();
    Redactor::compile(&rules, usize::MAX, b"a key").unwrap().plan(&RoleSet::default(), None)
}

/// The text after redaction: as a message where it is one, else as a text.
pub fn redacted(plan: &Plan, text: &str) -> String {
    if text.starts_with("{\"result\"") {
        return String::from_utf8(plan.json(text.as_bytes()).unwrap().bytes.into_owned()).unwrap();
    }
    plan.text(text).unwrap().text.into_owned()
}

/// The text without its marks, and what was between them.
pub fn unmarked(text: &str) -> (String, Option<Range<usize>>) {
    let Some((before, rest)) = text.split_once('‹') else { return (text.to_owned(), None) };
    let (value, after) = rest.split_once('›').unwrap();
    (format!("{before}{value}{after}"), Some(before.len()..before.len() + value.len()))
}

/// Which parts of `text` masks stand for in `redacted`.
pub fn masked(text: &str, redacted: &str, mask: &str) -> Vec<Range<usize>> {
    let mut kept = redacted.split(mask);
    let mut at = kept.next().unwrap_or_default().len();
    let mut spans = Vec::new();
    // A number that is masked becomes a string: its quotes are not of the text.
    let quoted = !text.is_char_boundary(at.min(text.len())) || text.get(..at) != redacted.get(..at);
    at -= usize::from(quoted);
    for part in kept {
        let part = if quoted { part.strip_prefix('"').unwrap_or(part) } else { part };
        let last = part.is_empty();
        let end = if last { text.len() } else { at + text[at..].find(part).unwrap_or(text.len() - at) };
        spans.push(at..end);
        at = end + part.len();
    }
    // What follows the last mask is the end of the text, wherever the same stands before.
    if let (Some(span), Some(part)) = (spans.last_mut(), redacted.rsplit(mask).next()) {
        let part = if quoted { part.strip_prefix('"').unwrap_or(part) } else { part };
        span.end = text.len() - part.len();
    }
    spans
}

/// Counts of hits, misses and false alarms.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub right: usize,
    pub found: usize,
    pub labelled: usize,
}

impl Counts {
    pub fn precision(&self) -> f64 {
        if self.found == 0 { 1.0 } else { self.right as f64 / self.found as f64 }
    }

    pub fn recall(&self) -> f64 {
        if self.labelled == 0 { 1.0 } else { self.right as f64 / self.labelled as f64 }
    }

    /// Recall counts twice as much as precision.
    pub fn f2(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall == 0.0 { 0.0 } else { 5.0 * precision * recall / (4.0 * precision + recall) }
    }
}

/// What was measured of one kind.
#[derive(Debug, Default)]
pub struct Measured {
    /// A finding counts where it is the labelled span and nothing else.
    pub spans: Counts,
    /// By bytes of text.
    pub signs: Counts,
    /// What went wrong, to be read.
    pub wrong: Vec<String>,
}

/// Measures a detector on its samples.
pub fn measure(kind: &str, samples: &[Sample]) -> Measured {
    let plan = plan(&[kind]);
    let mask = format!("[REDACTED:{}]", kind.to_ascii_uppercase());
    let mut measured = Measured::default();
    for sample in samples {
        let (text, label) = unmarked(&sample.text);
        let after = redacted(&plan, &text);
        let spans = masked(&text, &after, &mask);
        let label = label.into_iter().collect::<Vec<_>>();
        let right = spans.iter().filter(|span| label.contains(span)).count();
        measured.spans.right += right;
        measured.spans.found += spans.len();
        measured.spans.labelled += label.len();
        let overlap = |one: &Range<usize>, other: &Range<usize>| {
            one.end.min(other.end).saturating_sub(one.start.max(other.start))
        };
        measured.signs.right +=
            spans.iter().flat_map(|span| label.iter().map(|label| overlap(span, label))).sum::<usize>();
        measured.signs.found += spans.iter().map(Range::len).sum::<usize>();
        measured.signs.labelled += label.iter().map(Range::len).sum::<usize>();
        if right != label.len() || spans.len() != right {
            measured.wrong.push(format!("{kind} in {}: {}\n      gives {}", sample.carrier, sample.text, after));
        }
    }
    measured
}
