//! What the one who puts something knows of it, and the disk cannot: it decides whether and where that is written.

use crate::head::Head;
use http::header::{ETAG, LAST_MODIFIED};
use model::Moment;
use std::time::Duration;

/// Of an object, told with each of its records. [`Hints::default`] is for when nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// Bytes of the whole object.
    pub length: Option<u64>,
    /// A moment that has passed, as late as is known: the engine has no clock.
    pub now: Option<Moment>,
    /// When it becomes stale.
    pub fresh_until: Option<Moment>,
    /// How long it is fresh in all. Less than [`crate::placement::LEAST_LIFETIME`] keeps a small object off the disk.
    pub lifetime: Option<Duration>,
    /// It has a validator, so it may be of use when it is stale.
    pub revalidates: bool,
    /// It is the head of bytes that may be on disk under an older one, which promises more: refused, that would come back
    /// after a restart.
    pub outdates: bool,
    /// How many readers it has had beside the first, up to [`crate::placement::MOST_HEAT`].
    pub heat: u8,
}

impl Hints {
    /// What a head says. `heat` is for the caller to add.
    #[must_use]
    pub fn of(head: &Head) -> Hints {
        let freshness = &head.freshness;
        Hints {
            length: head.length,
            now: Some(freshness.generated_at),
            fresh_until: Some(freshness.generated_at + freshness.lifetime),
            lifetime: Some(freshness.lifetime),
            // What leads to variants is of use as long as they are.
            revalidates: head.fields.contains_key(ETAG)
                || head.fields.contains_key(LAST_MODIFIED)
                || head.variation().is_some(),
            ..Hints::default()
        }
    }
}
