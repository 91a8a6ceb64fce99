//! What is counted of callers' tokens and the keys that check them.

use super::bound::Bound;
use super::declare::Declare;
use prometheus::IntCounterVec;

pub(super) struct Tokens {
    pub(super) refused: IntCounterVec,
    pub(super) fetches: IntCounterVec,
    pub(super) issuers_bound: Bound,
}

impl Tokens {
    pub(super) fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            refused: declare.counters(
                "portcullis_bad_tokens_total",
                "Tokens that were refused, by reason.",
                &["reason"],
            )?,
            fetches: declare.counters(
                "portcullis_jwks_fetches_total",
                "Fetches of an issuer's key set.",
                &["issuer", "result"],
            )?,
            issuers_bound: Bound::new(20),
        })
    }
}
