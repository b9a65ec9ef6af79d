//! Simpler control flow.
//!
//! Computes control flow itself, several times. Decides branches on constants, forgets parameters that always get the
//! same argument, sends edges past blocks that only pass them on, turns small branches into `select`, and joins
//! blocks that follow each other. Edges into loop headers are not redirected, so that loops keep a single entry and
//! a single way back. After legalisation no `select` is made. Every round is linear; rounds are few, and a part that
//! found nothing is left out until something changes that it looks at.

use super::PassContext;
use super::{dce, if_convert, thread_edges};
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, BlockCall, Inst, Switch, Value};
use marquetry_ir::op::Op;
use marquetry_ir::types::Type;
use rustc_hash::FxHasher;
use smallvec::SmallVec;
use std::hash::Hasher;

/// One round makes work for the next; what is left then waits for the next run.
const MAX_ROUNDS: usize = 4;
/// Most `select` made of one branch.
pub(super) const MAX_SELECTS: usize = 4;

/// The parts of a round, in order.
#[derive(Copy, Clone)]
enum Part {
    Decide,
    Unreachable,
    Params,
    Thread,
    Convert,
    Join,
}

/// Which parts would find nothing.
#[derive(Default)]
struct Progress {
    /// Changes so far.
    changes: u32,
    /// Per part, one more than the changes when it last found nothing; 0 if it did not yet.
    idle: [u32; 6],
}

impl Progress {
    fn is_idle(&self, part: Part) -> bool {
        self.idle[part as usize] == self.changes + 1
    }

    fn set_idle(&mut self, part: Part) {
        self.idle[part as usize] = self.changes + 1;
    }

    /// Runs a part, unless nothing changed since it found nothing.
    fn run(&mut self, part: Part, run: impl FnOnce() -> bool) -> bool {
        if self.is_idle(part) {
            return false;
        }
        let changed = run();
        match changed {
            true => self.changes += 1,
            false => self.set_idle(part),
        }
        changed
    }
}

/// Simplifies control flow. Says whether anything changed.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    let mut changed = false;
    let mut progress = Progress::default();
    for _ in 0..MAX_ROUNDS {
        let mut again = progress.run(Part::Decide, || decide(body, ctx.light));
        if again {
            ctx.forget_flow();
        }
        again |= progress.run(Part::Unreachable, || dce::remove_unreachable(body, ctx));
        again |= progress.run(Part::Params, || forget_params(body, ctx));
        again |= progress.run(Part::Thread, || with_flow(body, ctx, thread_edges::run));
        again |= progress.run(Part::Convert, || !ctx.light && with_flow(body, ctx, if_convert::run));
        if !progress.is_idle(Part::Join) {
            // Joining blocks without parameters changes no operand, no edge and no block's predecessors: what only
            // looks at these still finds nothing.
            let still =
                [Part::Decide, Part::Unreachable, Part::Params].map(|part| (part, progress.is_idle(part)));
            let joined = join_blocks(body, ctx);
            if joined != Joined::Nothing {
                progress.changes += 1;
                again = true;
                ctx.forget_flow();
            }
            if joined == Joined::Plain {
                ctx.find_flow(body);
                still.iter().filter(|(_, idle)| *idle).for_each(|&(part, _)| progress.set_idle(part));
            }
            // All that can be joined is.
            progress.set_idle(Part::Join);
        }
        changed |= again;
        if !again {
            return changed;
        }
    }
    // What the last round cut off may still point at blocks that it joined to others.
    dce::remove_unreachable(body, ctx);
    true
}

/// Runs a part that needs control flow, and computes it anew if edges changed.
fn with_flow(body: &mut Body, ctx: &mut PassContext, part: fn(&mut Body, &mut PassContext) -> bool) -> bool {
    let changed = part(body, ctx);
    if changed {
        ctx.forget_flow();
        ctx.find_flow(body);
    }
    changed
}

/// Replaces a terminator by a jump along one edge.
pub(super) fn jump(body: &mut Body, terminator: Inst, edge: BlockCall) {
    body.replace_inst(terminator, Op::Jump, Type::ERROR, &[], 0);
    body.set_targets(terminator, &[edge]);
}

