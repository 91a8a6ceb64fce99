//! Networks of addresses, as an operator writes them. Looks nothing up.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address, or a network such as `10.0.0.0/8` (RFC 4632 section 3.1, RFC 4291 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many leading bits an address has in common with it.
    prefix: u8,
}

impl FromStr for Network {
    type Err = ();

    /// Refuses bits behind the prefix, too: they say that something else was meant.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let width = width(address);
        let plain = |prefix: &str| prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => width,
            Some(prefix) if plain(prefix) => prefix.parse().map_err(drop)?,
            Some(_) => return Err(()),
        };
        let network = Self { address, prefix };
        let rest = bits(address) & !network.mask().ok_or(())?;
        if rest == 0 { Ok(network) } else { Err(()) }
    }
}

impl Network {
    /// Whether `address` is in it. An IPv4 address that is written as IPv6 (RFC 4291 section 2.5.5.2) is what it stands for.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let comparable = width(address) == width(self.address);
        comparable && self.mask().is_some_and(|mask| bits(address) & mask == bits(self.address))
    }

    /// Ones where addresses must be equal; `None` for a prefix that is longer than the address.
    fn mask(&self) -> Option<u128> {
        let width = u32::from(width(self.address));
        let free = width.checked_sub(u32::from(self.prefix))?;
        let all = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
        Some(all & u128::MAX.checked_shl(free).unwrap_or(0))
    }
}

/// Whether no server for others can be at `address`: it is unspecified, multicast or link-local. Clouds hand out
/// credentials to whoever asks at a link-local address (RFC 3927, RFC 4291 section 2.5.6), or at one of IPv6 that a
/// provider made up.
pub fn is_nobodys(address: IpAddr) -> bool {
    /// Where a cloud keeps its metadata, besides link-local addresses.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_unspecified() || address.is_multicast() || address.is_link_local(),
        IpAddr::V6(address) => {
            let link_local = address.is_unicast_link_local();
            address.is_unspecified() || address.is_multicast() || link_local || address == METADATA
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "8.8.8.8", "2001:db8::1"),
            ("::/0", "2001:db8::1", "8.8.8.8"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10/8", "fd00::/129", "a", "fd00::1/8"]
        {
            assert_eq!(text.parse::<Network>(), Err(()), "{text}");
        }
    }

    #[test]
    fn case_198_no_upstream_is_where_clouds_keep_credentials() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(is_nobodys(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "8.8.8.8", "::1", "fd00::1", "2001:db8::1"] {
            assert!(!is_nobodys(address.parse().unwrap()), "{address}");
        }
    }
}
