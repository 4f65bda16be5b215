//! Monitors fail, lie, or are too many to be believed.

use model::health::{Ballot, FamilyView, Merged, NodeView, State, View, merge};
use model::{Moment, Status};
use testkit::chance::Chance;

use super::super::availability::Age;
use super::super::{Family, Question, Reason, SiteId, Standing, World, decide};
use super::cdn::Cdn;
use super::failures::{ask, four_sites};

/// What a few hundred clients of all kinds are told.
fn decisions(cdn: &Cdn, world: &World) -> Vec<(Option<SiteId>, Vec<u8>, Reason)> {
    let mut chance = Chance::new(7);
    let ranking = [cdn.site("ams"), cdn.site("fra")];
    let ask = |_| {
        let client = u32::try_from(chance.below(5000)).unwrap();
        let question = Question {
            wants: [None, Some(Family::Ipv4), Some(Family::Ipv6)][usize::try_from(chance.below(3)).unwrap()],
            ..cdn.question(client, &ranking, chance.next_u64())
        };
        let decision = decide(world, &question);
        let nodes = decision.nodes.iter().map(|choice| choice.edge.0).collect();
        (decision.site, nodes, decision.reason)
    };
    (0..300).map(ask).collect()
}

fn view(state: State, cdn: &Cdn) -> View {
    let node = NodeView {
        state,
        weight: if state == State::Up { 1.0 } else { 0.0 },
        failing: false,
        ipv4: Some(FamilyView::Up),
        ipv6: Some(FamilyView::Up),
        utilisation: Some(0.5),
        cause: None,
        since: Moment(0),
    };
    View {
        nodes: cdn
            .snapshot
            .nodes
            .keys()
            .map(|name| (name.clone(), node.clone()))
            .collect(),
        ..View::default()
    }
}

fn merged(cdn: &Cdn, views: [Option<&View>; 3], before: &Merged) -> Merged {
    let ballots = ["m1", "m2", "m3"].into_iter().zip(views);
    let ballots: Vec<Ballot<'_>> = ballots
        .map(|(monitor, view)| Ballot {
            monitor,
            view,
            heard: cdn.now,
        })
        .collect();
    merge(before, &ballots, &cdn.snapshot, cdn.now)
}

#[test]
fn one_monitor_of_three_that_says_all_are_down_changes_no_decision() {
    let mut cdn = four_sites();
    let (up, down) = (view(State::Up, &cdn), view(State::Down, &cdn));
    cdn.merged = merged(&cdn, [Some(&up), Some(&up), Some(&up)], &Merged::default());
    let world = cdn.world();
    let before = decisions(&cdn, &world);
    cdn.wait(30);
    cdn.merged = merged(&cdn, [Some(&up), Some(&down), Some(&up)], &cdn.merged);
    let world = cdn.world();
    assert_eq!(decisions(&cdn, &world), before);
}

