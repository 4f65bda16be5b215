//! The thread that follows one document: wait, look, offer what changed.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Accept;
use super::last_good::LastGood;
use super::metrics::{FollowMetrics, Outcome};
use super::pace::Pace;
use super::source::{Look, Origin, Reading, Source};
use crate::process::Failure;

pub(super) struct Task {
    name: &'static str,
    source: Source,
    origin: Origin,
    accept: Accept,
    /// Only for what came from a URL: a file is its own copy.
    last_good: Option<LastGood>,
    pace: Pace,
    metrics: FollowMetrics,
    /// Looks in a row that failed.
    failures: u32,
    /// The last failure that was logged, so that each is logged once and not at every look.
    problem: Option<String>,
    /// The newest document there is was refused, and an older one is in use.
    refused: bool,
    /// An accepted document that is not on disk yet.
    unsaved: Option<Vec<u8>>,
    /// What is in use was read from the last good copy: look at the source without a pause.
    from_copy: bool,
}

impl Task {
    pub(super) fn new(
        name: &'static str,
        source: Source,
        origin: Origin,
        accept: Accept,
        last_good: Option<LastGood>,
        pace: Pace,
        metrics: FollowMetrics,
    ) -> Task {
        Task {
            name,
            source,
            origin,
            accept,
            last_good,
            pace,
            metrics,
            failures: 0,
            problem: None,
            refused: false,
            unsaved: None,
            from_copy: false,
        }
    }

    /// Has the first version accepted: the last good copy, or else what the source gives.
    pub(super) fn open(&mut self) -> Result<(), Failure> {
        if self.open_copy() {
            return Ok(());
        }
        let bytes = match self.origin.look(Look::Again) {
            Ok(Reading::Changed(bytes)) => bytes,
            Ok(Reading::Unchanged) => return Err(self.unreachable("it says that nothing changed")),
            Err(error) => return Err(self.unreachable(&error)),
        };
        match (self.accept)(&bytes) {
            Ok(()) => {
                self.accepted(bytes);
                self.metrics.count(Outcome::Accepted, self.refused);
                Ok(())
            }
            Err(complaints) => Err(Failure::Configuration(self.refusal(&complaints))),
        }
    }

    fn open_copy(&mut self) -> bool {
        let Some(copy) = self.last_good.as_ref().and_then(LastGood::load) else {
            return false;
        };
        let accepted = (self.accept)(&copy);
        match accepted {
            Ok(()) => {
                tracing::info!(document = self.name, "starting with the last good copy");
                self.from_copy = true;
            }
            Err(complaints) => {
                tracing::warn!(
                    document = self.name,
                    ?complaints,
                    "the last good copy is refused, asking the source"
                );
            }
        }
        self.from_copy
    }

    fn unreachable(&self, why: &str) -> Failure {
        let what = format!("cannot read the {} from {}", self.name, self.source);
        match self.source {
            Source::File(_) => Failure::Configuration(format!("{what}: {why}")),
            Source::Url(_) => {
                Failure::running(format!("{what}, and there is no good copy of it on disk"), why)
            }
        }
    }

    fn refusal(&self, complaints: &[String]) -> String {
        format!(
            "the {} {} is refused:\n{}",
            self.name,
            self.source,
            complaints.join("\n")
        )
    }

    /// Until whoever holds the other end of `requests` is gone.
    pub(super) fn run(mut self, requests: &Receiver<()>) {
        self.save();
        loop {
            let look = match requests.recv_timeout(self.pause()) {
                Ok(()) => Look::Again,
                Err(RecvTimeoutError::Timeout) => Look::ForChanges,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let outcome = self.turn(look);
            self.metrics.count(outcome, self.refused);
        }
    }

    fn pause(&mut self) -> Duration {
        if std::mem::take(&mut self.from_copy) {
            Duration::ZERO
        } else {
            self.pace.pause_after(self.failures)
        }
    }

    fn turn(&mut self, look: Look) -> Outcome {
        match self.origin.look(look) {
            Err(error) => {
                self.failed(error);
                Outcome::Failed
            }
            Ok(Reading::Unchanged) => {
                self.succeeded();
                Outcome::Unchanged
            }
            Ok(Reading::Changed(bytes)) => {
                self.succeeded();
                self.offer(bytes)
            }
        }
    }

    fn offer(&mut self, bytes: Vec<u8>) -> Outcome {
        match (self.accept)(&bytes) {
            Ok(()) => {
                tracing::info!(
                    document = self.name,
                    bytes = bytes.len(),
                    "a new version is in use"
                );
                self.accepted(bytes);
                self.save();
                Outcome::Accepted
            }
            Err(complaints) => {
                self.refused = true;
                tracing::error!(
                    document = self.name,
                    ?complaints,
                    "a new version is refused, the old one stays"
                );
                Outcome::Refused
            }
        }
    }

    fn accepted(&mut self, bytes: Vec<u8>) {
        self.refused = false;
        self.unsaved = self.last_good.is_some().then_some(bytes);
    }

    fn save(&mut self) {
        let (Some(copy), Some(bytes)) = (&self.last_good, self.unsaved.take()) else {
            return;
        };
        if let Err(error) = copy.save(&bytes) {
            let path = copy.path().display();
            tracing::warn!(document = self.name, %path, %error, "cannot keep a copy: a restart will need the source");
        }
    }

    fn failed(&mut self, error: String) {
        self.failures = self.failures.saturating_add(1);
        if self.problem.as_ref() != Some(&error) {
            tracing::warn!(document = self.name, source = %self.source, error, "cannot be read, the old one stays");
            self.problem = Some(error);
        }
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        if self.problem.take().is_some() {
            tracing::info!(document = self.name, source = %self.source, "can be read again");
        }
    }
}
