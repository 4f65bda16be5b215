//! Monitors that lie, and monitors that are gone.

use std::time::Duration;

use model::health::State;
use testkit::{Chance, seed};

use super::{Paper, client, paper};

const CLIENTS: usize = 2_000;

fn answers(paper: &Paper) -> Vec<String> {
    let mut chance = Chance::new(1);
    (0..CLIENTS)
        .map(|_| format!("{:?}", paper.ask(client(&mut chance))))
        .collect()
}

#[test]
fn a_monitor_that_sees_everything_down_changes_no_answer() {
    let mut paper = paper(20, 4);
    let before = answers(&paper);
    paper.says("monitor-2", |_| true, |node| node.state = State::Down);
    paper.hear();
    assert!(answers(&paper) == before);
    // Together with a second one it would be believed, were it not for common sense.
    paper.says("monitor-3", |_| true, |node| node.state = State::Down);
    paper.hear();
    assert!(paper.world.present.panic);
    assert!(answers(&paper).iter().all(|answer| answer.contains("panic")));
}

#[test]
fn monitors_that_are_all_gone_change_no_answer_for_five_minutes() {
    let mut chance = Chance::new(seed());
    let mut paper = paper(20, 4);
    let dead = format!("site-{:03}-1", chance.below(20));
    paper.all_say_down(|name| name == dead);
    let before = answers(&paper);
    // The last word is fresh for ten seconds more.
    for _ in 0..30 {
        paper.silence(Duration::from_secs(10));
        assert!(answers(&paper) == before);
    }
    let weight = |paper: &Paper| {
        let mut nodes = paper.world.present.nodes();
        nodes.find(|node| node.node == dead).unwrap().weight
    };
    assert_eq!(weight(&paper), 0.0);
    // Then whatever was down may be up as well.
    paper.silence(Duration::from_secs(20));
    assert_eq!(weight(&paper), 0.5);
    paper.hear();
    assert_eq!(weight(&paper), 0.0, "and when they are back, all is as they say");
    assert!(answers(&paper) == before);
}
