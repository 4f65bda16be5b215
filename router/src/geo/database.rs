//! Reads an mmdb: GeoLite2-City, DB-IP City, and those that know countries only.
//!
//! Taken are `location.latitude` and `location.longitude`, and `country.iso_code` or `country_code`. A record without
//! coordinates has a country but no geography; one that says neither says nothing.
//!
//! IPv4 lies under `::/96` of the tree. Other paths lead to the same addresses: `::ffff:0:0/96` (mapped), `2001::/32`
//! (Teredo) and `2002::/16` (6to4). These are passed over, whether they are links to the IPv4 tree or copies of it. A
//! mapped address is answered as IPv4 anyway; behind the other two stands a relay, of which the place of the IPv4
//! address says little, and ten thousand IPv4 nets copied into IPv6 would be the longest scopes of the table.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::Source;
use super::complaints::Complaints;
use super::layer::{Layer, Step};
use super::place::{Coordinates, Place, country};
use super::prefix::{Family, Prefix};

/// The largest file. The largest database on sale is a third of it.
pub(super) const MOST_BYTES: usize = 1 << 30;

/// The most nets. City databases have five million; a damaged tree, whose branches join again, could have any number.
const MOST_NETS: usize = 50_000_000;

/// A place, by its number in [`Database::places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaceId(u32);

/// What was read.
pub(super) struct Database {
    /// In the order in which they were met.
    places: Vec<Place>,
    pub(super) ipv4: Vec<Step<PlaceId>>,
    pub(super) ipv6: Vec<Step<PlaceId>>,
    /// When it was built, seconds since 1970; 0 for no database.
    pub(super) built: u64,
}

impl Database {
    /// A database that knows nothing.
    pub(super) fn empty() -> Database {
        Database {
            places: Vec::new(),
            ipv4: Layer::new().finish(),
            ipv6: Layer::new().finish(),
            built: 0,
        }
    }

    /// Reads `source`.
    ///
    /// # Errors
    ///
    /// A sentence on what is wrong with the file. Nothing of a damaged file is used.
    pub(super) fn read(source: Source<'_>) -> Result<Database, Vec<String>> {
        let mut complaints = Complaints::of(source.name);
        if source.bytes.len() > MOST_BYTES {
            complaints.whole(
                format_args!("it has {} bytes, more than {MOST_BYTES}", source.bytes.len()),
                "give the router a database of cities, not of single addresses",
            );
            return complaints.finish(Database::empty());
        }
        let database = walk(source.bytes).unwrap_or_else(|(what, advice)| {
            complaints.whole(what, advice);
            Database::empty()
        });
        complaints.finish(database)
    }

    /// What is known of each place, by number.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }
}

impl PlaceId {
    /// The index among [`Database::places`].
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The parts of a record that are of use.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    location: Location,
    #[serde(borrow)]
    country: Named<'a>,
    country_code: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
}

/// A number of any type the format has: some makers write singles or whole numbers where others write doubles.
struct Degrees(f64);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    iso_code: Option<&'a str>,
}

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Degrees, D::Error> {
        struct AnyNumber;
        impl Visitor<'_> for AnyNumber {
            type Value = Degrees;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("degrees")
            }

            fn visit_f64<E: Error>(self, degrees: f64) -> Result<Degrees, E> {
                Ok(Degrees(degrees))
            }

            fn visit_i32<E: Error>(self, degrees: i32) -> Result<Degrees, E> {
                Ok(Degrees(f64::from(degrees)))
            }

            fn visit_u64<E: Error>(self, degrees: u64) -> Result<Degrees, E> {
                // What does not fit is no place on earth either.
                Ok(Degrees(u16::try_from(degrees).map_or(f64::NAN, f64::from)))
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}

impl Record<'_> {
    fn place(&self) -> Option<Place> {
        let at = self
            .location
            .latitude
            .as_ref()
            .zip(self.location.longitude.as_ref());
        let code = self.country.iso_code.or(self.country_code);
        let place = Place {
            coordinates: at.and_then(|(latitude, longitude)| Coordinates::new(latitude.0, longitude.0)),
            country: code.and_then(country),
        };
        (place.coordinates.is_some() || place.country.is_some()).then_some(place)
    }
}

