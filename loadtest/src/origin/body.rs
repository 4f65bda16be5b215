//! The bytes of an answer on their way to the socket: paced, cut short or broken as the origin was told.

use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::server::Connection;
use crate::content::Content;

/// What hyper is given: short bodies whole, others piece by piece.
pub(crate) type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// Bytes read or made up at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces that may wait for the socket.
const PIECES_WAITING: usize = 2;

/// A paced body is sent so often a second, so that its readers see a flow and not bursts.
const PACED_PIECES_PER_SECOND: u64 = 20;

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made up.
    Made(Content),
    /// Read.
    File(File),
}

/// An empty body.
pub(crate) fn empty() -> Body {
    Either::Left(Full::default())
}

/// A body that is all there.
pub(crate) fn whole(bytes: Bytes) -> Body {
    Either::Left(Full::new(bytes))
}

/// The body of `part` of `source`.
pub(crate) fn start(
    source: Source,
    part: Range<u64>,
    behaviour: &Behaviour,
    connection: &Connection,
) -> Body {
    let broken = behaviour.reset_after_bytes.is_some() || behaviour.truncate_after_bytes.is_some();
    let short =
        part.end - part.start <= PIECE_BYTES as u64 && behaviour.bytes_per_second.is_none() && !broken;
    if let (true, Source::Made(content)) = (short, &source) {
        return whole(piece_of(content, part.start, (part.end - part.start) as usize));
    }
    let (sender, channel) = Channel::new(PIECES_WAITING);
    tokio::spawn(send(source, part, behaviour.clone(), connection.clone(), sender));
    Either::Right(channel)
}

/// Sends until the part is sent, the client is gone, or the behaviour says to break off.
async fn send(
    source: Source,
    part: Range<u64>,
    behaviour: Behaviour,
    connection: Connection,
    mut sender: Sender<Bytes, io::Error>,
) {
    let mut source = source;
    if let Source::File(file) = &mut source
        && let Err(error) = file.seek(io::SeekFrom::Start(part.start)).await
    {
        return sender.abort(error);
    }
    let pace = Pace::new(behaviour.bytes_per_second);
    let mut at = part.start;
    loop {
        let sent = at - part.start;
        if behaviour.reset_after_bytes.is_some_and(|bytes| sent >= bytes) {
            return connection.reset();
        }
        if behaviour.truncate_after_bytes.is_some_and(|bytes| sent >= bytes) {
            return sender.abort(io::Error::other("cut short as told"));
        }
        if at >= part.end {
            return;
        }
        let limit = [
            Some(part.end - part.start),
            behaviour.reset_after_bytes,
            behaviour.truncate_after_bytes,
        ];
        let left = limit.into_iter().flatten().min().unwrap_or(0) - sent;
        let most = pace
            .piece_bytes()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        pace.wait_for(sent).await;
        match next_piece(&mut source, at, most).await {
            Ok(piece) => {
                at += piece.len() as u64;
                if sender.send_data(piece).await.is_err() {
                    return; // the client is gone
                }
            }
            Err(error) => return sender.abort(error),
        }
    }
}

async fn next_piece(source: &mut Source, at: u64, most: usize) -> io::Result<Bytes> {
    match source {
        Source::Made(content) => Ok(piece_of(content, at, most)),
        Source::File(file) => {
            let mut piece = vec![0; most];
            file.read_exact(&mut piece).await?;
            Ok(piece.into())
        }
    }
}

fn piece_of(content: &Content, at: u64, most: usize) -> Bytes {
    match content {
        Content::Generated(generated) => generated.piece(at, most),
        Content::Text(text) => {
            let begin = usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
            text.slice(begin..begin.saturating_add(most).min(text.len()))
        }
    }
}

/// Keeps to a rate from its start on: a late piece is not made up for by a slow next one.
struct Pace {
    began: Instant,
    bytes_per_second: Option<u64>,
}

impl Pace {
    fn new(bytes_per_second: Option<u64>) -> Pace {
        Pace {
            began: Instant::now(),
            bytes_per_second,
        }
    }

    fn piece_bytes(&self) -> usize {
        match self.bytes_per_second {
            None => PIECE_BYTES,
            Some(rate) => usize::try_from(rate / PACED_PIECES_PER_SECOND)
                .unwrap_or(PIECE_BYTES)
                .clamp(1, PIECE_BYTES),
        }
    }

    /// Returns when the byte at `sent` is due.
    async fn wait_for(&self, sent: u64) {
        if let Some(rate) = self.bytes_per_second {
            tokio::time::sleep_until(self.began + Duration::from_secs_f64(sent as f64 / rate as f64)).await;
        }
    }
}
