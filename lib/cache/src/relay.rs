//! Wakes the readers of a growing object: one wake per core and append, however many readers that core has.
//!
//! Waking a task of another core costs an eventfd write. A [`Bell`] therefore keeps its waiting readers in one group
//! per core and hands rung groups to that core's [`Relay`], which wakes the readers locally, where a wake is a push to
//! a queue. Posts to a relay that has not run yet are coalesced. Threads without a relay (tests, multi-threaded
//! runtimes) have their readers woken directly.
//!
//! No wake is lost. A reader looks, then [listens](Bell::listen), then looks again; a filler publishes, then rings.
//! Either the filler's look into the group comes after the reader's entry, and it is woken; or before, and then the
//! reader's second look comes after the publication, because both passed through the group's lock.

use parking_lot::Mutex;
use slab::Slab;
use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

thread_local! {
    /// The core of this thread, once its relay has run for the first time.
    static CORE: RefCell<Option<Arc<Core>>> = const { RefCell::new(None) };
}

/// One core's relay: a future that never ends, run once on each single-threaded runtime.
///
/// Dropped with its runtime, it wakes whom it still owes a wake; its thread's readers are woken directly from then on.
#[must_use = "spawn it on the core's runtime"]
pub struct Relay {
    core: Arc<Core>,
    installed: bool,
}

/// What fillers post to: the groups of this core that were rung since the relay last ran.
#[derive(Default)]
struct Core {
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    rung: Vec<Arc<Group>>,
    relay: Option<Waker>,
    closed: bool,
}

/// The readers of one bell on one core; without a core, those on threads that have no relay.
struct Group {
    core: Option<Arc<Core>>,
    /// In its core's inbox already.
    posted: AtomicBool,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    wakers: Slab<Option<Waker>>,
    waiting: usize,
}

/// What readers wait at and a filler rings.
#[derive(Default)]
pub(crate) struct Bell {
    /// At most one group per core, and one for threads without a relay.
    groups: Mutex<Vec<Arc<Group>>>,
}

/// A reader's place at a bell, kept between waits and given back on drop.
pub(crate) struct Seat {
    group: Arc<Group>,
    number: usize,
}

impl Bell {
    /// Asks for a wake at the next ring. Whoever calls must look again afterwards, before returning `Pending`.
    pub(crate) fn listen(&self, seat: &mut Option<Seat>, waker: &Waker) {
        let core = CORE.try_with(|core| core.borrow().clone()).ok().flatten();
        if let Some(taken) = seat {
            if same_core(taken.group.core.as_ref(), core.as_ref()) {
                taken.group.seats.lock().sit(taken.number, waker);
                return;
            }
            *seat = None; // The task has moved to another thread.
        }
        let group = self.group_of(core);
        let number = group.seats.lock().enter(waker);
        *seat = Some(Seat { group, number });
    }

