//! A case as it is written: what the origin has, what the client asks, what the origin was asked, what the client got.

use std::path::Path;

use serde::Deserialize;

/// One case of a file.
pub(super) struct Case {
    /// A sentence of its own.
    pub(super) name: String,
    /// The name as a part of a path.
    pub(super) slug: String,
    /// The sentences it shows, by id.
    pub(super) shows: Vec<String>,
    /// The service it is played on.
    pub(super) service: String,
    /// What happens, in order.
    pub(super) steps: Vec<Step>,
    /// How many steps come before the restart, for a case that is told again from disk.
    pub(super) before_restart: Option<usize>,
}

/// One request of a client, and all that belongs to it.
pub(super) struct Step {
    /// The line that asks, for messages.
    pub(super) line: String,
    /// What the origin answers from now on, one after the other; the last one stays. Empty: as before.
    pub(super) origin: Vec<Scripted>,
    /// The request.
    pub(super) client: Message,
    /// What the origin is asked meanwhile.
    pub(super) asked: Asked,
    /// What the client gets.
    pub(super) answer: Answer,
}

/// A line of the origin's script.
pub(super) struct Scripted {
    /// A status, or what happens instead of an answer.
    pub(super) what: String,
    /// Fields, in order.
    pub(super) fields: Vec<(String, String)>,
    /// The body.
    pub(super) body: String,
    /// `chunked`, `ranges`, `truncated N`.
    pub(super) manner: Vec<String>,
}

/// A request to send.
pub(super) struct Message {
    /// Its method.
    pub(super) method: String,
    /// What follows the case's own path.
    pub(super) suffix: String,
    /// Its fields.
    pub(super) fields: Vec<(String, String)>,
    /// Its body.
    pub(super) body: Option<String>,
}

/// What the origin is to be asked during a step.
pub(super) enum Asked {
    /// Exactly these, in this order.
    These(Vec<Expected>),
    /// At least once.
    Somehow,
}

/// A request or an answer as it is expected.
pub(super) struct Expected {
    /// Method (and what follows the case's path), or status.
    pub(super) what: String,
    /// What holds of its fields and body.
    pub(super) all: Vec<Expectation>,
}

/// What the client is to get.
pub(super) enum Answer {
    /// This.
    Is(Expected),
    /// This, though perhaps not at the first look: something happens behind.
    Becomes(Expected),
    /// None that is whole.
    Broken,
    /// None that is whole, or this where nothing of it had reached the client yet: which of them is chance.
    BrokenOr(Expected),
}

/// What holds of a message.
pub(super) enum Expectation {
    /// All lines of the field, joined by commas, are this.
    Is(String, String),
    /// The field is a number between the two, both included.
    Between(String, u64, u64),
    /// The lines of the field have this in them.
    Has(String, String),
    /// They have not.
    Lacks(String, String),
    /// There is no such field.
    Absent(String),
    /// The body is this.
    Body(String),
    /// This, over HTTP/1.1; over HTTP/2 nothing is said.
    OverHttp1(Box<Expectation>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    shows: Vec<String>,
    #[serde(default = "plain")]
    service: String,
    story: String,
}

fn plain() -> String {
    "plain".to_owned()
}

/// Every case of every file, in the order of the files' names.
pub(super) fn all(folder: &Path) -> Vec<Case> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for written in file.case {
            let name = written.name.clone();
            let case = read(written).unwrap_or_else(|why| panic!("{}: {name}: {why}", path.display()));
            cases.push(case);
        }
    }
    let mut slugs: Vec<&str> = cases.iter().map(|case| case.slug.as_str()).collect();
    slugs.sort_unstable();
    for pair in slugs.windows(2) {
        assert_ne!(pair[0], pair[1], "two cases have one name");
    }
    cases
}

