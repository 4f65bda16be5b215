//! One configuration file: its text, what was asked of it, and everything that is wrong with it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, Complaints};
use super::secret::Secret;
use super::table::{Entries, Table};

/// The largest configuration file that is read. Ours have a few hundred lines; more is the wrong file.
const MAX_BYTES: u64 = 1024 * 1024;

/// How alike (0 to 1) a misspelt key must be to a known one before it is suggested.
const ALIKE: f64 = 0.8;

/// A parsed file, to be read through its [`root`](Document::root) and ended with [`finish`](Document::finish).
#[derive(Debug)]
pub struct Document<'t> {
    file: PathBuf,
    text: &'t str,
    root: DeTable<'t>,
    /// The keys that were asked for, by the path of their table.
    asked: RefCell<BTreeMap<String, BTreeSet<String>>>,
    /// What holds, defaults included, by path.
    effective: RefCell<BTreeMap<String, Value>>,
    outside: RefCell<Vec<Outside>>,
    complaints: RefCell<Vec<Complaint>>,
}

/// Something the document names that has to be there.
#[derive(Debug)]
struct Outside {
    offset: usize,
    at: String,
    what: Named,
}

#[derive(Debug)]
pub(super) enum Named {
    File(PathBuf),
    Secret(Secret),
}

/// Reads `file` as `read` understands it, looks for the files that it names, and gives the values with the document that
/// `/config` shows.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load_as<T>(file: &Path, read: impl FnOnce(&Table<'_>) -> Option<T>) -> Result<(T, Value), Complaints> {
    let text = load(file)?;
    let document = Document::parse(file, &text)?;
    let config = read(&document.root());
    document.check_outside();
    Ok((document.finish(config)?, document.masked()))
}

/// The text of a configuration file.
///
/// # Errors
/// One complaint when it cannot be read, is no UTF-8, or is larger than 1 MiB.
pub fn load(file: &Path) -> Result<String, Complaints> {
    let refuse = |what: String, advice: &str| {
        let complaint = Complaint {
            line: None,
            at: String::new(),
            what,
            advice: advice.to_owned(),
        };
        Complaints::new(file, vec![complaint])
    };
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            refuse(
                format!("cannot be read: {error}"),
                "name a readable file with --config",
            )
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse(
            format!("is larger than {MAX_BYTES} bytes"),
            "name a configuration file with --config",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        refuse(
            format!("is not UTF-8 text: {}", error.utf8_error()),
            "save it as UTF-8",
        )
    })
}

