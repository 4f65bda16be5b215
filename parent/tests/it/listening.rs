//! A parent answers whoever reaches it, so it is reached on loopback only, and never becomes an open proxy.

use std::time::Duration;

use testkit::origin::Reply;
use testkit::process::run_to_end;

use crate::{PARENT, builder};

#[test]
fn an_address_beyond_loopback_is_a_mistake_in_the_configuration() {
    for address in ["0.0.0.0:21999", "[::]:21999", "192.0.2.1:21999"] {
        let cdn = builder().parents("ams", 1).prepare();
        let config = cdn.config(PARENT);
        let text = std::fs::read_to_string(config).unwrap();
        let own = cdn.addresses(PARENT).http.to_string();
        std::fs::write(config, text.replace(&own, address)).unwrap();
        let ended = run_to_end(
            cdn.binary(PARENT),
            &["--config", config.to_str().unwrap()],
            Duration::from_secs(20),
        );
        assert_eq!(ended.status.code(), Some(2), "{address}: {:?}", ended.errors);
        let text = ended.errors.join("\n");
        assert!(text.contains("loopback") && text.contains(address), "{text}");
    }
}

#[test]
fn a_host_that_no_service_has_is_refused() {
    let cdn = builder().parents("ams", 1).start();
    cdn.origin().on_prefix("/", |_| Reply::ok("content"));
    let own_address = cdn.origin().address().to_string();
    for host in ["other.test", "127.0.0.1", own_address.as_str()] {
        assert_eq!(cdn.http(PARENT).host(host).get("/a").status(), 421, "{host}");
    }
    assert_eq!(cdn.origin().total(), 0);
}

#[test]
fn a_sigterm_ends_an_idle_parent_at_once() {
    let mut cdn = builder().parents("ams", 1).start();
    cdn.daemon(PARENT).terminate();
    assert!(
        cdn.daemon_mut(PARENT)
            .await_end(Duration::from_secs(10))
            .success()
    );
}
