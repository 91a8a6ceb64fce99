//! One walk over a JSON document: every string, key and number is looked at, every byte checked to be JSON, and what
//! must change is collected as edits of the document's own text. Nothing is parsed into values and printed again.

use super::detect::Context;
use super::fields::{Cursor, Name};
use super::kind::{Kind, Tally};
use super::leaf::{Form, Leaf, plain};
use super::media::Media;
use super::plan::{Failure, Plan, stronger};
use super::replace::Edit;
use super::scan::{Body, Scanner};
use crate::policy::document::RedactionAction;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Objects and lists within each other; the same for a document in a text.
const DEPTH: usize = 128;

/// What a value is to MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A JSON-RPC message, or a list of them.
    Message,
    /// A list of messages.
    Batch,
    /// `result`.
    Result,
    /// `result.content`.
    Content,
    /// A member of `result.content`.
    Item,
    /// `result.content[*].text`.
    Text,
    /// `error`.
    Error,
    /// `params`.
    Params,
    /// Any other value from which fields are looked for.
    Root,
    /// Anything else.
    Plain,
}

impl Place {
    fn child(self, name: Name<'_>) -> Self {
        match (self, name) {
            (Self::Plain | Self::Root, _) => Self::Plain,
            (Self::Batch, Name::Index(_)) => Self::Message,
            (Self::Message, Name::Key("result")) => Self::Result,
            (Self::Message, Name::Key("error")) => Self::Error,
            (Self::Message, Name::Key("params")) => Self::Params,
            // A task holds the result or error of its call (SEP-2663).
            (Self::Result | Self::Params, Name::Key("result")) => Self::Result,
            (Self::Result | Self::Params, Name::Key("error")) => Self::Error,
            (Self::Result, Name::Key("content")) => Self::Content,
            (Self::Content, Name::Index(_)) => Self::Item,
            (Self::Item, Name::Key("text")) => Self::Text,
            (Self::Result, Name::Key("structuredContent")) => Self::Root,
            (Self::Error | Self::Params, Name::Key("data")) => Self::Root,
            _ => Self::Plain,
        }
    }

    fn is_root(self) -> bool {
        matches!(self, Self::Result | Self::Params | Self::Root)
    }

    /// What the protocol needs as it is (JSON-RPC 2.0, 4 and 5; MCP `resultType`, and what a client must bring back byte
    /// by byte). That none of it is anything else is the filter's to see to.
    fn exempts(self, key: &str) -> bool {
        match self {
            Self::Message => matches!(key, "jsonrpc" | "id" | "method"),
            Self::Result => matches!(key, "resultType" | "requestState" | "taskId"),
            Self::Params => key == "taskId",
            _ => false,
        }
    }
}

/// What is known of a value before it is read.
#[derive(Debug, Clone)]
struct Scene<'d> {
    place: Place,
    context: Context<'d>,
    /// Which of the walker's cursors point into it.
    cursors: Range<usize>,
    /// Only its form is checked.
    silent: bool,
}

/// What is kept of an object while its members are read.
#[derive(Debug, Default)]
struct Members<'d> {
    /// Some member before this one stays.
    kept: bool,
    /// The comma before this member.
    comma: usize,
    /// The edit that takes out a member with nothing before it: the comma behind goes with it.
    leading: Option<usize>,
    media: Option<Media>,
    /// Members whose meaning the media type decides.
    held: Vec<(Body, Context<'d>)>,
}

struct Key {
    span: Range<usize>,
    /// The edit that gives it another name.
    renamed: Option<usize>,
}

/// The walk.
pub(super) struct Walker<'p, 'd> {
    plan: &'p Plan,
    scan: Scanner<'d>,
    depth: usize,
    level: usize,
    edits: Vec<Edit>,
    tally: Tally,
    cursors: Vec<Cursor>,
    keys: Vec<Key>,
    /// Where something begins like a secret: found in one go, which is much faster than in each text by itself.
    secrets: Vec<usize>,
}

impl<'p, 'd> Walker<'p, 'd> {
    /// Over `text`, which is a document inside `level` others.
    pub(super) fn new(plan: &'p Plan, text: &'d str, level: usize) -> Self {
        let (edits, cursors, keys, secrets) = (Vec::new(), Vec::new(), Vec::new(), plan.secret_starts(text));
        let scan = if level == 0 { Scanner::new(text) } else { Scanner::with_odd_numbers(text) };
        Self { plan, scan, depth: 0, level, edits, tally: Tally::default(), cursors, keys, secrets }
    }

    /// The edits in order, and what was found.
    pub(super) fn run(mut self, place: Place) -> Result<(Vec<Edit>, Tally), Failure> {
        self.scan.space();
        let batch = place == Place::Message && self.scan.peek() == Some(b'[');
        let place = if batch { Place::Batch } else { place };
        let cursors = self.begin_fields(place);
        self.value(&Scene { place, context: Context::default(), cursors, silent: false })?;
        self.scan.finish()?;
        self.edits.sort_by_key(|edit| edit.span.start);
        Ok((self.edits, self.tally))
    }

