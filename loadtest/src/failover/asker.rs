//! Asks a router without end, by DNS and by redirect, on behalf of many clients, and keeps what its answers name.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::cdn::{self, Doors, HOST};
use super::dns::DnsClient;
use super::redirect::RedirectClient;
use super::sightings::{Sightings, Way};

/// How often the fixed client asks, and one of the others with it.
const PERIOD: Duration = Duration::from_millis(10);

/// Clients that ask, in turn: among so many, every edge of a site is somebody's.
pub(super) const CLIENTS: u16 = 24;

/// One way to ask, open.
enum Line {
    Dns(DnsClient),
    Redirect(RedirectClient),
}

impl Line {
    async fn open(way: Way, doors: Doors) -> Result<Line, String> {
        Ok(match way {
            Way::Dns => Line::Dns(DnsClient::new(doors.dns, HOST).await?),
            Way::Redirect => Line::Redirect(RedirectClient::new(doors.http)),
        })
    }

    /// The addresses that a client is sent to, best first; one at least.
    async fn ask(&mut self, client: Ipv4Addr) -> Result<Vec<Ipv4Addr>, String> {
        match self {
            Line::Dns(line) => line.ask(client).await,
            Line::Redirect(line) => line.ask(client).await.map(|address| vec![address]),
        }
    }
}

/// What both ways share.
#[derive(Default)]
struct Board {
    sightings: Mutex<Sightings>,
    /// Who asks every time.
    fixed: Mutex<BTreeMap<Way, Ipv4Addr>>,
}

/// Asks until it is dropped.
pub(super) struct Asker {
    board: Arc<Board>,
    doors: Doors,
    tasks: Vec<JoinHandle<()>>,
}

impl Asker {
    /// Begins to ask the router behind `doors`.
    ///
    /// # Errors
    ///
    /// When the kernel has no socket.
    pub(super) async fn start(doors: Doors) -> Result<Asker, String> {
        let board = Arc::new(Board::default());
        let mut tasks = Vec::new();
        for way in Way::ALL {
            let line = Line::open(way, doors).await?;
            tasks.push(tokio::spawn(ask_for_ever(way, line, Arc::clone(&board))));
        }
        Ok(Asker { board, doors, tasks })
    }

    /// The clients whose first address is this one at present, by a way to ask.
    ///
    /// # Errors
    ///
    /// When the router does not answer.
    pub(super) async fn clients_of(&self, way: Way, address: Ipv4Addr) -> Result<Vec<Ipv4Addr>, String> {
        let firsts = first_addresses(self.doors, way, CLIENTS).await?;
        Ok(firsts
            .into_iter()
            .filter_map(|(client, first)| (first == address).then_some(client))
            .collect())
    }

    /// From now on, this client asks every time.
    pub(super) fn fix(&self, way: Way, client: Ipv4Addr) {
        self.board.fixed.lock().insert(way, client);
    }

    /// What was seen.
    pub(super) fn sightings(&self) -> parking_lot::MutexGuard<'_, Sightings> {
        self.board.sightings.lock()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn ask_for_ever(way: Way, mut line: Line, board: Arc<Board>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in (0..CLIENTS).cycle() {
        ticks.tick().await;
        let fixed = board.fixed.lock().get(&way).copied();
        for client in fixed.into_iter().chain([cdn::client(number)]) {
            let answer = line.ask(client).await;
            board.sightings.lock().note(way, answer, Instant::now());
        }
    }
}

/// Who is sent where first, of so many clients.
///
/// # Errors
///
/// When the router does not answer.
pub(super) async fn first_addresses(
    doors: Doors,
    way: Way,
    clients: u16,
) -> Result<Vec<(Ipv4Addr, Ipv4Addr)>, String> {
    let mut line = Line::open(way, doors).await?;
    let mut firsts = Vec::new();
    for number in 0..clients {
        let client = cdn::client(number);
        let addresses = line.ask(client).await?;
        firsts.extend(addresses.first().map(|first| (client, *first)));
    }
    Ok(firsts)
}
