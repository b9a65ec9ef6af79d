//! One function: every op that throws becomes a test and a branch to a block that returns the status.
//!
//! Each place that throws has a block of its own that ends in `return`: where control flow must be structured, a
//! `return` may stand anywhere. Only kernels have one block for all, and only where control flow need not be structured
//! ([`record`]). Instructions behind a test move to a new block, each at most once, so that the cost is the size
//! of the function.

use super::MAILBOX;
use super::guards::{self, Guard, least};
use super::record::{self, Claim, Exits};
use super::throwing::{Throwing, operands};
use crate::legal::Site;
use crate::passes::replace::Replacements;
use crate::runtime::print;
use marquetry_ir::body::{Body, Origin, Symbol};
use marquetry_ir::entity::{Block, Func, Inst, SigRef, SymbolRef, Value};
use marquetry_ir::exception::Exception;
use marquetry_ir::op::{Effects, Op, Shape};
use marquetry_ir::program::MethodKind;
use marquetry_ir::semantics::{const_from_lanes, const_lanes};
use marquetry_ir::types::{Scalar, Type};
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The name that an instruction mentions.
pub(super) fn symbol(body: &Body, inst: Inst) -> Option<&Symbol> {
    let data = body.inst(inst);
    let shape = data.op.info().shape;
    let mentions = matches!(
        shape,
        Shape::Call
            | Shape::Throw
            | Shape::Assert
            | Shape::StaticAssert
            | Shape::Query
            | Shape::FunctionAddress
            | Shape::GlobalAddress
    );
    (mentions && body.symbol_exists(data.imm)).then(|| body.symbol(SymbolRef::from_u32(data.imm)))
}

/// Type of an operand of an exception on its way.
pub(super) const WORD: Type = Type::I64;

/// The types of a status and its operands.
pub(super) fn status_types(operands: usize) -> impl Iterator<Item = Type> {
    std::iter::once(Type::I32).chain(std::iter::repeat_n(WORD, operands))
}

/// How a function leaves with a status.
enum Leave {
    /// It returns the status, its operands, and then these.
    Return(Vec<Value>),
    /// It jumps to this block with the status and its operands.
    Jump(Block),
    /// It passes its mailbox, the status, its number plus one and the operands to this function, and returns.
    Call { mailbox: Value, thrower: Func, kernel: u32 },
}

/// How a unit's kernels and functions are left.
pub(super) struct Manner {
    /// By kernel that throws, what it calls, if it calls something.
    pub throwers: FxHashMap<Func, Func>,
    /// Whether kernels record what is thrown.
    pub recorded: bool,
    /// The numbers of the entries, from 1.
    pub kernels: FxHashMap<Func, u32>,
    /// Whether a trap follows.
    pub trap: bool,
}

/// The places that throw and the function that each is in, and how kernels leave.
#[derive(Default)]
pub(super) struct Sites {
    pub list: Vec<Site>,
    pub funcs: Vec<Func>,
    pub exits: Exits,
}

struct Rewriter<'a> {
    body: &'a mut Body,
    throwing: &'a Throwing,
    /// How many operands of exceptions the function passes on.
    operands: usize,
    sites: &'a mut Sites,
    func: Func,
    leave: Leave,
    trap: bool,
    /// Whether the unit has kernels that record what is thrown.
    recorded: bool,
    name: Arc<str>,
    file: Option<u32>,
    /// Where instructions go; the block that holds them already, until the first test.
    block: Block,
    /// Of the instruction at hand.
    origin: Origin,
    replaced: Replacements,
    signatures: FxHashMap<u32, SigRef>,
}

