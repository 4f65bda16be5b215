//! The admin port: `/healthz`, `/ready`, `/metrics`, `/config` and what a daemon adds, on a thread and a runtime of its
//! own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::metrics::{self, Registry};

/// More at once than an operator, a Prometheus pair and a load balancer ever open; the next one waits in the kernel.
const MAX_CONNECTIONS: usize = 64;
/// A request head that takes longer, counted from the end of the last request, comes from nobody we serve.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection is closed after so long, whatever it does: no client of this port needs more.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// After `accept` failed, mostly for want of file descriptors, the next try comes after this pause.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether this daemon wants to be sent work, and why (not). Clones share one state.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<ArcSwap<State>>);

#[derive(Debug)]
struct State {
    ready: bool,
    reason: String,
}

impl Readiness {
    /// Not ready yet.
    #[must_use]
    pub fn starting() -> Readiness {
        let state = State {
            ready: false,
            reason: "starting".to_owned(),
        };
        Readiness(Arc::new(ArcSwap::from_pointee(state)))
    }

    /// Sets what `/ready` answers: 200 or 503, with `reason`.
    pub fn set(&self, ready: bool, reason: impl Into<String>) {
        self.0.store(Arc::new(State {
            ready,
            reason: reason.into(),
        }));
    }
}

/// The bound socket of the admin port, before it serves.
pub struct Admin {
    listener: TcpListener,
    pages: BTreeMap<&'static str, Page>,
}

/// A page of the daemon's own: its path's query, where there is one, to its answer.
type Page = Box<dyn Fn(Option<&str>) -> PageAnswer + Send + Sync>;

/// What a page of the daemon's own answers.
#[derive(Clone, Debug, PartialEq)]
pub enum PageAnswer {
    /// For programs.
    Json(Value),
    /// For people.
    Text(String),
    /// The query is wrong: in what way, and how to ask.
    Wrong(String),
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = self.pages.keys().collect::<Vec<_>>();
        f.debug_struct("Admin")
            .field("listener", &self.listener)
            .field("pages", &pages)
            .finish()
    }
}

/// What a request is answered from.
struct Room {
    registry: Registry,
    config: Bytes,
    readiness: Readiness,
    pages: BTreeMap<&'static str, Page>,
}

impl Admin {
    /// Binds the port. Nobody is asked who they are, so `address` belongs to the loopback or a management network.
    ///
    /// # Errors
    /// What the kernel says when the address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Admin> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let pages = BTreeMap::new();
        Ok(Admin { listener, pages })
    }

    /// The address that was bound, with the port the kernel chose when it was asked for port 0.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers `path` too, on the thread of the admin port: `page` must not take long.
    #[must_use]
    pub fn page(
        mut self,
        path: &'static str,
        page: impl Fn(Option<&str>) -> PageAnswer + Send + Sync + 'static,
    ) -> Admin {
        self.pages.insert(path, Box::new(page));
        self
    }

    /// Serves until the process ends, on a thread named `admin`. `config` is what `/config` shows, already masked.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn serve(self, registry: Registry, config: &Value, readiness: Readiness) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let room = Arc::new(Room {
            registry,
            config: pretty(config),
            readiness,
            pages: self.pages,
        });
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(accept(listener, room)))?;
        Ok(())
    }
}

async fn accept(listener: tokio::net::TcpListener, room: Arc<Room>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let room = Arc::clone(&room);
                tokio::spawn(async move {
                    connection(stream, room).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, room: Arc<Room>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&room, request.method(), request.uri());
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the admin port broke"),
    }
}

fn answer(room: &Room, method: &Method, target: &Uri) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = json_response(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({ "error": "only GET and HEAD" }),
        );
        response
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match target.path() {
        "/healthz" => json_response(StatusCode::OK, &json!({ "alive": true })),
        "/ready" => {
            let state = room.readiness.0.load();
            let status = if state.ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            json_response(status, &json!({ "ready": state.ready, "reason": state.reason }))
        }
        "/metrics" => match metrics::encode(&room.registry) {
            Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text.into()),
            Err(error) => {
                tracing::error!(%error, "cannot encode the metrics");
                json_response(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &json!({ "error": "see the log" }),
                )
            }
        },
        "/config" => response(StatusCode::OK, "application/json", room.config.clone()),
        path => match room.pages.get(path) {
            Some(page) => page_response(page(target.query())),
            None => json_response(StatusCode::NOT_FOUND, &json!({ "error": room.paths() })),
        },
    }
}

impl Room {
    fn paths(&self) -> String {
        let usual = ["/healthz", "/ready", "/metrics", "/config"];
        let all: Vec<&str> = usual.into_iter().chain(self.pages.keys().copied()).collect();
        format!("there are only {}", all.join(", "))
    }
}

fn page_response(answer: PageAnswer) -> Response<Full<Bytes>> {
    match answer {
        PageAnswer::Json(value) => response(StatusCode::OK, "application/json", pretty(&value)),
        PageAnswer::Text(text) => response(StatusCode::OK, "text/plain; charset=utf-8", text.into()),
        PageAnswer::Wrong(why) => json_response(StatusCode::BAD_REQUEST, &json!({ "error": why })),
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    response(status, "application/json", format!("{value}\n").into())
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

fn pretty(value: &Value) -> Bytes {
    format!("{value:#}\n").into()
}
