//! What a monitor is told: inert values, read from one TOML file and passed down.

mod alerts;
mod judge;
mod listen;
mod probe;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use daemon::config::{Complaints, Secret, Table};
use daemon::follow::{Source, read_source};
use daemon::log::Level;
use serde_json::Value;
use views::Watched;

pub(crate) use alerts::AlertsConfig;
pub(crate) use listen::ListenConfig;
pub(crate) use probe::{ObjectConfig, ProbeConfig};

use crate::judge::Policy;

/// More monitors than anyone runs: they all probe every node.
const PEERS_MAX: usize = 8;

/// The whole configuration of a monitor, inert.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Its name among the monitors.
    pub(crate) name: String,
    /// Where the document that describes the CDN comes from.
    pub(crate) snapshot: Source,
    /// The token that is shown to the server of the snapshot, if it asks for one.
    pub(crate) snapshot_token: Option<Secret>,
    /// The directory for what has to survive a restart.
    pub(crate) state: PathBuf,
    /// The address of the admin port.
    pub(crate) admin: SocketAddr,
    /// How much is logged.
    pub(crate) log_level: Level,
    /// Where the API is served.
    pub(crate) listen: ListenConfig,
    /// What nodes have to show before their heartbeats are believed.
    pub(crate) heartbeat_token: Option<Secret>,
    /// The other monitors, by name.
    pub(crate) peers: Vec<Watched>,
    /// Whose certificates are trusted when peers speak TLS.
    pub(crate) peers_ca_file: Option<PathBuf>,
    /// How nodes are probed.
    pub(crate) probe: ProbeConfig,
    /// How they are judged.
    pub(crate) policy: Policy,
    /// Whom to tell.
    pub(crate) alerts: AlertsConfig,
}

impl Config {
    /// Reads `file`, looks for what it names, and gives the values with the document that `/config` shows.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub(crate) fn load(file: &Path) -> Result<(Config, Value), Complaints> {
        daemon::config::load_as(file, Config::read)
    }

    fn read(root: &Table<'_>) -> Option<Config> {
        let name = name(root, "name");
        let snapshot = read_source(root, "snapshot");
        let state = root.required("state");
        let admin = root.required("admin");
        let log_level = root.or("log_level", Level::default());
        let listen = listen::read(root);
        let heartbeat_token = root.table("heartbeats").secret("token");
        let peers = peers(root, name.as_deref());
        let peers_ca_file = root.optional_file("peers_ca_file");
        let probe = probe::read(root);
        let policy = judge::read(root);
        let alerts = alerts::read(root);
        let (snapshot, snapshot_token) = snapshot?;
        Some(Config {
            name: name?,
            snapshot,
            snapshot_token,
            state: state?,
            admin: admin?,
            log_level,
            listen: listen?,
            heartbeat_token,
            peers: peers?,
            peers_ca_file,
            probe: probe?,
            policy,
            alerts: alerts?,
        })
    }
}

/// Names of monitors stand in metrics and in votes.
fn name(table: &Table<'_>, key: &str) -> Option<String> {
    let name: String = table.required(key)?;
    let legal = name.len() <= 63
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !legal {
        table.complain(
            key,
            &format!("{name:?} is not a name"),
            "use 1 to 63 letters, digits, '-', '_' and '.'",
        );
        return None;
    }
    Some(name)
}

fn peers(root: &Table<'_>, own_name: Option<&str>) -> Option<Vec<Watched>> {
    let tables = root.tables("peers");
    if tables.len() > PEERS_MAX {
        root.complain(
            "peers",
            &format!("has {} entries", tables.len()),
            "name at most 8 other monitors",
        );
    }
    let mut peers: Vec<Option<Watched>> = Vec::new();
    for table in tables {
        let peer_name = name(&table, "name");
        let server = table.required("url");
        let twice = peers
            .iter()
            .flatten()
            .any(|peer| Some(&peer.name) == peer_name.as_ref());
        if twice || (peer_name.is_some() && peer_name.as_deref() == own_name) {
            table.complain(
                "name",
                "is that of another monitor",
                "give each monitor its own name",
            );
        }
        peers.push((|| {
            Some(Watched {
                name: peer_name?,
                server: server?,
            })
        })());
    }
    peers.into_iter().collect()
}
