//! The order of the outbox, its bounds, and what is left of it after a restart.

use std::sync::Arc;
use std::time::Duration;

use model::Moment;
use prometheus::Registry;
use redb::Database;

use super::entry::{Action, Entry};
use super::outcome::{Left, Outcome};
use super::queue::{GIVE_UP_AFTER, Next, Queue};
use super::store::{RedbStore, Saved, Store};
use super::{Change, Outbox};
use crate::alert::fold::{Alert, fold};
use crate::alert::metrics::AlertMetrics;
use crate::alert::retry::Verdict;
use crate::alert::tests::cdn::{MAIN, down, seconds, wrong};
use crate::alert::tests::memory::{Disk, Life, Mortal};
use crate::alert::wrong::Severity;

fn alert(node: &str) -> Alert {
    let wanted = fold(MAIN, &wrong([down(node, "ams")]), seconds(1));
    wanted.alerts.into_values().next().unwrap()
}

fn mild(node: &str) -> Alert {
    Alert {
        severity: Severity::Warning,
        ..alert(node)
    }
}

fn queue(most_entries: usize) -> Queue {
    Queue::new(Saved::default(), most_entries)
}

fn now() -> Moment {
    seconds(1_000_000)
}

fn next(queue: &Queue, at: Moment) -> Entry {
    match queue.next(at) {
        Next::Send(entry) => *entry,
        other => panic!("{other:?}"),
    }
}

fn outcomes(left: &[Left]) -> Vec<(Outcome, &str, Action)> {
    left.iter()
        .map(|left| (left.outcome, left.entry.alert.source.as_str(), left.entry.action))
        .collect()
}

#[test]
fn a_trigger_that_was_never_attempted_and_its_resolve_are_both_dropped() {
    let mut queue = queue(10);
    assert!(queue.trigger(&alert("edge-1"), now()).is_empty());
    let left = queue.resolve(&alert("edge-1"), true, now());
    assert_eq!(outcomes(&left), [(Outcome::Collapsed, "edge-1", Action::Trigger)]);
    assert_eq!((queue.len(), queue.said().count()), (0, 0));
    assert_eq!(queue.next(now()), Next::Nothing);
}

#[test]
fn a_trigger_that_may_have_arrived_is_resolved_and_goes_first() {
    let mut queue = queue(10);
    queue.trigger(&alert("edge-1"), now());
    let trigger = next(&queue, now());
    assert!(queue.begin(trigger.sequence));
    queue.put_off(trigger.sequence, now() + Duration::from_secs(7));
    assert!(queue.resolve(&alert("edge-1"), true, now()).is_empty());
    assert_eq!(
        queue.next(now()),
        Next::Wait(now() + Duration::from_secs(7)),
        "the resolve waits for its trigger"
    );
    let later = now() + Duration::from_secs(7);
    assert_eq!(next(&queue, later).sequence, trigger.sequence);
    assert_eq!(next(&queue, later).attempts, 1);
    queue.delivered(trigger.sequence);
    assert_eq!(next(&queue, later).action, Action::Resolve);
}

#[test]
fn a_second_trigger_collapses_behind_a_resolve_that_waits() {
    let mut queue = queue(10);
    queue.trigger(&alert("edge-1"), now());
    queue.begin(0);
    queue.resolve(&alert("edge-1"), true, now());
    queue.trigger(&alert("edge-1"), now());
    queue.resolve(&alert("edge-1"), true, now());
    assert_eq!(queue.len(), 2);
    queue.delivered(0);
    assert_eq!(next(&queue, now()).action, Action::Resolve);
}

#[test]
fn a_key_in_its_pause_is_passed_by_the_others() {
    let mut queue = queue(10);
    queue.trigger(&alert("edge-1"), now());
    queue.trigger(&alert("edge-2"), now());
    queue.put_off(0, now() + Duration::from_secs(60));
    assert_eq!(next(&queue, now()).alert.source, "edge-2");
    queue.delivered(1);
    assert_eq!(queue.next(now()), Next::Wait(now() + Duration::from_secs(60)));
    // A clock that was set back by years makes nobody wait for years.
    assert_eq!(next(&queue, seconds(5)).alert.source, "edge-1");
}

