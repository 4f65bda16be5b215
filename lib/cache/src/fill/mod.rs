//! Fills: how an absent object comes into the cache once, however many ask for it.
//!
//! ```text
//!  claim ─┬─ Lead ──┬─ start ───→ Filler ──┬─ append … finish → RAM, disk; leaves the table when the disk has it
//!         │         ├─ start_variant, start_plain: the same, perhaps under another key (variants.rs)
//!         │         ├─ refreshed           └─ abort, or dropped
//!         │         ├─ uncacheable
//!         │         └─ failed, or dropped
//!         └─ Join ──→ outcome: object (growing from the first byte), uncacheable, or failed
//! ```

mod filler;
mod flight;
pub(crate) mod followers;
pub(crate) mod growing;
pub(crate) mod memory;
pub(crate) mod table;
mod uncacheable;
mod variants;

pub use filler::{Filler, Overrun};
pub use flight::{Claim, Flight, Lead, Outcome};
pub use variants::Varying;

use http::StatusCode;
use std::{fmt, sync::Arc};

/// Why there is no object, as the client may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client gets.
    pub status: StatusCode,
    /// Error type of RFC 9209 §2.3, such as `connection_timeout`.
    pub error: &'static str,
    /// One line for the log.
    pub detail: Arc<str>,
}

impl Failure {
    #[must_use]
    pub fn new(status: StatusCode, error: &'static str, detail: impl Into<Arc<str>>) -> Failure {
        Failure {
            status,
            error,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.error, self.detail)
    }
}
