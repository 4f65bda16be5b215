//! The samples of one node whose minutes are open, and the closing of a minute. Touches nothing, and knows the time
//! only as it is told.
//!
//! ```text
//!   head          open minute             next one
//!  ──×──┊──×─────×─────────×─────×──┊──×──────
//!       ┊←───────── gathered ──────→┊           samples at most 25 s apart: what came between two of them is shared
//!       ┊                           ┊           out in proportion to time, in whole numbers that add up
//!  ──×──┊──────────────×─────×──────┊──×──────
//!       ┊   ungathered ↑            ┊           further apart: all of it belongs to the minute of the later one, but
//!       ┊              ┊←gathered──→┊           to no time in it
//! ```
//!
//! Nothing is counted twice and nothing is left out: over any row of minutes, gathered and ungathered add up to what
//! was counted between the first sample and the last. Except for what a process counted between its last sample and
//! its end, which nobody knows, so that the time around a restart is covered with what the new process counted.

use std::collections::VecDeque;
use std::time::Duration;

use model::Moment;

use super::counters::Counters;
use super::gauges::Gauges;
use super::rollup::{Gathered, Rollup, WINDOW, minute_of};
use super::sample::{INTERVAL, Sample};

/// How long a minute stays open after its end, for samples that are late.
pub(super) const GRACE: Duration = INTERVAL;

/// Samples of one node that wait for their minute to be closed. In 70 s there are eight; more than this is somebody
/// who asks far too often, or minutes that nobody closes.
const MOST_OPEN: usize = 64;

/// A sample this far in the future of the moment at which minutes are closed means that the clock was put back.
const CLOCK_PUT_BACK: Duration = Duration::from_secs(60);

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    /// Its minute is closed, or it is more than an interval older than the newest.
    Late,
    /// There is one of that moment.
    Duplicate,
    /// No room: more samples wait, or more nodes are remembered, than there should be.
    Crowded,
}

/// The samples of one node.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// By time. Only the first may lie before `open_from`.
    samples: VecDeque<Sample>,
    /// Where the oldest open minute begins.
    open_from: Moment,
    /// Whether what lies between the first sample and `open_from` was gathered when the minute there was closed.
    is_head_gathered: bool,
}

impl Series {
    /// Puts a sample in its place.
    pub(super) fn add(&mut self, sample: Sample) -> Outcome {
        let Some(newest) = self.samples.back() else {
            self.open_from = self.open_from.max(minute_of(sample.at));
            return self.insert(0, sample);
        };
        if newest.at.since(sample.at) > INTERVAL {
            return Outcome::Late;
        }
        match self.samples.binary_search_by_key(&sample.at, |known| known.at) {
            Ok(_) => Outcome::Duplicate,
            Err(place) => self.insert(place, sample),
        }
    }

    fn insert(&mut self, place: usize, sample: Sample) -> Outcome {
        // The first pair was shared out as a whole; a sample between its two would change what is written.
        let is_within_gathered = self.is_head_gathered && place <= 1;
        if sample.at < self.open_from || is_within_gathered {
            Outcome::Late
        } else if self.samples.len() >= MOST_OPEN {
            Outcome::Crowded
        } else {
            self.samples.insert(place, sample);
            Outcome::Accepted
        }
    }

    /// Closes the minutes that ended long enough before `now`. Minutes without a sample give nothing.
    pub(super) fn close(&mut self, now: Moment) -> Vec<Rollup> {
        let mut closed = Vec::new();
        if self
            .samples
            .back()
            .is_some_and(|newest| newest.at.since(now) > CLOCK_PUT_BACK)
        {
            *self = Series::default();
        }
        while self.open_from + WINDOW + GRACE <= now {
            let end = self.open_from + WINDOW;
            let oldest_open = minute_of(now - GRACE);
            match self.samples.iter().find(|sample| sample.at >= self.open_from) {
                Some(first) if first.at < end => {
                    closed.push(self.rollup(end));
                    self.settle(end);
                }
                Some(first) => self.open_from = minute_of(first.at).min(oldest_open),
                None => self.open_from = oldest_open,
            }
        }
        closed
    }

    /// The minute from `open_from` to `end`.
    fn rollup(&self, end: Moment) -> Rollup {
        let start = self.open_from;
        let mut gathered = Gathered::default();
        let mut ungathered = Counters::default();
        let pairs = self.samples.iter().zip(self.samples.iter().skip(1));
        for (earlier, later) in pairs.take_while(|(earlier, _)| earlier.at < end) {
            let counted = later.since(earlier);
            if later.reaches(earlier) {
                let length = milliseconds(earlier.at, later.at);
                let until = |moment: Moment| counted.share(milliseconds(earlier.at, moment), length);
                let (before, within) = (until(start), until(end).minus(until(start)));
                gathered = gathered.plus(Gathered {
                    covered_ms: milliseconds(earlier.at.max(start), later.at.min(end)),
                    counters: within,
                });
                if !self.is_head_gathered {
                    // The minute it happened in was closed before this sample came.
                    ungathered = ungathered.plus(before);
                }
            } else if later.at < end {
                ungathered = ungathered.plus(counted);
            }
        }
        let mut gauges = Gauges::default();
        let within = |sample: &&Sample| sample.at >= start && sample.at < end;
        for sample in self.samples.iter().filter(within) {
            gauges.add(sample.gauges);
        }
        Rollup {
            minute: start,
            gathered,
            ungathered,
            gauges,
        }
    }

    /// Lets go of what no minute from `end` on needs.
    fn settle(&mut self, end: Moment) {
        while self.samples.get(1).is_some_and(|second| second.at < end) {
            self.samples.pop_front();
        }
        self.open_from = end;
        self.is_head_gathered = match (self.samples.front(), self.samples.get(1)) {
            (Some(head), Some(second)) => head.at < end && second.reaches(head),
            _ => false,
        };
    }
}

/// From one moment to another; nothing when it is not later.
fn milliseconds(from: Moment, to: Moment) -> u64 {
    to.0.saturating_sub(from.0)
}
