//! What a parent is told.

use std::path::Path;

use daemon::config::{Complaints, Table};
use proxy::config::{self, NodeConfig};
use proxy::front::FrontConfig;
use serde_json::Value;

/// The whole configuration of a parent, inert.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What every node is told.
    pub(crate) node: NodeConfig,
    /// Where edges connect.
    pub(crate) front: FrontConfig,
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
        let node = config::node(root);
        let front = config::listen_parent(root);
        Some(Config {
            node: node?,
            front: front?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::PathBuf;

    use daemon::config::Document;
    use daemon::follow::Source;
    use testkit::samples;

    use super::*;

    const COMMENTED: &str = include_str!("../../conf/parent.toml");
    const LOCAL: [&str; 2] = [
        include_str!("../../conf/local/parent-ams-1.toml"),
        include_str!("../../conf/local/parent-iad-1.toml"),
    ];

    /// Without a look for the files that are named.
    fn read(text: &str) -> Result<(Config, Value), String> {
        let document = Document::parse(Path::new("parent.toml"), text).map_err(|error| error.to_string())?;
        let config = Config::read(&document.root());
        let config = document.finish(config).map_err(|error| error.to_string())?;
        Ok((config, document.masked()))
    }

    fn samples() -> impl Iterator<Item = &'static str> {
        std::iter::once(COMMENTED).chain(LOCAL)
    }

    #[test]
    fn every_sample_reads() {
        for sample in samples() {
            let (config, _) = read(sample).unwrap();
            assert!(config.front.check().is_ok(), "{sample}");
        }
    }

    #[test]
    fn a_stray_key_in_any_table_of_any_sample_is_refused_with_its_line() {
        for sample in samples() {
            samples::check_stray_keys(sample, "parent.toml", 6, read);
        }
    }

    #[test]
    fn the_commented_sample_says_every_key_default_and_range() {
        samples::check_comments(COMMENTED, |text| read(text).map(|(_, in_use)| in_use));
    }

    #[test]
    fn the_local_parents_stand_where_the_readme_says() {
        for (sample, name, http, admin) in [
            (LOCAL[0], "parent-ams-1", 8180, 9121),
            (LOCAL[1], "parent-iad-1", 8181, 9122),
        ] {
            let (config, _) = read(sample).unwrap();
            let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(config.node.name.as_str(), name);
            assert_eq!(
                (config.front.http, config.front.https),
                (vec![address(http)], vec![])
            );
            assert_eq!(config.node.admin, address(admin));
            assert_eq!(config.node.snapshot, Source::File("conf/local/cdn.json".into()));
            assert_eq!(config.node.state, PathBuf::from(format!(".local/{name}")));
            let [disk] = &config.node.cache.disks[..] else {
                panic!("one device")
            };
            assert_eq!(
                (&disk.device, disk.size_bytes),
                (&PathBuf::from(format!(".local/{name}/cache.img")), 2 << 30)
            );
            assert_eq!(
                config.node.access_log.unwrap().path,
                PathBuf::from(format!(".local/{name}/access.log"))
            );
        }
    }

    #[test]
    fn a_parent_listens_on_loopback_only() {
        for address in [
            "0.0.0.0:8180",
            "192.0.2.1:8180",
            "[::]:8180",
            "[2001:db8::1]:8180",
        ] {
            let complaints = read(&LOCAL[0].replace("127.0.0.1:8180", address)).unwrap_err();
            assert_eq!(complaints.lines().count(), 1, "{complaints}");
            assert!(
                complaints.contains(&format!("cannot listen on {address} yet")),
                "{complaints}"
            );
            assert!(complaints.contains("mutual TLS"), "{complaints}");
        }
        for address in ["127.0.0.7:8180", "[::1]:8180"] {
            assert!(
                read(&LOCAL[0].replace("127.0.0.1:8180", address)).is_ok(),
                "{address}"
            );
        }
    }

    #[test]
    fn a_parent_has_no_tls() {
        let text = LOCAL[0].replace(
            "threads = 2",
            "https = [\"127.0.0.1:8443\"]\n\n[tls]\nhsts = \"1d\"",
        );
        let complaints = read(&text).unwrap_err();
        assert!(complaints.contains("listen.https: unknown key"), "{complaints}");
        assert!(complaints.contains("tls: unknown key"), "{complaints}");
    }

    #[test]
    fn every_mistake_in_a_file_is_told_at_once_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("parent.toml");
        std::fs::write(&file, "nod = \"parent\"\n[listen]\nhttp = [\"127.0.0.1\"]\n").unwrap();
        let complaints = Config::load(&file).unwrap_err();
        let found: Vec<(usize, &str)> = complaints
            .list()
            .iter()
            .map(|complaint| (complaint.line.unwrap(), complaint.at.as_str()))
            .collect();
        let missing = ["node", "snapshot", "state", "admin"].map(|key| (1, key));
        assert_eq!(found, [&missing[..], &[(1, "nod"), (3, "listen.http")]].concat());
        let again = Config::load(&folder.path().join("absent.toml")).unwrap_err();
        assert!(
            again.to_string().contains("absent.toml: cannot be read"),
            "{again}"
        );
    }
}
