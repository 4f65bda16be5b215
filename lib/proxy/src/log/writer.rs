//! The thread that writes the log to its file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Metrics,
    queue::{Batch, Queue},
};

/// The log names clients: for its owner and the owner's group only.
const FILE_MODE: u32 = 0o640;
/// How often a failing disk is spoken of.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// The writer and its file.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    queue: Arc<Queue>,
    metrics: Metrics,
    last_complaint: Option<Instant>,
    /// The file ends in half a line that could not be taken back.
    torn: bool,
}

/// What came of writing a batch.
#[derive(Debug)]
struct Written {
    /// Lines written to their end.
    lines: u64,
    /// Bytes of the line after those.
    torn_bytes: u64,
    error: Option<io::Error>,
}

impl Writer {
    pub(super) fn open(path: PathBuf, queue: Arc<Queue>, metrics: Metrics) -> io::Result<Writer> {
        let file = open(&path)?;
        Ok(Writer {
            path,
            file,
            queue,
            metrics,
            last_complaint: None,
            torn: false,
        })
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            let work = self.queue.next();
            for batch in work.batches {
                self.write(&batch);
                self.queue.done(batch);
            }
            if work.reopen {
                self.reopen();
            }
            if work.last {
                break;
            }
        }
        self.queue.end();
    }

    fn write(&mut self, batch: &Batch) {
        if self.torn && self.file.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        let written = write_lines(&mut self.file, batch);
        self.metrics.lines.inc_by(written.lines);
        let Some(error) = written.error else { return };
        self.metrics.write_errors.inc();
        self.metrics
            .dropped_write_error
            .inc_by(batch.lines - written.lines);
        if written.torn_bytes > 0 {
            self.torn = self.take_back(written.torn_bytes).is_err();
        }
        self.complain(
            "the access log cannot be written, lines are dropped; make room on its disk",
            &error,
        );
    }

    /// Shortens the file by what was written of a line that did not fit.
    fn take_back(&self, bytes: u64) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        self.file.set_len(length.saturating_sub(bytes))
    }

    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => {
                self.file = file;
                self.torn = false;
                tracing::info!(path = %self.path.display(), "the access log was reopened");
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the access log cannot be reopened; the old file goes on");
            }
        }
    }

    fn complain(&mut self, what: &'static str, error: &io::Error) {
        if self
            .last_complaint
            .is_none_or(|last| last.elapsed() >= COMPLAINT_PAUSE)
        {
            self.last_complaint = Some(Instant::now());
            tracing::error!(path = %self.path.display(), %error, "{what}");
        }
    }
}

/// Opens the file for appending. A named pipe is opened for reading too: without that, opening would wait until
/// somebody reads it, and a reader's end would fail every later write.
fn open(path: &Path) -> io::Result<File> {
    let is_pipe = path
        .metadata()
        .is_ok_and(|metadata| metadata.file_type().is_fifo());
    OpenOptions::new()
        .create(!is_pipe)
        .append(true)
        .read(is_pipe)
        .mode(FILE_MODE)
        .open(path)
}

/// Writes as much of the batch as the file takes.
fn write_lines(file: &mut impl Write, batch: &Batch) -> Written {
    let mut taken = 0;
    let error = loop {
        match batch.bytes.get(taken..) {
            None | Some([]) => {
                return Written {
                    lines: batch.lines,
                    torn_bytes: 0,
                    error: None,
                };
            }
            Some(rest) => match file.write(rest) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(bytes) => taken += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            },
        }
    };
    let taken = &batch.bytes[..taken];
    let whole = taken
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    Written {
        lines: taken.iter().filter(|byte| **byte == b'\n').count() as u64,
        torn_bytes: (taken.len() - whole) as u64,
        error: Some(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use prometheus::Registry;

    use super::*;

    fn batch(text: &str) -> Batch {
        Batch {
            bytes: text.as_bytes().to_vec(),
            lines: text.matches('\n').count() as u64,
        }
    }

    /// A byte slice takes what it has room for and then nothing, like a disk.
    #[test]
    fn what_a_full_disk_took_is_told_apart_into_whole_lines_and_a_rest() {
        for (room, lines, torn_bytes) in [(0, 0, 0), (2, 0, 2), (4, 1, 0), (7, 1, 3), (8, 2, 0), (11, 2, 3)] {
            let mut disk = vec![0; room];
            let written = write_lines(&mut disk.as_mut_slice(), &batch("one\ntwo\nthree\n"));
            assert_eq!(
                (written.lines, written.torn_bytes),
                (lines, torn_bytes),
                "room for {room}"
            );
            assert!(written.error.is_some());
        }
        let written = write_lines(&mut Vec::new(), &batch("one\ntwo\n"));
        assert_eq!(
            (written.lines, written.torn_bytes, written.error.is_none()),
            (2, 0, true)
        );
    }

    #[test]
    fn half_a_line_is_taken_back_from_a_real_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let metrics = Metrics::register(&Registry::new()).expect("unregistered names");
        let queue = Arc::new(Queue::new(1 << 20, metrics.clone()));
        let mut writer = Writer::open(path.clone(), queue, metrics.clone()).expect("opens");
        writer.write(&batch("one\n"));
        // What a disk that gets full in the middle of a line leaves behind.
        writer.file.write_all(b"two\nthr").expect("writes");
        writer.take_back(3).expect("a regular file can be shortened");
        writer.write(&batch("four\n"));
        assert_eq!(fs::read_to_string(&path).expect("reads"), "one\ntwo\nfour\n");
        assert_eq!(metrics.lines.get(), 2);
    }

    #[test]
    fn a_device_that_is_full_costs_lines_and_is_counted() {
        let metrics = Metrics::register(&Registry::new()).expect("unregistered names");
        let queue = Arc::new(Queue::new(1 << 20, metrics.clone()));
        let mut writer = Writer::open("/dev/full".into(), queue, metrics.clone()).expect("opens");
        for _ in 0..3 {
            writer.write(&batch("one\ntwo\n"));
        }
        assert_eq!(metrics.write_errors.get(), 3);
        assert_eq!(metrics.dropped_write_error.get(), 6);
        assert_eq!(metrics.lines.get(), 0);
    }

    #[test]
    fn a_pipe_nobody_reads_can_be_opened_without_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .expect("mkfifo runs")
                .success()
        );
        open(&path)
            .expect("opens")
            .write_all(b"a line\n")
            .expect("the pipe has room");
    }

    #[test]
    fn the_file_is_not_for_everybody_to_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        open(&path).expect("opens");
        assert_eq!(
            fs::metadata(&path).expect("is there").permissions().mode() & 0o007,
            0
        );
    }
}