#[test]
fn without_monitors_nothing_changes_for_five_minutes_and_then_the_dead_are_tried_again() {
    let mut cdn = four_sites();
    let mut well = view(State::Up, &cdn);
    for down in ["ams-00", "fra-01"] {
        well.nodes.get_mut(down).unwrap().state = State::Down;
    }
    // A crowded site and a crowded edge: what was done about them stays too.
    for (name, node) in &mut well.nodes {
        if name.starts_with("ams") {
            node.utilisation = Some(if name == "ams-02" { 1.4 } else { 0.9 });
        }
    }
    cdn.snapshot.nodes.get_mut("ams-03").unwrap().status = Status::AdminDown;
    cdn.publish();
    for _ in 0..6 {
        cdn.merged = merged(&cdn, [Some(&well), Some(&well), Some(&well)], &cdn.merged);
        cdn.world();
        cdn.wait(10);
    }
    cdn.merged = merged(&cdn, [Some(&well), Some(&well), Some(&well)], &cdn.merged);
    let world = cdn.world();
    let before = decisions(&cdn, &world);
    assert!(before.iter().any(|(_, _, reason)| *reason == Reason::Spill));
    for second in (10..300).step_by(10) {
        cdn.wait(10);
        cdn.merged = merged(&cdn, [None, None, None], &cdn.merged);
        let world = cdn.world();
        assert_eq!((world.health, world.panic), (Age::Frozen, false));
        assert_eq!(decisions(&cdn, &world), before, "after {second} s");
    }
    cdn.wait(10);
    cdn.merged = merged(&cdn, [None, None, None], &cdn.merged);
    let world = cdn.world();
    assert_eq!(world.health, Age::Lost);
    let ams = &world.site(cdn.site("ams")).unwrap().edges;
    assert_eq!((ams[0].standing, ams[0].weight), (Standing::Unknown, 0.5));
    assert_eq!((ams[1].standing, ams[1].weight), (Standing::Up, 1.0));
    assert_eq!((ams[3].standing, ams[3].weight), (Standing::AdminDown, 0.0));
    // What was steered by load goes back step by step.
    for _ in 0..40 {
        cdn.wait(30);
        cdn.unheard_world();
    }
    let world = cdn.unheard_world();
    let ams = world.site(cdn.site("ams")).unwrap();
    assert_eq!((ams.share.accept, ams.share.headroom), (1.0, None));
    assert!(ams.edges.iter().all(|edge| edge.skip == 0.0));
    // One word of a majority, and it is as it is.
    cdn.merged = merged(&cdn, [Some(&well), Some(&well), None], &cdn.merged);
    assert_eq!(cdn.world().health, Age::Fresh);
}

#[test]
fn a_router_that_never_heard_a_monitor_sends_clients_to_all_nodes() {
    let mut cdn = four_sites();
    cdn.health = Default::default();
    let world = cdn.unheard_world();
    assert_eq!(world.health, Age::Lost);
    let decision = ask(&cdn, &world, None);
    assert_eq!((decision.nodes.len(), decision.reason), (4, Reason::Geography));
}

#[test]
fn if_nearly_everything_looks_down_the_monitors_are_not_believed() {
    let mut cdn = four_sites();
    let world = cdn.world();
    let before = decisions(&cdn, &world);
    for node in cdn.snapshot.nodes.keys().cloned().collect::<Vec<_>>() {
        cdn.see_state(&node, State::Down);
        cdn.see(&node, |node| node.ipv6 = Some(FamilyView::Down));
    }
    cdn.see_state("ams-02", State::Draining);
    cdn.snapshot.nodes.get_mut("fra-03").unwrap().status = Status::AdminDown;
    cdn.publish();
    let world = cdn.world();
    assert!(world.panic);
    let decision = ask(&cdn, &world, Some(Family::Ipv6));
    assert_eq!((decision.reason, decision.nodes.len()), (Reason::Panic, 3));
    assert_eq!(
        world.site(cdn.site("fra")).unwrap().edges[3].standing,
        Standing::AdminDown
    );
    assert!(
        decisions(&cdn, &world)
            .iter()
            .zip(before)
            .all(|(now, before)| now.0 == before.0)
    );
}

#[test]
fn many_nodes_down_are_believed_as_long_as_others_have_room() {
    let mut cdn = four_sites();
    for site in ["ams", "fra", "iad"] {
        for node in cdn.nodes_of(site) {
            cdn.see_state(&node, State::Down);
        }
    }
    for (busy, panic) in [(None, false), (Some(0.5), false), (Some(0.95), true)] {
        cdn.see_site("lhr", |node| node.utilisation = busy);
        let world = cdn.world();
        assert_eq!(world.panic, panic, "{busy:?}");
        let reason = ask(&cdn, &world, None).reason;
        assert_eq!(reason, if panic { Reason::Panic } else { Reason::Failover });
    }
    // Half of all is not most.
    for node in cdn.nodes_of("iad") {
        cdn.see_state(&node, State::Up);
    }
    cdn.see_site("iad", |node| node.utilisation = Some(0.95));
    assert!(!cdn.world().panic);
}
