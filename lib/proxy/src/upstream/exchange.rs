//! One request and its answer over one of this core's connections to an upstream.
//!
//! Pingora's connector pools, connects and verifies; what is said on a connection is ours ([`super::wire`]), and
//! everything is bounded here. Each core has its own [`Connections`], so that a connection never crosses cores.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::Stream;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::client::{Broken, Client, Nobody, RequestBody};
use super::error::{ExchangeError, Stage};
use super::wire::{Event, Patience, Wire, WireFault};
use crate::headers::ErrorType as Fault;

/// Informational answers (1xx) read before the final one; more are an error.
const INTERIM_ANSWERS_MAX: usize = 8;

/// How long a client that waits to be told that its body is wanted waits for upstream to say so. Many an origin never
/// does, and waits for the body (RFC 9110 §10.1.1 has clients wait no longer than a while either).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// How long each step of an exchange may take, and how connections are kept.
#[derive(Clone, Debug)]
pub struct ExchangeLimits {
    /// From the first packet to an established (and, with TLS, verified) connection.
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's head.
    pub first_byte_timeout: Duration,
    /// Between two reads of the body.
    pub between_bytes_timeout: Duration,
    /// How long a connection is kept for the next request.
    pub idle_timeout: Duration,
    /// Idle connections kept per core, over all upstreams.
    pub pool_size: usize,
    /// A file of PEM certificates that upstreams are verified against; absent: the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Hop<'a> {
    /// The address to connect to.
    pub address: SocketAddr,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The name the certificate must be for.
    pub server_name: &'a str,
}

/// A request as it goes up.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// All its fields but those that frame a body; `Host` among them.
    pub fields: HeaderMap,
    /// Whether it may be sent again when nobody knows what became of it: idempotent (RFC 9110 §9.2.2), without a body.
    pub is_repeatable: bool,
}

/// One core's connections to upstreams.
pub struct Connections {
    connector: TransportConnector,
    limits: ExchangeLimits,
}

/// An upstream's answer, its body still to be read, and perhaps the rest of the request's body to be sent.
pub struct Answer {
    /// Its status; 101 only where the request asked for an upgrade.
    pub status: StatusCode,
    /// Its fields as sent.
    pub fields: HeaderMap,
    wire: Wire,
    peer: HttpPeer,
}

/// Whether `file` can serve as [`ExchangeLimits::ca_file`]: the connector takes for granted that it can.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_ca_file(file: &Path) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    let wrong = |what: &dyn std::fmt::Display| format!("ca_file {}: {what}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        Err(wrong(&"there is no certificate in it"))
    } else {
        Ok(())
    }
}

impl Connections {
    /// Connections within `limits`; to be made on the core that uses them.
    #[must_use]
    pub fn new(limits: ExchangeLimits) -> Connections {
        let mut options = ConnectorOptions::new(limits.pool_size);
        options.ca_file = limits
            .ca_file
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        Connections {
            connector: TransportConnector::new(Some(options)),
            limits,
        }
    }

