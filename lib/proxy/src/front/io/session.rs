//! How Pingora sees a connection, and how the application finds it again.

use std::os::fd::RawFd;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::AsyncWriteExt;

use super::Http2Stream;
use crate::front::connection::ConnectionInfo;

/// Who sent the request.
#[must_use]
pub fn connection_info(session: &ServerSession) -> Option<&Arc<ConnectionInfo>> {
    session
        .digest()?
        .proxy_digest
        .as_ref()?
        .user_data
        .as_ref()?
        .downcast_ref()
}

/// Who is connected, as a stream that the front door handed out knows it.
#[must_use]
pub fn info_of_stream(stream: &Stream) -> Option<Arc<ConnectionInfo>> {
    let digest = stream.get_proxy_digest()?;
    digest.user_data.as_ref()?.downcast_ref().cloned()
}

pub(super) fn ssl_digest(info: &ConnectionInfo) -> Option<Arc<SslDigest>> {
    let tls = info.tls.as_ref()?;
    Some(Arc::new(SslDigest::new(
        tls.cipher,
        tls.version,
        None,
        None,
        Vec::new(),
    )))
}

pub(super) fn socket_digest(info: &ConnectionInfo, socket: RawFd) -> Arc<SocketDigest> {
    let digest = SocketDigest::from_raw_fd(socket);
    // Both cells are new, so both are free.
    let _ = digest.peer_addr.set(Some(SocketAddr::Inet(info.peer)));
    let _ = digest.local_addr.set(Some(SocketAddr::Inet(info.local)));
    Arc::new(digest)
}

/// The one digest that can carry something of ours to the requests of an HTTP/2 connection.
pub(super) fn proxy_digest(info: &Arc<ConnectionInfo>) -> Option<Arc<ProxyDigest>> {
    let response = ResponseHeader::build(200, Some(0)).ok()?;
    Some(Arc::new(ProxyDigest::new(
        Box::new(response),
        Some(Box::new(Arc::clone(info))),
    )))
}

#[async_trait]
impl Shutdown for Http2Stream {
    async fn shutdown(&mut self) {
        // A client that is gone already needs no goodbye.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Http2Stream {
    fn id(&self) -> UniqueIDType {
        self.transport.raw_fd()
    }
}

impl Ssl for Http2Stream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl_digest.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(ALPN::H2)
    }
}

impl GetTimingDigest for Http2Stream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Http2Stream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.proxy_digest.clone()
    }
}

impl GetSocketDigest for Http2Stream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket_digest))
    }
}

impl Peek for Http2Stream {}
