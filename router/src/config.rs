//! What a router is told: inert values, read from one TOML file and passed down.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::certificates::CertificateFiles;
use daemon::config::{Complaints, Secret, Table};
use daemon::follow::{Source, read_source};
use daemon::log::Level;
use ipnet::IpNet;
use model::Period;
use serde_json::Value;
use views::Watched;

use crate::geo::loader::Paths;

/// More monitors than anyone runs.
const MONITORS_MAX: usize = 9;

/// What edges measure changes slowly.
const ROUND_TRIPS_DEFAULT: Period = Period(Duration::from_secs(60));

/// A router that is busy logs some dozen decisions a second.
const LOGGED_DEFAULT: u32 = 10_000;

/// The whole configuration of a router, inert.
#[derive(Clone, Debug)]
pub(crate) struct Config {
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
    /// One decision in so many is logged; 0 is none.
    pub(crate) log_decisions: u32,
    /// DNS over UDP and TCP.
    pub(crate) dns: Vec<SocketAddr>,
    /// Sockets, and threads, for each address of DNS.
    pub(crate) dns_threads: usize,
    pub(crate) http: HttpConfig,
    /// Who watches the nodes.
    pub(crate) monitors: Vec<Watched>,
    /// Whose certificates are trusted when monitors speak TLS.
    pub(crate) monitors_ca_file: Option<PathBuf>,
    /// What geography is made of.
    pub(crate) geography: Paths,
    /// How often edges are asked what they have measured; never, where it is zero.
    pub(crate) round_trips: Duration,
}

/// Redirects, JSON and content steering.
#[derive(Clone, Debug)]
pub(crate) struct HttpConfig {
    /// Plain HTTP/1.1.
    pub(crate) http: Vec<SocketAddr>,
    /// TLS 1.3.
    pub(crate) https: Vec<SocketAddr>,
    /// Certificate and key, PEM files.
    pub(crate) tls: Option<CertificateFiles>,
    /// Threads, each with a socket of its own for each address.
    pub(crate) threads: usize,
    /// Connections at once, over all threads.
    pub(crate) max_connections: usize,
    /// Networks whose word on the client's address (X-Forwarded-For) is taken.
    pub(crate) trusted: Vec<IpNet>,
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
        let snapshot = read_source(root, "snapshot");
        let state = root.required("state");
        let admin = root.required("admin");
        let log_level = root.or("log_level", Level::default());
        let log_decisions = root.within("log_decisions", LOGGED_DEFAULT, 0..=u32::MAX);
        let dns = root.table("dns");
        let dns_addresses: Vec<SocketAddr> = dns.or("listen", Vec::new());
        let dns_threads = dns.within("threads", 0, 0..=256);
        let http = http(root);
        if dns_addresses.is_empty()
            && http
                .as_ref()
                .is_some_and(|http| http.http.is_empty() && http.https.is_empty())
        {
            dns.complain(
                "listen",
                "there is no address to listen on",
                "write some here, or in [http]",
            );
        }
        let monitors = monitors(root);
        let monitors_ca_file = root.optional_file("monitors_ca_file");
        let geography = root.table("geography");
        let round_trips: Period = geography.within(
            "round_trips",
            ROUND_TRIPS_DEFAULT,
            Period(Duration::ZERO)..=Period(Duration::from_secs(3600)),
        );
        let geography = Paths {
            database: geography.optional_file("database"),
            coverage: geography.optional_file("coverage"),
            latency: geography.optional_file("latency"),
        };
        let (snapshot, snapshot_token) = snapshot?;
        Some(Config {
            snapshot,
            snapshot_token,
            state: state?,
            admin: admin?,
            log_level,
            log_decisions,
            dns: dns_addresses,
            dns_threads,
            http: http?,
            monitors: monitors?,
            monitors_ca_file,
            geography,
            round_trips: round_trips.0,
        })
    }
}

fn http(root: &Table<'_>) -> Option<HttpConfig> {
    let table = root.table("http");
    let http: Vec<SocketAddr> = table.or("http", Vec::new());
    let https: Vec<SocketAddr> = table.or("https", Vec::new());
    let threads = table.within("threads", 0, 0..=256);
    let max_connections = table.within("max_connections", 50_000, 10..=10_000_000);
    let trusted: Vec<IpNet> = table.or("trusted", Vec::new());
    let tls = match root.optional_table("tls") {
        None => None,
        Some(tls) => {
            let (certificate, key) = (tls.required_file("certificate"), tls.required_file("key"));
            Some(CertificateFiles {
                certificate: certificate?,
                key: key?,
            })
        }
    };
    if !https.is_empty() && tls.is_none() {
        table.complain(
            "https",
            "has no certificate",
            "add [tls] with certificate and key",
        );
    }
    Some(HttpConfig {
        http,
        https,
        tls,
        threads,
        max_connections,
        trusted,
    })
}

fn monitors(root: &Table<'_>) -> Option<Vec<Watched>> {
    let tables = root.tables("monitors");
    if tables.len() > MONITORS_MAX {
        root.complain(
            "monitors",
            &format!("has {} entries", tables.len()),
            "name at most 9 monitors",
        );
    }
    let mut monitors: Vec<Option<Watched>> = Vec::new();
    for table in tables {
        let name: Option<String> = table.required("name");
        let server = table.required("url");
        if monitors
            .iter()
            .flatten()
            .any(|other| Some(&other.name) == name.as_ref())
        {
            table.complain(
                "name",
                "is that of another monitor",
                "write the name that its own configuration has",
            );
        }
        monitors.push((|| {
            Some(Watched {
                name: name?,
                server: server?,
            })
        })());
    }
    monitors.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use daemon::config::Document;
    use testkit::samples;

    use super::*;

    const COMMENTED: &str = include_str!("../../conf/router.toml");
    const LOCAL: &str = include_str!("../../conf/local/router-1.toml");

    /// Without a look for the files that are named.
    fn read(text: &str) -> Result<(Config, Value), String> {
        let document = Document::parse(Path::new("router.toml"), text).map_err(|error| error.to_string())?;
        let config = Config::read(&document.root());
        let config = document.finish(config).map_err(|error| error.to_string())?;
        Ok((config, document.masked()))
    }

    #[test]
    fn a_stray_key_in_any_table_of_any_sample_is_refused_with_its_line() {
        for sample in [COMMENTED, LOCAL] {
            read(sample).unwrap();
            samples::check_stray_keys(sample, "router.toml", 4, read);
        }
    }

    #[test]
    fn the_commented_sample_says_every_key_default_and_range() {
        samples::check_comments(COMMENTED, |text| read(text).map(|(_, in_use)| in_use));
    }

    #[test]
    fn the_local_router_stands_where_the_readme_says() {
        let (config, _) = read(LOCAL).unwrap();
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(config.dns, [address(5300)]);
        assert_eq!(
            (config.http.http, config.http.https),
            (vec![address(8053)], vec![address(8553)])
        );
        assert_eq!((config.admin, config.monitors.len()), (address(9131), 3));
    }

    #[test]
    fn what_cannot_work_together_is_refused() {
        for (find, replace, says) in [
            (
                "monitor-3",
                "monitor-2",
                "monitors[2].name: is that of another monitor",
            ),
            ("[tls]", "[tlz]", "http.https: has no certificate"),
            (
                "http://127.0.0.1:8070",
                "127.0.0.1:8070",
                "write http://host:port",
            ),
        ] {
            let complaints = read(&LOCAL.replace(find, replace)).unwrap_err();
            assert!(complaints.contains(says), "{says}: {complaints}");
        }
    }
}
