//! Keeps a server's files out of the kernel's page cache: a peer that is given 64 MiB of RAM would otherwise read its
//! "disk" from all the memory of the machine, while our edge reads its device past the page cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};

use super::cores;

/// Pause between two rounds over the files; at a few GB/s little of the set comes back meanwhile.
const PERIOD: Duration = Duration::from_millis(50);

/// Depth of folders that is walked: nginx has two below its own.
const DEEPEST: usize = 4;

/// A thread that evicts until it is dropped.
#[derive(Debug)]
pub(super) struct Evictor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Evictor {
    /// Evicts all files under `folder`, again and again, from `core`.
    pub(super) fn start(folder: PathBuf, core: usize) -> Evictor {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            // On another core it only disturbs more; the figures stay valid.
            let _ = cores::pin_this_thread(core);
            while matches!(stopped.recv_timeout(PERIOD), Err(RecvTimeoutError::Timeout)) {
                evict(&folder, DEEPEST);
            }
        });
        Evictor {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Evictor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and if it did the round is over anyway.
            let _ = thread.join();
        }
    }
}

fn evict(folder: &Path, deeper: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && deeper > 0 {
            evict(&path, deeper - 1);
        } else if let Ok(file) = File::open(&path) {
            // Advice that is not taken leaves the file cached; nothing more can be done about it.
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
    }
}
