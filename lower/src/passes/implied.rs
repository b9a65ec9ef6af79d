//! Conditions that earlier branches decide.
//!
//! Needs control flow and dominators. Behind a branch, its condition is known, and so is every comparison of the same two
//! integers that follows from it; comparisons, branches and bounds checks that are decided this way go. A counter that
//! starts at or above zero and counts up while it is less than something is not negative, so that the signed test of a
//! loop covers the unsigned one of a bounds check; this is seen best before loops are rotated. Keeps blocks and edges.
//! Linear.

use super::PassContext;
use super::effects::splat_bits;
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::{Body, ValueDef};
use marquetry_ir::entity::{Block, Value};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::int::signed;
use marquetry_ir::types::Type;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Most conditions that one condition is taken apart into.
const MAX_PARTS: usize = 8;

/// Which of less, equal and greater are still possible.
const LESS: u8 = 1;
const EQUAL: u8 = 2;
const GREATER: u8 = 4;
const ALL: u8 = LESS | EQUAL | GREATER;

/// How two integers may be ordered, as signed and as unsigned ones, and the block from which on this is known.
#[derive(Copy, Clone)]
struct Order {
    signed: u8,
    unsigned: u8,
    since: Block,
}

/// What an entry of a scope replaced.
enum Undo {
    Truth(Value, Option<bool>),
    Order((Value, Value), Option<Order>),
}

/// What is known in a block: the tables of one run.
#[derive(Default)]
pub(crate) struct Facts {
    truths: SecondaryMap<Value, Option<bool>>,
    orders: FxHashMap<(Value, Value), Order>,
    undo: Vec<Undo>,
    /// Blocks to come, with the length that the undo list had before their parent's scope was left.
    stack: Vec<(Block, usize)>,
}

/// Decides conditions. Says whether there were any.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    ctx.find_dominators(body);
    ctx.replacements.clear();
    let mut facts = std::mem::take(&mut ctx.facts);
    let mut changed = false;
    facts.stack.clear();
    facts.stack.extend(body.entry().map(|entry| (entry, 0)));
    while let Some((block, mark)) = facts.stack.pop() {
        facts.leave(mark);
        facts.enter(body, ctx, block);
        changed |= decide(body, ctx, &facts, block);
        let (mark, first) = (facts.undo.len(), facts.stack.len());
        facts.stack.extend(ctx.dominators.children(&ctx.cfg, block).map(|child| (child, mark)));
        // The first child is visited first, so that blocks are visited about as they lie in memory.
        facts.stack[first..].reverse();
    }
    facts.leave(0);
    ctx.facts = facts;
    ctx.replacements.apply(body);
    changed
}

/// Whether a comparison holds for each order: the orders for which it does, and whether it is of signed integers
/// (none if it does not matter).
fn comparison(op: Op) -> Option<(u8, Option<bool>)> {
    Some(match op {
        Op::Eq => (EQUAL, None),
        Op::Ne => (LESS | GREATER, None),
        Op::LtS => (LESS, Some(true)),
        Op::LeS => (LESS | EQUAL, Some(true)),
        Op::GtS => (GREATER, Some(true)),
        Op::GeS => (GREATER | EQUAL, Some(true)),
        Op::LtU => (LESS, Some(false)),
        Op::LeU => (LESS | EQUAL, Some(false)),
        Op::GtU => (GREATER, Some(false)),
        Op::GeU => (GREATER | EQUAL, Some(false)),
        _ => return None,
    })
}

/// The same orders with the operands exchanged.
fn exchanged(orders: u8) -> u8 {
    orders & EQUAL | (orders & LESS) << 2 | (orders & GREATER) >> 2
}

impl Facts {
    fn leave(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Truth(value, old)) => self.truths[value] = old,
                Some(Undo::Order(pair, Some(old))) => drop(self.orders.insert(pair, old)),
                Some(Undo::Order(pair, None)) => drop(self.orders.remove(&pair)),
                None => return,
            }
        }
    }

    /// Learns what the only edge into a block tells.
    fn enter(&mut self, body: &Body, ctx: &PassContext, block: Block) {
        let &[(from, edge)] = ctx.cfg.predecessors(block) else { return };
        let Some(branch) = body.terminator(from).filter(|&inst| body.inst(inst).op == Op::Branch) else {
            return;
        };
        let (&[condition], &[yes, no]) = (body.args(branch), body.targets(branch)) else { return };
        if body.target_block(yes) == body.target_block(no) {
            return;
        }
        let mut parts = SmallVec::<[(Value, bool); MAX_PARTS]>::new();
        parts.push((condition, edge == yes));
        for _ in 0..MAX_PARTS {
            let Some((condition, holds)) = parts.pop() else { return };
            if body.value_const_id(condition).is_some() {
                continue;
            }
            let old = self.truths[condition].replace(holds);
            self.undo.push(Undo::Truth(condition, old));
            let Some(inst) = body.value_inst(condition) else { continue };
            match (body.inst(inst).op, body.args(inst)) {
                (Op::And, &[a, b]) if holds => parts.extend([(a, true), (b, true)]),
                (Op::Or, &[a, b]) if !holds => parts.extend([(a, false), (b, false)]),
                (Op::Not, &[a]) => parts.push((a, !holds)),
                (op, &[a, b]) if is_scalar_int(body, a) => {
                    if let Some((orders, is_signed)) = comparison(op) {
                        self.learn(a, b, if holds { orders } else { ALL ^ orders }, is_signed, block);
                    }
                }
                _ => {}
            }
        }
    }

    fn learn(&mut self, a: Value, b: Value, orders: u8, is_signed: Option<bool>, block: Block) {
        for (pair, orders) in [((a, b), orders), ((b, a), exchanged(orders))] {
            let old = self.orders.get(&pair).copied();
            let mut new = old.unwrap_or(Order { signed: ALL, unsigned: ALL, since: block });
            new.since = block;
            // Equality does not depend on signs.
            let equality = if orders & EQUAL == 0 {
                LESS | GREATER
            } else if orders == EQUAL {
                EQUAL
            } else {
                ALL
            };
            new.signed &= if is_signed != Some(false) { orders } else { equality };
            new.unsigned &= if is_signed != Some(true) { orders } else { equality };
            self.orders.insert(pair, new);
            self.undo.push(Undo::Order(pair, old));
        }
    }

    /// What a comparison gives, if that is known.
    fn compare(&self, op: Op, a: Value, b: Value) -> Option<bool> {
        let (holds_for, is_signed) = comparison(op)?;
        let order = self.orders.get(&(a, b))?;
        let decided = |possible: u8| match possible {
            _ if possible & !holds_for == 0 => Some(true),
            _ if possible & holds_for == 0 => Some(false),
            _ => None,
        };
        match is_signed {
            Some(true) => decided(order.signed),
            Some(false) => decided(order.unsigned),
            None => decided(order.signed).or_else(|| decided(order.unsigned)),
        }
    }
}

