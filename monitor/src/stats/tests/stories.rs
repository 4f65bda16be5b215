//! Stories of all the statistics together: from texts to what is asked of them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Moment;
use prometheus::Registry;
use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use utoipa::PartialSchema;

use crate::stats::{MOST_NODES, MOST_UNWRITTEN, Outcome, Rollup, Stats, Summary, Unreadable, Vitals};

fn stats(registry: &Registry) -> Stats {
    let database = Database::builder()
        .create_with_backend(InMemoryBackend::new())
        .unwrap();
    Stats::open(Arc::new(database), registry).unwrap()
}

/// A node that has answered `requests` requests, three of four from the cache.
fn text(requests: u64) -> String {
    format!(
        "process_start_time_seconds 1000\n\
         millrace_requests_total{{class=\"2xx\"}} {requests}\n\
         millrace_cache_results_total{{result=\"hit\"}} {}\n\
         millrace_cache_results_total{{result=\"miss\"}} {}\n\
         millrace_front_connections 5\n",
        requests * 3 / 4,
        requests / 4
    )
}

fn at(second: u64) -> Moment {
    Moment::from_seconds(second)
}

fn counter(registry: &Registry, name: &str, outcome: Option<&str>) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).expect(name);
    let is_wanted = |metric: &&prometheus::proto::Metric| {
        outcome.is_none_or(|outcome| metric.get_label().iter().any(|label| label.value() == outcome))
    };
    family
        .get_metric()
        .iter()
        .filter(is_wanted)
        .map(|metric| metric.get_counter().get_value())
        .sum()
}

/// Lets nodes answer 4 requests a second each and be asked every 10 s, from `from` until before `to`.
fn run(stats: &Stats, nodes: &[&str], from: u64, to: u64) {
    for second in from..to {
        if second % 10 == 0 {
            for node in nodes {
                assert_eq!(
                    stats.add_text(node, &text(second * 4), at(second)),
                    Ok(Outcome::Accepted)
                );
            }
        }
        stats.tick(at(second)).unwrap();
    }
}

#[test]
fn texts_become_vitals_a_history_and_a_summary() {
    let registry = Registry::new();
    let stats = stats(&registry);
    run(&stats, &["ams-1", "ams-2"], 6000, 6200);
    let vitals = stats.latest("ams-1").unwrap();
    assert_eq!(vitals.at, at(6190));
    assert_eq!(vitals.requests_per_second, Some(4.0));
    assert_eq!((vitals.hit_ratio, vitals.hit_ratio_requests), (Some(0.75), 240));
    let history = stats.history("ams-1", at(0), at(9999)).unwrap();
    let minutes: Vec<u64> = history.iter().map(|rollup| rollup.minute.seconds()).collect();
    assert_eq!(minutes, [6000, 6060, 6120]);
    for rollup in &history {
        assert_eq!(rollup.covered_seconds(), 60.0);
        assert_eq!(rollup.gathered.counters.requests, 240);
        assert_eq!(rollup.requests_per_second(), Some(4.0));
        assert_eq!(rollup.gauges.open_connections.unwrap().samples, 6);
    }
    assert_eq!(stats.history("ams-1", at(6060), at(6120)).unwrap().len(), 1);
    let summary = stats
        .summary(&["ams-1", "ams-2", "ams-3"], at(6060), at(6180))
        .unwrap();
    assert_eq!(summary.len(), 2);
    assert_eq!((summary[0].nodes, summary[0].requests_per_second), (2, Some(8.0)));
    assert_eq!(
        counter(&registry, "millrace_monitor_rollups_written_total", None),
        6.0
    );
    let samples = "millrace_monitor_samples_total";
    assert_eq!(counter(&registry, samples, Some("accepted")), 40.0);
    assert_eq!(counter(&registry, samples, None), 40.0);
}

#[test]
fn whatever_is_not_accepted_is_counted_by_its_reason() {
    let registry = Registry::new();
    let stats = stats(&registry);
    let add = |second, text: &str| stats.add_text("ams-1", text, at(second));
    assert_eq!(add(6000, &text(1)), Ok(Outcome::Accepted));
    assert_eq!(add(6020, &text(3)), Ok(Outcome::Accepted));
    assert_eq!(add(6020, &text(3)), Ok(Outcome::Duplicate));
    assert_eq!(add(6010, &text(2)), Ok(Outcome::Accepted));
    assert_eq!(add(6009, &text(2)), Ok(Outcome::Late));
    assert_eq!(add(6030, "<html>\n"), Err(Unreadable::Foreign));
    assert_eq!(add(6030, &format!("{}odd\n", text(4))), Ok(Outcome::Accepted));
    let samples = "millrace_monitor_samples_total";
    for (outcome, count) in [
        ("accepted", 4.0),
        ("duplicate", 1.0),
        ("late", 1.0),
        ("unreadable", 1.0),
    ] {
        assert_eq!(counter(&registry, samples, Some(outcome)), count, "{outcome}");
    }
    assert_eq!(
        counter(&registry, "millrace_monitor_malformed_lines_total", None),
        1.0
    );
}

