//! How long what enters the CDN is fresh: hint → path rule → class of content → default → origin.

use std::time::Duration;

use model::service::TtlRules;

/// What a path's last segment tells of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A playlist or manifest, which changes while a stream is live.
    Manifest,
    /// Media, initialisation segments and subtitles, which do not change under one name.
    Segment,
    /// Anything else.
    Other,
}

const MANIFESTS: [&str; 2] = ["m3u8", "mpd"];
const SEGMENTS: [&str; 17] = [
    "ts", "m4s", "mp4", "m4a", "m4v", "m4i", "cmfv", "cmfa", "cmft", "aac", "ac3", "ec3", "mp3", "webm",
    "vtt", "webvtt", "ttml",
];

impl Class {
    /// The class of a path (without query), by its extension in any case.
    #[must_use]
    pub fn of(path: &str) -> Class {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some((_, extension)) = name.rsplit_once('.') else {
            return Class::Other;
        };
        let is_one_of = |known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(extension));
        if is_one_of(&MANIFESTS) {
            Class::Manifest
        } else if is_one_of(&SEGMENTS) {
            Class::Segment
        } else {
            Class::Other
        }
    }
}

/// A freshness lifetime and who set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// How long, from the moment the response left its origin.
    pub lifetime: Duration,
    /// Who said so.
    pub said_by: SaidBy,
}

/// Who set a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidBy {
    /// The hint for the content.
    Hint,
    /// A rule of the service: for a path, a class, or its default.
    Rule,
    /// The origin, explicitly (RFC 9111 §4.2.1).
    Origin,
}

/// What rules may do to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Give or replace its lifetime.
    Full,
    /// Only cut short the lifetime that the origin gave it: for errors and redirects, and for what sets a cookie.
    ShortenOnly,
}

/// The lifetime of what lies at `path`, where the origin gave the explicit lifetime `origin`; `None` when nobody says.
///
/// - A rule speaks where the origin does not, or always where the rules override the origin.
/// - A hint overrides both, but for a manifest it may only shorten what holds without it.
#[must_use]
pub fn ttl_for(
    rules: &TtlRules,
    path: &str,
    hint: Option<Duration>,
    origin: Option<Duration>,
    reach: Reach,
) -> Option<Ttl> {
    let by_origin = origin.map(|lifetime| Ttl {
        lifetime,
        said_by: SaidBy::Origin,
    });
    let by_rule = rule_for(rules, path).map(|lifetime| Ttl {
        lifetime,
        said_by: SaidBy::Rule,
    });
    let by_hint = hint.map(|lifetime| Ttl {
        lifetime,
        said_by: SaidBy::Hint,
    });
    if reach == Reach::ShortenOnly {
        let shorter_rule = by_rule.filter(|_| rules.override_origin);
        return shorter(shorter(by_origin, shorter_rule), by_hint);
    }
    let without_hint = match (by_rule, by_origin) {
        (Some(rule), None) => Some(rule),
        (Some(rule), Some(_)) if rules.override_origin => Some(rule),
        (_, by_origin) => by_origin,
    };
    match by_hint {
        None => without_hint,
        Some(_) if Class::of(path) == Class::Manifest => shorter(without_hint, by_hint),
        Some(hint) => Some(hint),
    }
}

/// `held`, or `other` where that is shorter. Nothing held stays nothing.
fn shorter(held: Option<Ttl>, other: Option<Ttl>) -> Option<Ttl> {
    let held = held?;
    Some(
        other
            .filter(|other| other.lifetime < held.lifetime)
            .unwrap_or(held),
    )
}

/// What the service's rules say of a path: the longest prefix, else its class, else the default.
fn rule_for(rules: &TtlRules, path: &str) -> Option<Duration> {
    let by_path = rules
        .paths
        .iter()
        .filter(|rule| path.starts_with(&rule.prefix))
        .max_by_key(|rule| rule.prefix.len())
        .map(|rule| rule.ttl);
    let by_class = match Class::of(path) {
        Class::Manifest => rules.manifest,
        Class::Segment => rules.segment,
        Class::Other => None,
    };
    by_path.or(by_class).or(rules.default).map(|period| period.0)
}

#[cfg(test)]
mod tests {
    use model::{Period, service::PathTtl};

    use super::*;

    #[test]
    fn a_paths_class_is_told_by_its_extension() {
        for (path, class) in [
            ("/demo/master.m3u8", Class::Manifest),
            ("/demo/MASTER.M3U8", Class::Manifest),
            ("/demo/stream.mpd", Class::Manifest),
            ("/demo/v0/segment-1.m4s", Class::Segment),
            ("/demo/v0/init.mp4", Class::Segment),
            ("/demo/v0/1.TS", Class::Segment),
            ("/demo/subtitles.vtt", Class::Segment),
            ("/demo/audio.aac", Class::Segment),
            ("/demo/poster.jpg", Class::Other),
            ("/demo.m3u8/poster", Class::Other),
            ("/demo.m3u8/", Class::Other),
            ("/m3u8", Class::Other),
            ("/", Class::Other),
            ("", Class::Other),
        ] {
            assert_eq!(Class::of(path), class, "{path}");
        }
    }