    /// Wakes every reader that listens.
    pub(crate) fn ring(&self) {
        let mut wakers = Vec::new();
        for group in self.groups.lock().iter() {
            Group::ring(group, &mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn group_of(&self, core: Option<Arc<Core>>) -> Arc<Group> {
        let mut groups = self.groups.lock();
        if let Some(group) = groups
            .iter()
            .find(|group| same_core(group.core.as_ref(), core.as_ref()))
        {
            return Arc::clone(group);
        }
        let group = Arc::new(Group {
            core,
            posted: AtomicBool::new(false),
            seats: Mutex::default(),
        });
        groups.push(Arc::clone(&group));
        group
    }
}

impl Group {
    /// Adds to `wakers` whoever must be woken: the core's relay, or the readers themselves where there is none.
    fn ring(group: &Arc<Group>, wakers: &mut Vec<Waker>) {
        if group.seats.lock().waiting == 0 {
            return;
        }
        let Some(core) = &group.core else {
            return group.seats.lock().rise(wakers);
        };
        if group.posted.swap(true, Ordering::SeqCst) {
            return; // The relay has yet to come by; it will find everyone who listens now.
        }
        let mut inbox = core.inbox.lock();
        if inbox.closed {
            drop(inbox);
            group.posted.store(false, Ordering::SeqCst);
            return group.seats.lock().rise(wakers);
        }
        inbox.rung.push(Arc::clone(group));
        wakers.extend(inbox.relay.take());
    }

    /// Wakes this group's readers; called on their own core.
    fn wake(&self) {
        // In this order: a ring from here on posts the group again.
        self.posted.store(false, Ordering::SeqCst);
        let mut wakers = Vec::new();
        self.seats.lock().rise(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Seats {
    fn enter(&mut self, waker: &Waker) -> usize {
        self.waiting += 1;
        self.wakers.insert(Some(waker.clone()))
    }

    fn sit(&mut self, number: usize, waker: &Waker) {
        match &mut self.wakers[number] {
            Some(present) => present.clone_from(waker),
            empty => {
                *empty = Some(waker.clone());
                self.waiting += 1;
            }
        }
    }

    fn leave(&mut self, number: usize) -> Option<Waker> {
        let waker = self.wakers.remove(number);
        self.waiting -= usize::from(waker.is_some());
        waker
    }

    fn rise(&mut self, wakers: &mut Vec<Waker>) {
        if self.waiting > 0 {
            wakers.extend(self.wakers.iter_mut().filter_map(|(_, waker)| waker.take()));
            self.waiting = 0;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Taken out first: dropping a waker may drop a task, and with it another seat of this group.
        let waker = self.group.seats.lock().leave(self.number);
        drop(waker);
    }
}

impl Relay {
    /// A relay for the core whose runtime polls it. It takes effect with its first poll.
    pub fn install() -> Relay {
        Relay {
            core: Arc::default(),
            installed: false,
        }
    }
}

impl Future for Relay {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Infallible> {
        if !self.installed {
            CORE.with(|core| *core.borrow_mut() = Some(Arc::clone(&self.core)));
            self.installed = true;
        }
        let rung = {
            let mut inbox = self.core.inbox.lock();
            inbox.relay = Some(context.waker().clone());
            mem::take(&mut inbox.rung)
        };
        for group in rung {
            group.wake();
        }
        Poll::Pending
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The thread may be ending, and its locals gone: then nobody asks for them again.
        let _ = CORE.try_with(|core| core.borrow_mut().take_if(|core| Arc::ptr_eq(core, &self.core)));
        let rung = {
            let mut inbox = self.core.inbox.lock();
            inbox.closed = true;
            inbox.relay = None;
            mem::take(&mut inbox.rung)
        };
        for group in rung {
            group.wake();
        }
    }
}

fn same_core(one: Option<&Arc<Core>>, other: Option<&Arc<Core>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        sync::{
            atomic::{AtomicU64, AtomicUsize},
            mpsc,
        },
        task::Wake,
        thread,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn read(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn a_ring_wakes_whoever_listens_once_and_nobody_who_left() {
        let bell = Bell::default();
        let (one, two) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (mut seat_one, mut seat_two) = (None, None);
        bell.listen(&mut seat_one, &Waker::from(Arc::clone(&one)));
        bell.listen(&mut seat_one, &Waker::from(Arc::clone(&one)));
        bell.listen(&mut seat_two, &Waker::from(Arc::clone(&two)));
        drop(seat_two);
        bell.ring();
        bell.ring();
        assert_eq!((one.read(), two.read()), (1, 0));
        bell.listen(&mut seat_one, &Waker::from(Arc::clone(&one)));
        bell.ring();
        assert_eq!(one.read(), 2);
    }

    #[test]
    fn a_core_is_woken_once_for_many_rings_and_many_readers() {
        let mut relay = Relay::install();
        let of_relay = Arc::new(Count::default());
        let relay_waker = Waker::from(Arc::clone(&of_relay));
        let mut context = Context::from_waker(&relay_waker);
        assert!(Pin::new(&mut relay).poll(&mut context).is_pending());

        let bells = [Bell::default(), Bell::default()];
        let reader = Arc::new(Count::default());
        let mut seats: Vec<Option<Seat>> = (0..100).map(|_| None).collect();
        for (number, seat) in seats.iter_mut().enumerate() {
            bells[number % 2].listen(seat, &Waker::from(Arc::clone(&reader)));
        }
        for _ in 0..10 {
            bells.iter().for_each(Bell::ring);
        }
        assert_eq!(of_relay.read(), 1, "rings are coalesced until the relay runs");
        assert_eq!(reader.read(), 0, "readers are woken by their own core");
        assert!(Pin::new(&mut relay).poll(&mut context).is_pending());
        assert_eq!(reader.read(), 100);
        bells.iter().for_each(Bell::ring);
        assert_eq!(of_relay.read(), 1, "nobody listens: nobody is woken");

        bells[0].listen(&mut seats[0], &Waker::from(Arc::clone(&reader)));
        bells[0].ring();
        drop(relay);
        assert_eq!(reader.read(), 101, "a relay that goes wakes whom it owes a wake");
        bells[0].listen(&mut seats[0], &Waker::from(Arc::clone(&reader)));
        bells[0].ring();
        assert_eq!(reader.read(), 102, "without a relay readers are woken directly");
    }

    /// A thousand readers on two cores follow a counter that a third thread moves; whoever misses a wake hangs, and
    /// the test with it (the deadline is the channel's).
    #[test]
    fn a_thousand_readers_on_two_threads_miss_no_ring() {
        const READERS: usize = 500;
        const STEPS: u64 = 2_000;
        let shared = Arc::new((Bell::default(), AtomicU64::new(0)));
        let (done, finished) = mpsc::channel();
        let cores: Vec<_> = (0..2)
            .map(|_| {
                let (shared, done) = (Arc::clone(&shared), done.clone());
                thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async move {
                        tokio::spawn(Relay::install());
                        let readers: Vec<_> = (0..READERS)
                            .map(|_| tokio::spawn(follow(Arc::clone(&shared), STEPS)))
                            .collect();
                        for reader in readers {
                            assert_eq!(reader.await.unwrap(), STEPS);
                        }
                        done.send(()).unwrap();
                    });
                })
            })
            .collect();
        for step in 1..=STEPS {
            shared.1.store(step, Ordering::SeqCst);
            shared.0.ring();
            if step % 16 == 0 {
                thread::yield_now();
            }
        }
        for _ in &cores {
            finished
                .recv_timeout(std::time::Duration::from_secs(60))
                .expect("a reader hangs");
        }
        for core in cores {
            core.join().unwrap();
        }
    }

    async fn follow(shared: Arc<(Bell, AtomicU64)>, until: u64) -> u64 {
        let (bell, counter) = &*shared;
        let mut seat = None;
        let mut seen = 0;
        while seen < until {
            seen = poll_fn(|context| {
                for listened in [false, true] {
                    let now = counter.load(Ordering::SeqCst);
                    if now > seen {
                        return Poll::Ready(now);
                    }
                    if !listened {
                        bell.listen(&mut seat, context.waker());
                    }
                }
                Poll::Pending
            })
            .await;
        }
        seen
    }
}
