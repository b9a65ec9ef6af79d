//! Narrow loop counters that index memory become 64 bits wide.
//!
//! Computes loops; needs them tested at the bottom. A counter that is widened in every round, explicitly or by `index`,
//! gets a wide twin that counts along, and the widening goes; if nothing else needs the narrow one, the
//! loop's test moves to the twin, too, and the narrow counter dies. Since narrow counters wrap, this is only done where they
//! provably do not: control goes back only while the counter is below a bound (or above one, if it counts down), and the
//! first value is known not to be at the end of the range, as a constant or by the guard in front of the loop.
//! Keeps blocks; edges get arguments. Linear.

use super::PassContext;
use cranelift_entity::SecondaryMap;
use marquetry_ir::analysis::loops::Loop;
use marquetry_ir::body::{Body, ValueDef};
use marquetry_ir::entity::{Block, BlockCall, Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::int::signed;
use marquetry_ir::types::{Scalar, Type};

/// A counter that does not wrap.
struct Counter {
    this: Loop,
    header: Block,
    preheader: Block,
    entry: BlockCall,
    back: BlockCall,
    /// The header's parameter, and what it is at the end of a round.
    now: Value,
    next: Value,
    start: Value,
    step: i64,
    /// Bounds of the parameter.
    least: i128,
    most: i128,
    /// The instruction that compares the next value with a bound, and the bound.
    test: Inst,
    bound: Value,
    uses: Vec<Use>,
    /// Uses of either value besides the step, the test, the way back, and those in `uses`.
    others: u32,
}

/// A use that the wide counter takes over.
#[derive(Copy, Clone)]
struct Use {
    inst: Inst,
    kind: UseKind,
}

#[derive(Copy, Clone)]
enum UseKind {
    /// Widens the value at the start, or at the end, of the round.
    Widens(When),
    /// Widens the value at the start of the round plus a constant.
    WidensSum(i64),
    /// Indexes by the value.
    Indexes(When),
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum When {
    Now,
    Next,
}

/// Widens counters. Says whether there were any.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    ctx.find_loops(body);
    let mut counters = Vec::new();
    // Number of the counter plus one, and which of its values this is.
    let mut numbers = SecondaryMap::<Value, u32>::new();
    for this in ctx.loops.iter() {
        if let Some((preheader, entry, back)) = edges(body, ctx, this) {
            let header = ctx.loops.header(this);
            for &now in body.block_params(header) {
                if let Some(counter) = counter(body, ctx, this, (preheader, entry, back), now) {
                    numbers[counter.now] = counters.len() as u32 + 1;
                    numbers[counter.next] = counters.len() as u32 + 1;
                    counters.push(counter);
                }
            }
        }
    }
    if counters.is_empty() {
        return false;
    }
    for &block in ctx.cfg.reverse_post_order() {
        for inst in body.block_insts(block) {
            note_uses(body, inst, &numbers, &mut counters);
        }
    }
    ctx.replacements.clear();
    let mut changed = false;
    for counter in &counters {
        let in_loop = |used: &Use| {
            body.inst_block(used.inst).is_some_and(|block| ctx.loops.contains(counter.this, block))
        };
        if counter.uses.iter().any(in_loop) {
            changed |= widen(body, ctx, counter).is_some();
        }
    }
    ctx.replacements.apply(body);
    changed
}

/// The preheader, the only edge into a loop and the only edge back.
fn edges(body: &Body, ctx: &PassContext, this: Loop) -> Option<(Block, BlockCall, BlockCall)> {
    let header = ctx.loops.header(this);
    match *ctx.cfg.predecessors(header) {
        [(a, x), (b, y)] => {
            let (preheader, entry, back) = match (ctx.loops.contains(this, a), ctx.loops.contains(this, b)) {
                (false, true) => (a, x, y),
                (true, false) => (b, y, x),
                _ => return None,
            };
            let ends = body.terminator(preheader).filter(|&inst| body.inst(inst).op == Op::Jump);
            ends.map(|_| (preheader, entry, back))
        }
        _ => None,
    }
}

/// The counter that a header's parameter is, if it provably never wraps.
fn counter(
    body: &Body,
    ctx: &PassContext,
    this: Loop,
    (preheader, entry, back): (Block, BlockCall, BlockCall),
    now: Value,
) -> Option<Counter> {
    let header = ctx.loops.header(this);
    let ValueDef::Param(_, number) = body.value_def(now) else { return None };
    let lane = body
        .value_type(now)
        .as_scalar()
        .filter(|lane| matches!(lane, Scalar::I8 | Scalar::I16 | Scalar::I32))?;
    let start = *body.target_args(entry).get(number as usize)?;
    let next = *body.target_args(back).get(number as usize)?;
    let step = match body.value_inst(next).map(|inst| (body.inst(inst).op, body.args(inst))) {
        Some((Op::Add, &[a, b])) if a == now => signed(lane, body.value_bits(b)?),
        _ => return None,
    };
    // The test at the bottom: which comparison of the next value holds when control goes back.
    let (latch, _) = *ctx.cfg.predecessors(header).iter().find(|edge| edge.1 == back)?;
    let branch = body.terminator(latch).filter(|&inst| body.inst(inst).op == Op::Branch)?;
    if body.targets(branch).first() != Some(&back) {
        return None;
    }
    let test = body.value_inst(*body.args(branch).first()?)?;
    let &[tested, bound] = body.args(test) else { return None };
    let outside = match body.value_def(bound) {
        ValueDef::Const(_) => true,
        ValueDef::Param(block, _) => !ctx.loops.contains(this, block),
        ValueDef::Result(inst, _) => !ctx.loops.contains(this, body.inst_block(inst)?),
    };
    let op = body.inst(test).op;
    if tested != next || !outside || body.value_type(bound) != body.value_type(now) {
        return None;
    }
    let (least, most) = (-(1i128 << (lane.bits() - 1)), (1i128 << (lane.bits() - 1)) - 1);
    let constant = |value: Value| body.value_bits(value).map(|bits| signed(lane, bits));
    let first = constant(start);
    let guarded = |ops: [Op; 2]| guard(body, ctx, preheader, start, ops);
    // The parameter's range: the first value, and what the test lets through.
    let (low, high) = match op {
        Op::LtS if step > 0 => {
            let last = constant(bound).unwrap_or(most) - 1;
            let first_most = first.or_else(|| guarded([Op::LtS, Op::GtS]).then_some(most - 1))?;
            (first.unwrap_or(least), last.max(first_most))
        }
        Op::GtS if step < 0 => {
            let last = constant(bound).unwrap_or(least) + 1;
            let first_least = first.or_else(|| guarded([Op::GtS, Op::LtS]).then_some(least + 1))?;
            (last.min(first_least), first.unwrap_or(most))
        }
        _ => return None,
    };
    if low + step < least || high + step > most {
        return None;
    }
    let step = i64::try_from(step).ok()?;
    let (least, most, uses) = (low, high, Vec::new());
    Some(Counter {
        this,
        header,
        preheader,
        entry,
        back,
        now,
        next,
        start,
        step,
        least,
        most,
        test,
        bound,
        uses,
        others: 0,
    })
}

/// Whether the loop is only entered if the first comparison holds for its start and something else, or the second
/// one with the operands exchanged.
fn guard(body: &Body, ctx: &PassContext, preheader: Block, start: Value, [op, swapped]: [Op; 2]) -> bool {
    let check = || {
        let &[(from, edge)] = ctx.cfg.predecessors(preheader) else { return None };
        let branch = body.terminator(from).filter(|&inst| body.inst(inst).op == Op::Branch)?;
        // Both edges may lead here.
        let &[yes, no] = body.targets(branch) else { return None };
        let only = yes == edge && body.target_block(no) != preheader;
        let test = body.value_inst(*body.args(branch).first()?).filter(|_| only)?;
        let &[a, b] = body.args(test) else { return None };
        let found = body.inst(test).op;
        Some((found == op && a == start) || (found == swapped && b == start))
    };
    check().unwrap_or(false)
}

fn note_uses(body: &Body, inst: Inst, numbers: &SecondaryMap<Value, u32>, counters: &mut [Counter]) {
    let mut position = 0;
    body.visit_operands(inst, |value| {
        position += 1;
        let Some(number) = numbers[value].checked_sub(1) else { return };
        let Some(counter) = counters.get_mut(number as usize) else { return };
        let when = if value == counter.now { When::Now } else { When::Next };
        let data = body.inst(inst);
        let widens = |counter: &Counter| match data.op {
            _ if data.ty != Type::I64 => false,
            Op::Sext => true,
            // Nothing negative to tell them apart.
            Op::Zext => counter.least >= 0 && (when == When::Now || counter.step > 0),
            _ => false,
        };
        let kind = match data.op {
            Op::Sext | Op::Zext if widens(counter) => UseKind::Widens(when),
            Op::Index if position == 2 => UseKind::Indexes(when),
            Op::Add if when == When::Now && body.first_result(inst) == Some(counter.next) => return,
            _ if inst == counter.test && when == When::Next => return,
            op if op.is_terminator() && when == When::Next && body.targets(inst).contains(&counter.back) => {
                // The way back; another argument that is the same value counts as well.
                let same = body.target_args(counter.back).iter().filter(|&&arg| arg == value).count();
                let all = body.targets(inst).iter().flat_map(|&edge| body.target_args(edge));
                if same != 1 || all.filter(|&&arg| arg == value).count() != 1 {
                    counter.others += 1;
                }
                return;
            }
            _ => {
                counter.others += 1;
                return;
            }
        };
        counter.uses.push(Use { inst, kind });
    });
    // A sum that is widened: found from the widening, which comes after it.
    if body.inst(inst).op == Op::Sext && body.inst(inst).ty == Type::I64 {
        note_sum(body, inst, numbers, counters);
    }
}

fn note_sum(
    body: &Body,
    inst: Inst,
    numbers: &SecondaryMap<Value, u32>,
    counters: &mut [Counter],
) -> Option<()> {
    let sum = *body.args(inst).first()?;
    let add = body.value_inst(sum).filter(|&add| body.inst(add).op == Op::Add)?;
    let &[value, added] = body.args(add) else { return None };
    let counter = counters.get_mut(numbers[value].checked_sub(1)? as usize)?;
    if value != counter.now || sum == counter.next {
        return None;
    }
    let lane = body.value_type(value).as_scalar()?;
    let added = signed(lane, body.value_bits(added)?);
    let (least, most) = (-(1i128 << (lane.bits() - 1)), (1i128 << (lane.bits() - 1)) - 1);
    if counter.least + added >= least && counter.most + added <= most {
        counter.uses.push(Use { inst, kind: UseKind::WidensSum(i64::try_from(added).ok()?) });
    }
    Some(())
}

/// Makes an instruction with an `i64` result before another one.
fn insert(body: &mut Body, before: Inst, op: Op, ty: Type, args: &[Value]) -> Option<Value> {
    let new = body.make_inst(op, ty, args, 0);
    body.make_results(new, &[Type::I64]);
    body.insert_inst_before(new, before);
    body.set_origin(new, body.origin(before));
    body.first_result(new)
}

/// A narrow value from outside the loop, widened in the preheader.
fn widened(body: &mut Body, preheader: Block, value: Value) -> Option<Value> {
    if let Some(bits) = body.value_bits(value) {
        let lane = body.value_type(value).as_scalar()?;
        return Some(body.make_scalar(Type::I64, signed(lane, bits) as u128));
    }
    let end = body.terminator(preheader)?;
    insert(body, end, Op::Sext, Type::I64, &[value])
}

fn constant(body: &mut Body, value: i64) -> Value {
    body.make_scalar(Type::I64, i128::from(value) as u128)
}

fn widen(body: &mut Body, ctx: &mut PassContext, counter: &Counter) -> Option<()> {
    let stepped = body.value_inst(counter.next)?;
    let after = body.next_inst(stepped)?;
    let start = widened(body, counter.preheader, counter.start)?;
    let now = body.append_block_param(counter.header, Type::I64);
    let step = constant(body, counter.step);
    let next = insert(body, after, Op::Add, Type::ERROR, &[now, step])?;
    body.push_target_arg(counter.entry, start);
    body.push_target_arg(counter.back, next);
    let wide = |when| if when == When::Now { now } else { next };
    for used in &counter.uses {
        match used.kind {
            UseKind::Widens(when) => ctx.replacements.set(body.first_result(used.inst)?, wide(when)),
            UseKind::WidensSum(added) => {
                let added = constant(body, added);
                body.replace_inst(used.inst, Op::Add, Type::ERROR, &[now, added], 0);
            }
            UseKind::Indexes(when) => *body.args_mut(used.inst).get_mut(1)? = wide(when),
        }
    }
    if counter.others == 0 {
        let bound = widened(body, counter.preheader, counter.bound)?;
        let op = body.inst(counter.test).op;
        body.replace_inst(counter.test, op, Type::ERROR, &[next, bound], 0);
    }
    Some(())
}
