//! What inlining does to one call.
//!
//! Where the constants among the arguments decide the way through the callee, what stands on it is copied in front of the
//! call. Else the block is split at the call, the callee's blocks are copied between the halves, and returns become jumps
//! to the second half, whose parameters are the call's results. Copies remember the call that they replace
//! ([`marquetry_ir::body::Origin`]).

use crate::call_graph::callee;
use crate::passes::replace::Replacements;
use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, InlineMap, Symbol, ValueDef};
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Block, BlockCall, Const, Func, Inst, SigRef, Switch, SymbolRef, Value};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::types::Type;
use marquetry_ir::unit::Function;
use smallvec::SmallVec;

/// Most edges that are followed through a callee whose way the arguments decide.
const MAX_WAY: usize = 16;

/// Replaces one call by a copy of the callee's body.
pub fn inline_call(caller: &mut Body, call: Inst, callee: &Function) {
    let mut tables = Tables::default();
    tables.cfg.compute(&callee.body);
    copy_callee(caller, call, callee, &mut tables);
}

/// The way through a callee: the edges that control takes, and the `return` at the end.
pub(super) struct Way {
    edges: SmallVec<[BlockCall; 8]>,
    leave: Inst,
}

/// The way through a callee, if the constants among the arguments decide it; no block is entered twice.
pub(super) fn only_way(caller: &Body, call: Inst, callee: &Body) -> Option<Way> {
    let entry = callee.entry()?;
    let bits = |value: Value| match callee.value_def(value) {
        ValueDef::Const(id) => callee.constant(id).scalar(),
        ValueDef::Param(block, number) if block == entry => {
            caller.value_bits(*caller.args(call).get(number as usize)?)
        }
        _ => None,
    };
    let mut edges = SmallVec::new();
    let mut block = entry;
    // Callees have few blocks on the way, or are not worth it.
    while edges.len() < MAX_WAY {
        let last = callee.terminator(block)?;
        let edge = match (callee.inst(last).op, callee.args(last), callee.targets(last)) {
            (Op::Return, ..) => return Some(Way { edges, leave: last }),
            (Op::Jump, _, &[edge]) => edge,
            (Op::Branch, &[condition], &[yes, no]) => {
                if bits(condition)? == 0 {
                    no
                } else {
                    yes
                }
            }
            (Op::Switch, &[selector], [otherwise, arms @ ..]) => {
                let bits = bits(selector)?;
                let cases = callee.switch_cases(Switch::from_u32(callee.inst(last).imm));
                let chosen = cases.iter().position(|&case| case == bits).and_then(|n| arms.get(n));
                *chosen.unwrap_or(otherwise)
            }
            _ => return None,
        };
        block = callee.target_block(edge);
        let again = |&other: &BlockCall| callee.target_block(other) == block;
        if block == entry || edges.iter().any(again) {
            return None;
        }
        edges.push(edge);
    }
    None
}

/// Replaces one call by a copy of what stands on the only way through the callee, in the call's own block.
pub(super) fn copy_way(
    caller: &mut Body,
    call: Inst,
    function: &Function,
    way: &Way,
    tables: &mut Tables,
    replacements: &mut Replacements,
) {
    let callee = &function.body;
    let Some((entry, here)) = callee.entry().zip(caller.inst_block(call)) else { return };
    let Tables { blocks, values, mapped, copied, .. } = tables;
    let origin = caller.origin(call);
    let origins = InlineMap::new(caller, function, origin);
    let mut copy = Copy { caller, callee, blocks, values, mapped, copied, origins, call, after: here };
    copy.map_arguments(entry);
    let mut block = entry;
    for edge in way.edges.iter().copied().map(Some).chain([None]) {
        let last = callee.terminator(block);
        for inst in callee.block_insts(block).take_while(|&inst| Some(inst) != last) {
            let new = copy.computation(inst);
            copy.caller.insert_inst_before(new, call);
        }
        let Some(edge) = edge else { break };
        block = callee.target_block(edge);
        for (&param, &arg) in callee.block_params(block).iter().zip(callee.target_args(edge)) {
            let value = copy.value(arg);
            copy.map(param, value);
        }
    }
    let results: SmallVec<[Value; 4]> =
        callee.args(way.leave).iter().map(|&value| copy.value(value)).collect();
    mapped.drain(..).for_each(|value| values[value] = None.into());
    for (old, new) in caller.results(call).zip(results) {
        replacements.set(old, new);
    }
    caller.remove_inst(call);
}

/// Tables that are reused from call to call. The maps are empty in between: a callee may have had many more blocks and
/// values than are left of it.
#[derive(Default)]
pub(crate) struct Tables {
    /// The calls that are replaced.
    pub(super) calls: Vec<(Inst, Func)>,
    /// Whose control flow it is.
    pub(super) callee: Option<Func>,
    pub(super) cfg: ControlFlow,
    blocks: SecondaryMap<Block, PackedOption<Block>>,
    values: SecondaryMap<Value, PackedOption<Value>>,
    mapped: Vec<Value>,
    /// Calls of functions in the last copy.
    pub(super) copied: Vec<(Inst, Func)>,
    /// Instructions that were copied in the unit.
    pub(super) total: usize,
}

