//! The ring against a real file, and every engine against a real block device.

use super::aligned::AlignedBuffer;
use super::deadlines::Deadlines;
use super::reads::{Reads, Unread};
use super::{Buffer, Buffers, Device, FileDevice, Io, UringDevice, Writes, open_device};
use prometheus::IntGauge;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DEVICE_BYTES: u64 = 8 << 20;

/// A device whose every 8 bytes are their own offset. `None`, said aloud, where the kernel refuses io_uring: what
/// happens then is told by the stories of threads.
fn device(folder: &Path) -> Option<Arc<UringDevice>> {
    let file = FileDevice::open(&folder.join("cache.device"), DEVICE_BYTES).expect("opened");
    let device = match UringDevice::start(Arc::new(file)) {
        Ok(device) => Arc::new(device),
        Err(error) => {
            eprintln!("no io_uring here: {error}");
            return None;
        }
    };
    let mut writes = Writes::new(device.clone(), 4);
    let mut spare = Vec::new();
    for offset in (0..DEVICE_BYTES).step_by(1 << 20) {
        if writes.is_full() {
            let (result, buffer) = writes.finish_oldest().expect("it is full");
            result.expect("written");
            spare.push(buffer);
        }
        let mut buffer = spare
            .pop()
            .unwrap_or_else(|| AlignedBuffer::zeroed(1 << 20).into());
        for (at, word) in buffer.chunks_mut(8).enumerate() {
            word.copy_from_slice(&(offset + at as u64 * 8).to_le_bytes());
        }
        writes.begin(offset, buffer);
    }
    while let Some((result, _)) = writes.finish_oldest() {
        result.expect("written");
    }
    Some(device)
}

fn reads(device: &Arc<UringDevice>, buffer_bytes: u64) -> Reads {
    let buffers = Buffers::new(buffer_bytes, IntGauge::new("bytes", "bytes").expect("a gauge"));
    let deadlines = Deadlines::start(Duration::from_secs(60)).expect("a thread");
    Reads::new(device.clone(), buffers, Arc::new(deadlines))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn is_right(offset: u64, bytes: &[u8]) -> bool {
    bytes
        .chunks(8)
        .zip((offset..).step_by(8))
        .all(|(word, at)| word == at.to_le_bytes())
}

#[test]
fn hundreds_of_reads_at_once_each_get_their_bytes_from_lasting_buffers_and_others() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let Some(device) = device(folder.path()) else {
        return;
    };
    let reads = reads(&device, 64 << 20);
    let sizes = [4096_usize, 8192, 69_632, 266_240, 1 << 20];
    block_on(async {
        let mut begun = Vec::new();
        for number in 0..600_u64 {
            let length = sizes[number as usize % sizes.len()];
            let offset = number * 13 * 4096 % (DEVICE_BYTES - length as u64);
            let offset = offset - offset % 4096;
            match reads.begin(offset, length) {
                Ok(read) => begun.push((offset, length, read)),
                Err(Unread::Busy) => assert!(begun.len() > 150, "busy after {}", begun.len()),
                Err(other) => panic!("{other:?}"),
            }
        }
        for (offset, length, read) in begun {
            let bytes = read.end().await.expect("read");
            assert_eq!(bytes.len(), length);
            assert!(is_right(offset, &bytes), "{length} bytes at {offset}");
        }
    });
}

#[test]
fn a_read_past_the_end_fails_and_the_next_one_does_not() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let Some(device) = device(folder.path()) else {
        return;
    };
    let reads = reads(&device, 64 << 20);
    block_on(async {
        // The file ends in the middle: a short answer, continued, then nothing.
        let across = reads.begin(DEVICE_BYTES - 4096, 8192).expect("begun").end().await;
        match across {
            Err(Unread::Failed(error)) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
            other => panic!("{:?}", other.map(|bytes| bytes.len())),
        }
        let last = reads.begin(DEVICE_BYTES - 4096, 4096).expect("begun").end().await;
        assert!(is_right(DEVICE_BYTES - 4096, &last.expect("read")));
    });
}

