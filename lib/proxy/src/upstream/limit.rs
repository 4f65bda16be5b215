//! How many requests may be under way to one origin at once, over all cores.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{metrics::LimitMetrics, table::Table};

/// Requests that may wait for one origin. A fill waits for many clients, so this is a great deal of content; beyond it
/// an origin is so far behind that waiting helps nobody.
pub const WAITING_MAX: i64 = 1024;
/// How long a request waits for its turn, then it is answered 503: players ask again after a few seconds.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// The limits of all origins.
pub struct Limits {
    limits: Table<Limit>,
    wait_max: Duration,
    metrics: LimitMetrics,
}

/// The limit of one origin.
pub struct Limit {
    name: Arc<str>,
    permits: Semaphore,
    size: Mutex<Size>,
    wait_max: Duration,
    in_use: IntGauge,
    waiting: IntGauge,
    refused: IntCounter,
}

/// How many permits there are.
struct Size {
    /// As configured.
    wanted: u32,
    /// Permits that are out and are not to come back, because the limit was lowered.
    surplus: u32,
}

/// Leave for one request. Given back when dropped.
#[must_use = "dropping a permit gives it back"]
pub struct Permit {
    limit: Arc<Limit>,
}

/// Why a request may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many wait already.
    QueueFull,
    /// It waited too long.
    TimedOut,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::QueueFull => write!(f, "{WAITING_MAX} requests wait for a connection already"),
            Refused::TimedOut => f.write_str("no connection became free in time"),
        }
    }
}

impl std::error::Error for Refused {}

impl Limits {
    /// No limits yet.
    #[must_use]
    pub fn new(metrics: LimitMetrics) -> Limits {
        Limits {
            limits: Table::default(),
            wait_max: WAIT_MAX,
            metrics,
        }
    }

    /// The limit of the origin called `name`, made or changed to `size` where it has another.
    pub fn of(&self, name: &str, size: u32) -> Arc<Limit> {
        let limit = self.limits.get_or_make(name, |name| Limit {
            permits: Semaphore::new(size as usize),
            size: Mutex::new(Size {
                wanted: size,
                surplus: 0,
            }),
            wait_max: self.wait_max,
            in_use: self.metrics.in_use(&name),
            waiting: self.metrics.waiting(&name),
            refused: self.metrics.refused(&name),
            name,
        });
        limit.resize(size);
        limit
    }

    /// Forgets origins that the snapshot no longer names. Requests under way to them end in peace.
    pub fn retain(&self, wanted: impl Fn(&str) -> bool) {
        for gone in self.limits.retain(wanted) {
            self.metrics.forget(&gone.name);
        }
    }
}

impl Limit {
    /// Waits for leave to send one request: first come, first served.
    ///
    /// # Errors
    ///
    /// When too many wait, or for too long.
    pub async fn acquire(self: &Arc<Self>) -> Result<Permit, Refused> {
        let permit = match self.permits.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) => self.wait().await,
        };
        match permit {
            Ok(permit) => {
                permit.forget();
                self.in_use.inc();
                Ok(Permit {
                    limit: Arc::clone(self),
                })
            }
            Err(refused) => {
                self.refused.inc();
                Err(refused)
            }
        }
    }

    async fn wait(&self) -> Result<SemaphorePermit<'_>, Refused> {
        let _waiting = Waiting::begin(&self.waiting).ok_or(Refused::QueueFull)?;
        match tokio::time::timeout(self.wait_max, self.permits.acquire()).await {
            Ok(permit) => Ok(permit.expect("the semaphore is never closed")),
            Err(_) => Err(Refused::TimedOut),
        }
    }

    fn resize(&self, wanted: u32) {
        let mut size = self.size.lock();
        if size.wanted == wanted {
            return;
        }
        if let Some(more) = wanted.checked_sub(size.wanted) {
            // What was to be withheld may come back after all.
            let kept = more.min(size.surplus);
            size.surplus -= kept;
            self.permits.add_permits((more - kept) as usize);
        } else {
            let fewer = size.wanted - wanted;
            let forgotten = self.permits.forget_permits(fewer as usize);
            size.surplus += fewer - u32::try_from(forgotten).unwrap_or(fewer);
        }
        size.wanted = wanted;
    }

    fn give_back(&self) {
        self.in_use.dec();
        let mut size = self.size.lock();
        if size.surplus > 0 {
            size.surplus -= 1;
        } else {
            self.permits.add_permits(1);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.give_back();
    }
}

