//! Plays cases: scripts the origin, asks the edge, and compares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use testkit::cdn::Cdn;
use testkit::client::{Client, ClientError, Connection, Request, Response};
use testkit::origin::{self, Reply};
use testkit::{unix_millis, within_async};

use super::story::{Answer, Asked, Case, Expectation, Expected, Scripted, Step};
use crate::EDGE;

/// How long a background refresh, or the last of several requests, may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// How a case is played: over what, and under which paths.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Plain HTTP/1.1, a connection for each request.
    Http1,
    /// HTTP/2 over TLS, a connection for each case.
    Http2,
}

/// The origin's side of all cases.
#[derive(Default)]
pub(super) struct Stage {
    scenes: Mutex<BTreeMap<String, Scene>>,
}

/// The origin's side of one case.
#[derive(Default)]
struct Scene {
    /// What is answered, in order; the last one stays.
    replies: Vec<Reply>,
    /// What was asked and not compared yet.
    seen: Vec<origin::Request>,
    /// How much was asked in all.
    total: usize,
}

/// One case at play.
pub(super) struct Play<'a> {
    case: &'a Case,
    protocol: Protocol,
    client: Client,
    /// The first segment of all its paths.
    scene: String,
    /// The moment that `{now}` means, in seconds since the epoch.
    now: u64,
    stage: Arc<Stage>,
}

impl Stage {
    /// Has the origin answer by the scripts of the cases.
    pub(super) fn set(cdn: &Cdn) -> Arc<Stage> {
        let stage = Arc::new(Stage::default());
        let answering = Arc::clone(&stage);
        cdn.origin()
            .on_prefix("/", move |request| answering.answer(request));
        stage
    }

    fn answer(&self, request: &origin::Request) -> Reply {
        let scene = request.path().split('/').nth(1).unwrap_or_default().to_owned();
        let mut scenes = self.scenes.lock();
        let scene = scenes.entry(scene).or_default();
        scene.seen.push(request.clone());
        scene.total += 1;
        match &scene.replies[..] {
            [] => Reply::status(404),
            [last] => last.clone(),
            _ => scene.replies.remove(0),
        }
    }

    fn script(&self, scene: &str, replies: Vec<Reply>) {
        if !replies.is_empty() {
            self.scenes.lock().entry(scene.to_owned()).or_default().replies = replies;
        }
    }

    fn seen(&self, scene: &str) -> usize {
        self.scenes.lock().get(scene).map_or(0, |scene| scene.seen.len())
    }

    fn take(&self, scene: &str) -> Vec<origin::Request> {
        let mut scenes = self.scenes.lock();
        scenes
            .get_mut(scene)
            .map(|scene| std::mem::take(&mut scene.seen))
            .unwrap_or_default()
    }

    /// What was asked after the last step of each case had been compared.
    pub(super) fn left_over(&self) -> Vec<String> {
        let scenes = self.scenes.lock();
        let late = scenes.iter().filter(|(_, scene)| !scene.seen.is_empty());
        late.map(|(name, scene)| format!("{name}: the origin was asked again:\n{}", listed(&scene.seen)))
            .collect()
    }
}

