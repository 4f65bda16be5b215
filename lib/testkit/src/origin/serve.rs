//! One connection of the origin: request after request, each answered by the script to the byte.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::request::{self, NoRequest, Request};
use super::script::{Fault, Framing, Reply};

/// How often a paced body sends a piece.
const PACE_STEP: Duration = Duration::from_millis(20);

/// The largest single write of a body that is not paced.
const WRITE_STEP: usize = 64 * 1024;

/// Whether a connection goes on after an answer.
#[derive(PartialEq)]
enum Next {
    Request,
    End,
}

pub(super) async fn connection(mut io: TcpStream, number: u64, shared: Arc<Shared>) {
    let _open = shared.open.count();
    // Answers are written in several pieces, and their timing is the script's, not Nagle's.
    let _ = io.set_nodelay(true);
    let mut buffer = BytesMut::new();
    loop {
        let request = match next(&mut io, &mut buffer, number, &shared).await {
            Ok(Coming::Request(request)) => request,
            Ok(Coming::Answered(reply, request)) => {
                if reply.echoes {
                    let _ = echo(&mut io, &request, &mut buffer).await;
                    return;
                }
                // The rest of its body is nobody's: the connection ends with the answer.
                let _ = answer(&mut io, &request, *reply, &shared).await;
                let _ = io.shutdown().await;
                // Closed with something unread, the connection would be reset and the answer lost.
                let _ = tokio::io::copy(&mut io, &mut tokio::io::sink()).await;
                return;
            }
            Err(NoRequest::Ended) => return,
            Err(NoRequest::BrokenOff(what)) => {
                if !shared.bodies_may_break_off() {
                    shared.violated(what);
                }
                return;
            }
            Err(NoRequest::Violation(what)) => {
                shared.violated(what);
                let _ = io
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .await;
                return;
            }
        };
        let _busy = shared.busy.count();
        let reply = shared.take(&request);
        match answer(&mut io, &request, reply, &shared).await {
            Ok(Next::Request) => {}
            Ok(Next::End) | Err(_) => return,
        }
    }
}

/// What a connection brings next.
enum Coming {
    /// A whole request.
    Request(Request),
    /// The head of one that is answered before its body is read.
    Answered(Box<Reply>, Request),
}

/// Sends the body back as it comes; `buffer` holds what has come of it.
async fn echo(io: &mut TcpStream, request: &Request, buffer: &mut BytesMut) -> io::Result<()> {
    let length = request
        .field("content-length")
        .and_then(|length| length.parse().ok());
    let mut left: usize = length.ok_or(io::ErrorKind::InvalidInput)?;
    io.write_all(
        format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n").as_bytes(),
    )
    .await?;
    loop {
        let piece = buffer.split_to(left.min(buffer.len()));
        io.write_all(&piece).await?;
        left -= piece.len();
        if left == 0 || io.read_buf(buffer).await? == 0 {
            return io.shutdown().await;
        }
    }
}

async fn next(
    io: &mut TcpStream,
    buffer: &mut BytesMut,
    number: u64,
    shared: &Shared,
) -> Result<Coming, NoRequest> {
    let mut request = request::read_head(io, buffer, number).await?;
    if let Some(reply) = shared.answers_early(&request) {
        return Ok(Coming::Answered(Box::new(reply), request));
    }
    let awaits = request
        .values("expect")
        .iter()
        .any(|value| value.eq_ignore_ascii_case("100-continue"));
    if awaits && shared.says_continue() {
        // A client that is gone is noticed at the next read.
        let _ = io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    request::finish(io, buffer, &mut request).await?;
    Ok(Coming::Request(request))
}

async fn answer(io: &mut TcpStream, request: &Request, reply: Reply, shared: &Shared) -> io::Result<Next> {
    sleep(reply.delay).await;
    match &reply.fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset(None)) => return reset(io),
        Some(Fault::Close(None)) => return Ok(Next::End),
        Some(Fault::RawAndOn(bytes)) => {
            io.write_all(bytes).await?;
            return Ok(Next::Request);
        }
        Some(Fault::Raw(bytes)) => {
            io.write_all(bytes).await?;
            io.shutdown().await?;
            return Ok(Next::End);
        }
        Some(Fault::Reset(Some(_)) | Fault::Close(Some(_)) | Fault::Stall(_)) | None => {}
    }
    let reply = conditional(request, ranged(request, reply));
    let bodiless = request.method == "HEAD" || matches!(reply.status, 100..=199 | 204 | 304);
    for (status, fields) in &reply.interim {
        io.write_all(&interim(*status, fields)).await?;
    }
    io.write_all(&head(&reply)).await?;
    if reply.echoes {
        let (mut reading, mut writing) = io.split();
        tokio::io::copy(&mut reading, &mut writing).await?;
        return Ok(Next::End);
    }
    if !bodiless {
        shared.sent(request, body(io, &reply).await?);
        match reply.fault {
            Some(Fault::Reset(_)) => return reset(io),
            Some(Fault::Close(_)) => return Ok(Next::End),
            Some(Fault::Stall(_)) => std::future::pending().await,
            _ => {}
        }
    }
    let told_to_close = |value: Option<&str>| value.is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let ends = reply.framing == Framing::UntilClose
        || told_to_close(reply.value_of("connection"))
        || told_to_close(request.values("connection").first().copied());
    if ends {
        io.shutdown().await?;
        return Ok(Next::End);
    }
    Ok(Next::Request)
}