/// Rewrites one function of a unit whose signatures are lowered already.
pub(super) fn function(unit: &mut Unit, func: Func, throwing: &Throwing, manner: &Manner, sites: &mut Sites) {
    let kernel = manner.kernels.get(&func).copied().unwrap_or(0);
    let function = &mut unit.funcs[func];
    let body = &mut function.body;
    let Some(entry) = body.entry() else { return };
    let throws = throwing.contains(func);
    let concerned = |inst: Inst| {
        let op = body.inst(inst).op;
        op.effects().has(Effects::THROW.and(Effects::CALL)) || matches!(op, Op::Throw | Op::Unreachable)
    };
    if !throws && !body.blocks().flat_map(|block| body.block_insts(block)).any(concerned) {
        return;
    }
    let operands = throwing.operands(func);
    let is_left = throws && function.kind == MethodKind::Kernel;
    let mailbox = is_left.then(|| body.append_block_param(entry, MAILBOX));
    let leave = match (mailbox, manner.throwers.get(&func)) {
        (Some(mailbox), Some(&thrower)) => Leave::Call { mailbox, thrower, kernel },
        (Some(_), None) => {
            let block = body.make_block();
            body.append_block_param(block, Type::I32);
            for _ in 0..operands {
                body.append_block_param(block, WORD);
            }
            Leave::Jump(block)
        }
        (None, _) => {
            let skipped = usize::from(throws) + operands;
            let rest = function.signature.results.get(skipped..).unwrap_or(&[]);
            Leave::Return(rest.iter().map(|&ty| body.make_scalar(ty, 0)).collect())
        }
    };
    let mut rewriter = Rewriter {
        body,
        throwing,
        operands,
        sites,
        func,
        leave,
        trap: manner.trap,
        recorded: manner.recorded,
        name: function.name.clone(),
        file: function.file,
        block: entry,
        origin: Origin::default(),
        replaced: Replacements::default(),
        signatures: FxHashMap::default(),
    };
    let blocks: Vec<Block> = rewriter.body.blocks().collect();
    let gives_status = throws && function.kind == MethodKind::Function;
    for block in blocks {
        rewriter.rewrite_block(block, gives_status);
    }
    if let (&Leave::Jump(block), Some(mailbox)) = (&rewriter.leave, mailbox) {
        rewriter.record(block, mailbox, kernel);
    }
    let mut replaced = rewriter.replaced;
    replaced.apply(body);
}

