//! A scripted origin: a real HTTP/1.1 server of which a test decides every byte and its moment.
//!
//! It runs on a thread and a runtime of its own, so a test may block or be async. It remembers every request it saw;
//! what it is told to answer may change at any time.

mod request;
mod script;
mod serve;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::ports::Port;

pub use request::Request;
pub use script::{Gate, Reply};

/// Connections the kernel queues before they are accepted: above the largest crowd of a test.
const ACCEPT_QUEUE: i32 = 4096;

type Answer = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A scripted origin. Stopped when dropped.
pub struct Origin {
    port: Port,
    shared: Arc<Shared>,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What the connections share with the test.
#[derive(Default)]
struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Seen>,
    connections: AtomicU64,
    open: Gauge,
    busy: Gauge,
}

/// How many there are of something, and how many there were at most.
#[derive(Default)]
struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

/// One of them, until it is dropped.
struct Counted<'a>(&'a Gauge);

#[derive(Default)]
struct Script {
    early: BTreeMap<String, Answer>,
    says_continue: bool,
    bodies_may_break_off: bool,
    exact: BTreeMap<String, Answer>,
    prefixes: BTreeMap<String, Answer>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    violations: Vec<String>,
    bytes_sent: BTreeMap<String, u64>,
}

impl Origin {
    /// Starts on a free port of 127.0.0.1. It answers 404 until told otherwise.
    #[must_use]
    pub fn start() -> Origin {
        let mut origin = Origin {
            port: Port::claim(),
            shared: Arc::default(),
            running: None,
        };
        origin.start_again();
        origin
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// From now on answers requests for `path` (any query) with `reply`.
    pub fn on(&self, path: &str, reply: Reply) {
        self.on_each(path, move |_| reply.clone());
    }

    /// From now on asks `answer` at each request for `path` (any query).
    pub fn on_each(&self, path: &str, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        self.shared
            .script
            .lock()
            .exact
            .insert(path.to_owned(), Arc::new(answer));
    }

    /// From now on answers requests for `path` as soon as their head is there, and closes without reading their body.
    pub fn on_head(&self, path: &str, reply: Reply) {
        let answer: Answer = Arc::new(move |_: &Request| reply.clone());
        self.shared.script.lock().early.insert(path.to_owned(), answer);
    }

    /// From now on says 100 to requests that wait for it; until then it reads their bodies without a word, as many
    /// origins do.
    pub fn say_continue(&self) {
        self.shared.script.lock().says_continue = true;
    }

    /// From now on asks `answer` at each request whose path begins with `prefix` and has no answer of its own; the
    /// longest prefix wins.
    pub fn on_prefix(&self, prefix: &str, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        self.shared
            .script
            .lock()
            .prefixes
            .insert(prefix.to_owned(), Arc::new(answer));
    }

    /// Every request since the start (or [`Origin::forget`]), in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.seen.lock().requests.clone()
    }

    /// How many requests there were for `path`, whatever their query.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.shared
            .seen
            .lock()
            .requests
            .iter()
            .filter(|request| request.path() == path)
            .count()
    }

    /// How many requests there were at all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.shared.seen.lock().requests.len()
    }

    /// Bytes of bodies sent for `path`.
    #[must_use]
    pub fn bytes_sent(&self, path: &str) -> u64 {
        self.shared
            .seen
            .lock()
            .bytes_sent
            .get(path)
            .copied()
            .unwrap_or_default()
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.shared.open.now.load(Ordering::Relaxed)
    }

    /// The most connections that were open at once.
    #[must_use]
    pub fn most_open_connections(&self) -> u64 {
        self.shared.open.most.load(Ordering::Relaxed)
    }

    /// The most requests that were being answered at once.
    #[must_use]
    pub fn most_requests_at_once(&self) -> u64 {
        self.shared.busy.most.load(Ordering::Relaxed)
    }

    /// What was sent to it that breaks RFC 9112.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.shared.seen.lock().violations.clone()
    }

    /// From now on a connection that ends within a request's body breaks no rule: for stories in which somebody must
    /// break off.
    pub fn let_bodies_break_off(&self) {
        self.shared.script.lock().bodies_may_break_off = true;
    }

    /// Forgets the requests seen; the script stays.
    pub fn forget(&self) {
        self.shared.seen.lock().requests.clear();
    }

    /// Closes the listener and every connection: whoever connects is refused.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        // The thread may have ended already; then nobody listens any more, which is what is asked for.
        let _ = running.stop.send(());
        running.thread.join().expect("the origin's thread does not panic");
    }

    /// Listens again on the same port, with the script it had.
    ///
    /// # Panics
    ///
    /// When the port, which is claimed for us, cannot be bound.
    pub fn start_again(&mut self) {
        if self.running.is_some() {
            return;
        }
        let listener = listen(self.address());
        let shared = Arc::clone(&self.shared);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || run(listener, shared, stopped))
            .expect("the machine has a thread left");
        self.running = Some(Running { stop, thread });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            let violations = self.violations();
            assert!(
                violations.is_empty(),
                "the origin was sent what breaks RFC 9112: {violations:#?}"
            );
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let bound = || -> std::io::Result<TcpListener> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(ACCEPT_QUEUE)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bound().unwrap_or_else(|error| panic!("the origin cannot listen on {address}: {error}"))
}

fn run(listener: TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is non-blocking");
        let accept = async {
            loop {
                if let Ok((io, _)) = listener.accept().await {
                    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(serve::connection(io, number, Arc::clone(&shared)));
                }
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
    // Dropping the runtime drops every connection with it.
}

impl Shared {
    /// Remembers the request and says what to answer.
    fn take(&self, request: &Request) -> Reply {
        self.seen.lock().requests.push(request.clone());
        let answer = self.script.lock().find(request.path());
        answer.map_or_else(|| Reply::status(404), |answer| answer(request))
    }

    fn says_continue(&self) -> bool {
        self.script.lock().says_continue
    }

    fn bodies_may_break_off(&self) -> bool {
        self.script.lock().bodies_may_break_off
    }

    /// What is answered before the body is read, if anything is; the request is remembered then.
    fn answers_early(&self, request: &Request) -> Option<Reply> {
        let answer = self.script.lock().early.get(request.path()).cloned()?;
        self.seen.lock().requests.push(request.clone());
        Some(answer(request))
    }

    fn violated(&self, what: String) {
        self.seen.lock().violations.push(what);
    }

    fn sent(&self, request: &Request, bytes: u64) {
        *self
            .seen
            .lock()
            .bytes_sent
            .entry(request.path().to_owned())
            .or_default() += bytes;
    }
}

impl Gauge {
    fn count(&self) -> Counted<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Counted(self)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Script {
    fn find(&self, path: &str) -> Option<Answer> {
        let by_prefix = || {
            let matching = self
                .prefixes
                .iter()
                .filter(|(prefix, _)| path.starts_with(prefix.as_str()));
            matching
                .max_by_key(|(prefix, _)| prefix.len())
                .map(|(_, answer)| answer)
        };
        self.exact.get(path).or_else(by_prefix).cloned()
    }
}