#[test]
fn a_resolve_is_of_the_alert_as_it_was_triggered() {
    let mut queue = queue(10);
    queue.trigger(&mild("edge-1"), now());
    queue.begin(0);
    queue.delivered(0);
    assert_eq!(queue.told(), [mild("edge-1")]);
    queue.resolve(&alert("edge-1"), true, now());
    assert_eq!(next(&queue, now()).alert, mild("edge-1"));
    assert!(queue.told().is_empty());
}

#[test]
fn a_repetition_is_resolved_as_what_it_repeats_and_needs_no_company() {
    let mut queue = queue(10);
    queue.repeat(&alert("edge-1").key, now());
    assert_eq!(queue.len(), 0, "nothing was told");
    queue.trigger(&alert("edge-1"), now());
    queue.repeat(&alert("edge-1").key, now());
    assert_eq!(queue.len(), 1, "it waits already");
    queue.delivered(0);
    queue.repeat(&alert("edge-1").key, now());
    assert_eq!(next(&queue, now()).alert, alert("edge-1"));
    queue.resolve(&alert("edge-1"), true, now());
    assert_eq!(queue.len(), 2);
}

#[test]
fn what_another_monitor_triggered_is_resolved_once() {
    let mut queue = queue(10);
    assert!(queue.resolve(&alert("edge-1"), true, now()).is_empty());
    assert_eq!(queue.len(), 0, "nothing was triggered here");
    queue.resolve(&alert("edge-1"), false, now());
    queue.resolve(&alert("edge-1"), false, now());
    assert_eq!(queue.len(), 1);
    assert_eq!(next(&queue, now()).action, Action::Resolve);
}

#[test]
fn a_refused_trigger_takes_its_resolve_along_and_not_the_next_trigger() {
    let mut queue = queue(10);
    queue.trigger(&alert("edge-1"), now());
    queue.begin(0);
    queue.resolve(&alert("edge-1"), true, now());
    queue.trigger(&alert("edge-1"), now());
    let left = queue.refused(0);
    assert_eq!(
        outcomes(&left),
        [
            (Outcome::Refused, "edge-1", Action::Trigger),
            (Outcome::Refused, "edge-1", Action::Resolve)
        ]
    );
    assert_eq!((queue.len(), queue.said().count()), (1, 1));
    queue.refused(2);
    assert_eq!((queue.len(), queue.said().count()), (0, 0));
    assert!(queue.resolve(&alert("edge-1"), true, now()).is_empty());
    assert_eq!(queue.len(), 0, "a resolve that comes later is not queued either");
}

#[test]
fn what_may_have_arrived_is_resolved_though_a_repetition_is_refused() {
    let mut queue = queue(10);
    queue.trigger(&alert("edge-1"), now());
    queue.begin(0);
    queue.delivered(0);
    queue.repeat(&alert("edge-1").key, now());
    assert!(queue.begin(1));
    assert_eq!(queue.refused(1).len(), 1);
    assert_eq!(queue.said().count(), 1);
    queue.resolve(&alert("edge-1"), true, now());
    assert_eq!(next(&queue, now()).action, Action::Resolve);

    // The answer to the first attempt was lost.
    queue.trigger(&alert("edge-2"), now());
    queue.begin(3);
    queue.put_off(3, now());
    queue.begin(3);
    queue.resolve(&alert("edge-2"), true, now());
    assert_eq!(outcomes(&queue.refused(3)).len(), 1);
    assert_eq!(queue.len(), 2, "both are told that it is over");
}

