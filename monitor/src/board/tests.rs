//! Stories of the board, in virtual time: events in, publications out.

use std::collections::BTreeMap;
use std::time::Duration;

use model::health::{Beat, Cause, CauseKind, DiskCounts, NodeView, State, View};
use model::{Moment, Snapshot};

use views::Heard;

use super::*;
use crate::judge::{Family, Limits, Patience, Policy, Ramp};
use crate::probe::{Finding, Probed};

const POLICY: Policy = Policy {
    patience: Patience {
        fall: 3,
        rise: 3,
        hold_down: Duration::from_secs(30),
        longest_hold_down: Duration::from_secs(300),
        memory: Duration::from_secs(900),
    },
    ramp: Ramp {
        length: Duration::from_secs(300),
    },
    limits: Limits {
        load_per_core: 0.0,
        bandwidth_share: 0.0,
        disk_errors_per_minute: 0.0,
        hit_ratio_least: 0.0,
        hit_ratio_requests: 1,
    },
};

const NODES: [&str; 6] = ["a1", "a2", "a3", "b1", "b2", "b3"];

/// A board of two sites of three nodes each, with its time.
struct Story {
    board: Board,
    now: Moment,
}

impl Story {
    fn new() -> Story {
        let node = |name: &str, number: usize| {
            format!(
                r#""{name}":{{"tier":"edge","site":"{}","http":"192.0.2.{number}:80"}}"#,
                &name[..1]
            )
        };
        let nodes: Vec<String> = NODES
            .iter()
            .zip(1..)
            .map(|(name, number)| node(name, number))
            .collect();
        let text = format!(
            r#"{{"cdn":"t","number":1,"services":{{}},"nodes":{{{}}},"sites":{{
            "a":{{"region":"eu","latitude":0,"longitude":0}},"b":{{"region":"us","latitude":0,"longitude":90}}}}}}"#,
            nodes.join(",")
        );
        let snapshot = Snapshot::from_json(text.as_bytes()).unwrap();
        let now = Moment::from_seconds(1_000_000);
        let peers = ["m2".to_owned(), "m3".to_owned()];
        let board = Board::new("m1", &peers, POLICY, Arc::new(snapshot), now);
        let mut story = Story { board, now };
        for name in NODES {
            story.answers(name);
        }
        story.hear_all_well();
        story.settle();
        story
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now = self.now + Duration::from_millis(milliseconds);
    }

    fn probed(&mut self, node: &str, finding: Finding) -> Vec<Command> {
        let probed = Probed {
            node: node.to_owned(),
            family: Family::V4,
            at: self.now,
            finding,
        };
        self.board.apply(self.now, Event::Probed(probed))
    }

    fn answers(&mut self, node: &str) {
        self.probed(
            node,
            Finding::Serving {
                started: None,
                disks: None,
            },
        );
    }

    fn refuses(&mut self, node: &str) {
        self.probed(node, Finding::Failed(Cause::new(CauseKind::Refused, "refused")));
    }

    fn settle(&mut self) -> Settled {
        self.board.settle(self.now)
    }

    /// A peer sees these nodes in this state, and all others up.
    fn hear(&mut self, peer: &str, nodes: &[(&str, State)]) -> Vec<Command> {
        let seen = |name: &str| {
            let state = nodes
                .iter()
                .find(|(node, _)| *node == name)
                .map_or(State::Up, |(_, state)| *state);
            NodeView {
                state,
                weight: 1.0,
                failing: state == State::Down,
                ipv4: None,
                ipv6: None,
                utilisation: None,
                cause: None,
                since: self.now,
            }
        };
        let nodes: BTreeMap<String, NodeView> = NODES
            .iter()
            .map(|name| ((*name).to_owned(), seen(name)))
            .collect();
        let view = View {
            monitor: peer.to_owned(),
            epoch: 1,
            sequence: 1,
            suspect: None,
            nodes,
        };
        let heard = Heard::View(Arc::new(view));
        self.board.apply(
            self.now,
            Event::Peer(Told {
                name: peer.to_owned(),
                heard,
            }),
        )
    }

    /// A peer sees just what this monitor sees.
    fn hear_the_same(&mut self, peer: &str) {
        let view = View {
            monitor: peer.to_owned(),
            ..self.board.view().clone()
        };
        let heard = Heard::View(Arc::new(view));
        let name = peer.to_owned();
        self.board.apply(self.now, Event::Peer(Told { name, heard }));
    }

    /// So many seconds without a peer, in which these nodes fail.
    fn cut_off(&mut self, seconds: u64, nodes: &[&str]) {
        for _ in 0..seconds {
            self.wait(1000);
            for name in nodes {
                self.refuses(name);
            }
            self.settle();
        }
    }

    fn all_merged_well(&self) -> bool {
        let mut merged = self.board.merged().nodes.values();
        merged.all(|node| node.state == State::Up && node.weight == 1.0)
    }

    fn hear_all_well(&mut self) {
        for peer in ["m2", "m3"] {
            self.hear(peer, &[]);
        }
    }

    fn beat(&mut self, node: &str, connection: u64, draining: bool) -> Vec<Command> {
        let beat = Beat {
            node: node.to_owned(),
            started: 1,
            sequence: 1,
            ready: !draining,
            draining,
            disks: DiskCounts::default(),
        };
        self.board.apply(self.now, Event::Beat { connection, beat })
    }

    fn own(&self, node: &str) -> State {
        self.board.view().nodes[node].state
    }

    fn merged(&self, node: &str) -> State {
        self.board.merged().nodes[node].state
    }
}

