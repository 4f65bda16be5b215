//! What was flipped, and what came of it.

use std::collections::BTreeMap;

use cache::disk::inspect::Piece;

use super::super::stage::Answer;
use crate::measure::{Goal, Measure};

/// Complaints that are printed.
const MOST_COMPLAINTS: usize = 20;

/// What was done and seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) flips: BTreeMap<Piece, u64>,
    pub(super) lives: u64,
    bodies: u64,
    wrong: u64,
    /// Answers that broke off or did not come.
    broken: u64,
    /// Answers that the edge had to fetch again when everything was asked for after a batch.
    pub(super) missed: u64,
    /// Reads of the edge that met damage.
    pub(super) detected: u64,
    /// Flips of records that were read next.
    live: BTreeMap<Piece, Outcomes>,
    /// Structures that were damaged when the edge was started, and those of them that it found so.
    structures: BTreeMap<Piece, (u64, u64)>,
    pub(super) complaints: Vec<String>,
}

/// What came of flips in live records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcomes {
    /// The read that came next counted it.
    detected: u64,
    /// The record was given up, or the object refreshed, before it was asked for.
    replaced: u64,
    /// The record was there, and nothing was counted.
    unnoticed: u64,
}

/// What came of one flip in a live record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Detected,
    Replaced,
    Unnoticed,
}

impl Tally {
    pub(super) fn note(&mut self, answer: &Answer) {
        self.bodies += 1;
        match answer {
            Answer::Right { .. } => {}
            Answer::Wrong(how) => {
                self.wrong += 1;
                self.complain(how.clone());
            }
            Answer::Failed(_) => self.broken += 1,
        }
    }

    pub(super) fn note_flip(&mut self, piece: Piece) {
        *self.flips.entry(piece).or_default() += 1;
    }

    pub(super) fn note_met(&mut self, piece: Piece, met: Met) {
        let outcomes = self.live.entry(piece).or_default();
        match met {
            Met::Detected => outcomes.detected += 1,
            Met::Replaced => outcomes.replaced += 1,
            Met::Unnoticed => outcomes.unnoticed += 1,
        }
    }

    pub(super) fn note_start(&mut self, piece: Piece, damaged: u64, found: u64) {
        let known = self.structures.entry(piece).or_default();
        known.0 += damaged;
        known.1 += found;
    }

    fn complain(&mut self, how: String) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(how);
        }
    }

    pub(super) fn measures(&self) -> Vec<Measure> {
        let own = |name: &str, value: u64, goal| Measure::own(name, "", value as f64, goal);
        let none = Some(Goal::AtMost(0.0));
        let mut measures: Vec<Measure> = self
            .flips
            .iter()
            .map(|(piece, count)| own(&format!("flips in: {piece}"), *count, None))
            .collect();
        for (piece, outcomes) in &self.live {
            let Outcomes {
                detected,
                replaced,
                unnoticed,
            } = *outcomes;
            measures.extend([
                own(
                    &format!("live {piece}: flipped, then asked for"),
                    detected + replaced + unnoticed,
                    None,
                ),
                own(&format!("live {piece}: counted as damage"), detected, None),
                own(&format!("live {piece}: replaced before that"), replaced, None),
                own(&format!("live {piece}: not noticed"), unnoticed, none),
            ]);
        }
        for (piece, (damaged, found)) in &self.structures {
            // Where a region can be read neither by its list nor record by record, what is older is given up unread.
            let goal = (*piece != Piece::Footer).then_some(Goal::AtLeast(*damaged as f64));
            measures.extend([
                own(&format!("{piece}: damaged at a start"), *damaged, None),
                own(&format!("{piece}: counted by the start"), *found, goal),
            ]);
        }
        measures.extend([
            own("starts on a damaged device", self.lives, None),
            own("answers", self.bodies, None),
            own("wrong bodies", self.wrong, none),
            own("answers broken off", self.broken, none),
            own("answers fetched again", self.missed, None),
            own("damage met by reads", self.detected, Some(Goal::AtLeast(1.0))),
        ]);
        measures
    }
}
