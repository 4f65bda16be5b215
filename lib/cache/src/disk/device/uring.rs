//! A file's transfers through io_uring: one thread that owns the ring, hands the kernel what others submit, and sleeps.
//!
//! ```text
//!  submit ──→ messages (bounded) ──→ thread: take ─→ queue ─→ submit_and_wait(1) ─→ reap ─┐
//!     └─ rings the bell, an eventfd, only when the thread sleeps ──────↑                  └─→ completions
//! ```
//!
//! The thread never spins: while nothing is under way it waits in the kernel for the bell. Whoever submits while it is
//! awake makes no system call at all.
//!
//! What the kernel was given stays where it is until the kernel answers. A transfer under way owns its buffer; nobody who
//! gives up waiting, no shutdown and no device that hangs takes it back. When the device's last handle is dropped, the
//! thread goes on until every transfer has been answered; on a device that never answers it stays, with its buffers.
#![expect(
    unsafe_code,
    reason = "the kernel reads and writes memory that it is given by address"
)]

use super::aligned::AlignedBuffer;
use super::buffers::Buffers;
use super::transfer::{Next, Progress};
use super::{BLOCK_BYTES, Buffer, Completion, Device, Direction, Engine, FileDevice, Transfer};
use io_uring::{IoUring, opcode, squeue, types};
use rustix::event::{EventfdFlags, eventfd};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

/// Transfers that the kernel has at once: beyond it NVMe gains nothing, and latency grows.
const DEPTH: usize = 128;
/// Entries of the submission queue: all of them, and the bell. The completion queue has twice as many, so it cannot
/// overflow.
const ENTRIES: u32 = 256;
/// Transfers that may wait for a place. Beyond it they are refused: the device cannot keep up.
const QUEUE: usize = 1024;
/// How long the first read may take before the ring is taken for unusable.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// The pause after an error of the ring itself, which should not happen: a bound on what it can cost.
const RING_ERROR_PAUSE: Duration = Duration::from_millis(10);
/// The most that one request asks for: its answer has 31 bits.
const REQUEST_BYTES: usize = 1 << 30;
/// Marks the answer to the bell. Transfers are marked by their place in the slab.
const BELL: u64 = u64::MAX;

/// A file or block device whose submitted transfers go through io_uring. Blocking calls go past it.
pub struct UringDevice {
    file: Arc<FileDevice>,
    bell: Arc<Bell>,
    /// Taken when this is dropped.
    messages: Option<SyncSender<Message>>,
}

enum Message {
    Transfer(Transfer),
    Adopt(Buffers),
}

/// Wakes the thread.
struct Bell {
    eventfd: OwnedFd,
    /// Set while the thread sleeps or is about to, and nobody has rung yet.
    sleeping: AtomicBool,
    /// How often the thread has come back from the kernel.
    wakeups: AtomicU64,
}

impl Bell {
    fn ring_if_asleep(&self) {
        // Together with the fence before the thread's last look: either it sees the message, or we see it asleep.
        fence(Ordering::SeqCst);
        if self.sleeping.swap(false, Ordering::AcqRel) {
            self.ring();
        }
    }

    fn ring(&self) {
        // Fails only when the counter is full: then it rings already.
        rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes()).ok();
    }

    fn silence(&self) {
        // Fails only when it does not ring.
        rustix::io::read(&self.eventfd, &mut [0; 8]).ok();
    }
}

impl UringDevice {
    /// Starts the ring and its thread, and reads the first block through it.
    ///
    /// Fails when the kernel refuses: it is too old, built without, or told not to.
    pub fn start(file: Arc<FileDevice>) -> io::Result<UringDevice> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(Bell {
            eventfd: eventfd(0, flags)?,
            sleeping: AtomicBool::new(false),
            wakeups: AtomicU64::new(0),
        });
        let (messages, receiver) = sync_channel(QUEUE);
        let (started, start) = sync_channel(1);
        std::thread::Builder::new()
            .name("cache-disk-ring".to_owned())
            .spawn({
                let (file, bell) = (file.clone(), bell.clone());
                // The ring is made on its thread: with SINGLE_ISSUER it belongs to who made it.
                move || match Ring::new(file, bell, receiver) {
                    Ok(ring) => {
                        started.send(Ok(())).ok();
                        ring.run();
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            })?;
        start.recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
        let device = UringDevice {
            file,
            bell,
            messages: Some(messages),
        };
        device.probe()?;
        Ok(device)
    }

    /// A kernel may know the ring and refuse the read.
    fn probe(&self) -> io::Result<()> {
        struct Probe(SyncSender<io::Result<()>>);
        impl Completion for Probe {
            fn complete(self: Box<Self>, result: io::Result<()>, _buffer: Buffer) {
                self.0.send(result).ok();
            }
        }
        if self.file.size() == 0 {
            return Ok(());
        }
        let (probe, answer) = sync_channel(1);
        let block = AlignedBuffer::zeroed(BLOCK_BYTES).into();
        self.submit(Transfer::read(0, block, Box::new(Probe(probe))));
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the first read through it did not end");
        answer.recv_timeout(PROBE_PATIENCE).map_err(late)?
    }

    /// How often its thread has come back from the kernel.
    #[cfg(test)]
    pub(super) fn wakeups(&self) -> u64 {
        self.bell.wakeups.load(Ordering::Relaxed)
    }
}

impl Device for UringDevice {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }

