//! From the bytes of a file to a tree of located values: YAML 1.2 with its core schema, without the parts of YAML that
//! make two readers of one file disagree (anchors, aliases, merge keys, tags, directives, several documents).

use crate::config::node::{Content, Entry, Node, Position, presentable};
use crate::config::report::Fault;
use portcullis_core::problem::{Path, Problem};
use serde_saphyr::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput};

/// How deep lists and mappings may be in each other. The documents need 8.
const DEPTH: usize = 32;

/// How many values one file may hold: ten times what a policy of ten thousand lines needs, and no burden in memory.
const VALUES: usize = 500_000;

/// The tree of a document, and every fault that did not stop the reading.
#[derive(Debug)]
pub struct Parsed {
    /// The tree; `None` where the text is not YAML at all.
    pub tree: Option<Node>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// Reads one YAML document.
pub fn parse(bytes: &[u8]) -> Parsed {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let problem = Problem::new(Path::root(), "this line is not UTF-8").hint("save the file as UTF-8");
            let at = Position { line, column: 1 };
            return Parsed { tree: None, faults: vec![Fault { at, problem }] };
        }
    };
    let mut reader = Reader::new(text);
    let tree = match reader.document() {
        Ok(tree) => Some(tree),
        Err(fault) => {
            reader.faults.push(*fault);
            None
        }
    };
    Parsed { tree, faults: reader.faults }
}

/// Turns the parser's events into a tree.
struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    values: usize,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let mut options = Options::default();
        options.disallow_directives = true;
        options.emit_unresolved_aliases = true;
        options.flow_nesting_limit = DEPTH;
        options.block_nesting_limit = DEPTH;
        options.set_emit_comments(false);
        Self { events: Parser::new_from_str_with_options(text, options), values: 0, faults: Vec::new() }
    }

    fn document(&mut self) -> Result<Node, Box<Fault>> {
        let start = loop {
            match self.next()? {
                (Event::StreamStart, _) => {}
                (Event::DocumentStart(..), at) => break at,
                (_, at) => return Err(empty(at)),
            }
        };
        let event = self.next()?;
        let tree = self.node(event, &Path::root())?;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::DocumentStart(..), at) => {
                    return Err(stop(
                        at,
                        "a second document begins here",
                        "keep one document in each file: remove `---`",
                    ));
                }
                _ => {}
            }
        }
        match tree.content {
            Content::Null => Err(empty(start)),
            _ => Ok(tree),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Position), Box<Fault>> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, position(&span))),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Position { line: 1, column: 1 })),
        }
    }

    fn node(&mut self, (event, at): (Event<'a>, Position), path: &Path) -> Result<Node, Box<Fault>> {
        self.values += 1;
        if self.values > VALUES {
            return Err(stop(at, "the file holds too many values", "keep it below 500000"));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), at, path);
                Ok(Node::new(at, self.scalar(&text, style, at, path)))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), at, path);
                self.list(path).map(|items| Node::new(at, Content::List(items)))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), at, path);
                self.map(path).map(|entries| Node::new(at, Content::Map(entries)))
            }
            _ => {
                self.fault(at, path, "aliases (`*name`) are not supported", "write the value out, or quote it");
                Ok(Node::new(at, Content::Unreadable))
            }
        }
    }

    fn list(&mut self, path: &Path) -> Result<Vec<Node>, Box<Fault>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                event => items.push(self.node(event, &path.then(items.len()))?),
            }
        }
    }

    fn map(&mut self, path: &Path) -> Result<Vec<Entry>, Box<Fault>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines = std::collections::BTreeMap::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_properties(anchor, tag.is_some(), at, path);
                    self.key(&text, style, at, path)
                }
                event => {
                    self.node((event, at), path)?;
                    self.fault(at, path, "a key must be plain text", "quote it where it begins with `{` or `[`");
                    None
                }
            };
            let event = self.next()?;
            let inner = key.as_deref().map_or_else(|| path.clone(), |key| path.then(key));
            let value = self.node(event, &inner)?;
            let Some(key) = key else { continue };
            match lines.insert(key.clone(), at.line) {
                None => entries.push(Entry { key, at, value }),
                Some(first) => {
                    let named = presentable(&key).map_or_else(|| "this key".into(), |key| format!("`{key}`"));
                    let message = format!("{named} is here a second time");
                    self.fault(at, &inner, &message, &format!("remove one: the first is in line {first}"));
                }
            }
        }
    }

    fn key(&mut self, text: &str, style: ScalarStyle, at: Position, path: &Path) -> Option<String> {
        if style == ScalarStyle::Plain && text == "<<" {
            self.fault(at, path, "merge keys (`<<`) are not supported", "write the keys out");
            return None;
        }
        // The parser writes a key that is not there as `~`.
        if style == ScalarStyle::Plain && matches!(text, "" | "~") {
            self.fault(at, path, "a key is missing before `:`", "write one, or remove the line");
            return None;
        }
        Some(text.to_owned())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, at: Position, path: &Path) -> Content {
        if style != ScalarStyle::Plain {
            return Content::Text(text.to_owned());
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Content::Null,
            "true" | "True" | "TRUE" => Content::Bool(true),
            "false" | "False" | "FALSE" => Content::Bool(false),
            _ => match number(text) {
                None => Content::Text(text.to_owned()),
                Some(Ok(number)) => Content::Number(number),
                Some(Err(message)) => {
                    self.fault(at, path, message, "put it in quotes where text is meant");
                    Content::Unreadable
                }
            },
        }
    }

    fn refuse_properties(&mut self, anchor: usize, tagged: bool, at: Position, path: &Path) {
        if anchor != 0 {
            self.fault(at, path, "anchors (`&name`) are not supported", "write the value out, or quote it");
        }
        if tagged {
            self.fault(at, path, "tags (`!name`) are not supported", "remove it, or quote the value");
        }
    }

    fn fault(&mut self, at: Position, path: &Path, message: &str, hint: &str) {
        self.faults.push(Fault { at, problem: Problem::new(path.clone(), message).hint(hint) });
    }
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

