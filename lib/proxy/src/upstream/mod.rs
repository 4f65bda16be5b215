//! What this node asks when it has no answer itself: candidates, names, health, connections, the exchange.
//!
//! ```text
//!  key → choose (rendezvous, health) → admit (ticket) → limit (permit) → names (address) → exchange → answer
//!          ↑ next candidate, while the retry budget allows ←────────────── no answer ←───────┘
//! ```

mod ask;
pub mod budget;
pub mod choose;
pub mod client;
pub mod error;
pub mod exchange;
mod head;
pub mod health;
pub mod limit;
pub mod metrics;
pub mod names;
pub mod probe;
mod table;
mod wire;

pub use ask::{Asked, Unanswered, Upstreams};
pub use choose::{Candidate, Candidates, Source};
pub use client::{Client, Nobody, RequestBody};
