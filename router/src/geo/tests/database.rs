//! What is taken from a database, and which files are none.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::Source;
use super::super::database::{Database, PlaceId};
use super::super::layer::Step;
use super::super::place::Coordinates;
use super::super::testing::{self, BUILT, records};

fn read(bytes: &[u8]) -> Result<Database, Vec<String>> {
    Database::read(Source {
        name: "city.mmdb",
        bytes,
    })
}

/// What the database says of the address at which each step begins.
fn countries(database: &Database, steps: &[Step<PlaceId>]) -> Vec<(u64, String)> {
    let code = |step: &Step<PlaceId>| {
        let place = database.places()[step.value?.index()];
        place
            .country
            .map(|code| String::from_utf8_lossy(&code).into_owned())
    };
    let told = |step: &Step<PlaceId>| (step.from >> 48, code(step).unwrap_or_default());
    steps.iter().map(told).collect()
}

fn spoken(steps: &[(u64, &str)]) -> Vec<(u64, String)> {
    steps
        .iter()
        .map(|(from, code)| (*from, (*code).to_owned()))
        .collect()
}

#[test]
fn places_and_countries_are_read_for_both_families() {
    let nl = (52.37, 4.9, "NL");
    let database = testing::database(&[
        ("192.0.0.0/16".parse().unwrap(), nl.0, nl.1, nl.2),
        ("2a00::/16".parse().unwrap(), nl.0, nl.1, nl.2),
        ("2a01::/16".parse().unwrap(), 48.85, 2.35, "FR"),
    ]);
    let database = read(&database).unwrap();
    assert_eq!(database.built, BUILT);
    assert_eq!(database.places().len(), 2, "a record is decoded once");
    assert_eq!(database.places()[0].coordinates, Coordinates::new(52.37, 4.9));
    let ipv4 = countries(&database, &database.ipv4);
    assert_eq!(ipv4, spoken(&[(0, ""), (0xc000, "NL"), (0xc001, "")]));
    let ipv6 = countries(&database, &database.ipv6);
    assert_eq!(
        ipv6,
        spoken(&[(0, ""), (0x2a00, "NL"), (0x2a01, "FR"), (0x2a02, "")])
    );
}

#[test]
fn databases_of_countries_have_no_geography() {
    let nested = json!({"country": {"iso_code": "DE", "names": {"en": "Germany"}}});
    let flat = json!({"country_code": "at"});
    let bytes = records(&[
        ("10.0.0.0/16".parse().unwrap(), nested),
        ("10.1.0.0/16".parse().unwrap(), flat),
    ]);
    let database = read(&bytes).unwrap();
    assert!(database.places().iter().all(|place| place.coordinates.is_none()));
    assert_eq!(
        countries(&database, &database.ipv4),
        spoken(&[(0, ""), (0x0a00, "DE"), (0x0a01, "AT"), (0x0a02, "")])
    );
}

#[test]
fn a_database_of_ipv4_alone_says_nothing_of_ipv6() {
    let mut writer = maxminddb_writer::Database::default();
    writer.metadata.binary_format_major_version = 2;
    writer.metadata.database_type = "Made-Up-Country".to_owned();
    writer.metadata.description = HashMap::from([("en".to_owned(), "Made up".to_owned())]);
    let record = writer.insert_value(json!({"country_code": "NL"})).unwrap();
    let net = "192.0.0.0/16".parse::<maxminddb_writer::paths::IpAddrWithMask>();
    writer.insert_node(net.unwrap(), record);
    let database = read(&writer.write_to(Vec::new()).unwrap()).unwrap();
    assert_eq!(
        countries(&database, &database.ipv4),
        spoken(&[(0, ""), (0xc000, "NL"), (0xc001, "")])
    );
    assert_eq!(countries(&database, &database.ipv6), spoken(&[(0, "")]));
}

#[test]
fn second_paths_to_ipv4_are_passed_over() {
    let wrong = json!({"country": {"iso_code": "XX"}});
    let right = json!({"country": {"iso_code": "NL"}});
    let net = |text: &str| text.parse().unwrap();
    let bytes = records(&[
        (net("192.0.0.0/16"), right.clone()),
        (net("2002:c000::/32"), wrong.clone()),
        (net("2001:0:c000::/48"), wrong.clone()),
        (net("::ffff:c000:0/112"), wrong),
        (net("2003::/16"), right),
    ]);
    let database = read(&bytes).unwrap();
    assert_eq!(
        countries(&database, &database.ipv4),
        spoken(&[(0, ""), (0xc000, "NL"), (0xc001, "")])
    );
    assert_eq!(
        countries(&database, &database.ipv6),
        spoken(&[(0, ""), (0x2003, "NL"), (0x2004, "")])
    );
}

#[test]
fn without_an_ipv4_tree_the_record_around_it_answers_for_ipv4_and_hides_no_other_net() {
    let low = json!({"country": {"iso_code": "AA"}});
    let bytes = records(&[
        ("::/8".parse().unwrap(), low.clone()),
        ("2a00::/16".parse().unwrap(), low),
    ]);
    let database = read(&bytes).unwrap();
    assert_eq!(countries(&database, &database.ipv4), spoken(&[(0, "AA")]));
    assert_eq!(
        countries(&database, &database.ipv6),
        spoken(&[(0, "AA"), (0x0100, ""), (0x2a00, "AA"), (0x2a01, "")])
    );
}

