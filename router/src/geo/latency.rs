//! Measured latency: which sites are quickest for a prefix, as some other program found out.
//!
//! ```text
//! # prefix,sites best first,source,confidence
//! 192.0.2.0/24,ams fra iad,beacons,0.93
//! 2001:db8::/32,iad|ams,beacons,0.8
//! ```
//!
//! Of lines on the same prefix the one of the highest confidence counts, of equal ones the first. Measuring lags
//! behind: a site that the snapshot does not have (any more) is passed over, and a line of which nothing is left too;
//! they are counted. A line that cannot be read is a complaint.

use std::str;

use super::Source;
use super::complaints::Complaints;
use super::place::Sites;
use super::prefix::Prefix;
use super::ranking::{Evidence, Ranking, SiteId};

/// The largest file: its most lines at 64 bytes each.
pub(super) const MOST_BYTES: usize = 256 << 20;

/// The most lines. Clients of a large CDN come from two or three million nets of /24 and /48.
const MOST_LINES: usize = 4_000_000;

/// Below this a measurement is no better than distance, and is not used.
const LEAST_CONFIDENCE: f64 = 0.5;

/// What was read.
#[derive(Default)]
pub(super) struct Measured {
    /// In the order of their prefixes, each once.
    pub(super) nets: Vec<Net>,
    /// Lines that are not used: of low confidence, or of unknown sites only.
    pub(super) unused: usize,
}

impl Measured {
    /// Adds what `other` says of nets of which nothing is said here.
    pub(super) fn add(&mut self, other: Measured) {
        self.unused += other.unused;
        self.nets.extend(other.nets);
        // The sort keeps those that were here before the others.
        self.nets.sort_by_key(|net| net.prefix);
        self.nets.dedup_by_key(|net| net.prefix);
    }
}

/// One measured net.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Net {
    pub(super) prefix: Prefix,
    pub(super) ranking: Ranking,
    confidence: f64,
}

/// Reads the lines of `source`.
///
/// # Errors
///
/// Every line that cannot be read, by its number.
pub(super) fn read(source: Source<'_>, sites: &Sites) -> Result<Measured, Vec<String>> {
    let mut complaints = Complaints::of(source.name);
    let mut measured = Measured::default();
    if source.bytes.len() > MOST_BYTES {
        complaints.whole(
            format_args!("it has {} bytes, more than {MOST_BYTES}", source.bytes.len()),
            "measure shorter prefixes",
        );
        return complaints.finish(measured);
    }
    for (index, bytes) in source.bytes.split(|byte| *byte == b'\n').enumerate() {
        if index >= MOST_LINES {
            let what = format!("it has more than {MOST_LINES} lines");
            complaints.whole(what, "measure shorter prefixes");
            break;
        }
        match line(bytes, sites) {
            Ok(Line::Empty) => {}
            Ok(Line::Unused) => measured.unused += 1,
            Ok(Line::Net(net)) => measured.nets.push(net),
            Err((what, advice)) => complaints.line(index + 1, what, advice),
        }
    }
    // The sort keeps the order of lines among equals.
    measured.nets.sort_by(|left, right| {
        let confidence = right.confidence.total_cmp(&left.confidence);
        left.prefix.cmp(&right.prefix).then(confidence)
    });
    measured.nets.dedup_by_key(|net| net.prefix);
    complaints.finish(measured)
}

/// What a line holds.
#[derive(Debug, PartialEq)]
enum Line {
    Empty,
    Unused,
    Net(Net),
}

/// What is wrong, and what to do.
type Wrong = (String, String);

