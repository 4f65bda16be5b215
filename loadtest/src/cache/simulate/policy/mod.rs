//! Caches in miniature: what each policy would have kept of a trace. No bytes are moved, only counted.

mod fifo;
mod lru;
mod millrace;
mod s3fifo;

use model::Moment;

use super::trace::{Object, Trace};

/// A cache of a fixed number of bytes under some policy.
pub(super) trait Policy {
    /// Asks for an object: `true` is a hit. What was missed is stored as the policy sees fit.
    fn request(&mut self, at: Moment, object: Object, bytes: u32) -> bool;

    /// What was written so far.
    fn written(&self) -> Written;
}

/// Bytes that went to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Of objects that were fetched and stored.
    pub(super) admitted_bytes: u64,
    /// Of objects that were written again so that they stay.
    pub(super) copied_bytes: u64,
    /// Everything else: headers, tables, padding, footers.
    pub(super) overhead_bytes: u64,
}

impl Written {
    pub(super) fn all_bytes(&self) -> u64 {
        self.admitted_bytes + self.copied_bytes + self.overhead_bytes
    }

    /// What was added since `earlier`.
    pub(super) fn since(&self, earlier: Written) -> Written {
        Written {
            admitted_bytes: self.admitted_bytes - earlier.admitted_bytes,
            copied_bytes: self.copied_bytes - earlier.copied_bytes,
            overhead_bytes: self.overhead_bytes - earlier.overhead_bytes,
        }
    }
}

/// The policies that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Millrace,
    Lru,
    Fifo,
    S3Fifo,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Millrace, Kind::Lru, Kind::Fifo, Kind::S3Fifo];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Millrace => "Millrace",
            Kind::Lru => "LRU",
            Kind::Fifo => "FIFO",
            Kind::S3Fifo => "S3-FIFO",
        }
    }

    /// An empty cache of `capacity_bytes` for the objects of `trace`.
    pub(super) fn build(self, capacity_bytes: u64, trace: &Trace) -> Box<dyn Policy> {
        let objects = trace.sizes.len();
        match self {
            Kind::Millrace => Box::new(millrace::Millrace::new(capacity_bytes)),
            Kind::Lru => Box::new(lru::Lru::new(capacity_bytes, objects)),
            Kind::Fifo => Box::new(fifo::Fifo::new(capacity_bytes, objects)),
            Kind::S3Fifo => Box::new(s3fifo::S3Fifo::new(capacity_bytes, objects)),
        }
    }
}
