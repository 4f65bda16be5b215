//! What a service says of steering, compiled: countries as bits, the key rule, whereto else.

use std::time::Duration;

use model::country::{CODES, Country};
use model::rendezvous::key_hash;
use model::routing::{Bypass, Countries};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::question::Evidence;

/// One service, as it is steered.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: Box<str>,
    /// By which it takes part in draws.
    pub(crate) hash: u64,
    /// Whether anybody is sent to it.
    pub(crate) enabled: bool,
    /// For how long an answer lives.
    pub(crate) ttl: Duration,
    /// Addresses in one DNS answer.
    pub(crate) answers: usize,
    /// Over how many nodes the clients of one key are spread.
    pub(crate) dispersion: usize,
    /// The names of nodes in redirects, a template.
    pub(crate) node_host: Option<Box<str>>,
    /// Whereto while nothing can serve.
    pub(crate) bypass: Option<Bypass>,
    countries: Admitted,
    elsewhere: Box<[(Country, Bypass)]>,
    key: KeyRule,
}

/// Which countries may watch.
#[derive(Clone, Debug)]
enum Admitted {
    All,
    Only(CountrySet),
    AllBut(CountrySet),
}

#[derive(Clone, Debug)]
struct CountrySet([u64; CODES.div_ceil(64)]);

/// Which part of a path is the key.
#[derive(Clone, Copy, Debug)]
enum KeyRule {
    /// So many segments at its beginning.
    Segments(usize),
    /// This segment; where there is none, all but the last.
    Segment(usize),
    /// All but the last segment.
    Folder,
}

/// Whether a client of some country may be sent to the service's nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Admission<'s> {
    Admitted,
    Blocked,
    Elsewhere(&'s Bypass),
}

impl Service {
    pub(crate) fn compile(name: &str, service: &model::Service) -> Service {
        let routing = &service.routing;
        let countries = match &routing.countries {
            None => Admitted::All,
            Some(Countries::Allow(codes)) => Admitted::Only(CountrySet::of(codes)),
            Some(Countries::Block(codes)) => Admitted::AllBut(CountrySet::of(codes)),
        };
        // The check has refused codes that cannot be read.
        let elsewhere = routing
            .elsewhere
            .iter()
            .filter_map(|(code, target)| Some((Country::new(code)?, target.clone())));
        let key = match (routing.key_prefix_segments, &service.content_id) {
            (Some(segments), _) => KeyRule::Segments(usize::from(segments)),
            (None, Some(rule)) => KeyRule::Segment(rule.path_segment),
            (None, None) => KeyRule::Folder,
        };
        Service {
            name: name.into(),
            hash: key_hash(name),
            enabled: routing.enabled,
            ttl: routing.ttl.0,
            answers: usize::from(routing.answers),
            dispersion: usize::from(routing.dispersion),
            node_host: routing.node_host.as_deref().map(Into::into),
            bypass: routing.bypass.clone(),
            countries,
            elsewhere: elsewhere.collect(),
            key,
        }
    }

    /// Whether a client may be sent to the nodes. Who is in a coverage zone is known to the operator, and needs no
    /// country where only some may watch.
    pub(crate) fn admit(&self, country: Option<Country>, evidence: Evidence) -> Admission<'_> {
        let elsewhere = country.and_then(|country| {
            let place = self.elsewhere.binary_search_by_key(&country, |(of, _)| *of);
            place.ok().and_then(|place| self.elsewhere.get(place))
        });
        if let Some((_, target)) = elsewhere {
            return Admission::Elsewhere(target);
        }
        let admitted = match (&self.countries, country) {
            (Admitted::All, _) | (Admitted::AllBut(_), None) => true,
            (Admitted::Only(_), None) => evidence == Evidence::Coverage,
            (Admitted::Only(set), Some(country)) => set.has(country),
            (Admitted::AllBut(set), Some(country)) => !set.has(country),
        };
        if admitted {
            Admission::Admitted
        } else {
            Admission::Blocked
        }
    }

    /// The key by which a node is chosen for `path` (without query): the same for all that should come from one.
    pub(crate) fn key_of_path(&self, path: &str) -> u64 {
        xxh3_64_with_seed(self.key.part(path).as_bytes(), self.hash)
    }
}

