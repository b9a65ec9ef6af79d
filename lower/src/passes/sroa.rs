//! Slots of aggregates fall apart into slots of their scalars.
//!
//! Needs control flow and addresses. Moves all slots to the start of the function, so that later passes may copy
//! blocks freely. A slot is split if every use is a plain access or a constant fill at a constant offset, and the
//! accesses of each place agree on its type and do not overlap another place. Loads and stores of whole
//! aggregates of few scalars become one access per scalar. Leaves dead address ops behind. Costs n log n of the
//! accesses.

use super::PassContext;
use super::addresses::is_slot;
use super::{dce, effects};
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::Body;
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type, Types};

/// Most scalars of an aggregate that is loaded or stored as a whole.
const MAX_LEAVES: usize = 16;
/// Most parts of one slot.
const MAX_PARTS: usize = 512;

/// One scalar of a slot.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    offset: u64,
    ty: Type,
}

/// Bytes of a slot that are set to a constant.
struct Fill {
    start: u64,
    end: u64,
    byte: u8,
}

struct Candidate {
    slot: Inst,
    splittable: bool,
    /// Whether any use is not a scalar access through the slot's own address.
    indirect: bool,
    parts: Vec<Part>,
    fills: Vec<Fill>,
    /// The new slots, in the order of `parts`.
    slots: Vec<Value>,
}

/// Splits slots. Says whether anything changed.
pub fn run(body: &mut Body, ctx: &mut PassContext) -> bool {
    if !body.may_have(Op::Slot) {
        return false;
    }
    let (mut changed, mut candidates, numbers) = gather(body);
    if candidates.is_empty() {
        return false;
    }
    changed |= dce::remove_unreachable(body, ctx);
    ctx.find_flow(body);
    ctx.addresses.compute(body, &ctx.types, &ctx.cfg);
    for &block in ctx.cfg.reverse_post_order() {
        for inst in body.block_insts(block) {
            examine(body, ctx, inst, &mut candidates, &numbers);
        }
    }
    let mut any = false;
    for candidate in &mut candidates {
        settle(body, &ctx.types, candidate);
        any |= candidate.splittable;
    }
    if !any {
        return changed;
    }
    ctx.replacements.clear();
    for n in 0..ctx.cfg.reverse_post_order().len() {
        let block = ctx.cfg.reverse_post_order()[n];
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            rewrite(body, ctx, inst, &candidates, &numbers);
        }
    }
    ctx.replacements.apply(body);
    true
}

/// Collects the slots and moves them to the start of the entry block.
fn gather(body: &mut Body) -> (bool, Vec<Candidate>, SecondaryMap<Value, u32>) {
    let mut candidates = Vec::new();
    let mut numbers = SecondaryMap::new();
    let mut misplaced = Vec::new();
    let entry = body.entry();
    for block in body.blocks() {
        for inst in body.block_insts(block) {
            let Some(value) = body.first_result(inst).filter(|_| body.inst(inst).op == Op::Slot) else {
                continue;
            };
            let (parts, fills, slots) = (Vec::new(), Vec::new(), Vec::new());
            candidates.push(Candidate { slot: inst, splittable: true, indirect: false, parts, fills, slots });
            numbers[value] = candidates.len() as u32;
            if Some(block) != entry {
                misplaced.push(inst);
            }
        }
    }
    let Some(first) = entry.and_then(|entry| body.first_inst(entry)) else {
        return (false, candidates, numbers);
    };
    for &inst in &misplaced {
        body.remove_inst(inst);
        body.insert_inst_before(inst, first);
    }
    (!misplaced.is_empty(), candidates, numbers)
}

/// Whether a type is an array or struct of no size: there is nothing of it in memory, however many fields it has.
fn is_sizeless(types: &Types, ty: Type) -> bool {
    ty.is_aggregate() && types.layout(ty).is_some_and(|layout| layout.size == 0)
}

/// Calls `f` with the offset and type of every scalar of a type; false if there are more than [`MAX_LEAVES`].
/// Recursion is as deep as the type, which is limited.
fn leaves(types: &Types, ty: Type, offset: u64, f: &mut dyn FnMut(u64, Type), budget: &mut usize) -> bool {
    if is_sizeless(types, ty) {
        return true;
    }
    let Some(count) = types.field_count(ty) else {
        f(offset, ty);
        *budget = budget.saturating_sub(1);
        return *budget > 0;
    };
    (0..count).all(|n| match (types.field_type(ty, n), types.field_offset(ty, n)) {
        (Some(field), Some(at)) => leaves(types, field, offset + at, f, budget),
        _ => false,
    })
}

