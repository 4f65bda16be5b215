//! An HTTP client that owns its one connection: plain or TLS 1.3, http/1.1 or h2.
//!
//! Certificates are not checked: the local CDN signs its own.

mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

pub(crate) use self::tls::{Trust, connector};

/// How long a connection, with its handshake, may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// http/1.1 without TLS.
    Plain,
    /// http/1.1 over TLS 1.3.
    TlsHttp1,
    /// h2 over TLS 1.3.
    TlsHttp2,
}

/// One connection.
pub(crate) struct Connection {
    requests: Requests,
    authority: String,
    scheme: &'static str,
}

enum Requests {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects to `address` as a client of `host`.
    ///
    /// # Errors
    ///
    /// What failed and where, as text for people.
    pub(crate) async fn open(
        address: SocketAddr,
        host: &str,
        protocol: Protocol,
    ) -> Result<Connection, String> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect(address, host, protocol)).await {
            Ok(connected) => connected.map_err(|reason| format!("no connection to {address}: {reason}")),
            Err(_) => Err(format!(
                "no connection to {address} within {} s",
                CONNECT_TIMEOUT.as_secs()
            )),
        }
    }

    async fn connect(address: SocketAddr, host: &str, protocol: Protocol) -> Result<Connection, String> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let authority = format!("{host}:{}", address.port());
        if protocol == Protocol::Plain {
            let (requests, conversation) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|e| describe(&e))?;
            tokio::spawn(conversation);
            return Ok(Connection {
                requests: Requests::Http1(requests),
                authority,
                scheme: "http",
            });
        }
        let alpn: &[u8] = if protocol == Protocol::TlsHttp2 {
            b"h2"
        } else {
            b"http/1.1"
        };
        let name =
            rustls_pki_types::ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = connector(Trust::Anyone, alpn)
            .connect(name, stream)
            .await
            .map_err(|error| error.to_string())?;
        if stream.get_ref().1.alpn_protocol() != Some(alpn) {
            return Err(format!(
                "the server does not speak {} over TLS",
                String::from_utf8_lossy(alpn)
            ));
        }
        let requests = if protocol == Protocol::TlsHttp2 {
            let (requests, conversation) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(|e| describe(&e))?;
            tokio::spawn(conversation);
            Requests::Http2(requests)
        } else {
            let (requests, conversation) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|e| describe(&e))?;
            tokio::spawn(conversation);
            Requests::Http1(requests)
        };
        Ok(Connection {
            requests,
            authority,
            scheme: "https",
        })
    }

    /// Sends a GET with `fields` and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// What became of the connection, as text for people.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        fields: &[(http::HeaderName, HeaderValue)],
    ) -> Result<Response<Incoming>, String> {
        let request = Request::get(path)
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        self.send(request, fields).await
    }

    /// Sends any request, with the authority of this connection.
    ///
    /// # Errors
    ///
    /// What became of the connection, as text for people.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
        fields: &[(http::HeaderName, HeaderValue)],
    ) -> Result<Response<Incoming>, String> {
        for (name, value) in fields {
            request.headers_mut().append(name, value.clone());
        }
        match &mut self.requests {
            Requests::Http1(requests) => {
                let host = HeaderValue::from_str(&self.authority).map_err(|error| error.to_string())?;
                request.headers_mut().insert(HOST, host);
                requests.ready().await.map_err(|error| describe(&error))?;
                requests
                    .send_request(request)
                    .await
                    .map_err(|error| describe(&error))
            }
            Requests::Http2(requests) => {
                let url = format!("{}://{}{}", self.scheme, self.authority, request.uri());
                *request.uri_mut() = url
                    .parse()
                    .map_err(|error: http::uri::InvalidUri| error.to_string())?;
                requests.ready().await.map_err(|error| describe(&error))?;
                requests
                    .send_request(request)
                    .await
                    .map_err(|error| describe(&error))
            }
        }
    }
}

/// One plain request on a connection of its own, and the whole answer.
///
/// # Errors
///
/// What failed, as text for people; also when `patience` ends first.
pub(crate) async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: Bytes,
    patience: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let exchange = async {
        let mut connection = Connection::open(address, "localhost", Protocol::Plain).await?;
        let request = Request::builder().method(method).uri(path).body(Full::new(body));
        let response = connection
            .send(request.map_err(|error| error.to_string())?, &[])
            .await?;
        Ok((response.status(), whole(response).await?))
    };
    match tokio::time::timeout(patience, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(format!(
            "{address} did not answer {path} within {} ms",
            patience.as_millis()
        )),
    }
}

/// All bytes of a body.
///
/// # Errors
///
/// When it breaks off, with the reason.
pub(crate) async fn whole(response: Response<Incoming>) -> Result<Bytes, String> {
    Ok(response
        .into_body()
        .collect()
        .await
        .map_err(|error| describe(&error))?
        .to_bytes())
}

/// An error of hyper with its cause, which its own text leaves out.
pub(crate) fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
