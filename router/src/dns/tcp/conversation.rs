//! One connection: whatever whole queries there are get their replies in order, then more is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::TcpLimits;
use crate::dns::World;
use crate::dns::authority::answer;
use crate::dns::authority::outcome::{Outcome, Transport};
use crate::dns::tally::{Dropped, Tally};

/// Bytes of a message's length (RFC 7766 §8).
const LENGTH: usize = 2;

/// The longest query. Those with every known option have a few hundred bytes.
const QUERY_BYTES_MAX: usize = 4096;

/// Replies are sent when there are so many bytes of them, even if more queries are there: what a client that does not
/// read can have us keep, and one more reply.
const OUTBOX_BYTES: usize = 16 * 1024;

/// How long a connection is still read after its last reply: to close it with bytes unread would have the kernel reset
/// it, and take that reply away.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read for that at most.
const LINGER_BYTES: u64 = 64 * 1024;

/// What one connection needs.
pub(super) struct Conversation<W> {
    pub(super) source: SocketAddr,
    pub(super) limits: TcpLimits,
    pub(super) world: Arc<ArcSwap<W>>,
    pub(super) tally: Arc<Tally>,
}

/// What was read and not yet answered, and what was answered and not yet sent.
struct Mail {
    inbox: Box<[u8; LENGTH + QUERY_BYTES_MAX]>,
    /// Bytes of `inbox` that are there.
    there: usize,
    outbox: Vec<u8>,
    /// Queries that may still come.
    left: usize,
}

/// How it goes on when the whole queries have been answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// More bytes are needed.
    Read,
    /// More is there already.
    Answer,
    /// The client has broken the rules, or had all it may have.
    End,
}

impl<W: World> Conversation<W> {
    /// Holds it until one side has enough.
    pub(super) async fn hold(self, mut stream: TcpStream, mut ending: watch::Receiver<bool>) {
        let mut mail = Mail {
            inbox: Box::new([0; LENGTH + QUERY_BYTES_MAX]),
            there: 0,
            outbox: Vec::new(),
            left: self.limits.queries,
        };
        let mut deadline = Instant::now() + self.limits.idle;
        loop {
            let next = self.answer_whole(&mut mail);
            if !mail.outbox.is_empty() {
                match timeout(self.limits.slow, stream.write_all(&mail.outbox)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => {
                        self.tally.dropped(Dropped::Slow);
                        return;
                    }
                }
                mail.outbox.clear();
                mail.outbox.shrink_to(OUTBOX_BYTES);
                deadline = Instant::now() + self.limits.idle;
            }
            match next {
                Next::Answer => continue,
                Next::End => break,
                Next::Read => {}
            }
            let read = tokio::select! {
                read = timeout_at(deadline, stream.read(&mut mail.inbox[mail.there..])) => read,
                _ = ending.wait_for(|ending| *ending) => break,
            };
            match read {
                Ok(Ok(bytes)) if bytes > 0 => mail.there += bytes,
                _ => break,
            }
        }
        let _ = timeout(LINGER, hang_up(&mut stream)).await;
    }

    /// Answers whole queries until there are no more, or the outbox is full.
    fn answer_whole(&self, mail: &mut Mail) -> Next {
        let world = self.world.load();
        let mut used = 0;
        let next = loop {
            if mail.left == 0 {
                break Next::End;
            }
            if mail.outbox.len() >= OUTBOX_BYTES {
                break Next::Answer;
            }
            let rest = &mail.inbox[used..mail.there];
            let Some((&length, rest)) = rest.split_first_chunk::<LENGTH>() else {
                break Next::Read;
            };
            let length = usize::from(u16::from_be_bytes(length));
            if length > QUERY_BYTES_MAX {
                self.tally.dropped(Dropped::Oversize);
                break Next::End;
            }
            let Some(query) = rest.get(..length) else {
                break Next::Read;
            };
            let start = mail.outbox.len();
            mail.outbox.extend_from_slice(&[0; LENGTH]);
            let outcome = answer(
                query,
                self.source,
                Transport::Tcp,
                world.zones(),
                &**world,
                &mut mail.outbox,
            );
            self.tally.count(&outcome);
            let Outcome::Reply(replied) = outcome else {
                mail.outbox.truncate(start);
                break Next::End;
            };
            // A message over TCP has 65,535 bytes at most.
            mail.outbox[start..start + LENGTH].copy_from_slice(&(replied.bytes as u16).to_be_bytes());
            used += LENGTH + length;
            mail.left -= 1;
        };
        mail.inbox.copy_within(used..mail.there, 0);
        mail.there -= used;
        next
    }
}

/// Says that there is no more to come, and waits for the client to say so too.
async fn hang_up(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}
