//! The roll-ups of a day, on disk. One transaction a minute for all nodes: it is there as a whole or not at all,
//! whenever the process is killed.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use model::Moment;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::layout;
use super::rollup::{Rollup, WINDOW, minute_of};

/// A node's minutes lie side by side, so that its history is one range.
const ROLLUPS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("rollups");

/// How long a roll-up is kept.
pub(crate) const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Roll-ups that one transaction removes at most: some tenths of a second. 1000 nodes let 1000 a minute grow old;
/// more are due only after the monitor was off for long, and then the rest waits for the next minutes.
const MOST_PRUNED: usize = 16_384;

/// What a transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) rollups: usize,
    pub(super) pruned: usize,
}

/// Roll-ups that were read, and how many more there are that cannot be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Found {
    pub(super) rollups: Vec<Rollup>,
    pub(super) unreadable: u64,
}

/// The table, in a database that others may use for theirs.
#[derive(Debug)]
pub(super) struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Makes the table where there is none.
    pub(super) fn open(database: Arc<Database>) -> Result<Store, String> {
        let create = || -> Result<(), redb::Error> {
            let transaction = begin(&database)?;
            transaction.open_table(ROLLUPS)?;
            transaction.commit()?;
            Ok(())
        };
        create().map_err(|error| failed("cannot make the table of roll-ups", &error))?;
        Ok(Store { database })
    }

    /// Writes `batch`, and removes what was before `now` less [`RETENTION`]. A minute that is there already is
    /// replaced.
    pub(super) fn write(&self, batch: &[(Arc<str>, Rollup)], now: Moment) -> Result<Written, String> {
        let oldest = oldest_kept(now);
        let write = || -> Result<Written, redb::Error> {
            let transaction = begin(&self.database)?;
            let mut table = transaction.open_table(ROLLUPS)?;
            for (node, rollup) in batch {
                table.insert((&**node, rollup.minute.0), layout::encode(rollup).as_slice())?;
            }
            let pruned = prune(&mut table, oldest)?;
            drop(table);
            if pruned > 0 || !batch.is_empty() {
                transaction.commit()?;
            }
            let rollups = batch.len();
            Ok(Written { rollups, pruned })
        };
        write().map_err(|error| failed("cannot write roll-ups", &error))
    }

    /// The minutes of a node that begin from `from` on and before `to`, in order; never more than a day of them.
    pub(super) fn read(&self, node: &str, from: Moment, to: Moment) -> Result<Found, String> {
        let from = minute_of(from + WINDOW.saturating_sub(Duration::from_millis(1))).max(oldest_kept(to));
        let read = || -> Result<Found, redb::Error> {
            let mut found = Found::default();
            if from >= to {
                return Ok(found);
            }
            let table = self.database.begin_read()?.open_table(ROLLUPS)?;
            for entry in table.range((node, from.0)..(node, to.0))? {
                let (key, value) = entry?;
                match layout::decode(Moment(key.value().1), value.value()) {
                    Some(rollup) => found.rollups.push(rollup),
                    None => found.unreadable += 1,
                }
            }
            Ok(found)
        };
        read().map_err(|error| failed(&format!("cannot read the roll-ups of {node}"), &error))
    }
}

/// A transaction after which a database that was killed is open at once, not after a walk through a day of roll-ups.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn oldest_kept(now: Moment) -> Moment {
    minute_of(now - RETENTION)
}

/// Removes what is older than `oldest`, node by node: each has its old minutes at its beginning.
fn prune(
    table: &mut Table<'_, (&'static str, u64), &'static [u8]>,
    oldest: Moment,
) -> Result<usize, redb::Error> {
    let mut pruned = 0;
    let mut next = first_node(table, "")?;
    while let Some(node) = next {
        let range = (node.as_str(), 0)..(node.as_str(), oldest.0);
        for removed in table
            .extract_from_if(range, |_, _| true)?
            .take(MOST_PRUNED - pruned)
        {
            removed?;
            pruned += 1;
        }
        if pruned >= MOST_PRUNED {
            break;
        }
        // No name lies between a name and the same with a zero at its end.
        next = first_node(table, &format!("{node}\0"))?;
    }
    Ok(pruned)
}

/// The first node whose name is `from` or comes after it.
fn first_node(
    table: &Table<'_, (&'static str, u64), &'static [u8]>,
    from: &str,
) -> Result<Option<String>, redb::Error> {
    let first = table.range((from, 0)..)?.next().transpose()?;
    Ok(first.map(|(key, _)| key.value().0.to_owned()))
}

