//! Stories of the monitor, told through real processes: three monitors, edges and parents that fail, receivers of alerts
//! that misbehave.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod alerts;
mod api;
mod nodes;
mod receiver;
mod restart;
mod views;

use std::time::Duration;

use serde_json::Value;
use testkit::cdn::{Cdn, CdnBuilder};
use testkit::client::Client;

const EDGE: &str = "edge-ams-1";
const MONITORS: [&str; 3] = ["monitor-1", "monitor-2", "monitor-3"];

/// Debug builds on a busy machine take their time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A CDN that three monitors watch.
fn watched() -> CdnBuilder {
    Cdn::builder()
        .monitor_binary(env!("CARGO_BIN_EXE_millrace-monitor"))
        .monitors(3)
        .parents("ams", 1)
}

fn api(cdn: &Cdn, monitor: &str) -> Client {
    Client::plain(cdn.addresses(monitor).http).host("localhost")
}

#[track_caller]
fn json(cdn: &Cdn, monitor: &str, path: &str) -> Value {
    let response = api(cdn, monitor).get(path);
    assert_eq!(response.status(), 200, "{path}: {response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

/// Waits until `monitor` shows what is wanted, and gives it.
#[track_caller]
fn await_state(cdn: &Cdn, monitor: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    testkit::eventually(PATIENCE, || {
        let state = json(cdn, monitor, "/v1/state");
        if wanted(&state) {
            Ok(state)
        } else {
            Err(format!("{monitor} shows {state:#}"))
        }
    })
}

/// Waits until all monitors together see a node in this state for this cause, whichever of them is asked.
#[track_caller]
fn await_merged(cdn: &Cdn, node: &str, state: &str, cause: Option<&str>) {
    for monitor in MONITORS {
        await_state(cdn, monitor, |shown| {
            let node = &shown["merged"]["nodes"][node];
            node["state"] == state && cause.is_none_or(|cause| node["cause"]["kind"] == cause)
        });
    }
}

/// Waits until all three count and every node is up.
#[track_caller]
fn await_all_well(cdn: &Cdn) {
    for monitor in MONITORS {
        await_state(cdn, monitor, |shown| {
            let all = |values: &Value, wanted: &dyn Fn(&Value) -> bool| {
                values.as_object().unwrap().values().all(wanted)
            };
            all(&shown["merged"]["monitors"], &|standing| standing == "counts")
                && all(&shown["merged"]["nodes"], &|node| node["state"] == "up")
        });
    }
}

/// The happenings of a node, as all together saw them: `from → to`.
fn transitions(cdn: &Cdn, monitor: &str, node: &str) -> Vec<String> {
    let events = json(cdn, monitor, &format!("/v1/events?node={node}&limit=1000"));
    let events = events["events"].as_array().unwrap().iter();
    events
        .filter(|event| event["scope"] == "merged")
        .map(|event| {
            format!(
                "{} → {}",
                event["from"].as_str().unwrap(),
                event["to"].as_str().unwrap()
            )
        })
        .collect()
}
