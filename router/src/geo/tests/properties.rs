//! What must hold for every address of a world drawn by chance.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use testkit::chance::{Chance, seed};

use super::super::prefix::{Prefix, below};
use super::super::ranking::Evidence;
use super::super::table::Table;
use super::naive::{Naive, nearest, told};
use super::world::{World, chance_index, inside};

/// The address in this place of the shared scale.
fn address(ipv4: bool, aligned: u64) -> IpAddr {
    if ipv4 {
        IpAddr::V4(Ipv4Addr::from_bits((aligned >> 32) as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(aligned) << 64))
    }
}

/// All merged nets of a family from the lowest to the highest: each is asked for at the address behind the last one.
fn nets(table: &Table, ipv4: bool) -> Vec<Prefix> {
    let mut nets = Vec::new();
    let mut here = Some(0);
    while let Some(first) = here {
        let at = address(ipv4, first);
        let net = Prefix::cut(at, table.find(at).prefix_length);
        assert_eq!(
            net.first, first,
            "the net around {at} reaches back into the one before it"
        );
        here = net.last().checked_add(1);
        nets.push(net);
    }
    nets
}

#[test]
fn all_addresses_of_a_returned_prefix_are_answered_alike() {
    let mut chance = Chance::new(seed());
    let world = World::new(&mut chance, 30, 5_000);
    let table = world.compile();
    for _ in 0..100_000 {
        let one = world.address(&mut chance);
        let found = table.find(one);
        assert_eq!(found.scope, found.prefix_length);
        let other = inside(&mut chance, one, found.prefix_length);
        if other.is_ipv4() == other.to_canonical().is_ipv4() {
            assert_eq!(found, table.find(other), "{one} and {other}");
        }
    }
}

#[test]
fn the_returned_prefixes_of_a_family_are_disjoint_and_as_short_as_can_be() {
    let mut chance = Chance::new(seed());
    let world = World::new(&mut chance, 30, 5_000);
    let table = world.compile();
    for ipv4 in [true, false] {
        let nets = nets(&table, ipv4);
        for net in &nets {
            let first = table.find(address(ipv4, net.first));
            assert_eq!(first, table.find(address(ipv4, net.last())), "{net:?}");
            assert_eq!(first.prefix_length, net.length);
        }
        // Siblings of equal answers would have been merged.
        for pair in nets.windows(2) {
            let siblings = pair[0].length == pair[1].length
                && pair[0].first | below(pair[0].length - 1) == pair[1].last()
                && pair[0].first & below(pair[0].length - 1) == 0;
            if siblings {
                assert_ne!(
                    table.find(address(ipv4, pair[0].first)),
                    table.find(address(ipv4, pair[1].first)),
                    "{pair:?}"
                );
            }
        }
    }
}

#[test]
fn the_merged_table_answers_like_asking_every_source() {
    let mut chance = Chance::new(seed());
    let world = World::new(&mut chance, 12, 2_000);
    let table = world.compile();
    let naive = Naive::new(&world);
    for _ in 0..20_000 {
        let address = world.address(&mut chance);
        assert_eq!(told(&table, address), naive.told(address), "{address}");
    }
    // Both sides of every boundary, of the table and of what it was made of.
    let (ipv4, ipv6) = table.runs();
    let written = world.places.iter().map(|place| place.0);
    let written = written.chain(world.zones.iter().map(|zone| zone.0));
    let written = written.chain(world.measured.iter().map(|net| net.0));
    let mut boundaries: Vec<IpAddr> = written.flat_map(|net| [net.network(), net.broadcast()]).collect();
    for start in ipv4 {
        let at = u64::from(*start) << 32;
        boundaries.extend([address(true, at), address(true, at.saturating_sub(1))]);
    }
    for start in ipv6 {
        boundaries.extend([address(false, *start), address(false, start.saturating_sub(1))]);
    }
    for address in boundaries {
        assert_eq!(told(&table, address), naive.told(address), "{address}");
    }
}

#[test]
fn geography_ranks_like_measuring_the_way_to_every_site() {
    let mut chance = Chance::new(seed());
    let mut world = World::new(&mut chance, 120, 20_000);
    world.zones.clear();
    world.measured.clear();
    let table = world.compile();
    for _ in 0..10_000 {
        let (net, north, east, country) = world.places[chance_index(&mut chance, world.places.len())];
        let client = inside(&mut chance, net.addr(), net.prefix_len());
        let (sites, evidence, told_country) = told(&table, client);
        assert_eq!(sites, nearest(&world, north, east), "{client} at {north}, {east}");
        assert_eq!(evidence, Evidence::Geography);
        assert_eq!(told_country, country.as_bytes().try_into().ok());
    }
}

#[test]
fn equal_sources_give_equal_tables() {
    let mut chance = Chance::new(seed());
    let world = World::new(&mut chance, 30, 1_000);
    assert_eq!(world.compile(), world.compile());
}
