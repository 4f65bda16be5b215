//! Batches of lines on their way to the writer thread, bounded in bytes.

use std::{collections::VecDeque, mem, time::Duration};

use parking_lot::{Condvar, Mutex};

use super::Metrics;

/// Empty buffers kept for the next batches, so that a warm log allocates nothing; one for each core of a large machine
/// would be too much to keep for ever.
const SPARE_BUFFERS_MAX: usize = 16;

/// Whole lines, each ended by a line feed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It would be over the bound.
    Full,
    /// The log is closed.
    Closed,
}

/// What the writer thread has to do next.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// To be written, in order.
    pub(super) batches: VecDeque<Batch>,
    /// To be done after writing.
    pub(super) reopen: bool,
    /// Nothing follows.
    pub(super) last: bool,
}

/// The queue; its lock is held for moving buffers only, never while writing.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something to do for the writer.
    work: Condvar,
    /// The writer has ended.
    ended: Condvar,
    bytes_max: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Bytes queued or being written.
    bytes: usize,
    spare: Vec<Vec<u8>>,
    reopen: bool,
    closing: bool,
    ended: bool,
}

impl Batch {
    pub(super) fn with_capacity(bytes: usize) -> Batch {
        Batch {
            bytes: Vec::with_capacity(bytes),
            lines: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines = 0;
    }
}

impl Queue {
    pub(super) fn new(bytes_max: usize, metrics: Metrics) -> Queue {
        Queue {
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
            bytes_max,
            metrics,
        }
    }

    /// Takes the batch and leaves an empty one in its place; a refused one is left as it is.
    pub(super) fn push(&self, batch: &mut Batch) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closing {
            return Err(Refused::Closed);
        }
        let bytes = state.bytes + batch.bytes.len();
        if bytes > self.bytes_max {
            return Err(Refused::Full);
        }
        let capacity = batch.bytes.capacity();
        let empty = state.spare.pop().unwrap_or_else(|| Vec::with_capacity(capacity));
        state.batches.push_back(mem::replace(
            batch,
            Batch {
                bytes: empty,
                lines: 0,
            },
        ));
        self.set_bytes(&mut state, bytes);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn ask_to_reopen(&self) {
        self.state.lock().reopen = true;
        self.work.notify_one();
    }

    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.work.notify_one();
    }

    /// Whether the writer ended within `patience`.
    pub(super) fn wait_until_closed(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        self.ended
            .wait_while_for(&mut state, |state| !state.ended, patience);
        state.ended
    }

    /// For the writer: what to do next, as soon as there is something.
    pub(super) fn next(&self) -> Work {
        let mut state = self.state.lock();
        while state.batches.is_empty() && !state.reopen && !state.closing {
            self.work.wait(&mut state);
        }
        Work {
            batches: mem::take(&mut state.batches),
            reopen: mem::take(&mut state.reopen),
            last: state.closing,
        }
    }

    /// For the writer: the batch was dealt with.
    pub(super) fn done(&self, mut batch: Batch) {
        let mut state = self.state.lock();
        let bytes = state.bytes - batch.bytes.len();
        self.set_bytes(&mut state, bytes);
        if state.spare.len() < SPARE_BUFFERS_MAX {
            batch.clear();
            state.spare.push(batch.bytes);
        }
    }

    /// For the writer: it ends.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.ended.notify_all();
    }

    fn set_bytes(&self, state: &mut State, bytes: usize) {
        state.bytes = bytes;
        self.metrics
            .queue_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
