//! Whether a server redirects as it should, before it is measured.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderMap, StatusCode};

use crate::client::{Connection, Protocol};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the server at `address` sends whoever asks for `path` to that path elsewhere, and lets nobody keep that.
///
/// # Errors
///
/// What it does instead.
pub(super) async fn redirects(address: SocketAddr, path: &str) -> Result<(), String> {
    let exchange = async {
        let mut connection = Connection::open(address, "127.0.0.1", Protocol::Plain).await?;
        connection.get(path, &[]).await
    };
    let response = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| format!("{address} did not answer within {} s", PATIENCE.as_secs()))??;
    right(response.status(), response.headers(), path)
}

fn right(status: StatusCode, headers: &HeaderMap, path: &str) -> Result<(), String> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let (location, caching) = (text(LOCATION), text(CACHE_CONTROL));
    let elsewhere = location
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix(path))
        .is_some_and(|host| !host.is_empty() && !host.contains('/'));
    if status == StatusCode::FOUND && elsewhere && caching == "no-store" {
        return Ok(());
    }
    Err(format!(
        "its answer is {status} with Location {location:?} and Cache-Control {caching:?}"
    ))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_redirect_that_keeps_the_path_and_is_not_kept_is_right() {
        let judge = |status, location: &'static str, caching: &'static str| {
            let headers = [(LOCATION, location), (CACHE_CONTROL, caching)]
                .map(|(name, value)| (name, HeaderValue::from_static(value)));
            right(status, &headers.into_iter().collect(), "/a?b=c").is_ok()
        };
        let found = StatusCode::FOUND;
        assert!(judge(found, "http://edge.example/a?b=c", "no-store"));
        for (status, location, caching) in [
            (StatusCode::OK, "http://edge.example/a?b=c", "no-store"),
            (found, "http://edge.example/a", "no-store"),
            (found, "http:///a?b=c", "no-store"),
            (found, "/a?b=c", "no-store"),
            (found, "http://edge.example/a?b=c", "max-age=60"),
        ] {
            assert!(!judge(status, location, caching), "{status} {location} {caching}");
        }
    }
}
