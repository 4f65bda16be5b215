//! Many datagrams by one call of the kernel, in memory that is reused.
//!
//! Received by nix, whose wrapper keeps its headers from one call to the next; sent by rustix, whose wrapper says how
//! many went. (nix would keep pointers to addresses that are gone in headers that were used for sending.)

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::super::authority::UDP_BYTES_MAX;

/// Datagrams that are taken at once: enough that the call's own cost is little beside that of its datagrams, few enough
/// that the first does not wait for the last.
const RECEIVED_MAX: usize = 64;

/// Datagrams that are sent at once. Headers are made for so many at each call, and most batches are small.
const SENT_MAX: usize = 16;

/// The longest datagram that is read: what fits into a frame of Ethernet. Queries have a hundred bytes.
const QUERY_BYTES_MAX: usize = 1500;

/// Whether to wait where there is nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// For the first datagram, as long as the socket's timeout says; what else is there comes along.
    ForOne,
    /// Not at all.
    No,
}

/// Datagrams on their way in and out.
pub(super) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; QUERY_BYTES_MAX]; RECEIVED_MAX]>,
    received: Vec<Received>,
    replies: Vec<Reply>,
    /// How many of `replies` are to be sent.
    ready: usize,
}

/// A datagram in the buffer of its number.
struct Received {
    source: Option<SocketAddr>,
    bytes: usize,
    is_whole: bool,
}

struct Reply {
    to: SocketAddrAny,
    bytes: Vec<u8>,
}

impl Batch {
    /// Room for a batch. It belongs to the thread that makes it.
    pub(super) fn new() -> Batch {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let reply = || Reply {
            to: nobody.into(),
            bytes: Vec::with_capacity(UDP_BYTES_MAX),
        };
        Batch {
            headers: MultiHeaders::preallocate(RECEIVED_MAX, None),
            buffers: Box::new([[0; QUERY_BYTES_MAX]; RECEIVED_MAX]),
            received: Vec::with_capacity(RECEIVED_MAX),
            replies: std::iter::repeat_with(reply).take(RECEIVED_MAX).collect(),
            ready: 0,
        }
    }

    /// Takes what is there, [`RECEIVED_MAX`] datagrams at most.
    ///
    /// # Errors
    /// What the kernel says; among that, that there is nothing.
    pub(super) fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<()> {
        self.received.clear();
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let flags = match wait {
            Wait::ForOne => MsgFlags::MSG_WAITFORONE,
            Wait::No => MsgFlags::MSG_DONTWAIT,
        };
        let messages = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            slices.iter_mut(),
            flags,
            None,
        )?;
        self.received.extend(messages.map(|message| Received {
            source: message.address.as_ref().and_then(source),
            bytes: message.bytes,
            is_whole: !message.flags.contains(MsgFlags::MSG_TRUNC),
        }));
        Ok(())
    }

    /// Calls `answer` with each datagram, its source, and where the reply goes; it says whether there is one. Gives the
    /// number of those that were too long to be read.
    pub(super) fn answer_each(
        &mut self,
        mut answer: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>) -> bool,
    ) -> usize {
        let mut oversize = 0;
        self.ready = 0;
        for (received, buffer) in self.received.iter().zip(self.buffers.iter()) {
            let (Some(source), Some(reply)) = (received.source, self.replies.get_mut(self.ready)) else {
                continue;
            };
            let Some(query) = buffer.get(..received.bytes).filter(|_| received.is_whole) else {
                oversize += 1;
                continue;
            };
            reply.bytes.clear();
            if answer(query, source, &mut reply.bytes) {
                reply.to = source.into();
                self.ready += 1;
            }
        }
        oversize
    }

    /// Sends the replies, and gives the number of those that the kernel refused.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let mut rest = &self.replies[..self.ready];
        let mut refused = 0;
        while !rest.is_empty() {
            let some = &rest[..rest.len().min(SENT_MAX)];
            match send_some(socket, some) {
                Ok(sent) => rest = &rest[sent.max(1)..],
                Err(rustix::io::Errno::INTR) => {}
                // It is about the first of them: an address that is not reachable, or a rule of the firewall.
                Err(_) => {
                    refused += 1;
                    rest = &rest[1..];
                }
            }
        }
        refused
    }
}

/// Sends [`SENT_MAX`] replies at most, and gives the number of those that went.
fn send_some(socket: &UdpSocket, replies: &[Reply]) -> rustix::io::Result<usize> {
    if let [reply] = replies {
        return rustix::net::sendto(socket, &reply.bytes, SendFlags::empty(), &reply.to).map(|_| 1);
    }
    let mut no_control = [(); SENT_MAX].map(|()| SendAncillaryBuffer::default());
    let mut slices = [[IoSlice::new(&[])]; SENT_MAX];
    for (slice, reply) in slices.iter_mut().zip(replies) {
        *slice = [IoSlice::new(&reply.bytes)];
    }
    let mut pairs = replies.iter().zip(&slices);
    let mut messages = no_control.each_mut().map(|control| match pairs.next() {
        Some((reply, slice)) => MMsgHdr::new_with_addr(&reply.to, slice, control),
        None => MMsgHdr::new(&[], control),
    });
    sendmmsg(socket, &mut messages[..replies.len()], SendFlags::empty())
}

fn source(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from(*v4));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from(*v6)))
}
