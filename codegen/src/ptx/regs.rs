//! Virtual registers: where each value is, and copies between them.
//!
//! ptxas has its own register allocator, so every value gets a register of its own. A value needs none if it is a
//! constant, a base register and an offset, or the same bits as another value.

use super::types::Class;
use super::write::Arg;
use cranelift_entity::EntityRef;
use marquetry_ir::entity::{Global, Value};
use rustc_hash::FxHashMap;

/// A virtual register: its class in the upper two bits.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reg(u32);

const CLASS_SHIFT: u32 = 30;

impl Reg {
    pub(super) const fn class(self) -> Class {
        Class::ALL[(self.0 >> CLASS_SHIFT) as usize]
    }

    pub(super) const fn number(self) -> u32 {
        self.0 & ((1 << CLASS_SHIFT) - 1)
    }
}

/// What an address starts from. Variables have a register for where their names cannot stand: written where the
/// address is taken, so that it is not computed anew in loops, and removed by ptxas if nothing reads it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Base {
    Reg(Reg),
    Global(Global, Reg),
    Slots(Reg),
}

impl Base {
    pub(super) const fn register(self) -> Reg {
        match self {
            Base::Reg(reg) | Base::Global(_, reg) | Base::Slots(reg) => reg,
        }
    }
}

/// An address that a load or store can spell.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    pub(super) base: Base,
    pub(super) offset: i32,
}

/// Where a value is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Place {
    /// Not computed yet.
    #[default]
    Unset,
    Reg(Reg),
    /// The bits of a constant.
    Const(u64),
    Address(Address),
}

/// The registers of one function.
#[derive(Default)]
pub(super) struct Registers {
    counts: [u32; 4],
    places: Vec<Place>,
}

impl Registers {
    /// Forgets the last function, makes room for the values of the next.
    pub(super) fn start(&mut self, values: usize) {
        self.counts = [0; 4];
        self.places.clear();
        self.places.resize(values, Place::Unset);
    }

    /// A register that nothing uses.
    pub(super) fn fresh(&mut self, class: Class) -> Reg {
        let number = self.counts[class as usize];
        self.counts[class as usize] += 1;
        Reg(number | (class as u32) << CLASS_SHIFT)
    }

    /// How many registers of a class there are.
    pub(super) fn count(&self, class: Class) -> u32 {
        self.counts[class as usize]
    }

    pub(super) fn place(&self, value: Value) -> Place {
        self.places.get(value.index()).copied().unwrap_or_default()
    }

    pub(super) fn set_place(&mut self, value: Value, place: Place) {
        if let Some(slot) = self.places.get_mut(value.index()) {
            *slot = place;
        }
    }
}

/// Copies that happen at once: every source is read before any destination is written.
#[derive(Default)]
pub(super) struct ParallelCopy {
    copies: Vec<(Reg, Arg)>,
    /// Which copy writes a register.
    writers: FxHashMap<Reg, u32>,
    /// How many waiting copies read what copy *n* writes.
    readers: Vec<u32>,
    /// Copies whose destination nobody reads any more.
    ready: Vec<u32>,
    done: Vec<bool>,
}

impl ParallelCopy {
    pub(super) fn clear(&mut self) {
        self.copies.clear();
    }

    /// Adds a copy; each destination once.
    pub(super) fn add(&mut self, to: Reg, from: Arg) {
        if from != Arg::Reg(to) {
            self.copies.push((to, from));
        }
    }

    fn writer_of(&self, arg: Arg) -> Option<usize> {
        match arg {
            Arg::Reg(reg) => self.writers.get(&reg).map(|&n| n as usize),
            _ => None,
        }
    }

    /// Hands out the copies in an order in which they can be done one after the other. Linear in their number.
    pub(super) fn sequence(&mut self, registers: &mut Registers, mut copy: impl FnMut(Reg, Arg)) {
        if let [(to, from)] = self.copies[..] {
            return copy(to, from);
        }
        self.writers.clear();
        self.writers.extend(self.copies.iter().enumerate().map(|(n, &(to, _))| (to, n as u32)));
        self.readers.clear();
        self.readers.resize(self.copies.len(), 0);
        self.done.clear();
        self.done.resize(self.copies.len(), false);
        for &(_, from) in &self.copies {
            if let Some(writer) = self.writer_of(from) {
                self.readers[writer] += 1;
            }
        }
        self.ready.clear();
        let free = |n: &u32| self.readers[*n as usize] == 0;
        self.ready.extend((0..self.copies.len() as u32).rev().filter(free));
        self.drain(&mut copy);
        // What is left are cycles in which every destination is read once.
        for start in 0..self.copies.len() {
            if self.done[start] {
                continue;
            }
            let (saved, _) = self.copies[start];
            let spare = registers.fresh(saved.class());
            copy(spare, Arg::Reg(saved));
            // Walk from `start` to the copy that reads its destination, and let that one read the spare register.
            let mut reader = start;
            while let Some(next) = self.writer_of(self.copies[reader].1).filter(|&next| next != start) {
                reader = next;
            }
            self.copies[reader].1 = Arg::Reg(spare);
            self.ready.push(start as u32);
            self.drain(&mut copy);
        }
    }

    fn drain(&mut self, copy: &mut impl FnMut(Reg, Arg)) {
        while let Some(n) = self.ready.pop() {
            let n = n as usize;
            let (to, from) = self.copies[n];
            copy(to, from);
            self.done[n] = true;
            if let Some(writer) = self.writer_of(from) {
                self.readers[writer] = self.readers[writer].saturating_sub(1);
                if self.readers[writer] == 0 && !self.done[writer] {
                    self.ready.push(writer as u32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does the copies on numbered registers and compares with reading everything first.
    fn check(pairs: &[(usize, usize)]) {
        let mut registers = Registers::default();
        let regs: Vec<Reg> = (0..8).map(|_| registers.fresh(Class::B32)).collect();
        let mut copies = ParallelCopy::default();
        let mut values: FxHashMap<Reg, usize> = regs.iter().copied().zip(0..).collect();
        let mut wanted = values.clone();
        for &(to, from) in pairs {
            copies.add(regs[to], Arg::Reg(regs[from]));
            wanted.insert(regs[to], from);
        }
        copies.sequence(&mut registers, |to, from| {
            let Arg::Reg(from) = from else { panic!("only registers were added") };
            values.insert(to, values[&from]);
        });
        for reg in regs {
            assert_eq!(values[&reg], wanted[&reg], "{pairs:?}");
        }
    }

    #[test]
    fn parallel_copies_read_before_they_write() {
        check(&[]);
        check(&[(0, 1)]);
        check(&[(0, 0), (1, 2)]);
        check(&[(0, 1), (1, 0)]);
        check(&[(0, 1), (1, 2), (2, 0)]);
        check(&[(0, 1), (1, 2), (2, 3)]);
        check(&[(2, 3), (1, 2), (0, 1)]);
        check(&[(0, 1), (1, 0), (2, 3), (3, 2), (4, 0), (5, 4)]);
        check(&[(0, 7), (1, 0), (2, 0), (3, 1), (7, 3), (6, 7)]);
    }
}
