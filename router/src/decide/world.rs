//! The world as decisions see it: the fleet, who is up, and who should get how much. Immutable, and swapped whole.

use std::sync::Arc;

use serde::Serialize;

use super::availability::{Age, Availability, Standing};
use super::capacity::{Share, UNKNOWN};
use super::controls::Controls;
use super::fleet::{Fleet, SiteId};
use super::large_keys::LargeKeys;
use super::question::{Family, Reach};

/// All that a decision needs to know beside the question.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Arc<Fleet>,
    /// By [`SiteId`].
    sites: Box<[SiteNow]>,
    /// The monitors are not believed.
    pub(crate) panic: bool,
    /// How old what they say is.
    pub(crate) health: Age,
    pub(crate) large: LargeKeys,
}

/// A site at present.
#[derive(Clone, Debug)]
pub(crate) struct SiteNow {
    /// By [`EdgeId`](super::fleet::EdgeId).
    pub(crate) edges: Box<[EdgeNow]>,
    pub(crate) share: Share,
    /// Over which families any edge is reached.
    pub(crate) reach: Reach,
}

/// An edge at present: what scoring it needs, side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeNow {
    pub(crate) hash: u64,
    /// By what it is and how it is.
    pub(crate) weight: f64,
    /// Which share of its keys it passes on.
    pub(crate) skip: f64,
    pub(crate) reach: Reach,
    pub(crate) standing: Standing,
}

/// A site's room, as `/sites` and metrics show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Headroom {
    pub(crate) site: String,
    /// Which part of what it can do is free; absent where its load is not known.
    pub(crate) free: Option<f64>,
    /// The same in bytes per second, where its capacity is written down.
    pub(crate) free_bytes_per_second: Option<f64>,
    /// Which part of its own clients it keeps.
    pub(crate) accept: f64,
    /// Which part of the clients of others that come by it takes in.
    pub(crate) take_in: f64,
}

/// An edge, as `/sites` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct NodeNow {
    pub(crate) node: String,
    pub(crate) site: String,
    pub(crate) standing: Standing,
    /// Over which families clients are sent to it.
    pub(crate) reach: Reach,
    /// Its weight times the share of it that it gets.
    pub(crate) weight: f64,
    /// Which share of its keys it passes on.
    pub(crate) skip: f64,
}

impl World {
    /// Joins what is known. Nothing is kept of the controls but what they give out.
    pub(crate) fn compile(fleet: &Arc<Fleet>, availability: &Availability, controls: &Controls) -> World {
        let sites = fleet
            .sites
            .iter()
            .zip(&availability.sites)
            .map(|(site, healths)| {
                let edges: Box<[EdgeNow]> = site
                    .edges
                    .iter()
                    .zip(healths)
                    .map(|(edge, health)| EdgeNow {
                        hash: edge.hash,
                        weight: edge.weight * health.share,
                        skip: controls.balance.skip(&edge.name),
                        reach: health.reach,
                        standing: health.standing,
                    })
                    .collect();
                let reach = edges
                    .iter()
                    .fold(Reach::default(), |reach, edge| reach.or(edge.reach));
                let share = if availability.panic {
                    // Loads are known from the same monitors.
                    UNKNOWN
                } else {
                    controls.capacity.share(&site.name)
                };
                SiteNow { edges, share, reach }
            });
        World {
            fleet: Arc::clone(fleet),
            sites: sites.collect(),
            panic: availability.panic,
            health: availability.age,
            large: controls.large.clone(),
        }
    }

    pub(crate) fn site(&self, id: SiteId) -> Option<&SiteNow> {
        self.sites.get(usize::from(id.0))
    }

    /// Whether it is known how busy a site is.
    pub(crate) fn load_is_known(&self, site: SiteId) -> bool {
        self.site(site).is_some_and(|now| now.share.headroom.is_some())
    }

    /// The room of each site, in name order.
    pub(crate) fn headrooms(&self) -> impl Iterator<Item = Headroom> + '_ {
        self.fleet.sites.iter().zip(&self.sites).map(|(site, now)| {
            let bytes = site.capacity_bytes_per_second;
            let free = now.share.headroom;
            Headroom {
                site: site.name.to_string(),
                free,
                free_bytes_per_second: free.zip(bytes).map(|(free, bytes)| free * bytes as f64),
                accept: now.share.accept,
                take_in: now.share.take_in,
            }
        })
    }

    /// All edges, in the order of site and name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeNow> + '_ {
        self.fleet.sites.iter().zip(&self.sites).flat_map(|(site, now)| {
            site.edges.iter().zip(&now.edges).map(|(edge, now)| NodeNow {
                node: edge.name.to_string(),
                site: site.name.to_string(),
                standing: now.standing,
                reach: now.reach,
                weight: now.weight,
                skip: now.skip,
            })
        })
    }

    /// The name of a site.
    pub(crate) fn site_name(&self, id: SiteId) -> String {
        self.fleet
            .site(id)
            .map_or_else(String::new, |site| site.name.to_string())
    }
}

impl SiteNow {
    /// Whether a client that wants addresses of this family should be sent here.
    ///
    /// A site that is reached over IPv4 only is right for those that ask for IPv6 too: they hear that it has none and
    /// take IPv4, which is better than a site far away. It is not so the other way round, as there are clients that
    /// have IPv4 alone, while those with IPv6 alone reach IPv4 by translation (RFC 6147).
    pub(crate) fn serves(&self, wants: Option<Family>) -> bool {
        self.reach.covers(wants) || (wants == Some(Family::Ipv6) && self.reach.ipv4)
    }
}
