//! One thing to tell one receiver.

use model::Moment;
use serde::{Deserialize, Serialize};

use crate::alert::fold::Alert;
use crate::alert::key::Key;
use crate::alert::milliseconds;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Trigger,
    Resolve,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Action::Trigger => "trigger",
            Action::Resolve => "resolve",
        }
    }
}

/// As it lies in the outbox of one sink, in JSON, under its sequence number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Grows by one with each entry of a sink, and is never used again.
    pub(crate) sequence: u64,
    pub(crate) action: Action,
    /// A resolve carries the alert as it was triggered: some receivers know an alert by all of it.
    pub(crate) alert: Alert,
    /// By the wall clock, like `next_try`: no other goes on over restarts.
    #[serde(with = "milliseconds")]
    pub(crate) queued_at: Moment,
    /// How often sending it began. One that began may have arrived.
    pub(crate) attempts: u32,
    #[serde(with = "milliseconds")]
    pub(crate) next_try: Moment,
}

impl Entry {
    /// Whether it was put off: until then it is due whatever the clock says, which may have been set back.
    pub(crate) fn was_put_off(&self) -> bool {
        self.next_try != self.queued_at
    }

    /// Whether sending it began, or was put off because it could not.
    pub(crate) fn was_tried(&self) -> bool {
        self.attempts > 0 || self.was_put_off()
    }

    pub(crate) fn key(&self) -> &Key {
        &self.alert.key
    }
}
