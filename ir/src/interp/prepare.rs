//! Decoding a function into steps.
//!
//! Types are checked once here, by the rules that the verifier uses, so that running does not ask again. What is
//! wrong becomes a step that reports it when control gets there; the rest of the function still runs.

use super::code::{CONSTANT, Code, List, Operand, Step, Via};
use super::memory::function_address;
use super::value::{Val, filled_ranges, value_bytes};
use crate::body::{Body, Symbol, ValueDef};
use crate::constant::{ConstData, ConstValue};
use crate::entity::{Block, Const, Inst, SigRef, SymbolRef, Value};
use crate::exception::Exception;
use crate::infer::infer;
use crate::inst::{MemFlags, Order};
use crate::op::{Op, Rule, Shape};
use crate::semantics::{rmw_op, vector::lane_scalar};
use crate::signature::Signature;
use crate::types::{Scalar, Space, Type};
use crate::unit::{Function, Unit};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What is wrong with an instruction.
pub(super) type Problem = String;

/// A function of which steps are made.
pub(super) struct Prepare<'a> {
    pub unit: &'a Unit,
    pub function: &'a Function,
    pub body: &'a Body,
    pub code: Code,
    /// The operand that each value is, once known.
    operands: Vec<Option<Operand>>,
    /// The first step of each block.
    pub starts: Vec<Option<u32>>,
    parts: FxHashMap<Type, u32>,
}

/// Decodes a function.
pub(super) fn prepare(unit: &Unit, function: &Function) -> Code {
    let body = &function.body;
    let mut prepare = Prepare {
        unit,
        function,
        body,
        code: Code::default(),
        operands: vec![None; body.value_count()],
        starts: vec![None; body.block_count()],
        parts: FxHashMap::default(),
    };
    prepare.lay_out();
    let blocks: Vec<Block> = body.blocks().take(body.block_count()).collect();
    if blocks.is_empty() {
        prepare.push(Inst::from_u32(0), Err("the function has no blocks".into()));
    }
    for block in blocks {
        for inst in prepare.insts(block) {
            let step = prepare.step(inst);
            prepare.push(inst, step);
        }
        if body.terminator(block).is_none() {
            let last = body.last_inst(block).unwrap_or(Inst::from_u32(0));
            prepare.push(last, Err(format!("{block} has no terminator")));
        }
    }
    prepare.code
}

