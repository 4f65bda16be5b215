//! From a node's `/metrics` to a sample, or to the reason why there is none.
//!
//! A text that would give wrong totals gives none: a count that is missing in one sample and back in the next would
//! look like a restart, and then like everything the node ever did within ten seconds.

use std::fmt;

use model::Moment;

use super::sample::Sample;
use super::text;
use super::totals::Totals;

/// A longer text is not read: 1000 nodes are asked every 10 s, and the largest of ours tell 200 KB.
const LONGEST_TEXT: usize = 8 << 20;

/// A sample, and how many lines of the text were skipped because they break the format.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub(super) sample: Sample,
    pub(super) malformed_lines: u64,
}

/// Why a text gives no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is longer than any node's.
    TooLong { bytes: usize },
    /// It does not end with a line feed: the rest of it was lost.
    CutShort,
    /// Counts that it tells are no counts, so that its totals are too low.
    Broken { lines: u64 },
    /// Nothing in it is a node's.
    Foreign,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::TooLong { bytes } => write!(
                f,
                "/metrics is {bytes} bytes long, at most {LONGEST_TEXT} are read; see which metric has so many labels"
            ),
            Unreadable::CutShort => f.write_str(
                "/metrics does not end with a line feed, so that some of it was lost; see what lies between \
                 monitor and node",
            ),
            Unreadable::Broken { lines } => write!(
                f,
                "{lines} lines of /metrics that should be counts are none; compare the versions of monitor and node"
            ),
            Unreadable::Foreign => f.write_str(
                "/metrics tells nothing of a node; see whether the address is that of its admin port",
            ),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Reads what a node said at `at`.
pub(super) fn read(text: &str, at: Moment) -> Result<Reading, Unreadable> {
    if text.len() > LONGEST_TEXT {
        return Err(Unreadable::TooLong { bytes: text.len() });
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(Unreadable::CutShort);
    }
    let mut totals = Totals::default();
    let mut malformed_lines = 0;
    for line in text::lines(text) {
        let taken = line.and_then(|line| totals.take(line));
        malformed_lines += u64::from(taken.is_err());
    }
    if totals.broken_lines > 0 {
        return Err(Unreadable::Broken {
            lines: totals.broken_lines,
        });
    }
    if !totals.is_of_a_node {
        return Err(Unreadable::Foreign);
    }
    Ok(Reading {
        sample: totals.into_sample(at),
        malformed_lines,
    })
}
