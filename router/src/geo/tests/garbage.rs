//! Damaged and made-up sources: complaints, never a panic.

use std::net::IpAddr;

use proptest::prelude::*;
use testkit::chance::{Chance, seed};

use super::super::testing::{database, snapshot};
use super::super::{Sources, compile};
use super::world::{World, chance_index, source};

const SITES: [(&str, f64, f64); 2] = [("ams", 52.3, 4.8), ("iad", 39.0, -77.5)];

/// Compiles each source of `bytes` alone; a table that comes of it answers.
fn survive(bytes: &[u8]) {
    let source = Some(source("garbage", bytes));
    let none = Sources::default();
    for sources in [
        Sources {
            database: source,
            ..none
        },
        Sources {
            coverage: source,
            ..none
        },
        Sources {
            latency: source,
            ..none
        },
    ] {
        match compile(&snapshot(&SITES), sources) {
            Ok(table) => {
                for address in [
                    "0.0.0.0",
                    "10.1.2.3",
                    "255.255.255.255",
                    "::",
                    "2400::1",
                    "ffff::",
                ] {
                    let address: IpAddr = address.parse().unwrap();
                    let found = table.find(address);
                    assert_eq!(table.ranking(found.ranking).sites().len(), SITES.len());
                }
            }
            Err(complaints) => assert!(complaints.iter().all(|line| line.starts_with("garbage"))),
        }
    }
}

#[test]
fn a_database_with_flipped_bits_or_cut_short_is_read_or_refused() {
    let mut chance = Chance::new(seed());
    let world = World::new(&mut chance, 2, 40);
    let sound = database(&world.places);
    for _ in 0..3_000 {
        let mut damaged = sound.clone();
        for _ in 0..1 + chance.below(6) {
            let index = chance_index(&mut chance, damaged.len());
            damaged[index] ^= 1 << chance.below(8);
        }
        if chance.below(4) == 0 {
            damaged.truncate(chance_index(&mut chance, sound.len()));
        }
        survive(&damaged);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survive(&bytes);
    }

    #[test]
    fn arbitrary_metadata_is_read_or_refused(
        tree in prop::collection::vec(any::<u8>(), 0..200),
        metadata in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = tree;
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        bytes.extend(metadata);
        survive(&bytes);
    }

    #[test]
    fn arbitrary_zones_are_read_or_refused(
        prefix in "[0-9a-f:./]{0,24}",
        site in "(ams|iad|[a-z]{0,3})",
        key in "(prefix|sites|deep|x)",
        deep: bool,
    ) {
        let zone = serde_json::json!({"prefix": prefix, "sites": [site], key: deep});
        survive(serde_json::json!({"zones": [zone]}).to_string().as_bytes());
        let networks = serde_json::json!({"network": [prefix], "network6": [prefix]});
        survive(serde_json::json!({"coverageZones": {site: networks}}).to_string().as_bytes());
    }

    #[test]
    fn arbitrary_measurements_are_read_or_refused(
        lines in prop::collection::vec(
            "[0-9a-f:./]{0,20},(ams|iad| |\\|){0,4},[a-z]{0,3},[0-9.eNa-]{0,6}",
            0..6,
        ),
    ) {
        survive(lines.join("\n").as_bytes());
    }
}
