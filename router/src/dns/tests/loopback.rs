//! The servers themselves, over the loopback: every reply is the one the pure function gives.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::rr::RecordType;
use model::Snapshot;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::ask::{bytes, line, query, with_edns};
use super::{ByNetwork, zones};
use crate::admission::Room;
use crate::bind;
use crate::dns::World;
use crate::dns::authority::{
    Zones,
    steer::{Addresses, Asked, Steer, Steered},
};
use crate::dns::metrics::DnsMetrics;
use crate::dns::tcp::{self, TcpLimits};
use crate::dns::udp::UdpThreads;

/// Longer than anything here takes, unless it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Small {
    zones: Zones,
}

impl Steer for Small {
    fn steer(&self, asked: &Asked<'_>, addresses: &mut Addresses) -> Steered {
        ByNetwork.steer(asked, addresses)
    }
}

impl World for Small {
    fn zones(&self) -> &Zones {
        &self.zones
    }
}

fn world() -> Arc<ArcSwap<Small>> {
    Arc::new(ArcSwap::from_pointee(Small { zones: zones() }))
}

fn metrics() -> (Registry, DnsMetrics) {
    let registry = Registry::new();
    let metrics = DnsMetrics::register(&registry).expect("no name is taken");
    (registry, metrics)
}

fn told(registry: &Registry) -> String {
    String::from_utf8(daemon::metrics::encode(registry).expect("sound")).expect("text")
}

fn client(server: SocketAddr) -> UdpSocket {
    let any: SocketAddr = if server.is_ipv4() {
        ([127, 0, 0, 1], 0).into()
    } else {
        (std::net::Ipv6Addr::LOCALHOST, 0).into()
    };
    let client = UdpSocket::bind(any).expect("a free port");
    client.connect(server).expect("loopback");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client
}

fn heard(client: &UdpSocket) -> Vec<u8> {
    let mut reply = [0; 2048];
    let length = client.recv(&mut reply).expect("a reply");
    reply[..length].to_vec()
}

#[test]
fn datagrams_are_answered_by_every_thread_and_counted() {
    let (registry, metrics) = metrics();
    let sockets = bind::udp(([127, 0, 0, 1], 0).into(), 2).expect("a free port");
    let server = sockets[0].local_addr().expect("bound");
    let threads = UdpThreads::start(sockets, &world(), &metrics).expect("threads");
    let asked = bytes(&with_edns(
        query("films.cdn.example.", RecordType::A),
        4096,
        Some("203.0.113.0/24"),
    ));
    let answer = "NoError aa = films 30 A 12.176.7.0, films 30 A 12.176.7.1 opt 203.0.113.0/24 for /20";
    // Each client has a port of its own, so that both sockets have some.
    let clients: Vec<UdpSocket> = (0..16).map(|_| client(server)).collect();
    for client in &clients {
        for _ in 0..20 {
            client.send(&asked).expect("loopback");
        }
    }
    for client in &clients {
        for _ in 0..20 {
            assert_eq!(line(&heard(client)), answer);
        }
    }
    // Junk gets no reply: the next one is that of the next query.
    let client = &clients[0];
    let mut response = asked.clone();
    response[2] |= 0x80;
    client.send(&response).expect("loopback");
    client.send(&asked[..11]).expect("loopback");
    client.send(&[0; 1501]).expect("loopback");
    client
        .send(&bytes(&query("nothing.cdn.example.", RecordType::AAAA)))
        .expect("loopback");
    assert!(line(&heard(client)).starts_with("NXDomain"));
    client
        .send(&bytes(&query("big.cdn.example.", RecordType::TXT)))
        .expect("loopback");
    assert_eq!(line(&heard(client)), "NoError aa tc");
    threads.stop();
    let told = told(&registry);
    for line in [
        "millrace_router_dns_queries_total{qtype=\"A\",rcode=\"NOERROR\",transport=\"udp\"} 320",
        "millrace_router_dns_queries_total{qtype=\"AAAA\",rcode=\"NXDOMAIN\",transport=\"udp\"} 1",
        "millrace_router_ecs_queries_total{family=\"ipv4\"} 320",
        "millrace_router_dns_truncated_total 1",
        "millrace_router_dns_dropped_total{reason=\"response\"} 1",
        "millrace_router_dns_dropped_total{reason=\"short\"} 1",
        "millrace_router_dns_dropped_total{reason=\"oversize\"} 1",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
    }
}

