//! One probe: connect, TLS, one request on a connection of its own, and what came of it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use model::health::{Cause, CauseKind, DiskCounts};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::target::Target;
use super::tls::ProbeTls;
use crate::config::ObjectConfig;

/// The answer of a node about its health is a line; more is something else's answer.
const HEALTH_BYTES_MAX: usize = 16 * 1024;

/// An object that is probed is no larger: it is fetched from every node again and again.
const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It serves.
    Serving {
        /// When its process started, if it says so.
        started: Option<u64>,
        /// Its cache devices, if it says so.
        disks: Option<DiskCounts>,
    },
    /// It gave the right bytes of an object, which says nothing of whether it drains.
    Delivering,
    /// It is there and wants no new clients.
    Draining,
    /// It does not serve.
    Failed(Cause),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// How the node is.
    Found(Finding),
    /// It is there and has an error for the object, which may be its origin's: of the node it says nothing.
    NoObject(StatusCode),
}

/// What a probe asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The node itself, how it is.
    Health,
    /// An object whose bytes are known.
    Object(ObjectConfig),
}

/// How long the phases of a probe took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phases {
    pub(super) connect: Duration,
    pub(super) tls: Duration,
    pub(super) answer: Duration,
}

/// What one probe needs besides its target.
pub(super) struct Means<'m> {
    pub(super) tls: &'m ProbeTls,
    pub(super) server_name: Option<ServerName<'static>>,
    /// Until the head of the answer.
    pub(super) timeout: Duration,
    /// Until the last byte of an object.
    pub(super) object_timeout: Duration,
}

/// The answer of `GET /healthz` on the ports that players use.
#[derive(Debug, Deserialize)]
struct Health {
    node: String,
    state: String,
    started: Option<u64>,
    disks: Option<DiskCounts>,
}

/// Asks once.
pub(super) async fn ask(target: &Target, question: &Question, means: &Means<'_>) -> (Answer, Phases) {
    let mut phases = Phases::default();
    let answer = match exchange(target, question, means, &mut phases).await {
        Ok(answer) => answer,
        Err(cause) => Answer::Found(Finding::Failed(cause)),
    };
    (answer, phases)
}

async fn exchange(
    target: &Target,
    question: &Question,
    means: &Means<'_>,
    phases: &mut Phases,
) -> Result<Answer, Cause> {
    let started = Instant::now();
    let deadline = started + means.timeout;
    let whole_deadline = match question {
        Question::Health => deadline,
        Question::Object(_) => started + means.object_timeout.max(means.timeout),
    };
    let address = target.address;
    let stream = timeout_at(deadline, TcpStream::connect(address))
        .await
        .map_err(|_| late(&format!("connect {address}"), means.timeout))?
        .map_err(|error| of_network(&format!("connect {address}"), &error))?;
    // A probe is one segment each way; failing to say so only makes it slower.
    let _ = stream.set_nodelay(true);
    phases.connect = started.elapsed();
    if !target.secure {
        return converse(stream, target, question, phases, deadline, whole_deadline, means).await;
    }
    let name = means
        .server_name
        .clone()
        .unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
    let shaking = Instant::now();
    let stream = timeout_at(deadline, means.tls.connector().connect(name, stream))
        .await
        .map_err(|_| late(&format!("TLS handshake with {address}"), means.timeout))?
        .map_err(|error| of_handshake(address, &error))?;
    phases.tls = shaking.elapsed();
    converse(stream, target, question, phases, deadline, whole_deadline, means).await
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: &Target,
    question: &Question,
    phases: &mut Phases,
    deadline: Instant,
    whole_deadline: Instant,
    means: &Means<'_>,
) -> Result<Answer, Cause> {
    let (what, host) = match question {
        Question::Health => ("/healthz", target.node.as_str()),
        Question::Object(object) => (object.path.as_str(), object.host.as_str()),
    };
    let at = format!("GET {what} of {}", target.address);
    let broke = |error: &hyper::Error| Cause::new(CauseKind::Reset, format!("{at}: {error}"));
    let request = Request::get(what)
        .header(HOST, host)
        .header(USER_AGENT, "millrace-monitor")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Cause::new(CauseKind::Status, format!("{at}: {error}")))?;
    let asking = Instant::now();
    let (mut requests, conversation) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broke(&error))?;
    let conversation = tokio::spawn(conversation);
    let answer = async {
        let response = timeout_at(deadline, requests.send_request(request))
            .await
            .map_err(|_| late(&at, means.timeout))?
            .map_err(|error| broke(&error))?;
        let rest = judge(response, target, question, &at);
        timeout_at(whole_deadline, rest)
            .await
            .map_err(|_| late(&format!("the body of {at}"), means.object_timeout))?
    };
    let answer = answer.await;
    conversation.abort();
    phases.answer = asking.elapsed();
    answer
}

