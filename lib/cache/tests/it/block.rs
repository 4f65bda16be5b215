//! The same engine on a raw block device: a loop device over a file, where this machine lets us make one.

use crate::stage::{MIB, Stage, body, eventually, key, reads_as, story};
use cache::{
    Disk, Source,
    disk::{DiskMetrics, Io, Options, open_device},
};
use prometheus::Registry;
use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

const DEVICE_BYTES: u64 = 96 * MIB;

/// A loop device, detached when dropped.
struct Loop {
    device: PathBuf,
    _file: tempfile::NamedTempFile,
}

impl Loop {
    /// Fails where there is no `losetup`, no right to use it, or no free device.
    fn attach() -> Result<Loop, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(DEVICE_BYTES).expect("room");
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file.path())
            .output()
            .map_err(|error| format!("losetup cannot be run: {error}"))?;
        if !status.success() {
            return Err(String::from_utf8_lossy(&stderr).trim().to_owned());
        }
        Ok(Loop {
            device: String::from_utf8_lossy(&stdout).trim().into(),
            _file: file,
        })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // One that stays attached is the machine's to clean up: its file is gone.
        drop(Command::new("losetup").arg("--detach").arg(&self.device).status());
    }
}

fn open(device: &Path, lock_patience: Duration) -> io::Result<Disk> {
    let options = Options {
        region_bytes: 8 * MIB,
        commit_delay: Duration::from_millis(1),
        lock_patience,
        ..Options::default()
    };
    let metrics = DiskMetrics::register(&Registry::new(), "loop").expect("a registry of its own");
    Disk::open(open_device(device, DEVICE_BYTES, Io::Auto)?, options, metrics)
}

#[test]
fn a_block_device_is_filled_turned_over_handed_on_and_found_again() {
    let device = match Loop::attach() {
        Ok(device) => device,
        Err(reason) => {
            println!("skipped: there is no loop device to be had here: {reason}");
            return;
        }
    };
    story(async {
        let path = &device.device;
        let before = Stage::over(Some(open(path, Duration::ZERO).expect("opens")), MIB, 32 * MIB);
        let bodies: Vec<_> = (0..40).map(|number| body(4 * MIB + number, number)).collect();
        for (number, body) in bodies.iter().enumerate() {
            before.fill(&key(&format!("/{number}")), body).await;
            eventually("it is on the device", || {
                before.count("copies_total{kept}") == number as u64 + 1
            })
            .await;
        }
        let refused = open(path, Duration::ZERO).map(drop).expect_err("it has a writer");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock, "{refused}");
        before.cache.close().await;

        let after = Stage::over(
            Some(open(path, Duration::ZERO).expect("handed on")),
            MIB,
            32 * MIB,
        );
        // Of 160 MiB the last half of what the device has room for was surely not given up.
        for (number, body) in bodies.iter().enumerate().skip(30) {
            let object = after.hit(&key(&format!("/{number}"))).await;
            assert_eq!(object.source(), Source::Disk);
            assert!(reads_as(&object, body).await, "{number}");
        }
    });
}
