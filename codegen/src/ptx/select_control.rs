//! Selection of blocks, terminators and the copies on edges.

use super::regs::{ParallelCopy, Place, Reg};
use super::select::{Here, Selector, args, illegal, internal};
use super::types::{Class, bits_of, unsigned, untyped};
use super::write::{Arg, Label};
use crate::error::EmitError;
use cranelift_entity::EntityRef;
use marquetry_ir::entity::{Block, BlockCall, Inst, Switch, Value};
use marquetry_ir::op::Op;
use marquetry_ir::program::MethodKind;
use marquetry_ir::types::Type;

/// Fewest cases of a `switch` for which a table of jumps is worth its load.
const MIN_TABLE_CASES: usize = 5;
/// Most cases that are compared with one after the other.
const MAX_COMPARED_CASES: usize = 4;

impl Selector<'_> {
    /// Whether a block has one way in, so that its parameters are that edge's arguments.
    pub(super) fn is_merged(&self, block: Block) -> bool {
        self.flow.position(block) != Some(0) && self.flow.predecessors(block).len() == 1
    }

    fn label_of(&self, block: Block) -> Label {
        Label('L', self.flow.position(block).unwrap_or(0) as u32)
    }

    /// Writes the n-th block in reverse post-order.
    pub(super) fn block(&mut self, here: &Here, n: usize) -> Result<(), EmitError> {
        let block = self.flow.reverse_post_order()[n];
        let next = self.flow.reverse_post_order().get(n + 1).copied();
        if self.is_merged(block) {
            let (_, call) = self.flow.predecessors(block)[0];
            let edge_args = here.body.target_args(call);
            for (&param, &arg) in here.body.block_params(block).iter().zip(edge_args) {
                let place = self.place(here, arg)?;
                self.regs.set_place(param, place);
            }
        }
        if !self.flow.predecessors(block).is_empty() {
            let label = self.label_of(block);
            self.out.label(label);
        }
        let terminator = here.body.terminator(block).ok_or_else(|| internal("a block without terminator"))?;
        for inst in here.body.block_insts(block) {
            if inst == terminator {
                break;
            }
            self.located(here, inst, |selector| selector.inst(here, inst))?;
        }
        self.located(here, terminator, |selector| selector.terminator(here, terminator, next))
    }

    /// Writes an instruction behind the place that it comes from.
    fn located(
        &mut self,
        here: &Here,
        inst: Inst,
        write: impl FnOnce(&mut Self) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        if !self.debug.is_on() {
            return write(self);
        }
        let mark = self.debug.locate(here.function, here.body.origin(inst), &mut self.out);
        write(self)?;
        self.debug.settle(mark, &mut self.out);
        Ok(())
    }

    fn terminator(&mut self, here: &Here, inst: Inst, next: Option<Block>) -> Result<(), EmitError> {
        let targets = here.body.targets(inst);
        match (here.body.inst(inst).op, targets) {
            (Op::Jump, &[to]) => self.edge(here, to, next),
            (Op::Branch, &[yes, no]) => {
                let [condition] = args(here, inst)?;
                match self.place(here, condition)? {
                    Place::Const(bits) => self.edge(here, if bits & 1 != 0 { yes } else { no }, next),
                    _ => {
                        let condition = self.register(here, condition)?;
                        self.branch(here, condition, yes, no, next)
                    }
                }
            }
            (Op::Switch, &[otherwise, ref cases @ ..]) => self.switch(here, inst, otherwise, cases, next),
            (Op::Return, []) => {
                if here.kind == MethodKind::Function {
                    self.return_values(here, inst)?;
                }
                self.out.line(&["ret"], &[]);
                Ok(())
            }
            _ => Err(illegal(here, inst)),
        }
    }

    /// Whether the edge has nothing to copy.
    fn is_plain(&self, here: &Here, call: BlockCall) -> bool {
        let block = here.body.target_block(call);
        if self.is_merged(block) {
            return true;
        }
        let pairs = here.body.block_params(block).iter().zip(here.body.target_args(call));
        pairs.into_iter().all(|(&param, &arg)| self.regs.place(param) == self.regs.place(arg))
    }

    /// The copies of an edge and the jump, unless it goes to the block that comes next.
    fn edge(&mut self, here: &Here, call: BlockCall, next: Option<Block>) -> Result<(), EmitError> {
        let block = here.body.target_block(call);
        if !self.is_plain(here, call) {
            self.edge_copies(here, call)?;
        }
        if next != Some(block) {
            let label = self.label_of(block);
            self.out.line(&["bra"], &[Arg::Label(label)]);
        }
        Ok(())
    }

    fn edge_copies(&mut self, here: &Here, call: BlockCall) -> Result<(), EmitError> {
        let block = here.body.target_block(call);
        let mut copies = std::mem::take(&mut self.copies);
        copies.clear();
        for (&param, &arg) in here.body.block_params(block).iter().zip(here.body.target_args(call)) {
            let Place::Reg(to) = self.regs.place(param) else {
                return Err(internal("a block parameter without register"));
            };
            let from = self.copied(here, to, arg)?;
            copies.add(to, from);
        }
        self.copy(&mut copies);
        self.copies = copies;
        Ok(())
    }

    /// What a copy reads.
    fn copied(&mut self, here: &Here, to: Reg, value: Value) -> Result<Arg, EmitError> {
        match self.place(here, value)? {
            Place::Const(bits) if to.class() == Class::Pred => Ok(Arg::Int((bits & 1) as i64)),
            _ => self.operand(here, value),
        }
    }

    fn copy(&mut self, copies: &mut ParallelCopy) {
        let Self { regs, out, .. } = self;
        copies.sequence(regs, |to, from| out.line(&["mov", to.class().suffix()], &[Arg::Reg(to), from]));
    }

    fn branch(
        &mut self,
        here: &Here,
        condition: Reg,
        yes: BlockCall,
        no: BlockCall,
        next: Option<Block>,
    ) -> Result<(), EmitError> {
        let (yes_block, no_block) = (here.body.target_block(yes), here.body.target_block(no));
        let (yes_plain, no_plain) = (self.is_plain(here, yes), self.is_plain(here, no));
        if no_plain && (!yes_plain || next == Some(yes_block)) {
            let label = self.label_of(no_block);
            self.out.line_if(condition, false, &["bra"], &[Arg::Label(label)]);
            return self.edge(here, yes, next);
        }
        if yes_plain {
            let label = self.label_of(yes_block);
            self.out.line_if(condition, true, &["bra"], &[Arg::Label(label)]);
            return self.edge(here, no, next);
        }
        let label = self.fresh_label();
        self.out.line_if(condition, false, &["bra"], &[Arg::Label(label)]);
        self.edge(here, yes, None)?;
        self.out.label(label);
        self.edge(here, no, next)
    }

    fn switch(
        &mut self,
        here: &Here,
        inst: Inst,
        otherwise: BlockCall,
        calls: &[BlockCall],
        next: Option<Block>,
    ) -> Result<(), EmitError> {
        let [selector] = args(here, inst)?;
        let values = here.body.switch_cases(Switch::new(here.body.inst(inst).imm as usize));
        let ty = here.body.value_type(selector);
        let mut bits = bits_of(ty);
        let mut selector = Arg::Reg(self.register(here, selector)?);
        if ty == Type::I1 {
            let word = Arg::Reg(self.regs.fresh(Class::B32));
            self.out.line(&["selp.b32"], &[word, Arg::Int(1), Arg::Int(0), selector]);
            (selector, bits) = (word, 32);
        }
        // Where each case goes: to its block, or first to the copies of its edge, which follow.
        let mut detours = Vec::new();
        let mut cases = Vec::with_capacity(values.len());
        for (&value, &call) in values.iter().zip(calls) {
            let label = if self.is_plain(here, call) {
                self.label_of(here.body.target_block(call))
            } else {
                let label = self.fresh_label();
                detours.push((label, call));
                label
            };
            cases.push((value as u64, label));
        }
        cases.sort_by_key(|&(value, _)| value);
        cases.dedup_by_key(|&mut (value, _)| value);
        let default = self.fresh_label();
        let span = match (cases.first(), cases.last()) {
            (Some(first), Some(last)) => last.0 - first.0,
            _ => 0,
        };
        if cases.len() >= MIN_TABLE_CASES && span / 2 < cases.len() as u64 {
            self.jump_table(selector, bits, &cases, span, default);
        } else {
            self.compare_cases(selector, bits, &cases, default);
        }
        self.out.label(default);
        self.edge(here, otherwise, if detours.is_empty() { next } else { None })?;
        for (label, call) in detours {
            self.out.label(label);
            self.edge(here, call, None)?;
        }
        Ok(())
    }

    fn jump_table(&mut self, selector: Arg, bits: u32, cases: &[(u64, Label)], span: u64, default: Label) {
        let first = cases.first().map_or(0, |case| case.0);
        let wide = if bits > 32 { Class::B64 } else { Class::B32 };
        let (offset, outside) = (Arg::Reg(self.regs.fresh(wide)), self.regs.fresh(Class::Pred));
        let first_arg = number(first, bits);
        self.out.line(&["sub", unsigned(bits)], &[offset, selector, first_arg]);
        self.out.line(&["setp.gt", unsigned(bits)], &[Arg::Reg(outside), offset, Arg::Int(span as i64)]);
        self.out.line_if(outside, true, &["bra"], &[Arg::Label(default)]);
        let index = if bits > 32 {
            let index = Arg::Reg(self.regs.fresh(Class::B32));
            self.out.line(&["cvt.u32.u64"], &[index, offset]);
            index
        } else {
            offset
        };
        let table = Label('S', self.labels);
        self.out.name_of(table);
        self.out.push(": .branchtargets ");
        let mut next = first;
        for &(value, label) in cases {
            if value != first {
                self.out.push(", ");
            }
            while next < value {
                self.out.name_of(default);
                self.out.push(", ");
                next += 1;
            }
            self.out.name_of(label);
            next = value.saturating_add(1);
        }
        self.out.push(";\n");
        self.out.line(&["brx.idx"], &[index, Arg::Label(table)]);
    }

    /// Halves the cases until few are left, and compares with these.
    fn compare_cases(&mut self, selector: Arg, bits: u32, cases: &[(u64, Label)], default: Label) {
        let mut waiting = vec![(cases, None)];
        while let Some((cases, label)) = waiting.pop() {
            if let Some(label) = label {
                self.out.label(label);
            }
            if cases.len() <= MAX_COMPARED_CASES {
                for &(value, to) in cases {
                    let equal = self.regs.fresh(Class::Pred);
                    let line = [Arg::Reg(equal), selector, number(value, bits)];
                    self.out.line(&["setp.eq", untyped(bits)], &line);
                    self.out.line_if(equal, true, &["bra"], &[Arg::Label(to)]);
                }
                // The default follows the last part.
                if !waiting.is_empty() {
                    self.out.line(&["bra"], &[Arg::Label(default)]);
                }
                continue;
            }
            let (low, high) = cases.split_at(cases.len() / 2);
            let pivot = high.first().map_or(0, |case| case.0);
            let (less, upper) = (self.regs.fresh(Class::Pred), self.fresh_label());
            self.out.line(&["setp.ge", unsigned(bits)], &[Arg::Reg(less), selector, number(pivot, bits)]);
            self.out.line_if(less, true, &["bra"], &[Arg::Label(upper)]);
            waiting.push((high, Some(upper)));
            waiting.push((low, None));
        }
    }
}

/// A case value as the selector's register holds it.
fn number(value: u64, bits: u32) -> Arg {
    Arg::Int(if bits == 32 { i64::from(value as u32 as i32) } else { value as i64 })
}
