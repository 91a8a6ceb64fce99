//! How the words of callers and upstreams look on a page: escaped, with what can't be seen spelled out, and with letters
//! marked that are made to be taken for others (abuse case 158).

use maud::{Markup, html};
use portcullis_core::audit::row::Stored;
use portcullis_core::layout::{decoded, laid_out};
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
    let laid_out = decoded(text).and_then(|text| laid_out(&text));
    html! { pre class="json" { (foreign(laid_out.as_deref().unwrap_or(text))) } }
}

/// Text in which the gateway has spelled out already what can't be seen or told apart, as `\u{..}`. Two backslashes are one
/// of the caller's, and spell nothing out.
fn spelled(text: &str) -> Markup {
    let mut parts: Vec<Markup> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        let point =
            after.strip_prefix("u{").and_then(|after| after.split_once('}')).filter(|(point, _)| is_point(point));
        let (part, after) = match (point, after.strip_prefix('\\')) {
            (Some((point, after)), _) => (code_point(point), after),
            (None, Some(after)) => (html! { "\\\\" }, after),
            (None, None) => (html! { "\\" }, after),
        };
        parts.push(html! { (before) (part) });
        rest = after;
    }
    html! { @for part in parts { (part) } (rest) }
}

fn is_point(text: &str) -> bool {
    (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn code_point(point: &str) -> Markup {
    let title = "The code point of a character that can't be seen, or looks like another";
    html! { mark class="alike" title=(title) { "U+" (point.to_uppercase()) } }
}

/// The same for JSON, laid out where it is JSON.
pub fn spelled_json(text: &str) -> Markup {
    html! { pre class="json" { (spelled(laid_out(text).as_deref().unwrap_or(text))) } }
}

/// A word that stands for how something ended or was decided, in its colour.
pub fn badge(word: &str) -> Markup {
    let class = match word {
        "ok" | "allow" | "trusted" | "approved" | "redeemed" | "done" | "succeeded" => "badge good",
        "refused" | "deny" | "denied" | "failed" | "quarantined" | "dead" | "tool_error" => "badge bad",
        "review" | "pending" | "cancelled" | "unknown" | "needs_review" | "waiting" | "queued" | "running" => {
            "badge wait"
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(markup: &Markup) -> Vec<String> {
        let text = markup.clone().into_string();
        text.split("<mark").skip(1).map(|rest| rest.split(['>', '<']).nth(1).unwrap().to_owned()).collect()
    }

    #[test]
    fn what_is_spelled_out_is_marked_and_nothing_that_only_says_so() {
        let shown =
            spelled_json(r#"{"to":"p\u{430}ypal","at":"C:\\u{41}\\\\u{42}\n","n":12345678901234567890123,"n":1}"#);
        assert_eq!(marks(&shown), ["U+430"]);
        let text = shown.into_string();
        assert!(text.contains("\n  &quot;n&quot;: 12345678901234567890123,\n  &quot;n&quot;: 1\n"), "{text}");
        assert!(text.contains(r"C:\\u{41}\\\\u{42}\n"), "{text}");
        assert_eq!(spelled_json("[withheld]").into_string(), "<pre class=\"json\">[withheld]</pre>");
    }

    #[test]
    fn an_escape_of_json_hides_no_letter_in_the_record() {
        let shown = json(r#"{"to":"\u0430dmin","file":"a\u202etxt.exe","id":1e400}"#).into_string();
        for marked in ["U+0430", "U+202E", "1e400"] {
            assert!(shown.contains(marked), "{marked} in {shown}");
        }
        assert!(!shown.contains('\u{202e}'), "{shown}");
    }
}
