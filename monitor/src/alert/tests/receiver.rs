//! A receiver over real HTTP that follows a script, and keeps what it accepted.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

/// How one request is treated.
#[derive(Clone, Debug)]
pub(super) enum Treatment {
    /// 202, and kept.
    Accept,
    /// Another status, with these header lines, and forgotten.
    Answer(u16, &'static str),
    /// Not read, and the connection reset.
    Reset,
    /// Kept, and the connection closed without an answer.
    AcceptAndClose,
    /// Read, and never answered.
    Hang,
}

/// A request that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) path: String,
    pub(super) headers: Vec<String>,
    pub(super) body: Value,
}

/// Chooses a treatment for a body, where the script does not.
type Judge = Box<dyn Fn(&Value) -> Treatment + Send + Sync>;

struct Shared {
    script: Mutex<VecDeque<Treatment>>,
    judge: Judge,
    accepted: Mutex<Vec<Accepted>>,
    requests: Mutex<usize>,
    hanging: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Follows the script, one treatment a request, and then accepts everything.
    pub(super) fn following(script: impl IntoIterator<Item = Treatment>) -> Receiver {
        Receiver::start(script.into_iter().collect(), Box::new(|_| Treatment::Accept))
    }

    pub(super) fn judging(judge: impl Fn(&Value) -> Treatment + Send + Sync + 'static) -> Receiver {
        Receiver::start(VecDeque::new(), Box::new(judge))
    }

    fn start(script: VecDeque<Treatment>, judge: Judge) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            judge,
            accepted: Mutex::default(),
            requests: Mutex::default(),
            hanging: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A connection that breaks is the other side's affair.
                let _ = serving.serve(stream);
            }
        });
        Receiver { address, shared }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn accepted(&self) -> Vec<Accepted> {
        self.shared.accepted.lock().clone()
    }

    /// Actions and keys of the events of PagerDuty that were accepted, in order.
    pub(super) fn events(&self) -> Vec<String> {
        let text = |body: &Value, field: &str| body[field].as_str().unwrap().to_owned();
        self.accepted()
            .iter()
            .map(|accepted| {
                let key = text(&accepted.body, "dedup_key");
                let key = key.strip_prefix("cdn/main/").unwrap();
                format!("{} {key}", text(&accepted.body, "event_action"))
            })
            .collect()
    }

    /// All requests so far, however they were treated.
    pub(super) fn requests(&self) -> usize {
        *self.shared.requests.lock()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let scripted = self.script.lock().pop_front();
        *self.requests.lock() += 1;
        if matches!(scripted, Some(Treatment::Reset)) {
            return reset(&stream);
        }
        let request = read(&stream)?;
        let treatment = scripted.unwrap_or_else(|| (self.judge)(&request.body));
        match treatment {
            Treatment::Accept => {
                self.accepted.lock().push(request);
                answer(&stream, 202, "")
            }
            Treatment::AcceptAndClose => {
                self.accepted.lock().push(request);
                Ok(())
            }
            Treatment::Answer(status, headers) => answer(&stream, status, headers),
            Treatment::Reset => Ok(()),
            Treatment::Hang => {
                self.hanging.lock().push(stream);
                Ok(())
            }
        }
    }
}

/// Whoever closes with something unread resets.
fn reset(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0])
}

fn answer(mut stream: &TcpStream, status: u16, headers: &str) -> std::io::Result<()> {
    let body = "{\"status\":\"as scripted\"}";
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn read(stream: &TcpStream) -> std::io::Result<Accepted> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let length = lines
        .iter()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = lines.first().cloned().unwrap_or_default();
    Ok(Accepted {
        path: request.split(' ').nth(1).unwrap_or_default().to_owned(),
        headers: lines.split_off(lines.len().min(1)),
        body: serde_json::from_slice(&body)?,
    })
}
