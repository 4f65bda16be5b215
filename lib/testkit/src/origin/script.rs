//! What an origin is told to answer: replies, their timing, and how they may fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::body;

/// One answer, as data. Begin with [`Reply::ok`], [`Reply::generated`], [`Reply::status`] or one of the failures.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) framing: Framing,
    pub(super) delay: Duration,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) gate: Option<(usize, Gate)>,
    pub(super) ranges: bool,
    pub(super) fault: Option<Fault>,
    pub(super) interim: Vec<(u16, Vec<(String, String)>)>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) echoes: bool,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    /// Chunks of this many bytes.
    Chunked(usize),
    UntilClose,
}

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is ever said; the connection stays open.
    Hang,
    /// RST once so many bytes of the body have been sent; `None`: before the head.
    Reset(Option<usize>),
    /// FIN once so many bytes of the body have been sent; `None`: before the head.
    Close(Option<usize>),
    /// Silence once so many bytes of the body have been sent; the connection stays open.
    Stall(usize),
    /// These bytes and nothing else, then FIN.
    Raw(Bytes),
    /// These bytes and nothing else; the connection goes on.
    RawAndOn(Bytes),
}

impl Reply {
    /// `status` with an empty body.
    #[must_use]
    pub fn status(status: u16) -> Reply {
        Reply {
            status,
            fields: Vec::new(),
            body: Bytes::new(),
            framing: Framing::Length,
            delay: Duration::ZERO,
            bytes_per_second: None,
            gate: None,
            ranges: false,
            fault: None,
            interim: Vec::new(),
            trailers: Vec::new(),
            echoes: false,
        }
    }

    /// 200 whose body is that of the request, sent back as it comes: for [`Origin::on_head`](super::Origin::on_head), and
    /// requests that say their length.
    #[must_use]
    pub fn echo() -> Reply {
        Reply {
            echoes: true,
            ..Reply::status(200)
        }
    }

    /// 101 to `protocol`; from then on every byte that comes is sent back.
    #[must_use]
    pub fn switches_to(protocol: &str) -> Reply {
        Reply {
            echoes: true,
            ..Reply::status(101)
        }
        .field("Connection", "Upgrade")
        .field("Upgrade", protocol)
    }

    /// 200 with `body`.
    #[must_use]
    pub fn ok(body: impl Into<Bytes>) -> Reply {
        Reply::status(200).body(body)
    }

    /// 200 with the `length` bytes that `name` determines ([`crate::body`]).
    #[must_use]
    pub fn generated(name: &str, length: usize) -> Reply {
        Reply::ok(body(name, length))
    }

    /// Takes the request and never answers; the connection stays open.
    #[must_use]
    pub fn hang() -> Reply {
        Reply::fails(Fault::Hang)
    }

    /// Takes the request and resets the connection.
    #[must_use]
    pub fn reset() -> Reply {
        Reply::fails(Fault::Reset(None))
    }

    /// Takes the request and closes the connection in order, without an answer.
    #[must_use]
    pub fn close() -> Reply {
        Reply::fails(Fault::Close(None))
    }

    /// Takes the request, sends exactly these bytes, and closes.
    #[must_use]
    pub fn raw(bytes: impl Into<Bytes>) -> Reply {
        Reply::fails(Fault::Raw(bytes.into()))
    }

    /// Takes the request, sends exactly these bytes, and waits for the next one.
    #[must_use]
    pub fn raw_and_on(bytes: impl Into<Bytes>) -> Reply {
        Reply::fails(Fault::RawAndOn(bytes.into()))
    }

    fn fails(fault: Fault) -> Reply {
        Reply {
            fault: Some(fault),
            ..Reply::status(200)
        }
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Reply {
        self.body = body.into();
        self
    }

    /// Adds a field. An `ETag` makes the origin answer 304 to an `If-None-Match` that lists it; a `Last-Modified`, to
    /// an `If-Modified-Since` that repeats it.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Sends an interim answer of `status` with one field before the head.
    #[must_use]
    pub fn interim(mut self, status: u16, name: &str, value: &str) -> Reply {
        self.interim
            .push((status, vec![(name.to_owned(), value.to_owned())]));
        self
    }

    /// Adds a trailer field after a body in chunks.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Reply {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the body in chunks of `bytes` instead of saying its length.
    #[must_use]
    pub fn chunked(mut self, bytes: usize) -> Reply {
        assert!(bytes > 0, "an empty chunk ends a body");
        self.framing = Framing::Chunked(bytes);
        self
    }

    /// Lets the end of the connection end the body.
    #[must_use]
    pub fn until_close(mut self) -> Reply {
        self.framing = Framing::UntilClose;
        self
    }

    /// Waits before the head.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    /// Sends the body at this rate, in a piece every 20 ms.
    #[must_use]
    pub fn paced(mut self, bytes_per_second: u64) -> Reply {
        self.bytes_per_second = Some(bytes_per_second);
        self
    }

    /// Sends `bytes` of the body and the rest once `gate` is open.
    #[must_use]
    pub fn held_at(mut self, bytes: usize, gate: &Gate) -> Reply {
        self.gate = Some((bytes, gate.clone()));
        self
    }

    /// Answers single `bytes=a-b` ranges with 206, as most origins do.
    #[must_use]
    pub fn with_ranges(mut self) -> Reply {
        self.ranges = true;
        self
    }

    /// Sends `bytes` of the body, then closes in order: shorter than announced.
    #[must_use]
    pub fn truncated_at(mut self, bytes: usize) -> Reply {
        self.fault = Some(Fault::Close(Some(bytes)));
        self
    }

    /// Sends `bytes` of the body, then resets the connection.
    #[must_use]
    pub fn reset_at(mut self, bytes: usize) -> Reply {
        self.fault = Some(Fault::Reset(Some(bytes)));
        self
    }

    /// Sends `bytes` of the body, then nothing more; the connection stays open.
    #[must_use]
    pub fn stalled_at(mut self, bytes: usize) -> Reply {
        self.fault = Some(Fault::Stall(bytes));
        self
    }

    pub(super) fn value_of(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What holds a reply back until the test lets it go on. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Gate {
        Gate {
            open: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Lets everyone pass, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    pub(super) async fn passed(&self) {
        let mut open = self.open.subscribe();
        // The sender is `self`, so it cannot be gone.
        let _ = open.wait_for(|open| *open).await;
    }
}
