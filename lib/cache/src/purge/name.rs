//! Names: what purges are found by, sixteen bytes each, whatever they name.
//!
//! ```text
//!  127      96 95   88 87                                    0
//! ├  service  ┼ kind  ┼ XXH3 of key text, prefix or tag       ┤
//! ```
//!
//! A name stands for its text, which is not kept: were two texts to share a name, purging one would purge the other,
//! which costs a fetch and never serves what it should not. The service comes first, so that everything of a service can
//! be folded into one entry. The layout is written to disk.

use super::What;
use crate::policy::vary::VARIANT_MARK;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Deeper than this no prefix can be purged and no path is looked at: a client chooses the paths, and judging one must
/// cost microseconds.
pub(super) const SEGMENTS_MAX: usize = 64;

const SERVICE_SHIFT: u32 = 96;
const KIND_SHIFT: u32 = 88;
const TEXT_MASK: u128 = (1 << KIND_SHIFT) - 1;

/// What a name is of. The numbers are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// All there is. Nobody asks for it: purges of too many services are folded into it.
    Everything = 0,
    Service = 1,
    Url = 2,
    Prefix = 3,
    Tag = 4,
}

impl Kind {
    /// All kinds, by their numbers.
    pub const ALL: [Kind; 5] = [
        Kind::Everything,
        Kind::Service,
        Kind::Url,
        Kind::Prefix,
        Kind::Tag,
    ];

    /// The label of its metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Kind::Everything => "everything",
            Kind::Service => "service",
            Kind::Url => "url",
            Kind::Prefix => "prefix",
            Kind::Tag => "tag",
        }
    }
}

/// A name as drawn above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(u128);

impl Name {
    pub(crate) const EVERYTHING: Name = Name(0);

    /// The name that a number stands for, as it was read from disk. `None` when no name has it.
    pub(crate) fn from_number(number: u128) -> Option<Name> {
        let name = Name(number);
        let kind = Kind::ALL.get(name.kind_number())?;
        let bare = match kind {
            Kind::Everything => number == 0,
            Kind::Service => number & TEXT_MASK == 0,
            Kind::Url | Kind::Prefix | Kind::Tag => true,
        };
        bare.then_some(name)
    }

    pub(crate) fn number(self) -> u128 {
        self.0
    }

    #[must_use]
    pub fn kind(self) -> Kind {
        Kind::ALL[self.kind_number()]
    }

    pub(super) fn service(self) -> ServiceId {
        ServiceId((self.0 >> SERVICE_SHIFT) as u32)
    }

    fn kind_number(self) -> usize {
        (self.0 >> KIND_SHIFT) as usize & 0xff
    }

    fn new(service: ServiceId, kind: Kind, hash: u128) -> Name {
        Name(u128::from(service.0) << SERVICE_SHIFT | (kind as u128) << KIND_SHIFT | hash & TEXT_MASK)
    }

    /// What a purge names.
    pub(super) fn of(what: &What) -> Name {
        match what {
            What::Url(key) => {
                let key = KeyNames::of(key.text());
                key.url()
            }
            What::Prefix { service, path } => {
                Name::new(ServiceId::of(service), Kind::Prefix, xxh3_128(path.as_bytes()))
            }
            What::Tag { service, tag } => Name::tag(ServiceId::of(service), tag.as_bytes()),
            What::Service(service) => ServiceId::of(service).name(),
        }
    }

    pub(super) fn tag(service: ServiceId, tag: &[u8]) -> Name {
        Name::new(service, Kind::Tag, xxh3_128(tag))
    }
}

/// A service, by a hash of its name. Two that share one share their purges of whole services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServiceId(u32);

impl ServiceId {
    pub(super) fn of(name: &str) -> ServiceId {
        ServiceId(xxh3_64(name.as_bytes()) as u32)
    }

    pub(super) fn name(self) -> Name {
        Name::new(self, Kind::Service, 0)
    }
}

/// The names that cover a key: its service's, its URL's, those of the prefixes of its path.
pub(super) struct KeyNames<'a> {
    pub(super) service: ServiceId,
    /// From the slash that ends the service's name, without the variant.
    target: &'a str,
}

