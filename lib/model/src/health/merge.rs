//! Several monitors' views become one: the majority of those that are fresh and trust themselves.
//!
//! - A node is down when more than half of the monitors that count say so. One that lies changes nothing, and neither
//!   does one that is cut off: it doubts itself and does not count.
//! - When fewer than a majority of all monitors count, nobody knows enough to take a node out: states stay as they
//!   were. Only what a node says of itself (it drains) still counts then, from whoever heard it.
//! - The snapshot has the last word: ONLINE nodes are used whatever is seen, ADMIN_DOWN and OFFLINE ones never.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::view::{Cause, FamilyView, NodeView, State, View};
use crate::{Moment, Snapshot, Status};

/// A view counts for so long after its monitor was last heard. Monitors are heard every second; ten missed in a row are
/// no accident, and a router that waited longer would steer by what is no longer so.
pub const FRESH: Duration = Duration::from_secs(10);

/// What one monitor has to say.
#[derive(Clone, Copy, Debug)]
pub struct Ballot<'v> {
    /// The monitor's name, as configured.
    pub monitor: &'v str,
    /// Its last view; `None` when it was never heard.
    pub view: Option<&'v View>,
    /// When it was last heard.
    pub heard: Moment,
}

/// Whether a monitor's view counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Standing {
    /// It counts.
    Counts,
    /// It was heard, and does not trust itself.
    Suspect,
    /// It was not heard lately.
    Silent,
}

impl Ballot<'_> {
    /// Whether it counts at `now`.
    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        match self.view {
            Some(view) if now.since(self.heard) < FRESH => match view.suspect {
                None => Standing::Counts,
                Some(_) => Standing::Suspect,
            },
            _ => Standing::Silent,
        }
    }
}

/// One node as the monitors together see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MergedNode {
    /// What the snapshot says of it, as Apache Traffic Control means these words.
    pub status: Status,
    /// Whether clients may be sent to it: status and state together.
    pub available: bool,
    /// How it is.
    pub state: State,
    /// The share of its weight that it should get, 0 to 1.
    pub weight: f64,
    /// Over IPv4; absent when it has no such address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<FamilyView>,
    /// Over IPv6; absent when it has no such address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<FamilyView>,
    /// How much of what it can do it does, 1 being all; absent when nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<f64>,
    /// Why it is not simply up: what a monitor of the majority says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Since when it is in this state.
    pub since: Moment,
    /// Who says what, whether it counts or not.
    pub votes: BTreeMap<String, State>,
}

/// All nodes as the monitors together see them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Merged {
    /// Whether enough monitors count to take a node out.
    pub quorum: bool,
    /// Every monitor, and whether it counts.
    pub monitors: BTreeMap<String, Standing>,
    /// By name; nodes that are OFFLINE are not watched.
    pub nodes: BTreeMap<String, MergedNode>,
}

