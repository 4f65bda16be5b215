//! `millrace-loadtest play`: viewers on a CDN of their own, every byte compared.

use crate::running::program;

#[test]
fn viewers_of_a_small_library_meet_no_error() {
    let mut command = program();
    command.args([
        "play",
        "--own",
        "--json",
        "--seed",
        "7",
        "--viewers",
        "6",
        "--seconds",
        "4",
    ]);
    command.args([
        "--warm-up-seconds",
        "3",
        "--titles",
        "2",
        "--segments",
        "3",
        "--break-off",
        "0.05",
    ]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let measures: Vec<serde_json::Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{complaints}"));
    let of = |name: &str| {
        let found = measures.iter().find(|measure| measure["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {text}"))["ours"]
            .as_f64()
            .unwrap()
    };
    assert_eq!(of("errors"), 0.0, "{text}{complaints}");
    assert!(of("requests") > 1.0 && of("sessions") > 1.0, "{text}");
    assert!(of("origin offload, requests") > 0.5, "{text}");
}

#[test]
fn without_a_running_cdn_it_says_how_to_start_one() {
    let mut command = program();
    command.args(["play", "--origin", "127.0.0.1:1"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("millrace-loadtest up"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}
