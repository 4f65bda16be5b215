//! A strict client: whatever a server does that RFC 9112 does not allow is a failure, not something to cope with.
//!
//! [`Client`] is where and how to ask; [`Client::get`] and [`Client::send`] block and suit most stories;
//! [`Client::connect`] gives a [`Connection`] to a test that minds when bytes move. [`run`] and [`crowd`] run such
//! tests.

mod connection;
mod crowd;
mod error;
mod http1;
mod http2;
mod request;
mod response;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::certificates::Authority;
use connection::Speaks;
use http1::Http1;
use http2::Http2;
use stream::Stream;

pub use connection::{Connection, Exchange};
pub use crowd::{crowd, run};
pub use error::ClientError;
pub use request::Request;
pub use response::{Expectation, Head, Response, TlsFacts};

/// How long a client waits for the next byte unless told otherwise: far above anything a healthy server needs on a
/// busy machine, far below the patience of who waits for the tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom to ask, as whom, and over what.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    host: String,
    server_name: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    http2: bool,
    window: Option<u32>,
    receive_buffer: Option<u32>,
    patience: Duration,
}

impl Client {
    /// Plain HTTP/1.1 to `address`; `Host` is the address until [`Client::host`] says otherwise.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Client {
        Client {
            address,
            host: address.to_string(),
            server_name: None,
            tls: None,
            http2: false,
            window: None,
            receive_buffer: None,
            patience: PATIENCE,
        }
    }

    /// HTTP/1.1 over TLS 1.3 to `address`, trusting `authority` alone. The server is asked for by [`Client::host`].
    #[must_use]
    pub fn tls(address: SocketAddr, authority: &Authority) -> Client {
        let tls = stream::tls_settings(authority.roots(), &[&rustls::version::TLS13], &["http/1.1"]);
        Client {
            tls: Some(tls),
            ..Client::plain(address)
        }
    }

    /// As [`Client::tls`], but HTTP/2.
    #[must_use]
    pub fn http2(address: SocketAddr, authority: &Authority) -> Client {
        let tls = stream::tls_settings(authority.roots(), &[&rustls::version::TLS13], &["h2"]);
        Client {
            tls: Some(tls),
            http2: true,
            ..Client::plain(address)
        }
    }

    /// A client that agrees on HTTP/2 and then sends bytes as they are: for frames that no proper client sends.
    #[must_use]
    pub fn raw_http2(address: SocketAddr, authority: &Authority) -> Client {
        Client {
            http2: false,
            ..Client::http2(address, authority)
        }
    }

    /// As [`Client::tls`], but it offers TLS 1.2 and nothing newer.
    #[must_use]
    pub fn tls12(address: SocketAddr, authority: &Authority) -> Client {
        let tls = stream::tls_settings(authority.roots(), &[&rustls::version::TLS12], &["http/1.1"]);
        Client {
            tls: Some(tls),
            ..Client::plain(address)
        }
    }

    /// The host it asks for: `Host`, `:authority`, and the TLS server name.
    #[must_use]
    pub fn host(mut self, host: &str) -> Client {
        host.clone_into(&mut self.host);
        self
    }

    /// A TLS server name other than the host.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Client {
        self.server_name = Some(name.to_owned());
        self
    }

    /// How long it waits for the next byte.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// The size of the kernel's receive buffer, to notice soon when a client stops reading.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Client {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The initial window of each h2 stream.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Client {
        self.window = Some(bytes);
        self
    }

    /// Connects, and shakes hands where there is TLS.
    ///
    /// # Errors
    ///
    /// When nobody listens, or the handshake fails.
    pub async fn connect(&self) -> Result<Connection, ClientError> {
        let connecting = self.connect_now();
        timeout(self.patience, connecting)
            .await
            .map_err(|_| ClientError::Timeout(self.patience))?
    }

    async fn connect_now(&self) -> Result<Connection, ClientError> {
        let tcp = self.socket().map_err(ClientError::Connect)?;
        let tcp = tcp.connect(self.address).await.map_err(ClientError::Connect)?;
        tcp.set_nodelay(true)?;
        let (io, tls) = match &self.tls {
            None => (Stream::Plain(tcp), None),
            Some(settings) => {
                let name = self.server_name.as_deref().unwrap_or(&self.host);
                // A port is part of the authority, never of a server name.
                let name = name.rsplit_once(':').map_or(name, |(name, _port)| name);
                let (io, facts) = stream::shake_hands(tcp, name, Arc::clone(settings)).await?;
                (io, Some(facts))
            }
        };
        let speaks = if self.http2 {
            Speaks::Http2(Http2::new(io, self.window, self.patience).await?)
        } else {
            Speaks::Http1(Http1::new(io, self.patience))
        };
        Ok(Connection {
            speaks,
            host: self.host.clone(),
            patience: self.patience,
            tls,
        })
    }

    fn socket(&self) -> std::io::Result<TcpSocket> {
        let socket = if self.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(socket)
    }

    /// One request on a connection of its own; fails when anything follows the response.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from being whole, proper and alone.
    pub async fn fetch(&self, request: &Request) -> Result<Response, ClientError> {
        let mut connection = self.connect().await?;
        let response = connection.send(request).await?;
        connection.end().await?;
        Ok(response)
    }

    /// As [`Client::fetch`], blocking.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from being whole, proper and alone.
    pub fn try_send(&self, request: &Request) -> Result<Response, ClientError> {
        run(self.fetch(request))
    }

    /// As [`Client::try_send`], where a failure fails the test.
    ///
    /// # Panics
    ///
    /// When there is no proper response.
    #[must_use]
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        match self.try_send(request) {
            Ok(response) => response,
            Err(error) => panic!(
                "{} {} at {}: {error}",
                request.method, request.target, self.address
            ),
        }
    }

    /// GET, blocking.
    ///
    /// # Panics
    ///
    /// When there is no proper response.
    #[must_use]
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// Sends bytes as they are on a connection of its own and reads one response; nothing may follow it.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from being whole, proper and alone.
    pub fn try_raw(&self, bytes: &[u8]) -> Result<Response, ClientError> {
        run(async {
            let mut connection = self.connect().await?;
            connection.write(bytes).await?;
            let response = connection.receive("GET").await?.rest().await?;
            connection.end().await?;
            Ok(response)
        })
    }
}
