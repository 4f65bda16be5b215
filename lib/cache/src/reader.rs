//! Reads a range of an object, from wherever its bytes are at the moment: the growing object, RAM, disk.

use crate::{
    fill::{
        Failure,
        growing::{End, Found},
    },
    head::Head,
    object::{Object, Place},
    ram::CHUNK_BYTES,
    relay::Seat,
    tiers::{CHUNKS_PER_PART, Tiers},
};
use bytes::Bytes;
use std::{
    fmt,
    future::{Future, poll_fn},
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Reads one range of one object, in order. The same range of the same version always has the same bytes.
pub struct Reader {
    object: Object,
    position: u64,
    end: u64,
    /// The chunk that is coming from disk: the one wanted now, or the next.
    fetch: Option<Fetch>,
    seat: Option<Seat>,
    failed: Option<ReadError>,
}

/// Why a reader cannot go on. The rest of the range starts at [`Reader::position`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The fill is further on than memory and disk reach back. Fetch the rest with a ranged request of your own.
    Lagged,
    /// RAM and disk have lost the next bytes. Before the first byte the object counts as absent; after it the response
    /// must be broken off.
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

/// A chunk on its way from disk. It lives here and not in a caller's future, so a caller may come and go.
struct Fetch {
    number: u64,
    state: FetchState,
}

enum FetchState {
    Running(Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>),
    Done(Option<Bytes>),
}

/// What is next for a reader.
enum Next {
    Bytes(Bytes),
    End,
    /// Nothing yet: the fill will ring.
    Wait,
    /// The chunk must be read from disk.
    OnDisk(u64),
    Failed(ReadError),
}

impl Reader {
    pub(crate) fn new(object: Object, range: Range<u64>) -> Reader {
        Reader {
            object,
            position: range.start,
            end: range.end,
            fetch: None,
            seat: None,
            failed: None,
        }
    }

    /// Where in the object the next byte comes from.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The object that is read.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The next bytes of the range, up to 256 KiB and as many as are at hand in one piece; `None` at its end.
    /// Cancel-safe. While the caller sends a chunk from disk, the next one is being read.
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
            Next::OnDisk(number) => match ready!(self.poll_fetch(number, context)) {
                Some(chunk) => {
                    self.fetch_ahead(number + 1, context);
                    let start = usize::try_from(self.position - number * CHUNK_BYTES).unwrap_or(usize::MAX);
                    Poll::Ready(Ok(Some(self.advance(chunk.slice(start.min(chunk.len())..)))))
                }
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
            let start = usize::try_from(self.position % CHUNK_BYTES).unwrap_or(usize::MAX);
            return match start < chunk.len() {
                true => Next::Bytes(chunk.slice(start..)),
                false => Next::Failed(self.lost()),
            };
        }
        if self.fetch.as_ref().is_some_and(|fetch| fetch.number == number)
            || tiers.on_disk(head, number / CHUNKS_PER_PART)
        {
            return Next::OnDisk(number);
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
        }
        error
    }

    /// Takes what the range wants of `bytes`, which begin at the reader's position.
    fn advance(&mut self, mut bytes: Bytes) -> Bytes {
        let wanted = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        bytes.truncate(wanted);
        self.position += bytes.len() as u64;
        bytes
    }

    /// The chunk from disk; a fetch of another chunk is forgotten.
    fn poll_fetch(&mut self, number: u64, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.fetch.as_ref().is_none_or(|fetch| fetch.number != number) {
            self.fetch = self.start_fetch(number);
        }
        let Some(fetch) = &mut self.fetch else {
            return Poll::Ready(None);
        };
        let chunk = ready!(fetch.poll(context)).clone();
        self.fetch = None;
        Poll::Ready(chunk)
    }

    /// Begins to read chunk `number` before it is asked for, if the range goes on there and RAM has it not.
    fn fetch_ahead(&mut self, number: u64, context: &mut Context<'_>) {
        let Some(tiers) = self.object.tiers() else { return };
        let head = self.object.head();
        if number * CHUNK_BYTES < self.end.min(self.known_length())
            && !tiers.ram.has_chunk(head.key.hash(), head.version, number)
            && tiers.on_disk(head, number / CHUNKS_PER_PART)
        {
            self.fetch = self.start_fetch(number);
            // The first poll submits the read; its result is taken when it is asked for.
            let _ = self.fetch.as_mut().map(|fetch| fetch.poll(context).is_ready());
        }
    }

    fn start_fetch(&self, number: u64) -> Option<Fetch> {
        let tiers = Arc::clone(self.object.tiers()?);
        let head = Arc::clone(self.object.head());
        let chunk_end = ((number + 1) * CHUNK_BYTES).min(self.known_length());
        let read = async move { tiers.chunk_from_disk(&head, number, chunk_end).await };
        Some(Fetch {
            number,
            state: FetchState::Running(Box::pin(read)),
        })
    }

    /// Bytes that the object has by now: a chunk that ends there is whole.
    fn known_length(&self) -> u64 {
        match &self.object.place {
            Place::Growing(growing) => growing.length(),
            _ => self.object.head().length.unwrap_or(0),
        }
    }
}

impl Fetch {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<&Option<Bytes>> {
        if let FetchState::Running(read) = &mut self.state {
            self.state = FetchState::Done(ready!(read.as_mut().poll(context)));
        }
        match &self.state {
            FetchState::Done(chunk) => Poll::Ready(chunk),
            FetchState::Running(_) => Poll::Pending,
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
