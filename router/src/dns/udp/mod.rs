//! DNS over UDP: a thread for each socket, which takes what is there, answers it, and sends the replies together.

mod batch;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use self::batch::{Batch, Wait};
use super::World;
use super::authority::answer;
use super::authority::outcome::{Outcome, Transport};
use super::metrics::DnsMetrics;
use super::tally::{Dropped, Tally};

/// How long a thread rests when its socket cannot be read, so that a broken one costs no core.
const REST: Duration = Duration::from_millis(100);

/// Batches that are still answered when the end comes: a socket's whole queue, unless more comes in than goes out.
const LAST_BATCHES: usize = 1_000;

/// The threads, until they are stopped.
pub(crate) struct UdpThreads {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl UdpThreads {
    /// Answers on `sockets` (see [`crate::bind::udp`]), a thread for each.
    ///
    /// # Errors
    /// When a thread cannot be started; those that were end.
    pub(crate) fn start<W: World>(
        sockets: Vec<UdpSocket>,
        world: &Arc<ArcSwap<W>>,
        metrics: &DnsMetrics,
    ) -> io::Result<UdpThreads> {
        let mut started = UdpThreads {
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for (nth, socket) in sockets.into_iter().enumerate() {
            let (world, stop) = (Arc::clone(world), Arc::clone(&started.stop));
            let tally = metrics.tally(Transport::Udp);
            let spawned = thread::Builder::new()
                .name(format!("dns-udp-{nth}"))
                .spawn(move || run(&socket, world, &tally, &stop));
            match spawned {
                Ok(thread) => started.threads.push(thread),
                Err(error) => {
                    started.stop();
                    return Err(error);
                }
            }
        }
        Ok(started)
    }

    /// Has what waits in the sockets answered, closes them, and returns when that is done.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of DNS over UDP ended in a panic; its message stands above");
            }
        }
    }
}

fn run<W: World>(socket: &UdpSocket, world: Arc<ArcSwap<W>>, tally: &Tally, stop: &AtomicBool) {
    let mut world = Cache::new(world);
    let mut batch = Batch::new();
    let mut failing = false;
    while !stop.load(Ordering::Relaxed) {
        match batch.receive(socket, Wait::ForOne) {
            Ok(()) => {
                failing = false;
                serve(socket, &mut batch, world.load().as_ref(), tally);
            }
            Err(error) if is_nothing(&error) => {
                // An old world is let go of also where nobody asks.
                world.load();
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot receive queries of DNS; trying again");
                }
                thread::park_timeout(REST);
            }
        }
    }
    for _ in 0..LAST_BATCHES {
        if batch.receive(socket, Wait::No).is_err() {
            break;
        }
        serve(socket, &mut batch, world.load().as_ref(), tally);
    }
}

/// Whether there was just nothing to receive.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn serve<W: World>(socket: &UdpSocket, batch: &mut Batch, world: &W, tally: &Tally) {
    let oversize = batch.answer_each(|query, source, out| {
        let outcome = answer(query, source, Transport::Udp, world.zones(), world, out);
        tally.count(&outcome);
        matches!(outcome, Outcome::Reply(_))
    });
    let unsent = batch.send(socket);
    for (count, why) in [(oversize, Dropped::Oversize), (unsent, Dropped::Unsent)] {
        for _ in 0..count {
            tally.dropped(why);
        }
    }
}