impl<'a> Play<'a> {
    pub(super) fn new(
        cdn: &Cdn,
        stage: &Arc<Stage>,
        case: &'a Case,
        protocol: Protocol,
        pass: &str,
    ) -> Play<'a> {
        let client = match protocol {
            Protocol::Http1 => cdn.http(EDGE),
            Protocol::Http2 => cdn.http2(EDGE),
        };
        Play {
            client: client.host(&super::host(&case.service)),
            scene: format!("{pass}-{}", case.slug),
            now: unix_millis() / 1000,
            stage: Arc::clone(stage),
            case,
            protocol,
        }
    }

    /// Plays some steps; the error says which line does not hold, and why.
    pub(super) async fn steps(&self, steps: &[Step]) -> Result<(), String> {
        let mut kept = None;
        for (number, step) in steps.iter().enumerate() {
            self.step(step, &mut kept).await.map_err(|why| {
                format!(
                    "{} ({}), step {}: {}\n{why}",
                    self.case.name,
                    self.scene,
                    number + 1,
                    step.line
                )
            })?;
        }
        Ok(())
    }

    async fn step(&self, step: &Step, kept: &mut Option<Connection>) -> Result<(), String> {
        let replies: Result<Vec<Reply>, String> = step.origin.iter().map(|line| self.reply(line)).collect();
        self.stage.script(&self.scene, replies?);
        let mut request = Request::new(
            &step.client.method,
            &format!("{}{}", self.path(), step.client.suffix),
        );
        for (name, value) in &step.client.fields {
            request = request.field(name, self.filled(value)?);
        }
        if let Some(body) = &step.client.body {
            request = request.body(body.clone());
        }
        match &step.answer {
            Answer::Broken => {
                if let Ok(response) = self.ask(&request, kept).await {
                    return Err(format!("the answer is whole:\n{}", response.head));
                }
                *kept = None;
            }
            Answer::BrokenOr(expected) => match self.ask(&request, kept).await {
                Ok(response) => self.compare_answer(&response, expected)?,
                Err(_) => *kept = None,
            },
            Answer::Is(expected) => {
                let response = self
                    .ask(&request, kept)
                    .await
                    .map_err(|error| error.to_string())?;
                self.compare_answer(&response, expected)?;
            }
            Answer::Becomes(expected) => {
                let deadline = tokio::time::Instant::now() + SOON;
                loop {
                    let response = self
                        .ask(&request, kept)
                        .await
                        .map_err(|error| error.to_string())?;
                    match self.compare_answer(&response, expected) {
                        Ok(()) => break,
                        Err(why) if tokio::time::Instant::now() > deadline => return Err(why),
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            }
        }
        self.compare_asked(&step.asked).await
    }

    async fn ask(&self, request: &Request, kept: &mut Option<Connection>) -> Result<Response, ClientError> {
        if self.protocol == Protocol::Http1 {
            return self.client.fetch(request).await;
        }
        if kept.is_none() {
            *kept = Some(self.client.connect().await?);
        }
        match kept {
            Some(connection) => connection.send(request).await,
            None => Err(ClientError::Closed),
        }
    }

    fn path(&self) -> String {
        format!("/{}/a", self.scene)
    }

    fn reply(&self, line: &Scripted) -> Result<Reply, String> {
        let mut reply = match line.what.as_str() {
            "close" => return Ok(Reply::close()),
            "reset" => return Ok(Reply::reset()),
            "hang" => return Ok(Reply::hang()),
            what if what.starts_with("raw ") => {
                let text = self.filled(&what[4..])?.replace("\\r\\n", "\r\n");
                return Ok(Reply::raw(text));
            }
            status => Reply::status(status.parse().map_err(|_| format!("{status:?} is no status"))?),
        };
        reply = reply.body(self.filled(&line.body)?);
        for (name, value) in &line.fields {
            reply = reply.field(name, self.filled(value)?);
        }
        for manner in &line.manner {
            reply = match manner.split_once(' ') {
                Some((_, bytes)) => {
                    reply.truncated_at(bytes.parse().map_err(|_| format!("{manner:?}: how many?"))?)
                }
                None if manner == "ranges" => reply.with_ranges(),
                None => reply.chunked(2),
            };
        }
        Ok(reply)
    }

    async fn compare_asked(&self, asked: &Asked) -> Result<(), String> {
        let least = match asked {
            Asked::These(all) => all.len(),
            Asked::Somehow => 1,
        };
        if within_async(SOON, || self.stage.seen(&self.scene) >= least)
            .await
            .is_err()
        {
            return Err(format!(
                "the origin was asked too little:\n{}",
                listed(&self.stage.take(&self.scene))
            ));
        }
        let seen = self.stage.take(&self.scene);
        let Asked::These(all) = asked else { return Ok(()) };
        if seen.len() > all.len() {
            return Err(format!(
                "the origin was asked {} times and not {}:\n{}",
                seen.len(),
                all.len(),
                listed(&seen)
            ));
        }
        for (request, expected) in seen.iter().zip(all) {
            let (method, suffix) = expected.what.split_once(' ').unwrap_or((&expected.what, ""));
            let target = format!("{}{suffix}", self.path());
            let other_target = !suffix.is_empty() && request.target != target;
            if request.method != method || other_target {
                return Err(format!(
                    "the origin was asked {} {}",
                    request.method, request.target
                ));
            }
            self.compare(&request.fields, &request.body, &expected.all)
                .map_err(|why| {
                    format!(
                        "{why} in what the origin was asked:\n{}",
                        listed(std::slice::from_ref(request))
                    )
                })?;
        }
        Ok(())
    }

    fn compare_answer(&self, response: &Response, expected: &Expected) -> Result<(), String> {
        let shown = || {
            format!(
                "{}\n  {:?}",
                response.head,
                String::from_utf8_lossy(&response.body)
            )
        };
        if response.status().to_string() != expected.what {
            return Err(format!("the status is not {}:\n{}", expected.what, shown()));
        }
        self.compare(&response.head.fields, &response.body, &expected.all)
            .map_err(|why| format!("{why} in the answer\n{}", shown()))
    }

    fn compare(&self, fields: &[(String, String)], body: &[u8], all: &[Expectation]) -> Result<(), String> {
        for expectation in all {
            self.holds(fields, body, expectation)?;
        }
        Ok(())
    }

    fn holds(
        &self,
        fields: &[(String, String)],
        body: &[u8],
        expectation: &Expectation,
    ) -> Result<(), String> {
        let of = |name: &str| -> Option<String> {
            let lines = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
            let values: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        match expectation {
            Expectation::Is(name, value) => {
                let value = self.filled(value)?;
                (of(name).as_ref() == Some(&value))
                    .then_some(())
                    .ok_or(format!("{name} is not {value:?}"))
            }
            Expectation::Between(name, least, most) => of(name)
                .and_then(|value| value.parse::<u64>().ok())
                .filter(|value| (least..=most).contains(&value))
                .map(drop)
                .ok_or(format!("{name} is not between {least} and {most}")),
            Expectation::Has(name, part) => {
                let part = self.filled(part)?;
                of(name)
                    .filter(|value| has(value, &part))
                    .map(drop)
                    .ok_or(format!("{name} has no {part:?}"))
            }
            Expectation::Lacks(name, part) => {
                let has = of(name).is_some_and(|value| value.contains(part.as_str()));
                (!has).then_some(()).ok_or(format!("{name} has {part:?}"))
            }
            Expectation::Absent(name) => of(name).is_none().then_some(()).ok_or(format!("{name} is there")),
            Expectation::OverHttp1(inner) if self.protocol == Protocol::Http1 => {
                self.holds(fields, body, inner)
            }
            Expectation::OverHttp1(_) => Ok(()),
            Expectation::Body(text) => {
                let text = self.filled(text)?;
                (body == text.as_bytes())
                    .then_some(())
                    .ok_or(format!("the body is not {text:?}"))
            }
        }
    }

    /// A text with what stands in braces filled in: `{path}`, `{host}`, `{now}`, `{now-60}`, `{rfc850 now+60}`,
    /// `{asctime now}`, and `{x*1000}` for a run of one character.
    fn filled(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let (inside, after) = after
                .split_once('}')
                .ok_or_else(|| format!("{text:?}: a brace stays open"))?;
            filled.push_str(&self.filling(inside)?);
            rest = after;
        }
        Ok(filled + rest)
    }

    fn filling(&self, inside: &str) -> Result<String, String> {
        let unknown = || format!("{{{inside}}} is not known");
        if inside == "path" {
            return Ok(self.path());
        }
        if inside == "host" {
            return Ok(super::host(&self.case.service));
        }
        if let Some((one, count)) = inside.split_once('*') {
            return Ok(one.repeat(count.parse().map_err(|_| unknown())?));
        }
        let (form, moment) = inside.split_once(' ').unwrap_or(("", inside));
        let offset = moment.strip_prefix("now").ok_or_else(unknown)?;
        let offset: i64 = if offset.is_empty() {
            0
        } else {
            offset.parse().map_err(|_| unknown())?
        };
        let seconds = self.now.saturating_add_signed(offset);
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
        let words: Vec<&str> = date.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let [weekday, day, month, year, time, _] = words[..] else {
            return Err(unknown());
        };
        Ok(match form {
            "" => date,
            "rfc850" => {
                let whole = [
                    "Sunday",
                    "Monday",
                    "Tuesday",
                    "Wednesday",
                    "Thursday",
                    "Friday",
                    "Saturday",
                ];
                let weekday = whole
                    .iter()
                    .find(|name| name.starts_with(weekday))
                    .ok_or_else(unknown)?;
                format!("{weekday}, {day}-{month}-{} {time} GMT", &year[2..])
            }
            "asctime" => format!(
                "{weekday} {month} {:>2} {time} {year}",
                day.trim_start_matches('0')
            ),
            "lowercase" => date.to_lowercase(),
            "elsewhere" => date.replace("GMT", "CET"),
            _ => return Err(unknown()),
        })
    }
}

/// Requests for a message.
fn listed(requests: &[origin::Request]) -> String {
    let one = |request: &origin::Request| {
        let fields = request
            .fields
            .iter()
            .map(|(name, value)| format!("\n    {name}: {value}"));
        format!(
            "  {} {}{}",
            request.method,
            request.target,
            fields.collect::<String>()
        )
    };
    requests.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Whether `part` is in `value`. At its end, `3540..3600` stands for any number between the two.
fn has(value: &str, part: &str) -> bool {
    let Some((prefix, numbers)) = numbers_at_end(part) else {
        return value.contains(part);
    };
    value.match_indices(prefix).any(|(at, _)| {
        let after = &value[at + prefix.len()..];
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after[..end]
            .parse()
            .is_ok_and(|number: u64| numbers.contains(&number))
    })
}

fn numbers_at_end(part: &str) -> Option<(&str, std::ops::RangeInclusive<u64>)> {
    let (front, most) = part.rsplit_once("..")?;
    let prefix = front.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((prefix, front[prefix.len()..].parse().ok()?..=most.parse().ok()?))
}

#[test]
fn a_part_may_end_in_a_number_between_two() {
    for (value, part, expected) in [
        ("a; ttl=3600, b; ttl=7", "a; ttl=3540..3600", true),
        ("a; ttl=3539, b; ttl=7", "a; ttl=3540..3600", false),
        ("a; ttl=36000", "a; ttl=3540..3600", false),
        ("a; ttl=-3600", "a; ttl=3540..3600", false),
        ("a; ttl=1, a; ttl=3600", "a; ttl=3540..3600", true),
        ("a..b", "a..b", true),
        ("a..b", "..b", true),
        ("a", "a; ttl=3540..3600", false),
    ] {
        assert_eq!(has(value, part), expected, "{value} {part}");
    }
}
