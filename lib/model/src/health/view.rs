//! What one monitor sees, as it publishes it: whole, and as differences.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Moment;

/// How a node is, as judged by one monitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum State {
    /// Not judged yet.
    #[default]
    Unknown,
    /// Well.
    Up,
    /// It serves, and should get less than its share; `cause` says why.
    Degraded,
    /// It sees its clients out, by its own word.
    Draining,
    /// It does not serve.
    Down,
}

impl State {
    /// As the API, metrics and the log name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Up => "up",
            State::Degraded => "degraded",
            State::Draining => "draining",
            State::Down => "down",
        }
    }

    /// Whether new clients may be sent to a node in this state.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, State::Unknown | State::Up | State::Degraded)
    }
}

/// What kind of thing makes a node less than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CauseKind {
    /// Nobody listens there (connection refused).
    Refused,
    /// No answer in time: to connecting, to the handshake or to the request.
    Timeout,
    /// The network says that it cannot be reached.
    Unreachable,
    /// The connection broke off.
    Reset,
    /// The TLS handshake failed, or its certificate is not to be trusted.
    Tls,
    /// It answers, with a status that says it does not serve, or not as itself.
    Status,
    /// It serves wrong bytes.
    WrongContent,
    /// It sees its clients out, by its own word.
    Draining,
    /// It has lost cache devices, or may not write to them.
    Disks,
    /// Its processors have more to do than they can.
    Load,
    /// Its network interface is nearly full.
    Bandwidth,
    /// Its cache answers too little of what is asked.
    HitRatio,
    /// It came back not long ago and gets its share step by step.
    SlowStart,
    /// It was well only for moments; it has to stay so for longer before it is believed.
    Flapping,
}

impl CauseKind {
    /// As the API, metrics and the log name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CauseKind::Refused => "refused",
            CauseKind::Timeout => "timeout",
            CauseKind::Unreachable => "unreachable",
            CauseKind::Reset => "reset",
            CauseKind::Tls => "tls",
            CauseKind::Status => "status",
            CauseKind::WrongContent => "wrong-content",
            CauseKind::Draining => "draining",
            CauseKind::Disks => "disks",
            CauseKind::Load => "load",
            CauseKind::Bandwidth => "bandwidth",
            CauseKind::HitRatio => "hit-ratio",
            CauseKind::SlowStart => "slow-start",
            CauseKind::Flapping => "flapping",
        }
    }
}

/// Why a node is in its state: a word to branch on, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cause {
    /// What kind of thing it is.
    pub kind: CauseKind,
    /// For people, such as `connect 192.0.2.1:443: connection refused`.
    pub detail: String,
}

impl Cause {
    /// A cause.
    pub fn new(kind: CauseKind, detail: impl Into<String>) -> Cause {
        Cause {
            kind,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}

/// How a node is reached over one family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FamilyView {
    /// It answers, or was not judged yet.
    Up,
    /// It does not.
    Down,
}

/// One node as one monitor sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeView {
    /// How it is.
    pub state: State,
    /// The share of its weight that it should get, 0 to 1.
    pub weight: f64,
    /// Its last probe, over either family, failed, though it may not have been judged down yet: others look at once.
    #[serde(default)]
    pub failing: bool,
    /// Over IPv4; absent when it has no such address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<FamilyView>,
    /// Over IPv6; absent when it has no such address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<FamilyView>,
    /// How much of what it can do it does, by the scarcest of its means, 1 being all; absent when nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<f64>,
    /// Why it is not simply up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Since when it is in this state.
    pub since: Moment,
}

/// Everything one monitor sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct View {
    /// The monitor's name.
    pub monitor: String,
    /// When its process started: sequences of different epochs cannot be compared.
    pub epoch: u64,
    /// Grows by one with each difference.
    pub sequence: u64,
    /// Why the monitor does not trust what it sees; absent when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// By name; nodes that are OFFLINE are not watched.
    pub nodes: BTreeMap<String, NodeView>,
}

/// What changed from one sequence to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diff {
    /// The sequence it leads to, from the one before.
    pub sequence: u64,
    /// As in the view, whether it changed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// Nodes that changed or came, as they are now.
    pub nodes: BTreeMap<String, NodeView>,
    /// Nodes that are no longer watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

/// One event of a monitor's stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Bulletin {
    /// The whole view: what came before counts no more.
    Snapshot(View),
    /// What changed.
    Diff(Diff),
    /// Nothing changed: the monitor is alive and at this sequence.
    Heartbeat(u64),
}

