//! One device of several, as those see it who put and look up.

use super::health::State;
use super::plan::Plan;
use super::watch::Watch;
use crate::disk::{Commit, Device, Disk, DiskMetrics};
use crate::purge::Purges;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Removals that are kept for a device that is away, 16 bytes each. Beyond it the device is wiped when it is back.
const MAX_MISSED: usize = 65_536;
/// A tombstone this old is on stable storage: the log flushes every second.
const SETTLED: Duration = Duration::from_secs(5);

/// One device: what is open of it now, and the state it is in.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) hash: u64,
    pub(super) weight: f64,
    pub(super) metrics: DiskMetrics,
    state: AtomicU8,
    opened: ArcSwapOption<Opened>,
    /// Who knows all purges, once the cache has begun.
    purges: OnceLock<Arc<Purges>>,
    /// Held while a removal is told or noted and while a device comes or goes, so that none falls in between.
    removals: Mutex<Removals>,
}

/// What a device has to hear of removals.
#[derive(Default)]
struct Removals {
    missed: Missed,
    /// The last that an open device was told.
    last: Option<Instant>,
}

/// Removals that a device has not heard of.
pub(super) enum Missed {
    /// These, by the hashes of their keys.
    These(Vec<u128>),
    /// More than can be kept, or some of which nobody knows.
    Unknown,
}

impl Default for Missed {
    fn default() -> Missed {
        Missed::These(Vec::new())
    }
}

impl Missed {
    fn note(&mut self, key_hash: u128) {
        match self {
            Missed::These(known) if known.len() < MAX_MISSED => known.push(key_hash),
            _ => *self = Missed::Unknown,
        }
    }
}

/// A device that is open.
pub(super) struct Opened {
    pub(super) disk: Disk,
    pub(super) device: Arc<dyn Device>,
    pub(super) watch: Arc<Watch>,
    lost: AtomicBool,
    told: Arc<Notify>,
    lost_removals_before: u64,
}

impl Member {
    pub(super) fn absent(plan: &Plan) -> Member {
        Member {
            name: plan.name.clone(),
            hash: model::rendezvous::node_hash(&plan.name),
            weight: plan.weight,
            metrics: plan.metrics.clone(),
            state: AtomicU8::new(State::Offline as u8),
            opened: ArcSwapOption::empty(),
            purges: OnceLock::new(),
            removals: Mutex::default(),
        }
    }

