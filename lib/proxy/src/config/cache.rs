//! `[cache]`: what is kept, where, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use cache::Limits;
use cache::disk::Io;
use cache::disks::MAX_DEVICES;
use daemon::config::Table;
use model::{Period, Size};

use super::knob::{Knob, seconds};

/// RAM for whole objects. More answers more without a disk read; leave room for the index (24 to 36 bytes for each
/// 4 MiB or smaller object on disk), fills, connections and the kernel.
const RAM: Knob<Size> = Knob {
    key: "ram",
    default: Size(1 << 30),
    least: Size(16 << 20),
    most: Size(16 << 40),
};

/// RAM for objects that are arriving from upstream or on their way to the disk. When three quarters are used, what is on
/// disk already is read from there, new objects are served without being kept, and upstreams are slowed down to their
/// clients. A fill may be open for every 256 KiB of it; beyond, requests for absent objects are answered 503. By
/// Little's law: bytes a second from upstream times the seconds a fill takes.
const FILLS: Knob<Size> = Knob {
    key: "fills",
    default: Size(256 << 20),
    least: Size(16 << 20),
    most: Size(1 << 40),
};

/// How often a device that refuses writes, or is offline, is tried. Sooner brings hits back sooner; a drive that fails
/// again and again is opened as often.
const DISK_PROBE_INTERVAL: Knob<Period> = Knob {
    key: "disk_probe_interval",
    default: seconds(30),
    least: seconds(1),
    most: seconds(3600),
};

/// Share of new objects, for its size: 2 gives a device twice as many as its size would. More for the faster of unequal
/// drives; what it holds is replaced sooner then.
const WEIGHT: Knob<f64> = Knob {
    key: "weight",
    default: 1.0,
    least: 0.01,
    most: 100.0,
};

/// How often the drive may be written over in a day, of the bytes that are used; 0 is without a bound. Drives are rated
/// for it; beyond, what is asked for once is not kept.
const DRIVE_WRITES_PER_DAY: Knob<f64> = Knob {
    key: "drive_writes_per_day",
    default: 0.0,
    least: 0.0,
    most: 100.0,
};

/// Share of a device for what was asked for once: there it shows whether it is asked for again. More keeps passers-by for
/// longer, less leaves more room for what has proven itself.
const PROBATION_SHARE: Knob<f64> = Knob {
    key: "probation_share",
    default: 0.05,
    least: 0.0,
    most: 0.5,
};

/// The least a device gives: a few regions of 64 MiB, so that one can be reclaimed while another is written.
const LEAST_DISK: u64 = 256 << 20;

/// What the cache may use.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheConfig {
    /// RAM for objects and for fills.
    pub limits: Limits,
    /// The devices. Without any the cache is as large as its RAM and empty after a restart.
    pub disks: Vec<DiskConfig>,
    /// How often a device that is not as it should be is tried.
    pub disk_probe_interval: Duration,
}

/// One of `[[cache.disks]]`: a device with a log of objects on it.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskConfig {
    /// A block device, or a regular file that is made where it is missing. Whatever it held is overwritten.
    pub device: PathBuf,
    /// Bytes that are used of it. On NVMe three quarters of what it has: the rest keeps its garbage collection cheap.
    pub size_bytes: u64,
    /// Its share of new objects for its size.
    pub weight: f64,
    /// Who carries out its I/O.
    pub io: Io,
    /// How often all of it may be written in a day; 0 is without a bound.
    pub drive_writes_per_day: f64,
    /// How much of it is for what was asked for once.
    pub probation_share: f64,
}

/// What a device is divided into, in bytes.
const REGION_BYTES: u64 = 64 << 20;

/// From so many regions on a device loses little to the one that is kept free.
const MANY_REGIONS: u64 = 16;

