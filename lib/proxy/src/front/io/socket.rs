//! A client's TCP socket that notes every byte the client takes, and for how long it takes none.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pingora_core::protocols::l4::ext::get_tcp_info;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::front::connection::Vitals;

/// The socket. TLS sits on top of it, so that progress is measured in what the client really took.
pub(crate) struct Socket {
    stream: TcpStream,
    vitals: Arc<Vitals>,
}

impl Socket {
    /// A socket whose progress is noted in `vitals`.
    pub(crate) fn new(stream: TcpStream, vitals: Arc<Vitals>) -> Socket {
        Socket { stream, vitals }
    }

    /// The bare socket.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// Notes how far away `client` is, at the end of its connection.
    pub(crate) fn measure(&self, client: IpAddr) {
        let Ok(info) = get_tcp_info(self.stream.as_raw_fd()) else {
            return;
        };
        // 0 and the greatest number stand for nothing measured.
        if (1..u32::MAX).contains(&info.tcpi_min_rtt) {
            let now = daemon::clock::now_millis();
            self.vitals
                .shared
                .networks
                .measure(client, info.tcpi_min_rtt, now);
        }
    }

    /// Writes what fits, through a shared reference.
    pub(crate) fn poll_write_shared(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            self.check_progress()?;
            match self.stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.poll_write_ready(cx)?.is_pending() {
                        self.vitals.client_takes_nothing(|| self.acknowledged());
                        return Poll::Pending;
                    }
                }
                written => return Poll::Ready(self.note(written)),
            }
        }
    }

    /// Whether the client has sent something that nobody read. Reads a byte of it, so only for the end.
    pub(crate) fn has_unread(&self) -> bool {
        self.stream.try_read(&mut [0]).is_ok_and(|count| count > 0)
    }

    /// Fails when the client has taken nothing for `send_timeout`. A write that could not be made is no proof: the
    /// kernel lets us write again only when a third of its buffer is free, which is a minute of a slow line. So what
    /// the client acknowledged decides.
    fn check_progress(&self) -> io::Result<()> {
        if !self.vitals.take_write_expiry() || self.vitals.has_acknowledged_more(self.acknowledged()) {
            return Ok(());
        }
        self.vitals.shared.metrics.refuse("send_timeout");
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client took no byte within send_timeout",
        ))
    }

    /// Bytes the client has acknowledged; 0 where the kernel does not say.
    fn acknowledged(&self) -> u64 {
        get_tcp_info(self.stream.as_raw_fd()).map_or(0, |info| info.tcpi_bytes_acked)
    }

    fn note(&self, written: io::Result<usize>) -> io::Result<usize> {
        let bytes = written?;
        self.vitals.client_took(bytes);
        Ok(bytes)
    }

    fn note_poll(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                self.vitals.client_takes_nothing(|| self.acknowledged());
                Poll::Pending
            }
            Poll::Ready(written) => Poll::Ready(self.note(written)),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check_progress()?;
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_poll(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_progress()?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note_poll(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
