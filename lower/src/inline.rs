//! Inlining: calls are replaced by the callee's body, callees first.
//!
//! Mechanism: the block is split at the call, the callee's blocks are copied between the halves, returns become
//! jumps to the second half, whose parameters are the call's results. Calls of one block are handled from its end,
//! so that no instruction is moved more than once per block and the whole costs what is copied.
//!
//! Policy: `inline` always, `noinline` never, others when small, as long as the caller stays below
//! [`MAX_INLINED_INSTS`]. Calls inside a recursive cycle stay.

use crate::call_graph::{BottomUp, callee};
use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Block, BlockCall, Const, Func, Inst, SigRef, Switch, SymbolRef, Value};
use marquetry_ir::limits::MAX_INLINED_INSTS;
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::Inlining;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use smallvec::SmallVec;

/// Callees of at most this many instructions are inlined when nothing is said about them.
const SMALL: usize = 48;

/// How many instructions stand in the blocks of a body.
pub fn size(body: &Body) -> usize {
    body.blocks().map(|block| body.block_insts(block).count()).sum()
}

/// Inlines calls in one function. Its callees must be finished. Says whether anything changed.
pub fn run(unit: &mut Unit, func: Func, graph: &BottomUp, sizes: &SecondaryMap<Func, u32>) -> bool {
    // The caller's body is taken out while callees are read.
    let mut body = std::mem::take(&mut unit.funcs[func].body);
    let mut budget = MAX_INLINED_INSTS.saturating_sub(size(&body));
    let mut changed = false;
    let blocks: Vec<Block> = body.blocks().collect();
    let mut calls = Vec::new();
    let mut cfg = ControlFlow::new();
    for block in blocks {
        calls.clear();
        let sites = body.block_insts(block).filter_map(|inst| Some((inst, callee(&body, inst)?)));
        calls.extend(sites.filter(|&(_, callee)| {
            let cost = sizes[callee] as usize;
            let wanted = match unit.funcs[callee].inlining {
                Inlining::Always => true,
                Inlining::Never => false,
                Inlining::Auto => cost <= SMALL,
            };
            let fits = wanted && cost <= budget && graph.component[callee] != graph.component[func];
            if fits {
                budget -= cost;
            }
            fits
        }));
        changed |= !calls.is_empty();
        for &(call, callee) in calls.iter().rev() {
            copy_callee(&mut body, call, &unit.funcs[callee].body, &mut cfg);
        }
    }
    unit.funcs[func].body = body;
    changed
}

/// Replaces one call by a copy of the callee's body.
pub fn inline_call(caller: &mut Body, call: Inst, callee: &Body) {
    copy_callee(caller, call, callee, &mut ControlFlow::new());
}

/// As [`inline_call`], with a table for the callee's control flow.
fn copy_callee(caller: &mut Body, call: Inst, callee: &Body, cfg: &mut ControlFlow) {
    let Some(before) = caller.inst_block(call) else { return };
    let Some(entry) = callee.entry() else { return };
    let after = caller.make_block();
    caller.insert_block_after(after, before);
    if let Some(tail) = caller.next_inst(call) {
        caller.move_tail(tail, after);
    }
    caller.results_to_params(call, after);
    cfg.compute(callee);
    caller.reserve(callee.inst_count());
    let blocks = SecondaryMap::with_capacity(callee.block_count());
    let values = SecondaryMap::with_capacity(callee.value_count());
    let mut copy = Copy { caller, callee, blocks, values, call, after };
    copy.make_blocks(cfg, before);
    copy.map_arguments(entry);
    for &block in cfg.reverse_post_order() {
        for inst in callee.block_insts(block) {
            copy.inst(block, inst);
        }
    }
    let Some(start) = copy.blocks[entry].expand() else { return };
    let edge = caller.make_block_call(start, &[]);
    caller.replace_inst(call, Op::Jump, Type::ERROR, &[], 0);
    caller.set_targets(call, &[edge]);
}

struct Copy<'a> {
    caller: &'a mut Body,
    callee: &'a Body,
    blocks: SecondaryMap<Block, PackedOption<Block>>,
    values: SecondaryMap<Value, PackedOption<Value>>,
    call: Inst,
    after: Block,
}