impl<'t> Document<'t> {
    /// Parses `text`; `file` is only how complaints call it.
    ///
    /// # Errors
    /// Every place where `text` is not TOML.
    pub fn parse(file: &Path, text: &'t str) -> Result<Document<'t>, Complaints> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let complaint = |error: &toml::de::Error| Complaint {
                line: Some(line_of(text, error.span().map_or(0, |span| span.start))),
                at: String::new(),
                what: format!("this is not TOML: {}", error.message()),
                advice: String::new(),
            };
            return Err(Complaints::new(file, errors.iter().map(complaint).collect()));
        }
        Ok(Document {
            file: file.to_owned(),
            text,
            root: root.into_inner(),
            asked: RefCell::default(),
            effective: RefCell::default(),
            outside: RefCell::default(),
            complaints: RefCell::default(),
        })
    }

    /// The table that holds all others.
    #[must_use]
    pub fn root(&self) -> Table<'_> {
        Table::new(self, String::new(), 0, Entries::Written(&self.root))
    }

    /// Looks for every file and secret that was asked for so far, and complains of those that are not there. Not part
    /// of reading, so that a document can be judged on a machine it was not written for.
    pub fn check_outside(&self) {
        for Outside { offset, at, what } in self.outside.borrow().iter() {
            let missing = match what {
                Named::File(path) => match std::fs::File::open(path) {
                    Ok(_) => continue,
                    Err(error) => format!("cannot read the file {}: {error}", path.display()),
                },
                Named::Secret(secret) => match secret.reveal() {
                    Ok(_) => continue,
                    Err(error) => error,
                },
            };
            self.complain(
                *offset,
                at.clone(),
                missing,
                "create it, or correct what is written here".to_owned(),
            );
        }
    }

    /// Ends the reading: keys nobody asked for become complaints; without complaints, `value` is what was read.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn finish<T>(&self, value: Option<T>) -> Result<T, Complaints> {
        self.complain_of_unknown_keys("", &self.root);
        let complaints = self.complaints.borrow();
        if !complaints.is_empty() {
            return Err(Complaints::new(&self.file, complaints.clone()));
        }
        Ok(value.expect("a reader gives None only after it recorded a complaint"))
    }

    /// What holds, for people to look at: every key that was asked for, with the value that was written or its
    /// default, `null` where an optional one is absent. Passwords inside URLs are replaced by `***`.
    #[must_use]
    pub fn masked(&self) -> Value {
        let effective = self.effective.borrow();
        effective
            .iter()
            .map(|(at, value)| (at.clone(), masked(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    pub(super) fn note_opened(&self, table: &str) {
        self.asked.borrow_mut().entry(table.to_owned()).or_default();
    }

    pub(super) fn note_asked(&self, table: &str, key: &str) {
        self.asked
            .borrow_mut()
            .entry(table.to_owned())
            .or_default()
            .insert(key.to_owned());
    }

    pub(super) fn note_effective(&self, at: String, value: Value) {
        self.effective.borrow_mut().insert(at, value);
    }

    pub(super) fn note_outside(&self, offset: usize, at: String, what: Named) {
        self.outside.borrow_mut().push(Outside { offset, at, what });
    }

    /// The first complaint about a key is kept: what else seems wrong with it may follow from that.
    pub(super) fn complain(&self, offset: usize, at: String, what: String, advice: String) {
        let mut complaints = self.complaints.borrow_mut();
        if complaints.iter().all(|earlier| earlier.at != at) {
            complaints.push(Complaint {
                line: Some(line_of(self.text, offset)),
                at,
                what,
                advice,
            });
        }
    }

    fn complain_of_unknown_keys(&self, table: &str, entries: &DeTable<'t>) {
        let known = self.asked.borrow().get(table).cloned().unwrap_or_default();
        for (key, value) in entries {
            let name: &str = key.get_ref();
            let at = join(table, name);
            if known.contains(name) {
                self.descend(&at, value);
            } else {
                self.complain(
                    key.span().start,
                    at,
                    "unknown key".to_owned(),
                    suggestion(name, &known),
                );
            }
        }
    }

    /// Into tables that were opened; a value that was read as a whole has judged its own keys.
    fn descend(&self, at: &str, value: &Spanned<DeValue<'t>>) {
        match value.get_ref() {
            DeValue::Table(entries) if self.was_opened(at) => self.complain_of_unknown_keys(at, entries),
            DeValue::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.descend(&format!("{at}[{position}]"), item);
                }
            }
            _ => {}
        }
    }

    fn was_opened(&self, table: &str) -> bool {
        self.asked.borrow().contains_key(table)
    }
}

/// The path of `key` inside `table`.
pub(super) fn join(table: &str, key: &str) -> String {
    if table.is_empty() {
        key.to_owned()
    } else {
        format!("{table}.{key}")
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
}

fn suggestion(key: &str, known: &BTreeSet<String>) -> String {
    let likeness = |name: &String| strsim::jaro_winkler(key, name);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        None => "remove it: nothing is known here".to_owned(),
        Some(name) if likeness(name) >= ALIKE => format!("did you mean `{name}`?"),
        Some(_) => {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            format!("known here: {}", names.join(", "))
        }
    }
}

fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_password(text)),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), masked(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// `scheme://user:password@host/…` with `***` for what stands before the `@`.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rfind('@') {
        Some(end) => format!("{scheme}://***{}", &rest[end..]),
        None => text.to_owned(),
    }
}
