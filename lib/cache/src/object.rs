//! An object to serve: its head, and where its bytes are.

use crate::{
    fill::growing::{End, Growing},
    head::Head,
    ram::{CHUNK_BYTES, Cell},
    reader::{ReadError, Reader},
    relay::Seat,
    tiers::Tiers,
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    ops::{Bound, Range, RangeBounds},
    sync::Arc,
    task::Poll,
};

/// A head and the way to its bytes. Cheap to clone; two objects of one version have the same bytes.
#[derive(Clone)]
pub struct Object {
    head: Arc<Head>,
    pub(crate) place: Place,
}

/// Where an object was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Ram,
    Disk,
    /// Being fetched, or fetched a moment ago.
    Fill,
}

#[derive(Clone)]
pub(crate) enum Place {
    /// All of it, in memory.
    Whole {
        bytes: Bytes,
        source: Source,
    },
    /// Chunks in RAM, parts on disk.
    Tiers {
        tiers: Arc<Tiers>,
        source: Source,
    },
    Growing(Arc<Growing>),
}

impl Object {
    pub(crate) fn of_cell(cell: Cell, tiers: &Arc<Tiers>, source: Source) -> Object {
        let place = match cell.whole {
            Some(bytes) => Place::Whole { bytes, source },
            None => Place::Tiers {
                tiers: Arc::clone(tiers),
                source,
            },
        };
        Object {
            head: cell.head,
            place,
        }
    }

    pub(crate) fn of_growing(growing: &Arc<Growing>) -> Object {
        Object {
            head: Arc::clone(&growing.head),
            place: Place::Growing(Arc::clone(growing)),
        }
    }

    /// The same bytes under a head that knows more of them.
    pub(crate) fn with_head(self, head: Arc<Head>) -> Object {
        Object { head, ..self }
    }

    /// What is known of it but its bytes. Its `length` stays `None` where a fill began without `Content-Length`, also
    /// when that has ended meanwhile: [`Object::length`] knows it then.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// The whole body, where it is at hand in one piece: at most 64 KiB, complete, in memory.
    #[must_use]
    pub fn whole(&self) -> Option<&Bytes> {
        match &self.place {
            Place::Whole { bytes, .. } => Some(bytes),
            Place::Tiers { .. } => None,
            Place::Growing(growing) => growing.whole(),
        }
    }

    /// Where it was found.
    #[must_use]
    pub fn source(&self) -> Source {
        match &self.place {
            Place::Whole { source, .. } | Place::Tiers { source, .. } => *source,
            Place::Growing(_) => Source::Fill,
        }
    }

    /// Whether bytes may still be added.
    #[must_use]
    pub fn is_growing(&self) -> bool {
        matches!(&self.place, Place::Growing(growing) if growing.end().is_none())
    }

    /// Its length in bytes; of a growing object without `Content-Length` only once that has ended. Cancel-safe.
    ///
    /// # Errors
    /// [`ReadError::Aborted`] when the fill fails before its end.
    pub async fn length(&self) -> Result<u64, ReadError> {
        if let Some(length) = self.head.length {
            return Ok(length);
        }
        let Place::Growing(growing) = &self.place else {
            // Only the head of a growing object has no length.
            return Ok(self.whole().map_or(0, |whole| whole.len() as u64));
        };
        let mut seat: Option<Seat> = None;
        poll_fn(|context| {
            if growing.end().is_none() {
                growing.bell.listen(&mut seat, context.waker());
            }
            match growing.end() {
                Some(End::Complete(length)) => Poll::Ready(Ok(length)),
                Some(End::Failed(failure)) => Poll::Ready(Err(ReadError::Aborted(failure))),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Whether `range` can be read to its end, as far as one can tell: what is in a tier may still be evicted before
    /// it is read, and a fill may fail.
    #[must_use]
    pub fn covers(&self, range: &Range<u64>) -> bool {
        match &self.place {
            Place::Whole { bytes, .. } => range.end <= bytes.len() as u64,
            Place::Tiers { tiers, .. } => {
                self.head.length.is_some_and(|length| range.end <= length) && tiers.covers(&self.head, range)
            }
            Place::Growing(growing) => growing_covers(growing, range),
        }
    }

    /// Reads `range`; an end beyond the object's means its end.
    #[must_use]
    pub fn reader(&self, range: impl RangeBounds<u64>) -> Reader {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Reader::new(self.clone(), start..end.min(self.head.length.unwrap_or(u64::MAX)))
    }
}

/// What has arrived must be here or in a tier; what is to come counts as present, up to the known length.
fn growing_covers(growing: &Growing, range: &Range<u64>) -> bool {
    let longest = match growing.end() {
        Some(End::Failed(_)) => return false,
        Some(End::Complete(length)) => length,
        None => growing.head.length.unwrap_or(u64::MAX),
    };
    let released = range.start..range.end.min(growing.first_kept() * CHUNK_BYTES);
    range.end <= longest && growing.tiers.covers(&growing.head, &released)
}