fn failed(what: &str, error: &dyn Display) -> String {
    format!(
        "{what}: {error}; see whether the disk of the state directory is full or failing, and restart the monitor when \
         it is not"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::counters::Counters;
    use crate::stats::gauges::Gauges;
    use crate::stats::rollup::Gathered;

    const DAY_MINUTES: u64 = 24 * 60;

    fn rollup(minute: u64) -> Rollup {
        let counters = Counters {
            requests: minute * 7,
            ..Counters::default()
        };
        Rollup {
            minute: Moment::from_seconds(minute * 60),
            gathered: Gathered {
                covered_ms: 60_000,
                counters,
            },
            ungathered: Counters::default(),
            gauges: Gauges::default(),
        }
    }

    fn at(minute: u64) -> Moment {
        Moment::from_seconds(minute * 60)
    }

    fn batch(nodes: &[&str], minutes: impl IntoIterator<Item = u64> + Clone) -> Vec<(Arc<str>, Rollup)> {
        let of_node = |node: &&str| {
            let node: Arc<str> = Arc::from(*node);
            minutes
                .clone()
                .into_iter()
                .map(move |minute| (node.clone(), rollup(minute)))
        };
        nodes.iter().flat_map(of_node).collect()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("state.redb")).unwrap();
        (folder, Store::open(Arc::new(database)).unwrap())
    }

    fn minutes(store: &Store, node: &str) -> Vec<u64> {
        let found = store.read(node, Moment(0), at(DAY_MINUTES)).unwrap();
        found
            .rollups
            .iter()
            .map(|rollup| rollup.minute.seconds() / 60)
            .collect()
    }

    #[test]
    fn a_nodes_minutes_come_back_in_order_and_only_its_own() {
        let (_folder, store) = store();
        store
            .write(&batch(&["b", "a", "a\0", "ab"], [12, 10, 11]), at(13))
            .unwrap();
        let found = store.read("a", at(10), at(12)).unwrap();
        assert_eq!(found.rollups, [rollup(10), rollup(11)]);
        assert_eq!(found.unreadable, 0);
        assert_eq!(
            store.read("a", Moment(at(10).0 + 1), at(12)).unwrap().rollups,
            [rollup(11)]
        );
        assert_eq!(store.read("c", at(0), at(99)).unwrap(), Found::default());
        assert_eq!(store.read("a", at(12), at(10)).unwrap(), Found::default());
    }

    #[test]
    fn a_minute_that_is_written_again_is_replaced() {
        let (_folder, store) = store();
        store.write(&batch(&["a"], [10]), at(11)).unwrap();
        let mut again = batch(&["a"], [10]);
        again[0].1.gathered.counters.requests = 1;
        store.write(&again, at(11)).unwrap();
        let found = store.read("a", at(0), at(99)).unwrap().rollups;
        assert_eq!((found.len(), found[0].gathered.counters.requests), (1, 1));
    }

    #[test]
    fn after_a_day_a_minute_goes_of_nodes_that_are_gone_too() {
        let (_folder, store) = store();
        store.write(&batch(&["a", "b", "c"], 0..5), at(5)).unwrap();
        let written = store
            .write(&batch(&["a"], [DAY_MINUTES + 2]), at(DAY_MINUTES + 3))
            .unwrap();
        assert_eq!(
            written,
            Written {
                rollups: 1,
                pruned: 9
            }
        );
        for node in ["b", "c"] {
            assert_eq!(minutes(&store, node), [3, 4]);
        }
        let written = store.write(&[], at(3 * DAY_MINUTES)).unwrap();
        assert_eq!(
            written,
            Written {
                rollups: 0,
                pruned: 7
            }
        );
    }

    #[test]
    fn much_that_is_old_is_removed_in_turns() {
        let (_folder, store) = store();
        let count = MOST_PRUNED as u64 + 10;
        store.write(&batch(&["a"], 0..count), at(0)).unwrap();
        let later = at(count + DAY_MINUTES);
        assert_eq!(store.write(&[], later).unwrap().pruned, MOST_PRUNED);
        assert_eq!(store.write(&[], later).unwrap().pruned, 10);
        assert_eq!(store.write(&[], later).unwrap().pruned, 0);
    }

    #[test]
    fn a_value_that_is_no_rollup_is_skipped_and_counted() {
        let (_folder, store) = store();
        store.write(&batch(&["a"], 10..13), at(13)).unwrap();
        let transaction = store.database.begin_write().unwrap();
        let mut table = transaction.open_table(ROLLUPS).unwrap();
        table.insert(("a", at(11).0), &[99_u8, 1, 2][..]).unwrap();
        drop(table);
        transaction.commit().unwrap();
        let found = store.read("a", at(0), at(99)).unwrap();
        assert_eq!(
            (found.rollups, found.unreadable),
            (vec![rollup(10), rollup(12)], 1)
        );
    }

    #[test]
    fn what_was_written_outlives_a_kill_and_what_was_not_leaves_no_trace() {
        let (folder, store) = store();
        store.write(&batch(&["a", "b"], 10..13), at(13)).unwrap();
        let transaction = store.database.begin_write().unwrap();
        let mut table = transaction.open_table(ROLLUPS).unwrap();
        table
            .insert(("a", at(13).0), layout::encode(&rollup(13)).as_slice())
            .unwrap();
        // The file as a kill would leave it: nobody has closed it, and a transaction is under way.
        let left = folder.path().join("left.redb");
        std::fs::copy(folder.path().join("state.redb"), &left).unwrap();
        let again = Store::open(Arc::new(Database::open(&left).unwrap())).unwrap();
        assert_eq!(minutes(&again, "a"), [10, 11, 12]);
        assert_eq!(minutes(&again, "b"), [10, 11, 12]);
        again.write(&batch(&["a"], [13]), at(14)).unwrap();
        assert_eq!(minutes(&again, "a"), [10, 11, 12, 13]);
    }

    #[test]
    fn a_thousand_nodes_are_one_transaction() {
        let (_folder, store) = store();
        let names: Vec<String> = (0..1000).map(|number| format!("edge-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let written = store.write(&batch(&names, [10]), at(11)).unwrap();
        assert_eq!(written.rollups, 1000);
        assert_eq!(minutes(&store, "edge-999"), [10]);
    }
}
