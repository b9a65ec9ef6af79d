//! Memory: values that are not held as they are stored leaf by leaf; blocks of bytes in loops.

use super::Legaliser;
use super::emit::Ask;
use super::held::{Val, Vals};
use super::shape::half_type;
use marquetry_ir::entity::Value;
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use smallvec::smallvec;

/// Most units of a block of bytes that are moved without a loop.
const MAX_UNROLLED: u128 = 8;

impl Legaliser<'_> {
    /// The flags for a part at `offset` of an access to a value of type `whole`.
    fn part_flags(&self, flags: MemFlags, whole: Type, part: Type, offset: u64) -> MemFlags {
        let natural = |ty| self.types.layout(ty).map_or(1, |layout| layout.align);
        let known = flags.align().unwrap_or(natural(whole));
        let here = match offset {
            0 => known,
            _ => known.min(1 << offset.trailing_zeros().min(30)),
        };
        let mut result = MemFlags::plain();
        if here < natural(part) {
            result = result.with_align(here).unwrap_or(result);
        }
        if flags.is_volatile() { result.with_volatile() } else { result }
    }

    /// The pointer moved by a constant number of bytes.
    fn moved(&mut self, pointer: Val, offset: u64) -> Val {
        if offset == 0 {
            return pointer;
        }
        let offset = self.int(Type::I64, u128::from(offset));
        self.op(Op::PtrAdd, &[pointer, offset])
    }

    /// Loads a value of a split type.
    pub(super) fn load_leaves(&mut self, ask: Ask, args: &[Val]) -> Val {
        let Some(&pointer) = args.first() else { return self.zero(ask.ty) };
        let shape = self.shape(ask.ty);
        let mut leaves: Vec<Value> = Vec::with_capacity(shape.leaves.len());
        for &(ty, offset) in &shape.leaves {
            let place = self.moved(pointer, offset);
            let flags = self.part_flags(MemFlags::from_bits(ask.imm), ask.ty, ty, offset);
            let val = self.one(Ask { ty, imm: flags.bits(), ..ask }, &[place]);
            leaves.push(self.leaf(val));
        }
        self.hold(ask.ty, &leaves)
    }

    /// Stores a value of a split type.
    pub(super) fn store_leaves(&mut self, ask: Ask, args: &[Val]) {
        let &[pointer, value] = args else { return };
        let shape = self.shape(value.ty);
        let leaves = self.leaves(value);
        for (&(ty, offset), leaf) in shape.leaves.iter().zip(leaves) {
            let place = self.moved(pointer, offset);
            let flags = self.part_flags(MemFlags::from_bits(ask.imm), value.ty, ty, offset);
            let part = self.hold(ty, &[leaf]);
            self.emit(Ask { imm: flags.bits(), ..ask }, &[place, part]);
        }
    }

    /// A load or store of a legal type that the target does not load or store: through the integer of as many
    /// bits, lane by lane, or in halves.
    pub(super) fn expand_access(&mut self, ask: Ask, args: &[Val]) -> Option<Vals> {
        let store = ask.op == Op::Store;
        let pointer = *args.first()?;
        let ty = if store { args.get(1)?.ty } else { ask.ty };
        let flags = MemFlags::from_bits(ask.imm);
        if let TypeKind::Vector(lane, lanes) = ty.kind() {
            let lane = Type::scalar(lane);
            let mut loaded = Vec::new();
            for n in 0..lanes {
                let offset = self.types.layout(lane)?.size * u64::from(n);
                let place = self.moved(pointer, offset);
                let imm = self.part_flags(flags, ty, lane, offset).bits();
                if store {
                    let part = self.lane(*args.get(1)?, n);
                    self.emit(Ask { imm, ..ask }, &[place, part]);
                } else {
                    loaded.push(self.one(Ask { ty: lane, imm, ..ask }, &[place]));
                }
            }
            return Some(if store { smallvec![] } else { smallvec![self.vector_of(ty, &loaded)] });
        }
        let (stand_in, there, back) = match ty.kind() {
            TypeKind::Scalar(Scalar::I1) => (Type::I8, Op::Zext, Op::Trunc),
            TypeKind::Pointer(_) => (Type::I64, Op::PtrToInt, Op::IntToPtr),
            TypeKind::Scalar(scalar) if scalar.is_float() => (int_of(ty), Op::Bitcast, Op::Bitcast),
            TypeKind::Scalar(_) => return self.access_halves(ask, args, ty),
            _ => return None,
        };
        if store {
            let value = self.convert(there, stand_in, *args.get(1)?);
            return Some(self.emit(ask, &[pointer, value]));
        }
        let bits = self.one(Ask { ty: stand_in, ..ask }, &[pointer]);
        Some(smallvec![self.convert(back, ty, bits)])
    }

    fn access_halves(&mut self, ask: Ask, args: &[Val], ty: Type) -> Option<Vals> {
        let half = half_type(ty)?;
        let (pointer, bytes) = (*args.first()?, u64::from(half.bits()? / 8));
        let flags = MemFlags::from_bits(ask.imm);
        let mut parts = Vec::new();
        for offset in [0, bytes] {
            let place = self.moved(pointer, offset);
            let imm = self.part_flags(flags, ty, half, offset).bits();
            if let Some(&value) = args.get(1) {
                let shifted = self.shift(Op::ShrU, value, offset as u32 * 8);
                let part = self.trunc(half, shifted);
                self.emit(Ask { imm, ..ask }, &[place, part]);
            } else {
                let part = self.one(Ask { ty: half, imm, ..ask }, &[place]);
                let wide = self.zext(ty, part);
                parts.push(self.shift(Op::Shl, wide, offset as u32 * 8));
            }
        }
        match *parts {
            [low, high] => Some(smallvec![self.or(low, high)]),
            _ => Some(smallvec![]),
        }
    }

    /// `memcpy` or `memset` as loads and stores: by the largest unit that the alignment and a known length allow,
    /// in a loop unless there are few.
    pub(super) fn memory_loop(&mut self, ask: Ask, args: &[Val]) {
        let &[to, from, count] = args else { return };
        let flags = MemFlags::from_bits(ask.imm);
        let (align, known) = (flags.align().unwrap_or(1), self.const_bits(count));
        let fits = |unit: &u32| align >= *unit && known.is_some_and(|bits| bits % u128::from(*unit) == 0);
        let unit = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
        let ty = match unit {
            8 => Type::I64,
            4 => Type::I32,
            2 => Type::I16,
            _ => Type::I8,
        };
        let copied = ask.op == Op::MemCopy;
        let mut fill = from;
        if !copied && unit > 1 {
            let wide = self.zext(ty, from);
            let ones = self.int(ty, 0x0101_0101_0101_0101);
            fill = self.mul(wide, ones);
        }
        let plain = MemFlags::plain();
        let imm = if flags.is_volatile() { plain.with_volatile() } else { plain }.bits();
        let one_unit = |l: &mut Self, offset: Val| {
            let value = if copied {
                let place = l.op(Op::PtrAdd, &[from, offset]);
                l.one(Ask { ty, imm, ..Ask::plain(Op::Load) }, &[place])
            } else {
                fill
            };
            let place = l.op(Op::PtrAdd, &[to, offset]);
            l.emit(Ask::with_imm(Op::Store, imm), &[place, value]);
        };
        if let Some(bytes) = known.filter(|&bytes| bytes <= MAX_UNROLLED * u128::from(unit)) {
            for n in 0..bytes / u128::from(unit) {
                let offset = self.int(Type::I64, n * u128::from(unit));
                one_unit(self, offset);
            }
            return;
        }
        let start = self.int(Type::I64, 0);
        self.loop_while(
            &[start],
            |l, state| l.lt_u(state[0], count),
            |l, state| {
                one_unit(l, state[0]);
                let step = l.int(Type::I64, u128::from(unit));
                vec![l.add(state[0], step)]
            },
        );
    }
}

/// The integer type, or vector of integers, with as many bits as a float or vector of floats.
pub(super) fn int_of(ty: Type) -> Type {
    let lane = match ty.lane().map(Scalar::bits) {
        Some(16) => Scalar::I16,
        Some(32) => Scalar::I32,
        Some(64) => Scalar::I64,
        Some(128) => Scalar::I128,
        Some(8) => Scalar::I8,
        _ => Scalar::I1,
    };
    ty.with_lane(lane)
}
