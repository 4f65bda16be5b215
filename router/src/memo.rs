//! What a thread has decided lately for DNS. Nearly all clients of a name that are known alike get the same answer: only
//! where a client's own network takes part does another decision have to be made.

use std::cell::RefCell;

use crate::decide::Family;
use crate::dns::authority::steer::{Addresses, Steered};
use crate::geo::ranking::RankingId;
use crate::world::Outcome;

/// Decisions that a thread remembers, some 60 KB. What shares a place takes it.
const PLACES: usize = 256;

/// All that a decision depends on in one world, where the client's own network takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// Which world: no two have the same number.
    pub(crate) world: u64,
    pub(crate) service: u32,
    /// The hash of the name.
    pub(crate) host: u64,
    pub(crate) family: Family,
    pub(crate) ranking: RankingId,
    pub(crate) country: Option<[u8; 2]>,
}

/// What was decided.
#[derive(Clone, Copy)]
pub(crate) struct Decided {
    pub(crate) steered: Steered,
    pub(crate) addresses: Addresses,
    pub(crate) outcome: Outcome,
}

thread_local! {
    static MEMO: RefCell<Vec<Option<(About, Decided)>>> = const { RefCell::new(Vec::new()) };
}

impl About {
    fn place(&self) -> usize {
        let ranking = u64::from(self.ranking.number());
        let mixed =
            (self.host ^ ranking.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(self.family as u64);
        mixed as usize % PLACES
    }
}

/// What this thread has decided about just this.
pub(crate) fn recall(about: &About) -> Option<Decided> {
    MEMO.with_borrow(|memo| match memo.get(about.place()) {
        Some(Some((known, decided))) if known == about => Some(*decided),
        _ => None,
    })
}

/// Remembers it.
pub(crate) fn remember(about: About, decided: Decided) {
    MEMO.with_borrow_mut(|memo| {
        // The first decision of a thread makes the room.
        memo.resize_with(PLACES, || None);
        memo[about.place()] = Some((about, decided));
    });
}
