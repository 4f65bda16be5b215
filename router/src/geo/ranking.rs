//! The order in which a client should be sent to sites, and what that order rests on.

use std::collections::HashMap;

/// Sites in one ranking. A decider that has tried four has no near one left, and each further one would make
/// neighbouring nets differ: longer scopes, and more queries from every resolver.
pub(crate) const RANKED: usize = 4;

pub(crate) use crate::site::SiteId;

/// A ranking, by its place in the table that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RankingId(pub(super) u32);

impl RankingId {
    /// Its place among the rankings of its table.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// What a ranking rests on, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Evidence {
    /// The operator said so. A deep zone is asked before those that are not, however long their prefixes.
    Coverage {
        /// Whether the zone is a deep one.
        deep: bool,
    },
    /// It was measured.
    Latency,
    /// The database knows where the client is, and these sites are the nearest.
    Geography,
    /// Nothing is known.
    Default,
}

impl Evidence {
    /// The word for it in metrics and explanations.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Evidence::Coverage { deep: true } => "deep_coverage",
            Evidence::Coverage { deep: false } => "coverage",
            Evidence::Latency => "latency",
            Evidence::Geography => "geography",
            Evidence::Default => "default",
        }
    }
}

/// Up to [`RANKED`] different sites, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ranking {
    sites: [SiteId; RANKED],
    count: u8,
    evidence: Evidence,
}

impl Ranking {
    /// The first [`RANKED`] different ones of `sites`.
    pub(super) fn new(sites: impl IntoIterator<Item = SiteId>, evidence: Evidence) -> Ranking {
        let mut ranking = Ranking {
            sites: [SiteId::default(); RANKED],
            count: 0,
            evidence,
        };
        for site in sites {
            if ranking.sites().contains(&site) {
                continue;
            }
            let Some(slot) = ranking.sites.get_mut(usize::from(ranking.count)) else {
                break;
            };
            *slot = site;
            ranking.count += 1;
        }
        ranking
    }

    /// The sites, best first. Empty only where the snapshot has none.
    pub(crate) fn sites(&self) -> &[SiteId] {
        &self.sites[..usize::from(self.count)]
    }

    /// What the order rests on.
    pub(crate) fn evidence(&self) -> Evidence {
        self.evidence
    }
}

/// Rankings, each of them once. Numbers are given in the order of asking, so equal sources give equal tables.
#[derive(Default)]
pub(super) struct Rankings {
    all: Vec<Ranking>,
    ids: HashMap<Ranking, RankingId>,
}

impl Rankings {
    /// The number of `ranking`.
    pub(super) fn intern(&mut self, ranking: Ranking) -> RankingId {
        let all = &mut self.all;
        *self.ids.entry(ranking).or_insert_with(|| {
            // Every ranking stems from a net or a place, whose own bounds are below 2^32.
            let id = RankingId(u32::try_from(all.len()).unwrap_or(u32::MAX));
            all.push(ranking);
            id
        })
    }

    /// All of them, by number.
    pub(super) fn into_all(self) -> Box<[Ranking]> {
        self.all.into_boxed_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ranking_holds_each_site_once_and_at_most_four() {
        let sites = [3, 1, 3, 7, 1, 0, 9].map(SiteId);
        let ranking = Ranking::new(sites, Evidence::Latency);
        assert_eq!(ranking.sites(), [3, 1, 7, 0].map(SiteId));
        assert_eq!(ranking.evidence(), Evidence::Latency);
        assert!(Ranking::new([], Evidence::Default).sites().is_empty());
    }

    #[test]
    fn equal_rankings_share_a_number_and_other_evidence_is_another_ranking() {
        let mut rankings = Rankings::default();
        let near = rankings.intern(Ranking::new([SiteId(1)], Evidence::Geography));
        let told = rankings.intern(Ranking::new([SiteId(1)], Evidence::Coverage { deep: true }));
        let again = rankings.intern(Ranking::new([SiteId(1), SiteId(1)], Evidence::Geography));
        assert_eq!(near, again);
        assert_ne!(near, told);
        assert_eq!(rankings.into_all().len(), 2);
    }

    #[test]
    fn evidence_is_ordered_best_first_and_each_has_its_word() {
        let all = [
            Evidence::Default,
            Evidence::Coverage { deep: false },
            Evidence::Geography,
            Evidence::Coverage { deep: true },
            Evidence::Latency,
        ];
        let words = all.map(Evidence::word);
        assert_eq!(
            words,
            ["default", "coverage", "geography", "deep_coverage", "latency"]
        );
        assert!(Evidence::Latency < Evidence::Geography && Evidence::Geography < Evidence::Default);
    }
}
