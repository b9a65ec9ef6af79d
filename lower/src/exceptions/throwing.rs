//! Which functions may throw, and which of them with operands.
//!
//! Functions whose address is taken have one convention, so if any of them throws with operands, all of them may, and so
//! may every indirect call.

use super::guards::{self, Guard};
use super::rewrite::symbol;
use crate::call_graph;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashSet;

/// A set of functions.
#[derive(Clone, Debug)]
pub(super) struct Funcs(Vec<bool>);

impl Funcs {
    pub(super) fn contains(&self, func: Func) -> bool {
        self.0.get(func.as_u32() as usize).copied().unwrap_or(false)
    }

    /// Adds a function; whether it was new.
    fn insert(&mut self, func: Func) -> bool {
        match self.0.get_mut(func.as_u32() as usize) {
            Some(slot) => !std::mem::replace(slot, true),
            None => false,
        }
    }
}

/// Whether an instruction throws by itself, calls of the unit's functions aside.
fn throws(body: &Body, inst: Inst) -> bool {
    match body.inst(inst).op {
        Op::Throw | Op::Unreachable | Op::CallIndirect | Op::Assert => true,
        _ => guards::of(body, inst).is_some_and(|guard| guard != Guard::NEVER),
    }
}

/// What an instruction throws its exception with.
pub(super) fn operands(body: &Body, inst: Inst) -> &[Value] {
    match body.inst(inst).op {
        Op::Throw => body.args(inst),
        Op::Assert => body.args(inst).get(1..).unwrap_or(&[]),
        _ => &[],
    }
}

/// What is known of a unit.
#[derive(Clone, Debug)]
pub(super) struct Throwing {
    funcs: Funcs,
    /// Those that may throw with operands.
    carrying: Funcs,
    /// Whether indirect calls may.
    indirect: bool,
    /// The most operands of a `throw` or an `assert`.
    most: usize,
}

impl Throwing {
    /// Whether a function may throw.
    pub(super) fn contains(&self, func: Func) -> bool {
        self.funcs.contains(func)
    }

    /// How many operands of an exception a function passes on, behind the status.
    pub(super) fn operands(&self, func: Func) -> usize {
        if self.carrying.contains(func) { self.most } else { 0 }
    }

    /// As [`operands`](Self::operands), of indirect calls.
    pub(super) fn indirect_operands(&self) -> usize {
        if self.indirect { self.most } else { 0 }
    }
}

/// The functions that may throw: those with an op that does, if `addresses` those whose address is taken, and their callers.
/// Costs the size of the unit.
pub(super) fn find(unit: &Unit, addresses: bool) -> Throwing {
    let mut found = Funcs(vec![false; unit.funcs.len()]);
    let mut carrying = found.clone();
    let (mut carriers, mut addressed, mut indirect_callers) = (Vec::new(), Vec::new(), Vec::new());
    let mut most = 0;
    let mut callers: Vec<Vec<Func>> = vec![Vec::new(); unit.funcs.len()];
    let mut work = Vec::new();
    addressed.extend(call_graph::held(unit));
    work.extend(addressed.iter().copied().filter(|&func| addresses && found.insert(func)));
    for (func, function) in &unit.funcs {
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let op = body.inst(inst).op;
            let operands = operands(body, inst).len();
            if operands > 0 {
                most = most.max(operands);
                carriers.push(func);
            }
            if op == Op::CallIndirect {
                indirect_callers.push(func);
            }
            if let (Op::FunctionAddress, Some(Symbol::Func(func))) = (op, symbol(body, inst)) {
                addressed.push(*func);
            }
            match (op, symbol(body, inst)) {
                (Op::Call, Some(Symbol::Func(callee))) => {
                    if let Some(list) = callers.get_mut(callee.as_u32() as usize) {
                        list.push(func);
                    }
                }
                (Op::FunctionAddress, Some(Symbol::Func(addressed)))
                    if addresses && found.insert(*addressed) =>
                {
                    work.push(*addressed);
                }
                _ if throws(body, inst) && found.insert(func) => work.push(func),
                _ => {}
            }
        }
    }
    while let Some(func) = work.pop() {
        let callers = callers.get(func.as_u32() as usize).map_or(&[][..], |list| list);
        for &caller in callers {
            if found.insert(caller) {
                work.push(caller);
            }
        }
    }
    let is_addressed: FxHashSet<Func> = addressed.iter().copied().collect();
    let mut indirect = false;
    let mut work: Vec<Func> = carriers.into_iter().filter(|&func| carrying.insert(func)).collect();
    while let Some(func) = work.pop() {
        let callers = callers.get(func.as_u32() as usize).map_or(&[][..], |list| list);
        let calling = callers.iter().copied().filter(|&caller| carrying.insert(caller));
        work.extend(calling);
        if is_addressed.contains(&func) && !std::mem::replace(&mut indirect, true) {
            let others = addressed.iter().chain(&indirect_callers).copied();
            work.extend(others.filter(|&other| carrying.insert(other)));
        }
    }
    Throwing { funcs: found, carrying, indirect, most }
}
