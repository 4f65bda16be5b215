//! The client over TLS, against a small rustls server made for the purpose.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use testkit::certificates::{Authority, Issued};
use testkit::client::{Client, ClientError, Request};
use testkit::ports::Port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// A server that shakes hands and, over h1, answers one request of each connection.
struct Server {
    port: Port,
}

impl Server {
    fn start(issued: &Issued, versions: &[&'static rustls::SupportedProtocolVersion]) -> Server {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.der.clone()], key)
            .unwrap();
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(settings));
        let port = Port::claim();
        let listener = std::net::TcpListener::bind(port.address()).unwrap();
        listener.set_nonblocking(true).unwrap();
        // The thread lives as long as the test process, which is short.
        std::thread::spawn(move || {
            testkit::client::run(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let Ok(tls) = acceptor.accept(tcp).await else {
                            return;
                        };
                        serve(tls).await;
                    });
                }
            });
        });
        Server { port }
    }

    fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

async fn serve(mut tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        let mut connection = h2::server::handshake(tls).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let response = http::Response::builder()
                .header("x-path", request.uri().path())
                .body(())
                .unwrap();
            let mut body = respond.send_response(response, false).unwrap();
            body.send_data("over h2".into(), true).unwrap();
        }
        return;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.unwrap());
    }
    tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nover h1")
        .await
        .unwrap();
    tls.shutdown().await.unwrap();
}

#[test]
fn h1_and_h2_are_spoken_over_tls_1_3_to_a_trusted_server() {
    let authority = Authority::new();
    let issued = authority.issue(&["media.test"]);
    let server = Server::start(&issued, &[&rustls::version::TLS13]);

    let over_h1 = Client::tls(server.address(), &authority)
        .host("media.test")
        .get("/a");
    over_h1.expect(200).body(b"over h1").and_no_other_field();
    let facts = over_h1.tls.expect("TLS");
    assert_eq!(
        (facts.version.as_str(), facts.alpn.as_deref()),
        ("TLSv1_3", Some("http/1.1"))
    );
    assert_eq!(facts.certificate, Some(issued.der));

    let over_h2 = Client::http2(server.address(), &authority)
        .host("media.test")
        .get("/b");
    over_h2
        .expect(200)
        .field("x-path", "/b")
        .body(b"over h2")
        .and_no_other_field();
    assert_eq!(over_h2.tls.expect("TLS").alpn.as_deref(), Some("h2"));
}

#[test]
fn a_stranger_and_a_wrong_name_are_not_trusted() {
    let authority = Authority::new();
    let server = Server::start(&authority.issue(&["media.test"]), &[&rustls::version::TLS13]);
    let of = |client: Client| client.try_send(&Request::get("/"));
    let stranger = of(Client::tls(server.address(), &Authority::new()).host("media.test"));
    assert!(matches!(stranger, Err(ClientError::Tls(_))), "{stranger:?}");
    let misnamed = of(Client::tls(server.address(), &authority).host("other.test"));
    assert!(matches!(misnamed, Err(ClientError::Tls(_))), "{misnamed:?}");
}

#[test]
fn tls_1_2_can_be_forced() {
    let authority = Authority::new();
    let issued = authority.issue(&["media.test"]);
    let both = Server::start(&issued, &[&rustls::version::TLS13, &rustls::version::TLS12]);
    let response = Client::tls12(both.address(), &authority)
        .host("media.test")
        .get("/");
    assert_eq!(response.tls.expect("TLS").version, "TLSv1_2");
    let modern = Server::start(&issued, &[&rustls::version::TLS13]);
    let refused = Client::tls12(modern.address(), &authority)
        .host("media.test")
        .try_send(&Request::get("/"));
    assert!(matches!(refused, Err(ClientError::Tls(_))), "{refused:?}");
}