    /// Sends `request`, with what `client` brings of a body, to `hop` and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// When there is no connection, the request cannot be sent, no answer comes in time, or the client breaks off.
    pub async fn exchange(
        &self,
        hop: &Hop<'_>,
        request: &Outgoing,
        client: &mut impl Client,
    ) -> Result<Answer, ExchangeError> {
        let head = request_head(request, client.body())?;
        let peer = self.peer(hop);
        let (stream, kept) = self.connect(hop, &peer, request).await?;
        let patience = Patience {
            first_byte: self.limits.first_byte_timeout,
            between_bytes: self.limits.between_bytes_timeout,
        };
        let asks_upgrade = request.fields.contains_key(header::UPGRADE);
        let mut wire = Wire::new(
            stream,
            head,
            request.method.clone(),
            client.body(),
            asks_upgrade,
            patience,
        );
        let mut held = client.awaits_continue();
        let mut hold = pin!(tokio::time::sleep(CONTINUE_WAIT));
        let mut interim_answers = 0;
        loop {
            let happened = poll_fn(|cx| {
                if held && hold.as_mut().poll(cx).is_ready() {
                    held = false;
                }
                poll_both(&mut wire, client, !held, cx)
            });
            match happened.await {
                Happened::Upstream(Ok(Event::Interim(head))) => {
                    interim_answers += 1;
                    if interim_answers > INTERIM_ANSWERS_MAX {
                        return Err(ExchangeError::protocol("too many informational answers"));
                    }
                    if head.status == StatusCode::CONTINUE {
                        held = false;
                    } else if client.interim(head.status, head.fields).await.is_err() {
                        return Err(ExchangeError::by_client());
                    }
                }
                Happened::Upstream(Ok(Event::Head(head))) => {
                    return Ok(Answer {
                        status: head.status,
                        fields: head.fields,
                        wire,
                        peer,
                    });
                }
                Happened::Upstream(Ok(Event::Piece(_) | Event::End)) => {
                    return Err(ExchangeError::protocol("an answer without a head"));
                }
                Happened::Upstream(Err(fault)) => {
                    // A kept connection that the other side has closed meanwhile says nothing at all.
                    let was_dead = kept && matches!(fault, WireFault::Broken(_)) && !wire.has_heard();
                    return Err(ExchangeError {
                        on_kept_connection: was_dead,
                        ..ExchangeError::asking(&fault, hop, patience)
                    });
                }
                Happened::Client(piece) => {
                    upload(&mut wire, client, piece).map_err(|Broken| ExchangeError::by_client())?;
                }
            }
        }
    }

    async fn connect(
        &self,
        hop: &Hop<'_>,
        peer: &HttpPeer,
        request: &Outgoing,
    ) -> Result<(Stream, bool), ExchangeError> {
        let connecting = async {
            if request.is_repeatable {
                self.connector.get_stream(peer).await
            } else {
                // A kept connection may be closed just now, and then nobody knows whether the request was acted on.
                Ok((self.connector.new_stream(peer).await?, false))
            }
        };
        match tokio::time::timeout(self.limits.connect_timeout, connecting).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(ExchangeError::connecting(&error)),
            Err(_) => Err(ExchangeError {
                fault: Fault::ConnectionTimeout,
                at: Stage::Connecting,
                detail: format!(
                    "no connection to {} within {:?}",
                    hop.address, self.limits.connect_timeout
                ),
                on_kept_connection: false,
            }),
        }
    }

    /// Gives the connection of a wholly read answer back for the next request; one that is not is closed.
    pub fn release(&self, answer: Answer) {
        if let Some(stream) = answer.wire.into_kept() {
            let idle_timeout = Some(self.limits.idle_timeout);
            self.connector
                .release_stream(stream, answer.peer.reuse_hash(), idle_timeout);
        }
    }

    fn peer(&self, hop: &Hop<'_>) -> HttpPeer {
        let mut peer = HttpPeer::new(hop.address, hop.tls, hop.server_name.to_owned());
        peer.options.connection_timeout = Some(self.limits.connect_timeout);
        peer.options.total_connection_timeout = Some(self.limits.connect_timeout);
        peer.options.idle_timeout = Some(self.limits.idle_timeout);
        peer
    }
}

/// What happens next on an exchange.
enum Happened {
    Upstream(Result<Event, WireFault>),
    Client(Result<Option<Bytes>, Broken>),
}

fn poll_both(
    wire: &mut Wire,
    client: &mut impl Client,
    reads_client: bool,
    cx: &mut std::task::Context<'_>,
) -> Poll<Happened> {
    if let Poll::Ready(event) = wire.poll_event(cx) {
        return Poll::Ready(Happened::Upstream(event));
    }
    if !reads_client || !wire.wants_piece() {
        client.rest();
        return Poll::Pending;
    }
    client.poll_piece(cx).map(Happened::Client)
}

