//! Emission of one op: the question to the target, and what follows from the answer.
//!
//! A [`Val`] is a value of the language, held as the legal leaves of its type. [`Legaliser::emit`] takes values of
//! any type: it splits what has no legal type, asks the target about what has, and appends what is legal. An
//! expansion is a formula over the same function, so that what it needs is asked about in turn.

use super::shape::Split;
use super::{Legaliser, MAX_DEPTH};
use crate::failure::Failure;
use crate::target::Action;
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::limits::{MAX_INSTS, MAX_VALUES};
use marquetry_ir::op::{Op, Rule};
use marquetry_ir::semantics::vector::lane_scalar;
use marquetry_ir::semantics::{Outcome, const_lanes, scalar};
use marquetry_ir::types::{Scalar, Type, TypeKind};
use smallvec::{SmallVec, smallvec};

/// A value of the language: its type, and where its leaves stand in the function's list of parts.
#[derive(Copy, Clone, Debug)]
pub(super) struct Val {
    pub ty: Type,
    pub first: u32,
}

/// The results of one op.
pub(super) type Vals = SmallVec<[Val; 2]>;

/// An op with what it needs besides operands.
#[derive(Copy, Clone, Debug)]
pub(super) struct Ask {
    pub op: Op,
    /// Type suffix.
    pub ty: Type,
    pub imm: u32,
    pub guarded: bool,
}

impl Ask {
    pub(super) fn plain(op: Op) -> Self {
        Ask { op, ty: Type::UNKNOWN, imm: 0, guarded: true }
    }

    pub(super) fn suffixed(op: Op, ty: Type) -> Self {
        Ask { ty, ..Self::plain(op) }
    }

    pub(super) fn with_imm(op: Op, imm: u32) -> Self {
        Ask { imm, ..Self::plain(op) }
    }
}

/// The types that an op's results have, for ops that compute values.
pub(super) fn result_types(ask: Ask, args: &[Val]) -> SmallVec<[Type; 2]> {
    let arg = |n: usize| args.get(n).map_or(Type::ERROR, |v: &Val| v.ty);
    match ask.op.info().rule {
        Rule::Overflow => smallvec![arg(0), arg(0).mask_type()],
        Rule::CompareAny | Rule::CompareInt | Rule::CompareFloat => {
            smallvec![if arg(0).is_pointer() { Type::I1 } else { arg(0).mask_type() }]
        }
        Rule::Select => smallvec![arg(1)],
        Rule::Truncate
        | Rule::Extend
        | Rule::FloatConvert
        | Rule::FloatToInt
        | Rule::IntToFloat
        | Rule::Bitcast
        | Rule::PointerToInt
        | Rule::IntToPointer
        | Rule::SpaceCast
        | Rule::Splat
        | Rule::Make
        | Rule::GlobalAddress
        | Rule::Load => smallvec![ask.ty],
        Rule::Extract
        | Rule::ReduceNumber
        | Rule::ReduceInt
        | Rule::ReduceBits
        | Rule::ReduceFloat => smallvec![arg(0).lane().map_or(Type::ERROR, Type::scalar)],
        Rule::CompareExchange => smallvec![arg(1), Type::I1],
        Rule::AtomicAny | Rule::AtomicInt | Rule::AtomicNumber | Rule::AtomicFloat => match ask.op {
            Op::AtomicLoad => smallvec![ask.ty],
            Op::AtomicStore => smallvec![],
            _ => smallvec![arg(1)],
        },
        Rule::Store
        | Rule::MemoryCopy
        | Rule::MemorySet
        | Rule::Nothing
        | Rule::Call
        | Rule::CallIndirect
        | Rule::Terminator
        | Rule::Assert => smallvec![],
        Rule::WorkItem => smallvec![Type::I32],
        Rule::Clock | Rule::SubgroupBallot => smallvec![Type::I64],
        _ => smallvec![arg(0)],
    }
}

