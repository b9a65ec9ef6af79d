//! Emission of one op: the question to the target, and what follows from the answer.
//!
//! [`Legaliser::emit`] takes values of any type: it splits what has no legal type, asks the target about what has,
//! and appends what is legal. An expansion is a formula over the same function, so that what it needs is asked about
//! in turn.

use super::held::{Val, Vals};
use super::shape::Split;
use super::{Legaliser, MAX_DEPTH};
use crate::failure::Failure;
use crate::target::{Action, Target};
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::limits::MAX_INSTS;
use marquetry_ir::op::{Op, Rule};
use marquetry_ir::types::Type;
use smallvec::{SmallVec, smallvec};

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
        Rule::Extract | Rule::ReduceNumber | Rule::ReduceInt | Rule::ReduceBits | Rule::ReduceFloat => {
            smallvec![arg(0).lane().map_or(Type::ERROR, Type::scalar)]
        }
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
        | Rule::Throw
        | Rule::StaticAssert
        | Rule::Assert => smallvec![],
        Rule::WorkItem => smallvec![Type::I32],
        Rule::Clock | Rule::SubgroupBallot => smallvec![Type::I64],
        _ => smallvec![arg(0)],
    }
}

/// The two types that the target is asked about; see the trait.
pub(super) fn asked_types(op: Op, args: &[Type], results: &[Type]) -> (Type, Type) {
    asked_of(op, |n| args.get(n).copied(), results.first().copied())
}

/// As [`asked_types`], of operands that are asked for and the first result.
#[inline]
pub(super) fn asked_of(op: Op, arg: impl Fn(usize) -> Option<Type>, result: Option<Type>) -> (Type, Type) {
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
    let from = from.or(result).unwrap_or(Type::I32);
    (from, result.unwrap_or(from))
}

/// What a target says about an op; blocks of bytes are a matter of its capabilities, too.
pub(super) fn answer(target: &dyn Target, op: Op, from: Type, to: Type) -> Action {
    match op {
        Op::MemCopy | Op::MemSet if !target.caps().memory_ops => Action::Expand,
        _ => target.action(op, from, to),
    }
}

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
        match answer(self.target, ask.op, from, to) {
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
            self.too_much("instructions of one function", MAX_INSTS as u64, found);
        }
        let body = &mut self.f.body;
        let inst = body.make_inst(ask.op, ask.ty, args, ask.imm);
        body.make_results(inst, results);
        body.set_origin(inst, self.f.origin);
        let divides = matches!(ask.op, Op::DivS | Op::DivU | Op::RemS | Op::RemU);
        body.set_guarded(inst, ask.guarded && divides);
        body.append_inst(inst, self.f.block);
        inst
    }
}