/// Merges what all configured monitors say. `before` is the merge that this one takes the place of.
#[must_use]
pub fn merge(before: &Merged, ballots: &[Ballot<'_>], snapshot: &Snapshot, now: Moment) -> Merged {
    let counting: Vec<&View> = ballots
        .iter()
        .filter(|ballot| ballot.standing(now) == Standing::Counts)
        .filter_map(|ballot| ballot.view)
        .collect();
    let heard: Vec<&View> = ballots
        .iter()
        .filter(|ballot| ballot.standing(now) != Standing::Silent)
        .filter_map(|ballot| ballot.view)
        .collect();
    let quorum = 2 * counting.len() > ballots.len();
    let monitors = ballots
        .iter()
        .map(|ballot| (ballot.monitor.to_owned(), ballot.standing(now)))
        .collect();
    let watched = snapshot
        .nodes
        .iter()
        .filter(|(_, node)| node.status != Status::Offline);
    let nodes = watched.map(|(name, node)| {
        let votes = ballots.iter().filter_map(|ballot| {
            let vote = ballot.view?.nodes.get(name)?.state;
            Some((ballot.monitor.to_owned(), vote))
        });
        let of = |views: &[&'_ View]| -> Vec<NodeView> {
            views
                .iter()
                .filter_map(|view| view.nodes.get(name))
                .cloned()
                .collect()
        };
        let known = before.nodes.get(name);
        let agreed = if quorum { agree(&of(&counting)) } else { None };
        let mut seen = agreed.unwrap_or_else(|| {
            let kept = known.map_or_else(|| unknown(now), as_view);
            overruled_by_itself(kept, &of(&heard))
        });
        // The moment is that of the first merge that says so: monitors come to it one by one.
        if let Some(known) = known.filter(|known| known.state == seen.state) {
            seen.since = known.since;
        }
        let available = match node.status {
            Status::Online => true,
            Status::Reported => seen.state.serves(),
            Status::AdminDown | Status::Offline => false,
        };
        let merged = MergedNode {
            status: node.status,
            available,
            state: seen.state,
            weight: seen.weight,
            ipv4: seen.ipv4,
            ipv6: seen.ipv6,
            utilisation: seen.utilisation,
            cause: seen.cause,
            since: seen.since,
            votes: votes.collect(),
        };
        (name.clone(), merged)
    });
    Merged {
        quorum,
        monitors,
        nodes: nodes.collect(),
    }
}

/// What the majority says, of those who have judged the node at all.
fn agree(views: &[NodeView]) -> Option<NodeView> {
    let judged: Vec<&NodeView> = views.iter().filter(|view| view.state != State::Unknown).collect();
    let count = |state: State| judged.iter().filter(|view| view.state == state).count();
    let (down, draining, degraded) = (count(State::Down), count(State::Draining), count(State::Degraded));
    let most = |votes: usize| 2 * votes > judged.len();
    let state = if most(down + draining) {
        if down >= draining {
            State::Down
        } else {
            State::Draining
        }
    } else if most(down + draining + degraded) {
        State::Degraded
    } else {
        State::Up
    };
    let of_this_mind = judged.iter().filter(|view| view.state == state);
    let spokesman = of_this_mind
        .min_by_key(|view| (view.cause.is_none(), view.since))
        .or_else(|| judged.iter().find(|view| view.state.serves()))
        .or(judged.first())?;
    let family = |of: fn(&NodeView) -> Option<FamilyView>| {
        let known: Vec<FamilyView> = judged.iter().filter_map(|view| of(view)).collect();
        let down = known.iter().filter(|family| **family == FamilyView::Down).count();
        let most_say_down = 2 * down > known.len();
        (!known.is_empty()).then_some(if most_say_down {
            FamilyView::Down
        } else {
            FamilyView::Up
        })
    };
    // Those who would take out a node that stays have no say in how much it gets.
    let weighing = judged
        .iter()
        .filter(|view| view.state.serves() || !state.serves());
    let weights = weighing.map(|view| view.weight).collect();
    let utilisations: Vec<f64> = judged.iter().filter_map(|view| view.utilisation).collect();
    Some(NodeView {
        state,
        weight: median(weights).unwrap_or(1.0),
        failing: judged.iter().any(|view| view.failing),
        ipv4: family(|view| view.ipv4),
        ipv6: family(|view| view.ipv6),
        utilisation: median(utilisations),
        cause: spokesman
            .cause
            .clone()
            .filter(|_| state != State::Up || spokesman.state == state),
        since: spokesman.since,
    })
}

/// A node that drains is believed by one who heard it where there is no majority to ask: it knows best, and a moment
/// later it is gone.
fn overruled_by_itself(seen: NodeView, heard: &[NodeView]) -> NodeView {
    if !seen.state.serves() {
        return seen;
    }
    match heard.iter().find(|view| view.state == State::Draining) {
        Some(own_word) => own_word.clone(),
        None => seen,
    }
}

fn as_view(node: &MergedNode) -> NodeView {
    NodeView {
        state: node.state,
        weight: node.weight,
        failing: false,
        ipv4: node.ipv4,
        ipv6: node.ipv6,
        utilisation: node.utilisation,
        cause: node.cause.clone(),
        since: node.since,
    }
}

fn unknown(now: Moment) -> NodeView {
    NodeView {
        state: State::Unknown,
        weight: 1.0,
        failing: false,
        ipv4: None,
        ipv6: None,
        utilisation: None,
        cause: None,
        since: now,
    }
}

/// The middle one; of two in the middle the smaller.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::CauseKind;
    use super::*;

    const NOW: Moment = Moment(1_000_000);

    fn snapshot(status: Status) -> Snapshot {
        let text = format!(
            r#"{{"cdn":"t","number":1,"sites":{{"ams":{{"region":"eu","latitude":0,"longitude":0}}}},
            "nodes":{{"a":{{"tier":"edge","site":"ams","http":"127.0.0.1:1","status":{}}}}},"services":{{}}}}"#,
            serde_json::to_string(&status).unwrap()
        );
        serde_json::from_str(&text).unwrap()
    }

    fn view(state: State, suspect: bool) -> View {
        let node = NodeView {
            state,
            cause: (state == State::Down).then(|| Cause::new(CauseKind::Refused, "refused")),
            weight: match state {
                State::Down | State::Draining => 0.0,
                State::Degraded => 0.5,
                State::Unknown | State::Up => 1.0,
            },
            ..unknown(Moment(5))
        };
        View {
            suspect: suspect.then(|| "alone".to_owned()),
            nodes: BTreeMap::from([("a".to_owned(), node)]),
            ..View::default()
        }
    }

    /// Merges views that were all heard just now but for those that are `None`.
    fn merged(before: &Merged, views: &[Option<View>]) -> Merged {
        let names = ["m1", "m2", "m3", "m4", "m5"];
        let ballots: Vec<Ballot<'_>> = views
            .iter()
            .zip(names)
            .map(|(view, monitor)| Ballot {
                monitor,
                view: view.as_ref(),
                heard: NOW,
            })
            .collect();
        merge(before, &ballots, &snapshot(Status::Reported), NOW)
    }

    fn state(states: &[State]) -> State {
        let views: Vec<_> = states.iter().map(|state| Some(view(*state, false))).collect();
        merged(&Merged::default(), &views).nodes["a"].state
    }

    #[test]
    fn the_majority_decides_and_a_tie_keeps_a_node() {
        use State::{Degraded, Down, Draining, Up};
        assert_eq!(state(&[Down, Down, Up]), Down);
        assert_eq!(state(&[Down, Up, Up]), Up);
        assert_eq!(state(&[Down, Up]), Up);
        assert_eq!(state(&[Down]), Down);
        assert_eq!(state(&[Down, Degraded, Up]), Degraded);
        assert_eq!(state(&[Down, Draining, Up]), Down);
        assert_eq!(state(&[Degraded, Degraded, Down]), Degraded);
        assert_eq!(state(&[State::Unknown, Down, Down]), Down);
    }

    #[test]
    fn a_node_that_a_tie_keeps_has_the_weight_that_those_give_it_who_see_it_serve() {
        use State::{Degraded, Down, Draining, Up};
        for (second, kept, weight) in [(Up, Up, 1.0), (Degraded, Degraded, 0.5)] {
            for first in [Down, Draining] {
                let views = [Some(view(first, false)), Some(view(second, false)), None];
                let node = &merged(&Merged::default(), &views).nodes["a"];
                assert_eq!((node.state, node.weight, node.available), (kept, weight, true));
            }
        }
    }

    #[test]
    fn the_merge_shows_who_said_what_and_why() {
        let merged = merged(
            &Merged::default(),
            &[
                Some(view(State::Down, false)),
                Some(view(State::Down, false)),
                Some(view(State::Up, true)),
            ],
        );
        let node = &merged.nodes["a"];
        assert!(merged.quorum && !node.available);
        assert_eq!(node.cause.as_ref().unwrap().kind, CauseKind::Refused);
        assert_eq!(merged.monitors["m3"], Standing::Suspect);
        assert_eq!(node.votes["m3"], State::Up);
    }

    #[test]
    fn without_a_quorum_nothing_goes_down_and_what_was_down_stays() {
        let suspecting = |state| [Some(view(state, false)), Some(view(state, true)), None];
        let first = merged(&Merged::default(), &suspecting(State::Down));
        assert!(!first.quorum);
        assert_eq!(
            (first.nodes["a"].state, first.nodes["a"].available),
            (State::Unknown, true)
        );
        let down = merged(
            &Merged::default(),
            &[
                Some(view(State::Down, false)),
                Some(view(State::Down, false)),
                None,
            ],
        );
        let after = merged(&down, &suspecting(State::Up));
        assert_eq!(after.nodes["a"].state, State::Down);
    }

    #[test]
    fn without_a_quorum_a_node_that_drains_is_believed_whoever_heard_it() {
        let one = |state, suspect| Some(view(state, suspect));
        let said = merged(
            &Merged::default(),
            &[one(State::Draining, true), one(State::Up, false), None],
        );
        assert_eq!(
            (said.nodes["a"].state, said.nodes["a"].available),
            (State::Draining, false)
        );
        let outvoted = merged(
            &Merged::default(),
            &[
                one(State::Draining, false),
                one(State::Up, false),
                one(State::Up, false),
            ],
        );
        assert_eq!(outvoted.nodes["a"].state, State::Up);
    }

    #[test]
    fn a_view_that_is_not_heard_any_more_does_not_count() {
        let (down, up) = (view(State::Down, false), view(State::Up, false));
        let ballot = |monitor, view, heard| Ballot {
            monitor,
            view: Some(view),
            heard,
        };
        let ballots = [
            ballot("m1", &down, NOW - FRESH),
            ballot("m2", &up, NOW),
            ballot("m3", &up, NOW),
        ];
        let merged = merge(&Merged::default(), &ballots, &snapshot(Status::Reported), NOW);
        assert_eq!(merged.monitors["m1"], Standing::Silent);
        assert_eq!(merged.nodes["a"].state, State::Up);
    }

    #[test]
    fn the_snapshot_has_the_last_word() {
        let down = view(State::Down, false);
        let up = view(State::Up, false);
        for (status, view, available) in [
            (Status::Online, &down, true),
            (Status::Reported, &down, false),
            (Status::Reported, &up, true),
            (Status::AdminDown, &up, false),
        ] {
            let ballots = [Ballot {
                monitor: "m1",
                view: Some(view),
                heard: NOW,
            }];
            let merged = merge(&Merged::default(), &ballots, &snapshot(status), NOW);
            assert_eq!(merged.nodes["a"].available, available, "{status:?}");
        }
        let ballots = [Ballot {
            monitor: "m1",
            view: Some(&up),
            heard: NOW,
        }];
        let offline = merge(&Merged::default(), &ballots, &snapshot(Status::Offline), NOW);
        assert!(offline.nodes.is_empty());
    }

    #[test]
    fn the_moment_of_a_state_is_that_of_the_first_merge_that_said_so() {
        let first = merged(&Merged::default(), &[Some(view(State::Down, false))]);
        let mut later = view(State::Down, false);
        later.nodes.get_mut("a").unwrap().since = Moment(900_000);
        assert_eq!(
            merged(&first, &[Some(later)]).nodes["a"].since,
            first.nodes["a"].since
        );
    }

    fn any_state() -> impl Strategy<Value = State> {
        proptest::sample::select(vec![
            State::Unknown,
            State::Up,
            State::Degraded,
            State::Draining,
            State::Down,
        ])
    }

    proptest! {
        #[test]
        fn one_liar_of_three_changes_nothing(honest in proptest::sample::select(vec![State::Up, State::Degraded, State::Down]), lie in any_state()) {
            let truth = merged(&Merged::default(), &vec![Some(view(honest, false)); 3]);
            let lied = merged(
                &Merged::default(),
                &[Some(view(honest, false)), Some(view(lie, false)), Some(view(honest, false))],
            );
            prop_assert_eq!(truth.nodes["a"].state, lied.nodes["a"].state);
            prop_assert_eq!(truth.nodes["a"].available, lied.nodes["a"].available);
            prop_assert_eq!(truth.nodes["a"].weight, lied.nodes["a"].weight);
        }
    }
}
