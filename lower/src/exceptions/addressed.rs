//! Addresses of functions that know nothing of statuses: they become addresses of functions that call those.

use super::rewrite;
use super::throwing;
use crate::call_graph;
use crate::fresh::fresh_name;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Inst};
use marquetry_ir::op::Op;
use marquetry_ir::program::{Inlining, MethodKind, Reference};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use marquetry_ir::unit::{Function, Unit};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Replaces addresses of the host's functions.
pub(super) fn wrap_externs(unit: &mut Unit) {
    let mut wrappers = FxHashMap::default();
    replace(unit, &mut |unit, symbol| {
        let &Symbol::Extern(host) = symbol else { return None };
        let data = unit.externs.get(host)?;
        let (name, file, signature) = (data.name.clone(), data.file, data.signature.clone());
        let symbol = symbol.clone();
        Some(*wrappers.entry(host).or_insert_with(|| wrap(unit, symbol, &name, file, signature)))
    });
}

/// Replaces addresses of entries that do not throw unless it is for their address.
pub(super) fn wrap_entries(unit: &mut Unit) {
    let takes = |function: &Function| function.body.may_have(Op::FunctionAddress);
    if !unit.funcs.values().any(takes) && call_graph::held(unit).next().is_none() {
        return;
    }
    let is_function = |func: &Func| unit.funcs[*func].kind == MethodKind::Function;
    let entries: FxHashSet<Func> = unit.entries.iter().copied().filter(is_function).collect();
    let taken = |function: &Function| {
        let body = &function.body;
        let of_entry =
            |inst| matches!(rewrite::symbol(body, inst), Some(Symbol::Func(func)) if entries.contains(func));
        takes(function) && addresses(body).any(of_entry)
    };
    let held = call_graph::held(unit).any(|func| entries.contains(&func));
    if !held && !unit.funcs.values().any(taken) {
        return;
    }
    let throwing = throwing::find(unit, false);
    let mut wrappers: FxHashMap<Func, Func> = FxHashMap::default();
    let mut wrapper = |unit: &mut Unit, func: Func| {
        if !entries.contains(&func) || throwing.contains(func) {
            return None;
        }
        let Function { name, file, signature, .. } = &unit.funcs[func];
        let (name, file, signature) = (name.clone(), *file, signature.clone());
        Some(*wrappers.entry(func).or_insert_with(|| wrap(unit, Symbol::Func(func), &name, file, signature)))
    };
    replace(unit, &mut |unit, symbol| match *symbol {
        Symbol::Func(func) => wrapper(unit, func),
        _ => None,
    });
    let slots = unit.globals.iter().flat_map(|(global, data)| {
        let slots = data.slots.iter().enumerate();
        slots.filter_map(move |(n, slot)| match slot.reference {
            Reference::Func(func) => Some((global, n, func)),
            _ => None,
        })
    });
    for (global, n, func) in slots.collect::<Vec<_>>() {
        if let Some(wrapper) = wrapper(unit, func) {
            unit.globals[global].slots[n].reference = Reference::Func(wrapper);
        }
    }
}

/// The instructions that take addresses of functions.
fn addresses(body: &Body) -> impl Iterator<Item = Inst> + '_ {
    let insts = body.blocks().flat_map(|block| body.block_insts(block));
    insts.filter(|&inst| body.inst(inst).op == Op::FunctionAddress)
}

/// Has addresses be taken of other functions.
fn replace(unit: &mut Unit, other: &mut dyn FnMut(&mut Unit, &Symbol) -> Option<Func>) {
    let funcs: Vec<Func> = unit.funcs.keys().collect();
    for func in funcs {
        let body = &unit.funcs[func].body;
        if !body.may_have(Op::FunctionAddress) {
            continue;
        }
        let known = |inst| Some((inst, rewrite::symbol(body, inst)?.clone()));
        let taken: Vec<(Inst, Symbol)> = addresses(body).filter_map(known).collect();
        for (inst, symbol) in taken {
            if let Some(other) = other(unit, &symbol) {
                let body = &mut unit.funcs[func].body;
                let symbol = body.make_symbol(Symbol::Func(other));
                body.set_imm(inst, symbol.as_u32());
            }
        }
    }
}

/// A function of the unit that only calls another one.
fn wrap(unit: &mut Unit, callee: Symbol, name: &str, file: Option<u32>, signature: Signature) -> Func {
    let mut body = Body::new();
    let entry = body.make_block();
    body.append_block(entry);
    let params: Vec<_> = signature.params.iter().map(|&ty| body.append_block_param(entry, ty)).collect();
    let callee = body.make_symbol(callee);
    let call = body.make_inst(Op::Call, Type::UNKNOWN, &params, callee.as_u32());
    body.make_results(call, &signature.results);
    body.append_inst(call, entry);
    let results: Vec<_> = body.results(call).collect();
    let leave = body.make_inst(Op::Return, Type::UNKNOWN, &results, 0);
    body.append_inst(leave, entry);
    let name: Arc<str> = fresh_name(unit, &format!("{name}_status"));
    let kind = MethodKind::Function;
    let inlining = Inlining::Never;
    unit.funcs.push(Function { name, kind, signature, body, inlining, file, span: Span::NOWHERE })
}
