//! The nouns of a CDN: sites, nodes, services, and the snapshot that joins them. No I/O, no async, no clock.
//!
//! Everything here is inert data and pure functions over it. A [`Snapshot`] is read from JSON, checked as a whole
//! ([`Snapshot::check`]), and from then on trusted by every other room.

pub mod address;
pub mod check;
pub mod compression;
pub mod country;
mod distance;
pub mod health;
pub mod hosts;
pub mod moment;
pub mod node;
pub mod quantity;
pub mod rendezvous;
pub mod round_trip;
pub mod routing;
pub mod service;
pub mod snapshot;
pub mod template;
mod timestamp;
pub mod zone;

pub use address::OriginAddress;
pub use check::Complaint;
pub use compression::Compression;
pub use country::Country;
pub use moment::Moment;
pub use node::{Node, Site, Status, Tier};
pub use quantity::{Period, Size};
pub use routing::Routing;
pub use service::Service;
pub use snapshot::Snapshot;
pub use zone::Zone;