fn line(bytes: &[u8], sites: &Sites) -> Result<Line, Wrong> {
    let wrong = |what: String, advice: &str| Err((what, advice.to_owned()));
    let Ok(text) = str::from_utf8(bytes) else {
        return wrong("this is no text".to_owned(), "write it in UTF-8");
    };
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(Line::Empty);
    }
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let [prefix, names, source, confidence] = fields[..] else {
        return wrong(
            format!("there are {} fields instead of 4", fields.len()),
            "write prefix,sites,source,confidence, such as 192.0.2.0/24,ams fra,beacons,0.9",
        );
    };
    let prefix = Prefix::parse(prefix).map_err(|refused| (refused.what, refused.advice))?;
    if source.is_empty() {
        return wrong("the source is empty".to_owned(), "name who measured");
    }
    let confidence = match confidence.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => number,
        _ => {
            return wrong(
                format!("the confidence {confidence:?} is no number from 0 to 1"),
                "write a share, such as 0.9",
            );
        }
    };
    let names = names.split([' ', '|']).filter(|name| !name.is_empty());
    let mut named = names.peekable();
    if named.peek().is_none() {
        return wrong("no site is named".to_owned(), "name sites, best first");
    }
    let known: Vec<SiteId> = named.filter_map(|name| sites.id(name)).collect();
    if confidence < LEAST_CONFIDENCE || known.is_empty() {
        return Ok(Line::Unused);
    }
    Ok(Line::Net(Net {
        prefix,
        ranking: sites.completed(&known, Evidence::Latency),
        confidence,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::snapshot;
    use super::*;

    fn sites() -> Sites {
        Sites::of(&snapshot(&[
            ("ams", 52.3, 4.8),
            ("fra", 50.0, 8.6),
            ("iad", 39.0, -77.5),
        ]))
        .unwrap()
    }

    fn read_text(text: &[u8]) -> Result<Measured, Vec<String>> {
        let source = Source {
            name: "latency.csv",
            bytes: text,
        };
        read(source, &sites())
    }

    fn order(net: &Net) -> Vec<u16> {
        net.ranking.sites().iter().map(|site| site.0).collect()
    }

    #[test]
    fn lines_are_read_and_completed_by_distance() {
        let text =
            "# a comment\r\n\n192.0.2.0/24,iad fra,beacons,0.93\r\n 2001:db8::/32 , fra|ams , beacons , 1\n";
        let measured = read_text(text.as_bytes()).unwrap();
        assert_eq!((measured.nets.len(), measured.unused), (2, 0));
        assert_eq!(measured.nets[0].prefix, Prefix::parse("192.0.2.0/24").unwrap());
        assert_eq!(order(&measured.nets[0]), [2, 1, 0]);
        assert_eq!(measured.nets[0].ranking.evidence(), Evidence::Latency);
        assert_eq!(order(&measured.nets[1]), [1, 0, 2]);
    }

    #[test]
    fn the_highest_confidence_counts_and_low_ones_never() {
        let text =
            b"10.0.0.0/8,ams,a,0.6\n10.0.0.0/8,iad,b,0.9\n10.0.0.0/8,fra,c,0.9\n10.0.0.0/8,ams,d,0.49\n";
        let measured = read_text(text).unwrap();
        assert_eq!((measured.nets.len(), measured.unused), (1, 1));
        assert_eq!(order(&measured.nets[0])[0], 2);
    }

    #[test]
    fn sites_that_are_gone_are_passed_over_and_counted() {
        let measured = read_text(b"10.0.0.0/8,gone fra,a,1\n11.0.0.0/8,gone,a,1").unwrap();
        assert_eq!((measured.nets.len(), measured.unused), (1, 1));
        assert_eq!(order(&measured.nets[0])[0], 1);
    }

    #[test]
    fn every_line_that_cannot_be_read_is_told_by_its_number() {
        let text = b"10.0.0.0/8,ams,a\n\n10.0.0.1/8,ams,a,1\n10.0.0.0/8, | ,a,1\n10.0.0.0/8,ams,,1\n\
            10.0.0.0/8,ams,a,1.1\n10.0.0.0/8,ams,a,NaN\n\xff\n2001:db8::/96,ams,a,1\n";
        let complaints = read_text(text).err().unwrap();
        let expected = [
            "latency.csv:1: there are 3 fields instead of 4; write prefix,sites",
            "latency.csv:3: \"10.0.0.1/8\" has bits set beyond its length; write 10.0.0.0/8",
            "latency.csv:4: no site is named; name sites",
            "latency.csv:5: the source is empty; name who measured",
            "latency.csv:6: the confidence \"1.1\" is no number from 0 to 1",
            "latency.csv:7: the confidence \"NaN\" is no number from 0 to 1",
            "latency.csv:8: this is no text; write it in UTF-8",
            "latency.csv:9: \"2001:db8::/96\" is longer than a /64",
        ];
        assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
        for (complaint, expected) in complaints.iter().zip(expected) {
            assert!(complaint.starts_with(expected), "{complaint}");
        }
    }
}
