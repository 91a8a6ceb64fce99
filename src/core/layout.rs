//! JSON of others as people read it, made from its own tokens: no number is read and printed anew, no name is lost that
//! stands twice, and no letter hides behind an escape. It decides nothing: what is called is not made of this.

use serde_json::Value;
use serde_json::value::RawValue;

/// The deepest JSON that is laid out; more is left on its line.
const DEPTH: usize = 64;

/// What numbers, `true`, `false` and `null` are made of.
const OTHERS: &str = "0123456789+-.eEtrufalsn";

/// `json` on one line, without blanks and with its texts unescaped, but for quotes, backslashes and control characters. `None`
/// where it is no JSON.
pub fn decoded(json: &str) -> Option<String> {
    serde_json::from_str::<&RawValue>(json).ok()?;
    let mut out = String::with_capacity(json.len());
    for token in Tokens(json) {
        match token.as_bytes().first()? {
            b'"' => out.push_str(&unescaped(token)),
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => out.push_str(token),
        }
    }
    Some(out)
}

/// A JSON string in one spelling; half of a surrogate pair can't be shown, and leaves the text as it is.
fn unescaped(token: &str) -> String {
    let text = serde_json::from_str::<String>(token);
    text.map_or_else(|_| token.to_owned(), |text| Value::from(text).to_string())
}

/// What [`decoded`] has made, in lines. What has been spelled out in its texts since may be there, though JSON knows no
/// `\u{..}`. `None` where it is no object and no array, or not the whole of one.
pub fn laid_out(text: &str) -> Option<String> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let (mut out, mut depth) = (String::with_capacity(text.len() * 2), 0_usize);
    let mut tokens = Tokens(text).peekable();
    while let Some(token) = tokens.next() {
        match token {
            "{" | "[" if tokens.next_if(|next| matches!(*next, "}" | "]")).is_some() => {
                out.push_str(if token == "{" { "{}" } else { "[]" });
            }
            "{" | "[" => {
                depth += 1;
                out.push_str(token);
                line(&mut out, depth)?;
            }
            "}" | "]" => {
                depth = depth.checked_sub(1)?;
                line(&mut out, depth)?;
                out.push_str(token);
            }
            "," => {
                out.push_str(token);
                line(&mut out, depth)?;
            }
            ":" => out.push_str(": "),
            token if token.starts_with('"') || OTHERS.contains(token) => out.push_str(token),
            _ => return None,
        }
    }
    let whole = depth == 0 && !out.ends_with(['\n', ' ']);
    whole.then_some(out)
}

fn line(out: &mut String, depth: usize) -> Option<()> {
    out.push('\n');
    (0..depth).for_each(|_| out.push_str("  "));
    (depth <= DEPTH).then_some(())
}

/// The tokens of a JSON text: strings whole, all else by the character.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let first = self.0.chars().next()?;
        let end = if first == '"' { end_of_text(self.0) } else { first.len_utf8() };
        let (token, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        Some(token)
    }
}

/// Where the string ends that `text` begins with.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unescaped_and_all_else_stays_as_it_was_written() {
        for (json, line) in [
            (
                r#" { "t\u006f" : "p\u0430ypal" , "a":"x\u202ey\/z" } "#,
                "{\"to\":\"p\u{430}ypal\",\"a\":\"x\u{202e}y/z\"}",
            ),
            (r#"{"n":12345678901234567890123,"m":1.0e2}"#, r#"{"n":12345678901234567890123,"m":1.0e2}"#),
            (r#"{"id":1,"i\u0064":2}"#, r#"{"id":1,"id":2}"#),
            (r#"["a\\u{41}\"\n", "\ud83d\ude00"]"#, "[\"a\\\\u{41}\\\"\\n\",\"\u{1f600}\"]"),
            (r#""\ud800 stays""#, r#""\ud800 stays""#),
        ] {
            assert_eq!(decoded(json).as_deref(), Some(line), "{json}");
        }
        for none in ["", "[withheld]", "{", r#"{"a":1} b"#, "\"a"] {
            assert_eq!(decoded(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_laid_out_keeps_every_token() {
        let text = r#"{"id":1,"id":2,"list":[{},[],"a, {b}: \"c\" \u{202e}"],"n":12345678901234567890123}"#;
        let lines = [
            "{",
            "  \"id\": 1,",
            "  \"id\": 2,",
            "  \"list\": [",
            "    {},",
            "    [],",
            "    \"a, {b}: \\\"c\\\" \\u{202e}\"",
            "  ],",
            "  \"n\": 12345678901234567890123",
            "}",
        ];
        assert_eq!(laid_out(text).unwrap(), lines.join("\n"));
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for none in ["", "[", "[1,", "}", "7", "{\"a\":\"b [cut]", "[withheld]", "[the preview failed]", &deep] {
            assert_eq!(laid_out(none), None, "{none}");
        }
    }
}
