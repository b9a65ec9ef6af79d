//! Atomics that the target lacks: floats as bits, read-modify-writes as loops around `cmpxchg`.

use super::Legaliser;
use super::emit::Ask;
use super::held::{Val, Vals};
use super::memory::int_of;
use marquetry_ir::inst::{MemFlags, Order};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::rmw_op;
use marquetry_ir::types::Type;
use smallvec::smallvec;

impl Legaliser<'_> {
    /// An atomic (or a sub-group op on a type that it does not take) in terms of others; none for everything else.
    pub(super) fn expand_atomic(&mut self, ask: Ask, args: &[Val]) -> Option<Vals> {
        let val = match (ask.op, args) {
            (Op::AtomicLoad, &[pointer]) if ask.ty.is_float() => {
                let bits = self.one(Ask { ty: int_of(ask.ty), ..ask }, &[pointer]);
                self.bitcast(ask.ty, bits)
            }
            (Op::AtomicLoad, &[pointer]) => {
                // Exchanging 0 for 0 changes nothing.
                let zero = self.zero(ask.ty);
                let swap = Ask { ty: Type::UNKNOWN, op: Op::CompareExchange, ..ask };
                *self.emit(swap, &[pointer, zero, zero]).first()?
            }
            (Op::AtomicStore, &[pointer, value]) => {
                self.emit(Ask { op: Op::RmwExchange, ..ask }, &[pointer, value]);
                return Some(smallvec![]);
            }
            (Op::RmwExchange, &[pointer, value]) if value.ty.is_float() => {
                let bits = self.bitcast(int_of(value.ty), value);
                let old = self.one(ask, &[pointer, bits]);
                self.bitcast(value.ty, old)
            }
            (Op::RmwExchange, &[pointer, value]) => self.exchange_loop(ask, pointer, value.ty, |_, _| value),
            (Op::RmwSub, &[pointer, value]) => {
                let negated = self.op(Op::Neg, &[value]);
                self.one(Ask { op: Op::RmwAdd, ..ask }, &[pointer, negated])
            }
            (op, &[pointer, value]) => {
                if let Some(compute) = rmw_op(op) {
                    self.exchange_loop(ask, pointer, value.ty, |l, old| l.op(compute, &[old, value]))
                } else {
                    self.expand_subgroup(ask, args)?
                }
            }
            _ => return None,
        };
        Some(smallvec![val])
    }

    /// Tries until nobody interferes: load, compute, exchange if still the same. Gives the old value.
    fn exchange_loop(
        &mut self,
        ask: Ask,
        pointer: Val,
        ty: Type,
        compute: impl FnOnce(&mut Self, Val) -> Val,
    ) -> Val {
        let flags = MemFlags::from_bits(ask.imm);
        let raw = int_of(ty);
        let relaxed = MemFlags::atomic(Order::Relaxed, flags.scope()).bits();
        let first = self.one(Ask { ty: raw, imm: relaxed, ..Ask::plain(Op::AtomicLoad) }, &[pointer]);
        let again = self.f.body.make_block();
        self.f.body.insert_block_after(again, self.f.block);
        let leaf = self.leaf(first);
        let edge = self.f.body.make_block_call(again, &[leaf]);
        self.terminate(Op::Jump, 0, &[], &[edge]);
        self.f.block = again;
        let old = self.block_param(again, raw);
        let old_value = self.bitcast(ty, old);
        let new = compute(self, old_value);
        let new = self.bitcast(raw, new);
        let swap = Ask::with_imm(Op::CompareExchange, ask.imm);
        let outcome = self.emit(swap, &[pointer, old, new]);
        let &[found, done] = outcome.as_slice() else { return old_value };
        let exit = self.new_block();
        let (found_leaf, done) = (self.leaf(found), self.leaf(done));
        let leave = self.f.body.make_block_call(exit, &[]);
        let repeat = self.f.body.make_block_call(again, &[found_leaf]);
        self.terminate(Op::Branch, 0, &[done], &[leave, repeat]);
        self.f.block = exit;
        self.bitcast(ty, found)
    }

    /// Sub-group shuffles of types that the target does not shuffle: floats as bits, 64 bits in two halves.
    fn expand_subgroup(&mut self, ask: Ask, args: &[Val]) -> Option<Val> {
        let &[value, lane] = args else { return None };
        let shuffles = matches!(
            ask.op,
            Op::SubgroupShuffle | Op::SubgroupShuffleXor | Op::SubgroupShuffleUp | Op::SubgroupShuffleDown
        );
        if !shuffles {
            return None;
        }
        if value.ty.is_float() {
            let bits = self.bitcast(int_of(value.ty), value);
            let moved = self.op(ask.op, &[bits, lane]);
            return Some(self.bitcast(value.ty, moved));
        }
        if value.ty != Type::I64 {
            return None;
        }
        let low = self.trunc(Type::I32, value);
        let high = self.shift(Op::ShrU, value, 32);
        let high = self.trunc(Type::I32, high);
        let (low, high) = (self.op(ask.op, &[low, lane]), self.op(ask.op, &[high, lane]));
        let (low, high) = (self.zext(Type::I64, low), self.zext(Type::I64, high));
        let high = self.shift(Op::Shl, high, 32);
        Some(self.or(low, high))
    }
}
