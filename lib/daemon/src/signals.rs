//! What the operating system asks of a daemon: SIGTERM and SIGINT drain it, SIGHUP makes it read again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals as Caught;

/// The exit code of a process that was told twice to end.
const TOLD_TWICE: i32 = 1;

/// Signals that wait to be asked for. When it is full, the next ones wait in the kernel, which keeps one of each kind.
const MAX_WAITING: usize = 8;

/// Something the daemon was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Finish what is in flight and end (SIGTERM, SIGINT).
    Drain,
    /// Read documents and certificates again, reopen logs (SIGHUP).
    Reload,
}

/// The signals of this process, from [`install`](Signals::install) on.
#[derive(Debug)]
pub struct Signals(Receiver<Signal>);

impl Signals {
    /// Catches SIGTERM, SIGINT and SIGHUP. A second SIGTERM or SIGINT ends the process at once, whatever its threads
    /// are doing: the handler itself sees to it.
    ///
    /// # Errors
    /// When the kernel refuses a handler or the thread that hands signals on.
    pub fn install() -> io::Result<Signals> {
        let told = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down and raises it, the second finds it raised.
            flag::register_conditional_shutdown(signal, TOLD_TWICE, Arc::clone(&told))?;
            flag::register(signal, Arc::clone(&told))?;
        }
        let mut caught = Caught::new([SIGTERM, SIGINT, SIGHUP])?;
        let (sender, receiver) = sync_channel(MAX_WAITING);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in &mut caught {
                let signal = if signal == SIGHUP {
                    Signal::Reload
                } else {
                    Signal::Drain
                };
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })?;
        Ok(Signals(receiver))
    }

    /// Waits for the next signal.
    #[must_use]
    pub fn wait(&self) -> Signal {
        // The thread that holds the sender ends only with the process; were it gone, nobody could ask for the end.
        self.0.recv().unwrap_or(Signal::Drain)
    }

    /// Waits for the next signal, until `deadline` at most.
    #[must_use]
    pub fn wait_until(&self, deadline: Instant) -> Option<Signal> {
        self.0
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .ok()
    }
}
