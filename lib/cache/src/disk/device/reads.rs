//! Reading without waiting in the kernel: a future over a transfer, with a bounded buffer and a deadline.

use super::buffers::Buffers;
use super::deadlines::{Deadlines, Overdue};
use super::{Buffer, Completion, Device, Transfer};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The reading side of one device.
pub(in crate::disk) struct Reads {
    device: Arc<dyn Device>,
    buffers: Buffers,
    deadlines: Arc<Deadlines>,
}

/// Why nothing was read.
#[derive(Debug)]
pub(in crate::disk) enum Unread {
    /// Too many reads wait, or too much memory is lent.
    Busy,
    /// The device has not answered in time. It may yet; until then it keeps the buffer.
    Late,
    /// The device refused.
    Failed(io::Error),
}

type Result<T> = std::result::Result<T, Unread>;

/// Where the answer goes: taken by the first of completion and deadline.
struct Answer(Mutex<Option<oneshot::Sender<Result<Buffer>>>>);

impl Reads {
    /// Buffers and deadlines may be shared with other devices.
    pub(in crate::disk) fn new(
        device: Arc<dyn Device>,
        buffers: Buffers,
        deadlines: Arc<Deadlines>,
    ) -> Reads {
        device.adopt(&buffers);
        Reads {
            device,
            buffers,
            deadlines,
        }
    }

    /// Begins to read `length` bytes from `offset`, both multiples of a block: the device has it when this returns,
    /// whenever the result is awaited.
    pub(in crate::disk) fn begin(&self, offset: u64, length: usize) -> Result<Begun> {
        let buffer = self.buffers.take(length).ok_or(Unread::Busy)?;
        let (sender, receiver) = oneshot::channel();
        let answer = Arc::new(Answer(Mutex::new(Some(sender))));
        self.deadlines.add(answer.clone());
        self.device
            .submit(Transfer::read(offset, buffer, Box::new(answer)));
        Ok(Begun(receiver))
    }
}

/// A read that the device has. Dropped, only the answer is lost: the transfer owns the buffer.
pub(in crate::disk) struct Begun(oneshot::Receiver<Result<Buffer>>);

impl Begun {
    pub(in crate::disk) async fn end(self) -> Result<Buffer> {
        let gone = |_| Unread::Failed(io::ErrorKind::BrokenPipe.into());
        self.0.await.map_err(gone)?
    }
}

impl Completion for Arc<Answer> {
    fn is_awaited(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|sender| !sender.is_closed())
    }

    fn complete(self: Box<Self>, result: io::Result<()>, buffer: Buffer) {
        let answer = match result {
            Ok(()) => Ok(buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Unread::Busy),
            Err(error) => Err(Unread::Failed(error)),
        };
        self.tell(answer);
    }
}

impl Overdue for Answer {
    fn has_ended(&self) -> bool {
        self.0.lock().as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn end(&self) {
        self.tell(Err(Unread::Late));
    }
}

impl Answer {
    fn tell(&self, answer: Result<Buffer>) {
        let sender = self.0.lock().take();
        if let Some(sender) = sender {
            // Whoever asked may have gone; the buffer goes home then.
            sender.send(answer).ok();
        }
    }
}
