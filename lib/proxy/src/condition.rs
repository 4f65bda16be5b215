//! How this node is, by its own word: what `/healthz` answers, and what monitors are told.

use cache::Disks;
use cache::disks::State;
use model::health::DiskCounts;
use tokio::sync::watch;

/// How this node is, for all its threads.
pub struct Condition {
    /// When this process started, milliseconds since the Unix epoch: another number is another process.
    pub started: u64,
    disks: Option<Disks>,
    draining: watch::Sender<bool>,
}

/// How it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// It sees its clients out and wants no new ones.
    pub draining: bool,
    /// Its cache devices by state.
    pub disks: DiskCounts,
}

impl Condition {
    /// A node that serves, from `started` on, with these cache devices.
    #[must_use]
    pub fn new(started: u64, disks: Option<Disks>) -> Condition {
        Condition {
            started,
            disks,
            draining: watch::Sender::new(false),
        }
    }

    /// From now on it sees its clients out.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// How it is now.
    #[must_use]
    pub fn report(&self) -> Report {
        let states = self.disks.as_ref().map(Disks::states).unwrap_or_default();
        Report {
            draining: *self.draining.borrow(),
            disks: counts(states.into_iter().map(|(_, state)| state)),
        }
    }

    /// Hears of a drain the moment it begins. Devices tell nobody; who minds looks at [`Condition::report`].
    #[must_use]
    pub fn drains(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }
}

fn counts(states: impl Iterator<Item = State>) -> DiskCounts {
    states.fold(DiskCounts::default(), |mut counts, state| {
        let count = match state {
            State::Healthy => &mut counts.healthy,
            State::Suspect => &mut counts.suspect,
            State::ReadOnly => &mut counts.read_only,
            State::Offline => &mut counts.offline,
        };
        *count += 1;
        counts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_is_counted_by_its_state() {
        let states = [State::Offline, State::Healthy, State::ReadOnly, State::Healthy];
        let expected = DiskCounts {
            healthy: 2,
            suspect: 0,
            read_only: 1,
            offline: 1,
        };
        assert_eq!(counts(states.into_iter()), expected);
        assert_eq!(counts(State::ALL.into_iter()).total(), 4);
    }

    #[test]
    fn a_drain_is_reported_and_heard_of() {
        let condition = Condition::new(7, None);
        let drains = condition.drains();
        assert_eq!((condition.report().draining, *drains.borrow()), (false, false));
        condition.drain();
        assert_eq!((condition.report().draining, *drains.borrow()), (true, true));
        assert!(drains.has_changed().unwrap());
    }
}
