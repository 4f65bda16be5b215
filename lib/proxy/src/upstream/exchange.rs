//! One request and its answer over one of this core's connections to an upstream.
//!
//! Pingora's `Connector` pools, connects and verifies; everything it does not bound is bounded here. Each core has its
//! own [`Connections`], so that a connection never crosses cores.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType};
use pingora_http::RequestHeader;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::headers::ErrorType as Fault;

/// Informational answers (1xx) read before the final one; more are an error.
const INTERIM_ANSWERS_MAX: usize = 8;

/// Characters of an error's description that are logged.
const DETAIL_CHARACTERS_MAX: usize = 200;

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
    /// All its fields, `Host` among them.
    pub fields: HeaderMap,
}

/// An exchange that failed, and how.
#[derive(Debug)]
pub struct ExchangeError {
    /// What RFC 9209 calls it.
    pub fault: Fault,
    /// How far it came.
    pub at: Stage,
    /// What happened, for the log; never sent to clients.
    pub detail: String,
    /// Whether it came over a kept connection that the other side may have closed meanwhile: worth one more try on
    /// a new connection, and no fault of the upstream.
    pub on_kept_connection: bool,
}

/// How far an exchange came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There was no connection yet.
    Connecting,
    /// The request was on its way, or its answer.
    Asking,
}

/// One core's connections to upstreams.
pub struct Connections {
    connector: Connector,
    limits: ExchangeLimits,
}

