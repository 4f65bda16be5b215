//! The monitor's time, in moments. A clock of the machine that is set meanwhile neither ages a view nor ends a hold-down.

use daemon::clock::Steady;
use model::Moment;

/// Moments of this process; copies agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Steady);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Steady::start())
    }

    /// The moment now.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.0.now_millis())
    }
}
