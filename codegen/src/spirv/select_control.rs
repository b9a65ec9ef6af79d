//! Selection of control flow: what both environments share, and blocks in order, with phis, for OpenCL. For Vulkan, see
//! [`select_structured`](super::select_structured).

use super::internal;
use super::module::Id;
use super::select::Selector;
use crate::error::EmitError;
use marquetry_ir::entity::{Block, BlockCall, Inst, Switch, Value};
use marquetry_ir::op::{Op as IrOp, OpSet};
use marquetry_ir::types::Scalar;
use rspirv::spirv::Op;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The ops of fixed addresses.
const FIXED: OpSet = OpSet::of(&[IrOp::Slot, IrOp::GlobalAddress]);

impl Selector<'_, '_> {
    pub(super) fn terminator(&self, block: Block) -> Result<Inst, EmitError> {
        self.body.terminator(block).ok_or_else(|| internal(&format!("{block} has no terminator")))
    }

    /// The instructions of a block without its terminator.
    pub(super) fn block_code(&mut self, block: Block) -> Result<(), EmitError> {
        let body = self.body;
        let last = self.terminator(block)?;
        for inst in body.block_insts(block).take_while(|&inst| inst != last) {
            // Addresses of variables were made in the prologue: they are good everywhere.
            if !self.is_fixed(inst) {
                self.at(inst);
                self.select(inst)?;
            }
        }
        Ok(())
    }

    /// Addresses of slots and globals, which dominate everything.
    pub(super) fn fixed_addresses(&mut self) -> Result<(), EmitError> {
        let (body, cfg) = (self.body, self.cfg);
        if !body.may_have_any(&FIXED) {
            return Ok(());
        }
        for inst in cfg.reverse_post_order().iter().flat_map(|&block| body.block_insts(block)) {
            if self.is_fixed(inst) {
                self.select(inst)?;
            }
        }
        Ok(())
    }

    /// A return, or the end of what does not return.
    pub(super) fn leave(&mut self, block: Block) -> Result<(), EmitError> {
        let inst = self.terminator(block)?;
        self.at(inst);
        match self.body.inst(inst).op {
            IrOp::Return => {
                let values = self.operands(inst)?;
                match values.as_slice() {
                    [] => self.emit_void(Op::Return, &[]),
                    &[one] => self.emit_void(Op::ReturnValue, &[one]),
                    many => {
                        let ty = self.state.module.result_type(&self.function.signature.results)?;
                        let all = self.emit(Op::CompositeConstruct, ty, many);
                        self.emit_void(Op::ReturnValue, &[all]);
                    }
                }
                Ok(())
            }
            IrOp::Unreachable => {
                self.emit_void(Op::Unreachable, &[]);
                Ok(())
            }
            op => Err(internal(&format!("'{op}' leaves the function"))),
        }
    }

    /// A branch or switch to labels, one per edge.
    pub(super) fn branch_to(&mut self, inst: Inst, labels: &[Id]) -> Result<(), EmitError> {
        self.at(inst);
        let data = self.body.inst(inst);
        let args = self.operands(inst)?;
        match (data.op, labels) {
            (IrOp::Jump, &[to]) => self.emit_void(Op::Branch, &[to]),
            (IrOp::Branch, &[yes, no]) => self.emit_void(Op::BranchConditional, &[args[0], yes, no]),
            (IrOp::Switch, [otherwise, arms @ ..]) => {
                let cases = self.body.switch_cases(Switch::from_u32(data.imm));
                let scalar = self.arg_scalar(inst, 0)?;
                // Narrow selectors are widened, so that the literals are plain words.
                let wide = scalar.bits() > 32;
                let short = self.module().int(32);
                let selector = match scalar {
                    Scalar::I1 => {
                        let (one, zero) = (self.module().u32(1), self.module().u32(0));
                        self.emit(Op::Select, short, &[args[0], one, zero])
                    }
                    Scalar::I8 | Scalar::I16 => self.emit(Op::UConvert, short, &[args[0]]),
                    _ => args[0],
                };
                let mut operands = vec![selector, *otherwise];
                for (&case, &arm) in cases.iter().zip(arms) {
                    operands.push(case as u32);
                    if wide {
                        operands.push((case >> 32) as u32);
                    }
                    operands.push(arm);
                }
                self.emit_switch(&operands)?;
            }
            (op, _) => return Err(internal(&format!("'{op}' with {} edges", labels.len()))),
        }
        Ok(())
    }

    pub(super) fn emit_switch(&mut self, operands: &[u32]) -> Result<(), EmitError> {
        let limit = super::module::MAX_OPERANDS;
        if operands.len() > limit {
            let found = operands.len() as u64;
            return Err(EmitError::limit("words of a switch", limit as u64, found));
        }
        self.emit_void(Op::Switch, operands);
        Ok(())
    }

    pub(super) fn label(&mut self, id: Id) {
        self.forget_place();
        self.emit_void(Op::Label, &[id]);
        self.stretch += 1;
    }
}

