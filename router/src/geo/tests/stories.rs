//! Small worlds, written out.

use std::net::IpAddr;

use super::super::ranking::Evidence;
use super::super::table::Table;
use super::super::testing::{BUILT, database, snapshot};
use super::super::{Sources, compile};
use super::naive::told;
use super::world::source;

const SITES: [(&str, f64, f64); 3] = [("ams", 52.3, 4.8), ("iad", 39.0, -77.5), ("nrt", 35.8, 140.4)];

fn table(database: &[u8], coverage: &str, latency: &str) -> Table {
    let sources = Sources {
        database: Some(source("city.mmdb", database)),
        coverage: Some(source("zones.json", coverage.as_bytes())),
        latency: Some(source("latency.csv", latency.as_bytes())),
        measured: None,
    };
    compile(&snapshot(&SITES), sources).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn better_evidence_outranks_longer_prefixes() {
    let places = database(&[("10.0.0.0/8".parse().unwrap(), 35.0, 139.0, "JP")]);
    let coverage = r#"{"zones": [
        {"prefix": "10.1.0.0/16", "sites": ["iad"]},
        {"prefix": "10.1.1.0/24", "sites": ["nrt"]},
        {"prefix": "10.1.0.0/20", "sites": ["ams"], "deep": true}]}"#;
    let latency = "10.1.9.0/24,nrt,beacons,1\n10.2.0.0/16,ams,beacons,1\n";
    let table = table(&places, coverage, latency);
    for (client, site, evidence) in [
        ("10.1.1.7", "ams", Evidence::Coverage { deep: true }),
        ("10.1.9.7", "ams", Evidence::Coverage { deep: true }),
        ("10.1.16.7", "iad", Evidence::Coverage { deep: false }),
        ("10.2.0.7", "ams", Evidence::Latency),
        ("10.3.0.7", "nrt", Evidence::Geography),
        ("11.0.0.7", "ams", Evidence::Default),
    ] {
        let (sites, found, country) = told(&table, address(client));
        assert_eq!((sites[0].as_str(), found), (site, evidence), "{client}");
        assert_eq!(country, client.starts_with("10.").then_some(*b"JP"), "{client}");
    }
}

#[test]
fn neighbours_that_are_answered_alike_are_one_net() {
    let net = |text: &str| text.parse().unwrap();
    let places = database(&[
        (net("10.0.0.0/24"), 52.0, 5.0, "NL"),
        (net("10.0.1.0/24"), 52.1, 5.1, "NL"),
        (net("10.0.2.0/24"), 52.0, 5.0, "NL"),
        (net("10.0.3.0/24"), 52.0, 5.0, "DE"),
    ]);
    let table = table(&places, "{}", "");
    for (client, length) in [
        ("10.0.0.1", 23),
        ("10.0.1.1", 23),
        ("10.0.2.1", 24),
        ("10.0.3.1", 24),
        ("10.0.4.1", 22),
    ] {
        assert_eq!(table.find(address(client)).prefix_length, length, "{client}");
    }
    assert_eq!(table.find(address("2001:db8::1")).prefix_length, 0);
}

#[test]
fn a_scope_may_be_longer_than_what_resolvers_send() {
    let coverage = r#"{"zones": [
        {"prefix": "10.0.0.128/26", "sites": ["iad"]},
        {"prefix": "2001:db8::/63", "sites": ["iad"]}]}"#;
    let table = table(&database(&[]), coverage, "");
    assert_eq!(table.find(address("10.0.0.130")).scope, 26);
    assert_eq!(table.find(address("10.0.0.1")).scope, 25);
    assert_eq!(table.find(address("2001:db8::1")).scope, 63);
}

#[test]
fn an_ipv4_address_is_answered_as_such_however_it_is_written() {
    let coverage = r#"{"zones": [{"prefix": "10.0.0.0/8", "sites": ["nrt"]}]}"#;
    let table = table(&database(&[]), coverage, "");
    let (plain, mapped) = (
        table.find(address("10.1.2.3")),
        table.find(address("::ffff:10.1.2.3")),
    );
    assert_eq!((plain.prefix_length, plain.scope), (8, 8));
    assert_eq!((mapped.prefix_length, mapped.scope), (8, 104));
    assert_eq!((plain.ranking, plain.country), (mapped.ranking, mapped.country));
}

#[test]
fn operators_may_place_what_databases_do_not_know() {
    // 6to4 is no part of a database (its net would be a copy of IPv4), but an operator can say where it goes.
    let places = database(&[("2002::/16".parse().unwrap(), 35.0, 139.0, "JP")]);
    let before = table(&places, "{}", "");
    assert_eq!(told(&before, address("2002:c000:201::1")).1, Evidence::Default);
    let zone = r#"{"zones": [{"prefix": "2002::/16", "sites": ["iad"]}]}"#;
    let after = table(&places, zone, "");
    assert_eq!(told(&after, address("2002:c000:201::1")).0[0], "iad");
}

#[test]
fn without_sources_every_client_gets_the_default() {
    let table = compile(&snapshot(&SITES), Sources::default()).unwrap();
    let found = table.find(address("192.0.2.1"));
    assert_eq!((found.prefix_length, found.country), (0, None));
    assert_eq!(told(&table, address("2001:db8::1")).0, ["ams", "iad", "nrt"]);
    let nowhere = compile(&snapshot(&[]), Sources::default()).unwrap();
    assert!(
        nowhere
            .ranking(nowhere.find(address("::1")).ranking)
            .sites()
            .is_empty()
    );
}

#[test]
fn the_complaints_of_all_sources_are_told_together() {
    let sources = Sources {
        database: Some(source("city.mmdb", b"no")),
        coverage: Some(source("zones.json", b"no")),
        latency: Some(source("latency.csv", b"no")),
        measured: None,
    };
    let complaints = compile(&snapshot(&SITES), sources).unwrap_err();
    let names: Vec<&str> = complaints
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, ["zones.json", "latency.csv", "city.mmdb"]);
}

#[test]
fn a_table_tells_how_large_it_is() {
    let places = database(&[("10.0.0.0/8".parse().unwrap(), 35.0, 139.0, "JP")]);
    let stats = table(&places, "{}", "10.0.0.0/9,ams,beacons,0.1\n").stats();
    assert_eq!((stats.entries_ipv4, stats.entries_ipv6), (3, 1));
    assert_eq!((stats.rankings, stats.measurements_unused), (2, 1));
    assert_eq!(stats.database_built, BUILT);
    assert!(stats.memory_bytes >= 3 * 8 + 12, "{stats:?}");
}

#[test]
fn what_edges_measure_counts_where_the_operator_has_measured_nothing() {
    let snapshot = snapshot(&[("ams", 52.3, 4.8), ("iad", 39.0, -77.5)]);
    let source = |name, text: &'static str| {
        Some(super::super::Source {
            name,
            bytes: text.as_bytes(),
        })
    };
    let sources = Sources {
        latency: source("latency.csv", "192.0.2.0/24,iad,beacons,0.9"),
        measured: source(
            "edges",
            "192.0.2.0/24,ams,edges,1\n198.51.100.0/24,iad ams,edges,1\n",
        ),
        ..Sources::default()
    };
    let table = compile(&snapshot, sources).unwrap();
    let first = |client: &str| {
        let ranking = table.ranking(table.find(client.parse().unwrap()).ranking);
        (table.site(ranking.sites()[0]), ranking.evidence().word())
    };
    assert_eq!(first("192.0.2.9"), ("iad", "latency"));
    assert_eq!(first("198.51.100.9"), ("iad", "latency"));
    assert_eq!(first("203.0.113.9").1, "default");
}
