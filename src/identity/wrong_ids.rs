//! A bound on how many ids of approvals and jobs a user may name that are not theirs or that nothing has (abuse case 156).
//! Ids are random and can't be found by guessing; this keeps those who try from filling the record and the store's time.

use super::buckets::Buckets;
use portcullis_core::principal::Principal;
use portcullis_core::reject::Rejection;
use portcullis_core::units::Rate;
use sha2::{Digest, Sha256};
use std::time::Instant;

/// Counts wrong ids by user, through whichever client they come.
pub struct WrongIdGuard(Buckets<[u8; 32]>);

impl WrongIdGuard {
    /// Nothing is counted yet.
    pub fn new() -> Self {
        Self(Buckets::new())
    }

    /// Asks, before an id is looked for, whether `principal` may name one.
    ///
    /// # Errors
    /// [`Rejection::TooManyWrongIds`], with the time until they may.
    pub fn check(&self, principal: &Principal, rate: Rate) -> Result<(), Rejection> {
        let checked = self.0.check(user(principal), rate, Instant::now());
        checked.map_err(|retry_after| Rejection::TooManyWrongIds { retry_after })
    }

    /// Counts an id that is not theirs.
    pub fn wrong(&self, principal: &Principal, rate: Rate) {
        self.0.count(user(principal), rate, Instant::now());
    }
}

fn user(principal: &Principal) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((principal.issuer.len() as u64).to_be_bytes());
    digest.update(&principal.issuer);
    digest.update(&principal.subject);
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_names_too_many_wrong_ids_waits_and_nobody_else_does() {
        let (guard, rate) = (WrongIdGuard::new(), Rate { events: 2, period: Duration::from_secs(3600) });
        let (ana, bob) = (Principal::new("dev", "ana"), Principal::new("dev", "bob"));
        let through_another = Principal { agent: Some("another".into()), ..ana.clone() };
        for _ in 0..2 {
            assert_eq!(guard.check(&ana, rate), Ok(()));
            guard.wrong(&through_another, rate);
        }
        assert!(matches!(guard.check(&ana, rate), Err(Rejection::TooManyWrongIds { .. })));
        assert_eq!(guard.check(&bob, rate), Ok(()));
        assert_eq!(guard.check(&Principal::new("de", "vana"), rate), Ok(()), "another issuer's user");
    }
}
