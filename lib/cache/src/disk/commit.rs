//! What becomes of a record handed to the writer: a future that the caller may await, or forget.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::oneshot;

/// The end of a record's way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Written: it survives `kill -9` from now on, loss of power within about a second, and is found by look-ups.
    Committed,
    /// Not on the disk and never will be (queue full, too large, device failing or closed). Counted.
    Dropped,
}

/// Resolves to the [`Fate`] of one record, once. Dropping it changes nothing about the write.
#[derive(Debug)]
#[must_use = "forget a commit on purpose: `drop(commit)`"]
pub struct Commit(State);

#[derive(Debug)]
enum State {
    Refused,
    Waiting(oneshot::Receiver<Fate>),
    /// Dropped when the second comes first.
    Guarded(oneshot::Receiver<Fate>, Pin<Box<OwnedNotified>>),
}

/// The writer's end of a [`Commit`]; dropped unresolved it means [`Fate::Dropped`].
#[derive(Debug)]
pub(super) struct Resolver(oneshot::Sender<Fate>);

impl Commit {
    pub(crate) fn refused() -> Commit {
        Commit(State::Refused)
    }

    pub(super) fn pending() -> (Resolver, Commit) {
        let (sender, receiver) = oneshot::channel();
        (Resolver(sender), Commit(State::Waiting(receiver)))
    }

    /// The same, but dropped as soon as `end` comes: who awaits it does not hang with a device that does.
    pub(crate) fn or_dropped_after(self, end: OwnedNotified) -> Commit {
        match self.0 {
            State::Waiting(receiver) => Commit(State::Guarded(receiver, Box::pin(end))),
            decided => Commit(decided),
        }
    }
}

impl Resolver {
    pub(super) fn resolve(self, fate: Fate) {
        // Nobody waiting is fine: the record is where it is.
        self.0.send(fate).ok();
    }
}

impl Future for Commit {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Fate> {
        match &mut self.0 {
            State::Refused => Poll::Ready(Fate::Dropped),
            State::Waiting(receiver) => Pin::new(receiver)
                .poll(context)
                .map(|fate| fate.unwrap_or(Fate::Dropped)),
            State::Guarded(receiver, end) => match Pin::new(receiver).poll(context) {
                Poll::Ready(fate) => Poll::Ready(fate.unwrap_or(Fate::Dropped)),
                Poll::Pending => end.as_mut().poll(context).map(|()| Fate::Dropped),
            },
        }
    }
}