/// A difference does not follow on what is known: the view has to be had whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The sequence that is known.
    pub known: u64,
    /// The one that came.
    pub came: u64,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence {} does not follow on {}", self.came, self.known)
    }
}

impl View {
    /// Takes in nodes that came or changed, and names of those that are no longer watched, and makes the difference of it;
    /// `None` when nothing changed.
    pub fn update(
        &mut self,
        suspect: Option<String>,
        nodes: BTreeMap<String, NodeView>,
        gone: Vec<String>,
    ) -> Option<Diff> {
        if nodes.is_empty() && gone.is_empty() && suspect == self.suspect {
            return None;
        }
        let diff = Diff {
            sequence: self.sequence + 1,
            suspect,
            nodes,
            gone,
        };
        self.take_in(diff.clone());
        Some(diff)
    }

    fn take_in(&mut self, diff: Diff) {
        self.sequence = diff.sequence;
        self.suspect = diff.suspect;
        self.nodes.extend(diff.nodes);
        for name in &diff.gone {
            self.nodes.remove(name);
        }
    }

    /// Takes in what a monitor published.
    ///
    /// # Errors
    ///
    /// When something between was missed.
    pub fn apply(&mut self, bulletin: Bulletin) -> Result<(), Gap> {
        match bulletin {
            Bulletin::Snapshot(view) => *self = view,
            Bulletin::Heartbeat(sequence) => self.expect(sequence, self.sequence)?,
            Bulletin::Diff(diff) => {
                self.expect(diff.sequence, self.sequence.saturating_add(1))?;
                self.take_in(diff);
            }
        }
        Ok(())
    }

    fn expect(&self, came: u64, expected: u64) -> Result<(), Gap> {
        if came == expected {
            Ok(())
        } else {
            Err(Gap {
                known: self.sequence,
                came,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(state: State) -> NodeView {
        NodeView {
            state,
            weight: 1.0,
            failing: false,
            ipv4: Some(FamilyView::Up),
            ipv6: None,
            utilisation: None,
            cause: None,
            since: Moment(7),
        }
    }

    fn nodes(states: &[(&str, State)]) -> BTreeMap<String, NodeView> {
        states
            .iter()
            .map(|(name, state)| ((*name).to_owned(), node(*state)))
            .collect()
    }

    #[test]
    fn a_follower_that_takes_in_every_difference_sees_what_the_monitor_sees() {
        let mut own = View {
            monitor: "m1".into(),
            epoch: 3,
            ..View::default()
        };
        let mut follower = own.clone();
        for (changed, gone) in [
            (nodes(&[("a", State::Up)]), vec![]),
            (nodes(&[("a", State::Down), ("b", State::Up)]), vec![]),
            (nodes(&[]), vec!["a".to_owned()]),
        ] {
            let diff = own
                .update(None, changed, gone)
                .expect("each step changes something");
            follower.apply(Bulletin::Diff(diff)).unwrap();
            assert_eq!(follower, own);
        }
        assert_eq!(own.nodes, nodes(&[("b", State::Up)]));
        assert_eq!(own.update(None, nodes(&[]), vec![]), None);
        let doubting = own.update(Some("alone".into()), nodes(&[]), vec![]).unwrap();
        assert!(doubting.nodes.is_empty());
        follower.apply(Bulletin::Diff(doubting)).unwrap();
        assert_eq!(follower.suspect.as_deref(), Some("alone"));
        assert_eq!(follower.apply(Bulletin::Heartbeat(4)), Ok(()));
    }

    #[test]
    fn a_missed_difference_is_noticed_at_the_next_and_at_a_heartbeat() {
        let mut own = View::default();
        let mut follower = own.clone();
        let _missed = own.update(None, nodes(&[("a", State::Up)]), vec![]);
        assert_eq!(
            follower.apply(Bulletin::Heartbeat(1)),
            Err(Gap { known: 0, came: 1 })
        );
        let next = own.update(None, nodes(&[("a", State::Down)]), vec![]).unwrap();
        assert_eq!(
            follower.apply(Bulletin::Diff(next)),
            Err(Gap { known: 0, came: 2 })
        );
        follower.apply(Bulletin::Snapshot(own.clone())).unwrap();
        assert_eq!(follower, own);
    }
}
