//! The stream that Pingora reads requests from and answers are written to.

mod frames;
mod heads;
mod linger;
mod refusal;
mod session;
mod socket;
mod transport;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pingora_core::protocols::SocketDigest;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use heads::LAST_WAIT;
pub use session::{client_io, connection_info};
pub(crate) use socket::Socket;
pub(crate) use transport::Transport;

use super::connection::{ConnectionInfo, Protocol, Slot, Vitals};
use frames::FrameMeter;
use heads::HeadReader;

/// Bytes one client may take without a pause before the other clients of its core get their turn.
const BURST_BYTES: usize = 1024 * 1024;

/// A connection after its handshake, all that [`ClientIo`] is made of.
pub(crate) struct Established {
    pub(crate) transport: Transport,
    pub(crate) info: Arc<ConnectionInfo>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) slot: Slot,
}

/// One client's connection. Pingora owns it as its stream; the application reaches it through [`client_io`].
///
/// It holds all limits of the front door: the deadline and the size of a request's head, the idle timeout, the send
/// timeout, the budget for HTTP/2 control frames. What breaks one of them never reaches the application.
pub struct ClientIo {
    transport: Transport,
    reading: Reading,
    info: Arc<ConnectionInfo>,
    vitals: Arc<Vitals>,
    slot: Option<Slot>,
    /// Bytes sent since the client last made us wait.
    burst: AtomicUsize,
    ssl_digest: Option<Arc<SslDigest>>,
    socket_digest: Arc<SocketDigest>,
    proxy_digest: Option<Arc<ProxyDigest>>,
}

enum Reading {
    Http1(HeadReader),
    Http2(FrameMeter),
}

impl ClientIo {
    pub(crate) fn new(established: Established) -> ClientIo {
        let Established {
            transport,
            info,
            vitals,
            slot,
        } = established;
        let limits = &vitals.shared.limits;
        let reading = if info.tls.as_ref().is_some_and(|tls| tls.alpn == Protocol::H2) {
            // Pingora waits for the preface without a bound.
            vitals.await_client(limits.header_timeout);
            Reading::Http2(FrameMeter::new())
        } else {
            Reading::Http1(HeadReader::new(limits.max_header_bytes))
        };
        ClientIo {
            ssl_digest: session::ssl_digest(&info),
            socket_digest: session::socket_digest(&info, transport.raw_fd()),
            proxy_digest: matches!(reading, Reading::Http2(_))
                .then(|| session::proxy_digest(&info))
                .flatten(),
            transport,
            reading,
            info,
            vitals,
            slot: Some(slot),
            burst: AtomicUsize::new(0),
        }
    }

    /// Who is connected, and how.
    #[must_use]
    pub fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    /// Says that the answer is complete: the connection is idle from now on, until the first byte of the next
    /// request. HTTP/1 only. Without this call neither `idle_timeout` nor a drain ends the connection, and the next
    /// head has no deadline, since an answer may take as long as it likes.
    pub fn request_done(&self) {
        self.vitals.set_answering(false);
    }

    /// Sends all of `pieces`, past Pingora's session, in as few system calls as possible; on TLS small pieces share
    /// records. HTTP/1 only. What was taken over by the kernel (or the TLS session) has left `pieces`, also when
    /// this fails or is dropped.
    ///
    /// # Errors
    /// When the client is gone, or took no byte within `send_timeout`. The connection is of no use then.
    pub async fn send(&self, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        self.check_open()?;
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        std::future::poll_fn(|cx| {
            let sent = self.transport.poll_send(cx, pieces);
            if sent.is_pending() {
                self.burst.store(0, Ordering::Relaxed);
            }
            sent
        })
        .await?;
        if self.burst.fetch_add(bytes, Ordering::Relaxed) + bytes > BURST_BYTES {
            self.burst.store(0, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Reading::Http2(meter) = &mut self.reading else {
            return Poll::Ready(Ok(()));
        };
        if self.vitals.take_read_expiry() {
            self.vitals.shared.metrics.refuse("header_timeout");
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no HTTP/2 preface in time",
            )));
        }
        let before = buf.filled().len();
        ready!(self.transport.duplex().poll_read(cx, buf))?;
        if !meter.read(&buf.filled()[before..], self.vitals.sent_bytes()) {
            self.vitals.shared.metrics.refuse("control_flood");
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a flood of control frames",
            )));
        }
        if meter.has_begun() {
            self.vitals.client_came();
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing may follow what the front door said last.
    fn check_open(&self) -> io::Result<()> {
        match &self.reading {
            Reading::Http1(reader) if reader.has_closed() => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.reading {
            Reading::Http1(reader) => reader.poll_read(&mut this.transport, &this.vitals, cx, buf),
            Reading::Http2(_) => this.poll_frames(cx, buf),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_open()?;
        self.transport.duplex().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_open()?;
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

impl Drop for ClientIo {
    fn drop(&mut self) {
        let Reading::Http1(reader) = &self.reading else {
            return;
        };
        if !reader.must_linger() && !self.transport.has_unread() {
            return;
        }
        if let (Some(socket), Some(slot)) = (self.transport.take_socket(), self.slot.take()) {
            linger::spawn(socket, slot);
        }
    }
}

impl fmt::Debug for ClientIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientIo").field(&self.info).finish()
    }
}
