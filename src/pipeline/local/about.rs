//! What an endpoint says of itself: what its upstreams can do between them, and their words for a model.
//!
//! The name and the revisions are the gateway's own. Words of an upstream are for those who may use something of it.

use super::Question;
use crate::pipeline::job;
use crate::upstream::CLIENT_INFO;
use portcullis_core::catalog::{Offers, UpstreamCatalog};
use portcullis_core::mcp::META_SERVER;
use portcullis_core::mcp::extension::TASKS;
use portcullis_core::mcp::version::Version;
use portcullis_core::reject::Era;
use serde_json::{Map, Value, json};

/// How long discovery is as good as new where all upstreams are known, in milliseconds.
const FRESH: u64 = 60_000;

impl Question<'_> {
    /// The result of `initialize`.
    pub(super) fn handshake(&self, version: Version) -> Value {
        let mut result = json!({
            "protocolVersion": version.as_str(), "capabilities": self.capabilities(), "serverInfo": server_info(),
        });
        self.instruct(&mut result);
        result
    }

    /// The result of `server/discover` (MCP 2026-07-28 "Discovery").
    pub(super) fn discovery(&self) -> Value {
        let catalog = &self.catalog;
        let known = self.endpoint.upstreams.iter().all(|name| catalog.upstreams.contains_key(name));
        let mut result = json!({
            "resultType": "complete",
            "supportedVersions": Version::ALL.map(Version::as_str),
            "capabilities": self.capabilities(),
            "ttlMs": if known { FRESH } else { 0 },
            // The words in it are those that this caller may read.
            "cacheScope": "private",
            "_meta": { META_SERVER: server_info() },
        });
        self.instruct(&mut result);
        result
    }

    fn capabilities(&self) -> Value {
        let offers = self.catalog.offers(self.endpoint);
        let jobs = job::may_use_any(self.live, self.viewer(), self.endpoint, &self.catalog);
        let waits = || job::waiting::may_wait(self.live, self.viewer(), self.endpoint, &self.catalog);
        capabilities(Offers { tasks: offers.tasks || jobs || waits(), ..offers }, self.request.message.era)
    }

    fn instruct(&self, result: &mut Value) {
        let text = self.instructions();
        if let (false, Some(result)) = (text.is_empty(), result.as_object_mut()) {
            result.insert("instructions".into(), text.into());
        }
    }

    /// The words of each upstream of which the caller may use something, as far as they pass redaction.
    fn instructions(&self) -> String {
        let catalog = &self.catalog;
        let plan = self.plan();
        let mut words = Vec::new();
        for (name, upstream) in self.endpoint.upstreams.iter().filter_map(|name| catalog.upstreams.get_key_value(name))
        {
            let Some(text) = upstream.about.shown_instructions().filter(|_| self.sees_any(upstream)) else { continue };
            let redacted = plan.text(text).ok().filter(|_| !self.live.unseen.is_in(text.as_bytes()));
            let Some(text) = redacted.map(|redacted| redacted.text.into_owned()) else { continue };
            words.push(if self.endpoint.is_aggregate() { format!("# {name}\n\n{text}") } else { text });
        }
        words.join("\n\n")
    }

    fn sees_any(&self, upstream: &UpstreamCatalog) -> bool {
        self.viewer().sees_any(self.live, upstream)
    }
}

fn server_info() -> Value {
    serde_json::from_slice(CLIENT_INFO).unwrap_or_default()
}

/// What of `offers` goes through the gateway. Tools are said to be there in any case, as they are what it is for. All
/// lists tell of their changes, those of policy among them. From which level on there are log messages is a thing of older
/// sessions.
fn capabilities(offers: Offers, era: Era) -> Value {
    let list = |subscribe: bool| match subscribe {
        false => json!({ "listChanged": true }),
        true => json!({ "listChanged": true, "subscribe": true }),
    };
    let kinds = [
        ("tools", true, list(false)),
        ("prompts", offers.prompts, list(false)),
        ("resources", offers.resources, list(offers.subscribe)),
        ("completions", offers.completions, json!({})),
        ("logging", offers.logging && era == Era::Legacy, json!({})),
    ];
    let extensions = json!({ TASKS: {} });
    let kinds = kinds.into_iter().chain([("extensions", offers.tasks && era == Era::Modern, extensions)]);
    let served = kinds.filter(|(_, offered, _)| *offered);
    Value::Object(served.map(|(kind, _, how)| (kind.to_owned(), how)).collect::<Map<_, _>>())
}
