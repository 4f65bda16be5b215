//! Databases of places, made up for tests, in the format of MaxMind.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde::Serialize;
use serde_json::json;

/// When databases made here were built, seconds since 1970.
pub const BUILT: u64 = 1_750_000_000;

/// An mmdb of cities: nets with degrees north and east and a country, which may be empty. Inner nets are laid over
/// outer ones.
#[must_use]
pub fn database(places: &[(IpNet, f64, f64, &str)]) -> Vec<u8> {
    let record = |(net, latitude, longitude, country): &(IpNet, f64, f64, &str)| {
        let mut record = json!({"location": {"latitude": latitude, "longitude": longitude}});
        if !country.is_empty() {
            record["country"] = json!({"iso_code": country});
        }
        (*net, record)
    };
    records(&places.iter().map(record).collect::<Vec<_>>())
}

/// An mmdb of any records; equal ones are written once.
///
/// # Panics
///
/// When a record cannot be written.
#[must_use]
pub fn records<T: Serialize>(records: &[(IpNet, T)]) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.binary_format_major_version = 2;
    database.metadata.database_type = "Made-Up-City".to_owned();
    database.metadata.build_epoch = BUILT;
    let description = "A world made up for a test".to_owned();
    database.metadata.description.insert("en".to_owned(), description);
    // Without any value the writer forgets to count its one node.
    database
        .insert_value("nothing")
        .expect("a database that is made up can be written");
    // It lays later nets over earlier ones.
    let mut records: Vec<&(IpNet, T)> = records.iter().collect();
    records.sort_by_key(|(net, _)| depth(net));
    let mut written = HashMap::new();
    for (net, record) in records {
        let text = serde_json::to_string(record).expect("a database that is made up can be written");
        let data = *written.entry(text).or_insert_with(|| {
            database
                .insert_value(record)
                .expect("a database that is made up can be written")
        });
        database.insert_node(IpAddrWithMask::new(in_the_tree(net), depth(net)), data);
    }
    database
        .write_to(Vec::new())
        .expect("a database that is made up can be written")
}

fn depth(net: &IpNet) -> u8 {
    match net {
        IpNet::V4(net) => 96 + net.prefix_len(),
        IpNet::V6(net) => net.prefix_len(),
    }
}

/// IPv4 stands under `::/96`.
fn in_the_tree(net: &IpNet) -> IpAddr {
    let low = |address: Ipv4Addr| Ipv6Addr::from_bits(u128::from(address.to_bits()));
    match net {
        IpNet::V4(net) => IpAddr::V6(low(net.network())),
        IpNet::V6(net) => IpAddr::V6(net.network()),
    }
}
