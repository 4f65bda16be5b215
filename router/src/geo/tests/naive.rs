//! The same answers found in the simplest way: every source asked for every address, nothing merged.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::super::place::Country;
use super::super::ranking::{Evidence, RANKED};
use super::super::table::Table;
use super::world::World;

/// Site names, evidence and country.
pub(super) type Told = (Vec<String>, Evidence, Option<Country>);

pub(super) struct Naive<'a> {
    world: &'a World,
    layers: Vec<(Evidence, HashMap<IpNet, Vec<String>>)>,
    places: HashMap<IpNet, (f64, f64, &'static str)>,
}

impl Naive<'_> {
    pub(super) fn new(world: &World) -> Naive<'_> {
        let zones = |deep: bool| {
            let wanted = world.zones.iter().filter(|zone| zone.2 == deep);
            let layer = wanted.map(|(net, sites, _)| (*net, sites.clone())).collect();
            (Evidence::Coverage { deep }, layer)
        };
        let measured = world.measured.iter().cloned().collect();
        let places = world.places.iter();
        Naive {
            world,
            layers: vec![zones(true), zones(false), (Evidence::Latency, measured)],
            places: places
                .map(|(net, north, east, country)| (*net, (*north, *east, *country)))
                .collect(),
        }
    }

    pub(super) fn told(&self, address: IpAddr) -> Told {
        let place = longest(&self.places, address);
        let country = place.and_then(|(_, _, country)| country.as_bytes().try_into().ok());
        let layered = self.layers.iter().find_map(|(evidence, layer)| {
            let named = longest(layer, address)?;
            let mut sites = named.clone();
            for site in self.world.snapshot.sites_by_distance(&named[0]) {
                if sites.len() < RANKED && !sites.iter().any(|known| known == site) {
                    sites.push(site.to_owned());
                }
            }
            Some((sites, *evidence, country))
        });
        layered
            .or_else(|| {
                let (north, east, _) = place?;
                Some((nearest(self.world, *north, *east), Evidence::Geography, country))
            })
            .unwrap_or_else(|| {
                let first = self.world.snapshot.sites.keys().take(RANKED).cloned().collect();
                (first, Evidence::Default, country)
            })
    }
}

/// What a table tells, in the same words.
pub(super) fn told(table: &Table, address: IpAddr) -> Told {
    let found = table.find(address);
    let ranking = table.ranking(found.ranking);
    let names = ranking.sites().iter().map(|site| table.site(*site).to_owned());
    (names.collect(), ranking.evidence(), found.country)
}

/// All sites by their distance as the model measures it, of which the first are taken.
pub(super) fn nearest(world: &World, north: f64, east: f64) -> Vec<String> {
    let mut snapshot = world.snapshot.clone();
    let mut client = snapshot.sites.values().next().unwrap().clone();
    (client.latitude, client.longitude) = (north, east);
    // Before all others in name order, and not among them.
    snapshot.sites.insert("!client".to_owned(), client);
    let order = snapshot.sites_by_distance("!client");
    order
        .into_iter()
        .skip(1)
        .take(RANKED)
        .map(str::to_owned)
        .collect()
}

fn longest<T>(layer: &HashMap<IpNet, T>, address: IpAddr) -> Option<&T> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (0..=longest)
        .rev()
        .find_map(|length| layer.get(&IpNet::new(address, length).ok()?.trunc()))
}
