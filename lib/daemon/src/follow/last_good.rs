//! The last good copy of a document on disk: always a whole one, whatever happens while it is written.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::MAX_DOCUMENT_BYTES;

pub(super) struct LastGood {
    folder: PathBuf,
    path: PathBuf,
    unfinished: PathBuf,
}

impl LastGood {
    pub(super) fn new(folder: &Path, name: &str) -> LastGood {
        LastGood {
            folder: folder.to_owned(),
            path: folder.join(format!("{name}.last-good")),
            unfinished: folder.join(format!("{name}.last-good.unfinished")),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The copy, if there is one that can be read.
    pub(super) fn load(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(MAX_DOCUMENT_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot read the last good copy");
                None
            }
        }
    }

    /// Written beside the old copy, flushed, and renamed over it.
    pub(super) fn save(&self, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = File::create(&self.unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_replaced_as_a_whole_and_an_unfinished_one_is_never_read() {
        let folder = tempfile::tempdir().unwrap();
        let copy = LastGood::new(&folder.path().join("made/on/demand"), "snapshot");
        assert_eq!(copy.load(), None);
        copy.save(b"one").unwrap();
        assert_eq!(copy.load(), Some(b"one".to_vec()));
        fs::write(&copy.unfinished, "tw").unwrap();
        assert_eq!(copy.load(), Some(b"one".to_vec()));
        copy.save(b"two").unwrap();
        assert_eq!(copy.load(), Some(b"two".to_vec()));
        assert!(!copy.unfinished.exists());
    }
}
