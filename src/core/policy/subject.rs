//! What an entry of a policy is about: which tools, prompts and resources it speaks of.

use crate::glob::Glob;
use crate::policy::document::Effect;
use crate::policy::request::Facts;
use crate::policy::uri::{Uri, fold};
use crate::policy::verdict::{Cause, Fault, Truth};
use crate::tool::{Kind, ToolName};

/// What an entry of a policy is about. All three `None`: everything.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    tools: Option<Vec<Glob>>,
    prompts: Option<Vec<Glob>>,
    resources: Option<Vec<ResourcePattern>>,
}

/// How an entry speaks of the tools or prompts.
pub(super) enum Naming<'a> {
    /// Not at all: it never matches one.
    Never,
    /// By their names alone.
    Exact(Vec<&'a str>),
    /// In another way: only asking tells.
    Open,
}

impl Subject {
    /// What these patterns name.
    pub fn new(tools: Option<&[String]>, prompts: Option<&[String]>, resources: Option<&[String]>) -> Self {
        let globs = |patterns: &[String]| patterns.iter().map(Glob::new).collect();
        let resource_patterns = |patterns: &[String]| patterns.iter().map(|it| ResourcePattern::new(it)).collect();
        Self { tools: tools.map(globs), prompts: prompts.map(globs), resources: resources.map(resource_patterns) }
    }

    /// Whether nothing is stated.
    pub fn is_everything(&self) -> bool {
        self.tools.is_none() && self.prompts.is_none() && self.resources.is_none()
    }

    /// Whether the rule speaks of what is asked for. A fault where that depends on how a URI is read.
    pub(super) fn judge(&self, effect: Effect, facts: &Facts<'_>) -> Truth {
        let globs = match facts.request.kind {
            _ if self.is_everything() => return Truth::True,
            Kind::Tool => self.tools.as_deref(),
            Kind::Prompt => self.prompts.as_deref(),
            Kind::Resource => return self.judge_resource(effect, facts.request.tool, facts.uri.as_ref()),
        };
        match globs {
            None => Truth::False(Cause::Kind),
            Some(globs) if globs.iter().any(|glob| glob.matches(&facts.name)) => Truth::True,
            Some(_) => Truth::False(Cause::Name),
        }
    }

    /// The same of an entry that has no rule around it: whether it speaks of `named`, or, where that is `None`, of what
    /// has no name. Where that depends on how a URI is read, an entry that permits does not, and any other does.
    pub fn covers(&self, permits: bool, named: Option<(Kind, &ToolName)>) -> bool {
        let globs = match named {
            _ if self.is_everything() => return true,
            None => return false,
            Some((Kind::Tool, _)) => &self.tools,
            Some((Kind::Prompt, _)) => &self.prompts,
            Some((Kind::Resource, name)) => {
                let effect = if permits { Effect::Allow } else { Effect::Deny };
                let uri = self.resources.is_some().then(|| Uri::new(&name.tool));
                return match self.judge_resource(effect, name, uri.as_ref()) {
                    Truth::True => true,
                    Truth::Fault(_) => !permits,
                    Truth::False(_) | Truth::Unknown => false,
                };
            }
        };
        let written = named.map(|(_, name)| name.to_string()).unwrap_or_default();
        globs.iter().flatten().any(|glob| glob.matches(&written))
    }

    fn judge_resource(&self, effect: Effect, name: &ToolName, uri: Option<&Uri>) -> Truth {
        let (Some(patterns), Some(uri)) = (&self.resources, uri) else { return Truth::False(Cause::Kind) };
        let mut of_upstream = patterns.iter().filter(|pattern| pattern.upstream.matches(&name.upstream)).peekable();
        match uri.ambiguous {
            Some(reason) if of_upstream.peek().is_some() => {
                if of_upstream.any(|pattern| pattern.names(&name.tool)) {
                    Truth::True
                } else {
                    Truth::Fault(Cause::Uri(Fault::Ambiguous(reason)))
                }
            }
            _ if of_upstream.any(|pattern| pattern.matches(effect, &name.tool, uri)) => Truth::True,
            _ => Truth::False(Cause::Name),
        }
    }

