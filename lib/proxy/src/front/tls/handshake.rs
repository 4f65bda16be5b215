//! The handshake: bounded in time, counted by how it ends.

use std::io;
use std::time::Duration;

use rustls::{HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConnection};
use tokio_rustls::server::TlsStream;

use crate::front::Shared;
use crate::front::connection::{Protocol, TlsInfo};
use crate::front::io::Socket;

/// Shakes hands within `time`. `None`: it failed, which is counted; the client was sent an alert where one was due.
pub(crate) async fn accept(
    shared: &Shared,
    socket: Socket,
    time: Duration,
) -> Option<(TlsStream<Socket>, TlsInfo)> {
    let acceptor = &shared.tls.as_ref()?.acceptor;
    let metrics = &shared.metrics;
    let failure = match tokio::time::timeout(time, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => {
            let info = describe(stream.get_ref().1);
            metrics.handshake(if info.resumed { "resumed" } else { "full" });
            metrics.tls_connection(info.version, info.alpn.as_str());
            return Some((stream, info));
        }
        Ok(Err(error)) => reason(&error),
        Err(_) => "timeout",
    };
    metrics.handshake(failure);
    None
}

fn describe(session: &ServerConnection) -> TlsInfo {
    let alpn = match session.alpn_protocol() {
        Some(b"h2") => Protocol::H2,
        Some(_) => Protocol::Http1,
        None => Protocol::Unnamed,
    };
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        // No other can be agreed on.
        _ => "unknown",
    };
    TlsInfo {
        version,
        cipher: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown"),
        sni: session.server_name().map(|name| name.to_ascii_lowercase().into()),
        alpn,
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}

/// A short word for why a handshake failed.
fn reason(error: &io::Error) -> &'static str {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls12NotOffered,
        )) => "version",
        Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
        Some(rustls::Error::NoApplicationProtocol) => "alpn",
        Some(rustls::Error::AlertReceived(_)) => "client_alert",
        Some(rustls::Error::InvalidMessage(_)) => "not_tls",
        Some(_) => "other",
        None => "closed",
    }
}