/// 304 without a body when the request names the validator that the reply carries.
fn conditional(request: &Request, reply: Reply) -> Reply {
    if reply.status != 200 {
        return reply;
    }
    let listed = |etag: &str| {
        let lists = request.values("if-none-match");
        lists
            .iter()
            .flat_map(|list| list.split(','))
            .any(|one| one.trim() == etag || one.trim() == "*")
    };
    let unchanged = match (request.values("if-none-match").is_empty(), reply.value_of("etag")) {
        (false, etag) => etag.is_some_and(listed),
        (true, _) => reply
            .value_of("last-modified")
            .is_some_and(|date| request.values("if-modified-since").first() == Some(&date)),
    };
    if !unchanged {
        return reply;
    }
    Reply {
        status: 304,
        body: Bytes::new(),
        ..reply
    }
}

/// 206 for a single range that the reply is told to honour.
fn ranged(request: &Request, reply: Reply) -> Reply {
    let (true, 200, [range]) = (reply.ranges, reply.status, &request.values("range")[..]) else {
        return reply;
    };
    let if_range = request.values("if-range");
    if if_range
        .first()
        .is_some_and(|validator| reply.value_of("etag") != Some(validator))
    {
        return reply;
    }
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return reply;
    };
    let length = reply.body.len();
    let (Ok(first), Ok(last)) = (
        first.parse::<usize>(),
        last.parse::<usize>().or(Ok::<_, ()>(length - 1)),
    ) else {
        return reply;
    };
    if first >= length {
        return Reply::status(416).field("Content-Range", format!("bytes */{length}"));
    }
    let last = last.min(length - 1);
    let part = reply.body.slice(first..=last);
    Reply {
        status: 206,
        body: part,
        ..reply
    }
    .field("Content-Range", format!("bytes {first}-{last}/{length}"))
}

fn head(reply: &Reply) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason.unwrap_or("Scripted"));
    for (name, value) in &reply.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match reply.framing {
        Framing::Length if matches!(reply.status, 101 | 204 | 304) => {}
        Framing::Length => head.push_str(&format!("Content-Length: {}\r\n", reply.body.len())),
        Framing::Chunked(_) if matches!(reply.status, 204 | 304) => {}
        Framing::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        Framing::UntilClose => head.push_str("Connection: close\r\n"),
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn interim(status: u16, fields: &[(String, String)]) -> Vec<u8> {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("HTTP/1.1 {status} Interim\r\n{fields}\r\n").into_bytes()
}

/// Sends the body as far as the script lets it, and says how many bytes of it went out.
async fn body(io: &mut TcpStream, reply: &Reply) -> io::Result<u64> {
    let end = match reply.fault {
        Some(Fault::Reset(Some(bytes)) | Fault::Close(Some(bytes)) | Fault::Stall(bytes)) => {
            bytes.min(reply.body.len())
        }
        _ => reply.body.len(),
    };
    let mut sent = 0;
    let began = Instant::now();
    while sent < end {
        if let Some((at, gate)) = &reply.gate
            && sent == *at
        {
            gate.passed().await;
        }
        let mut step = (end - sent).min(step_of(reply));
        if let Some((at, _)) = reply.gate
            && sent < at
        {
            step = step.min(at - sent);
        }
        write_piece(io, &reply.body[sent..sent + step], reply.framing).await?;
        sent += step;
        if let Some(rate) = reply.bytes_per_second {
            sleep_until(began + Duration::from_secs_f64(sent as f64 / rate as f64)).await;
        }
    }
    if matches!(reply.framing, Framing::Chunked(_)) && reply.fault.is_none() {
        let fields = reply.trailers.iter();
        let fields: String = fields
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        io.write_all(format!("0\r\n{fields}\r\n").as_bytes()).await?;
    }
    Ok(sent as u64)
}

fn step_of(reply: &Reply) -> usize {
    let paced = reply
        .bytes_per_second
        .map(|rate| (rate as f64 * PACE_STEP.as_secs_f64()) as usize);
    let chunk = match reply.framing {
        Framing::Chunked(bytes) => bytes,
        Framing::Length | Framing::UntilClose => WRITE_STEP,
    };
    paced.map_or(chunk, |paced| paced.clamp(1, chunk))
}

async fn write_piece(io: &mut TcpStream, piece: &[u8], framing: Framing) -> io::Result<()> {
    if !matches!(framing, Framing::Chunked(_)) {
        return io.write_all(piece).await;
    }
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    io.write_all(&chunk).await
}

/// Ends a connection with RST: a linger of zero throws away what is unsent.
fn reset(io: &mut TcpStream) -> io::Result<Next> {
    io.set_zero_linger()?;
    Ok(Next::End)
}
