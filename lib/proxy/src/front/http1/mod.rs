//! One client's HTTP/1 connection: requests come out one at a time, answers go in.
//!
//! Ours rather than Pingora's: its session reads a request twice over, keeps its fields in two maps, makes a second
//! write of a small answer and a new `Date` of a stored one. A small hit costs a sixth less without it.

#[cfg(test)]
mod properties;
mod reader;
mod refusal;
mod request;
mod scan;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

pub use reader::BodyEnd;
pub(crate) use reader::LAST_WAIT;
pub use request::RequestHead;
pub use scan::{Framing, HeadFault, HeadScan, MOST_FIELDS, Progress};

use super::connection::{ConnectionInfo, Slot, Vitals};
use super::io::{Established, Transport, linger};
use reader::HeadReader;

/// Bytes one client may take without a pause before the other clients of its core get their turn.
const BURST_BYTES: usize = 1024 * 1024;

/// A connection after its handshake. It holds all limits of the front door: the deadline and the size of a request's
/// head, the idle timeout, the send timeout. What breaks one of them never reaches the application.
pub struct Http1 {
    transport: Transport,
    reader: HeadReader,
    info: Arc<ConnectionInfo>,
    vitals: Arc<Vitals>,
    slot: Option<Slot>,
    /// Bytes sent since the client last made us wait.
    burst: usize,
}

impl Http1 {
    pub(crate) fn new(established: Established) -> Http1 {
        let Established {
            transport,
            info,
            vitals,
            slot,
        } = established;
        Http1 {
            reader: HeadReader::new(vitals.shared.limits.max_header_bytes),
            transport,
            info,
            vitals,
            slot: Some(slot),
            burst: 0,
        }
    }

    /// Who is connected, and how.
    #[must_use]
    pub fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    /// The next request, once the answer to the one before is complete. `None` when none will come: the client is
    /// gone, waited too long, or sent what is no request (and was told so). A request whose body was not read to its
    /// end is the last one.
    pub async fn next(&mut self) -> Option<RequestHead> {
        let Http1 {
            transport,
            reader,
            vitals,
            ..
        } = self;
        std::future::poll_fn(|cx| reader.poll_next(transport, vitals, cx)).await
    }

    /// The next bytes of the request's body, each as it comes; `None` at its end, or where there is none. A client that
    /// waits to be told to send it is told so first.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyEnd>> {
        self.reader.poll_body(&mut self.transport, &self.vitals, cx)
    }

    /// The trailer fields of the body, once it was read to its end.
    pub fn take_trailers(&mut self) -> HeaderMap {
        self.reader.take_trailers()
    }

    /// Nobody asks for the body for a while: its client is not to blame for what does not come.
    pub fn rest_body(&mut self) {
        self.reader.rest(&self.vitals);
    }

    /// Whether the request was read to its end, so that another may follow.
    #[must_use]
    pub fn has_read_request(&self) -> bool {
        self.reader.has_read_request()
    }

    /// After a 101: what follows is no HTTP any more, and comes out of [`Http1::poll_body`] as it is.
    pub fn begin_tunnel(&mut self) {
        self.reader.begin_tunnel();
    }

    /// Sends all of `pieces` in as few system calls as possible; on TLS small pieces share records. What was taken
    /// over by the kernel (or the TLS session) has left `pieces`, also when this fails or is dropped.
    ///
    /// # Errors
    /// When the client is gone, or took no byte within `send_timeout`. The connection is of no use then.
    pub async fn send(&mut self, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        if !self.reader.has_read_request() {
            self.rest_body();
        }
        std::future::poll_fn(|cx| {
            let sent = self.transport.poll_send(cx, pieces);
            if sent.is_pending() {
                self.burst = 0;
            }
            sent
        })
        .await?;
        self.burst += bytes;
        if self.burst > BURST_BYTES {
            self.burst = 0;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Says that nothing follows. A connection that is dropped without it looks to its client as broken off.
    pub async fn say_goodbye(&mut self) {
        // A client that is gone already misses nothing.
        let _ = std::future::poll_fn(|cx| self.transport.duplex().poll_shutdown(cx)).await;
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.transport.measure(self.info.peer.ip());
        if !self.reader.must_linger() && !self.transport.has_unread() {
            return;
        }
        if let (Some(socket), Some(slot)) = (self.transport.take_socket(), self.slot.take()) {
            linger::spawn(socket, slot);
        }
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http1").field(&self.info).finish()
    }
}
