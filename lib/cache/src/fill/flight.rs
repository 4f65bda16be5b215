//! Who fetches, who waits: claims on an absent object, and what waiting for a flight yields.

use super::{Failure, filler::Filler, growing::Growing, memory::Permit, table::Fills};
use crate::{
    head::Head,
    key::Key,
    object::{Object, Source},
    purge::Fate,
    relay::{Bell, Seat},
};
use http::StatusCode;
use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

/// Requests that may wait for one answer. More than any node has connections for a single object in good service, and
/// some 10 MiB of waiting places; beyond it the outcome is a 503.
const MOST_JOINERS: usize = 1 << 16;

/// The answer to [`crate::Cache::claim`].
pub enum Claim {
    /// Fetch it: everyone else waits for what this lead makes of it.
    Lead(Lead),
    /// Somebody fetches it already, or its fate is known.
    Join(Flight),
}

/// The duty to fetch one object. Dropped unfinished, it fails the flight.
pub struct Lead {
    open: Open,
    /// What the caller has seen was purged before the claim: a 304 must not bring it back.
    seen_is_purged: bool,
}

/// A place among those who wait for one fetch.
pub struct Flight {
    shared: Arc<Shared>,
}

/// What became of a fetch, known as soon as its answer's head is.
#[derive(Clone)]
pub enum Outcome {
    /// The object, as a rule still growing. It was fetched for everyone who joined: serve it, whatever its freshness.
    Object(Object),
    /// The answer may not be shared: fetch your own and do not wait for others.
    Uncacheable,
    Failed(Failure),
}

/// What lead and joiners share.
pub(crate) struct Shared {
    pub(super) key: Key,
    /// The latest purge when it was claimed: what it brings was asked for after that.
    sequence: u64,
    outcome: OnceLock<Outcome>,
    bell: Bell,
    joined: AtomicUsize,
}

/// A flight under way. Dropped before there is an outcome, it fails.
pub(super) struct Open {
    pub(super) fills: Arc<Fills>,
    pub(super) shared: Arc<Shared>,
    /// One of the fills that may be open at once.
    _permit: Permit,
}

impl Fills {
    /// Who fetches `key`? Whoever has seen an object that will not do (stale, or in part) names its head.
    pub(crate) fn claim(self: &Arc<Fills>, key: &Key, seen: Option<&Head>) -> Claim {
        let mut shard = self.shard(key).lock();
        let sequence = self.tiers.purges.latest();
        let seen_is_purged = seen.is_some_and(|seen| self.tiers.purges.judge(seen) == Fate::Hard);
        if let Some(shared) = shard.flights.get(key)
            && !shared.has_landed_as(seen)
            && !self.is_overtaken(shared)
        {
            return Claim::Join(self.join(shared));
        }
        // No flight: its fill may have ended since the caller looked. RAM knows, unless all of it was displaced since.
        if let Some(cell) = self.newer_cell(key, seen) {
            let object = Object::of_cell(cell, &self.tiers, Source::Ram);
            return Claim::Join(Flight::known(key, Outcome::Object(object)));
        }
        if self.is_uncacheable(key) {
            return Claim::Join(Flight::known(key, Outcome::Uncacheable));
        }
        let Some(permit) = self.memory.open() else {
            self.tiers.metrics.refused_fills.inc();
            return Claim::Join(Flight::known(
                key,
                Outcome::Failed(busy("too many fetches are under way")),
            ));
        };
        let shared = Arc::new(Shared::new(key, sequence));
        shard.flights.insert(key.clone(), Arc::clone(&shared));
        Claim::Lead(Lead {
            open: Open::new(Arc::clone(self), shared, permit),
            seen_is_purged,
        })
    }

    /// A purge has covered what the flight brings, or may: who asks from now on has no part in it.
    pub(crate) fn is_overtaken(&self, shared: &Shared) -> bool {
        match shared.object() {
            Some(object) => self.tiers.purges.judge(object.head()) != Fate::Keep,
            None => self.tiers.purges.overtake(&shared.key, shared.sequence),
        }
    }

    fn join(&self, shared: &Arc<Shared>) -> Flight {
        let metrics = &self.tiers.metrics;
        if shared.joined.fetch_add(1, Ordering::Relaxed) >= MOST_JOINERS {
            shared.joined.fetch_sub(1, Ordering::Relaxed);
            metrics.refused_joiners.inc();
            let outcome = Outcome::Failed(busy("too many requests wait for this object"));
            return Flight::known(&shared.key, outcome);
        }
        metrics.joins.inc();
        Flight {
            shared: Arc::clone(shared),
        }
    }
}

impl Lead {
    pub(super) fn of(open: Open) -> Lead {
        Lead {
            open,
            seen_is_purged: false,
        }
    }

    pub(super) fn into_open(self) -> Open {
        self.open
    }

    pub(super) fn fills(&self) -> &Arc<Fills> {
        &self.open.fills
    }