impl Prepare<'_> {
    fn insts(&self, block: Block) -> Vec<Inst> {
        self.body.block_insts(block).take(self.body.inst_count()).collect()
    }

    /// Gives steps to blocks, and slots to parameters and results.
    fn lay_out(&mut self) {
        let body = self.body;
        let mut next_step = 0;
        for block in body.blocks().take(body.block_count()) {
            self.starts[block.as_u32() as usize] = Some(next_step);
            body.block_params(block).iter().for_each(|&param| self.give_slot(param));
            let insts = self.insts(block);
            for &inst in &insts {
                body.results(inst).for_each(|result| self.give_slot(result));
            }
            next_step += insts.len() as u32 + u32::from(body.terminator(block).is_none());
        }
    }

    fn give_slot(&mut self, value: Value) {
        if let Some(operand) = self.operands.get_mut(value.as_u32() as usize) {
            *operand = Some(self.code.slots);
            self.code.slots += 1;
        }
    }

    fn push(&mut self, inst: Inst, step: Result<Step, Problem>) {
        let step = step.unwrap_or_else(|problem| Step::Malformed { message: self.message(problem.into()) });
        self.code.steps.push(step);
        self.code.insts.push(inst);
    }

    fn message(&mut self, text: Arc<str>) -> u32 {
        self.code.messages.push(text);
        self.code.messages.len() as u32 - 1
    }

    /// The numbers of an exception and of the types of its operands.
    fn exception(&mut self, kind: Arc<str>, reason: Option<Arc<str>>, operands: &[Value]) -> (u32, u32) {
        self.code.thrown.push((kind, reason));
        self.code.printed.push(operands.iter().map(|&value| self.body.value_type(value)).collect());
        (self.code.thrown.len() as u32 - 1, self.code.printed.len() as u32 - 1)
    }

    pub(super) fn value_type(&self, value: Value) -> Type {
        self.body.value_type(value)
    }

    fn constant(&mut self, value: Val) -> Operand {
        self.code.constants.push(value);
        (self.code.constants.len() as u32 - 1) | CONSTANT
    }

    pub(super) fn operand(&mut self, value: Value) -> Result<Operand, Problem> {
        let index = value.as_u32() as usize;
        if let Some(operand) = self.operands.get(index).copied().flatten() {
            return Ok(operand);
        }
        if !self.body.value_exists(value) {
            return Err(format!("{value} does not exist"));
        }
        let ValueDef::Const(id) = self.body.value_def(value) else {
            return Err(format!("{value} is computed nowhere"));
        };
        let constant = self.const_val(self.body.constant(id))?;
        let operand = self.constant(constant);
        self.operands[index] = Some(operand);
        Ok(operand)
    }

    fn const_val(&self, data: &ConstData) -> Result<Val, Problem> {
        let types = &*self.unit.types;
        let value = match &data.value {
            ConstValue::Scalar(bits) => Val::Bits(*bits),
            ConstValue::Lanes(lanes) => Val::Lanes(lanes.clone()),
            ConstValue::Zero => Val::zero(types, data.ty).ok_or("constant is too large")?,
            ConstValue::Literal(_) | ConstValue::Variable(_) => return Err("constant is not settled".into()),
        };
        if value.fits(types, data.ty) { Ok(value) } else { Err("constant does not fit its type".into()) }
    }

    pub(super) fn list(&mut self, values: &[Value]) -> Result<List, Problem> {
        let operands = values.iter().map(|&value| self.operand(value)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.list_of(&operands))
    }

    fn list_of(&mut self, operands: &[Operand]) -> List {
        let start = self.code.operands.len() as u32;
        self.code.operands.extend_from_slice(operands);
        List { start, count: operands.len() as u32 }
    }

    /// Checks operands, results and the immediate by the op's rule.
    fn check(&self, inst: Inst) -> Result<(), Problem> {
        let (body, data) = (self.body, self.body.inst(inst));
        let args = body.args(inst);
        if let Some(value) = args.iter().find(|&&value| !body.value_exists(value)) {
            return Err(format!("{value} does not exist"));
        }
        let wanted = match data.op.info().shape {
            Shape::Unary => Some(1),
            Shape::Binary => Some(2),
            Shape::Ternary => Some(3),
            _ => None,
        };
        if wanted.is_some_and(|wanted| wanted != args.len()) {
            return Err(format!("{} has {} operands", data.op, args.len()));
        }
        let unknown = |value: &Value| !self.value_type(*value).is_known();
        if args.iter().any(unknown) || body.results(inst).any(|value| unknown(&value)) {
            return Err("types are not known; calls are not resolved".into());
        }
        let found: Vec<Type> = body.results(inst).map(|value| self.value_type(value)).collect();
        match data.op.info().rule {
            Rule::Call | Rule::Terminator => Ok(()),
            _ => match infer(body, &self.unit.types, inst) {
                Err(mismatch) => Err(mismatch.to_string()),
                Ok(wanted) if wanted.as_slice() != found => Err("results have other types".into()),
                Ok(_) => Ok(()),
            },
        }
    }

    fn step(&mut self, inst: Inst) -> Result<Step, Problem> {
        self.check(inst)?;
        let body = self.body;
        let data = body.inst(inst);
        let (op, ty, imm) = (data.op, data.ty, data.imm);
        let values = body.args(inst);
        let dest = match body.first_result(inst) {
            Some(first) => self.operand(first)?,
            None => CONSTANT,
        };
        let mut args = [CONSTANT; 3];
        for (slot, &value) in args.iter_mut().zip(values) {
            *slot = self.operand(value)?;
        }
        let [first, second, third] = args;
        let flags = MemFlags::from_bits(imm);
        let orders = flags.order() != Order::Relaxed;
        Ok(match op {
            Op::SpaceCast => Step::Copy { from: first, dest },
            Op::Make => Step::Make { ty, args: self.list(values)?, dest },
            Op::GetField | Op::SetField => {
                let aggregate = self.value_type(values[0]);
                let (ty, offset) = self.field(aggregate, imm)?;
                match op {
                    Op::GetField => Step::Get { from: first, ty, offset, dest },
                    _ => Step::Set { from: first, value: second, ty, offset, dest },
                }
            }
            Op::Index => {
                let scale = self.unit.types.layout(ty).ok_or("element type has no size")?.size;
                let from = lane_scalar(self.value_type(values[1])).ok_or("index is no integer")?;
                Step::Index { base: first, index: second, from, scale, dest }
            }
            Op::FieldAddress => {
                let offset = self.unit.types.field_offset(ty, imm.into()).ok_or("no such field")?;
                Step::FieldAddress { base: first, offset, dest }
            }
            Op::GlobalAddress => match body.symbol(SymbolRef::from_u32(imm)) {
                &Symbol::Global(global) if self.unit.globals.is_valid(global) => {
                    Step::Global { global, dest }
                }
                _ => return Err("the global is not resolved".into()),
            },
            Op::Slot => {
                let layout = self.unit.types.layout(ty).ok_or("slot type has no size")?;
                let home = self.code.slots;
                self.code.slots += 1;
                Step::Slot { home, size: layout.size, align: layout.align, dest }
            }
            Op::Load => {
                let via = self.via(values[0], flags, ty)?;
                match self.plain(ty) {
                    Some(ty) => Step::Load { address: first, ty, via, dest },
                    None => Step::LoadParts { address: first, ty, parts: self.parts(ty)?, via, dest },
                }
            }
            Op::Store => {
                let ty = self.value_type(values[1]);
                let via = self.via(values[0], flags, ty)?;
                match self.plain(ty) {
                    Some(ty) => Step::Store { address: first, value: second, ty, via },
                    None => {
                        Step::StoreParts { address: first, value: second, ty, parts: self.parts(ty)?, via }
                    }
                }
            }
            Op::MemCopy => Step::MemCopy {
                to: first,
                from: second,
                size: third,
                to_via: self.via(values[0], flags, Type::I8)?,
                from_via: self.via(values[1], flags, Type::I8)?,
            },
            Op::MemSet => {
                let via = self.via(values[0], flags, Type::I8)?;
                Step::MemSet { to: first, byte: second, size: third, via }
            }
            Op::AtomicLoad => {
                let (lane, via) = self.atomic(values[0], ty)?;
                Step::AtomicLoad { address: first, ty: lane, via, orders, dest }
            }
            Op::AtomicStore => {
                let (ty, via) = self.atomic(values[0], self.value_type(values[1]))?;
                Step::AtomicStore { address: first, value: second, ty, via, orders }
            }
            Op::RmwExchange
            | Op::RmwAdd
            | Op::RmwSub
            | Op::RmwAnd
            | Op::RmwOr
            | Op::RmwXor
            | Op::RmwMinS
            | Op::RmwMinU
            | Op::RmwMaxS
            | Op::RmwMaxU
            | Op::RmwMin
            | Op::RmwMax => {
                let (ty, via) = self.atomic(values[0], self.value_type(values[1]))?;
                Step::Rmw { op: rmw_op(op), address: first, value: second, ty, via, orders, dest }
            }
            Op::CompareExchange => {
                let (ty, via) = self.atomic(values[0], self.value_type(values[1]))?;
                Step::CompareExchange { args, ty, via, orders, dest }
            }
            Op::Fence => Step::Fence,
            Op::LocalId
            | Op::GroupId
            | Op::GroupSize
            | Op::GroupCount
            | Op::SubgroupSize
            | Op::SubgroupLane => Step::WorkItem { op, dimension: (imm % 3) as u8, dest },
            Op::Barrier => Step::Barrier,
            Op::Trap => Step::Trap,
            Op::SubgroupBarrier => {
                Step::Subgroup { op, ty: Scalar::I32, value: CONSTANT, lane: CONSTANT, dest }
            }
            Op::SubgroupShuffle
            | Op::SubgroupShuffleXor
            | Op::SubgroupShuffleUp
            | Op::SubgroupShuffleDown
            | Op::SubgroupAny
            | Op::SubgroupAll
            | Op::SubgroupBallot
            | Op::SubgroupReduceAdd
            | Op::SubgroupReduceAnd
            | Op::SubgroupReduceOr
            | Op::SubgroupReduceXor
            | Op::SubgroupReduceMinS
            | Op::SubgroupReduceMinU
            | Op::SubgroupReduceMaxS
            | Op::SubgroupReduceMaxU => {
                let ty = lane_scalar(self.value_type(values[0])).ok_or("operand is no scalar")?;
                Step::Subgroup { op, ty, value: first, lane: second, dest }
            }
            Op::Clock => Step::Clock { dest },
            Op::Call => self.call(inst, dest)?,
            Op::CallIndirect => {
                let args = self.list(&values[1..])?;
                Step::CallIndirect { address: first, signature: imm, args, dest }
            }
            Op::FunctionAddress => {
                let address = function_address(self.callee(imm)?.0);
                Step::Copy { from: self.constant(Val::pointer(address)), dest }
            }
            Op::Jump | Op::Branch | Op::Switch | Op::Return => self.control(inst, first)?,
            Op::Throw => match self.symbol(imm)? {
                Symbol::Exception(kind, reason) => {
                    let (kind, types) = self.exception(kind.clone(), reason.clone(), values);
                    Step::Throw { kind, types, args: self.list(values)? }
                }
                _ => return Err("throws what is no exception".into()),
            },
            Op::Unreachable => Step::Unreachable,
            Op::Assert => {
                let text = match self.symbol(imm)? {
                    Symbol::Message(text) => text.clone(),
                    _ => "".into(),
                };
                let operands = values.get(1..).unwrap_or(&[]);
                let (kind, types) =
                    self.exception(Exception::AssertionFailed.name().into(), Some(text), operands);
                Step::Check { condition: first, kind, types, args: self.list(operands)? }
            }
            Op::KernelInput => {
                let name = match self.symbol(imm)? {
                    Symbol::Name(name) => name.clone(),
                    _ => return Err("the input has no name".into()),
                };
                Step::Input { name: self.message(name), dest }
            }
            Op::Sentinel => {
                let value = match ty.is_pointer() {
                    true => Val::pointer(1),
                    false => Val::zero(&self.unit.types, ty).ok_or("sentinel is too large")?,
                };
                Step::Copy { from: self.constant(value), dest }
            }
            Op::Print => {
                let format = match self.symbol(imm)? {
                    Symbol::Message(format) => format.clone(),
                    _ => return Err("the format is no text".into()),
                };
                let format = self.message(format);
                self.code.printed.push(values.iter().map(|&value| self.value_type(value)).collect());
                let types = self.code.printed.len() as u32 - 1;
                Step::Print { format, types, args: self.list(values)? }
            }
            Op::StaticAssert => {
                let text = match self.symbol(imm)? {
                    Symbol::Message(text) | Symbol::Name(text) => text.clone(),
                    _ => "".into(),
                };
                Step::Assert { condition: first, message: self.message(text) }
            }
            Op::TargetQuery => return Err("a question to a target that nobody answered".into()),
            Op::Scratch => return Err("scratch memory that was not specialised".into()),
            // What remains computes on lanes.
            _ => return self.lanes(inst, args, dest),
        })
    }

    /// Ops that compute on scalars or vectors alone.
    fn lanes(&mut self, inst: Inst, args: [Operand; 3], dest: u32) -> Result<Step, Problem> {
        let body = self.body;
        let data = body.inst(inst);
        let (op, guarded) = (data.op, data.guarded);
        let values = body.args(inst);
        let result = body.first_result(inst).map(|value| self.value_type(value)).ok_or("no result")?;
        let from = match (op, values) {
            (Op::Select, &[condition, value, _]) => {
                let whole = !self.value_type(condition).is_vector();
                if whole && self.plain(result).is_none() {
                    let [condition, yes, no] = args;
                    return Ok(Step::Choose { condition, yes, no, dest });
                }
                self.value_type(value)
            }
            (_, &[first, ..]) => self.value_type(first),
            (_, []) => return Err(format!("{op} has no operands")),
        };
        if let (Some(from), Some(to)) = (self.plain(from), self.plain(result)) {
            return Ok(Step::Scalar { op, from, to, guarded, count: values.len() as u8, args, dest });
        }
        let mut list: Vec<Operand> = values.iter().map(|&v| self.operand(v)).collect::<Result<_, _>>()?;
        if op == Op::Shuffle {
            let mask = self.const_val(self.body.constant(Const::from_u32(data.imm)))?;
            list.push(self.constant(mask));
        }
        Ok(Step::Lanes { op, guarded, from, to: result, args: self.list_of(&list), dest })
    }

    /// The scalar that holds values of a type: none for vectors and aggregates.
    fn plain(&self, ty: Type) -> Option<Scalar> {
        if ty.is_vector() { None } else { lane_scalar(ty) }
    }

    fn field(&self, aggregate: Type, index: u32) -> Result<(Type, u32), Problem> {
        let types = &self.unit.types;
        value_bytes(types, aggregate).ok_or("aggregate is too large for a value")?;
        let ty = types.field_type(aggregate, index.into()).ok_or("no such field")?;
        let offset = types.field_offset(aggregate, index.into()).ok_or("no such field")?;
        Ok((ty, u32::try_from(offset).map_err(|_| "offset is too large")?))
    }

    /// Space and alignment of an access to a value of a type.
    fn via(&self, pointer: Value, flags: MemFlags, ty: Type) -> Result<Via, Problem> {
        let space = self.value_type(pointer).space().ok_or("address is no pointer")?;
        let natural = self.unit.types.layout(ty).ok_or("type has no size")?.align;
        Ok(Via { space, align: flags.align().unwrap_or(natural) })
    }

    fn atomic(&self, pointer: Value, ty: Type) -> Result<(Scalar, Via), Problem> {
        let via = self.via(pointer, MemFlags::plain(), ty)?;
        Ok((self.plain(ty).ok_or("not atomic")?, via))
    }

    /// The filled bytes of a type.
    fn parts(&mut self, ty: Type) -> Result<u32, Problem> {
        if let Some(&known) = self.parts.get(&ty) {
            return Ok(known);
        }
        let ranges = filled_ranges(&self.unit.types, ty).ok_or("type is too large for a value")?;
        self.code.parts.push(ranges);
        let number = self.code.parts.len() as u32 - 1;
        self.parts.insert(ty, number);
        Ok(number)
    }
}

/// The signature that an indirect call names.
pub(super) fn signature_of(body: &Body, number: u32) -> Option<&Signature> {
    body.signature_exists(number).then(|| body.signature(SigRef::from_u32(number)))
}

/// Where the memory of a global is.
pub(super) fn global_space(space: Space) -> Space {
    match space {
        Space::Generic | Space::Local | Space::Param => Space::Global,
        Space::Global | Space::Shared | Space::Constant => space,
    }
}