fn looks(commands: &[Command]) -> Vec<&str> {
    let look = |command: &'_ Command| match command {
        Command::Look(node) => Some(
            NODES
                .iter()
                .position(|name| name == node)
                .map(|place| NODES[place])
                .unwrap(),
        ),
        _ => None,
    };
    commands.iter().filter_map(look).collect()
}

/// What those who probe the node are told to expect.
fn expected(commands: &[Command], name: &str) -> Vec<bool> {
    let expected = |command: &Command| match command {
        Command::Expect { node, answer, .. } if node == name => Some(*answer),
        _ => None,
    };
    commands.iter().filter_map(expected).collect()
}

#[test]
fn a_node_that_is_killed_is_seen_at_once_here_and_merged_when_another_says_so_too() {
    let mut story = Story::new();
    story.beat("a1", 1, false);
    story.wait(1000);
    let lost = Cause::new(CauseKind::Reset, "its stream broke");
    let event = Event::StreamLost {
        node: "a1".into(),
        connection: 1,
        cause: lost,
    };
    assert_eq!(looks(&story.board.apply(story.now, event)), ["a1"]);
    let settled = story.settle();
    let Some(Bulletin::Diff(diff)) = settled.bulletin else {
        panic!("others are told that it fails")
    };
    assert!(diff.nodes["a1"].failing);
    story.refuses("a1");
    story.wait(1000);
    story.refuses("a1");
    let settled = story.settle();
    assert_eq!((story.own("a1"), story.merged("a1")), (State::Down, State::Up));
    assert_eq!(expected(&settled.commands, "a1"), [false]);
    story.hear("m2", &[("a1", State::Down)]);
    let settled = story.settle();
    assert_eq!(story.merged("a1"), State::Down);
    assert_eq!(settled.happenings.len(), 1);
    assert_eq!(
        settled.happenings[0].cause.as_ref().unwrap().kind,
        CauseKind::Refused
    );
}

#[test]
fn a_stream_that_falls_silent_is_noticed_after_two_and_a_half_seconds() {
    let mut story = Story::new();
    story.beat("a1", 1, false);
    story.wait(2400);
    assert!(looks(&story.settle().commands).is_empty());
    story.wait(100);
    assert_eq!(looks(&story.settle().commands), ["a1"]);
    story.wait(100);
    assert!(looks(&story.settle().commands).is_empty(), "once is enough");
    assert!(story.board.view().nodes["a1"].failing);
}

