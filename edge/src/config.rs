//! What an edge is told.

use std::path::Path;
use std::time::Duration;

use daemon::config::{Complaints, Table};
use proxy::config::{self, NodeConfig};
use proxy::front::FrontConfig;
use serde_json::Value;

/// The whole configuration of an edge, inert.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What every node is told.
    pub(crate) node: NodeConfig,
    /// Where players connect.
    pub(crate) front: FrontConfig,
    /// The max-age of `Strict-Transport-Security` on answers over TLS; absent, none is sent.
    pub(crate) hsts: Option<Duration>,
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
        let front = config::listen_edge(root);
        let hsts = config::hsts(root);
        Some(Config {
            node: node?,
            front: front?,
            hsts,
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

    const COMMENTED: &str = include_str!("../../conf/edge.toml");
    const LOCAL: [&str; 3] = [
        include_str!("../../conf/local/edge-ams-1.toml"),
        include_str!("../../conf/local/edge-ams-2.toml"),
        include_str!("../../conf/local/edge-iad-1.toml"),
    ];

    /// Without a look for the files that are named.
    fn read(text: &str) -> Result<(Config, Value), String> {
        let document = Document::parse(Path::new("edge.toml"), text).map_err(|error| error.to_string())?;
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
            samples::check_stray_keys(sample, "edge.toml", 7, read);
        }
    }

    #[test]
    fn the_commented_sample_says_every_key_default_and_range() {
        samples::check_comments(COMMENTED, |text| read(text).map(|(_, in_use)| in_use));
    }

    #[test]
    fn the_local_edges_stand_where_the_readme_says() {
        for (sample, name, http, https, admin) in [
            (LOCAL[0], "edge-ams-1", 8080, 8443, 9101),
            (LOCAL[1], "edge-ams-2", 8081, 8444, 9102),
            (LOCAL[2], "edge-iad-1", 8082, 8445, 9103),
        ] {
            let (config, _) = read(sample).unwrap();
            let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(config.node.name.as_str(), name);
            assert_eq!(
                (config.front.http, config.front.https),
                (vec![address(http)], vec![address(https)])
            );
            assert_eq!(config.node.admin, address(admin));
            assert_eq!(config.node.snapshot, Source::File("conf/local/cdn.json".into()));
            assert_eq!(config.node.state, PathBuf::from(format!(".local/{name}")));
            let [disk] = &config.node.cache.disks[..] else {
                panic!("one device")
            };
            assert_eq!(
                (&disk.device, disk.size_bytes),
                (&PathBuf::from(format!(".local/{name}/cache.img")), 1 << 30)
            );
            assert_eq!(
                config.node.access_log.unwrap().path,
                PathBuf::from(format!(".local/{name}/access.log"))
            );
            let certificate = &config.front.tls.unwrap().certificates[0];
            assert_eq!(certificate.certificate, PathBuf::from(".local/tls/cert.pem"));
            assert_eq!(certificate.key, PathBuf::from(".local/tls/key.pem"));
        }
    }

    #[test]
    fn a_file_with_three_mistakes_gives_three_complaints_with_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edge.toml");
        let text = LOCAL[0]
            .replace("threads = 2", "threads = \"two\"")
            .replace("drain_timeout", "drain_tiemout")
            .replace("ram = \"256MiB\"", "ram = \"1MiB\"")
            .replace(".local/tls/cert.pem", file.to_str().unwrap())
            .replace(".local/tls/key.pem", file.to_str().unwrap());
        std::fs::write(&file, &text).unwrap();
        let complaints = Config::load(&file).unwrap_err();
        let found: Vec<(usize, &str)> = complaints
            .list()
            .iter()
            .map(|complaint| (complaint.line.unwrap(), complaint.at.as_str()))
            .collect();
        let line = |start: &str| 1 + text.lines().position(|line| line.starts_with(start)).unwrap();
        assert_eq!(
            found,
            [
                (line("threads"), "listen.threads"),
                (line("drain_tiemout"), "listen.drain_tiemout"),
                (line("ram"), "cache.ram"),
            ]
        );
        assert!(
            complaints.to_string().contains("did you mean `drain_timeout`?"),
            "{complaints}"
        );
        assert!(
            complaints.to_string().contains("\"1MiB\" is out of range"),
            "{complaints}"
        );
    }

    #[test]
    fn files_that_are_named_have_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edge.toml");
        let text = LOCAL[0]
            .replace(".local/tls/cert.pem", "nowhere/cert.pem")
            .replace(".local/tls/key.pem", "nowhere/key.pem")
            .replace("[upstream]", "[upstream]\nca_file = \"nowhere/ca.pem\"");
        std::fs::write(&file, &text).unwrap();
        let complaints = Config::load(&file).unwrap_err();
        assert_eq!(complaints.list().len(), 3, "{complaints}");
        for (complaint, path) in complaints.list().iter().zip(["cert.pem", "key.pem", "ca.pem"]) {
            assert!(
                complaint
                    .what
                    .contains(&format!("cannot read the file nowhere/{path}")),
                "{complaint}"
            );
        }
    }

    #[test]
    fn what_cannot_work_together_is_refused() {
        for (find, replace, says) in [
            ("certificates = ", "# certificates = ", "https has no certificate"),
            ("http", "# http", "there is no address to listen on"),
            ("edge-ams-1\"\nsnap", "edge ams 1\"\nsnap", "node: "),
            (
                "admin",
                "snapshot_token = { environment = \"TOKEN\" }\nadmin",
                "the snapshot is a file",
            ),
            (
                "snapshot = \"conf/local/cdn.json\"",
                "snapshot = \"http://control/a\"\nsnapshot_token = { environment = \"TOKEN\" }",
                "would be sent in the clear",
            ),
            (
                "conf/local/cdn.json\"\n",
                "ftp://control/a\"\n",
                "ftp:// is not spoken",
            ),
            (
                "[upstream]",
                "[upstream]\nmark_down_first = \"40s\"",
                "mark_down_longest: is shorter than mark_down_first",
            ),
            (
                "[tls]",
                "[tls]\nhsts = \"800d\"",
                "tls.hsts: is longer than two years",
            ),
            (
                "[upstream]",
                "[monitors]\nservers = [\"http://192.0.2.1:8070\"]\ntoken = { environment = \"TOKEN\" }\n[upstream]",
                "monitors.token: would be sent in the clear to http://192.0.2.1:8070",
            ),
            (
                "[upstream]",
                "[monitors]\nservers = [\"http://[::1]:1\", \"http://[::1]:1/\"]\n[upstream]",
                "monitors.servers: names http://[::1]:1 twice",
            ),
            (
                "[upstream]",
                "[monitors]\nservers = [\"monitor.example:8070\"]\n[upstream]",
                "write http://host:port or https://host:port",
            ),
            ("1GiB", "1MiB", "cache.disks[0].size: is too small"),
            (
                "size = \"1GiB\"",
                "size = \"1GiB\"\nio = \"aio\"",
                "cache.disks[0].io: names nothing that is known",
            ),
            (
                "size = \"1GiB\"",
                "size = \"1GiB\"\nweight = 0.0",
                "cache.disks[0].weight: 0.0 is out of range",
            ),
            (
                "[access_log]",
                "[[cache.disks]]\ndevice = \".local/edge-ams-1/cache.img\"\nsize = \"2GiB\"\n[access_log]",
                "cache.disks[1].device: is that of an earlier entry",
            ),
            (
                "[[cache.disks]]",
                "[cache.disk]",
                "cache.disk: is not read any more; write [[cache.disks]] instead of [cache.disk]",
            ),
        ] {
            let text = without_monitors().replace(find, replace);
            let complaints = read(&text).unwrap_err();
            assert!(complaints.contains(says), "{says}: {complaints}");
        }
    }

    /// A local edge that tells nobody how it is: `[monitors]` is its last table.
    fn without_monitors() -> &'static str {
        LOCAL[0]
            .split_once("\n[monitors]")
            .expect("the local edges tell monitors")
            .0
    }

    #[test]
    fn monitors_are_told_of_by_url_and_no_more_than_nine() {
        let text = |count: usize| {
            let servers: Vec<String> = (1..=count)
                .map(|port| format!("http://localhost:{port}"))
                .collect();
            let token = "token = { environment = \"TOKEN\" }";
            format!(
                "{}\n[monitors]\nservers = {servers:?}\n{token}\n",
                without_monitors()
            )
        };
        let (config, _) = read(&text(9)).unwrap();
        assert_eq!(config.node.monitors.servers.len(), 9);
        assert!(config.node.monitors.token.is_some());
        let complaints = read(&text(10)).unwrap_err();
        assert!(
            complaints.contains("monitors.servers: has 10 entries; write 9 or fewer"),
            "{complaints}"
        );
        let (config, _) = read(without_monitors()).unwrap();
        assert!(
            config.node.monitors.servers.is_empty(),
            "nobody is told by default"
        );
    }
}
