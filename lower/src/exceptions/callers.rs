//! Who called the functions whose places throw, as far as the unit tells.
//!
//! A function that has one call in the unit was called from there, and so on outwards. One that has several may have been
//! called from any of them: all are named as candidates, and the way ends. It ends as well at an entry, which hosts call.
//! Both lists are limited, and say so where they are cut.
//! Indirect calls are calls of every function with their signature whose address is taken.

use crate::call_graph::{callee, held};
use crate::legal::Site;
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::{Body, Frame, Symbol};
use marquetry_ir::entity::{Func, Inst, SigRef, SymbolRef};
use marquetry_ir::op::Op;
use marquetry_ir::signature::Signature;
use marquetry_ir::unit::Unit;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// The most callers that a place names.
const MAX_CALLERS: usize = 64;
/// The most candidates that a place names.
const MAX_CANDIDATES: usize = 64;

/// Calls of one function.
#[derive(Clone, Default)]
struct Calls {
    list: Vec<(Func, Inst)>,
    /// Whether there are more than were noted.
    more: bool,
}

impl Calls {
    fn add(&mut self, func: Func, inst: Inst) {
        // One more than is shown: that there are more must be known, and no more than that.
        match self.list.len() > MAX_CANDIDATES {
            true => self.more = true,
            false => self.list.push((func, inst)),
        }
    }
}

/// The callers of a function, from the inside to the outside, and the candidates for the next one.
#[derive(Clone)]
struct Way {
    callers: Arc<[Frame]>,
    candidates: Arc<[Frame]>,
    /// Whether it goes on, or there are more candidates.
    more: bool,
}

/// Adds what is known of the callers to places that throw; `funcs` says in which function each one is.
pub(super) fn find(unit: &Unit, sites: &mut [Site], funcs: &[Func]) {
    let entries: FxHashSet<Func> = unit.entries.iter().copied().collect();
    let is_entry = |func: Func| entries.contains(&func);
    if funcs.iter().all(|&func| is_entry(func)) {
        return;
    }
    let calls = calls(unit);
    let mut known: FxHashMap<Func, Way> = FxHashMap::default();
    for (site, &func) in sites.iter_mut().zip(funcs) {
        let way = known.entry(func).or_insert_with(|| way(unit, &calls, func, &is_entry));
        let all = site.callers.len() + way.callers.len();
        site.callers = site.callers.iter().chain(way.callers.iter()).take(MAX_CALLERS).cloned().collect();
        // Candidates are for what comes after the last caller.
        let cut = all > MAX_CALLERS;
        site.candidates = if cut { Arc::default() } else { way.candidates.clone() };
        site.more = cut || way.more;
    }
}

fn way(unit: &Unit, calls: &SecondaryMap<Func, Calls>, func: Func, is_entry: &impl Fn(Func) -> bool) -> Way {
    let mut callers: Vec<Frame> = Vec::new();
    let mut seen = FxHashSet::default();
    let mut at = func;
    while !is_entry(at) && callers.len() < MAX_CALLERS && seen.insert(at) {
        let mut chains = chains(unit, &calls[at]);
        match chains.pop() {
            Some(only) if chains.is_empty() && !calls[at].more => {
                at = only.0;
                callers.extend(only.1);
            }
            Some(last) => {
                chains.push(last);
                let more = calls[at].more || chains.len() > MAX_CANDIDATES;
                let first = |(_, chain): (Func, Vec<Frame>)| chain.into_iter().next();
                let candidates: Vec<Frame> =
                    chains.into_iter().filter_map(first).take(MAX_CANDIDATES).collect();
                return Way { callers: callers.into(), candidates: candidates.into(), more };
            }
            None => break,
        }
    }
    let more = !is_entry(at) && !seen.contains(&at) && !calls[at].list.is_empty();
    Way { callers: callers.into(), candidates: Arc::default(), more }
}

/// The places of calls, each once: inlining and unrolling copy them.
fn chains(unit: &Unit, calls: &Calls) -> Vec<(Func, Vec<Frame>)> {
    let mut found: Vec<(Func, Vec<Frame>)> = Vec::new();
    for &(func, inst) in &calls.list {
        let function = &unit.funcs[func];
        let chain: Vec<Frame> = function.frames(function.body.origin(inst)).owned().collect();
        if found.iter().all(|(_, known)| *known != chain) {
            found.push((func, chain));
        }
    }
    found
}

/// The calls of each function.
fn calls(unit: &Unit) -> SecondaryMap<Func, Calls> {
    let mut calls: SecondaryMap<Func, Calls> = SecondaryMap::new();
    let mut indirect: FxHashMap<&Signature, Calls> = FxHashMap::default();
    let mut addressed: FxHashSet<Func> = held(unit).collect();
    for (func, function) in &unit.funcs {
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            match body.inst(inst).op {
                Op::Call => {
                    if let Some(callee) = callee(body, inst) {
                        calls[callee].add(func, inst);
                    }
                }
                Op::FunctionAddress => addressed.extend(addressed_by(body, inst)),
                Op::CallIndirect if body.signature_exists(body.inst(inst).imm) => {
                    let signature = body.signature(SigRef::from_u32(body.inst(inst).imm));
                    indirect.entry(signature).or_default().add(func, inst);
                }
                _ => {}
            }
        }
    }
    for func in addressed {
        let signature = unit.funcs.get(func).map(|function| &function.signature);
        if let Some(through) = signature.and_then(|signature| indirect.get(signature)) {
            calls[func].more |= through.more;
            through.list.iter().for_each(|&(caller, inst)| calls[func].add(caller, inst));
        }
    }
    calls
}

fn addressed_by(body: &Body, inst: Inst) -> Option<Func> {
    match body.symbol(SymbolRef::from_u32(body.inst(inst).imm)) {
        Symbol::Func(func) => Some(*func),
        _ => None,
    }
}
