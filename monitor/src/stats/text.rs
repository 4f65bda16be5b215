//! The Prometheus text format (0.0.4), read in one pass, without a panic and without an allocation.
//!
//! A line is split after its name; the rest is parsed only when somebody wants it, as most lines of a node's
//! `/metrics` are buckets of histograms that nobody here asks for.
//!
//! ```text
//! line      = [name [labels] value [timestamp]] | comment        blanks and tabs between, one line feed at the end
//! labels    = "{" [label *("," label) [","]] "}"
//! label     = name "=" '"' *(any but '"', '\' and line feed | '\\' | '\"' | '\n') '"'
//! ```

use std::borrow::Cow;

/// Labels of one series. Ours have at most four; a line with more is no metric of a node.
const MOST_LABELS: usize = 32;

/// A line with a legal name; what follows the name has not been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    rest: &'a str,
}

/// A line that breaks the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The labels of a series and its value, which may be infinite or no number at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Series<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) value: f64,
}

/// What stands between the braces, known to be well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels<'a>(&'a str);

/// The lines of `text` that are neither empty nor comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, Malformed>> {
    let lines = text.split('\n').map(without_blanks);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Line::new)
}

impl<'a> Line<'a> {
    fn new(line: &'a str) -> Result<Line<'a>, Malformed> {
        let (name, rest) = split_name(line, |byte| byte == b':').ok_or(Malformed)?;
        match rest.bytes().next() {
            Some(b'{' | b' ' | b'\t') => Ok(Line { name, rest }),
            _ => Err(Malformed),
        }
    }

    /// Parses what follows the name.
    pub(super) fn series(self) -> Result<Series<'a>, Malformed> {
        let rest = without_blanks(self.rest);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => Labels::split(inside).ok_or(Malformed)?,
            None => (Labels(""), rest),
        };
        let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
        let value = words.next().and_then(|word| word.parse().ok());
        let is_timestamp = |word: &str| word.parse::<i64>().is_ok();
        if !words.next().is_none_or(is_timestamp) || words.next().is_some() {
            return Err(Malformed);
        }
        let value = value.ok_or(Malformed)?;
        Ok(Series { labels, value })
    }
}

impl<'a> Labels<'a> {
    /// The value of a label. Allocates only for a value with escapes in it.
    pub(super) fn get(self, wanted: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.0;
        for _ in 0..MOST_LABELS {
            let (name, value, after) = split_label(rest)?;
            if name == wanted {
                return Some(unescaped(value));
            }
            rest = without_blanks(after).strip_prefix(',')?;
        }
        None
    }

    /// What stands before the closing brace, and what follows it.
    fn split(inside: &'a str) -> Option<(Labels<'a>, &'a str)> {
        let mut rest = inside;
        for _ in 0..=MOST_LABELS {
            let ahead = without_blanks(rest);
            if let Some(after) = ahead.strip_prefix('}') {
                let length = inside.len() - ahead.len();
                return Some((Labels(&inside[..length]), after));
            }
            let (_, _, after) = split_label(ahead)?;
            let after = without_blanks(after);
            rest = match after.strip_prefix(',') {
                Some(after) => after,
                None if after.starts_with('}') => after,
                None => return None,
            };
        }
        None
    }
}

/// Name, value as it was written, and what follows the closing quote.
fn split_label(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = split_name(without_blanks(text), |_| false)?;
    let rest = without_blanks(rest).strip_prefix('=')?;
    let quoted = without_blanks(rest).strip_prefix('"')?;
    let mut bytes = quoted.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            // Both are ASCII, so that these are boundaries of characters.
            b'"' => return Some((name, &quoted[..at], &quoted[at + 1..])),
            b'\\' => {
                let (_, escaped) = bytes.next()?;
                if !matches!(escaped, b'\\' | b'"' | b'n') {
                    return None;
                }
            }
            _ => {}
        }
    }
    None
}

/// A name that begins `text`, and what follows it; `also` says what may be in it beside letters, digits and `_`.
fn split_name(text: &str, also: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || also(byte);
    let length = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
    if length == 0 || text.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    Some(text.split_at(length))
}