    /// Whether it may speak of something that `upstream` offers. May err on the side of yes.
    pub fn concerns(&self, upstream: &str) -> bool {
        let begins = format!("{upstream}.");
        let may_match = |glob: &Glob| {
            let literal = glob.as_str().split(['*', '?']).next().unwrap_or_default();
            literal.starts_with(&begins) || begins.starts_with(literal)
        };
        self.is_everything()
            || self.tools.iter().chain(&self.prompts).flatten().any(may_match)
            || self.resources.iter().flatten().any(|pattern| pattern.upstream.matches(upstream))
    }

    /// How it speaks of things of `kind`. May be taken for open where it is not.
    pub(super) fn naming(&self, kind: Kind) -> Naming<'_> {
        let globs = match kind {
            _ if self.is_everything() => return Naming::Open,
            Kind::Tool => &self.tools,
            Kind::Prompt => &self.prompts,
            Kind::Resource => return Naming::Open,
        };
        match globs {
            None => Naming::Never,
            Some(globs) if globs.iter().all(Glob::is_literal) => {
                Naming::Exact(globs.iter().map(Glob::as_str).collect())
            }
            Some(_) => Naming::Open,
        }
    }

    /// The patterns for things of `kind`, as written.
    pub fn patterns(&self, kind: Kind) -> Vec<String> {
        let written = |globs: &Option<Vec<Glob>>| globs.iter().flatten().map(ToString::to_string).collect();
        match kind {
            Kind::Tool => written(&self.tools),
            Kind::Prompt => written(&self.prompts),
            Kind::Resource => self.resources.iter().flatten().map(|pattern| pattern.written.clone()).collect(),
        }
    }

    /// The kinds it speaks of.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let speaks = |kind: &Kind| {
            self.is_everything()
                || match kind {
                    Kind::Tool => self.tools.is_some(),
                    Kind::Prompt => self.prompts.is_some(),
                    Kind::Resource => self.resources.is_some(),
                }
        };
        Kind::ALL.into_iter().filter(speaks)
    }
}

/// Why `pattern` can match nothing of `kind`, and what to write instead; `None` where it may.
pub(crate) fn flaw(kind: Kind, pattern: &str) -> Option<(String, String)> {
    let (what, part) = (kind.as_str(), if kind == Kind::Resource { "uri" } else { kind.as_str() });
    let form = format!("write `upstream.{part}`, or `*.{part}`");
    let split = pattern.split_once('.');
    // A URI may hold dots: what stands before the first one of `*file:///a.txt` is no upstream's name.
    let Some((upstream, name)) = split.filter(|(upstream, _)| !upstream.contains([':', '/'])) else {
        let hint = if pattern == "*" { format!("write `*.*` for every {what}") } else { form };
        return Some((format!("`{pattern}` names no upstream: {what}s are called `upstream.{part}`"), hint));
    };
    let lacks = upstream.is_empty() || name.is_empty();
    lacks.then(|| (format!("`{pattern}` matches no {what}: a part of the name is empty"), form))
}

/// A pattern over `upstream.uri`. The two are matched one by one: a URI is the caller's to write, and what stands in it
/// must not be taken for another upstream's name.
#[derive(Debug)]
struct ResourcePattern {
    written: String,
    upstream: Glob,
    uri: Glob,
    folded: Glob,
}

impl ResourcePattern {
    fn new(written: &str) -> Self {
        let (upstream, uri) = written.split_once('.').unwrap_or((written, ""));
        let (upstream, folded) = (Glob::new(upstream), Glob::new(fold(uri)));
        Self { written: written.to_owned(), upstream, uri: Glob::new(uri), folded }
    }

    /// Whether it means `uri` however that is read: it is the same text, or any will do.
    fn names(&self, uri: &str) -> bool {
        self.uri.as_str() == "*" || (self.uri.is_literal() && self.uri.matches(uri))
    }

    fn matches(&self, effect: Effect, written: &str, uri: &Uri) -> bool {
        let forbids = effect != Effect::Allow;
        self.uri.matches(written) || (forbids && uri.folded.iter().any(|folded| self.folded.matches(folded)))
    }
}
