//! A small HTTP server under a test's control, for the follower to look at.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

/// How the server answers.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// A document with an ETag, honoured in `If-None-Match`.
    Tagged(&'static str, &'static str),
    /// A document without an ETag.
    Untagged(&'static str),
    Status(u16),
    /// Accepts the request and never answers.
    Silent,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    statuses: Vec<u16>,
    authorization: Option<String>,
}

impl Server {
    /// Serves on a free port until the test ends.
    pub(crate) fn start(manner: Manner) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(Mutex::new(State {
            manner,
            statuses: Vec::new(),
            authorization: None,
        }));
        let server = Server {
            address: listener.local_addr().unwrap(),
            state,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let serving = server.clone();
        std::thread::spawn(move || runtime.block_on(serving.serve(listener)));
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/snapshot", self.address)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// The statuses that were answered so far.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        self.state.lock().unwrap().statuses.clone()
    }

    pub(crate) fn authorization(&self) -> Option<String> {
        self.state.lock().unwrap().authorization.clone()
    }

    async fn serve(self, listener: TcpListener) {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| server.answer(request));
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        let header = |name| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let manner = {
            let mut state = self.state.lock().unwrap();
            state.authorization = header("authorization");
            state.manner.clone()
        };
        let mut response = Response::new(Full::new(Bytes::new()));
        match manner {
            Manner::Tagged(etag, _) if header("if-none-match").as_deref() == Some(etag) => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            Manner::Tagged(etag, text) => {
                response.headers_mut().insert("etag", etag.parse().unwrap());
                *response.body_mut() = Full::new(text.into());
            }
            Manner::Untagged(text) => *response.body_mut() = Full::new(text.into()),
            Manner::Status(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
            Manner::Silent => std::future::pending().await,
        }
        self.state
            .lock()
            .unwrap()
            .statuses
            .push(response.status().as_u16());
        Ok(response)
    }
}
