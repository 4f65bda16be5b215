//! Connections to servers that the configuration names: HTTP/1.1, plain or over TLS 1.3.
//!
//! For what one daemon says to another. Nothing is pooled, followed or retried: who asks decides.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::Uri;
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long bytes may be on their way, or find no room at the other end, before the connection counts as broken. A machine
/// that lost its power or its cable says nothing; left alone, the kernel goes on trying for a quarter of an hour.
const UNTAKEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A server: `http://host:port` or `https://host:port`, and nothing behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Server {
    secure: bool,
    host: String,
    port: u16,
}

/// Whom to believe over TLS, prepared once.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Server {
    /// Whether it is asked over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// What stands in the field `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether the way to it never leaves this machine, as far as its name tells.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Connects, and starts the task that moves the connection's bytes; it ends when the connection does.
    ///
    /// # Errors
    ///
    /// What the network or the TLS handshake says. Nothing here is bounded in time: the caller's timeout is. Once it is
    /// there, the connection breaks when the other side takes no bytes for five seconds.
    pub async fn connect<B>(&self, trust: &Trust) -> io::Result<SendRequest<B>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(UNTAKEN_TIMEOUT))?;
        if self.secure {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::clone(&trust.0));
            converse(connector.connect(name, stream).await?).await
        } else {
            converse(stream).await
        }
    }
}

async fn converse<S, B>(stream: S) -> io::Result<SendRequest<B>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (requests, conversation) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = conversation.await {
            tracing::debug!(%error, "a connection to another daemon broke");
        }
    });
    Ok(requests)
}

impl Trust {
    /// The authorities of `ca_file`, or of the system where none is named.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or that the system has no authorities.
    pub fn new(ca_file: Option<&Path>) -> Result<Trust, String> {
        let roots = roots(ca_file)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| format!("TLS 1.3 cannot be spoken: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::default();
        Ok(Trust(Arc::new(config)))
    }
}

/// The certificates in the PEM file `ca_file`, or those of the system where none is named. A system without any gives
/// none: then every certificate is refused when it comes to it, and what speaks plain HTTP works all the same.
///
/// # Errors
///
/// What is wrong with the file.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        let found = rustls_native_certs::load_native_certs().unwrap_or_default();
        roots.add_parsable_certificates(found);
        return Ok(roots);
    };
    let wrong = |what: &dyn fmt::Display| format!("{} cannot be used: {what}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there is no certificate in it"));
    }
    Ok(roots)
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Server, String> {
        let expected = "expected http://host:port or https://host:port";
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("{text:?} is no URL ({error}), {expected}"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("{text:?} has neither scheme, {expected}")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{text:?} names no host, {expected}"))?;
        if authority.as_str().contains('@') {
            return Err(format!(
                "a password stands in the URL, {expected}; name a token beside it"
            ));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("{text:?} names a path, {expected}"));
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Server {
            secure,
            host: authority.host().to_owned(),
            port,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Server, String> {
        text.parse()
    }
}

impl From<Server> for String {
    fn from(server: Server) -> String {
        server.to_string()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, Full};
    use hyper::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_server_is_a_url_without_anything_behind_it() {
        for (text, shown, secure) in [
            ("http://127.0.0.1:8070", "http://127.0.0.1:8070", false),
            ("https://monitor.example", "https://monitor.example:443", true),
            ("http://[::1]:8070/", "http://[::1]:8070", false),
        ] {
            let server: Server = text.parse().unwrap();
            assert_eq!((server.to_string().as_str(), server.is_secure()), (shown, secure));
        }
        for text in [
            "",
            "ftp://a",
            "monitor:8070",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
        ] {
            let error = text.parse::<Server>().unwrap_err();
            assert!(
                error.contains("expected http://host:port") && !error.contains("u:p"),
                "{error}"
            );
        }
        assert!("http://[::1]:1".parse::<Server>().unwrap().is_loopback());
        assert!(!"http://192.0.2.1".parse::<Server>().unwrap().is_loopback());
    }

    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            .await;
    }

    async fn ask(server: &Server, trust: &Trust) -> io::Result<Bytes> {
        let mut requests = server.connect::<Empty<Bytes>>(trust).await?;
        let request = Request::get("/")
            .header("host", server.authority())
            .body(Empty::new());
        let response = requests
            .send_request(request.expect("a request is well formed"))
            .await
            .map_err(io::Error::other)?;
        Ok(response
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?
            .to_bytes())
    }

    #[tokio::test]
    async fn a_server_is_asked_plainly_and_over_tls_when_its_certificate_is_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (plain, secure) = (
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let urls = [
            format!("http://localhost:{}", plain.local_addr().unwrap().port()),
            format!("https://localhost:{}", secure.local_addr().unwrap().port()),
        ];
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Ok((stream, _)) = plain.accept() => answer(stream).await,
                    Ok((stream, _)) = secure.accept() => if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream).await;
                    },
                }
            }
        });
        let trusting = Trust::new(Some(&ca_file)).unwrap();
        for url in &urls {
            assert_eq!(ask(&url.parse().unwrap(), &trusting).await.unwrap(), "hi");
        }
        let stranger = Trust::new(None).unwrap();
        assert!(ask(&urls[1].parse().unwrap(), &stranger).await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_takes_no_bytes_is_given_up() {
        let listener = tokio::net::TcpSocket::new_v4().unwrap();
        listener.set_recv_buffer_size(4096).unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(1).unwrap();
        let server: Server = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let trust = Trust::new(None).unwrap();
        let mut requests = server.connect::<Full<Bytes>>(&trust).await.unwrap();
        // Accepted, and never read.
        let (_taken, _) = listener.accept().await.unwrap();
        let request = Request::post("/")
            .header("host", server.authority())
            .body(Full::from(vec![0; 16 << 20]))
            .unwrap();
        let broken = requests.send_request(request);
        let broken = tokio::time::timeout(Duration::from_secs(60), broken).await;
        assert!(broken.expect("it is given up").is_err());
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(Trust::new(Some(&file)).unwrap_err().contains("ca.pem"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(Trust::new(Some(&file)).unwrap_err().contains("no certificate"));
    }
}
