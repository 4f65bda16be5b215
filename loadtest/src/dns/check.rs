//! Whether a server answers rightly, before it is measured: a fast wrong answer is worth nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{self, Answer};
use crate::own::cities::{CITIES, city_of};
use crate::own::router::{HOST, edges};

/// The number of our questions; each has a socket of its own.
const ID: u16 = 1;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than any answer has.
const DATAGRAM_BYTES: usize = 4096;

/// The network of this machine's own addresses.
const LOOPBACK: u8 = 127;

/// Whether the server at `address` answers at all, over UDP.
///
/// # Errors
///
/// When it does not, or with an error.
pub(super) async fn answers(address: SocketAddr) -> Result<(), String> {
    let answer = ask(address, false, None).await?;
    match answer.code {
        0 => Ok(()),
        code => Err(format!("it answered with code {code}")),
    }
}

/// Whether it sends clients everywhere to the edges of their city, over UDP and TCP, by their own address and by the
/// network that a resolver names.
///
/// # Errors
///
/// The first answer that is not as it should be.
pub(super) async fn everything(address: SocketAddr) -> Result<(), String> {
    for tcp in [false, true] {
        let answer = ask(address, tcp, None).await?;
        right(&answer, LOOPBACK).map_err(|why| format!("over {}: {why}", transport(tcp)))?;
        // One network of each city, and one that the cases ask for.
        for network in (1..=CITIES.len() as u8).chain([203]) {
            let answer = ask(address, tcp, Some([network, 0, 113])).await?;
            let told = answer.scope.filter(|scope| *scope > 0);
            right(&answer, network)
                .and(
                    told.map(drop)
                        .ok_or_else(|| format!("no network for which it holds: {answer:?}")),
                )
                .map_err(|why| format!("over {}, for {network}.0.113.0/24: {why}", transport(tcp)))?;
        }
    }
    Ok(())
}

fn transport(tcp: bool) -> &'static str {
    if tcp { "TCP" } else { "UDP" }
}

fn right(answer: &Answer, network: u8) -> Result<(), String> {
    let expected: Vec<Ipv4Addr> = edges(city_of(network)).into();
    let mut addresses = answer.addresses.clone();
    addresses.sort_unstable();
    if answer.code == 0 && addresses == expected {
        return Ok(());
    }
    Err(format!("{answer:?} instead of {expected:?}"))
}

async fn ask(address: SocketAddr, tcp: bool, subnet: Option<[u8; 3]>) -> Result<Answer, String> {
    let question = message::question(ID, HOST, subnet);
    let exchange = async {
        match tcp {
            true => over_tcp(address, &question).await,
            false => over_udp(address, &question).await,
        }
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(bytes)) => message::read(ID, &bytes),
        Ok(Err(error)) => Err(format!("{address} over {}: {error}", transport(tcp))),
        Err(_) => Err(format!(
            "{address} did not answer over {} within {} s",
            transport(tcp),
            PATIENCE.as_secs()
        )),
    }
}

async fn over_udp(address: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(address).await?;
    socket.send(question).await?;
    let mut answer = vec![0; DATAGRAM_BYTES];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

/// Each message has its length before it (RFC 7766 §8).
async fn over_tcp(address: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // Ours are short.
    let length = question.len() as u16;
    stream
        .write_all(&[&length.to_be_bytes(), question].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_edges_of_the_right_city_are_right() {
        let answer = |code, addresses: Vec<Ipv4Addr>| Answer {
            code,
            addresses,
            scope: None,
        };
        let here = edges(city_of(9));
        assert_eq!(right(&answer(0, here.into()), 9), Ok(()));
        assert!(right(&answer(2, here.into()), 9).is_err());
        assert!(right(&answer(0, vec![here[0]]), 9).is_err());
        assert!(right(&answer(0, edges(city_of(10)).into()), 9).is_err());
    }

    #[tokio::test]
    async fn who_does_not_answer_is_named() {
        let deaf = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = deaf.local_addr().unwrap();
        tokio::time::pause();
        let reason = answers(address).await.unwrap_err();
        assert!(
            reason.contains(&address.to_string()) && reason.contains("within 2 s"),
            "{reason}"
        );
    }
}
