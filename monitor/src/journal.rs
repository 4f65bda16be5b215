//! What happened, and why: the last transitions, kept over restarts.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use model::Moment;
use model::health::Cause;
use parking_lot::Mutex;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Happenings kept; a CDN of a thousand nodes that all fell and rose makes four thousand.
const KEPT: usize = 10_000;

/// Batches that wait for the store. Beyond it, happenings are remembered until the next restart only.
const WAITING: usize = 256;

/// By number.
const HAPPENINGS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("happenings");

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    /// This monitor sees it so.
    Own,
    /// All monitors together do.
    Merged,
    /// It is about this monitor itself.
    Monitor,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Happening {
    /// When, milliseconds since the Unix epoch.
    pub(crate) at: Moment,
    /// Who says so.
    pub(crate) scope: Scope,
    /// Whose state; absent when it is a monitor's, or of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<String>,
    /// The state before.
    pub(crate) from: String,
    /// The state now.
    pub(crate) to: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cause>,
}

impl Happening {
    /// Says it in the log: what all monitors together see is news, what this one sees is detail.
    pub(crate) fn log(&self) {
        let cause = self.cause.as_ref().map(ToString::to_string);
        let (node, from, to) = (self.node.as_deref(), &self.from, &self.to);
        match self.scope {
            Scope::Own => tracing::debug!(node, from, to, cause, "this monitor sees a node otherwise"),
            Scope::Merged => tracing::info!(node, from, to, cause, "the monitors see a node otherwise"),
            Scope::Monitor => tracing::warn!(from, to, "this monitor sees itself otherwise"),
        }
    }
}

/// A happening with its number.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Numbered {
    /// Grows with each happening of this monitor, over restarts too.
    pub(crate) number: u64,
    #[serde(flatten)]
    pub(crate) happening: Happening,
}

/// The last happenings.
pub(crate) struct Journal {
    last: Mutex<VecDeque<Numbered>>,
    /// Until it is closed.
    keeper: Mutex<Option<Keeper>>,
}

/// Who waits for the store's disk, which nobody else has to.
struct Keeper {
    batches: SyncSender<Batch>,
    thread: JoinHandle<()>,
}

/// What goes into the store and what leaves it.
struct Batch {
    numbered: Vec<Numbered>,
    forgotten: Vec<u64>,
}

impl Journal {
    /// Reads what is kept, and starts the thread that keeps what comes.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(crate) fn open(database: Arc<Database>) -> Result<Journal, redb::Error> {
        let last = read(&database)?;
        let (batches, waiting) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || keep(&database, &waiting))?;
        Ok(Journal {
            last: Mutex::new(last),
            keeper: Mutex::new(Some(Keeper { batches, thread })),
        })
    }

    /// Remembers what happened. A store that fails or is slow costs its share of memory, not the monitor's work.
    pub(crate) fn record(&self, happenings: Vec<Happening>) {
        if happenings.is_empty() {
            return;
        }
        let batch = self.remember(happenings);
        let keeper = self.keeper.lock();
        let kept = keeper.as_ref().map(|keeper| keeper.batches.try_send(batch));
        if !matches!(kept, Some(Ok(()))) {
            tracing::error!("the journal's disk does not keep up; a restart will not know what happened now");
        }
    }

    /// Makes all that was recorded durable. What is recorded later is remembered until the end only.
    pub(crate) fn close(&self) {
        let Some(Keeper { batches, thread }) = self.keeper.lock().take() else {
            return;
        };
        drop(batches);
        if thread.join().is_err() {
            tracing::error!("the thread of the journal panicked");
        }
    }

    fn remember(&self, happenings: Vec<Happening>) -> Batch {
        let mut last = self.last.lock();
        let newest = last.back().map_or(0, |newest| newest.number);
        let numbered: Vec<Numbered> = (newest + 1..)
            .zip(happenings)
            .map(|(number, happening)| Numbered { number, happening })
            .collect();
        last.extend(numbered.iter().cloned());
        let surplus = last.len().saturating_sub(KEPT);
        let forgotten = last.drain(..surplus).map(|oldest| oldest.number).collect();
        Batch { numbered, forgotten }
    }

    /// The happenings after `after`, of `node` if one is named, `limit` at most: the oldest first, and of more than
    /// fit the newest.
    pub(crate) fn after(&self, after: u64, node: Option<&str>, limit: usize) -> Vec<Numbered> {
        let last = self.last.lock();
        let wanted = last
            .iter()
            .rev()
            .take_while(|one| one.number > after)
            .filter(|one| node.is_none_or(|node| one.happening.node.as_deref() == Some(node)));
        let mut found: Vec<Numbered> = wanted.take(limit).cloned().collect();
        found.reverse();
        found
    }
}