/// What is wrong, and what to do.
type Wrong = (String, &'static str);

fn damaged(error: MaxMindDbError) -> Wrong {
    (
        format!("it is no sound database: {error}"),
        "fetch it again, and see that it is copied whole",
    )
}

fn walk(bytes: &[u8]) -> Result<Database, Wrong> {
    let reader = Reader::from_source(bytes).map_err(damaged)?;
    reader.verify().map_err(damaged)?;
    let mut places: Vec<Place> = Vec::new();
    // Millions of nets share some hundred thousand records.
    let mut known: HashMap<usize, Option<PlaceId>> = HashMap::new();
    let (mut ipv4, mut ipv6) = (Layer::new(), Layer::new());
    let mut cut_before = None;
    let networks = reader.networks(options(&reader)?).map_err(damaged)?;
    for (count, found) in networks.enumerate() {
        if count >= MOST_NETS {
            return Err((
                format!("it has more than {MOST_NETS} nets"),
                "give the router a database of cities, not of single addresses",
            ));
        }
        let found = found.map_err(damaged)?;
        let network = found.network().map_err(damaged)?;
        let (address, length) = (network.ip(), network.prefix());
        let Some(offset) = found.offset().filter(|_| !is_alias(address, length)) else {
            continue;
        };
        let place = match known.get(&offset) {
            Some(place) => *place,
            None => {
                let record: Option<Record<'_>> = found.decode().map_err(damaged)?;
                let place = record.as_ref().and_then(Record::place).map(|place| {
                    places.push(place);
                    // There are fewer than MOST_NETS.
                    PlaceId(u32::try_from(places.len() - 1).unwrap_or(u32::MAX))
                });
                known.insert(offset, place);
                place
            }
        };
        let Some(place) = place else { continue };
        let net = Prefix::cut(address, length);
        if holds_all_ipv4(address, length) {
            ipv4.cover(Prefix::cut(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), place);
        }
        match net.family {
            Family::Ipv4 => ipv4.cover(net, place),
            // Of the parts of one /64 the first speaks for all.
            Family::Ipv6 if cut_before == Some(net) => {}
            Family::Ipv6 => ipv6.cover(net, place),
        }
        cut_before = Some(net);
    }
    if places.is_empty() && !known.is_empty() {
        return Err((
            format!(
                "its records ({}) tell neither coordinates nor countries",
                reader.metadata().database_type
            ),
            "give the router a database of cities or countries",
        ));
    }
    Ok(Database {
        places,
        ipv4: ipv4.finish(),
        ipv6: ipv6.finish(),
        built: reader.metadata().build_epoch,
    })
}

/// Links into the IPv4 tree are not followed. Without such a tree there are none, and the reader would take every net
/// that shares its record with `::` for one.
fn options<S: AsRef<[u8]>>(reader: &Reader<S>) -> Result<WithinOptions, Wrong> {
    let lowest = reader
        .lookup(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        .map_err(damaged)?;
    let has_ipv4_tree = lowest.network().map_err(damaged)?.is_ipv4();
    Ok(if has_ipv4_tree {
        WithinOptions::default()
    } else {
        WithinOptions::default().include_aliased_networks()
    })
}

/// Whether all of a net is a second path to IPv4 addresses.
fn is_alias(address: IpAddr, length: u8) -> bool {
    let IpAddr::V6(address) = address else {
        return false;
    };
    let bits = address.to_bits();
    [(0x2002, 16), (0x2001_0000, 32), (0xffff, 96)]
        .iter()
        .any(|(tree, depth)| u32::from(length) >= *depth && bits >> (128 - depth) == *tree)
}

/// Whether an IPv6 net is an outer net of `::/96`, with all IPv4 in it.
fn holds_all_ipv4(address: IpAddr, length: u8) -> bool {
    address.is_ipv6() && address.is_unspecified() && length <= 96
}
