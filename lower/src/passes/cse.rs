//! Common subexpressions: what was computed, loaded or stored before is not computed or loaded again.
//!
//! Needs control flow, dominators and addresses. Walks the dominator tree in preorder, so that one hash table serves: an
//! entry that does not dominate the current block belongs to a finished subtree and is overwritten. An instruction
//! that may only throw is as good as a pure one, for the first one would have thrown.
//!
//! The table is as large as it can get, up to [`MAX_SLOTS`]. In a longer function the newest instruction takes the slot:
//! what is equal to one that is very far away stays, and the table stays in the cache.
//!
//! What memory holds is remembered from loads and stores along single-predecessor paths, at most
//! [`MAX_KNOWN`] places at a time, and forgotten when something may write there. Volatile and atomic accesses are
//! left alone. Keeps blocks and edges. Linear.

use super::PassContext;
use super::addresses::{Addresses, Region};
use super::effects::{is_repeatable, is_volatile};
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::op::{Effects, Op};
use marquetry_ir::types::{Type, Types};
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// Most places of memory whose contents are remembered at a time.
const MAX_KNOWN: usize = 32;

/// Most slots of the hash table.
const MAX_SLOTS: usize = 1 << 16;

/// A place of memory and what it holds.
#[derive(Copy, Clone)]
pub(crate) struct Known {
    pointer: Value,
    region: Region,
    ty: Type,
    value: Value,
}

/// An entry of the hash table.
#[derive(Copy, Clone, Default)]
pub(crate) struct Slot {
    /// The other half of the hash: most that are not equal differ in it.
    tag: u32,
    inst: PackedOption<Inst>,
}

/// The tables of one run.
#[derive(Default)]
pub(crate) struct Tables {
    slots: Vec<Slot>,
    /// Blocks to come, with what memory is known to hold at their start.
    stack: Vec<(Block, Vec<Known>)>,
    /// Lists that nobody holds any more.
    free: Vec<Vec<Known>>,
}

/// Removes what was computed before. Says whether anything was.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    ctx.find_dominators(body);
    ctx.addresses.compute(body, &ctx.types, &ctx.cfg);
    let PassContext { types, cfg, dominators, addresses, replacements, cse: tables, .. } = ctx;
    let Tables { slots, stack, free } = tables;
    replacements.clear();
    // As large as it can get: growing costs more than all look-ups.
    let wanted = (body.inst_count() * 3 / 2 + 1).next_power_of_two();
    let is_full = wanted > MAX_SLOTS;
    slots.clear();
    slots.resize(wanted.min(MAX_SLOTS), Slot::default());
    let mask = slots.len() - 1;
    let mut changed = false;
    stack.clear();
    stack.extend(body.entry().map(|entry| (entry, free.pop().unwrap_or_default())));
    while let Some((block, mut known)) = stack.pop() {
        if known.capacity() == 0 {
            known = free.pop().unwrap_or_default();
        }
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            if !replacements.is_empty() {
                body.rewrite_operands(inst, |value| replacements.resolve(value));
            }
            let op = body.inst(inst).op;
            if op == Op::Load && !is_volatile(body, inst) {
                if let Some((old, new)) = load(body, types, addresses, inst, &mut known) {
                    replacements.set(old, new);
                    body.remove_inst(inst);
                    changed = true;
                }
                continue;
            }
            if op.effects().has(Effects::READ.and(Effects::WRITE)) {
                forget(body, types, addresses, inst, &mut known);
                continue;
            }
            if !is_repeatable(op) || body.first_result(inst).is_none() {
                continue;
            }
            // The slot of an equal instruction, or a free one.
            let hash = hash(body, inst);
            let (mut at, tag) = (hash as usize & mask, (hash >> 32) as u32);
            let equal = loop {
                let slot = slots[at];
                let Some(other) = slot.inst.expand() else { break None };
                if slot.tag == tag && is_same(body, other, inst) {
                    break Some(other);
                }
                if is_full {
                    break None;
                }
                at = (at + 1) & mask;
            };
            let above = |earlier: &Inst| {
                body.inst_block(*earlier).is_some_and(|at| dominators.dominates(cfg, at, block))
            };
            match equal.filter(above) {
                Some(earlier) => {
                    for (old, new) in body.results(inst).zip(body.results(earlier)) {
                        replacements.set(old, new);
                    }
                    body.remove_inst(inst);
                    changed = true;
                }
                None => slots[at] = Slot { tag, inst: inst.into() },
            }
        }
        let first = stack.len();
        stack.extend(dominators.children(cfg, block).map(|child| (child, Vec::new())));
        // The first child is visited first, so that blocks are visited about as they lie in memory.
        stack[first..].reverse();
        let heirs = stack[first..]
            .iter_mut()
            .filter(|(child, _)| matches!(cfg.predecessors(*child), [(from, _)] if *from == block));
        let mut last: Option<&mut Vec<Known>> = None;
        for (_, heir) in heirs.filter(|_| !known.is_empty()) {
            if let Some(before) = last.replace(heir) {
                *before = free.pop().unwrap_or_default();
                before.extend_from_slice(&known);
            }
        }
        // One takes what the others copied.
        match last {
            Some(last) => *last = known,
            None => {
                known.clear();
                free.push(known);
            }
        }
    }
    replacements.finish(body, cfg);
    changed
}

