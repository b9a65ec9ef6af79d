//! Inlining: calls are replaced by the callee's body, callees first.
//!
//! Here is the policy; [`copy`] has the mechanism. Calls of one block are handled from its end, so that no instruction is
//! moved more than once per block and the whole costs what is copied.
//!
//! A small function that is inlined everywhere keeps the calls of other such functions until it is part of its callers:
//! there, constants decide which of them are left, and nothing is copied twice.
//!
//! `inline` always, `noinline` never, others when small, as long as the caller stays below [`MAX_INLINED_INSTS`] and all
//! that was copied in the unit below [`MAX_COPIED_INSTS`]. Calls inside a recursive cycle stay, but those of a small
//! function by itself: some levels of them become one ([`run_into_itself`]), which pays for fewer calls and fewer looks at
//! the stack's limit.

mod copy;

pub(crate) use copy::Tables;
pub use copy::inline_call;

use crate::call_graph::{BottomUp, callee};
use crate::passes::PassContext;
use copy::{copy_callee, copy_way, only_way};
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Func, Inst};
use marquetry_ir::limits::{MAX_COPIED_INSTS, MAX_INLINED_INSTS};
use marquetry_ir::op::Op;
use marquetry_ir::program::Inlining;
use marquetry_ir::unit::{Function, Unit};

/// Callees of at most this many instructions are inlined when nothing is said about them.
const SMALL: usize = 48;
/// Most instructions of a function that is inlined into itself, most that it becomes by that, and most times over.
const SMALL_RECURSIVE: usize = 24;
const MAX_RECURSIVE: usize = 96;
const MAX_LEVELS: usize = 2;

/// How many instructions stand in the blocks of a body.
pub fn size(body: &Body) -> usize {
    body.blocks().map(|block| body.block_insts(block).count()).sum()
}

/// Inlines calls in one function. Its callees must be finished. Says whether anything changed.
pub fn run(
    unit: &mut Unit,
    func: Func,
    graph: &BottomUp,
    sizes: &SecondaryMap<Func, u32>,
    unexpanded: &SecondaryMap<Func, bool>,
    ctx: &mut PassContext,
) -> bool {
    // The caller's body is taken out while callees are read.
    let mut body = std::mem::take(&mut unit.funcs[func].body);
    let changed = run_in(unit, func, &mut body, graph, sizes, unexpanded, ctx);
    unit.funcs[func].body = body;
    changed
}

/// As [`run`], in a body outside of the unit.
pub(crate) fn run_in(
    unit: &Unit,
    func: Func,
    body: &mut Body,
    graph: &BottomUp,
    sizes: &SecondaryMap<Func, u32>,
    unexpanded: &SecondaryMap<Func, bool>,
    ctx: &mut PassContext,
) -> bool {
    // Most functions call nothing.
    if !body.may_have(Op::Call) {
        return false;
    }
    let PassContext { replacements, inlining: tables, .. } = ctx;
    let mut calls = std::mem::take(&mut tables.calls);
    let room = chosen(unit, func, body, graph, sizes, tables.total, &mut calls);
    if calls.is_empty() {
        tables.calls = calls;
        return false;
    }
    tables.total += room;
    body.reserve(room);
    replacements.clear();
    tables.callee = None;
    // Calls in copies come after the one that they were copied for, the last first.
    calls.reverse();
    while let Some((call, name)) = calls.pop() {
        let callee = &unit.funcs[name];
        if let Some(way) = only_way(body, call, &callee.body) {
            copy_way(body, call, callee, &way, tables, replacements);
        } else {
            // Functions are often called several times in a row.
            if tables.callee != Some(name) {
                tables.cfg.compute(&callee.body);
                tables.callee = Some(name);
            }
            copy_callee(body, call, callee, tables);
        }
        if unexpanded[name] {
            calls.append(&mut tables.copied);
        }
        tables.copied.clear();
    }
    tables.calls = calls;
    replacements.apply(body);
    ctx.forget_flow();
    true
}

/// The calls in a function that are inlined, and how many instructions that copies; `total` were copied in the unit before.
pub(crate) fn chosen(
    unit: &Unit,
    func: Func,
    body: &Body,
    graph: &BottomUp,
    sizes: &SecondaryMap<Func, u32>,
    total: usize,
    calls: &mut Vec<(Inst, Func)>,
) -> usize {
    calls.clear();
    let mut found = 0;
    for block in body.blocks() {
        let first = calls.len();
        for inst in body.block_insts(block) {
            found += 1;
            calls.extend(callee(body, inst).map(|callee| (inst, callee)));
        }
        // A block's calls are handled from its end.
        calls[first..].reverse();
    }
    if calls.is_empty() {
        return 0;
    }
    let left = MAX_COPIED_INSTS.saturating_sub(total);
    let mut budget = MAX_INLINED_INSTS.saturating_sub(found).min(left);
    let mut room = 0;
    calls.retain(|&(_, callee)| {
        let cost = sizes[callee] as usize;
        let wanted = match unit.funcs[callee].inlining {
            Inlining::Always => true,
            Inlining::Never => false,
            Inlining::Auto => cost <= SMALL,
        };
        let fits = wanted && cost <= budget && graph.component[callee] != graph.component[func];
        if fits {
            budget -= cost;
            room += cost;
        }
        fits
    });
    room
}

/// Inlines a small function that calls itself into itself. Says whether anything changed. Functions with slots are left
/// alone: frames that held several of them would exhaust the stack at a lower depth.
pub(crate) fn run_into_itself(unit: &Unit, func: Func, body: &mut Body, ctx: &mut PassContext) -> bool {
    let function = &unit.funcs[func];
    if function.inlining == Inlining::Never {
        return false;
    }
    let (mut own, mut calls) = (0, Vec::new());
    for block in body.blocks() {
        let first = calls.len();
        for inst in body.block_insts(block) {
            own += 1;
            if own > SMALL_RECURSIVE || body.inst(inst).op == Op::Slot {
                return false;
            }
            if callee(body, inst) == Some(func) {
                calls.push(inst);
            }
        }
        calls[first..].reverse();
    }
    let mut size = own;
    let grows = |size: usize, calls: &[Inst]| !calls.is_empty() && size + calls.len() * own <= MAX_RECURSIVE;
    if !grows(size, &calls) {
        return false;
    }
    let original = Function { body: body.clone(), ..function.clone() };
    let tables = &mut ctx.inlining;
    tables.cfg.compute(&original.body);
    tables.callee = None;
    for _ in 0..MAX_LEVELS {
        if !grows(size, &calls) {
            break;
        }
        size += calls.len() * own;
        for call in std::mem::take(&mut calls) {
            copy_callee(body, call, &original, tables);
            let copied = tables.copied.drain(..).filter(|&(_, callee)| callee == func);
            // Those of one block stand in order: the last is handled first.
            let first = calls.len();
            calls.extend(copied.map(|(inst, _)| inst));
            calls[first..].reverse();
        }
    }
    ctx.forget_flow();
    true
}

/// How large a function gets by the calls in it that are inlined whenever it is; none if it is no matter of sizes alone.
pub(crate) fn expanded_size(
    unit: &Unit,
    func: Func,
    body: &Body,
    graph: &BottomUp,
    sizes: &SecondaryMap<Func, u32>,
) -> Option<usize> {
    let mut size = 0usize;
    for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
        size += 1;
        if let Some(callee) = callee(body, inst) {
            let always = unit.funcs[callee].inlining == Inlining::Always;
            if !always || graph.component[callee] == graph.component[func] {
                return None;
            }
            size += sizes[callee] as usize;
        }
    }
    Some(size)
}
