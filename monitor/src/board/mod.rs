//! Who knows everything: what was seen comes in as events, and what is published follows from it.
//!
//! ```text
//! Event ─▶ Board::apply ─▶ judges │ each moment: Board::settle ─▶ own View (+ Diff) ─▶ merge ─▶ Published, Command
//! ```
//!
//! The board itself touches nothing and asks no clock; [`run`] moves events in, and publications and commands out.

mod event;
mod fleet;
mod memory;
mod metrics;
mod peers;
mod published;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use model::health::{Ballot, Bulletin, Merged, Standing, View, merge};
use model::{Moment, Snapshot};
use views::Told;

pub(crate) use event::{Command, Event};
pub(crate) use metrics::BoardMetrics;
pub(crate) use published::Published;
pub(crate) use run::{Board as Running, Means, run};

use self::fleet::Fleet;
use self::memory::Changes;
use self::peers::Peers;
use crate::journal::Happening;
use crate::judge::{Doubt, Outlook, Policy};

/// The monitor says that it lives at least so often; who follows it takes three of these for its end.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What changes with time alone (hold-downs, slow starts, who counts) is looked at so often.
const TIME_ALONE: Duration = Duration::from_millis(250);

/// Everything one monitor knows.
pub(crate) struct Board {
    policy: Policy,
    snapshot: Arc<Snapshot>,
    fleet: Fleet,
    peers: Peers,
    doubt: Doubt,
    view: View,
    merged: Merged,
    /// Grows with each change of what is shown.
    generation: u64,
    /// When every node was last judged.
    all_judged: Moment,
    /// When the last bulletin went out.
    last_bulletin: Moment,
    /// When the process started.
    started: Moment,
}

/// What a moment brought.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// To be sent to all who follow.
    pub(crate) bulletin: Option<Bulletin>,
    /// To be done.
    pub(crate) commands: Vec<Command>,
    /// To be remembered and logged.
    pub(crate) happenings: Vec<Happening>,
    /// Whether anything changed that is shown.
    pub(crate) changed: bool,
}

impl Board {
    pub(crate) fn new(
        name: &str,
        peers: &[String],
        policy: Policy,
        snapshot: Arc<Snapshot>,
        now: Moment,
    ) -> Board {
        let mut fleet = Fleet::default();
        fleet.follow(&snapshot, now);
        Board {
            policy,
            fleet,
            snapshot,
            peers: Peers::new(peers),
            doubt: Doubt::default(),
            view: View {
                monitor: name.to_owned(),
                epoch: now.0,
                ..View::default()
            },
            merged: Merged::default(),
            generation: 0,
            all_judged: Moment::default(),
            last_bulletin: Moment::default(),
            started: now,
        }
    }

    /// Takes in what happened. What follows from it comes of the next [`Board::settle`].
    pub(crate) fn apply(&mut self, now: Moment, event: Event) -> Vec<Command> {
        match event {
            Event::Snapshot(snapshot) => {
                self.fleet.follow(&snapshot, now);
                self.snapshot = Arc::clone(&snapshot);
                vec![Command::Follow(snapshot)]
            }
            Event::Probed(probed) => {
                self.fleet.probed(&probed, &self.policy);
                Vec::new()
            }
            Event::Beat { connection, beat } => self.fleet.beat(now, connection, &beat),
            Event::StreamLost {
                node,
                connection,
                cause,
            } => self
                .fleet
                .stream_lost(now, &node, connection, &cause, &self.policy),
            Event::Measured { node, reading } => {
                self.fleet.measured(&node, reading, &self.policy);
                Vec::new()
            }
            Event::Peer(Told { name, heard }) => self
                .peers
                .hear(now, &name, heard, |node| self.fleet.is_failing(node)),
        }
    }

