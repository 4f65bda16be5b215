//! The connections of one core, so that all of them can be told something.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::vitals::Vitals;

/// The connections that a core attends. Bounded by `max_connections`.
#[derive(Default)]
pub(crate) struct Roll(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    next: u64,
    connections: HashMap<u64, Arc<Vitals>>,
    closes_idle: bool,
}

/// A connection's entry; dropping it strikes it off.
pub(crate) struct Entry {
    roll: Arc<Roll>,
    number: u64,
}

impl Roll {
    /// Adds a connection. If idle ones are being closed already, it is told at once.
    pub(crate) fn enter(self: &Arc<Roll>, vitals: &Arc<Vitals>) -> Entry {
        let mut entries = self.0.lock();
        let number = entries.next;
        entries.next += 1;
        entries.connections.insert(number, Arc::clone(vitals));
        if entries.closes_idle {
            vitals.close_when_idle();
        }
        Entry {
            roll: Arc::clone(self),
            number,
        }
    }

    /// Has every connection end when it waits for a request for a while, now or later.
    pub(crate) fn close_idle(&self) {
        let mut entries = self.0.lock();
        entries.closes_idle = true;
        entries
            .connections
            .values()
            .for_each(|vitals| vitals.close_when_idle());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roll.0.lock().connections.remove(&self.number);
    }
}
