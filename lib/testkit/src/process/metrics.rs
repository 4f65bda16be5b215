//! Metrics as Prometheus reads them (text exposition format 0.0.4).

use std::collections::BTreeMap;

/// All series of one `/metrics`, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Metrics, String> {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| Series::parse(line).ok_or_else(|| format!("{line:?} is not a sample")));
        Ok(Metrics {
            series: series.collect::<Result<_, _>>()?,
        })
    }

    /// The sum of all series of this name that carry these labels; 0 when there is none, as a counter with labels is
    /// before its first event.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |series: &&Series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(label, value)| series.labels.get(*label).is_some_and(|own| own == value))
        };
        self.series
            .iter()
            .filter(carries)
            .map(|series| series.value)
            .sum()
    }

    /// Every name there is, once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Series {
    fn parse(line: &str) -> Option<Series> {
        let Some((name, rest)) = line.split_once('{') else {
            let (name, value) = line.split_once(' ')?;
            return Some(Series {
                name: name.to_owned(),
                labels: BTreeMap::new(),
                value: number(value)?,
            });
        };
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(value) = rest.strip_prefix('}') {
                return Some(Series {
                    name: name.to_owned(),
                    labels,
                    value: number(value)?,
                });
            }
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.insert(label.to_owned(), value);
            rest = after;
        }
    }
}

/// The text up to the closing quote, its escapes undone, and what follows the quote.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// A value, without the timestamp that may follow it.
fn number(text: &str) -> Option<f64> {
    match text.split_whitespace().next()? {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        value => value.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_over_the_labels_that_were_not_asked_for() {
        let metrics = Metrics::parse(concat!(
            "# HELP m_requests_total Requests.\n# TYPE m_requests_total counter\n",
            "m_requests_total{cache=\"hit\",status=\"200\"} 3\n",
            "m_requests_total{cache=\"hit\",status=\"206\"} 2\n",
            "m_requests_total{cache=\"miss\",status=\"200\"} 7\n",
            "m_open 4\nm_seconds_bucket{le=\"+Inf\"} 9\nm_odd{path=\"a\\\"b}c\"} 1 1700000000\n",
        ))
        .unwrap();
        assert_eq!(metrics.sum("m_requests_total", &[("cache", "hit")]), 5.0);
        assert_eq!(metrics.sum("m_requests_total", &[]), 12.0);
        assert_eq!(
            metrics.sum("m_requests_total", &[("cache", "hit"), ("status", "206")]),
            2.0
        );
        assert_eq!(metrics.sum("m_open", &[]), 4.0);
        assert_eq!(metrics.sum("m_seconds_bucket", &[("le", "+Inf")]), 9.0);
        assert_eq!(metrics.sum("m_odd", &[("path", "a\"b}c")]), 1.0);
        assert_eq!(metrics.sum("m_absent", &[]), 0.0);
        assert_eq!(
            metrics.names(),
            ["m_odd", "m_open", "m_requests_total", "m_seconds_bucket"]
        );
    }

    #[test]
    fn a_line_that_is_no_sample_is_an_error() {
        assert!(Metrics::parse("m_requests_total{cache=\"hit\" 3").is_err());
        assert!(Metrics::parse("<html>").is_err());
    }
}
