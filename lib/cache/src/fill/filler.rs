//! Fills one object: appends what arrives, hands chunks to RAM and parts to the disk, and lands the whole.

use super::{
    Failure,
    flight::{Open, Shared, abandoned},
    growing::{End, Growing},
    table::Fills,
};
use crate::{
    disk::{Commit, Fate, Hints, PART_BYTES},
    head::Head,
    object::{Object, Source},
    placement::MOST_HEAT,
    purge::Admission,
    ram::{CHUNK_BYTES, Cell, WHOLE_BYTES},
    relay::Seat,
    tiers::CHUNKS_PER_PART,
};
use bytes::Bytes;
use http::StatusCode;
use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// What is fresh for less than this stays in RAM: it would be stale, or replaced, before its place on disk is paid
/// for. An object of more than one part goes to disk all the same, since RAM may not hold it.
const LEAST_LIFETIME_ON_DISK: Duration = Duration::from_secs(120);

/// The longest that a fill waits for its readers or the disk while memory is exhausted. Longer than a disk takes for what
/// its queue holds; a reader that has taken nothing for so long is better cut than an upstream connection held for it.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The writing end of a growing object. Dropped unfinished, it aborts: readers get an error, never a short success.
pub struct Filler {
    growing: Arc<Growing>,
    open: Open,
    /// Whole chunks so far.
    chunks: u64,
    copy: DiskCopy,
}

/// The object's way to the disk.
enum DiskCopy {
    /// Parts handed over, whose fate is not known yet.
    Going(Vec<Commit>),
    /// The only part, kept back until the head is handed over: behind it, so that one read brings both.
    Whole(Vec<Bytes>),
    /// There is no disk, or it lost a part.
    GivenUp,
}

/// Upstream sent more than its `Content-Length`; the fill is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun {
    /// Bytes announced; `None` when the fill had ended before, and takes no more.
    pub announced: Option<u64>,
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.announced {
            Some(announced) => write!(f, "upstream sent more than the {announced} bytes it announced"),
            None => f.write_str("the fill has ended"),
        }
    }
}

impl std::error::Error for Overrun {}

/// Whether the disk is worth what `head` stands for, as far as its lifetime goes.
pub(super) fn goes_to_disk(head: &Head) -> bool {
    head.freshness.lifetime >= LEAST_LIFETIME_ON_DISK
}

impl Filler {
    pub(super) fn new(open: Open, growing: Arc<Growing>) -> Filler {
        let small = growing.head.length.is_some_and(|length| length <= WHOLE_BYTES);
        let exhausted = open.fills.memory.is_exhausted() && !small;
        let copy = match open.fills.tiers.disk {
            Some(_) if !exhausted => DiskCopy::Going(Vec::new()),
            Some(_) => {
                open.fills.tiers.metrics.fills_streamed.inc();
                DiskCopy::GivenUp
            }
            None => DiskCopy::GivenUp,
        };
        if matches!(copy, DiskCopy::GivenUp) {
            growing.stream();
        }
        Filler {
            growing,
            open,
            chunks: 0,
            copy,
        }
    }

    /// The growing object.
    #[must_use]
    pub fn object(&self) -> Object {
        Object::of_growing(&self.growing)
    }

    /// Appends what has arrived; readers can have it at once. It lets this core's readers run after every chunk, and
    /// waits only while the memory of fills is exhausted: for the fastest of its readers when the object is not going to
    /// the disk, for the disk when it is and a reader needs what is on its way there. [`LONGEST_WAIT`] at most, and
    /// once. Cancel-safe: the bytes are in before it first waits.
    ///
    /// # Errors
    /// [`Overrun`] when upstream sends more than it announced. The fill is aborted then.
    pub async fn append(&mut self, bytes: Bytes) -> Result<(), Overrun> {
        if self.add(bytes)? {
            tokio::task::yield_now().await;
        }
        if self.open.fills.memory.is_exhausted() && self.growing.should_wait() {
            Box::pin(self.wait_for_room()).await;
        }
        Ok(())
    }

    async fn wait_for_room(&mut self) {
        let memory = Arc::clone(&self.open.fills.memory);
        let _waiting = memory.wait();
        let mut seat: Option<Seat> = None;
        let room = poll_fn(|context| {
            memory.room.listen(&mut seat, context.waker());
            self.learn(context);
            memory.make_room();
            match memory.is_exhausted() && self.growing.should_wait() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        });
        if tokio::time::timeout(LONGEST_WAIT, room).await.is_err() {
            self.growing.lose_patience();
        }
    }

    /// Appends, and says whether a chunk became whole.
    fn add(&mut self, mut bytes: Bytes) -> Result<bool, Overrun> {
        if self.growing.end().is_some() {
            return Err(Overrun { announced: None });
        }
        let announced = self.growing.head.length;
        if announced.is_some_and(|announced| self.growing.length() + bytes.len() as u64 > announced) {
            let detail = Overrun { announced }.to_string();
            self.fail(Failure::new(
                StatusCode::BAD_GATEWAY,
                "http_protocol_error",
                detail,
            ));
            return Err(Overrun { announced });
        }
        self.open
            .fills
            .tiers
            .metrics
            .filled_bytes
            .inc_by(bytes.len() as u64);
        let chunks_before = self.chunks;
        while !bytes.is_empty() {
            let room = (self.chunks + 1) * CHUNK_BYTES - self.growing.length();
            let fits = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            self.growing.push(bytes.split_to(fits));
            if fits as u64 == room {
                self.seal_chunk();
            }
        }
        self.growing.bell.ring();
        Ok(self.chunks > chunks_before)
    }

