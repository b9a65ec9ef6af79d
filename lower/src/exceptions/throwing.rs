//! Which functions may throw.

use super::guards::{self, Guard};
use super::rewrite::symbol;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Inst};
use marquetry_ir::op::Op;
use marquetry_ir::unit::Unit;

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

/// The functions that may throw: those with an op that does, those whose address is taken, and their callers.
/// Costs the size of the unit.
pub(super) fn find(unit: &Unit) -> Funcs {
    let mut found = Funcs(vec![false; unit.funcs.len()]);
    let mut callers: Vec<Vec<Func>> = vec![Vec::new(); unit.funcs.len()];
    let mut work = Vec::new();
    for (func, function) in &unit.funcs {
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            match (body.inst(inst).op, symbol(body, inst)) {
                (Op::Call, Some(Symbol::Func(callee))) => {
                    if let Some(list) = callers.get_mut(callee.as_u32() as usize) {
                        list.push(func);
                    }
                }
                (Op::FunctionAddress, Some(Symbol::Func(addressed))) if found.insert(*addressed) => {
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
    found
}
