//! What tests ask of the machine they run on: environment, wall clock, limits, and the pause between two looks.
//!
//! The only file of this room that may read the environment or sleep: every wait is a poll with a deadline
//! ([`crate::eventually`]), and the pause of that poll has to live somewhere.
#![expect(
    clippy::disallowed_methods,
    reason = "the one room for environment, wall clock and the pause between two looks"
)]

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files a test process wants: a crowd of 1,000 clients and their daemons, several times over.
const OPEN_FILES_WANTED: u64 = 16_384;

/// An environment variable, when it is set and is text.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Milliseconds since the Unix epoch by the wall clock, to compare with `Date` and log lines.
#[must_use]
pub fn unix_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// The pause between two looks of a poll.
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// The user this process runs as.
pub(crate) fn user_id() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
}

/// Raises the soft limit of open files, for this process and the daemons it starts.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= OPEN_FILES_WANTED) {
        return;
    }
    let wanted = limit
        .maximum
        .map_or(OPEN_FILES_WANTED, |maximum| maximum.min(OPEN_FILES_WANTED));
    // A refusal leaves the old limit, and the test that needs more says so by failing to connect.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        },
    );
}
