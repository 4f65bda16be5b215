//! From what the monitors see to what people are told: says what is wrong now, on a thread that may wait for its disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use model::health::{CauseKind, Merged, MergedNode, State};
use model::{Moment, Snapshot, Status, rendezvous};

use crate::alert::Alerts;
use crate::alert::wrong::{DOWN, NodeWrong, Severity, Wrong};
use crate::board::Running as Board;

/// Evaluations that wait for the disk: the next one says the same and more.
const WAITING: usize = 2;

/// The thread that evaluates.
pub(crate) struct Alerting {
    turns: SyncSender<Turn>,
    thread: JoinHandle<()>,
}

/// What one evaluation rests on.
struct Turn {
    now: Moment,
    wrong: Wrong,
    own_name: String,
    at_work: Vec<String>,
}

impl Alerting {
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(crate) fn start(alerts: Arc<Alerts>) -> std::io::Result<Alerting> {
        let (turns, waiting) = sync_channel::<Turn>(WAITING);
        let thread = thread::Builder::new()
            .name("alerting".to_owned())
            .spawn(move || {
                for turn in waiting {
                    let responsible = |key: &str| is_responsible(key, &turn.own_name, &turn.at_work);
                    alerts.evaluate(turn.now, &turn.wrong, &responsible);
                }
            })?;
        Ok(Alerting { turns, thread })
    }

    /// Says what is wrong now. Not while nothing is known yet: what was wrong before the start would seem well.
    pub(crate) fn evaluate(&self, now: Moment, board: &Board) {
        if board.knows_nothing_yet(now) {
            return;
        }
        let turn = Turn {
            now,
            wrong: wrong(board.merged(), board.snapshot()),
            own_name: board.name().to_owned(),
            at_work: board.monitors_at_work(now),
        };
        // When the disk does not keep up, this turn is skipped: the next comes in a second.
        let _ = self.turns.try_send(turn);
    }

    /// Waits for the last evaluation.
    pub(crate) fn close(self) {
        drop(self.turns);
        if self.thread.join().is_err() {
            tracing::error!("the thread that evaluates alerts panicked");
        }
    }
}

/// Of all monitors at work, one tells of each key.
fn is_responsible(key: &str, own_name: &str, at_work: &[String]) -> bool {
    let monitors: Vec<(u64, f64, &str)> = at_work
        .iter()
        .map(|name| (rendezvous::node_hash(name), 1.0, name.as_str()))
        .collect();
    let ranked = rendezvous::rank(rendezvous::key_hash(key), &monitors);
    ranked.first().is_none_or(|first| **first == own_name)
}

/// What is wrong, of the nodes that are in use.
fn wrong(merged: &Merged, snapshot: &Snapshot) -> Wrong {
    let mut wrong = Wrong::default();
    for (name, node) in &merged.nodes {
        let Some(described) = snapshot.nodes.get(name) else {
            continue;
        };
        if node.status == Status::AdminDown {
            continue;
        }
        *wrong.sites.entry(described.site.clone()).or_default() += 1;
        wrong.nodes.extend(node_wrong(name, &described.site, node));
    }
    let standings: BTreeMap<_, _> = merged.monitors.iter().collect();
    wrong.quorum_lost = (!merged.quorum).then(|| format!("too few monitors count: {standings:?}"));
    wrong
}

fn node_wrong(name: &str, site: &str, node: &MergedNode) -> Option<NodeWrong> {
    let kind = node.cause.as_ref().map(|cause| cause.kind);
    let (check, severity) = match (node.state, kind) {
        (State::Down, _) => (DOWN, Severity::Critical),
        (State::Degraded, Some(CauseKind::Disks)) => ("disks", Severity::Error),
        (State::Degraded, Some(CauseKind::Load)) => ("load", Severity::Warning),
        (State::Degraded, Some(CauseKind::Bandwidth)) => ("bandwidth", Severity::Warning),
        (State::Degraded, Some(CauseKind::HitRatio)) => ("hit_ratio", Severity::Warning),
        (State::Degraded, _) => ("family", Severity::Error),
        _ => return None,
    };
    Some(NodeWrong {
        node: name.to_owned(),
        site: site.to_owned(),
        check: check.to_owned(),
        severity,
        cause: node.cause.as_ref().map(ToString::to_string).unwrap_or_default(),
        since: node.since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_monitors_at_work_is_responsible_for_each_key() {
        let all: Vec<String> = ["m1", "m2", "m3"].map(str::to_owned).into();
        let mut shares = BTreeMap::new();
        for number in 0..300 {
            let key = format!("cdn/t/node/edge-{number}/down");
            let owners: Vec<&String> = all
                .iter()
                .filter(|name| is_responsible(&key, name, &all))
                .collect();
            assert_eq!(owners.len(), 1, "{key}");
            *shares.entry(owners[0].clone()).or_insert(0) += 1;
            let left: Vec<String> = all.iter().filter(|name| *name != owners[0]).cloned().collect();
            assert_eq!(
                left.iter()
                    .filter(|name| is_responsible(&key, name, &left))
                    .count(),
                1
            );
        }
        assert!(shares.values().all(|share| *share > 50), "{shares:?}");
    }
}