    /// The tail is a chunk: it gets its own piece of memory, in RAM; sixteen make a part for the disk.
    fn seal_chunk(&mut self) {
        let chunk = self.growing.joined_tail();
        self.growing.seal_chunk(chunk.clone());
        let head = &self.growing.head;
        let ram = &self.open.fills.tiers.ram;
        if ram.admits(head.length.unwrap_or_else(|| self.growing.length())) {
            ram.keep_chunk(head.key.hash(), head.version, self.chunks, chunk);
        }
        self.chunks += 1;
        if self.chunks.is_multiple_of(CHUNKS_PER_PART) {
            self.hand_over_part();
        }
        self.open.fills.memory.make_room();
    }

    /// Gives the disk the part that ends with the last chunk. Chunks that memory pressure has taken from the growing
    /// object are taken from RAM; when one is in neither, the disk copy is given up.
    fn hand_over_part(&mut self) {
        let part = (self.chunks - 1) / CHUNKS_PER_PART;
        match self.pieces_of(part) {
            Some(pieces) => self.put_part(part, pieces),
            None => self.give_up_copy(),
        }
        self.growing.handed_over();
    }

    /// The chunks of a part, as far as there are any.
    fn pieces_of(&self, part: u64) -> Option<Vec<Bytes>> {
        let head = &self.growing.head;
        let ram = &self.open.fills.tiers.ram;
        (part * CHUNKS_PER_PART..self.chunks)
            .map(|number| {
                self.growing
                    .chunk(number)
                    .or_else(|| ram.chunk(head.key.hash(), head.version, number))
            })
            .collect()
    }

    /// Keeps the only part of a short object for [`Filler::put_head`].
    fn keep_back(&mut self, pieces: Vec<Bytes>) {
        if self.growing.streams() {
            self.copy = DiskCopy::GivenUp;
        }
        if matches!(self.copy, DiskCopy::Going(_)) {
            self.copy = DiskCopy::Whole(pieces);
        }
        self.growing.handed_over();
    }

    /// There will be no whole disk copy; memory need not hold anything for it.
    fn give_up_copy(&mut self) {
        self.copy = DiskCopy::GivenUp;
        self.growing.stream();
    }

    fn put_part(&mut self, part: u64, pieces: Vec<Bytes>) {
        if self.growing.streams() {
            self.copy = DiskCopy::GivenUp;
        }
        let head = &self.growing.head;
        let hints = self.hints(head);
        let (DiskCopy::Going(commits), Some(disk)) = (&mut self.copy, &self.open.fills.tiers.disk) else {
            return;
        };
        let Ok(part) = u32::try_from(part) else {
            return self.give_up_copy();
        };
        commits.push(disk.put_part(head.key.hash(), head.version, part, pieces, hints));
        self.learn(&mut Context::from_waker(Waker::noop()));
    }

    /// What the head says, and how many wanted the object while it came: who is fetched for many at once is no passer-by.
    fn hints(&self, head: &Head) -> Hints {
        let others = self.growing.followers.ever().saturating_sub(1);
        Hints {
            heat: others.min(MOST_HEAT.into()) as u8,
            ..Hints::of(head)
        }
    }

    /// What is known of the parts already need not be remembered, and one lost part makes the others useless.
    fn learn(&mut self, context: &mut Context<'_>) {
        let DiskCopy::Going(commits) = &mut self.copy else {
            return;
        };
        let mut lost = false;
        commits.retain_mut(|commit| match Pin::new(commit).poll(context) {
            Poll::Ready(fate) => {
                lost |= fate == Fate::Dropped;
                false
            }
            Poll::Pending => true,
        });
        if lost {
            self.give_up_copy();
        }
    }

    /// All has arrived: the object is kept, and served from the tiers from now on. When its length is not what was
    /// announced, the fill is aborted instead, and readers of the returned object are told so.
    pub fn finish(mut self) -> Object {
        let length = self.growing.length();
        let announced = self.growing.head.length.unwrap_or(length);
        if self.growing.end().is_none() && length != announced {
            let short = format!("upstream ended after {length} of the {announced} bytes it announced");
            self.fail(Failure::new(
                StatusCode::BAD_GATEWAY,
                "http_response_incomplete",
                short,
            ));
        }
        if self.growing.end().is_some() {
            return self.object();
        }
        let head = match self.growing.head.length {
            Some(_) => Arc::clone(&self.growing.head),
            None => Arc::new(self.growing.head.with_length(length)),
        };
        let goes_to_disk = goes_to_disk(&head) || length > PART_BYTES;
        if !goes_to_disk || self.growing.streams() {
            self.give_up_copy();
        }
        let whole = self.seal_rest(length);
        if goes_to_disk && self.open.fills.tiers.disk.is_some() && matches!(self.copy, DiskCopy::GivenUp) {
            self.open.fills.tiers.metrics.disk_copies_dropped.inc();
        }
        self.land(Cell { head, whole }, length)
    }

