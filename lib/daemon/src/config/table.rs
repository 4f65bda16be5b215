//! One table of a configuration file: keys are pulled out of it, each with its type, and what is wrong is recorded.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::document::{Document, Named, join};
use super::expectation::what_and_advice;
use super::secret::Secret;

/// A table of a [`Document`]. One that is not written reads as an empty one, so that its defaults hold and its
/// required keys are complained of by name.
#[derive(Clone, Debug)]
pub struct Table<'d> {
    document: &'d Document<'d>,
    /// Its path, such as `cache.disk` or `tls.certificates[0]`; empty for the root.
    at: String,
    /// Where it, or the nearest table around it that is written, begins in the text.
    offset: usize,
    entries: Entries<'d>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Entries<'d> {
    Written(&'d DeTable<'d>),
    Absent,
    /// Something else stands where the table should be, and was complained of: what it lacks needs no word.
    NoTable,
}

impl<'d> Table<'d> {
    pub(super) fn new(
        document: &'d Document<'d>,
        at: String,
        offset: usize,
        entries: Entries<'d>,
    ) -> Table<'d> {
        document.note_opened(&at);
        Table {
            document,
            at,
            offset,
            entries,
        }
    }

    /// The value of `key`, which has to be there.
    #[must_use]
    pub fn required<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let Some(value) = self.ask(key) else {
            self.complain_missing(key);
            return None;
        };
        self.read(key, value)
    }

    /// The value of `key`, if it is there and right.
    #[must_use]
    pub fn optional<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        match self.ask(key) {
            Some(value) => self.read(key, value),
            None => {
                self.document.note_effective(self.path(key), Value::Null);
                None
            }
        }
    }

    /// The value of `key`, or `default` where it is not written.
    #[must_use]
    pub fn or<T: DeserializeOwned + Serialize>(&self, key: &str, default: T) -> T {
        match self.ask(key) {
            Some(value) => self.read(key, value).unwrap_or(default),
            None => {
                self.document.note_effective(self.path(key), as_json(&default));
                default
            }
        }
    }

    /// As [`or`](Table::or), for a value that has to lie within `range`.
    #[must_use]
    pub fn within<T>(&self, key: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: DeserializeOwned + Serialize + PartialOrd,
    {
        let value = self.or(key, default);
        if !range.contains(&value) {
            let advice = format!(
                "write a value from {} to {}",
                as_json(range.start()),
                as_json(range.end())
            );
            self.complain(key, &format!("{} is out of range", as_json(&value)), &advice);
        }
        value
    }

    /// The path of a file that has to be there ([`Document::check_outside`] looks), which has to be named.
    #[must_use]
    pub fn required_file(&self, key: &str) -> Option<PathBuf> {
        let path: PathBuf = self.required(key)?;
        self.document
            .note_outside(self.offset_of(key), self.path(key), Named::File(path.clone()));
        Some(path)
    }

    /// The path of a file that has to be there ([`Document::check_outside`] looks) when it is named.
    #[must_use]
    pub fn optional_file(&self, key: &str) -> Option<PathBuf> {
        let path: PathBuf = self.optional(key)?;
        self.document
            .note_outside(self.offset_of(key), self.path(key), Named::File(path.clone()));
        Some(path)
    }

    /// As [`secret`](Table::secret), for one that has to be named.
    #[must_use]
    pub fn required_secret(&self, key: &str) -> Option<Secret> {
        if self.ask(key).is_none() {
            self.complain_missing(key);
        }
        self.secret(key)
    }

    /// Where a secret is found ([`Document::check_outside`] looks), if one is named.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<Secret> {
        if let Some(value) = self.ask(key) {
            let Some(entries) = value.get_ref().as_table() else {
                // Whatever it is, it may be the secret itself: the complaint must not repeat it.
                let advice =
                    "write { file = \"…\" } or { environment = \"…\" }: a secret does not stand in this file";
                self.complain(key, &found(value), advice);
                return None;
            };
            let places = ["file", "environment"];
            if let Some((stray, _)) = entries
                .iter()
                .find(|(name, _)| !places.contains(&&**name.get_ref()))
            {
                let advice = format!("known here: {}", places.join(", "));
                let (offset, at) = (stray.span().start, join(&self.path(key), stray.get_ref()));
                self.document
                    .complain(offset, at, "unknown key".to_owned(), advice);
                return None;
            }
        }
        let secret: Secret = self.optional(key)?;
        self.document
            .note_outside(self.offset_of(key), self.path(key), Named::Secret(secret.clone()));
        Some(secret)
    }

    /// The table `key`; an empty one where it is not written.
    #[must_use]
    pub fn table(&self, key: &str) -> Table<'d> {
        match self.ask(key) {
            Some(value) => self.open(key, self.path(key), value),
            None => Table::new(self.document, self.path(key), self.offset, Entries::Absent),
        }
    }

    /// The table `key`, if it is written.
    #[must_use]
    pub fn optional_table(&self, key: &str) -> Option<Table<'d>> {
        match self.ask(key) {
            Some(value) => Some(self.open(key, self.path(key), value)),
            None => {
                self.document.note_effective(self.path(key), Value::Null);
                None
            }
        }
    }

    /// The tables of the list `key`, as `key = [{ … }]` or `[[key]]`; none where it is not written.
    #[must_use]
    pub fn tables(&self, key: &str) -> Vec<Table<'d>> {
        let Some(value) = self.ask(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.complain(key, &found(value), "write a list of tables: [{ … }]");
            return Vec::new();
        };
        let path = self.path(key);
        items
            .iter()
            .enumerate()
            .map(|(n, item)| self.open(key, format!("{path}[{n}]"), item))
            .collect()
    }

    /// Complains of `key` where it is written: it had a meaning once, and `advice` says what to write now.
    pub fn retired(&self, key: &str, advice: &str) {
        if matches!(self.entries, Entries::Written(entries) if entries.contains_key(key)) {
            self.document.note_asked(&self.at, key);
            self.complain(key, "is not read any more", advice);
        }
    }

    /// Records that something is wrong with `key`: what, and what to do.
    pub fn complain(&self, key: &str, what: &str, advice: &str) {
        self.document.complain(
            self.offset_of(key),
            self.path(key),
            what.to_owned(),
            advice.to_owned(),
        );
    }

    fn complain_missing(&self, key: &str) {
        if !matches!(self.entries, Entries::NoTable) {
            self.complain(key, "is missing", &self.where_to_add(key));
        }
    }

    fn ask(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.document.note_asked(&self.at, key);
        match self.entries {
            Entries::Written(entries) => entries.get(key),
            Entries::Absent | Entries::NoTable => None,
        }
    }

    fn open(&self, key: &str, path: String, value: &'d Spanned<DeValue<'d>>) -> Table<'d> {
        let entries = value
            .get_ref()
            .as_table()
            .map_or(Entries::NoTable, Entries::Written);
        if matches!(entries, Entries::NoTable) {
            self.complain(key, &found(value), "write a table");
        }
        Table::new(self.document, path, value.span().start, entries)
    }

    fn read<T: DeserializeOwned>(&self, key: &str, value: &Spanned<DeValue<'d>>) -> Option<T> {
        match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(read) => {
                let written = Value::deserialize(ValueDeserializer::from(value.clone()));
                self.document
                    .note_effective(self.path(key), written.unwrap_or_default());
                Some(read)
            }
            Err(error) => {
                let offset = error.span().map_or(value.span().start, |span| span.start);
                let (what, advice) = what_and_advice(error.message());
                self.document.complain(offset, self.path(key), what, advice);
                None
            }
        }
    }

    fn path(&self, key: &str) -> String {
        join(&self.at, key)
    }

    fn where_to_add(&self, key: &str) -> String {
        if self.at.is_empty() {
            format!("add `{key} = …` above the first table")
        } else {
            format!("add `{key} = …` to [{}]", self.at)
        }
    }

    fn offset_of(&self, key: &str) -> usize {
        match self.entries {
            Entries::Written(entries) => entries
                .get_key_value(key)
                .map_or(self.offset, |(key, _)| key.span().start),
            Entries::Absent | Entries::NoTable => self.offset,
        }
    }
}

fn found(value: &Spanned<DeValue<'_>>) -> String {
    format!("is of type {}", value.get_ref().type_str())
}

fn as_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
