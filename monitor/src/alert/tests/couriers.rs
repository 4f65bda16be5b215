//! Couriers, the outbox on a real disk, and receivers over real HTTP that misbehave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::clock;
use daemon::config::Secret;
use model::Moment;
use prometheus::Registry;
use redb::Database;
use tempfile::TempDir;
use testkit::{Chance, eventually, seed};

use super::cdn::{FIRST, MAIN, down, wrong};
use super::memory::{Life, Mortal};
use super::receiver::{Receiver, Treatment};
use crate::alert::alertmanager::Alertmanager;
use crate::alert::authorization::Authorization;
use crate::alert::firing::Patience;
use crate::alert::outbox::Outcome;
use crate::alert::outbox::store::RedbStore;
use crate::alert::pagerduty::PagerDuty;
use crate::alert::retry::Pace;
use crate::alert::wrong::Wrong;
use crate::alert::{AlertConfig, Alerts};

const SOON: Duration = Duration::from_secs(20);

/// A folder with a routing key, and a database that may be opened again and again.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "0123456789abcdef0123456789abcdef").unwrap();
        Machine { folder }
    }

    fn secret(&self) -> Secret {
        Secret::File(self.folder.path().join("secret"))
    }

    fn config(&self, pagerduty: Option<&Receiver>, alertmanager: Option<&Receiver>) -> AlertConfig {
        AlertConfig {
            cdn: MAIN.to_owned(),
            monitor: FIRST.to_owned(),
            has_peers: false,
            patience: Patience {
                pending: Duration::ZERO,
                clear: Duration::ZERO,
            },
            pace: Pace {
                first_pause: Duration::from_millis(2),
                longest_pause: Duration::from_millis(20),
                timeout: Duration::from_secs(2),
            },
            pagerduty: pagerduty.map(|receiver| PagerDuty {
                endpoint: format!("{}/v2/enqueue", receiver.url()),
                routing_key: self.secret(),
            }),
            alertmanager: alertmanager.map(|receiver| Alertmanager {
                url: receiver.url(),
                authorization: Some(Authorization::Bearer(self.secret())),
            }),
            console_url: None,
        }
    }

    /// The file is locked until the last courier of the life before has left.
    fn database(&self) -> Arc<Database> {
        let path = self.folder.path().join("monitor.redb");
        Arc::new(eventually(SOON, || Database::create(&path)))
    }

    fn start(&self, config: AlertConfig) -> Alerts {
        Alerts::open(config, self.database(), &Registry::new()).unwrap()
    }

    /// Starts a process that will be killed when [`Life`] says so.
    fn start_mortal(&self, config: AlertConfig, life: &Life) -> Alerts {
        let store = Mortal {
            store: RedbStore::new(self.database()),
            life: life.clone(),
        };
        Alerts::open_on(config, Box::new(store), &Registry::new()).unwrap()
    }
}

fn is_down(alerts: &Alerts, nodes: &[&str]) {
    let wrong = wrong(nodes.iter().map(|node| down(node, &format!("site-of-{node}"))));
    alerts.evaluate(now(), &wrong, &|_| true);
}

/// Couriers have a real clock.
fn now() -> Moment {
    Moment(clock::now_millis())
}

#[test]
fn an_alert_reaches_both_receivers_in_their_own_words() {
    let (machine, pagerduty, alertmanager) =
        (Machine::new(), Receiver::following([]), Receiver::following([]));
    let alerts = machine.start(machine.config(Some(&pagerduty), Some(&alertmanager)));
    is_down(&alerts, &["edge-1"]);
    assert_eq!(alerts.firing().len(), 1);
    eventually(SOON, || {
        pagerduty.accepted().len() == 1 && alertmanager.accepted().len() == 1
    });
    is_down(&alerts, &[]);
    assert!(alerts.firing().is_empty());
    eventually(SOON, || {
        pagerduty.accepted().len() == 2 && alertmanager.accepted().len() == 2
    });
    alerts.close();
    assert_eq!(
        pagerduty.events(),
        ["trigger node/edge-1/down", "resolve node/edge-1/down"]
    );
    assert_eq!(pagerduty.accepted()[0].path, "/v2/enqueue");
    let posted = &alertmanager.accepted()[0];
    assert_eq!(posted.path, "/api/v2/alerts");
    assert_eq!(posted.body[0]["labels"]["node"], "edge-1");
    let authorization = "authorization: Bearer 0123456789abcdef0123456789abcdef";
    assert!(
        posted.headers.iter().any(|line| line == authorization),
        "{posted:?}"
    );
}

