//! What a receiver's dialect is: an entry of the outbox in, an HTTP request out, as data.

use std::fmt;
use std::time::Duration;

use model::Moment;

use super::fold::Alert;
use super::outbox::entry::Entry;

/// A POST that was not made yet. Its headers or its body hold secrets, so it prints only where it goes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// What must not be in the log, should a receiver send it back.
    pub(super) secrets: Vec<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "POST {} ({} bytes)", self.url, self.body.len())
    }
}

impl Request {
    /// A text of the receiver without the secrets that were sent to it.
    pub(super) fn blot(&self, text: &str) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
    }
}

/// One kind of receiver.
pub(super) trait Sink: Send {
    /// As metrics, the log and the outbox name it; it must never change.
    fn name(&self) -> &'static str;

    /// Fails when a secret cannot be read; it is tried again later.
    fn request(&self, entry: &Entry, now: Moment) -> Result<Request, String>;

    /// How often a receiver that forgets must be reminded of what fires.
    fn refresh_interval(&self) -> Option<Duration> {
        None
    }

    /// The reminder of some alerts.
    fn refresh(&self, _alerts: &[Alert], _now: Moment) -> Result<Option<Request>, String> {
        Ok(None)
    }
}
