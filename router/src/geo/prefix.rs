//! Nets of both families on one scale.
//!
//! An IPv4 address stands in the upper half of 64 bits; of an IPv6 address the upper 64 are kept. Ends of networks are
//! not told apart below a /64, which is one link (RFC 4291 section 2.5.4) and always in one place. So what is written
//! by hand may not be longer ([`Prefix::parse`] refuses it), and what a database says of a part of a /64 is taken for
//! the whole of it ([`Prefix::cut`]).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The longest prefix of IPv6.
const LONGEST: u8 = 64;

/// Which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// A net. The order is that of its addresses, and an outer net comes before those inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Prefix {
    pub(super) family: Family,
    /// The first address, left aligned.
    pub(super) first: u64,
    /// In bits: at most 32 of IPv4, [`LONGEST`] of IPv6.
    pub(super) length: u8,
}

/// Why a prefix is not taken, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) what: String,
    pub(super) advice: String,
}

impl Prefix {
    /// The net that begins with `address` and is `length` bits long, or the /64 that it is a part of.
    pub(super) fn cut(address: IpAddr, length: u8) -> Prefix {
        let (family, first, length) = match address {
            IpAddr::V4(address) => (Family::Ipv4, u64::from(address.to_bits()) << 32, length.min(32)),
            IpAddr::V6(address) => (Family::Ipv6, upper(address), length.min(LONGEST)),
        };
        Prefix {
            family,
            first: first & !below(length),
            length,
        }
    }

    /// The last address, left aligned.
    pub(super) fn last(&self) -> u64 {
        self.first | below(self.length)
    }

    /// Reads a prefix that was written by hand or by a tool of the operator's.
    ///
    /// # Errors
    ///
    /// What is no prefix, has bits set beyond its length, or is longer than a /64.
    pub(super) fn parse(text: &str) -> Result<Prefix, Refused> {
        let refused = |what: String, advice: String| Err(Refused { what, advice });
        let Ok(net) = text.parse::<IpNet>() else {
            return refused(
                format!("{text:?} is no prefix"),
                "write an address and a length, such as 192.0.2.0/24 or 2001:db8::/48".to_owned(),
            );
        };
        if net.trunc() != net {
            return refused(
                format!("{text:?} has bits set beyond its length"),
                format!("write {}, or a longer prefix", net.trunc()),
            );
        }
        if net.addr().is_ipv6() && net.prefix_len() > LONGEST {
            return refused(
                format!("{text:?} is longer than a /{LONGEST}"),
                format!("write at most a /{LONGEST}; IPv4 addresses are written as such"),
            );
        }
        Ok(Prefix::cut(net.addr(), net.prefix_len()))
    }
}

/// The part of an IPv6 address by which it is found.
pub(super) fn upper(address: Ipv6Addr) -> u64 {
    (address.to_bits() >> 64) as u64
}

/// The bits below a prefix of `length`.
pub(super) fn below(length: u8) -> u64 {
    u64::MAX.checked_shr(u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_stand_on_the_same_scale() {
        let of = |text: &str| {
            let prefix = Prefix::parse(text).unwrap();
            (prefix.family, prefix.first, prefix.last(), prefix.length)
        };
        assert_eq!(
            of("192.0.2.0/24"),
            (Family::Ipv4, 0xc000_0200_0000_0000, 0xc000_02ff_ffff_ffff, 24)
        );
        assert_eq!(of("0.0.0.0/0"), (Family::Ipv4, 0, u64::MAX, 0));
        assert_eq!(
            of("255.255.255.255/32"),
            (Family::Ipv4, 0xffff_ffff_0000_0000, u64::MAX, 32)
        );
        assert_eq!(
            of("2001:db8::/32"),
            (Family::Ipv6, 0x2001_0db8_0000_0000, 0x2001_0db8_ffff_ffff, 32)
        );
        assert_eq!(
            of("2001:db8::/64"),
            (Family::Ipv6, 0x2001_0db8_0000_0000, 0x2001_0db8_0000_0000, 64)
        );
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_advice() {
        let refused = |text: &str| Prefix::parse(text).unwrap_err();
        assert!(refused("192.0.2.0").what.contains("is no prefix"));
        assert!(refused("").what.contains("is no prefix"));
        assert!(refused("192.0.2.0/33").what.contains("is no prefix"));
        assert_eq!(
            refused("192.0.2.1/24").advice,
            "write 192.0.2.0/24, or a longer prefix"
        );
        assert!(refused("2001:db8::/65").what.contains("longer than a /64"));
        assert!(refused("::ffff:192.0.2.0/120").advice.contains("IPv4 addresses"));
    }

    #[test]
    fn a_part_of_a_64_is_taken_for_the_whole_of_it() {
        let address = "2001:db8::42:0:0:1".parse().unwrap();
        assert_eq!(Prefix::cut(address, 128), Prefix::parse("2001:db8::/64").unwrap());
    }
}
