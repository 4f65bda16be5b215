//! Names of upstreams to addresses: looked up off the request's core, remembered by their TTL, checked before use.
//!
//! Look-ups run on a thread of their own, one at a time for each name; requests on any core wait for it together. When
//! the name servers fail, addresses that have expired are used for a while longer (RFC 8767).

mod lookup;
mod memory;

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{Moment, address::is_private};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::metrics::NameMetrics;
use crate::headers::ErrorType;
use lookup::Resolver;
use memory::{Memory, Recalled};

/// A look-up that takes longer has failed. Name servers answer in milliseconds; this leaves room for two attempts.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Look-ups at once. Names come from the snapshot and are remembered, so more means that something is wrong.
pub const LOOKUPS_MAX: usize = 256;
/// How long a request waits for a look-up when expired addresses are at hand.
pub const STALE_PATIENCE: Duration = Duration::from_millis(500);

/// Where names are looked up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name servers.
    pub servers: Servers,
    /// Names with fixed addresses, in the format of `hosts(5)`; read again with every look-up, asked first.
    pub hosts_file: PathBuf,
    /// [`LOOKUP_TIMEOUT`], but in tests.
    pub lookup_timeout: Duration,
}

/// The name servers.
#[derive(Clone, Debug)]
pub enum Servers {
    /// Those of this file, in the format of `resolv.conf(5)`; read again when it changes.
    ResolvConf(PathBuf),
    /// These, over UDP and, for long answers, TCP.
    These(Vec<SocketAddr>),
}

impl Default for Options {
    /// As the system has it.
    fn default() -> Options {
        Options {
            servers: Servers::ResolvConf("/etc/resolv.conf".into()),
            hosts_file: "/etc/hosts".into(),
            lookup_timeout: LOOKUP_TIMEOUT,
        }
    }
}

/// A name without usable addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// The name.
    pub host: Arc<str>,
    /// What is wrong with it.
    pub kind: NameErrorKind,
}

/// What can be wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameErrorKind {
    /// It cannot be a domain name.
    NotAName,
    /// It does not exist or has no address.
    NotFound,
    /// The name servers did not answer in time.
    TimedOut,
    /// The name servers failed, or there are none.
    Failed(Arc<str>),
    /// Too many look-ups are under way.
    Busy,
    /// Its addresses are private and the service may not use such: this is one of them.
    Prohibited(IpAddr),
}

impl NameError {
    fn new(host: &str, kind: NameErrorKind) -> NameError {
        NameError {
            host: host.into(),
            kind,
        }
    }

    /// What `Proxy-Status` calls it (RFC 9209 §2.3).
    #[must_use]
    pub fn error_type(&self) -> ErrorType {
        match self.kind {
            NameErrorKind::TimedOut => ErrorType::DnsTimeout,
            NameErrorKind::Prohibited(_) => ErrorType::DestinationIpProhibited,
            _ => ErrorType::DnsError,
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match &self.kind {
            NameErrorKind::NotAName => write!(f, "{host:?} cannot be a name"),
            NameErrorKind::NotFound => write!(f, "{host} does not exist or has no address"),
            NameErrorKind::TimedOut => write!(f, "the name servers did not answer for {host} in time"),
            NameErrorKind::Failed(why) => write!(f, "{host} could not be looked up: {why}"),
            NameErrorKind::Busy => write!(
                f,
                "{host} was not looked up, {LOOKUPS_MAX} look-ups are under way"
            ),
            NameErrorKind::Prohibited(address) => write!(
                f,
                "{host} is at {address}, which is private; set allow_private_origins if that is meant to be"
            ),
        }
    }
}

impl std::error::Error for NameError {}

/// Resolves names; shared by all cores. Its thread ends with it.
pub struct Names {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    /// Dropped to end the thread.
    _running: oneshot::Sender<()>,
}

struct Shared {
    resolver: Resolver,
    state: Mutex<State>,
    metrics: NameMetrics,
}

#[derive(Default)]
struct State {
    memory: Memory,
    /// Look-ups under way; each sender is dropped when its look-up has ended.
    lookups: HashMap<Arc<str>, watch::Receiver<()>>,
}

impl Names {
    /// Starts the thread that looks names up.
    ///
    /// # Errors
    ///
    /// When the thread or its runtime cannot be started. Name servers are asked for later.
    pub fn start(options: Options, metrics: NameMetrics) -> io::Result<Names> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("names".to_owned())
            .spawn(move || {
                // Ends with an error when the sender is dropped; nothing is ever sent.
                let _ = runtime.block_on(ended);
            })?;
        let shared = Shared {
            resolver: Resolver::new(options),
            state: Mutex::default(),
            metrics,
        };
        Ok(Names {
            shared: Arc::new(shared),
            runtime: handle,
            _running: running,
        })
    }