#[test]
fn what_waits_when_the_end_comes_is_answered() {
    let (_, metrics) = metrics();
    let sockets = bind::udp(([127, 0, 0, 1], 0).into(), 1).expect("a free port");
    let server = sockets[0].local_addr().expect("bound");
    let client = client(server);
    for _ in 0..100 {
        let asked = bytes(&query("films.cdn.example.", RecordType::A));
        client.send(&asked).expect("loopback");
    }
    UdpThreads::start(sockets, &world(), &metrics)
        .expect("a thread")
        .stop();
    for _ in 0..100 {
        assert!(line(&heard(&client)).starts_with("NoError aa"));
    }
}

#[test]
fn a_new_world_answers_from_the_next_batch_on() {
    let (_, metrics) = metrics();
    let world = world();
    let sockets = bind::udp("[::1]:0".parse().expect("an address"), 1).expect("a free port");
    let client = client(sockets[0].local_addr().expect("bound"));
    let threads = UdpThreads::start(sockets, &world, &metrics).expect("a thread");
    let asked = bytes(&query("films.cdn.example.", RecordType::A));
    client.send(&asked).expect("loopback");
    assert!(line(&heard(&client)).starts_with("NoError aa = films 30 A 12.0.0.0"));
    let empty: Snapshot =
        serde_json::from_str("{\"cdn\":\"test\",\"number\":1,\"sites\":{},\"nodes\":{},\"services\":{}}")
            .expect("a snapshot");
    let old = Arc::downgrade(&world.swap(Arc::new(Small {
        zones: Zones::compile(&empty),
    })));
    client.send(&asked).expect("loopback");
    assert_eq!(line(&heard(&client)), "Refused");
    assert!(old.upgrade().is_none(), "nobody keeps the old world");
    threads.stop();
}

