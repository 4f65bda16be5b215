//! The origin through real sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, LAST_MODIFIED, PRAGMA, RANGE,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use tempfile::TempDir;

use super::Options;
use super::server::Origin;
use crate::client::{Connection, Protocol, ask, whole};
use crate::content::{Content, Library};

struct Running {
    address: SocketAddr,
    folder: TempDir,
}

const PATIENCE: Duration = Duration::from_secs(10);

const LIBRARY: Library = Library {
    titles: 2,
    segments: 2,
};

async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        root: folder.path().to_owned(),
        cache_control: HeaderValue::from_static("public, max-age=60"),
        no_pragma: false,
        library: LIBRARY,
    };
    let origin = Origin::bind(options).await.unwrap();
    let address = origin.address();
    tokio::spawn(origin.serve());
    Running { address, folder }
}

impl Running {
    async fn connect(&self) -> Connection {
        Connection::open(self.address, "localhost", Protocol::Plain)
            .await
            .unwrap()
    }

    async fn behave(&self, instruction: &str) -> u16 {
        let text = Bytes::copy_from_slice(instruction.as_bytes());
        ask(self.address, Method::POST, "/_origin/behave", text, PATIENCE)
            .await
            .unwrap()
            .0
            .as_u16()
    }

    async fn counts(&self) -> serde_json::Value {
        let answer = ask(
            self.address,
            Method::GET,
            "/_origin/counts",
            Bytes::new(),
            PATIENCE,
        )
        .await;
        serde_json::from_slice(&answer.unwrap().1).unwrap()
    }
}

const NONE: &[(HeaderName, HeaderValue)] = &[];

#[tokio::test]
async fn made_up_objects_have_their_bytes_whole_and_in_ranges() {
    let running = start().await;
    let mut connection = running.connect().await;
    for path in [
        "/objects/a/1KiB",
        "/objects/a/300KiB",
        "/library/title-0001/720p/1.m4s",
        "/library/title-0000/master.m3u8",
    ] {
        let content = Content::of(path, &LIBRARY).unwrap();
        let response = connection.get(path, NONE).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[CONTENT_LENGTH],
            content.length().to_string().as_str()
        );
        assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=60");
        assert_eq!(response.headers()[PRAGMA], "no-cache");
        assert!(response.headers().contains_key(LAST_MODIFIED));
        let bytes = whole(response).await.unwrap();
        assert_eq!(bytes.len() as u64, content.length());
        assert!(content.matches(0, &bytes), "{path}");
        let range = [(RANGE, HeaderValue::from_static("bytes=100-299"))];
        let response = connection.get(path, &range).await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(
            response.headers()[CONTENT_RANGE],
            format!("bytes 100-299/{}", content.length()).as_str()
        );
        assert_eq!(whole(response).await.unwrap(), bytes.slice(100..300));
    }
}