fn without_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some(escaped) => text.push(escaped),
                None => {}
            },
            _ => text.push(character),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use testkit::chance::{Chance, seed};

    fn read(line: &str) -> Option<(String, f64)> {
        let line = lines(line).next()?.ok()?;
        let series = line.series().ok()?;
        Some((line.name.to_owned(), series.value))
    }

    fn label(line: &str, name: &str) -> Option<String> {
        let series = lines(line).next()?.ok()?.series().ok()?;
        series.labels.get(name).map(Cow::into_owned)
    }

    #[test]
    fn a_line_has_a_name_and_perhaps_labels_and_perhaps_a_timestamp() {
        for (line, name, value) in [
            ("up 1", "up", 1.0),
            ("up\t1.5e3", "up", 1500.0),
            ("  up   -1  ", "up", -1.0),
            ("up 1 1395066363000", "up", 1.0),
            ("up 1 -3", "up", 1.0),
            ("node:up{} +Inf", "node:up", f64::INFINITY),
            ("up{a=\"b\"}-Inf", "up", f64::NEG_INFINITY),
            ("up{ a = \"b\" , c=\"\", } 7", "up", 7.0),
            ("up {a=\"}\"} 8", "up", 8.0),
            ("up{a=\"ü ☃\"} 9", "up", 9.0),
        ] {
            assert_eq!(read(line), Some((name.to_owned(), value)), "{line}");
        }
        assert!(read("up NaN").is_some_and(|(_, value)| value.is_nan()));
    }

    #[test]
    fn what_breaks_the_format_is_malformed() {
        for line in [
            "1up 1",
            "up",
            "up ",
            "up one",
            "up 1 2 3",
            "up 1 2.5",
            "up{ 1",
            "up{a} 1",
            "up{a=b} 1",
            "up{a=\"b} 1",
            "up{a=\"b\" c=\"d\"} 1",
            "up{a=\"\\t\"} 1",
            "up{a=\"\\",
            "up{,} 1",
            "up{1a=\"b\"} 1",
            "up{a:b=\"c\"} 1",
            "up{a=\"b\"}",
            "ü 1",
            "u\0p 1",
            "<html>",
            "up 1\r",
        ] {
            let outcome = lines(line).next().expect(line).and_then(Line::series);
            assert_eq!(outcome, Err(Malformed), "{line}");
        }
        let many = format!("up{{{}}} 1", "a=\"b\",".repeat(MOST_LABELS + 1));
        assert_eq!(read(&many), None);
    }

    #[test]
    fn comments_and_empty_lines_are_no_lines() {
        let text = "# HELP up Whether.\n# TYPE up gauge\n\n  \t\n # x\nup 1\n";
        assert_eq!(lines(text).count(), 1);
        assert_eq!(lines("").count(), 0);
    }

    #[test]
    fn the_value_of_a_label_is_found_and_its_escapes_are_undone() {
        let line = r#"disk{device="C:\\one\n\"two\"",state="healthy,x=\"y\"",last="z"} 1"#;
        assert_eq!(label(line, "device").as_deref(), Some("C:\\one\n\"two\""));
        assert_eq!(label(line, "state").as_deref(), Some("healthy,x=\"y\""));
        assert_eq!(label(line, "last").as_deref(), Some("z"));
        assert_eq!(label(line, "x"), None);
        assert_eq!(label("up{} 1", "x"), None);
    }

    #[test]
    fn what_the_crate_of_the_nodes_writes_is_read_as_it_was_meant() {
        use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};
        let registry = Registry::new();
        let opts = Opts::new("odd_total", "Help with \\ and \n in it.");
        let family = IntCounterVec::new(opts, &["device"]).unwrap();
        registry.register(Box::new(family.clone())).unwrap();
        let devices = ["plain", "quote\"", "back\\slash", "line\nfeed", "\\n", "}\" 1"];
        for (index, device) in devices.iter().enumerate() {
            family.with_label_values(&[device]).inc_by(index as u64 + 1);
        }
        let mut bytes = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let mut found = 0;
        for line in lines(&text) {
            let series = line.and_then(Line::series).expect(&text);
            let device = series.labels.get("device").expect(&text);
            let index = devices.iter().position(|known| *known == device).expect(&text);
            assert_eq!(series.value, index as f64 + 1.0);
            found += 1;
        }
        assert_eq!(found, devices.len());
    }

    /// Everything the reader offers, so that whatever may panic has its chance to.
    fn read_all(text: &str) {
        for line in lines(text).flatten() {
            assert!(!line.name.is_empty());
            if let Ok(series) = line.series() {
                for name in ["device", "a", "", "state"] {
                    let _ = series.labels.get(name);
                }
            }
        }
    }

    #[test]
    fn bytes_by_chance_and_good_lines_with_bytes_changed_do_no_harm() {
        let mut chance = Chance::new(seed());
        let good =
            "millrace_cache_disk_state{device=\"/dev/ü\\\\x\\\"\",state=\"healthy\"} 1 1395066363000\n";
        let alphabet = b"{}\"\\,=# \t\nna:_0-+.eNI\xc3\xbc\0";
        for _ in 0..20_000 {
            let mut bytes = good.repeat(2).into_bytes();
            for _ in 0..chance.below(6) {
                let at = chance.below(bytes.len() as u64) as usize;
                let byte = alphabet[chance.below(alphabet.len() as u64) as usize];
                match chance.below(3) {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            read_all(&String::from_utf8_lossy(&bytes));
            let noise: Vec<u8> = (0..chance.below(60))
                .map(|_| alphabet[chance.below(alphabet.len() as u64) as usize])
                .collect();
            read_all(&String::from_utf8_lossy(&noise));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            read_all(&text);
        }

        #[test]
        fn any_label_value_survives_being_escaped(value in any::<String>()) {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("up{{a=\"x\",b=\"{escaped}\"}} 1");
            prop_assert_eq!(label(&line, "b"), Some(value));
        }
    }
}
