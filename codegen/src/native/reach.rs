//! What each function reaches through calls: the work-item it runs for, places where work-items wait, and recursion.
//!
//! One scan of the unit, then a worklist over the reversed call graph: linear in both, cycles included. Cycles are
//! looked for only where the order of the functions leaves room for one.

use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Func, SymbolRef};
use marquetry_ir::op::{Effects, Op};
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::Unit;
use marquetry_lower::call_graph;

/// What a function or anything it calls does.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// Asks which work-item it runs for: has the hidden parameter.
    pub context: bool,
    /// Meets other work-items.
    pub waits: bool,
    /// Its address is taken.
    pub address: bool,
    /// May be called while it runs: compares the stack with its limit.
    pub checks: bool,
    /// Is such a function or reaches one: has the hidden parameter that leads to the limit.
    pub stack: bool,
    pub calls_indirect: bool,
}

impl Facts {
    /// How many hidden parameters it has: the stack, then the work-item.
    pub(super) fn hidden(self) -> usize {
        usize::from(self.stack) + usize::from(self.context)
    }
}

/// The facts of all functions.
#[derive(Default)]
pub(super) struct Reach {
    facts: SecondaryMap<Func, Facts>,
    callers: SecondaryMap<Func, Vec<Func>>,
    /// The functions, callees before their callers; `None` stands for what addresses lead to.
    order: Vec<Option<Func>>,
    /// Whether indirect calls pass the work-item, and whether they pass the stack. These go last, where functions of the
    /// host ignore them.
    pub indirect_context: bool,
    pub indirect_stack: bool,
    pub uses_copy: bool,
    pub uses_set: bool,
    pub uses_clock: bool,
}

impl Reach {
    pub(super) fn compute(unit: &Unit) -> Reach {
        let mut reach = Reach::default();
        // Without a call of an earlier or the same function, or one through an address, nothing is recursive.
        let mut may_recurse = false;
        for (func, function) in unit.funcs.iter() {
            let body = &function.body;
            for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
                let data = body.inst(inst);
                match data.op {
                    Op::Call => {
                        if let Symbol::Func(callee) = *body.symbol(SymbolRef::from_u32(data.imm)) {
                            reach.callers[callee].push(func);
                            may_recurse |= callee.index() <= func.index();
                        }
                    }
                    Op::FunctionAddress => {
                        if let Symbol::Func(callee) = *body.symbol(SymbolRef::from_u32(data.imm)) {
                            reach.facts[callee].address = true;
                        }
                    }
                    Op::CallIndirect => {
                        reach.facts[func].calls_indirect = true;
                        may_recurse = true;
                    }
                    Op::LocalId | Op::GroupId | Op::GroupSize | Op::GroupCount => {
                        reach.facts[func].context = true;
                    }
                    Op::SubgroupSize | Op::SubgroupLane => reach.facts[func].context = true,
                    Op::GlobalAddress if data.ty == Type::pointer(Space::Shared) => {
                        reach.facts[func].context = true;
                    }
                    Op::MemCopy => reach.uses_copy = true,
                    Op::MemSet => reach.uses_set = true,
                    Op::Clock => reach.uses_clock = true,
                    op if op.effects().has(Effects::CONVERGENT) && op != Op::Call => {
                        reach.facts[func].context = true;
                        reach.facts[func].waits = true;
                    }
                    _ => {}
                }
            }
        }
        for func in call_graph::held(unit) {
            reach.facts[func].address = true;
        }
        let all: Vec<Func> = unit.funcs.keys().collect();
        if may_recurse {
            let cycles = call_graph::cycles(unit);
            for &func in &all {
                reach.facts[func].checks = cycles.recursive[func];
                reach.facts[func].stack = cycles.recursive[func];
            }
            reach.order = cycles.order;
        } else {
            reach.order = std::iter::once(None).chain(all.iter().rev().copied().map(Some)).collect();
        }
        let wants = |reach: &Reach, func: Func| reach.facts[func].context || reach.facts[func].waits;
        let starts = |reach: &Reach, func: Func| wants(reach, func) || reach.facts[func].stack;
        let mut work: Vec<Func> = all.iter().copied().filter(|&func| starts(&reach, func)).collect();
        reach.propagate(&mut work);
        // What an address leads to is unknown: if any function whose address is taken wants the parameter, all do,
        // and whoever calls through an address may wait.
        let addressed = |reach: &Reach| all.iter().any(|&f| reach.facts[f].address && wants(reach, f));
        if addressed(&reach) {
            reach.indirect_context = true;
            for &func in &all {
                let facts = &mut reach.facts[func];
                if facts.address || facts.calls_indirect {
                    facts.context = true;
                    facts.waits |= facts.calls_indirect;
                    work.push(func);
                }
            }
            reach.propagate(&mut work);
        }
        if all.iter().any(|&func| reach.facts[func].address && reach.facts[func].stack) {
            reach.indirect_stack = true;
            for &func in &all {
                let facts = &mut reach.facts[func];
                if facts.address || facts.calls_indirect {
                    facts.stack = true;
                    work.push(func);
                }
            }
            reach.propagate(&mut work);
        }
        reach
    }

    fn propagate(&mut self, work: &mut Vec<Func>) {
        while let Some(func) = work.pop() {
            let Facts { context, waits, stack, .. } = self.facts[func];
            for &caller in &self.callers[func] {
                let facts = &mut self.facts[caller];
                let old = *facts;
                facts.context |= context;
                facts.waits |= waits;
                facts.stack |= stack;
                if *facts != old {
                    work.push(caller);
                }
            }
        }
    }

    pub(super) fn facts(&self, func: Func) -> Facts {
        self.facts[func]
    }

    /// Functions that call this one by name; one of them twice, if it does so twice.
    pub(super) fn callers(&self, func: Func) -> &[Func] {
        &self.callers[func]
    }

    /// The functions, callees before their callers as far as recursion allows; `None` stands for what addresses lead to.
    pub(super) fn order(&self) -> &[Option<Func>] {
        &self.order
    }
}
