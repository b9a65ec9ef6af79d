//! Effects of functions, derived from their bodies and those of what they call, to a fixed point.
//!
//! Memory that is a function's own (its slots) and constant memory are no effect. Nobody states effects: what a body
//! does is what counts.

use crate::call_graph;
use crate::passes::effects::may_throw;
use cranelift_entity::SecondaryMap;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Inst, SymbolRef, Value};
use marquetry_ir::op::{Effects, Op, Rule, Shape};
use marquetry_ir::types::Space;
use marquetry_ir::unit::Unit;
use std::fmt;

/// What calling a function may do besides computing its results.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct FuncEffects(u8);

const NAMES: [(FuncEffects, &str); 6] = [
    (FuncEffects::READS, "reads"),
    (FuncEffects::WRITES, "writes"),
    (FuncEffects::THROWS, "throws"),
    (FuncEffects::NONTOTAL, "nontotal"),
    (FuncEffects::OUTSIDE, "outside"),
    (FuncEffects::OVERRIDDEN, "overridden"),
];

impl FuncEffects {
    /// Nothing.
    pub const PURE: FuncEffects = FuncEffects(0);
    /// Reads memory that others may write.
    pub const READS: FuncEffects = FuncEffects(1);
    /// Writes memory that others may read.
    pub const WRITES: FuncEffects = FuncEffects(2);
    /// Ends with an exception.
    pub const THROWS: FuncEffects = FuncEffects(4);
    /// Does not end: there is a loop or a recursion.
    pub const NONTOTAL: FuncEffects = FuncEffects(8);
    /// Depends on, or does, something outside the program: functions of the host, unknown functions, the place in a
    /// grid, other work-items, time.
    pub const OUTSIDE: FuncEffects = FuncEffects(16);
    /// Means something else where other tables are asked: inconsistent overlays, and host bodies that stand for what
    /// only devices can do.
    pub const OVERRIDDEN: FuncEffects = FuncEffects(32);

    /// Both.
    #[must_use]
    pub const fn and(self, other: FuncEffects) -> FuncEffects {
        FuncEffects(self.0 | other.0)
    }

    /// Whether there is nothing besides these.
    pub const fn is_within(self, allowed: FuncEffects) -> bool {
        self.0 & !allowed.0 == 0
    }
}

impl fmt::Debug for FuncEffects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.iter().filter(|(effect, _)| effect.is_within(*self)).map(|(_, name)| *name);
        let names: Vec<&str> = names.collect();
        f.write_str(if names.is_empty() { "pure" } else { "" })?;
        f.write_str(&names.join(" "))
    }
}

/// The effects of all functions of a unit; `own` is what is known of a function besides its body.
pub fn find(unit: &Unit, own: impl Fn(Func) -> FuncEffects) -> SecondaryMap<Func, FuncEffects> {
    let graph = call_graph::bottom_up(unit);
    let mut found = SecondaryMap::<Func, FuncEffects>::with_capacity(unit.funcs.len());
    let mut callers = SecondaryMap::<Func, Vec<Func>>::new();
    let mut cfg = ControlFlow::new();
    for (func, function) in &unit.funcs {
        let mut effects = own(func).and(of_body(&function.body, &mut cfg));
        call_graph::mentioned(&function.body, |callee| {
            callers[callee].push(func);
            if graph.component[callee] == graph.component[func] {
                effects = effects.and(FuncEffects::NONTOTAL);
            }
        });
        found[func] = effects;
    }
    let mut work: Vec<Func> = graph.order.clone();
    while let Some(func) = work.pop() {
        for &caller in &callers[func] {
            let both = found[caller].and(found[func]);
            if both != found[caller] {
                found[caller] = both;
                work.push(caller);
            }
        }
    }
    found
}

/// The effects of a body, those of the unit's functions that it calls aside.
fn of_body(body: &Body, cfg: &mut ControlFlow) -> FuncEffects {
    let mut effects = FuncEffects::PURE;
    cfg.compute(body);
    let order = cfg.reverse_post_order();
    let mut seen: SecondaryMap<_, bool> = SecondaryMap::new();
    for &block in order {
        seen[block] = true;
        // An edge that goes back in this order is there in every loop.
        if body.successors(block).iter().any(|&edge| seen[body.target_block(edge)]) {
            effects = effects.and(FuncEffects::NONTOTAL);
        }
        for inst in body.block_insts(block) {
            effects = effects.and(of_inst(body, inst));
        }
    }
    effects
}

/// The effects of an instruction, those of the unit's functions that it calls aside.
pub(crate) fn of_inst(body: &Body, inst: Inst) -> FuncEffects {
    let data = body.inst(inst);
    let op_effects = data.op.effects();
    let mut effects = FuncEffects::PURE;
    if may_throw(body, inst) && data.op != Op::Call {
        effects = effects.and(FuncEffects::THROWS);
    }
    match data.op {
        Op::Call => {
            let symbol = body.symbol_exists(data.imm).then(|| body.symbol(SymbolRef::from_u32(data.imm)));
            return match symbol {
                Some(Symbol::Func(_)) => FuncEffects::PURE,
                _ => FuncEffects::OUTSIDE.and(FuncEffects::READS).and(FuncEffects::WRITES),
            };
        }
        Op::CallIndirect | Op::Unresolved => return FuncEffects(FuncEffects::OVERRIDDEN.0 - 1),
        Op::Load | Op::Store | Op::MemCopy | Op::MemSet => {
            let addresses = if data.op == Op::MemCopy { 2 } else { 1 };
            let is_volatile = crate::passes::effects::is_volatile(body, inst);
            let mut places = body.args(inst).iter().take(addresses);
            if !is_volatile && places.all(|&place| is_private(body, place)) {
                return effects;
            }
        }
        _ => {}
    }
    if data.op.info().rule == Rule::WorkItem || op_effects.has(Effects::CONVERGENT) {
        effects = effects.and(FuncEffects::OUTSIDE);
    }
    if data.op.info().shape == Shape::Nullary && op_effects.has(Effects::READ) {
        effects = effects.and(FuncEffects::OUTSIDE);
    }
    if op_effects.has(Effects::READ) {
        effects = effects.and(FuncEffects::READS);
    }
    if op_effects.has(Effects::WRITE) {
        effects = effects.and(FuncEffects::WRITES);
    }
    effects
}

/// Whether an address is in a slot of this function, or in constant memory.
fn is_private(body: &Body, address: Value) -> bool {
    let mut at = address;
    // Definitions come before uses; the number is for bodies that are not well-formed.
    for _ in 0..body.inst_count() {
        let Some(inst) = body.value_inst(at) else { return false };
        match (body.inst(inst).op, body.args(inst).first()) {
            (Op::Slot, _) => return true,
            (Op::GlobalAddress, _) => return body.inst(inst).ty.space() == Some(Space::Constant),
            (Op::FieldAddress | Op::Index | Op::PtrAdd | Op::SpaceCast, Some(&base)) => at = base,
            _ => return false,
        }
    }
    false
}
