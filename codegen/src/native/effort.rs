//! How much work is worth doing for a function, so that compiling it takes time in proportion to its size.
//!
//! Cranelift's optimiser takes time in proportion to instructions times the depth of loops, its allocator of registers
//! in proportion to how many values live at once. On code that people write both are fine. On large functions where
//! either is out of proportion, less is asked for: first the optimiser is left out, then registers are allocated in
//! one pass, and where it is blocks times values that live across them that are too many, such values
//! [live in memory](super::homes), so that no block knows of more than it uses. This project's own passes have run in
//! any case. The measure is one walk over the function, and only large ones are measured.

use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::dominators::Dominators;
use marquetry_ir::analysis::loops::Loops;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Value};

/// What is done for a function.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Effort {
    /// Everything that the optimisation level says.
    Full,
    /// No optimiser.
    Plain,
    /// No optimiser, registers in one pass.
    Quick,
    /// As `Quick`, and values that live across blocks are in memory.
    Least,
}

/// Functions of fewer instructions and fewer values are not measured.
const LARGE: usize = 2048;
/// Deepest nest of loops that the optimiser sees in a large function.
const MAX_DEPTH: u32 = 24;
/// Most values per instruction that are handed from block to block.
const MAX_CROSSING: usize = 4;
/// How many values may live at once in any large function.
const EASY_PRESSURE: usize = 24;
/// Most values that live at once beyond these, times instructions.
const MAX_PRESSURE: usize = 1 << 20;

/// Most values per instruction that edges pass to block parameters.
const MAX_PASSED: usize = 8;

/// Most edges into a block times its parameters.
const MAX_JOINED: usize = 8192;
/// Most constants times the dominators of the block that uses them: the optimiser searches these.
const MAX_SEARCHED: usize = 1 << 26;

/// Most squares of how many values are passed for each other, per instruction, where more than some live at once: the
/// allocator takes such values as one, and goes through all of them each time that it splits off a part.
const MAX_WEBS: usize = 128;
/// How many values may live at once so that it does not split them.
const BUSY: usize = 12;
/// The same where several such sets of values are in each other's way, however few live at once: making one of two takes
/// as long as what is in both.
const MAX_SHARED_WEBS: usize = 2048;
/// How many values live at once where there is one such set, a counter and what they are computed from.
const ALONE: usize = 4;
/// Deepest nest of loops in which it moves values in proportion to code: it looks at all that enters the loops around
/// one for each.
const MAX_NEST: u32 = 1024;
/// Most blocks between an edge's ends in the tree of dominators, per instruction: the allocator of registers walks them.
const MAX_CLIMBED: usize = 128;

/// Where a value begins and ends: by instructions, and by blocks.
#[derive(Copy, Clone, Default)]
struct Range {
    start: (u32, u32),
    end: (u32, u32),
}