/// The two types that the target is asked about; see the trait.
pub(super) fn asked_types(op: Op, args: &[Type], results: &[Type]) -> (Type, Type) {
    let arg = |n: usize| args.get(n).copied();
    let from = match op.info().rule {
        Rule::Select
        | Rule::Store
        | Rule::AtomicInt
        | Rule::AtomicNumber
        | Rule::AtomicFloat
        | Rule::CompareExchange => arg(1),
        Rule::AtomicAny if op != Op::AtomicLoad => arg(1),
        _ => arg(0),
    };
    let from = from.or(results.first().copied()).unwrap_or(Type::I32);
    (from, results.first().copied().unwrap_or(from))
}

/// Values and their parts.
impl Legaliser<'_> {
    /// The value made of these leaves.
    pub(super) fn hold(&mut self, ty: Type, leaves: &[Value]) -> Val {
        let first = self.f.parts.len() as u32;
        if self.f.parts.len() + leaves.len() > MAX_VALUES {
            let found = (self.f.parts.len() + leaves.len()) as u64;
            self.fail(Failure::Limit { what: "values of one function", limit: MAX_VALUES as u64, found });
            return Val { ty, first: 0 };
        }
        self.f.parts.extend_from_slice(leaves);
        Val { ty, first }
    }

    /// The leaves of a value.
    pub(super) fn leaves(&mut self, val: Val) -> SmallVec<[Value; 4]> {
        let count = self.shape(val.ty).leaves.len();
        let first = val.first as usize;
        let mut leaves: SmallVec<[Value; 4]> =
            self.f.parts.get(first..first + count).unwrap_or(&[]).into();
        while leaves.len() < count {
            // Only after a failure was noted: something to go on with.
            leaves.push(self.f.body.make_scalar(Type::I32, 0));
        }
        leaves
    }

    /// The one leaf of a value of legal type.
    pub(super) fn leaf(&mut self, val: Val) -> Value {
        match self.f.parts.get(val.first as usize) {
            Some(&value) => value,
            None => self.f.body.make_scalar(val.ty, 0),
        }
    }

    /// Part `n` of a value that is split: a field, a lane, a half.
    pub(super) fn part(&mut self, val: Val, n: usize) -> Val {
        let shape = self.shape(val.ty);
        let ty = match shape.split {
            Split::Leaf => val.ty,
            Split::Fields => self.types.field_type(val.ty, n as u64).unwrap_or(Type::ERROR),
            Split::Lanes | Split::Halves => shape.part,
        };
        let offset = shape.starts.get(n).copied().unwrap_or(0);
        Val { ty, first: val.first + offset }
    }

    /// The value of a split type made of its parts.
    pub(super) fn join(&mut self, ty: Type, parts: &[Val]) -> Val {
        let mut leaves: SmallVec<[Value; 8]> = SmallVec::new();
        for &part in parts {
            leaves.extend(self.leaves(part));
        }
        self.hold(ty, &leaves)
    }

    pub(super) fn is_leaf(&mut self, ty: Type) -> bool {
        self.shape(ty).split == Split::Leaf
    }

    /// A zero of any type.
    pub(super) fn zero(&mut self, ty: Type) -> Val {
        let shape = self.shape(ty);
        let leaves: Vec<Value> =
            shape.leaves.iter().map(|&(leaf, _)| self.f.body.make_scalar(leaf, 0)).collect();
        self.hold(ty, &leaves)
    }

    /// A constant from the bits of its lanes.
    pub(super) fn lanes_const(&mut self, ty: Type, lanes: &[u128]) -> Val {
        let shape = self.shape(ty);
        match (shape.split, ty.kind()) {
            (Split::Leaf, TypeKind::Vector(..)) => {
                let value = ConstValue::Lanes(lanes.into());
                let value = self.f.body.make_const(ConstData { ty, value });
                self.hold(ty, &[value])
            }
            (Split::Leaf, _) => {
                let value = self.f.body.make_scalar(ty, lanes.first().copied().unwrap_or(0));
                self.hold(ty, &[value])
            }
            (Split::Fields, _) => self.zero(ty),
            (Split::Halves, TypeKind::Scalar(_)) => {
                let bits = lanes.first().copied().unwrap_or(0);
                let half = shape.part.bits().unwrap_or(64);
                let parts = [0, half].map(|shift| self.lanes_const(shape.part, &[bits >> shift]));
                self.join(ty, &parts)
            }
            (Split::Lanes | Split::Halves, _) => {
                let each = shape.part.lanes() as usize;
                let parts: Vec<Val> = lanes.chunks(each).map(|c| self.lanes_const(shape.part, c)).collect();
                self.join(ty, &parts)
            }
        }
    }

    /// A constant of the body that is being legalised.
    pub(super) fn constant(&mut self, data: &ConstData) -> Val {
        match const_lanes(data) {
            Some(lanes) if !data.ty.is_aggregate() => self.lanes_const(data.ty, &lanes),
            _ => self.zero(data.ty),
        }
    }

    /// An integer (or the bits of a float), in every lane.
    pub(super) fn int(&mut self, ty: Type, bits: u128) -> Val {
        let mask = ty.lane().map_or(u128::from(u64::MAX), Scalar::mask);
        self.lanes_const(ty, &vec![bits & mask; ty.lanes() as usize])
    }

    /// The bits of a scalar constant of any width.
    pub(super) fn const_bits(&mut self, val: Val) -> Option<u128> {
        if val.ty.is_vector() || val.ty.is_aggregate() {
            return None;
        }
        let shape = self.shape(val.ty);
        let mut bits = 0;
        let mut shift = 0;
        for (leaf, &(ty, _)) in self.leaves(val).iter().zip(&shape.leaves) {
            bits |= self.f.body.value_bits(*leaf)? << shift;
            shift += ty.bits()?;
        }
        Some(bits)
    }
}

