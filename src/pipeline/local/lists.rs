//! Lists: projections of the catalogue for one caller. No upstream is asked.
//!
//! A list holds what the caller may use. Its pages go through the catalogue in the catalogue's order, whoever looks, so
//! that a cursor means the same place as long as nothing comes or goes; then it means nothing any more, and the client
//! begins anew.

use super::Question;
use crate::pipeline::authorise::Viewer;
use crate::pipeline::reply::{Reply, rpc_response_raw};
use crate::pipeline::{clock, job};
use bytes::Bytes;
use portcullis_core::catalog::{Item, Listing, PAGE, Prompt, Resource, Template, Tool};
use portcullis_core::jsonrpc::{self, Limits};
use portcullis_core::mcp::extension::{self, TASKS};
use portcullis_core::mcp::rewrite;
use portcullis_core::redact::{Failure, Plan};
use portcullis_core::reject::{Era, Rejection};
use portcullis_core::route::{OWN, Partial};
use portcullis_core::tool::{Kind, ToolName};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::time::Duration;

/// The longest time for which a list is said to be as good as new: policy may change.
const FRESH: Duration = Duration::from_secs(60);

/// What the seal of a cursor is for.
const PURPOSE: &str = "cursor";

/// Something on a list: its name, and its definition for this caller.
type Entry<'a> = (&'a ToolName, &'a [u8]);

/// Which list is asked for.
struct Which<'a> {
    method: &'static str,
    key: &'static str,
    kind: Kind,
    /// Whether all upstreams have given theirs.
    whole: bool,
    cursor: Option<&'a str>,
}

impl<'a> Which<'a> {
    fn of<T: Item>(kind: Kind, whole: bool, cursor: Option<&'a str>) -> Self {
        Self { method: T::METHOD, key: T::KEY, kind, whole, cursor }
    }
}

