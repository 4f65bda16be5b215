//! `[listen]` and `[tls]`: where clients connect, and how long they may take.

use std::net::SocketAddr;
use std::time::Duration;

use daemon::config::Table;
use model::{Period, Size};

use super::knob::{Knob, milliseconds, seconds};
use crate::front::{CertificateFiles, FrontConfig, HIGHEST_MAX_HEADER_BYTES, MOST_THREADS, TlsConfig};

/// Threads that serve, each with a runtime and sockets of its own; 0 is one a core. More than the cores only adds
/// switching between them; fewer leaves cores to something else on the machine.
const THREADS: Knob<usize> = Knob {
    key: "threads",
    default: 0,
    least: 0,
    most: MOST_THREADS,
};

/// Connections open at once, over all threads. One more is closed as soon as it is accepted, and counted. Each costs a
/// file descriptor and some tens of KiB.
const MAX_CONNECTIONS: Knob<usize> = Knob {
    key: "max_connections",
    default: 100_000,
    least: 1,
    most: 10_000_000,
};

/// How long a TLS handshake, and the head of a request from its first byte, may take. Then 408 and the connection is
/// closed. Too short drops players on bad networks; too long lets a few machines hold many connections.
const HEADER_TIMEOUT: Knob<Period> = Knob {
    key: "header_timeout",
    default: seconds(10),
    least: milliseconds(100),
    most: seconds(300),
};

/// How long a connection may be idle between two requests. Players ask every few seconds: shorter costs them new
/// handshakes, longer costs memory.
const IDLE_TIMEOUT: Knob<Period> = Knob {
    key: "idle_timeout",
    default: seconds(60),
    least: seconds(1),
    most: seconds(3600),
};

/// How long a client may take no byte at all while there is something to send; then its connection is reset. A paused
/// player is such a client: it asks again by itself.
const SEND_TIMEOUT: Knob<Period> = Knob {
    key: "send_timeout",
    default: seconds(30),
    least: seconds(1),
    most: seconds(3600),
};

/// How long a client may send nothing in the middle of a request's body; then 408 and the connection is closed. Too short
/// drops uploads on bad networks; too long lets a few machines hold many connections, here and at the origin.
const BODY_TIMEOUT: Knob<Period> = Knob {
    key: "body_timeout",
    default: seconds(30),
    least: seconds(1),
    most: seconds(3600),
};

/// Bytes of a request's head, request line included. Beyond it 431. A player sends 1 or 2 KiB.
const MAX_HEADER: Knob<Size> = Knob {
    key: "max_header",
    default: Size(32 << 10),
    least: Size(1 << 10),
    most: Size((HIGHEST_MAX_HEADER_BYTES as u64 / 1024) << 10),
};

/// How long a node that was told to end takes on new clients nevertheless, after it has said so. Shorter than what
/// monitors need and what resolvers keep of an answer, clients still come when nobody listens any more; longer, a
/// restart takes longer.
const DRAIN_DELAY: Knob<Period> = Knob {
    key: "drain_delay",
    default: seconds(0),
    least: seconds(0),
    most: seconds(3600),
};

/// How long a drain may take before the connections that are left are cut. Longer lets downloads end, shorter lets
/// restarts.
const DRAIN_TIMEOUT: Knob<Period> = Knob {
    key: "drain_timeout",
    default: seconds(60),
    least: seconds(0),
    most: seconds(3600),
};

/// How long browsers are told to insist on HTTPS (RFC 6797 §6.1.1); written once, it cannot be taken back sooner.
const LONGEST_HSTS: Duration = Duration::from_secs(730 * 86_400);

