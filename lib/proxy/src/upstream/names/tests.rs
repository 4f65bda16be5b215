//! Stories with a real name server: a small one on a UDP port of this machine, which can be told to fail.

use std::{
    collections::{BTreeMap, HashMap},
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::JoinHandle,
};

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME},
    },
};
use prometheus::Registry;
use tempfile::TempDir;

use super::*;
use crate::upstream::metrics::Metrics;

/// What the name server says of a name.
#[derive(Clone)]
enum Says {
    Addresses(&'static [&'static str], u32),
    /// An alias with its TTL, and the addresses of what it stands for.
    Alias(u32, &'static [&'static str], u32),
    NotFound,
    Failure,
    Nothing,
    /// IPv4 alone; questions for IPv6 are swallowed.
    OnlyV4(&'static str),
}

/// A name server on a port of its own.
struct Server {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Script {
    names: HashMap<&'static str, Says>,
    /// Questions for IPv4 addresses by name.
    asked: BTreeMap<String, usize>,
}

impl Server {
    fn start() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout");
        let address = socket.local_addr().expect("bound");
        let (script, stop) = (
            Arc::new(Mutex::new(Script::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let thread = std::thread::spawn({
            let (script, stop) = (Arc::clone(&script), Arc::clone(&stop));
            move || {
                let mut packet = [0; 1500];
                while !stop.load(Relaxed) {
                    let Ok((length, client)) = socket.recv_from(&mut packet) else {
                        continue;
                    };
                    let question = Message::from_vec(&packet[..length]).expect("a question");
                    if let Some(answer) = script.lock().answer(&question) {
                        socket
                            .send_to(&answer.to_vec().expect("encodes"), client)
                            .expect("sends");
                    }
                }
            }
        });
        Server {
            address,
            script,
            stop,
            thread: Some(thread),
        }
    }

    fn says(&self, name: &'static str, what: Says) {
        self.script.lock().names.insert(name, what);
    }

    fn asked(&self, name: &str) -> usize {
        self.script.lock().asked.get(name).copied().unwrap_or(0)
    }

    /// Names that are looked up at this server, with a hosts file that can be written.
    fn names(&self) -> (Names, NameMetrics, TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Metrics::register(&Registry::new())
            .expect("unregistered names")
            .names;
        let options = Options {
            servers: Servers::These(vec![self.address]),
            hosts_file: folder.path().join("hosts"),
            lookup_timeout: Duration::from_secs(1),
        };
        (
            Names::start(options, metrics.clone()).expect("starts"),
            metrics,
            folder,
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the name server did not panic");
        }
    }
}

impl Script {
    fn answer(&mut self, question: &Message) -> Option<Message> {
        let query = question.queries.first()?;
        let name = query.name().to_string();
        let name = name.trim_end_matches('.');
        if query.query_type() == RecordType::A {
            *self.asked.entry(name.to_owned()).or_default() += 1;
        }
        let mut answer = Message::response(question.id, OpCode::Query);
        answer.add_query(query.clone());
        let mut add = |owner: &Name, addresses: &[&str], ttl| {
            for address in addresses {
                let data = match address.parse().expect("an address") {
                    IpAddr::V4(address) => RData::A(A(address)),
                    IpAddr::V6(address) => RData::AAAA(AAAA(address)),
                };
                if data.record_type() == query.query_type() {
                    answer.add_answer(Record::from_rdata(owner.clone(), ttl, data));
                }
            }
        };
        match self.names.get(name).cloned().unwrap_or(Says::NotFound) {
            Says::Addresses(addresses, ttl) => add(query.name(), addresses, ttl),
            Says::Alias(alias_ttl, addresses, ttl) => {
                let target = Name::from_ascii("target.example.").expect("a name");
                add(&target, addresses, ttl);
                let alias = RData::CNAME(CNAME(target));
                answer
                    .answers
                    .insert(0, Record::from_rdata(query.name().clone(), alias_ttl, alias));
            }
            Says::OnlyV4(address) if query.query_type() == RecordType::A => add(query.name(), &[address], 60),
            Says::NotFound => answer.metadata.response_code = ResponseCode::NXDomain,
            Says::Failure => answer.metadata.response_code = ResponseCode::ServFail,
            Says::Nothing | Says::OnlyV4(_) => return None,
        }
        Some(answer)
    }
}

fn run<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(story)
}

fn resolve(names: &Names, host: &str, now_seconds: u64) -> Result<Vec<String>, NameErrorKind> {
    run(names.resolve(host, false, Moment::from_seconds(now_seconds)))
        .map(|addresses| addresses.iter().map(IpAddr::to_string).collect())
        .map_err(|error| error.kind)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

fn ok(addresses: &[&str]) -> Result<Vec<String>, NameErrorKind> {
    Ok(addresses.iter().map(|address| (*address).to_owned()).collect())
}

#[test]
fn a_name_is_looked_up_once_and_again_when_its_ttl_is_over() {
    let server = Server::start();
    let (names, metrics, _folder) = server.names();
    server.says(
        "origin.example",
        Says::Addresses(&["192.0.2.1", "2001:db8::1"], 60),
    );
    assert_eq!(
        resolve(&names, "origin.example", 1000),
        ok(&["192.0.2.1", "2001:db8::1"])
    );
    server.says("origin.example", Says::Addresses(&["192.0.2.2"], 60));
    assert_eq!(
        resolve(&names, "origin.example", 1059),
        ok(&["192.0.2.1", "2001:db8::1"])
    );
    assert_eq!(server.asked("origin.example"), 1);
    assert_eq!(resolve(&names, "origin.example", 1060), ok(&["192.0.2.2"]));
    assert_eq!(server.asked("origin.example"), 2);
    assert_eq!(
        (
            metrics.found.get(),
            metrics.held.get(),
            metrics.stale_answers.get()
        ),
        (2, 1, 0)
    );
}

#[test]
fn an_alias_holds_no_longer_than_its_own_ttl() {
    let server = Server::start();
    let (names, _, _folder) = server.names();
    server.says("cdn.example", Says::Alias(20, &["192.0.2.1"], 200));
    for (now, asked) in [(1000, 1), (1019, 1), (1020, 2)] {
        assert_eq!(resolve(&names, "cdn.example", now), ok(&["192.0.2.1"]));
        assert_eq!(server.asked("cdn.example"), asked, "at {now}");
    }
}

#[test]
fn those_who_ask_together_cause_one_look_up() {
    let server = Server::start();
    let (names, metrics, _folder) = server.names();
    server.says("origin.example", Says::OnlyV4("192.0.2.1"));
    let names = Arc::new(names);
    run(tokio::task::LocalSet::new().run_until(async {
        let requests: Vec<_> = (0..50)
            .map(|_| {
                let names = Arc::clone(&names);
                tokio::task::spawn_local(
                    async move { names.resolve("origin.example", false, Moment(1)).await },
                )
            })
            .collect();
        for request in requests {
            request.await.expect("no panic").expect("an address");
        }
    }));
    assert_eq!(server.asked("origin.example"), 1);
    assert_eq!(metrics.found.get(), 1);
}

#[test]
fn a_request_that_goes_away_does_not_end_the_look_up() {
    let server = Server::start();
    let (names, metrics, _folder) = server.names();
    server.says("origin.example", Says::OnlyV4("192.0.2.1"));
    run(async {
        // Polled once: the look-up is under way, then nobody waits for it.
        let asking = names.resolve("origin.example", false, Moment(1));
        assert!(tokio::time::timeout(Duration::ZERO, asking).await.is_err());
    });
    eventually("the look-up ends", || metrics.found.get() == 1);
    assert_eq!(resolve(&names, "origin.example", 0), ok(&["192.0.2.1"]));
    assert_eq!(server.asked("origin.example"), 1);
}

#[test]
fn names_that_do_not_exist_fail_and_are_not_asked_for_again_at_once() {
    let server = Server::start();
    let (names, metrics, _folder) = server.names();
    for now in [1000, 1001, 1002] {
        assert_eq!(
            resolve(&names, "nowhere.example", now),
            Err(NameErrorKind::NotFound)
        );
    }
    let asked = server.asked("nowhere.example");
    server.says("nowhere.example", Says::Addresses(&["192.0.2.9"], 60));
    assert_eq!(resolve(&names, "nowhere.example", 1100), ok(&["192.0.2.9"]));
    assert_eq!(server.asked("nowhere.example"), asked + 1);
    assert_eq!((metrics.not_found.get(), metrics.found.get()), (1, 1));
    assert_eq!(
        resolve(&names, "no name at all..", 1),
        Err(NameErrorKind::NotAName)
    );
}

#[test]
fn failing_name_servers_are_told_from_silent_ones_and_expired_addresses_stand_in() {
    let server = Server::start();
    let (names, metrics, _folder) = server.names();
    server.says("silent.example", Says::Nothing);
    assert_eq!(
        resolve(&names, "silent.example", 1000),
        Err(NameErrorKind::TimedOut)
    );
    assert_eq!(metrics.timed_out.get(), 1);
    server.says("failing.example", Says::Failure);
    assert!(matches!(
        resolve(&names, "failing.example", 1000),
        Err(NameErrorKind::Failed(_))
    ));
    assert_eq!(metrics.failed.get(), 1);

    server.says("origin.example", Says::Addresses(&["192.0.2.1"], 60));
    assert_eq!(resolve(&names, "origin.example", 1000), ok(&["192.0.2.1"]));
    server.says("origin.example", Says::Nothing);
    assert_eq!(
        resolve(&names, "origin.example", 1060),
        ok(&["192.0.2.1"]),
        "before the look-up has failed"
    );
    eventually("the look-up times out", || metrics.timed_out.get() == 2);
    server.says("origin.example", Says::NotFound);
    assert_eq!(
        resolve(&names, "origin.example", 1062),
        ok(&["192.0.2.1"]),
        "not asked again so soon"
    );
    assert_eq!(metrics.stale_answers.get(), 2);
    assert_eq!(
        resolve(&names, "origin.example", 1100),
        Err(NameErrorKind::NotFound),
        "gone is an answer"
    );
}

#[test]
fn a_name_server_that_swallows_questions_for_ipv6_costs_a_moment_only() {
    let server = Server::start();
    let (names, metrics, _folder) = server.names();
    server.says("origin.example", Says::OnlyV4("192.0.2.1"));
    assert_eq!(resolve(&names, "origin.example", 1000), ok(&["192.0.2.1"]));
    assert_eq!((metrics.found.get(), metrics.timed_out.get()), (1, 0));
}

#[test]
fn private_addresses_are_refused_unless_the_service_allows_them() {
    let server = Server::start();
    let (names, metrics, _folder) = server.names();
    server.says("inside.example", Says::Addresses(&["10.0.0.5", "fd00::5"], 60));
    server.says("mixed.example", Says::Addresses(&["10.0.0.5", "192.0.2.7"], 60));
    for (host, address) in [
        ("inside.example", "10.0.0.5"),
        ("127.0.0.1", "127.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("[::1]", "::1"),
        ("localhost", "127.0.0.1"),
        ("a.localhost", "127.0.0.1"),
    ] {
        let error = run(names.resolve(host, false, Moment(1))).expect_err(host);
        assert_eq!(
            error.kind,
            NameErrorKind::Prohibited(address.parse().expect("an address")),
            "{host}"
        );
        assert_eq!(error.error_type(), ErrorType::DestinationIpProhibited);
        let allowed = run(names.resolve(host, true, Moment(1))).expect(host);
        assert!(allowed.contains(&address.parse().expect("an address")), "{host}");
    }
    assert_eq!(
        resolve(&names, "mixed.example", 1),
        ok(&["192.0.2.7"]),
        "the public one may be used"
    );
    assert_eq!(resolve(&names, "192.0.2.8", 1), ok(&["192.0.2.8"]));
    assert_eq!(metrics.prohibited.get(), 7);
}

#[test]
fn the_hosts_file_comes_first_and_may_change() {
    let server = Server::start();
    let (names, _, folder) = server.names();
    let hosts = folder.path().join("hosts");
    std::fs::write(
        &hosts,
        "192.0.2.50 origin.example # ours\n192.0.2.51 Other.Example\n",
    )
    .expect("writes");
    assert_eq!(resolve(&names, "origin.example", 1000), ok(&["192.0.2.50"]));
    assert_eq!(resolve(&names, "other.example", 1000), ok(&["192.0.2.51"]));
    std::fs::write(&hosts, "192.0.2.60 origin.example\n").expect("writes");
    assert_eq!(resolve(&names, "origin.example", 1005), ok(&["192.0.2.60"]));
    assert_eq!(server.asked("origin.example"), 0, "not even for the other family");
}

#[test]
fn a_system_without_name_servers_still_knows_its_hosts_and_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (hosts, resolv_conf) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
    std::fs::write(&hosts, "192.0.2.50 origin.example\n").expect("writes");
    let metrics = Metrics::register(&Registry::new())
        .expect("unregistered names")
        .names;
    let servers = Servers::ResolvConf(resolv_conf.clone());
    let options = Options {
        servers,
        hosts_file: hosts,
        lookup_timeout: Duration::from_millis(100),
    };
    let names = Names::start(options, metrics).expect("starts");
    assert_eq!(resolve(&names, "origin.example", 1000), ok(&["192.0.2.50"]));
    let error = run(names.resolve("other.example", false, Moment(0))).expect_err("no name server");
    let expected = format!(
        "other.example could not be looked up: {}: No such file",
        resolv_conf.display()
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(error.error_type(), ErrorType::DnsError);

    // Once the file is there it is read; nobody answers at this address, which is for documentation.
    std::fs::write(&resolv_conf, "nameserver 192.0.2.254\n").expect("writes");
    let error =
        run(names.resolve("other.example", false, Moment::from_seconds(1000))).expect_err("no answer");
    assert!(!error.to_string().contains("resolv.conf"), "{error}");
}
