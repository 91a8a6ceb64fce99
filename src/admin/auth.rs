//! Who an operator is: a bearer token, or the login of the console's session. What they may do is asked of policy, at
//! each request.
//!
//! A handler that takes an [`Operator`] is reached by people we know alone; everybody else gets 401. A browser that is
//! logged in must show with each change that it is our page that asks, and not another that it happens to show.

use crate::admin::Admin;
use crate::admin::problem::Problem;
use crate::admin::session::{self, Session};
use crate::identity;
use crate::pipeline::{Live, clock};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use portcullis_core::policy::Power;
use portcullis_core::principal::{Principal, RoleSet};
use portcullis_core::reject::Rejection;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The header in which scripts of the console bring along what forms bring along in a field.
const CSRF: &str = "x-csrf-token";

/// A person whom we know. What they may do is another question: [`Operator::require`].
#[derive(Clone)]
pub struct Operator {
    /// Who.
    pub principal: Arc<Principal>,
    /// The roles that policy knows of them, inherited ones included.
    pub roles: RoleSet,
    /// The configuration by which this request is judged.
    pub live: Arc<Live>,
    peer: Peer,
    shown: Shown,
}

/// What an operator has shown.
#[derive(Clone)]
enum Shown {
    /// A token.
    Token,
    /// What the browser of somebody who is logged in keeps.
    Login(String),
}

/// The address that a request came from, where it is known.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<SocketAddr>);

impl Peer {
    /// Without the port.
    pub fn address(self) -> Option<IpAddr> {
        self.0.map(|peer| peer.ip())
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)))
    }
}

impl Operator {
    fn new(principal: Arc<Principal>, live: Arc<Live>, peer: Peer, shown: Shown) -> Self {
        let roles = live.snapshot.policy.roles(&principal);
        Self { principal, roles, live, peer, shown }
    }

    /// The address that they ask from, where it is known.
    pub fn address(&self) -> Option<IpAddr> {
        self.peer.address()
    }

    /// The same person by what holds now; `None` where they would not be let in any more.
    pub fn again(&self, admin: &Admin) -> Option<Self> {
        let live = admin.gateway.live.load_full();
        let holds = match &self.shown {
            Shown::Token => self.principal.expires_at.is_none_or(|end| clock::now() < end),
            Shown::Login(key) => admin.sessions.find(key, clock::now()).is_some(),
        };
        let known = live.snapshot.gateway.issuers.iter().any(|issuer| issuer.issuer == self.principal.issuer);
        (holds && known).then(|| Self::new(Arc::clone(&self.principal), live, self.peer, self.shown.clone()))
    }

    /// Whether `operators` of policy.yaml gives them the power.
    pub fn may(&self, power: Power) -> bool {
        self.live.snapshot.policy.operators().may(&self.roles, power)
    }

    /// The same, as a refusal.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, power: Power) -> Result<(), Problem> {
        match power {
            _ if self.may(power) => Ok(()),
            Power::Read => Err(Problem::forbidden("Your roles are not among `operators.read` of policy.yaml")),
            Power::Manage => Err(Problem::forbidden("Your roles are not among `operators.manage` of policy.yaml")),
        }
    }
}

impl FromRequestParts<Admin> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let live = admin.gateway.live.load_full();
        let Ok(peer) = Peer::from_request_parts(parts, admin).await;
        let tokens = parts.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        if let Some(token) = identity::bearer(tokens)? {
            let principal = verify(admin, &live, token, peer).await?;
            return Ok(Self::new(principal, live, peer, Shown::Token));
        }
        let visitor = Visitor::of(admin, &parts.headers, peer).ok_or_else(Problem::unauthenticated)?;
        let changes = parts.method != Method::GET && parts.method != Method::HEAD;
        let csrf = parts.headers.get(CSRF).and_then(|csrf| csrf.to_str().ok()).unwrap_or_default();
        if changes && !visitor.session.is_ours(csrf) {
            return Err(Problem::forbidden("A change by a browser needs the header X-CSRF-Token; scripts use a token"));
        }
        Ok(visitor.operator)
    }
}

/// An operator whose browser is logged in. Whatever they change, its form must have shown [`Session::is_ours`] before.
pub struct Visitor {
    /// Who.
    pub operator: Operator,
    /// Their login.
    pub session: Arc<Session>,
}

impl Visitor {
    /// Whose browser sends these headers, where the login still holds: its issuer must still be one whose tokens are
    /// accepted.
    pub fn of(admin: &Admin, headers: &HeaderMap, peer: Peer) -> Option<Self> {
        let live = admin.gateway.live.load_full();
        let settings = &live.snapshot.gateway;
        let key = session::cookie(headers, session::cookie_name(&settings.console))?;
        let session = admin.sessions.find(key, clock::now())?;
        let shown = Shown::Login(key.to_owned());
        let known = settings.issuers.iter().any(|issuer| issuer.issuer == session.principal.issuer);
        known.then(|| {
            let operator = Operator::new(Arc::clone(&session.principal), Arc::clone(&live), peer, shown);
            Self { operator, session }
        })
    }

    /// Whether a form is one of ours.
    ///
    /// # Errors
    /// 403.
    pub fn check(&self, csrf: &str) -> Result<(), Problem> {
        let ours = self.session.is_ours(csrf);
        ours.then_some(())
            .ok_or_else(|| Problem::forbidden("This form is an old one; go back, reload the page, and try again"))
    }
}

/// Who shows `token`. It must be meant for the console: what a client has for the gateway is no key to this side.
///
/// # Errors
/// It is no such token, or its sender has shown too many that were none.
pub async fn verify(admin: &Admin, live: &Live, token: &str, Peer(peer): Peer) -> Result<Arc<Principal>, Rejection> {
    let now = clock::now();
    if let Some(known) = live.operators.recall(token, None, now) {
        return Ok(known);
    }
    let (guard, rate) = (&admin.gateway.bad_tokens, live.snapshot.gateway.edge.bad_tokens);
    if let Some(peer) = peer {
        guard.check(peer.ip(), rate)?;
    }
    live.operators.authenticate(token, None, now).await.inspect_err(|rejection| {
        if let (Rejection::Unauthenticated { .. }, Some(peer)) = (rejection, peer) {
            guard.refused(peer.ip(), rate);
        }
    })
}
