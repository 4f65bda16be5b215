//! How the log is laid out and what it may use: every bound of the disk tier that an operator can move.

use super::device::BLOCK_BYTES;
use std::io;
use std::time::Duration;

/// Bounds and geometry of one [`super::Disk`].
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Size of one region, in bytes: what is reclaimed at once. 64 MiB; a multiple of 4 KiB, 64 KiB to 1 GiB. A part
    /// that does not fit an empty region is never stored. Changing it empties the cache.
    pub region_bytes: u64,
    /// Bytes that may wait for the writer. Beyond it the disk copy is dropped, never the client delayed. 64 MiB.
    pub queue_bytes: u64,
    /// Threads that read, where the device has no io_uring: the depth it sees. 8; 1 to 256.
    pub read_threads: usize,
    /// Reads that may wait for a thread. Beyond it a read is a miss. 1024; at least 1.
    pub read_queue: usize,
    /// Bytes of memory that reads may occupy at once, each until it is verified and copied. Beyond it a read is a
    /// miss. 64 MiB: some 200 chunks at once, more than a drive needs to be busy; at least 8 MiB, a whole part and more.
    pub read_buffer_bytes: u64,
    /// How long a read may take. Then it is a miss; its memory stays occupied until the device answers. 2 s: longer
    /// than any drive that still works, shorter than a player's buffer.
    pub read_deadline: Duration,
    /// How long a record may wait for company before it is written. 100 ms; at most 200 ms, so that together with
    /// the write itself `kill -9` loses less than the last second.
    pub commit_delay: Duration,
    /// The share of the device for what was asked for once, 0 to 0.5. 0.05: it leaves after a twentieth of the device
    /// was written instead of after all of it. 0 treats everything alike: more is read from upstream where many objects are
    /// asked for only once.
    pub s_share: f64,
    /// How often the whole device may be written over in a day: what its maker rates it for, less what else writes to it.
    /// 0 sets no bound; up to 100. Beyond it, larger objects and those asked for once are no longer written.
    pub drive_writes_per_day: f64,
    /// How long to wait for another process to release the device. 10 s: a draining predecessor lets go at the
    /// beginning of its drain, so longer means that two daemons are configured with one device.
    pub lock_patience: Duration,
}

/// The longest [`Options::commit_delay`]: with one write of 5 MiB on a busy drive behind it, still well under a second.
pub(super) const MAX_COMMIT_DELAY: Duration = Duration::from_millis(200);
/// Bounds of [`Options::region_bytes`]: a header, a footer and some records must fit; a slot's offset must not overflow.
pub(super) const REGION_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 30);
/// Bound of [`Options::read_threads`]: NVMe gains nothing beyond it, and each costs a stack.
pub(super) const MAX_READ_THREADS: usize = 256;
/// Bound of [`Options::read_buffer_bytes`]: a whole part must fit while others are read.
pub(super) const LEAST_READ_BUFFER_BYTES: u64 = 8 << 20;

/// Bound of [`Options::s_share`]: beyond it, S is no probation any more.
const MOST_S_SHARE: f64 = 0.5;
/// Bound of [`Options::drive_writes_per_day`]: no drive is rated for more.
const MOST_DRIVE_WRITES_PER_DAY: f64 = 100.0;

impl Default for Options {
    fn default() -> Options {
        Options {
            region_bytes: 64 << 20,
            queue_bytes: 64 << 20,
            read_threads: 8,
            read_queue: 1024,
            read_buffer_bytes: 64 << 20,
            read_deadline: Duration::from_secs(2),
            commit_delay: Duration::from_millis(100),
            s_share: 0.05,
            drive_writes_per_day: 0.0,
            lock_patience: Duration::from_secs(10),
        }
    }
}

impl Options {
    /// Refuses what the log cannot work with, naming the option, what it was and what it may be.
    pub(super) fn check(&self) -> io::Result<()> {
        let complaint = if !REGION_BYTES.contains(&self.region_bytes)
            || !self.region_bytes.is_multiple_of(BLOCK_BYTES as u64)
        {
            format!(
                "region size {} bytes: use a multiple of 4 KiB from 64 KiB to 1 GiB",
                self.region_bytes
            )
        } else if self.read_threads == 0 || self.read_threads > MAX_READ_THREADS {
            format!("{} read threads: use 1 to {MAX_READ_THREADS}", self.read_threads)
        } else if self.read_queue == 0 {
            "a read queue of 0: use at least 1".to_owned()
        } else if self.read_buffer_bytes < LEAST_READ_BUFFER_BYTES {
            format!(
                "{} bytes of read buffers: use at least {LEAST_READ_BUFFER_BYTES}",
                self.read_buffer_bytes
            )
        } else if self.read_deadline.is_zero() {
            "a read deadline of 0: no read would ever be in time".to_owned()
        } else if self.commit_delay > MAX_COMMIT_DELAY {
            format!(
                "a commit delay of {:?}: use at most {MAX_COMMIT_DELAY:?}",
                self.commit_delay
            )
        } else if !(0.0..=MOST_S_SHARE).contains(&self.s_share) {
            format!("an S share of {}: use 0 to {MOST_S_SHARE}", self.s_share)
        } else if !(0.0..=MOST_DRIVE_WRITES_PER_DAY).contains(&self.drive_writes_per_day) {
            format!(
                "{} drive writes per day: use 0 (no bound) to {MOST_DRIVE_WRITES_PER_DAY}",
                self.drive_writes_per_day
            )
        } else {
            return Ok(());
        };
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("cache disk: {complaint}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_legal_and_each_bound_is_refused_by_name() {
        Options::default().check().expect("defaults");
        let cases: [(Options, &str); 9] = [
            (
                Options {
                    s_share: 0.6,
                    ..Options::default()
                },
                "an S share of 0.6",
            ),
            (
                Options {
                    drive_writes_per_day: f64::NAN,
                    ..Options::default()
                },
                "NaN drive writes per day",
            ),
            (
                Options {
                    region_bytes: 32 << 10,
                    ..Options::default()
                },
                "region size 32768",
            ),
            (
                Options {
                    region_bytes: (1 << 20) + 512,
                    ..Options::default()
                },
                "multiple of 4 KiB",
            ),
            (
                Options {
                    read_threads: 0,
                    ..Options::default()
                },
                "0 read threads",
            ),
            (
                Options {
                    read_queue: 0,
                    ..Options::default()
                },
                "read queue of 0",
            ),
            (
                Options {
                    read_buffer_bytes: 1 << 20,
                    ..Options::default()
                },
                "1048576 bytes of read buffers",
            ),
            (
                Options {
                    read_deadline: Duration::ZERO,
                    ..Options::default()
                },
                "read deadline of 0",
            ),
            (
                Options {
                    commit_delay: Duration::from_millis(201),
                    ..Options::default()
                },
                "commit delay of 201ms",
            ),
        ];
        for (options, words) in cases {
            let error = options.check().expect_err(words);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(words), "{error} should name {words}");
        }
    }
}