/// Decides branches and switches that go one way only.
fn decide(body: &mut Body, light: bool) -> bool {
    let mut changed = false;
    let mut block = body.entry();
    while let Some(this) = block {
        block = body.next_block(this);
        let Some(terminator) = body.terminator(this) else { continue };
        changed |= match body.inst(terminator).op {
            Op::Branch => decide_branch(body, terminator, light),
            Op::Switch => decide_switch(body, terminator),
            _ => false,
        };
    }
    changed
}

fn is_same_edge(body: &Body, a: BlockCall, b: BlockCall) -> bool {
    body.target_block(a) == body.target_block(b) && body.target_args(a) == body.target_args(b)
}

fn decide_branch(body: &mut Body, branch: Inst, light: bool) -> bool {
    let (&[condition], &[yes, no]) = (body.args(branch), body.targets(branch)) else { return false };
    if let Some(bits) = body.value_bits(condition) {
        jump(body, branch, if bits == 0 { no } else { yes });
        return true;
    }
    if is_same_edge(body, yes, no) {
        jump(body, branch, yes);
        return true;
    }
    if let Some(inner) = body.value_inst(condition).filter(|&inst| body.inst(inst).op == Op::Not) {
        let Some(&inner) = body.args(inner).first() else { return false };
        body.args_mut(branch)[0] = inner;
        body.set_targets(branch, &[no, yes]);
        return true;
    }
    if body.target_block(yes) == body.target_block(no) && !light {
        let pairs = body.target_args(yes).iter().copied().zip(body.target_args(no).iter().copied());
        let pairs: SmallVec<[(Value, Value); 8]> = pairs.collect();
        return select_edges(body, branch, condition, body.target_block(yes), &pairs);
    }
    false
}

/// Replaces a branch by a jump whose arguments are chosen by `select`, unless that takes too many.
pub(super) fn select_edges(
    body: &mut Body,
    branch: Inst,
    condition: Value,
    target: Block,
    pairs: &[(Value, Value)],
) -> bool {
    let is_selectable = |&(yes, no): &(Value, Value)| yes == no || !body.value_type(yes).is_aggregate();
    if select_count(pairs) > MAX_SELECTS || !pairs.iter().all(is_selectable) {
        return false;
    }
    let mut args = SmallVec::<[Value; 8]>::new();
    for &(yes, no) in pairs {
        if yes == no {
            args.push(yes);
            continue;
        }
        let select = body.make_inst(Op::Select, Type::ERROR, &[condition, yes, no], 0);
        body.make_results(select, &[body.value_type(yes)]);
        body.insert_inst_before(select, branch);
        body.set_origin(select, body.origin(branch));
        args.extend(body.first_result(select));
    }
    let edge = body.make_block_call(target, &args);
    jump(body, branch, edge);
    true
}

/// How many `select` a choice between edges takes.
pub(super) fn select_count(pairs: &[(Value, Value)]) -> usize {
    pairs.iter().filter(|(yes, no)| yes != no).count()
}

fn decide_switch(body: &mut Body, switch: Inst) -> bool {
    let Some(&selector) = body.args(switch).first() else { return false };
    let Some((&otherwise, edges)) = body.targets(switch).split_first() else { return false };
    if let Some(bits) = body.value_bits(selector) {
        let cases = body.switch_cases(Switch::from_u32(body.inst(switch).imm));
        let chosen = cases.iter().position(|&case| case == bits).and_then(|n| edges.get(n).copied());
        jump(body, switch, chosen.unwrap_or(otherwise));
        return true;
    }
    if edges.iter().all(|&edge| is_same_edge(body, edge, otherwise)) {
        jump(body, switch, otherwise);
        return true;
    }
    let cases = body.switch_cases(Switch::from_u32(body.inst(switch).imm)).iter().copied();
    let all: Vec<(u128, BlockCall)> = cases.zip(edges.iter().copied()).collect();
    let differs = |&(_, edge): &(u128, BlockCall)| !is_same_edge(body, edge, otherwise);
    let kept: Vec<(u128, BlockCall)> = all.iter().copied().filter(differs).collect();
    if kept.len() == all.len() {
        return false;
    }
    let (cases, edges): (Vec<u128>, Vec<BlockCall>) = kept.into_iter().unzip();
    let imm = body.make_switch(&cases).as_u32();
    body.set_imm(switch, imm);
    body.set_targets(switch, &[&[otherwise], &edges[..]].concat());
    true
}

