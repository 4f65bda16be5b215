//! The other monitors, as they are heard.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Moment;
use model::health::{Ballot, Standing, State, View};
use views::Heard;

use super::event::Command;
use super::published::PeerShown;

/// Every configured peer by name.
pub(super) struct Peers {
    peers: BTreeMap<String, Peer>,
    /// A view changed since this was last asked.
    changed: bool,
}

#[derive(Default)]
struct Peer {
    view: Option<Arc<View>>,
    heard: Moment,
    /// Why it is out of sight, while it is.
    lost: Option<String>,
}

impl Peers {
    pub(super) fn new(names: &[String]) -> Peers {
        let peers = names.iter().map(|name| (name.clone(), Peer::default()));
        Peers {
            peers: peers.collect(),
            changed: true,
        }
    }

    /// Takes in what was heard of a peer. A node that newly fails there is looked at here, unless it fails here too.
    pub(super) fn hear(
        &mut self,
        now: Moment,
        name: &str,
        heard: Heard,
        fails_here: impl Fn(&str) -> bool,
    ) -> Vec<Command> {
        let Some(peer) = self.peers.get_mut(name) else {
            return Vec::new();
        };
        let view = match heard {
            Heard::Lost(why) => {
                peer.lost = Some(why);
                return Vec::new();
            }
            Heard::Nothing => {
                (peer.heard, peer.lost) = (now, None);
                return Vec::new();
            }
            Heard::View(view) => view,
        };
        self.changed = true;
        let known = peer.view.replace(Arc::clone(&view));
        (peer.heard, peer.lost) = (now, None);
        let failed_before = |node: &str| {
            let known = known.as_ref().and_then(|view| view.nodes.get(node));
            known.is_some_and(|node| node.failing)
        };
        let newly_failing = view
            .nodes
            .iter()
            .filter(|(name, node)| node.failing && !failed_before(name) && !fails_here(name));
        newly_failing
            .map(|(name, _)| Command::Look(name.clone()))
            .collect()
    }

    /// Whether a view changed since this was last asked.
    pub(super) fn have_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn ballots(&self) -> impl Iterator<Item = Ballot<'_>> {
        self.peers.iter().map(|(monitor, peer)| Ballot {
            monitor,
            view: peer.view.as_deref(),
            heard: peer.heard,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.peers.len()
    }

    /// How many were heard lately, whether they trust themselves or not.
    pub(super) fn heard(&self, now: Moment) -> usize {
        self.ballots()
            .filter(|ballot| ballot.standing(now) != Standing::Silent)
            .count()
    }

    /// The names of those that count.
    pub(super) fn counting(&self, now: Moment) -> Vec<String> {
        let counting = self
            .ballots()
            .filter(|ballot| ballot.standing(now) == Standing::Counts);
        counting.map(|ballot| ballot.monitor.to_owned()).collect()
    }

    /// The standing of each that was heard lately and sees at least half of `nodes` fail.
    pub(super) fn that_see_failing(&self, now: Moment, nodes: &[&str]) -> Vec<Standing> {
        let fails_at = |view: &View| {
            let fails = |name: &&&str| {
                let node = view.nodes.get(**name);
                node.is_some_and(|node| node.failing || node.state == State::Down)
            };
            2 * nodes.iter().filter(fails).count() >= nodes.len()
        };
        self.ballots()
            .filter(|ballot| !nodes.is_empty() && ballot.view.is_some_and(fails_at))
            .map(|ballot| ballot.standing(now))
            .filter(|standing| *standing != Standing::Silent)
            .collect()
    }

    pub(super) fn shown(&self, now: Moment) -> BTreeMap<String, PeerShown> {
        let shown = |(name, peer): (&String, &Peer)| {
            let ballot = Ballot {
                monitor: name,
                view: peer.view.as_deref(),
                heard: peer.heard,
            };
            let shown = PeerShown {
                standing: ballot.standing(now),
                heard: peer.view.is_some().then_some(peer.heard),
                lost: peer.lost.clone(),
                view: peer.view.clone(),
            };
            (name.clone(), shown)
        };
        self.peers.iter().map(shown).collect()
    }
}
