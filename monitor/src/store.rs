//! The store of everything that survives a restart, and how it fails.
//!
//! redb takes no write any more once one failed: what it has in memory may not be what lies on the disk. Only opening it
//! anew helps. So a monitor whose disk is full watches on and tells the others what it sees, and when there is room again
//! it ends, for its supervisor to start another.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use daemon::process::Failure;
use redb::{Database, TableDefinition};

/// What has to be free for opening the store anew to help.
const ROOM_BYTES: usize = 64 << 10;

/// One record that is written to see whether anything can be.
const ALIVE: TableDefinition<(), u64> = TableDefinition::new("alive");

/// Opens the store in `state`. It has one owner: a second monitor on it is refused.
///
/// # Errors
///
/// When the directory or the file cannot be made or opened.
pub(crate) fn open(state: &Path) -> Result<Arc<Database>, Failure> {
    std::fs::create_dir_all(state)
        .map_err(|error| Failure::running(format!("the state directory {}", state.display()), error))?;
    let path = state.join("monitor.redb");
    Database::create(&path)
        .map(Arc::new)
        .map_err(|error| Failure::running(format!("the store {} cannot be opened", path.display()), error))
}

/// Whether nothing can be written any more, and could be if it were opened anew.
pub(crate) fn wants_to_be_opened_anew(database: &Database, state: &Path) -> bool {
    has_failed(database) && has_room(state)
}

/// Whether something can be written beside the store.
fn has_room(state: &Path) -> bool {
    let path = state.join("room");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[0; ROOM_BYTES])?;
        file.sync_all()
    });
    // What could not be made need not be removed.
    let _ = std::fs::remove_file(&path);
    written.is_ok()
}

fn has_failed(database: &Database) -> bool {
    matches!(write_sign_of_life(database), Err(redb::Error::PreviousIo))
}

fn write_sign_of_life(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ALIVE)?.insert((), 0)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;

    /// A disk that is full for a while.
    #[derive(Debug)]
    struct Disk {
        memory: InMemoryBackend,
        is_full: Arc<AtomicBool>,
    }

    impl StorageBackend for Disk {
        fn len(&self) -> std::io::Result<u64> {
            self.memory.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.memory.read(offset, out)
        }

        fn set_len(&self, len: u64) -> std::io::Result<()> {
            self.memory.set_len(len)
        }

        fn sync_data(&self) -> std::io::Result<()> {
            self.memory.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            match self.is_full.load(Ordering::Relaxed) {
                true => Err(std::io::ErrorKind::StorageFull.into()),
                false => self.memory.write(offset, data),
            }
        }
    }

    #[test]
    fn a_store_that_could_once_not_be_written_has_failed_for_good() {
        let is_full = Arc::new(AtomicBool::new(false));
        let disk = Disk {
            memory: InMemoryBackend::new(),
            is_full: Arc::clone(&is_full),
        };
        let database = Database::builder().create_with_backend(disk).unwrap();
        assert!(!has_failed(&database));
        is_full.store(true, Ordering::Relaxed);
        assert!(write_sign_of_life(&database).is_err());
        is_full.store(false, Ordering::Relaxed);
        assert!(has_failed(&database));
    }
}