#[test]
fn a_clock_that_is_set_back_holds_up_nothing_that_is_new() {
    let mut queue = queue(10);
    queue.trigger(&alert("edge-1"), now());
    let earlier = seconds(1_000_000 - 1800);
    assert_eq!(next(&queue, earlier).sequence, 0);
    queue.begin(0);
    queue.put_off(0, now() + Duration::from_secs(60));
    assert!(matches!(queue.next(earlier), Next::Wait(_)));
}

#[test]
fn a_full_queue_drops_the_oldest_that_matters_least() {
    let mut queue = queue(3);
    queue.trigger(&alert("edge-1"), now());
    queue.trigger(&mild("edge-2"), now());
    queue.trigger(&mild("edge-3"), now());
    let left = queue.trigger(&alert("edge-4"), now());
    assert_eq!(outcomes(&left), [(Outcome::Dropped, "edge-2", Action::Trigger)]);
    let left = queue.trigger(&mild("edge-5"), now());
    assert_eq!(outcomes(&left), [(Outcome::Dropped, "edge-3", Action::Trigger)]);
    queue.trigger(&alert("edge-6"), now());
    let left = queue.trigger(&alert("edge-7"), now());
    assert_eq!(outcomes(&left), [(Outcome::Dropped, "edge-1", Action::Trigger)]);
    assert_eq!(queue.len(), 3);
    assert!(queue.resolve(&alert("edge-1"), true, now()).is_empty());
    assert_eq!(queue.len(), 3, "what was dropped unsent has no resolve");
    assert!(!queue.begin(0), "and is not sent any more");
}

#[test]
fn after_a_day_what_is_over_is_given_up_and_what_fires_is_not() {
    let mut queue = queue(10);
    queue.trigger(&alert("edge-1"), now());
    queue.begin(0);
    queue.trigger(&alert("edge-2"), now());
    queue.begin(1);
    queue.resolve(&alert("edge-2"), true, now() + Duration::from_secs(5));
    assert!(queue.expire(now() + GIVE_UP_AFTER).is_empty());
    let left = queue.expire(now() + GIVE_UP_AFTER + Duration::from_secs(1));
    assert_eq!(
        outcomes(&left),
        [(Outcome::GaveUp, "edge-2", Action::Trigger)],
        "its resolve is younger"
    );
    let too_late = now() + GIVE_UP_AFTER + Duration::from_secs(6);
    assert!(queue.expire(too_late).is_empty(), "it was never tried");
    queue.begin(2);
    let left = queue.expire(too_late);
    assert_eq!(outcomes(&left), [(Outcome::GaveUp, "edge-2", Action::Resolve)]);
    assert_eq!(next(&queue, now()).alert.source, "edge-1");
}

#[test]
fn a_change_that_is_rolled_back_did_not_happen() {
    let mut queue = queue(2);
    queue.trigger(&mild("edge-1"), now());
    queue.trigger(&mild("edge-2"), now());
    queue.commit();
    let before = format!(
        "{:?}",
        (queue.next(now()), queue.len(), queue.said().collect::<Vec<_>>())
    );
    queue.trigger(&alert("edge-3"), now());
    queue.begin(1);
    queue.resolve(&mild("edge-2"), true, now());
    queue.put_off(1, seconds(1));
    queue.roll_back();
    let after = format!(
        "{:?}",
        (queue.next(now()), queue.len(), queue.said().collect::<Vec<_>>())
    );
    assert_eq!(before, after);
    queue.trigger(&mild("edge-1"), now());
    assert_eq!(queue.changes().next_sequence, 4, "numbers are not used again");
}

fn metrics(sinks: &[&'static str]) -> AlertMetrics {
    AlertMetrics::register(&Registry::new(), sinks).unwrap()
}

fn open(store: impl Store + 'static, sinks: &[&'static str]) -> Outbox {
    Outbox::open(Box::new(store), sinks, metrics(sinks), now()).unwrap()
}

