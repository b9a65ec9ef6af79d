//! Loops of few, constantly many rounds become straight code.
//!
//! Computes loops. Only innermost loops that are tested at the bottom (after rotation) and whose trip count follows from
//! constants; from the inside out, for as long as there are any. Worth it are loops of which little is left: what
//! follows from the counter alone is computed now, and if the rest of all rounds is not much more than one round was,
//! the code is shorter to run and hardly longer to compile. Larger results are worth it if the loop indexes a slot
//! that nobody else knows, because the slot then falls apart into values: that is what keeps the tiles of a GPU kernel
//! in registers. Costs what is copied, which is limited per function, by its size.

use super::PassContext;
use super::copy::{ValueMap, copy_insts, copy_params};
use super::dce;
use super::simplify_cfg::jump;
use super::ssa::{self, Use};
use super::trip_count::{Test, Trips, trip_count};
use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::loops::Loop;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::op::{Effects, Op};
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

/// Most rounds.
const MAX_ROUNDS: usize = 64;
/// Most instructions of a loop's rounds together.
const MAX_SIZE: usize = 128;
/// Most instructions that are left of all rounds, beyond those of one round.
const MAX_REST: usize = 32;
/// Most instructions of the rounds of a loop that indexes slots.
const MAX_SIZE_WITH_SLOTS: usize = 1024;
/// Most instructions that unrolling adds to one function, to which a quarter of its size is added.
const MAX_GROWTH: usize = 512;
/// The same, for loops that index slots.
const MAX_GROWTH_WITH_SLOTS: usize = 8192;
/// Deepest nest of loops that is unrolled whole.
const MAX_NESTING: usize = 4;

/// How many instructions unrolling may still add to the function.
struct Budget {
    plain: usize,
    slots: usize,
}

struct Candidate {
    this: Loop,
    blocks: Vec<Block>,
    latch: Block,
    header: Block,
    rounds: usize,
    /// Whether it can be left from elsewhere than its end.
    leaves_early: bool,
}

/// Where the copies of each value of unrolled loops are, by rounds.
#[derive(Default)]
struct CopiesByValue {
    /// Position in `lists`, plus one.
    numbers: SecondaryMap<Value, u32>,
    lists: Vec<Vec<(Block, Value)>>,
}

impl CopiesByValue {
    fn push(&mut self, old: Value, block: Block, new: Value) {
        if self.numbers[old] == 0 {
            self.lists.push(Vec::new());
            self.numbers[old] = self.lists.len() as u32;
        }
        if let Some(list) = self.lists.get_mut(self.numbers[old] as usize - 1) {
            list.push((block, new));
        }
    }

    fn get(&self, value: Value) -> &[(Block, Value)] {
        let number = self.numbers[value].checked_sub(1);
        number.and_then(|number| self.lists.get(number as usize)).map_or(&[], |list| list)
    }
}

/// Unrolls loops. Says whether there were any.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    let mut changed = false;
    let mut budget = None;
    for _ in 0..MAX_NESTING {
        changed |= dce::remove_unreachable(body, ctx);
        ctx.find_loops(body);
        if ctx.loops.iter().next().is_none() {
            break;
        }
        let budget = budget.get_or_insert_with(|| Budget {
            plain: MAX_GROWTH + body.blocks().map(|block| body.block_insts(block).count()).sum::<usize>() / 4,
            slots: MAX_GROWTH_WITH_SLOTS,
        });
        let candidates = find(body, ctx, budget);
        if candidates.is_empty() {
            break;
        }
        unroll(body, ctx, &candidates);
        ctx.forget_flow();
        changed = true;
    }
    changed
}

fn find(body: &Body, ctx: &mut PassContext, budget: &mut Budget) -> Vec<Candidate> {
    let mut found = Vec::new();
    // Loops with nothing inside, of few rounds: most functions have none.
    let innermost = ctx.loops.iter().filter(|&this| ctx.loops.is_innermost(this));
    let counted = innermost.filter_map(|this| Some((this, count_rounds(body, ctx, this)?)));
    let counted: SmallVec<[(Loop, (Block, Trips)); 2]> = counted.collect();
    if counted.is_empty() {
        return found;
    }
    let mut blocks = SecondaryMap::<Loop, Vec<Block>>::new();
    for &block in ctx.cfg.reverse_post_order() {
        if let Some(this) = ctx.loops.innermost(block) {
            blocks[this].push(block);
        }
    }
    let mut has_addresses = false;
    for (this, (latch, Trips { rounds, known })) in counted {
        let header = ctx.loops.header(this);
        let blocks = std::mem::take(&mut blocks[this]);
        let size: usize = blocks.iter().map(|&block| body.block_insts(block).count()).sum();
        let total = size * rounds;
        if total > MAX_SIZE_WITH_SLOTS {
            continue;
        }
        let Some(leaves_early) = copyable(body, ctx, &blocks, latch) else { continue };
        let rest = (size - follows_from_counters(body, ctx, &blocks, header, &known)) * rounds;
        if total <= MAX_SIZE && rest <= size + MAX_REST && rest <= budget.plain {
            budget.plain -= rest;
        } else {
            if !has_addresses {
                ctx.addresses.compute(body, &ctx.types, &ctx.cfg);
                has_addresses = true;
            }
            if total > budget.slots || !indexes_slots(body, ctx, &blocks) {
                continue;
            }
            budget.slots -= total;
        }
        found.push(Candidate { this, blocks, latch, header, rounds, leaves_early });
    }
    found
}