    fn begin_fields(&mut self, place: Place) -> Range<usize> {
        let from = self.cursors.len();
        if place.is_root() {
            self.cursors.extend(self.plan.fields().map(|path| Cursor { path, taken: 0 }));
        }
        from..self.cursors.len()
    }

    fn value(&mut self, scene: &Scene<'d>) -> Result<(), Failure> {
        match self.scan.peek() {
            Some(b'{') => self.object(scene),
            Some(b'[') => self.list(scene),
            Some(b'"') => {
                let body = self.scan.string()?;
                self.string(&body, scene)
            }
            Some(b'-' | b'0'..=b'9') if !self.scan.at_odd_number() => self.number(scene),
            _ => self.scan.literal(),
        }
    }

    fn enter(&mut self, open: u8) -> Result<(), Failure> {
        self.scan.expect(open)?;
        self.scan.space();
        self.depth += 1;
        if self.depth > DEPTH { Err(Failure::TooDeep) } else { Ok(()) }
    }

    fn list(&mut self, scene: &Scene<'d>) -> Result<(), Failure> {
        self.enter(b'[')?;
        let mut index = 0;
        if !self.scan.take(b']') {
            loop {
                let start = self.scan.at();
                let from = self.cursors.len();
                let (child, action) = self.child(scene, Name::Index(index), "");
                self.field(&child, action)?;
                if action == Some(RedactionAction::Drop) {
                    self.replace_value(start..self.scan.at(), "null".to_owned());
                }
                self.cursors.truncate(from);
                self.scan.space();
                if !self.scan.take(b',') {
                    break;
                }
                self.scan.space();
                index += 1;
            }
            self.scan.expect(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, scene: &Scene<'d>) -> Result<(), Failure> {
        self.enter(b'{')?;
        let first_key = self.keys.len();
        let mut members = Members::default();
        if !self.scan.take(b'}') {
            loop {
                self.member(scene, &mut members)?;
                self.scan.space();
                members.comma = self.scan.at();
                if !self.scan.take(b',') {
                    break;
                }
                if let Some(edit) = members.leading.take().and_then(|edit| self.edits.get_mut(edit)) {
                    edit.span.end = self.scan.at();
                }
                self.scan.space();
            }
            self.scan.expect(b'}')?;
        }
        for (body, context) in std::mem::take(&mut members.held) {
            self.media(&body, context, members.media)?;
        }
        self.keep_keys_apart(first_key);
        self.depth -= 1;
        Ok(())
    }

    fn member(&mut self, scene: &Scene<'d>, members: &mut Members<'d>) -> Result<(), Failure> {
        let start = self.scan.at();
        let key = self.scan.string()?;
        self.scan.space();
        self.scan.expect(b':')?;
        self.scan.space();
        let raw = self.scan.part(&key.span);
        let name = plain(raw);
        let from = self.cursors.len();
        let (child, action) = self.child(scene, Name::Key(&name), raw);
        if action == Some(RedactionAction::Drop) {
            self.field(&child, action)?;
            self.drop_member(start, members);
        } else {
            members.kept = true;
            if !scene.silent {
                self.key(key)?;
            }
            match action.is_none() && !child.silent && self.scan.peek() == Some(b'"') {
                true => self.text_member(&name, &child, members)?,
                false => self.field(&child, action)?,
            }
        }
        self.cursors.truncate(from);
        Ok(())
    }

    /// A member with a string, which may be media or say what media another one is.
    fn text_member(&mut self, name: &str, child: &Scene<'d>, members: &mut Members<'d>) -> Result<(), Failure> {
        let body = self.scan.string()?;
        match name {
            "blob" | "data" => {
                members.held.push((body, child.context));
                return Ok(());
            }
            "mimeType" => {
                let media = Media::of(&plain(self.scan.part(&body.span)));
                members.media = Media::either(members.media, media);
            }
            _ => {}
        }
        self.string(&body, child)
    }

    /// What a child is, and what is done with it as a field.
    fn child(&mut self, parent: &Scene<'d>, name: Name<'_>, key: &'d str) -> (Scene<'d>, Option<RedactionAction>) {
        let plan = self.plan;
        let place = parent.place.child(name);
        let (context, exempt) = match name {
            Name::Key(text) => {
                // A replacement in a key, such as `[REDACTED:SSN]`, names nothing.
                let ours = key.contains('[') && !plan.replacer().find(key).is_empty();
                let key = if ours { "redacted" } else { key };
                (Context { key, outer: parent.context.key }, parent.place.exempts(text))
            }
            Name::Index(_) => (parent.context, false),
        };
        let exempt = exempt && !matches!(self.scan.peek(), Some(b'{' | b'['));
        let silent = parent.silent || exempt;
        let from = self.cursors.len();
        let mut action = None;
        for at in parent.cursors.clone().filter(|_| !silent) {
            let Some(cursor) = self.cursors.get(at).copied() else { continue };
            let named = plan.field(cursor.path).is_some_and(|path| path.advance(cursor, name, &mut self.cursors, from));
            if let Some(wanted) = plan.field_action(cursor.path).filter(|_| named) {
                action = stronger(action, wanted);
            }
        }
        self.begin_fields(place);
        (Scene { place, context, cursors: from..self.cursors.len(), silent }, action)
    }

    /// Reads a value and does what is to be done with it as a field, dropping apart: that is its container's business.
    fn field(&mut self, scene: &Scene<'d>, action: Option<RedactionAction>) -> Result<(), Failure> {
        let Some(action) = action else { return self.value(scene) };
        let start = self.scan.at();
        self.value(&Scene { silent: true, cursors: 0..0, ..scene.clone() })?;
        let span = start..self.scan.at();
        let raw = self.scan.part(&span);
        let replacer = self.plan.replacer();
        let ours = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).is_some_and(|body| replacer.made(body));
        match action {
            RedactionAction::Block => return Err(self.plan.blocked(Kind::FIELD)),
            RedactionAction::Mask if !ours => self.replace_value(span, format!("\"{}\"", replacer.mask(Kind::FIELD))),
            RedactionAction::Hash if !ours => {
                let digest = replacer.digest(Kind::FIELD, raw);
                self.replace_value(span, format!("\"{digest}\""));
            }
            RedactionAction::Allow | RedactionAction::Drop | RedactionAction::Mask | RedactionAction::Hash => {}
        }
        Ok(())
    }

    fn replace_value(&mut self, span: Range<usize>, text: String) {
        if self.scan.part(&span) != text {
            self.edits.push(Edit { span, text });
            self.tally.add(Kind::FIELD);
        }
    }

    fn drop_member(&mut self, start: usize, members: &mut Members<'d>) {
        let from = if members.kept { members.comma } else { start };
        members.leading = (!members.kept).then_some(self.edits.len());
        self.edits.push(Edit { span: from..self.scan.at(), text: String::new() });
        self.tally.add(Kind::FIELD);
    }

    fn leaf(&self, context: Context<'d>, form: Form, span: &Range<usize>) -> Leaf<'p, 'd> {
        let after = self.secrets.partition_point(|start| *start < span.start);
        let secrets = self.secrets.get(after).is_some_and(|start| *start < span.end);
        Leaf { plan: self.plan, context, form, level: self.level, secrets }
    }

    fn string(&mut self, body: &Body, scene: &Scene<'d>) -> Result<(), Failure> {
        if scene.silent {
            return Ok(());
        }
        let leaf = self.leaf(scene.context, Form::Json, &body.span);
        let raw = self.scan.part(&body.span);
        let changed = match scene.place {
            Place::Text => leaf.settle_content(raw, body.traits, &mut self.tally)?,
            _ => leaf.settle(raw, body.traits, &mut self.tally)?,
        };
        self.edits.extend(changed.map(|text| Edit { span: body.span.clone(), text }));
        Ok(())
    }

    fn media(&mut self, body: &Body, context: Context<'d>, media: Option<Media>) -> Result<(), Failure> {
        let leaf = self.leaf(context, Form::Json, &body.span);
        let raw = self.scan.part(&body.span);
        let changed = leaf.settle_media(raw, body.traits, media, &mut self.tally)?;
        self.edits.extend(changed.map(|text| Edit { span: body.span.clone(), text }));
        Ok(())
    }

    fn number(&mut self, scene: &Scene<'d>) -> Result<(), Failure> {
        let span = self.scan.number()?;
        if !scene.silent {
            let leaf = self.leaf(scene.context, Form::Json, &(0..0));
            let changed = leaf.number(self.scan.part(&span), &mut self.tally)?;
            self.edits.extend(changed.map(|text| Edit { span, text }));
        }
        Ok(())
    }

    fn key(&mut self, key: Body) -> Result<(), Failure> {
        let leaf = self.leaf(Context::default(), Form::Key, &key.span);
        let changed = leaf.settle(self.scan.part(&key.span), key.traits, &mut self.tally)?;
        let renamed = changed.map(|text| {
            self.edits.push(Edit { span: key.span.clone(), text });
            self.edits.len() - 1
        });
        self.keys.push(Key { span: key.span, renamed });
        Ok(())
    }

    /// Gives a number to each new name that its object has already.
    fn keep_keys_apart(&mut self, first: usize) {
        if self.keys.iter().skip(first).all(|key| key.renamed.is_none()) {
            self.keys.truncate(first);
            return;
        }
        let keys: Vec<Key> = self.keys.drain(first..).collect();
        let stay = keys.iter().filter(|key| key.renamed.is_none());
        let mut names: HashSet<String> = stay.map(|key| plain(self.scan.part(&key.span)).into_owned()).collect();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for edit in keys.iter().filter_map(|key| key.renamed) {
            let Some(edit) = self.edits.get_mut(edit) else { continue };
            let name = edit.text.clone();
            while !names.insert(plain(&edit.text).into_owned()) {
                let count = counts.entry(name.clone()).or_insert(1);
                *count += 1;
                edit.text = format!("{name}_{count}");
            }
        }
    }
}
