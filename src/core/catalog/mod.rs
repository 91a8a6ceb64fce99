//! What upstreams offer, as it was last seen: what lists show, what arguments are checked against, and whose a name or
//! URI is.
//!
//! Built from an upstream's own lists by `upstream::discover`; nothing here asks an upstream. A definition that changed
//! since it was pinned is held back: it is in no list and can't be found, but its absence has a reason of its own.
//!
//! On an endpoint of several upstreams, tools and prompts are called `upstream.name`. URIs of resources stay what they
//! are, since clients and models read and compare them, and the same URI of two upstreams is that of the one which the
//! endpoint names first, whoever asks: what a URI means must not depend on who may read what.

mod about;
mod definition;
mod list;
mod listed;
mod pin;
mod prompt;
mod resource;
mod template;
mod tool;

#[cfg(test)]
mod tests;

pub use about::{About, Offers};
pub use definition::{Canonical, DEFINITION};
pub use list::{Listing, PAGE};
pub use listed::{Absent, Item, Listed};
pub use pin::{Change, PinKind, changes};
pub use prompt::Prompt;
pub use resource::{Resource, Template};
pub use template::Pattern;
pub use tool::Tool;

use crate::reject::Era;
use crate::route::Endpoint;
use crate::time::Timestamp;
use crate::tool::{Kind, ToolName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// When each kind of list last changed, in changes of the whole catalogue; 0 for never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    /// Of tools.
    pub tools: u64,
    /// Of prompts.
    pub prompts: u64,
    /// Of resources and their templates.
    pub resources: u64,
}

impl Generation {
    /// The later of both, kind by kind.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            tools: self.tools.max(other.tools),
            prompts: self.prompts.max(other.prompts),
            resources: self.resources.max(other.resources),
        }
    }
}

/// What one upstream offers.
#[derive(Debug, Clone)]
pub struct UpstreamCatalog {
    /// The family of revisions that it speaks.
    pub era: Era,
    /// What it says of itself.
    pub about: About,
    /// Its tools, by their own names.
    pub tools: Listed<Tool>,
    /// Its prompts, by their own names.
    pub prompts: Listed<Prompt>,
    /// Its resources, by URI.
    pub resources: Listed<Resource>,
    /// Its templates of resources, by template.
    pub templates: Listed<Template>,
    /// Until when all this is as good as new by the upstream's own word; `None` where it gave none.
    pub fresh_until: Option<Timestamp>,
    /// When its lists last changed.
    pub generation: Generation,
    /// Where each caller has lists of their own: how many definitions are held back from some caller.
    pub held_from_some: usize,
}

impl UpstreamCatalog {
    /// Keeps what `keeps` says of, by kind and name or URI, and forgets the rest.
    pub fn retain(&mut self, keeps: impl Fn(Kind, &str) -> bool) {
        self.tools.retain(|name| keeps(Kind::Tool, name));
        self.prompts.retain(|name| keeps(Kind::Prompt, name));
        self.resources.retain(|uri| keeps(Kind::Resource, uri));
        self.templates.retain(|template| keeps(Kind::Resource, template));
    }

    /// An upstream of which nothing but the era is known yet.
    pub fn new(era: Era) -> Self {
        Self {
            era,
            about: About::default(),
            tools: Listed::default(),
            prompts: Listed::default(),
            resources: Listed::default(),
            templates: Listed::default(),
            fresh_until: None,
            generation: Generation::default(),
            held_from_some: 0,
        }
    }

    /// The same as the successor of `before`: what changed gets the number `change`.
    #[must_use]
    pub fn after(mut self, before: Option<&Self>, change: u64) -> Self {
        let Some(before) = before else {
            self.generation = Generation { tools: change, prompts: change, resources: change };
            return self;
        };
        let since = |same: bool, before: u64| if same { before } else { change };
        let tools = self.tools.is_same(&before.tools);
        let prompts = self.prompts.is_same(&before.prompts);
        let resources = self.resources.is_same(&before.resources) && self.templates.is_same(&before.templates);
        self.generation = Generation {
            tools: since(tools, before.generation.tools),
            prompts: since(prompts, before.generation.prompts),
            resources: since(resources, before.generation.resources),
        };
        self
    }

    /// How many definitions are held back.
    pub fn held(&self) -> usize {
        let own = self.tools.held().len() + self.prompts.held().len();
        own + usize::from(self.about.instructions_held) + self.held_from_some
    }
}

/// What all upstreams offer; an upstream that was never reached is missing.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    /// By name.
    pub upstreams: BTreeMap<String, Arc<UpstreamCatalog>>,
}

/// One of the lists of an upstream.
type List<T> = fn(&UpstreamCatalog) -> &Listed<T>;