    /// Seals what is left in the tail; returns the whole body of a small object.
    fn seal_rest(&mut self, length: u64) -> Option<Bytes> {
        if length <= WHOLE_BYTES {
            let whole = self.growing.joined_tail();
            self.growing.seal_whole(whole.clone());
            if length > 0 {
                self.keep_back(vec![whole.clone()]);
            }
            return Some(whole);
        }
        if length > self.chunks * CHUNK_BYTES {
            self.seal_chunk();
        }
        if self.chunks < CHUNKS_PER_PART {
            match self.pieces_of(0) {
                Some(pieces) => self.keep_back(pieces),
                None => self.give_up_copy(),
            }
        } else if !self.chunks.is_multiple_of(CHUNKS_PER_PART) {
            self.hand_over_part();
        }
        None
    }

    /// Makes the object findable in the tiers, then lets go of its flight: at once, or when the disk has it.
    fn land(mut self, cell: Cell, length: u64) -> Object {
        let fills = Arc::clone(&self.open.fills);
        let shared = Arc::clone(&self.open.shared);
        let tiers = &fills.tiers;
        let mut commits = None;
        {
            let mut shard = fills.shard(&shared.key).lock();
            // Evicted while it was filled: only those who read it already may have it.
            let wanted = shard.has(&shared);
            // Purged while it was filled: likewise; or it is kept, and stale from the first.
            let kept = match tiers.purges.admit(&cell.head) {
                _ if !wanted => None,
                Admission::Kept => Some(cell.clone()),
                Admission::Stale(head) => Some(Cell {
                    head,
                    whole: cell.whole.clone(),
                }),
                Admission::Gone => None,
            };
            if let Some(kept) = kept {
                commits = self.put_head(&kept.head);
                if commits.is_some() {
                    shard.lands(&cell.head);
                }
                if commits.is_some() || tiers.ram.admits(length) {
                    tiers.ram.keep_cell(kept);
                }
            }
        }
        self.growing.finish(End::Complete(length));
        tiers.metrics.fills_finished.inc();
        let landing = Landing {
            fills: Arc::clone(&fills),
            shared,
            growing: Arc::clone(&self.growing),
        };
        if let Some(commits) = commits
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(landing.wait(commits)));
        }
        match cell.whole {
            Some(_) => Object::of_cell(cell, tiers, Source::Fill),
            // As long as the disk is writing, the growing object is the surest to have all bytes.
            None => Object::of_growing(&self.growing).with_head(cell.head),
        }
    }

    /// Hands the head to the disk after all parts, or before the only one. Returns what must be committed for the disk copy to be whole, or
    /// `None` when there will be none.
    fn put_head(&mut self, head: &Head) -> Option<Vec<Commit>> {
        let disk = self.open.fills.tiers.disk.as_ref()?;
        let (mut commits, only_part) = match mem::replace(&mut self.copy, DiskCopy::GivenUp) {
            DiskCopy::Going(commits) => (commits, None),
            DiskCopy::Whole(pieces) => (Vec::new(), Some(pieces)),
            DiskCopy::GivenUp => return None,
        };
        let encoded = self.open.fills.tiers.purges.encode(head)?;
        commits.push(disk.put_head(&head.key, head.version, encoded.into(), self.hints(head)));
        if let Some(pieces) = only_part {
            commits.push(disk.put_part(head.key.hash(), head.version, 0, pieces, self.hints(head)));
        }
        Some(commits)
    }

    /// Upstream broke off: readers and later joiners are told why.
    pub fn abort(self, failure: Failure) {
        self.fail(failure);
    }

    fn fail(&self, failure: Failure) {
        // Out of the table first: whoever is told and claims again must not meet this flight.
        if self.growing.end().is_none() {
            self.open.fills.remove(&self.open.shared);
        }
        if self.growing.finish(End::Failed(failure)) {
            self.open.fills.tiers.metrics.fills_aborted.inc();
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.fail(abandoned());
    }
}

/// A finished fill on its way to the disk. Dropped, at the latest with the runtime, its flight leaves the table.
struct Landing {
    fills: Arc<Fills>,
    shared: Arc<Shared>,
    growing: Arc<Growing>,
}

impl Landing {
    async fn wait(self, commits: Vec<Commit>) {
        let mut whole = true;
        for commit in commits {
            whole &= commit.await == Fate::Committed;
        }
        let metrics = &self.fills.tiers.metrics;
        if whole {
            self.growing.release_all();
            metrics.disk_copies_kept.inc();
        } else {
            self.growing.stream();
            metrics.disk_copies_dropped.inc();
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.fills
            .shard(&self.shared.key)
            .lock()
            .has_landed(&self.growing.head);
        self.fills.remove(&self.shared);
    }
}
