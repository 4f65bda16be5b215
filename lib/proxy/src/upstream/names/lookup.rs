//! One look-up: the hosts file, then the name servers, both address families at once.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::{Duration, SystemTime},
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::parse_resolv_conf,
};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{NameErrorKind, Options, Servers, memory::Found};

/// Attempts that a look-up makes within its timeout.
const ATTEMPTS: u32 = 2;
/// How long the answer for one family is held back for the other (RFC 8305 §3 has 50 ms for a browser's hurry; here
/// the answer is remembered, so a little more is well spent).
const SECOND_FAMILY_PATIENCE: Duration = Duration::from_millis(200);
/// Addresses used of one answer; the rest would not be tried anyway.
const ADDRESSES_MAX: usize = 16;

/// Asks the hosts file and the name servers.
pub(super) struct Resolver {
    options: Options,
    /// Made at the first look-up, and anew when the system's configuration changes.
    client: Mutex<Option<Client>>,
}

struct Client {
    resolver: TokioResolver,
    /// Of the file it was made from.
    made_of: Option<Stamp>,
}

/// When a file was changed last, and its length: enough to see that it changed.
type Stamp = (SystemTime, u64);

impl Resolver {
    pub(super) fn new(options: Options) -> Resolver {
        Resolver {
            options,
            client: Mutex::default(),
        }
    }

    /// The addresses of a name.
    pub(super) async fn look_up(&self, host: &str) -> Result<Found, NameErrorKind> {
        let name = Name::from_str_relaxed(host).map_err(|_| NameErrorKind::NotAName)?;
        if is_localhost(host) {
            let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(Found {
                addresses,
                ttl: Duration::MAX,
            });
        }
        if let Some(addresses) = in_hosts_file(&self.options.hosts_file, &name) {
            // It may be edited at any time, and says nothing of how long it holds.
            return Ok(Found {
                addresses,
                ttl: Duration::ZERO,
            });
        }
        let resolver = self.client()?;
        timeout(self.options.lookup_timeout, ask(&resolver, name))
            .await
            .unwrap_or(Err(NameErrorKind::TimedOut))
    }

    fn client(&self) -> Result<TokioResolver, NameErrorKind> {
        let mut client = self.client.lock();
        let made_of = match &self.options.servers {
            Servers::ResolvConf(path) => stamp(path),
            Servers::These(_) => None,
        };
        if let Some(client) = &*client
            && client.made_of == made_of
        {
            return Ok(client.resolver.clone());
        }
        match self.make_client() {
            Ok(resolver) => {
                *client = Some(Client {
                    resolver: resolver.clone(),
                    made_of,
                });
                Ok(resolver)
            }
            Err(error) => match &*client {
                // The file may be half written; the next look-up sees.
                Some(old) => Ok(old.resolver.clone()),
                None => Err(NameErrorKind::Failed(error.into())),
            },
        }
    }

    fn make_client(&self) -> Result<TokioResolver, String> {
        let (config, mut options) = match &self.options.servers {
            Servers::ResolvConf(path) => {
                let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let text = fs::read(path).map_err(|error| unreadable(&error))?;
                parse_resolv_conf(text).map_err(|error| unreadable(&error))?
            }
            Servers::These(servers) => {
                let servers = servers.iter().copied().map(name_server).collect();
                (
                    ResolverConfig::from_name_servers(servers),
                    ResolverOpts::default(),
                )
            }
        };
        options.timeout = self.options.lookup_timeout / ATTEMPTS;
        options.attempts = ATTEMPTS as usize;
        // Addresses are remembered, and the hosts file is read, by this room.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        builder.build().map_err(|error| error.to_string())
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// `localhost` and what is below it never leave the machine (RFC 6761 §6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    last.eq_ignore_ascii_case("localhost")
}

/// The addresses that the hosts file has for a name. A file that cannot be read has none.
fn in_hosts_file(path: &Path, name: &Name) -> Option<Vec<IpAddr>> {
    let mut hosts = Hosts::default();
    let read = fs::File::open(path).and_then(|file| hosts.read_hosts_conf(file));
    if let Err(error) = read
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "the hosts file cannot be read");
    }
    let addresses: Vec<IpAddr> = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)))
        .flat_map(|lookup| addresses(&lookup))
        .take(ADDRESSES_MAX)
        .collect();
    (!addresses.is_empty()).then_some(addresses)
}

/// Asks for both families at once. Once one has brought addresses, the other is given little more time: a name server
/// that swallows questions for IPv6 is no reason to be late with IPv4.
async fn ask(resolver: &TokioResolver, name: Name) -> Result<Found, NameErrorKind> {
    let v4 = resolver.ipv4_lookup(name.clone());
    let v6 = resolver.ipv6_lookup(name);
    tokio::pin!(v4, v6);
    let patience = |first: &Result<Lookup, NetError>| match first {
        Ok(_) => SECOND_FAMILY_PATIENCE,
        // As long as the look-up has.
        Err(_) => Duration::MAX,
    };
    let (v4, v6) = tokio::select! {
        v4 = &mut v4 => { let patience = patience(&v4); (Some(v4), timeout(patience, v6).await.ok()) }
        v6 = &mut v6 => { let patience = patience(&v6); (timeout(patience, v4).await.ok(), Some(v6)) }
    };
    join([v4, v6].into_iter().flatten())
}

/// What the answers say together.
fn join(answers: impl Iterator<Item = Result<Lookup, NetError>>) -> Result<Found, NameErrorKind> {
    let mut found = Found {
        addresses: Vec::new(),
        ttl: Duration::MAX,
    };
    let mut failure = NameErrorKind::NotFound;
    for answer in answers {
        match answer {
            Ok(lookup) => {
                found.addresses.extend(addresses(&lookup));
                // Of every record, as aliases (CNAME) expire too.
                let ttl = lookup
                    .answers()
                    .iter()
                    .map(|record| record.ttl)
                    .min()
                    .unwrap_or(0);
                found.ttl = found.ttl.min(Duration::from_secs(ttl.into()));
            }
            // That one family has no records does not hide that the other could not be asked for.
            Err(error) if error.is_no_records_found() => {}
            Err(NetError::Timeout) => failure = NameErrorKind::TimedOut,
            Err(error) => failure = NameErrorKind::Failed(error.to_string().into()),
        }
    }
    found.addresses.truncate(ADDRESSES_MAX);
    if found.addresses.is_empty() {
        Err(failure)
    } else {
        Ok(found)
    }
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    lookup
        .answers()
        .iter()
        .filter_map(|record| record.data.ip_addr())
        .collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
