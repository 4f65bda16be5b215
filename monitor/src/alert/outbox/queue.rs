//! The outbox of one sink as a value: what waits, in which order it may go, what is left out. It touches no disk.
//!
//! Invariants:
//! - Entries of one key leave in the order in which they came; entries of different keys do not wait for each other.
//! - A trigger that was never attempted is the last entry of its key: its resolve would have taken it out.
//! - `said` holds the keys whose last word here, sent or not, is a trigger that was not given up.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use model::Moment;

use super::entry::{Action, Entry};
use super::outcome::{Left, Outcome};
use super::store::{Changes, Saved};
use crate::alert::fold::Alert;
use crate::alert::key::Key;
use crate::alert::wrong::Severity;

/// Half a day of storm, twenty triggers a minute with no receiver; some 10 MB in memory and as much on disk.
pub(super) const MOST_ENTRIES: usize = 10_000;
/// What nobody took within a day is news no more.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// No receiver puts an entry off for longer; a `next_try` further away was set by a clock that was set back since.
const LONGEST_PUT_OFF: Duration = Duration::from_secs(60 * 60 + 60);

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    Send(Box<Entry>),
    /// Nothing is due before this.
    Wait(Moment),
    Nothing,
}

#[derive(Debug)]
pub(super) struct Queue {
    entries: BTreeMap<u64, Entry>,
    said: BTreeMap<Key, Alert>,
    next_sequence: u64,
    most_entries: usize,
    /// What was there before it was touched, since the last commit; the newest last.
    before: Vec<Before>,
}

#[derive(Debug)]
enum Before {
    Entry(u64, Option<Entry>),
    Said(Key, Option<Alert>),
}

