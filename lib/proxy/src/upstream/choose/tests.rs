//! Stories of an edge and a parent that choose.

use std::{collections::HashMap, time::Duration};

use model::Snapshot;
use prometheus::Registry;

use super::*;
use crate::upstream::{health::Policy, metrics::Metrics};

/// Two parents in Amsterdam, two in Frankfurt, one in Washington; two origins, the second of which has all the options.
fn snapshot(service: &str) -> Snapshot {
    let text = r#"{
        "cdn": "test", "number": 1,
        "sites": {
            "ams": {"region": "eu", "latitude": 52.3, "longitude": 4.8},
            "fra": {"region": "eu", "latitude": 50.0, "longitude": 8.6},
            "iad": {"region": "us", "latitude": 39.0, "longitude": -77.5}
        },
        "nodes": {
            "edge-ams-1": {"tier": "edge", "site": "ams", "http": "127.0.0.1:8080"},
            "parent-ams-1": {"tier": "parent", "site": "ams", "http": "127.0.0.1:8180", "https": "127.0.0.1:8543"},
            "parent-ams-2": {"tier": "parent", "site": "ams", "https": "[::1]:8544"},
            "parent-ams-3": {"tier": "parent", "site": "ams", "http": "127.0.0.1:8183", "status": "ADMIN_DOWN"},
            "parent-fra-1": {"tier": "parent", "site": "fra", "http": "127.0.0.1:8184"},
            "parent-fra-2": {"tier": "parent", "site": "fra", "http": "127.0.0.1:8185"},
            "parent-iad-1": {"tier": "parent", "site": "iad", "http": "127.0.0.1:8186"}
        },
        "services": {"demo": {
            "hosts": ["localhost"], "allow_private_origins": true,
            "origins": [
                {"url": "https://origin.example.com"},
                {"url": "http://[2001:db8::1]:8090", "weight": 3.0, "max_connections": 7, "host_header": "vod.example.com:81"}
            ] SERVICE
        }}
    }"#;
    Snapshot::from_json(text.replace("SERVICE", service).as_bytes()).expect("a good snapshot")
}

fn candidates(service: &str, tier: Tier) -> Candidates {
    let snapshot = snapshot(service);
    Candidates::compile(&snapshot, &snapshot.services["demo"], "ams", tier)
}

fn key(number: usize) -> Key {
    Key::new("demo", format!("/v0/segment-{number}.m4s"))
}

fn at(seconds: u64) -> Moment {
    Moment::from_seconds(seconds)
}

/// Chooses for a key while those named are down as said, and everybody else is up.
fn chosen(
    candidates: &Candidates,
    key_number: usize,
    down: &[(&str, Standing, u64)],
) -> Vec<(String, Reason)> {
    let down: HashMap<&str, (Standing, Option<Moment>)> = down
        .iter()
        .map(|(name, standing, failed)| (*name, (*standing, Some(at(*failed)))))
        .collect();
    candidates
        .for_key(&key(key_number))
        .choose(|candidate| {
            down.get(&*candidate.name)
                .copied()
                .unwrap_or((Standing::Up, None))
        })
        .into_iter()
        .map(|chosen| (chosen.candidate.name.to_string(), chosen.reason))
        .collect()
}