#[test]
fn a_late_word_of_an_old_stream_counts_no_more() {
    let mut story = Story::new();
    story.beat("a1", 1, true);
    story.beat("a1", 2, false);
    story.beat("a1", 1, true);
    let lost = Event::StreamLost {
        node: "a1".into(),
        connection: 1,
        cause: Cause::new(CauseKind::Reset, ""),
    };
    assert!(story.board.apply(story.now, lost).is_empty());
    story.settle();
    assert_eq!(story.own("a1"), State::Up);
    story.beat("a1", 2, true);
    story.settle();
    assert_eq!(story.own("a1"), State::Draining);
}

#[test]
fn what_newly_fails_at_a_peer_is_looked_at_here() {
    let mut story = Story::new();
    assert_eq!(looks(&story.hear("m2", &[("b2", State::Down)])), ["b2"]);
    assert!(
        looks(&story.hear("m2", &[("b2", State::Down)])).is_empty(),
        "it is not new"
    );
}

#[test]
fn a_monitor_that_is_cut_off_abstains_and_takes_nothing_out() {
    let mut story = Story::new();
    story.wait(11_000);
    for _ in 0..3 {
        for name in NODES {
            story.refuses(name);
        }
        story.wait(1000);
    }
    let settled = story.settle();
    assert!(
        story
            .board
            .view()
            .suspect
            .as_ref()
            .unwrap()
            .contains("0 of its 2 peers")
    );
    assert!(!story.board.merged().quorum);
    for name in NODES {
        assert_eq!((story.own(name), story.merged(name)), (State::Down, State::Up));
    }
    assert!(
        settled
            .happenings
            .iter()
            .any(|happening| happening.to.starts_with("suspect"))
    );
    for name in NODES {
        story.answers(name);
    }
    story.hear_all_well();
    story.settle();
    assert_eq!(story.board.view().suspect, None);
    assert!(story.board.merged().quorum);
}

#[test]
fn when_two_monitors_of_three_were_cut_off_nothing_is_down_after_it() {
    // Where one site alone fails there is no doubt until the peers are out of sight too.
    let (all, one_site) = (&NODES[..], &NODES[..3]);
    for (seconds, failing) in [(40, all), (90, all), (40, one_site)] {
        let mut story = Story::new();
        story.cut_off(seconds, failing);
        assert!(failing.iter().all(|name| story.own(name) == State::Down));
        let mut looked = 0;
        // The two that were cut off hear each other first; then the third, and their nodes one by one.
        for answering in 0..=failing.len() {
            failing[..answering].iter().for_each(|name| story.answers(name));
            story.hear_the_same("m2");
            if answering > 0 {
                story.hear("m3", &[]);
            }
            looked += looks(&story.settle().commands).len();
            assert!(story.all_merged_well(), "{answering} answer after {seconds} s");
            story.wait(300);
        }
        assert_eq!(story.board.view().suspect, None);
        for (name, node) in &story.board.view().nodes {
            assert_eq!((node.state, node.weight), (State::Up, 1.0), "{name}");
        }
        assert!(looked > 0, "what was not seen again yet is looked at");
    }
}

#[test]
fn what_died_while_the_monitor_was_cut_off_is_down_at_the_next_look() {
    let mut story = Story::new();
    story.cut_off(40, &NODES);
    story.hear("m2", &[("a1", State::Down)]);
    story.hear("m3", &[("a1", State::Down)]);
    for name in &NODES[1..] {
        story.answers(name);
    }
    assert_eq!(looks(&story.settle().commands), ["a1"]);
    assert_eq!(
        (story.own("a1"), story.merged("a1")),
        (State::Unknown, State::Down)
    );
    story.refuses("a1");
    story.settle();
    assert_eq!((story.own("a1"), story.merged("a1")), (State::Down, State::Down));
    assert!(NODES[1..].iter().all(|name| story.merged(name) == State::Up));
}

#[test]
fn two_sites_that_fail_at_once_are_believed_when_a_peer_sees_it_too() {
    let mut story = Story::new();
    story.wait(2000);
    for name in ["a1", "b1"] {
        story.refuses(name);
    }
    story.settle();
    assert!(
        story
            .board
            .view()
            .suspect
            .as_ref()
            .unwrap()
            .contains("failed at once")
    );
    for _ in 0..2 {
        for name in ["a1", "b1"] {
            story.refuses(name);
        }
        story.wait(1000);
        story.settle();
    }
    story.hear("m3", &[("a1", State::Down), ("b1", State::Down)]);
    story.settle();
    assert_eq!(story.board.view().suspect, None);
    for name in ["a1", "b1"] {
        assert_eq!((story.own(name), story.merged(name)), (State::Down, State::Down));
    }
}

