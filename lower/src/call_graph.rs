//! The call graph of a unit: who calls or mentions whom, strongly connected components, what is alive.

use crate::references;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Global, Inst, SymbolRef};
use marquetry_ir::op::{Op, OpSet};
use marquetry_ir::program::Reference;
use marquetry_ir::unit::{Function, Unit};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::FxHashMap;

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

/// The ops that mention functions.
const MENTIONING: OpSet = OpSet::of(&[Op::Call, Op::FunctionAddress]);

/// The functions of the unit that a body's placed instructions call or take the address of.
pub fn mentioned(body: &Body, mut f: impl FnMut(Func)) {
    if !body.may_have_any(&MENTIONING) {
        return;
    }
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

/// The functions whose addresses slots of globals hold: calls through addresses may lead to them, as to those that code
/// takes the address of.
pub fn held(unit: &Unit) -> impl Iterator<Item = Func> + '_ {
    unit.globals.values().flat_map(|data| &data.slots).filter_map(|slot| match slot.reference {
        Reference::Func(func) => Some(func),
        _ => None,
    })
}

/// Functions in an order in which callees come before their callers, as far as recursion allows, with the number
/// of each one's strongly connected component.
pub struct BottomUp {
    /// The order.
    pub order: Vec<Func>,
    /// Component of each function: equal for functions that call each other in a cycle.
    pub component: SecondaryMap<Func, u32>,
}

impl BottomUp {
    /// The functions in groups: each mentions functions of earlier groups only, but for those of its own component. Inside
    /// of a group the order is that of all.
    pub fn groups(&self, unit: &Unit) -> Vec<Vec<Func>> {
        // Per component. Those that are mentioned come first.
        let mut level = vec![0usize; unit.funcs.len()];
        for &func in &self.order {
            let own = self.component[func];
            let mut lowest = 0;
            mentioned(&unit.funcs[func].body, |callee| {
                let other = self.component[callee];
                if other != own {
                    lowest = lowest.max(level.get(other as usize).map_or(0, |level| level + 1));
                }
            });
            if let Some(level) = level.get_mut(own as usize) {
                *level = (*level).max(lowest);
            }
        }
        let mut groups: Vec<Vec<Func>> = Vec::new();
        for &func in &self.order {
            let level = level.get(self.component[func] as usize).copied().unwrap_or(0);
            if groups.len() <= level {
                groups.resize(level + 1, Vec::new());
            }
            if let Some(group) = groups.get_mut(level) {
                group.push(func);
            }
        }
        groups
    }
}

