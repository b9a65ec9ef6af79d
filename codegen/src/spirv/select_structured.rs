//! Selection of structured control flow, for Vulkan: the plan of [`structure`](super::structure), step by step, with
//! variables for what the plan separates from its uses.

use super::internal;
use super::module::Id;
use super::select::Selector;
use super::structure::graph::{Graph, Node, Origin};
use super::structure::{self, Step};
use crate::error::EmitError;
use marquetry_ir::entity::{Block, Value};
use marquetry_ir::inst::{Order, Scope};
use marquetry_ir::limits::MAX_SPIRV_NESTING;
use marquetry_ir::types::Type;
use rspirv::spirv::Op;
use smallvec::SmallVec;

impl Selector<'_, '_> {
    /// Emits all steps of the plan.
    pub(super) fn structured(&mut self) -> Result<(), EmitError> {
        let mut graph = std::mem::take(&mut self.state.scratch.graph);
        let mut structurer = std::mem::take(&mut self.state.scratch.structurer);
        graph.compute(self.body, self.cfg);
        let plan =
            structurer.plan(&graph).ok_or_else(|| internal("control flow that cannot be structured"))?;
        if plan.depth > MAX_SPIRV_NESTING {
            let (limit, found) = (MAX_SPIRV_NESTING as u64, plan.depth as u64);
            return Err(EmitError::limit("nested loops and selections", limit, found));
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
            self.step(&graph, plan, step, base, [exit, state])?;
        }
        self.state.scratch.graph = graph;
        self.state.scratch.structurer = structurer;
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
                self.buffers.variables[param.as_u32() as usize] = variable;
                self.name_value(param, variable);
                if Some(block) == entry {
                    let argument = self.buffers.ids[param.as_u32() as usize];
                    self.in_prologue = true;
                    self.emit_void(Op::Store, &[variable, argument]);
                    self.in_prologue = false;
                }
            }
        }
        if !graph.dispatches && graph.loops.is_empty() {
            return Ok(());
        }
        let mut maker = std::mem::take(&mut self.state.scratch.makers);
        maker.clear();
        maker.resize(body.value_count(), u32::MAX);
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
        self.state.scratch.makers = maker;
        for value in moved {
            let index = value.as_u32() as usize;
            if self.buffers.variables[index] == 0 {
                let ty = self.type_id(body.value_type(value))?;
                self.buffers.variables[index] = self.local_variable(ty);
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
                if endless {
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
            if self.buffers.variables[index] != 0 {
                let ty: Type = body.value_type(param);
                let ty = self.type_id(ty)?;
                self.buffers.ids[index] = self.emit(Op::Load, ty, &[self.buffers.variables[index]]);
                self.buffers.stretch_of[index] = self.stretch;
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
        let values: Result<SmallVec<[Id; 16]>, EmitError> =
            body.target_args(call).iter().map(|&arg| self.value(arg)).collect();
        for (&param, id) in body.block_params(to).iter().zip(values?) {
            let variable = self.buffers.variables[param.as_u32() as usize];
            self.emit_void(Op::Store, &[variable, id]);
        }
        let via = graph.successors(node).get(edge as usize).copied().unwrap_or(0);
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
        let edges = graph.successors(node).len() as u32;
        let labels: SmallVec<[Id; 4]> = (arms..arms + edges).collect();
        match graph.origins.get(node as usize) {
            Some(Origin::Block(block)) => {
                let inst = self.terminator(*block)?;
                // What the terminator computes for its selector comes before the merge instruction.
                let start = self.buffers.code.0.len();
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
        let words = &mut self.buffers.code.0;
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