impl Tables {
    /// Starts with another unit, or with a function in it before which so many instructions were copied.
    pub(crate) fn start(&mut self, total: usize) {
        self.total = total;
    }
}

/// As [`inline_call`], with tables that hold the callee's control flow.
pub(super) fn copy_callee(caller: &mut Body, call: Inst, function: &Function, tables: &mut Tables) {
    let callee = &function.body;
    let Some(before) = caller.inst_block(call) else { return };
    let Some(entry) = callee.entry() else { return };
    let after = caller.make_block();
    caller.insert_block_after(after, before);
    if let Some(tail) = caller.next_inst(call) {
        caller.move_tail(tail, after);
    }
    caller.results_to_params(call, after);
    let Tables { cfg, blocks, values, mapped, copied, .. } = tables;
    let origin = caller.origin(call);
    let origins = InlineMap::new(caller, function, origin);
    caller.reserve_blocks(cfg.reverse_post_order().len());
    let mut copy = Copy { caller, callee, blocks, values, mapped, copied, origins, call, after };
    copy.make_blocks(cfg, before);
    copy.map_arguments(entry);
    for &block in cfg.reverse_post_order() {
        for inst in callee.block_insts(block) {
            copy.inst(block, inst);
        }
    }
    let start = copy.blocks[entry].expand();
    cfg.reverse_post_order().iter().for_each(|&block| blocks[block] = None.into());
    mapped.drain(..).for_each(|value| values[value] = None.into());
    let Some(start) = start else { return };
    let edge = caller.make_block_call(start, &[]);
    caller.replace_inst(call, Op::Jump, Type::ERROR, &[], 0);
    caller.set_targets(call, &[edge]);
}

struct Copy<'a> {
    caller: &'a mut Body,
    callee: &'a Body,
    blocks: &'a mut SecondaryMap<Block, PackedOption<Block>>,
    values: &'a mut SecondaryMap<Value, PackedOption<Value>>,
    /// The keys of `values`.
    mapped: &'a mut Vec<Value>,
    copied: &'a mut Vec<(Inst, Func)>,
    origins: InlineMap,
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
                self.map(param, copied);
            }
        }
    }

    fn map_arguments(&mut self, entry: Block) {
        let arguments = SmallVec::<[Value; 8]>::from_slice(self.caller.args(self.call));
        for (&param, argument) in self.callee.block_params(entry).iter().zip(arguments) {
            self.map(param, argument);
        }
    }

    fn map(&mut self, old: Value, new: Value) {
        self.values[old] = new.into();
        self.mapped.push(old);
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
        self.map(value, mapped);
        mapped
    }

    fn inst(&mut self, block: Block, inst: Inst) {
        let Some(block) = self.blocks[block].expand() else { return };
        let data = self.callee.inst(inst);
        if data.op == Op::Return {
            let origin = self.origins.get(self.caller, self.callee, self.callee.origin(inst));
            let args: SmallVec<[Value; 4]> =
                self.callee.args(inst).iter().map(|&arg| self.value(arg)).collect();
            let jump = self.caller.make_inst(Op::Jump, Type::ERROR, &[], 0);
            let edge = self.caller.make_block_call(self.after, &args);
            self.caller.set_targets(jump, &[edge]);
            self.caller.append_inst(jump, block);
            self.caller.set_origin(jump, origin);
            return;
        }
        let new = self.computation(inst);
        self.caller.append_inst(new, block);
    }

    /// The copy of an instruction, in no block yet.
    fn computation(&mut self, inst: Inst) -> Inst {
        let data = self.callee.inst(inst);
        let args: SmallVec<[Value; 4]> = self.callee.args(inst).iter().map(|&arg| self.value(arg)).collect();
        let origin = self.origins.get(self.caller, self.callee, self.callee.origin(inst));
        let imm = self.immediate(inst);
        let new = self.caller.make_inst(data.op, data.ty, &args, imm);
        self.caller.set_guarded(new, data.guarded);
        if data.op == Op::Call {
            self.copied.extend(callee(self.callee, inst).map(|callee| (new, callee)));
        }
        let types: SmallVec<[Type; 2]> =
            self.callee.results(inst).map(|v| self.callee.value_type(v)).collect();
        self.caller.make_results(new, &types);
        for (old, new) in self.callee.results(inst).zip(self.caller.results(new)) {
            self.values[old] = new.into();
            self.mapped.push(old);
        }
        let mut edges = SmallVec::<[BlockCall; 2]>::new();
        for &edge in self.callee.targets(inst) {
            let args = self.callee.target_args(edge).iter().map(|&arg| self.value(arg));
            let args: SmallVec<[Value; 4]> = args.collect();
            if let Some(target) = self.blocks[self.callee.target_block(edge)].expand() {
                edges.push(self.caller.make_block_call(target, &args));
            }
        }
        if !edges.is_empty() {
            self.caller.set_targets(new, &edges);
        }
        self.caller.set_origin(new, origin);
        new
    }

    /// The immediate, where it is an id of the body.
    fn immediate(&mut self, inst: Inst) -> u32 {
        let data = self.callee.inst(inst);
        match data.op.info().shape {
            Shape::Call
            | Shape::Throw
            | Shape::Assert
            | Shape::StaticAssert
            | Shape::Query
            | Shape::Input
            | Shape::Print
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
