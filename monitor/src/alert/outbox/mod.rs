//! What is to be told to receivers and has not arrived: in order, on disk before it counts, and bounded.
//!
//! The queues are kept in memory and written through. A change that cannot be written did not happen.

pub(in crate::alert) mod entry;
mod outcome;
mod queue;
pub(in crate::alert) mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use model::Moment;
use parking_lot::Mutex;

use self::entry::Entry;
use self::outcome::Left;
use self::queue::{MOST_ENTRIES, Queue};
use self::store::Store;
use super::fold::Alert;
use super::key::Key;
use super::metrics::AlertMetrics;
use super::pending::Change;
use super::retry::Verdict;

pub(in crate::alert) use self::outcome::Outcome;
pub(in crate::alert) use self::queue::Next;

pub(super) struct Outbox {
    store: Box<dyn Store>,
    queues: Mutex<BTreeMap<&'static str, Queue>>,
    metrics: AlertMetrics,
}

impl Outbox {
    /// With what was not told before a restart. An alert that one sink was told of and another was not, because it is
    /// new or refused it, is told to that one too.
    pub(super) fn open(
        store: Box<dyn Store>,
        sinks: &[&'static str],
        metrics: AlertMetrics,
        now: Moment,
    ) -> Result<Outbox, String> {
        let mut queues = BTreeMap::new();
        for sink in sinks {
            queues.insert(*sink, Queue::new(store.load(sink)?, MOST_ENTRIES));
        }
        let outbox = Outbox {
            store,
            queues: Mutex::new(queues),
            metrics,
        };
        let said = outbox.said();
        outbox.change(|_, queue| said.iter().flat_map(|alert| queue.trigger(alert, now)).collect())?;
        Ok(outbox)
    }

    /// What was triggered, at any sink, and not resolved.
    pub(super) fn said(&self) -> Vec<Alert> {
        let queues = self.queues.lock();
        let mut keys: BTreeSet<&Key> = BTreeSet::new();
        let every = queues.values().flat_map(Queue::said);
        every.filter(|alert| keys.insert(&alert.key)).cloned().collect()
    }

    /// Queues all of it at every sink, or nothing.
    pub(super) fn say(&self, now: Moment, changes: &[Change]) -> Result<(), String> {
        let one = |queue: &mut Queue, change: &Change| match change {
            Change::Begin(alert) => queue.trigger(alert, now),
            Change::Repeat(alert) => queue.repeat(&alert.key, now),
            Change::End { alert, ours } => queue.resolve(alert, *ours, now),
        };
        self.change(|_, queue| changes.iter().flat_map(|change| one(queue, change)).collect())
    }

    /// What to send now, after giving up what is too old.
    pub(super) fn next(&self, sink: &str, now: Moment) -> Result<Next, String> {
        self.change_one(sink, |queue| (queue.expire(now), ()))?;
        let queues = self.queues.lock();
        Ok(queues.get(sink).map_or(Next::Nothing, |queue| queue.next(now)))
    }

    /// Notes on disk that sending begins, so that after a crash nobody believes that it did not. False when the entry
    /// has left in the meantime.
    pub(super) fn begin(&self, sink: &str, entry: &Entry) -> Result<bool, String> {
        let begun = self.change_one(sink, |queue| (Vec::new(), queue.begin(entry.sequence)))?;
        Ok(begun.unwrap_or(false))
    }

    pub(super) fn settle(&self, sink: &str, entry: &Entry, verdict: &Verdict) -> Result<(), String> {
        self.change_one(sink, |queue| match verdict {
            Verdict::Delivered => {
                queue.delivered(entry.sequence);
                (Vec::new(), ())
            }
            Verdict::Refused(_) => (queue.refused(entry.sequence), ()),
            Verdict::Again { at, .. } => {
                queue.put_off(entry.sequence, *at);
                (Vec::new(), ())
            }
        })?;
        match verdict {
            Verdict::Delivered => self.metrics.count(sink, Outcome::Delivered),
            Verdict::Again { .. } => self.metrics.count(sink, Outcome::Retried),
            // Counted with what left.
            Verdict::Refused(_) => {}
        }
        Ok(())
    }

    /// Puts off what could not even be sent.
    pub(super) fn put_off(&self, sink: &str, entry: &Entry, until: Moment) -> Result<(), String> {
        self.change_one(sink, |queue| (Vec::new(), queue.put_off(entry.sequence, until)))?;
        Ok(())
    }

    /// What one receiver was told, and of which no news waits.
    pub(super) fn told(&self, sink: &str) -> Vec<Alert> {
        self.queues.lock().get(sink).map(Queue::told).unwrap_or_default()
    }

    fn change_one<T>(
        &self,
        sink: &str,
        change: impl Fn(&mut Queue) -> (Vec<Left>, T),
    ) -> Result<Option<T>, String> {
        let mut value = None;
        self.change(|name, queue| {
            if name != sink {
                return Vec::new();
            }
            let (left, result) = change(queue);
            value = Some(result);
            left
        })?;
        Ok(value)
    }

    /// Changes every queue in memory and on disk, or none.
    fn change(&self, mut change: impl FnMut(&str, &mut Queue) -> Vec<Left>) -> Result<(), String> {
        let mut queues = self.queues.lock();
        let mut left = Vec::new();
        for (sink, queue) in queues.iter_mut() {
            let of_sink = change(sink, queue);
            left.extend(of_sink.into_iter().map(|left| (*sink, left)));
        }
        let changes: Vec<_> = queues
            .iter()
            .map(|(sink, queue)| (*sink, queue.changes()))
            .filter(|(_, changes)| !changes.is_empty())
            .collect();
        if !changes.is_empty()
            && let Err(error) = self.store.save(&changes)
        {
            queues.values_mut().for_each(Queue::roll_back);
            return Err(error);
        }
        for (sink, queue) in queues.iter_mut() {
            queue.commit();
            self.metrics.set_queue_length(sink, queue.len());
        }
        drop(queues);
        for (sink, left) in &left {
            self.report(sink, left);
        }
        Ok(())
    }

    fn report(&self, sink: &str, left: &Left) {
        self.metrics.count(sink, left.outcome);
        let (key, action) = (left.entry.key().as_str(), left.entry.action.name());
        match left.outcome {
            Outcome::Dropped => {
                tracing::error!(
                    sink,
                    key,
                    action,
                    "the outbox of alerts is full, this one is lost: mend the receiver"
                );
            }
            Outcome::GaveUp => {
                tracing::error!(
                    sink,
                    key,
                    action,
                    "nobody took this alert for a day, it is given up"
                );
            }
            Outcome::Collapsed => {
                tracing::info!(sink, key, "an alert ended before it was told");
            }
            // The courier says what the receiver said.
            Outcome::Refused | Outcome::Delivered | Outcome::Retried => {}
        }
    }
}
