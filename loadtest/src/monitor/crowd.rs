//! Many nodes that are none: each answers `/healthz` over TLS and `/metrics`, and keeps its streams of heartbeats.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use model::health::Beat;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);

/// Between the end of a stream and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The addresses of one node, bound.
pub(super) struct Seat {
    pub(super) name: String,
    https: TcpListener,
    admin: TcpListener,
}

impl Seat {
    /// # Errors
    ///
    /// When the kernel has no more ports.
    pub(super) async fn take(number: usize) -> Result<Seat, String> {
        let bind = || async {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .map_err(|error| format!("there are no ports for so many nodes: {error}"))
        };
        Ok(Seat {
            name: format!("edge-{number}"),
            https: bind().await?,
            admin: bind().await?,
        })
    }

    pub(super) fn addresses(&self) -> Result<(SocketAddr, SocketAddr), String> {
        let of = |listener: &TcpListener| listener.local_addr().map_err(|error| error.to_string());
        Ok((of(&self.https)?, of(&self.admin)?))
    }

    /// Answers for ever.
    pub(super) fn open(self, acceptor: TlsAcceptor, monitors: &[SocketAddr], template: &Arc<str>) {
        for monitor in monitors {
            tokio::spawn(beat_for_ever(self.name.clone(), *monitor));
        }
        let name: Arc<str> = self.name.into();
        let health: Bytes = format!(
            "{{\"node\":\"{name}\",\"tier\":\"edge\",\"state\":\"serving\",\"started\":1,\
             \"disks\":{{\"healthy\":2,\"suspect\":0,\"read_only\":0,\"offline\":0}}}}\n"
        )
        .into();
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.https.accept().await {
                let (acceptor, health) = (acceptor.clone(), health.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream, move || health.clone()).await;
                    }
                });
            }
        });
        let (template, began) = (Arc::clone(template), Instant::now());
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.admin.accept().await {
                let template = Arc::clone(&template);
                tokio::spawn(answer(stream, move || {
                    // Every counter moves.
                    let count = began.elapsed().as_millis().to_string();
                    template.replace("$COUNT", &count).into()
                }));
            }
        });
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    body: impl Fn() -> Bytes + Send + Sync + 'static,
) {
    let service = service_fn(move |_: Request<Incoming>| {
        let body: BoxBody<Bytes, Infallible> = Full::new(body()).boxed();
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    // Who asks may leave whenever it likes.
    let _ = server::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn beat_for_ever(node: String, monitor: SocketAddr) {
    loop {
        // The monitor may not be there yet, or any more.
        let _ = beat(&node, monitor).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn beat(node: &str, monitor: SocketAddr) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(monitor).await?;
    let (mut requests, conversation) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(conversation);
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post("/v1/heartbeat")
        .header("host", monitor.to_string())
        .body(body)?;
    let beats = async {
        for sequence in 0.. {
            let beat = Beat {
                node: node.to_owned(),
                started: 1,
                sequence,
                ready: true,
                draining: false,
                disks: model::health::DiskCounts {
                    healthy: 2,
                    ..Default::default()
                },
            };
            let line = serde_json::to_string(&beat)? + "\n";
            sender.send_data(line.into()).await?;
            tokio::time::sleep(BEAT).await;
        }
        Ok(())
    };
    let listen = async {
        let response = requests.send_request(request).await?;
        let _ = response.into_body().collect().await;
        Ok(())
    };
    tokio::select! {
        ended = beats => ended,
        ended = listen => ended,
    }
}
