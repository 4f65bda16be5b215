//! A growing object: its bytes are only ever appended, and its readers follow at their own pace.
//!
//! ```text
//!   released      chunks of 256 KiB            tail: pieces as they arrived
//! |............|####|####|####|####|####|----|-----|--|-------|
//!              ^ first_kept                                   ^ length (atomic)
//! ```
//!
//! Pieces are shared with readers as they came from the network. When they make a whole chunk they are copied, once,
//! into one piece of memory, which the RAM tier, the disk's queue and the readers then share.

use super::{
    Failure,
    followers::{Followers, Span},
    memory::FillMemory,
};
use crate::{
    head::Head,
    ram::CHUNK_BYTES,
    relay::Bell,
    tiers::{CHUNKS_PER_PART, Tiers},
};
use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;
use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Pieces shorter than this are copied together, so that an upstream that sends byte by byte costs neither a list
/// entry nor a pinned network buffer for each.
const SMALL_PIECE_BYTES: usize = 4 << 10;

/// An object whose bytes are still arriving, or arrived a moment ago.
pub(crate) struct Growing {
    pub(crate) head: Arc<Head>,
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) bell: Bell,
    pub(super) followers: Followers,
    length: AtomicU64,
    body: RwLock<Body>,
    /// The body of a small object, once it is complete.
    whole: OnceLock<Bytes>,
    /// It has waited in vain, and waits for nobody any more.
    impatient: AtomicBool,
    memory: Arc<FillMemory>,
}

#[derive(Default)]
struct Body {
    chunks: VecDeque<Bytes>,
    /// Number of the first chunk in `chunks`; those before it were released.
    first_kept: u64,
    /// Chunks that were given to the disk: those before this number.
    handed: u64,
    /// There will be no disk copy: chunks are let go behind the readers.
    streams: bool,
    /// Known to [`FillMemory`] as having chunks to release.
    enlisted: bool,
    tail: Vec<Piece>,
    end: Option<End>,
    /// Bytes counted in [`FillMemory`].
    counted: u64,
}

struct Piece {
    offset: u64,
    bytes: Bytes,
}

/// How a fill ended.
#[derive(Clone)]
pub(crate) enum End {
    /// All bytes are there: so many.
    Complete(u64),
    Failed(Failure),
}

/// What a reader finds at a position.
pub(crate) enum Found {
    /// The bytes from there to the end of the chunk or piece.
    Bytes(Bytes),
    /// Bytes that were here, and may be in a tier.
    Released,
    NotYet,
    End(End),
}

/// Which chunks may be let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// What is on disk, and what no reader needs that the disk was given, or that streams through.
    Harmless,
    /// What the fastest reader is past, one chunk: slower ones lag unless RAM has it.
    Laggards,
    /// One chunk, whoever needs it.
    Any,
}

/// What [`Growing::let_go`] did.
pub(crate) struct Release {
    pub(crate) bytes: u64,
    pub(crate) holds_more: bool,
    /// Bytes still held that the disk has yet to be given.
    pub(crate) incomplete: u64,
}

impl Growing {
    pub(crate) fn new(head: Arc<Head>, tiers: Arc<Tiers>, memory: Arc<FillMemory>) -> Growing {
        Growing {
            head,
            tiers,
            bell: Bell::default(),
            followers: Followers::default(),
            length: AtomicU64::new(0),
            body: RwLock::default(),
            whole: OnceLock::new(),
            impatient: AtomicBool::new(false),
            memory,
        }
    }

    /// Bytes that have arrived.
    pub(crate) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// How the fill ended, when it has.
    pub(crate) fn end(&self) -> Option<End> {
        self.body.read().end.clone()
    }

