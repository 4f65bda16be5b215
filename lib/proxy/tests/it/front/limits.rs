//! Clients that are slow, silent, deaf or too many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proxy::front::FrontConfig;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use testkit::client::{ClientError, Request, crowd, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::house::{House, PATIENCE, config};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_head_that_comes_a_byte_at_a_time_is_answered_408_in_time() {
    let house = House::open(FrontConfig {
        header_timeout: SHORT,
        ..config()
    });
    run(async {
        let mut stream = TcpStream::connect(house.http()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let started = Instant::now();
        let drip = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nCookie: "
                .iter()
                .chain(std::iter::repeat(&b'c'))
            {
                pace.tick().await;
                if write.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
        };
        let mut answer = [0; 12];
        tokio::select! {
            read = read.read_exact(&mut answer) => { read.unwrap(); }
            () = drip => {}
        }
        assert_eq!(&answer, b"HTTP/1.1 408");
        assert!(
            (SHORT..PATIENCE).contains(&started.elapsed()),
            "{:?}",
            started.elapsed()
        );
    });
    assert_eq!(house.refused("header_timeout"), 1);
    house.wait_until_empty();
}

#[test]
fn the_head_of_a_second_request_has_the_same_deadline() {
    let house = House::open(FrontConfig {
        header_timeout: SHORT,
        ..config()
    });
    run(async {
        for client in [house.plain(), house.tls()] {
            let mut connection = client.connect().await.unwrap();
            connection.send(&Request::get("/hello")).await.unwrap();
            connection.write(b"GET / HT").await.unwrap();
            let response = connection.receive("GET").await.unwrap().rest().await.unwrap();
            response
                .expect(408)
                .field("connection", "close")
                .and_no_other_field();
            connection.end().await.unwrap();
        }
    });
    assert_eq!(house.refused("header_timeout"), 2);
}

#[test]
fn a_slow_answer_is_not_taken_for_a_slow_client() {
    let house = House::open(FrontConfig {
        header_timeout: SHORT,
        idle_timeout: SHORT,
        send_timeout: SHORT,
        ..config()
    });
    run(async {
        for client in [house.plain(), house.tls(), house.http2()] {
            house.release.send_replace(false);
            let mut connection = client.connect().await.unwrap();
            let release = async {
                tokio::time::sleep(SHORT * 3).await;
                house.release.send_replace(true);
            };
            let request = Request::get("/hold");
            let (response, ()) = tokio::join!(connection.send(&request), release);
            assert_eq!(response.unwrap().body, "held");
        }
    });
}

#[test]
fn connections_without_a_next_request_are_closed_without_a_word() {
    let house = House::open(FrontConfig {
        idle_timeout: SHORT,
        ..config()
    });
    run(async {
        for (used, client) in [
            (false, house.plain()),
            (true, house.plain()),
            (false, house.tls()),
            (true, house.tls()),
        ] {
            let mut connection = client.connect().await.unwrap();
            if used {
                connection.send(&Request::get("/hello")).await.unwrap();
            }
            let started = Instant::now();
            let ended = connection.receive("GET").await.map(|_| ());
            assert!(matches!(ended, Err(ClientError::Closed)), "{ended:?}");
            assert!(started.elapsed() > SHORT / 2, "{:?}", started.elapsed());
        }
        let mut connection = house.http2().connect().await.unwrap();
        connection.send(&Request::get("/hello")).await.unwrap();
        testkit::eventually_async(PATIENCE, || connection.has_ended()).await;
    });
    assert_eq!(house.count("idle_closed_total", ""), 4);
    house.wait_until_empty();
}

#[test]
fn a_client_that_never_shakes_hands_or_never_begins_h2_is_closed() {
    let house = House::open(FrontConfig {
        header_timeout: SHORT,
        ..config()
    });
    run(async {
        let mut silent = TcpStream::connect(house.https()).await.unwrap();
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
        let mut silent = raw_h2(&house).await;
        silent.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
        // The server's own settings come first, then the end, with or without a close_notify.
        while silent.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
    });
    house.wait_until_empty();
    assert_eq!(house.count("tls_handshakes_total", "timeout"), 1);
    assert_eq!(house.refused("header_timeout"), 1);
}

