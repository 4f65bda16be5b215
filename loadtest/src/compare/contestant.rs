//! A server that takes part: its processes, where it listens, and what it has cost so far.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::case::{Case, DISK_OBJECTS, Wire, Work, disk_path};
use super::cores::Cores;
use super::guard::Guard;
use crate::client::ask;
use crate::content::{Content, Library};
use crate::memory;
use crate::up::fleet::{Fleet, Member};

/// How long a server may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How long one object may take while caches are filled.
const FILL_PATIENCE: Duration = Duration::from_secs(20);

/// A path that says whether a server serves.
pub(super) const READY_PATH: &str = "/objects/ready/1B";

/// What a server needs to be set up.
#[derive(Debug)]
pub(super) struct Ground {
    /// A folder of its own.
    pub(super) folder: PathBuf,
    /// Where all servers get their objects.
    pub(super) origin: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) cores: Cores,
}

/// How a server reads its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DiskReads {
    /// Past the page cache.
    Direct,
    /// Through the page cache, from the files under this folder: they are evicted while it is measured.
    Files(PathBuf),
    /// From files mapped into memory, which cannot be evicted: it takes no part.
    Mapped,
}

/// A server that is set up, but not started.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) members: Vec<Member>,
    /// The members whose processor time counts.
    pub(super) measured: Vec<String>,
    pub(super) http: SocketAddr,
    pub(super) https: Option<SocketAddr>,
    pub(super) http2: bool,
    pub(super) disk_reads: DiskReads,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    pub(super) http: SocketAddr,
    pub(super) https: Option<SocketAddr>,
    pub(super) disk_reads: DiskReads,
    http2: bool,
    measured: Vec<String>,
    fleet: Fleet,
    /// Dropped with the fleet; see [`Guard`].
    _guards: Vec<Guard>,
}

impl Contestant {
    /// Starts it. Call it on the main thread.
    ///
    /// # Errors
    ///
    /// What kept it from serving.
    pub(super) async fn start(name: &'static str, setup: Setup) -> Result<Contestant, String> {
        let fleet = Fleet::start(setup.members, READY_PATIENCE).await?;
        let guards: std::io::Result<Vec<Guard>> = fleet.ids().map(|(_, id)| Guard::start(id)).collect();
        let guards = guards.map_err(|error| format!("{name} cannot be guarded: {error}"))?;
        let Setup {
            measured,
            http,
            https,
            http2,
            disk_reads,
            ..
        } = setup;
        Ok(Contestant {
            name,
            http,
            https,
            disk_reads,
            http2,
            measured,
            fleet,
            _guards: guards,
        })
    }

    /// Whether the case can be played with it.
    pub(super) fn plays(&self, case: &Case) -> bool {
        if case.work == Work::Disk && self.disk_reads == DiskReads::Mapped {
            return false;
        }
        match case.wire {
            Wire::Plain => true,
            Wire::TlsHttp1 => self.https.is_some(),
            Wire::TlsHttp2 => self.https.is_some() && self.http2,
        }
    }

    /// Where the case's path is found on it.
    pub(super) fn url(&self, case: &Case) -> Option<String> {
        let path = case.path();
        match case.wire {
            Wire::Plain => Some(format!("http://{}{path}", self.http)),
            // The name, not the address: it becomes SNI and Host.
            _ => self
                .https
                .map(|address| format!("https://localhost:{}{path}", address.port())),
        }
    }

    /// Processor time of its measured processes and all they started.
    ///
    /// # Errors
    ///
    /// When one of them is gone.
    pub(super) fn processor_time(&self) -> Result<Duration, String> {
        let measured = self
            .fleet
            .ids()
            .filter(|(name, _)| self.measured.iter().any(|other| other == name));
        measured
            .flat_map(|(_, id)| memory::family(id))
            .map(memory::processor_time)
            .sum()
    }

    /// Asks for `path` until it must be cached, and compares every byte.
    ///
    /// # Errors
    ///
    /// When an answer is not 200 or its bytes are wrong.
    pub(super) async fn fill(&self, path: &str) -> Result<(), String> {
        let library = Library {
            titles: 1,
            segments: 1,
        };
        let content = Content::of(path, &library).ok_or_else(|| format!("{path} is no object"))?;
        for _ in 0..2 {
            let (status, bytes) = ask(self.http, Method::GET, path, Bytes::new(), FILL_PATIENCE).await?;
            if !status.is_success() || bytes.len() as u64 != content.length() || !content.matches(0, &bytes) {
                return Err(format!(
                    "{} answered {path} with {status} and {} bytes, not the right ones",
                    self.name,
                    bytes.len()
                ));
            }
        }
        Ok(())
    }

    /// Fills the whole set on disk.
    ///
    /// # Errors
    ///
    /// Those of [`Contestant::fill`].
    pub(super) async fn fill_disk(&self) -> Result<(), String> {
        for number in 0..DISK_OBJECTS {
            self.fill(&disk_path(number)).await?;
        }
        Ok(())
    }

    /// Stops it.
    pub(super) async fn stop(self) {
        self.fleet.stop().await;
    }
}

/// Writes one file of a server's set-up.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(&path, text))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(path)
}
