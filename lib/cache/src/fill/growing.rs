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

use super::{Failure, memory::FillMemory};
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
        atomic::{AtomicU64, Ordering},
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
    length: AtomicU64,
    body: RwLock<Body>,
    /// The body of a small object, once it is complete.
    whole: OnceLock<Bytes>,
    memory: Arc<FillMemory>,
}

#[derive(Default)]
struct Body {
    chunks: VecDeque<Bytes>,
    /// Number of the first chunk in `chunks`; those before it were released.
    first_kept: u64,
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

/// What [`Growing::release_oldest`] did.
pub(crate) struct Release {
    pub(crate) bytes: u64,
    pub(crate) holds_more: bool,
}

impl Growing {
    pub(crate) fn new(head: Arc<Head>, tiers: Arc<Tiers>, memory: Arc<FillMemory>) -> Growing {
        Growing {
            head,
            tiers,
            bell: Bell::default(),
            length: AtomicU64::new(0),
            body: RwLock::default(),
            whole: OnceLock::new(),
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

    /// Releases the oldest chunk; with `only_on_disk`, only one that can be read from there.
    pub(crate) fn release_oldest(&self, only_on_disk: bool) -> Release {
        let mut body = self.body.write();
        let mut bytes = 0;
        let may_go = !only_on_disk || self.tiers.on_disk(&self.head, body.first_kept / CHUNKS_PER_PART);
        if let Some(chunk) = body.chunks.pop_front_if(|_| may_go) {
            bytes = chunk.len() as u64;
            body.first_kept += 1;
            body.counted -= bytes;
            self.memory.give_back(bytes);
        }
        body.enlisted = !body.chunks.is_empty();
        Release {
            bytes,
            holds_more: body.enlisted,
        }
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
