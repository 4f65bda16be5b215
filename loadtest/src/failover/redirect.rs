//! Asks a router over HTTP where a request should go, on behalf of a client whom the request names.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::header::{HeaderName, LOCATION};
use http::{HeaderValue, StatusCode, Uri};
use tokio::time::timeout;

use super::cdn::HOST;
use crate::client::{Connection, Protocol, whole};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is asked for. Nobody goes there.
const PATH: &str = "/film/1.m4s";

/// By which a proxy that is trusted says who its client is.
const CLIENT: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Someone who asks, over one connection for as long as it lasts.
pub(super) struct RedirectClient {
    server: SocketAddr,
    connection: Option<Connection>,
}

impl RedirectClient {
    pub(super) fn new(server: SocketAddr) -> RedirectClient {
        RedirectClient {
            server,
            connection: None,
        }
    }

    /// The address that `client` is redirected to.
    ///
    /// # Errors
    ///
    /// When no answer comes, or one that is no redirect to an address.
    pub(super) async fn ask(&mut self, client: Ipv4Addr) -> Result<Ipv4Addr, String> {
        match timeout(PATIENCE, self.exchange(client)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("redirect: no answer within {} ms", PATIENCE.as_millis())),
        }
    }

    /// A connection on which anything fails is not used again.
    async fn exchange(&mut self, client: Ipv4Addr) -> Result<Ipv4Addr, String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.server, HOST, Protocol::Plain).await?,
        };
        let name = HeaderValue::try_from(client.to_string()).map_err(|error| error.to_string())?;
        let response = connection.get(PATH, &[(CLIENT, name)]).await?;
        let status = response.status();
        let location = response.headers().get(LOCATION).cloned();
        whole(response).await?;
        self.connection = Some(connection);
        if status != StatusCode::FOUND {
            return Err(format!("redirect: the router answers {status}"));
        }
        let target = location.as_ref().and_then(target);
        target.ok_or_else(|| format!("redirect: {location:?} leads to no address"))
    }
}

/// The address that a URL leads to.
fn target(location: &HeaderValue) -> Option<Ipv4Addr> {
    let uri: Uri = location.to_str().ok()?.parse().ok()?;
    uri.host()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_the_address_in_its_url() {
        let of = |url: &'static str| target(&HeaderValue::from_static(url));
        assert_eq!(
            of("http://127.0.1.2:8080/film/1.m4s"),
            Some(Ipv4Addr::new(127, 0, 1, 2))
        );
        assert_eq!(of("https://edge-1.own.test/film/1.m4s"), None);
        assert_eq!(of("/film/1.m4s"), None);
    }
}
