//! How Pingora sees a connection, and how the application finds it again.

use std::os::fd::RawFd;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::AsyncWriteExt;

use super::ClientIo;
use crate::front::connection::{ConnectionInfo, Protocol};

/// The stream under an HTTP/1 session; `None` on HTTP/2, where many requests share one.
#[must_use]
pub fn client_io(session: &ServerSession) -> Option<&ClientIo> {
    (**session.as_http1()?.stream()).as_any().downcast_ref()
}

/// Who sent the request, on HTTP/1 and HTTP/2.
#[must_use]
pub fn connection_info(session: &ServerSession) -> Option<&Arc<ConnectionInfo>> {
    match client_io(session) {
        Some(stream) => Some(stream.info()),
        None => session
            .digest()?
            .proxy_digest
            .as_ref()?
            .user_data
            .as_ref()?
            .downcast_ref(),
    }
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
impl Shutdown for ClientIo {
    async fn shutdown(&mut self) {
        // A client that is gone already needs no goodbye.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientIo {
    fn id(&self) -> UniqueIDType {
        self.transport.raw_fd()
    }
}

impl Ssl for ClientIo {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl_digest.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.info.tls.as_ref()?.alpn {
            Protocol::H2 => Some(ALPN::H2),
            Protocol::Http1 => Some(ALPN::H1),
            Protocol::Unnamed => None,
        }
    }
}

impl GetTimingDigest for ClientIo {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientIo {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.proxy_digest.clone()
    }
}

impl GetSocketDigest for ClientIo {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket_digest))
    }
}

impl Peek for ClientIo {}
