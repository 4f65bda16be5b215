//! A front door with a small application behind it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_http::ResponseHeader;
use prometheus::Registry;
use proxy::front::{
    self, Application, CertificateFiles, ConnectionInfo, FrontConfig, FrontDoor, Http1, Running, TlsConfig,
};
use tempfile::TempDir;
use testkit::certificates::Authority;
use testkit::client::Client;
use tokio::sync::watch;

/// No test waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A front door that is open, and what a test needs to come in.
pub(crate) struct House {
    pub(crate) running: Arc<Running>,
    pub(crate) registry: Registry,
    pub(crate) authority: Authority,
    pub(crate) folder: TempDir,
    /// `/hold` answers once this is true.
    pub(crate) release: watch::Sender<bool>,
    /// Requests that wait in `/hold` or `/block`.
    pub(crate) held: Arc<AtomicUsize>,
    /// `/block` stops its core until a test comes here too.
    pub(crate) barrier: Arc<Barrier>,
}

/// Two cores, both kinds of address, limits that no sound client meets.
pub(crate) fn config() -> FrontConfig {
    FrontConfig {
        http: vec![([127, 0, 0, 1], 0).into()],
        https: vec![([127, 0, 0, 1], 0).into()],
        threads: 2,
        max_connections: 5000,
        header_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        send_timeout: PATIENCE,
        body_timeout: PATIENCE,
        max_header_bytes: 32 * 1024,
        drain_delay: Duration::ZERO,
        drain_timeout: PATIENCE,
        tls: None,
    }
}

impl House {
    /// Opens a front door whose one certificate is for `localhost`.
    pub(crate) fn open(config: FrontConfig) -> House {
        House::open_for(config, &[&["localhost"]])
    }

    /// Opens a front door with a certificate for each group of names.
    pub(crate) fn open_for(config: FrontConfig, names: &[&[&str]]) -> House {
        let authority = Authority::new();
        let folder = TempDir::new().unwrap();
        let certificates = names
            .iter()
            .enumerate()
            .map(|(index, names)| {
                let paths = authority.issue(names).write(folder.path(), &index.to_string());
                CertificateFiles {
                    certificate: paths.certificate,
                    key: paths.key,
                }
            })
            .collect();
        let config = FrontConfig {
            tls: Some(TlsConfig { certificates }),
            ..config
        };
        let registry = Registry::new();
        let (release, released) = watch::channel(false);
        let held = Arc::new(AtomicUsize::new(0));
        let barrier = Arc::new(Barrier::new(2));
        let door = FrontDoor::bind(&config, &registry).unwrap();
        let mut server = HttpServerOptions::default();
        server.h2_idle_timeout = Some(config.idle_timeout);
        let running = {
            let (held, barrier) = (held.clone(), barrier.clone());
            door.run(move |_| {
                Arc::new(App(Arc::new(Inside {
                    h2: front::h2::options(&config),
                    server: server.clone(),
                    released: released.clone(),
                    held: held.clone(),
                    barrier: barrier.clone(),
                })))
            })
            .unwrap()
        };
        House {
            running: Arc::new(running),
            registry,
            authority,
            folder,
            release,
            held,
            barrier,
        }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.running.http()[0]
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.running.https()[0]
    }

    /// A client of the plain address.
    pub(crate) fn plain(&self) -> Client {
        Client::plain(self.http()).patience(PATIENCE)
    }

    /// A client that speaks http/1.1 over TLS.
    pub(crate) fn tls(&self) -> Client {
        Client::tls(self.https(), &self.authority)
            .host("localhost")
            .patience(PATIENCE)
    }

    /// A client that speaks h2 over TLS.
    pub(crate) fn http2(&self) -> Client {
        Client::http2(self.https(), &self.authority)
            .host("localhost")
            .patience(PATIENCE)
    }

    /// The value of a metric of the front door with this label value, or without labels when it is empty; 0 when it
    /// was never counted.
    pub(crate) fn count(&self, metric: &str, label: &str) -> u64 {
        let name = format!("millrace_front_{metric}");
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let found = metrics.iter().find(|metric| {
            metric.get_label().iter().any(|pair| pair.value() == label)
                || (label.is_empty() && metric.get_label().is_empty())
        });
        found.map_or(0, |metric| {
            (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64
        })
    }

    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.count("refused_total", reason)
    }

    /// Waits until every connection has ended.
    pub(crate) fn wait_until_empty(&self) {
        testkit::eventually(PATIENCE, || match self.running.open_connections() {
            0 => Ok(()),
            open => Err(format!("{open} connections are open")),
        });
    }
}

/// Answers `/hello`, `/info`, `/bytes/N`, `/hold` and `/block`.
struct App(Arc<Inside>);

struct Inside {
    h2: H2Options,
    server: HttpServerOptions,
    released: watch::Receiver<bool>,
    held: Arc<AtomicUsize>,
    barrier: Arc<Barrier>,
}

impl Inside {
    async fn body(&self, method: &Method, path: &str, info: &ConnectionInfo) -> Bytes {
        if let Some(length) = path.strip_prefix("/bytes/") {
            return testkit::body(path, length.parse().unwrap());
        }
        match path {
            "/info" => format!("{info:?}").into(),
            "/block" => {
                self.held.fetch_add(1, Ordering::SeqCst);
                self.barrier.wait();
                "blocked".into()
            }
            "/hold" => {
                self.held.fetch_add(1, Ordering::SeqCst);
                let mut released = self.released.clone();
                let _ = released.wait_for(|released| *released).await;
                self.held.fetch_sub(1, Ordering::SeqCst);
                "held".into()
            }
            _ if method == Method::POST => format!("posted to {path}").into(),
            _ => format!("hello {path}").into(),
        }
    }
}

impl Application for App {
    type Http2 = Inside;

    async fn serve_http1(&self, mut connection: Http1, shutdown: &ShutdownWatch) {
        let info = connection.info().clone();
        while let Some(head) = connection.next().await {
            // Decided before the answer is made, as when it is streamed.
            let keeps = head.keeps && !*shutdown.borrow();
            let body = self.0.body(&head.method, head.target(), &info).await;
            let word = if keeps { "keep-alive" } else { "close" };
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: {word}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let mut pieces = VecDeque::from([Bytes::from(head), body]);
            if connection.send(&mut pieces).await.is_err() {
                return;
            }
            if !keeps {
                return connection.say_goodbye().await;
            }
        }
    }

    fn http2(&self) -> &Arc<Inside> {
        &self.0
    }
}

#[async_trait]
impl HttpServerApp for Inside {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        let info = front::connection_info(&session).cloned().unwrap();
        let (method, path) = {
            let head = session.req_header();
            (head.method.clone(), head.uri.path().to_owned())
        };
        let body = self.body(&method, &path, &info).await;
        let mut head = ResponseHeader::build(200, None).ok()?;
        head.insert_header("content-length", body.len().to_string())
            .ok()?;
        session.write_response_header(Box::new(head)).await.ok()?;
        session.write_response_body(body, true).await.ok()?;
        session.finish().await.ok()?;
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.h2.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.server)
    }
}
