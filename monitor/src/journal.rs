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

/// Numbers that are put aside on disk before they are given out: none is given out twice, even when the last happenings
/// are lost. Eight times what a CDN of a thousand nodes that all fell and rose needs while the disk is late.
const PUT_ASIDE: u64 = 32_768;

/// The first number that no process has put aside, under [`NEXT`].
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("happening_numbers");
const NEXT: &str = "next";

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
    /// Grows with each happening of this monitor, over restarts too; after one it leaps.
    pub(crate) number: u64,
    #[serde(flatten)]
    pub(crate) happening: Happening,
}

impl Numbered {
    fn is_of(&self, node: Option<&str>) -> bool {
        node.is_none_or(|node| self.happening.node.as_deref() == Some(node))
    }
}

/// The last happenings.
pub(crate) struct Journal {
    memory: Mutex<Memory>,
    /// Until it is closed.
    keeper: Mutex<Option<Keeper>>,
}

struct Memory {
    /// The oldest first.
    last: VecDeque<Numbered>,
    /// What the next one gets.
    next_number: u64,
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
        let memory = read(&database)?;
        let put_aside = memory.next_number + PUT_ASIDE;
        put_aside_before(&database, put_aside)?;
        let (batches, waiting) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || keep(&database, &waiting, put_aside))?;
        Ok(Journal {
            memory: Mutex::new(memory),
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
        let mut memory = self.memory.lock();
        let numbered: Vec<Numbered> = (memory.next_number..)
            .zip(happenings)
            .map(|(number, happening)| Numbered { number, happening })
            .collect();
        memory.next_number += numbered.len() as u64;
        let last = &mut memory.last;
        last.extend(numbered.iter().cloned());
        let surplus = last.len().saturating_sub(KEPT);
        let forgotten = last.drain(..surplus).map(|oldest| oldest.number).collect();
        Batch { numbered, forgotten }
    }

    /// The first happenings after the one of this number, of `node` if one is named, `limit` at most, the oldest first:
    /// whoever asks on from the last of them misses none.
    pub(crate) fn after(&self, number: u64, node: Option<&str>, limit: usize) -> Vec<Numbered> {
        let last = &self.memory.lock().last;
        let from = last.partition_point(|one| one.number <= number);
        let wanted = last.range(from..).filter(|one| one.is_of(node));
        wanted.take(limit).cloned().collect()
    }

    /// The newest happenings, of `node` if one is named, `limit` at most, the oldest first.
    pub(crate) fn newest(&self, node: Option<&str>, limit: usize) -> Vec<Numbered> {
        let last = &self.memory.lock().last;
        let wanted = last.iter().rev().filter(|one| one.is_of(node));
        let mut found: Vec<Numbered> = wanted.take(limit).cloned().collect();
        found.reverse();
        found
    }
}

fn read(database: &Database) -> Result<Memory, redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(HAPPENINGS)?;
    let put_aside = writing
        .open_table(NUMBERS)?
        .get(NEXT)?
        .map_or(1, |next| next.value());
    writing.commit()?;
    let mut last: VecDeque<Numbered> = VecDeque::new();
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
    let after_last = last.back().map_or(1, |newest| newest.number + 1);
    Ok(Memory {
        last,
        next_number: after_last.max(put_aside),
    })
}

/// Notes, durably, that numbers before `next` may be given out by this process and by none that comes after it.
fn put_aside_before(database: &Database, next: u64) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(NUMBERS)?.insert(NEXT, next)?;
    writing.commit()?;
    Ok(())
}

/// Until the journal is closed or dropped.
fn keep(database: &Database, batches: &Receiver<Batch>, mut put_aside: u64) {
    for batch in batches {
        let result = store(database, &batch).and_then(|()| {
            let newest = batch.numbered.last().map_or(0, |newest| newest.number);
            // While half of them is left, nobody has to wait for more.
            if newest + PUT_ASIDE / 2 >= put_aside {
                put_aside_before(database, newest + PUT_ASIDE)?;
                put_aside = newest + PUT_ASIDE;
            }
            Ok(())
        });
        if let Err(error) = result {
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

    fn numbers(found: &[Numbered]) -> Vec<u64> {
        found.iter().map(|one| one.number).collect()
    }

    #[test]
    fn happenings_are_numbered_over_restarts_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.redb");
        let open = || Arc::new(Database::create(&path).unwrap());
        let numbers = |journal: &Journal| numbers(&journal.newest(None, usize::MAX));
        let first = Journal::open(open()).unwrap();
        first.record(vec![happening("a"), happening("b")]);
        first.record(vec![happening("a")]);
        assert_eq!(numbers(&first), [1, 2, 3]);
        first.close();
        drop(first);
        let second = Journal::open(open()).unwrap();
        assert_eq!(numbers(&second), [1, 2, 3]);
        second.record(vec![happening("c"); KEPT]);
        let (kept, from) = (numbers(&second), 1 + PUT_ASIDE);
        assert!(
            kept.iter().copied().eq(from..from + KEPT as u64),
            "{:?}",
            kept.first()
        );
    }

    #[test]
    fn whoever_asks_on_from_the_last_number_misses_none() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::create(folder.path().join("monitor.redb")).unwrap());
        let journal = Journal::open(database).unwrap();
        let nodes = ["a", "b", "a", "a", "b"];
        journal.record(nodes.map(happening).to_vec());
        assert_eq!(numbers(&journal.after(0, None, 2)), [1, 2]);
        assert_eq!(numbers(&journal.after(2, None, 2)), [3, 4]);
        assert_eq!(numbers(&journal.after(4, None, 2)), [5]);
        assert!(journal.after(5, None, 2).is_empty());
        assert_eq!(numbers(&journal.after(1, Some("a"), 1)), [3]);
        assert_eq!(numbers(&journal.newest(None, 2)), [4, 5]);
        assert_eq!(numbers(&journal.newest(Some("a"), 2)), [3, 4]);
    }

    #[test]
    fn no_number_is_given_twice_whatever_a_crash_loses() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("monitor.redb"), folder.path().join("copy"));
        let journal = Journal::open(Arc::new(Database::create(&path).unwrap())).unwrap();
        let given = |journal: &Journal| journal.newest(None, 1)[0].number;
        journal.record(vec![happening("edge-1"); 1000]);
        // As a crash finds it: what was recorded is on disk or is not.
        std::fs::copy(&path, &copy).unwrap();
        let later = Journal::open(Arc::new(Database::create(&copy).unwrap())).unwrap();
        later.record(vec![happening("edge-1")]);
        assert!(given(&later) > given(&journal));
    }

    #[test]
    fn more_numbers_are_put_aside_before_they_run_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.redb");
        let database = Arc::new(Database::create(&path).unwrap());
        let journal = Journal::open(Arc::clone(&database)).unwrap();
        journal.record(vec![happening("edge-1"); PUT_ASIDE as usize]);
        journal.close();
        let reading = database.begin_read().unwrap().open_table(NUMBERS).unwrap();
        let put_aside = reading.get(NEXT).unwrap().unwrap().value();
        assert_eq!(put_aside, 2 * PUT_ASIDE);
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
        assert_eq!(later.newest(None, 100).len(), 50);
        journal.record(vec![happening("late")]);
        assert_eq!(journal.after(50, None, 100).len(), 1, "it is remembered still");
    }
}