/// Orders the functions of a unit.
pub fn bottom_up(unit: &Unit) -> BottomUp {
    if let Some(order) = without_cycles(unit) {
        let mut component = SecondaryMap::with_capacity(order.len());
        order.iter().zip(0..).for_each(|(&func, n)| component[func] = n);
        return BottomUp { order, component };
    }
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

/// Functions behind all those that they mention; none if some mention each other in a cycle.
fn without_cycles(unit: &Unit) -> Option<Vec<Func>> {
    // The functions that each mentions, one list after the other.
    let mut all = Vec::new();
    let mut ranges = Vec::with_capacity(unit.funcs.len());
    for function in unit.funcs.values() {
        let start = all.len();
        mentioned(&function.body, |callee| all.push(callee));
        ranges.push((start, all.len()));
    }
    #[derive(Copy, Clone, PartialEq)]
    enum Seen {
        No,
        Open,
        Done,
    }
    let mut seen = vec![Seen::No; unit.funcs.len()];
    let mut order = Vec::with_capacity(unit.funcs.len());
    let mut stack: Vec<Func> = Vec::new();
    for root in unit.funcs.keys() {
        stack.push(root);
        while let Some(&func) = stack.last() {
            let state = seen.get_mut(func.index())?;
            let (next, end) = ranges.get_mut(func.index())?;
            if *state == Seen::Done {
                stack.pop();
                continue;
            }
            *state = Seen::Open;
            if *next == *end {
                *state = Seen::Done;
                order.push(func);
                stack.pop();
                continue;
            }
            let callee = *all.get(*next)?;
            *next += 1;
            match *seen.get(callee.index())? {
                Seen::No => stack.push(callee),
                Seen::Open => return None,
                Seen::Done => {}
            }
        }
    }
    Some(order)
}

/// Who may be running when a function is called: calls through addresses count as calls of every function whose address
/// is taken.
pub struct Cycles {
    /// The functions, callees before their callers as far as recursion allows. `None` stands for what calls through
    /// addresses lead to; of a cycle it comes first.
    pub order: Vec<Option<Func>>,
    /// Whether a function may be called while it runs.
    pub recursive: SecondaryMap<Func, bool>,
}

/// Finds the cycles of a unit's calls.
pub fn cycles(unit: &Unit) -> Cycles {
    let mut graph = DiGraph::<(), ()>::with_capacity(unit.funcs.len() + 1, unit.funcs.len());
    let nodes: Vec<NodeIndex> = unit.funcs.keys().map(|_| graph.add_node(())).collect();
    let somewhere = graph.add_node(());
    let node = |func: Func| nodes.get(func.index()).copied().unwrap_or(somewhere);
    let mut recursive = SecondaryMap::new();
    for (func, function) in &unit.funcs {
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let data = body.inst(inst);
            let named = || match body.symbol(SymbolRef::from_u32(data.imm)) {
                Symbol::Func(named) => Some(*named),
                _ => None,
            };
            match data.op {
                Op::Call => {
                    if let Some(callee) = named() {
                        recursive[func] |= callee == func;
                        graph.add_edge(node(func), node(callee), ());
                    }
                }
                Op::FunctionAddress => {
                    if let Some(addressed) = named() {
                        graph.add_edge(somewhere, node(addressed), ());
                    }
                }
                Op::CallIndirect => drop(graph.add_edge(node(func), somewhere, ())),
                _ => {}
            }
        }
    }
    for func in held(unit) {
        graph.add_edge(somewhere, node(func), ());
    }
    let mut order = Vec::with_capacity(nodes.len() + 1);
    for component in kosaraju_scc(&graph) {
        if component.contains(&somewhere) {
            order.push(None);
        }
        for &node in component.iter().filter(|&&node| node != somewhere) {
            let func = Func::new(node.index());
            recursive[func] |= component.len() > 1;
            order.push(Some(func));
        }
    }
    Cycles { order, recursive }
}

/// The functions that an entry reaches, in no particular order but always the same: a function leads to those that it
/// mentions, and to those whose addresses the globals hold that it mentions, or that these hold the addresses of.
pub fn alive(unit: &Unit) -> Vec<Func> {
    let mut seen = SecondaryMap::<Func, bool>::with_capacity(unit.funcs.len());
    let (mut stack, mut alive) = (unit.entries.clone(), Vec::new());
    let mut tables = (held(unit).next().is_some()).then(|| Tables::new(unit));
    while let Some(func) = stack.pop() {
        if !std::mem::replace(&mut seen[func], true) {
            alive.push(func);
            let body = &unit.funcs[func].body;
            mentioned(body, |callee| stack.push(callee));
            if let Some(tables) = &mut tables {
                tables.reached_by(body, &mut stack);
            }
        }
    }
    alive
}

/// Globals that code reaches.
struct Tables<'a> {
    unit: &'a Unit,
    names: FxHashMap<&'a str, Global>,
    seen: SecondaryMap<Global, bool>,
}

impl<'a> Tables<'a> {
    fn new(unit: &'a Unit) -> Self {
        let names = unit.globals.iter().map(|(id, data)| (&*data.name, id)).collect();
        Tables { unit, names, seen: SecondaryMap::new() }
    }

    /// Adds the functions whose addresses are in globals that a body leads to, of those that no other one did.
    fn reached_by(&mut self, body: &Body, found: &mut Vec<Func>) {
        let mut work: Vec<Global> = references::mentioned(body).map(|(_, global)| global).collect();
        while let Some(global) = work.pop() {
            let Some(data) = self.unit.globals.get(global) else { continue };
            if std::mem::replace(&mut self.seen[global], true) {
                continue;
            }
            for slot in &data.slots {
                match &slot.reference {
                    Reference::Func(func) => found.push(*func),
                    Reference::Global { name, .. } => work.extend(self.names.get(&**name)),
                    _ => {}
                }
            }
        }
    }
}

