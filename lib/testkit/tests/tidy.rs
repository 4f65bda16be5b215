//! The rules of the house that a test can hold. Each complaint says where, which rule, and what to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each package may depend on, of ours. Dependencies point one way (README, map of the rooms).
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("daemon", &[]),
    ("cache", &["model"]),
    ("proxy", &["cache", "model", "daemon"]),
    ("edge", &["proxy", "cache", "model", "daemon"]),
    ("parent", &["proxy", "cache", "model", "daemon"]),
    ("views", &["model", "daemon"]),
    ("monitor", &["views", "model", "daemon"]),
    ("router", &["views", "model", "daemon"]),
    ("testkit", &["model"]),
    ("loadtest", &["testkit", "cache", "model", "daemon"]),
];

/// Packages that serve: nothing of the testkit may be in them.
const WITH_TESTKIT: &[&str] = &["loadtest"];

/// A crate that is named in few rooms, so that it can be replaced there.
struct Confined {
    /// How its names begin, in code and in manifests.
    prefix: &'static str,
    /// Where it may be named: path prefixes.
    rooms: &'static [&'static str],
    /// Where inside these it may not.
    but_not: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        prefix: "pingora",
        rooms: &["lib/proxy/"],
        but_not: &[
            "lib/proxy/src/flow/",
            "lib/proxy/src/headers/",
            "lib/proxy/src/log/",
        ],
        instead: "let lib/proxy/src/app.rs or lib/proxy/src/upstream translate it into a type of ours",
    },
    Confined {
        prefix: "hickory",
        rooms: &[
            "lib/proxy/src/upstream/",
            "lib/proxy/Cargo.toml",
            "router/src/dns/",
            "router/Cargo.toml",
            "lib/testkit/src/dns.rs",
            "lib/testkit/Cargo.toml",
        ],
        but_not: &[],
        instead: "ask lib/proxy/src/upstream/names.rs for addresses",
    },
];

/// Files with `unsafe`. Each block in them has its SAFETY comment (a lint sees to that too).
const MAY_BE_UNSAFE: &[&str] = &[
    // The kernel reads and writes memory that it is given by address.
    "lib/cache/src/disk/device/uring.rs",
    // Counts what is allocated, on its way to the system's allocator.
    "lib/cache/tests/recovery.rs",
    // A child asks the kernel to end it with us, between fork and exec.
    "loadtest/src/up/child.rs",
];

/// Files that may ask for the clock, the environment or a pause, each for its reason.
const MAY_ASK_THE_MACHINE: &[&str] = &[
    // The one clock of the daemons.
    "lib/daemon/src/clock.rs",
    // A seed that failed is run again.
    "lib/cache/src/disk/tests/simulation/mod.rs",
    // A secret may lie in an environment variable that the configuration names.
    "lib/daemon/src/config/secret.rs",
    // Test programs that start themselves again learn from the environment which copy they are.
    "lib/daemon/tests/it/log.rs",
    "lib/daemon/tests/it/signals.rs",
    // Everything tests ask of the machine.
    "lib/testkit/src/machine.rs",
    // Certificates are valid from a day on.
    "loadtest/src/up/certificate.rs",
];

/// Lines of a file without its tests. More than one idea lives in a longer one.
const LONGEST_FILE: usize = 800;

/// Names of drawers that everything ends up in.
const DRAWERS: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// Folders below the root that are not ours to check.
const NOT_OURS: &[&str] = &["target", ".git", ".local"];

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.iter().copied().collect();
    let packages = packages();
    let mut complaints = Vec::new();
    for package in &packages {
        let Some(may) = allowed.get(package.name.as_str()) else {
            complaints.push(format!(
                "{}: this package has no place among the rooms; say in MAY_DEPEND_ON of tidy.rs what it may depend on",
                package.manifest
            ));
            continue;
        };
        let ours = |name: &&String| packages.iter().any(|other| other.name == **name);
        for name in package.dependencies("dependencies").iter().filter(ours) {
            if !may.contains(&name.as_str()) {
                complaints.push(format!(
                    "{}: {} may not depend on {name}; move what it needs down to a room that both may use",
                    package.manifest, package.name
                ));
            }
        }
        for name in package.dependencies("dev-dependencies").iter().filter(ours) {
            if name != "testkit" && !may.contains(&name.as_str()) {
                complaints.push(format!(
                    "{}: tests of {} may use testkit and what {} itself may use, but not {name}",
                    package.manifest, package.name, package.name
                ));
            }
        }
        let takes_testkit = package
            .dependencies("dependencies")
            .contains(&"testkit".to_owned());
        if takes_testkit && !WITH_TESTKIT.contains(&package.name.as_str()) {
            complaints.push(format!(
                "{}: testkit is for tests; make it a dev-dependency",
                package.manifest
            ));
        }
    }
    report(complaints);
}

