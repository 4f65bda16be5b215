//! The threads that answer over TCP: each has a runtime and sockets of its own, for HTTP and for DNS.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::thread::{self, JoinHandle};

/// Something that is done on a thread's runtime until it is told to end.
pub(crate) type Work = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Threads at work.
pub(crate) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Starts a thread for each list of work.
    ///
    /// # Errors
    ///
    /// When a runtime or a thread cannot be made. Those that were started end when their work is told to.
    pub(crate) fn start(lists: Vec<Vec<Work>>) -> io::Result<Threads> {
        let mut threads = Vec::new();
        for (number, list) in lists.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let thread = thread::Builder::new()
                .name(format!("tcp-{number}"))
                .spawn(move || {
                    runtime.block_on(async {
                        let tasks: Vec<_> = list.into_iter().map(tokio::spawn).collect();
                        for task in tasks {
                            match task.await {
                                Ok(Ok(())) => {}
                                Ok(Err(error)) => tracing::error!(%error, "a listener cannot be used"),
                                Err(error) => {
                                    tracing::error!(%error, "what answers on a listener ended badly")
                                }
                            }
                        }
                    });
                })?;
            threads.push(thread);
        }
        Ok(Threads(threads))
    }

    /// Waits until all work is done, which somebody has told to end.
    pub(crate) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a thread of TCP ended in a panic; its message stands above");
            }
        }
    }
}
