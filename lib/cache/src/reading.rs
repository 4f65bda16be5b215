//! One read from disk for all who want the same at once: after a restart, a thousand players ask for one segment.
//!
//! The read is a task of its own. Were it part of the first asker's future, an asker who stalls would hold up all others.

use crate::relay::{Bell, Seat};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    hash::Hash,
    sync::{Arc, OnceLock},
    task::Poll,
};
use tokio::runtime::Handle;

/// The reads under way, by what they read. As many at most as callers, who are requests.
pub(crate) struct Reading<K, V>(Arc<Running<K, V>>);

type Running<K, V> = Mutex<HashMap<K, Arc<Run<V>>>>;

/// One read, and those who wait for it.
struct Run<V> {
    end: OnceLock<End<V>>,
    bell: Bell,
}

enum End<V> {
    /// What was read; `None` is a miss.
    Read(Option<V>),
    /// The task has gone with its runtime: somebody else must read.
    Abandoned,
}

/// The task's duty to tell those who wait, kept also when it is dropped in mid-read.
struct Duty<K: Eq + Hash, V> {
    running: Arc<Running<K, V>>,
    what: K,
    run: Arc<Run<V>>,
}

impl<K, V> Reading<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Reading<K, V> {
        Reading(Arc::default())
    }

    /// Reads `what` by `read`, or waits for a read of it that is under way. Cancel-safe.
    pub(crate) async fn once<R>(&self, what: K, read: impl Fn() -> R) -> Option<V>
    where
        R: Future<Output = Option<V>> + Send + 'static,
    {
        loop {
            let (run, duty) = self.join_or_begin(&what);
            if let Some(duty) = duty {
                let read = read();
                let task = async move { duty.done(read.await) };
                match Handle::try_current() {
                    Ok(runtime) => drop(runtime.spawn(task)),
                    Err(_) => task.await,
                }
            }
            if let Some(found) = run.wait().await {
                return found;
            }
        }
    }

    fn join_or_begin(&self, what: &K) -> (Arc<Run<V>>, Option<Duty<K, V>>) {
        let mut running = self.0.lock();
        if let Some(run) = running.get(what) {
            return (Arc::clone(run), None);
        }
        let run = Arc::new(Run {
            end: OnceLock::new(),
            bell: Bell::default(),
        });
        running.insert(what.clone(), Arc::clone(&run));
        let duty = Duty {
            running: Arc::clone(&self.0),
            what: what.clone(),
            run: Arc::clone(&run),
        };
        (run, Some(duty))
    }
}

impl<V: Clone> Run<V> {
    /// What was read; `None` when it was abandoned.
    async fn wait(&self) -> Option<Option<V>> {
        let mut seat: Option<Seat> = None;
        poll_fn(|context| {
            if self.end.get().is_none() {
                self.bell.listen(&mut seat, context.waker());
            }
            match self.end.get() {
                Some(End::Read(found)) => Poll::Ready(Some(found.clone())),
                Some(End::Abandoned) => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl<K: Eq + Hash, V> Duty<K, V> {
    fn done(self, found: Option<V>) {
        self.end(End::Read(found));
    }

    /// The first end counts. Out of the table first: nobody joins a read that is over.
    fn end(&self, end: End<V>) {
        if self.run.end.get().is_none() {
            self.running.lock().remove(&self.what);
            drop(self.run.end.set(end));
            self.run.bell.ring();
        }
    }
}

impl<K: Eq + Hash, V> Drop for Duty<K, V> {
    fn drop(&mut self) {
        self.end(End::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
    };
    use tokio::sync::oneshot;

    /// A device that answers each read when it is told what with.
    #[derive(Clone, Default)]
    struct Device {
        reads: Arc<AtomicUsize>,
        answers: Arc<Mutex<Vec<oneshot::Receiver<u32>>>>,
    }

    impl Device {
        fn answer_next(&self) -> oneshot::Sender<u32> {
            let (sender, receiver) = oneshot::channel();
            self.answers.lock().insert(0, receiver);
            sender
        }

        fn read(&self) -> impl Future<Output = Option<u32>> + Send + 'static {
            self.reads.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers.lock().pop();
            async move { answer?.await.ok() }
        }
    }

    fn on_a_runtime(story: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(story);
    }

    async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
        poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
    }

    #[test]
    fn all_who_want_the_same_share_one_read_and_a_later_one_is_new() {
        on_a_runtime(async {
            let (reading, device) = (Arc::new(Reading::new()), Device::default());
            let (first, second) = (device.answer_next(), device.answer_next());
            let askers: Vec<_> = (0..10)
                .map(|_| {
                    let (reading, device) = (Arc::clone(&reading), device.clone());
                    tokio::spawn(async move { reading.once(1_u8, || device.read()).await })
                })
                .collect();
            assert_eq!(
                reading.once(2, || async { None }).await,
                None,
                "another read does not wait"
            );
            first.send(7).unwrap();
            for asker in askers {
                assert_eq!(asker.await.unwrap(), Some(7));
            }
            assert_eq!(device.reads.load(Ordering::SeqCst), 1);
            second.send(8).unwrap();
            assert_eq!(reading.once(1, || device.read()).await, Some(8));
            assert!(reading.0.lock().is_empty());
        });
    }

    #[test]
    fn who_asked_first_may_stall_or_leave_without_holding_up_the_others() {
        on_a_runtime(async {
            let (reading, device) = (Reading::new(), Device::default());
            let answer = device.answer_next();
            let mut stalled = Box::pin(reading.once(1_u8, || device.read()));
            assert!(is_pending(&mut stalled).await);
            answer.send(7).unwrap();
            assert_eq!(reading.once(1, || device.read()).await, Some(7));
            assert_eq!(stalled.await, Some(7));
            assert_eq!(device.reads.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn a_read_that_goes_with_its_runtime_is_taken_over() {
        let (reading, device) = (Reading::new(), Device::default());
        let never = device.answer_next();
        let mut waiting = Box::pin(reading.once(1_u8, || device.read()));
        on_a_runtime(async {
            assert!(is_pending(&mut waiting).await);
        });
        let now = device.answer_next();
        now.send(9).unwrap();
        on_a_runtime(async { assert_eq!(waiting.await, Some(9)) });
        drop(never);
    }
}
