//! The cache engine: what may be kept and for how long, and where its bytes are. No sockets, no Pingora, no clock.
//!
//! ```text
//!            policy/  pure decisions: freshness, conditions, ranges, keys (RFC 9110, 9111, 5861)
//!            placement/  pure decisions: what a disk takes, and what stays when it makes room
//!
//!  peek ─────────────→ ram.rs      hot objects: small ones whole, larger ones in 256 KiB chunks
//!  look_up ──────────→ fill/  →  ram.rs  →  disks/ (reading.rs: one read for all who ask at once)
//!                                             └→ disk/ for each device: the log, and who looks after it
//!  claim → Lead ─────→ fill/       one fetch per object, however many ask
//!            Filler ─→ growing object ─→ readers of every core (relay.rs)
//!                        └→ RAM chunk by chunk, disk part by part (tiers.rs: where a version's bytes are)
//! ```
//!
//! Invariants, each held by a test:
//! - An object is fetched by one [`Lead`] at a time; everyone else joins it.
//! - A fill belongs to the cache: no reader's departure ends it, and none delays it while there is memory. When there
//!   is none it goes at the pace of its fastest reader, or of the disk (`fill/memory.rs`).
//! - An object that is being filled or written stays in the flight table until its disk copy is there or given up,
//!   so it is never in neither place.
//! - A reader gets the bytes of one version, in order, or an error: an aborted fill never looks like a short success.
//! - What is purged is not served to who asks after the purge, whatever is being filled, written, restarted or refreshed.
//! - A failing or full disk costs a copy, never a request.
//! - Nothing in here asks what time it is: whoever calls brings [`model::Moment`]s.

pub mod cache;
pub mod disk;
pub mod disks;
pub mod fill;
pub mod head;
pub mod key;
pub mod metrics;
pub mod object;
pub mod placement;
pub mod policy;
pub mod purge;
mod ram;
mod read_ahead;
pub mod reader;
mod reading;
pub mod relay;
mod tiers;
mod touched;
pub mod variation;
mod warming;

pub use cache::{Cache, Limits, LookUp};
pub use disk::Disk;
pub use disks::Disks;
pub use fill::{Claim, Failure, Filler, Flight, Lead, Outcome, Overrun, Varying};
pub use head::{Head, Made, Prepared};
pub use key::Key;
pub use metrics::Metrics;
pub use object::{Object, Source};
pub use reader::{ReadError, Reader};
pub use variation::Variation;
