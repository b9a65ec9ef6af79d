//! One function: its blocks and instructions in turn.
//!
//! Blocks are visited in reverse post-order, so that every value is built before its uses; they are placed in the
//! order of the source.

use super::already::Left;
use super::emit::Ask;
use super::held::Val;
use super::{Building, Legaliser};
use crate::failure::Failure;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Code;
use marquetry_ir::entity::{Block, BlockCall, Const, Func, Inst, SigRef, Switch, SymbolRef, Value};
use marquetry_ir::limits::{MAX_PARAMS, MAX_RESULTS};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::signature::Signature;
use marquetry_ir::text;
use marquetry_ir::types::{Scalar, Type};
use marquetry_ir::unit::Unit;
use smallvec::SmallVec;

/// What the parts of the old body became.
struct Map {
    values: Vec<Option<Val>>,
    blocks: Vec<Option<Block>>,
}

impl Map {
    fn block(&self, block: Block) -> Option<Block> {
        self.blocks.get(block.as_u32() as usize).copied().flatten()
    }
}

impl Legaliser<'_> {
    /// Legalises all functions of a unit, and the signatures of everything. Says which functions are written anew.
    pub(super) fn legalise_unit(&mut self, unit: &mut Unit, tidy: bool) -> Vec<Func> {
        for host in unit.externs.values() {
            self.at(host.file, host.span);
            let types: Vec<Type> =
                host.signature.params.iter().chain(&host.signature.results).copied().collect();
            for ty in types {
                if !self.is_leaf(ty) {
                    self.unsupported_type(ty, "values for functions of the host cannot be taken apart");
                }
            }
        }
        let funcs: Vec<Func> = unit.funcs.keys().collect();
        let mut rewritten = Vec::new();
        for func in funcs {
            if self.failure.is_some() {
                break;
            }
            let function = &mut unit.funcs[func];
            if let Some(left) = self.nearly_legal(&function.body, &function.signature) {
                if left == Left::NarrowIndices {
                    super::indices::widen(&mut function.body, &self.cfg, &mut self.dominators);
                }
                if !tidy {
                    super::tidy::remove_unused(&mut function.body);
                }
                continue;
            }
            self.f = Building::new(function.name.clone(), function.file);
            self.f.origin.span = function.span;
            function.signature = self.flat_signature(&function.signature.clone());
            let mut old = std::mem::take(&mut function.body);
            self.f.body.take_inlined_calls(&mut old);
            self.legalise_body(&old);
            super::tidy::remove_unused(&mut self.f.body);
            function.body = std::mem::take(&mut self.f.body);
            rewritten.push(func);
        }
        rewritten
    }

    /// A signature of legal types only.
    pub(super) fn flat_signature(&mut self, signature: &Signature) -> Signature {
        let mut flat = |types: &[Type], what, limit: usize| {
            let mut leaves = Vec::new();
            for &ty in types {
                let shape = self.shape(ty);
                if let Some(reason) = shape.unsupported {
                    self.unsupported_type(ty, reason);
                }
                leaves.extend(shape.leaves.iter().map(|leaf| leaf.0));
            }
            if leaves.len() > limit {
                let found = leaves.len() as u64;
                self.too_much(what, limit as u64, found);
            }
            leaves
        };
        let params = flat(&signature.params, "parameters once aggregates are taken apart", MAX_PARAMS);
        let results = flat(&signature.results, "results once aggregates are taken apart", MAX_RESULTS);
        Signature { params, results }
    }

    fn legalise_body(&mut self, old: &Body) {
        let cfg = std::mem::take(&mut self.cfg);
        self.f.body.reserve(old.inst_count());
        let mut map = Map { values: vec![None; old.value_count()], blocks: vec![None; old.block_count()] };
        for block in old.blocks().filter(|&block| cfg.is_reachable(block)) {
            let new = match old.entry() {
                Some(entry) if entry == block => self.f.block,
                _ => {
                    let new = self.f.body.make_block();
                    self.f.body.append_block(new);
                    new
                }
            };
            if let Some(slot) = map.blocks.get_mut(block.as_u32() as usize) {
                *slot = Some(new);
            }
            if let Some(name) = old.names.block(block) {
                self.f.body.names.set_block(new, name);
            }
            if let Some(first) = old.block_insts(block).next() {
                self.f.origin = old.origin(first);
            }
            for &param in old.block_params(block) {
                let ty = old.value_type(param);
                // Parameters of the entry are those of the signature, which was looked at.
                if new != self.f.block
                    && let Some(reason) = self.shape(ty).unsupported
                {
                    self.unsupported_type(ty, reason);
                }
                let val = self.block_param(new, ty);
                self.define(old, &mut map, param, val);
            }
        }
        for &block in cfg.reverse_post_order() {
            let Some(new) = map.block(block) else { continue };
            self.f.block = new;
            for inst in old.block_insts(block) {
                self.f.origin = old.origin(inst);
                let before = self.problems.len();
                self.translate(old, &mut map, inst);
                self.show(old, inst, before);
                if self.failure.is_some() {
                    return;
                }
            }
        }
        self.cfg = cfg;
    }

    /// Adds the text of an instruction to the problems from a number on, where no source shows it.
    fn show(&mut self, old: &Body, inst: Inst, before: usize) {
        let fresh = self.problems.get_mut(before..).unwrap_or_default();
        for problem in fresh.iter_mut().filter(|problem| !problem.span.is_somewhere()) {
            let text = text::print_inst(old, &self.types, None, inst);
            problem.notes.push(format!("in '{text}' of '{}'", self.f.name));
        }
    }

    /// Adds the leaves of a type to a block's parameters.
    pub(super) fn block_param(&mut self, block: Block, ty: Type) -> Val {
        let shape = self.shape(ty);
        let leaves = shape.leaves.iter().map(|&(leaf, _)| self.f.body.append_block_param(block, leaf));
        let leaves: SmallVec<[Value; 4]> = leaves.collect();
        self.hold(ty, &leaves)
    }

    fn define(&mut self, old: &Body, map: &mut Map, value: Value, val: Val) {
        if let Some(slot) = map.values.get_mut(value.as_u32() as usize) {
            *slot = Some(val);
        }
        let Some(name) = old.names.value(value) else { return };
        let leaves = self.leaves(val);
        if let &[leaf] = leaves.as_slice()
            && self.f.body.value_const(leaf).is_none()
            && self.f.body.names.value(leaf).is_none()
        {
            self.f.body.names.set_value(leaf, name);
        }
    }

    /// What a value of the old body became.
    fn value(&mut self, old: &Body, map: &mut Map, value: Value) -> Val {
        let index = value.as_u32() as usize;
        if let Some(val) = map.values.get(index).copied().flatten() {
            return val;
        }
        let val = match old.value_const(value) {
            Some(constant) => self.constant(constant),
            // Verified code defines values before their uses.
            None => self.zero(old.value_type(value)),
        };
        if let Some(slot) = map.values.get_mut(index) {
            *slot = Some(val);
        }
        val
    }

    /// The leaves of several values.
    pub(super) fn flatten(&mut self, vals: &[Val]) -> SmallVec<[Value; 4]> {
        let mut leaves = SmallVec::with_capacity(vals.len());
        for &val in vals {
            leaves.extend(self.leaves(val));
        }
        leaves
    }

    fn edge(&mut self, old: &Body, map: &mut Map, call: BlockCall) -> BlockCall {
        let vals = old.target_args(call).iter().map(|&arg| self.value(old, map, arg));
        let vals: SmallVec<[Val; 4]> = vals.collect();
        let leaves = self.flatten(&vals);
        let block = map.block(old.target_block(call)).unwrap_or(self.f.block);
        self.f.body.make_block_call(block, &leaves)
    }

    fn translate(&mut self, old: &Body, map: &mut Map, inst: Inst) {
        let data = old.inst(inst);
        let mut args: SmallVec<[Val; 4]> =
            old.args(inst).iter().map(|&arg| self.value(old, map, arg)).collect();
        let mut ask = Ask { op: data.op, ty: data.ty, imm: data.imm, guarded: data.guarded };
        match data.op.info().shape {
            Shape::Call | Shape::FunctionAddress | Shape::GlobalAddress => {
                if !old.symbol_exists(data.imm) {
                    return self
                        .fail(Failure::Internal(format!("'{}' of a name that does not exist", data.op)));
                }
                let symbol = old.symbol(SymbolRef::from_u32(data.imm)).clone();
                ask.imm = self.f.body.make_symbol(symbol).as_u32();
            }
            Shape::CallIndirect => {
                if !old.signature_exists(data.imm) {
                    return self.fail(Failure::Internal("a signature does not exist".into()));
                }
                let signature = self.flat_signature(old.signature(SigRef::from_u32(data.imm)));
                ask.imm = self.f.body.make_signature(signature).as_u32();
            }
            _ => {}
        }
        match data.op {
            Op::Call | Op::CallIndirect | Op::FunctionAddress => {
                let types: Vec<Type> = old.results(inst).map(|value| old.value_type(value)).collect();
                let vals = self.call(ask, &args, &types);
                for (value, val) in old.results(inst).zip(vals) {
                    self.define(old, map, value, val);
                }
            }
            Op::Jump | Op::Branch | Op::Switch | Op::Return => {
                self.translate_terminator(old, map, inst, &args)
            }
            Op::Unresolved | Op::Throw | Op::Unreachable | Op::Assert => {
                self.fail(Failure::Internal(format!("'{}' after exceptions were lowered", data.op)));
            }
            Op::Print | Op::KernelInput => {
                self.fail(Failure::Internal(format!("'{}' after the runtime was linked", data.op)));
            }
            // Nothing that folds comes after this; a job for devices has none.
            Op::Sentinel => {
                if let Some(result) = old.first_result(inst) {
                    let val = match data.ty.is_pointer() {
                        true => self.int(data.ty, 1),
                        false => self.zero(data.ty),
                    };
                    self.define(old, map, result, val);
                }
            }
            // A target without traps goes on; that could not be known before.
            Op::Trap
                if self.target.action(Op::Trap, Type::I32, Type::I32) == crate::target::Action::Expand => {}
            Op::StaticAssert => self.assertion(old, inst, &args),
            Op::Shuffle => {
                let mask = old.const_exists(data.imm).then(|| old.constant(Const::from_u32(data.imm)));
                let mask = mask.and_then(marquetry_ir::semantics::const_lanes).unwrap_or_default();
                let val = self.shuffle(&args, &mask);
                if let Some(result) = old.first_result(inst) {
                    self.define(old, map, result, val);
                }
            }
            _ => {
                let vals = self.emit_source(ask, &mut args);
                for (value, val) in old.results(inst).zip(vals) {
                    self.define(old, map, value, val);
                }
            }
        }
    }

    /// An ordinary op, its index brought to one type first.
    fn emit_source(&mut self, ask: Ask, args: &mut [Val]) -> super::held::Vals {
        match (ask.op, &mut *args) {
            (Op::Slot, _) => {
                let pointer = Type::pointer(marquetry_ir::types::Space::Local);
                self.append_vals(ask, &[], &[pointer])
            }
            (Op::Index, [_, index]) => {
                *index = match index.ty.bits() {
                    Some(0..64) => self.sext(Type::I64, *index),
                    Some(64) => *index,
                    _ => self.trunc(Type::I64, *index),
                };
                self.emit(ask, args)
            }
            (Op::FunctionAddress, _) => {
                self.append_vals(ask, &[], &[Type::pointer(marquetry_ir::types::Space::Generic)])
            }
            _ => self.emit(ask, args),
        }
    }

    /// A call, its operands and results taken apart.
    pub(super) fn call(&mut self, ask: Ask, args: &[Val], results: &[Type]) -> Vec<Val> {
        let leaves = self.flatten(args);
        let mut types = Vec::new();
        for &ty in results {
            types.extend(self.shape(ty).leaves.iter().map(|leaf| leaf.0));
        }
        if types.len() > MAX_RESULTS {
            let (what, limit) = ("results once aggregates are taken apart", MAX_RESULTS as u64);
            self.too_much(what, limit, types.len() as u64);
        }
        let inst = self.append(ask, &leaves, &types);
        let values: Vec<Value> = self.f.body.results(inst).collect();
        let mut rest = values.as_slice();
        let mut vals = Vec::with_capacity(results.len());
        for &ty in results {
            let count = self.shape(ty).leaves.len().min(rest.len());
            let (own, others) = rest.split_at(count);
            vals.push(self.hold(ty, own));
            rest = others;
        }
        vals
    }

    fn assertion(&mut self, old: &Body, inst: Inst, args: &[Val]) {
        let known = args.first().and_then(|&condition| self.const_bits(condition));
        if known == Some(1) {
            return;
        }
        let id = old.inst(inst).imm;
        let message = match old.symbol_exists(id).then(|| old.symbol(SymbolRef::from_u32(id))) {
            Some(Symbol::Message(message)) => message.to_string(),
            _ => String::new(),
        };
        let note = match known {
            Some(_) => "the condition is false",
            None => "the condition is not known while compiling",
        };
        self.problem(Code::Assertion, format!("static assertion failed: {message}"), Some(note));
    }

    fn translate_terminator(&mut self, old: &Body, map: &mut Map, inst: Inst, args: &[Val]) {
        let op = old.inst(inst).op;
        let edges: SmallVec<[BlockCall; 2]> =
            old.targets(inst).iter().map(|&call| self.edge(old, map, call)).collect();
        if op == Op::Switch {
            let id = old.inst(inst).imm;
            let cases = if old.switch_exists(id) { old.switch_cases(Switch::from_u32(id)) } else { &[] };
            if let Some(&selector) = args.first() {
                self.switch(selector, cases, &edges);
            }
            return;
        }
        let leaves = self.flatten(args);
        self.terminate(op, 0, &leaves, &edges);
    }

    /// Appends a terminator.
    pub(super) fn terminate(&mut self, op: Op, imm: u32, args: &[Value], edges: &[BlockCall]) {
        let inst = self.append(Ask::with_imm(op, imm), args, &[]);
        self.f.body.set_targets(inst, edges);
    }

    fn switch(&mut self, selector: Val, cases: &[u128], edges: &[BlockCall]) {
        if self.is_leaf(selector.ty) {
            let table = self.f.body.make_switch(cases);
            let leaf = self.leaf(selector);
            self.terminate(Op::Switch, table.as_u32(), &[leaf], edges);
            return;
        }
        // Too wide for a register: one comparison after the other.
        let Some((&otherwise, edges)) = edges.split_first() else { return };
        for (&case, &edge) in cases.iter().zip(edges) {
            let case = self.int(selector.ty, case);
            let hit = self.eq(selector, case);
            let hit = self.leaf(hit);
            let next = self.new_block();
            let go_on = self.f.body.make_block_call(next, &[]);
            self.terminate(Op::Branch, 0, &[hit], &[edge, go_on]);
            self.f.block = next;
        }
        self.terminate(Op::Jump, 0, &[], &[otherwise]);
    }

    /// A new block behind the current one.
    pub(super) fn new_block(&mut self) -> Block {
        let block = self.f.body.make_block();
        self.f.body.insert_block_after(block, self.f.block);
        block
    }

    /// Narrows or widens a lane number to an `i32` below the number of lanes, which is a power of two.
    pub(super) fn lane_number(&mut self, index: Val, lanes: u32) -> Val {
        let index = match index.ty.as_scalar() {
            Some(Scalar::I32) => index,
            _ => self.resize(Type::I32, index),
        };
        let mask = self.int(Type::I32, u128::from(lanes - 1));
        self.and(index, mask)
    }
}
