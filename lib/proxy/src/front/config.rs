//! What the front door is told: addresses, limits, certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::FrontError;

/// The highest `max_header_bytes`: Pingora itself gives up at 1,048,575 bytes, with a worse answer than ours.
pub const HIGHEST_MAX_HEADER_BYTES: usize = 1_048_575;

/// The most threads: far above any machine we know, low enough to catch a mistyped number.
pub const MOST_THREADS: usize = 1024;

/// Everything the front door needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontConfig {
    /// Addresses that speak plain HTTP/1.1. Port 0 takes a free port.
    pub http: Vec<SocketAddr>,
    /// Addresses that speak TLS 1.3 with h2 or http/1.1 inside. Needs `tls`.
    pub https: Vec<SocketAddr>,
    /// Threads, each with a runtime and sockets of its own; 0 means one for each core of the machine.
    pub threads: usize,
    /// Connections open at once, over all threads; one more is closed as soon as it is accepted.
    pub max_connections: usize,
    /// How long the head of a request may take from its first byte (408), and a TLS handshake from its connection.
    pub header_timeout: Duration,
    /// How long a connection may wait for the first byte of its next request.
    pub idle_timeout: Duration,
    /// How long a write may wait without the client taking a single byte.
    pub send_timeout: Duration,
    /// How long a client may send nothing in the middle of a request's body (408).
    pub body_timeout: Duration,
    /// Bytes of a request's head, request line included (431).
    pub max_header_bytes: usize,
    /// How long new clients are taken on when the end is announced; the owner of [`super::Running`] waits so long.
    pub drain_delay: Duration,
    /// How long a drain may take before what is left is cut; the owner of [`super::Running`] passes it to `drain`.
    pub drain_timeout: Duration,
    /// Certificates for `https`.
    pub tls: Option<TlsConfig>,
}

/// The certificates, the first of which serves clients that name no host, or one that no certificate covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// At least one pair.
    pub certificates: Vec<CertificateFiles>,
}

/// One certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key of the leaf: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

impl FrontConfig {
    /// What can be said to be wrong without touching a socket or a file.
    ///
    /// # Errors
    /// [`FrontError::Config`], naming the first field that cannot be.
    pub fn check(&self) -> Result<(), FrontError> {
        let complaint = if self.http.is_empty() && self.https.is_empty() {
            "no address to listen on: give `http`, `https` or both"
        } else if !self.https.is_empty() && self.tls.as_ref().is_none_or(|tls| tls.certificates.is_empty()) {
            "`https` needs at least one certificate"
        } else if self.max_connections == 0 {
            "`max_connections` must be at least 1"
        } else if self.threads > MOST_THREADS {
            "`threads` is above 1024: give 0 for one a core"
        } else if self.header_timeout.is_zero()
            || self.idle_timeout.is_zero()
            || self.send_timeout.is_zero()
            || self.body_timeout.is_zero()
        {
            "`header_timeout`, `idle_timeout`, `send_timeout` and `body_timeout` must be longer than nothing"
        } else if !(256..=HIGHEST_MAX_HEADER_BYTES).contains(&self.max_header_bytes) {
            "`max_header_bytes` must lie between 256 and 1048575"
        } else {
            return Ok(());
        };
        Err(FrontError::Config(complaint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> FrontConfig {
        FrontConfig {
            http: vec![([127, 0, 0, 1], 0).into()],
            https: Vec::new(),
            threads: 0,
            max_connections: 10,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            max_header_bytes: 32 * 1024,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            tls: None,
        }
    }

    #[test]
    fn a_sound_config_passes_and_each_mistake_is_named() {
        assert!(good().check().is_ok());
        let nowhere = FrontConfig {
            http: Vec::new(),
            ..good()
        };
        let bare_https = FrontConfig {
            https: vec![([127, 0, 0, 1], 0).into()],
            ..good()
        };
        let empty_tls = FrontConfig {
            tls: Some(TlsConfig {
                certificates: Vec::new(),
            }),
            ..bare_https.clone()
        };
        for (config, word) in [
            (nowhere, "address"),
            (bare_https, "certificate"),
            (empty_tls, "certificate"),
            (
                FrontConfig {
                    max_connections: 0,
                    ..good()
                },
                "max_connections",
            ),
            (
                FrontConfig {
                    threads: 4000,
                    ..good()
                },
                "threads",
            ),
            (
                FrontConfig {
                    idle_timeout: Duration::ZERO,
                    ..good()
                },
                "idle_timeout",
            ),
            (
                FrontConfig {
                    max_header_bytes: 2_000_000,
                    ..good()
                },
                "max_header_bytes",
            ),
        ] {
            let complaint = config.check().unwrap_err().to_string();
            assert!(complaint.contains(word), "{complaint}");
        }
    }
}
