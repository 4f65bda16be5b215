//! One read from disk for all who want the same at once: after a restart, a thousand players ask for one segment.

use crate::relay::{Bell, Seat};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    hash::Hash,
    sync::{Arc, OnceLock},
    task::Poll,
};

/// The reads under way, by what they read. As many at most as callers, who are requests.
pub(crate) struct Reading<K, V> {
    running: Mutex<HashMap<K, Arc<Run<V>>>>,
}

/// One read, and those who wait for it.
struct Run<V> {
    end: OnceLock<End<V>>,
    bell: Bell,
}

enum End<V> {
    /// What was read; `None` is a miss.
    Read(Option<V>),
    /// Whoever read has gone away: somebody else must.
    Abandoned,
}

/// The reader's duty to tell the others, kept also when it is dropped in mid-read.
struct Duty<'a, K: Eq + Hash, V> {
    reading: &'a Reading<K, V>,
    what: K,
    run: Arc<Run<V>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Reading<K, V> {
    pub(crate) fn new() -> Reading<K, V> {
        Reading {
            running: Mutex::default(),
        }
    }

    /// Reads `what` by `read`, or waits for another who does so already.
    pub(crate) async fn once(&self, what: K, read: impl Future<Output = Option<V>>) -> Option<V> {
        loop {
            let joined = {
                let mut running = self.running.lock();
                match running.get(&what) {
                    Some(run) => Ok(Arc::clone(run)),
                    None => {
                        let run = Arc::new(Run {
                            end: OnceLock::new(),
                            bell: Bell::default(),
                        });
                        running.insert(what.clone(), Arc::clone(&run));
                        Err(run)
                    }
                }
            };
            match joined {
                Ok(run) => {
                    if let Some(found) = run.wait().await {
                        return found;
                    }
                }
                Err(run) => {
                    let duty = Duty {
                        reading: self,
                        what,
                        run,
                    };
                    let found = read.await;
                    duty.done(found.clone());
                    return found;
                }
            }
        }
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

impl<K: Eq + Hash, V> Duty<'_, K, V> {
    fn done(self, found: Option<V>) {
        self.end(End::Read(found));
    }

    /// The first end counts. Out of the table first: nobody joins a read that is over.
    fn end(&self, end: End<V>) {
        if self.run.end.get().is_none() {
            self.reading.running.lock().remove(&self.what);
            drop(self.run.end.set(end));
            self.run.bell.ring();
        }
    }
}

impl<K: Eq + Hash, V> Drop for Duty<'_, K, V> {
    fn drop(&mut self) {
        self.end(End::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::{Pin, pin},
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Waker},
    };
    use tokio::sync::oneshot;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn all_who_want_the_same_share_one_read_and_its_result() {
        let reading: Reading<u8, u32> = Reading::new();
        let reads = AtomicUsize::new(0);
        let (give, device) = oneshot::channel();
        let read = async {
            reads.fetch_add(1, Ordering::SeqCst);
            device.await.ok()
        };
        let never = || async { panic!("a second read of the same") };
        let mut first = pin!(reading.once(1, read));
        let mut second = pin!(reading.once(1, never()));
        let mut other = pin!(reading.once(2, async { None }));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(
            poll(other.as_mut()),
            Poll::Ready(None),
            "another read does not wait"
        );
        give.send(7).unwrap();
        assert_eq!(poll(first.as_mut()), Poll::Ready(Some(7)));
        assert_eq!(poll(second.as_mut()), Poll::Ready(Some(7)));
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        assert_eq!(
            poll(pin!(reading.once(1, async { Some(8) }))),
            Poll::Ready(Some(8)),
            "a later read is new"
        );
    }

    #[test]
    fn when_the_one_who_reads_goes_away_another_takes_over() {
        let reading: Reading<u8, u32> = Reading::new();
        let mut first = Box::pin(reading.once(1, std::future::pending()));
        let mut second = pin!(reading.once(1, async { Some(9) }));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(poll(second.as_mut()), Poll::Ready(Some(9)));
        assert!(reading.running.lock().is_empty());
    }
}