impl Copy<'_> {
    fn make_blocks(&mut self, cfg: &ControlFlow, before: Block) {
        let mut last = before;
        for &block in cfg.reverse_post_order() {
            let new = self.caller.make_block();
            self.caller.insert_block_after(new, last);
            last = new;
            self.blocks[block] = new.into();
            if self.callee.entry() == Some(block) {
                continue;
            }
            for &param in self.callee.block_params(block) {
                let copied = self.caller.append_block_param(new, self.callee.value_type(param));
                self.values[param] = copied.into();
            }
        }
    }

    fn map_arguments(&mut self, entry: Block) {
        let arguments = self.caller.args(self.call).to_vec();
        for (&param, argument) in self.callee.block_params(entry).iter().zip(arguments) {
            self.values[param] = argument.into();
        }
    }

    fn value(&mut self, value: Value) -> Value {
        if let Some(mapped) = self.values[value].expand() {
            return mapped;
        }
        // Every other value is defined before its uses in reverse post-order.
        let data = match self.callee.value_const(value) {
            Some(data) => data.clone(),
            None => ConstData { ty: self.callee.value_type(value), value: ConstValue::Zero },
        };
        let mapped = self.caller.make_const(data);
        self.values[value] = mapped.into();
        mapped
    }

    fn inst(&mut self, block: Block, inst: Inst) {
        let Some(block) = self.blocks[block].expand() else { return };
        let data = self.callee.inst(inst);
        let args: SmallVec<[Value; 4]> = self.callee.args(inst).iter().map(|&arg| self.value(arg)).collect();
        let span = self.caller.span(self.call);
        if data.op == Op::Return {
            let jump = self.caller.make_inst(Op::Jump, Type::ERROR, &[], 0);
            let edge = self.caller.make_block_call(self.after, &args);
            self.caller.set_targets(jump, &[edge]);
            self.caller.append_inst(jump, block);
            return;
        }
        let imm = self.immediate(inst);
        let new = self.caller.make_inst(data.op, data.ty, &args, imm);
        self.caller.inst_mut(new).guarded = data.guarded;
        let types: SmallVec<[Type; 2]> =
            self.callee.results(inst).map(|v| self.callee.value_type(v)).collect();
        self.caller.make_results(new, &types);
        for (old, new) in self.callee.results(inst).zip(self.caller.results(new)) {
            self.values[old] = new.into();
        }
        let mut edges = SmallVec::<[BlockCall; 2]>::new();
        for &edge in self.callee.targets(inst) {
            let args = self.callee.target_args(edge).iter().map(|&arg| self.value(arg));
            let args: SmallVec<[Value; 4]> = args.collect();
            if let Some(target) = self.blocks[self.callee.target_block(edge)].expand() {
                edges.push(self.caller.make_block_call(target, &args));
            }
        }
        self.caller.set_targets(new, &edges);
        self.caller.append_inst(new, block);
        self.caller.set_span(new, span);
    }

    /// The immediate, where it is an id of the body.
    fn immediate(&mut self, inst: Inst) -> u32 {
        let data = self.callee.inst(inst);
        match data.op.info().shape {
            Shape::Call
            | Shape::Throw
            | Shape::Assert
            | Shape::Query
            | Shape::FunctionAddress
            | Shape::GlobalAddress => {
                let symbol: Symbol = self.callee.symbol(SymbolRef::from_u32(data.imm)).clone();
                self.caller.make_symbol(symbol).as_u32()
            }
            Shape::CallIndirect => {
                let signature = self.callee.signature(SigRef::from_u32(data.imm)).clone();
                self.caller.make_signature(signature).as_u32()
            }
            Shape::Switch => {
                let cases = self.callee.switch_cases(Switch::from_u32(data.imm));
                self.caller.make_switch(cases).as_u32()
            }
            Shape::Shuffle => {
                let mask = self.callee.constant(Const::from_u32(data.imm)).clone();
                let value = self.caller.make_const(mask);
                self.caller.value_const_id(value).map_or(data.imm, |id| id.as_u32())
            }
            _ => data.imm,
        }
    }
}
