//! Purges: "everything that matches this and was stored before that sequence is gone, or stale". Pure: no I/O, no clock.
//!
//! ```text
//!  Purge ──→ purges.rs ──→ live.rs      what is purged: one table of names, looked at when a head is judged
//!              │  latest ───→ Head      a head remembers up to where it was judged: a hot hit is a load and a compare
//!              └──→ Entry ──→ disk/journal  durable, on every device
//! ```
//!
//! **Sequences** ([`sequence`]) order purges, and objects among them: an object carries the sequence of the latest purge
//! known when it was claimed, before upstream was asked. So a purge covers fills under way, and a look at the clock is
//! needed for purges only. [`crate::Head`] has two of them: `sequence` as drawn (validated after it, so what a 304
//! confirms gets a new one), and *checked*, up to where it was judged and may stay. Only the latter grows with time.
//!
//! **What a purge names** ([`What`]):
//! - A *URL* is one key; its variants, whose keys begin with its text and a `#`, go with it.
//! - A *prefix* covers whole segments of the path: `/films/a` covers `/films/a`, `/films/a?x=1` and `/films/a/b`, not
//!   `/films/ab`; `/films/a/` covers only what is below; `/` the whole service. Queries take no part: where a path is
//!   covered, all its queries are. (Who is used to character prefixes, as of a Varnish ban `^/films/a`, purges the
//!   segment above or uses tags.)
//! - A *tag* is a member of `Surrogate-Key`, `Cache-Tag` or `Cache-Groups` ([`tags`]), compared byte by byte.
//! - A *service* is everything of it.
//!
//! **Hard or soft.** What is purged hard is not there any more. What is purged softly is stale from the moment of the
//! purge: served under the rules for stale objects while it is revalidated, and fresh again when a 304 confirms it.
//!
//! **The floor.** A purge is forgotten when nothing older can be stored. When it is, [`Purges`] (and its journal)
//! remembers that everything not judged since is not believed. So no mistake about ages, no device that comes back late
//! and no lost footer can bring a purged object back: at worst an object that could have stayed is fetched anew.

mod live;
mod metrics;
mod name;
mod purges;
pub mod sequence;
pub mod tags;
#[cfg(test)]
mod tests;

pub use metrics::PurgeMetrics;
pub use name::{Kind, Name};
pub(crate) use purges::{Admission, Floor};
pub use purges::{Fate, Purges};

use crate::key::Key;
use std::{fmt, io};

/// The longest path prefix and the longest name of a service or tag, in bytes: what a target and a tag may have.
pub const NAME_BYTES_MAX: usize = 8 * 1024;

/// A request to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub what: What,
    pub mode: Mode,
    /// The sequence that another node gave this purge: ours will not be lower. 0 when the purge begins here.
    pub not_before: u64,
}

/// What a purge names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One key, with all its variants.
    Url(Key),
    /// Everything of a service whose path is `path` or below; whole segments, whatever the query.
    Prefix { service: Box<str>, path: Box<str> },
    /// Everything of a service that carries the tag.
    Tag { service: Box<str>, tag: Box<str> },
    /// Everything of a service.
    Service(Box<str>),
}

/// What becomes of what is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is gone.
    Hard,
    /// It is stale from now on.
    Soft,
}

/// A purge as it is journalled: what is named, and everything judged before `sequence` is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Name,
    pub mode: Mode,
    pub sequence: u64,
    /// By how many milliseconds the sequence ran ahead of the clock: what is purged softly is stale from the moment of
    /// the purge, also where another node's clock, or ours before it was set back, has given a later sequence.
    pub ahead_ms: u32,
}

/// All that a journal knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub entries: Vec<Entry>,
    /// The journal is complete up to this purge, but for what was forgotten.
    pub latest: u64,
    /// The latest purge that was forgotten: nothing that was last judged before it may be believed.
    pub forgotten: u64,
}

/// The acknowledgement of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Everything that matches and was claimed before it is covered.
    pub sequence: u64,
}

/// Why a purge was not acknowledged.
#[derive(Debug)]
pub enum PurgeError {
    /// It names nothing that could be stored, or carries a sequence from a clock that is wrong. Nothing was done.
    Invalid(&'static str),
    /// No device has recorded it. It is in force until this process ends; purge again to make it durable.
    NotDurable(io::Error),
}

impl fmt::Display for PurgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PurgeError::Invalid(why) => write!(f, "the purge is refused: {why}"),
            PurgeError::NotDurable(_) => f.write_str(
                "the purge is in force but would not survive a restart: the cache's disks did not record it; purge again",
            ),
        }
    }
}

impl std::error::Error for PurgeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PurgeError::Invalid(_) => None,
            PurgeError::NotDurable(error) => Some(error),
        }
    }
}

impl What {
    /// Refuses what no object can match.
    ///
    /// # Errors
    /// [`PurgeError::Invalid`].
    pub fn check(&self) -> Result<(), PurgeError> {
        let (service, rest) = match self {
            What::Url(_) => return Ok(()),
            What::Prefix { service, path } => (service, Some(path)),
            What::Tag { service, tag } => (service, Some(tag)),
            What::Service(service) => (service, None),
        };
        let complaint = match (self, rest) {
            _ if service.is_empty() || service.contains('/') => {
                "a service's name is not empty and has no slash"
            }
            (_, Some(rest)) if rest.len() > NAME_BYTES_MAX => "a prefix or tag has 8 KiB at most",
            (What::Prefix { .. }, Some(path)) if !path.starts_with('/') => "a prefix begins with a slash",
            (What::Prefix { .. }, Some(path)) if path.contains(['?', '#']) => {
                "a prefix is a path: all its queries go with it"
            }
            (What::Prefix { .. }, Some(path)) if name::segments(path) > name::SEGMENTS_MAX => {
                "a prefix has 64 segments at most"
            }
            (What::Tag { .. }, Some(tag)) if tag.is_empty() || tag.len() > tags::TAG_BYTES_MAX => {
                "a tag has 1 to 1,024 bytes"
            }
            _ => return Ok(()),
        };
        Err(PurgeError::Invalid(complaint))
    }
}
