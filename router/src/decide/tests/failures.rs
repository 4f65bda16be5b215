//! Nodes, sites and families of addresses fail.

use std::collections::BTreeMap;

use model::Status;
use model::health::{FamilyView, State};
use testkit::chance::{Chance, seed};

use super::super::world::Headroom;
use super::super::{Decision, Family, Question, Reason, World, decide};
use super::cdn::{Cdn, cdn, first};

/// Nearest to Amsterdam first: Frankfurt, London, Ashburn.
pub(super) fn four_sites() -> Cdn {
    cdn(&[
        ("ams", 52.3, 4.8, 4),
        ("fra", 50.0, 8.6, 4),
        ("iad", 38.9, -77.5, 4),
        ("lhr", 51.5, -0.5, 4),
    ])
}

pub(super) fn ask<'w>(cdn: &Cdn, world: &'w World, wants: Option<Family>) -> Decision<'w> {
    let ranking = [cdn.site("ams"), cdn.site("fra")];
    decide(
        world,
        &Question {
            wants,
            ..cdn.question(1, &ranking, 99)
        },
    )
}

#[test]
fn the_clients_of_a_site_that_is_down_go_to_the_next_nearest() {
    let mut cdn = four_sites();
    for node in cdn.nodes_of("ams") {
        cdn.see_state(&node, State::Down);
    }
    cdn.see_site("fra", |node| node.utilisation = Some(0.3));
    cdn.snapshot
        .sites
        .get_mut("fra")
        .unwrap()
        .capacity_bytes_per_second = Some(1_000_000);
    cdn.publish();
    let world = cdn.world();
    let decision = ask(&cdn, &world, None);
    assert_eq!(
        (decision.site, decision.reason),
        (Some(cdn.site("fra")), Reason::Failover)
    );
    assert!(!decision.by_prefix);
    let headrooms: Vec<Headroom> = world.headrooms().collect();
    assert_eq!((headrooms[0].site.as_str(), headrooms[0].free), ("ams", None));
    let fra = &headrooms[1];
    assert!((fra.free.unwrap() - 0.5).abs() < 1e-9, "{fra:?}");
    assert!(
        (fra.free_bytes_per_second.unwrap() - 500_000.0).abs() < 1.0,
        "{fra:?}"
    );
    // With the whole ranking down, by distance from its first.
    for node in cdn.nodes_of("fra") {
        cdn.see_state(&node, State::Down);
    }
    cdn.see_site("lhr", |node| node.utilisation = Some(0.3));
    let world = cdn.world();
    let decision = ask(&cdn, &world, None);
    assert_eq!(
        (decision.site, decision.reason),
        (Some(cdn.site("lhr")), Reason::Failover)
    );
    assert_eq!(&*decision.others, [cdn.site("iad")]);
}

#[test]
fn a_failure_of_ipv6_takes_ipv6_addresses_out_and_nothing_else() {
    let mut cdn = four_sites();
    let world = cdn.world();
    let four = ask(&cdn, &world, Some(Family::Ipv4)).nodes;
    let either = ask(&cdn, &world, None).nodes;
    let owner = first(&world, &ask(&cdn, &world, Some(Family::Ipv6))).to_owned();
    cdn.see(&owner, |node| node.ipv6 = Some(FamilyView::Down));
    let world = cdn.world();
    assert_eq!(ask(&cdn, &world, Some(Family::Ipv4)).nodes, four);
    assert_eq!(ask(&cdn, &world, None).nodes, either);
    let six = ask(&cdn, &world, Some(Family::Ipv6));
    assert_eq!(six.nodes.len(), 3);
    assert_ne!(first(&world, &six), owner);
    // A site without any sends nobody far away for it: there is IPv4.
    cdn.see_site("ams", |node| node.ipv6 = Some(FamilyView::Down));
    let world = cdn.world();
    let six = ask(&cdn, &world, Some(Family::Ipv6));
    assert_eq!((six.site, six.nodes.len()), (Some(cdn.site("ams")), 0));
    assert_eq!(ask(&cdn, &world, Some(Family::Ipv4)).nodes, four);
    // Clients with IPv4 alone have no other way.
    cdn.see_site("ams", |node| {
        node.ipv6 = Some(FamilyView::Up);
        node.ipv4 = Some(FamilyView::Down);
    });
    let world = cdn.world();
    let decision = ask(&cdn, &world, Some(Family::Ipv4));
    assert_eq!(
        (decision.site, decision.reason),
        (Some(cdn.site("fra")), Reason::Failover)
    );
    assert_eq!(ask(&cdn, &world, Some(Family::Ipv6)).site, Some(cdn.site("ams")));
}

