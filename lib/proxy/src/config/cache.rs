//! `[cache]`: what is kept, where, and how much of it.

use std::path::PathBuf;

use cache::Limits;
use daemon::config::Table;
use model::Size;

use super::knob::Knob;

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

/// The least a device gives: a few regions of 64 MiB, so that one can be reclaimed while another is written.
const LEAST_DISK: u64 = 256 << 20;

/// What the cache may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// RAM for objects and for fills.
    pub limits: Limits,
    /// The device, if there is one: without it the cache is as large as its RAM and empty after a restart.
    pub disk: Option<DiskConfig>,
}

/// `[cache.disk]`: one device with a log of objects on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// A block device, or a regular file that is made where it is missing. Whatever it held is overwritten.
    pub device: PathBuf,
    /// Bytes that are used of it. On NVMe three quarters of what it has: the rest keeps its garbage collection cheap.
    pub size_bytes: u64,
}

/// Reads `[cache]`.
#[must_use]
pub fn cache(root: &Table<'_>) -> Option<CacheConfig> {
    let table = root.table("cache");
    let limits = Limits {
        ram_bytes: RAM.read(&table).0,
        fill_bytes: FILLS.read(&table).0,
    };
    let disk = match table.optional_table("disk") {
        None => None,
        Some(table) => Some(disk(&table)?),
    };
    Some(CacheConfig { limits, disk })
}

fn disk(table: &Table<'_>) -> Option<DiskConfig> {
    let device = table.required("device");
    let size: Option<Size> = table.required("size");
    if size.is_some_and(|size| size.0 < LEAST_DISK) {
        let advice = format!(
            "write {} or more, or leave [cache.disk] out",
            String::from(Size(LEAST_DISK))
        );
        table.complain("size", "is too small for a log of 64 MiB regions", &advice);
    }
    Some(DiskConfig {
        device: device?,
        size_bytes: size?.0,
    })
}