    fn period(seconds: u64) -> Period {
        Period(Duration::from_secs(seconds))
    }

    fn rules(override_origin: bool) -> TtlRules {
        let rule = |prefix: &str, seconds| PathTtl {
            prefix: prefix.to_owned(),
            ttl: period(seconds),
        };
        TtlRules {
            override_origin,
            paths: vec![rule("/live/", 2), rule("/live/slow/", 4)],
            manifest: Some(period(15)),
            segment: Some(period(3600)),
            default: Some(period(600)),
            ..TtlRules::default()
        }
    }

    /// A story; the rules, the path, the hint and the origin's lifetime; what holds. Seconds.
    type Line<'a> = (
        &'a str,
        &'a TtlRules,
        &'a str,
        Option<u64>,
        Option<u64>,
        Option<(u64, SaidBy)>,
    );

    #[test]
    fn the_first_that_speaks_sets_the_lifetime() {
        use SaidBy::{Hint, Origin, Rule};
        let overriding = rules(true);
        let yielding = rules(false);
        let silent = TtlRules::default();
        let insistent = TtlRules {
            override_origin: true,
            ..TtlRules::default()
        };
        let table: [Line; 20] = [
            (
                "class: manifest",
                &overriding,
                "/a.m3u8",
                None,
                None,
                Some((15, Rule)),
            ),
            (
                "class: segment",
                &overriding,
                "/a.m4s",
                None,
                None,
                Some((3600, Rule)),
            ),
            ("default", &overriding, "/a.jpg", None, None, Some((600, Rule))),
            (
                "a path before its class",
                &overriding,
                "/live/a.m3u8",
                None,
                None,
                Some((2, Rule)),
            ),
            (
                "the longest path",
                &overriding,
                "/live/slow/a.m3u8",
                None,
                None,
                Some((4, Rule)),
            ),
            (
                "overridden when longer",
                &overriding,
                "/a.m3u8",
                None,
                Some(60),
                Some((15, Rule)),
            ),
            (
                "overridden when shorter",
                &overriding,
                "/a.m4s",
                None,
                Some(60),
                Some((3600, Rule)),
            ),
            (
                "overridden when zero",
                &overriding,
                "/a.m3u8",
                None,
                Some(0),
                Some((15, Rule)),
            ),
            (
                "the origin is heard",
                &yielding,
                "/a.m3u8",
                None,
                Some(60),
                Some((60, Origin)),
            ),
            (
                "the origin's zero is heard",
                &yielding,
                "/a.m4s",
                None,
                Some(0),
                Some((0, Origin)),
            ),
            (
                "a silent origin",
                &yielding,
                "/a.m4s",
                None,
                None,
                Some((3600, Rule)),
            ),
            (
                "no rules, an origin",
                &silent,
                "/a.m4s",
                None,
                Some(60),
                Some((60, Origin)),
            ),
            ("no rules, no origin", &silent, "/a.m4s", None, None, None),
            (
                "override without a rule",
                &insistent,
                "/a.m4s",
                None,
                Some(60),
                Some((60, Origin)),
            ),
            (
                "a hint overrides a rule",
                &overriding,
                "/a.m4s",
                Some(86_400),
                None,
                Some((86_400, Hint)),
            ),
            (
                "a hint overrides the origin",
                &yielding,
                "/a.m4s",
                Some(86_400),
                Some(60),
                Some((86_400, Hint)),
            ),
            (
                "a hint shortens a manifest",
                &overriding,
                "/a.m3u8",
                Some(5),
                None,
                Some((5, Hint)),
            ),
            (
                "and never lengthens it",
                &overriding,
                "/a.m3u8",
                Some(60),
                None,
                Some((15, Rule)),
            ),
            (
                "not beyond the origin's word",
                &yielding,
                "/a.m3u8",
                Some(10),
                Some(4),
                Some((4, Origin)),
            ),
            ("nor out of nothing", &silent, "/a.m3u8", Some(10), None, None),
        ];
        for (story, rules, path, hint, origin, expected) in table {
            let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
            let found = ttl_for(rules, path, seconds(hint), seconds(origin), Reach::Full);
            let expected = expected.map(|(lifetime, said_by)| Ttl {
                lifetime: Duration::from_secs(lifetime),
                said_by,
            });
            assert_eq!(found, expected, "{story}");
        }
    }

    #[test]
    fn where_rules_may_only_shorten_they_do_no_more() {
        for (story, override_origin, hint, origin, expected) in [
            ("the origin is silent", true, Some(5), None, None),
            ("a longer rule", true, None, Some(5), Some(5)),
            ("a shorter rule", true, None, Some(7200), Some(3600)),
            ("a shorter rule that yields", false, None, Some(7200), Some(7200)),
            ("a shorter hint", false, Some(5), Some(7200), Some(5)),
            ("a longer hint", true, Some(7200), Some(5), Some(5)),
        ] {
            let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
            let rules = rules(override_origin);
            let found = ttl_for(
                &rules,
                "/a.m4s",
                seconds(hint),
                seconds(origin),
                Reach::ShortenOnly,
            );
            assert_eq!(found.map(|ttl| ttl.lifetime), seconds(expected), "{story}");
        }
    }
}