/// A server over TCP, and how to end it.
struct Tcp {
    address: SocketAddr,
    registry: Registry,
    end: watch::Sender<bool>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Tcp {
    fn start(limits: TcpLimits) -> Tcp {
        let (registry, metrics) = metrics();
        let listener = bind::tcp(([127, 0, 0, 1], 0).into(), 1, "DNS over TCP")
            .expect("a free port")
            .remove(0);
        let address = listener.local_addr().expect("bound");
        let (end, ending) = watch::channel(false);
        let serving = tcp::serve(listener, world(), limits, Arc::default(), metrics, ending);
        Tcp {
            address,
            registry,
            end,
            task: tokio::spawn(serving),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("loopback")
    }

    async fn end(self) {
        self.end.send(true).expect("it is there");
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("in time").expect("no panic").expect("no error");
    }

    async fn eventually_tells(&self, line: &str) {
        let told = async {
            while !told(&self.registry).lines().any(|told| told == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, told).await;
        assert!(in_time.is_ok(), "{line} in\n{}", self::told(&self.registry));
    }
}

/// A message behind its length.
fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let reading = async {
        let mut length = [0; 2];
        stream.read_exact(&mut length).await.expect("a length");
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).await.expect("a reply");
        reply
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("in time")
}

/// Whether the server closes without another byte.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await;
    matches!(read.expect("in time"), Ok(0) | Err(_))
}

fn films() -> Vec<u8> {
    framed(&bytes(&query("films.cdn.example.", RecordType::A)))
}

#[tokio::test]
async fn a_connection_answers_in_order_whatever_the_pieces_it_is_asked_in() {
    let server = Tcp::start(TcpLimits::default());
    let names: Vec<String> = (0..300).map(|nth| format!("x{nth}.wild")).collect();
    let asked: Vec<u8> = names
        .iter()
        .flat_map(|name| framed(&bytes(&query(&format!("{name}.cdn.example."), RecordType::A))))
        .collect();
    for piece in [asked.len(), 1000, 7] {
        let mut stream = server.connect().await;
        stream.set_nodelay(true).expect("a socket");
        let (mut from, mut to) = stream.split();
        let writing = async {
            for piece in asked.chunks(piece) {
                to.write_all(piece).await.expect("loopback");
            }
        };
        let reading = async {
            for name in &names {
                let mut length = [0; 2];
                from.read_exact(&mut length).await.expect("a length");
                let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
                from.read_exact(&mut reply).await.expect("a reply");
                assert!(line(&reply).starts_with(&format!("NoError aa = {name} 30 A 14.")));
            }
        };
        let done = tokio::time::timeout(PATIENCE, async { tokio::join!(writing, reading) }).await;
        done.expect("in time");
    }
    let mut stream = server.connect().await;
    let big = framed(&bytes(&query("big.cdn.example.", RecordType::TXT)));
    stream.write_all(&big).await.expect("loopback");
    let reply = read(&mut stream).await;
    assert!(reply.len() > 2000, "nothing is cut over TCP");
    server
        .eventually_tells(
            "millrace_router_dns_queries_total{qtype=\"A\",rcode=\"NOERROR\",transport=\"tcp\"} 900",
        )
        .await;
    server.eventually_tells("millrace_router_dns_connections 1").await;
    drop(stream);
    server.eventually_tells("millrace_router_dns_connections 0").await;
    server.end().await;
}

#[tokio::test]
async fn what_breaks_the_rules_of_a_connection_ends_it() {
    let server = Tcp::start(TcpLimits::default());
    let mut response = bytes(&query("films.cdn.example.", RecordType::A));
    response[2] |= 0x80;
    for junk in [framed(&response), framed(b""), vec![0xff; 2]] {
        let mut stream = server.connect().await;
        stream
            .write_all(&[films(), junk].concat())
            .await
            .expect("loopback");
        assert!(line(&read(&mut stream).await).starts_with("NoError"));
        assert!(is_closed(&mut stream).await);
    }
    for reason in ["response", "short", "oversize"] {
        let line = format!("millrace_router_dns_dropped_total{{reason=\"{reason}\"}} 1");
        server.eventually_tells(&line).await;
    }
    server.end().await;
}

#[tokio::test]
async fn a_connection_has_its_bounds_of_time_and_queries() {
    let server = Tcp::start(TcpLimits {
        queries: 3,
        idle: Duration::from_millis(100),
        ..TcpLimits::default()
    });
    let mut stream = server.connect().await;
    stream.write_all(&films().repeat(5)).await.expect("loopback");
    for _ in 0..3 {
        assert!(line(&read(&mut stream).await).starts_with("NoError"));
    }
    assert!(is_closed(&mut stream).await);
    let mut idle = server.connect().await;
    assert!(is_closed(&mut idle).await);
    // A half of a query buys no time.
    let mut halved = server.connect().await;
    halved.write_all(&films()[..20]).await.expect("loopback");
    assert!(is_closed(&mut halved).await);
    server.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_and_counted() {
    let server = Tcp::start(TcpLimits {
        room: Room {
            of_one_network: 2,
            ..TcpLimits::default().room
        },
        ..TcpLimits::default()
    });
    let mut held = [server.connect().await, server.connect().await];
    for stream in &mut held {
        stream.write_all(&films()).await.expect("loopback");
        assert!(line(&read(stream).await).starts_with("NoError"));
    }
    assert!(is_closed(&mut server.connect().await).await);
    server
        .eventually_tells("millrace_router_dns_dropped_total{reason=\"network\"} 1")
        .await;
    drop(held);
    server.eventually_tells("millrace_router_dns_connections 0").await;
    let mut stream = server.connect().await;
    stream.write_all(&films()).await.expect("loopback");
    assert!(line(&read(&mut stream).await).starts_with("NoError"));
    drop(stream);
    server.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_replies_is_given_up() {
    let server = Tcp::start(TcpLimits {
        slow: Duration::from_millis(100),
        ..TcpLimits::default()
    });
    let mut stream = server.connect().await;
    let big = framed(&bytes(&query("big.cdn.example.", RecordType::TXT)));
    let asked = big.repeat(1000);
    let writing = async { while stream.write_all(&asked).await.is_ok() {} };
    let given_up = server.eventually_tells("millrace_router_dns_dropped_total{reason=\"slow\"} 1");
    tokio::select! {
        () = given_up => {}
        () = writing => server.eventually_tells("millrace_router_dns_dropped_total{reason=\"slow\"} 1").await,
    }
    server.end().await;
}

#[tokio::test]
async fn at_the_end_idle_connections_are_closed() {
    let server = Tcp::start(TcpLimits::default());
    let mut stream = server.connect().await;
    stream.write_all(&films()).await.expect("loopback");
    assert!(line(&read(&mut stream).await).starts_with("NoError"));
    server.end().await;
    assert!(is_closed(&mut stream).await);
}
