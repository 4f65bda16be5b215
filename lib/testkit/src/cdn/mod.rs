//! A small CDN for a test: scripted origins, and parents and edges as real processes with real files.
//!
//! ```no_run
//! use testkit::cdn::Cdn;
//! use testkit::origin::Reply;
//!
//! let cdn = Cdn::builder().parents("ams", 1).edges("ams", 2).start();
//! cdn.origin().on("/title/1.m4s", Reply::generated("1", 100_000));
//! let response = cdn.http("edge-ams-1").get("/title/1.m4s");
//! ```

mod builder;
mod monitors;
mod routers;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::Snapshot;
use tempfile::TempDir;

use crate::certificates::{Authority, CertificatePaths};
use crate::client::Client;
use crate::dns::Dns;
use crate::origin::Origin;
use crate::ports::Port;
use crate::process::{Binary, Daemon};

pub use builder::{CdnBuilder, HOST, sample_service};
pub use settings::{Addresses, Settings};

/// A running CDN. Everything ends with it.
pub struct Cdn {
    // Daemons go first, so that their origins and files are there as long as they are.
    members: BTreeMap<String, Member>,
    origins: Vec<Origin>,
    authority: Authority,
    snapshot: Snapshot,
    folder: TempDir,
}

/// One node of it.
struct Member {
    name: String,
    addresses: Addresses,
    config: PathBuf,
    binary: Binary,
    daemon: Option<Daemon>,
    /// Where it answers DNS.
    dns: Option<Port>,
    /// Held as long as the node may come back.
    _ports: [Port; 3],
}

impl Cdn {
    /// Describes a CDN.
    #[must_use]
    pub fn builder() -> CdnBuilder {
        CdnBuilder::new()
    }

    /// The only origin, or the first.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origins[0]
    }

    /// The origins, to stop and start them.
    #[must_use]
    pub fn origins(&mut self) -> &mut [Origin] {
        &mut self.origins
    }

    /// A daemon, by the name of its node.
    ///
    /// # Panics
    ///
    /// When there is no such node, or it was never started.
    #[must_use]
    #[track_caller]
    pub fn daemon(&self, node: &str) -> &Daemon {
        self.member(node)
            .daemon
            .as_ref()
            .expect("a CDN that was started, not only prepared")
    }

    /// A daemon, to end and start it.
    ///
    /// # Panics
    ///
    /// When there is no such node, or it was never started.
    #[must_use]
    #[track_caller]
    pub fn daemon_mut(&mut self, node: &str) -> &mut Daemon {
        self.members
            .get_mut(node)
            .unwrap_or_else(|| panic!("there is no node {node}"))
            .daemon()
    }

    /// Where a node listens.
    #[must_use]
    #[track_caller]
    pub fn addresses(&self, node: &str) -> Addresses {
        self.member(node).addresses
    }

    /// A client of the router's DNS.
    ///
    /// # Panics
    ///
    /// When there is no router.
    #[must_use]
    #[track_caller]
    pub fn dns(&self) -> Dns {
        Dns::of(self.dns_address()).expect("the machine gives sockets")
    }

    /// Where the router answers DNS.
    ///
    /// # Panics
    ///
    /// When there is no router.
    #[must_use]
    #[track_caller]
    pub fn dns_address(&self) -> SocketAddr {
        let router = self.member(routers::NAME);
        router.dns.as_ref().expect("a router answers DNS").address()
    }

    /// Replaces what the router's geography is made of, as an operator's tools do: `database`, `coverage` or `latency`.
    pub fn publish_geography(&self, key: &str, bytes: &[u8]) {
        let own = self
            .config(routers::NAME)
            .parent()
            .expect("a config lies in its folder");
        builder::replace(&routers::geography_path(own, key), bytes);
    }

    /// The configuration file of a node.
    #[must_use]
    #[track_caller]
    pub fn config(&self, node: &str) -> &Path {
        &self.member(node).config
    }

    /// The binary of a node.
    #[must_use]
    #[track_caller]
    pub fn binary(&self, node: &str) -> &Binary {
        &self.member(node).binary
    }

    #[track_caller]
    fn member(&self, node: &str) -> &Member {
        self.members
            .get(node)
            .unwrap_or_else(|| panic!("there is no node {node}"))
    }

    /// A client of a node over plain HTTP/1.1 that asks for [`HOST`].
    #[must_use]
    #[track_caller]
    pub fn http(&self, node: &str) -> Client {
        Client::plain(self.addresses(node).http).host(HOST)
    }

    /// A client of an edge over HTTP/1.1 and TLS 1.3 that asks for [`HOST`].
    #[must_use]
    #[track_caller]
    pub fn https(&self, node: &str) -> Client {
        Client::tls(self.https_address(node), &self.authority).host(HOST)
    }

    /// A client of an edge over HTTP/2 that asks for [`HOST`].
    #[must_use]
    #[track_caller]
    pub fn http2(&self, node: &str) -> Client {
        Client::http2(self.https_address(node), &self.authority).host(HOST)
    }

    /// Where an edge speaks TLS.
    #[must_use]
    #[track_caller]
    pub fn https_address(&self, node: &str) -> std::net::SocketAddr {
        self.addresses(node)
            .https
            .unwrap_or_else(|| panic!("{node} does not speak TLS"))
    }

    /// The authority whose certificates the edges show.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where the certificate of the edges lies, to be replaced.
    #[must_use]
    pub fn replace_certificate(&self) -> CertificatePaths {
        let names = [HOST, "*.media.test", "localhost", "127.0.0.1"];
        self.authority
            .issue(&names)
            .write(self.folder.path(), "certificate")
    }

    /// The snapshot that the nodes follow.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Changes the snapshot, gives it the next number, and puts it in place of the old one.
    pub fn publish(&mut self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot);
        self.snapshot.number += 1;
        self.write_snapshot();
    }

    /// Puts any bytes in place of the snapshot.
    pub fn publish_bytes(&self, bytes: &[u8]) {
        builder::replace(&settings::snapshot_path(self.folder.path()), bytes);
    }

    fn write_snapshot(&self) {
        let text = serde_json::to_vec_pretty(&self.snapshot).expect("a snapshot can be written as JSON");
        self.publish_bytes(&text);
    }

    /// Where a node writes its access log.
    #[must_use]
    #[track_caller]
    pub fn access_log_path(&self, node: &str) -> PathBuf {
        let config = self.config(node);
        settings::access_log(config.parent().expect("a config lies in its node's folder"))
    }

    /// A device of a node's cache, counted from 0 in the order of [`Settings::disk`].
    #[must_use]
    #[track_caller]
    pub fn cache_device(&self, node: &str, number: usize) -> PathBuf {
        let config = self.config(node);
        settings::cache_device(
            config.parent().expect("a config lies in its node's folder"),
            number,
        )
    }

    /// The lines of a node's access log so far.
    ///
    /// # Panics
    ///
    /// When a line is not JSON.
    #[must_use]
    #[track_caller]
    pub fn access_log(&self, node: &str) -> Vec<serde_json::Value> {
        let path = self.access_log_path(node);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let whole_lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))
        };
        whole_lines.map(parse).collect()
    }
}

impl Member {
    #[track_caller]
    fn daemon(&mut self) -> &mut Daemon {
        self.daemon
            .as_mut()
            .unwrap_or_else(|| panic!("{} was never started", self.name))
    }
}