    /// The addresses of `host`, never none: IPv4 before IPv6, each in the order of the answer but begun one further
    /// with every call. A literal address is its own answer.
    ///
    /// # Errors
    ///
    /// When there are none, they are not to be had now, or all are private and `private_allowed` is not set.
    pub async fn resolve(
        &self,
        host: &str,
        private_allowed: bool,
        now: Moment,
    ) -> Result<Vec<IpAddr>, NameError> {
        let mut addresses = match host.trim_matches(['[', ']']).parse() {
            Ok(literal) => vec![literal],
            Err(_) => self.addresses_of(host, now).await?,
        };
        if !private_allowed {
            let one_of_them = addresses.first().copied();
            addresses.retain(|address| !is_private(*address));
            if let (true, Some(private)) = (addresses.is_empty(), one_of_them) {
                self.shared.metrics.prohibited.inc();
                return Err(NameError::new(host, NameErrorKind::Prohibited(private)));
            }
        }
        Ok(addresses)
    }

    async fn addresses_of(&self, host: &str, now: Moment) -> Result<Vec<IpAddr>, NameError> {
        let (mut lookup, patience) = {
            let mut state = self.shared.state.lock();
            match state.memory.recall(host, now) {
                Recalled::Fresh(addresses) => return Ok(addresses),
                Recalled::Failed(kind) => return Err(NameError::new(host, kind)),
                Recalled::Stale {
                    addresses,
                    ask_again: false,
                } => {
                    self.shared.metrics.stale_answers.inc();
                    return Ok(addresses);
                }
                Recalled::Stale { ask_again: true, .. } => {
                    (self.look_up(&mut state, host, now)?, STALE_PATIENCE)
                }
                // The look-up itself is bounded.
                Recalled::Nothing => (self.look_up(&mut state, host, now)?, Duration::MAX),
            }
        };
        // Both ways of ending say the same: the look-up has ended, or is not waited for any longer.
        let _ = tokio::time::timeout(patience, lookup.changed()).await;
        match self.shared.state.lock().memory.recall(host, now) {
            Recalled::Fresh(addresses) => Ok(addresses),
            Recalled::Stale { addresses, .. } => {
                self.shared.metrics.stale_answers.inc();
                Ok(addresses)
            }
            Recalled::Failed(kind) => Err(NameError::new(host, kind)),
            Recalled::Nothing => Err(NameError::new(
                host,
                NameErrorKind::Failed("the look-up ended without an answer".into()),
            )),
        }
    }

    /// The look-up of `host` that is under way, or one that is started now.
    fn look_up(&self, state: &mut State, host: &str, now: Moment) -> Result<watch::Receiver<()>, NameError> {
        if let Some(under_way) = state.lookups.get(host) {
            return Ok(under_way.clone());
        }
        if state.lookups.len() >= LOOKUPS_MAX {
            return Err(NameError::new(host, NameErrorKind::Busy));
        }
        let host: Arc<str> = host.into();
        let (end, ended) = watch::channel(());
        state.lookups.insert(Arc::clone(&host), ended.clone());
        let lookup = LookUp {
            shared: Arc::clone(&self.shared),
            host,
            _end: end,
        };
        self.runtime.spawn(lookup.run(now));
        Ok(ended)
    }
}

/// One look-up under way. However it ends, it is taken off the list and those who wait are woken.
struct LookUp {
    shared: Arc<Shared>,
    host: Arc<str>,
    _end: watch::Sender<()>,
}

impl LookUp {
    async fn run(self, asked: Moment) {
        let begun = Instant::now();
        let answer = self.shared.resolver.look_up(&self.host).await;
        let metrics = &self.shared.metrics;
        match &answer {
            Ok(_) => metrics.found.inc(),
            Err(NameErrorKind::NotFound) => metrics.not_found.inc(),
            Err(NameErrorKind::TimedOut) => metrics.timed_out.inc(),
            Err(_) => metrics.failed.inc(),
        }
        if let Err(kind) = &answer {
            let error = NameError {
                host: Arc::clone(&self.host),
                kind: kind.clone(),
            };
            tracing::warn!(host = &*self.host, %error, "a look-up failed");
        }
        let mut state = self.shared.state.lock();
        state
            .memory
            .learn(&self.host, answer, asked, asked + begun.elapsed());
        metrics
            .held
            .set(i64::try_from(state.memory.len()).unwrap_or(i64::MAX));
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        self.shared.state.lock().lookups.remove(&self.host);
    }
}

#[cfg(test)]
mod tests;
