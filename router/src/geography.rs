//! Follows the files that geography is made of, and compiles them anew when they, or the sites, change. A file that is
//! wrong is refused with every complaint, and the old table stays; a copy of what was last good is kept for the next
//! start.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use model::Snapshot;
use tokio::sync::mpsc;

use crate::geo::loader::{Documents, Paths};
use crate::geo::table::Table;
use crate::geo::{self, Source, Sources};
use crate::metrics::Metrics;
use crate::owner::Message;

/// How often the files are looked at: a look is one `stat` each.
const POLL: Duration = Duration::from_secs(1);

/// Names of unknown sites in one line of the log.
const STRANGERS_TOLD: usize = 10;

/// Of each file, when it was last changed and its size; `None` where there is none.
type Seen = [Option<(SystemTime, u64)>; 3];

/// What changes the table.
pub(crate) enum News {
    /// Other sites, perhaps.
    Snapshot(Arc<Snapshot>),
    /// What edges have measured, as a file of latency has it.
    Measured(String),
}

/// What is known of where clients are, and where that comes from.
pub(crate) struct Geography {
    paths: Paths,
    /// Where good copies are kept.
    kept: PathBuf,
    /// What the table was made of, until it is kept.
    unkept: Option<Documents>,
    /// The hash of what is kept, so that it is not written again each time that something else changes.
    kept_hash: Option<u64>,
    /// The files that the table was made of; they are looked at again when they are others.
    seen: Seen,
    /// What edges have measured.
    measured: String,
    table: Arc<Table>,
    metrics: Metrics,
}

impl Geography {
    /// Compiles what is there; or, where that is refused, what was last good.
    ///
    /// # Errors
    ///
    /// Every complaint about every file, where nothing good was kept.
    pub(crate) fn open(
        paths: Paths,
        state: &Path,
        snapshot: &Snapshot,
        metrics: Metrics,
    ) -> Result<Geography, Vec<String>> {
        let kept = state.join("geography");
        let seen = look(&paths);
        let (table, unkept) = match compile(&paths, "", snapshot) {
            Ok((table, documents)) => (table, Some(documents)),
            Err(complaints) => {
                let Some(copies) = copies(&paths, &kept) else {
                    return Err(complaints);
                };
                let (table, _) = compile(&copies, "", snapshot).map_err(|_| complaints.clone())?;
                metrics.geographies_refused.inc();
                tracing::error!(?complaints, "geography is refused, what was last good is in use");
                (table, None)
            }
        };
        show(&table, &metrics);
        Ok(Geography {
            paths,
            kept,
            unkept,
            kept_hash: None,
            seen,
            measured: String::new(),
            table: Arc::new(table),
            metrics,
        })
    }

    /// What is in use.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table)
    }

    /// Compiles what is there for `snapshot`; `None` where that is refused.
    fn again(&mut self, snapshot: &Snapshot) -> Option<Arc<Table>> {
        match compile(&self.paths, &self.measured, snapshot) {
            Ok((table, documents)) => {
                self.unkept = Some(documents);
                show(&table, &self.metrics);
                let stats = table.stats();
                tracing::info!(
                    ipv4 = stats.entries_ipv4,
                    ipv6 = stats.entries_ipv6,
                    "geography in use"
                );
                self.table = Arc::new(table);
                Some(self.table())
            }
            Err(complaints) => {
                self.metrics.geographies_refused.inc();
                tracing::error!(?complaints, "a new geography is refused, the old one stays");
                None
            }
        }
    }

    /// Keeps a copy of what was just taken into use: of the bytes themselves, as the file may be another by now.
    fn keep(&mut self) {
        let Some(documents) = self.unkept.take() else {
            return;
        };
        let hash = Some(documents.hash());
        if hash == self.kept_hash {
            return;
        }
        let copied = documents.named().try_for_each(|(kind, bytes)| {
            fs::create_dir_all(&self.kept)?;
            let (fresh, copy) = (self.kept.join(format!("{kind}.new")), self.kept.join(kind));
            fs::write(&fresh, bytes)?;
            fs::rename(&fresh, &copy)
        });
        match copied {
            Ok(()) => self.kept_hash = hash,
            Err(error) => {
                tracing::warn!(path = %self.kept.display(), %error, "no copy of geography can be kept");
            }
        }
    }
}

/// Follows the files and the snapshots that come, until nobody sends any. A snapshot is handed on with the table of its
/// sites, so that the two never disagree.
pub(crate) fn follow(
    mut geography: Geography,
    snapshot: Arc<Snapshot>,
    news: &Receiver<News>,
    owner: &mpsc::Sender<Message>,
) {
    geography.keep();
    // The newest may have to wait until a file is mended that says nothing of its sites.
    let (mut newest, mut used, mut refused) = (Arc::clone(&snapshot), Arc::clone(&snapshot), snapshot);
    loop {
        let first = match news.recv_timeout(POLL) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut is_due = false;
        for one in first.into_iter().chain(news.try_iter()) {
            match one {
                News::Snapshot(snapshot) => newest = snapshot,
                News::Measured(lines) => {
                    geography.measured = lines;
                    is_due = true;
                }
            }
        }
        let now = look(&geography.paths);
        let files_changed = now != geography.seen;
        is_due |= files_changed;
        geography.seen = now;
        let same_sites = newest.sites == used.sites;
        if !is_due && (Arc::ptr_eq(&newest, &used) || Arc::ptr_eq(&newest, &refused)) {
            continue;
        }
        let candidate = Arc::clone(&newest);
        let message = if same_sites && !is_due {
            Message::Snapshot(Arc::clone(&candidate))
        } else {
            match geography.again(&candidate) {
                Some(table) => {
                    geography.keep();
                    Message::Geography(table, Arc::clone(&candidate))
                }
                None if same_sites => Message::Snapshot(Arc::clone(&candidate)),
                None => {
                    tracing::error!(
                        "the old snapshot stays too: the old geography does not know the new sites"
                    );
                    refused = candidate;
                    continue;
                }
            }
        };
        used = candidate;
        if owner.blocking_send(message).is_err() {
            return;
        }
    }
}

/// To those who watch.
fn show(table: &Table, metrics: &Metrics) {
    metrics.show_geography(table);
    let names = table.strangers();
    if !names.is_empty() {
        let (count, some) = (names.len(), &names[..names.len().min(STRANGERS_TOLD)]);
        tracing::warn!(
            count,
            ?some,
            "coverage zones name sites that the snapshot does not have, they are passed over"
        );
    }
}

fn compile(paths: &Paths, measured: &str, snapshot: &Snapshot) -> Result<(Table, Documents), Vec<String>> {
    let documents = paths.read()?;
    let measured = Source {
        name: "what edges have measured",
        bytes: measured.as_bytes(),
    };
    let sources = Sources {
        measured: Some(measured),
        ..documents.sources()
    };
    Ok((geo::compile(snapshot, sources)?, documents))
}

/// The copies of all files, where all of them are kept.
fn copies(paths: &Paths, kept: &Path) -> Option<Paths> {
    let [database, coverage, latency] = paths.named().map(|(kind, path)| match path {
        None => Some(None),
        Some(_) => Some(kept.join(kind)).filter(|copy| copy.is_file()).map(Some),
    });
    Some(Paths {
        database: database?,
        coverage: coverage?,
        latency: latency?,
    })
}

/// When each file was last changed, and its size.
fn look(paths: &Paths) -> Seen {
    paths.named().map(|(_, path)| {
        let facts = fs::metadata(path?).ok()?;
        Some((facts.modified().ok()?, facts.len()))
    })
}
