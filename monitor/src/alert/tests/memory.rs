//! A store in memory that can die: from a chosen write on nothing more is kept, as if the process had been killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::alert::fold::Alert;
use crate::alert::key::Key;
use crate::alert::outbox::entry::Entry;
use crate::alert::outbox::store::{Changes, Saved, Store};

/// What would be on a disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(in crate::alert) struct Disk {
    sinks: Arc<Mutex<BTreeMap<String, Kept>>>,
}

#[derive(Default)]
struct Kept {
    entries: BTreeMap<u64, Entry>,
    said: BTreeMap<Key, Alert>,
    next_sequence: u64,
}

impl Store for Disk {
    fn load(&self, sink: &str) -> Result<Saved, String> {
        let sinks = self.sinks.lock();
        Ok(sinks.get(sink).map_or_else(Saved::default, |kept| Saved {
            entries: kept.entries.values().cloned().collect(),
            said: kept.said.values().cloned().collect(),
            next_sequence: kept.next_sequence,
        }))
    }

    fn save(&self, changes: &[(&str, Changes)]) -> Result<(), String> {
        let mut sinks = self.sinks.lock();
        for (sink, changes) in changes {
            let kept = sinks.entry((*sink).to_owned()).or_default();
            kept.next_sequence = changes.next_sequence;
            for (sequence, entry) in &changes.entries {
                match entry {
                    Some(entry) => kept.entries.insert(*sequence, entry.clone()),
                    None => kept.entries.remove(sequence),
                };
            }
            for (key, alert) in &changes.said {
                match alert {
                    Some(alert) => kept.said.insert(key.clone(), alert.clone()),
                    None => kept.said.remove(key),
                };
            }
        }
        Ok(())
    }
}

/// How many more writes a process lives. Clones are the same life.
#[derive(Clone, Default)]
pub(in crate::alert) struct Life {
    writes_left: Arc<Mutex<Option<u64>>>,
}

impl Life {
    pub(in crate::alert) fn end_after(&self, writes: u64) {
        *self.writes_left.lock() = Some(writes);
    }

    pub(in crate::alert) fn is_over(&self) -> bool {
        *self.writes_left.lock() == Some(0)
    }

    fn write(&self) -> Result<(), String> {
        match &mut *self.writes_left.lock() {
            Some(0) => Err("the process was killed before this".to_owned()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A store that writes as long as its process lives.
pub(in crate::alert) struct Mortal<S> {
    pub(in crate::alert) store: S,
    pub(in crate::alert) life: Life,
}

impl<S: Store> Store for Mortal<S> {
    fn load(&self, sink: &str) -> Result<Saved, String> {
        self.store.load(sink)
    }

    fn save(&self, changes: &[(&str, Changes)]) -> Result<(), String> {
        self.life.write()?;
        self.store.save(changes)
    }
}
