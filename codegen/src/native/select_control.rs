//! Calls and terminators.

use super::select::{Selector, internal};
use super::tables::Callee;
use crate::error::EmitError;
use cranelift_codegen::cursor::Cursor;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, JumpTableData, types};
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{BlockCall, Inst, SigRef, Switch, SymbolRef};
use marquetry_ir::op::Op;
use marquetry_ir::signature::Signature;

/// A destination with its arguments.
type Edge = (ir::Block, Vec<BlockArg>);

/// From so many cases on, a table is worth its bounds check.
const TABLE_CASES: usize = 4;

impl Selector<'_> {
    pub(super) fn call(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let imm = self.body.inst(inst).imm;
        let skipped = usize::from(op == Op::CallIndirect);
        let mut args = std::mem::take(&mut self.tables.args);
        args.clear();
        for index in skipped..self.body.args(inst).len() {
            let value = self.arg(inst, index)?;
            args.push(value);
        }
        let call = match op {
            Op::Call => {
                let callee = match *self.body.symbol(SymbolRef::from_u32(imm)) {
                    Symbol::Func(func) => {
                        let facts = self.declared.reach.facts(func);
                        self.hidden(facts.stack, facts.context, &mut args)?;
                        Callee::Func(func)
                    }
                    Symbol::Extern(id) => Callee::Extern(id),
                    _ => return Err(internal("a call was not linked")),
                };
                self.convention.pass(&mut self.cursor, &mut args);
                if let Callee::Extern(id) = callee
                    && let Some((address, signature)) = self.declared.address(id)
                {
                    let signature = self.cursor.func.import_signature(signature.clone());
                    let address = self.constant(types::I64, u128::from(address));
                    self.cursor.ins().call_indirect(signature, address, &args)
                } else {
                    let callee = self.callee(callee)?;
                    self.cursor.ins().call(callee, &args)
                }
            }
            Op::CallIndirect => {
                let reach = &self.declared.reach;
                let (stack, context) = (reach.indirect_stack, reach.indirect_context);
                let hidden = usize::from(stack) + usize::from(context);
                // The operands' types are known here; the signature may have been written before they were.
                let params: Vec<_> =
                    self.body.args(inst).iter().skip(1).map(|&a| self.body.value_type(a)).collect();
                let results = self.body.signature(SigRef::from_u32(imm)).results.clone();
                let signature = self.convention.signature(&Signature { params, results }, hidden, true)?;
                self.hidden(stack, context, &mut args)?;
                self.convention.pass(&mut self.cursor, &mut args);
                let signature = self.cursor.func.import_signature(signature);
                let address = self.arg(inst, 0)?;
                self.cursor.ins().call_indirect(signature, address, &args)
            }
            _ => {
                let callee = match *self.body.symbol(SymbolRef::from_u32(imm)) {
                    Symbol::Func(func) => Callee::Func(func),
                    Symbol::Extern(id) => Callee::Extern(id),
                    _ => return Err(internal("a function address was not linked")),
                };
                if let Callee::Extern(id) = callee
                    && let Some((address, _)) = self.declared.address(id)
                {
                    self.tables.args = args;
                    let address = self.constant(types::I64, u128::from(address));
                    return self.define(inst, address);
                }
                let callee = self.callee(callee)?;
                self.tables.args = args;
                let address = self.cursor.ins().func_addr(types::I64, callee);
                return self.define(inst, address);
            }
        };
        args.clear();
        args.extend_from_slice(self.cursor.func.dfg.inst_results(call));
        let done = self.define_all(inst, &args);
        self.tables.args = args;
        done
    }

    /// Appends the hidden arguments of a call.
    fn hidden(&self, stack: bool, context: bool, args: &mut Vec<ir::Value>) -> Result<(), EmitError> {
        if stack {
            args.push(
                self.stack.ok_or_else(|| internal("a function that reaches recursion knows no stack"))?,
            );
        }
        if context {
            args.push(self.item()?);
        }
        Ok(())
    }

    /// A destination, its arguments computed here, of an edge that is not the only one.
    fn edge(&mut self, call: BlockCall, args: &mut Vec<BlockArg>) -> Result<ir::Block, EmitError> {
        match self.detour(call) {
            Some(block) => {
                args.clear();
                Ok(block)
            }
            None => self.only_edge(call, args),
        }
    }

    /// A destination, its arguments computed here.
    pub(super) fn only_edge(
        &mut self,
        call: BlockCall,
        args: &mut Vec<BlockArg>,
    ) -> Result<ir::Block, EmitError> {
        args.clear();
        let body = self.body;
        for &arg in body.target_args(call) {
            args.push(BlockArg::Value(self.value(arg)?));
        }
        self.block(body.target_block(call))
    }

    pub(super) fn terminator(&mut self, inst: Inst, op: Op) -> Result<(), EmitError> {
        let body = self.body;
        match (op, body.targets(inst)) {
            (Op::Jump, &[target]) => {
                let mut args = std::mem::take(&mut self.tables.edge);
                let block = self.only_edge(target, &mut args)?;
                if self.homes.is_some() {
                    self.pass(body.target_block(target), &args);
                    args.clear();
                }
                self.cursor.ins().jump(block, &args);
                self.tables.edge = args;
                Ok(())
            }
            (Op::Branch, &[yes, no]) => {
                let condition = self.arg(inst, 0)?;
                let (mut yes_args, mut no_args) = (std::mem::take(&mut self.tables.edge), Vec::new());
                let yes = self.edge(yes, &mut yes_args)?;
                let no = self.edge(no, &mut no_args)?;
                self.cursor.ins().brif(condition, yes, &yes_args, no, &no_args);
                self.tables.edge = yes_args;
                Ok(())
            }
            (Op::Switch, targets) => self.switch(inst, targets),
            (Op::Return, _) => {
                let mut values = std::mem::take(&mut self.tables.args);
                values.clear();
                for index in 0..body.args(inst).len() {
                    let value = self.arg(inst, index)?;
                    values.push(value);
                }
                self.cursor.ins().return_(&values);
                self.tables.args = values;
                Ok(())
            }
            _ => Err(self.unexpected(inst)),
        }
    }

    /// A tree of comparisons whose leaves are tables, where cases lie densely, or tests for equality.
    fn switch(&mut self, inst: Inst, targets: &[BlockCall]) -> Result<(), EmitError> {
        let cases = self.body.switch_cases(Switch::from_u32(self.body.inst(inst).imm));
        let selector = self.arg(inst, 0)?;
        let (Some((&otherwise, targets)), ty) = (targets.split_first(), self.type_of(selector)) else {
            return Err(internal("a switch has no destinations"));
        };
        let mask = u128::MAX >> (128 - ty.bits());
        let mut sorted = Vec::with_capacity(cases.len());
        for (&case, &target) in cases.iter().zip(targets) {
            let mut args = Vec::new();
            let block = self.edge(target, &mut args)?;
            sorted.push((case & mask, (block, args)));
        }
        sorted.sort_by_key(|&(case, _)| case);
        let mut args = Vec::new();
        let block = self.edge(otherwise, &mut args)?;
        let otherwise: Edge = (block, args);

        let mut work = vec![(None, &sorted[..])];
        while let Some((block, cases)) = work.pop() {
            if let Some(block) = block {
                self.cursor.func.layout.append_block(block);
                self.cursor.goto_bottom(block);
            }
            let span = match (cases.first(), cases.last()) {
                (Some((first, _)), Some((last, _))) => last - first,
                _ => 0,
            };
            let is_dense = span < 4 * cases.len() as u128 + 4;
            if cases.len() >= TABLE_CASES && is_dense && ty.bits() <= 64 {
                self.table(selector, cases, &otherwise);
            } else if cases.len() < TABLE_CASES {
                self.tests(selector, cases, &otherwise);
            } else {
                let (low, high) = cases.split_at(cases.len() / 2);
                let (below, above) = (self.new_block(), self.new_block());
                let pivot = self.constant(ty, high.first().map_or(0, |&(case, _)| case));
                let is_below = self.cursor.ins().icmp(IntCC::UnsignedLessThan, selector, pivot);
                self.cursor.ins().brif(is_below, below, &[], above, &[]);
                work.push((Some(above), high));
                work.push((Some(below), low));
            }
        }
        Ok(())
    }

    fn new_block(&mut self) -> ir::Block {
        self.cursor.func.dfg.make_block()
    }

    fn tests(&mut self, selector: ir::Value, cases: &[(u128, Edge)], otherwise: &Edge) {
        let ty = self.type_of(selector);
        for (n, (case, (block, args))) in cases.iter().enumerate() {
            let case = self.constant(ty, *case);
            let is_equal = self.cursor.ins().icmp(IntCC::Equal, selector, case);
            if n + 1 == cases.len() {
                self.cursor.ins().brif(is_equal, *block, args, otherwise.0, &otherwise.1);
                return;
            }
            let next = self.new_block();
            self.cursor.ins().brif(is_equal, *block, args, next, &[]);
            self.cursor.func.layout.append_block(next);
            self.cursor.goto_bottom(next);
        }
        self.cursor.ins().jump(otherwise.0, &otherwise.1);
    }

    fn table(&mut self, selector: ir::Value, cases: &[(u128, Edge)], otherwise: &Edge) {
        let ty = self.type_of(selector);
        let first = cases.first().map_or(0, |&(case, _)| case);
        let last = cases.last().map_or(0, |&(case, _)| case);
        let bias = self.constant(ty, first);
        let offset = self.cursor.ins().isub(selector, bias);
        let index = match ty {
            types::I32 => offset,
            types::I64 => {
                let limit = self.constant(ty, last - first);
                let outside = self.cursor.ins().icmp(IntCC::UnsignedGreaterThan, offset, limit);
                let inside = self.new_block();
                self.cursor.ins().brif(outside, otherwise.0, &otherwise.1, inside, &[]);
                self.cursor.func.layout.append_block(inside);
                self.cursor.goto_bottom(inside);
                self.cursor.ins().ireduce(types::I32, offset)
            }
            _ => self.cursor.ins().uextend(types::I32, offset),
        };
        let dfg = &mut self.cursor.func.dfg;
        let default = dfg.block_call(otherwise.0, &otherwise.1);
        let mut table = vec![default; (last - first) as usize + 1];
        for (case, (block, args)) in cases {
            if let Some(entry) = table.get_mut((case - first) as usize) {
                *entry = dfg.block_call(*block, args);
            }
        }
        let table = dfg.jump_tables.push(JumpTableData::new(default, &table));
        self.cursor.ins().br_table(index, table);
    }
}
