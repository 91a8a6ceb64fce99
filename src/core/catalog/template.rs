//! Which URIs a template stands for (RFC 6570), as far as it takes to say whose resource a URI is.
//!
//! Expansion is not reversed: no variable is given a value, and a URI that is matched need not exist. Levels 1 and 2 are
//! matched as they are expanded; operators of higher levels by what they begin with and can't hold.

use regex::{Regex, RegexBuilder, escape};

/// How large a compiled template may be, in bytes.
const COMPILED: usize = 256 << 10;

/// A compiled template.
#[derive(Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles.
    ///
    /// # Errors
    /// What is wrong with it; a sentence goes on with it.
    pub fn compile(template: &str) -> Result<Self, &'static str> {
        let mut pattern = String::from("^");
        let mut rest = template;
        while let Some((literal, after)) = rest.split_once('{') {
            let (expression, after) = after.split_once('}').ok_or("has an expression without an end")?;
            push_literal(literal, &mut pattern)?;
            pattern.push_str(&expanded(expression)?);
            rest = after;
        }
        push_literal(rest, &mut pattern)?;
        pattern.push('$');
        let compiled = RegexBuilder::new(&pattern).dot_matches_new_line(true).size_limit(COMPILED).build();
        compiled.map(Self).map_err(|_| "is too large")
    }

    /// Whether it stands for `uri`.
    pub fn matches(&self, uri: &str) -> bool {
        self.0.is_match(uri)
    }
}

fn push_literal(literal: &str, pattern: &mut String) -> Result<(), &'static str> {
    if literal.contains('}') {
        return Err("has an expression without a beginning");
    }
    pattern.push_str(&escape(literal));
    Ok(())
}

/// What an expression can expand to. Characters that servers leave unescaped in values (spaces, say) are let pass, but for
/// those that end a value.
fn expanded(expression: &str) -> Result<String, &'static str> {
    let (operator, variables) = match expression.chars().next() {
        Some(operator @ ('+' | '#' | '.' | '/' | ';' | '?' | '&')) => (Some(operator), &expression[1..]),
        _ => (None, expression),
    };
    let names: Vec<_> = variables.split(',').collect();
    if names.iter().any(|name| !is_variable(name)) {
        return Err("has an expression that RFC 6570 does not know");
    }
    let all = variables.contains('*');
    Ok(match operator {
        None if all => "[^?#]+",
        None => "[^/?#]+",
        Some('+') => ".+",
        Some('#') => "(?:#.*)?",
        Some('.') => r"(?:\.[^/?#]*)?",
        Some('/') => "(?:/[^?#]*)?",
        Some(';') => "(?:;[^/?#]*)?",
        Some('?') => r"(?:\?[^#]*)?",
        Some(_) => "(?:&[^#]*)?",
    }
    .to_owned())
}

/// A name, and after it a star or `:` and a length (RFC 6570 section 2.3 and 2.4).
fn is_variable(text: &str) -> bool {
    let name = match text.split_once(':') {
        Some((name, length)) => {
            let is_length = !length.is_empty() && length.len() < 5 && length.bytes().all(|byte| byte.is_ascii_digit());
            if !is_length {
                return false;
            }
            name
        }
        None => text.strip_suffix('*').unwrap_or(text),
    };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'%' | b'-');
    !name.is_empty() && name.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_stands_for_what_it_expands_to() {
        for (template, yes, no) in [
            ("test://template/{id}/data", "test://template/42/data", "test://template/42/43/data"),
            ("test://template/{id}/data", "test://template/a%2Fb/data", "test://template//data"),
            ("test://{id}", "test://San Francisco", "test://a?b"),
            ("file:///{+path}", "file:///a/b/c.txt?x#y", "file://a"),
            ("a.b://{x}", "a.b://1", "aXb://1"),
            ("a://b{#part}", "a://b#c/d", "a://bc"),
            ("a://{x}/{y}", "a://1/2", "a://1"),
            ("a://{x,y}", "a://1,2", "a://1/2"),
            ("a://{path*}", "a://1/2/3", "a://1?2"),
            ("a://b{?q,page}", "a://b?q=1&page=2", "a://b/c"),
            ("a://b{?q}", "a://b", "a://c"),
            ("a://b{/segment*}", "a://b/1/2", "a://b1"),
            ("a://b{.kind}", "a://b.txt", "a://b/txt"),
            ("a://b{;x}", "a://b;x=1", "a://b,x"),
            ("a://b?c=1{&d}", "a://b?c=1&d=2", "a://b?c=12"),
            ("a://{x:3}", "a://abc", "a:///"),
            ("a://plain", "a://plain", "a://plainer"),
            ("A://{x}", "A://1", "a://1"),
            ("a://{+x}", "a://line\nend", "b://"),
        ] {
            let pattern = Pattern::compile(template).unwrap();
            assert!(pattern.matches(yes), "{template} {yes}");
            assert!(!pattern.matches(no), "{template} {no}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for template in [
            "a://{",
            "a://}",
            "a://{x",
            "a://x}",
            "a://{}",
            "a://{{x}}",
            "a://{x y}",
            "a://{!x}",
            "a://{x:}",
            "a://{,}",
        ] {
            assert!(Pattern::compile(template).is_err(), "{template}");
        }
        assert!(Pattern::compile(&"{x}".repeat(4000)).is_err());
    }
}
