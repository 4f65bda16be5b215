//! Opening a device with the best engine that the kernel allows.

use super::{Device, FileDevice, UringDevice};
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// Who carries out what is submitted to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Whoever submits, before it returns.
    Blocking,
    /// A bounded pool of threads.
    Threads,
    /// The kernel, through an io_uring.
    Uring,
}

/// Which engine an operator wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Io {
    /// io_uring where the kernel allows it, else threads.
    #[default]
    Auto,
    /// io_uring, or the device is not opened.
    Uring,
    /// Threads.
    Threads,
}

impl Io {
    /// As it is written in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Io::Auto => "auto",
            Io::Uring => "uring",
            Io::Threads => "threads",
        }
    }
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Io {
    type Err = String;

    fn from_str(name: &str) -> Result<Io, String> {
        [Io::Auto, Io::Uring, Io::Threads]
            .into_iter()
            .find(|io| io.name() == name)
            .ok_or_else(|| format!("io {name:?}: use \"auto\", \"uring\" or \"threads\""))
    }
}

impl Engine {
    /// As it is exported.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Engine::Blocking => "blocking",
            Engine::Threads => "threads",
            Engine::Uring => "uring",
        }
    }
}

/// Opens a file or block device (see [`FileDevice::open`]) and starts its engine. Where that is to be threads, the
/// device comes without: [`crate::disk::Disk::open`] puts as many in front as its options say.
///
/// Fails when the file cannot be opened, or `io` is [`Io::Uring`] and the kernel refuses it.
pub fn open_device(path: &Path, size: u64, io: Io) -> io::Result<Arc<dyn Device>> {
    let file = Arc::new(FileDevice::open(path, size)?);
    if io == Io::Threads {
        return Ok(file);
    }
    match UringDevice::start(file.clone()) {
        Ok(ring) => Ok(Arc::new(ring)),
        Err(error) if io == Io::Uring => Err(io::Error::new(
            error.kind(),
            format!(
                "{}: the kernel refuses io_uring: {error}: allow it (sysctl kernel.io_uring_disabled, the container's \
                 seccomp profile) or set io = \"auto\"",
                path.display()
            ),
        )),
        Err(error) => {
            tracing::warn!(
                path = %path.display(),
                %error,
                "cache disk: the kernel refuses io_uring, threads read instead: correct, but it costs more CPU; allow \
                 it with sysctl kernel.io_uring_disabled=0 and in the container's seccomp profile"
            );
            Ok(file)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_chosen_by_name_and_another_name_is_told_which_there_are() {
        for io in [Io::Auto, Io::Uring, Io::Threads] {
            assert_eq!(io.to_string().parse(), Ok(io));
        }
        let error = "libaio".parse::<Io>().expect_err("no such engine");
        assert!(error.contains("libaio") && error.contains("threads"), "{error}");
    }

    #[test]
    fn threads_can_be_forced_and_whatever_is_chosen_reads_what_was_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cache.device");
        let forced = open_device(&path, 1 << 20, Io::Threads).expect("opened");
        assert_eq!(forced.engine(), Engine::Blocking);
        let chosen = open_device(&path, 1 << 20, Io::Auto).expect("opened");
        let mut block = super::super::aligned::AlignedBuffer::zeroed(4096);
        block.fill(7);
        forced.write_at(4096, &block).expect("written");
        block.fill(0);
        chosen.read_at(4096, &mut block).expect("read");
        assert!(block.iter().all(|byte| *byte == 7));
    }
}