/// The latch and the number of rounds of a loop that is tested at the bottom.
fn count_rounds(body: &Body, ctx: &PassContext, this: Loop) -> Option<(Block, Trips)> {
    let header = ctx.loops.header(this);
    let inside = |&&(from, _): &&(Block, _)| ctx.loops.contains(this, from);
    let mut back = ctx.cfg.predecessors(header).iter().filter(inside);
    let (&(latch, back), None) = (back.next()?, back.next()) else { return None };
    let mut entries = ctx.cfg.predecessors(header).iter().filter(|edge| !inside(edge));
    let (&(_, entry), None) = (entries.next()?, entries.next()) else { return None };
    let branch = body.terminator(latch).filter(|&inst| body.inst(inst).op == Op::Branch)?;
    let (&[condition], &[yes, no]) = (body.args(branch), body.targets(branch)) else { return None };
    let leaving = if yes == back { no } else { yes };
    if ctx.loops.contains(this, body.target_block(leaving)) {
        return None;
    }
    let test = Test { header, entry, back, condition, goes_back_if: yes == back };
    Some((latch, trip_count(body, &test, MAX_ROUNDS)?))
}

/// How many instructions of a loop go when its counters are constants: what is computed from these, the branches that
/// they decide, and the addresses that they say, which accesses absorb.
fn follows_from_counters(
    body: &Body,
    ctx: &PassContext,
    blocks: &[Block],
    header: Block,
    known: &[bool],
) -> usize {
    let counters = body.block_params(header).iter().zip(known).filter(|(_, known)| **known);
    let mut values: FxHashSet<Value> = counters.map(|(&param, _)| param).collect();
    let mut count = 0;
    for inst in blocks.iter().flat_map(|&block| body.block_insts(block)) {
        let op = body.inst(inst).op;
        let is_known = |value: &Value| values.contains(value) || body.value_const_id(*value).is_some();
        let outside = |value: &Value| {
            body.value_block(*value)
                .is_some_and(|block| ctx.loops.innermost(block) != ctx.loops.innermost(header))
        };
        let args = body.args(inst);
        let goes = match (op, args) {
            (Op::Branch | Op::Switch, _) => args.iter().all(is_known),
            (Op::Jump, _) => true,
            (Op::Index | Op::PtrAdd, [base, offset]) => is_known(offset) && (is_known(base) || outside(base)),
            _ => op.effects().is_pure() && !args.is_empty() && args.iter().all(is_known),
        };
        if goes {
            count += 1;
            values.extend(body.results(inst));
        }
    }
    count
}

/// Whether the blocks of a loop can be copied: slots cannot, convergent ops only if every work-item runs every round.
/// Says whether the loop can be left from elsewhere than its end.
fn copyable(body: &Body, ctx: &PassContext, blocks: &[Block], latch: Block) -> Option<bool> {
    let (mut convergent, mut leaves_early) = (false, false);
    for &block in blocks {
        let this = ctx.loops.innermost(block);
        for inst in body.block_insts(block) {
            let op = body.inst(inst).op;
            if op == Op::Slot {
                return None;
            }
            convergent |= op.effects().has(Effects::CONVERGENT);
        }
        let leaves =
            body.successors(block).iter().any(|&edge| ctx.loops.innermost(body.target_block(edge)) != this);
        leaves_early |= block != latch && leaves;
    }
    (!(convergent && leaves_early)).then_some(leaves_early)
}

