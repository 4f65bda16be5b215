//! What the player tells of itself: one line of JSON for each event, as `project/player.js` writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

/// What people call the place behind each host that the player may be sent to: its site, or the edge itself.
pub(super) type Places = BTreeMap<String, String>;

/// One event.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Told {
    /// A fragment has come.
    Fragment {
        /// From where.
        url: String,
        /// `main` is the picture, `audio` the sound.
        track: String,
    },
    /// A steering manifest was read.
    Steering {
        /// Its pathways, best first.
        priority: Vec<String>,
        /// The host of the best.
        host: String,
    },
    /// The player has chosen a pathway.
    Pathway {
        /// Its name.
        id: String,
    },
    /// Something went wrong.
    Error {
        /// Its name in hls.js.
        details: String,
        /// Whether the player gave up.
        fatal: bool,
        /// What was asked for.
        url: String,
        /// For people.
        reason: String,
    },
    /// How far the picture is.
    Position {
        /// Seconds by the page's clock.
        at: f64,
        /// Seconds of the film.
        time: f64,
    },
}

/// An event, and when it was heard of, since the player was started.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    pub(super) at: Duration,
    pub(super) told: Told,
}

impl Told {
    /// The place a fragment came from.
    pub(super) fn fragment_of<'p>(&self, places: &'p Places) -> Option<&'p str> {
        let Told::Fragment { url, .. } = self else {
            return None;
        };
        let url: Uri = url.parse().ok()?;
        places.get(url.host()?).map(String::as_str)
    }

    /// The place a steering manifest leads to.
    pub(super) fn leads_to<'p>(&self, places: &'p Places) -> Option<&'p str> {
        let Told::Steering { host, .. } = self else {
            return None;
        };
        places.get(host).map(String::as_str)
    }

    /// Whether the player gave up.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Told::Error { fatal: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Told {
        serde_json::from_str(line).expect(line)
    }

    #[test]
    fn lines_of_the_page_are_understood() {
        assert_eq!(
            read(r#"{"kind":"steering","priority":["ams","iad"],"host":"127.0.1.1"}"#),
            Told::Steering {
                priority: vec!["ams".to_owned(), "iad".to_owned()],
                host: "127.0.1.1".to_owned(),
            }
        );
        assert_eq!(
            read(r#"{"kind":"position","at":12.5,"time":3}"#),
            Told::Position { at: 12.5, time: 3.0 }
        );
        assert!(
            read(r#"{"kind":"error","details":"manifestLoadError","fatal":true,"url":"","reason":"gone"}"#)
                .is_fatal()
        );
        for wrong in [
            r#"{"kind":"song"}"#,
            r#"{"kind":"pathway"}"#,
            r#"{"kind":"pathway","id":".","stray":1}"#,
        ] {
            assert!(serde_json::from_str::<Told>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fragments_and_manifests_belong_to_the_place_of_their_host() {
        let places = Places::from([("127.0.1.1".to_owned(), "ams".to_owned())]);
        let fragment = |url: &str| Told::Fragment {
            url: url.to_owned(),
            track: "main".to_owned(),
        };
        let whole = fragment("http://127.0.1.1:8080/demo/360p/0.m4s?lap=1");
        assert_eq!(whole.fragment_of(&places), Some("ams"));
        assert_eq!(whole.leads_to(&places), None);
        for nowhere in ["http://127.0.2.1:8080/a", "a", ""] {
            assert_eq!(fragment(nowhere).fragment_of(&places), None, "{nowhere}");
        }
        let steering = |host: &str| Told::Steering {
            priority: Vec::new(),
            host: host.to_owned(),
        };
        assert_eq!(steering("127.0.1.1").leads_to(&places), Some("ams"));
        assert_eq!(steering("").leads_to(&places), None);
        assert_eq!(steering("127.0.1.1").fragment_of(&places), None);
    }
}
