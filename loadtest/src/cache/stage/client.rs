//! A client of the edge that compares every body with what it should be.

use std::net::SocketAddr;
use std::time::Duration;

use super::objects::Object;
use crate::client::{Connection, Protocol, whole};

/// How long one answer may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Answer {
    /// All bytes, and they are right. `hit`: the edge had them.
    Right { hit: bool },
    /// Bytes that are not the object's, or too few of them without an error.
    Wrong(String),
    /// No connection, no answer, an error status, or a body that broke off.
    Failed(String),
}

/// Keeps one connection and opens it again when it broke.
pub(in crate::cache) struct Client {
    edge: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    pub(super) fn new(edge: SocketAddr) -> Client {
        Client {
            edge,
            connection: None,
        }
    }

    /// Asks for the whole object.
    pub(in crate::cache) async fn fetch(&mut self, object: Object) -> Answer {
        match tokio::time::timeout(PATIENCE, self.exchange(object)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => {
                self.connection = None;
                Answer::Failed(reason)
            }
            Err(_) => {
                self.connection = None;
                Answer::Failed(format!("no whole answer within {} s", PATIENCE.as_secs()))
            }
        }
    }

    async fn exchange(&mut self, object: Object) -> Result<Answer, String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let opened = Connection::open(self.edge, "localhost", Protocol::Plain).await?;
                self.connection.insert(opened)
            }
        };
        let response = connection.get(&object.path(), &[]).await?;
        if !response.status().is_success() {
            return Err(format!(
                "{} was answered with {}",
                object.path(),
                response.status()
            ));
        }
        let status = response.headers().get_all("cache-status").iter().next_back();
        let hit = status.is_some_and(|status| is_hit(&String::from_utf8_lossy(status.as_bytes())));
        let body = whole(response).await.map_err(|how| {
            let nearest = if hit { "from the edge's cache" } else { "fetched" };
            format!("{}, {nearest}: {how}", object.path())
        })?;
        Ok(match object.is(&body) {
            true => Answer::Right { hit },
            false => Answer::Wrong(format!("{}: {} bytes that are not it", object.path(), body.len())),
        })
    }
}

/// Whether the cache nearest to us, which is the last of the list, had it (RFC 9211).
fn is_hit(cache_status: &str) -> bool {
    let nearest = cache_status.rsplit(',').next().unwrap_or_default();
    nearest.split(';').any(|parameter| parameter.trim() == "hit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_cache_counts() {
        assert!(is_hit("parent-1; fwd=uri-miss, edge-1; hit; ttl=7"));
        assert!(!is_hit("parent-1; hit, edge-1; fwd=uri-miss"));
        assert!(!is_hit(""));
    }
}
