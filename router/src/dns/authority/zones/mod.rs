//! The zones, compiled for look-ups: every name that exists in one hash table, its records ready to be sent.
//!
//! A query costs one look-up for a name that exists, and one more for each label that has to go until the closest name
//! above it does. What follows from wildcards and delegations is worked out beforehand, name by name.

mod compile;
mod draft;
mod hash;
mod image;

use std::collections::HashMap;

use self::hash::NameHash;
use super::{
    code,
    name::{QueryName, parent},
    steer::ServiceId,
};

/// All zones of a snapshot. Immutable; a new snapshot makes new ones.
#[derive(Default)]
pub(crate) struct Zones {
    /// By name, in lower case and in its sent form: whatever has records, and whatever lies between that and its zone.
    names: HashMap<Box<[u8]>, Node, NameHash>,
    apexes: Vec<Apex>,
    cuts: Vec<Cut>,
    /// Labels of the longest name there is. What is longer needs no look-up.
    deepest: usize,
}

/// What there is at a name, and below it where nothing else is.
struct Node {
    /// The place of its zone.
    apex: u32,
    /// The place of the delegation at the name or above it.
    cut: Option<u32>,
    /// Whether that delegation is at the name itself.
    is_cut: bool,
    /// Whether it is the name of a zone.
    is_apex: bool,
    own: Entry,
    /// What wildcards give to names below that do not exist.
    below: Option<Entry>,
}

/// What a name has.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) sets: Vec<Set>,
    /// The service whose nodes are its addresses.
    pub(super) steered: Option<ServiceId>,
}

/// A name that exists and has nothing.
static NOTHING: Entry = Entry {
    sets: Vec::new(),
    steered: None,
};

/// Records of one type, as they follow a question for their name.
pub(super) struct Set {
    pub(super) kind: u16,
    pub(super) count: u16,
    pub(super) image: Box<[u8]>,
    /// Addresses of the name servers it names.
    pub(super) glue: Glue,
}

/// Addresses of name servers, as they are sent beside their names.
#[derive(Default)]
pub(super) struct Glue {
    pub(super) count: u16,
    pub(super) image: Box<[u8]>,
}

/// A zone.
pub(super) struct Apex {
    /// Bytes of its name.
    pub(super) name_bytes: usize,
    /// Its start of authority behind the owner, as it goes with what is absent (RFC 2308 §3).
    pub(super) negative: Box<[u8]>,
    /// The zone that it lies in, where that is here too.
    above: Option<u32>,
}

/// A part of a zone that others answer for.
pub(super) struct Cut {
    /// Bytes of its name.
    pub(super) name_bytes: usize,
    /// Its name servers, each behind the owner.
    pub(super) servers: Box<[Box<[u8]>]>,
    pub(super) glue: Glue,
}

/// What is known of a name.
pub(super) enum Found<'a> {
    /// It lies in no zone.
    Outside,
    /// Others answer for it.
    Delegated(&'a Cut),
    /// It exists, or a wildcard stands for it.
    Name(&'a Apex, &'a Entry),
    /// It does not exist.
    Absent(&'a Apex),
}

impl Zones {
    /// What is known of `name`, for a question of type `kind`.
    pub(super) fn find(&self, name: &QueryName, kind: u16) -> Found<'_> {
        let mut rest = name.wire();
        let mut labels = name.labels();
        if labels <= self.deepest
            && let Some(node) = self.names.get(rest)
        {
            return self.of_existing(node, kind);
        }
        while labels > 0 {
            rest = parent(rest);
            labels -= 1;
            if labels <= self.deepest
                && let Some(node) = self.names.get(rest)
            {
                return self.below(node);
            }
        }
        Found::Outside
    }

    /// The service whose nodes answer to `name`, which is in its sent form: its place among those of the snapshot.
    pub(crate) fn steered(&self, name: &[u8]) -> Option<u32> {
        match self.find(&QueryName::read(name)?, code::TYPE_A) {
            Found::Name(_, entry) => entry.steered.map(|service| service.0),
            Found::Outside | Found::Delegated(_) | Found::Absent(_) => None,
        }
    }

    fn of_existing<'a>(&'a self, node: &'a Node, kind: u16) -> Found<'a> {
        let apex = &self.apexes[node.apex as usize];
        match node.cut {
            // The key of a zone is known to the zone above it (RFC 4035 §3.1.4.1). None of ours is signed.
            Some(_) if kind == code::TYPE_DS && node.is_cut => Found::Name(apex, &NOTHING),
            Some(cut) => Found::Delegated(&self.cuts[cut as usize]),
            None => match apex.above.filter(|_| kind == code::TYPE_DS && node.is_apex) {
                Some(above) => Found::Name(&self.apexes[above as usize], &NOTHING),
                None => Found::Name(apex, &node.own),
            },
        }
    }

    fn below<'a>(&'a self, node: &'a Node) -> Found<'a> {
        let apex = &self.apexes[node.apex as usize];
        match (node.cut, &node.below) {
            (Some(cut), _) => Found::Delegated(&self.cuts[cut as usize]),
            (None, Some(entry)) => Found::Name(apex, entry),
            (None, None) => Found::Absent(apex),
        }
    }
}
