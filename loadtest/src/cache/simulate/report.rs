//! The scores of all seeds as one table for people and one list of measures. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::play::Score;
use super::policy::Kind;
use super::trace::Character;
use super::workload::Workload;
use crate::measure::{Goal, Measure};
use crate::table;

/// App write amplification: what the log may write for each byte that it was given.
const MOST_AMPLIFICATION: f64 = 1.15;

/// What one score is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) workload: Workload,
    /// Size of the cache in percent of the footprint.
    pub(super) percent: u64,
    pub(super) policy: Kind,
}

/// All scores, by case and seed.
#[derive(Debug)]
pub(super) struct Report {
    workloads: Vec<Workload>,
    percents: Vec<u64>,
    /// By seed.
    characters: Vec<(Workload, u64, Character)>,
    scores: Vec<(Case, BTreeMap<u64, Score>)>,
}

/// The byte misses that ours may have for each of a policy's.
fn goal(peer: Kind) -> Goal {
    match peer {
        Kind::Lru => Goal::AtMost(0.95),
        Kind::Fifo => Goal::AtMost(0.90),
        Kind::Millrace | Kind::S3Fifo => Goal::AtMost(1.05),
    }
}

impl Report {
    pub(super) fn new(workloads: &[Workload], percents: &[u64]) -> Report {
        Report {
            workloads: workloads.to_vec(),
            percents: percents.to_vec(),
            characters: Vec::new(),
            scores: Vec::new(),
        }
    }

    /// Notes what a trace is like.
    pub(super) fn describe(&mut self, workload: Workload, seed: u64, character: Character) {
        self.characters.push((workload, seed, character));
    }

    /// Notes a score.
    pub(super) fn add(&mut self, case: Case, seed: u64, score: Score) {
        match self.scores.iter_mut().find(|(known, _)| *known == case) {
            Some((_, scores)) => drop(scores.insert(seed, score)),
            None => self.scores.push((case, BTreeMap::from([(seed, score)]))),
        }
    }

    /// The traces, and one row for each policy at each size.
    pub(super) fn details(&self) -> String {
        let mut text = String::new();
        for workload in &self.workloads {
            let mut of_it: Vec<_> = self.characters.iter().filter(|(of, ..)| of == workload).collect();
            of_it.sort_by_key(|(_, seed, _)| *seed);
            for (workload, seed, character) in of_it {
                let _ = writeln!(
                    text,
                    "{}, seed {seed}: footprint {:.1} GB, mean request {:.2} MB, {:.0} % of requests ≤ 64 KiB, one-hit \
                     {:.0} % of objects and {:.0} % of bytes, compulsory misses {:.1} % of bytes",
                    workload.name(),
                    character.footprint_bytes as f64 / 1e9,
                    character.mean_request_bytes / 1e6,
                    character.small_requests * 100.0,
                    character.one_hit_objects * 100.0,
                    character.one_hit_bytes * 100.0,
                    character.compulsory_bytes * 100.0,
                );
            }
        }
        let rows: Vec<Vec<String>> = self
            .cases()
            .flat_map(|(workload, percent)| {
                Kind::ALL.map(|policy| Case {
                    workload,
                    percent,
                    policy,
                })
            })
            .filter_map(|case| Some(row(case, &self.sum(case)?)))
            .collect();
        text.push('\n');
        text.push_str(&table::render(
            &[
                "workload",
                "size",
                "policy",
                "byte hits",
                "object hits",
                "written/served",
                "copied",
                "amplification",
                "turnover",
            ],
            &rows,
        ));
        text
    }

    /// Ours beside each peer, against the goals.
    pub(super) fn measures(&self) -> Vec<Measure> {
        self.cases()
            .flat_map(|(workload, percent)| self.measures_of(workload, percent))
            .collect()
    }

    fn measures_of(&self, workload: Workload, percent: u64) -> Vec<Measure> {
        let case = |policy| Case {
            workload,
            percent,
            policy,
        };
        let Some(ours) = self.sum(case(Kind::Millrace)) else {
            return Vec::new();
        };
        let name = |what: &str| format!("{}, {percent} %: {what}", workload.name());
        let missed = |score: &Score| score.missed_bytes as f64 / score.asked_bytes.max(1) as f64;
        let mut measures = Vec::new();
        for peer in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Millrace) {
            let Some(theirs) = self.sum(case(peer)) else {
                continue;
            };
            measures.push(Measure {
                spread: self.spread(case(Kind::Millrace), case(peer)),
                ..Measure::against(
                    &name("byte misses"),
                    "share of bytes",
                    missed(&ours),
                    peer.name(),
                    missed(&theirs),
                    Some(goal(peer)),
                )
            });
        }
        let goal = Some(Goal::AtMost(MOST_AMPLIFICATION));
        measures.extend([
            Measure::own(
                &name("byte-hit ratio"),
                "share of bytes",
                ours.byte_hit_ratio(),
                None,
            ),
            Measure::own(
                &name("object-hit ratio"),
                "share of requests",
                ours.object_hit_ratio(),
                None,
            ),
            Measure::own(
                &name("written per byte served"),
                "",
                ours.written_per_served(),
                None,
            ),
            Measure::own(&name("reinserted"), "share of writes", ours.copied_share(), None),
            Measure::own(&name("app write amplification"), "", ours.amplification(), goal),
        ]);
        measures
    }

    fn cases(&self) -> impl Iterator<Item = (Workload, u64)> + '_ {
        self.workloads
            .iter()
            .flat_map(|workload| self.percents.iter().map(|percent| (*workload, *percent)))
    }

    fn seeds(&self, case: Case) -> Option<&BTreeMap<u64, Score>> {
        self.scores
            .iter()
            .find(|(of, _)| *of == case)
            .map(|(_, scores)| scores)
    }

    /// The scores of all seeds together.
    fn sum(&self, case: Case) -> Option<Score> {
        let mut sum = Score::default();
        self.seeds(case)?.values().for_each(|score| sum.add(score));
        Some(sum)
    }

    /// The largest distance of a seed's ratio from that of all together.
    fn spread(&self, ours: Case, theirs: Case) -> Option<f64> {
        let ratio =
            |ours: &Score, theirs: &Score| ours.missed_bytes as f64 / theirs.missed_bytes.max(1) as f64;
        let all = ratio(&self.sum(ours)?, &self.sum(theirs)?);
        let theirs = self.seeds(theirs)?;
        let distances = self
            .seeds(ours)?
            .iter()
            .filter_map(|(seed, score)| Some((ratio(score, theirs.get(seed)?) / all - 1.0).abs()));
        distances.reduce(f64::max)
    }
}

fn row(case: Case, score: &Score) -> Vec<String> {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    vec![
        case.workload.name().to_owned(),
        format!("{} %", case.percent),
        case.policy.name().to_owned(),
        percent(score.byte_hit_ratio()),
        percent(score.object_hit_ratio()),
        format!("{:.4}", score.written_per_served()),
        percent(score.copied_share()),
        format!("{:.3}", score.amplification()),
        format!("{:.1}", score.turnover),
    ]
}
