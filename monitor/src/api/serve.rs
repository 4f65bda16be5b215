//! The door: binds addresses, accepts connections within bounds, and closes when told.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use daemon::certificates::Certificates;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::config::ListenConfig;

/// The head of a request, and a TLS handshake, take no longer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// After `accept` failed, mostly for want of file descriptors, the next try comes after this pause.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is in flight at the end has so long; streams never end by themselves.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The bound sockets, before anyone is answered.
pub(crate) struct Door {
    listeners: Vec<(TcpListener, Option<Certificates>)>,
    places: Arc<Semaphore>,
}

/// The door, open until this is dropped.
pub(crate) struct Open {
    closing: watch::Sender<bool>,
}

impl Door {
    /// Binds every address.
    ///
    /// # Errors
    ///
    /// Which address cannot be bound, and why.
    pub(crate) fn bind(config: &ListenConfig, certificates: Option<&Certificates>) -> Result<Door, String> {
        let plain = config.http.iter().map(|address| (*address, None));
        let secure = config
            .https
            .iter()
            .map(|address| (*address, certificates.cloned()));
        let listeners = plain.chain(secure).map(|(address, certificates)| {
            let listener = bind(address).map_err(|error| format!("{address} cannot be bound: {error}"))?;
            Ok((listener, certificates))
        });
        Ok(Door {
            listeners: listeners.collect::<Result<_, String>>()?,
            places: Arc::new(Semaphore::new(config.max_connections)),
        })
    }

    /// Answers by `router` from now on, on the runtime this is called in.
    ///
    /// # Errors
    ///
    /// When the runtime does not take a socket.
    pub(crate) fn open(self, router: &Router) -> io::Result<Open> {
        let (closing, closed) = watch::channel(false);
        for (listener, certificates) in self.listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let way = Way {
                router: router.clone(),
                certificates,
                places: Arc::clone(&self.places),
                closed: closed.clone(),
            };
            tokio::spawn(way.accept(listener));
        }
        Ok(Open { closing })
    }
}

impl Open {
    /// Takes no one in any more, and lets those who are answered finish, for a moment.
    pub(crate) async fn close(self) {
        self.closing.send_replace(true);
        tokio::time::sleep(LAST_WORDS).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// One listener's way in.
#[derive(Clone)]
struct Way {
    router: Router,
    certificates: Option<Certificates>,
    places: Arc<Semaphore>,
    closed: watch::Receiver<bool>,
}

impl Way {
    async fn accept(mut self, listener: tokio::net::TcpListener) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.closed.changed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let way = self.clone();
                    tokio::spawn(async move {
                        way.attend(stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn attend(self, stream: TcpStream) {
        // Events are small and have to arrive at once.
        let _ = stream.set_nodelay(true);
        let Some(certificates) = &self.certificates else {
            return self.converse(stream).await;
        };
        let acceptor = TlsAcceptor::from(certificates.current());
        match tokio::time::timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake did not end in time"),
        }
    }

    async fn converse(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = TowerToHyperService::new(self.router);
        let conversation = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(conversation);
        let ended = tokio::select! {
            ended = conversation.as_mut() => ended,
            _ = self.closed.changed() => {
                conversation.as_mut().graceful_shutdown();
                match tokio::time::timeout(LAST_WORDS, conversation).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}
