//! The stream to one monitor: opened, kept full, and opened again when it is lost.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use daemon::config::Secret;
use daemon::connect::{Server, Trust};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use model::health::Beat;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};

use super::metrics::Series;
use super::pause::{LONGEST, pause_after};
use super::problem::{Problem, Told};
use crate::condition::Report;

/// Where monitors listen to nodes.
pub(super) const PATH: &str = "/v1/heartbeat";

/// Monitors judge by seconds; one that misses three beats doubts the node.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// To a name's address, over TCP and through the TLS handshake: an ocean's round trip three times, and then some.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// From the head of the request to that of the answer, which a monitor gives at once.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A monitor that takes nothing for so long does not judge either. The socket's own buffer comes before this; that it is
/// emptied is seen to by [`daemon::connect`].
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Beats that wait to be sent: an older one is worth nothing once there is a newer.
const BEATS_WAITING: usize = 1;

/// A stream that lasted longer than any pause was a good one: what comes after it is a new problem.
const GOOD_AFTER: Duration = LONGEST;

/// Who speaks, the same to every monitor.
pub(super) struct Speaker {
    /// The node's name.
    pub(super) node: String,
    /// When its process started.
    pub(super) started: u64,
    /// Beats made so far, for whichever monitor.
    pub(super) beats: AtomicU64,
}

/// What one monitor is told.
pub(super) struct Stream {
    speaker: Arc<Speaker>,
    server: Server,
    trust: Trust,
    token: Option<Secret>,
    reports: watch::Receiver<Report>,
    series: Series,
    failures: u32,
    told: Told,
}

/// A stream that the monitor has taken.
struct Open {
    beats: Sender<Bytes>,
    answer: Incoming,
    since: Instant,
    /// Kept as long as the stream is, or the connection would end.
    _requests: SendRequest<Channel<Bytes>>,
}

impl Stream {
    pub(super) fn new(
        speaker: Arc<Speaker>,
        server: Server,
        trust: Trust,
        token: Option<Secret>,
        reports: watch::Receiver<Report>,
        series: Series,
    ) -> Stream {
        Stream {
            speaker,
            server,
            trust,
            token,
            reports,
            series,
            failures: 0,
            told: Told::default(),
        }
    }

    /// Tells the monitor how the node is, until the node is `leaving`.
    pub(super) async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut left = leaving.clone();
        loop {
            let opened = tokio::select! {
                opened = self.open() => opened,
                () = until_true(&mut left) => return,
            };
            let problem = match opened {
                Ok(mut open) => {
                    self.series.connected.set(1);
                    tokio::select! {
                        problem = self.keep(&mut open) => problem,
                        () = until_true(&mut leaving) => return self.end(open).await,
                    }
                }
                Err(problem) => problem,
            };
            self.series.connected.set(0);
            self.series.reconnects.inc();
            let shown = problem.to_string();
            if self.told.is_news(problem) {
                tracing::warn!(monitor = %self.server, "a monitor does not hear this node: {shown}");
            }
            self.failures = self.failures.saturating_add(1);
            tokio::select! {
                () = sleep(pause_after(self.failures, rand::random())) => {}
                () = until_true(&mut left) => return,
            }
        }
    }

    /// Says how the node is for the last time, ends the stream, and waits until the monitor has ended it too: it has
    /// read everything then.
    async fn end(&mut self, mut open: Open) {
        if self.say(&mut open.beats).await.is_ok() {
            drop(open.beats);
            end_of(&mut open.answer).await;
        }
    }

    /// Connects, asks, and says the first beat.
    async fn open(&mut self) -> Result<Open, Problem> {
        let (mut beats, body) = Channel::new(BEATS_WAITING);
        let request = self.request(body)?;
        let mut requests = timeout(CONNECT_TIMEOUT, self.server.connect(&self.trust))
            .await
            .map_err(|_| Problem::ConnectTimeout)?
            .map_err(Problem::Unreachable)?;
        self.say(&mut beats).await?;
        let answer = timeout(ANSWER_TIMEOUT, requests.send_request(request))
            .await
            .map_err(|_| Problem::NoAnswer)?
            .map_err(|error| Problem::Lost(Some(error)))?;
        if answer.status() != StatusCode::OK {
            return Err(Problem::Refused(answer.status()));
        }
        Ok(Open {
            beats,
            answer: answer.into_body(),
            since: Instant::now(),
            _requests: requests,
        })
    }

    fn request(&self, body: Channel<Bytes>) -> Result<Request<Channel<Bytes>>, Problem> {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(PATH);
        let wrong = |what: &dyn std::fmt::Display| Problem::Token(what.to_string());
        let fields = request.headers_mut();
        let host = HeaderValue::try_from(self.server.authority());
        fields.insert(header::HOST, host.map_err(|error| wrong(&error))?);
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        );
        if let Some(secret) = &self.token {
            // Read anew for every stream, so that a replaced one counts from the next on.
            let token = secret.reveal().map_err(|error| wrong(&error))?;
            let mut credentials = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| wrong(&format!("{secret} has bytes that no header field may have")))?;
            credentials.set_sensitive(true);
            fields.insert(header::AUTHORIZATION, credentials);
        }
        Ok(request)
    }

    /// Beats once a second, and at once when something changes, until the stream is lost.
    async fn keep(&mut self, open: &mut Open) -> Problem {
        let mut ticks = ticks();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = self.reports.changed() => ticks.reset(),
                problem = end_of(&mut open.answer) => return problem,
            }
            if let Err(problem) = self.say(&mut open.beats).await {
                return problem;
            }
            if open.since.elapsed() >= GOOD_AFTER {
                self.failures = 0;
                if self.told.is_over() {
                    tracing::info!(monitor = %self.server, "a monitor hears this node again");
                }
            }
        }
    }

    async fn say(&mut self, beats: &mut Sender<Bytes>) -> Result<(), Problem> {
        let report = *self.reports.borrow_and_update();
        put(beats, self.speaker.line(report)).await?;
        self.series.sent.inc();
        Ok(())
    }
}

