//! Selection of control flow: blocks in order, with phis, for OpenCL; a structured plan, with variables, for Vulkan.

use super::internal;
use super::module::Id;
use super::select::Selector;
use super::structure::graph::{Graph, Node, Origin};
use super::structure::{self, Step};
use crate::error::EmitError;
use marquetry_ir::entity::{Block, BlockCall, Inst, Switch, Value};
use marquetry_ir::inst::{Order, Scope};
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Type};
use rspirv::spirv::Op;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

impl Selector<'_, '_> {
    fn terminator(&self, block: Block) -> Result<Inst, EmitError> {
        self.body.terminator(block).ok_or_else(|| internal(&format!("{block} has no terminator")))
    }

    /// The instructions of a block without its terminator.
    fn block_code(&mut self, block: Block) -> Result<(), EmitError> {
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
    fn fixed_addresses(&mut self) -> Result<(), EmitError> {
        let (body, cfg) = (self.body, self.cfg);
        for &block in cfg.reverse_post_order() {
            for inst in body.block_insts(block).filter(|&inst| self.is_fixed(inst)).collect::<Vec<_>>() {
                self.select(inst)?;
            }
        }
        Ok(())
    }

    /// A return, or the end of what does not return.
    fn leave(&mut self, block: Block) -> Result<(), EmitError> {
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
    fn branch_to(&mut self, inst: Inst, labels: &[Id]) -> Result<(), EmitError> {
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

    fn emit_switch(&mut self, operands: &[u32]) -> Result<(), EmitError> {
        let limit = super::module::MAX_OPERANDS;
        if operands.len() > limit {
            let found = operands.len() as u64;
            return Err(EmitError::Limit { what: "words of a switch", limit: limit as u64, found });
        }
        self.emit_void(Op::Switch, operands);
        Ok(())
    }

    fn label(&mut self, id: Id) {
        self.forget_place();
        self.emit_void(Op::Label, &[id]);
        self.stretch += 1;
    }
}

/// Any control flow, as OpenCL takes it.
impl Selector<'_, '_> {
    /// Emits all blocks.
    pub fn unstructured(&mut self) -> Result<(), EmitError> {
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
                    return Err(EmitError::Limit {
                        what: "edges into a block with parameters",
                        limit,
                        found: count as u64,
                    });
                }
                self.code.0.push(((count as u32 * 2 + 3) << 16) | Op::Phi as u32);
                self.code.0.extend([ty, result]);
                if is_entry {
                    let argument = self.value(param)?;
                    self.code.0.extend([argument, prologue]);
                }
                for &(from, call) in entered {
                    let arg = body.target_args(call).get(n).copied();
                    let arg = arg.ok_or_else(|| internal("an edge without arguments"))?;
                    open.push((self.code.0.len(), arg));
                    let parent = steps.get(&call).copied().unwrap_or(label(from));
                    self.code.0.extend([0, parent]);
                }
                self.ids[param.as_u32() as usize] = result;
                self.name_value(param, result);
            }
            self.block_code(block)?;
            let inst = self.terminator(block)?;
            let calls = body.targets(inst);
            if calls.is_empty() {
                self.leave(block)?;
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
        for (at, value) in open {
            // Constants of pointers are made in the prologue, which is not finished yet.
            let id = self.value(value)?;
            if let Some(word) = self.code.0.get_mut(at) {
                *word = id;
            }
        }
        Ok(())
    }
}

/// Structured control flow, as Vulkan wants it.
impl Selector<'_, '_> {
    /// Emits all steps of the plan.
    pub fn structured(&mut self) -> Result<(), EmitError> {
        let graph = Graph::new(self.body, self.cfg);
        let plan =
            structure::plan(&graph).ok_or_else(|| internal("control flow that cannot be structured"))?;
        if plan.depth > structure::MAX_DEPTH {
            let (limit, found) = (structure::MAX_DEPTH as u64, plan.depth as u64);
            return Err(EmitError::Limit { what: "nested loops and selections", limit, found });
        }
        self.fixed_addresses()?;
        self.make_variables(&graph)?;
        let exit = if plan.told_apart.iter().any(|&t| t) || graph.dispatches {
            let ty = self.module().int(32);
            self.local_variable(ty)
        } else {
            0
        };
        let state = if graph.dispatches {
            let ty = self.module().int(32);
            self.local_variable(ty)
        } else {
            0
        };
        let first = self.module().id();
        let base = self.module().ids(plan.labels);
        self.first_label = first;
        self.label(first);
        for step in &plan.steps {
            self.step(&graph, &plan, step, base, [exit, state])?;
        }
        Ok(())
    }

    /// Variables for block parameters, and for values used where their definition does not dominate any more.
    fn make_variables(&mut self, graph: &Graph) -> Result<(), EmitError> {
        let (body, cfg) = (self.body, self.cfg);
        let entry = body.entry();
        for &block in cfg.reverse_post_order() {
            if Some(block) == entry && cfg.predecessors(block).is_empty() {
                continue;
            }
            for &param in body.block_params(block) {
                let ty = self.type_id(body.value_type(param))?;
                let variable = self.local_variable(ty);
                self.variables[param.as_u32() as usize] = variable;
                self.name_value(param, variable);
                if Some(block) == entry {
                    let argument = self.ids[param.as_u32() as usize];
                    self.in_prologue = true;
                    self.emit_void(Op::Store, &[variable, argument]);
                    self.in_prologue = false;
                }
            }
        }
        // The node that makes each value.
        let mut maker = vec![u32::MAX; body.value_count()];
        for (node, &block) in cfg.reverse_post_order().iter().enumerate() {
            for inst in body.block_insts(block).filter(|&inst| !self.is_fixed(inst)) {
                body.results(inst).for_each(|v| maker[v.as_u32() as usize] = node as u32);
            }
        }
        let mut moved: Vec<Value> = Vec::new();
        for (node, &block) in cfg.reverse_post_order().iter().enumerate() {
            for inst in body.block_insts(block) {
                body.visit_operands(inst, |value| {
                    let from = maker[value.as_u32() as usize];
                    let elsewhere = from != u32::MAX && from != node as u32;
                    if elsewhere && (graph.dispatches || graph.loop_left(from, node as Node).is_some()) {
                        moved.push(value);
                    }
                });
            }
        }
        for value in moved {
            let index = value.as_u32() as usize;
            if self.variables[index] == 0 {
                let ty = self.type_id(body.value_type(value))?;
                self.variables[index] = self.local_variable(ty);
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        graph: &Graph,
        plan: &structure::Plan,
        step: &Step,
        base: Id,
        [exit, state]: [Id; 2],
    ) -> Result<(), EmitError> {
        match *step {
            Step::Code(node) => {
                if let Some(Origin::Block(block)) = graph.origins.get(node as usize) {
                    let block = *block;
                    self.block_params(block)?;
                    self.block_code(block)?;
                }
            }
            Step::Leave(node) => {
                let Some(Origin::Block(block)) = graph.origins.get(node as usize) else {
                    return Err(internal("a dispatch without destinations"));
                };
                self.leave(*block)?;
            }
            Step::Edge(node, edge) => self.edge(graph, node, edge, state)?,
            Step::SetExit(node) => {
                if plan.told_apart.get(node as usize) == Some(&true) {
                    let number = self.module().u32(node);
                    self.emit_void(Op::Store, &[exit, number]);
                }
            }
            Step::Select { node, arms, merge } => {
                self.selection(graph, node, base + arms, base + merge, state)?
            }
            Step::Label(label) => self.label(base + label),
            Step::Loop { head, body, next, merge } => {
                self.emit_void(Op::Branch, &[base + head]);
                self.label(base + head);
                self.emit_void(Op::LoopMerge, &[base + merge, base + next, 0]);
                self.emit_void(Op::Branch, &[base + body]);
                self.label(base + body);
            }
            Step::Next { head, next, endless } => {
                self.label(base + next);
                // Drivers drop loops without effects and go on behind them, even where nothing leaves the loop.
                if endless && self.is_vulkan() {
                    self.fence(Scope::Group, Order::AcqRel)?;
                }
                self.emit_void(Op::Branch, &[base + head]);
            }
            Step::Goto(label) => self.emit_void(Op::Branch, &[base + label]),
            Step::Guard { exit: node, then, merge } => {
                let here = self.compare_variable(exit, node);
                self.emit_void(Op::SelectionMerge, &[base + merge, 0]);
                self.emit_void(Op::BranchConditional, &[here, base + then, base + merge]);
            }
            Step::Again { exit: node, next, merge } => {
                let here = self.compare_variable(exit, node);
                self.emit_void(Op::BranchConditional, &[here, base + next, base + merge]);
            }
            Step::Unreachable => self.emit_void(Op::Unreachable, &[]),
        }
        Ok(())
    }

    fn compare_variable(&mut self, variable: Id, node: Node) -> Id {
        let (short, truth) = (self.module().int(32), self.module().bool());
        let held = self.emit(Op::Load, short, &[variable]);
        let wanted = self.module().u32(node);
        self.emit(Op::IEqual, truth, &[held, wanted])
    }

    /// Loads the parameters of a block.
    fn block_params(&mut self, block: Block) -> Result<(), EmitError> {
        let body = self.body;
        for &param in body.block_params(block) {
            let index = param.as_u32() as usize;
            if self.variables[index] != 0 {
                let ty: Type = body.value_type(param);
                let ty = self.type_id(ty)?;
                self.ids[index] = self.emit(Op::Load, ty, &[self.variables[index]]);
                self.stretch_of[index] = self.stretch;
            }
        }
        Ok(())
    }

    /// Stores what an edge passes, and where it goes if that takes a dispatch.
    fn edge(&mut self, graph: &Graph, node: Node, edge: u32, state: Id) -> Result<(), EmitError> {
        let Some(Origin::Block(block)) = graph.origins.get(node as usize) else { return Ok(()) };
        let body = self.body;
        let call = body.successors(*block).get(edge as usize).copied();
        let call = call.ok_or_else(|| internal("an edge that does not exist"))?;
        let to = body.target_block(call);
        let values: Result<SmallVec<[Id; 4]>, EmitError> =
            body.target_args(call).iter().map(|&arg| self.value(arg)).collect();
        for (&param, id) in body.block_params(to).iter().zip(values?) {
            let variable = self.variables[param.as_u32() as usize];
            self.emit_void(Op::Store, &[variable, id]);
        }
        let via =
            graph.successors.get(node as usize).and_then(|s| s.get(edge as usize)).copied().unwrap_or(0);
        if matches!(graph.origins.get(via as usize), Some(Origin::Dispatch(_))) {
            let number = self.cfg.position(to).unwrap_or(0) as u32;
            let number = self.module().u32(number);
            self.emit_void(Op::Store, &[state, number]);
        }
        Ok(())
    }

    fn selection(
        &mut self,
        graph: &Graph,
        node: Node,
        arms: Id,
        merge: Id,
        state: Id,
    ) -> Result<(), EmitError> {
        let edges = graph.successors.get(node as usize).map_or(0, Vec::len) as u32;
        let labels: SmallVec<[Id; 4]> = (arms..arms + edges).collect();
        match graph.origins.get(node as usize) {
            Some(Origin::Block(block)) => {
                let inst = self.terminator(*block)?;
                // What the terminator computes for its selector comes before the merge instruction.
                let start = self.code.0.len();
                self.branch_to(inst, &labels)?;
                self.insert_merge(start, merge)
            }
            Some(Origin::Dispatch(entries)) => {
                let short = self.module().int(32);
                let held = self.emit(Op::Load, short, &[state]);
                self.emit_void(Op::SelectionMerge, &[merge, 0]);
                // Nothing else is ever stored: the last entry needs no case.
                let mut operands = vec![held, *labels.last().unwrap_or(&merge)];
                for (&entry, &label) in entries.iter().zip(&labels).take(labels.len().saturating_sub(1)) {
                    operands.extend([entry, label]);
                }
                self.emit_switch(&operands)
            }
            None => Err(internal("a node that does not exist")),
        }
    }

    /// Puts a merge instruction before the last instruction, which began at or after `start`.
    fn insert_merge(&mut self, start: usize, merge: Id) -> Result<(), EmitError> {
        let words = &mut self.code.0;
        let mut at = start;
        loop {
            let Some(&first) = words.get(at) else { return Err(internal("a terminator was expected")) };
            let length = (first >> 16).max(1) as usize;
            if at + length >= words.len() {
                break;
            }
            at += length;
        }
        let instruction = [3 << 16 | Op::SelectionMerge as u32, merge, 0];
        words.splice(at..at, instruction);
        Ok(())
    }
}
