//! Threads that transfer by blocking calls: a bounded number of them behind a bounded queue, in front of any device.

use super::buffers::Buffers;
use super::{Device, Engine, Transfer};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// A device with a pool of threads in front. They end when this is dropped and what was waiting is done; one that
/// hangs in the device keeps the device and the transfer until it returns, and holds up nobody.
pub struct ThreadsDevice {
    device: Arc<dyn Device>,
    waiting: SyncSender<Transfer>,
}

impl ThreadsDevice {
    /// Starts `threads` threads, behind which `queue` transfers may wait. Fails when a thread cannot be started.
    pub fn start(device: Arc<dyn Device>, threads: usize, queue: usize) -> io::Result<ThreadsDevice> {
        let (sender, receiver) = sync_channel(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let (device, receiver) = (device.clone(), receiver.clone());
            std::thread::Builder::new()
                .name(format!("cache-disk-io-{number}"))
                .spawn(move || serve(&*device, &receiver))?;
        }
        Ok(ThreadsDevice {
            device,
            waiting: sender,
        })
    }
}

fn serve(device: &dyn Device, waiting: &Mutex<Receiver<Transfer>>) {
    loop {
        // Holding the lock while waiting is fine: the others would wait for the same.
        let next = waiting.lock().recv();
        match next {
            Ok(transfer) if transfer.is_awaited() => transfer.carry_out(device),
            Ok(transfer) => transfer.refuse(),
            Err(_) => return,
        }
    }
}

impl Device for ThreadsDevice {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.device.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.device.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.device.flush()
    }

    fn lock(&self, patience: Duration) -> io::Result<()> {
        self.device.lock(patience)
    }

    fn unlock(&self) -> io::Result<()> {
        self.device.unlock()
    }

    fn is_read_elsewhere(&self) -> io::Result<bool> {
        self.device.is_read_elsewhere()
    }

    fn is_direct(&self) -> bool {
        self.device.is_direct()
    }

    fn engine(&self) -> Engine {
        Engine::Threads
    }

    fn submit(&self, transfer: Transfer) {
        if let Err(refused) = self.waiting.try_send(transfer) {
            let (std::sync::mpsc::TrySendError::Full(transfer)
            | std::sync::mpsc::TrySendError::Disconnected(transfer)) = refused;
            transfer.refuse();
        }
    }

    fn adopt(&self, buffers: &Buffers) {
        self.device.adopt(buffers);
    }
}
