//! Constant folding and algebraic identities.
//!
//! Needs control flow. One walk in reverse post-order: operands are simplified before their users, and an
//! instruction is looked at again for as long as a rule fits. Keeps blocks and edges; only constants, existing values
//! or cheaper ops take the place of an instruction. What throws is neither folded nor dropped. After legalisation
//! ([`PassContext::light`]) no rule may make an op that was not there.
//!
//! Constants are computed by [`marquetry_ir::semantics`]; the rules are in the files `simplify_*`, by kind of op.
//! Float rules are those that hold for every operand, infinities, NaN and both zeros included.

use super::PassContext;
use super::effects::splat_bits;
use super::{simplify_address, simplify_arithmetic, simplify_compare, simplify_convert};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, ValueDef};
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Const, Inst, Value};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::semantics::{LaneOutcome, const_from_lanes, const_lanes, lanewise};
use marquetry_ir::types::{Scalar, Type, Types};
use smallvec::SmallVec;

/// What a rule did.
pub(super) enum Change {
    /// No rule fits.
    Nothing,
    /// The result is this value.
    Value(Value),
    /// The instruction is another one now.
    Again,
}

/// How often one instruction is looked at; rules only make progress, this is a safety net.
const MAX_STEPS: usize = 16;

/// How many edges into a block are looked at.
const MAX_EDGES: usize = 4;

/// The body under the rules.
pub(super) struct Rules<'a> {
    pub(super) body: &'a mut Body,
    pub(super) types: &'a Types,
    pub(super) cfg: &'a ControlFlow,
    pub(super) light: bool,
}

/// Simplifies every instruction. Says whether anything changed.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    ctx.find_flow(body);
    let PassContext { types, light, cfg, replacements, .. } = ctx;
    replacements.clear();
    let mut rules = Rules { body, types, cfg, light: *light };
    let mut changed = false;
    for &block in cfg.reverse_post_order() {
        let mut next = rules.body.first_inst(block);
        while let Some(inst) = next {
            next = rules.body.next_inst(inst);
            if !replacements.is_empty() {
                rules.body.rewrite_operands(inst, |value| replacements.resolve(value));
            }
            for _ in 0..MAX_STEPS {
                match rules.step(inst) {
                    Step::Nothing => break,
                    Step::Again => changed = true,
                    Step::Values(values) => {
                        for (result, value) in rules.body.results(inst).zip(values) {
                            replacements.set(result, value);
                        }
                        rules.body.remove_inst(inst);
                        changed = true;
                        break;
                    }
                }
            }
        }
    }
    replacements.finish(body, cfg);
    changed
}

enum Step {
    Nothing,
    Again,
    /// The results are these values; the instruction is not needed.
    Values(SmallVec<[Value; 2]>),
}

