//! Which edges may be used, and with what share of their weight, by what the monitors say and how long ago they did.
//!
//! Three things outrank a monitor's word: the operator's (ONLINE, ADMIN_DOWN, OFFLINE), time (nobody was heard for
//! five minutes), and common sense (if most of the CDN seems to be down, and there is no room for its clients
//! anywhere, it is the monitors that are wrong).

use std::sync::Arc;
use std::time::Duration;

use model::health::{FamilyView, Merged, MergedNode, State};
use model::{Moment, Status};
use serde::Serialize;

use super::fleet::{Edge, Fleet, Site};
use super::question::Reach;

/// For so long after the last word of a majority of monitors everything stays as it was: long enough to restart them
/// all or to mend the network between, short enough that a node that came back is not kept out for an evening.
pub(crate) const FROZEN: Duration = Duration::from_secs(5 * 60);

/// The share of its weight that a node gets which was down when monitors were last heard: it may be either.
const SHARE_OF_UNKNOWN: f64 = 0.5;

/// When fewer than this share of the nodes seem to be up, the monitors are doubted.
const PANIC_BELOW: f64 = 0.5;

/// Above this utilisation a site has no room for the clients of others.
const ROOM_BELOW: f64 = 0.80;

/// What the monitors say, and when they were last to be believed. Kept by the world's owner from one merge to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// The last merge; it keeps states as they were where no majority of monitors is heard.
    merged: Arc<Merged>,
    /// When a majority was last heard; `None` before the first.
    fresh: Option<Moment>,
}

/// How old the monitors' word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Age {
    /// A majority is heard.
    Fresh,
    /// None is, and what was last known stands.
    Frozen,
    /// None is since long, or ever.
    Lost,
}

/// Why an edge may be used, or may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// It serves, or the operator says so.
    Up,
    /// It was down when monitors were last heard, too long ago to count.
    Unknown,
    /// It seems to be down, and the monitors are not believed.
    Assumed,
    Down,
    /// It sees its clients out.
    Draining,
    /// The operator took it out.
    AdminDown,
}

impl Standing {
    pub(crate) fn is_usable(self) -> bool {
        matches!(self, Standing::Up | Standing::Unknown | Standing::Assumed)
    }
}

/// One edge at present.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EdgeHealth {
    pub(crate) standing: Standing,
    /// The share of its weight that it should get, 0 to 1.
    pub(crate) share: f64,
    /// Over which families clients reach it; neither where it may not be used.
    pub(crate) reach: Reach,
    /// How much of what it can do it does.
    pub(crate) utilisation: Option<f64>,
}

/// All edges at present, by site and in the fleet's order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Availability {
    pub(crate) sites: Box<[Box<[EdgeHealth]>]>,
    /// The monitors are not believed.
    pub(crate) panic: bool,
    pub(crate) age: Age,
}

impl Health {
    /// Takes in a merge.
    pub(crate) fn take(&mut self, merged: Arc<Merged>, now: Moment) {
        if merged.quorum {
            self.fresh = Some(now);
        }
        self.merged = merged;
    }

    /// How old it is at `now`.
    pub(crate) fn age(&self, now: Moment) -> Age {
        match self.fresh {
            Some(_) if self.merged.quorum => Age::Fresh,
            Some(fresh) if now.since(fresh) < FROZEN => Age::Frozen,
            _ => Age::Lost,
        }
    }

    /// Which edges may be used at `now`.
    pub(crate) fn judge(&self, fleet: &Fleet, now: Moment) -> Availability {
        let age = self.age(now);
        let mut sites: Box<[Box<[EdgeHealth]>]> = fleet
            .sites
            .iter()
            .map(|site| {
                let edges = site.edges.iter();
                edges
                    .map(|edge| health_of(edge, self.merged.nodes.get(&*edge.name), age))
                    .collect()
            })
            .collect();
        let panic = is_beyond_belief(fleet, &sites);
        if panic {
            let doubted = sites.iter_mut().flatten();
            for (edge, health) in fleet.sites.iter().flat_map(|site| &site.edges).zip(doubted) {
                assume(edge, health);
            }
        }
        Availability { sites, panic, age }
    }
}

