//! How the words of callers and upstreams look on a page: escaped, with what can't be seen spelled out, and with letters
//! marked that are made to be taken for others (abuse case 158).

use maud::{Markup, html};
use portcullis_core::audit::row::Stored;
use portcullis_core::visible::{Piece, pieces};

/// Text of others.
pub fn foreign(text: &str) -> Markup {
    html! {
        @for piece in pieces(text) {
            @match piece {
                Piece::Plain(text) => (text),
                Piece::Hidden(point) => mark class="hidden" title="A character that can't be seen" { (point) },
                Piece::LookAlike(letter, point) => {
                    mark class="alike" title="A letter that looks like another" { (letter) small { (point) } }
                },
            }
        }
    }
}

/// JSON of others, laid out; text that is none stays as it is.
pub fn json(text: &str) -> Markup {
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let laid_out = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    html! { pre class="json" { (foreign(laid_out.as_deref().unwrap_or(text))) } }
}

/// Text in which the gateway has spelled out already what can't be seen or told apart, as `\u{..}`.
fn spelled(text: &str) -> Markup {
    let mut parts = text.split("\\u{");
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| match part.split_once('}') {
        Some((point, rest)) if point.len() <= 6 && point.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            html! { mark class="alike" title="The code point of a character that can't be seen, or looks like another" { "U+" (point.to_uppercase()) } (rest) }
        }
        _ => html! { "\\u{" (part) },
    });
    html! { (first) @for part in rest { (part) } }
}

/// The same for JSON, laid out where it is JSON.
pub fn spelled_json(text: &str) -> Markup {
    // What is spelled out is no escape of JSON.
    let value: Option<serde_json::Value> = serde_json::from_str(&text.replace("\\u{", "\\\\u{")).ok();
    let laid_out = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let laid_out = laid_out.map(|text| text.replace("\\\\u{", "\\u{"));
    html! { pre class="json" { (spelled(laid_out.as_deref().unwrap_or(text))) } }
}

/// A word that stands for how something ended or was decided, in its colour.
pub fn badge(word: &str) -> Markup {
    let class = match word {
        "ok" | "allow" | "trusted" | "approved" | "redeemed" | "done" | "succeeded" => "badge good",
        "refused" | "deny" | "denied" | "failed" | "quarantined" | "dead" | "tool_error" => "badge bad",
        "review" | "pending" | "cancelled" | "unknown" | "needs_review" | "queued" | "running" => "badge wait",
        _ => "badge",
    };
    html! { span class=(class) { (word) } }
}

/// A row of the record, as a row of a table.
pub fn entry(row: &Stored) -> Markup {
    let text = |column: &str| row.text(column).unwrap_or_default();
    let at = text("at");
    html! {
        tr {
            td class="quiet number" { (row.seq) }
            td { time datetime=(at) { (at) } }
            td { (foreign(text("subject"))) }
            td {
                @if row.text("tool").is_some() { code { (foreign(text("tool"))) } }
                @else { code class="quiet" { (foreign(text("method"))) } }
                @if row.text("arguments").is_some_and(|arguments| arguments != "{}") {
                    details { summary { "arguments" } (json(text("arguments"))) }
                }
            }
            td { @if let Some(decision) = row.text("decision") { (badge(decision)) } }
            td { code { (foreign(text("rule"))) } }
            td {
                @if let Some(outcome) = row.text("outcome") { (badge(outcome)) }
                @if let Some(error) = row.text("error") { " " code { (error) } }
                @if let Some(detail) = row.text("detail") { div class="quiet small" { (foreign(detail)) } }
            }
        }
    }
}