impl<'a> KeyNames<'a> {
    /// Of a key's text: service, then target, then perhaps a variant.
    pub(super) fn of(text: &'a str) -> KeyNames<'a> {
        let (service, target) = text.split_at(text.find('/').unwrap_or(text.len()));
        let target = &target[..target.find(VARIANT_MARK).unwrap_or(target.len())];
        KeyNames {
            service: ServiceId::of(service),
            target,
        }
    }

    pub(super) fn url(&self) -> Name {
        Name::new(self.service, Kind::Url, xxh3_128(self.target.as_bytes()))
    }

    /// Every prefix of the path that ends with a segment, with and without the slash after it.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = Name> {
        let path = &self.target[..self.target.find('?').unwrap_or(self.target.len())];
        let slashes = path.match_indices('/').map(|(at, _)| at).take(SEGMENTS_MAX + 1);
        let ends = slashes.flat_map(|slash| [slash, slash + 1]);
        let deepest = (segments(path) <= SEGMENTS_MAX && !path.ends_with('/')).then_some(path.len());
        ends.filter(|end| *end > 0)
            .chain(deepest)
            .map(|end| Name::new(self.service, Kind::Prefix, xxh3_128(&path.as_bytes()[..end])))
    }
}

/// How many segments a path has: its slashes.
pub(super) fn segments(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(service: &str, path: &str) -> Name {
        Name::of(&What::Prefix {
            service: service.into(),
            path: path.into(),
        })
    }

    #[test]
    fn a_key_is_covered_by_the_prefixes_that_end_with_a_segment_and_by_no_other() {
        let covers = |path, text| {
            let wanted = prefix("demo", path);
            KeyNames::of(text).prefixes().any(|name| name == wanted)
        };
        for (path, text, expected) in [
            ("/", "demo/a/b", true),
            ("/", "demo/", true),
            ("/a", "demo/a", true),
            ("/a", "demo/a/b", true),
            ("/a", "demo/a/b/c?x=/y", true),
            ("/a", "demo/a?x=1", true),
            ("/a", "demo/ab", false),
            ("/a", "demo/b/a", false),
            ("/a/", "demo/a", false),
            ("/a/", "demo/a/", true),
            ("/a/", "demo/a/b", true),
            ("/a/b", "demo/a/b#variant", true),
            ("/a/b", "demo/a?/b", false),
            ("/a", "other/a", false),
        ] {
            assert_eq!(covers(path, text), expected, "{path} and {text}");
        }
    }

    #[test]
    fn a_path_of_a_thousand_segments_is_looked_at_as_far_as_prefixes_go() {
        let text = format!("demo{}", "/a".repeat(1000));
        assert_eq!(KeyNames::of(&text).prefixes().count(), 2 * SEGMENTS_MAX + 1);
        let deepest = prefix("demo", &"/a".repeat(SEGMENTS_MAX));
        assert!(KeyNames::of(&text).prefixes().any(|name| name == deepest));
    }

    #[test]
    fn kinds_and_services_never_share_a_name_and_numbers_are_checked() {
        let names = [
            prefix("demo", "/a"),
            prefix("other", "/a"),
            Name::of(&What::Tag {
                service: "demo".into(),
                tag: "/a".into(),
            }),
            Name::of(&What::Url(crate::Key::new("demo", "/a"))),
            Name::of(&What::Service("demo".into())),
            Name::EVERYTHING,
        ];
        for (at, name) in names.iter().enumerate() {
            assert_eq!(Name::from_number(name.number()), Some(*name));
            assert!(names[..at].iter().all(|other| other != name));
        }
        for wrong in [1, 5 << KIND_SHIFT, u128::MAX, (1 << KIND_SHIFT) | 7] {
            assert_eq!(Name::from_number(wrong), None, "{wrong:x}");
        }
    }

    #[test]
    fn variants_have_the_name_of_their_url() {
        assert_eq!(
            KeyNames::of("demo/a?b#gzip").url(),
            KeyNames::of("demo/a?b").url()
        );
        assert_ne!(KeyNames::of("demo/a?b").url(), KeyNames::of("demo/a").url());
    }
}