fn read(written: Written) -> Result<Case, String> {
    let mut steps = Vec::new();
    let mut before_restart = None;
    let mut origin = Vec::new();
    let mut asking: Option<(String, Message)> = None;
    let mut asked = Asked::These(Vec::new());
    for line in written.story.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match (word, &asking) {
            ("restart", None) => before_restart = Some(steps.len()),
            ("origin", None) => origin.push(scripted(rest)?),
            ("client", None) => asking = Some((line.to_owned(), message(rest)?)),
            ("asked", Some(_)) if rest == "*" => asked = Asked::Somehow,
            ("asked", Some(_)) => match &mut asked {
                Asked::These(all) => all.push(expected(rest)?),
                Asked::Somehow => return Err(format!("{line:?} comes after \"asked *\"")),
            },
            ("answer", Some(_)) => {
                let (line, client) = asking.take().ok_or("an answer without a request")?;
                steps.push(Step {
                    line,
                    origin: std::mem::take(&mut origin),
                    client,
                    asked: std::mem::replace(&mut asked, Asked::These(Vec::new())),
                    answer: answer(rest)?,
                });
            }
            _ => return Err(format!("{line:?} is not understood here")),
        }
    }
    if asking.is_some() || steps.is_empty() || !origin.is_empty() {
        return Err("a story ends with an answer".to_owned());
    }
    let slug: String = written
        .name
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() {
                one.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    Ok(Case {
        slug,
        name: written.name,
        shows: written.shows,
        service: written.service,
        steps,
        before_restart,
    })
}

fn parts(rest: &str) -> (&str, impl Iterator<Item = &str>) {
    let mut all = rest.split(" | ").map(str::trim);
    (all.next().unwrap_or_default(), all)
}

fn scripted(rest: &str) -> Result<Scripted, String> {
    let mut line = Scripted {
        what: String::new(),
        fields: Vec::new(),
        body: String::new(),
        manner: Vec::new(),
    };
    if rest.starts_with("raw ") {
        rest.clone_into(&mut line.what);
        return Ok(line);
    }
    let (what, parts) = parts(rest);
    what.clone_into(&mut line.what);
    for part in parts {
        if part == "chunked" || part == "ranges" || part.starts_with("truncated ") {
            line.manner.push(part.to_owned());
            continue;
        }
        match expectation(part)? {
            Expectation::Is(name, value) => line.fields.push((name, value)),
            Expectation::Between(name, least, most) => line.fields.push((name, format!("{least}..{most}"))),
            Expectation::Body(body) => line.body = body,
            _ => return Err(format!("an origin cannot answer {part:?}")),
        }
    }
    Ok(line)
}

fn message(rest: &str) -> Result<Message, String> {
    let (what, parts) = parts(rest);
    let (method, suffix) = what.split_once(' ').unwrap_or((what, ""));
    let mut message = Message {
        method: method.to_owned(),
        suffix: suffix.to_owned(),
        fields: Vec::new(),
        body: None,
    };
    for part in parts {
        match expectation(part)? {
            Expectation::Is(name, value) => message.fields.push((name, value)),
            Expectation::Body(body) => message.body = Some(body),
            _ => return Err(format!("a client cannot send {part:?}")),
        }
    }
    Ok(message)
}

fn expected(rest: &str) -> Result<Expected, String> {
    let (what, parts) = parts(rest);
    let all: Result<Vec<Expectation>, String> = parts.map(expectation).collect();
    Ok(Expected {
        what: what.to_owned(),
        all: all?,
    })
}

fn answer(rest: &str) -> Result<Answer, String> {
    if rest == "broken" {
        return Ok(Answer::Broken);
    }
    if let Some(rest) = rest.strip_prefix("broken or ") {
        return Ok(Answer::BrokenOr(expected(rest)?));
    }
    match rest.strip_prefix("becomes ") {
        Some(rest) => Ok(Answer::Becomes(expected(rest)?)),
        None => Ok(Answer::Is(expected(rest)?)),
    }
}

fn expectation(part: &str) -> Result<Expectation, String> {
    if let Some(body) = part.strip_prefix('=') {
        return Ok(Expectation::Body(body.trim().to_owned()));
    }
    if let Some(name) = part.strip_prefix('!') {
        return Ok(Expectation::Absent(name.to_owned()));
    }
    if let Some(rest) = part.strip_prefix("h1 ") {
        return Ok(Expectation::OverHttp1(Box::new(expectation(rest)?)));
    }
    let end = part
        .find([':', ' '])
        .ok_or_else(|| format!("{part:?} is no field"))?;
    let (name, rest) = (part[..end].to_owned(), &part[end..]);
    if let Some(text) = rest.strip_prefix(" ~ ") {
        return Ok(Expectation::Has(name, text.to_owned()));
    }
    if let Some(text) = rest.strip_prefix(" !~ ") {
        return Ok(Expectation::Lacks(name, text.to_owned()));
    }
    let value = rest
        .strip_prefix(':')
        .ok_or_else(|| format!("{part:?} is no field"))?
        .trim();
    let numbers = value
        .split_once("..")
        .and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
    Ok(match numbers {
        Some((least, most)) => Expectation::Between(name, least, most),
        None => Expectation::Is(name, value.to_owned()),
    })
}
