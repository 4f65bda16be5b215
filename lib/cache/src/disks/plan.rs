//! One device as it is configured, and how it is opened, for the first time and again.

use crate::disk::{Device, DiskMetrics, Io, Options, open_device};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the kernel makes devices appear: a path in there that does not exist is a device that is missing, and a
/// regular file in its place would fill the machine's memory.
const DEVICES: &str = "/dev";

/// Which opening it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The device was not open yet in this process: a regular file may be made.
    First,
    /// It was, and should still be there: nothing is made in its place.
    Again,
}

/// Opens a device.
pub type Opener = Box<dyn Fn(Attempt) -> io::Result<Arc<dyn Device>> + Send>;

/// One device of a cache.
pub struct Plan {
    /// As metrics and the log call it; also by what keys choose it, so another name gives it other keys.
    pub name: String,
    /// Its share of new objects, beside the weights of the others: its bytes as a rule. Above 0.
    pub weight: f64,
    /// How its log works.
    pub options: Options,
    /// Its own counters.
    pub metrics: DiskMetrics,
    /// How it is opened.
    pub opener: Opener,
}

impl Plan {
    /// A file or block device of which `size` bytes are used, with a share according to them.
    #[must_use]
    pub fn file(path: PathBuf, size: u64, io: Io, options: Options, metrics: DiskMetrics) -> Plan {
        #[expect(clippy::cast_precision_loss, reason = "a weight need not be exact")]
        let weight = size as f64;
        Plan {
            name: path.to_string_lossy().into_owned(),
            weight,
            options,
            metrics,
            opener: Box::new(move |attempt| open_file(&path, size, io, attempt)),
        }
    }
}

fn open_file(path: &Path, size: u64, io: Io, attempt: Attempt) -> io::Result<Arc<dyn Device>> {
    let may_make = attempt == Attempt::First && !path.starts_with(DEVICES);
    if !may_make && !path.try_exists()? {
        let message = format!("{}: there is no such device or file", path.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    open_device(path, size, io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_at_the_first_opening_only_and_never_among_devices() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("device");
        let missing = |path: &Path, attempt| {
            open_file(path, 1 << 20, Io::Auto, attempt)
                .err()
                .map(|error| error.kind())
        };
        assert_eq!(missing(&path, Attempt::Again), Some(io::ErrorKind::NotFound));
        assert_eq!(missing(&path, Attempt::First), None);
        assert_eq!(missing(&path, Attempt::Again), None);
        let device = Path::new("/dev/no-such-cache-device");
        assert_eq!(missing(device, Attempt::First), Some(io::ErrorKind::NotFound));
        assert!(!device.exists());
    }
}
