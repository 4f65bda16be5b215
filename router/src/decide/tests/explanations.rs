//! An explanation is the decision, and the scope it gives for caching is true.

use model::health::State;
use testkit::chance::{Chance, seed};

use super::super::{
    Family, Key, PREFIX_BITS_V4, PREFIX_BITS_V6, Question, Reason, SiteId, Step, World, decide, explain,
};
use super::cdn::{Cdn, cdn};

/// A world in which a bit of everything is wrong.
fn troubled(chance: &mut Chance) -> (Cdn, World) {
    let mut cdn = cdn(&[
        ("ams", 52.3, 4.8, 6),
        ("fra", 50.0, 8.6, 6),
        ("lhr", 51.5, -0.5, 6),
        ("waw", 52.2, 21.0, 6),
    ]);
    if chance.below(3) == 0 {
        cdn.route(|routing| routing.dispersion = 2);
    }
    let mut busy = |most: u64| chance.below(most) as f64 / 100.0;
    for site in ["ams", "fra", "lhr", "waw"] {
        let mean = busy(140);
        for node in cdn.nodes_of(site) {
            let busy = mean * (0.5 + busy(100));
            cdn.see(&node, |node| node.utilisation = Some(busy));
        }
    }
    for site in ["ams", "waw"] {
        cdn.see_state(&format!("{site}-0{}", chance.below(6)), State::Down);
    }
    for _ in 0..5 {
        cdn.wait(30);
        cdn.world();
    }
    let world = cdn.world();
    (cdn, world)
}

fn any_question<'r>(cdn: &Cdn, chance: &mut Chance, ranking: &'r [SiteId]) -> Question<'r> {
    let hash = chance.below(1000);
    let client = u32::try_from(chance.below(100_000)).unwrap();
    Question {
        key: if chance.below(2) == 0 {
            Key::Host(hash)
        } else {
            Key::Content(hash)
        },
        wants: [None, Some(Family::Ipv4), Some(Family::Ipv6)][usize::try_from(chance.below(3)).unwrap()],
        ..cdn.question(client, ranking, 0)
    }
}

#[test]
fn an_explanation_comes_to_the_decision_and_its_steps_bear_it_out() {
    let mut chance = Chance::new(seed());
    for _ in 0..20 {
        let (cdn, world) = troubled(&mut chance);
        let ranking = [cdn.site("ams"), cdn.site("fra"), cdn.site("lhr")];
        for _ in 0..100 {
            let question = any_question(&cdn, &mut chance, &ranking);
            let (explained, steps) = explain(&world, &question);
            assert_eq!(explained, decide(&world, &question));
            let last = Step::Decided {
                reason: explained.reason,
                by_prefix: explained.by_prefix,
            };
            assert_eq!(steps.last(), Some(&last));
            let places = steps
                .iter()
                .filter(|step| matches!(step, Step::Place { .. }))
                .count();
            assert_eq!(places, explained.nodes.len());
            let spills = steps
                .iter()
                .any(|step| matches!(step, Step::TakenIn { taken_in: true, .. }));
            assert_eq!(spills, explained.reason == Reason::Spill, "{steps:?}");
        }
    }
}

#[test]
fn steps_are_data_that_a_page_can_show() {
    let mut cdn = cdn(&[("ams", 52.3, 4.8, 2), ("fra", 50.0, 8.6, 2)]);
    for node in cdn.nodes_of("ams") {
        cdn.see_state(&node, State::Down);
    }
    let world = cdn.world();
    let ranking = [cdn.site("ams"), cdn.site("fra")];
    let (_, steps) = explain(&world, &cdn.question(1, &ranking, 5));
    let json = serde_json::to_value(&steps).unwrap();
    let kinds: Vec<&str> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "asked",
            "site-down",
            "stays",
            "node",
            "node",
            "place",
            "place",
            "decided"
        ]
    );
    assert_eq!(json[0]["service"], "films");
    assert_eq!(json[1]["site"], "ams");
    assert_eq!(json[7]["reason"], "failover");
}

/// Resolvers give the answer for one client to all in its scope (RFC 7871). Of networks with one ranking all say alike
/// whether prefixes took part; where they did not, all are sent to the same nodes, and where they did, all of one /24
/// or /48 are.
#[test]
fn an_answer_holds_for_its_whole_scope() {
    let mut chance = Chance::new(seed());
    for _ in 0..30 {
        let (cdn, world) = troubled(&mut chance);
        let ranking = [cdn.site("waw"), cdn.site("fra"), cdn.site("ams")];
        for _ in 0..20 {
            let asked = any_question(&cdn, &mut chance, &ranking);
            let decision = decide(&world, &asked);
            for _ in 0..10 {
                let elsewhere = Question {
                    client: super::cdn::address(u32::try_from(chance.below(100_000)).unwrap()),
                    ..asked
                };
                let other = decide(&world, &elsewhere);
                assert_eq!(other.by_prefix, decision.by_prefix);
                if !decision.by_prefix {
                    assert_eq!(other, decision);
                }
            }
            let neighbour = Question {
                client: within_prefix(asked.client, &mut chance),
                ..asked
            };
            assert_eq!(decide(&world, &neighbour), decision);
        }
    }
}

/// Another address of the same /24 or /48.
fn within_prefix(client: std::net::IpAddr, chance: &mut Chance) -> std::net::IpAddr {
    let drawn = chance.next_u64();
    match client {
        std::net::IpAddr::V4(address) => {
            let free = u32::MAX >> PREFIX_BITS_V4;
            let drawn = u32::try_from(drawn >> 32).unwrap();
            std::net::Ipv4Addr::from_bits(address.to_bits() & !free | drawn & free).into()
        }
        std::net::IpAddr::V6(address) => {
            let free = u128::MAX >> PREFIX_BITS_V6;
            std::net::Ipv6Addr::from_bits(address.to_bits() & !free | u128::from(drawn) & free).into()
        }
    }
}
