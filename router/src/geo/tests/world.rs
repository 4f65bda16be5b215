//! A made-up world: sites, places, zones and measurements drawn by chance, as documents and as plain lists.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use model::Snapshot;
use testkit::chance::Chance;

use super::super::table::Table;
use super::super::testing::{database, snapshot};
use super::super::{Source, Sources, compile};

/// Countries that places are in. Few, so that neighbours often agree.
const COUNTRIES: [&str; 4] = ["NL", "DE", "US", ""];

pub(super) struct World {
    pub(super) snapshot: Snapshot,
    /// Disjoint nets and where they are.
    pub(super) places: Vec<(IpNet, f64, f64, &'static str)>,
    /// Nets, the sites named, and whether the zone is deep.
    pub(super) zones: Vec<(IpNet, Vec<String>, bool)>,
    /// Nets and the sites named, all of enough confidence.
    pub(super) measured: Vec<(IpNet, Vec<String>)>,
}

impl World {
    /// `sites` sites and `places_wanted` nets with a place; a fiftieth as many zones and measurements inside and
    /// around them.
    pub(super) fn new(chance: &mut Chance, sites: usize, places_wanted: usize) -> World {
        let names: Vec<String> = (0..sites).map(|number| format!("site-{number}")).collect();
        let coordinates: Vec<(&str, f64, f64)> = names
            .iter()
            .map(|name| (name.as_str(), degrees(chance, 90), degrees(chance, 180)))
            .collect();
        let snapshot = snapshot(&coordinates);
        // Cities, so that half of the neighbouring nets are in the same place.
        let cities: Vec<(f64, f64, &str)> = (0..places_wanted / 10 + 1)
            .map(|_| (degrees(chance, 90), degrees(chance, 180), one(chance, &COUNTRIES)))
            .collect();
        let mut places = Vec::new();
        let mut city = one(chance, &cities);
        for net in disjoint(chance, places_wanted) {
            if chance.below(2) == 0 {
                city = one(chance, &cities);
            }
            places.push((net, city.0, city.1, city.2));
        }
        let zones: Vec<_> = near_places(chance, &places)
            .into_iter()
            .map(|net| (net, named(chance, &names), chance.below(3) == 0))
            .collect();
        let measured = near_places(chance, &places)
            .into_iter()
            .map(|net| (net, named(chance, &names)))
            .collect();
        World {
            snapshot,
            places,
            zones,
            measured,
        }
    }

    pub(super) fn compile(&self) -> Table {
        let database = database(&self.places);
        let zones: Vec<serde_json::Value> = self
            .zones
            .iter()
            .map(|(net, sites, deep)| serde_json::json!({"prefix": net, "sites": sites, "deep": deep}))
            .collect();
        let coverage = serde_json::json!({ "zones": zones }).to_string();
        let lines = self
            .measured
            .iter()
            .map(|(net, sites)| format!("{net},{},made-up,0.7\n", sites.join("|")));
        let latency: String = lines.collect();
        let sources = Sources {
            database: Some(source("city.mmdb", &database)),
            coverage: Some(source("zones.json", coverage.as_bytes())),
            latency: Some(source("latency.csv", latency.as_bytes())),
            measured: None,
        };
        compile(&self.snapshot, sources).unwrap()
    }

    /// An address near which something is said, of either family.
    pub(super) fn address(&self, chance: &mut Chance) -> IpAddr {
        if chance.below(8) == 0 {
            let bits = u128::from(chance.next_u64()) << 64 | u128::from(chance.next_u64());
            return if chance.below(2) == 0 {
                IpAddr::from(((bits >> 96) as u32).to_be_bytes())
            } else {
                IpAddr::from(bits.to_be_bytes())
            };
        }
        let net = match chance.below(4) {
            0 => self.zones[chance_index(chance, self.zones.len())].0,
            1 => self.measured[chance_index(chance, self.measured.len())].0,
            _ => self.places[chance_index(chance, self.places.len())].0,
        };
        inside(chance, net.addr(), net.prefix_len())
    }
}

pub(super) fn source<'a>(name: &'a str, bytes: &'a [u8]) -> Source<'a> {
    Source { name, bytes }
}

/// An address of the net of `length` bits around `address`.
pub(super) fn inside(chance: &mut Chance, address: IpAddr, length: u8) -> IpAddr {
    let low = u128::from(chance.next_u64()) << 64 | u128::from(chance.next_u64());
    match address {
        IpAddr::V4(address) => {
            let below = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            IpAddr::from((address.to_bits() & !below | low as u32 & below).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let below = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            IpAddr::from((address.to_bits() & !below | low & below).to_be_bytes())
        }
    }
}

/// Nets that do not overlap, three of five of them IPv4, in a part of the addresses small enough that many touch.
fn disjoint(chance: &mut Chance, wanted: usize) -> Vec<IpNet> {
    let mut nets = Vec::new();
    let (mut ipv4, mut ipv6) = (0x0100_0000_u32, 0x2400_0000_0000_0000_u64);
    while nets.len() < wanted {
        if chance.below(5) < 3 {
            let length = 14 + chance.below(13) as u8;
            let size = 1_u32 << (32 - length);
            ipv4 = ipv4.next_multiple_of(size);
            let Some(behind) = ipv4.checked_add(size) else {
                continue;
            };
            nets.push(IpNet::new(IpAddr::from(ipv4.to_be_bytes()), length).unwrap());
            ipv4 = skip(chance, behind);
        } else {
            let length = 24 + chance.below(33) as u8;
            let size = 1_u64 << (64 - length);
            ipv6 = ipv6.next_multiple_of(size);
            nets.push(IpNet::new(IpAddr::from((u128::from(ipv6) << 64).to_be_bytes()), length).unwrap());
            ipv6 += size;
        }
    }
    nets
}

/// Leaves a gap now and then.
fn skip(chance: &mut Chance, behind: u32) -> u32 {
    if chance.below(4) == 0 {
        behind.saturating_add(chance.below(4_096) as u32)
    } else {
        behind
    }
}

/// Different nets inside and around places, a fiftieth as many.
fn near_places(chance: &mut Chance, places: &[(IpNet, f64, f64, &str)]) -> BTreeSet<IpNet> {
    let mut nets = BTreeSet::new();
    for _ in 0..places.len() / 50 {
        let index = chance_index(chance, places.len());
        nets.insert(near(chance, places[index].0));
    }
    nets
}

/// One to three sites in any order.
fn named(chance: &mut Chance, names: &[String]) -> Vec<String> {
    let mut sites: Vec<String> = Vec::new();
    for _ in 0..1 + chance.below(3) {
        let name = one(chance, names);
        if !sites.contains(&name) {
            sites.push(name);
        }
    }
    sites
}

/// A net inside, around or equal to `net`.
fn near(chance: &mut Chance, net: IpNet) -> IpNet {
    let longest = if net.addr().is_ipv4() { 32 } else { 64 };
    let length = (net.prefix_len() + chance.below(9) as u8)
        .saturating_sub(3)
        .min(longest);
    let address = inside(chance, net.addr(), net.prefix_len());
    IpNet::new(address, length).unwrap().trunc()
}

fn degrees(chance: &mut Chance, most: u64) -> f64 {
    (chance.below(2 * most * 10_000 + 1) as f64) / 10_000.0 - most as f64
}

pub(super) fn chance_index(chance: &mut Chance, length: usize) -> usize {
    chance.below(length as u64) as usize
}

fn one<T: Clone>(chance: &mut Chance, of: &[T]) -> T {
    of[chance_index(chance, of.len())].clone()
}
