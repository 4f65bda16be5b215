//! The monitor's time: the wall clock at the start, and from then on as long as has passed. A clock that is set
//! meanwhile neither ages a view nor ends a hold-down.

use model::Moment;
use tokio::time::Instant;

/// Moments of this process; copies agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Moment,
    then: Instant,
}

impl Clock {
    /// A clock that shows `started` now.
    pub(crate) fn starting_at(started: Moment) -> Clock {
        Clock {
            started,
            then: Instant::now(),
        }
    }

    /// The moment now.
    pub(crate) fn now(&self) -> Moment {
        self.started + self.then.elapsed()
    }
}