/// Whether the two operands may be exchanged.
fn is_commutative(op: Op) -> bool {
    use Op::*;
    matches!(
        op,
        Add | Mul
            | And
            | Or
            | Xor
            | Eq
            | Ne
            | MulHighS
            | MulHighU
            | AddSatS
            | AddSatU
            | AddOverflowS
            | AddOverflowU
            | MulOverflowS
            | MulOverflowU
            | MinS
            | MinU
            | MaxS
            | MaxU
            | Min
            | Max
            | MinNumber
            | MaxNumber
            | One
            | Ueq
            | Ord
            | Uno
    )
}

/// Two operands, in an order that does not depend on how they are written.
fn ordered(op: Op, a: Value, b: Value) -> (Value, Value) {
    if a > b && is_commutative(op) { (b, a) } else { (a, b) }
}

fn hash(body: &Body, inst: Inst) -> u64 {
    let data = body.inst(inst);
    let mut hasher = FxHasher::default();
    hasher.write_u64(u64::from(data.ty.word()) << 32 | u64::from(data.imm));
    hasher.write_u32(data.op as u32);
    match *body.args(inst) {
        [a, b] => {
            let (a, b) = ordered(data.op, a, b);
            hasher.write_u64(u64::from(a.as_u32()) << 32 | u64::from(b.as_u32()));
        }
        ref args => args.hash(&mut hasher),
    }
    hasher.finish()
}

fn is_same(body: &Body, a: Inst, b: Inst) -> bool {
    let (x, y) = (body.inst(a), body.inst(b));
    (x.op, x.ty, x.imm) == (y.op, y.ty, y.imm)
        && match (body.args(a), body.args(b)) {
            (&[a, b], &[c, d]) => ordered(x.op, a, b) == ordered(x.op, c, d),
            (a, b) => a == b,
        }
}

/// The load's result and what is known to be there; else remembers the result.
fn load(
    body: &Body,
    types: &Types,
    addresses: &Addresses,
    inst: Inst,
    known: &mut Vec<Known>,
) -> Option<(Value, Value)> {
    let (pointer, ty) = (*body.args(inst).first()?, body.inst(inst).ty);
    let result = body.first_result(inst)?;
    let region = addresses.region(types, pointer, ty);
    let same_place = |place: &&Known| {
        let exact = place.region.address.offset.is_some() && place.region.address == region.address;
        place.ty == ty && (place.pointer == pointer || exact)
    };
    if let Some(place) = known.iter().find(same_place) {
        return Some((result, place.value));
    }
    remember(known, Known { pointer, region, ty, value: result });
    None
}

fn remember(known: &mut Vec<Known>, place: Known) {
    if known.len() >= MAX_KNOWN {
        known.remove(0);
    }
    known.push(place);
}

/// Forgets what an instruction may overwrite, and remembers what a store wrote.
fn forget(body: &Body, types: &Types, addresses: &Addresses, inst: Inst, known: &mut Vec<Known>) {
    let op = body.inst(inst).op;
    let args = body.args(inst);
    let written = match (op, args) {
        (Op::Load, _) => return,
        (Op::Store, &[pointer, value]) => Some(addresses.region(types, pointer, body.value_type(value))),
        (Op::MemSet | Op::MemCopy, &[pointer, _, size]) => {
            let size = body.value_bits(size).and_then(|bits| u64::try_from(bits).ok());
            Some(Region { address: addresses.get(pointer), size })
        }
        (Op::StaticAssert, _) => return,
        _ => None,
    };
    match written {
        Some(written) => known.retain(|place| !addresses.may_alias(body, written, place.region)),
        // Calls, barriers, atomics: whatever others can see may be different now. An atomic access of a slot that
        // nobody else can see is one of its own body's.
        None => {
            let own = args
                .first()
                .filter(|&&arg| body.value_type(arg).is_pointer())
                .map(|&arg| addresses.get(arg).root);
            known.retain(|place| {
                !addresses.is_exposed(body, place.region) && own != Some(place.region.address.root)
            });
        }
    }
    if let (Op::Store, &[pointer, value], Some(region)) = (op, args, written)
        && !is_volatile(body, inst)
    {
        remember(known, Known { pointer, region, ty: body.value_type(value), value });
    }
}
