//! Stories that take the whole tier, or most of it.

mod damage;
mod golden;
mod simulation;
mod stories;

use super::metrics::DiskMetrics;
use bytes::Bytes;
use prometheus::Registry;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

fn metrics() -> DiskMetrics {
    DiskMetrics::register(&Registry::new()).expect("an empty registry")
}

/// Bytes that no other `stamp` has.
fn body(stamp: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(stamp).fill_bytes(&mut bytes);
    bytes.into()
}