#[test]
fn peers_that_see_old_failures_too_do_not_confirm_new_ones() {
    let mut story = Story::new();
    let old = [("a1", State::Down), ("b1", State::Down)];
    for name in ["a1", "b1"] {
        story.wait(20_000);
        story.refuses(name);
    }
    story.wait(20_000);
    for peer in ["m2", "m3"] {
        story.hear(peer, &old);
    }
    story.settle();
    assert_eq!(story.board.view().suspect, None);
    for name in ["a2", "b2"] {
        story.refuses(name);
    }
    story.settle();
    assert!(story.board.view().suspect.is_some());
    story.hear("m2", &[old[0], old[1], ("a2", State::Down)]);
    story.settle();
    assert_eq!(story.board.view().suspect, None);
}

#[test]
fn one_that_lies_changes_nothing_in_the_merge() {
    let mut story = Story::new();
    let all_down: Vec<(&str, State)> = NODES.iter().map(|name| (*name, State::Down)).collect();
    story.hear("m2", &all_down);
    story.settle();
    assert!(NODES.iter().all(|name| story.merged(name) == State::Up));
    assert_eq!(
        story.board.merged().nodes["a1"].votes["m2"],
        State::Down,
        "and it is shown"
    );
}

#[test]
fn a_new_monitor_abstains_until_it_has_seen_every_node() {
    let mut story = Story::new();
    let snapshot = Arc::clone(&story.board.snapshot);
    story.board = Board::new("m1", &["m2".into(), "m3".into()], POLICY, snapshot, story.now);
    story.hear_all_well();
    story.answers("a1");
    story.settle();
    assert!(
        story
            .board
            .view()
            .suspect
            .as_ref()
            .unwrap()
            .contains("just started")
    );
    NODES.iter().for_each(|name| story.answers(name));
    story.settle();
    assert_eq!(story.board.view().suspect, None);
}

#[test]
fn every_second_something_is_sent_and_a_change_at_once() {
    let mut story = Story::new();
    assert!(story.settle().bulletin.is_none());
    story.wait(1000);
    assert!(matches!(story.settle().bulletin, Some(Bulletin::Heartbeat(_))));
    story.wait(20);
    story.beat("b3", 1, true);
    assert!(matches!(story.settle().bulletin, Some(Bulletin::Diff(_))));
}

#[test]
fn a_node_that_leaves_the_snapshot_is_not_watched_any_more() {
    let mut story = Story::new();
    let mut snapshot = Snapshot::clone(&story.board.snapshot);
    snapshot.nodes.remove("b3");
    let commands = story.board.apply(story.now, Event::Snapshot(Arc::new(snapshot)));
    assert!(matches!(commands[..], [Command::Follow(_)]));
    let Some(Bulletin::Diff(diff)) = story.settle().bulletin else {
        panic!("others are told")
    };
    assert_eq!(diff.gone, ["b3"]);
    story.refuses("b3");
    assert!(!story.board.merged().nodes.contains_key("b3"));
}

#[test]
fn a_node_that_is_down_and_gets_a_new_address_is_still_expected_to_be_silent() {
    let mut story = Story::new();
    story.wait(1000);
    for _ in 0..3 {
        story.refuses("a1");
        story.wait(1000);
    }
    assert_eq!(expected(&story.settle().commands, "a1"), [false]);
    assert!(
        expected(&story.settle().commands, "a1").is_empty(),
        "once is enough"
    );
    let mut snapshot = Snapshot::clone(&story.board.snapshot);
    snapshot.nodes.get_mut("a1").unwrap().http = Some("192.0.2.99:80".parse().unwrap());
    story.board.apply(story.now, Event::Snapshot(Arc::new(snapshot)));
    assert_eq!(
        expected(&story.settle().commands, "a1"),
        [false],
        "what probes it now knows nothing"
    );
}
