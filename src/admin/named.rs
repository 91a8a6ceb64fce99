//! What operators name by its id: an approval or a job. Whoever names again and again what is not there for them is not answered
//! for a while (abuse case 156), and each such name is in the record.

use crate::admin::Admin;
use crate::admin::auth::Operator;
use crate::admin::problem::Problem;
use crate::admin::trace;
use axum::http::StatusCode;

/// What `look` finds under an id that `operator` gave; `what` it is the id of.
///
/// # Errors
/// 429, or as `look` says.
pub async fn named<T>(
    admin: &Admin,
    operator: &Operator,
    what: &'static str,
    look: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let (guard, metrics) = (&admin.gateway.wrong_ids, &admin.gateway.metrics);
    let (principal, rate) = (&operator.principal, operator.live.snapshot.gateway.edge.wrong_ids);
    guard.check(principal, rate).inspect_err(|_| metrics.wrong_id("operator", true))?;
    let found = look.await;
    if found.as_ref().is_err_and(|problem| problem.status == StatusCode::NOT_FOUND) {
        guard.wrong(principal, rate);
        metrics.wrong_id("operator", false);
        trace::wrong_id(admin, operator, what);
    }
    found
}
