//! Several devices as one: which of them gets an object, what becomes of it when one fails, and how that one comes back.
//!
//! ```text
//!  put_head, put_part ──→ choice (weighted rendezvous over devices that are written) ──→ one Disk
//!  head, read, has_part ─→ whichever Disk has it
//!  remove ───────────────→ every Disk; what a device misses is told to it when it is back
//!  record (a purge) ─────→ every Disk that is written; who comes back is told all that is known
//!
//!  watch.rs   counts and times what a device does ──→ health.rs decides its state ──→ steward.rs acts: one thread
//!                                                     (pure)                           a device, opens and probes
//! ```
//!
//! Invariants, each held by a test:
//! - No state of any device is an error for who reads or fills: a device that is lost costs the hits it would have given.
//! - Of `n` equal devices, losing one moves the share of that one, and gaining one moves the share of the new one.
//! - Where several devices hold a head of one key (it was filled anew while one was away), the newest version is served.
//! - Nobody waits for a device that was put offline: reads end as misses, commits as dropped.
//! - A device comes back with what it held only if it is the same one and has been told every removal it missed;
//!   otherwise it is wiped.

mod health;
mod member;
mod metrics;
mod plan;
mod purging;
mod steward;
#[cfg(test)]
mod tests;
mod watch;

pub use health::{Cause, Health, Operation, Probed, Seen, State, Tolerance, Transition};
pub use metrics::HealthMetrics;
pub use plan::{Attempt, Opener, Plan};

use crate::disk::{Commit, Disk, Found, Hints, Hold};
use crate::key::Key;
use bytes::Bytes;
use member::{Member, Opened};
use model::rendezvous;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use steward::{Bell, Steward};

/// Devices that a cache may have: each costs a thread or two, and every look-up of what is nowhere asks them all.
pub const MAX_DEVICES: usize = 64;

/// The disk tier of a cache; clones share it. When the last is dropped without [`Disks::close`], every device is still
/// sealed and let go of, in the background.
#[derive(Clone)]
pub struct Disks {
    shared: Arc<Shared>,
}

struct Shared {
    members: Box<[Arc<Member>]>,
    bell: Arc<Bell>,
}

