//! The operator's coverage zones: which sites serve a prefix, whatever distance says.
//!
//! ```json
//! {"zones": [{"prefix": "192.0.2.0/24", "sites": ["ams", "iad"]},
//!            {"prefix": "198.51.100.0/24", "sites": ["fra"], "deep": true}]}
//! ```
//!
//! The longest prefix wins; a deep zone wins over those that are not. Files of Apache Traffic Control are taken too,
//! their zones being named like sites: `coverageZones` and `deepCoverageZones`, each
//! `{"ams": {"network": ["192.0.2.0/24"], "network6": ["2001:db8::/32"]}}`. Of these, `coordinates` (the snapshot knows
//! where its sites are) and `caches` (nodes inside a site are chosen by key) are not needed and not looked at.
//!
//! Zones and the snapshot come from different hands at different times: a site that the snapshot does not have (yet, or
//! any more) is passed over, and a zone of which nothing is left too; their names are told. Everything else that is
//! wrong is a complaint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Source;
use super::complaints::Complaints;
use super::place::Sites;
use super::prefix::Prefix;
use super::ranking::{Evidence, RANKED, Ranking, SiteId};

/// The largest document: a million zones and some air.
pub(super) const MOST_BYTES: usize = 128 << 20;

/// The most zones. All routes of the internet are about as many.
const MOST_ZONES: usize = 1_000_000;

/// A zone that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Zone {
    pub(super) prefix: Prefix,
    /// Its evidence says whether the zone is deep.
    pub(super) ranking: Ranking,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// In the order of the document.
    pub(super) zones: Vec<Zone>,
    /// Sites that are named, and not in the snapshot.
    pub(super) strangers: BTreeSet<String>,
}

/// The document as written, in either form.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    zones: Vec<WrittenZone>,
    #[serde(rename = "coverageZones")]
    coverage_zones: Pairs<Networks>,
    #[serde(rename = "deepCoverageZones")]
    deep_coverage_zones: Pairs<Networks>,
    /// Traffic Control's notes to itself.
    #[serde(rename = "revision")]
    _revision: IgnoredAny,
    #[serde(rename = "customerName")]
    _customer_name: IgnoredAny,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenZone {
    prefix: String,
    sites: Vec<String>,
    deep: bool,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// A zone of Traffic Control.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Networks {
    network: Vec<String>,
    network6: Vec<String>,
    #[serde(rename = "coordinates")]
    _coordinates: IgnoredAny,
    #[serde(rename = "caches")]
    _caches: IgnoredAny,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// The members of an object as they are written: a name that is there twice is not lost.
struct Pairs<T>(Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Pairs<T> {
        Pairs(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<T>, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of zones by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = members.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// Reads the zones of `source`.
///
/// # Errors
///
/// Everything that is wrong with it: what is no such document, unknown keys, prefixes that are none or are there twice.
pub(super) fn read(source: Source<'_>, sites: &Sites) -> Result<Coverage, Vec<String>> {
    let mut complaints = Complaints::of(source.name);
    if source.bytes.len() > MOST_BYTES {
        complaints.whole(
            format_args!("it has {} bytes, more than {MOST_BYTES}", source.bytes.len()),
            "join prefixes that lead to the same sites",
        );
        return complaints.finish(Coverage::default());
    }
    let written: Written = match serde_json::from_slice(source.bytes) {
        Ok(written) => written,
        Err(error) => {
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            complaints.line(
                error.line(),
                format_args!("this is no document of coverage zones: {what}"),
                r#"write {"zones": [{"prefix": "192.0.2.0/24", "sites": ["ams"]}]}"#,
            );
            return complaints.finish(Coverage::default());
        }
    };
    let mut reading = Reading {
        sites,
        complaints,
        coverage: Coverage::default(),
        places: HashMap::new(),
    };
    reading.document(written);
    reading.complaints.finish(reading.coverage)
}

/// The zones and complaints so far.
struct Reading<'a> {
    sites: &'a Sites,
    complaints: Complaints<'a>,
    coverage: Coverage,
    /// Where in the document each prefix is, of deep zones and of others.
    places: HashMap<(Prefix, bool), String>,
}

impl Reading<'_> {
    fn document(&mut self, written: Written) {
        self.unknown("", &written.unknown);
        for (index, zone) in written.zones.into_iter().enumerate() {
            let at = format!("zones[{index}]");
            self.unknown(&format!("{at}."), &zone.unknown);
            let named = self.named(&format!("{at}.sites"), &zone.sites);
            self.zone(format!("{at}.prefix"), &zone.prefix, &named, zone.deep);
        }
        for (key, zones, deep) in [
            ("coverageZones", written.coverage_zones, false),
            ("deepCoverageZones", written.deep_coverage_zones, true),
        ] {
            for (name, networks) in zones.0 {
                let at = format!("{key}.{name}");
                self.unknown(&format!("{at}."), &networks.unknown);
                let named = self.named(&at, &[name]);
                for (list, prefixes) in [("network", networks.network), ("network6", networks.network6)] {
                    for (index, prefix) in prefixes.iter().enumerate() {
                        self.zone(format!("{at}.{list}[{index}]"), prefix, &named, deep);
                    }
                }
            }
        }
        if self.places.len() > MOST_ZONES {
            self.complaints.whole(
                format_args!("it has {} prefixes, more than {MOST_ZONES}", self.places.len()),
                "join prefixes that lead to the same sites",
            );
        }
    }

    fn unknown(&mut self, at: &str, keys: &BTreeMap<String, IgnoredAny>) {
        for key in keys.keys() {
            self.complaints.place(
                format_args!("{at}{key}"),
                "this key is unknown",
                "remove it, or mend its spelling",
            );
        }
    }

    /// The sites that are known of those named.
    fn named(&mut self, at: &str, names: &[String]) -> Vec<SiteId> {
        let mut named = Vec::with_capacity(names.len());
        for name in names {
            match self.sites.id(name) {
                None => {
                    self.coverage.strangers.insert(name.clone());
                }
                Some(site) if named.contains(&site) => {
                    self.complaints
                        .place(at, format_args!("{name:?} is there twice"), "name it once");
                }
                Some(site) => named.push(site),
            }
        }
        if names.is_empty() {
            self.complaints.place(
                at,
                "no site is named",
                "name the sites that serve the prefix, best first",
            );
        }
        if names.len() > RANKED {
            self.complaints.place(
                at,
                format_args!("{} sites are named, more than {RANKED}", names.len()),
                "name the best only",
            );
        }
        named
    }

    fn zone(&mut self, at: String, prefix: &str, named: &[SiteId], deep: bool) {
        let prefix = match Prefix::parse(prefix) {
            Ok(prefix) => prefix,
            Err(refused) => return self.complaints.place(at, refused.what, refused.advice),
        };
        if let Some(other) = self.places.get(&(prefix, deep)) {
            let what = format!("the prefix is already in {other}");
            return self.complaints.place(at, what, "keep one of them");
        }
        self.places.insert((prefix, deep), at);
        if !named.is_empty() {
            let ranking = self.sites.completed(named, Evidence::Coverage { deep });
            self.coverage.zones.push(Zone { prefix, ranking });
        }
    }
}
