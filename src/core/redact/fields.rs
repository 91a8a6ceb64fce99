//! Fields that a policy names, by a part of JSONPath (RFC 9535): `$.a.b[*]['c'][0]`, `$..name`, `$..a.b`.
//!
//! Matching goes along with the walk: a cursor is a path and how many of its steps lie behind. Nothing is looked up
//! twice, and a document without field rules costs nothing.

/// A compiled path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// `..`: at any depth below.
    below: bool,
    select: Select,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Select {
    Name(String),
    Index(usize),
    Any,
}

/// Where a value stands in its object or list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// Under this key, unescaped.
    Key(&'a str),
    /// At this place, from 0.
    Index(usize),
}

/// A path of which some steps have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The path's place in the policy's list.
    pub(super) path: usize,
    /// Steps taken.
    pub(super) taken: usize,
}

impl FieldPath {
    /// Reads a path; an error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut rest = text.strip_prefix('$').ok_or("a path begins with `$`")?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = parse_step(rest)?;
            steps.push(step);
            rest = after;
        }
        match steps.len() {
            0 => Err("`$` alone is the whole result"),
            1..=64 => Ok(Self(steps)),
            _ => Err("a path has at most 64 steps"),
        }
    }

    /// Takes the step to a child. Whether the child is what the path names; the cursors to go on with go to `next`.
    pub(super) fn advance(&self, cursor: Cursor, child: Name<'_>, next: &mut Vec<Cursor>, from: usize) -> bool {
        let Some(step) = self.0.get(cursor.taken) else { return false };
        let mut keep = |cursor: Cursor| {
            if !next.iter().skip(from).any(|known| *known == cursor) {
                next.push(cursor);
            }
        };
        if step.below {
            keep(cursor);
        }
        let taken = match (&step.select, child) {
            (Select::Any, _) => true,
            (Select::Name(name), Name::Key(key)) => name == key,
            (Select::Index(wanted), Name::Index(index)) => *wanted == index,
            _ => false,
        };
        let last = cursor.taken + 1 == self.0.len();
        if taken && !last {
            keep(Cursor { taken: cursor.taken + 1, ..cursor });
        }
        taken && last
    }
}

fn parse_step(text: &str) -> Result<(Step, &str), &'static str> {
    if let Some(rest) = text.strip_prefix("..") {
        let (select, rest) = match rest.strip_prefix('[') {
            Some(bracket) => parse_bracket(bracket)?,
            None => parse_name(rest)?,
        };
        return Ok((Step { below: true, select }, rest));
    }
    let (select, rest) = match (text.strip_prefix('.'), text.strip_prefix('[')) {
        (Some(rest), _) => parse_name(rest)?,
        (_, Some(rest)) => parse_bracket(rest)?,
        _ => return Err("a step begins with `.` or `[`"),
    };
    Ok((Step { below: false, select }, rest))
}

fn parse_name(text: &str) -> Result<(Select, &str), &'static str> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Select::Any, rest));
    }
    let end = text.find(|sign: char| !(sign.is_alphanumeric() || matches!(sign, '_' | '-'))).unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some((name, rest)) if !name.is_empty() => Ok((Select::Name(name.to_owned()), rest)),
        _ => Err("a name is missing after the dot"),
    }
}

fn parse_bracket(text: &str) -> Result<(Select, &str), &'static str> {
    if let Some(quote) = text.chars().next().filter(|sign| matches!(sign, '\'' | '"')) {
        return parse_quoted(text, quote);
    }
    let (inside, rest) = text.split_once(']').ok_or("a bracket is not closed")?;
    if inside == "*" {
        return Ok((Select::Any, rest));
    }
    let digits = !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_digit());
    let index = inside.parse().ok().filter(|_| digits);
    index.map(|index| (Select::Index(index), rest)).ok_or("a bracket holds a name in quotes, `*` or a number from 0")
}

fn parse_quoted(text: &str, quote: char) -> Result<(Select, &str), &'static str> {
    let mut name = String::new();
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => name.push(signs.next().ok_or("a quote is not closed")?.1),
            sign if sign == quote => {
                let rest = text.get(at + 1..).and_then(|rest| rest.strip_prefix(']'));
                return rest.map(|rest| (Select::Name(name), rest)).ok_or("a bracket holds one name");
            }
            sign => name.push(sign),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(path: &str, way: &[Name<'_>]) -> bool {
        let path = FieldPath::parse(path).unwrap();
        let mut cursors = vec![Cursor { path: 0, taken: 0 }];
        let mut matched = false;
        for name in way {
            let mut next = Vec::new();
            matched = false;
            for cursor in &cursors {
                matched |= path.advance(*cursor, *name, &mut next, 0);
            }
            cursors = next;
        }
        matched
    }

    #[test]
    fn a_path_names_what_it_says() {
        let (key, at) = (Name::Key, Name::Index);
        for (path, way, expected) in [
            ("$.a", vec![key("a")], true),
            ("$.a", vec![key("A")], false),
            ("$.a", vec![key("a"), key("a")], false),
            ("$.a.b", vec![key("a"), key("b")], true),
            ("$.a[*].b", vec![key("a"), at(7), key("b")], true),
            ("$.a[0]", vec![key("a"), at(0)], true),
            ("$.a[0]", vec![key("a"), at(1)], false),
            ("$['a b'][\"c\"]", vec![key("a b"), key("c")], true),
            ("$['it\\'s']", vec![key("it's")], true),
            ("$.*", vec![key("x")], true),
            ("$.*.c", vec![at(1), key("c")], true),
            ("$..c", vec![key("c")], true),
            ("$..c", vec![key("a"), at(1), key("b"), key("c")], true),
            ("$..c", vec![key("c"), key("d")], false),
            ("$..a.b", vec![key("x"), key("a"), key("b")], true),
            ("$..a.b", vec![key("a"), key("x"), key("b")], false),
            ("$..a.b", vec![key("a"), key("a"), key("b")], true),
            ("$..a..b", vec![key("a"), key("x"), key("b")], true),
            ("$..[0]", vec![key("a"), at(0)], true),
            ("$..*", vec![key("a")], true),
            ("$.größe", vec![key("größe")], true),
        ] {
            assert_eq!(matches(path, &way), expected, "{path} on {way:?}");
        }
    }

    #[test]
    fn what_is_no_such_path_is_refused() {
        let wrong = [
            "",
            "a",
            "$",
            "$.",
            "$..",
            "$a",
            "$.a.",
            "$[",
            "$[]",
            "$[-1]",
            "$[1:2]",
            "$[0,1]",
            "$['a','b']",
            "$['a'",
            "$[?(@.a)]",
            "$.a b",
            "$.a[a]",
            "$...a",
            "$['a]",
            "$[+1]",
            "$[99999999999999999999999]",
        ];
        for path in wrong {
            assert!(FieldPath::parse(path).is_err(), "{path}");
        }
    }
}
