//! Moves events into the board, and publications and commands out of it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::Moment;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::event::{Command, Event};
use super::metrics::BoardMetrics;
use super::published::Published;
use crate::alerting::Alerting;
use crate::clock::Clock;
use crate::collect::Collecting;
use crate::feed::Feed;
use crate::journal::Journal;
use crate::probe::Probing;

pub(crate) use super::Board;

/// How often time itself is looked at: silent streams, hold-downs, slow starts.
const TICK: Duration = Duration::from_millis(250);

/// What comes within so long is published as one change.
const COALESCE: Duration = Duration::from_millis(50);

/// Events taken in before the next conclusion.
const BATCH: usize = 4096;

/// What the board works with.
pub(crate) struct Means {
    pub(crate) clock: Clock,
    pub(crate) probing: Probing,
    pub(crate) collecting: Collecting,
    pub(crate) feed: Arc<Feed>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) alerting: Alerting,
    pub(crate) published: Arc<ArcSwap<Published>>,
    pub(crate) metrics: BoardMetrics,
}

/// Until it is told to end, or nobody can send events any more; gives back what it worked with.
pub(crate) async fn run(
    mut board: Board,
    mut means: Means,
    mut events: mpsc::Receiver<Event>,
    mut ending: watch::Receiver<bool>,
) -> Means {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alerts_evaluated = Moment::default();
    loop {
        let first = tokio::select! {
            event = events.recv() => match event {
                Some(event) => Some(event),
                None => return means,
            },
            _ = ticks.tick() => None,
            _ = ending.changed() => return means,
        };
        let now = means.clock.now();
        let rest = std::iter::from_fn(|| events.try_recv().ok()).take(BATCH);
        for event in first.into_iter().chain(rest) {
            let commands = board.apply(now, event);
            means.execute(commands);
        }
        let settled = board.settle(now);
        means.execute(settled.commands);
        if let Some(bulletin) = &settled.bulletin {
            means.feed.send(board.view(), bulletin);
        }
        if settled.changed || now.since(means.published.load().at) >= super::HEARTBEAT {
            means.published.store(Arc::new(board.published(now)));
            means.metrics.show(board.merged(), board.view().suspect.is_some());
        }
        for happening in &settled.happenings {
            means.metrics.count(happening);
            happening.log();
        }
        means.journal.record(settled.happenings);
        if now.since(alerts_evaluated) >= super::HEARTBEAT {
            alerts_evaluated = now;
            means.alerting.evaluate(now, &board);
        }
        tokio::time::sleep(COALESCE).await;
    }
}

impl Means {
    fn execute(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Follow(snapshot) => {
                    self.probing.follow(&snapshot);
                    self.collecting.follow(&snapshot);
                }
                Command::Look(node) => self.probing.look(&node),
                Command::Expect { node, family, answer } => self.probing.expect(&node, family, answer),
            }
        }
    }
}
