//! What a sample configuration can be held to, whoever reads it: taken as text, changed a little, read again.

use serde_json::Value;

/// One setting as a commented sample shows it: `key = value` below its comment; `# key = value` where it is optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The path of its table, such as `cache.disk`; empty above the first table.
    pub table: String,
    /// Its name.
    pub key: String,
    /// Its value as written; only the first line where it has several.
    pub value: String,
    /// The comment right above it, without its marks, as one line.
    pub comment: String,
    /// Its line, from 1.
    pub line: usize,
}

/// The key that [`with_stray_keys`] puts in.
pub const STRAY_KEY: &str = "qqqq";

/// The sample with a key that nobody knows, once for every table in it (the root and inline tables too), with the line
/// that the key stands in.
#[must_use]
pub fn with_stray_keys(sample: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = sample.lines().collect();
    let stray = format!("{STRAY_KEY} = 1");
    let mut changed = vec![(1, format!("{stray}\n{sample}"))];
    for (position, line) in lines.iter().enumerate() {
        let with = |number: usize, new: &[&str]| {
            let all = [&lines[..position], new, &lines[position + 1..]].concat();
            (number, all.join("\n"))
        };
        if line.starts_with('[') {
            changed.push(with(position + 2, &[line, &stray]));
        } else if !line.starts_with('#') {
            for (brace, _) in line.match_indices('{') {
                let (before, after) = line.split_at(brace + 1);
                changed.push(with(position + 1, &[&format!("{before} {stray},{after}")]));
            }
        }
    }
    changed
}

/// Holds the reader of a sample to complain of a stray key in any of its tables, of nothing else, and with its line.
///
/// `read` gives all complaints as text, in which the sample is called `file`.
///
/// # Panics
/// With the complaints that are otherwise, or when the sample has fewer than `least` tables.
pub fn check_stray_keys<T>(sample: &str, file: &str, least: usize, read: impl Fn(&str) -> Result<T, String>) {
    let changed = with_stray_keys(sample);
    assert!(changed.len() >= least, "{} tables in {sample}", changed.len());
    for (line, text) in changed {
        let Err(complaints) = read(&text) else {
            panic!("a stray key in line {line} is taken")
        };
        let expected = format!("{file}:{line}: ");
        let one = complaints.lines().count() == 1;
        assert!(
            one && complaints.starts_with(&expected) && complaints.contains("unknown key"),
            "{complaints}"
        );
    }
}

