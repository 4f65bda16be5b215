//! A receiver of alerts that misbehaves as a test tells it, and writes down what it took.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// 202.
    Take,
    /// 429, come back in a second.
    TooMany,
    /// 500.
    Fail,
    /// The connection is cut after the request was read, and nothing is taken.
    Reset,
    /// The request is taken, and the answer never comes.
    TakeAndHang,
}

/// The receiver, until it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    moods: Arc<Mutex<VecDeque<Mood>>>,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub(crate) fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            moods: Arc::default(),
            taken: Arc::default(),
        };
        let (moods, taken) = (Arc::clone(&receiver.moods), Arc::clone(&receiver.taken));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (moods, taken) = (Arc::clone(&moods), Arc::clone(&taken));
                std::thread::spawn(move || attend(stream, &moods, &taken));
            }
        });
        receiver
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next requests are answered so; from then on all are taken.
    pub(crate) fn will(&self, moods: &[Mood]) {
        self.moods.lock().extend(moods);
    }

    /// Everything it took, in order.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.taken.lock().clone()
    }
}

fn attend(mut stream: TcpStream, moods: &Mutex<VecDeque<Mood>>, taken: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mood = moods.lock().pop_front().unwrap_or(Mood::Take);
        if matches!(mood, Mood::Take | Mood::TakeAndHang) {
            taken.lock().push(serde_json::from_slice(&body).unwrap());
        }
        let answer: &[u8] = match mood {
            Mood::Take => b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}",
            Mood::TooMany => b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
            Mood::Fail => b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            Mood::Reset => return,
            Mood::TakeAndHang => {
                // Until the other side gives up.
                let _ = reader.read(&mut [0; 1]);
                return;
            }
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}
