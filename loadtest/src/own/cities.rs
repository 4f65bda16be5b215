//! A made-up world: where clients are, as a database of places that any GeoDNS server can read.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde_json::json;

/// A place with many clients, where a site stands as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct City {
    /// What its site is called.
    pub(crate) name: &'static str,
    /// Degrees north.
    pub(crate) latitude: f64,
    /// Degrees east.
    pub(crate) longitude: f64,
}

/// All of them, far from each other.
pub(crate) const CITIES: [City; 8] = [
    city("ams", 52.37, 4.90),
    city("gru", -23.43, -46.47),
    city("iad", 38.95, -77.45),
    city("jnb", -26.13, 28.24),
    city("lax", 33.94, -118.41),
    city("nrt", 35.76, 140.39),
    city("sin", 1.35, 103.99),
    city("syd", -33.87, 151.21),
];

const fn city(name: &'static str, latitude: f64, longitude: f64) -> City {
    City {
        name,
        latitude,
        longitude,
    }
}

/// Networks that begin with a greater number are not those of clients.
const LAST_NETWORK: u8 = 223;

/// Into so many networks each /8 is divided, so that there is something to search: 3,568 in all.
const PARTS: u8 = 16;

/// The bits that name such a part.
const PART_BITS: u8 = 8 + PARTS.ilog2() as u8;

/// A network of the tree of IPv6 stands so much deeper than it does among IPv4, which lies at `::/96`.
const IPV4_DEPTH: u8 = 96;

/// Degrees between two parts of a /8, which lie beside each other. The last is still near its city.
const STEP_DEGREES: f64 = 0.05;

/// When the database says that it was made, seconds since 1970.
const BUILT: u64 = 1_750_000_000;

/// The number, in [`CITIES`], of the city where the clients of the /8 `network` live.
pub(crate) fn city_of(network: u8) -> usize {
    usize::from(network) % CITIES.len()
}

/// Writes the database, in the format of MaxMind, with all networks from 1.0.0.0/8 on, loopback among them.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(path: &Path) -> Result<(), String> {
    let bytes = database().map_err(|error| format!("no database of places can be made: {error}"))?;
    fs::write(path, bytes).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn database() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.binary_format_major_version = 2;
    // Servers look for the word "City" before they ask for coordinates.
    database.metadata.database_type = "Made-Up-City".to_owned();
    database.metadata.build_epoch = BUILT;
    let description = "A world made up for a comparison".to_owned();
    database.metadata.description.insert("en".to_owned(), description);
    let mut written = HashMap::new();
    for network in 1..=LAST_NETWORK {
        for part in 0..PARTS {
            let number = city_of(network);
            let record = match written.get(&(number, part)) {
                Some(record) => *record,
                None => {
                    let north = CITIES[number].latitude + f64::from(part) * STEP_DEGREES;
                    let place = json!({ "latitude": north, "longitude": CITIES[number].longitude });
                    let record = database.insert_value(json!({ "location": place }))?;
                    *written.entry((number, part)).or_insert(record)
                }
            };
            let address = Ipv4Addr::new(network, part * (u8::MAX / PARTS + 1), 0, 0);
            let low = IpAddr::V6(u128::from(address.to_bits()).into());
            database.insert_node(IpAddrWithMask::new(low, IPV4_DEPTH + PART_BITS), record);
        }
    }
    Ok(database.write_to(Vec::new())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_fits_a_small_file_that_says_it_has_cities() {
        let bytes = database().unwrap();
        assert!((10_000..1_000_000).contains(&bytes.len()), "{}", bytes.len());
        assert!(bytes.windows(12).any(|part| part == b"Made-Up-City"));
    }

    #[test]
    fn every_city_has_clients_and_sites_stand_in_the_order_of_their_names() {
        let mut numbers: Vec<usize> = (1..=LAST_NETWORK).map(city_of).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, (0..CITIES.len()).collect::<Vec<_>>());
        assert!(CITIES.is_sorted_by_key(|city| city.name));
    }
}
