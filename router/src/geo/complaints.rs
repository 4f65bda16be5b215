//! Everything that is wrong with a source, in as many lines as anyone reads.

use std::fmt::Display;

/// Lines told of one source. A file of a million lines that is of the wrong kind is understood after a few.
const TOLD: usize = 100;

/// The complaints about one source so far.
pub(super) struct Complaints<'a> {
    source: &'a str,
    told: Vec<String>,
    untold: usize,
}

impl<'a> Complaints<'a> {
    /// None yet about `source`.
    pub(super) fn of(source: &'a str) -> Complaints<'a> {
        Complaints {
            source,
            told: Vec::new(),
            untold: 0,
        }
    }

    /// About the source as a whole.
    pub(super) fn whole(&mut self, what: impl Display, advice: impl Display) {
        self.tell(format_args!(""), what, advice);
    }

    /// About a line, counted from 1.
    pub(super) fn line(&mut self, number: usize, what: impl Display, advice: impl Display) {
        self.tell(format_args!(":{number}"), what, advice);
    }

    /// About a place in a document, such as `zones[3].prefix`.
    pub(super) fn place(&mut self, place: impl Display, what: impl Display, advice: impl Display) {
        self.tell(format_args!(": {place}"), what, advice);
    }

    fn tell(&mut self, at: impl Display, what: impl Display, advice: impl Display) {
        if self.told.len() < TOLD {
            self.told.push(format!("{}{at}: {what}; {advice}", self.source));
        } else {
            self.untold += 1;
        }
    }

    /// `value` when there is nothing to complain of.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Vec<String>> {
        if self.told.is_empty() {
            return Ok(value);
        }
        if self.untold > 0 {
            self.told.push(format!(
                "{}: {} more complaints are not told; mend these first",
                self.source, self.untold
            ));
        }
        Err(self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_where_and_what_to_do() {
        let mut complaints = Complaints::of("zones.json");
        complaints.whole("it is empty", "write some");
        complaints.line(7, "it is odd", "make it even");
        complaints.place("zones[3].prefix", "it is long", "cut it");
        assert_eq!(
            complaints.finish(()).unwrap_err(),
            [
                "zones.json: it is empty; write some",
                "zones.json:7: it is odd; make it even",
                "zones.json: zones[3].prefix: it is long; cut it",
            ]
        );
        assert_eq!(Complaints::of("zones.json").finish(5), Ok(5));
    }

    #[test]
    fn a_flood_is_counted_instead_of_told() {
        let mut complaints = Complaints::of("latency.csv");
        for number in 1..=1_000 {
            complaints.line(number, "no", "yes");
        }
        let told = complaints.finish(()).unwrap_err();
        assert_eq!(told.len(), TOLD + 1);
        assert!(told[TOLD].contains("900 more"), "{}", told[TOLD]);
    }
}