    /// The body of a small object that is complete.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        self.whole.get()
    }

    /// What there is at `position`.
    pub(crate) fn at(&self, position: u64) -> Found {
        let body = self.body.read();
        if position >= self.length() {
            return body.end.clone().map_or(Found::NotYet, Found::End);
        }
        if let Some(End::Failed(failure)) = &body.end {
            return Found::End(End::Failed(failure.clone()));
        }
        if let Some(piece) = body.tail.first()
            && position >= piece.offset
        {
            let number = body.tail.partition_point(|piece| piece.offset <= position) - 1;
            let piece = &body.tail[number];
            return Found::Bytes(piece.bytes.slice(within(position - piece.offset)..));
        }
        match (position / CHUNK_BYTES).checked_sub(body.first_kept) {
            Some(number) => match body.chunks.get(within(number)) {
                Some(chunk) => Found::Bytes(chunk.slice(within(position % CHUNK_BYTES)..)),
                None => Found::Released,
            },
            None => Found::Released,
        }
    }

    /// Whole chunk `number`, if it is still here.
    pub(crate) fn chunk(&self, number: u64) -> Option<Bytes> {
        let body = self.body.read();
        body.chunks
            .get(within(number.checked_sub(body.first_kept)?))
            .cloned()
    }

    /// Number of the first chunk that was not released.
    pub(crate) fn first_kept(&self) -> u64 {
        self.body.read().first_kept
    }

    /// Appends `piece`, which must not cross the end of a chunk, and makes it readable. The filler rings the bell.
    pub(crate) fn push(&self, piece: Bytes) {
        let added = piece.len() as u64;
        self.memory.take(added);
        let mut body = self.body.write();
        body.counted += added;
        let offset = self.length();
        match body.tail.last_mut() {
            Some(last) if last.bytes.len() + piece.len() <= SMALL_PIECE_BYTES => {
                last.bytes = [&last.bytes[..], &piece[..]].concat().into();
            }
            _ if piece.len() < SMALL_PIECE_BYTES => {
                body.tail.push(Piece {
                    offset,
                    bytes: Bytes::copy_from_slice(&piece),
                });
            }
            _ => body.tail.push(Piece { offset, bytes: piece }),
        }
        self.length.store(offset + added, Ordering::Release);
    }

    /// Makes one piece of memory of the tail. Only the filler appends, so the tail cannot change meanwhile, and the
    /// copy is made while readers go on.
    pub(crate) fn joined_tail(&self) -> Bytes {
        let pieces: Vec<Bytes> = self
            .body
            .read()
            .tail
            .iter()
            .map(|piece| piece.bytes.clone())
            .collect();
        let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        for piece in &pieces {
            joined.extend_from_slice(piece);
        }
        joined.freeze()
    }

    /// Puts the joined tail in its place as the next chunk.
    pub(crate) fn seal_chunk(self: &Arc<Growing>, chunk: Bytes) {
        let mut body = self.body.write();
        body.tail.clear();
        body.chunks.push_back(chunk);
        if !body.enlisted {
            body.enlisted = true;
            drop(body);
            self.memory.enlist(self);
        }
    }

    /// Keeps the joined tail as the whole body of a small object. From now on it counts as the RAM tier's memory.
    pub(crate) fn seal_whole(&self, whole: Bytes) {
        let mut body = self.body.write();
        let length = whole.len() as u64;
        body.tail.clear();
        if length > 0 {
            body.tail.push(Piece {
                offset: 0,
                bytes: whole.clone(),
            });
        }
        let counted = std::mem::take(&mut body.counted);
        drop(body);
        self.memory.give_back(counted);
        self.whole.get_or_init(|| whole);
    }

    /// Ends the fill; the first end counts. Says whether this was it, and rings the bell.
    pub(crate) fn finish(&self, end: End) -> bool {
        let mut body = self.body.write();
        let first = body.end.is_none();
        if first {
            if matches!(end, End::Failed(_)) {
                // Nobody will read these any more.
                body.chunks.clear();
                body.tail.clear();
                let counted = std::mem::take(&mut body.counted);
                self.memory.give_back(counted);
            }
            body.end = Some(end);
        }
        drop(body);
        self.bell.ring();
        first
    }

    /// Lets go of the oldest chunks, as `measure` allows.
    pub(crate) fn let_go(&self, measure: Measure) -> Release {
        let span = self.followers.span();
        let mut body = self.body.write();
        let mut bytes = 0;
        while self.may_go(&body, span, measure)
            && let Some(chunk) = body.chunks.pop_front()
        {
            bytes += chunk.len() as u64;
            body.first_kept += 1;
            if measure != Measure::Harmless {
                break;
            }
        }
        body.counted -= bytes;
        body.enlisted = !body.chunks.is_empty();
        let release = Release {
            bytes,
            holds_more: body.enlisted,
            incomplete: body.incomplete(),
        };
        drop(body);
        self.memory.give_back(bytes);
        release
    }

    /// Whether the oldest chunk may be let go.
    fn may_go(&self, body: &Body, span: Span, measure: Measure) -> bool {
        let Some(chunk) = body.chunks.front() else {
            return false;
        };
        let number = body.first_kept;
        let end = number * CHUNK_BYTES + chunk.len() as u64;
        let in_ram = || {
            let ram = &self.tiers.ram;
            ram.has_chunk(self.head.key.hash(), self.head.version, number)
        };
        let harmless = || match body.streams {
            true => span.slowest >= end || in_ram(),
            false => span.slowest >= end && number < body.handed,
        };
        match measure {
            Measure::Any => true,
            _ if self.tiers.on_disk(&self.head, number / CHUNKS_PER_PART) => true,
            Measure::Harmless => harmless(),
            Measure::Laggards => span.fastest >= end || self.is_impatient() || in_ram(),
        }
    }

    /// Whether the fill should wait while memory is exhausted: for its fastest reader where that is all it is for, and
    /// for the disk where a reader needs what the disk is about to have.
    pub(crate) fn should_wait(&self) -> bool {
        if self.is_impatient() {
            return false;
        }
        let span = self.followers.span();
        let body = self.body.read();
        if body.end.is_some() {
            return false;
        }
        let oldest = body.chunks.front();
        let end = oldest.map(|chunk| body.first_kept * CHUNK_BYTES + chunk.len() as u64);
        match (end, body.streams) {
            (Some(end), true) => span.fastest < end,
            (Some(end), false) => body.first_kept < body.handed && span.slowest < end,
            // What RAM takes is not held here for long.
            (None, true) if self.tiers.ram.admits(self.head.length.unwrap_or(u64::MAX)) => false,
            (None, true) => span.fastest < self.length(),
            (None, false) => false,
        }
    }

    fn is_impatient(&self) -> bool {
        self.impatient.load(Ordering::Relaxed)
    }

    /// The fill has waited in vain.
    pub(crate) fn lose_patience(&self) {
        self.impatient.store(true, Ordering::Relaxed);
    }

    /// All whole chunks were given to the disk.
    pub(crate) fn handed_over(&self) {
        let mut body = self.body.write();
        body.handed = body.first_kept + body.chunks.len() as u64;
    }

    /// Whether there will be no disk copy.
    pub(crate) fn streams(&self) -> bool {
        self.body.read().streams
    }

    /// Gives the disk copy up. Returns the bytes that were held for it alone.
    pub(crate) fn stream(&self) -> u64 {
        let mut body = self.body.write();
        let incomplete = body.incomplete();
        body.streams = true;
        incomplete
    }

    /// Something has changed that a fill may wait for.
    pub(crate) fn call_waiting(&self) {
        self.memory.call_waiting();
    }

    /// Releases every chunk: the disk has them.
    pub(crate) fn release_all(&self) {
        let mut body = self.body.write();
        let chunks = std::mem::take(&mut body.chunks);
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        body.first_kept += chunks.len() as u64;
        body.counted -= bytes;
        drop(body);
        self.memory.give_back(bytes);
    }
}