async fn judge(
    response: Response<Incoming>,
    target: &Target,
    question: &Question,
    at: &str,
) -> Result<Answer, Cause> {
    let status = response.status();
    match question {
        Question::Health => judge_health(status, response, target, at)
            .await
            .map(Answer::Found),
        Question::Object(object) => judge_object(status, response, object, at).await,
    }
}

async fn judge_health(
    status: StatusCode,
    response: Response<Incoming>,
    target: &Target,
    at: &str,
) -> Result<Finding, Cause> {
    let mut text = Vec::new();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Cause::new(CauseKind::Reset, format!("{at}: {error}")))?;
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if text.len() > HEALTH_BYTES_MAX {
            return Err(Cause::new(
                CauseKind::Status,
                format!("{at}: the answer is no node's"),
            ));
        }
    }
    let health: Option<Health> = serde_json::from_slice(&text).ok();
    if let Some(health) = &health
        && health.node != target.node
    {
        let what = format!("{at}: {:?} answers there", health.node);
        return Err(Cause::new(CauseKind::Status, what));
    }
    if health.as_ref().is_some_and(|health| health.state == "draining") {
        return Ok(Finding::Draining);
    }
    if status != StatusCode::OK {
        return Err(Cause::new(CauseKind::Status, format!("{at}: {status}")));
    }
    Ok(Finding::Serving {
        started: health.as_ref().and_then(|health| health.started),
        disks: health.and_then(|health| health.disks),
    })
}

async fn judge_object(
    status: StatusCode,
    response: Response<Incoming>,
    object: &ObjectConfig,
    at: &str,
) -> Result<Answer, Cause> {
    if status.is_client_error() || status.is_server_error() {
        return Ok(Answer::NoObject(status));
    }
    if status != StatusCode::OK {
        return Err(Cause::new(CauseKind::Status, format!("{at}: {status}")));
    }
    let (mut digest, mut length) = (Sha256::new(), 0_u64);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Cause::new(CauseKind::Reset, format!("{at}: {error}")))?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        length += data.len() as u64;
        if length > OBJECT_BYTES_MAX {
            let what = format!("{at}: longer than {OBJECT_BYTES_MAX} bytes");
            return Err(Cause::new(CauseKind::WrongContent, what));
        }
        digest.update(data);
    }
    if <[u8; 32]>::from(digest.finalize()) != object.sha256 {
        let what = format!("{at}: {length} bytes that are not those of the object");
        return Err(Cause::new(CauseKind::WrongContent, what));
    }
    Ok(Answer::Found(Finding::Delivering))
}

fn late(what: &str, patience: Duration) -> Cause {
    Cause::new(
        CauseKind::Timeout,
        format!("{what}: nothing within {} ms", patience.as_millis()),
    )
}

fn of_network(what: &str, error: &io::Error) -> Cause {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => CauseKind::Refused,
        io::ErrorKind::TimedOut => CauseKind::Timeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            CauseKind::Reset
        }
        _ => CauseKind::Unreachable,
    };
    Cause::new(kind, format!("{what}: {error}"))
}

fn of_handshake(address: std::net::SocketAddr, error: &io::Error) -> Cause {
    let at = format!("TLS handshake with {address}");
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            of_network(&at, error)
        }
        _ => Cause::new(CauseKind::Tls, format!("{at}: {error}")),
    }
}