/// An upstream's answer, its body still to be read.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields as sent.
    pub fields: HeaderMap,
    session: HttpSession,
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
            connector: Connector::new(Some(options)),
            limits,
        }
    }

    /// Sends `request` to `hop` and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// When there is no connection, the request cannot be written, or no answer comes in time.
    pub async fn exchange(&self, hop: &Hop<'_>, request: &Outgoing) -> Result<Answer, ExchangeError> {
        let peer = self.peer(hop);
        let connecting = self.connector.get_http_session(&peer);
        let (mut session, kept) = match tokio::time::timeout(self.limits.connect_timeout, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(ExchangeError::connecting(&error)),
            Err(_) => {
                return Err(ExchangeError {
                    fault: Fault::ConnectionTimeout,
                    at: Stage::Connecting,
                    detail: format!(
                        "no connection to {} within {:?}",
                        hop.address, self.limits.connect_timeout
                    ),
                    on_kept_connection: false,
                });
            }
        };
        session.set_read_timeout(Some(self.limits.first_byte_timeout));
        session.set_write_timeout(Some(self.limits.between_bytes_timeout));
        let head = request_header(request).map_err(|detail| ExchangeError {
            fault: Fault::HttpRequestError,
            at: Stage::Asking,
            detail,
            on_kept_connection: false,
        })?;
        let answering = async {
            session.write_request_header(head).await?;
            session.finish_request_body().await?;
            for _ in 0..INTERIM_ANSWERS_MAX {
                session.read_response_header().await?;
                let interim = session.response_header().is_some_and(|head| {
                    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
                });
                if !interim {
                    return Ok(());
                }
            }
            Error::e_explain(ErrorType::InvalidHTTPHeader, "too many informational answers")
        };
        match tokio::time::timeout(self.limits.first_byte_timeout, answering).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(ExchangeError::answering(&error, kept)),
            Err(_) => {
                return Err(ExchangeError {
                    fault: Fault::HttpResponseTimeout,
                    at: Stage::Asking,
                    detail: format!(
                        "no answer from {} within {:?}",
                        hop.address, self.limits.first_byte_timeout
                    ),
                    on_kept_connection: false,
                });
            }
        }
        let Some(head) = session.response_header() else {
            return Err(ExchangeError {
                fault: Fault::HttpProtocolError,
                at: Stage::Asking,
                detail: "an answer without a head".to_owned(),
                on_kept_connection: false,
            });
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ExchangeError {
                fault: Fault::HttpProtocolError,
                at: Stage::Asking,
                detail: "upstream switched protocols unasked".to_owned(),
                on_kept_connection: false,
            });
        }
        let (status, fields) = (head.status, head.headers.clone());
        session.set_read_timeout(Some(self.limits.between_bytes_timeout));
        Ok(Answer {
            status,
            fields,
            session,
            peer,
        })
    }

    /// Gives the connection of a wholly read answer back for the next request; one that is not is closed.
    pub async fn release(&self, mut answer: Answer) {
        if answer.session.response_done() {
            let idle_timeout = Some(self.limits.idle_timeout);
            self.connector
                .release_http_session(answer.session, &answer.peer, idle_timeout)
                .await;
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

impl Answer {
    /// The next piece of the body; `None` at its proper end.
    ///
    /// # Errors
    ///
    /// When the connection fails or stalls before the body's end: what was read so far is not whole.
    pub async fn body(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        loop {
            match self.session.read_response_body().await {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(piece) => return Ok(piece),
                Err(error) => return Err(ExchangeError::reading(&error)),
            }
        }
    }

    /// Whether there is nothing (more) to read.
    pub fn is_done(&mut self) -> bool {
        self.session.response_done()
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

impl ExchangeError {
    /// Whether nothing of the request can have reached the upstream, so that another address of it may be tried.
    #[must_use]
    pub fn is_before_request(&self) -> bool {
        self.at == Stage::Connecting
    }

    fn connecting(error: &Error) -> ExchangeError {
        let fault = match error.etype {
            ErrorType::ConnectRefused => Fault::ConnectionRefused,
            ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Fault::ConnectionTimeout,
            ErrorType::ConnectNoRoute => Fault::DestinationIpUnroutable,
            ErrorType::InvalidCert => Fault::TlsCertificateError,
            ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError => Fault::TlsProtocolError,
            ErrorType::ConnectionClosed => Fault::ConnectionTerminated,
            _ => Fault::DestinationUnavailable,
        };
        ExchangeError {
            fault,
            at: Stage::Connecting,
            detail: describe(error),
            on_kept_connection: false,
        }
    }

    fn answering(error: &Error, kept: bool) -> ExchangeError {
        let fault = match error.etype {
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => Fault::HttpResponseTimeout,
            ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2 => {
                Fault::HttpProtocolError
            }
            _ => Fault::ConnectionTerminated,
        };
        let on_kept_connection = kept && fault == Fault::ConnectionTerminated;
        ExchangeError {
            fault,
            at: Stage::Asking,
            detail: describe(error),
            on_kept_connection,
        }
    }

    fn reading(error: &Error) -> ExchangeError {
        let fault = match error.etype {
            ErrorType::ReadTimedout => Fault::HttpResponseTimeout,
            _ => Fault::HttpResponseIncomplete,
        };
        ExchangeError {
            fault,
            at: Stage::Asking,
            detail: describe(error),
            on_kept_connection: false,
        }
    }
}

/// What happened, without what the other side sent: Pingora's text for a head it cannot parse quotes all of it, and
/// that may hold cookies.
fn describe(error: &Error) -> String {
    let context = error.context.as_ref().map_or("", |context| context.as_str());
    let context = if context.starts_with("buf:") { "" } else { context };
    let context: String = context.chars().take(DETAIL_CHARACTERS_MAX).collect();
    format!("{} {context}", error.etype.as_str())
        .trim_end()
        .to_owned()
}

fn request_header(request: &Outgoing) -> Result<Box<RequestHeader>, String> {
    let mut head = RequestHeader::build(
        request.method.clone(),
        request.target.as_bytes(),
        Some(request.fields.len()),
    )
    .map_err(|error| format!("the request cannot be sent upstream: {error}"))?;
    for (name, value) in &request.fields {
        head.append_header(name, value)
            .map_err(|error| format!("field {name} cannot be sent upstream: {error}"))?;
    }
    Ok(Box::new(head))
}
