//! The thread that carries the alerts of one sink: whatever hangs, hangs only the alerts of that one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use daemon::clock;
use model::Moment;

use super::outbox::Outbox;
use super::post::Poster;
use super::retry::{Answer, Pace};
use super::round::{Round, Turn, World};
use super::sink::{Request, Sink};

/// A clock that is set forward while a courier waits costs no more than this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A courier at work. One that is dropped leaves after what it is doing, and nobody waits for it.
pub(super) struct Courier {
    /// Room for one wake-up: a second one before the first was heard says nothing new.
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Courier {
    pub(super) fn start(sink: Box<dyn Sink>, outbox: Arc<Outbox>, pace: Pace) -> Result<Courier, String> {
        let (wake, wakes) = sync_channel(1);
        let name = sink.name();
        let round = Round::new(sink, outbox, pace);
        let world = Internet {
            poster: Poster::new(pace.timeout),
        };
        let thread = thread::Builder::new()
            .name(format!("alert {name}"))
            .spawn(move || run(round, world, pace, &wakes))
            .map_err(|error| format!("cannot start the thread that sends alerts to {name}: {error}"))?;
        Ok(Courier { wake, thread })
    }

    /// Says that something may be due.
    pub(super) fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Begins nothing more. What was not begun stays in the outbox.
    pub(super) fn leave(self) -> Leaving {
        Leaving { thread: self.thread }
    }
}

impl Leaving {
    /// Until what is being sent has been sent, which a receiver can delay by one time-out.
    pub(super) fn wait(self) {
        // A courier that panicked has nothing more to do.
        let _ = self.thread.join();
    }
}

/// A courier that does its last thing.
pub(super) struct Leaving {
    thread: JoinHandle<()>,
}

struct Internet {
    poster: Poster,
}

impl World for Internet {
    fn now(&self) -> Moment {
        Moment(clock::now_millis())
    }

    fn chance(&mut self) -> f64 {
        rand::random()
    }

    fn post(&mut self, request: &Request) -> Answer {
        self.poster.post(request)
    }
}

fn run(mut round: Round, mut world: Internet, pace: Pace, wakes: &Receiver<()>) {
    let mut is_broken = false;
    while wakes.try_recv() != Err(TryRecvError::Disconnected) {
        let turn = round.turn(&mut world);
        if let Err(error) = &turn
            && !is_broken
        {
            tracing::error!(error, "no alert is sent until the outbox can be written");
        }
        is_broken = turn.is_err();
        let pause = match turn {
            Ok(Turn::Busy) => continue,
            Ok(Turn::Wait(until)) => until.since(world.now()).min(LONGEST_WAIT),
            Ok(Turn::Idle) => LONGEST_WAIT,
            Err(_) => pace.longest_pause.min(LONGEST_WAIT),
        };
        if wakes.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