#[test]
fn a_node_that_is_not_answered_for_has_no_minutes_and_its_return_tells_what_came_meanwhile() {
    let stats = stats(&Registry::new());
    run(&stats, &["ams-1"], 6000, 6060);
    run(&stats, &[], 6060, 6300);
    run(&stats, &["ams-1"], 6300, 6400);
    let history = stats.history("ams-1", at(0), at(9999)).unwrap();
    let seen: Vec<(u64, u64, u64, u64)> = history
        .iter()
        .map(|rollup| {
            let requests = (rollup.gathered.counters.requests, rollup.ungathered.requests);
            (
                rollup.minute.seconds(),
                rollup.gathered.covered_ms,
                requests.0,
                requests.1,
            )
        })
        .collect();
    assert_eq!(seen, [(6000, 50_000, 200, 0), (6300, 60_000, 240, 250 * 4)]);
}

#[test]
fn more_samples_or_nodes_than_there_is_room_for_are_turned_away() {
    let registry = Registry::new();
    let stats = stats(&registry);
    let add = |node: &str, moment| stats.add_text(node, &text(1), moment);
    let outcomes: Vec<_> = (0..100)
        .map(|number| add("eager", Moment(6_000_000 + number)))
        .collect();
    assert_eq!(outcomes[63], Ok(Outcome::Accepted));
    assert_eq!(outcomes[64], Ok(Outcome::Crowded));
    for number in 1..MOST_NODES {
        assert_eq!(add(&format!("node-{number}"), at(6000)), Ok(Outcome::Accepted));
    }
    assert_eq!(add("one-more", at(6000)), Ok(Outcome::Crowded));
    stats.forget_all_but(&BTreeSet::from(["node-7"]));
    assert!(stats.latest("eager").is_none());
    assert!(stats.latest("node-7").is_some());
    assert_eq!(add("one-more", at(6000)), Ok(Outcome::Accepted));
}

#[test]
fn a_clock_that_is_put_back_by_an_hour_costs_a_minute_and_no_more() {
    let stats = stats(&Registry::new());
    run(&stats, &["ams-1"], 9600, 9700);
    stats.tick(at(6000)).unwrap();
    run(&stats, &["ams-1"], 6010, 6140);
    let history = stats.history("ams-1", at(6000), at(7000)).unwrap();
    let minutes: Vec<u64> = history.iter().map(|rollup| rollup.minute.seconds()).collect();
    assert_eq!(minutes, [6000, 6060]);
    assert_eq!(stats.latest("ams-1").unwrap().at, at(6130));
}

#[test]
fn what_the_api_gives_out_has_a_schema() {
    for schema in [Rollup::schema(), Vitals::schema(), Summary::schema()] {
        let json = serde_json::to_string(&schema).unwrap();
        assert!(json.contains("_seconds"), "{json}");
    }
}

/// A disk that refuses to be written once it is told to.
#[derive(Debug)]
struct Failing {
    memory: InMemoryBackend,
    fails: Arc<AtomicBool>,
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.memory.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.memory.write(offset, data)
    }
}

#[test]
fn while_the_disk_refuses_minutes_wait_up_to_a_bound_and_the_rest_goes_on() {
    let fails = Arc::new(AtomicBool::new(false));
    let disk = Failing {
        memory: InMemoryBackend::new(),
        fails: fails.clone(),
    };
    let database = Database::builder().create_with_backend(disk).unwrap();
    let registry = Registry::new();
    let stats = Stats::open(Arc::new(database), &registry).unwrap();
    fails.store(true, Ordering::Relaxed);
    let nodes: Vec<String> = (0..2000).map(|number| format!("node-{number}")).collect();
    let minutes = 6;
    for minute in 0..minutes {
        let second = 6000 + minute * 60;
        for node in &nodes {
            assert_eq!(
                stats.add_text(node, &text(second), at(second)),
                Ok(Outcome::Accepted)
            );
        }
        let error = stats.tick(at(second + 70)).unwrap_err();
        assert!(error.starts_with("cannot write roll-ups: "), "{error}");
    }
    let lost = minutes as usize * nodes.len() - MOST_UNWRITTEN;
    assert_eq!(
        counter(&registry, "millrace_monitor_rollups_lost_total", None),
        lost as f64
    );
    assert_eq!(
        counter(&registry, "millrace_monitor_rollups_written_total", None),
        0.0
    );
    assert_eq!(stats.latest("node-7").unwrap().at, at(6300));
}