/// Drops the functions that no entry reaches, keeping the order of the others, and the globals that only these mention
/// if there are some that hold addresses of functions. Gives old and new ids of those kept.
pub fn prune(unit: &mut Unit) -> Vec<(Func, Func)> {
    let mut is_alive = SecondaryMap::<Func, bool>::new();
    alive(unit).into_iter().for_each(|func| is_alive[func] = true);
    let holding = held(unit).next().is_some();
    if unit.funcs.keys().all(|func| is_alive[func]) {
        if holding {
            references::prune(unit);
        }
        return unit.funcs.keys().map(|func| (func, func)).collect();
    }
    let mut renumbered = SecondaryMap::<Func, PackedOption<Func>>::new();
    let mut kept = PrimaryMap::<Func, Function>::new();
    for (func, function) in std::mem::take(&mut unit.funcs) {
        if is_alive[func] {
            renumbered[func] = kept.push(function).into();
        }
    }
    for function in kept.values_mut() {
        renumber(&mut function.body, &renumbered);
    }
    unit.entries.iter_mut().for_each(|entry| *entry = renumbered[*entry].expand().unwrap_or(*entry));
    unit.funcs = kept;
    if holding {
        // A global that holds a function that is gone is mentioned by no other.
        references::prune(unit);
        for slot in unit.globals.values_mut().flat_map(|data| &mut data.slots) {
            if let Reference::Func(func) = &mut slot.reference {
                *func = renumbered[*func].expand().unwrap_or(*func);
            }
        }
    }
    let pairs = renumbered.iter().filter_map(|(old, new)| Some((old, new.expand()?)));
    pairs.collect()
}

fn renumber(body: &mut Body, renumbered: &SecondaryMap<Func, PackedOption<Func>>) {
    if !body.may_have_any(&MENTIONING) {
        return;
    }
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
                body.set_imm(inst, id.as_u32());
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

    /// Makes a function call through an address.
    fn call_somewhere(unit: &mut Unit, caller: u32) {
        let body = &mut unit.funcs[Func::from_u32(caller)].body;
        let entry = body.entry().unwrap();
        let signature = body.make_signature(Signature::new([], []));
        let address = body.make_scalar(Type::I64, 0);
        let call = body.make_inst(Op::CallIndirect, Type::UNKNOWN, &[address], signature.as_u32());
        body.insert_inst_before(call, body.first_inst(entry).unwrap());
    }

    fn take_address(unit: &mut Unit, from: u32, of: u32) {
        let body = &mut unit.funcs[Func::from_u32(from)].body;
        let entry = body.entry().unwrap();
        let of = body.make_symbol(Symbol::Func(Func::from_u32(of)));
        let take = body.make_inst(Op::FunctionAddress, Type::UNKNOWN, &[], of.as_u32());
        body.insert_inst_before(take, body.first_inst(entry).unwrap());
    }

    #[test]
    fn cycles_go_through_addresses() {
        let recursive = |unit: &Unit| -> Vec<u32> {
            let cycles = cycles(unit);
            assert_eq!(cycles.order.len(), unit.funcs.len() + 1);
            unit.funcs.keys().filter(|&func| cycles.recursive[func]).map(|func| func.as_u32()).collect()
        };
        assert_eq!(recursive(&chain(5, None)), [0; 0]);
        assert_eq!(recursive(&chain(5, Some(2))), [2, 3, 4]);
        assert_eq!(recursive(&chain(5, Some(4))), [4]);
        // The last one calls what may be the one of number 1, whose address the first one takes.
        let mut unit = chain(5, None);
        call_somewhere(&mut unit, 4);
        assert_eq!(recursive(&unit), [0; 0]);
        take_address(&mut unit, 0, 1);
        assert_eq!(recursive(&unit), [1, 2, 3, 4]);
        assert_eq!(cycles(&unit).order.first(), Some(&None));
        assert_eq!(cycles(&unit).order.last(), Some(&Some(Func::from_u32(0))));
    }
}
