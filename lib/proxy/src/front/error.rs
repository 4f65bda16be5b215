//! Why the front door cannot open.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::tls::CertificateError;

/// Why the front door cannot open. `Display` is one line that says what failed, where, and what to do.
#[derive(Debug)]
pub enum FrontError {
    /// The configuration contradicts itself.
    Config(&'static str),
    /// An address could not be bound.
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate cannot be used.
    Certificate(CertificateError),
    /// The TLS library refused to start.
    Tls(rustls::Error),
    /// A thread or its runtime could not be made.
    Start(io::Error),
    /// A thread died before it served.
    CoreDied,
    /// A metric's name is taken: two front doors on one registry.
    Metrics(prometheus::Error),
}

impl fmt::Display for FrontError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontError::Config(complaint) => f.write_str(complaint),
            FrontError::Bind { address, source } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    write!(
                        f,
                        "cannot listen on {address}: the address is in use; stop who holds it or choose another port"
                    )
                }
                io::ErrorKind::AddrNotAvailable => {
                    write!(
                        f,
                        "cannot listen on {address}: no interface of this machine has that address"
                    )
                }
                io::ErrorKind::PermissionDenied => write!(
                    f,
                    "cannot listen on {address}: permission denied; ports below 1024 need CAP_NET_BIND_SERVICE"
                ),
                _ => write!(f, "cannot listen on {address}: {source}"),
            },
            FrontError::Certificate(error) => error.fmt(f),
            FrontError::Tls(error) => write!(f, "TLS cannot start: {error}"),
            FrontError::Start(error) => write!(f, "cannot start a thread of the front door: {error}"),
            FrontError::CoreDied => {
                f.write_str("a thread of the front door died at its start; the log says why")
            }
            FrontError::Metrics(error) => write!(f, "cannot register the front door's metrics: {error}"),
        }
    }
}

impl std::error::Error for FrontError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FrontError::Bind { source, .. } | FrontError::Start(source) => Some(source),
            FrontError::Tls(source) => Some(source),
            FrontError::Metrics(source) => Some(source),
            FrontError::Certificate(error) => error.source(),
            FrontError::Config(_) | FrontError::CoreDied => None,
        }
    }
}

impl From<CertificateError> for FrontError {
    fn from(error: CertificateError) -> FrontError {
        FrontError::Certificate(error)
    }
}

impl From<prometheus::Error> for FrontError {
    fn from(error: prometheus::Error) -> FrontError {
        FrontError::Metrics(error)
    }
}
