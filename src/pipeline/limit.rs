//! Stage 5: takes the call's share of every limit that applies to it, or none.

use crate::pipeline::authenticate::Caller;
use crate::pipeline::authorise::Authorised;
use crate::pipeline::{Gateway, Live};
use crate::store::limits::local::Admission;
use portcullis_core::limit::{Budget, LimitSubject};
use portcullis_core::reject::Rejection;
use portcullis_core::tool::{Kind, ToolName};

/// A call that no limit stops. While it lives it counts as running.
pub struct Admitted {
    /// The call.
    pub authorised: Authorised,
    /// Its places.
    pub admission: Admission,
}

/// Counts the call.
///
/// # Errors
/// [`Rejection::RateLimited`] or [`Rejection::TooManyAtOnce`].
pub fn step(gateway: &Gateway, live: &Live, authorised: Authorised) -> Result<Admitted, Rejection> {
    let call = &authorised.call;
    let admission = admit(gateway, live, &call.request.caller, Some(call.named()), call.request.target.name())?;
    Ok(Admitted { authorised, admission })
}

/// Counts a request that an earlier stage refused: looking for what may be called is not free. It counts as a request for no
/// tool, whichever it named, so that a tool that is hidden and one that does not exist use up the same (abuse case 109).
/// Gives the refusal to answer with: `rejection`, or that of the limit where no room is left.
pub fn refusal(gateway: &Gateway, live: &Live, caller: &Caller, endpoint: &str, rejection: Rejection) -> Rejection {
    admit(gateway, live, caller, None, endpoint).err().unwrap_or(rejection)
}

/// Counts a message of `caller` that is no request for anything: rates alone, since it belongs to a call that has its place
/// among those that run, and must not wait for its end.
///
/// # Errors
/// [`Rejection::RateLimited`].
pub fn message(gateway: &Gateway, live: &Live, caller: &Caller, endpoint: &str) -> Result<(), Rejection> {
    let subject = subject(caller, None, endpoint);
    let budgets = live.snapshot.limits.applicable(&subject);
    let rates = budgets.map(|budget| Budget { concurrency: None, ..budget });
    gateway.limits.admit(rates).map(drop).map_err(Rejection::from)
}

/// Counts a call that is made for another, whose place among those that run it shares: rates alone.
///
/// # Errors
/// [`Rejection::RateLimited`].
pub fn within(gateway: &Gateway, live: &Live, authorised: Authorised) -> Result<Admitted, Rejection> {
    let call = &authorised.call;
    let subject = subject(&call.request.caller, Some(call.named()), call.request.target.name());
    let rates = live.snapshot.limits.applicable(&subject).map(|budget| Budget { concurrency: None, ..budget });
    let admission = gateway.limits.admit(rates).map_err(Rejection::from)?;
    Ok(Admitted { authorised, admission })
}

/// Takes the places of a call that was counted when it came, and runs now.
///
/// # Errors
/// [`Rejection::TooManyAtOnce`].
pub fn running(
    gateway: &Gateway,
    live: &Live,
    caller: &Caller,
    named: (Kind, &ToolName),
    endpoint: &str,
) -> Result<Admission, Rejection> {
    let subject = subject(caller, Some(named), endpoint);
    let places = live.snapshot.limits.applicable(&subject).map(|budget| Budget { rate: None, ..budget });
    gateway.limits.admit(places).map_err(Rejection::from)
}

/// Counts a request of `caller` for what is `named`, or for nothing, at `endpoint`.
///
/// # Errors
/// As [`step`].
pub fn admit(
    gateway: &Gateway,
    live: &Live,
    caller: &Caller,
    named: Option<(Kind, &ToolName)>,
    endpoint: &str,
) -> Result<Admission, Rejection> {
    gateway.limits.admit(live.snapshot.limits.applicable(&subject(caller, named, endpoint))).map_err(Rejection::from)
}

fn subject<'a>(caller: &'a Caller, named: Option<(Kind, &'a ToolName)>, endpoint: &'a str) -> LimitSubject<'a> {
    let principal = &caller.principal;
    LimitSubject {
        issuer: &principal.issuer,
        subject: &principal.subject,
        agent: principal.agent.as_deref(),
        tenant: principal.tenant.as_deref(),
        roles: &caller.roles,
        named,
        endpoint,
    }
}
