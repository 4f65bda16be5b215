//! Threads that read: a bounded number of them behind a bounded queue, so that a slow device slows nobody else.

use crate::disk::store::Store;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&Store) + Send>;

/// The readers of one device. They end when this is dropped and what was waiting is done.
pub(in crate::disk) struct ReadPool {
    jobs: SyncSender<Job>,
}

/// The queue is full: the device cannot keep up.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::disk) struct Busy;

impl ReadPool {
    pub(in crate::disk) fn start(store: &Arc<Store>, threads: usize, queue: usize) -> io::Result<ReadPool> {
        let (jobs, waiting) = sync_channel(queue);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..threads {
            let (store, waiting) = (store.clone(), waiting.clone());
            std::thread::Builder::new()
                .name(format!("cache-disk-read-{number}"))
                .spawn(move || serve(&store, &waiting))?;
        }
        Ok(ReadPool { jobs })
    }

    /// Runs `read` on one of the threads. It owns its buffers: dropping the future only drops the answer, and a read
    /// that nobody awaits any more when its turn comes is not made.
    pub(in crate::disk) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |store: &Store| {
            if !reply.is_closed() {
                // Whoever asked may have gone while we read.
                reply.send(read(store)).ok();
            }
        });
        self.jobs.try_send(job).map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }
}

fn serve(store: &Store, waiting: &Mutex<Receiver<Job>>) {
    loop {
        // Holding the lock while waiting is fine: the others would wait for the same.
        let next = waiting.lock().recv();
        match next {
            Ok(job) => job(store),
            Err(_) => return,
        }
    }
}