impl CacheConfig {
    /// What is allowed and seldom wanted, to be told whoever starts or checks the node.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let small = |disk: &&DiskConfig| disk.size_bytes / REGION_BYTES < MANY_REGIONS;
        let remark = |disk: &DiskConfig| {
            format!(
                "cache disk {}: {} MiB are few regions of {} MiB: one is kept free and one is being filled, so up to {} % \
                 hold nothing; give it {} GiB or more",
                disk.device.display(),
                disk.size_bytes >> 20,
                REGION_BYTES >> 20,
                200 / (disk.size_bytes / REGION_BYTES).max(2),
                (MANY_REGIONS * REGION_BYTES) >> 30,
            )
        };
        self.disks.iter().filter(small).map(remark).collect()
    }
}

/// Reads `[cache]`.
#[must_use]
pub fn cache(root: &Table<'_>) -> Option<CacheConfig> {
    let table = root.table("cache");
    let limits = Limits {
        ram_bytes: RAM.read(&table).0,
        fill_bytes: FILLS.read(&table).0,
    };
    let disk_probe_interval = DISK_PROBE_INTERVAL.read(&table).0;
    table.retired(
        "disk",
        "write [[cache.disks]] instead of [cache.disk], once for each device, with the same keys",
    );
    let disks = disks(&table);
    Some(CacheConfig {
        limits,
        disks: disks?,
        disk_probe_interval,
    })
}

fn disks(table: &Table<'_>) -> Option<Vec<DiskConfig>> {
    let tables = table.tables("disks");
    if tables.len() > MAX_DEVICES {
        table.complain(
            "disks",
            &format!("has {} entries", tables.len()),
            &format!("write {MAX_DEVICES} or fewer"),
        );
    }
    // All of them, before the first that is wrong ends the reading.
    let read: Vec<Option<DiskConfig>> = tables.iter().map(disk).collect();
    for (number, (disk, table)) in read.iter().zip(&tables).enumerate() {
        let device = disk.as_ref().map(|disk| &disk.device);
        let mut earlier = read[..number].iter().flatten();
        if device.is_some_and(|device| earlier.any(|earlier| earlier.device == *device)) {
            table.complain(
                "device",
                "is that of an earlier entry",
                "give every entry of [[cache.disks]] a device of its own",
            );
        }
    }
    read.into_iter().collect()
}

fn disk(table: &Table<'_>) -> Option<DiskConfig> {
    let device = table.required("device");
    let size: Option<Size> = table.required("size");
    let weight = WEIGHT.read(table);
    let drive_writes_per_day = DRIVE_WRITES_PER_DAY.read(table);
    let probation_share = PROBATION_SHARE.read(table);
    let io: String = table.or("io", Io::Auto.name().to_owned());
    if size.is_some_and(|size| size.0 < LEAST_DISK) {
        let advice = format!(
            "write {} or more, or leave this entry of [[cache.disks]] out",
            String::from(Size(LEAST_DISK))
        );
        table.complain("size", "is too small for a log of 64 MiB regions", &advice);
    }
    let io = io.parse();
    if io.is_err() {
        table.complain(
            "io",
            "names nothing that is known",
            "write \"auto\", \"uring\" or \"threads\"",
        );
    }
    Some(DiskConfig {
        device: device?,
        size_bytes: size?.0,
        weight,
        io: io.ok()?,
        drive_writes_per_day,
        probation_share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_few_regions_is_remarked_on_with_what_it_loses() {
        let disk = |size_bytes| DiskConfig {
            device: "/var/cache/device".into(),
            size_bytes,
            weight: 1.0,
            io: Io::Auto,
            drive_writes_per_day: 0.0,
            probation_share: PROBATION_SHARE.default,
        };
        let config = CacheConfig {
            limits: Limits {
                ram_bytes: 1 << 30,
                fill_bytes: 1 << 28,
            },
            disks: vec![disk(LEAST_DISK), disk(1 << 30), disk(3 << 40)],
            disk_probe_interval: Duration::from_secs(30),
        };
        let remarks = config.remarks();
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(
            remarks[0].contains("256 MiB") && remarks[0].contains("up to 50 %"),
            "{remarks:?}"
        );
    }
}
