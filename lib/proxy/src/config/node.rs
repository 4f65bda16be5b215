//! What both tiers are told alike: the top level of the file, and the tables that are the same in both.

use std::net::SocketAddr;
use std::path::PathBuf;

use daemon::config::{Secret, Table};
use daemon::follow::{Source, read_source};
use daemon::log::Level;

use super::{CacheConfig, MonitorsConfig, UpstreamConfig, access_log, cache, monitors, upstream};
use crate::headers::Pseudonym;
use crate::log::AccessLogConfig;

/// Everything about a node but its front door.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The node's name in the snapshot.
    pub name: Pseudonym,
    /// Where the document that describes the CDN comes from.
    pub snapshot: Source,
    /// The token that is shown to the server of the snapshot, if it asks for one.
    pub snapshot_token: Option<Secret>,
    /// The directory for what has to survive a restart.
    pub state: PathBuf,
    /// The address of the admin port.
    pub admin: SocketAddr,
    /// How much is logged.
    pub log_level: Level,
    /// What the cache may use.
    pub cache: CacheConfig,
    /// Where requests are logged, if anywhere.
    pub access_log: Option<AccessLogConfig>,
    /// How upstreams are asked.
    pub upstream: UpstreamConfig,
    /// Who is told how the node is.
    pub monitors: MonitorsConfig,
}

/// Reads the top level, `[cache]`, `[access_log]`, `[upstream]` and `[monitors]`.
#[must_use]
pub fn node(root: &Table<'_>) -> Option<NodeConfig> {
    let name = name(root);
    let snapshot = read_source(root, "snapshot");
    let state = root.required("state");
    let admin = root.required("admin");
    let log_level = root.or("log_level", Level::default());
    let cache = cache(root);
    let access_log = access_log(root);
    let upstream = upstream(root);
    let monitors = monitors(root);
    let (snapshot, snapshot_token) = snapshot?;
    Some(NodeConfig {
        name: name?,
        snapshot,
        snapshot_token,
        state: state?,
        admin: admin?,
        log_level,
        cache: cache?,
        access_log: access_log?,
        upstream,
        monitors,
    })
}

fn name(root: &Table<'_>) -> Option<Pseudonym> {
    let text: String = root.required("node")?;
    match Pseudonym::new(&text) {
        Ok(name) => Some(name),
        Err(error) => {
            root.complain(
                "node",
                &error.to_string(),
                "write the node's name in the snapshot",
            );
            None
        }
    }
}