/// An edge's front door: `[listen]` with `http` and `https`, `[tls]` with the certificates.
#[must_use]
pub fn listen_edge(root: &Table<'_>) -> Option<FrontConfig> {
    let listen = root.table("listen");
    let http = addresses(&listen, "http");
    let https = addresses(&listen, "https");
    if http.is_empty() && https.is_empty() {
        listen.complain(
            "http",
            "there is no address to listen on",
            "add `http = […]`, `https = […]` or both",
        );
    }
    let certificates = certificates(&root.table("tls"), !https.is_empty());
    let tls =
        certificates.map(|certificates| (!certificates.is_empty()).then_some(TlsConfig { certificates }));
    Some(front(&listen, http, https, tls?))
}

/// A parent's front door: `[listen]` with `http` alone. Until the tiers know each other by mutual TLS, anybody who
/// reaches a parent may use it, so it listens on loopback only.
#[must_use]
pub fn listen_parent(root: &Table<'_>) -> Option<FrontConfig> {
    let listen = root.table("listen");
    let http: Option<Vec<SocketAddr>> = listen.required("http");
    let open_to_others = http
        .iter()
        .flatten()
        .filter(|address| !address.ip().is_loopback());
    let open_to_others: Vec<String> = open_to_others.map(ToString::to_string).collect();
    if !open_to_others.is_empty() {
        listen.complain(
            "http",
            &format!(
                "a parent cannot listen on {} yet: it does not know who connects",
                open_to_others.join(", ")
            ),
            "use a loopback address such as 127.0.0.1; others come with mutual TLS between the tiers",
        );
    }
    if http.as_ref().is_some_and(Vec::is_empty) {
        listen.complain(
            "http",
            "there is no address to listen on",
            "write one, such as \"127.0.0.1:8080\"",
        );
    }
    let front = front(&listen, http.clone().unwrap_or_default(), Vec::new(), None);
    http.map(|_| front)
}

/// `hsts` of `[tls]`: the max-age of `Strict-Transport-Security` on answers over TLS; absent, none is sent.
#[must_use]
pub fn hsts(root: &Table<'_>) -> Option<Duration> {
    let tls = root.table("tls");
    let max_age: Period = tls.optional("hsts")?;
    if max_age.0 > LONGEST_HSTS {
        tls.complain(
            "hsts",
            "is longer than two years",
            "write a value from \"0s\" to \"730d\"",
        );
    }
    Some(max_age.0)
}

fn addresses(listen: &Table<'_>, key: &str) -> Vec<SocketAddr> {
    listen.or(key, Vec::new())
}

/// Certificates are needed as soon as there is an address for TLS.
fn certificates(tls: &Table<'_>, needed: bool) -> Option<Vec<CertificateFiles>> {
    let pairs = tls.tables("certificates");
    if needed && pairs.is_empty() {
        let advice = "add `certificates = [{ certificate = \"…\", key = \"…\" }]` to [tls]";
        tls.complain("certificates", "https has no certificate", advice);
    }
    // Collected first: every pair is read, whatever is wrong with the one before it.
    let pairs: Vec<Option<CertificateFiles>> = pairs.iter().map(certificate).collect();
    pairs.into_iter().collect()
}

fn certificate(pair: &Table<'_>) -> Option<CertificateFiles> {
    let certificate = pair.required_file("certificate");
    let key = pair.required_file("key");
    Some(CertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn front(
    listen: &Table<'_>,
    http: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    tls: Option<TlsConfig>,
) -> FrontConfig {
    FrontConfig {
        http,
        https,
        threads: THREADS.read(listen),
        max_connections: MAX_CONNECTIONS.read(listen),
        header_timeout: HEADER_TIMEOUT.read(listen).0,
        idle_timeout: IDLE_TIMEOUT.read(listen).0,
        send_timeout: SEND_TIMEOUT.read(listen).0,
        body_timeout: BODY_TIMEOUT.read(listen).0,
        max_header_bytes: usize::try_from(MAX_HEADER.read(listen).0).unwrap_or(HIGHEST_MAX_HEADER_BYTES),
        drain_delay: DRAIN_DELAY.read(listen).0,
        drain_timeout: DRAIN_TIMEOUT.read(listen).0,
        tls,
    }
}
