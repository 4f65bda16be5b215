//! Names that everybody asks for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use testkit::{Chance, seed};

use super::{MONITORS, Paper, client, paper};
use crate::owner::Message;

const EDGES: usize = 8;
const CLIENTS: usize = 4_000;

/// How many clients hear of each address first.
fn firsts(paper: &Paper, clients: &[IpAddr]) -> BTreeMap<IpAddr, usize> {
    let mut firsts = BTreeMap::new();
    for client in clients {
        *firsts.entry(paper.ask(*client).1[0]).or_default() += 1;
    }
    firsts
}

#[test]
fn the_viewers_of_one_name_are_spread_when_the_site_is_busy_and_stay_so_when_sites_come() {
    let mut chance = Chance::new(seed());
    let mut paper = paper(1, EDGES);
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(&mut chance)).collect();
    assert_eq!(firsts(&paper, &clients).len(), 1);
    paper.silence(Duration::from_secs(9));
    assert_eq!(firsts(&paper, &clients).len(), 1, "nobody knows of any load");

    let busy = |paper: &mut Paper| {
        for monitor in MONITORS {
            paper.says(monitor, |_| true, |node| node.utilisation = Some(0.6));
        }
        paper.hear();
    };
    busy(&mut paper);
    firsts(&paper, &clients);
    paper.silence(Duration::from_secs(9));
    busy(&mut paper);
    // What was asked before it was known does not count.
    firsts(&paper, &clients);
    paper.silence(Duration::from_secs(10));
    let even = CLIENTS as f64 / EDGES as f64;
    let are_spread = |paper: &Paper| {
        let firsts = firsts(paper, &clients);
        let busiest = firsts.values().max().copied().unwrap_or_default() as f64;
        assert!(firsts.len() == EDGES && busiest < 1.25 * even, "{firsts:?}");
    };
    are_spread(&paper);

    // Sites are numbered in the order of their names: this one comes first.
    let mut snapshot = model::Snapshot::clone(&paper.snapshot);
    let site = snapshot.sites["site-000"].clone();
    snapshot.sites.insert("a-new-one".to_owned(), site);
    let table = crate::geo::compile(&snapshot, crate::geo::Sources::default()).unwrap();
    let message = Message::Geography(Arc::new(table), Arc::new(snapshot));
    paper.owner.take(paper.now, message);
    paper.settle();
    are_spread(&paper);
}
