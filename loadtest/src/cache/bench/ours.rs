//! The engine's disk tier at work: random reads, log writes, both.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::disk::{Commit, Disk, DiskMetrics, Fate, Io, Options, PART_BYTES, open_device};
use prometheus::Registry;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::memory;

/// Parts that may wait for the writer at once.
const WRITES_AT_ONCE: usize = 8;

/// The version of all objects.
const VERSION: u64 = 1;

/// An open disk, full of parts that are known.
pub(super) struct Ours {
    disk: Disk,
    metrics: DiskMetrics,
    /// Keys whose part 0 is there.
    keys: Arc<Vec<u128>>,
    next_key: u128,
    body: Bytes,
    /// How long opening took, index included.
    pub(super) opened_in: Duration,
}

/// What some seconds of reading came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    pub(super) bytes_per_second: f64,
    /// Of the whole process, which has nothing else to do.
    pub(super) processor_seconds_per_gb: f64,
}

impl Ours {
    /// Opens the disk in `file`, which is formatted if it is no cache.
    ///
    /// # Errors
    ///
    /// When the device refuses.
    pub(super) fn open(file: &Path, bytes: u64, seed: u64) -> Result<Ours, String> {
        let start = Instant::now();
        let device = open_device(file, bytes, Io::Auto).map_err(|error| error.to_string())?;
        let metrics = DiskMetrics::register(&Registry::new(), "bench").map_err(|error| error.to_string())?;
        let options = Options {
            read_buffer_bytes: 256 << 20,
            ..Options::default()
        };
        let disk = Disk::open(device, options, metrics.clone()).map_err(|error| error.to_string())?;
        let mut body = vec![0; PART_BYTES as usize];
        StdRng::seed_from_u64(seed).fill_bytes(&mut body);
        Ok(Ours {
            disk,
            metrics,
            keys: Arc::default(),
            next_key: 0,
            body: body.into(),
            opened_in: start.elapsed(),
        })
    }

    /// Fills the disk with parts.
    ///
    /// # Errors
    ///
    /// When nothing of them is kept.
    pub(super) async fn fill(&mut self, bytes: u64) -> Result<(), String> {
        let mut waiting = std::collections::VecDeque::new();
        for _ in 0..bytes / PART_BYTES {
            waiting.push_back(self.put());
            if waiting.len() > WRITES_AT_ONCE
                && let Some(oldest) = waiting.pop_front()
            {
                committed(oldest).await?;
            }
        }
        for commit in waiting {
            committed(commit).await?;
        }
        let keys: Vec<u128> = (0..self.next_key)
            .filter(|key| self.disk.has_part(*key, VERSION, 0))
            .collect();
        if keys.is_empty() {
            return Err("the disk kept nothing of what it was given".to_owned());
        }
        self.keys = Arc::new(keys);
        Ok(())
    }

    /// Random ranges of `block_bytes`, verified, `depth` at once.
    ///
    /// # Errors
    ///
    /// When one of them is a miss: then less was read than is claimed.
    pub(super) async fn read(&self, block_bytes: u32, depth: usize, time: Duration) -> Result<Rate, String> {
        let (start, before) = (Instant::now(), processor_time()?);
        let until = start + time;
        let mut readers = JoinSet::new();
        for number in 0..depth {
            let (disk, keys) = (self.disk.clone(), Arc::clone(&self.keys));
            let mut chance = StdRng::seed_from_u64(number as u64);
            readers.spawn(async move {
                let mut read: u64 = 0;
                while Instant::now() < until {
                    let key = keys[chance.random_range(0..keys.len())];
                    let at = chance.random_range(0..PART_BYTES as u32 / block_bytes) * block_bytes;
                    match disk.read(key, VERSION, 0, at..at + block_bytes).await {
                        Ok(Some(bytes)) => read += bytes.len() as u64,
                        // Overwritten meanwhile: not counted, and rare.
                        Ok(None) => {}
                        Err(error) => return Err(error.to_string()),
                    }
                }
                Ok(read)
            });
        }
        let mut bytes = 0;
        while let Some(read) = readers.join_next().await {
            bytes += read.map_err(|error| error.to_string())??;
        }
        let spent = (processor_time()? - before).as_secs_f64();
        Ok(Rate {
            bytes_per_second: bytes as f64 / start.elapsed().as_secs_f64(),
            processor_seconds_per_gb: spent / (bytes as f64 / 1e9),
        })
    }

    /// Parts as fast as the log takes them, or at `bytes_per_second`. Returns bytes a second.
    ///
    /// # Errors
    ///
    /// When one of them is refused.
    pub(super) async fn write(
        &mut self,
        bytes_per_second: Option<u64>,
        time: Duration,
    ) -> Result<f64, String> {
        let start = Instant::now();
        let mut pace = bytes_per_second.map(|rate| {
            let mut pace = tokio::time::interval(Duration::from_secs_f64(PART_BYTES as f64 / rate as f64));
            pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
            pace
        });
        let mut waiting = std::collections::VecDeque::new();
        let mut parts: u64 = 0;
        while start.elapsed() < time {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            waiting.push_back(self.put());
            if waiting.len() > WRITES_AT_ONCE
                && let Some(oldest) = waiting.pop_front()
            {
                committed(oldest).await?;
                parts += 1;
            }
        }
        for commit in waiting {
            committed(commit).await?;
            parts += 1;
        }
        Ok((parts * PART_BYTES) as f64 / start.elapsed().as_secs_f64())
    }

    /// Reads that were misses because too many waited or the bytes were wrong: there must be none.
    pub(super) fn failed_reads(&self) -> u64 {
        let reads = &self.metrics.reads;
        reads.busy.get() + reads.corrupt.get()
    }

    pub(super) async fn close(self) {
        self.disk.close().await;
    }

    /// A reader beside this one, who may be writing.
    pub(super) fn reader(&self) -> Ours {
        Ours {
            disk: self.disk.clone(),
            metrics: self.metrics.clone(),
            keys: Arc::clone(&self.keys),
            next_key: self.next_key,
            body: self.body.clone(),
            opened_in: self.opened_in,
        }
    }

    fn put(&mut self) -> Commit {
        let key = self.next_key;
        self.next_key += 1;
        self.disk.put_part(key, VERSION, 0, vec![self.body.clone()])
    }
}

async fn committed(commit: Commit) -> Result<(), String> {
    match commit.await {
        Fate::Committed => Ok(()),
        other => Err(format!("a part was not written: {other:?}")),
    }
}

fn processor_time() -> Result<Duration, String> {
    memory::processor_time(std::process::id().cast_signed())
}
