//! The compiled table: from an address to a ranking of sites, without allocating and without any database.

use std::collections::HashMap;
use std::net::IpAddr;

use super::coverage::Coverage;
use super::database::{Database, PlaceId};
use super::latency::Measured;
use super::layer::{Layer, Step};
use super::overlay::{Known, Layers, Run, overlay};
use super::place::{Country, Sites};
use super::prefix::{Family, Prefix, upper};
use super::ranking::{Evidence, Ranking, RankingId, Rankings};
use super::runs::Runs;

/// Bits in front of an IPv4 address that is written as an IPv6 one (`::ffff:0:0/96`).
const MAPPED: u8 = 96;

/// Where clients should go, for every address there is.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    sites: Box<[String]>,
    rankings: Box<[Ranking]>,
    answers: Box<[Answer]>,
    ipv4: Runs<u32>,
    ipv6: Runs<u64>,
    database_built: u64,
    measurements_unused: usize,
    strangers: Box<[String]>,
}

/// What is said of a net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Answer {
    ranking: RankingId,
    country: Option<Country>,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which sites; see [`Table::ranking`].
    pub(crate) ranking: RankingId,
    /// In which country the address is, where the database knows.
    pub(crate) country: Option<Country>,
    /// The length of the merged net that the address is in: the shortest prefix all of which is answered like it. Nets
    /// of the table are equal or disjoint, `::ffff:0:0/96` being IPv4 and in no net of IPv6. An IPv4 address has at
    /// most 32 however it is written, an IPv6 address at most 64.
    pub(crate) prefix_length: u8,
    /// `prefix_length` in bits of the address as it was asked for, which is the SCOPE PREFIX-LENGTH of an answer
    /// (RFC 7871): 96 more where an IPv4 address was written as an IPv6 one.
    ///
    /// It is never cut to 24 or 56 bits, nor to the SOURCE PREFIX-LENGTH of the query: a scope that is shorter than the
    /// true net would hand this answer to clients who should get another one, and section 7.2.1 allows a scope to be
    /// longer than the source. A decider that tells clients of one net apart (by spilling some of them) must lengthen
    /// it to the prefix by which it tells them apart.
    pub(crate) scope: u8,
}

/// The size of a table, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Runs of IPv4 addresses that are answered alike.
    pub(crate) entries_ipv4: usize,
    /// The same of IPv6.
    pub(crate) entries_ipv6: usize,
    /// Different rankings.
    pub(crate) rankings: usize,
    /// What the table takes, names aside.
    pub(crate) memory_bytes: usize,
    /// When the database was built, seconds since 1970; 0 without one.
    pub(crate) database_built: u64,
    /// Measured lines that are not used, being of low confidence or of sites that are gone.
    pub(crate) measurements_unused: usize,
}

impl Table {
    /// What is known of `address`.
    pub(crate) fn find(&self, address: IpAddr) -> Found {
        let (answer, prefix_length) = match address.to_canonical() {
            IpAddr::V4(address) => self.ipv4.find(address.to_bits()),
            IpAddr::V6(address) => self.ipv6.find(upper(address)),
        };
        let mapped = address.is_ipv6() && address.to_canonical().is_ipv4();
        let Answer { ranking, country } = self.answers[answer as usize];
        Found {
            ranking,
            country,
            prefix_length,
            scope: prefix_length + if mapped { MAPPED } else { 0 },
        }
    }

    /// A ranking that this table has found.
    pub(crate) fn ranking(&self, id: RankingId) -> &Ranking {
        &self.rankings[id.0 as usize]
    }

    /// The name of a site in a ranking of this table, by the snapshot it was compiled for.
    #[cfg(test)]
    pub(crate) fn site(&self, id: super::ranking::SiteId) -> &str {
        &self.sites[usize::from(id.0)]
    }

    /// Sites that coverage zones name, and the snapshot does not have.
    pub(crate) fn strangers(&self) -> &[String] {
        &self.strangers
    }

