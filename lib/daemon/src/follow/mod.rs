//! Follows a document: a file or a URL is read again and again, and what changed is offered to the one who uses it.
//!
//! A document counts only after `accept` took it. One that is refused, cannot be fetched or is no longer there is
//! logged and counted, and the last one that was accepted stays. What came from a URL is kept on disk, so that a
//! daemon starts, and starts at once, while the server it came from is down.

mod fetch;
mod file;
mod last_good;
mod metrics;
mod pace;
mod source;
mod task;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use prometheus::Registry;

use self::last_good::LastGood;
use self::metrics::FollowMetrics;
use self::source::Origin;
use self::task::Task;
use crate::config::Secret;
use crate::process::Failure;

pub use pace::Pace;
pub use source::{Source, read_source};

/// The largest document that is read. One of a thousand nodes and as many services has a hundredth of it.
const MAX_DOCUMENT_BYTES: u64 = 64 * 1024 * 1024;

/// What to follow, and how.
#[derive(Clone, Debug)]
pub struct Follow {
    /// What the document is called in logs, in metrics and on disk, such as `snapshot`.
    pub name: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// Sent as `Authorization: Bearer …` with every fetch from a URL.
    pub token: Option<Secret>,
    /// The directory that keeps the last good copy of what came from a URL; made when it is not there.
    pub state: PathBuf,
    /// How often to look.
    pub pace: Pace,
}

/// Takes a document into use, or says everything that is wrong with it. It may be offered the same document twice.
type Accept = Box<dyn Fn(&[u8]) -> Result<(), Vec<String>> + Send>;

/// A document whose first version was accepted, and that is not followed yet.
pub struct Opened {
    task: Task,
}

/// A document that is being followed, until this is dropped.
#[derive(Debug)]
pub struct Follower {
    /// Room for one request: a second one that comes before the first was served asks for nothing more.
    again: SyncSender<()>,
}

impl Follow {
    /// Gets the first version and has it accepted. Changes nothing on disk.
    ///
    /// From a URL, the last good copy comes first, where there is one: a restart does not wait for a server that may
    /// be gone, and what is newer arrives a moment after [`Opened::start`].
    ///
    /// # Errors
    /// A file that cannot be read or a document that is refused is a mistake of configuration, with every complaint;
    /// a URL that cannot be fetched, without a good copy to live on, is a failure at run time.
    pub fn open(
        self,
        registry: &Registry,
        accept: impl Fn(&[u8]) -> Result<(), Vec<String>> + Send + 'static,
    ) -> Result<Opened, Failure> {
        let metrics = FollowMetrics::register(registry, self.name).map_err(|error| {
            Failure::running(format!("cannot count how the {} is followed", self.name), error)
        })?;
        let last_good = match self.source {
            Source::File(_) => None,
            Source::Url(_) => Some(LastGood::new(&self.state, self.name)),
        };
        let origin = Origin::new(&self.source, self.token, self.pace);
        let mut task = Task::new(
            self.name,
            self.source,
            origin,
            Box::new(accept),
            last_good,
            self.pace,
            metrics,
        );
        task.open()?;
        Ok(Opened { task })
    }
}

impl Opened {
    /// Follows the document from now on, on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(self) -> io::Result<Follower> {
        let (again, requests) = sync_channel(1);
        thread::Builder::new()
            .name("follow".to_owned())
            .spawn(move || self.task.run(&requests))?;
        Ok(Follower { again })
    }
}

impl Follower {
    /// Looks again at once, and offers the document even when it has not changed.
    pub fn look_again(&self) {
        let _ = self.again.try_send(());
    }
}
