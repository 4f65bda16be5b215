//! Hundreds of histories in virtual time: nodes fall and rise, receivers misbehave, the monitor is killed anywhere.
//!
//! Whatever happens, a receiver sees of each key: trigger, resolve, trigger, … with nothing but exact repetitions in
//! between; and in the end what it believes is what is so.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use daemon::config::Secret;
use model::Moment;
use prometheus::Registry;
use serde_json::Value;
use testkit::{Chance, seed};

use super::cdn::{FIRST, MAIN, down, wrong};
use super::memory::{Disk, Life, Mortal};
use crate::alert::firing::Patience;
use crate::alert::fold::fold;
use crate::alert::metrics::AlertMetrics;
use crate::alert::outbox::Outbox;
use crate::alert::pagerduty::{PagerDuty, PagerDutySink};
use crate::alert::pending::Pending;
use crate::alert::retry::{Answer, Pace};
use crate::alert::round::{Round, Turn, World};
use crate::alert::sink::Request;
use crate::alert::storm::{MOST_TRIGGERS, WINDOW};
use crate::alert::wrong::Wrong;

const HISTORIES: u64 = 400;
/// Changing seconds of one history, before everything settles.
const SECONDS: u64 = 70;
const NODES: u64 = 12;
/// Every eighth history is a storm: more nodes, and many of them change at once.
const STORM: u64 = 8;
const PATIENCE: Patience = Patience {
    pending: Duration::from_secs(2),
    clear: Duration::from_secs(3),
};
const PACE: Pace = Pace {
    first_pause: Duration::from_secs(1),
    longest_pause: Duration::from_secs(8),
    timeout: Duration::from_secs(10),
};
/// More than the end of a storm and the longest pause take together.
const SECONDS_TO_CALM: u64 = 30;
/// Nothing changes while all settles, so the clock may leap; a minute has whole leaps.
const LEAP: u64 = 4;

/// The receiver, and the rest of the world.
struct Fate {
    now: Moment,
    chance: Chance,
    /// While it misbehaves.
    is_bad: bool,
    life: Life,
    events: Vec<Value>,
}

/// Clones are the same world.
#[derive(Clone)]
struct Shared(Rc<RefCell<Fate>>);

impl World for Shared {
    fn now(&self) -> Moment {
        self.0.borrow().now
    }

    fn chance(&mut self) -> f64 {
        self.0.borrow_mut().chance.below(1_000) as f64 / 1_000.0
    }

    fn post(&mut self, request: &Request) -> Answer {
        let mut fate = self.0.borrow_mut();
        let treatment = if fate.is_bad { fate.chance.below(12) } else { 11 };
        let status = |code| Answer::Status {
            code,
            retry_after: None,
            message: String::new(),
        };
        let is_heard = matches!(treatment, 0 | 1 | 6..);
        if is_heard {
            let event = serde_json::from_slice(&request.body).unwrap();
            fate.events.push(event);
        }
        match treatment {
            // Heard, and the answer lost; and the monitor killed before it could note anything.
            0 => Answer::Nothing("connection reset".to_owned()),
            1 => {
                fate.life.end_after(0);
                status(202)
            }
            2 => Answer::Nothing("timed out".to_owned()),
            3 => status(500),
            4 => status(429),
            5 => status(408),
            _ => status(202),
        }
    }
}

/// What happened in one history.
struct Lived {
    kills: usize,
    storms: usize,
}

/// One life of the monitor.
struct Monitor {
    pending: Pending,
    outbox: Arc<Outbox>,
    round: Round,
}

impl Monitor {
    fn start(disk: &Disk, life: &Life, pagerduty: &PagerDuty, has_peers: bool, now: Moment) -> Monitor {
        let names = [PagerDutySink::NAME];
        let metrics = AlertMetrics::register(&Registry::new(), &names).unwrap();
        let store = Mortal {
            store: disk.clone(),
            life: life.clone(),
        };
        let outbox = Arc::new(Outbox::open(Box::new(store), &names, metrics, now).unwrap());
        let sink = PagerDutySink::new(pagerduty.clone(), None);
        Monitor {
            pending: Pending::resume(MAIN, FIRST, PATIENCE, outbox.said(), has_peers),
            round: Round::new(Box::new(sink), outbox.clone(), PACE),
            outbox,
        }
    }

    /// One second; what fails because it was killed is not done.
    fn live(&mut self, wrong: &Wrong, world: &mut Shared) {
        let now = world.now();
        let changes = self.pending.evaluate(now, &fold(MAIN, wrong, now), &|_| true);
        if self.outbox.say(now, &changes).is_ok() {
            self.pending.committed(now, changes);
        }
        while matches!(self.round.turn(world), Ok(Turn::Busy)) {}
    }
}

fn key(event: &Value) -> String {
    event["dedup_key"].as_str().unwrap().to_owned()
}