fn is_scalar_int(body: &Body, value: Value) -> bool {
    body.value_type(value).as_scalar().is_some_and(|scalar| scalar.is_int())
}

/// Ops that are frequent, neither take conditions nor give any, and are passed over at once.
fn is_beside(op: Op) -> bool {
    use Op::*;
    matches!(
        op,
        Add | Sub
            | Mul
            | Div
            | Fma
            | Min
            | Max
            | Shl
            | ShrS
            | ShrU
            | Trunc
            | Bitcast
            | SToF
            | FToS
            | FConvert
    ) || matches!(
        op,
        Load | Index | PtrAdd | FieldAddress | GlobalAddress | Slot | LocalId | GroupId | Barrier
    )
}

/// Decides what is known in a block.
fn decide(body: &mut Body, ctx: &mut PassContext, facts: &Facts, block: Block) -> bool {
    if facts.undo.is_empty() {
        return false;
    }
    let mut changed = false;
    let mut next = body.first_inst(block);
    while let Some(inst) = next {
        next = body.next_inst(inst);
        if is_beside(body.inst(inst).op) {
            continue;
        }
        let mut known = false;
        body.visit_operands(inst, |value| {
            known |= facts.truths[value].is_some();
        });
        if known {
            let constants = [body.make_scalar(Type::I1, 0), body.make_scalar(Type::I1, 1)];
            body.rewrite_operands(inst, |value| match facts.truths[value] {
                Some(holds) => constants[usize::from(holds)],
                None => value,
            });
            changed = true;
        }
        let (&[a, b], Some(result)) = (body.args(inst), body.first_result(inst)) else { continue };
        let replacement = match body.inst(inst).op {
            Op::BoundsCheck if is_below(body, ctx, facts, a, b) => Some(a),
            op => facts.compare(op, a, b).map(|holds| body.make_scalar(Type::I1, u128::from(holds))),
        };
        if let Some(value) = replacement {
            ctx.replacements.set(result, value);
            body.remove_inst(inst);
            changed = true;
        }
    }
    changed
}

/// Whether an index is known to be below a bound, as unsigned integers.
fn is_below(body: &Body, ctx: &PassContext, facts: &Facts, index: Value, bound: Value) -> bool {
    let Some(order) = facts.orders.get(&(index, bound)) else { return false };
    order.unsigned == LESS || (order.signed == LESS && is_not_negative(body, ctx, index, order.since))
}

/// Whether an integer is not negative, being less than something in the blocks that `since` dominates.
fn is_not_negative(body: &Body, ctx: &PassContext, value: Value, since: Block) -> bool {
    let constant = |value: Value| {
        let lane = body.value_type(value).as_scalar()?;
        Some(signed(lane, splat_bits(body, value)?))
    };
    match body.value_def(value) {
        ValueDef::Const(_) => constant(value).is_some_and(|constant| constant >= 0),
        ValueDef::Result(inst, _) => match (body.inst(inst).op, body.args(inst)) {
            (Op::Zext, _) => true,
            (Op::And, &[_, mask]) => constant(mask).is_some_and(|mask| mask >= 0),
            _ => false,
        },
        ValueDef::Param(header, number) => {
            let counts_up = |arg: Value| {
                let add = body.value_inst(arg).filter(|&inst| body.inst(inst).op == Op::Add)?;
                let &[from, step] = body.args(add) else { return None };
                // Where the counter is less than something, one more does not wrap.
                let safe = ctx.dominators.dominates(&ctx.cfg, since, body.inst_block(add)?);
                Some(from == value && constant(step) == Some(1) && safe)
            };
            let edges = ctx.cfg.predecessors(header);
            !edges.is_empty()
                && edges.iter().all(|&(_, edge)| match body.target_args(edge).get(number as usize) {
                    Some(&arg) => {
                        constant(arg).is_some_and(|start| start >= 0) || counts_up(arg).unwrap_or(false)
                    }
                    None => false,
                })
        }
    }
}
