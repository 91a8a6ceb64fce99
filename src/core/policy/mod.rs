//! The policy decision point: who may call which tool with which arguments, and who may use which prompt and read which
//! resource.
//!
//! `compile` turns `policy.yaml` into a [`PolicySet`], [`decide`] asks it, [`explain`] says why. Nothing here enforces:
//! the pipeline does, and it can't without the [`Permit`] that only an allowing decision gives.
//!
//! A decision is total and deterministic, always names a rule, and does not depend on the order of rules: deny beats
//! review beats allow, and what nothing matches is denied by the rule `default`. A condition that can't be judged (an
//! argument that is missing or of an odd type, an expression that fails) makes its deny or review rule match and its
//! allow rule not match. Each condition of a rule counts by itself: one that is plainly false keeps the rule from
//! matching, whatever another one fails on.

mod again;
mod arguments;
mod compile;
mod condition;
mod constraint;
mod decision;
pub mod document;
mod explain;
mod index;
mod json;
mod operators;
mod preview;
pub mod question;
mod request;
mod rule;
mod scope;
mod set;
mod spelling;
pub(crate) mod subject;
mod uri;
mod verdict;

#[cfg(test)]
mod tests;

pub use again::{Gap, decide_again};
pub use arguments::{CallArguments, Unreadable};
pub use decision::{Decision, Permit};
pub use explain::{Examined, Explanation, explain};
pub use operators::{Operators, Power};
pub use preview::Preview;
pub use request::{AccessRequest, Arguments, Context};
pub use set::{PolicySet, decide};

use std::collections::BTreeSet;

/// The names that a policy may refer to.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Upstreams of `upstreams.yaml`.
    pub upstreams: BTreeSet<String>,
    /// Endpoints of `upstreams.yaml`.
    pub endpoints: BTreeSet<String>,
}
