//! `[access_log]`: where requests are logged.

use daemon::config::Table;
use model::Size;

use super::knob::Knob;
use crate::log::{AccessLogConfig, QUEUE_BYTES_MIN};

/// Bytes of lines that may wait for the disk. Beyond it lines are dropped and counted, and no request waits. A line
/// has about 500 bytes: at 20,000 requests a second, 16 MiB bridge a second and a half.
const QUEUE: Knob<Size> = Knob {
    key: "queue",
    default: Size(16 << 20),
    least: Size(QUEUE_BYTES_MIN as u64),
    most: Size(1 << 30),
};

/// Reads `[access_log]`: `None` is a complaint, `Some(None)` a node without one.
#[must_use]
pub fn access_log(root: &Table<'_>) -> Option<Option<AccessLogConfig>> {
    let Some(table) = root.optional_table("access_log") else {
        return Some(None);
    };
    let path = table.required("path");
    let queue_bytes = usize::try_from(QUEUE.read(&table).0).unwrap_or(usize::MAX);
    Some(Some(AccessLogConfig {
        path: path?,
        queue_bytes,
    }))
}
