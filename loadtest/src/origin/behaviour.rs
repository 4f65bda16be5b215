//! What the origin was told to do wrong, by path prefix.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Prefixes that can be told to misbehave at once; a test needs a handful.
const MOST_PREFIXES: usize = 256;

/// How the paths under a prefix behave. What is absent is as usual; with nothing but a prefix, all is as usual again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Behaviour {
    /// Paths that begin with this; the longest that matches wins.
    pub(crate) prefix: String,
    /// The head of the answer waits so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_head_ms: Option<u64>,
    /// The body is sent no faster than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_second: Option<u64>,
    /// The answer has this status and no content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// No answer comes, ever.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) hang: bool,
    /// The connection is reset after so many bytes of the body; 0 before the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reset_after_bytes: Option<u64>,
    /// The body ends after so many bytes, fewer than `Content-Length` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) truncate_after_bytes: Option<u64>,
    /// Replaces the `Cache-Control` of the flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Behaviour {
    /// What is wrong with it, if anything.
    pub(crate) fn complaint(&self) -> Option<String> {
        if !self.prefix.starts_with('/') {
            return Some(format!("prefix {:?} must begin with /", self.prefix));
        }
        if self.bytes_per_second == Some(0) {
            return Some(
                "bytes_per_second must be above 0; use hang for an origin that sends nothing".to_owned(),
            );
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Some("status must be between 200 and 599".to_owned());
        }
        if self
            .cache_control
            .as_deref()
            .is_some_and(|value| http::HeaderValue::from_str(value).is_err())
        {
            return Some("cache_control must be a header value: printable ASCII on one line".to_owned());
        }
        None
    }

    /// How long the head waits.
    pub(crate) fn head_delay(&self) -> Duration {
        Duration::from_millis(self.delay_head_ms.unwrap_or(0))
    }

    fn is_usual(&self) -> bool {
        *self
            == Behaviour {
                prefix: self.prefix.clone(),
                ..Behaviour::default()
            }
    }
}

/// All that was told, at most [`MOST_PREFIXES`].
#[derive(Debug, Default)]
pub(crate) struct Behaviours {
    told: Vec<Behaviour>,
}

impl Behaviours {
    /// Replaces what was told of the same prefix.
    ///
    /// # Errors
    ///
    /// When it makes no sense, or there are too many.
    pub(crate) fn tell(&mut self, behaviour: Behaviour) -> Result<(), String> {
        if let Some(complaint) = behaviour.complaint() {
            return Err(complaint);
        }
        self.told.retain(|other| other.prefix != behaviour.prefix);
        if behaviour.is_usual() {
            return Ok(());
        }
        if self.told.len() == MOST_PREFIXES {
            return Err(format!("{MOST_PREFIXES} prefixes misbehave already; reset first"));
        }
        self.told.push(behaviour);
        Ok(())
    }

    /// Everything as usual again.
    pub(crate) fn forget(&mut self) {
        self.told.clear();
    }

    /// How `path` behaves.
    pub(crate) fn of(&self, path: &str) -> Behaviour {
        self.told
            .iter()
            .filter(|behaviour| path.starts_with(&behaviour.prefix))
            .max_by_key(|behaviour| behaviour.prefix.len())
            .cloned()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(prefix: &str, status: u16) -> Behaviour {
        Behaviour {
            prefix: prefix.to_owned(),
            status: Some(status),
            ..Behaviour::default()
        }
    }

    #[test]
    fn the_longest_prefix_wins_and_telling_again_replaces() {
        let mut behaviours = Behaviours::default();
        for behaviour in [failing("/", 500), failing("/demo/", 503), failing("/demo/", 404)] {
            behaviours.tell(behaviour).unwrap();
        }
        assert_eq!(behaviours.of("/demo/a").status, Some(404));
        assert_eq!(behaviours.of("/other").status, Some(500));
        behaviours
            .tell(Behaviour {
                prefix: "/demo/".to_owned(),
                ..Behaviour::default()
            })
            .unwrap();
        assert_eq!(behaviours.of("/demo/a").status, Some(500));
        behaviours.forget();
        assert_eq!(behaviours.of("/demo/a"), Behaviour::default());
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let mut behaviours = Behaviours::default();
        let paced = Behaviour {
            prefix: "/".to_owned(),
            bytes_per_second: Some(0),
            ..Behaviour::default()
        };
        let split = Behaviour {
            prefix: "/".to_owned(),
            cache_control: Some("a\nb".to_owned()),
            ..Behaviour::default()
        };
        for behaviour in [
            failing("demo", 500),
            failing("/", 99),
            failing("/", 101),
            paced,
            split,
        ] {
            assert!(behaviours.tell(behaviour.clone()).is_err(), "{behaviour:?}");
        }
        assert!(serde_json::from_str::<Behaviour>(r#"{"prefix":"/","hangs":true}"#).is_err());
    }

    #[test]
    fn the_table_of_prefixes_is_bounded() {
        let mut behaviours = Behaviours::default();
        for number in 0..MOST_PREFIXES {
            behaviours.tell(failing(&format!("/{number}/"), 500)).unwrap();
        }
        assert!(behaviours.tell(failing("/more/", 500)).is_err());
    }
}
