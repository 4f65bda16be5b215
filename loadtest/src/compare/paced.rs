//! Requests at a fixed rate, whether or not the server keeps up (an open loop): latency counts from the moment a request
//! was due, so that a server that stalls cannot hide it by receiving fewer requests.
//!
//! One thread that owns its core and never sleeps: timers of an event loop are a millisecond coarse, and what is
//! measured is below that.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::cores;
use crate::histogram;

/// Keep-alive connections.
const CONNECTIONS: usize = 64;

/// What is measured only after so long: connections and caches are warm by then.
const WARM_UP: Duration = Duration::from_millis(500);

/// After the last request was due, answers are waited for so long.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) p99: Duration,
    pub(super) per_second: f64,
}

/// Asks for `path` `rate` times a second for `seconds`, on `core`.
///
/// # Errors
///
/// When a connection breaks or an answer is not 200.
pub(super) fn run(
    address: SocketAddr,
    path: &str,
    rate: f64,
    seconds: u64,
    core: usize,
) -> Result<Latency, String> {
    cores::pin_this_thread(core)
        .map_err(|error| format!("a thread cannot be kept on core {core}: {error}"))?;
    paced(address, path, rate, Duration::from_secs(seconds)).map_err(|error| format!("{address}: {error}"))
}

fn paced(address: SocketAddr, path: &str, rate: f64, length: Duration) -> std::io::Result<Latency> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let connections: std::io::Result<Vec<Connection>> =
        (0..CONNECTIONS).map(|_| Connection::open(address)).collect();
    let mut connections = connections?;
    let mut idle: VecDeque<usize> = (0..CONNECTIONS).collect();
    let mut busy: Vec<usize> = Vec::with_capacity(CONNECTIONS);
    let mut histogram = histogram::new();
    let began = Instant::now();
    let (count, mut asked, mut answered) = ((rate * length.as_secs_f64()) as u64, 0_u64, 0_u64);
    let due = |number: u64| began + Duration::from_secs_f64(number as f64 / rate);
    while answered < count {
        let now = Instant::now();
        while asked < count && due(asked) <= now {
            let Some(free) = idle.pop_front() else { break }; // what is due waits, and its waiting counts
            connections[free].ask(&request, due(asked))?;
            busy.push(free);
            asked += 1;
        }
        let mut at = 0;
        while at < busy.len() {
            let number = busy[at];
            let Some(since) = connections[number].answered()? else {
                at += 1;
                continue;
            };
            if since >= began + WARM_UP.min(length / 2) {
                histogram::record(&mut histogram, since.elapsed());
            }
            answered += 1;
            busy.swap_remove(at);
            idle.push_back(number);
        }
        if now > began + length + LAST_ANSWERS {
            return Err(std::io::Error::other(format!(
                "{} of {count} requests were unanswered at the end",
                count - answered
            )));
        }
        std::hint::spin_loop();
    }
    let per_second = answered as f64 / began.elapsed().as_secs_f64();
    Ok(Latency {
        p99: Duration::from_micros(histogram.value_at_quantile(0.99)),
        per_second,
    })
}

struct Connection {
    stream: TcpStream,
    /// What came of the answer so far.
    head: Vec<u8>,
    /// Bytes of the body that are still to come, once the head is there.
    left: Option<u64>,
    due: Instant,
}

/// A head is not longer.
const LONGEST_HEAD_BYTES: usize = 16 << 10;

impl Connection {
    fn open(address: SocketAddr) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            head: Vec::with_capacity(4096),
            left: None,
            due: Instant::now(),
        })
    }

    fn ask(&mut self, request: &[u8], due: Instant) -> std::io::Result<()> {
        self.due = due;
        self.head.clear();
        self.left = None;
        // A request is some hundred bytes and the socket's buffer is empty: it takes all of it at once.
        self.stream.write_all(request)
    }

    /// Reads what there is; once the answer is whole, when its request was due.
    fn answered(&mut self) -> std::io::Result<Option<Instant>> {
        let mut buffer = [0; 16 << 10];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            if self.take(&buffer[..count])? {
                return Ok(Some(self.due));
            }
            if count < buffer.len() {
                return Ok(None); // the socket is empty; asking again would only say so
            }
        }
    }

    /// `true`: the answer is whole.
    fn take(&mut self, bytes: &[u8]) -> std::io::Result<bool> {
        let mut body = bytes.len() as u64;
        if self.left.is_none() {
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                let too_long = self.head.len() > LONGEST_HEAD_BYTES;
                return if too_long {
                    Err(std::io::Error::other("the head of an answer is too long"))
                } else {
                    Ok(false)
                };
            };
            self.left = Some(
                content_length(&self.head[..end])
                    .ok_or_else(|| std::io::Error::other("an answer was not 200 with a length"))?,
            );
            body = (self.head.len() - end - 4) as u64;
        }
        let left = self
            .left
            .unwrap_or(0)
            .checked_sub(body)
            .ok_or_else(|| std::io::Error::other("more came than was asked for"))?;
        self.left = Some(left);
        Ok(left == 0)
    }
}

/// The length of the body of a 200.
fn content_length(head: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    lines.next()?.starts_with("HTTP/1.1 200").then_some(())?;
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_length_is_read_from_a_200_only() {
        assert_eq!(
            content_length(b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-LENGTH: 17"),
            Some(17)
        );
        assert_eq!(
            content_length(b"HTTP/1.1 404 Not Found\r\nContent-Length: 17"),
            None
        );
        assert_eq!(
            content_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"),
            None
        );
    }

    /// A server that answers each request on each connection after a pause.
    fn server(pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                std::thread::spawn(move || {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).is_ok_and(|count| count > 0) {
                        let until = Instant::now() + pause;
                        while Instant::now() < until {
                            std::thread::yield_now();
                        }
                        if stream
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                            .is_err()
                        {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    #[test]
    fn the_rate_is_kept_and_the_pause_of_the_server_is_seen() {
        let latency = paced(
            server(Duration::from_millis(3)),
            "/",
            100.0,
            Duration::from_secs(1),
        )
        .unwrap();
        assert!(latency.p99 >= Duration::from_millis(3), "{latency:?}");
        assert!((50.0..=101.0).contains(&latency.per_second), "{latency:?}");
    }

    #[test]
    fn a_server_that_closes_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
        assert!(paced(address, "/", 1000.0, Duration::from_secs(1)).is_err());
    }
}
