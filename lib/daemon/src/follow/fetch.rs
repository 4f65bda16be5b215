//! A document at a URL, fetched only when the server says that it changed.

use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH};
use ureq::http::{HeaderValue, StatusCode};

use super::MAX_DOCUMENT_BYTES;
use super::source::{Look, Reading};
use crate::config::Secret;

pub(super) struct Fetcher {
    agent: Agent,
    url: String,
    token: Option<Secret>,
    seen: Option<Seen>,
}

/// The last answer with a document in it.
struct Seen {
    etag: Option<HeaderValue>,
    bytes: Vec<u8>,
}

impl Fetcher {
    pub(super) fn new(url: String, token: Option<Secret>, timeout: Duration) -> Fetcher {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent("millrace")
            // Nothing but the configuration says where to connect.
            .proxy(None)
            .build();
        Fetcher {
            agent: config.into(),
            url,
            token,
            seen: None,
        }
    }

    pub(super) fn look(&mut self, look: Look) -> Result<Reading, String> {
        let known = if look == Look::Again {
            None
        } else {
            self.seen.as_ref().and_then(|seen| seen.etag.clone())
        };
        let mut request = self.agent.get(&self.url);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, bearer(&token.reveal()?)?);
        }
        if let Some(etag) = &known {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let mut response = request.call().map_err(|error| error.to_string())?;
        match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => Ok(Reading::Unchanged),
            StatusCode::OK => {
                let etag = response.headers().get(ETAG).cloned();
                let body = response.body_mut().with_config().limit(MAX_DOCUMENT_BYTES);
                let bytes = body.read_to_vec().map_err(|error| error.to_string())?;
                Ok(self.read(look, Seen { etag, bytes }))
            }
            status => Err(format!("the server answers {status}")),
        }
    }

    /// A server without ETags sends the same bytes again and again; they count as a change only once.
    fn read(&mut self, look: Look, new: Seen) -> Reading {
        let same = look == Look::ForChanges && self.seen.as_ref().is_some_and(|seen| seen.bytes == new.bytes);
        let reading = if same {
            Reading::Unchanged
        } else {
            Reading::Changed(new.bytes.clone())
        };
        self.seen = Some(new);
        reading
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "the token holds characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