fn read(database: &Database) -> Result<VecDeque<Numbered>, redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(HAPPENINGS)?;
    writing.commit()?;
    let mut last = VecDeque::new();
    let reading = database.begin_read()?;
    for entry in reading.open_table(HAPPENINGS)?.iter()?.rev().take(KEPT) {
        let (number, value) = entry?;
        // One that an older version wrote otherwise is history that nobody can read.
        if let Ok(happening) = serde_json::from_slice(value.value()) {
            last.push_front(Numbered {
                number: number.value(),
                happening,
            });
        }
    }
    Ok(last)
}

/// Until the journal is closed or dropped.
fn keep(database: &Database, batches: &Receiver<Batch>) {
    for batch in batches {
        if let Err(error) = store(database, &batch) {
            tracing::error!(%error, "the journal cannot be written; a restart will not know what happened now");
        }
    }
    if let Err(error) = make_durable(database) {
        tracing::error!(%error, "the journal cannot be written; a restart will not know what happened last");
    }
}

/// A commit that waits for the disk takes along those before it that did not.
fn make_durable(database: &Database) -> Result<(), redb::Error> {
    database.begin_write()?.commit()?;
    Ok(())
}

fn store(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let mut writing = database.begin_write()?;
    // The next durable commit of the store takes it along; what a crash loses is a moment's history.
    writing.set_durability(Durability::None)?;
    {
        let mut table = writing.open_table(HAPPENINGS)?;
        for one in &batch.numbered {
            let text = serde_json::to_vec(&one.happening).map_err(io::Error::from)?;
            table.insert(one.number, text.as_slice())?;
        }
        for number in &batch.forgotten {
            table.remove(number)?;
        }
    }
    writing.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(node: &str) -> Happening {
        Happening {
            at: Moment(1),
            scope: Scope::Own,
            node: Some(node.to_owned()),
            site: None,
            from: "up".into(),
            to: "down".into(),
            cause: None,
        }
    }

    #[test]
    fn happenings_are_numbered_over_restarts_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.redb");
        let open = || Arc::new(Database::create(&path).unwrap());
        let numbers = |journal: &Journal, after, limit| -> Vec<u64> {
            journal
                .after(after, None, limit)
                .iter()
                .map(|one| one.number)
                .collect()
        };
        let first = Journal::open(open()).unwrap();
        first.record(vec![happening("a"), happening("b")]);
        first.record(vec![happening("a")]);
        assert_eq!(numbers(&first, 0, 100), [1, 2, 3]);
        assert_eq!(first.after(0, Some("a"), 1)[0].number, 3);
        first.close();
        drop(first);
        let second = Journal::open(open()).unwrap();
        second.record(vec![happening("c"); KEPT]);
        assert_eq!(numbers(&second, 0, usize::MAX).len(), KEPT);
        assert_eq!(numbers(&second, 0, usize::MAX)[0], 4);
        assert_eq!(numbers(&second, 10_001, 10), [10_002, 10_003]);
    }

    #[test]
    fn what_was_recorded_is_on_disk_when_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("monitor.redb"), folder.path().join("copy"));
        let database = Arc::new(Database::create(&path).unwrap());
        let journal = Journal::open(Arc::clone(&database)).unwrap();
        for nth in 0..50 {
            journal.record(vec![happening(&format!("edge-{nth}"))]);
        }
        journal.close();
        // As a crash finds it: nobody has put the store away.
        std::fs::copy(&path, &copy).unwrap();
        let later = Journal::open(Arc::new(Database::create(&copy).unwrap())).unwrap();
        assert_eq!(later.after(0, None, 100).len(), 50);
        journal.record(vec![happening("late")]);
        assert_eq!(journal.after(50, None, 100).len(), 1, "it is remembered still");
    }
}
