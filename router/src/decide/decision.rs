//! What is decided: where a client goes, and why.

use model::routing::Bypass;
use serde::Serialize;

use super::few::Few;
use super::fleet::{EdgeId, SiteId};
use super::question::Evidence;
use model::node::EDGES_OF_SITE_MAX;

/// Sites that are considered for one client, those passed by because they are down not counted: its own, and those
/// that take in guests.
pub(crate) const SITES_CONSIDERED: usize = 1 + super::capacity::GUESTS_OF;

/// Where a client goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decision<'w> {
    /// The site; `None` where no node is to serve it.
    pub(crate) site: Option<SiteId>,
    /// All nodes of the site that it may use, best first. Empty also where the site serves, but not over the family of
    /// addresses that is wanted: DNS then answers that there are none (NODATA), and the client takes the other family.
    pub(crate) nodes: Few<Choice, EDGES_OF_SITE_MAX>,
    /// Other sites that serve, the most suitable first: what a player may fall back to.
    pub(crate) others: Few<SiteId, SITES_CONSIDERED>,
    pub(crate) reason: Reason,
    /// Whereto instead, with [`Reason::Bypass`] and [`Reason::Elsewhere`].
    pub(crate) instead: Option<&'w Bypass>,
    /// The client's own prefix took part: the answer holds for no more than a /24 or /48
    /// ([`draw`](super::draw::PREFIX_BITS_V4)), whatever network the ranking is known of.
    pub(crate) by_prefix: bool,
}

/// A node of a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) edge: EdgeId,
    pub(crate) why: Why,
}

/// Why a node has its place in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    /// By rendezvous.
    #[default]
    Rendezvous,
    /// The key is spread, and its first nodes are in the client's own order.
    Spread,
    /// It has more than its share of load, and the key is one of those that skip it.
    Skipped,
}

/// Why a client goes where it goes, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// To the best site, by what the operator says of the network.
    Coverage,
    /// To the best site, as measured.
    Latency,
    /// To the best site, by distance.
    Geography,
    /// To the first site there is: nothing is known of the client.
    Default,
    /// Better sites have too many clients.
    Spill,
    /// Better sites are down.
    Failover,
    /// Most nodes seem to be down, and the monitors are not believed.
    Panic,
    /// Nothing can serve, and the service names a place outside.
    Bypass,
    /// Nothing can serve.
    Nothing,
    /// The service may not be watched from there.
    Blocked,
    /// The service sends clients of that country elsewhere.
    Elsewhere,
    /// The service is switched off, or there is none.
    Disabled,
}

impl Reason {
    /// Every reason there is, in the order of their declaration.
    pub(crate) const ALL: [Reason; 12] = [
        Reason::Coverage,
        Reason::Latency,
        Reason::Geography,
        Reason::Default,
        Reason::Spill,
        Reason::Failover,
        Reason::Panic,
        Reason::Bypass,
        Reason::Nothing,
        Reason::Blocked,
        Reason::Elsewhere,
        Reason::Disabled,
    ];

    /// As metrics and logs name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::Coverage => "coverage",
            Reason::Latency => "latency",
            Reason::Geography => "geography",
            Reason::Default => "default",
            Reason::Spill => "spill",
            Reason::Failover => "failover",
            Reason::Panic => "panic",
            Reason::Bypass => "bypass",
            Reason::Nothing => "nothing",
            Reason::Blocked => "blocked",
            Reason::Elsewhere => "elsewhere",
            Reason::Disabled => "disabled",
        }
    }
}

impl From<Evidence> for Reason {
    fn from(evidence: Evidence) -> Reason {
        match evidence {
            Evidence::Coverage => Reason::Coverage,
            Evidence::Latency => Reason::Latency,
            Evidence::Geography => Reason::Geography,
            Evidence::Default => Reason::Default,
        }
    }
}

impl<'w> Decision<'w> {
    /// Nobody of ours serves.
    pub(crate) fn without_nodes(reason: Reason, instead: Option<&'w Bypass>) -> Decision<'w> {
        Decision {
            site: None,
            nodes: Few::default(),
            others: Few::default(),
            reason,
            instead,
            by_prefix: false,
        }
    }
}