fn upload(
    wire: &mut Wire,
    client: &mut impl Client,
    piece: Result<Option<Bytes>, Broken>,
) -> Result<(), Broken> {
    let taken = match piece? {
        Some(piece) => wire.push(piece),
        None => wire.end_upload(&client.take_trailers()),
    };
    // The front door holds clients to what they announce; who does not is not worth an answer.
    taken.map_err(|_| Broken)
}

/// Why the rest of an answer cannot be had.
#[derive(Debug)]
pub enum Interrupted {
    /// Upstream broke off.
    Upstream(ExchangeError),
    /// The client broke off in the middle of its body.
    Client,
}

impl Answer {
    /// The next piece of the body; `None` at its proper end.
    ///
    /// # Errors
    ///
    /// When the connection fails or stalls before the body's end: what was read so far is not whole.
    pub async fn body(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        match self.body_beside(&mut Nobody).await {
            Ok(piece) => Ok(piece),
            Err(Interrupted::Upstream(error)) => Err(error),
            Err(Interrupted::Client) => Err(ExchangeError::by_client()),
        }
    }

    /// As [`Answer::body`], while what is left of the request's body goes up.
    ///
    /// # Errors
    ///
    /// When either side breaks off.
    pub async fn body_beside(&mut self, client: &mut impl Client) -> Result<Option<Bytes>, Interrupted> {
        loop {
            match poll_fn(|cx| poll_both(&mut self.wire, client, true, cx)).await {
                Happened::Upstream(Ok(Event::Piece(piece))) => return Ok(Some(piece)),
                Happened::Upstream(Ok(Event::End)) => return Ok(None),
                Happened::Upstream(Ok(Event::Interim(_) | Event::Head(_))) => {
                    let error = ExchangeError::protocol("a second head within an answer");
                    return Err(Interrupted::Upstream(error));
                }
                Happened::Upstream(Err(fault)) => {
                    return Err(Interrupted::Upstream(ExchangeError::reading(&fault)));
                }
                Happened::Client(piece) => {
                    let is_end = matches!(piece, Ok(None));
                    upload(&mut self.wire, client, piece).map_err(|Broken| Interrupted::Client)?;
                    if is_end && self.status == StatusCode::SWITCHING_PROTOCOLS {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The trailer fields that came after the body, rid of those that must not be passed on.
    pub fn take_trailers(&mut self) -> HeaderMap {
        self.wire.take_trailers()
    }

    /// Whether there is nothing (more) to read.
    pub fn is_done(&mut self) -> bool {
        self.wire.has_ended()
    }
}

impl Outgoing {
    /// The host it is for, without port.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self
            .fields
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("");
        model::hosts::host_of(host)
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default()
    }
}

/// The bytes of the request's head.
///
/// Names, values and the method are of types that hold nothing a head could break on; the target is only text here.
fn request_head(request: &Outgoing, body: RequestBody) -> Result<Bytes, ExchangeError> {
    if request.target.is_empty() || request.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(ExchangeError {
            fault: Fault::HttpRequestError,
            at: Stage::Asking,
            detail: "the request's target cannot be sent upstream".to_owned(),
            on_kept_connection: false,
        });
    }
    let mut head = BytesMut::with_capacity(256 + request.fields.len() * 64);
    for part in [request.method.as_str(), " ", &request.target, " HTTP/1.1\r\n"] {
        head.put_slice(part.as_bytes());
    }
    for (name, value) in &request.fields {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    let expects_body = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    match body {
        RequestBody::Sized(length) => head.put_slice(format!("content-length: {length}\r\n").as_bytes()),
        RequestBody::Unsized => head.put_slice(b"transfer-encoding: chunked\r\n"),
        // RFC 9110 §8.6: a method that usually has a body says that it has none.
        RequestBody::None if expects_body => head.put_slice(b"content-length: 0\r\n"),
        RequestBody::None => {}
    }
    head.put_slice(b"\r\n");
    Ok(head.freeze())
}
