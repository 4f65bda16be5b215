//! The cache's devices: opened when the node starts, sealed and let go of when it ends.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use cache::Cache;
use cache::disk::{DiskMetrics, Options};
use cache::disks::{Disks, HealthMetrics, Plan, Tolerance};
use daemon::process::Failure;
use prometheus::Registry;

use crate::config::{CacheConfig, DiskConfig};

/// How long the cache's disk may take to seal and flush when the daemon ends.
const CACHE_PATIENCE: Duration = Duration::from_secs(10);

/// Opens the devices and puts the cache on them. The devices come along for who minds their states.
pub(super) fn open(config: &CacheConfig, registry: &Registry) -> Result<(Cache, Option<Disks>), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::running("the cache does not open", error);
    let disks = if config.disks.is_empty() {
        None
    } else {
        let plans = config.disks.iter().map(|disk| plan(disk, registry));
        let plans: Vec<Plan> = plans
            .collect::<prometheus::Result<_>>()
            .map_err(|error| failed(&error))?;
        let health = HealthMetrics::register(registry).map_err(|error| failed(&error))?;
        let tolerance = Tolerance {
            probe_interval: config.disk_probe_interval,
            ..Tolerance::default()
        };
        let disks = Disks::open(plans, tolerance, health)
            .map_err(|error| Failure::running("a cache disk does not open", error))?;
        Some(disks)
    };
    let metrics = cache::Metrics::new(registry).map_err(|error| failed(&error))?;
    Ok((Cache::new(config.limits, disks.clone(), metrics), disks))
}

fn plan(disk: &DiskConfig, registry: &Registry) -> prometheus::Result<Plan> {
    let metrics = DiskMetrics::register(registry, &disk.device.to_string_lossy())?;
    let plan = Plan::file(
        disk.device.clone(),
        disk.size_bytes,
        disk.io,
        Options {
            s_share: disk.probation_share,
            drive_writes_per_day: disk.drive_writes_per_day,
            ..Options::default()
        },
        metrics,
    );
    Ok(Plan {
        weight: plan.weight * disk.weight,
        ..plan
    })
}

/// Seals the cache's devices and lets go of them, beside what else is done.
pub(super) fn close(cache: &Cache) -> io::Result<JoinHandle<io::Result<()>>> {
    let cache = cache.clone();
    let close = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let closed = runtime.block_on(async { tokio::time::timeout(CACHE_PATIENCE, cache.close()).await });
        closed.map_err(|_| io::Error::other("a device hangs"))
    };
    std::thread::Builder::new()
        .name("close-cache".to_owned())
        .spawn(close)
}
