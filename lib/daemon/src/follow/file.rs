//! A document in a file, read when the file is another one than before.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::MAX_DOCUMENT_BYTES;
use super::source::{Look, Reading};

pub(super) struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What changes when a file is written to, or another is renamed over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Watched {
    pub(super) fn new(path: PathBuf) -> Watched {
        Watched { path, seen: None }
    }

    pub(super) fn look(&mut self, look: Look) -> Result<Reading, String> {
        let mut file = File::open(&self.path).map_err(|error| error.to_string())?;
        let stamp = Stamp::of(&file.metadata().map_err(|error| error.to_string())?);
        if look == Look::ForChanges && self.seen == Some(stamp) {
            return Ok(Reading::Unchanged);
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(MAX_DOCUMENT_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        // The stamp is older than the bytes: what is written while they are read is seen at the next look.
        self.seen = Some(stamp);
        if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(format!("is larger than {MAX_DOCUMENT_BYTES} bytes"));
        }
        Ok(Reading::Changed(bytes))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_when_it_is_new_when_it_changed_and_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("document");
        let mut watched = Watched::new(path.clone());
        assert!(
            watched
                .look(Look::ForChanges)
                .unwrap_err()
                .contains("No such file")
        );

        std::fs::write(&path, "one").unwrap();
        assert_eq!(
            watched.look(Look::ForChanges),
            Ok(Reading::Changed(b"one".to_vec()))
        );
        assert_eq!(watched.look(Look::ForChanges), Ok(Reading::Unchanged));
        assert_eq!(watched.look(Look::Again), Ok(Reading::Changed(b"one".to_vec())));

        // Same length, and perhaps within one tick of the clock: a rename over the old file is seen all the same.
        let next = folder.path().join("next");
        std::fs::write(&next, "two").unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(
            watched.look(Look::ForChanges),
            Ok(Reading::Changed(b"two".to_vec()))
        );

        std::fs::remove_file(&path).unwrap();
        assert!(watched.look(Look::ForChanges).is_err());
    }
}