#[test]
fn of_the_parts_of_one_64_the_first_speaks_for_all() {
    let of = |code: &str| json!({"country": {"iso_code": code}});
    let bytes = records(&[
        ("2a00::/96".parse().unwrap(), of("NL")),
        ("2a00::8000:0:0:0/96".parse().unwrap(), of("FR")),
        ("2a00:0:0:1::/64".parse().unwrap(), of("FR")),
    ]);
    let database = read(&bytes).unwrap();
    let starts: Vec<u64> = database.ipv6.iter().map(|step| step.from).collect();
    let first = 0x2a00_0000_0000_0000;
    assert_eq!(starts, [0, first, first + 1, first + 2]);
    assert_eq!(countries(&database, &database.ipv6)[1].1, "NL");
}

#[test]
fn coordinates_that_are_none_are_no_geography() {
    let odd = json!({"location": {"latitude": 123.0, "longitude": 5.0}, "country": {"iso_code": "NL"}});
    let half = json!({"location": {"latitude": 12.0}, "country": {"iso_code": "BE"}});
    let bytes = records(&[
        ("10.0.0.0/16".parse().unwrap(), odd),
        ("10.1.0.0/16".parse().unwrap(), half),
    ]);
    let database = read(&bytes).unwrap();
    assert_eq!(database.places().len(), 2);
    assert!(database.places().iter().all(|place| place.coordinates.is_none()));
}

#[test]
fn what_is_no_database_of_places_is_refused_with_a_sentence() {
    let system = json!({"autonomous_system_number": 64_500});
    let numbers = records(&[("10.0.0.0/8".parse().unwrap(), system)]);
    let odd = records(&[("10.0.0.0/8".parse().unwrap(), Value::from("here"))]);
    for (bytes, what) in [
        (&b"hello"[..], "it is no sound database"),
        (b"", "it is no sound database"),
        (&numbers, "tell neither coordinates nor countries"),
        (&odd, "it is no sound database"),
    ] {
        let complaints = read(bytes).err().unwrap();
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("city.mmdb: "), "{}", complaints[0]);
        assert!(complaints[0].contains(what), "{}", complaints[0]);
    }
    let nothing = read(&records::<Value>(&[])).unwrap();
    assert!(nothing.places().is_empty(), "an empty database is sound");
}

#[test]
fn numbers_of_every_type_are_degrees() {
    #[derive(serde::Serialize)]
    struct Location<T> {
        latitude: T,
        longitude: T,
    }
    fn coordinates<T: serde::Serialize>(latitude: T, longitude: T) -> Option<Coordinates> {
        let location = Location { latitude, longitude };
        let record = HashMap::from([("location", location)]);
        let bytes = records(&[("10.0.0.0/8".parse().unwrap(), record)]);
        read(&bytes).unwrap().places()[0].coordinates
    }
    assert_eq!(coordinates(52.5_f64, -4.25), Coordinates::new(52.5, -4.25));
    assert_eq!(coordinates(52.5_f32, -4.25), Coordinates::new(52.5, -4.25));
    assert_eq!(coordinates(52_i32, -4), Coordinates::new(52.0, -4.0));
    assert_eq!(coordinates(52_u16, 4), Coordinates::new(52.0, 4.0));
    assert_eq!(coordinates(52_u64, 4), Coordinates::new(52.0, 4.0));
}

#[test]
fn links_into_the_ipv4_tree_are_not_followed() {
    let of = |code: &str| json!({"country": {"iso_code": code}});
    let mut bytes = records(&[
        ("192.0.0.0/16".parse().unwrap(), of("NL")),
        ("2002::/16".parse().unwrap(), of("XX")),
        ("64:ff9b::/96".parse().unwrap(), of("XX")),
        ("2a00::/16".parse().unwrap(), of("FR")),
    ]);
    let before = read(&bytes).unwrap();
    let ipv4_tree = record(&bytes, 0, 96).1;
    for (net, depth) in [(0x2002_u128 << 112, 16), (0x64_ff9b_u128 << 96, 96)] {
        let (at, _) = record(&bytes, net, depth);
        bytes[at..at + 3].copy_from_slice(&(ipv4_tree as u32).to_be_bytes()[1..]);
    }
    let linked = read(&bytes).unwrap();
    assert_eq!(countries(&linked, &linked.ipv4), countries(&before, &before.ipv4));
    assert_eq!(
        countries(&linked, &linked.ipv6),
        spoken(&[(0, ""), (0x2a00, "FR"), (0x2a01, "")])
    );
}

/// Where the record for the first `depth` bits of `address` is in a database of 24-bit records, and what it holds.
fn record(bytes: &[u8], address: u128, depth: usize) -> (usize, usize) {
    let (mut at, mut node) = (0, 0);
    for bit in 0..depth {
        at = node * 6 + if address >> (127 - bit) & 1 == 1 { 3 } else { 0 };
        node = usize::from(bytes[at]) << 16 | usize::from(bytes[at + 1]) << 8 | usize::from(bytes[at + 2]);
    }
    (at, node)
}