fn names(chosen: &[(String, Reason)]) -> Vec<&str> {
    chosen.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn an_edge_asks_the_parents_of_its_site_first_then_those_of_the_next_and_never_an_origin() {
    let edge = candidates("", Tier::Edge);
    let mut owners = HashSet::new();
    for number in 0..200 {
        let chosen = chosen(&edge, number, &[]);
        assert_eq!(chosen.len(), CANDIDATES_MAX);
        let reasons: Vec<_> = chosen.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(
            reasons,
            [Reason::Own, Reason::Successor, Reason::Farther, Reason::Farther]
        );
        assert!(
            chosen[..2]
                .iter()
                .all(|(name, _)| name == "parent-ams-1" || name == "parent-ams-2")
        );
        assert!(
            chosen[2..]
                .iter()
                .all(|(name, _)| name.starts_with("parent-fra-"))
        );
        owners.insert(chosen[0].0.clone());
    }
    assert_eq!(owners.len(), 2, "both parents own keys");
}

#[test]
fn keys_stay_where_they_are_when_another_parent_goes_down() {
    let edge = candidates("", Tier::Edge);
    for number in 0..200 {
        let before = chosen(&edge, number, &[]);
        let down = [("parent-ams-1", Standing::Resting, 9)];
        let after = chosen(&edge, number, &down);
        assert_eq!(after[0].0, "parent-ams-2");
        if before[0].0 == "parent-ams-2" {
            assert_eq!(after[0].1, Reason::Own);
        }
        assert!(!names(&after).contains(&"parent-ams-1"));
        assert_eq!(after.len(), CANDIDATES_MAX, "a farther site fills up");
    }
}

#[test]
fn an_edge_whose_parents_are_all_down_tries_those_that_rested_longest_and_still_no_origin() {
    let edge = candidates("", Tier::Edge);
    let down = [
        ("parent-ams-1", Standing::Resting, 50),
        ("parent-ams-2", Standing::Probing, 20),
        ("parent-fra-1", Standing::Due, 40),
        ("parent-fra-2", Standing::Resting, 10),
        ("parent-iad-1", Standing::Resting, 30),
    ];
    let expected = [
        ("parent-fra-2".to_owned(), Reason::LastResort),
        ("parent-ams-2".to_owned(), Reason::LastResort),
    ];
    assert_eq!(chosen(&edge, 1, &down), expected);
}

#[test]
fn a_parent_whose_pause_is_over_gets_its_probe_at_its_own_rank() {
    let edge = candidates("", Tier::Edge);
    for number in 0..20 {
        let before = chosen(&edge, number, &[]);
        let after = chosen(&edge, number, &[("parent-ams-1", Standing::Due, 9)]);
        assert_eq!(before, after);
    }
}

#[test]
fn one_that_is_up_far_away_is_better_than_a_last_resort() {
    let edge = candidates("", Tier::Edge);
    let down: Vec<_> = ["parent-ams-1", "parent-ams-2", "parent-fra-1", "parent-fra-2"]
        .map(|name| (name, Standing::Due, 9))
        .into_iter()
        .collect();
    // Four probes fill the list, yet the fifth is known to be up: the probes may have been taken by others.
    let all_due = chosen(&edge, 1, &down);
    assert_eq!(all_due.len(), CANDIDATES_MAX);
    assert_eq!(
        all_due[CANDIDATES_MAX - 1],
        ("parent-iad-1".to_owned(), Reason::Farther)
    );
    let resting: Vec<_> = down
        .iter()
        .map(|(name, _, failed)| (*name, Standing::Resting, *failed))
        .collect();
    assert_eq!(
        chosen(&edge, 1, &resting),
        [("parent-iad-1".to_owned(), Reason::Farther)]
    );
}

#[test]
fn an_edge_of_a_service_that_goes_direct_asks_origins_after_all_parents() {
    let edge = candidates(r#", "go_direct": true"#, Tier::Edge);
    let down: Vec<_> = ["parent-ams-1", "parent-ams-2", "parent-fra-1", "parent-fra-2"]
        .map(|name| (name, Standing::Resting, 9))
        .into_iter()
        .collect();
    let chosen = chosen(&edge, 1, &down);
    assert_eq!(chosen[0], ("parent-iad-1".to_owned(), Reason::Farther));
    assert_eq!(chosen.len(), 3);
    assert!(chosen[1..].iter().all(|(_, reason)| *reason == Reason::Direct));
}

#[test]
fn a_parent_asks_origins_by_weight_and_a_key_sticks_to_one() {
    let parent = candidates("", Tier::Parent);
    let heavy = (0..1000)
        .filter(|number| names(&chosen(&parent, *number, &[]))[0] == "[2001:db8::1]:8090")
        .count();
    assert!(
        (680..820).contains(&heavy),
        "{heavy} of 1,000 keys for a weight of 3 beside 1"
    );
    assert_eq!(chosen(&parent, 5, &[]), chosen(&parent, 5, &[]));
    assert_eq!(chosen(&parent, 5, &[]).len(), 2);
}

#[test]
fn a_node_that_is_online_is_asked_whatever_its_health() {
    let mut snapshot = snapshot("");
    snapshot.nodes.get_mut("parent-ams-1").expect("is there").status = model::Status::Online;
    let edge = Candidates::compile(&snapshot, &snapshot.services["demo"], "ams", Tier::Edge);
    let down: Vec<_> = [
        "parent-ams-1",
        "parent-ams-2",
        "parent-fra-1",
        "parent-fra-2",
        "parent-iad-1",
    ]
    .map(|name| (name, Standing::Resting, 9))
    .into_iter()
    .collect();
    let chosen = chosen(&edge, 1, &down);
    assert_eq!(names(&chosen), ["parent-ams-1"]);
    assert_ne!(chosen[0].1, Reason::LastResort);
}

#[test]
fn candidates_say_how_they_are_reached() {
    let edge = candidates("", Tier::Edge);
    let found = |candidates: &Candidates, name: &str| {
        candidates
            .all()
            .find(|candidate| &*candidate.name == name)
            .map(|candidate| Candidate::clone(candidate))
    };
    let plain = found(&edge, "parent-ams-1").expect("is there");
    assert_eq!((plain.tls, &*plain.host, plain.port), (false, "127.0.0.1", 8180));
    assert_eq!(
        (plain.host_header, plain.server_name, plain.private_allowed),
        (None, None, true)
    );
    let secure = found(&edge, "parent-ams-2").expect("is there");
    assert_eq!((secure.tls, &*secure.host, secure.port), (true, "::1", 8544));
    assert_eq!(found(&edge, "parent-ams-3"), None, "it is under maintenance");

    let parent = candidates("", Tier::Parent);
    let expected = Candidate {
        name: "origin.example.com:443".into(),
        source: Source::Origin,
        tls: true,
        host: "origin.example.com".into(),
        port: 443,
        host_header: Some(HeaderValue::from_static("origin.example.com")),
        server_name: Some("origin.example.com".into()),
        private_allowed: true,
        connections_max: Some(256),
        ignores_health: false,
    };
    assert_eq!(found(&parent, "origin.example.com:443"), Some(expected));
    let other = found(&parent, "[2001:db8::1]:8090").expect("is there");
    assert_eq!(
        (&*other.host, other.port, other.connections_max),
        ("2001:db8::1", 8090, Some(7))
    );
    assert_eq!(
        other.host_header,
        Some(HeaderValue::from_static("vod.example.com:81"))
    );
    assert_eq!(other.server_name.as_deref(), Some("vod.example.com"));
    assert_eq!(Candidates::names([&edge, &parent]).len(), 7);
}

#[test]
fn no_parents_and_no_leave_to_go_direct_means_nobody_to_ask() {
    let mut snapshot = snapshot("");
    snapshot.nodes.retain(|_, node| node.tier == Tier::Edge);
    let edge = Candidates::compile(&snapshot, &snapshot.services["demo"], "ams", Tier::Edge);
    assert!(chosen(&edge, 1, &[]).is_empty());
}

#[test]
fn of_two_requests_that_chose_a_probe_one_is_admitted_and_a_last_resort_always_is() {
    let policy = Policy {
        failures: 1,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(1),
    };
    let health = Health::new(
        policy,
        Metrics::register(&Registry::new())
            .expect("unregistered names")
            .health,
    );
    let parent = candidates("", Tier::Parent);
    let ask = |now| parent.for_key(&key(1)).choose_by_health(&health, now);
    let first = ask(at(1))[0];
    first.admit(&health, at(1)).expect("it is up").failed(at(1));

    let (one, two) = (ask(at(2)), ask(at(2)));
    assert_eq!((one[0], two[0]), (first, first), "both would probe it");
    let probe = one[0].admit(&health, at(2)).expect("the first may");
    assert!(
        two[0].admit(&health, at(2)).is_none(),
        "the second goes on to the next"
    );
    probe.failed(at(2));

    let other = ask(at(2))[0];
    assert_ne!(other.candidate, first.candidate);
    other.admit(&health, at(2)).expect("it is up").failed(at(2));
    let last = ask(at(2));
    assert_eq!(last[0].reason, Reason::LastResort);
    let tickets: Vec<_> = (0..2)
        .map(|_| last[0].admit(&health, at(2)).expect("always"))
        .collect();
    for ticket in tickets {
        ticket.succeeded();
    }
    assert_eq!(
        ask(at(2))[0].reason,
        Reason::Own,
        "one answer is enough to believe it again"
    );
}
