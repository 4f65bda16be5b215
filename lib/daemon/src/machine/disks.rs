//! The machine's disks: what each read and wrote.

use std::collections::BTreeSet;
use std::path::Path;

use procfs::{DiskStat, ProcError};
use prometheus::core::Collector;
use prometheus::{Error, Opts};

use super::devices::{DeviceCounters, Moved, chosen, is_hardware};

/// Where the kernel has a folder for each whole disk, and none for partitions.
const CLASS: &str = "/sys/block";

/// What the kernel calls a sector, whatever the disk does.
const SECTOR_BYTES: u64 = 512;

/// Bytes of each disk.
pub(super) struct Disks {
    bytes: DeviceCounters,
}

impl Disks {
    pub(super) fn new() -> Result<Disks, Error> {
        Ok(Disks {
            bytes: DeviceCounters::new(
                Opts::new(
                    "millrace_machine_disk_read_bytes_total",
                    "Bytes read from a whole disk since the machine started. Worry when it stays at what the drive can \
                     do: hits from disk wait then. Disks made of others (md, dm) count again what theirs do.",
                ),
                Opts::new(
                    "millrace_machine_disk_written_bytes_total",
                    "Bytes written to a whole disk since the machine started. In a day no more than the drive is rated \
                     for; drive_writes_per_day of [[cache.disks]] bounds what the cache adds.",
                ),
            )?,
        })
    }

    pub(super) fn read(&self) -> Result<(), ProcError> {
        let whole: BTreeSet<String> = std::fs::read_dir(CLASS)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let all = procfs::diskstats()?;
        let used = all.iter().filter(|disk| whole.contains(&disk.name));
        let used = used.filter_map(moved).collect();
        self.bytes
            .show(&chosen(used, |device| is_hardware(Path::new(CLASS), device)));
        Ok(())
    }

    pub(super) fn parts(&self) -> [&dyn Collector; 2] {
        [&self.bytes.inward, &self.bytes.outward]
    }
}

/// What a disk has moved; `None` for one that was never used, as most of the loop and RAM disks that a kernel makes.
fn moved(disk: &DiskStat) -> Option<Moved> {
    (disk.sectors_read > 0 || disk.sectors_written > 0).then(|| Moved {
        device: disk.name.clone(),
        inward: disk.sectors_read.saturating_mul(SECTOR_BYTES),
        outward: disk.sectors_written.saturating_mul(SECTOR_BYTES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(line: &str) -> DiskStat {
        DiskStat::from_line(line).unwrap()
    }

    #[test]
    fn sectors_are_told_in_bytes_and_an_unused_disk_not_at_all() {
        let used =
            disk("259 0 nvme0n1 116735 9521 10040914 173646 28432 90140 32958528 134276 0 19136 310353");
        assert_eq!(
            moved(&used),
            Some(Moved {
                device: "nvme0n1".to_owned(),
                inward: 10_040_914 * 512,
                outward: 32_958_528 * 512,
            })
        );
        assert_eq!(moved(&disk("7 0 loop0 0 0 0 0 0 0 0 0 0 0 0")), None);
    }

    #[test]
    fn no_partition_is_told_of() {
        let disks = Disks::new().unwrap();
        // A sandbox may have no sysfs; then there is nothing to tell.
        if disks.read().is_err() {
            return;
        }
        for family in Collector::collect(&disks.bytes.inward) {
            for metric in family.get_metric() {
                let name = metric.get_label()[0].value();
                assert!(!Path::new(CLASS).join(name).join("partition").exists(), "{name}");
                assert!(Path::new(CLASS).join(name).exists(), "{name}");
            }
        }
    }
}
