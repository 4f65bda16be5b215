//! What documents of coverage zones are taken, and what is said of the others.

use super::super::Source;
use super::super::coverage::{Coverage, Zone, read};
use super::super::place::Sites;
use super::super::prefix::Prefix;
use super::super::ranking::Evidence;
use super::super::testing::snapshot;

fn zones(text: &str) -> Result<Vec<Zone>, Vec<String>> {
    coverage(text).map(|coverage| coverage.zones)
}

fn coverage(text: &str) -> Result<Coverage, Vec<String>> {
    let sites = [("ams", 52.3, 4.8), ("fra", 50.0, 8.6), ("iad", 39.0, -77.5)];
    let sites = Sites::of(&snapshot(&sites)).unwrap();
    let source = Source {
        name: "zones.json",
        bytes: text.as_bytes(),
    };
    read(source, &sites)
}

fn told(zone: &Zone) -> (Prefix, Vec<u16>, Evidence) {
    let order = zone.ranking.sites().iter().map(|site| site.0).collect();
    (zone.prefix, order, zone.ranking.evidence())
}

fn prefix(text: &str) -> Prefix {
    Prefix::parse(text).unwrap()
}

#[test]
fn zones_are_read_in_the_operators_order_and_completed_by_distance() {
    let zones = zones(
        r#"{"zones": [
            {"prefix": "192.0.2.0/24", "sites": ["iad", "ams"]},
            {"prefix": "192.0.2.0/24", "sites": ["fra"], "deep": true},
            {"prefix": "2001:db8::/32", "sites": ["fra"]}]}"#,
    )
    .unwrap();
    let (shallow, deep) = (
        Evidence::Coverage { deep: false },
        Evidence::Coverage { deep: true },
    );
    assert_eq!(told(&zones[0]), (prefix("192.0.2.0/24"), vec![2, 0, 1], shallow));
    assert_eq!(told(&zones[1]), (prefix("192.0.2.0/24"), vec![1, 0, 2], deep));
    assert_eq!(told(&zones[2]), (prefix("2001:db8::/32"), vec![1, 0, 2], shallow));
}

#[test]
fn files_of_traffic_control_are_taken() {
    let zones = zones(
        r#"{"revision": "20150417T031543Z", "customerName": "Kabletown",
            "coverageZones": {
                "ams": {"coordinates": {"latitude": 52, "longitude": 4},
                        "network6": ["2001:db8::/32"], "network": ["192.0.2.0/24", "198.51.100.0/24"]},
                "iad": {"network": ["203.0.113.0/24"]}},
            "deepCoverageZones": {"fra": {"network": ["203.0.113.0/25"], "caches": ["edge-fra-1"]}}}"#,
    )
    .unwrap();
    let found: Vec<_> = zones.iter().map(|zone| (zone.prefix, told(zone).1[0])).collect();
    assert_eq!(
        found,
        [
            (prefix("192.0.2.0/24"), 0),
            (prefix("198.51.100.0/24"), 0),
            (prefix("2001:db8::/32"), 0),
            (prefix("203.0.113.0/24"), 2),
            (prefix("203.0.113.0/25"), 1),
        ]
    );
    assert_eq!(zones[4].ranking.evidence(), Evidence::Coverage { deep: true });
}

#[test]
fn sites_that_are_not_there_are_passed_over_and_told() {
    let coverage = coverage(
        r#"{"zones": [
            {"prefix": "192.0.2.0/24", "sites": ["gone", "iad", "new"]},
            {"prefix": "198.51.100.0/24", "sites": ["gone"]}],
          "coverageZones": {"lhr": {"network": ["203.0.113.0/24"]}}}"#,
    )
    .unwrap();
    let found: Vec<_> = coverage.zones.iter().map(told).collect();
    let shallow = Evidence::Coverage { deep: false };
    assert_eq!(found, [(prefix("192.0.2.0/24"), vec![2, 0, 1], shallow)]);
    assert!(coverage.strangers.iter().eq(["gone", "lhr", "new"]));
}

#[test]
fn everything_wrong_is_told_at_once() {
    let complaints = zones(
        r#"{"zone": 1, "zones": [
            {"prefix": "192.0.2.1/24", "sites": ["ams"]},
            {"prefix": "192.0.2.0/24", "sites": ["ams", "nowhere", "ams"], "weight": 2},
            {"prefix": "192.0.2.0/24", "sites": ["fra"]},
            {"sites": ["fra"]},
            {"prefix": "2001:db8::/96", "sites": []},
            {"prefix": "10.0.0.0/8", "sites": ["ams", "fra", "iad", "a", "b"]}],
          "coverageZones": {
            "ams": {"network": ["192.0.2.0/24"], "networks": []},
            "ams": {"network": ["10.0.0.0"]},
            "lhr": {}}}"#,
    )
    .unwrap_err();
    let expected = [
        "zone: this key is unknown; remove it",
        "zones[0].prefix: \"192.0.2.1/24\" has bits set beyond its length; write 192.0.2.0/24",
        "zones[1].weight: this key is unknown",
        "zones[1].sites: \"ams\" is there twice; name it once",
        "zones[2].prefix: the prefix is already in zones[1].prefix; keep one",
        "zones[3].prefix: \"\" is no prefix; write an address and a length",
        "zones[4].sites: no site is named",
        "zones[4].prefix: \"2001:db8::/96\" is longer than a /64",
        "zones[5].sites: 5 sites are named, more than 4; name the best only",
        "coverageZones.ams.networks: this key is unknown",
        "coverageZones.ams.network[0]: the prefix is already in zones[1].prefix",
        "coverageZones.ams.network[0]: \"10.0.0.0\" is no prefix",
    ];
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(
            complaint.starts_with(&format!("zones.json: {expected}")),
            "{complaint}"
        );
    }
}

#[test]
fn what_is_no_such_document_is_told_with_its_line() {
    for (text, line, what) in [
        ("", 1, "EOF while parsing"),
        ("[]", 1, "invalid"),
        ("{\n\"zones\": [{\"prefix\": 5}]}", 2, "invalid type"),
        ("{\"zones\": [],\n\n\"zones\": []}", 3, "duplicate field"),
        ("{\"coverageZones\": []}", 1, "an object of zones by name"),
    ] {
        let complaints = zones(text).unwrap_err();
        assert_eq!(complaints.len(), 1);
        let begins = format!("zones.json:{line}: this is no document of coverage zones: ");
        assert!(
            complaints[0].starts_with(&begins) && complaints[0].contains(what),
            "{}",
            complaints[0]
        );
    }
    assert_eq!(zones("{}").unwrap(), []);
}

#[test]
fn the_zones_of_the_local_cdn_are_taken_for_its_sites() {
    let snapshot = model::Snapshot::from_json(include_bytes!("../../../../conf/local/cdn.json")).unwrap();
    let source = Source {
        name: "coverage.json",
        bytes: include_bytes!("../../../../conf/local/coverage.json"),
    };
    assert_eq!(
        read(source, &Sites::of(&snapshot).unwrap()).unwrap().zones.len(),
        4
    );
}
