//! One thread for each device: opens it, watches it, puts it offline, probes it, brings it back.
//!
//! What might hang with the device (a look at its superblock, a trial write) is done by an errand, a thread of its own,
//! so that the steward goes on judging. Only while a device is offline may the steward itself wait for it.

use super::health::{Health, Operation, Probed, State, Tolerance, Transition};
use super::member::{Member, Opened};
use super::metrics::HealthMetrics;
use super::plan::{Attempt, Plan};
use super::watch::{Watch, Watched};
use crate::disk::{self, Device, Disk};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much longer than its lock's patience the first opening may take before the cache starts without the device.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long a device that is to be opened anew may take to let go.
const PARTING_PATIENCE: Duration = Duration::from_secs(10);

/// Wakes stewards, and tells them what they may do.
#[derive(Default)]
pub(super) struct Bell {
    orders: Mutex<Orders>,
    rung: Condvar,
}

#[derive(Default)]
struct Orders {
    stopped: bool,
    closed: bool,
}

impl Bell {
    /// Every steward ends.
    pub(super) fn stop(&self) {
        self.orders.lock().stopped = true;
        self.rung.notify_all();
    }

    /// No device is opened any more.
    pub(super) fn forbid_opening(&self) {
        self.orders.lock().closed = true;
    }

    /// Waits; false when it is time to end.
    fn wait(&self, time: Duration) -> bool {
        let mut orders = self.orders.lock();
        if !orders.stopped {
            self.rung.wait_for(&mut orders, time);
        }
        !orders.stopped
    }

    fn is_closed(&self) -> bool {
        self.orders.lock().closed
    }

    /// Runs `install` unless opening is forbidden; until it returns it cannot be.
    fn unless_closed<T>(&self, install: impl FnOnce() -> T) -> Option<T> {
        let orders = self.orders.lock();
        (!orders.closed && !orders.stopped).then(install)
    }
}

/// The one who looks after a device.
pub(super) struct Steward {
    plan: Plan,
    member: Arc<Member>,
    tolerance: Tolerance,
    metrics: HealthMetrics,
    bell: Arc<Bell>,
    begin: Instant,
    /// What marks the device, once it was open.
    uuid: Option<u128>,
    /// What was open before and has not ended: nothing is opened beside it.
    leaving: Option<Leaving>,
    errand: Option<Errand>,
    looked: Instant,
    /// Errors of the open device that were exported.
    exported: [u64; 3],
}

/// A device that was closed, and may still be writing.
struct Leaving {
    watch: Arc<Watch>,
    writer: disk::Retirement,
}

/// Something that takes as long as the device does.
enum Errand {
    /// Whether the device is still ours.
    Look(JoinHandle<io::Result<bool>>),
    /// Whether it can be written again.
    TrialWrite(JoinHandle<io::Result<()>>),
}

/// A device that is being opened for the first time.
pub(super) struct Starting {
    name: String,
    patience: Duration,
    result: Receiver<io::Result<()>>,
}

impl Starting {
    /// Waits for the first opening. Fails when the device can never work as it was configured.
    pub(super) fn wait(self) -> io::Result<()> {
        match self.result.recv_timeout(self.patience) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                tracing::error!(
                    device = self.name,
                    "cache disk: opening takes too long; the cache starts without it, and it joins when it is ready"
                );
                Ok(())
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("the thread that opens it has ended"))
            }
        }
    }
}

/// Whether an error at the first opening is a mistake that no probe will mend.
fn is_mistake(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::StorageFull
            | io::ErrorKind::WouldBlock
    )
}

impl Steward {
    pub(super) fn new(
        plan: Plan,
        member: Arc<Member>,
        tolerance: Tolerance,
        metrics: HealthMetrics,
        bell: Arc<Bell>,
    ) -> Steward {
        Steward {
            plan,
            member,
            tolerance,
            metrics,
            bell,
            begin: Instant::now(),
            uuid: None,
            leaving: None,
            errand: None,
            looked: Instant::now(),
            exported: [0; 3],
        }
    }

    /// Begins the work, on a thread.
    pub(super) fn start(self) -> io::Result<Starting> {
        let (sender, result) = channel();
        let starting = Starting {
            name: self.plan.name.clone(),
            patience: self.plan.options.lock_patience + START_PATIENCE,
            result,
        };
        std::thread::Builder::new()
            .name("cache-disk-care".to_owned())
            .spawn(move || self.run(&sender))?;
        Ok(starting)
    }