impl Catalog {
    /// The tool `name`, where its upstream offers it.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn tool(&self, name: &ToolName) -> Result<&Arc<Tool>, Absent> {
        self.upstreams.get(&name.upstream).ok_or(Absent::NeverListed)?.tools.get(&name.tool)
    }

    /// The prompt `name`, where its upstream offers it.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn prompt(&self, name: &ToolName) -> Result<&Arc<Prompt>, Absent> {
        self.upstreams.get(&name.upstream).ok_or(Absent::NeverListed)?.prompts.get(&name.tool)
    }

    /// The family of revisions that `upstream` speaks; `None` where it was never reached.
    pub fn era(&self, upstream: &str) -> Option<Era> {
        self.upstreams.get(upstream).map(|upstream| upstream.era)
    }

    /// Whose `uri` is on `endpoint`: that of the only upstream, or of the first that lists it, or of the first with a
    /// template for it.
    pub fn resource_owner<'a>(&self, endpoint: &'a Endpoint, uri: &str) -> Option<&'a str> {
        if let [only] = endpoint.upstreams.as_slice() {
            // One that has no resources is not asked for any.
            let has_some = |upstream: &Arc<UpstreamCatalog>| upstream.about.declares("resources");
            return self.upstreams.get(only).is_none_or(has_some).then_some(only);
        }
        let first = |owns: &dyn Fn(&UpstreamCatalog) -> bool| {
            endpoint.upstreams.iter().find(|name| self.upstreams.get(*name).is_some_and(|upstream| owns(upstream)))
        };
        let listed = first(&|upstream| upstream.resources.get(uri).is_ok());
        let owner = listed
            // A template itself: arguments of it can be completed.
            .or_else(|| first(&|upstream| upstream.templates.get(uri).is_ok()))
            .or_else(|| first(&|upstream| upstream.templates.offered().any(|template| template.pattern.matches(uri))));
        owner.map(String::as_str)
    }

    /// The tools of `endpoint`, those of one upstream after those of another.
    pub fn tools<'a>(&'a self, endpoint: &'a Endpoint) -> impl Iterator<Item = &'a Arc<Tool>> {
        self.members(endpoint).flat_map(|upstream| upstream.tools.offered())
    }

    /// The prompts of `endpoint`, in the same order.
    pub fn prompts<'a>(&'a self, endpoint: &'a Endpoint) -> impl Iterator<Item = &'a Arc<Prompt>> {
        self.members(endpoint).flat_map(|upstream| upstream.prompts.offered())
    }

    /// The resources of `endpoint`, in the same order; each URI once, as [`Catalog::resource_owner`] has it.
    pub fn resources<'a>(&'a self, endpoint: &'a Endpoint) -> impl Iterator<Item = &'a Arc<Resource>> {
        let mut seen = BTreeSet::new();
        let all = self.members(endpoint).flat_map(|upstream| upstream.resources.offered());
        all.filter(move |resource| seen.insert(resource.name.tool.as_str()))
    }

    /// The templates of `endpoint`, in the same order; each once.
    pub fn templates<'a>(&'a self, endpoint: &'a Endpoint) -> impl Iterator<Item = &'a Arc<Template>> {
        let mut seen = BTreeSet::new();
        let all = self.members(endpoint).flat_map(|upstream| upstream.templates.offered());
        all.filter(move |template| seen.insert(template.name.tool.as_str()))
    }

    fn members<'a>(&'a self, endpoint: &'a Endpoint) -> impl Iterator<Item = &'a Arc<UpstreamCatalog>> {
        endpoint.upstreams.iter().filter_map(|name| self.upstreams.get(name))
    }

    /// Whether the list of each member of `endpoint` is known.
    pub fn is_whole<T>(&self, endpoint: &Endpoint, list: List<T>) -> bool {
        let known = |name| self.upstreams.get(name).is_some_and(|upstream| list(upstream).is_known());
        endpoint.upstreams.iter().all(known)
    }

    /// When the lists of `endpoint` last changed.
    pub fn generation(&self, endpoint: &Endpoint) -> Generation {
        self.members(endpoint).fold(Generation::default(), |latest, upstream| latest.max(upstream.generation))
    }

    /// Until when the lists of `endpoint` are as good as new; `None` where a member does not say.
    pub fn fresh_until(&self, endpoint: &Endpoint) -> Option<Timestamp> {
        let known = |name| self.upstreams.get(name)?.fresh_until;
        endpoint.upstreams.iter().map(known).min().flatten()
    }

    /// What the members of `endpoint` can do between them.
    pub fn offers(&self, endpoint: &Endpoint) -> Offers {
        let of = |name| {
            self.upstreams.get(name).map_or(Offers::UNKNOWN, |upstream: &Arc<UpstreamCatalog>| upstream.about.offers())
        };
        endpoint.upstreams.iter().map(of).fold(Offers::default(), Offers::or)
    }

    /// The URIs and templates that more than one member of `endpoint` has, with those members, the owner first.
    pub fn clashes<'a>(&'a self, endpoint: &'a Endpoint) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for upstream in self.members(endpoint) {
            let resources = upstream.resources.offered().map(|resource| &resource.name);
            for name in resources.chain(upstream.templates.offered().map(|template| &template.name)) {
                let owners = owners.entry(&name.tool).or_default();
                if owners.last() != Some(&name.upstream.as_str()) {
                    owners.push(&name.upstream);
                }
            }
        }
        owners.retain(|_, owners| owners.len() > 1);
        owners
    }
}