fn examine(
    body: &Body,
    ctx: &PassContext,
    inst: Inst,
    candidates: &mut [Candidate],
    numbers: &SecondaryMap<Value, u32>,
) {
    let number = |root: Value| numbers.get(root).copied().unwrap_or(0).checked_sub(1);
    let data = body.inst(inst);
    let mut position = 0;
    body.visit_operands(inst, |value| {
        position += 1;
        if !body.value_type(value).is_pointer() {
            return;
        }
        let address = ctx.addresses.get(value);
        let Some(candidate) = number(address.root).and_then(|n| candidates.get_mut(n as usize)) else {
            return;
        };
        let offset = address.offset.and_then(|offset| u64::try_from(offset).ok());
        candidate.indirect |= value != address.root;
        let args = body.args(inst);
        let fine = match (data.op, position, offset) {
            (Op::PtrAdd | Op::Index | Op::FieldAddress | Op::SpaceCast, 1, Some(_)) => true,
            (Op::Load, 1, Some(offset)) => candidate.access(&ctx.types, offset, data.ty),
            (Op::Store, 1, Some(offset)) => match args.get(1) {
                Some(&stored) => candidate.access(&ctx.types, offset, body.value_type(stored)),
                None => false,
            },
            (Op::MemSet, 1, Some(offset)) => candidate.fill(body, offset, args),
            _ => false,
        };
        candidate.splittable &= fine && !effects::is_volatile(body, inst);
    });
}

impl Candidate {
    fn access(&mut self, types: &Types, offset: u64, ty: Type) -> bool {
        self.indirect |= ty.is_aggregate();
        let parts = &mut self.parts;
        if parts.len() > MAX_PARTS * 8 {
            parts.sort_unstable();
            parts.dedup();
            // Otherwise there is room again, so that sorting stays rare.
            if parts.len() > MAX_PARTS {
                return false;
            }
        }
        parts.len() <= MAX_PARTS * 8
            && leaves(
                types,
                ty,
                offset,
                &mut |offset, ty| parts.push(Part { offset, ty }),
                &mut (MAX_LEAVES + 1),
            )
    }

    fn fill(&mut self, body: &Body, start: u64, args: &[Value]) -> bool {
        let &[_, byte, size] = args else { return false };
        let (Some(byte), Some(size)) = (body.value_bits(byte), body.value_bits(size)) else { return false };
        let Some(end) = u64::try_from(size).ok().and_then(|size| start.checked_add(size)) else {
            return false;
        };
        self.fills.push(Fill { start, end, byte: byte as u8 });
        self.indirect = true;
        self.fills.len() <= MAX_PARTS
    }

    fn find(&self, offset: u64) -> Option<Value> {
        let n = self.parts.binary_search_by_key(&offset, |part| part.offset).ok()?;
        self.slots.get(n).copied()
    }
}

/// Decides whether a slot is split, and makes the new slots.
fn settle(body: &mut Body, types: &Types, candidate: &mut Candidate) {
    candidate.parts.sort_unstable();
    candidate.parts.dedup();
    let size = |ty: Type| types.layout(ty).map_or(0, |layout| layout.size);
    let end = |part: &Part| part.offset.saturating_add(size(part.ty));
    let parts = &candidate.parts;
    let limit = size(body.inst(candidate.slot).ty);
    let disjoint = parts.windows(2).all(|pair| end(&pair[0]) <= pair[1].offset);
    let filled = |fill: &Fill| {
        // Only parts near the fill matter; they are sorted.
        let from = parts.partition_point(|part| end(part) <= fill.start);
        parts[from..].iter().take_while(|part| part.offset < fill.end).all(|part| {
            part.offset >= fill.start && end(part) <= fill.end && filled_value(part.ty, fill.byte).is_some()
        })
    };
    candidate.splittable &= candidate.indirect
        && parts.len() <= MAX_PARTS
        && disjoint
        && parts.last().is_none_or(|part| end(part) <= limit)
        && candidate.fills.iter().all(|fill| fill.end <= limit && filled(fill));
    if !candidate.splittable {
        return;
    }
    for part in &candidate.parts {
        let slot = body.make_inst(Op::Slot, part.ty, &[], 0);
        let address = body.inst(candidate.slot).op;
        debug_assert!(address == Op::Slot);
        body.make_results(slot, &[Type::pointer(marquetry_ir::types::Space::Local)]);
        body.insert_inst_before(slot, candidate.slot);
        candidate.slots.extend(body.first_result(slot));
    }
}

/// The bits of a lane all of whose bytes are `byte`.
fn filled_value(ty: Type, byte: u8) -> Option<u128> {
    let lane = match ty.lane() {
        Some(lane) => lane,
        None if ty.is_pointer() => Scalar::I64,
        None => return None,
    };
    let bits = u128::from_le_bytes([byte; 16]);
    match lane {
        Scalar::I1 => (byte <= 1).then_some(u128::from(byte)),
        _ => Some(bits & lane.mask()),
    }
}