/// A place in the queue, left when dropped.
struct Waiting<'a>(&'a IntGauge);

impl<'a> Waiting<'a> {
    /// `None` when the queue is full. Several that come at once may each find the last place taken by another; none
    /// finds more places than there are.
    fn begin(waiting: &'a IntGauge) -> Option<Waiting<'a>> {
        waiting.inc();
        let place = Waiting(waiting);
        (waiting.get() <= WAITING_MAX).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tokio::task::{JoinSet, yield_now};

    use super::*;
    use crate::upstream::metrics::Metrics;

    fn limits() -> Limits {
        Limits::new(
            Metrics::register(&Registry::new())
                .expect("unregistered names")
                .limits,
        )
    }

    /// A runtime whose clock jumps ahead when everyone waits.
    fn run(story: impl Future<Output = ()>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(story);
    }

    #[test]
    fn requests_beyond_the_limit_wait_their_turn_and_dropping_a_permit_lets_the_next_go() {
        run(async {
            let limit = limits().of("origin", 2);
            let first = limit.acquire().await.expect("free");
            let _second = limit.acquire().await.expect("free");
            let third = tokio::spawn({
                let limit = Arc::clone(&limit);
                async move { limit.acquire().await }
            });
            yield_now().await;
            assert!(!third.is_finished());
            assert_eq!((limit.in_use.get(), limit.waiting.get()), (2, 1));
            drop(first);
            let _third = third.await.expect("no panic").expect("its turn");
            assert_eq!((limit.in_use.get(), limit.waiting.get()), (2, 0));
            assert_eq!(limit.refused.get(), 0);
        });
    }

    #[test]
    fn waiting_ends_after_its_bound() {
        run(async {
            let limit = limits().of("origin", 1);
            let _only = limit.acquire().await.expect("free");
            let begun = tokio::time::Instant::now();
            assert_eq!(limit.acquire().await.err(), Some(Refused::TimedOut));
            assert_eq!(begun.elapsed(), WAIT_MAX);
            assert_eq!(
                (limit.in_use.get(), limit.waiting.get(), limit.refused.get()),
                (1, 0, 1)
            );
        });
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_one_who_gives_up_leaves_it() {
        run(async {
            let limit = limits().of("origin", 1);
            let _only = limit.acquire().await.expect("free");
            let mut queue = JoinSet::new();
            for _ in 0..WAITING_MAX {
                let limit = Arc::clone(&limit);
                queue.spawn(async move { limit.acquire().await.map(drop) });
            }
            for _ in 0..WAITING_MAX {
                yield_now().await;
            }
            assert_eq!(limit.waiting.get(), WAITING_MAX);
            assert_eq!(limit.acquire().await.err(), Some(Refused::QueueFull));
            queue.shutdown().await;
            assert_eq!(limit.waiting.get(), 0);
        });
    }

    #[test]
    fn a_snapshot_may_raise_and_lower_the_limit_while_permits_are_out() {
        run(async {
            let limits = limits();
            let limit = limits.of("origin", 3);
            let mut out = Vec::new();
            for _ in 0..3 {
                out.push(limit.acquire().await.expect("free"));
            }
            limits.of("origin", 1);
            assert_eq!(limit.permits.available_permits(), 0);
            out.truncate(1);
            assert_eq!(limit.permits.available_permits(), 0, "two were withheld");
            limits.of("origin", 2);
            assert_eq!(limit.permits.available_permits(), 1);
            out.clear();
            assert_eq!(limit.permits.available_permits(), 2);
            // Lowered and raised again before anything came back.
            let held = [limit.acquire().await, limit.acquire().await];
            limits.of("origin", 1);
            limits.of("origin", 5);
            drop(held);
            assert_eq!(limit.permits.available_permits(), 5);
        });
    }

    #[test]
    fn origins_that_are_gone_are_forgotten_and_their_requests_end_in_peace() {
        run(async {
            let limits = limits();
            let permit = limits.of("origin", 1).acquire().await.expect("free");
            limits.retain(|_| false);
            let _other = limits.of("origin", 1).acquire().await.expect("a new limit");
            drop(permit);
        });
    }
}
