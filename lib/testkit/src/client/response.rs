//! A response, and the assertion that names every field of it.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use rustls_pki_types::CertificateDer;

/// Fields that any response may carry without being named by a test: the strict parser has checked the framing, and
/// the clock is not the test's.
const ALWAYS_ALLOWED: [&str; 4] = ["date", "content-length", "transfer-encoding", "connection"];

/// Status line and fields of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Names (as sent) and values, in order.
    pub fields: Vec<(String, String)>,
    /// Statuses of the interim responses (1xx) that came before.
    pub interim: Vec<u16>,
    /// The heads of the same.
    pub interim_heads: Vec<Head>,
}

/// A whole response, read strictly.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status and fields.
    pub head: Head,
    /// The body, without its framing.
    pub body: Bytes,
    /// The trailer fields after it: names (as sent) and values, in order. Over h1 they are a violation where the request
    /// did not ask for them (`TE: trailers`).
    pub trailers: Vec<(String, String)>,
    /// What TLS agreed on; `None` over plain TCP.
    pub tls: Option<TlsFacts>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// The protocol chosen by ALPN.
    pub alpn: Option<String>,
    /// The server's own certificate.
    pub certificate: Option<CertificateDer<'static>>,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
}

impl Head {
    /// The value of the only field of this name; `None` when there is none.
    ///
    /// # Panics
    ///
    /// When there are several.
    #[must_use]
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(
            values.len() <= 1,
            "{name} is there {} times:\n{self}",
            values.len()
        );
        values.first().copied()
    }

    /// The values of every field of this name, in order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let matching = self
            .fields
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str()).collect()
    }

    /// The values of every field of this name, joined by commas as RFC 9110 §5.3 has it; empty when there is none.
    #[must_use]
    pub fn joined(&self, name: &str) -> String {
        self.values(name).join(", ")
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.status)?;
        self.fields
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "  {name}: {value}"))
    }
}

impl Response {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The value of the only field of this name; `None` when there is none.
    ///
    /// # Panics
    ///
    /// When there are several.
    #[must_use]
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// Begins an assertion: the status, then every field, then [`Expectation::and_no_other_field`].
    ///
    /// # Panics
    ///
    /// When the status is another.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Expectation<'_> {
        assert_eq!(
            self.head.status,
            status,
            "the status of\n{}{}",
            self.head,
            self.text_for_people()
        );
        Expectation {
            response: self,
            named: BTreeSet::new(),
        }
    }

    /// The beginning of a body that is text, for a message.
    fn text_for_people(&self) -> String {
        const SHOWN: usize = 400;
        String::from_utf8_lossy(&self.body[..self.body.len().min(SHOWN)]).into_owned()
    }
}

/// An assertion about one response. A field that it does not name, and that is not always allowed, fails it.
#[must_use = "end with and_no_other_field(): fields nobody named are what this finds"]
pub struct Expectation<'a> {
    response: &'a Response,
    named: BTreeSet<String>,
}

impl<'a> Expectation<'a> {
    /// The field is there once, with this value.
    #[track_caller]
    pub fn field(self, name: &str, value: &str) -> Expectation<'a> {
        self.field_where(name, &format!("{value:?}"), |own| own == value)
    }

    /// The field is there, and its lines, joined by commas, have all of these parts in this order.
    #[track_caller]
    pub fn field_with(mut self, name: &str, parts: &[&str]) -> Expectation<'a> {
        let head = &self.response.head;
        let joined = head.joined(name);
        let mut rest = joined.as_str();
        for part in parts {
            let at = rest
                .find(part)
                .unwrap_or_else(|| panic!("{name} should have {parts:?} in this order in\n{head}"));
            rest = &rest[at + part.len()..];
        }
        self.named.insert(name.to_ascii_lowercase());
        self
    }

    /// The field is there once, and its value is as `what` says.
    #[track_caller]
    pub fn field_where(
        mut self,
        name: &str,
        what: &str,
        holds: impl FnOnce(&str) -> bool,
    ) -> Expectation<'a> {
        let head = &self.response.head;
        let value = head
            .field(name)
            .unwrap_or_else(|| panic!("{name} is missing from\n{head}"));
        assert!(
            holds(value),
            "{name} should be {what} and is {value:?} in\n{head}"
        );
        self.named.insert(name.to_ascii_lowercase());
        self
    }

    /// The field is there once, as a number between the two, both included.
    #[track_caller]
    pub fn number(self, name: &str, least: u64, most: u64) -> Expectation<'a> {
        let between = move |value: &str| {
            value
                .parse()
                .is_ok_and(|value: u64| (least..=most).contains(&value))
        };
        self.field_where(name, &format!("{least} to {most}"), between)
    }

    /// The field may be there or not, any number of times, with any value.
    pub fn any(mut self, name: &str) -> Expectation<'a> {
        self.named.insert(name.to_ascii_lowercase());
        self
    }

    /// The field is not there. Says what the story is about; [`Expectation::and_no_other_field`] would find it too.
    #[track_caller]
    pub fn without(self, name: &str) -> Expectation<'a> {
        let head = &self.response.head;
        assert!(head.values(name).is_empty(), "{name} should not be in\n{head}");
        self
    }

    /// The body is this.
    #[track_caller]
    pub fn body(self, expected: &[u8]) -> Expectation<'a> {
        let own = &self.response.body;
        let parted = own
            .iter()
            .zip(expected)
            .position(|(own, expected)| own != expected);
        let offset = parted.unwrap_or_else(|| own.len().min(expected.len()));
        assert!(
            own == expected,
            "a body of {} bytes, expected {}: they part at byte {offset} in\n{}{}",
            own.len(),
            expected.len(),
            self.response.head,
            self.response.text_for_people(),
        );
        self
    }

    /// Ends the assertion: whatever field was not named is one too many.
    #[track_caller]
    pub fn and_no_other_field(self) {
        let unnamed = self.response.head.fields.iter().filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !ALWAYS_ALLOWED.contains(&name.as_str()) && !self.named.contains(&name)
        });
        let unnamed: Vec<_> = unnamed.collect();
        assert!(
            unnamed.is_empty(),
            "fields that nobody expected: {unnamed:?} in\n{}",
            self.response.head
        );
    }
}