    fn lock(&self, patience: Duration) -> io::Result<()> {
        self.file.lock(patience)
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn is_read_elsewhere(&self) -> io::Result<bool> {
        self.file.is_read_elsewhere()
    }

    fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    fn engine(&self) -> Engine {
        Engine::Uring
    }

    fn submit(&self, transfer: Transfer) {
        let Some(messages) = &self.messages else { return };
        match messages.try_send(Message::Transfer(transfer)) {
            Ok(()) => self.bell.ring_if_asleep(),
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => message.refuse(),
        }
    }

    fn adopt(&self, buffers: &Buffers) {
        // Without it, reads are as right and a little dearer.
        if let Some(messages) = &self.messages
            && messages.try_send(Message::Adopt(buffers.clone())).is_ok()
        {
            self.bell.ring_if_asleep();
        }
    }
}

impl Drop for UringDevice {
    fn drop(&mut self) {
        drop(self.messages.take());
        self.bell.ring();
    }
}

impl Message {
    fn refuse(self) {
        match self {
            Message::Transfer(transfer) => transfer.refuse(),
            Message::Adopt(_) => {}
        }
    }
}

/// A transfer that the kernel has, or is to get.
struct Operation {
    transfer: Transfer,
    progress: Progress,
}

/// What the thread has accepted and not ended.
#[derive(Default)]
struct UnderWay(Slab<Operation>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Not empty only when the thread panics: the kernel may still write here, so it stays for ever.
        if !self.0.is_empty() {
            std::mem::forget(std::mem::take(&mut self.0));
        }
    }
}

/// The thread's own.
struct Ring {
    ring: IoUring,
    under_way: UnderWay,
    /// Accepted, and not with the kernel.
    ready: VecDeque<usize>,
    messages: Receiver<Message>,
    bell: Arc<Bell>,
    file: Arc<FileDevice>,
    /// The files are registered: no reference to count at each transfer.
    has_fixed_files: bool,
    /// The lasting buffers of these are registered: no pages to look up at each transfer.
    adopted: Option<Buffers>,
    bell_is_watched: bool,
    has_senders: bool,
}

impl Ring {
    fn new(file: Arc<FileDevice>, bell: Arc<Bell>, messages: Receiver<Message>) -> io::Result<Ring> {
        let ring = build()?;
        let files = [file.as_fd().as_raw_fd(), bell.eventfd.as_raw_fd()];
        let has_fixed_files = ring.submitter().register_files(&files).is_ok();
        Ok(Ring {
            ring,
            under_way: UnderWay::default(),
            ready: VecDeque::new(),
            messages,
            bell,
            file,
            has_fixed_files,
            adopted: None,
            bell_is_watched: false,
            has_senders: true,
        })
    }

    /// Serves until nobody can submit any more and every transfer has been answered.
    fn run(mut self) {
        while self.has_senders || !self.under_way.0.is_empty() {
            self.take();
            self.queue();
            // Say that we sleep, then look once more: who submits after that look rings.
            if self.has_room() {
                self.bell.sleeping.store(true, Ordering::Release);
                fence(Ordering::SeqCst);
                if self.take() > 0 {
                    self.bell.sleeping.store(false, Ordering::Release);
                    continue;
                }
            }
            if !self.has_senders && self.under_way.0.is_empty() {
                return;
            }
            self.wait();
            self.bell.sleeping.store(false, Ordering::Release);
            self.reap();
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.0.len() < DEPTH
    }

    /// Accepts what was submitted, as far as there is room. Returns how much that was.
    fn take(&mut self) -> usize {
        let mut taken = 0;
        while self.has_room() && self.has_senders {
            match self.messages.try_recv() {
                Ok(Message::Transfer(transfer)) if transfer.is_awaited() => {
                    let progress = Progress::default();
                    self.ready
                        .push_back(self.under_way.0.insert(Operation { transfer, progress }));
                }
                Ok(Message::Transfer(transfer)) => transfer.refuse(),
                Ok(Message::Adopt(buffers)) => self.adopt(buffers),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.has_senders = false,
            }
            taken += 1;
        }
        taken
    }

    /// Puts what is ready, and the bell, into the submission queue.
    fn queue(&mut self) {
        if !self.bell_is_watched && self.has_senders {
            let bell = self.bell.eventfd.as_raw_fd();
            let watch = match self.has_fixed_files {
                true => opcode::PollAdd::new(types::Fixed(1), libc::POLLIN as u32).build(),
                false => opcode::PollAdd::new(types::Fd(bell), libc::POLLIN as u32).build(),
            };
            // SAFETY: a poll has no memory, and the eventfd lives as long as the ring: both belong to `self`.
            self.bell_is_watched = unsafe { self.ring.submission().push(&watch.user_data(BELL)) }.is_ok();
        }
        while let Some(number) = self.ready.pop_front() {
            let entry = self.entry(number);
            // SAFETY: the entry's memory is a buffer that the operation owns, and `under_way` keeps the operation
            // until the kernel has answered, or for ever. The file lives as long as the ring.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                // The queue is full; it will be empty after the next submission.
                self.ready.push_front(number);
                return;
            }
        }
    }

