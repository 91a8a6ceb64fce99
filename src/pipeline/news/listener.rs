//! Who listens. Whatever it is told of is judged when it is told, by the configuration of that moment.

use crate::identity;
use crate::pipeline::arrival::Arrival;
use crate::pipeline::authenticate::Caller;
use crate::pipeline::authorise::Viewer;
use crate::pipeline::record::Aside;
use crate::pipeline::{Gateway, Live, clock};
use crate::secrets::Secret;
use crate::upstream::caller::Caller as Shown;
use http::{HeaderName, HeaderValue};
use portcullis_core::catalog::Catalog;
use portcullis_core::reject::Rejection;
use portcullis_core::route::Endpoint;
use portcullis_core::tool::{Kind, ToolName};
use std::net::IpAddr;
use std::sync::Arc;

/// Somebody who listens at an endpoint, for longer than one configuration may last.
pub struct Listener {
    caller: Caller,
    endpoint: String,
    protocol: &'static str,
    client: Option<IpAddr>,
    /// By which it is known, also after the configuration has changed.
    token: Option<Secret<String>>,
    /// As its upstreams are shown it.
    shown: Option<Shown>,
    /// What else they learn of its request.
    headers: Vec<(HeaderName, HeaderValue)>,
    aside: Aside,
}

impl Listener {
    /// The one who sent the request of `arrival`, in the revision `protocol`, beside which `aside` writes.
    pub fn new(arrival: &Arrival, caller: &Caller, protocol: &'static str, aside: Aside) -> Self {
        let token = identity::bearer(arrival.authorization.iter().map(HeaderValue::as_bytes)).ok().flatten();
        let fields =
            [("x-request-id", arrival.ids.request.to_string()), ("traceparent", arrival.ids.traceparent.clone())];
        let field = |(name, value): (&'static str, String)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
        };
        Self {
            caller: caller.clone(),
            endpoint: arrival.target.name().to_owned(),
            protocol,
            client: arrival.peer,
            token: token.map(|token| Secret::new(token.to_owned())),
            shown: Shown::of(&caller.principal),
            headers: fields.into_iter().filter_map(field).collect(),
            aside,
        }
    }

    /// What writes down what happens beside its request.
    pub(super) fn aside(&self) -> &Aside {
        &self.aside
    }

    /// As upstreams are shown it, so that they are heard as they answer its calls; `None` where they can't be, and must
    /// not be listened to as if it were nobody.
    pub(super) fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// What else upstreams are shown of its request.
    pub(super) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.headers.clone()
    }

    /// Who it is.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether it may be told of tasks of the tool `name`: whether there is a use of it that is allowed, as for who asks
    /// for them.
    pub(super) fn may_follow(&self, live: &Live, name: &ToolName) -> bool {
        self.viewer().may_use(live, Kind::Tool, name)
    }

    /// The endpoint as it is now.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] where there is none any more.
    pub(super) fn endpoint(&self, live: &Live) -> Result<Arc<Endpoint>, Rejection> {
        live.snapshot.routes.0.get(&self.endpoint).cloned().ok_or(Rejection::NotFound)
    }

    /// What the upstreams of the endpoint offer it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] where there is no endpoint any more.
    pub(super) async fn catalog(&self, gateway: &Gateway, live: &Live) -> Result<Arc<Catalog>, Rejection> {
        let endpoint = self.endpoint(live)?;
        Ok(gateway.catalog_of(live, &endpoint.upstreams, &self.caller.principal).await)
    }

    /// As somebody who looks at lists.
    pub(super) fn viewer(&self) -> Viewer<'_> {
        Viewer { caller: &self.caller, endpoint: &self.endpoint, protocol: self.protocol, client: self.client }
    }

    /// Takes over what a new configuration says of it.
    ///
    /// # Errors
    /// [`Rejection::Unauthenticated`] where its token is not accepted any more, or is another's.
    pub(super) async fn renew(&mut self, live: &Live) -> Result<(), Rejection> {
        if let Some(token) = &self.token {
            match live.authenticator.authenticate(token.expose(), Some(&self.endpoint), clock::now()).await {
                Ok(principal) if principal.identity() == self.caller.principal.identity() => {
                    self.caller.principal = principal;
                }
                Ok(_) => return Err(Rejection::Unauthenticated { reason: "another" }),
                // That keys can't be had now says nothing of the token.
                Err(Rejection::KeysUnavailable) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        self.caller.roles = live.snapshot.policy.roles(&self.caller.principal);
        Ok(())
    }

    /// The resource `uri` at `endpoint`, where there is one and it may be read: by the same decision as when it is.
    pub(super) fn readable(&self, live: &Live, catalog: &Catalog, endpoint: &Endpoint, uri: &str) -> Option<ToolName> {
        let name = ToolName::new(catalog.resource_owner(endpoint, uri)?, uri);
        self.may_read(live, &name).then_some(name)
    }

    /// Whether it may read the resource `name`.
    pub(super) fn may_read(&self, live: &Live, name: &ToolName) -> bool {
        self.viewer().may_read(live, name)
    }

    /// Whether the text `uri`, which an upstream wrote, may be shown to it as it is.
    pub(super) fn may_see(&self, live: &Live, uri: &str) -> bool {
        let plan = live.snapshot.redactor.plan(&self.caller.roles, None);
        let redacted = plan.text(uri);
        !live.unseen.is_in(uri.as_bytes()) && redacted.is_ok_and(|redacted| redacted.text == uri)
    }
}
