//! What the protocol asks of the decision: which addresses, for this viewer, of this service.

use std::net::IpAddr;

/// Addresses of one answer: more would not be tried, and eight of IPv6 still fit into 512 bytes with a usual name.
pub(crate) const ADDRESSES_MAX: usize = 8;

/// The place of a service among those of the snapshot, in order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServiceId(pub u32);

/// The family of addresses that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `A`.
    V4,
    /// `AAAA`.
    V6,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The service that the name belongs to.
    pub(crate) service: ServiceId,
    /// The name as it was asked for, in lower case and in its sent form. All names under one wildcard are of one
    /// service; this tells them apart.
    pub(crate) host: &'a [u8],
    /// An address of the viewer's network where the resolver named it (its host bits are 0), else the resolver's own.
    pub(crate) client: IpAddr,
    /// The addresses that are wanted.
    pub(crate) family: Family,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steered {
    /// Which kind of answer it is.
    pub(crate) verdict: Verdict,
    /// Seconds for which resolvers may keep it.
    pub(crate) ttl: u32,
    /// The prefix length, in the client's family, of the network around the client for which all of this holds.
    pub(crate) scope: u8,
    /// Why, in a word, for counters and logs.
    pub(crate) reason: &'static str,
}

/// Which kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The addresses, in the order in which they should be tried; where there are none, [`Verdict::NoData`].
    Addresses,
    /// The service has no addresses of that family.
    NoData,
    /// This client is not to be told.
    Refused,
    /// There should be addresses, but nobody knows of any.
    Failed,
}

/// Decides where viewers go. The same question has the same answer while the world does not change.
pub(crate) trait Steer {
    /// Puts addresses of the family that was asked for into `addresses`, which is empty, and says what they are.
    fn steer(&self, asked: &Asked<'_>, addresses: &mut Addresses) -> Steered;
}

/// Up to [`ADDRESSES_MAX`] addresses, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    list: [IpAddr; ADDRESSES_MAX],
    length: usize,
}

impl Default for Addresses {
    fn default() -> Self {
        Addresses {
            list: [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED); ADDRESSES_MAX],
            length: 0,
        }
    }
}

impl Addresses {
    /// Adds an address behind the others, and says whether there was room.
    pub(crate) fn push(&mut self, address: IpAddr) -> bool {
        let Some(place) = self.list.get_mut(self.length) else {
            return false;
        };
        *place = address;
        self.length += 1;
        true
    }

    /// The addresses, in order.
    #[must_use]
    pub(crate) fn as_slice(&self) -> &[IpAddr] {
        &self.list[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_order_and_their_bound() {
        let mut addresses = Addresses::default();
        for last in 0..8 {
            assert!(addresses.push([192, 0, 2, last].into()));
        }
        assert!(!addresses.push([192, 0, 2, 9].into()));
        assert_eq!(addresses.as_slice()[7], IpAddr::from([192, 0, 2, 7]));
        assert_eq!(addresses.as_slice().len(), ADDRESSES_MAX);
    }
}