/// Whether an access of a slot that nobody else knows is at an offset that varies.
fn indexes_slots(body: &Body, ctx: &PassContext, blocks: &[Block]) -> bool {
    let varies = |inst: Inst| {
        let pointer = match (body.inst(inst).op, body.args(inst).first()) {
            (Op::Load | Op::Store, Some(&pointer)) => pointer,
            _ => return false,
        };
        let address = ctx.addresses.get(pointer);
        address.offset.is_none() && ctx.addresses.is_private_slot(body, address.root)
    };
    blocks.iter().any(|&block| body.block_insts(block).any(varies))
}

fn unroll(body: &mut Body, ctx: &mut PassContext, candidates: &[Candidate]) {
    // Which loop a block, or the block that it is a copy of, is in.
    let mut membership = SecondaryMap::<Block, PackedOption<Loop>>::new();
    let mut copies = CopiesByValue::default();
    let mut map = ValueMap::default();
    // Which loops are left at the end of the last round only.
    let mut leaves_late = SecondaryMap::<Loop, bool>::new();
    for candidate in candidates {
        leaves_late[candidate.this] = !candidate.leaves_early;
        copy_rounds(body, candidate, &mut map, &mut membership, &mut copies);
    }
    repair(body, ctx, &membership, &leaves_late, &copies);
}

fn copy_rounds(
    body: &mut Body,
    candidate: &Candidate,
    map: &mut ValueMap,
    membership: &mut SecondaryMap<Block, PackedOption<Loop>>,
    copies: &mut CopiesByValue,
) {
    let Candidate { this, blocks, latch, header, rounds, .. } = candidate;
    blocks.iter().for_each(|&block| membership[block] = (*this).into());
    let mut latches = vec![*latch];
    let mut headers = vec![*header];
    let mut last = blocks.last().copied().unwrap_or(*latch);
    for _ in 1..*rounds {
        let mut copied = SecondaryMap::<Block, PackedOption<Block>>::new();
        for &block in blocks {
            let copy = body.make_block();
            body.insert_block_after(copy, last);
            last = copy;
            copied[block] = copy.into();
            membership[copy] = (*this).into();
            copy_params(body, map, block, copy);
        }
        for &block in blocks {
            let Some(copy) = copied[block].expand() else { continue };
            copy_insts(body, map, block, copy);
            let edges: SmallVec<[_; 4]> = body.successors(copy).iter().copied().collect();
            for edge in edges {
                // The way back is set below, when all rounds exist.
                let target = body.target_block(edge);
                if let Some(to) = copied[target].expand().filter(|_| target != *header) {
                    let args: SmallVec<[Value; 8]> = body.target_args(edge).iter().copied().collect();
                    body.set_block_call(edge, to, &args);
                }
            }
        }
        latches.extend(copied[*latch].expand());
        headers.extend(copied[*header].expand());
        map.drain(|old, new| {
            if let Some(at) = body.value_block(new) {
                copies.push(old, at, new);
            }
        });
    }
    for (n, &latch) in latches.iter().enumerate() {
        let Some(branch) = body.terminator(latch) else { continue };
        let &[yes, no] = body.targets(branch) else { continue };
        let (back, leaving) = if body.target_block(yes) == *header { (yes, no) } else { (no, yes) };
        match headers.get(n + 1) {
            Some(&next) => {
                let args: SmallVec<[Value; 8]> = body.target_args(back).iter().copied().collect();
                body.set_block_call(back, next, &args);
                jump(body, branch, back);
            }
            None => jump(body, branch, leaving),
        }
    }
}

/// Gives every use outside a loop of a value inside it the copy that reaches it.
fn repair(
    body: &mut Body,
    ctx: &mut PassContext,
    membership: &SecondaryMap<Block, PackedOption<Loop>>,
    leaves_late: &SecondaryMap<Loop, bool>,
    copies: &CopiesByValue,
) {
    let (mut uses, mut direct) = (Vec::<Use>::new(), Vec::<(Inst, Value, Value)>::new());
    for block in body.blocks() {
        for inst in body.block_insts(block) {
            body.visit_operands(inst, |value| {
                let Some(&(_, last)) = copies.get(value).last() else { return };
                let Some(home) = body.value_block(value) else { return };
                let Some(this) = membership[home].expand() else { return };
                if membership[block] != Some(this).into() {
                    if leaves_late[this] {
                        direct.push((inst, value, last));
                    } else {
                        uses.push((value, block, inst));
                    }
                }
            });
        }
    }
    for (inst, old, last) in direct {
        body.rewrite_operands(inst, |value| if value == old { last } else { value });
    }
    ctx.forget_flow();
    ctx.find_loops(body);
    ssa::reroute(body, ctx, uses, |_, old, define| {
        copies.get(old).iter().for_each(|&(block, value)| define(block, value));
    });
}