impl Rules<'_> {
    fn step(&mut self, inst: Inst) -> Step {
        if let Some(values) = self.fold(inst) {
            return Step::Values(values);
        }
        if self.is_kept_promise(inst) {
            return Step::Values(SmallVec::new());
        }
        match self.identity(inst) {
            Change::Nothing => Step::Nothing,
            Change::Again => Step::Again,
            Change::Value(value) => Step::Values(SmallVec::from_slice(&[value])),
        }
    }

    /// Computes an instruction whose operands are all constants.
    fn fold(&mut self, inst: Inst) -> Option<SmallVec<[Value; 2]>> {
        let data = self.body.inst(inst);
        let (op, imm) = (data.op, data.imm);
        let args = self.body.args(inst);
        if args.is_empty() || !args.iter().all(|&arg| self.body.value_const_id(arg).is_some()) {
            return None;
        }
        let result = self.body.first_result(inst)?;
        let result = self.body.value_type(result);
        let operand = args.get(usize::from(op == Op::Select)).map(|&arg| self.body.value_type(arg))?;
        let mut lanes = SmallVec::<[Box<[u128]>; 3]>::new();
        for &arg in args {
            lanes.push(const_lanes(self.body.value_const(arg)?)?);
        }
        if op.info().shape == Shape::Shuffle {
            let mask = self.body.const_exists(imm).then(|| self.body.constant(Const::from_u32(imm)))?;
            lanes.push(const_lanes(mask)?);
        }
        let slices: SmallVec<[&[u128]; 3]> = lanes.iter().map(|lanes| &**lanes).collect();
        let second = self.body.results(inst).nth(1).map(|value| self.body.value_type(value));
        match lanewise(op, operand, result, &slices)? {
            LaneOutcome::Throws(_) => None,
            LaneOutcome::Value(lanes) => {
                let value = self.body.make_const(const_from_lanes(result, &lanes)?);
                Some(SmallVec::from_slice(&[value]))
            }
            LaneOutcome::Pair(lanes, flags) => {
                let (value, flags) = (const_from_lanes(result, &lanes)?, const_from_lanes(second?, &flags)?);
                Some(SmallVec::from_slice(&[self.body.make_const(value), self.body.make_const(flags)]))
            }
        }
    }

    /// Whether an instruction asserts what is known to hold.
    fn is_kept_promise(&self, inst: Inst) -> bool {
        let condition = self
            .body
            .args(inst)
            .first()
            .filter(|_| matches!(self.body.inst(inst).op, Op::StaticAssert | Op::Assert));
        condition.and_then(|&condition| self.bits(condition)) == Some(1)
    }

    fn identity(&mut self, inst: Inst) -> Change {
        match self.body.inst(inst).op {
            Op::Add | Op::Sub | Op::Mul | Op::Neg | Op::Abs | Op::Div => {
                simplify_arithmetic::number(self, inst)
            }
            Op::DivS | Op::DivU | Op::RemS | Op::RemU => simplify_arithmetic::division(self, inst),
            Op::And | Op::Or | Op::Xor | Op::Not => simplify_arithmetic::bitwise(self, inst),
            Op::Shl | Op::ShrS | Op::ShrU | Op::RotL | Op::RotR => simplify_arithmetic::shift(self, inst),
            Op::MinS | Op::MinU | Op::MaxS | Op::MaxU | Op::Min | Op::Max | Op::MinNumber | Op::MaxNumber => {
                match *self.body.args(inst) {
                    [a, b] if a == b => Change::Value(a),
                    _ => self.constant_last(inst),
                }
            }
            Op::Eq
            | Op::Ne
            | Op::LtS
            | Op::LeS
            | Op::GtS
            | Op::GeS
            | Op::LtU
            | Op::LeU
            | Op::GtU
            | Op::GeU => simplify_compare::compare(self, inst),
            Op::Select => simplify_compare::select(self, inst),
            Op::Trunc | Op::Zext | Op::Sext | Op::FConvert | Op::Bitcast => {
                simplify_convert::convert(self, inst)
            }
            Op::PtrToInt | Op::IntToPtr | Op::SpaceCast => simplify_convert::pointer(self, inst),
            Op::Extract => simplify_convert::extract(self, inst),
            Op::GetField | Op::SetField | Op::Make => simplify_address::aggregate(self, inst),
            Op::PtrAdd | Op::Index | Op::FieldAddress => simplify_address::address(self, inst),
            Op::BoundsCheck => simplify_address::bounds_check(self, inst),
            _ => Change::Nothing,
        }
    }

    /// The instruction that computes a value.
    pub(super) fn def(&self, value: Value) -> Option<(Op, Inst)> {
        let inst = self.body.value_inst(value)?;
        Some((self.body.inst(inst).op, inst))
    }

    /// The operands of the instruction that computes a value, if it is this op of two operands.
    pub(super) fn binary(&self, value: Value, op: Op) -> Option<(Value, Value)> {
        match self.def(value)? {
            (found, inst) if found == op => match *self.body.args(inst) {
                [a, b] => Some((a, b)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a value is what a block parameter is in the next round. Then it is needed anyway, and the parameter, if
    /// it were used beyond it, could not be changed in place.
    pub(super) fn is_next(&self, now: Value, next: Value) -> bool {
        let ValueDef::Param(block, number) = self.body.value_def(now) else { return false };
        let mut edges = self.cfg.predecessors(block).iter().take(MAX_EDGES);
        edges.any(|&(_, edge)| self.body.target_args(edge).get(number as usize) == Some(&next))
    }

    /// The operand of the instruction that computes a value, if it is this op of one operand.
    pub(super) fn unary(&self, value: Value, op: Op) -> Option<Value> {
        match self.def(value)? {
            (found, inst) if found == op => self.body.args(inst).first().copied(),
            _ => None,
        }
    }

    /// The bits of a constant, or of all lanes of a constant whose lanes are equal.
    pub(super) fn bits(&self, value: Value) -> Option<u128> {
        splat_bits(self.body, value)
    }

    /// Type of a value.
    pub(super) fn ty(&self, value: Value) -> Type {
        self.body.value_type(value)
    }

    /// The scalar of a value's lanes; pointers count as `i64`.
    pub(super) fn lane(&self, value: Value) -> Scalar {
        self.ty(value).lane().unwrap_or(Scalar::I64)
    }

    /// The constant with these bits in each lane.
    pub(super) fn constant(&mut self, ty: Type, bits: u128) -> Change {
        Change::Value(self.body.make_scalar(ty, bits))
    }

    /// The instruction computes this instead.
    pub(super) fn rewrite(&mut self, inst: Inst, op: Op, args: &[Value]) -> Change {
        self.rewrite_as(inst, op, Type::ERROR, args)
    }

    /// As [`Rules::rewrite`], with a type suffix.
    pub(super) fn rewrite_as(&mut self, inst: Inst, op: Op, ty: Type, args: &[Value]) -> Change {
        self.body.replace_inst(inst, op, ty, args, 0);
        Change::Again
    }

    /// Puts a constant first operand of a commutative op last.
    pub(super) fn constant_last(&mut self, inst: Inst) -> Change {
        let is_const = |body: &Body, value| body.value_const_id(value).is_some();
        match *self.body.args(inst) {
            [a, b] if is_const(self.body, a) && !is_const(self.body, b) => {
                self.body.args_mut(inst).swap(0, 1);
                Change::Again
            }
            _ => Change::Nothing,
        }
    }

    /// The zero constant of a type, aggregates included.
    pub(super) fn zero(&mut self, ty: Type) -> Change {
        if ty.is_aggregate() {
            return Change::Value(self.body.make_const(ConstData { ty, value: ConstValue::Zero }));
        }
        self.constant(ty, 0)
    }
}
