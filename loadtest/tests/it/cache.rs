//! `millrace-loadtest cache`: an edge is killed, and its disk is damaged, and no client ever gets a wrong byte.

use std::process::Output;

use serde_json::Value;

use crate::running::program;

/// Runs a tool and gives the figures it reports, by name.
#[track_caller]
fn figures(arguments: &[&str]) -> impl Fn(&str) -> f64 {
    let Output {
        status,
        stdout,
        stderr,
    } = program()
        .arg("cache")
        .args(arguments)
        .arg("--json")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{status}: {complaints}");
    let measures: Vec<Value> = serde_json::from_slice(&stdout).unwrap();
    move |name| {
        let measure = measures.iter().find(|measure| measure["name"] == name);
        let figure = measure.and_then(|measure| measure["ours"].as_f64());
        figure.unwrap_or_else(|| panic!("no {name}: {measures:?}\n{complaints}"))
    }
}

#[test]
fn twenty_kills_under_load_neither_bend_a_byte_nor_cost_what_was_stored() {
    let figure = figures(&["kill", "--times", "20", "--clients", "3"]);
    assert_eq!((figure("kills"), figure("wrong bodies")), (20.0, 0.0));
    assert_eq!(figure("answers of a living edge broken off"), 0.0);
    let (expected, lost) = (
        figure("objects that a kill must spare"),
        figure("of these fetched again"),
    );
    // On a machine that stands still for a second a write may come too late; not twenty times.
    assert!(
        expected >= 100.0 && lost <= expected / 10.0,
        "{lost} of {expected} lost"
    );
}

#[test]
fn flipped_bits_are_met_and_never_served() {
    let figure = figures(&["flip", "--count", "200", "--clients", "1"]);
    assert_eq!(figure("wrong bodies"), 0.0);
    assert_eq!(figure("answers broken off"), 0.0);
    assert!(figure("damage met by reads") >= 1.0);
    let pieces = [
        "superblock",
        "purge journal",
        "region header",
        "region footer",
        "record header",
        "checksum table",
        "metadata",
        "body",
    ];
    let flips: f64 = pieces
        .iter()
        .map(|piece| figure(&format!("flips in: {piece}")))
        .sum();
    assert_eq!(flips, 200.0);
    for piece in ["record header", "checksum table", "metadata", "body"] {
        assert_eq!(figure(&format!("live {piece}: not noticed")), 0.0, "{piece}");
    }
    for piece in ["superblock", "purge journal", "region header"] {
        let (damaged, counted) = (
            figure(&format!("{piece}: damaged at a start")),
            figure(&format!("{piece}: counted by the start")),
        );
        assert_eq!(damaged, counted, "{piece}");
    }
}
