//! TLS: versions, protocols, names, resumption, reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proxy::front::{CertificateFiles, FrontConfig, FrontDoor, TlsConfig};
use testkit::client::{Client, ClientError, Request, crowd, run};

use super::house::{House, PATIENCE, config};

#[test]
fn h1_and_h2_are_spoken_over_tls_13_and_the_application_knows_how() {
    let house = House::open(config());
    for (client, alpn, word) in [(house.tls(), "http/1.1", "Http1"), (house.http2(), "h2", "H2")] {
        let response = client.get("/info");
        let facts = response.tls.clone().unwrap();
        assert_eq!(
            (facts.version.as_str(), facts.alpn.as_deref()),
            ("TLSv1_3", Some(alpn))
        );
        let info = String::from_utf8(response.body.to_vec()).unwrap();
        for part in [
            "version: \"TLSv1.3\"",
            "TLS13_",
            "sni: Some(\"localhost\")",
            word,
            "resumed: false",
        ] {
            assert!(info.contains(part), "{part} is missing from {info}");
        }
        assert!(info.contains(&format!("local: {}", house.https())), "{info}");
    }
    let plain = house.plain().get("/info").body;
    assert!(String::from_utf8_lossy(&plain).contains("tls: None"));
    assert_eq!(house.count("tls_connections_total", "h2"), 1);
    assert_eq!(house.count("tls_handshakes_total", "full"), 2);
    assert_eq!(house.count("accepted_total", "https"), 2);
    assert_eq!(house.count("accepted_total", "http"), 1);
}

#[test]
fn tls_12_is_refused_with_an_alert() {
    let house = House::open(config());
    let client = Client::tls12(house.https(), &house.authority)
        .host("localhost")
        .patience(PATIENCE);
    let Err(ClientError::Tls(error)) = client.try_send(&Request::get("/hello")) else {
        panic!("was served")
    };
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    testkit::eventually(PATIENCE, || house.count("tls_handshakes_total", "version") == 1);
    house.wait_until_empty();
}

#[test]
fn what_is_not_tls_is_refused_and_counted() {
    let house = House::open(config());
    let refused = Client::plain(house.https())
        .patience(PATIENCE)
        .try_send(&Request::get("/hello"));
    assert!(refused.is_err(), "{refused:?}");
    testkit::eventually(PATIENCE, || house.count("tls_handshakes_total", "not_tls") == 1);
}

#[test]
fn the_certificate_follows_the_name_the_client_asks_for() {
    let house = House::open_for(
        config(),
        &[
            &["first.example", "localhost"],
            &["*.wild.example"],
            &["exact.wild.example"],
        ],
    );
    let served = |name: &str| {
        house
            .tls()
            .server_name(name)
            .get("/hello")
            .tls
            .unwrap()
            .certificate
            .unwrap()
    };
    let [first, wild, exact] = ["first.example", "a.wild.example", "exact.wild.example"].map(served);
    assert!(first != wild && wild != exact && exact != first);
    assert_eq!(served("localhost"), first);
    assert_eq!(served("b.WILD.example"), wild);
    // The default is served to strangers, who then refuse it by name.
    let Err(ClientError::Tls(error)) = house
        .tls()
        .server_name("other.example")
        .try_send(&Request::get("/hello"))
    else {
        panic!("a certificate for another name was accepted")
    };
    assert!(error.to_string().contains("first.example"), "{error}");
}

#[test]
fn sessions_resume_on_any_core_and_after_a_reload() {
    let house = House::open(config());
    let client = house.tls();
    run(async {
        let mut resumed = 0;
        for round in 0..20 {
            let response = client
                .fetch(&Request::get("/info").field("Connection", "close"))
                .await
                .unwrap();
            let here = response.tls.unwrap().resumed;
            assert_eq!(
                here,
                String::from_utf8_lossy(&response.body).contains("resumed: true")
            );
            resumed += u32::from(here);
            if round == 10 {
                renew(&house);
                house.running.reload_certificates().unwrap();
            }
        }
        assert_eq!(resumed, 19, "of 20 handshakes all but the first resume");
    });
    assert_eq!(house.count("tls_handshakes_total", "resumed"), 19);
}

