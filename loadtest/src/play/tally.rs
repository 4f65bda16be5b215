//! What all viewers saw together.

use hdrhistogram::Histogram;

use crate::histogram;

/// Complaints kept word for word; the rest are only counted.
const MOST_COMPLAINTS: usize = 10;

/// Sums over requests.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests answered whole and rightly.
    pub(crate) good: u64,
    /// Requests that failed: status, bytes or connection.
    pub(crate) errors: u64,
    /// The first errors.
    pub(crate) complaints: Vec<String>,
    /// Of the good, those whose `Cache-Status` says that the edge had it.
    pub(crate) edge_hits: u64,
    /// Bytes of bodies that came.
    pub(crate) body_bytes: u64,
    /// Requests that the viewer broke off on purpose.
    pub(crate) aborted: u64,
    /// Sessions begun.
    pub(crate) sessions: u64,
    /// Microseconds to the head of an answer.
    pub(crate) head: Histogram<u64>,
    /// Microseconds to the end of a body, read at full speed.
    pub(crate) whole: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            good: 0,
            errors: 0,
            complaints: Vec::new(),
            edge_hits: 0,
            body_bytes: 0,
            aborted: 0,
            sessions: 0,
            head: histogram::new(),
            whole: histogram::new(),
        }
    }
}

impl Tally {
    /// One request failed.
    pub(crate) fn complain(&mut self, complaint: String) {
        self.errors += 1;
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(complaint);
        }
    }
}

/// Whether the member of `Cache-Status` (RFC 9211) nearest to the player, the last, says hit.
pub(crate) fn edge_hit(cache_status: &str) -> bool {
    let last = cache_status.rsplit(',').next().unwrap_or("");
    last.split(';').skip(1).any(|parameter| parameter.trim() == "hit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_of_cache_status_is_the_edge() {
        for (value, hit) in [
            ("parent-ams-1; fwd=miss; stored, edge-ams-1; hit; ttl=12", true),
            ("parent-ams-1; hit, edge-ams-1; fwd=miss", false),
            ("edge-ams-1;hit", true),
            ("hit", false),
            ("", false),
        ] {
            assert_eq!(edge_hit(value), hit, "{value}");
        }
    }

    #[test]
    fn complaints_are_counted_all_and_kept_few() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.complain(format!("{number}"));
        }
        assert_eq!((tally.errors, tally.complaints.len()), (100, MOST_COMPLAINTS));
    }
}
