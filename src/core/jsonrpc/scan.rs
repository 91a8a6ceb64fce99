//! The pass: proves a text to be JSON (RFC 8259) within limits and remembers the members of a few objects.
//!
//! It goes over the bytes once, with a stack of its own instead of recursion, and builds no values.

use super::text::{escape, string};
use super::{Limits, Member, Object, Span};
use crate::reject::Rejection;
use std::borrow::Cow;

/// Which objects to remember beside the outermost one.
pub(super) struct Watch {
    /// Keys of the outermost object; at most one of them should be there.
    pub(super) child: &'static [&'static str],
    /// A key of the child.
    pub(super) grandchild: &'static str,
}

impl Watch {
    /// The outermost alone.
    pub(super) const ROOT: Self = Self { child: &[], grandchild: "" };
}

/// What a pass found.
pub(super) struct Found {
    /// The text's value, without the blanks around it.
    pub(super) whole: Span,
    /// The value, where it is an object.
    pub(super) root: Option<Object>,
    /// The watched member of the root, where it is an object.
    pub(super) child: Option<Object>,
    /// The watched member of the child, where it is an object.
    pub(super) grandchild: Option<Object>,
}

impl Found {
    fn object(&mut self, place: Place) -> Option<&mut Option<Object>> {
        match place {
            Place::Root => Some(&mut self.root),
            Place::Child => Some(&mut self.child),
            Place::Grandchild => Some(&mut self.grandchild),
            Place::Elsewhere => None,
        }
    }
}

