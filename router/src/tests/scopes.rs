//! What a returned scope promises: whoever is in it hears the same (RFC 7871 §7.2.1).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use testkit::{Chance, seed};

use super::{MONITORS, Paper, client, paper};

const PAIRS: usize = 100_000;

/// Another address of the network around `client`.
fn neighbour(client: IpAddr, scope: u8, chance: &mut Chance) -> IpAddr {
    let IpAddr::V4(ip) = client else {
        unreachable!("clients have IPv4")
    };
    let own = (u64::from(u32::MAX) >> scope) as u32;
    let bits = (ip.to_bits() & !own) | (chance.next_u64() as u32 & own);
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

fn check(paper: &Paper, chance: &mut Chance, pairs: usize) -> (usize, u8) {
    let (mut spilled, mut shortest) = (0, 32);
    for _ in 0..pairs {
        let one = client(chance);
        let heard = paper.ask(one);
        let other = neighbour(one, heard.0.scope, chance);
        assert_eq!(
            paper.ask(other),
            heard,
            "{one} and {other} under /{}",
            heard.0.scope
        );
        spilled += usize::from(heard.0.reason == "spill");
        shortest = shortest.min(heard.0.scope);
    }
    (spilled, shortest)
}

#[test]
fn addresses_under_one_scope_hear_the_same_whether_sites_spill_or_not() {
    let mut chance = Chance::new(seed());
    let mut paper = paper(12, 4);
    let (spilled, shortest) = check(&paper, &mut chance, PAIRS / 2);
    assert_eq!(spilled, 0);
    assert!(
        shortest < 16,
        "neighbouring networks of one ranking are one: /{shortest}"
    );
    // A third of all sites have more than they can do, until some of their clients go elsewhere.
    for monitor in MONITORS {
        paper.says(monitor, |_| true, |node| node.utilisation = Some(0.3));
        paper.says(
            monitor,
            |name| name < "site-004",
            |node| node.utilisation = Some(1.2),
        );
    }
    for _ in 0..8 {
        paper.silence(Duration::from_secs(5));
        paper.hear();
    }
    let (spilled, _) = check(&paper, &mut chance, PAIRS / 2);
    assert!(spilled > PAIRS / 100, "{spilled} were spilled");
}