    /// The key to fetch.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.open.shared.key
    }

    /// The latest purge that was known when the lead was claimed: whatever is fetched for it is newer. What asks
    /// upstream on behalf of a purge passes it on.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.open.shared.sequence
    }

    /// The answer may be stored: joiners get the growing object from now on. `head` gets its version here.
    #[must_use]
    pub fn start(self, mut head: Head) -> Filler {
        let Lead { open, .. } = self;
        let fills = &open.fills;
        head.key = open.shared.key.clone();
        head.version = fills.next_version(&head);
        head.revision = 0;
        head.set_sequence(open.shared.sequence);
        let growing = Arc::new(Growing::new(
            Arc::new(head),
            Arc::clone(&fills.tiers),
            Arc::clone(&fills.memory),
        ));
        fills.forget_uncacheable(&open.shared.key);
        fills.tiers.metrics.fills_started.inc();
        open.shared.settle(Outcome::Object(Object::of_growing(&growing)));
        Filler::new(open, growing)
    }

    /// Upstream says that `old` is still good (304): `new` is its head from now on, its bytes stay.
    #[must_use]
    pub fn refreshed(self, old: &Arc<Head>, new: Head) -> Object {
        let Lead { open, seen_is_purged } = self;
        if seen_is_purged {
            // Purged while the caller held it. It asked before; those who joined may have asked after.
            let bytes = Object::of_cell(open.fills.unkept(old, new), &open.fills.tiers, Source::Ram);
            open.end(Outcome::Uncacheable);
            return bytes;
        }
        let cell = open.fills.refresh(old, new, open.shared.sequence);
        let object = Object::of_cell(cell, &open.fills.tiers, Source::Ram);
        open.end(Outcome::Object(object.clone()));
        object
    }

    /// The answer may not be stored: joiners are told to fetch their own, and for so long nobody waits for another.
    pub fn uncacheable(self, remember: Duration) {
        let Lead { open, .. } = self;
        open.fills.remember_uncacheable(&open.shared.key, remember);
        open.fills.tiers.metrics.uncacheable_answers.inc();
        open.end(Outcome::Uncacheable);
    }

    /// There is no answer: joiners are told why.
    pub fn failed(self, failure: Failure) {
        let Lead { open, .. } = self;
        open.fills.tiers.metrics.fills_failed.inc();
        open.end(Outcome::Failed(failure));
    }
}

impl Flight {
    /// A flight that is over before it began.
    fn known(key: &Key, outcome: Outcome) -> Flight {
        let shared = Arc::new(Shared {
            joined: AtomicUsize::new(1),
            ..Shared::new(key, 0)
        });
        shared.settle(outcome);
        Flight { shared }
    }

    /// Waits for the head of the answer, or for why there is none. Cancel-safe.
    pub async fn outcome(&self) -> Outcome {
        let mut seat: Option<Seat> = None;
        poll_fn(|context| {
            if self.shared.outcome.get().is_none() {
                self.shared.bell.listen(&mut seat, context.waker());
            }
            match self.shared.outcome.get() {
                Some(outcome) => Poll::Ready(outcome.clone()),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.shared.joined.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(key: &Key, sequence: u64) -> Shared {
        Shared {
            key: key.clone(),
            sequence,
            outcome: OnceLock::new(),
            bell: Bell::default(),
            joined: AtomicUsize::new(0),
        }
    }

    /// The object being filled, once its head is known.
    pub(crate) fn object(&self) -> Option<&Object> {
        match self.outcome.get() {
            Some(Outcome::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// The fill has ended, well or not, and its disk copy may be on its way.
    pub(super) fn has_landed(&self) -> bool {
        self.object().is_some_and(|object| !object.is_growing())
    }

    /// The fill has ended and left just what the caller has `seen`, so waiting for it would yield nothing new.
    fn has_landed_as(&self, seen: Option<&Head>) -> bool {
        match (self.object(), seen) {
            (Some(object), Some(seen)) => !object.is_growing() && object.head().age_rank() <= seen.age_rank(),
            _ => false,
        }
    }

    /// Gives the joiners their outcome; the first one counts.
    fn settle(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            self.bell.ring();
        }
    }
}

impl Open {
    pub(super) fn new(fills: Arc<Fills>, shared: Arc<Shared>, permit: Permit) -> Open {
        Open {
            fills,
            shared,
            _permit: permit,
        }
    }

    /// Takes the flight out of the table and tells the joiners. In this order: whoever is told of an end and claims
    /// again must not meet the flight that has just ended.
    pub(super) fn end(self, outcome: Outcome) {
        self.fills.remove(&self.shared);
        self.shared.settle(outcome);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.shared.outcome.get().is_none() {
            self.fills.remove(&self.shared);
            self.fills.tiers.metrics.fills_failed.inc();
            self.shared.settle(Outcome::Failed(abandoned()));
        }
    }
}

fn busy(why: &str) -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "connection_limit_reached", why)
}

/// What joiners and readers are told when the fetching task ends without a word, as at shutdown.
pub(super) fn abandoned() -> Failure {
    Failure::new(
        StatusCode::BAD_GATEWAY,
        "proxy_internal_error",
        "the fetch was given up half-way",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cache, Limits, Metrics};

    #[test]
    fn beyond_the_bound_joiners_are_refused_and_places_are_given_back() {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let cache = Cache::new(
            Limits {
                ram_bytes: 0,
                fill_bytes: 0,
            },
            None,
            metrics.clone(),
        );
        let key = Key::new("demo", "/a");
        let Claim::Lead(_lead) = cache.claim(&key, None) else {
            panic!("nobody else is here")
        };
        let join = || match cache.claim(&key, None) {
            Claim::Join(flight) => flight,
            Claim::Lead(_) => panic!("a second lead"),
        };
        let status = |flight: &Flight| match flight.shared.outcome.get() {
            Some(Outcome::Failed(failure)) => Some(failure.status),
            _ => None,
        };
        let mut joiners: Vec<Flight> = (0..MOST_JOINERS).map(|_| join()).collect();
        assert_eq!(joiners.last().and_then(status), None, "the last place is a place");
        assert_eq!(status(&join()), Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(metrics.refused_joiners.get(), 1);
        drop(joiners.pop());
        assert_eq!(status(&join()), None);
    }
}
