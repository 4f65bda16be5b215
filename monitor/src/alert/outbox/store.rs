//! Where the outbox survives: tables of a redb database. A commit returns when it is on disk.
//!
//! ```text
//! alert_queue     (sink, sequence) → entry, JSON
//! alert_said      (sink, key)      → alert as it was triggered, JSON
//! alert_sequence  sink             → the next sequence number
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, Durability, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;

use super::entry::Entry;
use crate::alert::fold::Alert;
use crate::alert::key::Key;

const QUEUE: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("alert_queue");
const SAID: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("alert_said");
const SEQUENCE: TableDefinition<&str, u64> = TableDefinition::new("alert_sequence");

/// All that is kept for one sink.
#[derive(Clone, Debug, Default)]
pub(in crate::alert) struct Saved {
    pub(in crate::alert) entries: Vec<Entry>,
    pub(in crate::alert) said: Vec<Alert>,
    pub(in crate::alert) next_sequence: u64,
}

/// What changes for one sink: a new value, or `None` for what goes.
#[derive(Clone, Debug, Default)]
pub(in crate::alert) struct Changes {
    pub(in crate::alert) entries: BTreeMap<u64, Option<Entry>>,
    pub(in crate::alert) said: BTreeMap<Key, Option<Alert>>,
    pub(in crate::alert) next_sequence: u64,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.said.is_empty()
    }
}

/// Keeps what it is given, all of a call or nothing of it.
pub(in crate::alert) trait Store: Send + Sync {
    fn load(&self, sink: &str) -> Result<Saved, String>;
    /// Returns when the changes would survive the end of the process and of the machine.
    fn save(&self, changes: &[(&str, Changes)]) -> Result<(), String>;
}

pub(in crate::alert) struct RedbStore {
    database: Arc<Database>,
}

impl RedbStore {
    pub(in crate::alert) fn new(database: Arc<Database>) -> RedbStore {
        RedbStore { database }
    }

    fn read(&self, sink: &str) -> Result<Saved, redb::Error> {
        // Writing, because a table that is only read must be there.
        let transaction = self.database.begin_write()?;
        let mut saved = Saved::default();
        {
            let queue = transaction.open_table(QUEUE)?;
            for record in queue.range((sink, 0)..=(sink, u64::MAX))? {
                let (place, entry) = record?;
                let place = format!("entry {}", place.value().1);
                saved.entries.extend(decode(sink, &place, entry.value()));
            }
            let said = transaction.open_table(SAID)?;
            for record in said.range((sink, "")..)? {
                let (place, alert) = record?;
                let (owner, key) = place.value();
                if owner != sink {
                    break;
                }
                saved.said.extend(decode(sink, key, alert.value()));
            }
            let sequence = transaction.open_table(SEQUENCE)?;
            saved.next_sequence = sequence.get(sink)?.map_or(0, |next| next.value());
        }
        transaction.commit()?;
        Ok(saved)
    }

    fn write(&self, changes: &[(&str, Changes)]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut queue = transaction.open_table(QUEUE)?;
            let mut said = transaction.open_table(SAID)?;
            let mut next_sequence = transaction.open_table(SEQUENCE)?;
            for (sink, changes) in changes {
                for (sequence, entry) in &changes.entries {
                    match entry {
                        Some(entry) => queue.insert((*sink, *sequence), encode(entry).as_slice())?,
                        None => queue.remove((*sink, *sequence))?,
                    };
                }
                for (key, alert) in &changes.said {
                    match alert {
                        Some(alert) => said.insert((*sink, key.as_str()), encode(alert).as_slice())?,
                        None => said.remove((*sink, key.as_str()))?,
                    };
                }
                next_sequence.insert(*sink, changes.next_sequence)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Store for RedbStore {
    fn load(&self, sink: &str) -> Result<Saved, String> {
        self.read(sink).map_err(|error| {
            format!(
                "cannot read the outbox of {sink}: {error}; see the disk, or start with a new state directory"
            )
        })
    }

    fn save(&self, changes: &[(&str, Changes)]) -> Result<(), String> {
        self.write(changes).map_err(|error| {
            format!("cannot write the outbox of alerts: {error}; see whether the disk is full")
        })
    }
}

fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    // Plain structures with string keys: serde_json fails on nothing in them.
    serde_json::to_vec(value).unwrap_or_default()
}

/// A record of an older or younger release that cannot be read costs one alert, not the monitor.
fn decode<T: DeserializeOwned>(sink: &str, place: &str, bytes: &[u8]) -> Option<T> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(sink, place, %error, "a record of the outbox cannot be read, it is passed over");
            None
        }
    }
}