#[test]
fn while_too_few_monitors_count_nothing_ends_also_after_a_restart() {
    let (machine, receiver) = (Machine::new(), Receiver::following([]));
    let alerts = machine.start(machine.config(Some(&receiver), None));
    is_down(&alerts, &["edge-1"]);
    eventually(SOON, || receiver.accepted().len() == 1);
    alerts.close();
    drop(alerts);
    let alerts = machine.start(machine.config(Some(&receiver), None));
    let unknown = Wrong {
        quorum_lost: Some("two of three are away".to_owned()),
        ..Wrong::default()
    };
    for _ in 0..3 {
        alerts.evaluate(now(), &unknown, &|_| true);
        assert_eq!(alerts.firing().len(), 2, "what fired, and that nobody knows");
    }
    is_down(&alerts, &["edge-1"]);
    is_down(&alerts, &[]);
    eventually(SOON, || alerts.metrics.queue_length("pagerduty") == 0);
    alerts.close();
    let mut events = receiver.events();
    assert_eq!(events.remove(0), "trigger node/edge-1/down");
    assert_eq!(events.pop().as_deref(), Some("resolve node/edge-1/down"));
    assert!(events.iter().all(|event| event.contains("quorum")), "{events:?}");
}

#[test]
fn a_wall_clock_that_was_set_since_the_start_delays_and_loses_nothing() {
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));
    for monitors_clock in [now() + 30 * minute, now() - 2 * day] {
        let (machine, receiver) = (Machine::new(), Receiver::following([]));
        let alerts = machine.start(machine.config(Some(&receiver), None));
        alerts.evaluate(monitors_clock, &wrong([down("edge-1", "ams")]), &|_| true);
        eventually(SOON, || receiver.accepted().len() == 1);
        alerts.evaluate(monitors_clock, &Wrong::default(), &|_| true);
        eventually(SOON, || receiver.accepted().len() == 2);
        alerts.close();
    }
}

