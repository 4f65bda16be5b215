//! The way to the writer: bounded in bytes, never waited for by who puts something in.

use super::commit::{Commit, Resolver};
use super::format::expiry::Expiry;
use super::format::record::{Kind, RecordHeader, span_of};
use super::hints::Hints;
use super::removals::{Removals, Ticket};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use prometheus::IntGauge;
use std::collections::VecDeque;
use std::time::Instant;

/// A record to be written, its body still in the pieces it came in.
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) key_hash: u128,
    pub(super) version: u64,
    pub(super) part: u32,
    /// Heads: the first piece is the key's text and so many bytes long.
    pub(super) key_length: u32,
    pub(super) hints: Hints,
    pub(super) pieces: Vec<Bytes>,
}

impl Record {
    pub(super) fn head(key_hash: u128, key_text: &str, version: u64, encoded: Bytes) -> Record {
        let text = Bytes::copy_from_slice(key_text.as_bytes());
        Record {
            kind: Kind::Head,
            key_length: text.len() as u32,
            pieces: vec![text, encoded],
            ..Record::part(key_hash, version, 0, Vec::new())
        }
    }

    pub(super) fn part(key_hash: u128, version: u64, part: u32, pieces: Vec<Bytes>) -> Record {
        Record {
            kind: Kind::Part,
            key_hash,
            version,
            part,
            key_length: 0,
            hints: Hints::default(),
            pieces,
        }
    }

    pub(super) fn tombstone(key_hash: u128) -> Record {
        Record {
            kind: Kind::Tombstone,
            ..Record::part(key_hash, 0, 0, Vec::new())
        }
    }

    pub(super) fn body_length(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// What it will occupy on the disk, in bytes.
    pub(super) fn span(&self) -> u64 {
        span_of(self.body_length())
    }

    /// Its header in a region of `life`.
    pub(super) fn header(&self, life: u64) -> RecordHeader {
        RecordHeader {
            kind: self.kind,
            expiry: Expiry::default(),
            life,
            version: self.version,
            key_hash: self.key_hash,
            part: self.part,
            body_length: self.body_length() as u32,
            key_length: self.key_length,
            table_crc: 0,
        }
    }
}

/// A record with its place in the order and whom to tell.
pub(super) struct Write {
    pub(super) record: Record,
    pub(super) ticket: Ticket,
    /// `None` for removals, which nobody awaits.
    pub(super) resolver: Option<Resolver>,
}

/// What makes the writer act.
pub(super) enum Event {
    Write(Write),
    /// The deadline has come.
    Due,
    /// Nothing will come any more: end, and tell who asked.
    Close(Resolver),
}

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
}

/// The queue between many who put and one writer.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrival: Condvar,
    bound_bytes: u64,
    gauge: IntGauge,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: u64,
    last_ticket: Ticket,
    closed: bool,
}

impl Queue {
    pub(super) fn new(bound_bytes: u64, gauge: IntGauge) -> Queue {
        gauge.set(0);
        Queue {
            waiting: Mutex::default(),
            arrival: Condvar::new(),
            bound_bytes,
            gauge,
        }
    }

