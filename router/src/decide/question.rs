//! What is asked: where a client should go for a key. The wire it came on does not show.

use std::net::IpAddr;

use model::Country;
use serde::Serialize;

use super::fleet::{ServiceId, SiteId};

/// One question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'r> {
    /// Whose way is sought: the peer, or the subnet that a resolver speaks for.
    pub(crate) client: IpAddr,
    /// The sites in the order in which they suit the client, best first; a few are enough.
    pub(crate) ranking: &'r [SiteId],
    /// Whence the ranking is known.
    pub(crate) evidence: Evidence,
    /// Where the client is, if that is known.
    pub(crate) country: Option<Country>,
    pub(crate) service: ServiceId,
    pub(crate) key: Key,
    /// The addresses that are asked for; `None` where the client itself will resolve a name of the node's.
    pub(crate) wants: Option<Family>,
}

/// Whence it is known which sites suit a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Evidence {
    /// The operator says so of its network.
    Coverage,
    /// It was measured.
    Latency,
    /// By the place that a geographic database has for it.
    Geography,
    /// Nothing is known of it.
    Default,
}

/// What is wanted, as a hash (XXH3-64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A host name, which is all that DNS knows: one key for everybody, so that where load has to be shed, clients are
    /// told apart by their networks.
    Host(u64),
    /// Some title, of which there are many ([`Service::key_of_path`](super::service::Service::key_of_path)).
    Content(u64),
}

impl Key {
    pub(crate) fn hash(self) -> u64 {
        match self {
            Key::Host(hash) | Key::Content(hash) => hash,
        }
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

/// Over which families something is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Reach {
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

impl Reach {
    /// Whether it is reached over what is wanted; `None` takes either.
    pub(crate) fn covers(self, wants: Option<Family>) -> bool {
        match wants {
            None => self.ipv4 || self.ipv6,
            Some(Family::Ipv4) => self.ipv4,
            Some(Family::Ipv6) => self.ipv6,
        }
    }

    pub(crate) fn or(self, other: Reach) -> Reach {
        Reach {
            ipv4: self.ipv4 || other.ipv4,
            ipv6: self.ipv6 || other.ipv6,
        }
    }
}