    /// Draws the conclusions that are due at `now`.
    pub(crate) fn settle(&mut self, now: Moment) -> Settled {
        let mut commands = self.fleet.look_for_silence(now, &self.policy);
        let all = now.since(self.all_judged) >= TIME_ALONE;
        if all {
            self.all_judged = now;
        }
        let doubted_from = self.doubt.doubted_from();
        let suspect = self.doubt.judge(now, &self.outlook(now));
        // What it saw while it doubted does not count when it counts again, unless it was so.
        if let (Some(since), None, false) =
            (doubted_from, self.doubt.doubted_from(), self.doubt.is_believed())
        {
            commands.extend(self.fleet.take_back(now, since));
        }
        let nodes = self.fleet.changed_views(now, &self.policy, &self.view.nodes, all);
        let gone = self.fleet.gone(&self.view.nodes);
        let mut changes = Changes::default();
        changes.note_own(&self.view, &nodes, suspect.as_deref(), &self.snapshot, now);
        let diff = self.view.update(suspect, nodes, gone);
        let peers_changed = self.peers.have_changed();
        let mut changed = diff.is_some();
        // A merge is work: it is made anew when a view changed, or when time may have changed who counts.
        if changed || peers_changed || all {
            let merged = self.merge(now);
            changes.note_merged(&self.merged, &merged, &self.snapshot, now);
            changed |= merged != self.merged;
            self.merged = merged;
        }
        self.generation += u64::from(changed);
        commands.extend(self.fleet.expectations());
        let bulletin = match diff {
            Some(diff) => Some(Bulletin::Diff(diff)),
            None if now.since(self.last_bulletin) >= HEARTBEAT => {
                Some(Bulletin::Heartbeat(self.view.sequence))
            }
            None => None,
        };
        if bulletin.is_some() {
            self.last_bulletin = now;
        }
        Settled {
            bulletin,
            commands,
            happenings: changes.into_happenings(),
            changed,
        }
    }

    /// What is shown.
    pub(crate) fn published(&self, now: Moment) -> Published {
        Published {
            at: now,
            generation: self.generation,
            snapshot: Arc::clone(&self.snapshot),
            view: self.view.clone(),
            peers: self.peers.shown(now),
            merged: self.merged.clone(),
        }
    }

    /// This monitor's name.
    pub(crate) fn name(&self) -> &str {
        &self.view.monitor
    }

    /// What the CDN consists of.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What it sees.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Whether it has just started, and has not seen all nodes yet.
    pub(crate) fn knows_nothing_yet(&self, now: Moment) -> bool {
        self.fleet.is_starting(now, self.started)
    }

    /// The merge as it is now.
    pub(crate) fn merged(&self) -> &Merged {
        &self.merged
    }

    /// The monitors that are well, this one among them: they share the work of telling people.
    pub(crate) fn monitors_at_work(&self, now: Moment) -> Vec<String> {
        let mut names = self.peers.counting(now);
        names.push(self.view.monitor.clone());
        names
    }

    fn merge(&self, now: Moment) -> Merged {
        let own = Ballot {
            monitor: &self.view.monitor,
            view: Some(&self.view),
            heard: now,
        };
        let mut ballots: Vec<Ballot<'_>> = self.peers.ballots().collect();
        ballots.push(own);
        merge(&self.merged, &ballots, &self.snapshot, now)
    }

    fn outlook(&self, now: Moment) -> Outlook {
        let doubtful = self.fleet.failing_after(self.doubt.reaches_back_to(now));
        let alike = self.peers.that_see_failing(now, &doubtful);
        let trusted = alike.iter().filter(|standing| **standing == Standing::Counts);
        Outlook {
            sites: self.fleet.failures_by_site(&self.snapshot),
            peers: self.peers.count(),
            peers_heard: self.peers.heard(now),
            peers_trusted: self.peers.counting(now).len(),
            peers_that_see_the_same: alike.len(),
            trusted_that_see_the_same: trusted.count(),
            starting: self.fleet.is_starting(now, self.started),
        }
    }
}
