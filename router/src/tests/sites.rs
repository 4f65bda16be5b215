//! Whole sites that die, among a hundred and twenty.

use testkit::{Chance, seed};

use super::{client, paper, place};

const SITES: usize = 120;
const CLIENTS: usize = 10_000;

/// The chord between two places on a ball of radius one.
fn distance((latitude, longitude): (f64, f64), (other_latitude, other_longitude): (f64, f64)) -> f64 {
    let point = |latitude: f64, longitude: f64| {
        let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
        [
            latitude.cos() * longitude.cos(),
            latitude.cos() * longitude.sin(),
            latitude.sin(),
        ]
    };
    let (one, other) = (point(latitude, longitude), point(other_latitude, other_longitude));
    one.iter()
        .zip(other)
        .map(|(one, other)| (one - other).powi(2))
        .sum()
}

/// All sites, nearest first, by trying all of them.
fn by_distance(from: (f64, f64)) -> Vec<usize> {
    let mut sites: Vec<usize> = (0..SITES).collect();
    sites.sort_by(|one, other| distance(from, place(*one)).total_cmp(&distance(from, place(*other))));
    sites
}

/// Where the database says that `client` is.
fn home(client: std::net::IpAddr) -> (f64, f64) {
    let std::net::IpAddr::V4(ip) = client else {
        unreachable!("clients have IPv4")
    };
    let [first, second, ..] = ip.octets();
    place(10_000 + usize::from(first) * 256 + usize::from(second & !7))
}

#[test]
fn every_client_goes_to_the_nearest_site_and_to_the_next_when_that_dies() {
    let mut chance = Chance::new(seed());
    let mut paper = paper(SITES, 2);
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(&mut chance)).collect();
    let homes: Vec<Vec<usize>> = clients.iter().map(|client| by_distance(home(*client))).collect();
    for (client, home) in clients.iter().zip(&homes) {
        assert_eq!(paper.site_of(*client), home[0], "{client}");
        assert_eq!(paper.ask(*client).0.reason, "geography");
    }
    let dead = homes[0][0];
    let prefix = format!("site-{dead:03}-");
    paper.all_say_down(|name| name.starts_with(&prefix));
    let mut moved = 0;
    for (client, home) in clients.iter().zip(&homes) {
        let (expected, reason) = match home[0] == dead {
            true => (home[1], "failover"),
            false => (home[0], "geography"),
        };
        moved += usize::from(home[0] == dead);
        assert_eq!(
            (paper.site_of(*client), paper.ask(*client).0.reason),
            (expected, reason),
            "{client}"
        );
    }
    assert!(moved > 0);
    let headroom: Vec<_> = paper.world.present.headrooms().collect();
    assert_eq!(headroom.len(), SITES);
}