/// Removes parameters whose arguments are all the same value, and those that always equal another parameter.
fn forget_params(body: &mut Body, ctx: &mut PassContext) -> bool {
    let PassContext { cfg, replacements, .. } = ctx;
    replacements.clear();
    let mut removed = SmallVec::<[(Block, SmallVec<[bool; 8]>); 4]>::new();
    let mut columns = SmallVec::<[(u64, usize); 8]>::new();
    for &block in cfg.reverse_post_order().iter().skip(1) {
        if body.block_params(block).is_empty() {
            continue;
        }
        let params: SmallVec<[Value; 8]> = SmallVec::from_slice(body.block_params(block));
        let mut keep: SmallVec<[bool; 8]> = SmallVec::from_elem(true, params.len());
        columns.clear();
        let edges = cfg.predecessors(block);
        for (n, &param) in params.iter().enumerate() {
            let mut column = FxHasher::default();
            let mut only = None;
            let mut differs = false;
            for &(_, edge) in edges {
                let Some(&arg) = body.target_args(edge).get(n) else { continue };
                let arg = replacements.resolve(arg);
                if params.len() > 1 {
                    column.write_u32(if arg == param { u32::MAX } else { arg.as_u32() });
                }
                differs |= arg != param && only.is_some_and(|only| only != arg);
                if arg != param {
                    only = Some(arg);
                }
            }
            match only {
                Some(value) if !differs => {
                    replacements.set(param, value);
                    keep[n] = false;
                }
                _ => columns.push((column.finish(), n)),
            }
        }
        columns.sort_unstable();
        for pair in columns.windows(2) {
            let (a, b) = (pair[0].1, pair[1].1);
            let is_equal = |&(_, edge): &(Block, BlockCall)| {
                let args = body.target_args(edge);
                let (Some(&x), Some(&y)) = (args.get(a), args.get(b)) else { return false };
                x == y || (x == params[a] && y == params[b])
            };
            let same_type = body.value_type(params[a]) == body.value_type(params[b]);
            if pair[0].0 == pair[1].0 && same_type && keep[a] && edges.iter().all(is_equal) {
                replacements.set(params[b], params[a]);
                keep[b] = false;
            }
        }
        if keep.contains(&false) {
            removed.push((block, keep));
        }
    }
    for (block, keep) in &removed {
        dce::retain_params(body, cfg.predecessors(*block), *block, keep);
    }
    replacements.apply(body);
    !removed.is_empty()
}

/// What [`join_blocks`] did.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Joined {
    Nothing,
    /// Only blocks without parameters were appended to others.
    Plain,
    /// Parameters became arguments.
    Params,
}

/// Appends blocks to the only block that jumps to them.
fn join_blocks(body: &mut Body, ctx: &mut PassContext) -> Joined {
    let PassContext { cfg, replacements, .. } = ctx;
    replacements.clear();
    let entry = body.entry();
    let mut joined = Joined::Nothing;
    for &block in cfg.reverse_post_order() {
        // Joined to an earlier one already?
        if !body.is_block_placed(block) {
            continue;
        }
        while let Some(terminator) = body.terminator(block).filter(|&inst| body.inst(inst).op == Op::Jump) {
            let Some(&edge) = body.targets(terminator).first() else { break };
            let next = body.target_block(edge);
            if next == block || Some(next) == entry || cfg.predecessors(next).len() != 1 {
                break;
            }
            if joined == Joined::Nothing {
                joined = Joined::Plain;
            }
            for (&param, &arg) in body.block_params(next).iter().zip(body.target_args(edge)) {
                replacements.set(param, arg);
                joined = Joined::Params;
            }
            body.remove_inst(terminator);
            if let Some(first) = body.first_inst(next) {
                body.move_tail(first, block);
            }
            body.remove_block(next);
        }
    }
    replacements.apply(body);
    joined
}
