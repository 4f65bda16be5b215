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
    last: Mutex<Last>,
    /// Until it is closed.
    keeper: Mutex<Option<Keeper>>,
}

/// What is remembered, the oldest first, and the number of what comes next.
struct Last {
    happenings: VecDeque<Numbered>,
    next: u64,
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
    /// What a killed process gave out last is not kept, and none of its numbers may come again: they begin anew from
    /// the milliseconds since the Unix epoch, which no process has used up that began earlier and had less than a
    /// happening each.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(crate) fn open(database: Arc<Database>, now: Moment) -> Result<Journal, redb::Error> {
        let happenings = read(&database)?;
        let after_last = happenings.back().map_or(0, |newest| newest.number + 1);
        let (batches, waiting) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || keep(&database, &waiting))?;
        Ok(Journal {
            last: Mutex::new(Last {
                happenings,
                next: after_last.max(now.0),
            }),
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
        let numbered: Vec<Numbered> = (last.next..)
            .zip(happenings)
            .map(|(number, happening)| Numbered { number, happening })
            .collect();
        last.next += numbered.len() as u64;
        let last = &mut last.happenings;
        last.extend(numbered.iter().cloned());
        let surplus = last.len().saturating_sub(KEPT);
        let forgotten = last.drain(..surplus).map(|oldest| oldest.number).collect();
        Batch { numbered, forgotten }
    }

    /// Happenings, of `node` if one is named, `limit` at most, the oldest first: those that follow `after`, or else the
    /// newest.
    pub(crate) fn some(&self, after: Option<u64>, node: Option<&str>, limit: usize) -> Vec<Numbered> {
        let last = &self.last.lock().happenings;
        let is_wanted = |one: &&Numbered| node.is_none_or(|node| one.happening.node.as_deref() == Some(node));
        if let Some(after) = after {
            let first = last.partition_point(|one| one.number <= after);
            return last
                .range(first..)
                .filter(is_wanted)
                .take(limit)
                .cloned()
                .collect();
        }
        let mut newest: Vec<Numbered> = last.iter().rev().filter(is_wanted).take(limit).cloned().collect();
        newest.reverse();
        newest
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
        let open = |now| Journal::open(Arc::new(Database::create(&path).unwrap()), Moment(now)).unwrap();
        let numbers = |journal: &Journal, after, limit| -> Vec<u64> {
            let some = journal.some(after, None, limit);
            some.iter().map(|one| one.number).collect()
        };
        let first = open(1);
        first.record(vec![happening("a"), happening("b")]);
        first.record(vec![happening("a")]);
        assert_eq!(numbers(&first, None, 100), [1, 2, 3]);
        assert_eq!(first.some(None, Some("a"), 1)[0].number, 3);
        assert_eq!(first.some(Some(0), Some("a"), 1)[0].number, 1);
        first.close();
        drop(first);
        let second = open(2);
        second.record(vec![happening("c"); KEPT]);
        assert_eq!(numbers(&second, None, usize::MAX).len(), KEPT);
        assert_eq!(numbers(&second, None, usize::MAX)[0], 4);
        assert_eq!(numbers(&second, None, 2), [10_002, 10_003]);
        // Whoever asks for what follows the last that it knows misses nothing.
        assert_eq!(numbers(&second, Some(7), 2), [8, 9]);
        assert_eq!(numbers(&second, Some(10_001), 10), [10_002, 10_003]);
    }

    #[test]
    fn no_number_that_a_killed_process_gave_out_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("monitor.redb"), folder.path().join("copy"));
        let killed = Journal::open(Arc::new(Database::create(&path).unwrap()), Moment(1_000)).unwrap();
        // Before anything happened, as the disk has it when the machine fails.
        std::fs::copy(&path, &copy).unwrap();
        killed.record(vec![happening("a"), happening("b")]);
        let last = killed.some(None, None, 1)[0].number;
        let later = Journal::open(Arc::new(Database::create(&copy).unwrap()), Moment(2_000)).unwrap();
        later.record(vec![happening("c")]);
        let missed = later.some(Some(last), None, 10);
        assert_eq!((missed.len(), missed[0].number), (1, 2_000));
    }

    #[test]
    fn what_was_recorded_is_on_disk_when_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("monitor.redb"), folder.path().join("copy"));
        let database = Arc::new(Database::create(&path).unwrap());
        let journal = Journal::open(Arc::clone(&database), Moment(1)).unwrap();
        for nth in 0..50 {
            journal.record(vec![happening(&format!("edge-{nth}"))]);
        }
        journal.close();
        // As a crash finds it: nobody has put the store away.
        std::fs::copy(&path, &copy).unwrap();
        let later = Journal::open(Arc::new(Database::create(&copy).unwrap()), Moment(1)).unwrap();
        assert_eq!(later.some(None, None, 100).len(), 50);
        journal.record(vec![happening("late")]);
        let late = journal.some(Some(50), None, 100);
        assert_eq!(late.len(), 1, "it is remembered still");
    }
}