impl KeyRule {
    fn part(self, path: &str) -> &str {
        let folder = || path.rsplit_once('/').map_or("", |(folder, _)| folder);
        match self {
            KeyRule::Folder => folder(),
            KeyRule::Segment(nth) => {
                let segment = path.split('/').skip(1).nth(nth);
                segment
                    .filter(|segment| !segment.is_empty())
                    .unwrap_or_else(folder)
            }
            KeyRule::Segments(count) => {
                // The path begins with a slash; the one after `count` segments ends the key.
                let end = path.match_indices('/').nth(count).map(|(at, _)| at);
                &path[..end.unwrap_or(path.len())]
            }
        }
    }
}

impl CountrySet {
    fn of(codes: &[String]) -> CountrySet {
        let mut set = CountrySet([0; CODES.div_ceil(64)]);
        for country in codes.iter().filter_map(|code| Country::new(code)) {
            set.0[country.index() / 64] |= 1 << (country.index() % 64);
        }
        set
    }

    fn has(&self, country: Country) -> bool {
        self.0[country.index() / 64] & 1 << (country.index() % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use model::service::ContentId;

    use super::*;

    fn service(routing: &str, content_id: Option<usize>) -> Service {
        let text = format!(r#"{{"hosts":[],"origins":[],"routing":{routing}}}"#);
        let mut service: model::Service = serde_json::from_str(&text).unwrap();
        service.content_id = content_id.map(|path_segment| ContentId { path_segment });
        Service::compile("films", &service)
    }

    #[test]
    fn all_of_a_title_has_one_key() {
        for (routing, content_id, path, part) in [
            ("{}", Some(0), "/alien/v1/7.m4s", "alien"),
            ("{}", Some(1), "/vod/alien/v1/7.m4s", "alien"),
            ("{}", Some(5), "/alien/v1/7.m4s", "/alien/v1"),
            ("{}", Some(0), "//alien/7.m4s", "//alien"),
            ("{}", None, "/alien/v1/7.m4s", "/alien/v1"),
            ("{}", None, "/master.m3u8", ""),
            ("{}", None, "", ""),
            (
                r#"{"key_prefix_segments":2}"#,
                Some(0),
                "/vod/alien/v1/7.m4s",
                "/vod/alien",
            ),
            (r#"{"key_prefix_segments":2}"#, None, "/vod/alien", "/vod/alien"),
            (r#"{"key_prefix_segments":2}"#, None, "/vod", "/vod"),
        ] {
            let service = service(routing, content_id);
            assert_eq!(service.key.part(path), part, "{routing} {content_id:?} {path}");
        }
    }

    #[test]
    fn the_same_path_in_two_services_has_two_keys() {
        let one = service("{}", None);
        let other = Service::compile(
            "series",
            &serde_json::from_str(r#"{"hosts":[],"origins":[]}"#).unwrap(),
        );
        assert_ne!(one.key_of_path("/a/b"), other.key_of_path("/a/b"));
        assert_eq!(one.key_of_path("/a/b"), one.key_of_path("/a/c"));
    }

    #[test]
    fn a_country_is_admitted_blocked_or_sent_elsewhere() {
        let swiss = r#""elsewhere":{"CH":{"url":"https://ch.example"}}"#;
        let allow = service(
            &format!(r#"{{"countries":{{"allow":["NL","BE"]}},{swiss}}}"#),
            None,
        );
        let block = service(r#"{"countries":{"block":["NL"]}}"#, None);
        let all = service("{}", None);
        let of = |service: &Service, code: Option<&str>, evidence| {
            let country = code.map(|code| Country::new(code).unwrap());
            match service.admit(country, evidence) {
                Admission::Admitted => "admitted",
                Admission::Blocked => "blocked",
                Admission::Elsewhere(_) => "elsewhere",
            }
        };
        for (service, code, evidence, outcome) in [
            (&allow, Some("NL"), Evidence::Geography, "admitted"),
            (&allow, Some("BE"), Evidence::Geography, "admitted"),
            (&allow, Some("DE"), Evidence::Coverage, "blocked"),
            (&allow, Some("CH"), Evidence::Geography, "elsewhere"),
            (&allow, None, Evidence::Default, "blocked"),
            (&allow, None, Evidence::Coverage, "admitted"),
            (&block, Some("NL"), Evidence::Geography, "blocked"),
            (&block, Some("DE"), Evidence::Geography, "admitted"),
            (&block, None, Evidence::Default, "admitted"),
            (&all, Some("NL"), Evidence::Geography, "admitted"),
            (&all, None, Evidence::Default, "admitted"),
        ] {
            assert_eq!(of(service, code, evidence), outcome, "{code:?} {evidence:?}");
        }
    }
}
