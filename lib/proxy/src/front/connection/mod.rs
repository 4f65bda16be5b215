//! One accepted connection: handshake, stream, application, end.

mod attend;
mod info;
mod roll;
mod slots;
mod vitals;

use std::net::SocketAddr;
use std::sync::Arc;

use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::net::TcpStream;

pub use info::{ConnectionInfo, Protocol, TlsInfo};

pub(crate) use roll::Roll;
pub(crate) use slots::{Slot, Slots};
pub(crate) use vitals::{Clock, Vitals};

use super::io::{Established, Http2Stream, Socket, Transport};
use super::tls::handshake;
use super::{Application, Http1, Limits, Shared};
use attend::{Attended, Ending};

/// What the connections of one core share.
pub(crate) struct Core<A> {
    /// What all cores share.
    pub(crate) shared: Arc<Shared>,
    /// The application of this core.
    pub(crate) app: Arc<A>,
    /// The connections of this core.
    pub(crate) roll: Arc<Roll>,
    /// Turns true once, when the process drains. Never read here: Pingora takes clones that must see the change.
    pub(crate) shutdown: ShutdownWatch,
}

/// A connection as it was accepted.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) secure: bool,
    pub(crate) slot: Slot,
}

/// Serves one connection until its end.
pub(crate) async fn serve<A>(core: Arc<Core<A>>, accepted: Accepted)
where
    A: Application,
{
    let Limits { header_timeout, .. } = core.shared.limits;
    let vitals = Vitals::new(Arc::clone(&core.shared));
    let _entry = core.roll.enter(&vitals);
    let socket = Socket::new(accepted.stream, Arc::clone(&vitals));
    let (transport, tls) = if accepted.secure {
        match handshake::accept(&core.shared, socket, header_timeout).await {
            Some((stream, tls)) => (Transport::tls(stream), Some(tls)),
            None => return,
        }
    } else {
        (Transport::plain(socket), None)
    };
    let info = Arc::new(ConnectionInfo {
        peer: accepted.peer,
        local: accepted.local,
        tls,
    });
    let speaks_http2 = info.tls.as_ref().is_some_and(|tls| tls.alpn == Protocol::H2);
    let established = Established {
        transport,
        info,
        vitals: Arc::clone(&vitals),
        slot: accepted.slot,
    };
    let ending = if speaks_http2 {
        let stream: Stream = Box::new(Http2Stream::new(established));
        let work = core.app.http2().process_new(stream, &core.shutdown);
        Attended::new(work, vitals).await
    } else {
        let work = core.app.serve_http1(Http1::new(established), &core.shutdown);
        Attended::new(Box::pin(work), vitals).await
    };
    if ending == Ending::Abandoned {
        core.shared.metrics.refuse("stalled");
    }
}
