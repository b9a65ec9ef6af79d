//! Sets of ops, as small as they are: questions about whole bodies are answered by them without a walk.

use super::Op;

const WORDS: usize = 4;

const _: () = assert!(Op::ALL.len() <= WORDS * 64);

/// A set of ops.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct OpSet([u64; WORDS]);

impl OpSet {
    /// No op.
    pub const NONE: OpSet = OpSet([0; WORDS]);

    /// These ops.
    pub const fn of(ops: &[Op]) -> OpSet {
        let mut set = OpSet::NONE;
        let mut n = 0;
        while n < ops.len() {
            set.0[ops[n] as usize / 64] |= 1 << (ops[n] as usize % 64);
            n += 1;
        }
        set
    }

    /// Adds an op.
    #[inline]
    pub fn insert(&mut self, op: Op) {
        self.0[op as usize / 64] |= 1 << (op as usize % 64);
    }

    /// Whether an op is in the set.
    #[inline]
    pub const fn has(&self, op: Op) -> bool {
        self.0[op as usize / 64] >> (op as usize % 64) & 1 != 0
    }

    /// Whether the sets have an op in common.
    #[inline]
    pub fn meets(&self, other: &OpSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// The ops of both sets.
    #[must_use]
    pub const fn with(mut self, other: &OpSet) -> OpSet {
        let mut n = 0;
        while n < WORDS {
            self.0[n] |= other.0[n];
            n += 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_are_told_apart() {
        let first = OpSet::of(&[Op::Add, Op::Return]);
        for &op in Op::ALL {
            assert_eq!(first.has(op), matches!(op, Op::Add | Op::Return), "{op}");
            assert_eq!(OpSet::of(&[op]).meets(&first), first.has(op), "{op}");
            let mut one = OpSet::NONE;
            one.insert(op);
            assert_eq!(one, OpSet::of(&[op]));
            assert!(one.with(&first).has(op));
        }
    }
}