impl Question<'_> {
    pub(super) fn tools(&self, cursor: Option<&str>) -> Result<Reply, Rejection> {
        let catalog = &self.catalog;
        let whole = catalog.is_whole(self.endpoint, |upstream| &upstream.tools);
        let which = Which::of::<Tool>(Kind::Tool, whole, cursor);
        let (qualified, era) = (self.endpoint.is_aggregate(), self.request.message.era);
        let tools = catalog.tools(self.endpoint);
        let tools: Vec<_> = tools.map(|tool| (&tool.name, self.shown(tool, tool.definition(qualified, era)))).collect();
        let items = tools.iter().map(|(name, definition)| (*name, definition.as_ref()));
        let own = job::may_use_any(self.live, self.viewer(), self.endpoint, catalog).then(job::definition);
        // It comes last, so that no cursor depends on it.
        let own = own.iter().map(|(name, definition)| (name, definition.as_slice()));
        self.list(&which, &items.chain(own).collect::<Vec<_>>())
    }

    /// `definition` of `tool` as the caller finds it. Where its calls become jobs and the caller knows no tasks, what answers a
    /// call is not what the tool's own schema says, and a client would take that for a fault.
    fn shown<'a>(&self, tool: &Tool, definition: &'a [u8]) -> Cow<'a, [u8]> {
        let is_told_later = self.live.snapshot.policy.traits(&tool.name).job
            && (self.request.message.era == Era::Legacy || !extension::is_declared(self.request.capabilities(), TASKS));
        let parsed = is_told_later.then(|| jsonrpc::parse_value(definition, &Limits::ANSWER).ok().flatten()).flatten();
        match parsed.map(|object| rewrite::change(&object, &[], &["outputSchema"])) {
            Some(edits) if !edits.is_empty() => Cow::Owned(rewrite::splice(definition, edits)),
            _ => Cow::Borrowed(definition),
        }
    }

    pub(super) fn prompts(&self, cursor: Option<&str>) -> Result<Reply, Rejection> {
        let catalog = &self.catalog;
        let whole = catalog.is_whole(self.endpoint, |upstream| &upstream.prompts);
        let which = Which::of::<Prompt>(Kind::Prompt, whole, cursor);
        let qualified = self.endpoint.is_aggregate();
        let items = catalog.prompts(self.endpoint).map(|prompt| (&prompt.name, prompt.definition(qualified)));
        self.list(&which, &items.collect::<Vec<_>>())
    }

    pub(super) fn resources(&self, cursor: Option<&str>) -> Result<Reply, Rejection> {
        let catalog = &self.catalog;
        let whole = catalog.is_whole(self.endpoint, |upstream| &upstream.resources);
        let which = Which::of::<Resource>(Kind::Resource, whole, cursor);
        let items = catalog.resources(self.endpoint).map(|resource| (&resource.name, resource.definition.as_slice()));
        self.list(&which, &items.collect::<Vec<_>>())
    }

    pub(super) fn templates(&self, cursor: Option<&str>) -> Result<Reply, Rejection> {
        let catalog = &self.catalog;
        let whole = catalog.is_whole(self.endpoint, |upstream| &upstream.templates);
        let which = Which::of::<Template>(Kind::Resource, whole, cursor);
        let items = catalog.templates(self.endpoint).map(|template| (&template.name, template.definition.as_slice()));
        self.list(&which, &items.collect::<Vec<_>>())
    }

    /// Whether the caller may know of `name`.
    pub(super) fn sees(&self, kind: Kind, name: &ToolName) -> bool {
        self.viewer().sees(self.live, kind, name)
    }

    /// The caller, as somebody who looks at lists.
    pub(super) fn viewer(&self) -> Viewer<'_> {
        let (caller, protocol) = (&*self.request.caller, self.request.protocol());
        Viewer { caller, endpoint: &self.endpoint.name, protocol, client: self.arrival.peer }
    }

    /// What is redacted in what upstreams say of what they offer. Fields are those of answers, and mean nothing here.
    pub(super) fn plan(&self) -> Plan {
        self.live.snapshot.redactor.plan(&self.request.caller.roles, None).without_fields()
    }

    fn list(&self, which: &Which<'_>, all: &[Entry<'_>]) -> Result<Reply, Rejection> {
        if self.endpoint.partial == Partial::Refuse && !which.whole {
            return Err(Rejection::UpstreamUnavailable);
        }
        let start = which.cursor.map_or(Ok(0), |cursor| self.open(which, all, cursor))?;
        let rest = all.iter().enumerate().skip(start);
        let mut seen = rest.filter(|(_, (name, _))| name.upstream == OWN || self.sees(which.kind, name));
        let page: Vec<_> = seen.by_ref().take(PAGE).collect();
        let next = match (seen.next(), page.last()) {
            (Some(_), Some((last, _))) => Some(self.seal(which, all, last + 1)?),
            _ => None,
        };
        let listing =
            Listing { key: which.key, era: self.request.message.era, ttl: self.fresh_for(), next: next.as_deref() };
        let items: Vec<_> = page.into_iter().map(|(_, item)| *item).collect();
        self.written(&listing, &items).map(|body| Reply::json(200, body))
    }

    /// How long the lists of the endpoint last, by the word of all upstreams.
    fn fresh_for(&self) -> Duration {
        let until = self.catalog.fresh_until(self.endpoint);
        let left = until.map_or(0, |until| until.millis().saturating_sub(clock::now().millis()));
        Duration::from_millis(u64::try_from(left).unwrap_or_default()).min(FRESH)
    }

    /// The answer with `items`. One that may not be passed on is left out, so that it keeps nobody from the others.
    fn written(&self, listing: &Listing<'_>, items: &[Entry<'_>]) -> Result<Bytes, Rejection> {
        let plan = self.plan();
        let write = |items: &[Entry<'_>]| {
            let list = listing.write(items.iter().map(|(_, definition)| *definition));
            self.checked(&plan, &rpc_response_raw(self.request.id().as_deref(), "result", &list))
        };
        write(items).or_else(|_| {
            let passes = |item: &&Entry<'_>| {
                let (name, definition) = item;
                let refused = self.checked(&plan, definition).err();
                if let Some(reason) = &refused {
                    let reason = reason.row().label;
                    tracing::warn!(%name, reason, "a definition may not be passed on, and is left out of a list");
                }
                refused.is_none()
            };
            write(&items.iter().filter(passes).copied().collect::<Vec<_>>())
        })
    }

    /// `json` without what the caller may not see.
    fn checked(&self, plan: &Plan, json: &[u8]) -> Result<Bytes, Rejection> {
        // Upstreams are shown it when they are asked for their lists, too.
        if self.live.unseen.is_in(json) {
            return Err(Rejection::ResponseBlocked);
        }
        let redacted = plan.json(json).map_err(|failure| match failure {
            Failure::Blocked { .. } => Rejection::ResponseBlocked,
            _ => Rejection::ResponseUnreadable("redaction"),
        })?;
        Ok(redacted.bytes.into_owned().into())
    }

    /// A cursor for the place `place` of `all`.
    fn seal(&self, which: &Which<'_>, all: &[Entry<'_>], place: usize) -> Result<String, Rejection> {
        let place = (place as u64).to_be_bytes();
        let seal = |bound: &[&[u8]]| self.live.seal.seal(PURPOSE, bound, &place);
        self.bound(which, all, seal).ok_or(Rejection::Internal)
    }

    /// The place that `cursor` means.
    fn open(&self, which: &Which<'_>, all: &[Entry<'_>], cursor: &str) -> Result<usize, Rejection> {
        let open = |bound: &[&[u8]]| self.live.seal.open(PURPOSE, bound, cursor);
        let place = self.bound(which, all, open).and_then(|place| place.try_into().ok().map(u64::from_be_bytes));
        let unknown = || Rejection::InvalidParams("unknown cursor; ask for the list without one".into());
        place.and_then(|place| usize::try_from(place).ok()).ok_or_else(unknown)
    }

    /// Runs `with` what a cursor is bound to: who asks, where, for what, by which configuration, and in which order all
    /// that there is comes. Another replica of the gateway, with the same configuration and key, finds the same.
    fn bound<T>(&self, which: &Which<'_>, all: &[Entry<'_>], with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let mut order = Sha256::new();
        for (name, _) in all {
            let name = name.to_string();
            order.update((name.len() as u64).to_be_bytes());
            order.update(name);
        }
        let (principal, order) = (self.request.caller.principal.identity(), order.finalize());
        let revision = self.live.snapshot.revision.as_bytes();
        with(&[&principal, self.endpoint.name.as_bytes(), which.method.as_bytes(), revision, &order])
    }
}