    /// The request for what is left of an operation.
    fn entry(&mut self, number: usize) -> squeue::Entry {
        let Operation { transfer, progress } = &mut self.under_way.0[number];
        let direction = transfer.direction();
        let offset = transfer.offset() + progress.done as u64;
        let buffer = transfer.buffer();
        let lasting = buffer.lasting().filter(|_| self.adopted.is_some());
        let left = &mut buffer[progress.done..];
        let (memory, length) = (left.as_mut_ptr(), left.len().min(REQUEST_BYTES) as u32);
        macro_rules! request {
            ($file:expr) => {
                match (direction, lasting) {
                    (Direction::Read, None) => opcode::Read::new($file, memory, length)
                        .offset(offset)
                        .build(),
                    (Direction::Write, None) => opcode::Write::new($file, memory, length)
                        .offset(offset)
                        .build(),
                    (Direction::Read, Some(buffer)) => opcode::ReadFixed::new($file, memory, length, buffer)
                        .offset(offset)
                        .build(),
                    (Direction::Write, Some(buffer)) => {
                        opcode::WriteFixed::new($file, memory, length, buffer)
                            .offset(offset)
                            .build()
                    }
                }
            };
        }
        let entry = match self.has_fixed_files {
            true => request!(types::Fixed(0)),
            false => request!(types::Fd(self.file.as_fd().as_raw_fd())),
        };
        entry.user_data(number as u64)
    }

    /// Hands over what is queued and sleeps until something is answered or the bell rings.
    fn wait(&mut self) {
        let result = self.ring.submit_and_wait(1);
        self.bell.wakeups.fetch_add(1, Ordering::Relaxed);
        match result.map_err(|error| (error.raw_os_error(), error)) {
            // Interrupted, or the kernel wants its answers collected first.
            Ok(_) | Err((Some(libc::EINTR | libc::EAGAIN | libc::EBUSY), _)) => {}
            Err((_, error)) => {
                tracing::error!(%error, "cache disk: io_uring fails; reads of this device are slow or time out");
                std::thread::park_timeout(RING_ERROR_PAUSE);
            }
        }
    }

    fn reap(&mut self) {
        for answer in self.ring.completion() {
            if answer.user_data() == BELL {
                self.bell_is_watched = false;
                self.bell.silence();
                continue;
            }
            let number = answer.user_data() as usize;
            let Some(operation) = self.under_way.0.get_mut(number) else {
                continue;
            };
            let direction = operation.transfer.direction();
            let length = operation.transfer.buffer().len();
            match operation.progress.judge(direction, length, answer.result()) {
                Next::Continue => self.ready.push_back(number),
                Next::Complete(result) => self.under_way.0.remove(number).transfer.complete(result),
            }
        }
    }

    /// Registers the lasting buffers, as far as the process may lock memory.
    fn adopt(&mut self, buffers: Buffers) {
        let lasting: Vec<libc::iovec> = buffers
            .lasting()
            .into_iter()
            .map(|(address, length)| libc::iovec {
                iov_base: std::ptr::with_exposed_provenance_mut(address),
                iov_len: length,
            })
            .collect();
        if lasting.is_empty() || self.adopted.is_some() {
            return;
        }
        // SAFETY: the memory belongs to `buffers`, which stays in `self` as long as the ring; a buffer that is lent
        // keeps its place in memory. A request names such a buffer only while an operation owns it.
        match unsafe { self.ring.submitter().register_buffers(&lasting) } {
            Ok(()) => self.adopted = Some(buffers),
            Err(error) => tracing::info!(
                %error,
                "cache disk: buffers cannot be registered with the kernel, reads cost a little more: raise the limit of \
                 locked memory (LimitMEMLOCK=16M)"
            ),
        }
    }
}

/// A ring with everything that this kernel has: newest first.
fn build() -> io::Result<IoUring> {
    let is_unknown = |error: &io::Error| error.raw_os_error() == Some(libc::EINVAL);
    let mut newest = IoUring::builder();
    newest
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all();
    match newest.build(ENTRIES) {
        Err(error) if is_unknown(&error) => {}
        built => return built,
    }
    let mut newer = IoUring::builder();
    newer.setup_coop_taskrun().setup_submit_all();
    match newer.build(ENTRIES) {
        Err(error) if is_unknown(&error) => IoUring::builder().build(ENTRIES),
        built => built,
    }
}
