//! How an exchange with an upstream failed: what RFC 9209 calls it, and whether another try may help.

use pingora_error::{Error, ErrorType};

use super::exchange::Hop;
use super::wire::{Patience, WireFault};
use crate::headers::ErrorType as Fault;

/// Characters of an error's description that are logged.
const DETAIL_CHARACTERS_MAX: usize = 200;

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

impl ExchangeError {
    /// Whether nothing of the request can have reached the upstream, so that another address of it may be tried.
    #[must_use]
    pub fn is_before_request(&self) -> bool {
        self.at == Stage::Connecting
    }

    pub(super) fn connecting(error: &Error) -> ExchangeError {
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

    /// The client broke off: nothing that says anything of the upstream.
    pub(super) fn by_client() -> ExchangeError {
        ExchangeError {
            fault: Fault::HttpRequestError,
            at: Stage::Asking,
            detail: "the client broke off".to_owned(),
            on_kept_connection: false,
        }
    }

    pub(super) fn protocol(detail: &str) -> ExchangeError {
        ExchangeError {
            fault: Fault::HttpProtocolError,
            at: Stage::Asking,
            detail: detail.to_owned(),
            on_kept_connection: false,
        }
    }

    pub(super) fn asking(fault: &WireFault, hop: &Hop<'_>, patience: Patience) -> ExchangeError {
        let (fault, detail) = match fault {
            WireFault::Head(what) => (Fault::HttpProtocolError, (*what).to_owned()),
            WireFault::Broken(error) => (Fault::ConnectionTerminated, error.to_string()),
            WireFault::Body(fault) => (Fault::HttpProtocolError, fault.to_string()),
            WireFault::TakesNothing => (
                Fault::ConnectionWriteTimeout,
                format!("{} took nothing for {:?}", hop.address, patience.between_bytes),
            ),
            WireFault::SaysNothing | WireFault::Stalls => (
                Fault::HttpResponseTimeout,
                format!("no answer from {} within {:?}", hop.address, patience.first_byte),
            ),
        };
        ExchangeError {
            fault,
            at: Stage::Asking,
            detail,
            on_kept_connection: false,
        }
    }

    pub(super) fn reading(fault: &WireFault) -> ExchangeError {
        let (fault, detail) = match fault {
            WireFault::Stalls | WireFault::SaysNothing | WireFault::TakesNothing => (
                Fault::HttpResponseTimeout,
                "no more of the body came in time".to_owned(),
            ),
            WireFault::Broken(error) => (Fault::HttpResponseIncomplete, error.to_string()),
            WireFault::Body(fault) => (Fault::HttpResponseIncomplete, fault.to_string()),
            WireFault::Head(what) => (Fault::HttpResponseIncomplete, (*what).to_owned()),
        };
        ExchangeError {
            fault,
            at: Stage::Asking,
            detail,
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
