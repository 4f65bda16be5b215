//! The viewer's network, which a resolver may name in a query (EDNS Client Subnet, RFC 7871).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The number of the option.
pub(super) const OPTION: u16 = 8;

/// Bytes of an option before its data: its number and its length.
pub(super) const OPTION_HEAD: usize = 4;

/// Bytes before the address: family, source prefix, scope prefix.
const HEAD: usize = 4;

/// The family of the network that a query names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SubnetFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// None: a resolver whose user wants to stay unknown.
    Withheld,
}

/// The option of a query, as it goes back in the reply.
///
/// ```text
/// 0        2        3       4
/// | family | source | scope | address: as many bytes as the source prefix needs |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet<'a> {
    data: &'a [u8],
    network: Option<IpAddr>,
    pub(super) family: SubnetFamily,
}

impl<'a> Subnet<'a> {
    /// Reads the data of the option; `None` where RFC 7871 §7.1.2 and §6 want it refused.
    pub(super) fn read(data: &'a [u8]) -> Option<Subnet<'a>> {
        let (head, address) = data.split_first_chunk::<HEAD>()?;
        let [_, family, source, scope] = *head;
        let (family, longest) = match (head[0], family) {
            // Nothing is said, and nothing may be told: a zero-length prefix without a family.
            (0, 0) => (SubnetFamily::Withheld, 0),
            (0, 1) => (SubnetFamily::V4, 32),
            (0, 2) => (SubnetFamily::V6, 128),
            _ => return None,
        };
        if scope != 0 || source > longest || address.len() != usize::from(source).div_ceil(8) {
            return None;
        }
        // Bits beyond the prefix would tell one user from another, and answers apart that are the same.
        let unused = (8 - source % 8) % 8;
        if address.last().is_some_and(|last| last & !(0xff << unused) != 0) {
            return None;
        }
        let network = (source > 0).then(|| match family {
            SubnetFamily::V6 => IpAddr::V6(Ipv6Addr::from(padded::<16>(address))),
            _ => IpAddr::V4(Ipv4Addr::from(padded::<4>(address))),
        });
        Some(Subnet {
            data,
            network,
            family: if source == 0 {
                SubnetFamily::Withheld
            } else {
                family
            },
        })
    }

    /// The first address of the network; `None` where the resolver keeps it to itself.
    pub(super) fn network(&self) -> Option<IpAddr> {
        self.network
    }

    /// How many bytes the option takes in a reply.
    pub(super) fn reply_bytes(&self) -> usize {
        OPTION_HEAD + self.data.len()
    }

    /// Writes the option as it came, with the scope of the answer.
    pub(super) fn write(&self, scope: u8, out: &mut Vec<u8>) {
        let longest = match self.network {
            None => 0,
            Some(IpAddr::V4(_)) => 32,
            Some(IpAddr::V6(_)) => 128,
        };
        out.extend_from_slice(&OPTION.to_be_bytes());
        // An address has 16 bytes at most.
        out.extend_from_slice(&[0, self.data.len() as u8]);
        out.extend_from_slice(&self.data[..HEAD - 1]);
        out.push(scope.min(longest));
        out.extend_from_slice(&self.data[HEAD..]);
    }
}

fn padded<const BYTES: usize>(address: &[u8]) -> [u8; BYTES] {
    let mut whole = [0; BYTES];
    whole[..address.len()].copy_from_slice(address);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_option_gives_its_network_and_goes_back_with_a_scope() {
        for (data, network, family, scope) in [
            (
                &[0, 1, 24, 0, 192, 0, 2][..],
                Some("192.0.2.0"),
                SubnetFamily::V4,
                20,
            ),
            (
                &[0, 1, 32, 0, 192, 0, 2, 1],
                Some("192.0.2.1"),
                SubnetFamily::V4,
                20,
            ),
            (
                &[0, 1, 20, 0, 192, 0, 0x10],
                Some("192.0.16.0"),
                SubnetFamily::V4,
                20,
            ),
            (
                &[0, 2, 33, 0, 0x20, 1, 0xd, 0xb8, 0x80],
                Some("2001:db8:8000::"),
                SubnetFamily::V6,
                20,
            ),
            (&[0, 1, 0, 0], None, SubnetFamily::Withheld, 0),
            (&[0, 2, 0, 0], None, SubnetFamily::Withheld, 0),
            (&[0, 0, 0, 0], None, SubnetFamily::Withheld, 0),
        ] {
            let subnet = Subnet::read(data).expect("sound");
            assert_eq!(
                subnet.network().map(|network| network.to_string()).as_deref(),
                network
            );
            assert_eq!(subnet.family, family);
            let mut out = Vec::new();
            subnet.write(20, &mut out);
            let mut expected = [&[0, 8, 0, data.len() as u8], data].concat();
            expected[7] = scope;
            assert_eq!(out, expected);
            assert_eq!(out.len(), subnet.reply_bytes());
        }
    }

    #[test]
    fn an_option_that_breaks_its_rules_is_refused() {
        for (data, why) in [
            (&[][..], "no head"),
            (&[0, 1, 0], "no whole head"),
            (&[0, 1, 24, 0, 192, 0], "an address too short"),
            (&[0, 1, 24, 0, 192, 0, 2, 0], "an address too long"),
            (&[0, 1, 24, 24, 192, 0, 2], "a scope in a query"),
            (&[0, 1, 23, 0, 192, 0, 3], "bits beyond the prefix"),
            (&[0, 1, 33, 0, 192, 0, 2, 0, 0], "a prefix beyond the family"),
            (
                &[0, 2, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                "one beyond IPv6",
            ),
            (&[0, 3, 0, 0], "a family that nobody knows"),
            (&[1, 1, 0, 0], "another"),
            (&[0, 0, 8, 0, 10], "an address of no family"),
            (&[0, 1, 0, 0, 0], "an address of no bits"),
        ] {
            assert_eq!(Subnet::read(data), None, "{why}");
        }
    }

    #[test]
    fn a_scope_is_never_longer_than_an_address() {
        let mut out = Vec::new();
        Subnet::read(&[0, 1, 8, 0, 10])
            .expect("sound")
            .write(56, &mut out);
        assert_eq!(out[7], 32);
    }
}
