//! How HTTP comes and goes: threads with sockets of their own, each connection within bounds.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Cursor};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use daemon::certificates::Certificates;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Way;
use super::answer::{Asked, answer};
use super::client::{PREAMBLE_BYTES_MAX, Preamble, Trusted, preamble};
use super::metrics::HttpMetrics;
use crate::admission::{Admission, Place, Room};
use crate::world::World;

/// A preamble, a handshake and the head of a request take no longer each, a client takes what it is sent within so long,
/// and a connection is not idle for longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// After `accept` failed, mostly for want of file descriptors, the next try comes after this pause.
const REST: Duration = Duration::from_millis(100);

/// What is in flight at the end has so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One network, a /24 or a /56, has this part of all connections at most: it takes many networks to have all.
const SHARE_OF_ONE_NETWORK: usize = 16;

/// But so many it may always have, as many players may sit behind one address.
const LEAST_OF_ONE_NETWORK: usize = 256;

/// A listener, and the certificate that is shown there.
pub(crate) struct Certified {
    pub(crate) listener: TcpListener,
    pub(crate) certificates: Option<Certificates>,
}

/// What all connections share.
pub(crate) struct Hall {
    pub(crate) world: Arc<ArcSwap<World>>,
    pub(crate) trusted: Trusted,
    pub(crate) metrics: HttpMetrics,
    pub(crate) room: Room,
    pub(crate) admission: Arc<Admission>,
}

/// The room for `connections` of HTTP at once.
pub(crate) fn room(connections: usize) -> Room {
    let share = (connections / SHARE_OF_ONE_NETWORK).max(LEAST_OF_ONE_NETWORK);
    Room {
        connections,
        of_one_network: share.min(connections),
    }
}

/// What one thread does.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) hall: Arc<Hall>,
    pub(crate) ending: watch::Receiver<bool>,
}

impl Lane {
    /// Answers on `listener` until it is told to end, and what is in flight has been answered.
    ///
    /// # Errors
    ///
    /// When the runtime does not take the listener.
    pub(crate) async fn serve(mut self, listener: Certified) -> io::Result<()> {
        let certificates = listener.certificates;
        let listener = tokio::net::TcpListener::from_std(listener.listener)?;
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = ended(&mut self.ending) => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of HTTP; trying again");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let Some(place) = self.admit(peer.ip()) else {
                self.hall.metrics.refused.inc();
                continue;
            };
            let (lane, certificates) = (self.clone(), certificates.clone());
            connections.spawn(async move {
                lane.hall.metrics.connections.inc();
                lane.attend(stream, peer, certificates).await;
                lane.hall.metrics.connections.dec();
                drop(place);
            });
        }
        drop(listener);
        let _ = timeout(LAST_WORDS, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
        Ok(())
    }

    /// Who speaks for many may have as many connections as there is room for.
    fn admit(&self, peer: IpAddr) -> Option<Place> {
        let hall = &self.hall;
        let of_one_network = match hall.trusted.includes(peer) {
            true => hall.room.connections,
            false => hall.room.of_one_network,
        };
        let room = Room {
            of_one_network,
            ..hall.room
        };
        hall.admission.admit(peer, room).ok()
    }

    async fn attend(&self, stream: TcpStream, peer: SocketAddr, certificates: Option<Certificates>) {
        // Answers are small and are waited for.
        let _ = stream.set_nodelay(true);
        // The kernel ends a connection whose client does not take what it is sent, however slowly it asks for more.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(PATIENCE));
        if !self.hall.trusted.includes(peer.ip()) {
            return self.secure(stream, peer.ip(), certificates).await;
        }
        match timeout(PATIENCE, introduced(stream)).await {
            Ok(Ok((stream, client))) => {
                self.secure(stream, client.unwrap_or(peer.ip()), certificates)
                    .await
            }
            Ok(Err(error)) => self.broken("a PROXY preamble", &error),
            Err(error) => self.broken("a PROXY preamble", &error),
        }
    }

    async fn secure(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        peer: IpAddr,
        certificates: Option<Certificates>,
    ) {
        let Some(certificates) = certificates else {
            return self.converse(stream, peer, false).await;
        };
        let acceptor = TlsAcceptor::from(certificates.current());
        match timeout(PATIENCE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream, peer, true).await,
            Ok(Err(error)) => self.broken("a TLS handshake", &error),
            Err(error) => self.broken("a TLS handshake", &error),
        }
    }

    fn broken(&self, what: &str, error: &dyn fmt::Display) {
        self.hall.metrics.broken.inc();
        tracing::debug!(%error, "{what} failed");
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: IpAddr, secure: bool) {
        let service = service_fn(|request: Request<Incoming>| {
            let response = self.respond(&request, peer, secure);
            async move { Ok::<_, Infallible>(response) }
        });
        let conversation = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(conversation);
        let mut ending = self.ending.clone();
        let outcome = tokio::select! {
            outcome = conversation.as_mut() => outcome,
            () = ended(&mut ending) => {
                conversation.as_mut().graceful_shutdown();
                conversation.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection of HTTP broke");
        }
    }

    fn respond(&self, request: &Request<Incoming>, peer: IpAddr, secure: bool) -> Response<Full<Bytes>> {
        let target = request.uri();
        let host = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let way = Way {
            secure,
            client: self.hall.trusted.client(peer, request.headers()),
        };
        let asked = Asked {
            method: request.method(),
            authority: target
                .authority()
                .map(|authority| authority.as_str())
                .or_else(host),
            path: target.path(),
            query: target.query(),
            way,
        };
        let world = self.hall.world.load();
        let (response, outcome) = answer(&world, &asked);
        if let Some(outcome) = outcome {
            world.told(&outcome, way.client);
        }
        self.hall.metrics.answered(secure, response.status());
        response.map(Full::new)
    }
}

/// Returns when the end has come, or nobody is left to say so.
async fn ended(ending: &mut watch::Receiver<bool>) {
    // What it gives holds a lock, which is let go of here.
    let _ = ending.wait_for(|ending| *ending).await;
}

/// Takes the preamble off a connection of a trusted peer, where there is one: the rest, and whom the peer speaks for.
async fn introduced(
    mut stream: TcpStream,
) -> io::Result<(impl AsyncRead + AsyncWrite + Unpin + Send, Option<IpAddr>)> {
    let mut read = Vec::new();
    let (bytes, client) = loop {
        if read.len() >= PREAMBLE_BYTES_MAX {
            return Err(io::Error::other("the preamble is too long"));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match preamble(&read) {
            Preamble::None => break (0, None),
            Preamble::Whole { bytes, client } => break (bytes, client),
            Preamble::Partial => {}
            Preamble::Broken => return Err(io::Error::other("it cannot be read")),
        }
    };
    let rest = read.split_off(bytes);
    let (incoming, outgoing) = stream.into_split();
    Ok((
        tokio::io::join(Cursor::new(rest).chain(incoming), outgoing),
        client,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_a_share_and_never_too_few_nor_more_than_there_are() {
        let of_one_network = |connections| room(connections).of_one_network;
        assert_eq!([10, 1000, 50_000].map(of_one_network), [10, 256, 3125]);
    }
}
