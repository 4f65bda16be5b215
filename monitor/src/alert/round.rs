//! One round of a courier: look what is due, note that it is being sent, send it, note what came of it.

use std::sync::Arc;

use model::Moment;

use super::outbox::entry::Entry;
use super::outbox::{Next, Outbox};
use super::retry::{Answer, Pace, Verdict, judge};
use super::sink::{Request, Sink};

/// Alerts of one reminder: with summaries as long as they may be, less than a megabyte.
const ALERTS_PER_REFRESH: usize = 200;

/// What a courier asks of the world.
pub(super) trait World {
    fn now(&self) -> Moment;
    /// A number from [0, 1).
    fn chance(&mut self) -> f64;
    fn post(&mut self, request: &Request) -> Answer;
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was done: there may be more.
    Busy,
    /// Nothing is due before this moment.
    Wait(Moment),
    /// Nothing waits.
    Idle,
}

pub(super) struct Round {
    sink: Box<dyn Sink>,
    outbox: Arc<Outbox>,
    pace: Pace,
    /// When what fires was last repeated.
    refreshed: Option<Moment>,
    /// The last problem that was logged, so that each is logged once and not at every attempt.
    problem: Option<String>,
}

impl Round {
    pub(super) fn new(sink: Box<dyn Sink>, outbox: Arc<Outbox>, pace: Pace) -> Round {
        Round {
            sink,
            outbox,
            pace,
            refreshed: None,
            problem: None,
        }
    }

    /// Fails when the outbox cannot be written; then nothing is sent.
    pub(super) fn turn(&mut self, world: &mut dyn World) -> Result<Turn, String> {
        let now = world.now();
        let refresh_at = self.refresh(now, world);
        match self.outbox.next(self.sink.name(), now)? {
            Next::Send(entry) => {
                self.send(&entry, world)?;
                Ok(Turn::Busy)
            }
            Next::Wait(until) => Ok(Turn::Wait(refresh_at.map_or(until, |at| at.min(until)))),
            Next::Nothing => Ok(refresh_at.map_or(Turn::Idle, Turn::Wait)),
        }
    }

    fn send(&mut self, entry: &Entry, world: &mut dyn World) -> Result<(), String> {
        let sink = self.sink.name();
        let now = world.now();
        let request = match self.sink.request(entry, now) {
            Ok(request) => request,
            Err(error) => {
                self.has_problem(format!("it cannot be sent: {error}"));
                return self.outbox.put_off(sink, entry, now + self.pace.longest_pause);
            }
        };
        if !self.outbox.begin(sink, entry)? {
            return Ok(());
        }
        let answer = world.post(&request);
        let attempts = entry.attempts.saturating_add(1);
        let verdict = judge(&answer, attempts, world.now(), self.pace, world.chance());
        self.outbox.settle(sink, entry, &verdict)?;
        self.tell(entry, verdict);
        Ok(())
    }

    fn tell(&mut self, entry: &Entry, verdict: Verdict) {
        let (key, action) = (entry.key().as_str(), entry.action.name());
        match verdict {
            Verdict::Delivered => {
                tracing::info!(sink = self.sink.name(), key, action, "an alert is told");
                self.has_no_problem();
            }
            Verdict::Refused(words) => {
                let sink = self.sink.name();
                tracing::error!(
                    sink,
                    key,
                    action,
                    words,
                    "an alert is refused for good: correct the configuration"
                );
            }
            Verdict::Again { why, .. } => self.has_problem(why),
        }
    }

    /// Repeats what fires to a receiver that forgets, when it is time, and returns when it is next. What cannot be
    /// repeated now is repeated then.
    fn refresh(&mut self, now: Moment, world: &mut dyn World) -> Option<Moment> {
        let interval = self.sink.refresh_interval()?;
        let is_early = |at: Moment| at <= now && now.since(at) < interval;
        if let Some(at) = self.refreshed.filter(|at| is_early(*at)) {
            return Some(at + interval);
        }
        self.refreshed = Some(now);
        for alerts in self.outbox.told(self.sink.name()).chunks(ALERTS_PER_REFRESH) {
            let answer = match self.sink.refresh(alerts, now) {
                Ok(Some(request)) => world.post(&request),
                Ok(None) => break,
                Err(error) => Answer::Nothing(error),
            };
            match judge(&answer, 1, now, self.pace, 0.0) {
                Verdict::Delivered => self.has_no_problem(),
                Verdict::Refused(why) | Verdict::Again { why, .. } => {
                    self.has_problem(why);
                    break;
                }
            }
        }
        Some(now + interval)
    }

    fn has_problem(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            tracing::warn!(
                sink = self.sink.name(),
                problem,
                "alerts wait, they are sent again"
            );
            self.problem = Some(problem);
        }
    }

    fn has_no_problem(&mut self) {
        if self.problem.take().is_some() {
            tracing::info!(sink = self.sink.name(), "alerts arrive again");
        }
    }
}