#[tokio::test]
async fn files_are_served_with_validators_and_revalidated() {
    let running = start().await;
    std::fs::write(running.folder.path().join("a.txt"), "hello").unwrap();
    let mut connection = running.connect().await;
    let response = connection.get("/a.txt", NONE).await.unwrap();
    let etag = response.headers()[ETAG].clone();
    assert_eq!(whole(response).await.unwrap(), "hello");
    let response = connection
        .get("/a.txt", &[(IF_NONE_MATCH, etag.clone())])
        .await
        .unwrap();
    assert_eq!(
        (response.status(), &response.headers()[ETAG]),
        (StatusCode::NOT_MODIFIED, &etag)
    );
    assert!(whole(response).await.unwrap().is_empty());
    assert_eq!(
        connection.get("/missing", NONE).await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    let counts = running.counts().await;
    assert_eq!(
        (&counts["by_path"]["/a.txt"], &counts["not_modified"]),
        (&2.into(), &1.into())
    );
    assert_eq!(counts["body_bytes"], 5);
}

#[tokio::test]
async fn a_head_request_has_the_length_and_no_body() {
    let running = start().await;
    let request = Request::builder()
        .method(Method::HEAD)
        .uri("/objects/a/10MB")
        .body(Full::default())
        .unwrap();
    let response = running.connect().await.send(request, NONE).await.unwrap();
    assert_eq!(response.headers()[CONTENT_LENGTH], "10000000");
    assert!(whole(response).await.unwrap().is_empty());
}

#[tokio::test]
async fn queries_do_not_part_the_counts() {
    let running = start().await;
    let mut connection = running.connect().await;
    for path in ["/objects/a/1B?token=a", "/objects/a/1B?token=b", "/objects/b/1B"] {
        whole(connection.get(path, NONE).await.unwrap()).await.unwrap();
    }
    let counts = running.counts().await;
    assert_eq!(
        counts["by_path"],
        serde_json::json!({ "/objects/a/1B": 2, "/objects/b/1B": 1 })
    );
    assert_eq!(counts["requests"], 3);
}

#[tokio::test]
async fn a_paced_body_takes_its_time_and_is_right() {
    let running = start().await;
    assert_eq!(
        running
            .behave(r#"{"prefix":"/objects/slow/","bytes_per_second":400000}"#)
            .await,
        204
    );
    let began = Instant::now();
    let bytes = whole(
        running
            .connect()
            .await
            .get("/objects/slow/100KB", NONE)
            .await
            .unwrap(),
    )
    .await
    .unwrap();
    let took = began.elapsed();
    assert!(
        Content::of("/objects/slow/100KB", &LIBRARY)
            .unwrap()
            .matches(0, &bytes)
    );
    assert!(
        took >= Duration::from_millis(190),
        "100 KB at 400 KB/s in {took:?}"
    );
}

#[tokio::test]
async fn a_failing_path_has_the_status_it_was_told() {
    let running = start().await;
    assert_eq!(
        running
            .behave(r#"{"prefix":"/objects/","status":503,"cache_control":"no-store"}"#)
            .await,
        204
    );
    let mut connection = running.connect().await;
    let response = connection.get("/objects/a/1B", NONE).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()[CACHE_CONTROL]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &HeaderValue::from_static("no-store")
        )
    );
    assert_eq!(
        connection
            .get("/library/title-0000/master.m3u8", NONE)
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    assert_eq!(running.behave(r#"{"prefix":"/objects/"}"#).await, 204);
    assert_eq!(
        running
            .connect()
            .await
            .get("/objects/a/1B", NONE)
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    assert_eq!(running.behave(r#"{"prefix":"/objects/","staus":503}"#).await, 400);
}

#[tokio::test]
async fn truncated_and_reset_bodies_are_seen_as_broken() {
    let running = start().await;
    running
        .behave(r#"{"prefix":"/objects/short/","truncate_after_bytes":1000}"#)
        .await;
    running
        .behave(r#"{"prefix":"/objects/reset/","reset_after_bytes":1000}"#)
        .await;
    running
        .behave(r#"{"prefix":"/objects/refused/","reset_after_bytes":0}"#)
        .await;
    for path in ["/objects/short/10KB", "/objects/reset/10KB"] {
        let response = running.connect().await.get(path, NONE).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        whole(response).await.expect_err(path);
    }
    running
        .connect()
        .await
        .get("/objects/refused/10KB", NONE)
        .await
        .expect_err("reset before the head");
}

#[tokio::test]
async fn a_hanging_path_sends_nothing_and_others_go_on() {
    let running = start().await;
    running.behave(r#"{"prefix":"/objects/hung/","hang":true}"#).await;
    let mut hung = running.connect().await;
    let mut other = running.connect().await;
    let answered = tokio::select! {
        answer = hung.get("/objects/hung/1B", NONE) => Err(answer.is_ok()),
        answer = other.get("/objects/a/1B", NONE) => Ok(answer.unwrap().status()),
    };
    assert_eq!(answered, Ok(StatusCode::OK));
}