#[test]
fn packages_share_versions_and_lints() {
    let mut complaints = Vec::new();
    for package in packages() {
        let lints = package
            .table
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        if lints != Some(true) {
            complaints.push(format!("{}: add [lints] workspace = true", package.manifest));
        }
        let publish = package.table["package"].get("publish");
        let inherited = publish
            .and_then(|publish| publish.get("workspace"))
            .and_then(toml::Value::as_bool);
        if inherited != Some(true) && publish.and_then(toml::Value::as_bool) != Some(false) {
            complaints.push(format!(
                "{}: nothing of ours is published; add publish.workspace = true",
                package.manifest
            ));
        }
        let folder = package.manifest.trim_end_matches("/Cargo.toml");
        if Path::new(folder)
            .file_name()
            .is_some_and(|folder| folder != package.name.as_str())
        {
            complaints.push(format!(
                "{}: {} is not the name of its folder",
                package.manifest, package.name
            ));
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = package.table.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, written) in table {
                if written.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    complaints.push(format!(
                        "{}: {name} has a version of its own; put it into [workspace.dependencies] of Cargo.toml and \
                         write workspace = true",
                        package.manifest
                    ));
                }
            }
        }
    }
    report(complaints);
}

#[test]
fn some_crates_are_named_in_few_rooms() {
    let mut complaints = Vec::new();
    let manifests = packages()
        .into_iter()
        .map(|package| (package.manifest.clone(), package.code()));
    let sources = sources()
        .into_iter()
        .map(|source| (source.path.clone(), source.code_lines()));
    for (path, lines) in manifests.chain(sources) {
        for crate_ in CONFINED {
            let within = |rooms: &[&str]| rooms.iter().any(|room| path.starts_with(room));
            if within(crate_.rooms) && !within(crate_.but_not) {
                continue;
            }
            for (number, line) in &lines {
                if begins_a_name(line, crate_.prefix) {
                    complaints.push(format!(
                        "{path}:{number}: {} may not be named here; {}",
                        crate_.prefix, crate_.instead
                    ));
                }
            }
        }
    }
    report(complaints);
}

#[test]
fn unsafe_lives_in_named_files_and_says_why_it_is_sound() {
    let mut complaints = Vec::new();
    for source in sources() {
        let mut before = Vec::new();
        for (number, line) in source.lines() {
            let code = code_of(line);
            let is_unsafe = ["{", "fn ", "impl ", "extern "]
                .iter()
                .any(|what| code.contains(&format!("{} {what}", concat!("uns", "afe"))));
            if is_unsafe && !MAY_BE_UNSAFE.contains(&source.path.as_str()) {
                complaints.push(format!(
                    "{}:{number}: this file may not be unsafe; use a crate that wraps the call (rustix), or argue for \
                     the file and add it to MAY_BE_UNSAFE of tidy.rs",
                    source.path
                ));
            } else if is_unsafe
                && !before
                    .iter()
                    .rev()
                    .take(6)
                    .any(|line: &&str| line.contains("SAFETY:"))
            {
                complaints.push(format!(
                    "{}:{number}: say in a SAFETY comment why this is sound",
                    source.path
                ));
            }
            before.push(line);
        }
    }
    report(complaints);
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "));
    report(silent.map(|source| {
        format!(
            "{}:1: open with a `//! ` line that says what the file is for",
            source.path
        )
    }));
}

#[test]
fn no_source_file_owns_everything() {
    let mut complaints = Vec::new();
    for source in sources().into_iter().filter(|source| !source.is_test_file()) {
        let length = source.lines_before_tests();
        if length > LONGEST_FILE {
            complaints.push(format!(
                "{}: {length} lines without tests, at most {LONGEST_FILE}; give each decision a file of its own",
                source.path
            ));
        }
    }
    report(complaints);
}

#[test]
fn nothing_is_left_for_later_and_nothing_waits_by_sleeping() {
    // Written in two parts so that this file does not complain of itself.
    let words = [
        (
            concat!("#[ig", "nore"),
            "a test that does not run proves nothing; mend it or remove it",
        ),
        (concat!("to", "do!("), "build it now, or leave its room out"),
        (
            concat!("unimpl", "emented!("),
            "build it now, or leave its room out",
        ),
        (
            concat!("thread::", "sleep"),
            "poll with a deadline (testkit::eventually), or wait for an event",
        ),
    ];
    let mut complaints = Vec::new();
    for source in sources() {
        for (number, line) in source.code_lines() {
            for (word, advice) in words {
                if line.contains(word) && !MAY_ASK_THE_MACHINE.contains(&source.path.as_str()) {
                    complaints.push(format!("{}:{number}: {word}: {advice}", source.path));
                }
            }
        }
    }
    report(complaints);
}

