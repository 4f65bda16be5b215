//! The monitor's stream: bulletins as server-sent events, each with its number, and the last of them to resume from.
//!
//! ```text
//! id: 1732902000000-7
//! event: diff
//! data: {"sequence":7,"nodes":{…}}
//! ```
//!
//! The id is the epoch and the sequence of the view. A follower that says where it was (`Last-Event-ID`, or `from`) gets
//! what it missed; one that missed too much, or follows another epoch, gets the whole view.

use std::collections::VecDeque;

use bytes::Bytes;
use model::health::{Bulletin, View};
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// Differences kept to resume from: at twenty a second, a follower may have been away for fifty seconds.
const KEPT: usize = 1024;

/// Bulletins that wait for a slow follower; beyond that it gets the whole view.
const WAITING: usize = 256;

/// An event as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The sequence after it.
    pub(crate) sequence: u64,
    /// It changes nothing.
    pub(crate) heartbeat: bool,
    pub(crate) text: Bytes,
}

/// The stream, to be followed by many.
pub(crate) struct Feed {
    state: Mutex<State>,
    sender: broadcast::Sender<Sent>,
}

struct State {
    view: View,
    diffs: VecDeque<Sent>,
}

/// Where a follower was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

impl Place {
    /// Reads `epoch-sequence`.
    pub(crate) fn parse(text: &str) -> Option<Place> {
        let (epoch, sequence) = text.split_once('-')?;
        Some(Place {
            epoch: epoch.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl Feed {
    pub(crate) fn new(view: View) -> Feed {
        let (sender, _) = broadcast::channel(WAITING);
        Feed {
            state: Mutex::new(State {
                view,
                diffs: VecDeque::new(),
            }),
            sender,
        }
    }

    /// Sends a bulletin to all who follow. `view` is what it leads to.
    pub(crate) fn send(&self, view: &View, bulletin: &Bulletin) {
        let sent = encode(view, bulletin);
        let mut state = self.state.lock();
        if let Bulletin::Diff(_) = bulletin {
            state.view.clone_from(view);
            if state.diffs.len() == KEPT {
                state.diffs.pop_front();
            }
            state.diffs.push_back(sent.clone());
        }
        // Fails when nobody follows. Inside the lock: who comes now gets either the state before and this, or neither.
        let _ = self.sender.send(sent);
    }

    /// What a new follower gets at once, and what it waits at for the rest.
    pub(crate) fn follow(&self, from: Option<Place>) -> (Vec<Sent>, broadcast::Receiver<Sent>) {
        let state = self.state.lock();
        let receiver = self.sender.subscribe();
        let missed = from
            .filter(|place| place.epoch == state.view.epoch && place.sequence <= state.view.sequence)
            .and_then(|place| state.since(place.sequence));
        let first = missed.unwrap_or_else(|| vec![state.whole()]);
        (first, receiver)
    }

    /// The whole view, for a follower that was too slow.
    pub(crate) fn whole(&self) -> Sent {
        self.state.lock().whole()
    }
}

impl State {
    /// The differences after `sequence`, if all of them are kept.
    fn since(&self, sequence: u64) -> Option<Vec<Sent>> {
        if sequence == self.view.sequence {
            return Some(Vec::new());
        }
        let oldest = self.diffs.front()?.sequence;
        (oldest <= sequence + 1).then(|| {
            let missed = self.diffs.iter().filter(|sent| sent.sequence > sequence);
            missed.cloned().collect()
        })
    }

    fn whole(&self) -> Sent {
        encode(&self.view, &Bulletin::Snapshot(self.view.clone()))
    }
}

fn encode(view: &View, bulletin: &Bulletin) -> Sent {
    let (event, sequence, data) = match bulletin {
        Bulletin::Snapshot(view) => ("snapshot", view.sequence, serde_json::to_string(view)),
        Bulletin::Diff(diff) => ("diff", diff.sequence, serde_json::to_string(diff)),
        Bulletin::Heartbeat(sequence) => ("hb", *sequence, Ok(format!("{{\"sequence\":{sequence}}}"))),
    };
    // Serialising these types cannot fail: their keys are text and their numbers finite.
    let data = data.unwrap_or_default();
    let text = format!("id: {}-{sequence}\nevent: {event}\ndata: {data}\n\n", view.epoch);
    let heartbeat = matches!(bulletin, Bulletin::Heartbeat(_));
    Sent {
        sequence,
        heartbeat,
        text: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn advance(feed: &Feed, view: &mut View, suspect: &str) {
        let diff = view
            .update(Some(suspect.to_owned()), BTreeMap::new(), Vec::new())
            .unwrap();
        feed.send(view, &Bulletin::Diff(diff));
    }

    fn texts(sent: &[Sent]) -> Vec<String> {
        sent.iter()
            .map(|sent| String::from_utf8_lossy(&sent.text).into_owned())
            .collect()
    }

    #[tokio::test]
    async fn a_follower_gets_the_view_and_then_each_difference() {
        let mut view = View {
            monitor: "m1".into(),
            epoch: 5,
            ..View::default()
        };
        let feed = Feed::new(view.clone());
        let (first, mut rest) = feed.follow(None);
        assert!(texts(&first)[0].starts_with("id: 5-0\nevent: snapshot\ndata: {\"monitor\":\"m1\""));
        advance(&feed, &mut view, "a");
        feed.send(&view, &Bulletin::Heartbeat(1));
        let [diff, heartbeat] = [rest.recv().await.unwrap(), rest.recv().await.unwrap()];
        assert_eq!(
            texts(&[diff, heartbeat]),
            [
                "id: 5-1\nevent: diff\ndata: {\"sequence\":1,\"suspect\":\"a\",\"nodes\":{}}\n\n",
                "id: 5-1\nevent: hb\ndata: {\"sequence\":1}\n\n"
            ]
        );
    }

    #[test]
    fn one_that_comes_back_gets_what_it_missed_or_everything() {
        let mut view = View {
            epoch: 5,
            ..View::default()
        };
        let feed = Feed::new(view.clone());
        for number in 0..KEPT + 10 {
            advance(&feed, &mut view, &number.to_string());
        }
        let from = |text: &str| texts(&feed.follow(Place::parse(text)).0);
        let newest = view.sequence;
        assert!(from(&format!("5-{newest}")).is_empty());
        assert_eq!(from(&format!("5-{}", newest - 2)).len(), 2);
        assert_eq!(from("5-10").len(), KEPT);
        for gone in ["5-9", "4-1033", "5-9999", "nonsense"] {
            assert!(from(gone)[0].contains("event: snapshot"), "{gone}");
        }
    }
}