impl Disks {
    /// Opens every device, all at once. One that is missing or fails is offline and probed from then on; the cache
    /// starts without it.
    ///
    /// Fails when a device can never work as it was configured: in use by another process, too small, not ours to open,
    /// an option out of range.
    pub fn open(plans: Vec<Plan>, tolerance: Tolerance, metrics: HealthMetrics) -> io::Result<Disks> {
        if plans.len() > MAX_DEVICES {
            let message = format!("{} cache devices: use at most {MAX_DEVICES}", plans.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let bell = Arc::new(Bell::default());
        let (mut members, mut starting) = (Vec::new(), Vec::new());
        for plan in plans {
            let member = Arc::new(Member::absent(&plan));
            members.push(Arc::clone(&member));
            let steward = Steward::new(
                plan,
                member,
                tolerance.clone(),
                metrics.clone(),
                Arc::clone(&bell),
            );
            starting.push(steward.start()?);
        }
        // Made before the waiting: should one refuse, dropping it ends the others.
        let disks = Disks {
            shared: Arc::new(Shared {
                members: members.into(),
                bell,
            }),
        };
        for start in starting {
            start.wait()?;
        }
        Ok(disks)
    }

    /// The newest head of a key: its version and its bytes as they were put. `None` is a miss.
    ///
    /// Fails when a device refuses to read it and no other has it; asking again is a miss.
    pub async fn head(&self, key: &Key) -> io::Result<Option<(u64, Bytes)>> {
        let found = self.find(key).await?;
        Ok(found.map(|found| (found.version, found.encoded)))
    }

    /// As [`Disks::head`], with the beginning of the object where that lies right behind the head.
    ///
    /// Fails when a device refuses to read it and no other has it; asking again is a miss.
    pub async fn find(&self, key: &Key) -> io::Result<Option<Found>> {
        let mut newest = Ok(None);
        let mut asked = false;
        for opened in self.opened() {
            if !opened.disk.has_head(key.hash()) {
                continue;
            }
            asked = true;
            newest = newer(newest, opened.unless_lost(opened.disk.find(key)).await);
        }
        if asked {
            return newest;
        }
        match self.favourite(key.hash(), Member::opened) {
            // It has none; its counters have to say so.
            Some(opened) => opened.unless_lost(opened.disk.find(key)).await,
            None => Ok(None),
        }
    }

    /// Whether a part can probably be read: no I/O, no waiting. A read may still find it gone.
    pub fn has_part(&self, key_hash: u128, version: u64, part: u32) -> bool {
        let has = |member: &Arc<Member>| member.has_part(key_hash, version, part);
        self.shared.members.iter().any(has)
    }

    /// A part was read elsewhere, and its head: it is as hot as if it had been read here.
    pub fn warm(&self, key_hash: u128, version: u64, part: u32) {
        for opened in self.opened() {
            opened.disk.warm(key_hash, version, part);
        }
    }

    /// Says that an object is being read from the device that has this part of it (see [`crate::disk::Hold`]).
    pub(crate) fn hold(&self, key_hash: u128, version: u64, part: u32) -> Option<Hold> {
        let opened = self.opened();
        let mut having = opened.filter(|opened| opened.disk.has_part(key_hash, version, part));
        having.next()?.disk.hold(key_hash, version)
    }

    /// Bytes `range` of a part, checked. `None` is a miss.
    ///
    /// Fails when a device refuses to read it and no other has it; asking again is a miss.
    pub async fn read(
        &self,
        key_hash: u128,
        version: u64,
        part: u32,
        range: Range<u32>,
    ) -> io::Result<Option<Bytes>> {
        let mut miss = None;
        for opened in self.opened() {
            if !opened.disk.has_part(key_hash, version, part) {
                continue;
            }
            let reading = opened.disk.read(key_hash, version, part, range.clone());
            match opened.unless_lost(reading).await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                other => miss = Some(other),
            }
        }
        match (miss, self.favourite(key_hash, Member::opened)) {
            (Some(miss), _) => miss,
            // It has none; its counters have to say so.
            (None, Some(opened)) => {
                let reading = opened.disk.read(key_hash, version, part, range);
                opened.unless_lost(reading).await
            }
            (None, None) => Ok(None),
        }
    }

    /// Puts an object's head, which takes the place of any other of this key. Put it again with the same version to
    /// change what is known of an object whose bytes stay.
    pub fn put_head(&self, key: &Key, version: u64, encoded: Bytes, hints: Hints) -> Commit {
        self.put(key.hash(), |disk| disk.put_head_as(key, version, encoded, hints))
    }

    /// Puts one part. `pieces` are its bytes in order; they are copied when they are written, not before.
    pub fn put_part(
        &self,
        key_hash: u128,
        version: u64,
        part: u32,
        pieces: Vec<Bytes>,
        hints: Hints,
    ) -> Commit {
        self.put(key_hash, |disk| {
            disk.put_part_as(key_hash, version, part, pieces, hints)
        })
    }

    /// Forgets the head of a key, now and after a restart; what is put later is found again. Devices that are away hear
    /// of it when they are back.
    pub fn remove(&self, key_hash: u128) {
        self.shared
            .members
            .iter()
            .for_each(|member| member.remove(key_hash));
    }

    /// Writes what waits, seals, flushes and lets go of every device. Reading goes on; nothing is written any more, and
    /// no device that is away comes back. Only the first call waits.
    pub async fn close(&self) {
        self.shared.bell.forbid_opening();
        let closing: Vec<Commit> = self.opened().map(|opened| opened.close()).collect();
        for closed in closing {
            closed.await;
        }
    }

    /// The devices by name, each with its state now.
    #[must_use]
    pub fn states(&self) -> Vec<(String, State)> {
        let members = self.shared.members.iter();
        members
            .map(|member| (member.name.clone(), member.state()))
            .collect()
    }

    fn put(&self, key_hash: u128, put: impl FnOnce(&Disk) -> Commit) -> Commit {
        match self.favourite(key_hash, Member::writable) {
            Some(opened) => opened.commit(put(&opened.disk)),
            None => {
                if let Some(member) = self.shared.members.first() {
                    member.metrics.dropped.read_only.inc();
                }
                Commit::refused()
            }
        }
    }

    fn opened(&self) -> impl Iterator<Item = Arc<Opened>> {
        self.shared.members.iter().filter_map(|member| member.opened())
    }

    /// The one of the devices that are `fit` to which a key belongs.
    fn favourite(&self, key_hash: u128, fit: impl Fn(&Member) -> Option<Arc<Opened>>) -> Option<Arc<Opened>> {
        match &self.shared.members[..] {
            [only] => fit(only),
            members => {
                let fitting: Vec<_> = members
                    .iter()
                    .filter_map(|member| Some((member.hash, member.weight, fit(member)?)))
                    .collect();
                choose(key_hash, &fitting).cloned()
            }
        }
    }
}

impl From<Disk> for Disks {
    /// One disk, opened by the caller and watched by nobody: what it refuses stays refused.
    fn from(disk: Disk) -> Disks {
        Disks {
            shared: Arc::new(Shared {
                members: Box::new([Arc::new(Member::of(disk))]),
                bell: Arc::default(),
            }),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.bell.stop();
    }
}

/// The device of a key: the first by weighted rendezvous. A key's own hash takes part, as it is well mixed.
fn choose<T>(key_hash: u128, devices: &[(u64, f64, T)]) -> Option<&T> {
    rendezvous::rank(key_hash as u64, devices).into_iter().next()
}

/// The newer of two heads. An error only counts where nothing was found.
fn newer(left: io::Result<Option<Found>>, right: io::Result<Option<Found>>) -> io::Result<Option<Found>> {
    match (left, right) {
        (Ok(Some(left)), Ok(Some(right))) if left.version >= right.version => Ok(Some(left)),
        (_, Ok(Some(right))) => Ok(Some(right)),
        (Ok(None), right) => right,
        (left, _) => left,
    }
}
