//! For tests: a scripted origin, a strict client, daemons as real processes, ports, certificates, chance with a seed.
//!
//! Invariants:
//! - Everything runs on real sockets and real processes; nothing here stands in for a part of the product.
//! - Nothing waits by sleeping: [`eventually`] polls with a deadline, and a [`origin::Gate`] holds bytes back until a
//!   test lets them go.
//! - A response is only as good as its strictest reading: [`client`] copes with nothing.

mod body;
pub mod cdn;
pub mod certificates;
pub mod chance;
pub mod client;
pub mod dns;
mod eventually;
pub mod geography;
mod machine;
pub mod origin;
pub mod ports;
pub mod process;
pub mod samples;

pub use body::{body, sha256};
pub use chance::{Chance, seed};
pub use eventually::{Look, eventually, eventually_async, within, within_async};
pub use machine::unix_millis;