/// What a receiver believes to fire.
fn believed(events: &[Value], history: u64) -> BTreeSet<String> {
    let mut of_keys: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for event in events {
        of_keys.entry(key(event)).or_default().push(event);
    }
    let mut believed = BTreeSet::new();
    for (key, mut events) in of_keys {
        events.dedup();
        for (index, event) in events.iter().enumerate() {
            let expected = ["trigger", "resolve"][index % 2];
            assert_eq!(
                event["event_action"], expected,
                "history {history}: {key}: {events:#?}"
            );
        }
        if events.len() % 2 == 1 {
            believed.insert(key);
        }
    }
    believed
}

/// How long it may take until all is told: should every node be down and none told of, and a minute's worth just have
/// been told, then one minute goes by before each further share.
fn seconds_to_settle(nodes: u64) -> u64 {
    WINDOW.as_secs() * nodes.div_ceil(MOST_TRIGGERS as u64) + SECONDS_TO_CALM
}

/// Four of the nodes are all that one site has; the rest have sites of their own, which cannot fall.
fn all_down(nodes: &BTreeSet<u64>) -> Wrong {
    let site = |node: u64| {
        if node < 4 {
            "ams".to_owned()
        } else {
            format!("site-{node}")
        }
    };
    wrong(
        nodes
            .iter()
            .map(|node| down(&format!("edge-{node}"), &site(*node))),
    )
}

fn live_through(history: u64, seed: u64, pagerduty: &PagerDuty) -> Lived {
    let mut chance = Chance::new(seed.wrapping_add(history));
    let disk = Disk::default();
    let fate = Fate {
        now: Moment::from_seconds(1_000_000),
        chance: chance.clone(),
        is_bad: true,
        life: Life::default(),
        events: Vec::new(),
    };
    let mut world = Shared(Rc::new(RefCell::new(fate)));
    let mut monitor: Option<Monitor> = None;
    let mut down_now: BTreeSet<u64> = BTreeSet::new();
    let mut kills = 0;
    let storm = if history.is_multiple_of(STORM) { 10 } else { 1 };
    let nodes = if storm > 1 { NODES * 4 } else { NODES };
    let settling = (SECONDS..=SECONDS + seconds_to_settle(nodes)).step_by(LEAP as usize);
    for second in (0..SECONDS).chain(settling) {
        world.0.borrow_mut().now = Moment::from_seconds(1_000_000 + second);
        let is_settling = second >= SECONDS;
        if is_settling {
            world.0.borrow_mut().is_bad = false;
        } else if chance.below(2) == 0 {
            for _ in 0..storm {
                let node = chance.below(nodes);
                if !down_now.remove(&node) {
                    down_now.insert(node);
                }
            }
        }
        let wrong = all_down(&down_now);
        let now = world.now();
        let running = monitor.get_or_insert_with(|| {
            let life = Life::default();
            world.0.borrow_mut().life = life.clone();
            let started = Monitor::start(&disk, &life, pagerduty, history.is_multiple_of(2), now);
            if !is_settling && chance.below(2) == 0 {
                life.end_after(chance.below(20 * storm));
            }
            started
        });
        running.live(&wrong, &mut world);
        if world.0.borrow().life.is_over() {
            monitor = None;
            kills += 1;
        }
    }
    let fate = world.0.borrow();
    let wanted = fold(MAIN, &all_down(&down_now), fate.now);
    let believed = believed(&fate.events, history);
    for key in wanted.alerts.keys() {
        assert!(
            believed.contains(key.as_str()),
            "history {history}: nobody was told of {key}"
        );
    }
    for key in believed {
        // What fired before its site did goes on to fire.
        let is_true = |wanted: &BTreeMap<_, _>| {
            wanted
                .keys()
                .any(|other: &crate::alert::key::Key| other.as_str() == key)
        };
        assert!(
            is_true(&wanted.alerts) || is_true(&wanted.inhibited),
            "history {history}: {key} was never resolved"
        );
    }
    Lived {
        kills,
        storms: fate
            .events
            .iter()
            .filter(|event| key(event).ends_with("storm"))
            .count(),
    }
}

#[test]
fn in_hundreds_of_histories_nothing_is_lost_reordered_or_left_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routing-key");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef").unwrap();
    let pagerduty = PagerDuty {
        endpoint: "http://pagerduty.example/v2/enqueue".to_owned(),
        routing_key: Secret::File(path),
    };
    let seed = seed();
    let lived: Vec<Lived> = (0..HISTORIES)
        .map(|history| live_through(history, seed, &pagerduty))
        .collect();
    let kills: usize = lived.iter().map(|lived| lived.kills).sum();
    let storms: usize = lived.iter().map(|lived| lived.storms).sum();
    println!("{kills} kills, {storms} events of storms");
    assert!(
        kills as u64 > HISTORIES && storms > 0,
        "{kills} kills, {storms} events of storms"
    );
}