impl Queue {
    pub(super) fn new(saved: Saved, most_entries: usize) -> Queue {
        let entries: BTreeMap<u64, Entry> = saved
            .entries
            .into_iter()
            .map(|entry| (entry.sequence, entry))
            .collect();
        let after_last = entries.keys().next_back().map_or(0, |last| last + 1);
        Queue {
            next_sequence: saved.next_sequence.max(after_last),
            entries,
            said: saved
                .said
                .into_iter()
                .map(|alert| (alert.key.clone(), alert))
                .collect(),
            most_entries,
            before: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn said(&self) -> impl Iterator<Item = &Alert> {
        self.said.values()
    }

    /// What the receiver has been told and not been told the end of: what may be repeated to it.
    pub(super) fn told(&self) -> Vec<Alert> {
        let waiting: HashSet<&Key> = self.entries.values().map(Entry::key).collect();
        let told = self.said.values().filter(|alert| !waiting.contains(&alert.key));
        told.cloned().collect()
    }

    pub(super) fn trigger(&mut self, alert: &Alert, now: Moment) -> Vec<Left> {
        if self.said.contains_key(&alert.key) {
            return Vec::new();
        }
        self.say(alert.key.clone(), Some(alert.clone()));
        self.push(Action::Trigger, alert.clone(), now, 0)
    }

    /// Tells once more what was told. What still waits needs no repetition.
    pub(super) fn repeat(&mut self, key: &Key, now: Moment) -> Vec<Left> {
        let Some(said) = self.said.get(key).cloned() else {
            return Vec::new();
        };
        if self.last_of(key).is_some() {
            return Vec::new();
        }
        // One that has arrived counts as attempted: what ends it must arrive as well.
        self.push(Action::Trigger, said, now, 1)
    }

    /// `ours`: this monitor triggered it, and where nothing is known of that here, there is nothing to resolve.
    pub(super) fn resolve(&mut self, alert: &Alert, ours: bool, now: Moment) -> Vec<Left> {
        let said = self.said.get(&alert.key).cloned();
        if said.is_none() && ours {
            return Vec::new();
        }
        self.say(alert.key.clone(), None);
        match self.last_of(&alert.key) {
            Some(last) if last.action == Action::Resolve => Vec::new(),
            Some(last) if last.attempts == 0 => {
                let sequence = last.sequence;
                self.leave(sequence, Outcome::Collapsed).into_iter().collect()
            }
            _ => self.push(Action::Resolve, said.unwrap_or_else(|| alert.clone()), now, 0),
        }
    }

    pub(super) fn next(&self, now: Moment) -> Next {
        let mut met = HashSet::new();
        let mut earliest: Option<Moment> = None;
        for entry in self.entries.values() {
            // Only the first entry of a key may go.
            if !met.insert(entry.key()) {
                continue;
            }
            if entry.next_try <= now || !entry.was_put_off() || entry.next_try.since(now) > LONGEST_PUT_OFF {
                return Next::Send(Box::new(entry.clone()));
            }
            earliest = Some(earliest.map_or(entry.next_try, |at| at.min(entry.next_try)));
        }
        earliest.map_or(Next::Nothing, Next::Wait)
    }

    /// What has waited for a day. The trigger of an alert that still fires stays: it is late, but it is true. So does what
    /// was never tried, however old a clock that was set forward makes it.
    pub(super) fn expire(&mut self, now: Moment) -> Vec<Left> {
        let mut later = HashSet::new();
        let mut expired = Vec::new();
        for entry in self.entries.values().rev() {
            let is_last = later.insert(entry.key());
            let still_fires = is_last && entry.action == Action::Trigger;
            if now.since(entry.queued_at) > GIVE_UP_AFTER && !still_fires && entry.was_tried() {
                expired.push(entry.sequence);
            }
        }
        expired
            .into_iter()
            .rev()
            .filter_map(|sequence| self.leave(sequence, Outcome::GaveUp))
            .collect()
    }

    /// Notes that sending begins; false when the entry has left in the meantime.
    pub(super) fn begin(&mut self, sequence: u64) -> bool {
        let Some(mut entry) = self.entries.get(&sequence).cloned() else {
            return false;
        };
        entry.attempts = entry.attempts.saturating_add(1);
        self.put(sequence, Some(entry));
        true
    }

    pub(super) fn delivered(&mut self, sequence: u64) {
        self.put(sequence, None);
    }

    pub(super) fn put_off(&mut self, sequence: u64, until: Moment) {
        if let Some(mut entry) = self.entries.get(&sequence).cloned() {
            entry.next_try = until;
            self.put(sequence, Some(entry));
        }
    }

    /// A trigger that is refused takes the resolve along that would follow it: the receiver knows of nothing to end. Not
    /// so one that was sent before: it may have arrived then, and what ends it must be told.
    pub(super) fn refused(&mut self, sequence: u64) -> Vec<Left> {
        let Some(refused) = self.leave(sequence, Outcome::Refused) else {
            return Vec::new();
        };
        let key = refused.entry.key().clone();
        let is_unknown = refused.entry.action == Action::Trigger && refused.entry.attempts <= 1;
        let mut left = vec![refused];
        if is_unknown {
            let mut rest = self.entries.values().filter(|entry| *entry.key() == key);
            match rest.next().map(|entry| (entry.sequence, entry.action)) {
                Some((sequence, Action::Resolve)) => left.extend(self.leave(sequence, Outcome::Refused)),
                Some(_) => {}
                None => self.say(key, None),
            }
        }
        left
    }

    /// What was touched since the last commit, as it is now.
    pub(super) fn changes(&self) -> Changes {
        let mut changes = Changes {
            next_sequence: self.next_sequence,
            ..Changes::default()
        };
        for before in &self.before {
            match before {
                Before::Entry(sequence, _) => {
                    let entry = self.entries.get(sequence).cloned();
                    changes.entries.insert(*sequence, entry);
                }
                Before::Said(key, _) => {
                    changes.said.insert(key.clone(), self.said.get(key).cloned());
                }
            }
        }
        changes
    }

    pub(super) fn commit(&mut self) {
        self.before.clear();
    }

    /// As it was at the last commit, but for sequence numbers that are not used again.
    pub(super) fn roll_back(&mut self) {
        while let Some(before) = self.before.pop() {
            match before {
                Before::Entry(sequence, Some(entry)) => self.entries.insert(sequence, entry).map(drop),
                Before::Entry(sequence, None) => self.entries.remove(&sequence).map(drop),
                Before::Said(key, Some(alert)) => self.said.insert(key, alert).map(drop),
                Before::Said(key, None) => self.said.remove(&key).map(drop),
            };
        }
    }

    fn last_of(&self, key: &Key) -> Option<&Entry> {
        self.entries.values().rev().find(|entry| entry.key() == key)
    }

    fn push(&mut self, action: Action, alert: Alert, now: Moment, attempts: u32) -> Vec<Left> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let entry = Entry {
            sequence,
            action,
            alert,
            queued_at: now,
            attempts,
            next_try: now,
        };
        self.put(sequence, Some(entry));
        let mut left = Vec::new();
        while self.entries.len() > self.most_entries {
            left.extend(self.make_room());
        }
        left
    }

    /// Drops the oldest that nobody is called out of bed for, or else the oldest.
    fn make_room(&mut self) -> Option<Left> {
        let mild = |entry: &&Entry| entry.alert.severity <= Severity::Warning;
        let victim = self
            .entries
            .values()
            .find(mild)
            .or_else(|| self.entries.values().next())?;
        let (sequence, key) = (victim.sequence, victim.key().clone());
        let never_began = victim.action == Action::Trigger && victim.attempts == 0;
        if never_began {
            self.say(key, None);
        }
        self.leave(sequence, Outcome::Dropped)
    }

    fn leave(&mut self, sequence: u64, outcome: Outcome) -> Option<Left> {
        let entry = self.put(sequence, None)?;
        Some(Left { outcome, entry })
    }

    fn put(&mut self, sequence: u64, entry: Option<Entry>) -> Option<Entry> {
        let before = match entry {
            Some(entry) => self.entries.insert(sequence, entry),
            None => self.entries.remove(&sequence),
        };
        self.before.push(Before::Entry(sequence, before.clone()));
        before
    }

    fn say(&mut self, key: Key, alert: Option<Alert>) {
        let before = match alert {
            Some(alert) => self.said.insert(key.clone(), alert),
            None => self.said.remove(&key),
        };
        self.before.push(Before::Said(key, before));
    }
}
