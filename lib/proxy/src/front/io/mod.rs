//! What carries a client's bytes, and how Pingora's HTTP/2 sees it.

mod frames;
pub(super) mod linger;
mod session;
mod socket;
mod transport;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pingora_core::protocols::SocketDigest;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use session::{connection_info, info_of_stream};
pub(crate) use socket::Socket;
pub(crate) use transport::Transport;

use super::connection::{ConnectionInfo, Slot, Vitals};
use frames::FrameMeter;

/// A connection after its handshake, whatever is spoken on it.
pub(crate) struct Established {
    pub(crate) transport: Transport,
    pub(crate) info: Arc<ConnectionInfo>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) slot: Slot,
}

/// One client's HTTP/2 connection, as Pingora's stream. It holds the limits of the front door: the deadline of the
/// preface, the send timeout, the budget for control frames. What breaks one of them never reaches the application.
pub(crate) struct Http2Stream {
    transport: Transport,
    meter: FrameMeter,
    info: Arc<ConnectionInfo>,
    vitals: Arc<Vitals>,
    slot: Option<Slot>,
    ssl_digest: Option<Arc<SslDigest>>,
    socket_digest: Arc<SocketDigest>,
    proxy_digest: Option<Arc<ProxyDigest>>,
}

impl Http2Stream {
    pub(crate) fn new(established: Established) -> Http2Stream {
        let Established {
            transport,
            info,
            vitals,
            slot,
        } = established;
        // Pingora waits for the preface without a bound.
        vitals.await_client(vitals.shared.limits.header_timeout);
        Http2Stream {
            ssl_digest: session::ssl_digest(&info),
            socket_digest: session::socket_digest(&info, transport.raw_fd()),
            proxy_digest: session::proxy_digest(&info),
            transport,
            meter: FrameMeter::new(),
            info,
            vitals,
            slot: Some(slot),
        }
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.vitals.take_read_expiry() {
            this.vitals.shared.metrics.refuse("header_timeout");
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no HTTP/2 preface in time",
            )));
        }
        let before = buf.filled().len();
        ready!(this.transport.duplex().poll_read(cx, buf))?;
        if !this.meter.read(&buf.filled()[before..], this.vitals.sent_bytes()) {
            this.vitals.shared.metrics.refuse("control_flood");
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a flood of control frames",
            )));
        }
        if this.meter.has_begun() {
            this.vitals.client_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.transport.duplex().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.transport.duplex().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.duplex().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.duplex().poll_shutdown(cx)
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.transport.measure(self.info.peer.ip());
        if !self.transport.has_unread() {
            return;
        }
        if let (Some(socket), Some(slot)) = (self.transport.take_socket(), self.slot.take()) {
            linger::spawn(socket, slot);
        }
    }
}

impl fmt::Debug for Http2Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http2Stream").field(&self.info).finish()
    }
}
