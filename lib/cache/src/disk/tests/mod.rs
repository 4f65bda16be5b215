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
    DiskMetrics::register(&Registry::new(), "test").expect("an empty registry")
}

/// Bytes that no other `stamp` has, and no other place in the same body.
fn body(stamp: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    let mut line = [0; 64];
    SmallRng::seed_from_u64(stamp).fill_bytes(&mut line);
    for (number, chunk) in bytes.chunks_mut(line.len()).enumerate() {
        line[..8].copy_from_slice(&(stamp << 32 | number as u64).to_le_bytes());
        chunk.copy_from_slice(&line[..chunk.len()]);
    }
    bytes.into()
}