#[test]
fn the_machine_is_asked_in_one_room_each() {
    let word = concat!("disallowed", "_methods");
    let mut complaints = Vec::new();
    for source in sources() {
        for (number, line) in source.code_lines() {
            if line.contains(word) && !MAY_ASK_THE_MACHINE.contains(&source.path.as_str()) {
                complaints.push(format!(
                    "{}:{number}: clock, environment and pauses have their room; take `now` or the setting as an \
                     argument",
                    source.path
                ));
            }
        }
    }
    report(complaints);
}

#[test]
fn there_is_no_drawer() {
    let mut complaints = Vec::new();
    let root = root();
    walk(&root, &mut |path| {
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let counts = path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
        if counts && DRAWERS.contains(&name) {
            complaints.push(format!("{}: name it for what it holds", relative(&root, path)));
        }
    });
    report(complaints);
}

#[test]
fn every_sample_of_configuration_is_named_by_a_test() {
    let root = root();
    let mut tests = String::new();
    for source in sources() {
        tests.push_str(source.test_part());
    }
    let mut complaints = Vec::new();
    walk(&root.join("conf"), &mut |path| {
        let configures = path
            .extension()
            .is_some_and(|extension| extension == "toml" || extension == "json");
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if configures && !tests.contains(name) {
            complaints.push(format!(
                "{}: no test reads it; add one that does",
                relative(&root, path)
            ));
        }
    });
    report(complaints);
}

/// One of our packages.
struct Package {
    name: String,
    /// Relative to the root.
    manifest: String,
    text: String,
    table: toml::Table,
}

impl Package {
    fn dependencies(&self, section: &str) -> Vec<String> {
        let table = self.table.get(section).and_then(toml::Value::as_table);
        table
            .map(|table| table.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn code(&self) -> Vec<(usize, String)> {
        let lines = self
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with('#'));
        lines.map(|(index, line)| (index + 1, line.to_owned())).collect()
    }
}

/// One of our source files.
struct Source {
    /// Relative to the root.
    path: String,
    text: String,
}

impl Source {
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// Its lines without comments.
    fn code_lines(&self) -> Vec<(usize, String)> {
        self.lines()
            .map(|(number, line)| (number, code_of(line).to_owned()))
            .collect()
    }

    fn is_test_file(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Where the unit tests begin, in bytes.
    fn tests_begin(&self) -> usize {
        self.text
            .find("#[cfg(test)]\nmod tests")
            .unwrap_or(self.text.len())
    }

    fn lines_before_tests(&self) -> usize {
        self.text[..self.tests_begin()].lines().count()
    }

    fn test_part(&self) -> &str {
        if self.is_test_file() {
            &self.text
        } else {
            &self.text[self.tests_begin()..]
        }
    }
}

/// A line without the comment at its end. A `//` inside a string hides the rest of it, which errs towards silence.
fn code_of(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

/// Whether a name in `line` begins with `prefix`.
fn begins_a_name(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == '"')
    })
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this package lies in lib/testkit")
        .to_owned()
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if NOT_OURS.contains(&name) {
            continue;
        }
        visit(&path);
        if path.is_dir() {
            walk(&path, visit);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn packages() -> Vec<Package> {
    let root = root();
    let workspace: toml::Table = read(&root.join("Cargo.toml"))
        .parse()
        .expect("Cargo.toml is TOML");
    let members = workspace["workspace"]["members"]
        .as_array()
        .expect("the workspace lists its members");
    let package = |member: &toml::Value| {
        let manifest = format!("{}/Cargo.toml", member.as_str().expect("a member is a path"));
        let text = read(&root.join(&manifest));
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{manifest}: {error}"));
        let name = table["package"]["name"]
            .as_str()
            .expect("a package has a name")
            .to_owned();
        Package {
            name,
            manifest,
            text,
            table,
        }
    };
    members.iter().map(package).collect()
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut sources = Vec::new();
    walk(&root, &mut |path| {
        if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source {
                path: relative(&root, path),
                text: read(path),
            });
        }
    });
    assert!(
        sources.len() > 20,
        "the walk has lost its way: {} files",
        sources.len()
    );
    sources
}

#[track_caller]
fn report(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
