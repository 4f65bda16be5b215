//! One viewer: session after session, until the time is over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::habits::Habits;
use super::playlist;
use super::tally::{Tally, edge_hit};
use crate::client::{Connection, Protocol, describe};
use crate::content::{Content, Library};
use crate::histogram::record;
use crate::zipf::Zipf;

/// A request that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause after a session that failed, so that a broken CDN is not hammered.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);

/// A slow reader rests so long after each piece of a body.
const SLOW_READER_REST: Duration = Duration::from_millis(10);

/// Segments a player fetches without pause before it starts to play.
const SEGMENTS_AHEAD: usize = 3;

/// The largest playlist that is read into memory.
const LARGEST_PLAYLIST_BYTES: u64 = 4 << 20;

/// Where an edge listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
}

/// What all viewers have in common.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) edges: Vec<Edge>,
    pub(crate) library: Library,
    pub(crate) popularity: Zipf,
    pub(crate) habits: Habits,
    pub(crate) until: Instant,
    pub(crate) tally: Mutex<Tally>,
}

/// Why a session ended before its last segment.
enum End {
    /// The viewer meant to.
    Left,
    /// Something was wrong.
    Failed(String),
}

/// A viewer in the middle of a session.
struct Session<'a> {
    stage: &'a Stage,
    chance: &'a mut StdRng,
    connection: Connection,
    slow: bool,
}

/// Plays until the stage's end.
pub(crate) async fn watch(stage: Arc<Stage>, number: u64, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    // Viewers do not all arrive in the same instant.
    tokio::time::sleep(Duration::from_millis(chance.random_range(0..1000))).await;
    while Instant::now() < stage.until {
        if let Err(End::Failed(complaint)) = session(&stage, &mut chance).await {
            stage.tally.lock().complain(complaint);
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
    }
}

async fn session(stage: &Stage, chance: &mut StdRng) -> Result<(), End> {
    let edge = stage.edges[chance.random_range(0..stage.edges.len())];
    let protocol = stage.habits.protocol(chance);
    let address = if protocol == Protocol::Plain {
        edge.http
    } else {
        edge.https
    };
    let connection = Connection::open(address, "localhost", protocol)
        .await
        .map_err(End::Failed)?;
    stage.tally.lock().sessions += 1;
    let slow = chance.random_bool(stage.habits.slow_readers);
    Session {
        stage,
        chance,
        connection,
        slow,
    }
    .play()
    .await
}

impl Session<'_> {
    async fn play(mut self) -> Result<(), End> {
        let path = Library::master_path(self.stage.popularity.choose(self.chance));
        let master = playlist::master(&path, &self.text(&path).await?).map_err(End::Failed)?;
        let chosen = self.chance.random_range(0..master.videos.len());
        let mut tracks = Vec::new();
        for path in [Some(&master.videos[chosen].1), master.sound.as_ref()]
            .into_iter()
            .flatten()
        {
            let track = playlist::media(path, &self.text(path).await?).map_err(End::Failed)?;
            if let Some(init) = &track.init {
                self.segment(init).await?;
            }
            tracks.push(track);
        }
        let count = tracks.iter().map(|track| track.segments.len()).min().unwrap_or(0);
        let begin = if self.chance.random_bool(self.stage.habits.seek) {
            self.chance.random_range(0..count)
        } else {
            0
        };
        let began = Instant::now();
        let mut played = Duration::ZERO;
        for at in begin..count {
            for track in &tracks {
                self.segment(&track.segments[at].1).await?;
            }
            if Instant::now() >= self.stage.until
                || self.chance.random_bool(self.stage.habits.leave_after_segment)
            {
                return Err(End::Left);
            }
            if at >= begin + SEGMENTS_AHEAD {
                played += Duration::from_millis(tracks[0].segments[at].0).div_f64(self.stage.habits.speed);
                tokio::time::sleep_until((began + played).min(self.stage.until)).await;
            }
        }
        Ok(())
    }

    /// A playlist: whole, compared, and given back.
    async fn text(&mut self, path: &str) -> Result<Bytes, End> {
        let content = self.content(path)?;
        if content.length() > LARGEST_PLAYLIST_BYTES {
            return Err(End::Failed(format!(
                "{path} has {} bytes, too many for a playlist",
                content.length()
            )));
        }
        let mut text = BytesMut::new();
        self.fetch(path, &content, Some(&mut text)).await?;
        Ok(text.freeze())
    }

    async fn segment(&mut self, path: &str) -> Result<(), End> {
        let content = self.content(path)?;
        self.fetch(path, &content, None).await
    }

    fn content(&self, path: &str) -> Result<Content, End> {
        Content::of(path, &self.stage.library)
            .ok_or_else(|| End::Failed(format!("a playlist leads to {path}, which is not in the library")))
    }

    async fn fetch(&mut self, path: &str, content: &Content, keep: Option<&mut BytesMut>) -> Result<(), End> {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(path, content, keep)).await {
            Ok(Err(End::Failed(reason))) => Err(End::Failed(format!("{path}: {reason}"))),
            Ok(outcome) => outcome,
            Err(_) => Err(End::Failed(format!(
                "{path}: not done within {} s",
                REQUEST_TIMEOUT.as_secs()
            ))),
        }
    }

    async fn exchange(
        &mut self,
        path: &str,
        content: &Content,
        keep: Option<&mut BytesMut>,
    ) -> Result<(), End> {
        let began = Instant::now();
        let response = self.connection.get(path, &[]).await.map_err(End::Failed)?;
        let head_took = began.elapsed();
        if response.status() != StatusCode::OK {
            return Err(End::Failed(format!("answered with {}", response.status())));
        }
        let hit = cache_status(&response).is_some_and(edge_hit);
        let leave_at = self
            .chance
            .random_bool(self.stage.habits.break_off)
            .then(|| self.chance.random_range(0..content.length().max(1)));
        self.read(response, content, keep, leave_at).await?;
        let mut tally = self.stage.tally.lock();
        tally.good += 1;
        tally.edge_hits += u64::from(hit);
        tally.body_bytes += content.length();
        record(&mut tally.head, head_took);
        if !self.slow {
            record(&mut tally.whole, began.elapsed());
        }
        Ok(())
    }

    async fn read(
        &mut self,
        response: Response<Incoming>,
        content: &Content,
        mut keep: Option<&mut BytesMut>,
        leave_at: Option<u64>,
    ) -> Result<(), End> {
        let mut body = response.into_body();
        let mut at = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                End::Failed(format!("the body broke off at byte {at}: {}", describe(&error)))
            })?;
            let Ok(piece) = frame.into_data() else { continue };
            if !content.matches(at, &piece) {
                return Err(End::Failed(format!(
                    "wrong bytes between {at} and {}",
                    at + piece.len() as u64
                )));
            }
            at += piece.len() as u64;
            if let Some(kept) = &mut keep {
                kept.extend_from_slice(&piece);
            }
            if leave_at.is_some_and(|bytes| at > bytes) && at < content.length() {
                self.stage.tally.lock().aborted += 1;
                return Err(End::Left); // connection and body are dropped with the session
            }
            if self.slow {
                tokio::time::sleep(SLOW_READER_REST).await;
            }
        }
        if at == content.length() {
            Ok(())
        } else {
            Err(End::Failed(format!(
                "{at} bytes came instead of {}",
                content.length()
            )))
        }
    }
}

fn cache_status(response: &Response<Incoming>) -> Option<&str> {
    const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
    response
        .headers()
        .get_all(CACHE_STATUS)
        .iter()
        .next_back()?
        .to_str()
        .ok()
}
