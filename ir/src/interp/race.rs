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
    AtomicRead,
    /// Written, or read and written, atomically.
    AtomicWrite,
}

impl Access {
    /// Whether nothing is written.
    pub fn only_reads(self) -> bool {
        matches!(self, Access::Read | Access::AtomicRead)
    }

    fn is_atomic(self) -> bool {
        matches!(self, Access::AtomicRead | Access::AtomicWrite)
    }
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

/// Accesses of one kind to a byte.
#[derive(Copy, Clone, Default)]
struct Record {
    /// The last epoch in which there were any.
    epoch: u32,
    /// By whom.
    who: u32,
    /// Whether all of them were atomic.
    atomic: bool,
}

#[derive(Copy, Clone, Default)]
struct Cell {
    writes: Record,
    reads: Record,
}

/// The records of one allocation.
pub(super) struct Races {
    cells: Box<[Cell]>,
}

impl Races {
    pub fn new(bytes: usize) -> Self {
        Races { cells: vec![Cell::default(); bytes].into() }
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
        let Some(cells) = self.cells.get_mut(start..start.saturating_add(size)) else { return Ok(()) };
        for (n, cell) in cells.iter_mut().enumerate() {
            let read = if access.only_reads() { None } else { cell.reads.conflict(access, by) };
            if let Some(other) = cell.writes.conflict(access, by).or(read) {
                let other = Some(other).filter(|&other| other != SEVERAL);
                let address = address + n as u64;
                return Err(Box::new(FaultKind::Race { address, item: by.item, other }));
            }
            let record = if access.only_reads() { &mut cell.reads } else { &mut cell.writes };
            record.note(access, by);
        }
        Ok(())
    }
}

impl Record {
    /// Who else accessed the byte in this epoch, unless both did so atomically.
    fn conflict(&self, access: Access, by: Actor) -> Option<u32> {
        let foreign = self.epoch == by.epoch && self.who != by.item;
        (foreign && !(self.atomic && access.is_atomic())).then_some(self.who)
    }

    fn note(&mut self, access: Access, by: Actor) {
        let first = self.epoch != by.epoch;
        *self = Record {
            epoch: by.epoch,
            who: if first || self.who == by.item { by.item } else { SEVERAL },
            atomic: access.is_atomic() && (first || self.atomic),
        };
    }
}
