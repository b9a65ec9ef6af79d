//! Loop-invariant code moves out of loops.
//!
//! Computes loops and addresses, after making preheaders. One walk in reverse post-order: an instruction whose
//! operands are all computed outside a loop, and that may run when it would not have run, moves to the preheader of
//! the outermost such loop. What may throw, and loads that no write in the loop may change, move out of a loop's
//! header only, where they run whenever the loop is entered, and only if nothing observable comes before them.
//! Keeps edges. Linear in instructions times loop depth.

use super::PassContext;
use super::addresses::{Region, constant_offset};
use super::effects::{is_observable, is_speculatable, is_volatile};
use super::preheader;
use cranelift_entity::SecondaryMap;
use marquetry_ir::analysis::loops::Loop;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::op::{Effects, Op};
use marquetry_ir::types::{Space, Type};

/// Most writes of one loop that are told apart.
const MAX_WRITES: usize = 16;

/// Most loops that one instruction leaves at a time.
const MAX_LEVELS: usize = 16;

/// What a loop, with those inside it, writes.
#[derive(Clone, Default)]
struct Writes {
    regions: Vec<Region>,
    /// Calls, barriers, atomics, or more than is listed.
    anything: bool,
}

impl Writes {
    fn add(&mut self, region: Option<Region>) {
        match region {
            Some(region) if self.regions.len() < MAX_WRITES => self.regions.push(region),
            _ => self.anything = true,
        }
    }
}

/// Moves invariant code. Says whether there was any, or preheaders were made.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    ctx.find_loops(body);
    if ctx.loops.iter().next().is_none() {
        return false;
    }
    let mut changed = preheader::make(body, ctx);
    if changed {
        ctx.forget_flow();
        ctx.find_loops(body);
    }
    ctx.addresses.compute(body, &ctx.types, &ctx.cfg);
    let writes = collect_writes(body, ctx);
    for n in 0..ctx.cfg.reverse_post_order().len() {
        let block = ctx.cfg.reverse_post_order()[n];
        if let Some(this) = ctx.loops.innermost(block) {
            changed |= hoist_block(body, ctx, &writes, block, this);
        }
    }
    changed
}

fn collect_writes(body: &Body, ctx: &PassContext) -> SecondaryMap<Loop, Writes> {
    let mut writes = SecondaryMap::<Loop, Writes>::new();
    for &block in ctx.cfg.reverse_post_order() {
        let Some(this) = ctx.loops.innermost(block) else { continue };
        for inst in body.block_insts(block) {
            if !body.inst(inst).op.effects().has(Effects::WRITE) {
                continue;
            }
            let region = match (body.inst(inst).op, body.args(inst)) {
                (Op::Store, &[pointer, value]) => {
                    Some(ctx.addresses.region(&ctx.types, pointer, body.value_type(value)))
                }
                (Op::MemSet | Op::MemCopy, &[pointer, _, size]) => {
                    let size = body.value_bits(size).and_then(|bits| u64::try_from(bits).ok());
                    Some(Region { address: ctx.addresses.get(pointer), size })
                }
                (Op::StaticAssert, _) => continue,
                _ => None,
            };
            writes[this].add(region);
        }
    }
    // Inner loops come before those around them.
    for this in ctx.loops.iter() {
        if let Some(parent) = ctx.loops.parent(this) {
            let inner = writes[this].clone();
            inner.regions.iter().for_each(|&region| writes[parent].add(Some(region)));
            writes[parent].anything |= inner.anything;
        }
    }
    writes
}

/// Whether a value is computed outside a loop.
fn is_outside(body: &Body, ctx: &PassContext, this: Loop, value: Value) -> bool {
    body.value_const_id(value).is_some()
        || body.value_block(value).is_some_and(|block| !contains(ctx, this, block))
}

/// Whether a block is in a loop; costs how much deeper the block is.
fn contains(ctx: &PassContext, this: Loop, block: Block) -> bool {
    let depth = ctx.loops.depth(ctx.loops.header(this));
    let mut at = ctx.loops.innermost(block);
    for _ in depth..ctx.loops.depth(block) {
        at = at.and_then(|inner| ctx.loops.parent(inner));
    }
    at == Some(this)
}

fn is_invariant(body: &Body, ctx: &PassContext, this: Loop, inst: Inst) -> bool {
    body.args(inst).iter().all(|&arg| is_outside(body, ctx, this, arg))
}

