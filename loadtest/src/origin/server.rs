//! The origin's socket and its connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use super::behaviour::Behaviours;
use super::counts::Counts;
use super::{Options, answer, control};

/// Connections at once; more wait in the accept queue. Two parents with 256 each, and as many again for direct tests.
const MOST_CONNECTIONS: usize = 4096;

/// How long a request head may take, and a connection be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) counts: Mutex<Counts>,
    pub(crate) behaviours: Mutex<Behaviours>,
}

/// A handle by which an answer can break its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    broken: Arc<Notify>,
}

impl Connection {
    /// Resets the connection: the peer sees ECONNRESET, not an end.
    pub(crate) fn reset(&self) {
        self.broken.notify_one();
    }
}

/// A bound origin.
#[derive(Debug)]
pub(crate) struct Origin {
    listener: TcpListener,
    address: SocketAddr,
    world: Arc<World>,
}

impl Origin {
    /// Binds the address of the options.
    ///
    /// # Errors
    ///
    /// Those of binding.
    pub(crate) async fn bind(options: Options) -> io::Result<Origin> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let world = World {
            options,
            counts: Mutex::default(),
            behaviours: Mutex::default(),
        };
        Ok(Origin {
            listener,
            address,
            world: Arc::new(world),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for ever; dropping the future stops accepting.
    pub(crate) async fn serve(self) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let world = Arc::clone(&self.world);
                    tokio::spawn(async move {
                        serve_connection(stream, world).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, world: Arc<World>) {
    // Without it small answers may wait; a kernel that refuses only makes the origin slower.
    let _ = stream.set_nodelay(true);
    let connection = Connection::default();
    let service = service_fn(|request: Request<Incoming>| {
        let world = Arc::clone(&world);
        let connection = connection.clone();
        async move {
            let response = if request.uri().path().starts_with(control::PREFIX) {
                control::answer(request, &world).await
            } else {
                answer::answer(&request, &world, &connection).await
            };
            Ok::<_, Infallible>(response)
        }
    });
    let mut conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let broken = tokio::select! {
        // How a client leaves is no concern of the origin's.
        _ = &mut conversation => false,
        () = connection.broken.notified() => true,
    };
    if broken {
        let stream = conversation.into_parts().io.into_inner();
        // A linger of 0 turns the close into a reset; should it fail, the client sees an early end instead.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}
