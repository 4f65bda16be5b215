//! Reads the files that a table is compiled from, none of them larger than its reader takes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{Source, Sources, coverage, database, latency};

/// Where the sources are, each where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    /// An mmdb.
    pub(crate) database: Option<PathBuf>,
    /// Coverage zones.
    pub(crate) coverage: Option<PathBuf>,
    /// Measured latency.
    pub(crate) latency: Option<PathBuf>,
}

/// The sources in memory.
#[derive(Default)]
pub(crate) struct Documents {
    database: Option<Document>,
    coverage: Option<Document>,
    latency: Option<Document>,
}

struct Document {
    name: String,
    bytes: Vec<u8>,
}

impl Paths {
    /// Each source, by what it is called.
    pub(crate) fn named(&self) -> [(&'static str, Option<&Path>); 3] {
        [
            ("database", self.database.as_deref()),
            ("coverage", self.coverage.as_deref()),
            ("latency", self.latency.as_deref()),
        ]
    }

    /// Reads all files. Blocks.
    ///
    /// # Errors
    ///
    /// A sentence for every file that cannot be read or is too large.
    pub(crate) fn read(&self) -> Result<Documents, Vec<String>> {
        let mut complaints = Vec::new();
        let mut of = |path: &Option<PathBuf>, most| {
            let read = document(path.as_deref()?, most);
            read.map_err(|complaint| complaints.push(complaint)).ok()
        };
        let documents = Documents {
            database: of(&self.database, database::MOST_BYTES),
            coverage: of(&self.coverage, coverage::MOST_BYTES),
            latency: of(&self.latency, latency::MOST_BYTES),
        };
        if complaints.is_empty() {
            Ok(documents)
        } else {
            Err(complaints)
        }
    }
}

impl Documents {
    /// The bytes of each source that there is, by what it is called, as [`Paths::named`] has it.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let all = [
            ("database", &self.database),
            ("coverage", &self.coverage),
            ("latency", &self.latency),
        ];
        all.into_iter()
            .filter_map(|(kind, document)| Some((kind, &*document.as_ref()?.bytes)))
    }

    /// Other bytes have another hash.
    pub(crate) fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        for (kind, bytes) in self.named() {
            hash.update(kind.as_bytes());
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.digest()
    }

    /// As [`super::compile`] takes them.
    pub(crate) fn sources(&self) -> Sources<'_> {
        Sources {
            database: self.database.as_ref().map(Document::source),
            coverage: self.coverage.as_ref().map(Document::source),
            latency: self.latency.as_ref().map(Document::source),
            measured: None,
        }
    }
}

impl Document {
    fn source(&self) -> Source<'_> {
        Source {
            name: &self.name,
            bytes: &self.bytes,
        }
    }
}

fn document(path: &Path, most: usize) -> Result<Document, String> {
    let name = path.display().to_string();
    let bytes = bytes(path, most)
        .map_err(|error| format!("{name}: it cannot be read: {error}; mend the path, or who may read it"))?;
    if bytes.len() > most {
        return Err(format!(
            "{name}: it has more than {most} bytes; see that it is the right file"
        ));
    }
    Ok(Document { name, bytes })
}

/// At most one byte more than `most`, by which the caller knows.
fn bytes(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_read_and_named_by_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zones.json");
        fs::write(&path, "{}").unwrap();
        let paths = Paths {
            coverage: Some(path.clone()),
            ..Paths::default()
        };
        let documents = paths.read().unwrap();
        let sources = documents.sources();
        let coverage = sources.coverage.unwrap();
        assert_eq!(
            (coverage.name, coverage.bytes),
            (path.to_str().unwrap(), &b"{}"[..])
        );
        assert!(sources.database.is_none() && sources.latency.is_none());
    }

    #[test]
    fn every_file_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let paths = Paths {
            database: Some(missing.clone()),
            coverage: Some(folder.path().to_owned()),
            latency: None,
        };
        let complaints = paths.read().err().unwrap();
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].starts_with(&format!("{}: it cannot be read: ", missing.display())));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency.csv");
        fs::write(&path, [b'#'; 100]).unwrap();
        assert!(document(&path, 100).is_ok());
        assert!(document(&path, 99).err().unwrap().contains("more than 99 bytes"));
    }
}
