//! What an origin can do wrong, and that a client tells these apart.

use std::time::Duration;

use testkit::client::{Client, ClientError, Request};
use testkit::origin::{Origin, Reply};

fn failure_of(reply: Reply) -> ClientError {
    let origin = Origin::start();
    origin.on("/a", reply);
    let client = Client::plain(origin.address()).patience(Duration::from_millis(300));
    let failure = client
        .try_send(&Request::get("/a"))
        .expect_err("the origin fails");
    assert_eq!(origin.count("/a"), 1, "the request was taken before the failure");
    failure
}

#[test]
fn a_reset_before_the_answer_is_a_reset() {
    assert!(matches!(failure_of(Reply::reset()), ClientError::Reset));
}

#[test]
fn a_close_without_an_answer_is_a_close() {
    assert!(matches!(failure_of(Reply::close()), ClientError::Closed));
}

#[test]
fn silence_is_a_timeout() {
    assert!(matches!(failure_of(Reply::hang()), ClientError::Timeout(_)));
    assert!(matches!(
        failure_of(Reply::generated("a", 10_000).stalled_at(5_000)),
        ClientError::Timeout(_)
    ));
}

#[test]
fn a_body_cut_short_says_how_short() {
    let failure = failure_of(Reply::generated("a", 10_000).truncated_at(4_000));
    assert!(
        matches!(
            failure,
            ClientError::Truncated {
                received: 4_000,
                announced: Some(10_000)
            }
        ),
        "{failure}"
    );
    let failure = failure_of(Reply::generated("a", 10_000).chunked(1_000).truncated_at(4_000));
    assert!(
        matches!(
            failure,
            ClientError::Truncated {
                received: 4_000,
                announced: None
            }
        ),
        "{failure}"
    );
}

#[test]
fn a_reset_inside_the_body_is_a_reset() {
    let failure = failure_of(Reply::generated("a", 10_000).reset_at(4_000));
    assert!(matches!(failure, ClientError::Reset), "{failure}");
}

#[test]
fn a_stopped_origin_refuses_and_a_started_one_answers_on_the_same_port() {
    let mut origin = Origin::start();
    origin.on("/a", Reply::ok("hello"));
    let client = Client::plain(origin.address());
    client.get("/a").expect(200).and_no_other_field();
    origin.stop();
    let refused = client.try_send(&Request::get("/a")).expect_err("nobody listens");
    assert!(
        matches!(&refused, ClientError::Connect(error) if error.kind() == std::io::ErrorKind::ConnectionRefused),
        "{refused}"
    );
    origin.start_again();
    client.get("/a").expect(200).body(b"hello").and_no_other_field();
    assert_eq!(origin.count("/a"), 2);
}

#[test]
fn a_request_that_breaks_the_protocol_is_refused_and_remembered() {
    let result = std::panic::catch_unwind(|| {
        let origin = Origin::start();
        let raw = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let response = Client::plain(origin.address()).try_raw(raw).unwrap();
        response.expect(400).and_no_other_field();
        assert_eq!(origin.total(), 0);
    });
    let message = *result
        .expect_err("dropping such an origin fails the test")
        .downcast::<String>()
        .unwrap();
    assert!(message.contains("ambiguous framing"), "{message}");
}