fn health_of(edge: &Edge, seen: Option<&MergedNode>, age: Age) -> EdgeHealth {
    let utilisation = seen
        .and_then(|node| node.utilisation)
        .filter(|_| age != Age::Lost);
    let state = seen.map_or(State::Unknown, |node| node.state);
    let share = seen.map_or(1.0, |node| node.weight);
    let (standing, share) = match (edge.status, state) {
        (Status::AdminDown | Status::Offline, _) => (Standing::AdminDown, 0.0),
        (_, State::Unknown | State::Up | State::Degraded) => (Standing::Up, share),
        // In use whatever its health.
        (Status::Online, _) => (Standing::Up, 1.0),
        (_, State::Draining) => (Standing::Draining, 0.0),
        (_, State::Down) if age == Age::Lost => (Standing::Unknown, SHARE_OF_UNKNOWN),
        (_, State::Down) => (Standing::Down, 0.0),
    };
    let all = edge.reach();
    let believed = edge.status == Status::Reported && age != Age::Lost;
    let lost = |family: Option<FamilyView>| believed && family == Some(FamilyView::Down);
    let reach = if standing.is_usable() {
        Reach {
            ipv4: all.ipv4 && !seen.is_some_and(|node| lost(node.ipv4)),
            ipv6: all.ipv6 && !seen.is_some_and(|node| lost(node.ipv6)),
        }
    } else {
        Reach::default()
    };
    EdgeHealth {
        standing,
        share: share.clamp(0.0, 1.0),
        reach,
        utilisation,
    }
}

/// Whether it is likelier that the monitors are wrong than that they are right: of the nodes that they judge most are
/// down, and no site has room for the clients of the others. A site of which no load is known has room: to send
/// clients to dead nodes needs more than not knowing.
fn is_beyond_belief(fleet: &Fleet, sites: &[Box<[EdgeHealth]>]) -> bool {
    let (mut judged, mut up) = (0_u32, 0_u32);
    for (site, healths) in fleet.sites.iter().zip(sites) {
        for (edge, health) in site.edges.iter().zip(healths) {
            if edge.status == Status::Reported && health.standing != Standing::Draining {
                judged += 1;
                up += u32::from(health.standing.is_usable());
            }
        }
    }
    let most_are_down = f64::from(up) < PANIC_BELOW * f64::from(judged);
    let has_room = |(site, healths): (&Site, &[EdgeHealth])| {
        let is_up = healths.iter().any(|health| health.standing.is_usable());
        is_up && utilisation(&site.edges, healths).is_none_or(|share| share < ROOM_BELOW)
    };
    let healths = sites.iter().map(|healths| &**healths);
    most_are_down && !fleet.sites.iter().zip(healths).any(has_room)
}

/// Takes an edge that seems to be down for one that is up.
fn assume(edge: &Edge, health: &mut EdgeHealth) {
    match health.standing {
        Standing::Down => {
            health.standing = Standing::Assumed;
            health.share = 1.0;
            health.reach = edge.reach();
        }
        Standing::Up | Standing::Unknown => health.reach = edge.reach(),
        Standing::Assumed | Standing::Draining | Standing::AdminDown => {}
    }
}

/// How much of what they can do the usable edges of a site do, each by its weight; `None` where nothing is known.
pub(crate) fn utilisation(edges: &[Edge], healths: &[EdgeHealth]) -> Option<f64> {
    let known = edges
        .iter()
        .zip(healths)
        .filter(|(_, health)| health.standing.is_usable())
        .filter_map(|(edge, health)| Some((edge.weight, health.utilisation?)));
    let (weight, load) = known.fold((0.0, 0.0), |(weights, loads), (weight, load)| {
        (weights + weight, loads + weight * load)
    });
    (weight > 0.0).then(|| load / weight)
}