/// Measures a function. Linear.
pub(super) fn effort(body: &Body, flow: &ControlFlow) -> Effort {
    if body.inst_count() < LARGE && body.value_count() < LARGE {
        return Effort::Full;
    }
    let mut ranges = SecondaryMap::<Value, Range>::with_capacity(body.value_count());
    let (mut at, mut size, mut passed, mut joined) = (0u32, 0usize, 0usize, 0usize);
    for (number, &block) in (0u32..).zip(flow.reverse_post_order()) {
        let begin = |ranges: &mut SecondaryMap<Value, Range>, value, at| {
            ranges[value] = Range { start: (at, number), end: (at, number) };
        };
        joined = joined.max(flow.predecessors(block).len().saturating_mul(body.block_params(block).len()));
        body.block_params(block).iter().for_each(|&param| begin(&mut ranges, param, at));
        for inst in body.block_insts(block) {
            at = at.saturating_add(1);
            size += 1;
            body.visit_operands(inst, |value| {
                size += 1;
                let range = &mut ranges[value];
                // On the way back to a loop's header a value may be used before it is computed.
                range.end = range.end.max((at, number));
            });
            passed += body.targets(inst).iter().map(|&edge| body.target_args(edge).len()).sum::<usize>();
            body.results(inst).for_each(|result| begin(&mut ranges, result, at));
        }
    }
    let (mut lives, mut crossings) = (0usize, 0usize);
    for (value, range) in ranges.iter() {
        if body.value_const_id(value).is_none() {
            lives += range.end.0.saturating_sub(range.start.0) as usize;
            crossings += range.end.1.saturating_sub(range.start.1) as usize;
        }
    }
    if crossings > MAX_CROSSING.saturating_mul(size) {
        return Effort::Least;
    }
    if passed > MAX_PASSED.saturating_mul(at as usize) || joined > MAX_JOINED {
        return Effort::Quick;
    }
    if lives.saturating_sub(EASY_PRESSURE.saturating_mul(at as usize)) > MAX_PRESSURE {
        return Effort::Quick;
    }
    let most = match () {
        () if lives > BUSY.saturating_mul(at as usize) => MAX_WEBS,
        () if lives > ALONE.saturating_mul(at as usize) => MAX_SHARED_WEBS,
        () => usize::MAX,
    };
    if most < usize::MAX && webs(body, flow) > most.saturating_mul(at as usize) {
        return Effort::Quick;
    }
    let mut dominators = Dominators::new();
    dominators.compute(flow);
    let depths = depths(flow, &dominators);
    if climbed(flow, &depths) > MAX_CLIMBED.saturating_mul(at as usize) {
        return Effort::Quick;
    }
    let mut loops = Loops::new();
    loops.compute(flow, &dominators);
    let deepest = flow.reverse_post_order().iter().map(|&block| loops.depth(block)).max().unwrap_or(0);
    if deepest > MAX_NEST {
        return Effort::Quick;
    }
    if deepest > MAX_DEPTH || searched(body, flow, &depths) > MAX_SEARCHED {
        return Effort::Plain;
    }
    Effort::Full
}

/// Squares of how many values belong together, because edges pass one for the other.
fn webs(body: &Body, flow: &ControlFlow) -> usize {
    let mut parent = SecondaryMap::<Value, PackedOption<Value>>::with_capacity(body.value_count());
    let mut count = SecondaryMap::<Value, u32>::with_capacity(body.value_count());
    let find = |parent: &mut SecondaryMap<Value, PackedOption<Value>>, mut at: Value| {
        while let Some(above) = parent[at].expand() {
            if let Some(further) = parent[above].expand() {
                parent[at] = further.into();
            }
            at = above;
        }
        at
    };
    let edges = flow.reverse_post_order().iter().filter_map(|&block| body.last_inst(block));
    for edge in edges.flat_map(|inst| body.targets(inst)).copied() {
        for (&param, &arg) in body.block_params(body.target_block(edge)).iter().zip(body.target_args(edge)) {
            if body.value_const_id(arg).is_none() {
                let (one, other) = (find(&mut parent, param), find(&mut parent, arg));
                if one != other {
                    let (small, large) = if count[one] < count[other] { (one, other) } else { (other, one) };
                    parent[small] = large.into();
                    count[large] += count[small] + 1;
                }
            }
        }
    }
    let roots = count.iter().filter(|&(value, _)| parent[value].is_none());
    roots.fold(0usize, |sum, (_, &others)| sum.saturating_add((others as usize).saturating_pow(2)))
}

/// How deep blocks are in the tree of dominators.
fn depths(flow: &ControlFlow, dominators: &Dominators) -> SecondaryMap<Block, usize> {
    let mut depths = SecondaryMap::new();
    for &block in flow.reverse_post_order() {
        depths[block] = dominators.immediate(flow, block).map_or(0, |above| depths[above] + 1);
    }
    depths
}

/// How far it is in the tree of dominators from where edges leave up to where they lead.
fn climbed(flow: &ControlFlow, depths: &SecondaryMap<Block, usize>) -> usize {
    let mut sum = 0usize;
    for &block in flow.reverse_post_order() {
        for &(from, _) in flow.predecessors(block) {
            sum = sum.saturating_add(depths[from].saturating_sub(depths[block]));
        }
    }
    sum
}

/// Constants times the dominators of the blocks that use them.
fn searched(body: &Body, flow: &ControlFlow, depths: &SecondaryMap<Block, usize>) -> usize {
    let mut sum = 0usize;
    for &block in flow.reverse_post_order() {
        let mut constants = 0;
        for inst in body.block_insts(block) {
            body.visit_operands(inst, |value| constants += usize::from(body.value_const_id(value).is_some()));
        }
        sum = sum.saturating_add(depths[block].saturating_mul(constants));
    }
    sum
}
