//! What a process writes, kept line by line and shown when its test fails.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

/// Lines kept of one process; a daemon that writes more is cut off at the front, as its end tells why it died.
const LINES_KEPT: usize = 20_000;

/// The lines of one stream of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    lines: Arc<Mutex<std::collections::VecDeque<String>>>,
}

impl Output {
    /// Reads `stream` to its end on a thread of its own.
    pub(super) fn follow(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = Arc::clone(&self.lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                // A stream that cannot be read is at its end.
                let Ok(line) = line else { return };
                let mut lines = lines.lock();
                if lines.len() == LINES_KEPT {
                    lines.pop_front();
                }
                lines.push_back(String::from_utf8_lossy(&line).into_owned());
            }
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().iter().cloned().collect()
    }
}
