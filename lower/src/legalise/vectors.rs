//! Vectors: in halves or lanes where the target has no such vectors, lane by lane where it has no such op.

use super::Legaliser;
use super::emit::{Ask, result_types};
use super::held::{Val, Vals};
use super::memory::int_of;
use super::shape::Split;
use marquetry_ir::body::ValueDef;
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::Const;
use marquetry_ir::op::Op;
use marquetry_ir::semantics::const_lanes;
use marquetry_ir::semantics::reduce_op;
use marquetry_ir::types::{Type, TypeKind};
use smallvec::{SmallVec, smallvec};

impl Legaliser<'_> {
    /// One lane of a vector; a scalar is its own only lane.
    pub(super) fn lane(&mut self, val: Val, n: u32) -> Val {
        let mut val = val;
        let mut n = n;
        // Halving ends: there are at most 64 lanes.
        loop {
            let TypeKind::Vector(lane, lanes) = val.ty.kind() else { return val };
            match self.shape(val.ty).split {
                Split::Lanes => return self.part(val, n as usize),
                Split::Halves => {
                    let half = lanes / 2;
                    val = self.part(val, usize::from(n >= half));
                    n %= half;
                }
                Split::Leaf | Split::Fields => {
                    let ty = Type::scalar(lane);
                    let leaf = self.leaf(val);
                    if let Some(lanes) = self.f.body.value_const(leaf).and_then(const_lanes) {
                        let bits = lanes.get(n as usize).copied().unwrap_or(0);
                        return self.int(ty, bits);
                    }
                    let index = self.int(Type::I32, u128::from(n));
                    return self.append_one(Op::Extract, &[val, index], ty);
                }
            }
        }
    }

    fn append_one(&mut self, op: Op, args: &[Val], ty: Type) -> Val {
        match self.append_vals(Ask::plain(op), args, &[ty]).first() {
            Some(&val) => val,
            None => self.zero(ty),
        }
    }

    pub(super) fn lanes(&mut self, val: Val) -> Vec<Val> {
        (0..val.ty.lanes()).map(|n| self.lane(val, n)).collect()
    }

    /// The vector (or, for a scalar type, the scalar) of these lanes.
    pub(super) fn vector_of(&mut self, ty: Type, lanes: &[Val]) -> Val {
        if !ty.is_vector() {
            return match lanes.first() {
                Some(&lane) => lane,
                None => self.zero(ty),
            };
        }
        match self.shape(ty).split {
            Split::Lanes => self.join(ty, lanes),
            Split::Halves => {
                let half = self.shape(ty).part;
                let (low, high) = lanes.split_at(lanes.len() / 2);
                let parts = [self.vector_of(half, low), self.vector_of(half, high)];
                self.join(ty, &parts)
            }
            Split::Leaf | Split::Fields => {
                let mut bits = Vec::with_capacity(lanes.len());
                for &lane in lanes {
                    bits.push(self.const_bits(lane));
                }
                let known: Vec<u128> = bits.iter().map(|bits| bits.unwrap_or(0)).collect();
                let mut val = self.lanes_const(ty, &known);
                for (n, (&lane, bits)) in lanes.iter().zip(&bits).enumerate() {
                    if bits.is_none() {
                        let index = self.int(Type::I32, n as u128);
                        val = self.append_one(Op::Insert, &[val, lane, index], ty);
                    }
                }
                val
            }
        }
    }

    /// `extract` and `insert`, on any vector and with any index.
    pub(super) fn indexed_lane(&mut self, op: Op, args: &[Val], results: &[Type]) -> Val {
        let (vector, index) = match *args {
            [vector, index] => (vector, index),
            [vector, _, index] => (vector, index),
            _ => return self.zero(results.first().copied().unwrap_or(Type::ERROR)),
        };
        let count = vector.ty.lanes();
        let known = self.const_bits(index).map(|bits| (bits % u128::from(count)) as u32);
        match (op, known, args) {
            (Op::Extract, Some(n), _) => self.lane(vector, n),
            (Op::Extract, None, _) => {
                let number = self.lane_number(index, count);
                if self.is_leaf(vector.ty) && self.has(op, vector.ty, results) {
                    let ty = results.first().copied().unwrap_or(Type::ERROR);
                    return self.append_one(op, &[vector, number], ty);
                }
                self.pick(vector, number)
            }
            (_, Some(n), &[_, lane, _]) if self.is_leaf(vector.ty) => {
                let index = self.int(Type::I32, u128::from(n));
                self.append_one(op, &[vector, lane, index], vector.ty)
            }
            (_, Some(n), &[_, lane, _]) => {
                let mut lanes = self.lanes(vector);
                if let Some(slot) = lanes.get_mut(n as usize) {
                    *slot = lane;
                }
                self.vector_of(vector.ty, &lanes)
            }
            (_, None, &[_, lane, _]) => {
                let number = self.lane_number(index, count);
                if self.is_leaf(vector.ty) && self.has(op, vector.ty, results) {
                    return self.append_one(op, &[vector, lane, number], vector.ty);
                }
                let mut lanes = self.lanes(vector);
                for (n, slot) in lanes.iter_mut().enumerate() {
                    let n = self.int(Type::I32, n as u128);
                    let here = self.eq(number, n);
                    *slot = self.select(here, lane, *slot);
                }
                self.vector_of(vector.ty, &lanes)
            }
            _ => vector,
        }
    }

    /// Whether the target has an op with dynamic lane numbers.
    fn has(&mut self, op: Op, vector: Type, results: &[Type]) -> bool {
        let to = results.first().copied().unwrap_or(vector);
        self.target.action(op, vector, to) == crate::target::Action::Legal
    }

    /// The lane of a dynamic number: a tree of choices, one level per bit of the number.
    fn pick(&mut self, vector: Val, number: Val) -> Val {
        let mut lanes = self.lanes(vector);
        let mut bit = 0;
        while lanes.len() > 1 {
            let shifted = self.shift(Op::ShrU, number, bit);
            let odd = self.trunc(Type::I1, shifted);
            let pairs: Vec<(Val, Val)> = lanes.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            lanes = pairs
                .into_iter()
                .map(|(even_lane, odd_lane)| self.select(odd, odd_lane, even_lane))
                .collect();
            bit += 1;
        }
        self.vector_of(Type::scalar(vector.ty.lane().unwrap_or(marquetry_ir::types::Scalar::I1)), &lanes)
    }

    /// `shuffle`, whose mask is a constant.
    pub(super) fn shuffle(&mut self, args: &[Val], mask: &[u128]) -> Val {
        let (&[left, right], Some(lane)) = (args, args.first().and_then(|arg| arg.ty.lane())) else {
            return self.zero(Type::I32);
        };
        let Some(ty) = Type::vector(lane, mask.len() as u32) else { return left };
        let legal = self.is_leaf(left.ty) && self.is_leaf(ty);
        if legal && self.has(Op::Shuffle, left.ty, &[ty]) {
            let data = ConstData {
                ty: Type::vector(marquetry_ir::types::Scalar::I32, mask.len() as u32).unwrap_or(Type::I32),
                value: ConstValue::Lanes(mask.into()),
            };
            let constant = self.f.body.make_const(data);
            let id = match self.f.body.value_def(constant) {
                ValueDef::Const(id) => id,
                ValueDef::Result(..) | ValueDef::Param(..) => Const::from_u32(0),
            };
            let vals = self.append_vals(Ask::with_imm(Op::Shuffle, id.as_u32()), &[left, right], &[ty]);
            return vals.first().copied().unwrap_or(left);
        }
        let count = u128::from(left.ty.lanes());
        let lanes: Vec<Val> = mask
            .iter()
            .map(|&n| {
                let source = if n < count { left } else { right };
                self.lane(source, (n % count) as u32)
            })
            .collect();
        self.vector_of(ty, &lanes)
    }

    /// An op with a vector among its operands and results that the target does not hold.
    pub(super) fn vector_op(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        match ask.op {
            Op::Splat => {
                let (&[lane], &[ty]) = (args, results) else { return None };
                let shape = self.shape(ty);
                let part = match shape.split {
                    Split::Lanes => lane,
                    Split::Halves if shape.part.is_vector() => self.convert_splat(shape.part, lane),
                    Split::Halves => lane,
                    Split::Leaf | Split::Fields => return self.expand_vector(ask, args, results),
                };
                let parts = vec![part; shape.starts.len()];
                Some(smallvec![self.join(ty, &parts)])
            }
            _ if reduce_op(ask.op).is_some() || ask.op == Op::Bitcast => {
                self.expand_vector(ask, args, results)
            }
            _ => {
                let mut halves = true;
                for ty in args.iter().map(|arg| arg.ty).chain(results.iter().copied()) {
                    halves &= !ty.is_vector() || self.shape(ty).split == Split::Halves;
                }
                if halves { self.by_halves(ask, args, results) } else { self.by_lanes(ask, args, results) }
            }
        }
    }

    fn convert_splat(&mut self, ty: Type, lane: Val) -> Val {
        self.one(Ask::suffixed(Op::Splat, ty), &[lane])
    }

    /// A lane-wise op on both halves, all of whose vectors are held in halves.
    fn by_halves(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        let mut parts: SmallVec<[Vec<Val>; 2]> = smallvec![Vec::new(); results.len()];
        for n in 0..2 {
            let mut operands: SmallVec<[Val; 4]> = SmallVec::new();
            for &arg in args {
                operands.push(if arg.ty.is_vector() { self.part(arg, n) } else { arg });
            }
            let mut half = ask;
            if half.ty.is_vector() {
                half.ty = self.shape(half.ty).part;
            }
            let vals = self.emit(half, &operands);
            for (part, val) in parts.iter_mut().zip(vals) {
                part.push(val);
            }
        }
        Some(results.iter().zip(&parts).map(|(&ty, parts)| self.join(ty, parts)).collect())
    }

    /// A lane-wise op, lane by lane.
    pub(super) fn by_lanes(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        let count = args.iter().map(|arg| arg.ty.lanes()).max().unwrap_or(1);
        let mut lane_ask = ask;
        if let TypeKind::Vector(lane, _) = ask.ty.kind() {
            lane_ask.ty = Type::scalar(lane);
        }
        let mut lanes: SmallVec<[Vec<Val>; 2]> = smallvec![Vec::new(); results.len()];
        for n in 0..count {
            let mut operands: SmallVec<[Val; 4]> = SmallVec::new();
            for &arg in args {
                operands.push(self.lane(arg, n));
            }
            // Whatever is no lane-wise op has no row here, and must not go in circles.
            if result_types(lane_ask, &operands).len() != results.len() {
                return None;
            }
            let vals = self.emit(lane_ask, &operands);
            for (list, val) in lanes.iter_mut().zip(vals) {
                list.push(val);
            }
        }
        Some(results.iter().zip(&lanes).map(|(&ty, lanes)| self.vector_of(ty, lanes)).collect())
    }

    /// An op on vectors in terms of ops on their lanes.
    pub(super) fn expand_vector(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        if let Some(op) = reduce_op(ask.op) {
            let lanes = self.lanes(*args.first()?);
            let (&first, rest) = lanes.split_first()?;
            let sum = rest.iter().fold(first, |sum, &lane| self.op(op, &[sum, lane]));
            return Some(smallvec![sum]);
        }
        match ask.op {
            Op::Splat => {
                let (&[lane], &[ty]) = (args, results) else { return None };
                let lanes = vec![lane; ty.lanes() as usize];
                Some(smallvec![self.vector_of(ty, &lanes)])
            }
            Op::Bitcast => Some(smallvec![self.repack(*args.first()?, ask.ty)?]),
            Op::Extract | Op::Insert | Op::Shuffle => None,
            _ => self.by_lanes(ask, args, results),
        }
    }

    /// The same bits as another shape: lanes as integers, joined or cut to the other lanes' width.
    fn repack(&mut self, val: Val, ty: Type) -> Option<Val> {
        let (from, to) = (Type::scalar(val.ty.lane()?), Type::scalar(ty.lane()?));
        let (from_int, to_int) = (int_of(from), int_of(to));
        let (narrow, wide) = (from.bits()?, to.bits()?);
        let lanes = self.lanes(val);
        let lanes: Vec<Val> = lanes.into_iter().map(|lane| self.bitcast(from_int, lane)).collect();
        let mut cut = Vec::new();
        if narrow < wide {
            for group in lanes.chunks((wide / narrow) as usize) {
                let mut sum = self.zero(to_int);
                for (n, &lane) in group.iter().enumerate() {
                    let lane = self.zext(to_int, lane);
                    let lane = self.shift(Op::Shl, lane, n as u32 * narrow);
                    sum = self.or(sum, lane);
                }
                cut.push(sum);
            }
        } else {
            for lane in lanes {
                for n in 0..narrow / wide {
                    let shifted = self.shift(Op::ShrU, lane, n * wide);
                    cut.push(self.trunc(to_int, shifted));
                }
            }
        }
        let cut: Vec<Val> = cut.into_iter().map(|lane| self.bitcast(to, lane)).collect();
        Some(self.vector_of(ty, &cut))
    }
}
