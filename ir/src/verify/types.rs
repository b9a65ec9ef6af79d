//! Types of operands, results and constants.

use crate::body::ValueDef;
use crate::constant::{ConstData, ConstValue};
use crate::diag::Code;
use crate::entity::{Block, Const, Inst, SigRef, Value};
use crate::infer::{ResultTypes, TypeMismatch, infer_with};
use crate::op::{Op, Shape};
use crate::text::mismatch_message;
use crate::types::{Scalar, Type, TypeKind};
use crate::verify::Results;
use crate::verify::report::Checker;

impl Checker<'_> {
    /// Checks all instructions, definitions before uses as far as they dominate them.
    pub(super) fn types(&mut self) {
        let sequence = std::mem::take(&mut self.facts.sequence);
        for &block in &sequence {
            if self.report.is_full() {
                break;
            }
            self.block_types(block);
        }
        self.facts.sequence = sequence;
    }

    fn block_types(&mut self, block: Block) {
        let body = self.body;
        let is_entry = body.entry() == Some(block);
        for &param in body.block_params(block) {
            // The entry's are the signature's, which is checked by itself.
            if let Some((code, problem)) = self.settled_type_problem(body.value_type(param)) {
                self.facts.failed.insert(param);
                if !is_entry {
                    let message = format!("block parameter {} {problem}", self.value_name(param));
                    self.at_param(code, param, message);
                }
            }
        }
        for inst in body.block_insts(block) {
            if self.report.is_full() {
                return;
            }
            self.instruction(inst);
        }
    }

    /// Whether an instruction has nothing that any check of its types could object to: an ordinary op on as many operands
    /// as it takes, whose constants were looked at, with results of types that need no table, as they were inferred. Most
    /// are; all others are checked one by one.
    fn is_plain(&self, inst: Inst) -> bool {
        let body = self.body;
        let data = body.inst(inst);
        let is_settled = |ty: Type| ty.is_scalar() || ty.is_pointer();
        let (wanted, has_suffix) = match data.op.info().shape {
            Shape::Dimension => (0, false),
            Shape::Unary => (1, false),
            Shape::Binary => (2, false),
            Shape::Ternary => (3, false),
            Shape::Convert => (1, true),
            Shape::Index => (2, true),
            // Without flags there is nothing to spell.
            Shape::Load if data.imm == 0 => (1, true),
            Shape::Store if data.imm == 0 => (2, false),
            _ => return false,
        };
        let args = body.args(inst);
        let is_known = |value: Value| {
            !matches!(body.value_def(value), ValueDef::Const(_)) || self.facts.seen_consts.contains(value)
        };
        args.len() == wanted
            && (!has_suffix || is_settled(data.ty))
            && args.iter().all(|&value| is_known(value))
            && body.results(inst).all(|value| is_settled(body.value_type(value)))
    }

    fn instruction(&mut self, inst: Inst) {
        let body = self.body;
        if self.results == Results::JustInferred && self.is_plain(inst) {
            return;
        }
        let mask = self.constants(inst);
        if !self.complete && body.inst(inst).op.info().shape != Shape::Call {
            let mut pack = false;
            body.visit_operands(inst, |value| pack |= self.types.as_pack(body.value_type(value)).is_some());
            if pack {
                let op = body.inst(inst).op;
                let message = format!("{op}: a pack can only be an argument of a call");
                self.at_inst(Code::TypeMismatch, inst, message);
            }
        }
        // All of these speak for themselves; only if none did, the type rule is asked.
        let arity = self.arity(inst);
        let suffix = self.suffix(inst);
        let mention = self.mention(inst);
        let flags = self.memory_flags(inst);
        let sound = mask && arity && suffix && mention && flags;
        let is_call = body.inst(inst).op.info().shape == Shape::Call;
        let believed = sound && !is_call && self.results == Results::JustInferred;
        match if sound && !believed { self.infer(inst) } else { None } {
            Some(results) => self.results(inst, &results),
            None if believed => self.inferred_results(inst),
            None => body.results(inst).for_each(|value| {
                self.facts.failed.insert(value);
            }),
        }
        if arity {
            self.edges(inst);
        }
    }

    /// Whether the types of results that were inferred are known.
    fn inferred_results(&mut self, inst: Inst) {
        let body = self.body;
        for value in body.results(inst) {
            if let Some((code, problem)) = self.type_problem(body.value_type(value)) {
                let message = format!("result {} {problem}", self.value_name(value));
                self.at_inst(code, inst, message);
                self.facts.failed.insert(value);
            }
        }
    }

    /// What the op computes; none if it was reported that it cannot.
    fn infer(&mut self, inst: Inst) -> Option<ResultTypes> {
        let op = self.body.inst(inst).op;
        if op.info().shape == Shape::Call && self.complete {
            return self.callee_results(inst);
        }
        match infer_with(self.body, self.types, inst, |value| self.value_type(value)) {
            Ok(results) => Some(results),
            Err(mismatch) => {
                let message = mismatch_message(self.types, op, &mismatch);
                self.at_inst(Code::TypeMismatch, inst, message);
                None
            }
        }
    }

    /// Whether there are as many operands as the shape asks for.
    fn arity(&mut self, inst: Inst) -> bool {
        let op = self.body.inst(inst).op;
        let found = self.body.args(inst).len();
        let wanted = match op.info().shape {
            Shape::Nullary
            | Shape::Dimension
            | Shape::GlobalAddress
            | Shape::Slot
            | Shape::Query
            | Shape::Scratch
            | Shape::Input
            | Shape::Fence
            | Shape::FunctionAddress
            | Shape::Jump => 0,
            Shape::Unary
            | Shape::Convert
            | Shape::FieldAddress
            | Shape::Load
            | Shape::AtomicLoad
            | Shape::Branch
            | Shape::Switch
            | Shape::StaticAssert => 1,
            Shape::Binary | Shape::Shuffle | Shape::Index | Shape::Store => 2,
            Shape::Ternary | Shape::Memory => 3,
            Shape::Field if op == Op::SetField => 2,
            Shape::Field => 1,
            Shape::Atomic if op == Op::CompareExchange => 3,
            Shape::Atomic => 2,
            // Their own checks know: fields, signatures, results of the function.
            Shape::Make | Shape::Call | Shape::CallIndirect | Shape::Return => return true,
            Shape::Print | Shape::Throw | Shape::Assert => return true,
        };
        if found != wanted {
            let message = mismatch_message(self.types, op, &TypeMismatch::Count { found, wanted });
            self.at_inst(Code::TypeMismatch, inst, message);
        }
        found == wanted
    }

    /// Whether the type suffix, or the signature of an indirect call, is settled.
    fn suffix(&mut self, inst: Inst) -> bool {
        let data = self.body.inst(inst);
        let problem = match data.op.info().shape {
            Shape::Convert
            | Shape::Make
            | Shape::Index
            | Shape::FieldAddress
            | Shape::GlobalAddress
            | Shape::Slot
            | Shape::Query
            | Shape::Scratch
            | Shape::Input
            | Shape::Load
            | Shape::AtomicLoad => self.settled_type_problem(data.ty),
            Shape::CallIndirect => {
                let signature = self.body.signature(SigRef::from_u32(data.imm));
                if signature.params.len() + 1 != self.body.args(inst).len() {
                    // The type rule says so; a long list must not be read for short instructions.
                    return true;
                }
                // In a program, parameters are the arguments' types: dispatch may have to find them out.
                let params = signature.params.iter().find_map(|&ty| self.type_problem(ty));
                params.or_else(|| signature.results.iter().find_map(|&ty| self.settled_type_problem(ty)))
            }
            _ => None,
        };
        match problem {
            Some((code, problem)) => {
                self.at_inst(code, inst, format!("{}: suffix {problem}", data.op));
                false
            }
            None => true,
        }
    }

    /// Whether the declared results are what the op computes.
    fn results(&mut self, inst: Inst, computed: &[Type]) {
        let body = self.body;
        let found = body.results(inst).len();
        if found != computed.len() {
            let op = body.inst(inst).op;
            let message = format!("{op}: {found} results, expected {}", computed.len());
            self.at_inst(Code::Results, inst, message);
            body.results(inst).for_each(|value| {
                self.facts.failed.insert(value);
            });
            return;
        }
        for (value, &wanted) in body.results(inst).zip(computed) {
            let declared = body.value_type(value);
            if let Some((code, problem)) = self.type_problem(declared) {
                // Not known because an operand is wrong: that was said already.
                if !body.args(inst).iter().any(|&arg| self.facts.failed.contains(arg)) {
                    let message = format!("result {} {problem}", self.value_name(value));
                    self.at_inst(code, inst, message);
                }
                self.facts.failed.insert(value);
            } else if wanted.is_known() && declared.is_known() && declared != wanted {
                let (declared, wanted) = (self.types.display(declared), self.types.display(wanted));
                let name = self.value_name(value);
                let message = format!("result {name} has type {declared}, but the op computes {wanted}");
                self.at_inst(Code::ResultType, inst, message);
                self.facts.failed.insert(value);
            }
        }
    }

    /// Checks the constants that an instruction mentions, each once; whether a mask is one.
    fn constants(&mut self, inst: Inst) -> bool {
        let body = self.body;
        let edges = body.targets(inst).iter().map(|&call| body.target_args(call));
        for args in std::iter::once(body.args(inst)).chain(edges) {
            for &value in args {
                if let ValueDef::Const(id) = body.value_def(value)
                    && self.facts.seen_consts.insert(value)
                {
                    self.constant(inst, value, id);
                }
            }
        }
        let data = body.inst(inst);
        if data.op == Op::Shuffle {
            let mask = body.constant(Const::from_u32(data.imm));
            let well_formed = mask.ty.is_vector() && mask.ty.lane() == Some(Scalar::I32) && fits(mask);
            if !well_formed {
                self.at_inst(Code::Constant, inst, "mask is not a vector of i32".into());
            }
            return well_formed;
        }
        true
    }

    /// Whether the value of a constant depends on type variables.
    fn fits_later(&self, data: &ConstData) -> bool {
        let open = matches!(data.value, ConstValue::Variable(_));
        !self.complete && (data.ty.is_generic() || (open && data.ty.lane().is_some()))
    }

    fn constant(&mut self, inst: Inst, value: Value, id: Const) {
        let data = self.body.constant(id);
        let declared = self.body.value_type(value);
        let problem = self.settled_type_problem(declared).or_else(|| {
            (declared != data.ty || !(fits(data) || self.fits_later(data))).then(|| {
                let ty = self.types.display(declared);
                (Code::Constant, format!("is no value of its type {ty}"))
            })
        });
        if let Some((code, problem)) = problem {
            self.facts.failed.insert(value);
            self.at_inst(code, inst, format!("constant {value} {problem}"));
        }
    }
}

/// Whether the value of a constant is one of its type.
fn fits(data: &ConstData) -> bool {
    match (data.ty.kind(), &data.value) {
        (TypeKind::Scalar(scalar), ConstValue::Scalar(bits)) => bits & !scalar.mask() == 0,
        (TypeKind::Pointer(_), ConstValue::Scalar(bits)) => bits & !Scalar::I64.mask() == 0,
        (TypeKind::Vector(lane, count), ConstValue::Lanes(lanes)) => {
            lanes.len() == count as usize && lanes.iter().all(|bits| bits & !lane.mask() == 0)
        }
        (TypeKind::Aggregate(_), ConstValue::Zero) => true,
        _ => false,
    }
}