/// Emission.
impl Legaliser<'_> {
    /// Emits an op with one result.
    pub(super) fn op(&mut self, op: Op, args: &[Val]) -> Val {
        self.one(Ask::plain(op), args)
    }

    /// Emits a conversion.
    pub(super) fn convert(&mut self, op: Op, ty: Type, arg: Val) -> Val {
        if arg.ty == ty { arg } else { self.one(Ask::suffixed(op, ty), &[arg]) }
    }

    /// Emits an op with one result, suffix and all.
    pub(super) fn one(&mut self, ask: Ask, args: &[Val]) -> Val {
        match self.emit(ask, args).first() {
            Some(&val) => val,
            None => self.zero(Type::I32),
        }
    }

    /// Emits an op on values of any type.
    pub(super) fn emit(&mut self, ask: Ask, args: &[Val]) -> Vals {
        let results = result_types(ask, args);
        if self.failure.is_some() || self.depth >= MAX_DEPTH {
            if self.failure.is_none() {
                self.fail(Failure::Internal(format!("the expansion of '{}' does not end", ask.op)));
            }
            return results.iter().map(|&ty| self.zero(ty)).collect();
        }
        self.depth += 1;
        let vals = self.emit_any(ask, args, &results);
        self.depth -= 1;
        vals
    }

    fn emit_any(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Vals {
        let mut split = false;
        for ty in args.iter().map(|arg| arg.ty).chain(results.iter().copied()) {
            let shape = self.shape(ty);
            split |= shape.split != Split::Leaf;
            if let Some(reason) = shape.unsupported {
                self.unsupported_type(ty, reason);
                return results.iter().map(|&ty| self.zero(ty)).collect();
            }
        }
        if let Some(val) = self.fold(ask, args, results) {
            return smallvec![val];
        }
        if matches!(ask.op, Op::Extract | Op::Insert) {
            return smallvec![self.indexed_lane(ask.op, args, results)];
        }
        if split {
            return self.split(ask, args, results);
        }
        let types: SmallVec<[Type; 4]> = args.iter().map(|arg| arg.ty).collect();
        let (from, to) = asked_types(ask.op, &types, results);
        match self.target.action(ask.op, from, to) {
            Action::Legal => self.append_vals(ask, args, results),
            Action::Expand => match self.expand(ask, args, results) {
                Some(vals) => vals,
                None => self.no_expansion(ask.op, from, to, results),
            },
            Action::Promote(wider) => match self.promote(ask, args, results, wider) {
                Some(vals) => vals,
                None => self.no_expansion(ask.op, from, to, results),
            },
            Action::Unsupported(reason) => {
                self.unsupported_op(ask.op, from, to, reason);
                results.iter().map(|&ty| self.zero(ty)).collect()
            }
        }
    }

    fn no_expansion(&mut self, op: Op, from: Type, to: Type, results: &[Type]) -> Vals {
        self.unsupported_op(op, from, to, "it has neither the op nor what it could be made of");
        results.iter().map(|&ty| self.zero(ty)).collect()
    }

    /// An op on values of which at least one has no legal type.
    fn split(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Vals {
        let mut types = args.iter().map(|arg| arg.ty).chain(results.iter().copied());
        match ask.op {
            Op::Load => return smallvec![self.load_leaves(ask, args)],
            Op::Store => {
                self.store_leaves(ask, args);
                return smallvec![];
            }
            _ => {}
        }
        let vals = if types.clone().any(Type::is_aggregate) {
            self.aggregate_op(ask, args)
        } else if types.any(Type::is_vector) {
            self.vector_op(ask, args, results)
        } else {
            self.wide_int_op(ask, args, results)
        };
        match vals {
            Some(vals) => vals,
            None => {
                let types: SmallVec<[Type; 4]> = args.iter().map(|arg| arg.ty).collect();
                let (from, to) = asked_types(ask.op, &types, results);
                self.no_expansion(ask.op, from, to, results)
            }
        }
    }

    /// An op on legal types that the target does not have, in terms of others.
    fn expand(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Vals> {
        let mut types = args.iter().map(|arg| arg.ty).chain(results.iter().copied());
        if matches!(ask.op, Op::MemCopy | Op::MemSet) {
            self.memory_loop(ask, args);
            return Some(smallvec![]);
        }
        if matches!(ask.op.info().rule, Rule::Load | Rule::Store) {
            return self.expand_access(ask, args);
        }
        if types.any(Type::is_vector) {
            return self.expand_vector(ask, args, results);
        }
        if let Some(val) = self.expand_atomic(ask, args) {
            return Some(val);
        }
        let (arg, result) = (args.first().map(|arg| arg.ty), results.first().copied());
        if arg.is_some_and(Type::is_float) || result.is_some_and(Type::is_float) {
            return self.expand_float(ask, args, results);
        }
        self.expand_int(ask, args, results)
    }

    /// Appends a legal op.
    pub(super) fn append_vals(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Vals {
        let leaves: SmallVec<[Value; 4]> = args.iter().map(|&arg| self.leaf(arg)).collect();
        let inst = self.append(ask, &leaves, results);
        let values = self.f.body.results(inst);
        values.zip(results).map(|(value, &ty)| self.hold(ty, &[value])).collect()
    }

    /// Appends an instruction to the current block.
    pub(super) fn append(&mut self, ask: Ask, args: &[Value], results: &[Type]) -> Inst {
        let count = self.f.body.inst_count();
        if count >= MAX_INSTS {
            let found = count as u64 + 1;
            self.fail(Failure::Limit { what: "instructions of one function", limit: MAX_INSTS as u64, found });
        }
        let body = &mut self.f.body;
        let inst = body.make_inst(ask.op, ask.ty, args, ask.imm);
        body.make_results(inst, results);
        body.set_span(inst, self.f.span);
        let divides = matches!(ask.op, Op::DivS | Op::DivU | Op::RemS | Op::RemU);
        body.inst_mut(inst).guarded = ask.guarded && divides;
        body.append_inst(inst, self.f.block);
        inst
    }
}

/// What constants settle, so that formulas may be written without thinking of special cases.
impl Legaliser<'_> {
    fn fold(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Option<Val> {
        let &[result] = results else { return None };
        let (first, second) = (*args.first()?, args.get(1).copied());
        if ask.op == Op::Select {
            let (yes, no) = (second?, *args.get(2)?);
            return match self.const_bits(first) {
                Some(0) => Some(no),
                Some(_) => Some(yes),
                None => (self.leaves(yes) == self.leaves(no)).then_some(yes),
            };
        }
        if ask.op == Op::Bitcast && first.ty == result {
            return Some(first);
        }
        if result.is_vector() || !ask.op.effects().is_pure() && !ask.guarded {
            return None;
        }
        let mut bits: SmallVec<[Option<u128>; 4]> = SmallVec::new();
        for &arg in args {
            bits.push(self.const_bits(arg));
        }
        if let Some(bits) = bits.iter().copied().collect::<Option<SmallVec<[u128; 4]>>>() {
            let (from, to) = (lane_scalar(first.ty)?, lane_scalar(result)?);
            if result.is_pointer() || first.ty.is_pointer() {
                return None;
            }
            return match scalar(ask.op, from, to, &bits)? {
                Outcome::Value(bits) => Some(self.int(result, bits)),
                Outcome::Pair(..) | Outcome::Throws(_) => None,
            };
        }
        if !first.ty.is_int() {
            return None;
        }
        let ones = first.ty.lane().map_or(0, Scalar::mask);
        let width = u128::from(first.ty.bits().unwrap_or(1));
        match (ask.op, bits.first().copied().flatten(), bits.get(1).copied().flatten()) {
            (Op::Add | Op::Or | Op::Xor, Some(0), _) => second,
            (Op::Add | Op::Sub | Op::Or | Op::Xor, _, Some(0)) => Some(first),
            (Op::Shl | Op::ShrU | Op::ShrS, _, Some(count)) if count % width == 0 => Some(first),
            (Op::And | Op::Mul | Op::Shl | Op::ShrU, Some(0), _) => Some(first),
            (Op::And | Op::Mul, _, Some(0)) => second,
            (Op::And, Some(bits), _) if bits == ones => second,
            (Op::And, _, Some(bits)) if bits == ones => Some(first),
            (Op::Mul, Some(1), _) => second,
            (Op::Mul, _, Some(1)) => Some(first),
            _ => None,
        }
    }
}

/// Formulas.
macro_rules! formulas {
    ($($name:ident = $op:ident),* $(,)?) => {
        /// The ops that expansions are written in, by name.
        impl Legaliser<'_> {
            $(pub(super) fn $name(&mut self, a: Val, b: Val) -> Val { self.op(Op::$op, &[a, b]) })*
        }
    };
}

formulas! {
    add = Add, sub = Sub, mul = Mul, and = And, or = Or, xor = Xor, shl = Shl, shr_u = ShrU,
    eq = Eq, ne = Ne, lt_s = LtS, gt_s = GtS, ge_s = GeS, lt_u = LtU, gt_u = GtU, ge_u = GeU,
    min_s = MinS, max_s = MaxS, max_u = MaxU,
    lt = Lt, gt = Gt, ge = Ge, one_of = One, uno = Uno,
}

impl Legaliser<'_> {
    pub(super) fn not(&mut self, a: Val) -> Val {
        self.op(Op::Not, &[a])
    }

    pub(super) fn select(&mut self, condition: Val, yes: Val, no: Val) -> Val {
        self.op(Op::Select, &[condition, yes, no])
    }

    pub(super) fn zext(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Zext, ty, a)
    }

    pub(super) fn sext(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Sext, ty, a)
    }

    pub(super) fn trunc(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Trunc, ty, a)
    }

    pub(super) fn bitcast(&mut self, ty: Type, a: Val) -> Val {
        self.convert(Op::Bitcast, ty, a)
    }

    /// An integer in another width: low bits, or filled with zeros.
    pub(super) fn resize(&mut self, ty: Type, a: Val) -> Val {
        let bits = |ty: Type| ty.lane().map_or(64, Scalar::bits);
        if bits(ty) < bits(a.ty) { self.trunc(ty, a) } else { self.zext(ty, a) }
    }

    /// Shifts by a constant.
    pub(super) fn shift(&mut self, op: Op, a: Val, count: u32) -> Val {
        let count = self.int(a.ty, u128::from(count));
        self.op(op, &[a, count])
    }

    /// Whether a signed integer is below zero.
    pub(super) fn negative(&mut self, a: Val) -> Val {
        let zero = self.int(a.ty, 0);
        self.lt_s(a, zero)
    }
}
