//! What becomes of an entry of the outbox.

use super::entry::Entry;

/// What came of an attempt, or why an entry left without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::alert) enum Outcome {
    Delivered,
    /// The receiver will never take it.
    Refused,
    /// It is sent again.
    Retried,
    /// Nobody took it for a day.
    GaveUp,
    /// The outbox was full.
    Dropped,
    /// The alert ended before it was told.
    Collapsed,
}

impl Outcome {
    pub(in crate::alert) const ALL: [Outcome; 6] = [
        Outcome::Delivered,
        Outcome::Refused,
        Outcome::Retried,
        Outcome::GaveUp,
        Outcome::Dropped,
        Outcome::Collapsed,
    ];

    /// As metrics name it.
    pub(in crate::alert) fn name(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Refused => "refused",
            Outcome::Retried => "retried",
            Outcome::GaveUp => "gave_up",
            Outcome::Dropped => "dropped",
            Outcome::Collapsed => "collapsed",
        }
    }
}

/// An entry that leaves the queue without having been delivered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Left {
    pub(super) outcome: Outcome,
    pub(super) entry: Entry,
}
