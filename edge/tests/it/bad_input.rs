//! A configuration with mistakes: every one is named, nothing is bound, and the exit status says whose fault it is.

use std::net::TcpListener;
use std::time::Duration;

use testkit::cdn::Cdn;
use testkit::process::{Ended, run_to_end};

use crate::{EDGE, builder};

const DEADLINE: Duration = Duration::from_secs(20);

/// Files for one parent and one edge, and nobody started.
fn prepared() -> Cdn {
    builder().parents("ams", 1).edges("ams", 1).prepare()
}

fn run_edge(cdn: &Cdn, more: &[&str]) -> Ended {
    let config = cdn.config(EDGE).to_str().unwrap().to_owned();
    let arguments: Vec<&str> = ["--config", &config]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    run_to_end(cdn.binary(EDGE), &arguments, DEADLINE)
}

fn change_config(cdn: &Cdn, change: impl FnOnce(String) -> String) {
    let path = cdn.config(EDGE);
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(text)).unwrap();
}

#[test]
fn three_mistakes_are_three_complaints_and_exit_2_before_anything_is_bound() {
    let cdn = prepared();
    change_config(&cdn, |text| {
        text.replace("threads = 2", "threads = \"two\"")
            .replace("ram = \"64MiB\"", "ram = \"64 potatoes\"")
            + "\n[caches]\nfast = true\n"
    });
    // Were anything bound before the complaints, these would fail it with another message and status.
    let held: Vec<TcpListener> = [cdn.addresses(EDGE).http, cdn.addresses(EDGE).admin]
        .into_iter()
        .map(|address| TcpListener::bind(address).unwrap())
        .collect();
    let ended = run_edge(&cdn, &[]);
    drop(held);
    assert_eq!(ended.status.code(), Some(2), "{:?}", ended.errors);
    let config = cdn.config(EDGE).to_str().unwrap();
    let complaints: Vec<&String> = ended.errors.iter().filter(|line| line.contains(config)).collect();
    assert_eq!(complaints.len(), 3, "{:#?}", ended.errors);
    for word in ["threads", "ram", "caches"] {
        assert!(
            complaints.iter().any(|line| line.contains(word)),
            "{word} in {complaints:#?}"
        );
    }
}

#[test]
fn check_follows_the_start_and_stops_before_binding() {
    let cdn = prepared();
    let held = TcpListener::bind(cdn.addresses(EDGE).http).unwrap();
    let ended = run_edge(&cdn, &["--check"]);
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.errors);
    drop(held);
    change_config(&cdn, |text| text.replace("certificate.pem", "nowhere.pem"));
    let ended = run_edge(&cdn, &["--check"]);
    assert_eq!(ended.status.code(), Some(2), "{:?}", ended.errors);
    assert!(
        ended.errors.iter().any(|line| line.contains("nowhere.pem")),
        "{:?}",
        ended.errors
    );
}

#[test]
fn a_snapshot_that_is_wrong_at_the_start_is_refused_with_every_complaint() {
    let mut cdn = prepared();
    cdn.publish(|snapshot| {
        let service = snapshot.services.get_mut("demo").unwrap();
        service.origins[0].url = "gopher://origin".to_owned();
        service.origins[0].weight = -1.0;
        snapshot.nodes.get_mut(EDGE).unwrap().site = "nowhere".to_owned();
    });
    let ended = run_edge(&cdn, &["--check"]);
    assert_eq!(ended.status.code(), Some(2), "{:?}", ended.errors);
    let text = ended.errors.join("\n");
    for word in [
        "services.demo.origins[0].url",
        "services.demo.origins[0].weight",
        "nowhere",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_node_that_the_snapshot_does_not_know_does_not_start() {
    let cdn = prepared();
    change_config(&cdn, |text| {
        text.replace("node = \"edge-ams-1\"", "node = \"edge-ams-9\"")
    });
    let ended = run_edge(&cdn, &["--check"]);
    assert_eq!(ended.status.code(), Some(2), "{:?}", ended.errors);
    assert!(
        ended.errors.join("\n").contains("edge-ams-9"),
        "{:?}",
        ended.errors
    );
    change_config(&cdn, |text| {
        text.replace("node = \"edge-ams-9\"", "node = \"parent-ams-1\"")
    });
    let ended = run_edge(&cdn, &["--check"]);
    assert_eq!(
        ended.status.code(),
        Some(2),
        "a parent is no edge: {:?}",
        ended.errors
    );
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let cdn = prepared();
    for address in [cdn.addresses(EDGE).http, cdn.addresses(EDGE).admin] {
        let _held = TcpListener::bind(address).unwrap();
        let ended = run_edge(&cdn, &[]);
        assert_eq!(ended.status.code(), Some(1), "{:?}", ended.errors);
        assert!(
            ended
                .errors
                .iter()
                .any(|line| line.contains(&address.to_string())),
            "{:?}",
            ended.errors
        );
    }
}

#[test]
fn a_missing_file_is_named() {
    let cdn = prepared();
    let ended = run_to_end(cdn.binary(EDGE), &["--config", "/nowhere/edge.toml"], DEADLINE);
    assert_eq!(ended.status.code(), Some(2), "{:?}", ended.errors);
    assert!(
        ended.errors.join("\n").contains("/nowhere/edge.toml"),
        "{:?}",
        ended.errors
    );
}

#[test]
fn version_is_told() {
    let cdn = prepared();
    let ended = run_to_end(cdn.binary(EDGE), &["--version"], DEADLINE);
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(
        ended.output,
        [format!("millrace-edge {}", env!("CARGO_PKG_VERSION"))]
    );
}
