//! The samples read, stray keys do not, and what cannot work together is told.

use daemon::config::Document;
use daemon::follow::Source;
use testkit::samples;

use super::*;

const COMMENTED: &str = include_str!("../../../conf/monitor.toml");
const LOCAL: [&str; 3] = [
    include_str!("../../../conf/local/monitor-1.toml"),
    include_str!("../../../conf/local/monitor-2.toml"),
    include_str!("../../../conf/local/monitor-3.toml"),
];

/// Without a look for the files that are named.
fn read(text: &str) -> Result<(Config, Value), String> {
    let document = Document::parse(Path::new("monitor.toml"), text).map_err(|error| error.to_string())?;
    let config = Config::read(&document.root());
    let config = document.finish(config).map_err(|error| error.to_string())?;
    Ok((config, document.masked()))
}

#[test]
fn a_stray_key_in_any_table_of_any_sample_is_refused_with_its_line() {
    for sample in LOCAL.iter().chain([&COMMENTED]) {
        read(sample).unwrap();
        samples::check_stray_keys(sample, "monitor.toml", 5, read);
    }
}

#[test]
fn the_commented_sample_says_every_key_default_and_range() {
    samples::check_comments(COMMENTED, |text| read(text).map(|(_, in_use)| in_use));
}

#[test]
fn the_local_monitors_stand_where_the_readme_says_and_know_each_other() {
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    for (sample, number) in LOCAL.iter().zip(0_u16..) {
        let (config, _) = read(sample).unwrap();
        let name = |number: u16| format!("monitor-{}", number + 1);
        assert_eq!(config.name, name(number));
        assert_eq!(config.admin, address(9141 + number));
        assert_eq!(config.listen.http, [address(8070 + number)]);
        assert_eq!(config.snapshot, Source::File("conf/local/cdn.json".into()));
        let expected: Vec<(String, String)> = (0..3)
            .filter(|other| *other != number)
            .map(|other| (name(other), format!("http://127.0.0.1:{}", 8070 + other)))
            .collect();
        let peers: Vec<(String, String)> = config
            .peers
            .iter()
            .map(|peer| (peer.name.clone(), peer.server.to_string()))
            .collect();
        assert_eq!(peers, expected);
    }
}

#[test]
fn the_object_that_local_monitors_probe_is_the_one_that_is_there() {
    use sha2::Digest;
    let (config, _) = read(LOCAL[0]).unwrap();
    let object = &config.probe.objects[0];
    let path = format!(
        "{}/../conf/local/media{}",
        env!("CARGO_MANIFEST_DIR"),
        object.path
    );
    let digest: [u8; 32] = sha2::Sha256::digest(std::fs::read(path).unwrap()).into();
    assert_eq!(digest, object.sha256);
}

#[test]
fn what_cannot_work_together_is_refused() {
    for (find, replace, says) in [
        (
            "name = \"monitor-1\"",
            "name = \"monitor 1\"",
            "name: \"monitor 1\" is not a name",
        ),
        (
            "name = \"monitor-3\"",
            "name = \"monitor-1\"",
            "peers[1].name: is that of another monitor",
        ),
        (
            "name = \"monitor-3\"",
            "name = \"monitor-2\"",
            "peers[1].name: is that of another monitor",
        ),
        (
            "http://127.0.0.1:8071",
            "127.0.0.1:8071",
            "write http://host:port",
        ),
        ("[\"127.0.0.1:8070\"]", "[]", "there is no address to listen on"),
        ("http = [", "https = [", "listen.https: has no certificate"),
        (
            "[probe]",
            "[probe]\nfast_interval = \"20s\"",
            "probe.fast_interval: is longer than interval",
        ),
        ("path = \"/demo", "path = \"demo", "does not begin with /"),
        ("sha256 = \"", "sha256 = \"x", "is no SHA-256"),
        (
            "[limits]",
            "[judge]\nhold_down = \"10m\"\n[limits]",
            "judge.longest_hold_down: is shorter than hold_down",
        ),
        (
            "[limits]",
            "[alerts]\nfirst_pause = \"50s\"\nlongest_pause = \"1s\"\n[limits]",
            "alerts.longest_pause: is shorter",
        ),
        (
            "[limits]",
            "[alerts.pagerduty]\n[limits]",
            "alerts.pagerduty.routing_key: is missing",
        ),
        (
            "[limits]",
            "[alerts.pagerduty]\nrouting_key = \"r4nd0m\"\n[limits]",
            "a secret does not stand in this file",
        ),
        (
            "[limits]",
            "[alerts.alertmanager]\nurl = \"a:1\"\n[limits]",
            "alerts.alertmanager.url: is no URL",
        ),
        (
            "[limits]",
            "[alerts.alertmanager]\nurl = \"http://a\"\nuser = \"x\"\n[limits]",
            "alerts.alertmanager.token: does not go with the rest",
        ),
        (
            "admin",
            "snapshot_token = { environment = \"TOKEN\" }\nadmin",
            "the snapshot is a file",
        ),
    ] {
        let text = LOCAL[0].replace(find, replace);
        let complaints = read(&text).unwrap_err();
        assert!(complaints.contains(says), "{says}: {complaints}");
        assert!(!complaints.contains("r4nd0m"), "{complaints}");
    }
}
