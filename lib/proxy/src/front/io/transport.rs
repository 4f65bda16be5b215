//! Plain TCP or TLS.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::socket::Socket;

/// Pieces handed to one system call: a head and a few chunks are the rule. Unix allows 1024.
const SLICES: usize = 32;

/// What carries the bytes of a connection.
pub(crate) enum Transport {
    /// TCP alone.
    Plain(Socket),
    /// TLS; boxed, because it is large.
    Tls(Box<TlsStream<Socket>>),
    /// The socket was taken away to linger.
    Gone(tokio::io::Empty),
}

/// Both directions of a stream.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Transport {
    /// A plain connection.
    pub(crate) fn plain(socket: Socket) -> Transport {
        Transport::Plain(socket)
    }

    /// A TLS connection after its handshake.
    pub(crate) fn tls(stream: TlsStream<Socket>) -> Transport {
        Transport::Tls(Box::new(stream))
    }

    /// The stream to read from and to write to.
    pub(crate) fn duplex(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Transport::Plain(socket) => Pin::new(socket),
            Transport::Tls(stream) => Pin::new(&mut **stream),
            Transport::Gone(nothing) => Pin::new(nothing),
        }
    }

    /// Sends all of `pieces`, taking from them what the kernel (or the TLS session) took over.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        match self {
            Transport::Plain(socket) => {
                while skip_empty(pieces) {
                    let written = with_slices(pieces, |slices| socket.poll_write_shared(cx, slices));
                    take(pieces, ready!(written)?)?;
                }
                Poll::Ready(Ok(()))
            }
            Transport::Tls(stream) => {
                let mut stream = Pin::new(&mut **stream);
                while skip_empty(pieces) {
                    // The session splits records over pieces: a small head shares its record with the body.
                    let written =
                        with_slices(pieces, |slices| stream.as_mut().poll_write_vectored(cx, slices));
                    take(pieces, ready!(written)?)?;
                }
                stream.poll_flush(cx)
            }
            Transport::Gone(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// The socket's number.
    pub(crate) fn raw_fd(&self) -> RawFd {
        match self {
            Transport::Plain(socket) => socket.as_raw_fd(),
            Transport::Tls(stream) => stream.as_raw_fd(),
            Transport::Gone(_) => -1,
        }
    }

    /// Whether the client has sent something that nobody read.
    pub(crate) fn has_unread(&mut self) -> bool {
        match self {
            Transport::Plain(socket) => socket.has_unread(),
            Transport::Tls(stream) => stream.get_ref().0.has_unread(),
            Transport::Gone(_) => false,
        }
    }

    /// Notes how far away `client` is, at the end of its connection.
    pub(crate) fn measure(&self, client: IpAddr) {
        match self {
            Transport::Plain(socket) => socket.measure(client),
            Transport::Tls(stream) => stream.get_ref().0.measure(client),
            Transport::Gone(_) => {}
        }
    }

    /// Takes the bare socket away.
    pub(crate) fn take_socket(&mut self) -> Option<TcpStream> {
        match std::mem::replace(self, Transport::Gone(tokio::io::empty())) {
            Transport::Plain(socket) => Some(socket.into_inner()),
            Transport::Tls(stream) => Some(stream.into_inner().0.into_inner()),
            Transport::Gone(_) => None,
        }
    }
}

/// Drops empty pieces from the front, and says whether any piece is left.
fn skip_empty(pieces: &mut VecDeque<Bytes>) -> bool {
    while pieces.front().is_some_and(Bytes::is_empty) {
        pieces.pop_front();
    }
    !pieces.is_empty()
}

fn with_slices<R>(pieces: &VecDeque<Bytes>, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    write(&slices[..count])
}

/// Takes `written` bytes from the front.
fn take(pieces: &mut VecDeque<Bytes>, mut written: usize) -> io::Result<()> {
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    while let Some(first) = pieces.front_mut() {
        if written < first.len() {
            first.advance(written);
            break;
        }
        written -= first.len();
        pieces.pop_front();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_leaves_and_the_rest_stays() {
        let whole: Vec<u8> = (0..60).collect();
        for written in 1..60 {
            let mut pieces: VecDeque<Bytes> = whole.chunks(7).map(Bytes::copy_from_slice).collect();
            take(&mut pieces, written).unwrap();
            assert_eq!(
                pieces.iter().flatten().copied().collect::<Vec<u8>>(),
                whole[written..]
            );
        }
        assert!(take(&mut VecDeque::from([Bytes::from_static(b"a")]), 0).is_err());
    }

    #[test]
    fn empty_pieces_are_nothing_to_send() {
        let mut pieces = VecDeque::from([Bytes::new(), Bytes::new(), Bytes::from_static(b"a"), Bytes::new()]);
        assert!(skip_empty(&mut pieces));
        assert_eq!(pieces.len(), 2);
        assert!(!skip_empty(&mut VecDeque::from([Bytes::new()])));
    }
}
