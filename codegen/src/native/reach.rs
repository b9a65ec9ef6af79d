//! What each function reaches through calls: the work-item it runs for, and places where work-items wait.
//!
//! One scan of the unit, then a worklist over the reversed call graph: linear in both, cycles included.

use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Func, SymbolRef};
use marquetry_ir::op::{Effects, Op};
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::Unit;

/// What a function or anything it calls does.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// Asks which work-item it runs for: has the hidden parameter.
    pub context: bool,
    /// Meets other work-items.
    pub waits: bool,
    /// Its address is taken.
    pub address: bool,
    calls_indirect: bool,
}

/// The facts of all functions.
#[derive(Default)]
pub(super) struct Reach {
    facts: SecondaryMap<Func, Facts>,
    /// Whether indirect calls pass the hidden parameter. It goes last, where functions that do not want it ignore it.
    pub indirect_context: bool,
    pub uses_copy: bool,
    pub uses_set: bool,
    pub uses_clock: bool,
    /// Whether there may be recursion: a call of an earlier or the same function, or one through an address.
    pub may_recurse: bool,
}

impl Reach {
    pub(super) fn compute(unit: &Unit) -> Reach {
        let mut reach = Reach::default();
        let mut callers: SecondaryMap<Func, Vec<Func>> = SecondaryMap::new();
        for (func, function) in unit.funcs.iter() {
            let body = &function.body;
            for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
                let data = body.inst(inst);
                match data.op {
                    Op::Call => {
                        if let Symbol::Func(callee) = *body.symbol(SymbolRef::from_u32(data.imm)) {
                            callers[callee].push(func);
                            reach.may_recurse |= callee.index() <= func.index();
                        }
                    }
                    Op::FunctionAddress => {
                        if let Symbol::Func(callee) = *body.symbol(SymbolRef::from_u32(data.imm)) {
                            reach.facts[callee].address = true;
                        }
                    }
                    Op::CallIndirect => {
                        reach.facts[func].calls_indirect = true;
                        reach.may_recurse = true;
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
        let all: Vec<Func> = unit.funcs.keys().collect();
        let wants = |reach: &Reach, func: Func| reach.facts[func].context || reach.facts[func].waits;
        let mut work: Vec<Func> = all.iter().copied().filter(|&func| wants(&reach, func)).collect();
        reach.propagate(&callers, &mut work);
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
            reach.propagate(&callers, &mut work);
        }
        reach
    }

    fn propagate(&mut self, callers: &SecondaryMap<Func, Vec<Func>>, work: &mut Vec<Func>) {
        while let Some(func) = work.pop() {
            let Facts { context, waits, .. } = self.facts[func];
            for &caller in &callers[func] {
                let facts = &mut self.facts[caller];
                let old = *facts;
                facts.context |= context;
                facts.waits |= waits;
                if *facts != old {
                    work.push(caller);
                }
            }
        }
    }

    pub(super) fn facts(&self, func: Func) -> Facts {
        self.facts[func]
    }
}