#[test]
fn everything_survives_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = || {
        let database = Database::create(folder.path().join("monitor.redb")).unwrap();
        RedbStore::new(Arc::new(database))
    };
    let begin = |node| Change::Begin(alert(node));
    {
        let outbox = open(store(), &["one", "two"]);
        outbox
            .say(now(), &[begin("edge-1"), begin("edge-2"), begin("edge-3")])
            .unwrap();
        let Next::Send(first) = outbox.next("one", now()).unwrap() else {
            panic!("nothing to send");
        };
        assert!(outbox.begin("one", &first).unwrap());
        outbox.settle("one", &first, &Verdict::Delivered).unwrap();
        let end = Change::End {
            alert: alert("edge-2"),
            ours: true,
        };
        outbox.say(now(), &[end]).unwrap();
    }
    let saved = ["one", "two"].map(|sink| store().load(sink).unwrap());
    let entries = |saved: &Saved| -> Vec<(u64, String)> {
        let entries = saved.entries.iter();
        entries
            .map(|entry| (entry.sequence, entry.alert.source.clone()))
            .collect()
    };
    assert_eq!(entries(&saved[0]), [(2, "edge-3".to_owned())]);
    assert_eq!(
        entries(&saved[1]),
        [(0, "edge-1".to_owned()), (2, "edge-3".to_owned())]
    );
    for saved in &saved {
        assert_eq!(saved.said, [alert("edge-1"), alert("edge-3")]);
        assert_eq!(saved.next_sequence, 3);
    }
    let outbox = open(store(), &["one", "two"]);
    assert_eq!(outbox.said(), [alert("edge-1"), alert("edge-3")]);
    assert_eq!(outbox.told("one"), [alert("edge-1")]);
}

#[test]
fn a_sink_that_is_new_is_told_what_the_others_know() {
    let disk = Disk::default();
    open(disk.clone(), &["one"])
        .say(now(), &[Change::Begin(alert("edge-1"))])
        .unwrap();
    let outbox = open(disk, &["one", "two"]);
    let Next::Send(entry) = outbox.next("two", now()).unwrap() else {
        panic!("nothing to send");
    };
    assert_eq!(entry.alert, alert("edge-1"));
}

#[test]
fn what_cannot_be_written_is_not_queued_and_not_sent() {
    let life = Life::default();
    let sinks = &["one"];
    let metrics = metrics(sinks);
    let store = Mortal {
        store: Disk::default(),
        life: life.clone(),
    };
    let outbox = Outbox::open(Box::new(store), sinks, metrics.clone(), now()).unwrap();
    outbox.say(now(), &[Change::Begin(alert("edge-1"))]).unwrap();
    let Next::Send(entry) = outbox.next("one", now()).unwrap() else {
        panic!("nothing to send");
    };
    life.end_after(0);
    assert!(outbox.begin("one", &entry).is_err());
    assert!(outbox.say(now(), &[Change::Begin(alert("edge-2"))]).is_err());
    assert_eq!(metrics.queue_length("one"), 1);
    assert_eq!(outbox.said(), [alert("edge-1")]);
    let Next::Send(same) = outbox.next("one", now()).unwrap() else {
        panic!("nothing to send");
    };
    assert_eq!(same, entry, "not even an attempt was counted");
}

#[test]
fn a_record_that_cannot_be_read_costs_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::create(folder.path().join("monitor.redb")).unwrap());
    let outbox = open(RedbStore::new(database.clone()), &["one"]);
    let changes = [Change::Begin(alert("edge-1")), Change::Begin(alert("edge-2"))];
    outbox.say(now(), &changes).unwrap();
    let table = redb::TableDefinition::<(&str, u64), &[u8]>::new("alert_queue");
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(table)
        .unwrap()
        .insert(("one", 0), b"{ of another release".as_slice())
        .unwrap();
    transaction.commit().unwrap();
    let saved = RedbStore::new(database).load("one").unwrap();
    assert_eq!(saved.entries.len(), 1);
    assert_eq!(saved.entries[0].alert, alert("edge-2"));
}
