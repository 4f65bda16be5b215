//! What can be wrong with a configuration file, all of it at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line it is about, from 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// The key it is about, such as `tls.certificates[0].key`; empty when it is about the file as a whole.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do; empty where `what` says it all.
    pub advice: String,
}

/// Everything that is wrong with one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    file: PathBuf,
    list: Vec<Complaint>,
}

impl Complaints {
    pub(super) fn new(file: &Path, mut list: Vec<Complaint>) -> Complaints {
        list.sort_by_key(|complaint| complaint.line);
        Complaints {
            file: file.to_owned(),
            list,
        }
    }

    /// The complaints, first line first. Never empty.
    #[must_use]
    pub fn list(&self) -> &[Complaint] {
        &self.list
    }
}

/// One line per complaint: `file:line: key: what; what to do`.
impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, complaint) in self.list.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(line) = complaint.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {complaint}")?;
        }
        Ok(())
    }
}

/// `key: what; what to do`.
impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.what)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}
