//! The configuration files of a test's daemons.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::path::Path;

use model::Tier;

use crate::certificates::CertificatePaths;

/// What is set in the tables of a daemon's file, beyond addresses and paths.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    tables: BTreeMap<String, BTreeMap<String, String>>,
    disks: Vec<String>,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: SocketAddr,
    /// HTTPS; edges only.
    pub https: Option<SocketAddr>,
    /// The admin port.
    pub admin: SocketAddr,
}

impl Settings {
    /// Sets a text, such as a period or a size: `settings.text("listen", "header_timeout", "2s")`.
    pub fn text(&mut self, table: &str, key: &str, value: &str) -> &mut Settings {
        self.literal(table, key, format!("{value:?}"))
    }

    /// Sets a number.
    pub fn number(&mut self, table: &str, key: &str, value: u64) -> &mut Settings {
        self.literal(table, key, value)
    }

    /// Gives the cache one more device of this size, a file beside the daemon's state: see
    /// [`Cdn::cache_device`](super::Cdn::cache_device).
    pub fn disk(&mut self, size: &str) -> &mut Settings {
        self.disks.push(size.to_owned());
        self
    }

    /// Sets a value as TOML has it, such as a list: `settings.literal("monitors", "servers", "[\"http://…\"]")`.
    pub fn literal(&mut self, table: &str, key: &str, value: impl Display) -> &mut Settings {
        self.tables
            .entry(table.to_owned())
            .or_default()
            .insert(key.to_owned(), value.to_string());
        self
    }

    /// Every table, as TOML.
    pub(super) fn tables_as_text(&self) -> String {
        let mut text = String::new();
        for (table, keys) in &self.tables {
            let lines: String = keys
                .iter()
                .map(|(key, value)| format!("{key} = {value}\n"))
                .collect();
            // Writing to a string cannot fail.
            let _ = write!(text, "\n[{table}]\n{lines}");
        }
        text
    }
}

/// What suits most stories: two cores whatever the machine, little RAM, deadlines short enough to be waited for.
pub(super) fn usual(tier: Tier) -> Settings {
    let mut settings = Settings::default();
    settings
        .number("listen", "threads", 2)
        .text("listen", "drain_timeout", "30s");
    settings
        .text("cache", "ram", "64MiB")
        .text("cache", "fills", "32MiB");
    settings
        .text("upstream", "mark_down_first", "200ms")
        .text("upstream", "mark_down_longest", "1s");
    settings.text("upstream", "probe_interval", "100ms");
    // An edge waits longer than its parents do, or it gives up on them while they still try. Gates hold bodies for as
    // long as a crowd takes to gather, so that pauses inside a body may be long.
    let (first_byte, between_bytes) = match tier {
        Tier::Edge => ("6s", "60s"),
        Tier::Parent => ("2s", "50s"),
    };
    settings.text("upstream", "first_byte_timeout", first_byte);
    settings.text("upstream", "between_bytes_timeout", between_bytes);
    settings
}

/// The file of one node.
pub(super) fn config(
    settings: &Settings,
    node: &str,
    addresses: &Addresses,
    shared_folder: &Path,
    own_folder: &Path,
    certificate: &CertificatePaths,
) -> String {
    let mut settings = settings.clone();
    settings.literal("listen", "http", format!("[\"{}\"]", addresses.http));
    if let Some(https) = addresses.https {
        settings.literal("listen", "https", format!("[\"{https}\"]"));
        let pair = format!(
            "[{{ certificate = {:?}, key = {:?} }}]",
            certificate.certificate, certificate.key
        );
        settings.literal("tls", "certificates", pair);
    }
    settings.literal("access_log", "path", format!("{:?}", access_log(own_folder)));
    let mut text = format!(
        "node = {node:?}\nsnapshot = {:?}\nstate = {:?}\nadmin = \"{}\"\n",
        snapshot_path(shared_folder),
        own_folder.join("state"),
        addresses.admin
    );
    text.push_str(&settings.tables_as_text());
    for (number, size) in settings.disks.iter().enumerate() {
        let device = cache_device(own_folder, number);
        let _ = write!(text, "\n[[cache.disks]]\ndevice = {device:?}\nsize = {size:?}\n");
    }
    text
}

/// The snapshot that all nodes follow.
pub(super) fn snapshot_path(shared_folder: &Path) -> std::path::PathBuf {
    shared_folder.join("cdn.json")
}

/// A device of a node's cache, counted from 0.
pub(super) fn cache_device(own_folder: &Path, number: usize) -> std::path::PathBuf {
    own_folder.join(format!("device-{number}"))
}

/// The access log of a node.
pub(super) fn access_log(own_folder: &Path) -> std::path::PathBuf {
    own_folder.join("access.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_toml_with_every_table_once() {
        let mut settings = usual(Tier::Edge);
        settings
            .text("listen", "header_timeout", "1s")
            .disk("256MiB")
            .disk("512MiB");
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses {
            http: address(1),
            https: Some(address(2)),
            admin: address(3),
        };
        let pair = CertificatePaths {
            certificate: "/t/a.pem".into(),
            key: "/t/a.key".into(),
        };
        let text = config(
            &settings,
            "edge-ams-1",
            &addresses,
            Path::new("/t"),
            Path::new("/t/edge-ams-1"),
            &pair,
        );
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["node"].as_str(), Some("edge-ams-1"));
        assert_eq!(table["snapshot"].as_str(), Some("/t/cdn.json"));
        assert_eq!(table["listen"]["http"][0].as_str(), Some("127.0.0.1:1"));
        assert_eq!(table["listen"]["header_timeout"].as_str(), Some("1s"));
        assert_eq!(table["tls"]["certificates"][0]["key"].as_str(), Some("/t/a.key"));
        assert_eq!(table["cache"]["disks"][0]["size"].as_str(), Some("256MiB"));
        let second = table["cache"]["disks"][1]["device"].as_str();
        assert_eq!(second, Some("/t/edge-ams-1/device-1"));
    }
}
