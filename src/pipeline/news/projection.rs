//! What a caller may see of an endpoint's lists, so short that it can be kept and compared: a caller is told of a change
//! where what it may see has changed, and of no other.

use crate::pipeline::Live;
use crate::pipeline::authorise::Viewer;
use portcullis_core::catalog::Catalog;
use portcullis_core::mcp::news::{Interests, News};
use portcullis_core::reject::Era;
use portcullis_core::route::Endpoint;
use portcullis_core::tool::{Kind, ToolName};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The digest of a list as one caller sees it; `None` where nobody asked for it.
type List = Option<[u8; 32]>;

/// The lists as one caller sees them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Projection {
    tools: List,
    prompts: List,
    resources: List,
}

impl Projection {
    /// Of those lists of `endpoint` that `interests` name.
    pub fn of(live: &Live, catalog: &Catalog, endpoint: &Endpoint, viewer: &Viewer<'_>, interests: &Interests) -> Self {
        let qualified = endpoint.is_aggregate();
        let tools = catalog.tools(endpoint).map(|tool| (&tool.name, tool.definition(qualified, Era::Modern)));
        let prompts = catalog.prompts(endpoint).map(|prompt| (&prompt.name, prompt.definition(qualified)));
        let resources = catalog.resources(endpoint).map(|resource| (&resource.name, resource.definition.as_slice()));
        let templates = catalog.templates(endpoint).map(|template| (&template.name, template.definition.as_slice()));
        let seen = |kind| move |(name, _): &(&ToolName, &[u8])| viewer.sees(live, kind, name);
        Self {
            tools: interests.tools.then(|| digest(tools.filter(seen(Kind::Tool)))),
            prompts: interests.prompts.then(|| digest(prompts.filter(seen(Kind::Prompt)))),
            resources: interests.resources.then(|| digest(resources.chain(templates).filter(seen(Kind::Resource)))),
        }
    }

    /// What somebody who knows `self` must be told for `now` to be known.
    pub fn news(self, now: Self) -> BTreeSet<News> {
        let lists = [
            (self.tools != now.tools, News::Tools),
            (self.prompts != now.prompts, News::Prompts),
            (self.resources != now.resources, News::Resources),
        ];
        lists.into_iter().filter(|(changed, _)| *changed).map(|(_, news)| news).collect()
    }
}

fn digest<'a>(items: impl Iterator<Item = (&'a ToolName, &'a [u8])>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (_, definition) in items {
        digest.update((definition.len() as u64).to_be_bytes());
        digest.update(definition);
    }
    digest.finalize().into()
}
