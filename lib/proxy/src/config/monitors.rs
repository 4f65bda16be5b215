//! `[monitors]`: who is told every second how this node is.

use std::path::PathBuf;

use daemon::config::{Secret, Table};
use daemon::connect::Server;

/// Monitors that one node tells. Three outvote one that is cut off, and five do so while two are being looked after;
/// each has a connection to every node.
const SERVERS_MAX: usize = 9;

/// Who is told how this node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorsConfig {
    /// The monitors; none, and nobody is told.
    pub servers: Vec<Server>,
    /// What they know this CDN's nodes by.
    pub token: Option<Secret>,
    /// The authorities that their certificates are believed from; absent, those of the system.
    pub ca_file: Option<PathBuf>,
}

/// Reads `[monitors]`.
#[must_use]
pub fn monitors(root: &Table<'_>) -> MonitorsConfig {
    let table = root.table("monitors");
    let servers: Vec<Server> = table.or("servers", Vec::new());
    if servers.len() > SERVERS_MAX {
        table.complain(
            "servers",
            &format!("has {} entries", servers.len()),
            &format!("write {SERVERS_MAX} or fewer"),
        );
    }
    let again = |(position, server): &(usize, &Server)| servers[..*position].contains(server);
    if let Some((_, server)) = servers.iter().enumerate().find(again) {
        table.complain(
            "servers",
            &format!("names {server} twice"),
            "write each monitor once",
        );
    }
    MonitorsConfig {
        token: token(&table, &servers),
        ca_file: table.optional_file("ca_file"),
        servers,
    }
}

/// A token goes over TLS, or nowhere beyond this machine: elsewhere it would be read on the way.
fn token(table: &Table<'_>, servers: &[Server]) -> Option<Secret> {
    let token = table.secret("token")?;
    let mut open = servers
        .iter()
        .filter(|server| !server.is_secure() && !server.is_loopback());
    if let Some(server) = open.next() {
        table.complain(
            "token",
            &format!("would be sent in the clear to {server}"),
            "write https:// in servers",
        );
    }
    Some(token)
}
