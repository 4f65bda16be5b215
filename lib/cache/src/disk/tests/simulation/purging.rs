//! The purges of a simulated life: what was acknowledged, and what the journal still knows of it after a crash.

use super::weather::is_stormy;
use crate::disk::journal::Journal;
use crate::disk::store::Store;
use crate::head::Head;
use crate::key::Key;
use crate::policy::freshness::Freshness;
use crate::purge::{Entry, Fate, Floor, Mode, Purge, PurgeMetrics, Purges, What};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use model::Moment;
use prometheus::Registry;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The only field of a simulated head: from it follows which put it was.
const STAMP: &str = "x-stamp";

/// A purge of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Purged {
    key: u128,
    sequence: u64,
}

/// The one who keeps the journal of one opening, as the disk's keeper does, but without a thread.
struct Clerk {
    purges: Arc<Purges>,
    journal: Journal,
    floor: Floor,
}

/// What was purged in all lives.
#[derive(Default)]
pub(super) struct Purging {
    clerk: Option<Clerk>,
    pub(super) history: History,
}

/// What is known of that without asking a device.
#[derive(Clone, Default)]
pub(super) struct History {
    acknowledged: Vec<Purged>,
    /// Begun when the device failed: it may have been journalled.
    uncertain: Option<Purged>,
    /// Begun and not acknowledged. Where reads and writes fail, any start may find them or not.
    doubtful: Vec<Purged>,
}

impl Purging {
    /// Takes what an opening found, and shares it with `store`. What was begun and is there now must stay.
    pub(super) fn begin(&mut self, store: &Store, key_text: impl Fn(u128) -> String, seed: u64) {
        let (journal, found) = store.journal.lock().take().expect("nobody else keeps it");
        let metrics = PurgeMetrics::new(&Registry::new()).expect("an empty registry");
        let purges = Arc::new(Purges::new(metrics));
        let floor = purges.adopt(&found, journal.entries_max());
        assert!(store.purges.set(Arc::clone(&purges)).is_ok(), "seed {seed}");
        let history = &mut self.history;
        if let Some(begun) = history.uncertain.take() {
            if is_stormy(seed) {
                history.doubtful.push(begun);
            } else if is_known(&purges, &key_text(begun.key), begun.sequence) {
                history.acknowledged.push(begun);
            }
        }
        for purged in &history.acknowledged {
            assert!(
                is_known(&purges, &key_text(purged.key), purged.sequence),
                "seed {seed}: {purged:?} was acknowledged and is not known any more"
            );
        }
        self.clerk = Some(Clerk {
            purges,
            journal,
            floor,
        });
    }

    /// The device was formatted.
    pub(super) fn forget(&mut self) {
        *self = Purging::default();
    }

    /// Purges a key. Fails when the device does: then it is not acknowledged.
    pub(super) fn purge(&mut self, store: &Store, key: u128, text: &str, now: Moment) -> io::Result<()> {
        let clerk = self.clerk.as_mut().expect("begun");
        let purge = Purge {
            what: What::Url(Key::from_text(text)),
            mode: Mode::Hard,
            not_before: 0,
        };
        let entry = clerk.purges.record(&purge, now).expect("a legal purge");
        let sequence = entry.sequence;
        self.history.uncertain = Some(Purged { key, sequence });
        clerk.commit(store, entry)?;
        self.history.acknowledged.extend(self.history.uncertain.take());
        Ok(())
    }

    /// The latest purge that is known: what is claimed now comes after it.
    pub(super) fn latest(&self) -> u64 {
        self.purges().latest()
    }

    fn purges(&self) -> &Purges {
        &self.clerk.as_ref().expect("begun").purges
    }

    /// What goes to disk of a head that was claimed at `claimed`; nothing when it was purged since.
    pub(super) fn encode(&self, key: &str, put: (u64, u64), claimed: u64, filler: &[u8]) -> Option<Bytes> {
        let mut fields = HeaderMap::new();
        let mut value = put.1.to_string();
        value.extend(filler.iter().map(|byte| char::from(b'a' + byte % 26)));
        fields.insert(STAMP, HeaderValue::from_str(&value).expect("letters"));
        let freshness = Freshness {
            generated_at: Moment::default(),
            lifetime: Duration::from_secs(1 << 30),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
        };
        let mut head = Head::new(Key::from_text(key), StatusCode::OK, fields, Some(1), freshness);
        head.version = put.0;
        head.set_sequence(claimed);
        self.purges().encode(&head).map(Bytes::from)
    }

    /// Whether what was found is the head of `put`, whatever it says of when it was judged. What was purged must be found so
    /// and nothing else.
    pub(super) fn is_head_of(&self, key: u128, found: &[u8], put: (u64, u64), filler: &[u8]) -> bool {
        let Ok(head) = Head::decode(found) else {
            return false;
        };
        let stamp = put.1.to_string();
        let value = head
            .fields
            .get(STAMP)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        let same = value.len() == stamp.len() + filler.len()
            && value.starts_with(stamp.as_bytes())
            && value[stamp.len()..]
                .iter()
                .zip(filler)
                .all(|(found, byte)| *found == b'a' + byte % 26);
        if same && head.version == put.0 {
            self.check_fate(key, &head);
            return true;
        }
        false
    }

    fn check_fate(&self, key: u128, head: &Head) {
        let (claimed, checked) = (head.sequence, head.checked());
        let later = |purged: &&Purged| purged.key == key && purged.sequence > claimed;
        let History {
            acknowledged,
            uncertain,
            doubtful,
        } = &self.history;
        let covering = acknowledged.iter().find(later);
        let fate = self.purges().judge(head);
        if let Some(purged) = covering {
            assert_eq!(
                fate,
                Fate::Hard,
                "{purged:?} covers what was claimed at {claimed}"
            );
        } else if !uncertain.iter().chain(doubtful).any(|purged| later(&purged))
            && self.purges().forgotten() <= checked
        {
            assert_eq!(fate, Fate::Keep, "nothing purged {key} since {claimed}");
        }
    }
}

impl Clerk {
    fn commit(&mut self, store: &Store, entry: Entry) -> io::Result<()> {
        if self.journal.is_unclean() || self.journal.is_full_for(1) {
            self.purges.raise_floor(&self.floor, store.oldest_sequence());
            self.journal.begin(&self.purges.to_record())?;
        } else {
            self.journal.append(&[entry], self.purges.forgotten())?;
        }
        self.purges.set_durable(self.journal.latest());
        Ok(())
    }
}

/// Whether something claimed just before `sequence` is covered.
fn is_known(purges: &Purges, text: &str, sequence: u64) -> bool {
    purges.overtake(&Key::from_text(text), sequence - 1)
}
