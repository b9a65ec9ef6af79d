//! The call graph of a unit: who calls or mentions whom, strongly connected components, what is alive.

use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Inst, SymbolRef};
use marquetry_ir::op::Op;
use marquetry_ir::unit::{Function, Unit};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// The function of the unit that an instruction calls.
pub fn callee(body: &Body, inst: Inst) -> Option<Func> {
    let data = body.inst(inst);
    if data.op != Op::Call {
        return None;
    }
    match body.symbol(SymbolRef::from_u32(data.imm)) {
        Symbol::Func(func) => Some(*func),
        _ => None,
    }
}

/// The functions of the unit that a body's placed instructions call or take the address of.
pub fn mentioned(body: &Body, mut f: impl FnMut(Func)) {
    for block in body.blocks() {
        for inst in body.block_insts(block) {
            let data = body.inst(inst);
            if !matches!(data.op, Op::Call | Op::FunctionAddress) {
                continue;
            }
            if let Symbol::Func(func) = body.symbol(SymbolRef::from_u32(data.imm)) {
                f(*func);
            }
        }
    }
}

/// Functions in an order in which callees come before their callers, as far as recursion allows, with the number
/// of each one's strongly connected component.
pub struct BottomUp {
    /// The order.
    pub order: Vec<Func>,
    /// Component of each function: equal for functions that call each other in a cycle.
    pub component: SecondaryMap<Func, u32>,
}

/// Orders the functions of a unit.
pub fn bottom_up(unit: &Unit) -> BottomUp {
    let mut graph = DiGraph::<Func, ()>::with_capacity(unit.funcs.len(), unit.funcs.len());
    for func in unit.funcs.keys() {
        graph.add_node(func);
    }
    for (func, function) in &unit.funcs {
        mentioned(&function.body, |callee| {
            graph.add_edge(NodeIndex::new(func.index()), NodeIndex::new(callee.index()), ());
        });
    }
    // Kosaraju's algorithm, because petgraph's other one recurses as deep as functions call each other.
    let mut order = Vec::with_capacity(unit.funcs.len());
    let mut component = SecondaryMap::new();
    for (n, nodes) in kosaraju_scc(&graph).into_iter().enumerate() {
        for node in nodes {
            let func = Func::new(node.index());
            component[func] = n as u32;
            order.push(func);
        }
    }
    BottomUp { order, component }
}

/// Drops the functions that no entry reaches, keeping the order of the others. Gives old and new ids of those kept.
pub fn prune(unit: &mut Unit) -> Vec<(Func, Func)> {
    let mut alive = SecondaryMap::<Func, bool>::new();
    let mut stack = unit.entries.clone();
    while let Some(func) = stack.pop() {
        if !std::mem::replace(&mut alive[func], true) {
            mentioned(&unit.funcs[func].body, |callee| stack.push(callee));
        }
    }
    if unit.funcs.keys().all(|func| alive[func]) {
        return unit.funcs.keys().map(|func| (func, func)).collect();
    }
    let mut renumbered = SecondaryMap::<Func, PackedOption<Func>>::new();
    let mut kept = PrimaryMap::<Func, Function>::new();
    for (func, function) in std::mem::take(&mut unit.funcs) {
        if alive[func] {
            renumbered[func] = kept.push(function).into();
        }
    }
    for function in kept.values_mut() {
        renumber(&mut function.body, &renumbered);
    }
    unit.entries.iter_mut().for_each(|entry| *entry = renumbered[*entry].expand().unwrap_or(*entry));
    unit.funcs = kept;
    let pairs = renumbered.iter().filter_map(|(old, new)| Some((old, new.expand()?)));
    pairs.collect()
}

fn renumber(body: &mut Body, renumbered: &SecondaryMap<Func, PackedOption<Func>>) {
    let blocks: Vec<_> = body.blocks().collect();
    for block in blocks {
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            let data = body.inst(inst);
            if !matches!(data.op, Op::Call | Op::FunctionAddress) {
                continue;
            }
            let Symbol::Func(old) = *body.symbol(SymbolRef::from_u32(data.imm)) else { continue };
            if let Some(new) = renumbered[old].expand() {
                let id = body.make_symbol(Symbol::Func(new));
                body.inst_mut(inst).imm = id.as_u32();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquetry_ir::program::{Inlining, MethodKind};
    use marquetry_ir::signature::Signature;
    use marquetry_ir::span::Span;
    use marquetry_ir::types::Type;

    /// Functions that each call the next one; the last one calls the one of number `back`.
    fn chain(count: u32, back: Option<u32>) -> Unit {
        let mut unit = Unit::default();
        for n in 0..count {
            let mut body = Body::new();
            let entry = body.make_block();
            body.append_block(entry);
            let next = if n + 1 < count { Some(n + 1) } else { back };
            if let Some(next) = next {
                let callee = body.make_symbol(Symbol::Func(Func::from_u32(next)));
                let call = body.make_inst(Op::Call, Type::UNKNOWN, &[], callee.as_u32());
                body.append_inst(call, entry);
            }
            let leave = body.make_inst(Op::Return, Type::UNKNOWN, &[], 0);
            body.append_inst(leave, entry);
            unit.funcs.push(Function {
                name: format!("f{n}").into(),
                kind: MethodKind::Function,
                signature: Signature::new([], []),
                body,
                inlining: Inlining::Auto,
                file: None,
                span: Span::NOWHERE,
            });
        }
        unit
    }

    #[test]
    fn callees_come_first_however_deep_calls_nest() {
        let count = 100_000;
        let graph = bottom_up(&chain(count, None));
        let expected: Vec<Func> = (0..count).rev().map(Func::from_u32).collect();
        assert!(graph.order == expected);
    }

    #[test]
    fn functions_that_call_each_other_are_one_component() {
        let graph = bottom_up(&chain(5, Some(2)));
        let component = |n: u32| graph.component[Func::from_u32(n)];
        assert_eq!([component(3), component(4)], [component(2); 2]);
        assert!(component(0) != component(1) && component(1) != component(2));
        assert_eq!(graph.order.last(), Some(&Func::from_u32(0)));
    }
}
