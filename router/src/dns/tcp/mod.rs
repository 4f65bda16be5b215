//! DNS over TCP (RFC 7766): connections that are many, long and pipelined, within bounds.

mod conversation;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::conversation::Conversation;
use super::World;
use super::authority::outcome::Transport;
use super::metrics::DnsMetrics;
use super::tally::Dropped;
use crate::admission::{Admission, Full, Room};

/// How long nothing is accepted after the kernel had no file descriptor or memory left for a connection.
const REST: Duration = Duration::from_millis(100);

/// What clients may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpLimits {
    /// Of one network so many that a resolver has enough, so few that it takes an attacker many networks to have all.
    pub(crate) room: Room,
    /// How long a connection may stay without a whole query (RFC 7766 §6.2.3).
    pub(crate) idle: Duration,
    /// How long replies may wait for the client to take them.
    pub(crate) slow: Duration,
    /// Queries of one connection. A busy resolver opens another, maybe to another router.
    pub(crate) queries: usize,
}

impl Default for TcpLimits {
    fn default() -> Self {
        TcpLimits {
            room: Room {
                connections: 4_096,
                of_one_network: 64,
            },
            idle: Duration::from_secs(10),
            slow: Duration::from_secs(5),
            queries: 10_000,
        }
    }
}

/// Answers on `listener` until `ending` becomes true (or nobody is left to say so); then takes no more, and returns when
/// what was asked has been answered.
///
/// # Errors
/// When the listener cannot be given to the runtime.
pub(crate) async fn serve<W: World>(
    listener: std::net::TcpListener,
    world: Arc<ArcSwap<W>>,
    limits: TcpLimits,
    admission: Arc<Admission>,
    metrics: DnsMetrics,
    mut ending: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let tally = metrics.tally(Transport::Tcp);
    let mut conversations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = ending.wait_for(|ending| *ending) => break,
            Some(_) = conversations.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of DNS; trying again");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let place = match admission.admit(source.ip(), limits.room) {
            Ok(place) => place,
            Err(full) => {
                tally.dropped(match full {
                    Full::Connections => Dropped::Connections,
                    Full::Network => Dropped::Network,
                });
                continue;
            }
        };
        let conversation = Conversation {
            source,
            limits,
            world: Arc::clone(&world),
            tally: Arc::clone(&tally),
        };
        let (connections, ending) = (metrics.connections.clone(), ending.clone());
        connections.inc();
        conversations.spawn(async move {
            let _place = place;
            conversation.hold(stream, ending).await;
            connections.dec();
        });
    }
    drop(listener);
    while conversations.join_next().await.is_some() {}
    Ok(())
}
