//! A setting with a default: its name, its default and its range stand in one place.

use std::time::Duration;

use daemon::config::Table;
use model::Period;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One setting of a table.
pub(super) struct Knob<T> {
    pub(super) key: &'static str,
    /// What holds where it is not written.
    pub(super) default: T,
    /// The least value that is accepted.
    pub(super) least: T,
    /// The greatest value that is accepted.
    pub(super) most: T,
}

impl<T: Copy + DeserializeOwned + Serialize + PartialOrd> Knob<T> {
    /// What `table` says, or the default. A value out of range is complained of.
    pub(super) fn read(&self, table: &Table<'_>) -> T {
        table.within(self.key, self.default, self.least..=self.most)
    }
}

pub(super) const fn seconds(count: u64) -> Period {
    Period(Duration::from_secs(count))
}

pub(super) const fn milliseconds(count: u64) -> Period {
    Period(Duration::from_millis(count))
}
