//! Reads a range of an object, from wherever its bytes are at the moment: the growing object, RAM, disk.

use crate::{
    disk::Hold,
    fill::{
        Failure,
        followers::Follower,
        growing::{End, Found},
    },
    head::Head,
    object::{Object, Place, Source},
    ram::CHUNK_BYTES,
    read_ahead::{Brought, Read, ReadAhead},
    relay::Seat,
    tiers::{CHUNKS_PER_PART, Tiers},
    warming,
};
use bytes::Bytes;
use std::{
    fmt,
    future::poll_fn,
    ops::Range,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A range up to this length is read from disk as it is, in checksum units of 32 KiB, and is not kept in RAM: the
/// index of a film, asked for once, is not worth the rest of its chunk. Who asks for a piece of the same chunk next
/// brings all of it into RAM.
const SMALL_RANGE_BYTES: u64 = 64 << 10;

/// Reads one range of one object, in order. The same range of the same version always has the same bytes.
pub struct Reader {
    object: Object,
    position: u64,
    end: u64,
    /// The range is a small one ([`SMALL_RANGE_BYTES`]).
    small: bool,
    disk: ReadAhead,
    /// Keeps what is still to be read from disk there, once anything was. Apart: a hit in RAM needs none.
    hold: Option<Box<Hold>>,
    seat: Option<Seat>,
    /// Its place among the readers of a growing object.
    follower: Option<Follower>,
    failed: Option<ReadError>,
}

/// Why a reader cannot go on. The rest of the range starts at [`Reader::position`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The fill is further on than memory and disk reach back. Fetch the rest with a ranged request of your own.
    Lagged,
    /// RAM and disk have lost the next bytes. Before the first byte the object counts as absent; after it the rest can
    /// come from a new fill of the same representation, or the response must be broken off.
    Gone,
    /// The fill failed: the response must be broken off.
    Aborted(Failure),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Lagged => f.write_str("the reader fell behind the fill"),
            ReadError::Gone => f.write_str("the bytes were lost from cache while they were read"),
            ReadError::Aborted(failure) => write!(f, "the fill failed: {failure}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// What is next for a reader.
enum Next {
    Bytes(Bytes),
    End,
    /// Nothing yet: the fill will ring.
    Wait,
    /// It must be read from disk.
    OnDisk,
    Failed(ReadError),
}

impl Reader {
    pub(crate) fn new(object: Object, range: Range<u64>) -> Reader {
        let follower = match &object.place {
            Place::Growing(growing) => Some(Follower::join(growing, range.start)),
            _ => None,
        };
        let mut reader = Reader {
            object,
            position: range.start,
            end: range.end,
            small: range.end.saturating_sub(range.start) <= SMALL_RANGE_BYTES,
            disk: ReadAhead::default(),
            hold: None,
            seat: None,
            follower,
            failed: None,
        };
        if reader.object.source() == Source::Disk {
            // Its first chunk may have come with its head.
            reader.hold_what_follows();
        }
        reader
    }

    /// Where in the object the next byte comes from.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What has not been read yet. Its end is only a bound while nobody knows the object's length.
    #[must_use]
    pub fn rest(&self) -> Range<u64> {
        self.position..self.end
    }

    /// The object that is read.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The next bytes of the range, up to 256 KiB and as many as are at hand in one piece; `None` at its end.
    /// Cancel-safe. While the caller sends a chunk from disk, the next ones are being read.
    ///
    /// # Errors
    /// [`ReadError`], and the same again on every later call.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next bytes if they need no waiting: in memory already.
    pub fn try_next(&mut self) -> Option<Bytes> {
        match self.look() {
            Next::Bytes(bytes) => Some(self.advance(bytes)),
            _ => None,
        }
    }

    /// As [`Reader::next`], for those who poll.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        let mut next = self.look();
        if let (Next::Wait, Place::Growing(growing)) = (&next, &self.object.place) {
            growing.bell.listen(&mut self.seat, context.waker());
            next = self.look(); // What came between the look and the listening has rung for others only.
        }
        match next {
            Next::Bytes(bytes) => Poll::Ready(Ok(Some(self.advance(bytes)))),
            Next::End => Poll::Ready(Ok(None)),
            Next::Wait => Poll::Pending,
            Next::Failed(error) => Poll::Ready(Err(self.fail(error))),
            Next::OnDisk => match ready!(self.poll_disk(context)) {
                Some(bytes) => Poll::Ready(Ok(Some(self.advance(bytes)))),
                None => {
                    let error = self.lost();
                    Poll::Ready(Err(self.fail(error)))
                }
            },
        }
    }

    /// What there is at the reader's position.
    fn look(&self) -> Next {
        if let Some(error) = &self.failed {
            return Next::Failed(error.clone());
        }
        if self.position >= self.end {
            return Next::End;
        }
        match &self.object.place {
            Place::Whole { bytes, .. } => match usize::try_from(self.position) {
                Ok(position) if position < bytes.len() => Next::Bytes(bytes.slice(position..)),
                _ => Next::End,
            },
            Place::Tiers { tiers, .. } => self.look_into(tiers, self.object.head()),
            Place::Growing(growing) => match growing.at(self.position) {
                Found::Bytes(bytes) => Next::Bytes(bytes),
                Found::Released => self.look_into(&growing.tiers, &growing.head),
                Found::NotYet => Next::Wait,
                Found::End(End::Complete(_)) => Next::End,
                Found::End(End::Failed(failure)) => Next::Failed(ReadError::Aborted(failure)),
            },
        }
    }

    /// What the tiers have at the reader's position.
    fn look_into(&self, tiers: &Tiers, head: &Head) -> Next {
        let number = self.position / CHUNK_BYTES;
        if let Some(chunk) = tiers.ram.chunk(head.key.hash(), head.version, number) {
            if warming::is_sampled() {
                tiers.warm_on_disk(head, number / CHUNKS_PER_PART);
            }
            let start = usize::try_from(self.position % CHUNK_BYTES).unwrap_or(usize::MAX);
            return match start < chunk.len() {
                true => Next::Bytes(chunk.slice(start..)),
                false => Next::Failed(self.lost()),
            };
        }
        if self.disk.has(self.position) || tiers.on_disk(head, number / CHUNKS_PER_PART) {
            return Next::OnDisk;
        }
        Next::Failed(self.lost())
    }

    /// The error of bytes that are nowhere.
    fn lost(&self) -> ReadError {
        match &self.object.place {
            Place::Growing(_) => ReadError::Lagged,
            _ => ReadError::Gone,
        }
    }

    fn fail(&mut self, error: ReadError) -> ReadError {
        if self.failed.is_none() {
            if let Some(tiers) = self.object.tiers() {
                match &error {
                    ReadError::Lagged => tiers.metrics.lagged.inc(),
                    ReadError::Gone => tiers.metrics.gone.inc(),
                    ReadError::Aborted(_) => tiers.metrics.aborted_readers.inc(),
                }
            }
            self.failed = Some(error.clone());
            if let Some(follower) = &self.follower {
                follower.needs_no_more();
            }
        }
        error
    }

    /// Takes what the range wants of `bytes`, which begin at the reader's position.
    fn advance(&mut self, mut bytes: Bytes) -> Bytes {
        let wanted = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        bytes.truncate(wanted);
        self.position += bytes.len() as u64;
        if let Some(follower) = &self.follower {
            match self.position < self.end {
                true => follower.is_at(self.position),
                false => follower.needs_no_more(),
            }
        }
        if self.disk.window() > 0 {
            self.read_ahead();
        }
        bytes
    }

    /// The bytes at the reader's position from disk; `None` when it has them not.
    fn poll_disk(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if !self.disk.has(self.position) {
                let Some((range, read)) = self.read_at_position() else {
                    return Poll::Ready(None);
                };
                self.disk.begin(range, read);
                self.hold_what_follows();
                if !self.small && self.disk.window() == 0 {
                    self.disk.widen(CHUNK_BYTES / 2); // Doubled when the first chunk is there.
                }
            }
            match ready!(self.disk.poll(self.position, context)) {
                Brought::Bytes(bytes) => return Poll::Ready(Some(bytes)),
                Brought::NothingYet => {}
                Brought::Nothing => return Poll::Ready(None),
            }
        }
    }

    /// An object of which more than this chunk is to be read from disk is held there.
    fn hold_what_follows(&mut self) {
        let number = self.position / CHUNK_BYTES;
        if self.hold.is_none()
            && self.end > self.chunk_end(number)
            && let Some(tiers) = self.object.tiers()
        {
            let hold = tiers.hold(self.object.head(), number / CHUNKS_PER_PART);
            self.hold = hold.map(Box::new);
        }
    }

    /// What to read from disk for the reader's position: its chunk, or of a small range just the range.
    fn read_at_position(&self) -> Option<(Range<u64>, Read)> {
        let number = self.position / CHUNK_BYTES;
        let (tiers, head) = (self.object.tiers()?, self.object.head());
        if !self.small || tiers.touched.again(head.key.hash(), head.version, number) {
            return self.read_of_chunk(number);
        }
        let range = self.position..self.end.min(self.chunk_end(number));
        let read = {
            let (tiers, head, range) = (Arc::clone(tiers), Arc::clone(head), range.clone());
            async move { tiers.piece_from_disk(&head, range).await }
        };
        Some((range, Box::pin(read)))
    }

    fn read_of_chunk(&self, number: u64) -> Option<(Range<u64>, Read)> {
        let tiers = Arc::clone(self.object.tiers()?);
        let head = Arc::clone(self.object.head());
        let end = self.chunk_end(number);
        let read = async move { tiers.chunk_from_disk(&head, number, end).await };
        Some((number * CHUNK_BYTES..end, Box::pin(read)))
    }

    /// Has the next chunks of the range read that the disk has and RAM has not.
    fn read_ahead(&mut self) {
        self.disk.forget_before(self.position);
        self.disk.widen(CHUNK_BYTES);
        let Some(tiers) = self.object.tiers() else { return };
        let (tiers, head) = (Arc::clone(tiers), Arc::clone(self.object.head()));
        let first = self.position / CHUNK_BYTES;
        let end = self.end.min(self.known_length()).div_ceil(CHUNK_BYTES);
        let begun = self.disk.end().map_or(first, |end| end.div_ceil(CHUNK_BYTES));
        for number in begun.max(first)..end.min(first + self.disk.window() / CHUNK_BYTES) {
            if tiers.ram.has_chunk(head.key.hash(), head.version, number) {
                continue;
            }
            if !tiers.on_disk(&head, number / CHUNKS_PER_PART) {
                return;
            }
            let Some((range, read)) = self.read_of_chunk(number) else {
                return;
            };
            let Some(lease) = tiers.may_read_ahead(range.end - range.start) else {
                return;
            };
            self.disk.begin_early(range, read, lease);
        }
    }

    /// Where chunk `number` ends as far as it is known.
    fn chunk_end(&self, number: u64) -> u64 {
        ((number + 1) * CHUNK_BYTES).min(self.known_length())
    }

    /// Bytes that the object has by now: a chunk that ends there is whole.
    fn known_length(&self) -> u64 {
        match &self.object.place {
            Place::Growing(growing) => growing.length(),
            _ => self.object.head().length.unwrap_or(0),
        }
    }
}

impl Object {
    fn tiers(&self) -> Option<&Arc<Tiers>> {
        match &self.place {
            Place::Whole { .. } => None,
            Place::Tiers { tiers, .. } => Some(tiers),
            Place::Growing(growing) => Some(&growing.tiers),
        }
    }
}