/// Every setting of a sample, in order.
#[must_use]
pub fn settings(sample: &str) -> Vec<Setting> {
    let mut settings = Vec::new();
    let (mut table, mut comment) = (String::new(), Vec::new());
    for (position, line) in sample.lines().enumerate() {
        let uncommented = line.strip_prefix("# ").unwrap_or(line);
        if let Some((key, value)) = uncommented.split_once(" = ").filter(|(key, _)| is_key(key)) {
            let setting = Setting {
                table: table.clone(),
                key: key.to_owned(),
                value: value.to_owned(),
                comment: std::mem::take(&mut comment).join(" "),
                line: position + 1,
            };
            settings.push(setting);
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else {
            comment.clear();
            // A list of tables has two brackets on each side.
            if line.starts_with('[') && line.ends_with(']') {
                table = line.trim_matches(['[', ']']).to_owned();
            }
        }
    }
    settings
}

/// Holds the comments of a sample to what the reader does: every key the reader knows stands in it, with its default
/// (or `Required`, or `Optional`) and its range, and no other.
///
/// `read` gives every value in use by path (`listen.threads`, `tls.certificates[0].key`), or all complaints as text, in
/// which a range reads `write a value from A to B`.
///
/// # Panics
/// With everything that does not hold.
pub fn check_comments(sample: &str, read: impl Fn(&str) -> Result<Value, String>) {
    let settings = settings(sample);
    let in_use = read(sample).expect("the sample reads");
    let mut wrong = Vec::new();

    for path in in_use.as_object().expect("values by path").keys() {
        let (whole, list) = (without_positions(path), path.split('[').next().unwrap_or(path));
        if !settings
            .iter()
            .any(|setting| setting.path() == whole || setting.path() == list)
        {
            wrong.push(format!("{path} is not shown"));
        }
    }
    for setting in &settings {
        let expected = setting
            .default_in_words(sample, &read)
            .into_iter()
            .chain(setting.range_in_words(sample, &read));
        for words in expected.filter(|words| !setting.comment.to_lowercase().contains(&words.to_lowercase()))
        {
            wrong.push(format!(
                "line {}: the comment of {} does not say {words:?}",
                setting.line,
                setting.path()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Setting {
    fn path(&self) -> String {
        if self.table.is_empty() {
            self.key.clone()
        } else {
            format!("{}.{}", self.table, self.key)
        }
    }

    fn value_in<'v>(&self, in_use: &'v Value) -> Option<&'v Value> {
        let mut values = in_use.as_object()?.iter();
        let (_, value) = values.find(|(path, _)| without_positions(path) == self.path())?;
        Some(value)
    }

    /// The sample with another text in this setting's line; its further lines go too.
    fn replaced(&self, sample: &str, line: &str) -> String {
        let lines: Vec<&str> = sample.lines().collect();
        let end = if self.value == "[" {
            lines
                .iter()
                .skip(self.line)
                .position(|line| *line == "]")
                .map_or(self.line, |more| self.line + more + 1)
        } else {
            self.line
        };
        [&lines[..self.line - 1], &[line], &lines[end..]]
            .concat()
            .join("\n")
    }

    /// What the reader takes where this setting is not written.
    fn default_in_words(&self, sample: &str, read: impl Fn(&str) -> Result<Value, String>) -> Option<String> {
        match read(&self.replaced(sample, "")) {
            Err(complaints) if complaints.contains("is missing") => Some("Required".to_owned()),
            // Needed only beside another setting: the comment says beside which.
            Err(_) => None,
            Ok(in_use) => match self.value_in(&in_use) {
                None => None,
                Some(Value::Null) => Some("Optional".to_owned()),
                Some(Value::Array(items)) if items.is_empty() => Some("Default none".to_owned()),
                Some(default) => Some(format!("default {default}")),
            },
        }
    }

    /// What the reader says to a value beyond all bounds.
    fn range_in_words(&self, sample: &str, read: impl Fn(&str) -> Result<Value, String>) -> Option<String> {
        ["1000000000000", "\"100000d\"", "\"9999PiB\""]
            .iter()
            .find_map(|huge| {
                let complaints = read(&self.replaced(sample, &format!("{} = {huge}", self.key))).err()?;
                let range = complaints
                    .lines()
                    .find_map(|line| line.split_once("write a value from "))?
                    .1;
                Some(range.to_owned())
            })
    }
}

/// `a[0].b` as `a.b`: the path of a setting in a list of tables, whichever of them it is in.
fn without_positions(path: &str) -> String {
    let mut names = path.split('[');
    let first = names.next().unwrap_or_default().to_owned();
    names.fold(first, |path, rest| {
        path + rest.split_once(']').map_or(rest, |(_, rest)| rest)
    })
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SAMPLE: &str = "\
# A name.
# Required.
a = 1

# Two
[b.c]
# Pairs.
pairs = [
    { d = 1 },
]
# No pair.
# e_f = { g = 2 }
";

    #[test]
    fn every_table_gets_its_stray_key() {
        let changed = with_stray_keys(SAMPLE);
        let lines: Vec<usize> = changed.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 7, 9]);
        for (line, text) in &changed {
            assert!(
                text.lines()
                    .nth(line - 1)
                    .is_some_and(|line| line.contains("qqqq = 1")),
                "{line}: {text}"
            );
            assert!(toml::from_str::<toml::Table>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn settings_are_found_with_their_comments() {
        let found: Vec<(String, String, String, usize)> = settings(SAMPLE)
            .into_iter()
            .map(|s| (s.table, s.key, s.comment, s.line))
            .collect();
        let expected = [
            ("", "a", "A name. Required.", 3),
            ("b.c", "pairs", "Pairs.", 8),
            ("b.c", "e_f", "No pair.", 12),
        ];
        assert_eq!(
            found,
            expected.map(|(t, k, c, l)| (t.to_owned(), k.to_owned(), c.to_owned(), l))
        );
    }

    /// Knows `name`, which is required, and `size`, from 1 to 9, default 5.
    fn read(text: &str) -> Result<Value, String> {
        let table: toml::Table = text.parse().expect("TOML");
        let size = table.get("size").map_or(Some(5), toml::Value::as_integer);
        match (table.get("name"), size) {
            (None, _) => Err("name: is missing".to_owned()),
            (_, Some(size)) if !(1..=9).contains(&size) => Err("size: write a value from 1 to 9".to_owned()),
            (_, None) => Err("size: no number".to_owned()),
            (Some(name), Some(size)) => Ok(json!({ "name": name.as_str(), "size": size })),
        }
    }

    #[test]
    fn comments_that_say_it_all_pass() {
        check_comments(
            "# A name. Required.\nname = 'x'\n\n# 1 to 9, default 5.\nsize = 6\n",
            read,
        );
    }

    #[test]
    #[should_panic(expected = "the comment of size does not say \"default 5\"")]
    fn a_wrong_default_is_found() {
        check_comments(
            "# A name. Required.\nname = 'x'\n\n# 1 to 9, default 4.\nsize = 6\n",
            read,
        );
    }

    #[test]
    #[should_panic(expected = "the comment of size does not say \"1 to 9\"")]
    fn a_wrong_range_is_found() {
        check_comments(
            "# A name. Required.\nname = 'x'\n\n# 1 to 10, default 5.\nsize = 6\n",
            read,
        );
    }

    #[test]
    #[should_panic(expected = "size is not shown")]
    fn a_key_that_is_not_shown_is_found() {
        check_comments("# A name. Required.\nname = 'x'\n", read);
    }
}
