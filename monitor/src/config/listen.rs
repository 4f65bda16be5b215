//! `[listen]` and `[tls]`: where the API, the stream and the page are served.

use std::net::SocketAddr;

use daemon::certificates::CertificateFiles;
use daemon::config::Table;

/// Connections open at once: each node keeps one, and so does each router and each peer.
const CONNECTIONS_DEFAULT: usize = 10_000;

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) struct ListenConfig {
    /// Plain HTTP/1.1.
    pub(crate) http: Vec<SocketAddr>,
    /// TLS 1.3.
    pub(crate) https: Vec<SocketAddr>,
    /// The certificate for TLS.
    pub(crate) tls: Option<CertificateFiles>,
    /// Connections open at once.
    pub(crate) max_connections: usize,
}

pub(super) fn read(root: &Table<'_>) -> Option<ListenConfig> {
    let table = root.table("listen");
    let http: Vec<SocketAddr> = table.or("http", Vec::new());
    let https: Vec<SocketAddr> = table.or("https", Vec::new());
    let max_connections = table.within("max_connections", CONNECTIONS_DEFAULT, 10..=1_000_000);
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
    if http.is_empty() && https.is_empty() {
        table.complain(
            "http",
            "there is no address to listen on",
            "write http, https or both",
        );
    }
    if !https.is_empty() && tls.is_none() {
        table.complain(
            "https",
            "has no certificate",
            "add [tls] with certificate and key",
        );
    }
    Some(ListenConfig {
        http,
        https,
        tls,
        max_connections,
    })
}
