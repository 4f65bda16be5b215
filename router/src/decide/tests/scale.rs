//! A CDN of 120 sites with 20 edges each, one region of it crowded.

use std::time::Duration;

use model::health::State;
use testkit::chance::{Chance, seed};

use super::super::SiteId;
use super::cdn::{Cdn, cdn};
use super::crowds::{Network, Population, networks, run};

const SITES: usize = 120;
const EDGES: usize = 20;
/// Networks at home in each site.
const NETWORKS: usize = 150;

fn world_wide(chance: &mut Chance) -> Cdn {
    let mut draw = |from: i32, to: i32| {
        let width = u64::try_from(100 * (to - from)).unwrap();
        f64::from(from) + chance.below(width) as f64 / 100.0
    };
    let names: Vec<String> = (0..SITES).map(|nth| format!("s{nth:03}")).collect();
    let places: Vec<(&str, f64, f64, usize)> = names
        .iter()
        .map(|name| (name.as_str(), draw(-50, 65), draw(-120, 150), EDGES))
        .collect();
    cdn(&places)
}

/// A site, and the others by distance.
fn ranking(cdn: &Cdn, site: SiteId) -> Vec<SiteId> {
    let others = &cdn.fleet.site(site).unwrap().neighbours;
    [site].into_iter().chain(others[..3].iter().copied()).collect()
}

/// Networks near each site; those of a site with `demand` of what it can do.
fn people(cdn: &Cdn, chance: &mut Chance, demand: impl Fn(SiteId) -> f64) -> Vec<Network> {
    let mut all = Vec::new();
    for (site, _) in cdn.fleet.numbered_sites() {
        let load = demand(site) * EDGES as f64;
        all.extend(networks(chance, NETWORKS, &ranking(cdn, site), load));
    }
    // Not everybody finds the second best where the site would look for it.
    for network in &mut all {
        if chance.below(3) == 0 {
            network.ranking.swap(1, 2);
        }
    }
    all
}

#[test]
fn a_crowded_region_of_a_large_cdn_settles_and_the_rest_does_not_notice() {
    let mut chance = Chance::new(seed());
    let mut cdn = world_wide(&mut chance);
    let centre = SiteId(u16::try_from(chance.below(120)).unwrap());
    let region: Vec<SiteId> = ranking(&cdn, centre);
    let hot = |site: SiteId| region[..2].contains(&site);
    let networks = people(&cdn, &mut chance, |site| if hot(site) { 1.15 } else { 0.35 });
    let mut population = Population { networks, ttl: 30 };
    let world = cdn.world();
    population.ask(&cdn, &world, 0);
    let series = run(&mut cdn, &mut population, 24);
    let crowded: Vec<String> = series
        .iter()
        .map(|told| format!("{:.0}", 100.0 * told[usize::from(centre.0)]))
        .collect();
    println!("120 × 20: the centre of the crowd {} %", crowded.join(" "));
    for told in &series[8..] {
        for (site, busy) in told.iter().enumerate() {
            assert!(*busy <= 0.92, "site {site}: {told:?}");
        }
    }
    let spilled = population
        .networks
        .iter()
        .filter(|network| network.now_at.unwrap().0 != network.ranking[0])
        .count();
    let needed = 2.0 * NETWORKS as f64 * 0.35 / 1.15;
    println!("{spilled} networks are away from home, {needed:.0} are needed for 80 %");
    assert!(
        (spilled as f64) < 1.4 * needed && spilled as f64 > 0.6 * needed,
        "{spilled}"
    );
    let elsewhere = population
        .networks
        .iter()
        .filter(|network| !hot(network.ranking[0]))
        .all(|network| network.moves == 0);
    assert!(elsewhere, "nobody moves where there is no crowd");
}

#[test]
fn a_lost_site_of_a_large_cdn_moves_its_own_clients_only() {
    let mut chance = Chance::new(seed());
    let mut cdn = world_wide(&mut chance);
    let lost = SiteId(u16::try_from(chance.below(120)).unwrap());
    let networks = people(&cdn, &mut chance, |_| 0.4);
    let mut population = Population { networks, ttl: 30 };
    let world = cdn.world();
    population.ask(&cdn, &world, 0);
    run(&mut cdn, &mut population, 6);
    let name = cdn.fleet.site(lost).unwrap().name.to_string();
    for node in cdn.nodes_of(&name) {
        cdn.see_state(&node, State::Down);
    }
    run(&mut cdn, &mut population, 6);
    for network in &population.networks {
        let (at, _) = network.now_at.unwrap();
        if network.ranking[0] == lost {
            assert_ne!(at, lost);
        } else {
            assert_eq!((at, network.moves), (network.ranking[0], 0));
        }
    }
}

/// No assertion on time: tests run on any machine. The numbers are printed for who wants them.
#[test]
fn a_world_of_this_size_is_made_and_asked() {
    let mut chance = Chance::new(seed());
    let mut cdn = world_wide(&mut chance);
    let timed = |what: &str, count: u32, work: &mut dyn FnMut()| {
        let begun = std::time::Instant::now();
        work();
        let each: Duration = begun.elapsed() / count;
        println!("{what}: {each:?}");
    };
    timed("fleet", 1, &mut || cdn.publish());
    let mut world = None;
    timed("world", 1, &mut || world = Some(cdn.world()));
    let world = world.unwrap();
    let ranking = ranking(&cdn, SiteId(3));
    timed("decision", 10_000, &mut || {
        for nth in 0..10_000 {
            let decision = super::super::decide(&world, &cdn.question(nth, &ranking, u64::from(nth)));
            assert_eq!(decision.nodes.len(), EDGES);
        }
    });
}