#[test]
fn a_receiver_that_fails_in_every_way_gets_everything_in_order_in_the_end() {
    let machine = Machine::new();
    let receiver = Receiver::following([
        Treatment::Answer(429, "retry-after: 0\r\n"),
        Treatment::Answer(500, ""),
        Treatment::Reset,
        Treatment::AcceptAndClose,
        Treatment::Answer(503, "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
    ]);
    let alerts = machine.start(machine.config(Some(&receiver), None));
    is_down(&alerts, &["edge-1"]);
    eventually(SOON, || receiver.requests() >= 6);
    is_down(&alerts, &[]);
    eventually(SOON, || alerts.metrics.queue_length("pagerduty") == 0);
    alerts.close();
    assert_eq!(
        receiver.events(),
        [
            "trigger node/edge-1/down",
            "trigger node/edge-1/down",
            "resolve node/edge-1/down"
        ]
    );
    assert_eq!(
        receiver.accepted()[0].body,
        receiver.accepted()[1].body,
        "a repetition is exact"
    );
    let sent = |outcome| alerts.metrics.sent("pagerduty", outcome);
    assert_eq!(
        [Outcome::Delivered, Outcome::Retried, Outcome::Refused].map(sent),
        [2, 5, 0]
    );
}

#[test]
fn retry_after_is_waited_for() {
    let machine = Machine::new();
    let receiver = Receiver::following([Treatment::Answer(429, "retry-after: 1\r\n")]);
    let alerts = machine.start(machine.config(Some(&receiver), None));
    let start = Instant::now();
    is_down(&alerts, &["edge-1"]);
    eventually(SOON, || receiver.accepted().len() == 1);
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(receiver.requests(), 2);
    alerts.close();
}

#[test]
fn what_is_refused_is_not_sent_again_and_its_resolve_neither() {
    let machine = Machine::new();
    let receiver = Receiver::judging(|body| match body["dedup_key"].as_str() {
        Some("cdn/main/node/edge-1/down") => Treatment::Answer(400, ""),
        _ => Treatment::Accept,
    });
    let alerts = machine.start(machine.config(Some(&receiver), None));
    is_down(&alerts, &["edge-1", "edge-2"]);
    eventually(SOON, || alerts.metrics.queue_length("pagerduty") == 0);
    is_down(&alerts, &[]);
    eventually(SOON, || alerts.metrics.queue_length("pagerduty") == 0);
    alerts.close();
    assert_eq!(
        receiver.events(),
        ["trigger node/edge-2/down", "resolve node/edge-2/down"]
    );
    assert_eq!(receiver.requests(), 3);
    assert_eq!(alerts.metrics.sent("pagerduty", Outcome::Refused), 1);
}

#[test]
fn a_key_that_fails_does_not_hold_up_the_others() {
    let machine = Machine::new();
    let receiver = Receiver::judging(|body| match body["dedup_key"].as_str() {
        Some("cdn/main/node/edge-1/down") => Treatment::Answer(500, "retry-after: 3600\r\n"),
        _ => Treatment::Accept,
    });
    let alerts = machine.start(machine.config(Some(&receiver), None));
    is_down(&alerts, &["edge-1", "edge-2", "edge-3"]);
    eventually(SOON, || receiver.accepted().len() == 2);
    is_down(&alerts, &["edge-1"]);
    eventually(SOON, || receiver.accepted().len() == 4);
    alerts.close();
    assert_eq!(alerts.metrics.queue_length("pagerduty"), 1);
}

#[test]
fn a_receiver_that_hangs_does_not_hold_up_the_other() {
    let machine = Machine::new();
    let (pagerduty, alertmanager) = (Receiver::judging(|_| Treatment::Hang), Receiver::following([]));
    let mut config = machine.config(Some(&pagerduty), Some(&alertmanager));
    // Longer than the test: it ends by what the receiver does, which is to go away.
    config.pace.timeout = Duration::from_secs(60);
    let alerts = machine.start(config);
    is_down(&alerts, &["edge-1"]);
    eventually(SOON, || {
        pagerduty.requests() == 1 && alertmanager.accepted().len() == 1
    });
    is_down(&alerts, &[]);
    eventually(SOON, || alertmanager.accepted().len() == 2);
    assert_eq!(pagerduty.accepted().len(), 0);
    drop(alerts);
}

#[test]
fn a_hanging_request_ends_at_its_time_out() {
    let machine = Machine::new();
    let receiver = Receiver::following([Treatment::Hang]);
    let mut config = machine.config(Some(&receiver), None);
    config.pace.timeout = Duration::from_millis(200);
    let alerts = machine.start(config);
    is_down(&alerts, &["edge-1"]);
    eventually(SOON, || receiver.accepted().len() == 1);
    assert!(receiver.requests() >= 2);
    alerts.close();
}

#[test]
fn a_routing_key_that_is_missing_delays_and_loses_nothing() {
    let machine = Machine::new();
    let receiver = Receiver::following([]);
    let path = machine.folder.path().join("secret");
    let key = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let alerts = machine.start(machine.config(Some(&receiver), None));
    is_down(&alerts, &["edge-1"]);
    assert_eq!(alerts.metrics.queue_length("pagerduty"), 1);
    std::fs::write(&path, key).unwrap();
    eventually(SOON, || receiver.events() == ["trigger node/edge-1/down"]);
    alerts.close();
}

#[test]
fn what_waits_when_the_monitor_stops_is_sent_by_the_next() {
    let machine = Machine::new();
    let config = |receiver| machine.config(Some(receiver), None);
    let nobody = Receiver::judging(|_| Treatment::Answer(503, ""));
    let alerts = machine.start(config(&nobody));
    is_down(&alerts, &["edge-1", "edge-2"]);
    eventually(SOON, || nobody.requests() >= 4);
    alerts.close();
    drop(alerts);
    let receiver = Receiver::following([]);
    let alerts = machine.start(config(&receiver));
    assert_eq!(alerts.firing().len(), 2, "it knows what fired");
    // One of the two is well by now.
    is_down(&alerts, &["edge-2"]);
    is_down(&alerts, &["edge-2"]);
    eventually(SOON, || receiver.accepted().len() == 3);
    alerts.close();
    let mut events = receiver.events();
    let resolve = events
        .iter()
        .position(|event| event == "resolve node/edge-1/down");
    let trigger = events
        .iter()
        .position(|event| event == "trigger node/edge-1/down");
    assert!(trigger.unwrap() < resolve.unwrap(), "{events:?}");
    events.sort();
    assert_eq!(
        events,
        [
            "resolve node/edge-1/down",
            "trigger node/edge-1/down",
            "trigger node/edge-2/down"
        ]
    );
}

/// What a receiver keeps of one key: events in order, exact repetitions once.
fn history(receiver: &Receiver, key: &str) -> Vec<String> {
    let key = format!("cdn/main/node/{key}/down");
    let accepted = receiver.accepted();
    let mut bodies: Vec<_> = accepted
        .iter()
        .map(|accepted| &accepted.body)
        .filter(|body| body["dedup_key"] == key.as_str())
        .collect();
    bodies.dedup();
    bodies
        .iter()
        .map(|body| body["event_action"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_monitor_that_is_killed_again_and_again_loses_nothing_and_reorders_nothing() {
    let mut chance = Chance::new(seed());
    let machine = Machine::new();
    let fate = parking_lot::Mutex::new(chance.clone());
    let receiver = Receiver::judging(move |_| match fate.lock().below(8) {
        0 => Treatment::Answer(429, ""),
        1 => Treatment::Answer(500, ""),
        2 => Treatment::Reset,
        3 => Treatment::AcceptAndClose,
        _ => Treatment::Accept,
    });
    let nodes = ["edge-1", "edge-2", "edge-3"];
    let mut down_now: Vec<&str> = Vec::new();
    for _ in 0..12 {
        let life = Life::default();
        let alerts = machine.start_mortal(machine.config(Some(&receiver), None), &life);
        life.end_after(1 + chance.below(12));
        let mut steps = 0;
        while !life.is_over() && steps < 12 {
            let before = receiver.requests();
            down_now = nodes.iter().filter(|_| chance.below(2) == 0).copied().collect();
            steps += 1;
            is_down(&alerts, &down_now);
            // Now and then it has time to send something before the next change.
            if chance.below(2) == 0 {
                let _ = testkit::within(Duration::from_millis(50), || receiver.requests() > before);
            }
        }
        alerts.close();
    }
    let alerts = machine.start(machine.config(Some(&receiver), None));
    for _ in 0..3 {
        is_down(&alerts, &down_now);
    }
    eventually(SOON, || alerts.metrics.queue_length("pagerduty") == 0);
    alerts.close();
    for node in nodes {
        let history = history(&receiver, node);
        for (index, action) in history.iter().enumerate() {
            assert_eq!(action, ["trigger", "resolve"][index % 2], "{node}: {history:?}");
        }
        let fires = history.len() % 2 == 1;
        assert_eq!(fires, down_now.contains(&node), "{node}: {history:?}");
    }
}

#[test]
fn without_receivers_it_still_says_what_fires() {
    let machine = Machine::new();
    let alerts = machine.start(machine.config(None, None));
    let lost = Wrong {
        quorum_lost: Some("1 of 3".to_owned()),
        ..Wrong::default()
    };
    alerts.evaluate(now(), &lost, &|_| true);
    assert_eq!(alerts.firing()[0].key.as_str(), "cdn/main/monitor/quorum");
    alerts.close();
}