impl Rewriter<'_> {
    fn rewrite_block(&mut self, block: Block, gives_status: bool) {
        self.block = block;
        // As they are now: tests are appended behind them.
        let insts: Vec<Inst> = self.body.block_insts(block).collect();
        for inst in insts {
            if self.block != block {
                self.body.remove_inst(inst);
                self.body.append_inst(inst, self.block);
            }
            self.origin = self.body.origin(inst);
            match self.body.inst(inst).op {
                Op::DivS | Op::DivU | Op::RemS | Op::RemU => self.guard_division(inst),
                Op::BoundsCheck => self.check_bounds(inst),
                Op::Assert => self.assert(inst),
                Op::Throw => self.throw(inst),
                Op::Unreachable => {
                    self.body.remove_inst(inst);
                    let status = self.site(Exception::UnreachableError.name().into(), None);
                    self.finish(self.block, status, &[]);
                }
                Op::Call => self.call(inst),
                Op::CallIndirect => self.call_indirect(inst),
                Op::Return if gives_status => {
                    let fine = self.body.make_scalar(Type::I32, 0);
                    let mut results = self.with_operands(fine, &[]);
                    results.extend_from_slice(self.body.args(inst));
                    self.body.replace_inst(inst, Op::Return, Type::UNKNOWN, &results, 0);
                }
                _ => {}
            }
        }
    }

    fn append(&mut self, block: Block, op: Op, args: &[Value], results: &[Type]) -> Inst {
        let inst = self.body.make_inst(op, Type::UNKNOWN, args, 0);
        self.body.make_results(inst, results);
        self.body.set_origin(inst, self.origin);
        self.body.append_inst(inst, block);
        inst
    }

    /// Puts an instruction with one result before another one.
    fn before(&mut self, inst: Inst, op: Op, args: &[Value], result: Type) -> Value {
        let new = self.body.make_inst(op, Type::UNKNOWN, args, 0);
        self.body.make_results(new, &[result]);
        self.body.set_origin(new, self.origin);
        self.body.insert_inst_before(new, inst);
        self.body.first_result(new).unwrap_or(args[0])
    }

    /// The status of a new place that throws without operands.
    fn site(&mut self, kind: Arc<str>, reason: Option<Arc<str>>) -> Value {
        self.site_with(kind, reason, Box::default())
    }

    /// The status of a new place that throws with operands of these types.
    fn site_with(&mut self, kind: Arc<str>, reason: Option<Arc<str>>, operands: Box<[Type]>) -> Value {
        let mut frames = self.body.frames(&self.name, self.file, self.origin);
        let (function, file, span) = frames.next().unwrap_or((&self.name, self.file, self.origin.span));
        let (function, callers) = (function.clone(), frames.owned().collect());
        let (candidates, more) = (Arc::default(), false);
        self.sites.list.push(Site {
            kind,
            reason,
            operands,
            function,
            file,
            span,
            callers,
            candidates,
            more,
        });
        self.sites.funcs.push(self.func);
        self.body.make_scalar(Type::I32, self.sites.list.len() as u128)
    }

    /// A status, and as many operands as the function passes on: these, then zeros.
    fn with_operands(&mut self, status: Value, operands: &[Value]) -> Vec<Value> {
        if self.operands == 0 {
            return vec![status];
        }
        let zero = self.body.make_scalar(WORD, 0);
        let operands = operands.iter().copied().chain(std::iter::repeat(zero)).take(self.operands);
        std::iter::once(status).chain(operands).collect()
    }

    /// Ends a block by leaving the function with a status and its operands.
    fn finish(&mut self, block: Block, status: Value, operands: &[Value]) {
        let left = self.with_operands(status, operands);
        match &self.leave {
            Leave::Return(rest) => {
                // Where there is a kernel, it records the status first.
                let traps = self.trap && !self.recorded && self.body.value_const(status).is_some();
                let results = [&left[..], rest.as_slice()].concat();
                if traps {
                    self.append(block, Op::Trap, &[], &[]);
                }
                self.append(block, Op::Return, &results, &[]);
            }
            &Leave::Jump(leave) => {
                let edge = self.body.make_block_call(leave, &left);
                let jump = self.append(block, Op::Jump, &[], &[]);
                self.body.set_targets(jump, &[edge]);
            }
            &Leave::Call { mailbox, thrower, kernel } => {
                let callee = self.body.make_symbol(Symbol::Func(thrower));
                let kernel = self.body.make_scalar(Type::I32, u128::from(kernel));
                let mut args = vec![mailbox, status, kernel];
                args.extend(left.get(1..).unwrap_or(&[]));
                let call = self.append(block, Op::Call, &args, &[]);
                self.body.set_imm(call, callee.as_u32());
                self.leave_kernel(block);
            }
        }
    }

    /// Ends a block of a kernel.
    fn leave_kernel(&mut self, block: Block) {
        let trap = self.trap.then(|| self.append(block, Op::Trap, &[], &[]));
        let leave = self.append(block, Op::Return, &[], &[]);
        self.sites.exits.leaves.push((self.func, trap.unwrap_or(leave)));
    }

    /// Fills the block with which a kernel leaves, if anything jumps to it.
    fn record(&mut self, block: Block, mailbox: Value, kernel: u32) {
        let [status, operands @ ..] = &self.body.block_params(block).to_vec()[..] else { return };
        let status = *status;
        self.body.append_block(block);
        self.origin = Origin::default();
        let kernel = self.body.make_scalar(Type::I32, u128::from(kernel));
        let (done, end) = record::append_record(self.body, block, mailbox, status, kernel, operands);
        self.sites.exits.claims.push(Claim { func: self.func, end, status });
        self.leave_kernel(done);
    }

    /// Ends the current block: where `fine` holds (or, if `inverted`, does not), control goes on in a new block,
    /// which becomes the current one; elsewhere the function leaves with the status and its operands.
    fn branch(&mut self, condition: Value, inverted: bool, status: Value, operands: &[Value]) {
        let go_on = self.body.make_block();
        self.body.insert_block_after(go_on, self.block);
        let leave_edge = match self.leave {
            Leave::Jump(leave) => {
                let left = self.with_operands(status, operands);
                self.body.make_block_call(leave, &left)
            }
            _ => {
                let leave = self.body.make_block();
                self.body.append_block(leave);
                self.finish(leave, status, operands);
                self.body.make_block_call(leave, &[])
            }
        };
        let go_on_edge = self.body.make_block_call(go_on, &[]);
        let branch = self.append(self.block, Op::Branch, &[condition], &[]);
        let targets = if inverted { [leave_edge, go_on_edge] } else { [go_on_edge, leave_edge] };
        self.body.set_targets(branch, &targets);
        self.block = go_on;
    }

    /// Moves an instruction to the end of the current block.
    fn settle(&mut self, inst: Inst) {
        self.body.remove_inst(inst);
        self.body.append_inst(inst, self.block);
    }

    /// One truth value: whether two values are equal in any lane.
    fn any_equal(&mut self, left: Value, right: Value) -> Value {
        let mask = self.body.value_type(left).mask_type();
        let equal = self.append(self.block, Op::Eq, &[left, right], &[mask]);
        self.body.first_result(equal).unwrap_or(left)
    }

    fn any(&mut self, mask: Value) -> Value {
        if !self.body.value_type(mask).is_vector() {
            return mask;
        }
        let any = self.append(self.block, Op::ReduceOr, &[mask], &[Type::I1]);
        self.body.first_result(any).unwrap_or(mask)
    }

    fn guard_division(&mut self, inst: Inst) {
        let guard = guards::of(self.body, inst).unwrap_or(Guard::NEVER);
        let &[left, right] = self.body.args(inst) else { return };
        let ty = self.body.value_type(right);
        let Some(lane) = ty.lane() else { return };
        let op = self.body.inst(inst).op;
        self.body.set_guarded(inst, true);
        if guard != Guard::NEVER {
            self.body.remove_inst(inst);
            if guard.zero {
                let zero = self.body.make_scalar(ty, 0);
                let zeros = self.any_equal(right, zero);
                let bad = self.any(zeros);
                let status = self.site(Exception::DivideError.name().into(), None);
                self.branch(bad, true, status, &[]);
            }
            if guard.overflow {
                let minus_one = self.body.make_scalar(ty, lane.mask());
                let minimum = self.body.make_scalar(ty, least(lane));
                let divisors = self.any_equal(right, minus_one);
                let dividends = self.any_equal(left, minimum);
                let both = self.append(self.block, Op::And, &[divisors, dividends], &[ty.mask_type()]);
                let both = self.body.first_result(both).unwrap_or(divisors);
                let bad = self.any(both);
                let status = self.site(Exception::OverflowError.name().into(), None);
                self.branch(bad, true, status, &[]);
            }
            self.body.append_inst(inst, self.block);
        }
        if op == Op::RemS && guards::may_be(self.body, right, Scalar::mask) {
            let divisor = self.without_minus_one(inst, right, ty, lane);
            if let Some(operand) = self.body.args_mut(inst).get_mut(1) {
                *operand = divisor;
            }
        }
    }

    /// A divisor with the same remainders that is never -1: hardware may trap for the least value.
    fn without_minus_one(&mut self, inst: Inst, divisor: Value, ty: Type, lane: Scalar) -> Value {
        if let Some(mut lanes) = self.body.value_const(divisor).and_then(const_lanes) {
            lanes.iter_mut().filter(|bits| **bits == lane.mask()).for_each(|bits| *bits = 1);
            return match const_from_lanes(ty, &lanes) {
                Some(constant) => self.body.make_const(constant),
                None => divisor,
            };
        }
        let minus_one = self.body.make_scalar(ty, lane.mask());
        let one = self.body.make_scalar(ty, 1);
        let is_minus_one = self.before(inst, Op::Eq, &[divisor, minus_one], ty.mask_type());
        self.before(inst, Op::Select, &[is_minus_one, one, divisor], ty)
    }

    fn check_bounds(&mut self, inst: Inst) {
        let &[index, bound] = self.body.args(inst) else { return };
        self.body.remove_inst(inst);
        let inside = self.append(self.block, Op::LtU, &[index, bound], &[Type::I1]);
        let inside = self.body.first_result(inside).unwrap_or(index);
        let status = self.site(Exception::BoundsError.name().into(), None);
        self.branch(inside, false, status, &[]);
        if let Some(result) = self.body.first_result(inst) {
            self.replaced.set(result, index);
        }
    }

    fn assert(&mut self, inst: Inst) {
        let message = match symbol(self.body, inst) {
            Some(Symbol::Message(message)) => Some(message.clone()),
            _ => None,
        };
        let Some(&condition) = self.body.args(inst).first() else { return };
        let kind = Exception::AssertionFailed.name().into();
        self.body.remove_inst(inst);
        if operands(self.body, inst).is_empty() {
            let status = self.site(kind, message);
            return self.branch(condition, false, status, &[]);
        }
        // Words are made where it fails.
        let (go_on, fail) = (self.body.make_block(), self.body.make_block());
        self.body.insert_block_after(go_on, self.block);
        self.body.append_block(fail);
        let targets = [self.body.make_block_call(go_on, &[]), self.body.make_block_call(fail, &[])];
        let branch = self.append(self.block, Op::Branch, &[condition], &[]);
        self.body.set_targets(branch, &targets);
        self.body.append_inst(inst, fail);
        self.leave_with_operands(fail, inst, kind, message);
        self.block = go_on;
    }

    /// Ends a block with an instruction that throws: makes words of its operands, and leaves the function.
    fn leave_with_operands(&mut self, block: Block, inst: Inst, kind: Arc<str>, reason: Option<Arc<str>>) {
        let operands = operands(self.body, inst).to_vec();
        let types = operands.iter().map(|&operand| self.body.value_type(operand)).collect();
        let words: Vec<Value> =
            operands.iter().map(|&operand| print::word(self.body, inst, operand)).collect();
        self.body.remove_inst(inst);
        let status = self.site_with(kind, reason, types);
        self.finish(block, status, &words);
    }

    fn throw(&mut self, inst: Inst) {
        let (kind, reason) = match symbol(self.body, inst) {
            Some(Symbol::Exception(kind, reason)) => (kind.clone(), reason.clone()),
            Some(Symbol::Name(kind)) => (kind.clone(), None),
            _ => ("Exception".into(), None),
        };
        self.leave_with_operands(self.block, inst, kind, reason);
    }

    fn call(&mut self, inst: Inst) {
        if let Some(&Symbol::Func(callee)) = symbol(self.body, inst)
            && self.throwing.contains(callee)
        {
            self.test_call(inst, self.throwing.operands(callee));
        }
    }

    fn call_indirect(&mut self, inst: Inst) {
        let old = self.body.inst(inst).imm;
        if !self.body.signature_exists(old) {
            return;
        }
        let operands = self.throwing.indirect_operands();
        let new = match self.signatures.get(&old) {
            Some(&new) => new,
            None => {
                let mut signature = self.body.signature(SigRef::from_u32(old)).clone();
                signature.results.splice(0..0, status_types(operands));
                self.body.make_signature(signature)
            }
        };
        self.signatures.insert(old, new);
        self.body.set_imm(inst, new.as_u32());
        self.test_call(inst, operands);
    }

    /// Gives a call its status, with this many operands, and tests it.
    fn test_call(&mut self, inst: Inst, operands: usize) {
        let old: Vec<Value> = self.body.results(inst).collect();
        let results = old.iter().map(|&value| self.body.value_type(value));
        let types: Vec<Type> = status_types(operands).chain(results).collect();
        self.body.make_results(inst, &types);
        let new: Vec<Value> = self.body.results(inst).collect();
        for (&old, &new) in old.iter().zip(new.iter().skip(1 + operands)) {
            self.replaced.set(old, new);
            if let Some(name) = self.body.names.value(old).map(str::to_owned) {
                self.body.names.set_value(new, &name);
            }
        }
        let Some(&status) = new.first() else { return };
        self.settle(inst);
        let zero = self.body.make_scalar(Type::I32, 0);
        let failed = self.append(self.block, Op::Ne, &[status, zero], &[Type::I1]);
        let failed = self.body.first_result(failed).unwrap_or(status);
        self.branch(failed, true, status, new.get(1..1 + operands).unwrap_or(&[]));
    }
}
