//! What a person is told of a storm and of a site, by a receiver that always listens, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use model::Moment;
use prometheus::Registry;

use super::cdn::{FIRST, MAIN, down, seconds, wrong};
use super::memory::Disk;
use crate::alert::alertmanager::{Alertmanager, AlertmanagerSink};
use crate::alert::firing::Patience;
use crate::alert::fold::fold;
use crate::alert::metrics::AlertMetrics;
use crate::alert::outbox::Outbox;
use crate::alert::pending::Pending;
use crate::alert::retry::{Answer, Pace};
use crate::alert::round::{Round, Turn, World};
use crate::alert::sink::{Request, Sink};
use crate::alert::wrong::{NodeWrong, Wrong};

/// A monitor whose only receiver is an Alertmanager that always listens.
struct Monitor {
    pending: Pending,
    outbox: Arc<Outbox>,
    round: Round,
    world: Listener,
}

struct Listener {
    now: Moment,
    bodies: Vec<serde_json::Value>,
}

impl World for Listener {
    fn now(&self) -> Moment {
        self.now
    }

    fn chance(&mut self) -> f64 {
        0.5
    }

    fn post(&mut self, request: &Request) -> Answer {
        self.bodies.push(serde_json::from_slice(&request.body).unwrap());
        Answer::Status {
            code: 200,
            retry_after: None,
            message: String::new(),
        }
    }
}

impl Monitor {
    fn new() -> Monitor {
        let config = Alertmanager {
            url: "http://alertmanager.example".to_owned(),
            authorization: None,
        };
        let sink = AlertmanagerSink::new(config, MAIN, None);
        let names = [sink.name()];
        let metrics = AlertMetrics::register(&Registry::new(), &names).unwrap();
        let outbox = Outbox::open(Box::new(Disk::default()), &names, metrics, seconds(0)).unwrap();
        let outbox = Arc::new(outbox);
        Monitor {
            pending: Pending::resume(MAIN, FIRST, Patience::default(), Vec::new(), false),
            round: Round::new(Box::new(sink), outbox.clone(), Pace::default()),
            outbox,
            world: Listener {
                now: seconds(0),
                bodies: Vec::new(),
            },
        }
    }

    /// Lives through these seconds, and returns what was posted: of each post the names of its alerts.
    fn live(&mut self, from: u64, to: u64, wrong: &Wrong) -> Vec<Vec<String>> {
        for second in from..to {
            let now = seconds(second);
            self.world.now = now;
            let changes = self.pending.evaluate(now, &fold(MAIN, wrong, now), &|_| true);
            self.outbox.say(now, &changes).unwrap();
            self.pending.committed(now, changes);
            while self.round.turn(&mut self.world).unwrap() == Turn::Busy {}
        }
        let named = |alert: &serde_json::Value| {
            let labels = &alert["labels"];
            let of = labels["node"]
                .as_str()
                .or(labels["site"].as_str())
                .unwrap_or("monitor");
            let check = labels["check"].as_str().unwrap();
            let name = format!("{of} {check}");
            let ends = alert["endsAt"].as_str().unwrap();
            let is_over = ends <= self.world.now.to_rfc3339().as_str();
            if is_over { format!("-{name}") } else { name }
        };
        let posts = self.world.bodies.drain(..).collect::<Vec<_>>();
        posts
            .iter()
            .map(|body| body.as_array().unwrap().iter().map(named).collect())
            .collect()
    }
}

fn whole_sites(sites: usize, nodes_per_site: usize) -> Wrong {
    let nodes: Vec<NodeWrong> = (0..sites * nodes_per_site)
        .map(|n| down(&format!("edge-{n}"), &format!("site-{}", n % sites)))
        .collect();
    let mut wrong = wrong(nodes);
    wrong
        .sites
        .values_mut()
        .for_each(|watched| *watched = nodes_per_site);
    wrong
}

#[test]
fn a_thousand_nodes_that_fall_at_once_are_no_more_events_than_sites_and_one() {
    for sites in [1, 10, 19] {
        let mut monitor = Monitor::new();
        let posts = monitor.live(100, 159, &whole_sites(sites, 1000 / sites));
        assert_eq!(posts.len(), sites, "{posts:?}");
    }
    let mut monitor = Monitor::new();
    let posts = monitor.live(100, 159, &whole_sites(100, 10));
    assert_eq!(
        posts.len(),
        21,
        "twenty, and one that says how many are held back"
    );
}

#[test]
fn a_site_that_falls_node_by_node_is_told_once_and_its_end_once() {
    let mut monitor = Monitor::new();
    let nodes = ["edge-1", "edge-2", "edge-3"].map(|node| down(node, "ams"));
    let mut posts = monitor.live(100, 104, &wrong(nodes[..1].to_vec()));
    posts.extend(monitor.live(104, 108, &wrong(nodes[..2].to_vec())));
    posts.extend(monitor.live(108, 130, &wrong(nodes.to_vec())));
    assert_eq!(posts, [["ams down"]]);
    // They come back one after another, within the minute that a site needs to be well.
    let mut posts = monitor.live(130, 150, &wrong(nodes[..1].to_vec()));
    posts.extend(monitor.live(150, 191, &Wrong::default()));
    assert_eq!(posts, [["ams down"], ["-ams down"]], "a reminder, and the end");
}

#[test]
fn what_fires_is_repeated_every_minute_and_what_ended_is_not() {
    let mut monitor = Monitor::new();
    let both = wrong([down("edge-1", "ams"), down("edge-2", "iad")]);
    assert_eq!(monitor.live(100, 111, &both), [["edge-1 down"], ["edge-2 down"]]);
    assert_eq!(
        monitor.live(111, 230, &both),
        [["edge-1 down", "edge-2 down"]; 2],
        "at 160 and at 220"
    );
    let posts = monitor.live(230, 300, &wrong([down("edge-1", "ams")]));
    let repeated = posts
        .concat()
        .iter()
        .filter(|name| *name == "edge-2 down")
        .count();
    assert_eq!(
        posts
            .concat()
            .iter()
            .filter(|name| *name == "-edge-2 down")
            .count(),
        1
    );
    assert!(repeated <= 1, "{posts:?}");
}

#[test]
fn a_courier_with_nothing_to_do_says_until_when() {
    let mut monitor = Monitor::new();
    monitor.world.now = seconds(100);
    let turn = monitor.round.turn(&mut monitor.world).unwrap();
    assert_eq!(turn, Turn::Wait(seconds(100) + Duration::from_secs(60)));
}
