//! How many keys move when edges come, go, change their weight or flap.

use model::health::State;

use super::cdn::{Cdn, cdn, moved, owners};

const KEYS: u64 = 100_000;
const TOLERANCE: f64 = 0.005;

fn site_of(edges: usize) -> Cdn {
    cdn(&[("ams", 52.0, 5.0, edges)])
}

#[test]
fn the_loss_of_an_edge_or_of_some_of_its_weight_moves_its_own_keys_and_its_return_brings_them_back() {
    for edges in [2, 3, 16, 64] {
        let mut cdn = site_of(edges);
        let ranking = [cdn.site("ams")];
        let all = cdn.world();
        let before = owners(&cdn, &all, &ranking, KEYS);
        cdn.see_state("ams-01", State::Down);
        let fewer = cdn.world();
        let during = owners(&cdn, &fewer, &ranking, KEYS);
        let part = moved(&before, &during);
        println!("{edges} edges: the loss of one moves {:.2} %", 100.0 * part);
        assert!(part <= 1.0 / edges as f64 + TOLERANCE, "{edges}: {part}");
        let only_its_own = before
            .iter()
            .zip(&during)
            .all(|(before, during)| before == during || *before == "ams-01");
        assert!(only_its_own, "{edges}");
        cdn.see_state("ams-01", State::Up);
        cdn.see("ams-01", |node| node.weight = 0.9);
        let lighter = cdn.world();
        let part = moved(&before, &owners(&cdn, &lighter, &ranking, KEYS));
        println!("{edges} edges: a tenth of a weight moves {:.2} %", 100.0 * part);
        assert!(part <= 0.1 / edges as f64 + TOLERANCE, "{edges}: {part}");
        cdn.see("ams-01", |node| node.weight = 1.0);
        let again = cdn.world();
        assert_eq!(moved(&before, &owners(&cdn, &again, &ranking, KEYS)), 0.0);
    }
}

#[test]
fn an_edge_more_moves_one_in_n_plus_one_keys() {
    for edges in [2, 3, 8, 31] {
        let (mut few, mut more) = (site_of(edges), site_of(edges + 1));
        let ranking = [few.site("ams")];
        let (before, after) = (few.world(), more.world());
        let part = moved(
            &owners(&few, &before, &ranking, KEYS),
            &owners(&more, &after, &ranking, KEYS),
        );
        println!("{edges} edges: one more moves {:.2} %", 100.0 * part);
        assert!(part <= 1.0 / (edges + 1) as f64 + TOLERANCE, "{edges}: {part}");
    }
}

/// A monitor lets an edge that fails and comes back every five seconds change its state four times in half an hour.
#[test]
fn an_edge_that_flaps_moves_its_own_keys_each_time_it_is_believed() {
    let edges = 16;
    let mut cdn = site_of(edges);
    let ranking = [cdn.site("ams")];
    let mut total = 0.0;
    let mut worlds = vec![cdn.world()];
    for state in [State::Down, State::Up, State::Down, State::Up] {
        cdn.wait(450);
        cdn.see_state("ams-03", state);
        worlds.push(cdn.world());
    }
    let owners: Vec<Vec<&str>> = worlds
        .iter()
        .map(|world| owners(&cdn, world, &ranking, KEYS))
        .collect();
    for pair in owners.windows(2) {
        total += moved(&pair[0], &pair[1]);
    }
    println!("16 edges: one that flaps moves {:.2} % in all", 100.0 * total);
    assert!(total <= 4.0 / edges as f64 + 4.0 * TOLERANCE, "{total}");
    assert_eq!(owners.first(), owners.last());
}