#[test]
fn one_connection_too_many_is_closed_at_once_and_counted() {
    let house = House::open(FrontConfig {
        max_connections: 3,
        ..config()
    });
    run(async {
        let mut connections = Vec::new();
        for _ in 0..3 {
            let mut connection = house.plain().connect().await.unwrap();
            connection.send(&Request::get("/hello")).await.unwrap();
            connections.push(connection);
        }
        let mut surplus = TcpStream::connect(house.http()).await.unwrap();
        assert_eq!(surplus.read(&mut [0; 8]).await.unwrap_or(0), 0);
        assert_eq!(house.refused("connection_cap"), 1);
        assert_eq!(house.count("connections", ""), 3);
        connections.pop();
        testkit::eventually_async(PATIENCE, || house.running.open_connections() == 2).await;
        house
            .plain()
            .fetch(&Request::get("/hello").field("Connection", "close"))
            .await
            .unwrap();
    });
}

#[test]
fn a_client_that_stops_reading_is_cut_and_delays_nobody() {
    let house = House::open(FrontConfig {
        send_timeout: SHORT,
        threads: 1,
        ..config()
    });
    run(async {
        let large = Request::get("/bytes/50000000");
        let mut deaf = Vec::new();
        for client in [house.plain(), house.tls()] {
            deaf.push(client.connect().await.unwrap());
        }
        let mut answers = Vec::new();
        for connection in &mut deaf {
            answers.push(connection.begin(&large).await.unwrap());
        }
        let _deaf_to_h2 = stop_reading_h2(&house).await;
        let mut connection = house.plain().connect().await.unwrap();
        let started = Instant::now();
        while house.refused("send_timeout") < 3 {
            let asked = Instant::now();
            connection.send(&Request::get("/hello")).await.unwrap();
            assert!(
                asked.elapsed() < PATIENCE / 10,
                "a neighbour waited {:?}",
                asked.elapsed()
            );
            assert!(
                started.elapsed() < PATIENCE,
                "{} of 3 were cut",
                house.refused("send_timeout")
            );
        }
    });
    house.wait_until_empty();
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_served_to_the_end() {
    let house = House::open(FrontConfig {
        send_timeout: SHORT,
        ..config()
    });
    let outcomes = crowd(2, |index| {
        let client = if index == 0 { house.plain() } else { house.tls() };
        async move {
            let mut connection = client.receive_buffer(128 * 1024).connect().await.unwrap();
            let mut exchange = connection.begin(&Request::get("/bytes/6000000")).await.unwrap();
            let mut received = 0;
            let mut pace = tokio::time::interval(SHORT / 3);
            while received < 6_000_000 {
                let more = if received < 2_000_000 {
                    pace.tick().await;
                    exchange.at_least(100_000).await?
                } else {
                    exchange.at_least(1_000_000).await?
                };
                received += more.len();
            }
            Ok::<_, ClientError>(received)
        }
    });
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), 6_000_000);
    }
    assert_eq!(house.refused("send_timeout"), 0);
}

#[test]
fn an_h2_client_that_floods_with_control_frames_is_cut() {
    let house = House::open(config());
    run(async {
        let mut stream = raw_h2(&house).await;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        // SETTINGS that change nothing, 100 a write; each must be acknowledged.
        let settings_frames = b"\0\0\0\x04\0\0\0\0\0".repeat(100);
        let (mut read, mut write) = tokio::io::split(stream);
        let drain = async { while read.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} };
        let flood = async {
            for writes in 0..100_000 {
                if write.write_all(&settings_frames).await.is_err() {
                    return writes;
                }
            }
            100_000
        };
        let (writes, ()) = tokio::join!(flood, drain);
        assert!(writes < 100_000, "the flood was never ended");
    });
    assert_eq!(house.refused("control_flood"), 1);
    house.wait_until_empty();
}

/// A TLS stream that agreed on h2 and has said nothing yet.
async fn raw_h2(house: &House) -> TlsStream<TcpStream> {
    let mut settings =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(house.authority.roots())
            .with_no_client_auth();
    settings.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(house.https()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(settings))
        .connect(name, tcp)
        .await
        .unwrap()
}

/// Asks for a large body with windows that let all of it come, and stops reading when it begins to.
async fn stop_reading_h2(house: &House) -> impl Sized {
    let (mut requests, mut connection) = h2::client::Builder::new()
        .initial_window_size(1 << 30)
        .initial_connection_window_size(1 << 30)
        .handshake::<_, Bytes>(raw_h2(house).await)
        .await
        .unwrap();
    let request = http::Request::get("https://localhost/bytes/50000000")
        .body(())
        .unwrap();
    let (response, _) = requests.send_request(request, true).unwrap();
    let body = tokio::select! {
        response = response => response.unwrap().into_body(),
        ended = &mut connection => panic!("{ended:?}"),
    };
    (requests, connection, body)
}