#[test]
fn who_leaves_before_the_end_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let Some(device) = device(folder.path()) else {
        return;
    };
    let reads = reads(&device, 8 << 20);
    // Many times more than the bound allows at once: each must come home though nobody waits for it.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut begun = 0;
    while begun < 500 {
        match reads.begin(0, 1 << 20) {
            Ok(read) => {
                drop(read);
                begun += 1;
            }
            Err(_) => assert!(Instant::now() < deadline, "buffers do not come back"),
        }
    }
}

#[test]
fn the_last_handle_may_go_while_transfers_are_under_way() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let Some(device) = device(folder.path()) else {
        return;
    };
    let mut writes = Writes::new(device.clone(), 8);
    for number in 0..8 {
        let mut buffer: Buffer = AlignedBuffer::zeroed(1 << 20).into();
        buffer.fill(number);
        writes.begin(u64::from(number) << 20, buffer);
    }
    let path = folder.path().join("cache.device");
    drop(device);
    // `writes` has the last handle.
    drop(writes);
    let file = FileDevice::open(&path, DEVICE_BYTES).expect("opened");
    let mut block = AlignedBuffer::zeroed(4096);
    let deadline = Instant::now() + Duration::from_secs(60);
    for number in 0..8_u8 {
        loop {
            file.read_at(u64::from(number) << 20, &mut block).expect("read");
            if block.iter().all(|byte| *byte == number) {
                break;
            }
            assert!(Instant::now() < deadline, "write {number} was lost");
        }
    }
}

#[test]
fn an_idle_ring_sleeps() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let Some(device) = device(folder.path()) else {
        return;
    };
    let reads = reads(&device, 8 << 20);
    drop(block_on(reads.begin(0, 4096).expect("begun").end()).expect("read"));
    // What is counted is one second of nothing; how long it really takes does not matter.
    let deadline = Instant::now() + Duration::from_secs(1);
    let before = device.wakeups();
    while let left = deadline.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        std::thread::park_timeout(left);
    }
    let woken = device.wakeups() - before;
    assert!(woken <= 1, "woken {woken} times with nothing to do");
}

/// A block device over a file. Detached when dropped.
struct Loop(PathBuf);

impl Loop {
    /// `None`, said aloud, where there are none or we may not have one.
    fn over(file: &Path) -> Option<Loop> {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .output();
        match output {
            Ok(output) if output.status.success() => {
                let name = String::from_utf8(output.stdout).expect("a path");
                Some(Loop(PathBuf::from(name.trim())))
            }
            refused => {
                eprintln!("no loop device here: {refused:?}");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        Command::new("losetup").arg("--detach").arg(&self.0).status().ok();
    }
}

#[test]
fn a_raw_block_device_is_used_as_a_file_is_and_never_beyond_its_end() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("disk.image");
    std::fs::File::create(&path)
        .and_then(|file| file.set_len(DEVICE_BYTES))
        .expect("an image");
    // Where there is no block device, the file stands for it: all but the opening is the same.
    let block_device = Loop::over(&path);
    let device_path = block_device.as_ref().map_or(path.as_path(), |device| &device.0);
    for (io, byte) in [(Io::Auto, 1), (Io::Threads, 2)] {
        let device = open_device(device_path, DEVICE_BYTES, io).expect("opened");
        device.lock(Duration::ZERO).expect("nobody else has it");
        assert_eq!(device.size(), DEVICE_BYTES);
        let mut writes = Writes::new(device.clone(), 4);
        for offset in [0, DEVICE_BYTES / 2, DEVICE_BYTES - (1 << 20)] {
            let mut buffer: Buffer = AlignedBuffer::zeroed(1 << 20).into();
            buffer.fill(byte);
            writes.begin(offset, buffer);
        }
        while let Some((result, _)) = writes.finish_oldest() {
            result.expect("written");
        }
        device.flush().expect("flushed");
        let mut block = AlignedBuffer::zeroed(4096);
        device.read_at(DEVICE_BYTES - 4096, &mut block).expect("read");
        assert!(block.iter().all(|found| *found == byte));
        assert!(device.read_at(DEVICE_BYTES, &mut block).is_err(), "past the end");
        device.unlock().expect("released");
    }
    if block_device.is_some() {
        let error = open_device(device_path, 2 * DEVICE_BYTES, Io::Auto)
            .err()
            .expect("too small");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
