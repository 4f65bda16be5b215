//! Who is on the other side of a connection, and how it is spoken to.

use std::net::SocketAddr;

/// What is known of a connection once it is established; the same for all its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address the client reached.
    pub local: SocketAddr,
    /// What TLS agreed on; `None` on plain connections.
    pub tls: Option<TlsInfo>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version, as in `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as in `TLS13_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// The host name the client asked for, in lower case.
    pub sni: Option<Box<str>>,
    /// The protocol chosen by ALPN.
    pub alpn: Protocol,
    /// Whether the session was resumed from a ticket.
    pub resumed: bool,
}

/// The protocol spoken on a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2, chosen by ALPN.
    H2,
    /// HTTP/1.1, chosen by ALPN.
    Http1,
    /// HTTP/1.1, because the client offered no ALPN.
    Unnamed,
}

impl Protocol {
    /// The protocol's ALPN name, or `none`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::H2 => "h2",
            Protocol::Http1 => "http/1.1",
            Protocol::Unnamed => "none",
        }
    }
}