impl Body {
    /// Bytes that the disk has yet to be given.
    fn incomplete(&self) -> u64 {
        if self.streams {
            return 0;
        }
        let going = self.handed.saturating_sub(self.first_kept) * CHUNK_BYTES;
        self.counted.saturating_sub(going)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.memory.give_back(self.body.get_mut().counted);
    }
}

/// An index into something in memory.
fn within(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{key::Key, metrics::Metrics, policy::freshness::Freshness, ram::Ram};
    use http::{HeaderMap, StatusCode};
    use model::Moment;
    use proptest::prelude::*;
    use std::time::Duration;

    fn growing(limit: u64) -> (Arc<Growing>, Arc<FillMemory>, Metrics) {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let freshness = Freshness {
            generated_at: Moment(0),
            lifetime: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
        };
        let head = Head::new(
            Key::new("demo", "/a"),
            StatusCode::OK,
            HeaderMap::new(),
            None,
            freshness,
        );
        let tiers = Arc::new(Tiers::new(Ram::new(0, metrics.clone()), None, metrics.clone()));
        let memory = Arc::new(FillMemory::new(limit, metrics.clone()));
        (
            Arc::new(Growing::new(Arc::new(head), tiers, Arc::clone(&memory))),
            memory,
            metrics,
        )
    }

    fn append(growing: &Arc<Growing>, bytes: &[u8]) {
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            let room = CHUNK_BYTES - growing.length() % CHUNK_BYTES;
            growing.push(rest.split_to(rest.len().min(within(room))));
            if growing.length().is_multiple_of(CHUNK_BYTES) {
                growing.seal_chunk(growing.joined_tail());
            }
        }
    }

    fn byte_at(growing: &Growing, position: u64) -> Option<u8> {
        match growing.at(position) {
            Found::Bytes(bytes) => Some(bytes[0]),
            _ => None,
        }
    }

    #[test]
    fn an_object_of_bytes_that_came_one_by_one_is_a_handful_of_pieces() {
        let (growing, ..) = growing(u64::MAX);
        for number in 0..20_000_u32 {
            growing.push(Bytes::copy_from_slice(&[number as u8]));
        }
        assert!(growing.body.read().tail.len() <= 5);
        assert_eq!(byte_at(&growing, 19_999), Some(19_999_u32 as u8));
    }

    #[test]
    fn under_pressure_chunks_go_oldest_first_and_from_each_object_in_turn() {
        let (one, memory, metrics) = growing(3 * CHUNK_BYTES);
        let two = Arc::new(Growing::new(
            Arc::clone(&one.head),
            Arc::clone(&one.tiers),
            Arc::clone(&memory),
        ));
        let chunk = vec![7; within(CHUNK_BYTES)];
        append(&one, &chunk);
        append(&two, &chunk);
        append(&two, &chunk);
        assert_eq!(metrics.fill_bytes.get(), 3 * CHUNK_BYTES as i64);
        append(&one, &chunk);
        assert_eq!((one.first_kept(), two.first_kept()), (1, 0));
        append(&one, &chunk);
        assert_eq!((one.first_kept(), two.first_kept()), (1, 1));
        assert!(one.chunk(0).is_none() && one.chunk(1).is_some() && two.chunk(1).is_some());
        assert!(matches!(two.at(0), Found::Released));
        one.release_all();
        assert_eq!(
            (one.first_kept(), metrics.fill_bytes.get()),
            (3, CHUNK_BYTES as i64)
        );
        append(&one, b"tail");
        assert_eq!(metrics.fill_bytes.get(), CHUNK_BYTES as i64 + 4);
        drop((one, two));
        assert_eq!(metrics.fill_bytes.get(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_position_reads_as_it_was_written(
            pieces in proptest::collection::vec(prop_oneof![1_usize..300, 3_000_usize..70_000, 200_000_usize..600_000], 1..20)
        ) {
            let (growing, ..) = growing(u64::MAX);
            let mut model: Vec<u8> = Vec::new();
            for (seed, length) in pieces.into_iter().enumerate() {
                let piece: Vec<u8> = (0..length).map(|at| (at * 31 + seed * 7 + at / 251) as u8).collect();
                append(&growing, &piece);
                model.extend_from_slice(&piece);
                prop_assert_eq!(growing.length(), model.len() as u64);
                prop_assert!(matches!(growing.at(growing.length()), Found::NotYet));
                let mut position = 0;
                while let Found::Bytes(bytes) = growing.at(position) {
                    let start = within(position);
                    prop_assert!(bytes[..] == model[start..start + bytes.len()]);
                    position += bytes.len() as u64;
                }
                prop_assert_eq!(position, growing.length());
                let middle = position / 2;
                prop_assert_eq!(byte_at(&growing, middle), Some(model[within(middle)]));
            }
        }
    }
}