impl Speaker {
    /// The next beat, a line of JSON.
    fn line(&self, report: Report) -> Bytes {
        let beat = Beat {
            node: self.node.clone(),
            started: self.started,
            sequence: self.beats.fetch_add(1, Ordering::Relaxed),
            // It began to speak when it was ready, and is so until it drains.
            ready: !report.draining,
            draining: report.draining,
            disks: report.disks,
        };
        // Numbers and texts always have a form in JSON.
        let mut line = serde_json::to_vec(&beat).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }
}

fn ticks() -> Interval {
    let mut ticks = interval_at(Instant::now() + BEAT_INTERVAL, BEAT_INTERVAL);
    // Missed beats are not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits until it is so, or nobody can say so any more.
async fn until_true(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_so| *is_so).await;
}

/// Hands a line to the connection once that has sent the last.
async fn put(beats: &mut Sender<Bytes, Infallible>, line: Bytes) -> Result<(), Problem> {
    match timeout(SEND_TIMEOUT, beats.send_data(line)).await {
        Ok(Ok(())) => Ok(()),
        // The connection is gone and wants no body any more.
        Ok(Err(_)) => Err(Problem::Lost(None)),
        Err(_) => Err(Problem::Stalled),
    }
}

/// Waits for the end of an answer that should have none while the stream goes on. Whatever is in it is not for us.
async fn end_of(answer: &mut Incoming) -> Problem {
    loop {
        match answer.frame().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Problem::Lost(Some(error)),
            None => return Problem::Lost(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::health::DiskCounts;

    use super::*;

    #[test]
    fn beats_are_lines_that_are_counted() {
        let speaker = Speaker {
            node: "edge-1".into(),
            started: 7,
            beats: AtomicU64::new(3),
        };
        let mut report = Report {
            draining: false,
            disks: DiskCounts {
                healthy: 2,
                ..DiskCounts::default()
            },
        };
        for (sequence, draining) in [(3, false), (4, true)] {
            report.draining = draining;
            let line = speaker.line(report);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert!(line.ends_with(b"\n"));
            let beat: Beat = serde_json::from_slice(&line).unwrap();
            assert_eq!((beat.node.as_str(), beat.started), ("edge-1", 7));
            assert_eq!((beat.sequence, beat.disks.healthy), (sequence, 2));
            assert_eq!((beat.ready, beat.draining), (!draining, draining));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_monitor_that_takes_nothing_is_given_up_after_a_while() {
        let (mut beats, body) = Channel::new(BEATS_WAITING);
        put(&mut beats, Bytes::from_static(b"1")).await.unwrap();
        let began = Instant::now();
        let stalled = put(&mut beats, Bytes::from_static(b"2")).await;
        assert!(matches!(stalled, Err(Problem::Stalled)), "{stalled:?}");
        assert_eq!(began.elapsed(), SEND_TIMEOUT);
        drop(body);
        let gone = put(&mut beats, Bytes::from_static(b"3")).await;
        assert!(matches!(gone, Err(Problem::Lost(_))), "{gone:?}");
    }
}