/// Writes a new certificate over the first one, and gives back what it is.
fn renew(house: &House) -> rustls_pki_types::CertificateDer<'static> {
    let issued = house.authority.issue(&["localhost"]);
    let _ = issued.write(house.folder.path(), "0");
    issued.der
}

#[test]
fn a_reload_under_load_loses_no_request_and_serves_the_new_certificate() {
    let house = Arc::new(House::open(config()));
    let stop = Arc::new(AtomicBool::new(false));
    let reloads = {
        let (house, stop) = (house.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut last = None;
            for _ in 0..20 {
                last = Some(renew(&house));
                house.running.reload_certificates().unwrap();
            }
            stop.store(true, Ordering::SeqCst);
            last.unwrap()
        })
    };
    let served = crowd(8, |index| {
        let (keeps, stop) = (index % 2 == 0, stop.clone());
        // A client of its own has no session to resume: each handshake asks for the certificate.
        let client = if index % 4 < 2 { house.tls() } else { house.http2() };
        async move {
            let mut count = 0;
            let mut connection = client.connect().await.unwrap();
            while !stop.load(Ordering::SeqCst) || count == 0 {
                if !keeps {
                    connection = client.connect().await.unwrap();
                }
                connection.send(&Request::get("/hello")).await.unwrap();
                count += 1;
            }
            count
        }
    });
    assert!(served.iter().all(|count| *count > 0));
    let last = reloads.join().unwrap();
    assert_eq!(house.tls().get("/hello").tls.unwrap().certificate, Some(last));
    assert_eq!(house.count("certificate_reloads_total", "ok"), 20);
}

#[test]
fn a_bad_file_keeps_the_old_certificate_and_names_itself() {
    let house = House::open(config());
    let before = house.tls().get("/hello").tls.unwrap().certificate;
    let key = house.folder.path().join("0.key");
    let other = house.authority.issue(&["localhost"]);
    for (contents, problem) in [
        (other.key_pem.as_str(), "does not match"),
        ("", "no private key"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "cannot be used",
        ),
    ] {
        std::fs::write(&key, contents).unwrap();
        let error = house.running.reload_certificates().unwrap_err().to_string();
        assert!(
            error.contains(problem) && error.contains("0.key") && !error.contains('\n'),
            "{error}"
        );
    }
    std::fs::remove_file(&key).unwrap();
    assert!(
        house
            .running
            .reload_certificates()
            .unwrap_err()
            .to_string()
            .contains("0.key")
    );
    assert_eq!(house.tls().get("/hello").tls.unwrap().certificate, before);
    assert_eq!(house.count("certificate_reloads_total", "error"), 4);
}

#[test]
fn a_certificate_file_without_a_certificate_keeps_the_door_shut() {
    let house = House::open(config());
    let path = house.folder.path().join("empty.pem");
    std::fs::write(&path, "# nothing here\n").unwrap();
    let files = CertificateFiles {
        certificate: path,
        key: house.folder.path().join("0.key"),
    };
    let config = FrontConfig {
        tls: Some(TlsConfig {
            certificates: vec![files],
        }),
        ..config()
    };
    let Err(error) = FrontDoor::bind(&config, &prometheus::Registry::new()) else {
        panic!("it opened")
    };
    let line = error.to_string();
    assert!(
        line.contains("empty.pem") && line.contains("no certificate"),
        "{line}"
    );
}

#[test]
fn when_a_certificate_expires_is_a_metric() {
    let house = House::open(config());
    let path = house.folder.path().join("0.pem").display().to_string();
    let expires = house.count("certificate_expiry_seconds", &path);
    assert!(expires > daemon::clock::now_millis() / 1000, "{expires}");
}