    fn run(mut self, started: &Sender<io::Result<()>>) {
        let mut health = match self.open(self.plan.options.lock_patience) {
            Ok(_) => Health::healthy(self.tolerance.clone(), self.now()),
            Err(error) if is_mistake(&error) => {
                // Nobody waits any more when it took too long.
                started.send(Err(error)).ok();
                return;
            }
            Err(error) => {
                tracing::error!(
                    device = self.plan.name,
                    %error,
                    "cache disk: offline: it cannot be opened; the cache starts without it, it is probed and joins by \
                     itself"
                );
                Health::offline(self.tolerance.clone(), self.now())
            }
        };
        self.metrics.begin(&self.plan.name, health.state());
        started.send(Ok(())).ok();
        while self.bell.wait(self.tolerance.tick) {
            self.attend(&mut health);
        }
    }

    /// One round: judge what is open, see what errands found, probe what is not as it should be.
    fn attend(&mut self, health: &mut Health) {
        if let Some(opened) = self.member.opened() {
            let seen = opened.watch.seen();
            self.export(
                &opened.watch,
                seen.oldest.map_or(Duration::ZERO, |(_, time)| time),
            );
            let transition = health.judge(self.now(), &seen);
            self.apply(transition);
        }
        self.hear_errand(health);
        if health.wants_probe(self.now()) && !self.bell.is_closed() {
            self.probe(health);
        } else if health.state() != State::Offline {
            self.send_to_look();
        }
    }

    /// Probes a device: one that is offline by opening it, one that is read-only by a trial write.
    fn probe(&mut self, health: &mut Health) {
        if let Some(opened) = self.member.opened() {
            if self.errand.is_none() {
                self.errand = Errand::trial_write(&opened);
            }
            return;
        }
        let probed = match self.leaving.take_if(|leaving| leaving.is_over()) {
            None if self.leaving.is_some() => Err(io::Error::other("an earlier operation has not ended")),
            _ => self.open(Duration::ZERO),
        };
        let probed = probed.map_or_else(
            |error| {
                tracing::info!(device = self.plan.name, %error, "cache disk: still offline");
                Probed::Unchanged
            },
            |wiped| Probed::Open { wiped },
        );
        let transition = health.probed(self.now(), probed);
        self.apply(transition);
    }

    fn hear_errand(&mut self, health: &mut Health) {
        let Some(errand) = self.errand.take_if(|errand| errand.is_done()) else {
            return;
        };
        let transition = match errand {
            // What cannot be read has been counted.
            Errand::Look(look) => match look.join() {
                Ok(Ok(false)) => health.changed(self.now()),
                _ => None,
            },
            Errand::TrialWrite(trial) => {
                let probed = match trial.join() {
                    Ok(Ok(())) if health.state() == State::ReadOnly => self.open_anew(),
                    _ => Probed::Unchanged,
                };
                health.probed(self.now(), probed)
            }
        };
        self.apply(transition);
    }

    fn send_to_look(&mut self) {
        if self.errand.is_none()
            && self.looked.elapsed() >= self.tolerance.look_interval
            && let (Some(opened), Some(uuid)) = (self.member.opened(), self.uuid)
        {
            self.looked = Instant::now();
            self.errand = Errand::look(&opened, uuid);
        }
    }

    /// Closes a device that is read-only and opens it again: its log begins anew where it can.
    fn open_anew(&mut self) -> Probed {
        self.part();
        let deadline = Instant::now() + PARTING_PATIENCE;
        while self.leaving.as_ref().is_some_and(|leaving| !leaving.is_over()) {
            if Instant::now() >= deadline || !self.bell.wait(self.tolerance.tick.min(PARTING_PATIENCE / 100))
            {
                return Probed::Lost("what was under way does not end".to_owned());
            }
        }
        self.leaving = None;
        match self.open(Duration::ZERO) {
            Ok(wiped) => Probed::Open { wiped },
            Err(error) => Probed::Lost(error.to_string()),
        }
    }

