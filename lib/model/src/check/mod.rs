//! What can be wrong with a snapshot, all of it at once.

mod header_rules;
mod methods;
mod nodes;
mod routing;
mod services;
#[cfg(test)]
mod tests;
mod zones;

use std::fmt;

use crate::Snapshot;

/// One thing that is wrong: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where in the document, such as `services.demo.origins[0].url`.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Complaint {
    /// A complaint about `at`.
    pub fn new(at: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Complaint {
        Complaint {
            at: at.into(),
            what: what.into(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.at, self.what, self.advice)
    }
}

impl Snapshot {
    /// Everything that is wrong with the document; empty when it may be used.
    #[must_use]
    pub fn check(&self) -> Vec<Complaint> {
        let mut complaints = Complaints::default();
        complaints.name("cdn", &self.cdn);
        nodes::check(self, &mut complaints);
        services::check(self, &mut complaints);
        zones::check(self, &mut complaints);
        complaints.found
    }
}

/// The complaints found so far.
#[derive(Default)]
struct Complaints {
    found: Vec<Complaint>,
}

/// The longest name of a CDN, site, node or service: they go into header fields, metrics and host names.
const NAME_BYTES: usize = 63;

impl Complaints {
    fn add(&mut self, at: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) {
        self.found.push(Complaint::new(at, what, advice));
    }

    /// Names stand in `Via`, `Cache-Status` (where a token begins with a letter), cache keys (where `/` ends them) and
    /// metrics.
    fn name(&mut self, at: &str, name: &str) {
        if !is_name(name) {
            self.add(
                at,
                format!("{name:?} is not a name"),
                "use at most 63 lower-case letters, digits, '-', '_' and '.', a letter first",
            );
        }
    }

    fn weight(&mut self, at: String, weight: f64) {
        if !(weight.is_finite() && weight > 0.0) {
            self.add(
                at,
                format!("the weight {weight} is not above 0"),
                "give a number above 0, such as 1; take a node out of use by its status",
            );
        }
    }
}

/// Whether it may be the name of a site, a node or a service.
fn is_name(name: &str) -> bool {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    name.len() <= NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(legal)
}
