//! A device that is a regular file, preallocated, or a block device; past the page cache where that is possible.
//!
//! Two locks, of two kinds that do not see each other, so that a device is handed over while it is still read. The kernel
//! drops both when the process ends, however it ends, and both work on files and on block devices:
//!
//! ```text
//! flock(2), exclusive          held by the writer, let go of when it drains
//! fcntl(2), OFD, shared, byte 0  held by everybody who has it open, until it is closed: "somebody may be reading"
//! ```

use super::aligned::AlignedBuffer;
use super::{BLOCK_BYTES, Device};
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a lock that another process holds is tried again. `flock` has no event to wait for.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// A file or block device, opened for reading and writing.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    path: PathBuf,
    size: u64,
    direct: bool,
}

impl FileDevice {
    /// Opens `path`. A regular file is created if absent and made exactly `size` bytes long, its blocks reserved
    /// now, so that a full file system is noticed here and not in the middle of a fill. Of a block device the first
    /// `size` bytes are used. `size` is rounded down to whole blocks.
    ///
    /// Fails when the path cannot be opened, is neither file nor block device, or has no room for `size`.
    pub fn open(path: &Path, size: u64) -> io::Result<FileDevice> {
        let size = size - size % BLOCK_BYTES as u64;
        let (mut file, mut direct) =
            open_direct(path).map_err(|error| named(path, "cannot be opened", &error))?;
        let kind = file.metadata()?.file_type();
        if kind.is_block_device() {
            let capacity = file.seek(SeekFrom::End(0))?;
            if capacity < size {
                return Err(too_small(path, size, capacity));
            }
        } else if kind.is_file() {
            reserve(&file, path, size)?;
        } else {
            let message = format!("{}: neither a regular file nor a block device", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        // Some file systems accept the flag and refuse the transfer: ask with a real read.
        if direct && size > 0 {
            let mut probe = AlignedBuffer::zeroed(BLOCK_BYTES);
            if file.read_exact_at(&mut probe, 0).is_err() {
                file = open_buffered(path)?;
                direct = false;
            }
        }
        if !direct {
            tracing::info!(path = %path.display(), "cache disk: O_DIRECT is refused here, the page cache is used");
        }
        mark_as_read(&file).map_err(|error| named(path, "cannot be marked as in use", &error))?;
        Ok(FileDevice {
            file,
            path: path.to_owned(),
            size,
            direct,
        })
    }
}

impl AsFd for FileDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Device for FileDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn lock(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(named(&self.path, "cannot be locked", &error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let message = format!(
                        "{}: another process has been writing to it for {patience:?}: stop that one or give this one \
                         a device of its own",
                        self.path.display()
                    );
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
                }
                Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_RETRY),
            }
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn is_read_elsewhere(&self) -> io::Result<bool> {
        // What would keep us from being the only one; our own mark does not.
        let mut mark = readers_mark(libc::F_WRLCK);
        fcntl(&self.file, FcntlArg::F_OFD_GETLK(&mut mark))?;
        Ok(i32::from(mark.l_type) != libc::F_UNLCK)
    }

    fn is_direct(&self) -> bool {
        self.direct
    }
}

/// Says to others, until the file is closed, that it may be read. It can only be refused where a file system knows no
/// locks at all.
fn mark_as_read(file: &File) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&readers_mark(libc::F_RDLCK)))?;
    Ok(())
}

/// A lock of the first byte, of a kind.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel's constants fit the fields that it gives them"
)]
fn readers_mark(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}

/// Opens past the page cache, or through it where the file system refuses that. The flag says which.
fn open_direct(path: &Path) -> io::Result<(File, bool)> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_DIRECT)
        .open(path);
    match opened {
        Ok(file) => Ok((file, true)),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok((open_buffered(path)?, false)),
        Err(error) => Err(error),
    }
}

fn open_buffered(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Makes the file `size` bytes long with its blocks reserved.
fn reserve(file: &File, path: &Path, size: u64) -> io::Result<()> {
    if file.metadata()?.len() > size {
        file.set_len(size)?;
    }
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size.max(1)) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG) => {
            let room = rustix::fs::fstatvfs(file).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
            return Err(too_small(path, size, room));
        }
        Err(rustix::io::Errno::OPNOTSUPP) => {
            tracing::warn!(
                path = %path.display(),
                "cache disk: this file system cannot reserve space; if it fills up, nothing more will be written"
            );
        }
        Err(error) => return Err(named(path, "cannot be preallocated", &error.into())),
    }
    file.set_len(size)
}

fn named(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {what}: {error}", path.display()))
}

fn too_small(path: &Path, size: u64, room: u64) -> io::Error {
    let message = format!(
        "{}: no room for {size} bytes ({room} are available): configure a smaller cache or a larger disk",
        path.display()
    );
    io::Error::new(io::ErrorKind::StorageFull, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_written_to_a_file_are_read_back_by_the_next_opening() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cache.device");
        let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
        {
            let device = FileDevice::open(&path, (1 << 20) + 77).expect("created");
            assert_eq!(device.size(), 1 << 20);
            assert_eq!(std::fs::metadata(&path).expect("metadata").len(), 1 << 20);
            block.fill(0xA5);
            device.write_at(8192, &block).expect("written");
            device.flush().expect("flushed");
        }
        let device = FileDevice::open(&path, 1 << 20).expect("opened");
        block.fill(0);
        device.read_at(8192, &mut block).expect("read");
        assert!(block.iter().all(|byte| *byte == 0xA5));
        assert!(device.read_at(1 << 20, &mut block).is_err(), "past the end");
    }

    #[test]
    fn a_file_system_without_room_is_refused_with_both_sizes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cache.device");
        let error = FileDevice::open(&path, 1 << 60).expect_err("an exbibyte");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        assert!(
            error
                .to_string()
                .contains("no room for 1152921504606846976 bytes"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_and_a_character_device_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for path in [folder.path(), Path::new("/dev/null")] {
            let error = FileDevice::open(path, 1 << 20).expect_err("not a device");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_second_writer_waits_its_patience_and_is_told_and_gets_in_after_the_release() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cache.device");
        let first = FileDevice::open(&path, 1 << 20).expect("first");
        let second = FileDevice::open(&path, 1 << 20).expect("second");
        first.lock(Duration::ZERO).expect("free");
        let error = second.lock(Duration::from_millis(60)).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains("another process"), "{error}");
        first.unlock().expect("released");
        second.lock(Duration::ZERO).expect("free again");
    }

    #[test]
    fn whoever_has_it_open_is_seen_to_read_until_it_is_closed_whoever_writes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cache.device");
        let first = FileDevice::open(&path, 1 << 20).expect("first");
        first.lock(Duration::ZERO).expect("free");
        assert!(!first.is_read_elsewhere().expect("asked"));
        let second = FileDevice::open(&path, 1 << 20).expect("second");
        assert!(first.is_read_elsewhere().expect("asked"));
        first.unlock().expect("released");
        second.lock(Duration::ZERO).expect("free");
        assert!(second.is_read_elsewhere().expect("asked"));
        drop(first);
        assert!(!second.is_read_elsewhere().expect("asked"));
    }
}