    /// Opens the device and lets it be found. Says why it was wiped, if it was.
    fn open(&mut self, patience: Duration) -> io::Result<Option<&'static str>> {
        let attempt = match self.uuid {
            None => Attempt::First,
            Some(_) => Attempt::Again,
        };
        let device = (self.plan.opener)(attempt)?;
        device.lock(patience)?;
        // What went wrong first is what matters: whether the lock is then released cleanly is not.
        self.open_locked(&device).inspect_err(|_| drop(device.unlock()))
    }

    fn open_locked(&mut self, device: &Arc<dyn Device>) -> io::Result<Option<&'static str>> {
        let found = disk::identify(&**device)?;
        let wiped = reason_to_wipe(self.uuid, found, self.member.has_missed_too_much());
        if wiped.is_some() {
            disk::wipe(&**device)?;
            self.member.is_wiped();
        }
        let watch = Watch::new(self.tolerance.slow);
        let watched: Arc<dyn Device> = Arc::new(Watched::new(Arc::clone(device), Arc::clone(&watch)));
        let disk = Disk::open(
            Arc::clone(&watched),
            self.plan.options.clone(),
            self.plan.metrics.clone(),
        )?;
        let uuid = disk.uuid();
        let opened = Opened::new(disk, watched, watch);
        match self.bell.unless_closed(|| self.member.install(opened)) {
            Some(true) => {}
            Some(false) => return Err(io::Error::other("too many removals came while it was opened")),
            None => return Err(io::Error::other("the cache is being closed")),
        }
        self.uuid = Some(uuid);
        self.exported = [0; 3];
        self.looked = Instant::now();
        Ok(wiped)
    }

    fn apply(&mut self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        self.tell(&transition);
        self.metrics.count(&self.plan.name, &transition);
        self.member.set_state(transition.to);
        if transition.to == State::Offline {
            self.part();
        }
    }

    fn tell(&self, transition: &Transition) {
        let (device, from, to) = (&*self.plan.name, transition.from.name(), transition.to.name());
        let (cause, advice) = (&transition.cause, transition.advice());
        match transition.to {
            State::Healthy => {
                tracing::info!(device, from, to, %cause, advice, "cache disk: changes its state")
            }
            State::Suspect => {
                tracing::warn!(device, from, to, %cause, advice, "cache disk: changes its state")
            }
            State::ReadOnly | State::Offline => {
                tracing::error!(device, from, to, %cause, advice, "cache disk: changes its state");
            }
        }
    }

    /// Nothing of the device is found any more; what is under way ends when it can.
    fn part(&mut self) {
        if let Some(opened) = self.member.withdraw() {
            self.export(&opened.watch, Duration::ZERO);
            self.leaving = Some(Leaving {
                watch: Arc::clone(&opened.watch),
                writer: opened.disk.retirement(),
            });
        }
        // What it finds concerns a device that is not in use any more.
        self.errand = None;
    }

    fn export(&mut self, watch: &Watch, oldest: Duration) {
        self.metrics.show_oldest(&self.plan.name, oldest.as_secs_f64());
        for operation in Operation::ALL {
            let errors = watch.errors(operation);
            let exported = &mut self.exported[operation as usize];
            self.metrics
                .count_errors(&self.plan.name, operation, errors.saturating_sub(*exported));
            *exported = errors;
        }
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }
}

impl Leaving {
    fn is_over(&self) -> bool {
        self.writer.is_over() && self.watch.is_idle()
    }
}

impl Errand {
    /// `None` when there is no thread to be had: the next round tries again.
    fn look(opened: &Arc<Opened>, uuid: u128) -> Option<Errand> {
        let device = Arc::clone(&opened.device);
        send(move || disk::identify(&*device).map(|found| found == Some(uuid))).map(Errand::Look)
    }

    fn trial_write(opened: &Arc<Opened>) -> Option<Errand> {
        let device = Arc::clone(&opened.device);
        send(move || disk::try_writing(&*device)).map(Errand::TrialWrite)
    }

    fn is_done(&self) -> bool {
        match self {
            Errand::Look(thread) => thread.is_finished(),
            Errand::TrialWrite(thread) => thread.is_finished(),
        }
    }
}

fn send<T: Send + 'static>(errand: impl FnOnce() -> T + Send + 'static) -> Option<JoinHandle<T>> {
    let builder = std::thread::Builder::new().name("cache-disk-look".to_owned());
    builder.spawn(errand).ok()
}

/// Why what a device holds may not be served, if it may not. `known` is the mark it had when it was open before.
fn reason_to_wipe(known: Option<u128>, found: Option<u128>, missed_too_much: bool) -> Option<&'static str> {
    match (known, found) {
        (Some(_), None) => Some("there is nothing of ours on it any more"),
        (Some(known), Some(found)) if known != found => Some("it is another device than the one that left"),
        _ if missed_too_much => Some("it does not know what was removed while it was away"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_wiped_unless_it_is_the_same_and_has_heard_of_every_removal() {
        assert_eq!(
            reason_to_wipe(None, None, false),
            None,
            "formatted by the log itself"
        );
        assert_eq!(reason_to_wipe(None, Some(1), false), None, "kept over a restart");
        assert_eq!(reason_to_wipe(Some(1), Some(1), false), None);
        for (known, found, missed) in [
            (Some(1), None, false),
            (Some(1), Some(2), false),
            (Some(1), Some(1), true),
            (None, Some(1), true),
        ] {
            assert!(
                reason_to_wipe(known, found, missed).is_some(),
                "{known:?} {found:?} {missed}"
            );
        }
    }
}
