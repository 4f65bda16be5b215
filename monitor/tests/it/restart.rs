//! What a monitor keeps, what it refuses to start with, and how it ends.

use testkit::process::{Binary, run_to_end};

use crate::{EDGE, PATIENCE, api, await_all_well, await_merged, await_state, json, transitions, watched};

#[test]
fn a_monitor_that_ends_remembers_what_happened() {
    let mut cdn = watched().edges("ams", 2).start();
    await_all_well(&cdn);
    cdn.daemon_mut(EDGE).kill9();
    await_merged(&cdn, EDGE, "down", Some("refused"));
    // Minutes and happenings become durable together, once a minute at the latest; an orderly end makes them so at once.
    cdn.daemon("monitor-1").terminate();
    assert!(cdn.daemon_mut("monitor-1").await_end(PATIENCE).success());
    cdn.daemon_mut("monitor-1").launch_again();
    cdn.daemon_mut("monitor-1").await_ready();
    await_merged(&cdn, EDGE, "down", Some("refused"));
    let told = transitions(&cdn, "monitor-1", EDGE);
    assert_eq!(told[..2], ["unknown → up", "up → down"], "{told:?}");
    let events = json(&cdn, "monitor-1", "/v1/events?limit=1000");
    let numbers: Vec<u64> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["number"].as_u64().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|left, right| left < right), "{numbers:?}");
}

#[test]
fn a_monitor_that_is_killed_gives_no_number_twice() {
    let mut cdn = watched().edges("ams", 2).start();
    await_all_well(&cdn);
    let newest = json(&cdn, "monitor-1", "/v1/events?limit=1")["events"][0]["number"]
        .as_u64()
        .unwrap();
    cdn.daemon_mut("monitor-1").kill9();
    cdn.daemon_mut("monitor-1").launch_again();
    cdn.daemon_mut("monitor-1").await_ready();
    // Whoever has read up to the last number before finds all that comes after the start.
    testkit::eventually(PATIENCE, || {
        let after = json(
            &cdn,
            "monitor-1",
            &format!("/v1/events?after={newest}&node={EDGE}"),
        );
        let events = after["events"].as_array().unwrap();
        let is_well = |event: &serde_json::Value| event["scope"] == "merged" && event["to"] == "up";
        if events.iter().any(is_well) {
            Ok(())
        } else {
            Err(format!("after {newest}: {after}"))
        }
    });
}

#[test]
fn a_snapshot_that_is_wrong_is_refused_and_the_old_one_stays() {
    let mut cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    cdn.publish_bytes(b"{ \"cdn\": 7 }");
    testkit::eventually(PATIENCE, || {
        let refused = cdn.daemon("monitor-1").errors();
        refused
            .iter()
            .any(|line| line.contains("a new version is refused"))
    });
    assert_eq!(json(&cdn, "monitor-1", "/v1/state")["snapshot"], 1);
    cdn.publish(|_| {});
    await_state(&cdn, "monitor-1", |shown| shown["snapshot"] == 2);
}

#[test]
fn a_second_monitor_on_the_same_store_does_not_start() {
    let cdn = watched().edges("ams", 1).start();
    let text = std::fs::read_to_string(cdn.config("monitor-1")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("monitor.toml");
    let other = |text: &str, key: &str| {
        let port = testkit::ports::Port::claim();
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap()
            .to_owned();
        let listens = if key == "http" {
            format!("http = [\"{}\"]", port.address())
        } else {
            format!("admin = \"{}\"", port.address())
        };
        text.replace(&line, &listens)
    };
    std::fs::write(&config, other(&other(&text, "http"), "admin")).unwrap();
    let binary = Binary::of("monitor", "millrace-monitor").at(env!("CARGO_BIN_EXE_millrace-monitor"));
    let ended = run_to_end(&binary, &["--config", config.to_str().unwrap()], PATIENCE);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.errors.join("\n").contains("monitor.redb cannot be opened"),
        "{:?}",
        ended.errors
    );
}

#[test]
fn check_follows_the_start_and_stops_before_any_socket() {
    let cdn = watched().edges("ams", 1).start();
    let binary = Binary::of("monitor", "millrace-monitor").at(env!("CARGO_BIN_EXE_millrace-monitor"));
    let config = cdn.config("monitor-1").to_str().unwrap();
    let ended = run_to_end(&binary, &["--config", config, "--check"], PATIENCE);
    assert!(ended.status.success(), "{:?}", ended.errors);
    let text = std::fs::read_to_string(cdn.config("monitor-1")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("monitor.toml");
    std::fs::write(&wrong, text.replace("fast_interval", "fats_interval")).unwrap();
    let ended = run_to_end(
        &binary,
        &["--config", wrong.to_str().unwrap(), "--check"],
        PATIENCE,
    );
    assert_eq!(ended.status.code(), Some(2));
    assert!(
        ended.errors.join("\n").contains("did you mean `fast_interval`?"),
        "{:?}",
        ended.errors
    );
}

#[test]
fn an_orderly_end_answers_who_is_being_answered_and_ends_the_streams() {
    let mut cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    assert_eq!(api(&cdn, "monitor-1").get("/v1/state").status(), 200);
    cdn.daemon("monitor-1").terminate();
    assert!(cdn.daemon_mut("monitor-1").await_end(PATIENCE).success());
    await_state(&cdn, "monitor-2", |shown| {
        shown["views"]["monitor-1"]["lost"].is_string()
    });
    cdn.daemon_mut("monitor-1").launch_again();
    cdn.daemon_mut("monitor-1").await_ready();
    await_all_well(&cdn);
}
