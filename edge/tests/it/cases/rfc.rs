//! The sentences of RFCs that bind a cache, and the table that says which cases show them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;

use super::story;

/// One sentence. Its id is the number of the RFC, the section, and which of the section it is: `9111-5.2.2.10-1`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentence {
    id: String,
    /// `MUST`, `SHOULD NOT` and so on; `is` for what is said without such a word and binds all the same.
    level: String,
    /// A short quotation.
    text: String,
    /// Why we do otherwise on purpose.
    #[serde(default)]
    not_followed: Option<String>,
    /// Whom it binds instead.
    #[serde(default)]
    binds_no_cache: Option<String>,
    /// Why there is no occasion here to follow it or not.
    #[serde(default)]
    does_not_arise: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    title: String,
    sentence: Vec<Sentence>,
}

impl Sentence {
    /// What stands in place of cases.
    fn reason(&self) -> Option<String> {
        let said = [
            ("Deliberately not followed", &self.not_followed),
            ("Binds no cache", &self.binds_no_cache),
            ("Does not arise", &self.does_not_arise),
        ];
        said.into_iter()
            .find_map(|(what, why)| why.as_ref().map(|why| format!("*{what}:* {why}")))
    }
}

fn sentences(folder: &Path) -> Vec<Sentences> {
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("rfc"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        toml::from_str(&std::fs::read_to_string(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

/// The names of the cases that show each sentence.
fn shown(cases: &[story::Case]) -> BTreeMap<&str, Vec<&str>> {
    let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in cases {
        for id in &case.shows {
            shown.entry(id).or_default().push(&case.name);
        }
    }
    shown
}

fn table(files: &[Sentences], shown: &BTreeMap<&str, Vec<&str>>) -> String {
    let mut text = "# What the RFCs ask of a shared cache, and the cases that show it\n\n\
        Generated from `rfc/*.toml` and the cases by a test of the edge, which fails when this file is not what it should be\n\
        and says where the right one lies. Levels in capitals are BCP 14's; \"is\" marks what binds without such a word.\n"
        .to_owned();
    for file in files {
        let _ = write!(
            text,
            "\n## {}\n\n| section | level | sentence | shown by |\n| --- | --- | --- | --- |\n",
            file.title
        );
        for sentence in &file.sentence {
            let section = sentence.id.split('-').nth(1).unwrap_or_default();
            let cases = shown.get(sentence.id.as_str()).map(|names| names.join("; "));
            let by: Vec<String> = sentence.reason().into_iter().chain(cases).collect();
            let cells = [section, &sentence.level, &sentence.text, &by.join(" ")]
                .map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
    }
    text
}

#[test]
fn every_sentence_has_a_case_or_a_reason_and_every_case_names_sentences_that_are() {
    let folder = super::folder();
    let cases = story::all(&folder);
    let files = sentences(&folder);
    let shown = shown(&cases);
    let mut known = BTreeSet::new();
    let mut wrong = Vec::new();
    for sentence in files.iter().flat_map(|file| &file.sentence) {
        if !known.insert(sentence.id.as_str()) {
            wrong.push(format!("{} is there twice", sentence.id));
        }
        match (shown.contains_key(sentence.id.as_str()), sentence.reason()) {
            (false, None) => wrong.push(format!(
                "{} has neither a case nor a reason: {}",
                sentence.id, sentence.text
            )),
            (true, Some(_)) if sentence.not_followed.is_none() => {
                wrong.push(format!("{} has cases, so that it needs no reason", sentence.id));
            }
            _ => {}
        }
    }
    for (id, names) in &shown {
        if !known.contains(id) {
            wrong.push(format!("{id} is no sentence; named by {names:?}"));
        }
    }
    for case in cases.iter().filter(|case| case.shows.is_empty()) {
        wrong.push(format!("{:?} names no sentence", case.name));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_sentences_is_up_to_date() {
    let folder = super::folder();
    let cases = story::all(&folder);
    let right = table(&sentences(&folder), &shown(&cases));
    let there = std::fs::read_to_string(folder.join("RFC.md")).unwrap_or_default();
    if there != right {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("RFC.md");
        std::fs::write(&fresh, right).unwrap();
        panic!(
            "edge/tests/cases/RFC.md is out of date: cp {} edge/tests/cases/RFC.md",
            fresh.display()
        );
    }
}