fn rewrite(
    body: &mut Body,
    ctx: &mut PassContext,
    inst: Inst,
    candidates: &[Candidate],
    numbers: &SecondaryMap<Value, u32>,
) {
    let op = body.inst(inst).op;
    if !matches!(op, Op::Load | Op::Store | Op::MemSet) {
        return;
    }
    let Some(&pointer) = body.args(inst).first() else { return };
    let address = ctx.addresses.get(pointer);
    if !is_slot(body, address.root) {
        return;
    }
    let number = numbers.get(address.root).copied().unwrap_or(0).checked_sub(1);
    let Some(candidate) = number.and_then(|n| candidates.get(n as usize)).filter(|c| c.splittable) else {
        return;
    };
    let Some(offset) = address.offset.and_then(|offset| u64::try_from(offset).ok()) else { return };
    match (op, body.args(inst)) {
        (Op::Load, _) if !body.inst(inst).ty.is_aggregate() => {
            if let Some(slot) = candidate.find(offset) {
                let ty = body.inst(inst).ty;
                body.replace_inst(inst, Op::Load, ty, &[slot], MemFlags::plain().bits());
            }
        }
        (Op::Load, _) => {
            let ty = body.inst(inst).ty;
            let whole = load_parts(body, &ctx.types, candidate, inst, ty, offset);
            if let (Some(whole), Some(result)) = (whole, body.first_result(inst)) {
                ctx.replacements.set(result, whole);
                body.remove_inst(inst);
            }
        }
        (Op::Store, &[_, stored]) => {
            store_parts(body, &ctx.types, candidate, inst, stored, offset);
            body.remove_inst(inst);
        }
        (Op::MemSet, &[_, byte, size]) => {
            let byte = body.value_bits(byte).unwrap_or(0) as u8;
            let end = offset.saturating_add(body.value_bits(size).unwrap_or(0) as u64);
            let from = candidate.parts.partition_point(|part| part.offset < offset);
            let parts = candidate.parts.iter().zip(&candidate.slots).skip(from);
            for (part, &slot) in parts.take_while(|(part, _)| part.offset < end) {
                let value = body.make_scalar(part.ty, filled_value(part.ty, byte).unwrap_or(0));
                insert(body, inst, Op::Store, Type::ERROR, &[slot, value], None);
            }
            body.remove_inst(inst);
        }
        _ => {}
    }
}

/// Makes an instruction before another one.
fn insert(body: &mut Body, before: Inst, op: Op, ty: Type, args: &[Value], result: Option<Type>) -> Inst {
    let new = body.make_inst(op, ty, args, 0);
    if let Some(result) = result {
        body.make_results(new, &[result]);
    }
    body.insert_inst_before(new, before);
    body.set_origin(new, body.origin(before));
    new
}

fn load_parts(
    body: &mut Body,
    types: &Types,
    candidate: &Candidate,
    before: Inst,
    ty: Type,
    offset: u64,
) -> Option<Value> {
    if is_sizeless(types, ty) {
        return Some(body.make_const(ConstData { ty, value: ConstValue::Zero }));
    }
    let Some(count) = types.field_count(ty) else {
        let slot = candidate.find(offset)?;
        let load = insert(body, before, Op::Load, ty, &[slot], Some(ty));
        return body.first_result(load);
    };
    let mut fields = Vec::new();
    for n in 0..count {
        let (field, at) = (types.field_type(ty, n)?, types.field_offset(ty, n)?);
        fields.push(load_parts(body, types, candidate, before, field, offset + at)?);
    }
    let made = insert(body, before, Op::Make, ty, &fields, Some(ty));
    body.first_result(made)
}

fn store_parts(
    body: &mut Body,
    types: &Types,
    candidate: &Candidate,
    before: Inst,
    stored: Value,
    offset: u64,
) {
    let ty = body.value_type(stored);
    if is_sizeless(types, ty) {
        return;
    }
    let Some(count) = types.field_count(ty) else {
        if let Some(slot) = candidate.find(offset) {
            insert(body, before, Op::Store, Type::ERROR, &[slot, stored], None);
        }
        return;
    };
    for n in 0..count {
        let (Some(field), Some(at)) = (types.field_type(ty, n), types.field_offset(ty, n)) else { continue };
        let get = insert(body, before, Op::GetField, Type::ERROR, &[stored], Some(field));
        body.set_imm(get, n as u32);
        if let Some(value) = body.first_result(get) {
            store_parts(body, types, candidate, before, value, offset + at);
        }
    }
}
