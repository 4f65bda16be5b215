//! HTTP/2 over TLS, by the `h2` crate, which checks the protocol itself.

use std::future::poll_fn;
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
            let (mut response, mut body) =
                send.send_request(message(request, host)?, request.body.is_none())?;
            if let Some(bytes) = &request.body {
                body.send_data(bytes.clone(), request.trailers.is_empty())?;
                if !request.trailers.is_empty() {
                    body.send_trailers(trailers(request)?)?;
                }
            }
            let mut interim = Vec::new();
            while let Some(early) = poll_fn(|cx| response.poll_informational(cx)).await {
                interim.push(head_of(&early?.into_parts().0));
            }
            Ok::<_, ClientError>((response.await?, interim))
        };
        let (response, interim) = timeout(patience, exchange)
            .await
            .map_err(|_| ClientError::Timeout(patience))??;
        let (parts, body) = response.into_parts();
        let head = Head {
            interim: interim.iter().map(|head| head.status).collect(),
            interim_heads: interim,
            ..head_of(&parts)
        };
        Ok((head, body))
    }

    /// The trailer fields of a body that was read to its end.
    pub(super) async fn trailers(
        body: &mut RecvStream,
        patience: Duration,
    ) -> Result<Vec<(String, String)>, ClientError> {
        let trailers = timeout(patience, body.trailers())
            .await
            .map_err(|_| ClientError::Timeout(patience))??;
        Ok(trailers.as_ref().map(fields_of).unwrap_or_default())
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

fn head_of(parts: &http::response::Parts) -> Head {
    Head {
        status: parts.status.as_u16(),
        fields: fields_of(&parts.headers),
        interim: Vec::new(),
        interim_heads: Vec::new(),
    }
}

fn fields_of(fields: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
    let named = fields.iter();
    named
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

fn trailers(request: &Request) -> Result<http::HeaderMap, ClientError> {
    let mut fields = http::HeaderMap::new();
    for (name, value) in &request.trailers {
        let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) else {
            return Err(ClientError::Violation(format!("{name}: {value} is no trailer")));
        };
        fields.append(name, value);
    }
    Ok(fields)
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
    if let (Some(body), None) = (&request.body, request.chunked) {
        message = message.header("content-length", body.len());
    }
    message.version(http::Version::HTTP_2).body(()).map_err(invalid)
}
