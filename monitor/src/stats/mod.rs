//! What the nodes did: texts become samples, samples become roll-ups of a minute, roll-ups are kept for a day.
//!
//! ```text
//!  /metrics ──text──→ lines ──reading──→ Sample ──series──→ Rollup ──store──→ disk ──→ history, summary
//!                                           └─────vitals──→ Vitals: what the judge asks
//! ```
//!
//! Nothing of a minute that is open survives a restart of the monitor: up to 70 s are a gap, and what nodes counted
//! in it is in no roll-up.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::Moment;
use parking_lot::Mutex;
use prometheus::Registry;
use redb::Database;

use self::metrics::Metrics;
pub(crate) use self::reading::Unreadable;
pub(crate) use self::rollup::Rollup;
pub(crate) use self::sample::Sample;
pub(crate) use self::series::Outcome;
use self::series::Series;
use self::store::{Found, Store};
pub(crate) use self::summary::Summary;
use self::vitals::Recent;
pub(crate) use self::vitals::Vitals;

pub(crate) mod counters;
pub(crate) mod gauges;
mod layout;
mod metrics;
mod reading;
pub(crate) mod rollup;
pub(crate) mod sample;
mod series;
mod store;
pub(crate) mod summary;
mod text;
mod totals;
pub(crate) mod vitals;

#[cfg(test)]
mod tests;

/// Nodes that are remembered: four times the largest CDN this is built for, at 15 KB each.
const MOST_NODES: usize = 4096;

/// Roll-ups that wait while the disk refuses them: ten minutes of 1000 nodes, some 10 MB.
const MOST_UNWRITTEN: usize = 10_000;

/// How often old roll-ups are looked for while no new ones are written.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// The statistics of all nodes. May be used from several threads.
#[derive(Debug)]
pub(crate) struct Stats {
    nodes: Mutex<HashMap<Arc<str>, Node>>,
    unwritten: Mutex<Unwritten>,
    store: Store,
    metrics: Metrics,
}

/// What is remembered of one node.
#[derive(Debug, Default)]
struct Node {
    series: Series,
    recent: Recent,
}

/// Roll-ups on their way to disk.
#[derive(Debug, Default)]
struct Unwritten {
    /// Oldest first.
    rollups: VecDeque<(Arc<str>, Rollup)>,
    written_at: Moment,
}

impl Stats {
    /// Statistics that are kept in `database`.
    ///
    /// # Errors
    /// When the table cannot be made, or the registry has one of the names already.
    pub(crate) fn open(database: Arc<Database>, registry: &Registry) -> Result<Stats, String> {
        let metrics = Metrics::register(registry)
            .map_err(|error| format!("cannot register the metrics of the statistics: {error}"))?;
        Ok(Stats {
            nodes: Mutex::default(),
            unwritten: Mutex::default(),
            store: Store::open(database)?,
            metrics,
        })
    }

    /// Reads what a node's `/metrics` said at `at`, and takes it in.
    ///
    /// # Errors
    /// When the text gives no sample; that is counted, and the minute has a gap.
    pub(crate) fn add_text(&self, node: &str, text: &str, at: Moment) -> Result<Outcome, Unreadable> {
        let reading = reading::read(text, at).inspect_err(|_| self.metrics.unreadable.inc())?;
        self.metrics.malformed_lines.inc_by(reading.malformed_lines);
        Ok(self.add(node, reading.sample))
    }

    /// Takes in a sample of a node.
    pub(crate) fn add(&self, node: &str, sample: Sample) -> Outcome {
        let outcome = self.place(node, sample);
        self.metrics.count(outcome);
        outcome
    }

    fn place(&self, node: &str, sample: Sample) -> Outcome {
        let mut nodes = self.nodes.lock();
        if !nodes.contains_key(node) {
            if nodes.len() >= MOST_NODES {
                return Outcome::Crowded;
            }
            nodes.insert(Arc::from(node), Node::default());
        }
        let Some(node) = nodes.get_mut(node) else {
            return Outcome::Crowded;
        };
        let outcome = node.series.add(sample.clone());
        if outcome == Outcome::Accepted {
            node.recent.add(sample);
        }
        outcome
    }

    /// Closes the minutes that ended 10 s ago, and writes them; to be called every second or so, where waiting for a
    /// disk harms nobody.
    ///
    /// # Errors
    /// When they cannot be written. They wait for the next call, up to a bound. After a write that failed redb refuses
    /// all others until the database is opened anew, which is the caller's to do; everything but histories goes on.
    pub(crate) fn tick(&self, now: Moment) -> Result<(), String> {
        let closed = self.close(now);
        let mut unwritten = self.unwritten.lock();
        unwritten.rollups.extend(closed);
        let excess = unwritten.rollups.len().saturating_sub(MOST_UNWRITTEN);
        unwritten.rollups.drain(..excess);
        self.metrics.lost.inc_by(excess as u64);
        let is_time_to_prune = now < unwritten.written_at || now >= unwritten.written_at + PRUNE_INTERVAL;
        if unwritten.rollups.is_empty() && !is_time_to_prune {
            return Ok(());
        }
        let written = self.store.write(unwritten.rollups.make_contiguous(), now)?;
        self.metrics.written.inc_by(written.rollups as u64);
        unwritten.rollups.clear();
        unwritten.written_at = now;
        Ok(())
    }

    fn close(&self, now: Moment) -> Vec<(Arc<str>, Rollup)> {
        let mut closed = Vec::new();
        for (name, node) in self.nodes.lock().iter_mut() {
            let rollups = node.series.close(now);
            closed.extend(rollups.into_iter().map(|rollup| (name.clone(), rollup)));
        }
        closed
    }

    /// Forgets all nodes but these. What is on disk of the others stays for its day.
    pub(crate) fn forget_all_but(&self, nodes: &BTreeSet<&str>) {
        self.nodes.lock().retain(|name, _| nodes.contains(&**name));
    }

    /// How a node does right now; none before its first sample.
    pub(crate) fn latest(&self, node: &str) -> Option<Vitals> {
        self.nodes.lock().get(node)?.recent.vitals()
    }

    /// The closed minutes of a node that begin from `from` on and before `to`, in order, of the day before `to`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn history(&self, node: &str, from: Moment, to: Moment) -> Result<Vec<Rollup>, String> {
        let Found { rollups, unreadable } = self.store.read(node, from, to)?;
        self.metrics.undecodable.inc_by(unreadable);
        Ok(rollups)
    }

    /// The same of several nodes, added up by minute.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(crate) fn summary(&self, nodes: &[&str], from: Moment, to: Moment) -> Result<Vec<Summary>, String> {
        let mut rollups = Vec::new();
        for node in nodes {
            rollups.extend(self.history(node, from, to)?);
        }
        Ok(summary::summarise(rollups))
    }
}
