//! `/api/whoami`: who the gateway takes the caller for.

use crate::admin::auth::Operator;
use axum::Json;
use portcullis_core::policy::Power;
use schemars::JsonSchema;
use serde::Serialize;

/// Who asks.
#[derive(Serialize, JsonSchema)]
pub struct Whoami {
    /// Whose token or login it is.
    issuer: String,
    /// The user, as the issuer names them.
    subject: String,
    /// The tenant, whose things alone they see.
    tenant: Option<String>,
    /// The roles that policy knows of them, inherited ones included.
    roles: Vec<String>,
    /// Whether `operators` lets them look.
    may_read: bool,
    /// Whether `operators` lets them change what the gateway holds.
    may_manage: bool,
}

/// Answers.
pub async fn show(operator: Operator) -> Json<Whoami> {
    let (may_read, may_manage) = (operator.may(Power::Read), operator.may(Power::Manage));
    Json(Whoami {
        issuer: operator.principal.issuer.clone(),
        subject: operator.principal.subject.clone(),
        tenant: operator.principal.tenant.clone(),
        roles: operator.roles.iter().map(str::to_owned).collect(),
        may_read,
        may_manage,
    })
}
