//! What must hold of what proxies say of their clients, whatever the bytes.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use super::client::{Preamble, Trusted, preamble};

/// Panics where a property does not hold of `bytes`.
pub fn holds(bytes: &[u8]) {
    let told = preamble(bytes);
    if let Preamble::Whole { bytes: length, .. } = told {
        assert!(length <= bytes.len());
        assert_eq!(preamble(&bytes[..length]), told, "what follows does not matter");
        for shorter in 0..length {
            assert_ne!(
                preamble(&bytes[..shorter]),
                Preamble::None,
                "it could be seen from its beginning"
            );
        }
    }
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value);
        }
    }
    let peer = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(
        Trusted::default().client(peer, &headers),
        peer,
        "nobody is trusted"
    );
    let trusted = Trusted::new(vec!["192.0.2.0/24".parse().expect("a network")]);
    let client = trusted.client(peer, &headers);
    let last = headers.get_all("x-forwarded-for").iter().next_back();
    if last.is_none() {
        assert_eq!(client, peer);
    }
}
