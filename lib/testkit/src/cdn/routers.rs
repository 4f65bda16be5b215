//! The router of a test's CDN: its configuration file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::settings::{Addresses, Settings, snapshot_path};
use crate::certificates::CertificatePaths;

/// The name of the router.
pub(super) const NAME: &str = "router-1";

/// How the router is told to work, beyond where it listens.
#[derive(Clone, Debug, Default)]
pub(super) struct Router {
    /// What is set in its file.
    pub(super) settings: Settings,
    /// What geography is made of: `database`, `coverage` or `latency`, with the bytes of the file.
    pub(super) geography: BTreeMap<String, Vec<u8>>,
}

/// Where a file of geography lies.
pub(super) fn geography_path(own_folder: &Path, key: &str) -> PathBuf {
    own_folder.join(format!("{key}.geo"))
}

/// The file of the router; what geography is made of is written beside it.
pub(super) fn config(
    router: &Router,
    addresses: &Addresses,
    dns: SocketAddr,
    monitors: &BTreeMap<String, SocketAddr>,
    shared_folder: &Path,
    own_folder: &Path,
    certificate: &CertificatePaths,
) -> String {
    let mut settings = router.settings.clone();
    settings.literal("dns", "listen", format!("[\"{dns}\"]"));
    settings.number("dns", "threads", 1).number("http", "threads", 2);
    settings.literal("http", "http", format!("[\"{}\"]", addresses.http));
    settings.literal("http", "trusted", "[\"127.0.0.0/8\"]");
    if let Some(https) = addresses.https {
        settings.literal("http", "https", format!("[\"{https}\"]"));
        settings.literal("tls", "certificate", format!("{:?}", certificate.certificate));
        settings.literal("tls", "key", format!("{:?}", certificate.key));
    }
    for (key, bytes) in &router.geography {
        let path = geography_path(own_folder, key);
        std::fs::write(&path, bytes).expect("the temporary folder is ours");
        settings.literal("geography", key, format!("{path:?}"));
    }
    let mut text = format!(
        "snapshot = {:?}\nstate = {:?}\nadmin = \"{}\"\nlog_decisions = 1\n",
        snapshot_path(shared_folder),
        own_folder.join("state"),
        addresses.admin
    );
    for (name, http) in monitors {
        text.push_str(&format!(
            "\n[[monitors]]\nname = {name:?}\nurl = \"http://{http}\"\n"
        ));
    }
    text + &settings.tables_as_text()
}
