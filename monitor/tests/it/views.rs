//! Monitors that are cut off, or lie: all views are shown, and their merge stays right.

use model::Snapshot;
use testkit::cdn::Cdn;
use testkit::ports::Port;

use crate::{EDGE, MONITORS, await_all_well, await_merged, await_state, json, watched};

/// Starts `monitor` again with another idea of where everybody is.
fn misled(cdn: &mut Cdn, monitor: &str, change: impl Fn(String) -> String, snapshot: &Snapshot) {
    let folder = cdn.config(monitor).parent().unwrap().to_owned();
    let document = folder.join("cdn.json");
    std::fs::write(&document, serde_json::to_vec(snapshot).unwrap()).unwrap();
    let config = cdn.config(monitor).to_owned();
    let text = std::fs::read_to_string(&config).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("snapshot = "))
        .unwrap()
        .to_owned();
    let text = change(text.replace(&line, &format!("snapshot = {document:?}")));
    std::fs::write(&config, text).unwrap();
    cdn.daemon_mut(monitor).kill9();
    cdn.daemon_mut(monitor).launch_again();
    cdn.daemon_mut(monitor).await_ready();
}

/// The CDN as one sees it who reaches none of its nodes.
fn unreachable(cdn: &Cdn, nobody: &Port) -> Snapshot {
    let mut snapshot = cdn.snapshot().clone();
    for (node, port) in snapshot.nodes.values_mut().zip(1..) {
        let mut address = nobody.address();
        // Nobody listens on any of these addresses of loopback.
        address.set_ip(std::net::Ipv4Addr::new(127, 0, 9, port).into());
        (node.http, node.https, node.admin) = (Some(address), None, None);
    }
    snapshot
}

#[test]
fn a_monitor_that_is_cut_off_abstains_and_the_others_go_on() {
    let mut cdn = watched()
        .edges("ams", 2)
        .edges("iad", 2)
        .parents("iad", 1)
        .start();
    await_all_well(&cdn);
    let nobody = Port::claim();
    let snapshot = unreachable(&cdn, &nobody);
    // Its peers are out of sight, while they still hear it; nobody tells it their heartbeats either.
    let nowhere = format!("url = \"http://{}\"", nobody.address());
    let cut_off = |text: String| {
        let line = |line: &str| {
            if line.starts_with("url = ") {
                nowhere.clone()
            } else {
                line.to_owned()
            }
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    misled(&mut cdn, "monitor-3", cut_off, &snapshot);
    await_state(&cdn, "monitor-3", |shown| {
        shown["views"]["monitor-3"]["view"]["nodes"][EDGE]["state"] == "down"
    });
    let alone = json(&cdn, "monitor-3", "/v1/state");
    let suspect = alone["views"]["monitor-3"]["view"]["suspect"].as_str().unwrap();
    assert!(suspect.contains("it hears 0 of its 2 peers"), "{suspect}");
    assert_eq!(alone["merged"]["quorum"], false);
    assert_ne!(
        alone["merged"]["nodes"][EDGE]["state"], "down",
        "and takes nobody out"
    );
    assert_eq!(
        cdn.daemon("monitor-3").metric("millrace_monitor_suspect", &[]),
        1.0
    );

    for monitor in ["monitor-1", "monitor-2"] {
        let shown = await_state(&cdn, monitor, |shown| {
            shown["views"]["monitor-3"]["standing"] == "suspect"
        });
        assert_eq!(
            shown["views"]["monitor-3"]["view"]["nodes"][EDGE]["state"], "down",
            "its view is visible"
        );
        assert_eq!(shown["merged"]["nodes"][EDGE]["state"], "up");
        assert_eq!(shown["merged"]["quorum"], true);
    }
    cdn.daemon_mut(EDGE).kill9();
    for monitor in ["monitor-1", "monitor-2"] {
        await_state(&cdn, monitor, |shown| {
            shown["merged"]["nodes"][EDGE]["state"] == "down"
        });
    }
}

#[test]
fn a_monitor_that_lies_changes_nothing_in_the_merge() {
    let mut cdn = watched().edges("ams", 2).start();
    await_all_well(&cdn);
    let nobody = Port::claim();
    let snapshot = unreachable(&cdn, &nobody);
    misled(&mut cdn, "monitor-2", |text| text, &snapshot);
    for monitor in MONITORS {
        let shown = await_state(&cdn, monitor, |shown| {
            let view = &shown["views"]["monitor-2"]["view"];
            view["nodes"][EDGE]["state"] == "down" && view["suspect"].is_null()
        });
        let merged = &shown["merged"];
        assert_eq!(merged["monitors"]["monitor-2"], "counts");
        assert_eq!(
            merged["nodes"][EDGE]["votes"]["monitor-2"], "down",
            "what it says is shown"
        );
        assert_eq!(
            (&merged["nodes"][EDGE]["state"], &merged["nodes"][EDGE]["weight"]),
            (&"up".into(), &1.0.into())
        );
    }
}

#[test]
fn two_monitors_of_three_go_on_and_one_alone_takes_nobody_out() {
    let mut cdn = watched().edges("ams", 2).start();
    await_all_well(&cdn);
    cdn.daemon_mut("monitor-3").kill9();
    cdn.daemon_mut(EDGE).kill9();
    for monitor in ["monitor-1", "monitor-2"] {
        await_state(&cdn, monitor, |shown| {
            shown["merged"]["nodes"][EDGE]["state"] == "down"
                && shown["views"]["monitor-3"]["lost"].is_string()
        });
    }
    cdn.daemon_mut("monitor-2").kill9();
    await_state(&cdn, "monitor-1", |shown| shown["merged"]["quorum"] == false);
    cdn.daemon_mut("edge-ams-2").kill9();
    let shown = await_state(&cdn, "monitor-1", |shown| {
        shown["views"]["monitor-1"]["view"]["nodes"]["edge-ams-2"]["state"] == "down"
    });
    assert_eq!(shown["merged"]["nodes"]["edge-ams-2"]["state"], "up");
    assert_eq!(
        shown["merged"]["nodes"][EDGE]["state"], "down",
        "what was down stays"
    );
    for monitor in ["monitor-2", "monitor-3"] {
        cdn.daemon_mut(monitor).launch_again();
        cdn.daemon_mut(monitor).await_ready();
    }
    await_merged(&cdn, "edge-ams-2", "down", Some("refused"));
}

#[test]
fn a_peer_that_calls_itself_otherwise_is_not_believed() {
    let mut cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    let snapshot = cdn.snapshot().clone();
    let swap = |text: String| text.replace("name = \"monitor-2\"", "name = \"monitor-x\"");
    misled(&mut cdn, "monitor-1", swap, &snapshot);
    let shown = await_state(&cdn, "monitor-1", |shown| {
        shown["views"]["monitor-x"]["lost"].is_string()
    });
    let lost = shown["views"]["monitor-x"]["lost"].as_str().unwrap();
    assert!(lost.contains("\"monitor-2\" answers there"), "{lost}");
    assert_eq!(shown["views"]["monitor-x"]["standing"], "silent");
}

#[test]
fn a_peer_that_is_frozen_is_silent_and_counts_again_when_it_goes_on() {
    let cdn = watched().edges("ams", 1).start();
    await_all_well(&cdn);
    cdn.daemon("monitor-2").freeze();
    await_state(&cdn, "monitor-1", |shown| {
        shown["merged"]["monitors"]["monitor-2"] == "silent"
    });
    cdn.daemon("monitor-2").thaw();
    await_state(&cdn, "monitor-1", |shown| {
        shown["merged"]["monitors"]["monitor-2"] == "counts"
    });
}