fn hoist_block(
    body: &mut Body,
    ctx: &PassContext,
    writes: &SecondaryMap<Loop, Writes>,
    block: Block,
    this: Loop,
) -> bool {
    let mut changed = false;
    // Whether everything up to here runs whenever the loop is entered, and nobody could see it.
    let mut quiet = ctx.loops.header(this) == block;
    let mut next = body.first_inst(block);
    while let Some(inst) = next {
        next = body.next_inst(inst);
        if body.inst(inst).op.is_terminator() {
            break;
        }
        changed |= split_index(body, ctx, this, inst).is_some();
        let target = if is_worthwhile(body, ctx, inst) {
            outermost(body, ctx, this, inst)
        } else if quiet && runs_once(body, ctx, writes, this, inst) {
            Some(this)
        } else {
            None
        };
        let end = target.and_then(|target| preheader::find(body, ctx, ctx.loops.header(target)));
        if let Some(end) = end.and_then(|preheader| body.terminator(preheader)) {
            body.remove_inst(inst);
            body.insert_inst_before(inst, end);
            changed = true;
            continue;
        }
        quiet &= !is_observable(body, inst);
    }
    changed
}

/// Whether an instruction may move anywhere above, and pays for the register that it will hold. A constant number of
/// bytes is part of every access.
fn is_worthwhile(body: &Body, ctx: &PassContext, inst: Inst) -> bool {
    is_speculatable(body, inst) && constant_offset(body, &ctx.types, inst).flatten().is_none()
}

/// `p[x + y]`, where only one of the two varies in the loop, becomes `p[x][y]`, the invariant part first: it moves out,
/// and no sum is left. Only for 64-bit indices: narrower ones wrap before they are widened.
fn split_index(body: &mut Body, ctx: &PassContext, this: Loop, inst: Inst) -> Option<()> {
    let ty = body.inst(inst).ty;
    let (Op::Index, &[base, index]) = (body.inst(inst).op, body.args(inst)) else { return None };
    if body.value_type(index) != Type::I64 || !is_outside(body, ctx, this, base) {
        return None;
    }
    let sum = body.value_inst(index).filter(|&sum| body.inst(sum).op == Op::Add)?;
    let &[x, y] = body.args(sum) else { return None };
    let (fixed, varying) = match (is_outside(body, ctx, this, x), is_outside(body, ctx, this, y)) {
        (true, false) => (x, y),
        (false, true) => (y, x),
        _ => return None,
    };
    // A constant is part of the access already, unless the sum is kept for the next round.
    if body.value_const_id(fixed).is_some() {
        return None;
    }
    let preheader = preheader::find(body, ctx, ctx.loops.header(this))?;
    let end = body.terminator(preheader)?;
    let row = body.make_inst(Op::Index, ty, &[base, fixed], 0);
    body.make_results(row, &[body.value_type(base)]);
    body.insert_inst_before(row, end);
    body.set_origin(row, body.origin(inst));
    let row = body.first_result(row)?;
    let args = body.args_mut(inst);
    args[0] = row;
    args[1] = varying;
    Some(())
}

/// The outermost loop out of which a pure instruction can move.
fn outermost(body: &Body, ctx: &PassContext, this: Loop, inst: Inst) -> Option<Loop> {
    let mut found = None;
    let mut around = Some(this);
    for _ in 0..MAX_LEVELS {
        let Some(at) = around.filter(|&at| is_invariant(body, ctx, at, inst)) else { break };
        found = Some(at);
        around = ctx.loops.parent(at);
    }
    found
}

/// Whether an instruction that runs whenever the loop is entered may as well run once before.
fn runs_once(
    body: &Body,
    ctx: &PassContext,
    writes: &SecondaryMap<Loop, Writes>,
    this: Loop,
    inst: Inst,
) -> bool {
    if !is_invariant(body, ctx, this, inst) {
        return false;
    }
    let data = body.inst(inst);
    if data.op != Op::Load {
        return data.op.effects() == Effects::THROW;
    }
    let Some(&pointer) = body.args(inst).first().filter(|_| !is_volatile(body, inst)) else { return false };
    let read = ctx.addresses.region(&ctx.types, pointer, data.ty);
    if body.value_type(read.address.root).space() == Some(Space::Constant) {
        return true;
    }
    let all = &writes[this];
    !all.anything && !all.regions.iter().any(|&written| ctx.addresses.may_alias(body, written, read))
}