    /// How large it is.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries_ipv4: self.ipv4.len(),
            entries_ipv6: self.ipv6.len(),
            rankings: self.rankings.len(),
            memory_bytes: self.ipv4.memory_bytes()
                + self.ipv6.memory_bytes()
                + size_of_val(&*self.rankings)
                + size_of_val(&*self.answers),
            database_built: self.database_built,
            measurements_unused: self.measurements_unused,
        }
    }

    /// Lays the evidence over one another.
    pub(super) fn new(sites: Sites, coverage: Coverage, measured: &Measured, database: &Database) -> Table {
        let mut builder = Builder::new(&sites, database);
        let zones = coverage.zones.iter().map(|zone| (zone.prefix, zone.ranking));
        let zones: Vec<(Prefix, Ranking)> = zones.collect();
        let measurements = measured.nets.iter().map(|net| (net.prefix, net.ranking));
        let measurements: Vec<(Prefix, Ranking)> = measurements.collect();
        let mut family = |family, places: &[Step<PlaceId>]| {
            let layers = Layers {
                deep_coverage: builder.layer(&zones, family, Evidence::Coverage { deep: true }),
                coverage: builder.layer(&zones, family, Evidence::Coverage { deep: false }),
                latency: builder.layer(&measurements, family, Evidence::Latency),
                places,
            };
            overlay(&layers, |known| builder.answer(known))
        };
        let ipv4: Vec<Run<u32>> = family(Family::Ipv4, &database.ipv4);
        let ipv6: Vec<Run<u32>> = family(Family::Ipv6, &database.ipv6);
        Table {
            ipv4: Runs::new(&ipv4),
            ipv6: Runs::new(&ipv6),
            rankings: builder.rankings.into_all(),
            answers: builder.answers.into_boxed_slice(),
            sites: sites.into_names(),
            database_built: database.built,
            measurements_unused: measured.unused,
            strangers: coverage.strangers.into_iter().collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn runs(&self) -> (&[u32], &[u64]) {
        (self.ipv4.starts(), self.ipv6.starts())
    }
}

/// Gives numbers to rankings and answers.
struct Builder {
    rankings: Rankings,
    default_ranking: RankingId,
    /// By place: where it should go, and its country.
    places: Vec<(Option<RankingId>, Option<Country>)>,
    answers: Vec<Answer>,
    numbers: HashMap<Answer, u32>,
}

impl Builder {
    fn new(sites: &Sites, database: &Database) -> Builder {
        let mut rankings = Rankings::default();
        let default_ranking = rankings.intern(sites.default_ranking());
        let places = database.places().iter().map(|place| {
            let ranking = place.coordinates.map(|coordinates| {
                let nearest = sites.nearest(&coordinates, Evidence::Geography);
                rankings.intern(nearest)
            });
            (ranking, place.country)
        });
        Builder {
            places: places.collect(),
            rankings,
            default_ranking,
            answers: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The nets of `family` whose rankings rest on `evidence`.
    fn layer(
        &mut self,
        nets: &[(Prefix, Ranking)],
        family: Family,
        evidence: Evidence,
    ) -> Vec<Step<RankingId>> {
        let wanted = |(prefix, ranking): &&(Prefix, Ranking)| {
            prefix.family == family && ranking.evidence() == evidence
        };
        let mut nets: Vec<(Prefix, Ranking)> = nets.iter().filter(wanted).copied().collect();
        nets.sort_by_key(|(prefix, _)| *prefix);
        let mut layer = Layer::new();
        for (prefix, ranking) in nets {
            layer.cover(prefix, self.rankings.intern(ranking));
        }
        layer.finish()
    }

    fn answer(&mut self, known: Known) -> u32 {
        let place = known.place.and_then(|place| self.places.get(place.index()));
        let (nearest, country) = place.copied().unwrap_or_default();
        let ranking = known.ranking.or(nearest).unwrap_or(self.default_ranking);
        let answer = Answer { ranking, country };
        let answers = &mut self.answers;
        *self.numbers.entry(answer).or_insert_with(|| {
            answers.push(answer);
            // No more than there are nets, whose bounds are below 2^32.
            u32::try_from(answers.len() - 1).unwrap_or(u32::MAX)
        })
    }
}
