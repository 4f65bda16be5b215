//! HTTP/2 requests that would be read in two ways once they are HTTP/1: each is refused, and reaches nobody.
//!
//! The frames are made by hand, because no proper client sends them (RFC 9113 §8.1.1, §8.2, §8.3).

use std::time::Duration;

use testkit::client::{Client, run};
use testkit::origin::Reply;

use crate::EDGE;
use crate::methods::open_to_all;

/// What becomes of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Answered 200.
    Served,
    /// Answered otherwise, reset, or the whole connection was ended.
    Refused,
}

/// Fields as they go on the wire, and the body with it.
struct Shape {
    name: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    /// DATA frames; the last one ends the stream.
    body: &'static [&'static str],
    outcome: Outcome,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` as RFC 7541 has it in its static table.
const STATUS_200: u8 = 0x88;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Literal fields without indexing (RFC 7541 §6.2.2); all lengths stay below 127.
fn fields(named: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in named {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn outcome(client: &Client, shape: &Shape) -> Outcome {
    run(async {
        let mut connection = client.connect().await.unwrap();
        let end = if shape.body.is_empty() { END_STREAM } else { 0 };
        let mut bytes = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, &[]),
            frame(HEADERS, END_HEADERS | end, 1, &fields(&shape.fields)),
        ]
        .concat();
        for (number, piece) in shape.body.iter().enumerate() {
            let end = if number + 1 == shape.body.len() {
                END_STREAM
            } else {
                0
            };
            bytes.extend(frame(DATA, end, 1, piece.as_bytes()));
        }
        connection.write(&bytes).await.unwrap();
        let mut received = Vec::new();
        loop {
            while received.len() >= 9 {
                let length = u32::from_be_bytes([0, received[0], received[1], received[2]]) as usize;
                if received.len() < 9 + length {
                    break;
                }
                let rest = received.split_off(9 + length);
                match received[3] {
                    HEADERS if received[9] == STATUS_200 => return Outcome::Served,
                    HEADERS | RST_STREAM | GOAWAY => return Outcome::Refused,
                    _ => received = rest,
                }
            }
            match connection.read().await {
                Ok(more) if !more.is_empty() => received.extend_from_slice(&more),
                _ => return Outcome::Refused,
            }
        }
    })
}

#[test]
fn what_no_http_1_request_can_be_is_refused() {
    let cdn = open_to_all();
    // A body of another length than announced is broken off where that turns out.
    cdn.origin().let_bodies_break_off();
    cdn.origin()
        .on_prefix("/", |_| Reply::ok("ok").field("Cache-Control", "no-store"));
    let usual = || {
        vec![
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "media.test"),
            (":path", "/a"),
        ]
    };
    let with = |name, more: &[(&'static str, &'static str)], body| Shape {
        name,
        fields: [usual(), more.to_vec()].concat(),
        body,
        outcome: Outcome::Refused,
    };
    let instead = |name, fields: &[(&'static str, &'static str)]| Shape {
        name,
        fields: fields.to_vec(),
        body: &[],
        outcome: Outcome::Refused,
    };
    let fine = |name, more: &[(&'static str, &'static str)], body| Shape {
        outcome: Outcome::Served,
        ..with(name, more, body)
    };
    let shapes = [
        fine("a body", &[("content-length", "3")], &["abc"]),
        fine("a body in frames", &[], &["ab", "c"]),
        fine("a host that is the authority", &[("host", "media.test")], &[]),
        fine(
            "a body that is a request",
            &[],
            &["GET /smuggled HTTP/1.1\r\nHost: media.test\r\n\r\n"],
        ),
        fine("TE: trailers", &[("te", "trailers")], &["abc"]),
        with(
            "H2.CL: shorter than the body",
            &[("content-length", "0")],
            &["GET /smuggled HTTP/1.1\r\n\r\n"],
        ),
        with(
            "H2.CL: longer than the body",
            &[("content-length", "9")],
            &["abc"],
        ),
        with(
            "a length that is no number",
            &[("content-length", "+3")],
            &["abc"],
        ),
        with(
            "two lengths",
            &[("content-length", "3"), ("content-length", "0")],
            &["abc"],
        ),
        with(
            "the same length twice",
            &[("content-length", "3"), ("content-length", "3")],
            &["abc"],
        ),
        with(
            "H2.TE",
            &[("transfer-encoding", "chunked")],
            &["0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"],
        ),
        with("Connection", &[("connection", "transfer-encoding")], &["abc"]),
        with("Keep-Alive", &[("keep-alive", "5")], &["abc"]),
        with("Proxy-Connection", &[("proxy-connection", "close")], &["abc"]),
        with("Upgrade", &[("upgrade", "h2c")], &["abc"]),
        with("TE that is not trailers", &[("te", "chunked")], &["abc"]),
        with(
            "CRLF in a value",
            &[("x", "y\r\ntransfer-encoding: chunked")],
            &["0\r\n\r\n"],
        ),
        with(
            "LF in a value",
            &[("x", "y\ntransfer-encoding: chunked")],
            &["0\r\n\r\n"],
        ),
        with("a NUL in a value", &[("x", "y\0")], &["abc"]),
        with("CRLF in a name", &[("x\r\ny", "z")], &["abc"]),
        with(
            "a colon in a name",
            &[("transfer-encoding: chunked\r\nx", "y")],
            &["abc"],
        ),
        with(
            "upper case in a name",
            &[("Transfer-Encoding", "chunked")],
            &["abc"],
        ),
        with("an empty name", &[("", "y")], &["abc"]),
        with("another host", &[("host", "evil.test")], &[]),
        with(
            "two hosts",
            &[("host", "media.test"), ("host", "media.test")],
            &[],
        ),
        with("a pseudo-field that is late", &[("x", "y"), (":path", "/b")], &[]),
        with("a pseudo-field that nobody knows", &[(":x", "y")], &[]),
        with("a field of an answer", &[(":status", "200")], &[]),
        instead(
            "two paths",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", "/a"),
                (":path", "/b"),
            ],
        ),
        instead(
            "two methods",
            &[
                (":method", "POST"),
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", "/a"),
            ],
        ),
        instead(
            "no path",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "media.test"),
            ],
        ),
        instead(
            "no method",
            &[
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", "/a"),
            ],
        ),
        instead(
            "no host",
            &[(":method", "POST"), (":scheme", "https"), (":path", "/a")],
        ),
        instead(
            "an empty path",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", ""),
            ],
        ),
        instead(
            "a request in the path",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", "/a HTTP/1.1\r\nX: y"),
            ],
        ),
        instead(
            "a blank in the path",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", "/a b"),
            ],
        ),
        instead(
            "absolute form in the path",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", "http://evil.test/a"),
            ],
        ),
        instead(
            "a request in the method",
            &[
                (":method", "POST /smuggled HTTP/1.1\r\nx: "),
                (":scheme", "https"),
                (":authority", "media.test"),
                (":path", "/a"),
            ],
        ),
        instead(
            "user information",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "evil@media.test"),
                (":path", "/a"),
            ],
        ),
        instead(
            "CRLF in the authority",
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "media.test\r\nx: y"),
                (":path", "/a"),
            ],
        ),
    ];
    let client = Client::raw_http2(cdn.https_address(EDGE), cdn.authority())
        .host("media.test")
        .patience(Duration::from_secs(20));
    let mut wrong = Vec::new();
    for shape in &shapes {
        cdn.origin().forget();
        let found = outcome(&client, shape);
        if found != shape.outcome {
            wrong.push(format!("{}: {found:?}", shape.name));
        }
        let seen = cdn.origin().requests();
        let body = shape.body.concat();
        let whole = seen
            .iter()
            .all(|request| request.target == "/a" && request.body == body);
        let expected = usize::from(shape.outcome == Outcome::Served);
        if seen.len() != expected || !whole {
            wrong.push(format!("{}: the origin saw {seen:?}", shape.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