    /// A device that somebody else opened.
    pub(super) fn of(disk: Disk) -> Member {
        let opened = Opened::new(disk.clone(), disk.device(), Watch::new(Duration::MAX));
        Member {
            name: "disk".to_owned(),
            hash: 0,
            weight: 1.0,
            metrics: disk.metrics().clone(),
            state: AtomicU8::new(State::Healthy as u8),
            opened: ArcSwapOption::from_pointee(opened),
            purges: OnceLock::new(),
            removals: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// What can be read of it.
    pub(super) fn opened(&self) -> Option<Arc<Opened>> {
        self.opened.load_full()
    }

    /// What can be written to it. A log that has just failed counts as read-only before its state says so.
    pub(super) fn writable(&self) -> Option<Arc<Opened>> {
        let opened = self.state().is_written().then(|| self.opened()).flatten()?;
        (!opened.disk.is_read_only()).then_some(opened)
    }

    pub(super) fn has_part(&self, key_hash: u128, version: u64, part: u32) -> bool {
        let opened = self.opened.load();
        let disk = opened.as_ref().map(|opened| &opened.disk);
        disk.is_some_and(|disk| disk.has_part(key_hash, version, part))
    }

    pub(super) fn remove(&self, key_hash: u128) {
        let mut removals = self.removals.lock();
        if let Some(opened) = self.writable() {
            removals.last = Some(Instant::now());
            opened.disk.remove(key_hash);
            return;
        }
        if let Some(opened) = self.opened() {
            opened.disk.forget(key_hash);
        }
        removals.missed.note(key_hash);
    }

    /// Lets it be found, and tells it what it has missed. False when that is not known any more: it has to be wiped first.
    pub(super) fn install(&self, opened: Opened) -> bool {
        let mut removals = self.removals.lock();
        let missed = match std::mem::take(&mut removals.missed) {
            Missed::These(missed) => missed,
            Missed::Unknown => {
                removals.missed = Missed::Unknown;
                return false;
            }
        };
        for key_hash in missed {
            opened.disk.remove(key_hash);
            removals.last = Some(Instant::now());
        }
        // Before anything of it is found: its heads are judged by all that was purged while it was away.
        if let Some(purges) = self.purges.get() {
            opened.disk.join(purges);
        }
        self.opened.store(Some(Arc::new(opened)));
        self.set_state(State::Healthy);
        true
    }

    /// Shares what its journal knows, now or when it is installed.
    pub(super) fn join(&self, purges: &Arc<Purges>) {
        // So that it is not installed in between.
        let _removals = self.removals.lock();
        let purges = self.purges.get_or_init(|| Arc::clone(purges));
        if let Some(opened) = self.opened() {
            opened.disk.join(purges);
        }
    }

    /// Whether it would have to be wiped before it is installed.
    pub(super) fn has_missed_too_much(&self) -> bool {
        matches!(self.removals.lock().missed, Missed::Unknown)
    }

    /// It is empty: there is nothing left that a removal could concern.
    pub(super) fn is_wiped(&self) {
        self.removals.lock().missed = Missed::default();
    }

    /// Nothing of it is found any more and nobody waits for it. What was open is the caller's to see off.
    pub(super) fn withdraw(&self) -> Option<Arc<Opened>> {
        let mut removals = self.removals.lock();
        let opened = self.opened.swap(None)?;
        let recent = removals.last.is_some_and(|last| last.elapsed() < SETTLED);
        if recent || opened.has_unwritten_removals() {
            removals.missed = Missed::Unknown;
        }
        opened.lose();
        Some(opened)
    }
}

impl Opened {
    pub(super) fn new(disk: Disk, device: Arc<dyn Device>, watch: Arc<Watch>) -> Opened {
        Opened {
            lost_removals_before: disk.metrics().removals_lost.get(),
            disk,
            device,
            watch,
            lost: AtomicBool::new(false),
            told: Arc::default(),
        }
    }

    /// Awaits what a disk does, as long as its device is not lost.
    pub(super) async fn unless_lost<T>(
        &self,
        reading: impl Future<Output = io::Result<Option<T>>>,
    ) -> io::Result<Option<T>> {
        let (mut reading, mut lost) = (pin!(reading), pin!(self.told.notified()));
        // Registered before the look at the flag, so that no loss falls in between.
        lost.as_mut().enable();
        if self.lost.load(Ordering::Acquire) {
            return Ok(None);
        }
        poll_fn(|context| match reading.as_mut().poll(context) {
            Poll::Pending => lost.as_mut().poll(context).map(|()| Ok(None)),
            ready => ready,
        })
        .await
    }

    /// A commit that ends as dropped when the device is lost.
    pub(super) fn commit(&self, commit: Commit) -> Commit {
        let lost: OwnedNotified = Arc::clone(&self.told).notified_owned();
        if self.lost.load(Ordering::Acquire) {
            return Commit::refused();
        }
        commit.or_dropped_after(lost)
    }

    /// Seals and lets go, in the background; resolves when that is done, or the device is lost.
    pub(super) fn close(&self) -> Commit {
        self.commit(self.disk.start_closing())
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.told.notify_waiters();
        self.disk.retire();
    }

    fn has_unwritten_removals(&self) -> bool {
        self.disk.has_pending_removals()
            || self.disk.metrics().removals_lost.get() != self.lost_removals_before
    }
}