#[test]
fn the_operators_word_outranks_the_monitors() {
    let mut cdn = four_sites();
    let statuses = [
        ("ams-00", Status::Online, State::Down, 0.0),
        ("ams-01", Status::AdminDown, State::Up, 0.0),
        ("ams-02", Status::Reported, State::Draining, 0.0),
        ("ams-03", Status::Reported, State::Degraded, 0.25),
    ];
    for (node, status, state, weight) in statuses {
        cdn.snapshot.nodes.get_mut(node).unwrap().status = status;
        cdn.see_state(node, state);
        cdn.see(node, |seen| seen.weight = weight);
        cdn.see(node, |seen| {
            if state == State::Down {
                seen.ipv4 = Some(FamilyView::Down);
            }
        });
    }
    cdn.publish();
    let world = cdn.world();
    let edges = &world.site(cdn.site("ams")).unwrap().edges;
    let weights: BTreeMap<usize, f64> = edges.iter().map(|edge| edge.weight).enumerate().collect();
    assert_eq!(weights, BTreeMap::from([(0, 1.0), (1, 0.0), (2, 0.0), (3, 0.25)]));
    assert_eq!(ask(&cdn, &world, Some(Family::Ipv4)).nodes.len(), 2);
    cdn.snapshot.nodes.get_mut("ams-01").unwrap().status = Status::Offline;
    cdn.publish();
    assert_eq!(cdn.world().site(cdn.site("ams")).unwrap().edges.len(), 3);
}

/// Whatever fails, a decision names only nodes that may be used, each once, and only of one site.
#[test]
fn whatever_fails_only_usable_nodes_are_named() {
    let mut chance = Chance::new(seed());
    let states = [
        State::Up,
        State::Down,
        State::Degraded,
        State::Draining,
        State::Unknown,
    ];
    let statuses = [
        Status::Reported,
        Status::Online,
        Status::AdminDown,
        Status::Offline,
    ];
    for _ in 0..60 {
        let mut cdn = four_sites();
        for name in cdn.snapshot.nodes.keys().cloned().collect::<Vec<_>>() {
            let status = usize::try_from(chance.below(8)).unwrap();
            cdn.snapshot.nodes.get_mut(&name).unwrap().status =
                statuses.get(status).copied().unwrap_or_default();
            cdn.see_state(&name, states[usize::try_from(chance.below(5)).unwrap()]);
            let busy = chance.below(150) as f64 / 100.0;
            cdn.see(&name, |node| node.utilisation = Some(busy));
        }
        cdn.publish();
        for _ in 0..4 {
            cdn.wait(30);
            let world = cdn.world();
            for client in 0..50 {
                let ranking = [cdn.site("lhr"), cdn.site("ams"), cdn.site("iad")];
                let decision = decide(&world, &cdn.question(client, &ranking, chance.next_u64()));
                let Some(site) = decision.site else {
                    assert_eq!((decision.nodes.len(), decision.reason), (0, Reason::Nothing));
                    continue;
                };
                let now = world.site(site).unwrap();
                let mut seen: Vec<u8> = decision.nodes.iter().map(|choice| choice.edge.0).collect();
                assert!(!seen.is_empty());
                assert!(
                    seen.iter()
                        .all(|edge| now.edges[usize::from(*edge)].standing.is_usable())
                );
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), decision.nodes.len());
            }
        }
    }
}
