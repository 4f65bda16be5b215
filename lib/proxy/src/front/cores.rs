//! One thread for each core: its runtime, its application, its sockets.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use pingora_core::apps::ServerApp;
use pingora_core::server::ShutdownWatch;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::accept::{self, Listener};
use super::connection::{Core, Roll};
use super::drain::{Report, Stage};
use super::http1::LAST_WAIT;
use super::{Application, Shared};

/// Threads for blocking work (files, mostly) of one core; a bound, seldom reached.
const BLOCKING_THREADS: usize = 16;

/// How long blocking work may go on when a core has ended.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Which core of the process, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoreIndex(pub usize);

/// A core that is ready to start: all that can fail has been done.
pub(crate) struct Prepared {
    index: CoreIndex,
    runtime: Runtime,
    listeners: Vec<Listener>,
}

/// What a core is connected to.
#[derive(Clone)]
pub(crate) struct Wires {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) shutdown: ShutdownWatch,
    pub(crate) reports: Sender<Report>,
}

impl Prepared {
    /// Makes the runtime and hands it the sockets.
    ///
    /// # Errors
    /// When the system is out of file descriptors.
    pub(crate) fn new(
        index: CoreIndex,
        sockets: Vec<(std::net::TcpListener, std::net::SocketAddr, bool)>,
    ) -> io::Result<Prepared> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let entered = runtime.enter();
        let listeners = sockets
            .into_iter()
            .map(|(socket, address, secure)| {
                Ok(Listener {
                    socket: TcpListener::from_std(socket)?,
                    address,
                    secure,
                })
            })
            .collect::<io::Result<Vec<Listener>>>()?;
        drop(entered);
        Ok(Prepared {
            index,
            runtime,
            listeners,
        })
    }

    /// Starts the thread `core-N`, which makes its application with `build` inside its runtime.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start<A>(
        self,
        wires: Wires,
        build: Arc<impl Fn(CoreIndex) -> Arc<A> + Send + Sync + 'static>,
    ) -> io::Result<JoinHandle<()>>
    where
        A: Application,
    {
        let CoreIndex(number) = self.index;
        std::thread::Builder::new()
            .name(format!("core-{number}"))
            .spawn(move || {
                let Prepared {
                    index,
                    runtime,
                    listeners,
                } = self;
                let _end = EndReport(wires.reports.clone());
                runtime.block_on(async move {
                    let app = build(index);
                    live(app, listeners, wires).await;
                });
                runtime.shutdown_timeout(RUNTIME_END);
            })
    }
}

/// The life of a core: it serves, and follows the stages of a drain.
async fn live<A>(app: Arc<A>, listeners: Vec<Listener>, wires: Wires)
where
    A: Application,
{
    let Wires {
        shared,
        mut stage,
        shutdown,
        reports,
    } = wires;
    let core = Arc::new(Core {
        shared,
        app,
        roll: Arc::new(Roll::default()),
        shutdown,
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept::run(Arc::clone(&core), listener, stage.clone()));
    }
    report(&reports, Stage::Serving);
    // A sender that is gone is a process that ends.
    while stage.changed().await.is_ok() {
        let now = *stage.borrow_and_update();
        match now {
            Stage::Serving => {}
            Stage::StopAccepting => {
                while accepting.join_next().await.is_some() {}
                report(&reports, now);
            }
            Stage::CloseIdle => {
                core.roll.close_idle();
                // In a task, so that an application that takes its time does not hold up the end.
                let core = Arc::clone(&core);
                tokio::spawn(async move {
                    tokio::time::sleep(LAST_WAIT).await;
                    core.app.http2().cleanup().await;
                });
            }
            Stage::End => break,
        }
    }
}

/// Reports the end of a core, also when it panics.
struct EndReport(Sender<Report>);

impl Drop for EndReport {
    fn drop(&mut self) {
        report(&self.0, Stage::End);
    }
}

/// Tells whoever drains that a stage is reached. Nobody listens after a drain that ran out of time.
fn report(reports: &Sender<Report>, stage: Stage) {
    let _ = reports.send(Report(stage));
}
