//! TLS: 1.3 and nothing older, h1 and h2, certificates replaced while players ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::cdn::HOST;
use testkit::certificates::CertificateDer;
use testkit::client::{Client, ClientError, Request, run};
use testkit::eventually;
use testkit::origin::Reply;

use crate::{EDGE, one_of_each};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn h1_and_h2_are_spoken_over_tls_1_3_and_1_2_is_refused() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    for (client, protocol) in [(cdn.https(EDGE), "http/1.1"), (cdn.http2(EDGE), "h2")] {
        let response = client.get("/a");
        assert_eq!((response.status(), &response.body[..]), (200, &b"a"[..]));
        let facts = response.tls.expect("TLS");
        assert_eq!(
            (facts.version.as_str(), facts.alpn.as_deref()),
            ("TLSv1_3", Some(protocol))
        );
    }
    let old = Client::tls12(cdn.https_address(EDGE), cdn.authority()).host(HOST);
    let refused = old.try_send(&Request::get("/a"));
    assert!(matches!(refused, Err(ClientError::Tls(_))), "{refused:?}");
    let daemon = cdn.daemon(EDGE);
    eventually(SOON, || {
        daemon.metric("millrace_front_tls_handshakes_total", &[("result", "version")]) == 1.0
    });
    assert_eq!(
        daemon.metric("millrace_front_tls_connections_total", &[("alpn", "h2")]),
        1.0
    );
}

#[test]
fn a_session_is_resumed() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    let client = cdn.https(EDGE);
    assert!(!client.get("/a").tls.expect("TLS").resumed);
    assert!(client.get("/a").tls.expect("TLS").resumed);
}

#[test]
fn a_replaced_certificate_is_shown_to_new_connections_and_no_request_fails() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    let first = cdn.https(EDGE).get("/a").tls.expect("TLS").certificate;
    let running = Arc::new(AtomicBool::new(true));
    let players: Vec<_> = [cdn.https(EDGE), cdn.http2(EDGE), cdn.https(EDGE)]
        .into_iter()
        .map(|client| {
            let running = Arc::clone(&running);
            std::thread::spawn(move || {
                let mut answered = 0;
                while running.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/a").status(), 200);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let lasting = run_on_one_connection(&cdn.https(EDGE), &running);

    for _ in 0..3 {
        let before = cdn.https(EDGE).get("/a").tls.expect("TLS").certificate;
        let _ = cdn.replace_certificate();
        cdn.daemon(EDGE).hang_up();
        eventually(SOON, || {
            cdn.https(EDGE).get("/a").tls.expect("TLS").certificate != before
        });
    }
    running.store(false, Ordering::Relaxed);
    let answered: usize = players.into_iter().map(|player| player.join().unwrap()).sum();
    assert!(answered > 10, "{answered}");
    assert_eq!(
        lasting.join().unwrap(),
        first,
        "an open connection goes on under the certificate it began with"
    );
    let reloads = cdn
        .daemon(EDGE)
        .metric("millrace_front_certificate_reloads_total", &[("result", "ok")]);
    assert!(reloads >= 3.0, "{reloads}");
}

/// A certificate that stays shown to a connection.
type Certificate = Option<CertificateDer<'static>>;

fn run_on_one_connection(client: &Client, running: &Arc<AtomicBool>) -> std::thread::JoinHandle<Certificate> {
    let (client, running) = (client.clone(), Arc::clone(running));
    let (connected, is_connected) = std::sync::mpsc::channel();
    let lasting = std::thread::spawn(move || {
        run(async {
            let mut connection = client.connect().await.unwrap();
            connected.send(()).unwrap();
            while running.load(Ordering::Relaxed) {
                assert_eq!(connection.send(&Request::get("/a")).await.unwrap().status(), 200);
            }
            connection.tls().and_then(|facts| facts.certificate.clone())
        })
    });
    // What happens next must find the connection open.
    is_connected.recv().unwrap();
    lasting
}

#[test]
fn a_broken_certificate_is_complained_of_and_the_old_one_stays() {
    let cdn = one_of_each();
    cdn.origin().on("/a", Reply::ok("a"));
    let before = cdn.https(EDGE).get("/a").tls.expect("TLS").certificate;
    let paths = cdn.replace_certificate();
    std::fs::write(&paths.certificate, "not a certificate").unwrap();
    cdn.daemon(EDGE).hang_up();
    let daemon = cdn.daemon(EDGE);
    eventually(SOON, || {
        daemon.metric("millrace_front_certificate_reloads_total", &[("result", "error")]) >= 1.0
    });
    let complaint = paths.certificate.display().to_string();
    eventually(SOON, || {
        daemon.errors().iter().any(|line| line.contains(&complaint))
    });
    assert_eq!(cdn.https(EDGE).get("/a").tls.expect("TLS").certificate, before);
}
