//! Two processes and one device: the successor writes while the predecessor still reads. Two handles of one file stand
//! for them, as the locks belong to handles.

use super::*;
use crate::disk::Io;

const FILE_BYTES: u64 = 8 << 20;

fn disks(path: &std::path::Path, registry: &Registry) -> io::Result<Disks> {
    let metrics = DiskMetrics::register(registry, "file").expect("its own name");
    let plan = Plan::file(path.to_owned(), FILE_BYTES, Io::Auto, options(), metrics);
    let health = HealthMetrics::register(registry).expect("a registry of its own");
    Disks::open(vec![plan], tolerance(), health)
}

fn ward(path: &std::path::Path) -> Ward {
    let registry = Registry::new();
    Ward {
        patients: Vec::new(),
        disks: disks(path, &registry).expect("open"),
        registry,
    }
}

#[test]
fn a_successor_takes_over_while_the_predecessor_reads_and_gives_nothing_up_before_that_one_has_ended() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("device");
    let old = ward(&path);
    let kept = old.fill(0..500, 1);
    assert_eq!(kept.len(), 500);
    let refused = disks(&path, &Registry::new()).map(drop).expect_err("in use");
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock, "{refused}");
    block_on(old.disks.close());

    let new = ward(&path);
    assert_eq!(new.found(&kept).len(), 500, "recovered");
    // Far more than the device holds.
    let dropped = |ward: &Ward| {
        let labels = [("reason", "handing_over")];
        ward.counts("millrace_cache_disk_records_dropped_total", &labels)
    };
    let written = new.fill(1000..5000, 2);
    assert!(!written.is_empty() && dropped(&new) > 0);
    assert_eq!(new.counts("millrace_cache_disk_regions_reclaimed_total", &[]), 0);
    assert_eq!(old.found(&kept).len(), 500, "the predecessor reads all it had");
    assert_eq!(old.fill(6000..6010, 2).len(), 0, "and writes nothing");

    drop(old);
    let deadline = Instant::now() + PATIENCE;
    let mut next = 10_000;
    while new.counts("millrace_cache_disk_regions_reclaimed_total", &[]) == 0 {
        assert!(
            Instant::now() < deadline,
            "nothing is given up though nobody else reads"
        );
        new.fill(next..next + 500, 3);
        next += 500;
    }
}
