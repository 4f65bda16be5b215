//! A device in memory that falls ill on command.

use crate::disk::{Device, MemoryDevice};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Illness {
    None,
    /// Every read fails with EIO.
    BadReads,
    /// Every write and flush fails with this number.
    NoWrites(i32),
    /// It is not there: nothing works, and it cannot be opened.
    Gone,
    /// Whatever begins does not end.
    Hangs,
}

pub(super) struct Patient {
    bed: Mutex<Bed>,
    healed: Condvar,
}

struct Bed {
    memory: Arc<MemoryDevice>,
    illness: Illness,
    openings: u64,
}

/// One opening of it.
struct Handle {
    patient: Arc<Patient>,
    memory: Arc<MemoryDevice>,
}

impl Patient {
    pub(super) fn new(size: u64) -> Arc<Patient> {
        Arc::new(Patient {
            bed: Mutex::new(Bed {
                memory: Arc::new(MemoryDevice::new(size)),
                illness: Illness::None,
                openings: 0,
            }),
            healed: Condvar::new(),
        })
    }

    pub(super) fn open(self: &Arc<Patient>) -> io::Result<Arc<dyn Device>> {
        let mut bed = self.bed.lock();
        if bed.illness == Illness::Gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        bed.openings += 1;
        Ok(Arc::new(Handle {
            patient: Arc::clone(self),
            memory: Arc::clone(&bed.memory),
        }))
    }

    pub(super) fn falls_ill(&self, illness: Illness) {
        self.bed.lock().illness = illness;
        self.healed.notify_all();
    }

    /// Another device in its place, blank.
    pub(super) fn is_replaced(&self) {
        let mut bed = self.bed.lock();
        bed.memory = Arc::new(MemoryDevice::new(bed.memory.size()));
    }

    /// How often it was opened.
    pub(super) fn openings(&self) -> u64 {
        self.bed.lock().openings
    }

    fn suffer(&self, writes: bool) -> io::Result<()> {
        let mut bed = self.bed.lock();
        while bed.illness == Illness::Hangs {
            self.healed.wait(&mut bed);
        }
        match bed.illness {
            Illness::BadReads if !writes => Err(io::Error::from_raw_os_error(libc::EIO)),
            Illness::NoWrites(number) if writes => Err(io::Error::from_raw_os_error(number)),
            Illness::Gone => Err(io::Error::from_raw_os_error(libc::ENODEV)),
            _ => Ok(()),
        }
    }
}

impl Device for Handle {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.patient.suffer(false)?;
        self.memory.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.patient.suffer(true)?;
        self.memory.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.patient.suffer(true)?;
        self.memory.flush()
    }
}
