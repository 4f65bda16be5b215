//! The slow machines that steer by load, and their common clock.

use std::collections::HashMap;
use std::time::Duration;

use model::Moment;

use super::availability::{Age, Availability, utilisation};
use super::balance::{Balance, EdgeLoad};
use super::capacity::{Capacity, SiteLoad};
use super::fleet::{Fleet, Site, SiteId};
use super::large_keys::{LargeKeys, SiteAbility, Tally};

/// One step in so long a time: monitors see no load more often.
pub(crate) const STEP: Duration = Duration::from_secs(10);

/// What is kept from one world to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Controls {
    pub(crate) capacity: Capacity,
    pub(crate) balance: Balance,
    pub(crate) large: LargeKeys,
    stepped: Option<Moment>,
}

impl Controls {
    /// Whether it is time for a step.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.stepped.is_none_or(|stepped| now.since(stepped) >= STEP)
    }

    /// Takes over that the sites of `before` have other numbers in `after`; says whether any has.
    pub(crate) fn renumber(&mut self, before: &Fleet, after: &Fleet) -> bool {
        let (old, new) = (before.sites.iter(), after.sites.iter());
        if old.map(|site| &site.name).eq(new.map(|site| &site.name)) {
            return false;
        }
        let places: HashMap<_, SiteId> = after
            .numbered_sites()
            .map(|(id, site)| (&site.name, id))
            .collect();
        let number = |old: SiteId| {
            let site = before.sites.get(usize::from(old.0))?;
            places.get(&site.name).copied()
        };
        self.large = self.large.renumbered(number);
        true
    }

    /// Steps all machines, if it is time. `tallies` has what this router sent whereto since the last step.
    ///
    /// While no majority of monitors is heard nothing is stepped, so that nothing changes; and when they stay away,
    /// loads are no longer known and what was steered by them is taken back bit by bit.
    pub(crate) fn step(
        &mut self,
        fleet: &Fleet,
        availability: &Availability,
        tallies: &[Tally],
        now: Moment,
    ) {
        if !self.is_due(now) {
            return;
        }
        self.stepped = Some(now);
        if availability.age == Age::Frozen {
            return;
        }
        self.capacity.step(&loads(fleet, availability), now);
        let edges = fleet
            .sites
            .iter()
            .zip(&availability.sites)
            .map(|(site, healths)| {
                let usable = site
                    .edges
                    .iter()
                    .zip(healths)
                    .filter(|(_, health)| health.standing.is_usable());
                let loads = usable.map(|(edge, health)| EdgeLoad {
                    name: &edge.name,
                    weight: edge.weight,
                    utilisation: health.utilisation,
                });
                loads.collect()
            });
        self.balance.step(edges, now);
        self.large = self.large.next(tallies, &abilities(fleet, availability));
    }
}

/// What can be done at each site at present, and what is.
fn loads<'f>(fleet: &'f Fleet, availability: &Availability) -> Vec<SiteLoad<'f>> {
    let bytes_per_weight = bytes_per_weight(&fleet.sites);
    fleet
        .sites
        .iter()
        .zip(&availability.sites)
        .map(|(site, healths)| {
            let all = weight(site);
            let usable: f64 = site
                .edges
                .iter()
                .zip(healths)
                .filter(|(_, health)| health.standing.is_usable())
                .map(|(edge, _)| edge.weight)
                .sum();
            let capacity = match site.capacity_bytes_per_second {
                Some(bytes) if all > 0.0 => bytes as f64 * usable / all,
                _ => usable * bytes_per_weight,
            };
            SiteLoad {
                name: &site.name,
                utilisation: utilisation(&site.edges, healths),
                capacity,
                neighbours: &site.neighbours,
            }
        })
        .collect()
}

/// What stands in for the capacity of a site that does not say: what the others have for each unit of weight, or 1.
fn bytes_per_weight(sites: &[Site]) -> f64 {
    let known = sites
        .iter()
        .filter_map(|site| Some((site.capacity_bytes_per_second? as f64, weight(site))));
    let (bytes, weights) = known.fold((0.0, 0.0), |(bytes, weights), (more, weight)| {
        (bytes + more, weights + weight)
    });
    if weights > 0.0 { bytes / weights } else { 1.0 }
}

fn weight(site: &Site) -> f64 {
    site.edges.iter().map(|edge| edge.weight).sum()
}

fn abilities(fleet: &Fleet, availability: &Availability) -> Vec<SiteAbility> {
    let sites = fleet.sites.iter().zip(&availability.sites);
    sites
        .map(|(site, healths)| SiteAbility {
            edges: healths
                .iter()
                .filter(|health| health.standing.is_usable())
                .count() as f64,
            utilisation: utilisation(&site.edges, healths),
        })
        .collect()
}