fn stop(at: Position, message: &str, hint: &str) -> Box<Fault> {
    Box::new(Fault { at, problem: Problem::new(Path::root(), message).hint(hint) })
}

fn empty(at: Position) -> Box<Fault> {
    stop(at, "the file is empty", "an empty file allows nothing and serves nothing: write one, or put it back")
}

/// A fault of syntax. The parser's texts are constant but for one character, which could be a secret's first.
fn syntax(error: &ScanError) -> Box<Fault> {
    let message = match error.kind() {
        ErrorKind::UnexpectedCharacter { .. } => "a value can't begin with this character".into(),
        ErrorKind::RecursionLimitExceeded => format!("lists and mappings are more than {DEPTH} deep in each other"),
        ErrorKind::DirectiveDisallowed => "directives (`%YAML`, `%TAG`) are not supported".into(),
        kind => format!("this is not YAML: {kind}"),
    };
    let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
    stop(at, &message, "look at this line and the one before: indentation, `: ` after a key, quotes and brackets")
}

/// The number that a plain scalar is in YAML 1.2's core schema (section 10.3.2); `None` where it is text.
fn number(text: &str) -> Option<Result<serde_json::Number, &'static str>> {
    const TOO_LARGE: &str = "this number is too large to be kept exactly";
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits && digits.len() > 1 && digits.starts_with('0') {
        return Some(Err("a number that begins with 0 is octal to some readers of YAML and decimal to others"));
    }
    if all_digits {
        let signed = text.parse::<i64>().map(Into::into);
        return Some(signed.or_else(|_| text.parse::<u64>().map(Into::into)).map_err(|_| TOO_LARGE));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        let digits = text.strip_prefix(prefix).filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
        if let Some(digits) = digits.filter(|digits| !digits.is_empty()) {
            return Some(u64::from_str_radix(digits, radix).map(Into::into).map_err(|_| TOO_LARGE));
        }
    }
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err("infinity and not-a-number are not supported"));
    }
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let float = text.parse::<f64>().ok().filter(|_| numeric)?;
    Some(serde_json::Number::from_f64(float).ok_or(TOO_LARGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(text: &str) -> serde_json::Value {
        let parsed = parse(text.as_bytes());
        assert!(parsed.faults.is_empty(), "{text}: {:?}", parsed.faults);
        parsed.tree.unwrap().to_value()
    }

    #[test]
    fn plain_scalars_are_those_of_yaml_1_2() {
        let text = "[yes, no, on, off, true, TRUE, ~, null, 1, -7, +3, 0x1f, 0o17, 1.5, 1e3, .5, 1., 2026-11-20, 1:30, 1_000, \
                    inf, nan, e5, '1', \"true\", 18446744073709551615]";
        assert_eq!(
            value(text),
            json!([
                "yes",
                "no",
                "on",
                "off",
                true,
                true,
                null,
                null,
                1,
                -7,
                3,
                31,
                15,
                1.5,
                1000.0,
                0.5,
                1.0,
                "2026-11-20",
                "1:30",
                "1_000",
                "inf",
                "nan",
                "e5",
                "1",
                "true",
                18446744073709551615_u64
            ])
        );
    }

    #[test]
    fn numbers_that_readers_disagree_on_are_refused() {
        for text in ["a: 0777", "a: 00", "a: 18446744073709551616", "a: 1e999", "a: .inf", "a: -.INF", "a: .NaN"] {
            assert_eq!(parse(text.as_bytes()).faults.len(), 1, "{text}");
        }
    }

    #[test]
    fn places_count_from_one() {
        let tree = parse(b"a:\n  - b: 1\n    c: {d: x}\n").tree.unwrap();
        let path = Path::root().then("a").then(0);
        assert_eq!(tree.locate(&path.then("c").then("d")), Position { line: 3, column: 12 });
        assert_eq!(tree.locate(&path.then("c")), Position { line: 3, column: 5 });
        assert_eq!(tree.locate(&path.then("missing")), Position { line: 2, column: 5 });
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).tree.is_none());
        let deep = "- ".repeat(10_000);
        assert!(parse(deep.as_bytes()).tree.is_none());
        let wide = format!("[{}]", "1,".repeat(VALUES + 1));
        assert!(parse(wide.as_bytes()).tree.is_none());
    }

    #[test]
    fn an_alias_bomb_is_refused_without_being_expanded() {
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b, *nobody]\n";
        let faults = parse(bomb.as_bytes()).faults;
        assert_eq!(faults.len(), 7);
    }
}