/// Any control flow, as OpenCL takes it.
impl Selector<'_, '_> {
    /// Emits all blocks.
    pub(super) fn unstructured(&mut self) -> Result<(), EmitError> {
        self.fixed_addresses()?;
        let (body, cfg) = (self.body, self.cfg);
        let order = cfg.reverse_post_order();
        let labels: Vec<Id> = order.iter().map(|_| self.module().id()).collect();
        let label = |block: Block| cfg.position(block).and_then(|n| labels.get(n).copied()).unwrap_or(0);
        // Edges that share source and destination pass through blocks of their own, so that phis can tell them apart.
        let mut steps: FxHashMap<BlockCall, Id> = FxHashMap::default();
        let mut counts: FxHashMap<Block, u32> = FxHashMap::default();
        for &block in order {
            let calls = body.successors(block);
            counts.clear();
            calls.iter().for_each(|&call| *counts.entry(body.target_block(call)).or_default() += 1);
            for &call in calls {
                let to = body.target_block(call);
                if counts.get(&to).is_some_and(|&n| n > 1) && !body.block_params(to).is_empty() {
                    let id = self.module().id();
                    steps.insert(call, id);
                }
            }
        }
        self.first_label = labels.first().copied().unwrap_or(0);
        let returns =
            |block: &&Block| body.terminator(**block).is_some_and(|i| body.inst(i).op == IrOp::Return);
        // Intel's compiler for processors crashes where it merges structs that several places of a function return: what
        // returns several values leaves in one place, where their parts are merged.
        let several = self.function.signature.results.len() > 1 && order.iter().filter(returns).count() > 1;
        let mut exit = several.then(|| Exit { label: self.module().id(), edges: Vec::new() });
        // Phis may name values that come later: these operands are filled in at the end.
        let mut open: Vec<(usize, Value)> = Vec::new();
        let prologue = self.prologue_label;
        for (&block, &id) in order.iter().zip(&labels) {
            self.label(id);
            let is_entry = Some(block) == body.entry();
            let entered = cfg.predecessors(block);
            for (n, &param) in body.block_params(block).iter().enumerate() {
                if is_entry && entered.is_empty() {
                    continue;
                }
                let ty = self.type_id(body.value_type(param))?;
                let result = self.module().id();
                let count = entered.len() + usize::from(is_entry);
                if count * 2 > super::module::MAX_OPERANDS {
                    let limit = super::module::MAX_OPERANDS as u64 / 2;
                    return Err(EmitError::limit("edges into a block with parameters", limit, count as u64));
                }
                self.buffers.code.0.push(((count as u32 * 2 + 3) << 16) | Op::Phi as u32);
                self.buffers.code.0.extend([ty, result]);
                if is_entry {
                    let argument = self.value(param)?;
                    self.buffers.code.0.extend([argument, prologue]);
                }
                for &(from, call) in entered {
                    let arg = body.target_args(call).get(n).copied();
                    let arg = arg.ok_or_else(|| internal("an edge without arguments"))?;
                    open.push((self.buffers.code.0.len(), arg));
                    let parent = steps.get(&call).copied().unwrap_or(label(from));
                    self.buffers.code.0.extend([0, parent]);
                }
                self.buffers.ids[param.as_u32() as usize] = result;
                self.name_value(param, result);
            }
            self.block_code(block)?;
            let inst = self.terminator(block)?;
            let calls = body.targets(inst);
            if calls.is_empty() {
                match &mut exit {
                    Some(exit) if body.inst(inst).op == IrOp::Return => {
                        self.at(inst);
                        exit.edges.push((self.operands(inst)?, id));
                        self.emit_void(Op::Branch, &[exit.label]);
                    }
                    _ => self.leave(block)?,
                }
                continue;
            }
            let to: SmallVec<[Id; 4]> =
                calls.iter().map(|c| steps.get(c).copied().unwrap_or(label(body.target_block(*c)))).collect();
            self.branch_to(inst, &to)?;
            for call in calls {
                if let Some(&step) = steps.get(call) {
                    self.label(step);
                    self.emit_void(Op::Branch, &[label(body.target_block(*call))]);
                }
            }
        }
        if let Some(exit) = exit {
            self.leave_together(&exit)?;
        }
        for (at, value) in open {
            // Constants of pointers are made in the prologue, which is not finished yet.
            let id = self.value(value)?;
            if let Some(word) = self.buffers.code.0.get_mut(at) {
                *word = id;
            }
        }
        Ok(())
    }

    /// The one place where a function with several results returns.
    fn leave_together(&mut self, exit: &Exit) -> Result<(), EmitError> {
        self.label(exit.label);
        let results = &self.function.signature.results;
        let mut values: SmallVec<[Id; 4]> = SmallVec::new();
        for (n, &ty) in results.iter().enumerate() {
            let ty = self.type_id(ty)?;
            let mut operands = Vec::with_capacity(exit.edges.len() * 2);
            for (returned, from) in &exit.edges {
                let value = returned.get(n).ok_or_else(|| internal("a return without a result"))?;
                operands.extend([*value, *from]);
            }
            if operands.len() > super::module::MAX_OPERANDS {
                let (limit, found) = (super::module::MAX_OPERANDS as u64 / 2, exit.edges.len() as u64);
                return Err(EmitError::limit("returns of a function", limit, found));
            }
            values.push(self.emit(Op::Phi, ty, &operands));
        }
        let ty = self.state.module.result_type(results)?;
        let all = self.emit(Op::CompositeConstruct, ty, &values);
        self.emit_void(Op::ReturnValue, &[all]);
        Ok(())
    }
}

/// The one place where a function with several results returns.
struct Exit {
    label: Id,
    /// What is returned, and the label of the block that returns it.
    edges: Vec<(SmallVec<[Id; 4]>, Id)>,
}