/// Goes over `body`.
pub(super) fn scan(body: &[u8], limits: &Limits, watch: &Watch) -> Result<Found, Rejection> {
    let text = std::str::from_utf8(body).map_err(|_| Rejection::ParseError)?;
    let whole = Span { start: 0, end: 0 };
    let found = Found { whole, root: None, child: None, grandchild: None };
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, limits, watch, nodes: 0, open: vec![], keys: vec![], found };
    scan.document()?;
    Ok(scan.found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Child,
    Grandchild,
    Elsewhere,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// A container whose end has not come yet.
struct Open {
    container: Container,
    place: Place,
    /// Where its keys begin in `Scan::keys`.
    keys_from: usize,
    /// The key of the member that is being read.
    name: Span,
    /// Where that member's value begins.
    value_at: usize,
}

/// What comes next.
enum Due {
    /// A value.
    Value,
    /// What may follow a value.
    Rest,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: &'a Limits,
    watch: &'a Watch,
    nodes: usize,
    open: Vec<Open>,
    /// The keys of all open objects, the innermost last.
    keys: Vec<Cow<'a, str>>,
    found: Found,
}

impl<'a> Scan<'a> {
    fn document(&mut self) -> Result<(), Rejection> {
        self.skip_blanks();
        self.found.whole.start = self.at;
        let mut due = Due::Value;
        loop {
            due = match due {
                Due::Value => self.value()?,
                Due::Rest if self.open.is_empty() => break,
                Due::Rest => self.rest()?,
            };
        }
        self.found.whole.end = self.at;
        self.skip_blanks();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Rejection::ParseError) }
    }

    /// A whole scalar, or the beginning of a container up to its first value.
    fn value(&mut self) -> Result<Due, Rejection> {
        self.skip_blanks();
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(Rejection::InvalidRequest("the body holds too many values"));
        }
        if let Some(open) = self.open.last_mut() {
            open.value_at = self.at;
        }
        match self.peek() {
            Some(b'{') => return self.enter(Container::Object),
            Some(b'[') => return self.enter(Container::Array),
            Some(b'"') => self.skip_string()?,
            Some(b't') => self.skip_word(b"true")?,
            Some(b'f') => self.skip_word(b"false")?,
            Some(b'n') => self.skip_word(b"null")?,
            _ => self.at += number(self.rest_of_bytes()).ok_or(Rejection::ParseError)?,
        }
        self.note_member();
        Ok(Due::Rest)
    }

    fn enter(&mut self, container: Container) -> Result<Due, Rejection> {
        if self.open.len() >= self.limits.depth {
            return Err(Rejection::InvalidRequest("the body is nested too deeply"));
        }
        let place = if container == Container::Object { self.place() } else { Place::Elsewhere };
        let start = self.at;
        if let Some(slot) = self.found.object(place) {
            *slot = Some(Object { span: Span { start, end: start }, members: vec![] });
        }
        let name = Span { start, end: start };
        self.open.push(Open { container, place, keys_from: self.keys.len(), name, value_at: start });
        self.at += 1;
        self.skip_blanks();
        match (container, self.peek()) {
            (Container::Object, Some(b'}')) | (Container::Array, Some(b']')) => self.leave(),
            (Container::Object, _) => self.key(),
            (Container::Array, _) => Ok(Due::Value),
        }
    }

    /// The place of an object that begins here.
    fn place(&self) -> Place {
        let Some(parent) = self.open.last() else { return Place::Root };
        let key = self.keys.last().map_or("", |key| key.as_ref());
        match parent.place {
            Place::Root if self.watch.child.contains(&key) => Place::Child,
            Place::Child if self.watch.grandchild == key => Place::Grandchild,
            _ => Place::Elsewhere,
        }
    }

    /// A comma and what it announces, or the end of the innermost container.
    fn rest(&mut self) -> Result<Due, Rejection> {
        self.skip_blanks();
        let container = self.open.last().map(|open| open.container);
        match (container, self.peek()) {
            (Some(Container::Object), Some(b'}')) | (Some(Container::Array), Some(b']')) => self.leave(),
            (Some(container), Some(b',')) => {
                self.at += 1;
                self.skip_blanks();
                if container == Container::Object { self.key() } else { Ok(Due::Value) }
            }
            _ => Err(Rejection::ParseError),
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Due, Rejection> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(Rejection::ParseError);
        }
        self.skip_string()?;
        let name = Span { start, end: self.at };
        let key = string(name.of(self.bytes)).ok_or(Rejection::ParseError)?;
        if key.len() > self.limits.key_bytes {
            return Err(Rejection::InvalidRequest("a key is too long"));
        }
        self.keys.push(key);
        if let Some(open) = self.open.last_mut() {
            open.name = name;
        }
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(Rejection::ParseError);
        }
        self.at += 1;
        Ok(Due::Value)
    }

    fn leave(&mut self) -> Result<Due, Rejection> {
        self.at += 1;
        let Some(open) = self.open.pop() else { return Err(Rejection::ParseError) };
        if self.keys.get_mut(open.keys_from..).is_some_and(has_duplicate) {
            return Err(Rejection::InvalidRequest("an object holds the same key twice"));
        }
        self.keys.truncate(open.keys_from);
        if let Some(Some(object)) = self.found.object(open.place) {
            object.span.end = self.at;
        }
        self.note_member();
        Ok(Due::Rest)
    }

    /// Remembers the member whose value has just ended, where its object is one to remember.
    fn note_member(&mut self) {
        let (Some(open), Some(key)) = (self.open.last(), self.keys.last()) else { return };
        if let Some(Some(object)) = self.found.object(open.place) {
            let value = Span { start: open.value_at, end: self.at };
            object.members.push(Member { key: key.clone().into_owned(), name: open.name, value });
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest_of_bytes(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn skip_word(&mut self, word: &[u8]) -> Result<(), Rejection> {
        if !self.rest_of_bytes().starts_with(word) {
            return Err(Rejection::ParseError);
        }
        self.at += word.len();
        Ok(())
    }

    /// From the opening quote to after the closing one.
    fn skip_string(&mut self) -> Result<(), Rejection> {
        self.at += 1;
        loop {
            let rest = self.rest_of_bytes();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += plain.ok_or(Rejection::ParseError)? + 1;
            match rest.get(plain.unwrap_or_default()) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.at += escape(self.rest_of_bytes()).ok_or(Rejection::ParseError)?.1,
                _ => return Err(Rejection::ParseError),
            }
        }
    }
}

/// Sorting keeps ten thousand keys cheap where comparing each with each would not.
fn has_duplicate(keys: &mut [Cow<'_, str>]) -> bool {
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
}

/// The length of the number that `rest` begins with (RFC 8259 section 6).
fn number(rest: &[u8]) -> Option<usize> {
    let mut at = usize::from(rest.first() == Some(&b'-'));
    at += match rest.get(at)? {
        b'0' => 1,
        b'1'..=b'9' => digits(rest, at)?,
        _ => return None,
    };
    if rest.get(at) == Some(&b'.') {
        at += 1 + digits(rest, at + 1)?;
    }
    if matches!(rest.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        at += digits(rest, at)?;
    }
    Some(at)
}

/// How many digits `rest` holds from `at` on; `None` for none.
fn digits(rest: &[u8], at: usize) -> Option<usize> {
    let count = rest.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(count)
}
