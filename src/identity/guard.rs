//! A bound on how many refused tokens one address may send, so that nobody can make the gateway check signatures, or
//! guess, at will. It counts refusals alone: good tokens cost nothing here.

use super::buckets::Buckets;
use portcullis_core::reject::Rejection;
use portcullis_core::units::Rate;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Counts refused tokens by address. An address here is an IPv4 address or an IPv6 /64, which is what one subscriber has.
pub struct BadTokenGuard(Buckets<IpAddr>);

impl BadTokenGuard {
    /// Nothing is counted yet.
    pub fn new() -> Self {
        Self(Buckets::new())
    }

    /// Asks, before a token is checked, whether this address may send one.
    ///
    /// # Errors
    /// `Rejection::TooManyBadTokens`, with the time until it may.
    pub fn check(&self, address: IpAddr, rate: Rate) -> Result<(), Rejection> {
        self.check_at(address, rate, Instant::now())
    }

    /// Counts a refused token.
    pub fn refused(&self, address: IpAddr, rate: Rate) {
        self.refused_at(address, rate, Instant::now());
    }

    fn check_at(&self, address: IpAddr, rate: Rate, at: Instant) -> Result<(), Rejection> {
        let checked = self.0.check(subscriber(address), rate, at);
        checked.map_err(|retry_after| Rejection::TooManyBadTokens { retry_after })
    }

    fn refused_at(&self, address: IpAddr, rate: Rate, at: Instant) {
        self.0.count(subscriber(address), rate, at);
    }
}

/// The part of `address` that is one subscriber's: an IPv4 address, however it is written, or an IPv6 /64.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn per_minute(events: u32) -> Rate {
        Rate { events, period: Duration::from_secs(60) }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_send_as_many_bad_tokens_as_the_rate_says_and_then_waits() {
        let (guard, rate, at) = (BadTokenGuard::new(), per_minute(3), Instant::now());
        for _ in 0..3 {
            assert_eq!(guard.check_at(ip("192.0.2.1"), rate, at), Ok(()));
            guard.refused_at(ip("192.0.2.1"), rate, at);
        }
        let refused = guard.check_at(ip("192.0.2.1"), rate, at);
        assert_eq!(refused, Err(Rejection::TooManyBadTokens { retry_after: Duration::from_secs(20) }));
        assert_eq!(guard.check_at(ip("192.0.2.1"), rate, at + Duration::from_secs(20)), Ok(()));
        assert_eq!(guard.check_at(ip("192.0.2.2"), rate, at), Ok(()), "another address is not concerned");
    }

    #[test]
    fn a_check_alone_costs_nothing() {
        let (guard, rate, at) = (BadTokenGuard::new(), per_minute(1), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(guard.check_at(ip("192.0.2.1"), rate, at), Ok(()));
        }
    }

    #[test]
    fn tokens_under_way_together_do_not_block_for_longer_than_the_period() {
        let (guard, rate, at) = (BadTokenGuard::new(), per_minute(2), Instant::now());
        (0..1_000).for_each(|_| guard.refused_at(ip("192.0.2.1"), rate, at));
        assert!(guard.check_at(ip("192.0.2.1"), rate, at).is_err());
        assert_eq!(guard.check_at(ip("192.0.2.1"), rate, at + Duration::from_secs(30)), Ok(()));
    }

    #[test]
    fn a_subscriber_can_not_change_its_address_to_go_on() {
        let (guard, rate, at) = (BadTokenGuard::new(), per_minute(1), Instant::now());
        guard.refused_at(ip("2001:db8:1:2::3"), rate, at);
        assert!(guard.check_at(ip("2001:db8:1:2:ffff::9"), rate, at).is_err());
        assert_eq!(guard.check_at(ip("2001:db8:1:3::3"), rate, at), Ok(()));
        guard.refused_at(ip("192.0.2.1"), rate, at);
        assert!(guard.check_at(ip("::ffff:192.0.2.1"), rate, at).is_err());
    }

    #[test]
    fn a_rate_that_changes_holds_at_once_in_both_directions() {
        let (guard, at) = (BadTokenGuard::new(), Instant::now());
        (0..2).for_each(|_| guard.refused_at(ip("192.0.2.1"), per_minute(2), at));
        assert!(guard.check_at(ip("192.0.2.1"), per_minute(2), at).is_err());
        assert_eq!(guard.check_at(ip("192.0.2.1"), per_minute(4), at + Duration::from_secs(15)), Ok(()));
        let quick = Rate { events: 2, period: Duration::from_secs(1) };
        let refused = guard.check_at(ip("192.0.2.1"), quick, at);
        assert_eq!(refused, Err(Rejection::TooManyBadTokens { retry_after: Duration::from_millis(500) }));
        assert_eq!(guard.check_at(ip("192.0.2.1"), quick, at + Duration::from_millis(500)), Ok(()));
    }
}
