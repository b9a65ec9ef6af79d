//! Who touched which byte of shared memory since the last barrier.
//!
//! One record per byte of the last writes and reads in the current epoch; a barrier starts a new epoch. Anything
//! else that orders memory (fences, atomics stronger than relaxed, sub-group barriers) starts one as well: races
//! beside such synchronisation may be missed, but what is reported is a race.

use super::fault::{Checked, FaultKind};

/// How memory is accessed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
    /// Read, written or both, atomically.
    Atomic,
}

/// The work-item that runs, as memory sees it.
#[derive(Copy, Clone, Default, Debug)]
pub(super) struct Actor {
    /// Linear position in the group.
    pub item: u32,
    /// Counts what orders memory; starts at 1.
    pub epoch: u32,
}

const SEVERAL: u32 = u32::MAX;

#[derive(Copy, Clone, Default)]
struct Record {
    write_epoch: u32,
    writer: u32,
    read_epoch: u32,
    reader: u32,
    /// All writes of the epoch were atomic.
    atomic: bool,
}

/// The records of one allocation.
pub(super) struct Races {
    records: Box<[Record]>,
}

impl Races {
    pub fn new(bytes: usize) -> Self {
        Races { records: vec![Record::default(); bytes].into() }
    }

    /// Notes an access to the bytes from `start`, which is at `address`.
    pub fn note(
        &mut self,
        start: usize,
        size: usize,
        address: u64,
        access: Access,
        by: Actor,
    ) -> Checked<()> {
        let Some(records) = self.records.get_mut(start..start.saturating_add(size)) else { return Ok(()) };
        for (n, record) in records.iter_mut().enumerate() {
            if let Some(other) = record.conflict(access, by) {
                let other = Some(other).filter(|&other| other != SEVERAL);
                let address = address + n as u64;
                return Err(Box::new(FaultKind::Race { address, item: by.item, other }));
            }
            record.note(access, by);
        }
        Ok(())
    }
}

impl Record {
    /// Who else makes this access a race.
    fn conflict(&self, access: Access, by: Actor) -> Option<u32> {
        let foreign = |epoch: u32, who: u32| (epoch == by.epoch && who != by.item).then_some(who);
        let both_atomic = access == Access::Atomic && self.atomic;
        let write = foreign(self.write_epoch, self.writer).filter(|_| !both_atomic);
        let read = foreign(self.read_epoch, self.reader).filter(|_| access != Access::Read);
        write.or(read)
    }

    fn note(&mut self, access: Access, by: Actor) {
        let joined =
            |epoch: u32, who: u32| if epoch == by.epoch && who != by.item { SEVERAL } else { by.item };
        match access {
            Access::Read => {
                self.reader = joined(self.read_epoch, self.reader);
                self.read_epoch = by.epoch;
            }
            Access::Write => {
                (self.writer, self.write_epoch, self.atomic) = (by.item, by.epoch, false);
            }
            Access::Atomic => {
                self.atomic |= self.write_epoch != by.epoch;
                self.writer = joined(self.write_epoch, self.writer);
                self.write_epoch = by.epoch;
            }
        }
    }
}
