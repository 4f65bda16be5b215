//! Alerts reach their receivers, whatever happens to these and to the monitors: nothing is lost, nothing comes before
//! its time.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::cdn::{Cdn, CdnBuilder};
use testkit::{Chance, seed};

use crate::receiver::{Mood, Receiver};
use crate::{EDGE, MONITORS, PATIENCE, await_all_well, await_merged, watched};

const SECRET: &str = "r0ut1ngk3yr0ut1ngk3yr0ut1ngk3y42";

/// A CDN whose monitors tell `receiver` as if it were PagerDuty, and the folder with the secret.
fn told(receiver: &Receiver) -> (CdnBuilder, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("routing-key");
    std::fs::write(&key, format!("{SECRET}\n")).unwrap();
    let tables = format!(
        "[alerts.pagerduty]\nendpoint = {:?}\nrouting_key = {{ file = {key:?} }}\n",
        receiver.url("/v2/enqueue")
    );
    (watched().monitor_tables(&tables), folder)
}

/// By key, what was told, in order: `trigger` and `resolve`, exact repeats left out.
fn stories(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in receiver.taken() {
        let text = |field: &str| event[field].as_str().unwrap().to_owned();
        assert_eq!(event["routing_key"], SECRET);
        let story = stories.entry(text("dedup_key")).or_default();
        let action = text("event_action");
        if story.last() != Some(&action) {
            story.push(action);
        }
    }
    stories
}

#[track_caller]
fn await_story(receiver: &Receiver, key: &str, expected: &[&str]) {
    testkit::eventually(PATIENCE, || {
        let story = stories(receiver).remove(key).unwrap_or_default();
        if story == expected {
            Ok(())
        } else {
            Err(format!("{key}: {story:?}"))
        }
    });
}

#[test]
fn a_node_that_falls_and_rises_is_told_once_by_one_of_three_monitors() {
    let receiver = Receiver::start();
    let (builder, _folder) = told(&receiver);
    let mut cdn = builder.edges("ams", 3).start();
    await_all_well(&cdn);
    cdn.daemon_mut(EDGE).kill9();
    await_story(&receiver, "cdn/test/node/edge-ams-1/down", &["trigger"]);
    let trigger = receiver.taken()[0].clone();
    let payload = &trigger["payload"];
    assert_eq!(
        (&payload["severity"], &payload["group"]),
        (&"critical".into(), &"ams".into())
    );
    assert!(payload["summary"].as_str().unwrap().contains(EDGE), "{payload}");
    cdn.daemon_mut(EDGE).launch_again();
    await_story(
        &receiver,
        "cdn/test/node/edge-ams-1/down",
        &["trigger", "resolve"],
    );
    assert_eq!(receiver.taken().len(), 2, "{:?}", receiver.taken());
    testkit::eventually(PATIENCE, || {
        let delivered = MONITORS.map(|name| {
            cdn.daemon(name)
                .metric("millrace_monitor_alerts_sent_total", &[("outcome", "delivered")])
        });
        match delivered.iter().sum::<f64>() {
            2.0 => Ok(()),
            _ => Err(format!("delivered by each: {delivered:?}")),
        }
    });
    for monitor in MONITORS {
        assert!(
            cdn.daemon(monitor)
                .errors()
                .iter()
                .all(|line| !line.contains(SECRET))
        );
        let config = cdn.daemon(monitor).admin("/config").unwrap();
        assert!(!String::from_utf8_lossy(&config.body).contains(SECRET));
    }
}

#[test]
fn a_whole_site_is_one_alert() {
    let receiver = Receiver::start();
    let (builder, _folder) = told(&receiver);
    let mut cdn = builder.edges("ams", 3).edges("iad", 3).parents("iad", 1).start();
    await_all_well(&cdn);
    for number in 1..=3 {
        cdn.daemon_mut(&format!("edge-iad-{number}")).kill9();
    }
    await_story(&receiver, "cdn/test/site/iad/down", &["trigger"]);
    for number in 1..=3 {
        cdn.daemon_mut(&format!("edge-iad-{number}")).launch_again();
    }
    await_story(&receiver, "cdn/test/site/iad/down", &["trigger", "resolve"]);
    let keys: Vec<String> = stories(&receiver).into_keys().collect();
    assert_eq!(keys, ["cdn/test/site/iad/down"]);
}

/// Kills monitors one after the other while the receiver misbehaves and a node falls and rises.
#[test]
fn nothing_is_lost_or_out_of_order_when_receivers_misbehave_and_monitors_are_killed() {
    let mut chance = Chance::new(seed());
    let receiver = Receiver::start();
    let (builder, _folder) = told(&receiver);
    let mut cdn: Cdn = builder
        .edges("ams", 3)
        .monitor_settings(|settings| {
            settings.text("alerts", "timeout", "500ms");
        })
        .start();
    await_all_well(&cdn);
    let key = "cdn/test/node/edge-ams-1/down";
    let mut expected = Vec::new();
    for _ in 0..2 {
        receiver.will(&[
            Mood::TooMany,
            Mood::Fail,
            Mood::Reset,
            Mood::TakeAndHang,
            Mood::Fail,
            Mood::Reset,
        ]);
        cdn.daemon_mut(EDGE).kill9();
        await_merged(&cdn, EDGE, "down", Some("refused"));
        for monitor in MONITORS {
            let turns = chance.below(200);
            let mut turn = 0;
            testkit::eventually(PATIENCE, || {
                turn += 1;
                turn > turns
            });
            cdn.daemon_mut(monitor).kill9();
            cdn.daemon_mut(monitor).launch_again();
            cdn.daemon_mut(monitor).await_ready();
        }
        expected.push("trigger");
        await_story(&receiver, key, &expected);
        receiver.will(&[Mood::Fail, Mood::TakeAndHang, Mood::TooMany, Mood::Reset]);
        cdn.daemon_mut(EDGE).launch_again();
        await_merged(&cdn, EDGE, "up", None);
        for monitor in MONITORS {
            cdn.daemon_mut(monitor).kill9();
            cdn.daemon_mut(monitor).launch_again();
            cdn.daemon_mut(monitor).await_ready();
        }
        expected.push("resolve");
        await_story(&receiver, key, &expected);
    }
    let quiet = |events: &[Value]| events.iter().all(|event| event["dedup_key"] == key);
    assert!(quiet(&receiver.taken()), "{:?}", stories(&receiver));
}