    /// Puts a record in line. A record larger than the bound is taken when nothing else waits.
    pub(super) fn offer(&self, record: Record) -> Result<Commit, Refusal> {
        let bytes = record.span();
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(Refusal::Closed);
        }
        if waiting.bytes > 0 && waiting.bytes + bytes > self.bound_bytes {
            return Err(Refusal::Full);
        }
        let (resolver, commit) = Commit::pending();
        let ticket = waiting.draw_ticket();
        waiting.bytes += bytes;
        self.gauge.set(waiting.bytes as i64);
        self.admit(
            waiting,
            Event::Write(Write {
                record,
                ticket,
                resolver: Some(resolver),
            }),
        );
        Ok(commit)
    }

    /// Puts a removal in line, whatever waits: its bound is that of `removals`, where it begins.
    pub(super) fn offer_removal(&self, key_hash: u128, removals: &Removals) -> Result<(), Refusal> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(Refusal::Closed);
        }
        let ticket = waiting.draw_ticket();
        if !removals.begin(key_hash, ticket) {
            return Err(Refusal::Full);
        }
        let record = Record::tombstone(key_hash);
        self.admit(
            waiting,
            Event::Write(Write {
                record,
                ticket,
                resolver: None,
            }),
        );
        Ok(())
    }

    /// Takes nothing more; the writer ends when it has written what is here. The commit resolves then. Asked again,
    /// it resolves at once.
    pub(super) fn close(&self) -> Commit {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Commit::refused();
        }
        waiting.closed = true;
        let (resolver, commit) = Commit::pending();
        self.admit(waiting, Event::Close(resolver));
        commit
    }

    /// Takes nothing more and gives up what is here: its commits resolve to dropped.
    pub(super) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.events.clear();
        waiting.bytes = 0;
        self.gauge.set(0);
    }

    /// Takes nothing more, gives up what is here, and ends the writer.
    pub(super) fn retire(&self) {
        let closed = self.close();
        let mut waiting = self.waiting.lock();
        waiting.events.retain(|event| matches!(event, Event::Close(_)));
        waiting.bytes = 0;
        self.gauge.set(0);
        drop(closed);
    }

    /// The next event, waited for until `deadline`, or for ever. A deadline that has passed comes first, so that a
    /// busy queue cannot put it off.
    pub(super) fn next(&self, deadline: Option<Instant>) -> Event {
        let mut waiting = self.waiting.lock();
        loop {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Event::Due;
            }
            if let Some(event) = waiting.events.pop_front() {
                if let Event::Write(Write {
                    record,
                    resolver: Some(_),
                    ..
                }) = &event
                {
                    waiting.bytes -= record.span();
                    self.gauge.set(waiting.bytes as i64);
                }
                return event;
            }
            match deadline {
                Some(deadline) => drop(self.arrival.wait_until(&mut waiting, deadline)),
                None => self.arrival.wait(&mut waiting),
            }
        }
    }

    fn admit(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>, event: Event) {
        waiting.events.push_back(event);
        drop(waiting);
        self.arrival.notify_one();
    }
}

impl Waiting {
    fn draw_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(bound_bytes: u64) -> Queue {
        Queue::new(bound_bytes, IntGauge::new("bytes", "bytes").expect("gauge"))
    }

    fn part(length: usize) -> Record {
        Record::part(1, 1, 0, vec![Bytes::from(vec![0; length])])
    }

    #[test]
    fn records_beyond_the_bound_are_refused_until_the_writer_took_some_but_removals_never() {
        let queue = queue(10_000);
        let removals = Removals::default();
        drop(queue.offer(part(50_000)).expect("alone, anything fits"));
        assert_eq!(queue.offer(part(1)).map(drop), Err(Refusal::Full));
        queue
            .offer_removal(1, &removals)
            .expect("removals have their own bound");
        assert!(matches!(queue.next(None), Event::Write(Write { ticket: 1, .. })));
        assert!(matches!(
            queue.next(None),
            Event::Write(Write {
                ticket: 2,
                resolver: None,
                ..
            })
        ));
        assert_eq!(queue.gauge.get(), 0);
        drop(queue.offer(part(4000)).expect("fits"));
        drop(queue.offer(part(4000)).expect("fits"));
        assert_eq!(queue.offer(part(4000)).map(drop), Err(Refusal::Full));
        assert_eq!(queue.gauge.get(), 2 * 4096);
    }

    #[test]
    fn a_closed_queue_hands_out_what_it_has_and_takes_nothing() {
        let queue = queue(10_000);
        drop(queue.offer(part(1)).expect("open"));
        drop(queue.close());
        assert_eq!(queue.offer(part(1)).map(drop), Err(Refusal::Closed));
        assert_eq!(queue.offer_removal(1, &Removals::default()), Err(Refusal::Closed));
        assert!(matches!(queue.next(None), Event::Write(_)));
        assert!(matches!(queue.next(None), Event::Close(_)));
    }

    #[test]
    fn a_deadline_comes_before_what_waits() {
        let queue = queue(10_000);
        drop(queue.offer(part(1)).expect("open"));
        assert!(matches!(queue.next(Some(Instant::now())), Event::Due));
    }
}
