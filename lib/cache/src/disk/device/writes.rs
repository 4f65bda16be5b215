//! Several writes under way at once, for who can wait: a drive is as fast as it is kept busy.

use super::{Buffer, Completion, Device, Transfer};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

/// Writes that were begun, ended in the order they were begun in, whatever order the device has. Dropped, it waits
/// for nothing: each write owns its buffer until the device has answered.
pub struct Writes {
    device: Arc<dyn Device>,
    depth: usize,
    under_way: VecDeque<UnderWay>,
}

struct UnderWay {
    offset: u64,
    end: Receiver<(io::Result<()>, Buffer)>,
}

struct Teller(SyncSender<(io::Result<()>, Buffer)>);

impl Completion for Teller {
    fn complete(self: Box<Self>, result: io::Result<()>, buffer: Buffer) {
        // Nobody may wait any more.
        self.0.send((result, buffer)).ok();
    }
}

impl Writes {
    /// No more than `depth` at once, which is at least 1.
    pub fn new(device: Arc<dyn Device>, depth: usize) -> Writes {
        Writes {
            device,
            depth: depth.max(1),
            under_way: VecDeque::new(),
        }
    }

    /// How many are under way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.under_way.len()
    }

    /// Whether another must end before one more begins.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.under_way.len() >= self.depth
    }

    /// Begins to write all of `buffer` at `offset`. When it [is full](Writes::is_full), the device sees more than
    /// `depth`: end one first.
    pub fn begin(&mut self, offset: u64, buffer: Buffer) {
        let (teller, end) = sync_channel(1);
        self.device
            .submit(Transfer::write(offset, buffer, Box::new(Teller(teller))));
        self.under_way.push_back(UnderWay { offset, end });
    }

    /// Waits for the write that was begun first. `None` when none is under way. The buffer can be filled anew.
    pub fn finish_oldest(&mut self) -> Option<(io::Result<()>, Buffer)> {
        let UnderWay { offset, end } = self.under_way.pop_front()?;
        Some(self.judge(offset, end.recv().ok()))
    }

    /// The write that was begun first, if it has ended.
    pub fn try_finish_oldest(&mut self) -> Option<(io::Result<()>, Buffer)> {
        let oldest = self.under_way.front()?;
        let end = match oldest.end.try_recv() {
            Ok(end) => Some(end),
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => None,
        };
        let offset = oldest.offset;
        self.under_way.pop_front();
        Some(self.judge(offset, end))
    }

    fn judge(&self, offset: u64, end: Option<(io::Result<()>, Buffer)>) -> (io::Result<()>, Buffer) {
        let Some((result, buffer)) = end else {
            let lost = io::Error::new(io::ErrorKind::BrokenPipe, "the device's engine has lost a write");
            return (Err(lost), super::aligned::AlignedBuffer::zeroed(0).into());
        };
        match result {
            // Too many reads wait for the engine. This one must be made all the same.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                (self.device.write_at(offset, &buffer), buffer)
            }
            result => (result, buffer),
        }
    }
}
