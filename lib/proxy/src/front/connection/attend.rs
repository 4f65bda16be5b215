//! The task of one connection: it runs the application on it and minds its deadlines with a single timer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::vitals::Vitals;

/// How a connection's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The application was done with it.
    Finished,
    /// A deadline passed while the application neither read nor wrote, so nobody else could notice.
    Abandoned,
}

/// The application's future for one connection, with the connection's timer.
pub(crate) struct Attended<F> {
    work: F,
    vitals: Arc<Vitals>,
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: u64,
}

impl<F> Attended<F> {
    /// Attends `work` under the deadlines of `vitals`.
    pub(crate) fn new(work: F, vitals: Arc<Vitals>) -> Attended<F> {
        Attended {
            work,
            vitals,
            timer: None,
            timer_at: u64::MAX,
        }
    }

    /// Waits until the next deadline may have passed. The timer is moved only towards an earlier deadline; a later
    /// one is found when it fires.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(next) = self.vitals.next_deadline() else {
            return Poll::Pending;
        };
        let clock = &self.vitals.shared.clock;
        if next < self.timer_at {
            self.timer_at = next;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(clock.instant(next)),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(clock.instant(next)))),
            }
        }
        let Some(timer) = &mut self.timer else {
            return Poll::Pending;
        };
        timer.as_mut().poll(cx)
    }
}

impl<F: Future + Unpin> Future for Attended<F> {
    type Output = Ending;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        let this = self.get_mut();
        this.vitals.attended_by(cx.waker());
        if Pin::new(&mut this.work).poll(cx).is_ready() {
            return Poll::Ready(Ending::Finished);
        }
        while this.poll_deadline(cx).is_ready() {
            this.timer_at = u64::MAX;
            if this.vitals.expire(this.vitals.shared.clock.now()) {
                if Pin::new(&mut this.work).poll(cx).is_ready() {
                    return Poll::Ready(Ending::Finished);
                }
                if this.vitals.has_expired() {
                    return Poll::Ready(Ending::Abandoned);
                }
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use prometheus::Registry;

    use super::*;
    use crate::front::connection::{Clock, Slots};
    use crate::front::metrics::Metrics;
    use crate::front::{Limits, Shared};

    const SHORT: Duration = Duration::from_millis(50);

    fn vitals() -> Arc<Vitals> {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        Vitals::new(Arc::new(Shared {
            limits: Limits {
                header_timeout: SHORT,
                idle_timeout: SHORT,
                send_timeout: SHORT,
                body_timeout: SHORT,
                max_header_bytes: 1000,
            },
            slots: Slots::new(1, metrics.open.clone()),
            metrics,
            networks: Arc::default(),
            clock: Clock::new(),
            tls: None,
        }))
    }

    async fn attend(vitals: &Arc<Vitals>, work: impl Future<Output = ()>) -> (Ending, Duration) {
        let started = Instant::now();
        let ending = Attended::new(Box::pin(work), Arc::clone(vitals)).await;
        (ending, started.elapsed())
    }

    #[tokio::test]
    async fn work_that_notices_an_expiry_goes_on() {
        let vitals = vitals();
        vitals.await_client(SHORT);
        let mut seen = false;
        let noticing = std::future::poll_fn(|_| {
            seen |= vitals.take_read_expiry();
            if seen { Poll::Ready(()) } else { Poll::Pending }
        });
        let (ending, took) = attend(&vitals, noticing).await;
        assert_eq!(ending, Ending::Finished);
        assert!(took >= SHORT, "{took:?}");
    }

    #[tokio::test]
    async fn work_that_cannot_notice_is_abandoned() {
        let vitals = vitals();
        vitals.client_takes_nothing(|| 0);
        let (ending, took) = attend(&vitals, std::future::pending()).await;
        assert_eq!(ending, Ending::Abandoned);
        assert!(took >= SHORT, "{took:?}");
    }

    #[tokio::test]
    async fn a_deadline_that_is_moved_back_or_lifted_does_not_fire() {
        let vitals = vitals();
        vitals.await_client(SHORT);
        let moving = async {
            tokio::time::sleep(SHORT / 2).await;
            vitals.await_client(SHORT * 4);
            tokio::time::sleep(SHORT * 2).await;
            vitals.client_came();
            tokio::time::sleep(SHORT * 4).await;
        };
        let (ending, _) = attend(&vitals, moving).await;
        assert_eq!(ending, Ending::Finished);
        assert!(!vitals.has_expired());
    }

    #[tokio::test]
    async fn a_deadline_that_comes_nearer_is_not_missed() {
        let vitals = vitals();
        vitals.await_client(Duration::from_secs(3600));
        let nearing = async {
            tokio::task::yield_now().await;
            vitals.await_client(SHORT);
            std::future::pending().await
        };
        let (ending, took) = attend(&vitals, nearing).await;
        assert_eq!(ending, Ending::Abandoned);
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}
