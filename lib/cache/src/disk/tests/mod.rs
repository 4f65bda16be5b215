//! Stories that take the whole tier, or most of it.

mod amplification;
mod damage;
mod faults;
mod golden;
mod inspect;
mod journal;
mod simulation;
mod stories;

use super::Found;
use super::device::Buffers;
use super::device::deadlines::Deadlines;
use super::device::reads::Reads;
use super::metrics::DiskMetrics;
use super::read::{self, Miss};
use super::store::Store;
use bytes::Bytes;
use prometheus::{IntGauge, Registry};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

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

thread_local! {
    /// Kept between reads: a simulation makes a million of them.
    static MEMORY: (Buffers, Arc<Deadlines>) = (
        Buffers::new(16 << 20, IntGauge::new("bytes", "bytes").expect("a gauge")),
        Arc::new(Deadlines::start(Duration::from_secs(60)).expect("a thread")),
    );
}

/// A head, from a device that answers at once.
fn read_head(store: &Store, key_hash: u128, key_text: &str) -> Result<Found, Miss> {
    at_once(read::read_head(store, &reads(store), key_hash, key_text))
}

/// A range of a part, from a device that answers at once.
fn read_part(
    store: &Store,
    key_hash: u128,
    version: u64,
    part: u32,
    range: Range<u32>,
) -> Result<Bytes, Miss> {
    at_once(read::read_part(
        store,
        &reads(store),
        (key_hash, version, part),
        range,
    ))
}

fn reads(store: &Store) -> Reads {
    MEMORY.with(|(buffers, deadlines)| Reads::new(store.device.clone(), buffers.clone(), deadlines.clone()))
}

fn at_once<T>(reading: impl Future<Output = T>) -> T {
    patient(reading, || panic!("the device makes us wait"))
}

/// Awaits a reading that ends once `go_on` was called, if not before.
fn patient<T>(reading: impl Future<Output = T>, go_on: impl FnOnce()) -> T {
    let mut reading = std::pin::pin!(reading);
    let mut context = Context::from_waker(Waker::noop());
    if let Poll::Ready(found) = reading.as_mut().poll(&mut context) {
        return found;
    }
    go_on();
    match reading.poll(&mut context) {
        Poll::Ready(found) => found,
        Poll::Pending => panic!("the device still makes us wait"),
    }
}
