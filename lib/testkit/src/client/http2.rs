//! HTTP/2 over TLS, by the `h2` crate, which checks the protocol itself.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::Uri;
use tokio::time::timeout;

use super::error::ClientError;
use super::request::Request;
use super::response::Head;
use super::stream::Stream;

/// One h2 connection; its driver runs as a task of the runtime it was made on.
pub(super) struct Http2 {
    send: SendRequest<Bytes>,
    patience: Duration,
    driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub(super) async fn new(
        io: Stream,
        window: Option<u32>,
        patience: Duration,
    ) -> Result<Http2, ClientError> {
        let mut settings = h2::client::Builder::new();
        if let Some(window) = window {
            settings.initial_window_size(window);
        }
        let (send, connection) = settings.handshake(io).await?;
        Ok(Http2 {
            send,
            patience,
            driver: tokio::spawn(connection),
        })
    }

    /// Sends a request whole and waits for the head of its response.
    pub(super) async fn begin(
        &mut self,
        request: &Request,
        host: &str,
    ) -> Result<(Head, RecvStream), ClientError> {
        let patience = self.patience;
        let exchange = async {
            let mut send = self.send.clone().ready().await?;
            let (response, mut body) = send.send_request(message(request, host)?, request.body.is_none())?;
            if let Some(bytes) = &request.body {
                body.send_data(bytes.clone(), true)?;
            }
            Ok::<_, ClientError>(response.await?)
        };
        let response = timeout(patience, exchange)
            .await
            .map_err(|_| ClientError::Timeout(patience))??;
        let (parts, body) = response.into_parts();
        let text =
            |value: &http::HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
        let fields = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        Ok((
            Head {
                status: parts.status.as_u16(),
                fields,
                interim: Vec::new(),
            },
            body,
        ))
    }

    /// The next bytes of a body; `None` at its end. What is handed out may be sent again by the peer.
    pub(super) async fn chunk(
        body: &mut RecvStream,
        patience: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        let data = timeout(patience, body.data())
            .await
            .map_err(|_| ClientError::Timeout(patience))?;
        let Some(bytes) = data.transpose()? else {
            return Ok(None);
        };
        body.flow_control().release_capacity(bytes.len())?;
        Ok(Some(bytes))
    }

    /// Whether the connection is at its end: closed by either side.
    pub(super) fn has_ended(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn message(request: &Request, host: &str) -> Result<http::Request<()>, ClientError> {
    let invalid =
        |error: http::Error| ClientError::Violation(format!("this request cannot be sent over h2: {error}"));
    let uri = Uri::builder()
        .scheme("https")
        .authority(host)
        .path_and_query(request.target.as_str())
        .build();
    let mut message = http::Request::builder()
        .method(request.method.as_str())
        .uri(uri.map_err(invalid)?);
    for (name, value) in &request.fields {
        message = message.header(name, value);
    }
    if let Some(body) = &request.body {
        message = message.header("content-length", body.len());
    }
    message.version(http::Version::HTTP_2).body(()).map_err(invalid)
}
