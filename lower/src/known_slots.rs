//! Loads of addresses that slots of constant globals hold: where it is known which slot is loaded, the address itself
//! takes the load's place.
//!
//! Nobody writes constant memory, so what such a slot holds is known as soon as the unit is: the address of a function of
//! the unit, or of another of its globals. A call through a table at a place that is known becomes a direct one, and code
//! that follows such addresses compiles for targets that have none in memory. The host's words are never known.
//!
//! Then slots for addresses that nobody reads are dropped ([`drop_unread`]): a table of which only a number is read holds
//! no functions alive, and asks nothing of a target that has no such tables.

use crate::passes::addresses::constant_offset;
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Global, Inst, SymbolRef, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op;
use marquetry_ir::program::{GlobalData, GlobalSlot, Reference, WORD_BYTES};
use marquetry_ir::types::{Space, Type, Types};
use marquetry_ir::unit::Unit;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::sync::Arc;

/// Steps from a pointer back to the global that it points into; longer ways are left alone.
const MAX_STEPS: usize = 32;

/// An address that a slot holds.
#[derive(Copy, Clone)]
enum Known {
    Func(Func),
    Global { target: Global, space: Space, offset: u64 },
}

/// Replaces the loads of a unit. Costs its size.
pub fn run(unit: &mut Unit) {
    let holds = |data: &GlobalData| {
        data.space == Space::Constant && data.slots.iter().any(|slot| !slot.reference.is_of_host())
    };
    if !unit.globals.values().any(holds) {
        return;
    }
    let names: FxHashMap<Arc<str>, Global> =
        unit.globals.iter().map(|(id, data)| (data.name.clone(), id)).collect();
    let types = unit.types.clone();
    let globals = &unit.globals;
    let known = |global: Global, offset: u64| -> Option<Known> {
        let data = globals.get(global).filter(|data| data.space == Space::Constant)?;
        let at = data.slots.binary_search_by_key(&offset, |slot| slot.offset).ok()?;
        match &data.slots.get(at)?.reference {
            Reference::Func(func) => Some(Known::Func(*func)),
            Reference::Global { name, offset } => {
                let target = *names.get(name)?;
                Some(Known::Global { target, space: globals.get(target)?.space, offset: *offset })
            }
            _ => None,
        }
    };
    for function in unit.funcs.values_mut() {
        let body = &mut function.body;
        let insts: Vec<Inst> = body.blocks().flat_map(|block| body.block_insts(block)).collect();
        let mut changed = false;
        // What one load gives may be where the next one loads from.
        for inst in insts {
            let data = body.inst(inst);
            if data.op != Op::Load || MemFlags::from_bits(data.imm).is_volatile() {
                continue;
            }
            let (ty, pointer) = (data.ty, body.args(inst).first().copied());
            let place = pointer.and_then(|pointer| place(body, &types, pointer));
            if let Some(known) = place.and_then(|(global, offset)| known(global, offset)) {
                changed |= replace(body, inst, ty, known);
            }
        }
        if changed {
            sweep(body);
        }
    }
}

/// Drops slots for addresses in constant globals of which all that is ever read is known, and these are not. Costs the
/// size of the unit.
pub fn drop_unread(unit: &mut Unit) {
    let is_address = |slot: &GlobalSlot| !slot.reference.is_of_host();
    if !unit.globals.values().any(|data| data.slots.iter().any(is_address)) {
        return;
    }
    let names: FxHashMap<Arc<str>, Global> =
        unit.globals.iter().map(|(id, data)| (data.name.clone(), id)).collect();
    let mut reads = Reads::default();
    for function in unit.funcs.values() {
        reads.of(&function.body, &unit.types);
    }
    // Whoever holds the address of a global may read all of it.
    let mut work: Vec<Global> = std::mem::take(&mut reads.open);
    let targets = |data: &GlobalData, is_read: &dyn Fn(&GlobalSlot) -> bool| -> Vec<Global> {
        let read = data.slots.iter().filter(|slot| is_read(slot));
        read.filter_map(|slot| match &slot.reference {
            Reference::Global { name, .. } => names.get(name).copied(),
            _ => None,
        })
        .collect()
    };
    for (id, data) in &unit.globals {
        match data.space {
            Space::Constant => work.extend(targets(data, &|slot| reads.has(id, slot))),
            _ => work.push(id),
        }
    }
    let mut is_open: SecondaryMap<Global, bool> = SecondaryMap::new();
    while let Some(global) = work.pop() {
        if !std::mem::replace(&mut is_open[global], true)
            && let Some(data) = unit.globals.get(global)
        {
            work.extend(targets(data, &|_| true));
        }
    }
    for (id, data) in unit.globals.iter_mut().filter(|(id, _)| !is_open[*id]) {
        data.slots.retain(|slot| slot.reference.is_of_host() || reads.has(id, slot));
    }
}

/// What code reads of globals.
#[derive(Default)]
struct Reads {
    /// The words, by their numbers in their globals, of which a byte is read at a place that is known.
    words: FxHashSet<(Global, u64)>,
    /// The globals whose addresses go elsewhere.
    open: Vec<Global>,
}

/// Words of a load that are told apart; a larger one may read anything.
const MAX_WORDS: u64 = 16;

impl Reads {
    fn has(&self, global: Global, slot: &GlobalSlot) -> bool {
        let (first, last) = (slot.offset / WORD_BYTES, slot.offset.div_ceil(WORD_BYTES));
        (first..=last).any(|word| self.words.contains(&(global, word)))
    }

    fn of(&mut self, body: &Body, types: &Types) {
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let mut first = true;
            body.visit_operands(inst, |value| {
                let is_first = std::mem::replace(&mut first, false);
                if !body.value_type(value).is_pointer() {
                    return;
                }
                let Some((global, offset)) = place(body, types, value) else { return };
                let words = if is_first { read_words(body, types, inst, offset) } else { None };
                match words {
                    Some((from, to)) => self.words.extend((from..to).map(|word| (global, word))),
                    None if is_first && is_placed(body, types, inst) => {}
                    None => self.open.push(global),
                }
            });
        }
    }
}

/// The words that a load at this offset reads, if it is one, and they are few.
fn read_words(body: &Body, types: &Types, inst: Inst, offset: u64) -> Option<(u64, u64)> {
    let data = body.inst(inst);
    if data.op != Op::Load {
        return None;
    }
    let end = offset.checked_add(types.layout(data.ty)?.size)?;
    let words = (offset / WORD_BYTES, end.div_ceil(WORD_BYTES));
    (words.1 - words.0 <= MAX_WORDS).then_some(words)
}

/// Whether an instruction only moves an address, to a place in a global that is known.
fn is_placed(body: &Body, types: &Types, inst: Inst) -> bool {
    constant_offset(body, types, inst).is_some()
        && body.first_result(inst).is_some_and(|result| place(body, types, result).is_some())
}

/// Removes addresses that nothing uses, with those that they were made of.
pub(crate) fn sweep(body: &mut Body) {
    let is_address = |op: Op| {
        matches!(
            op,
            Op::FunctionAddress
                | Op::GlobalAddress
                | Op::PtrAdd
                | Op::Index
                | Op::FieldAddress
                | Op::SpaceCast
        )
    };
    let insts: Vec<Inst> = body.blocks().flat_map(|block| body.block_insts(block)).collect();
    let mut uses: SecondaryMap<Value, u32> = SecondaryMap::new();
    for &inst in &insts {
        body.visit_operands(inst, |value| uses[value] += 1);
    }
    let unused = |body: &Body, uses: &SecondaryMap<Value, u32>, inst: Inst| {
        is_address(body.inst(inst).op) && body.first_result(inst).is_some_and(|result| uses[result] == 0)
    };
    let mut work: Vec<Inst> = insts.into_iter().filter(|&inst| unused(body, &uses, inst)).collect();
    while let Some(inst) = work.pop() {
        let mut operands: SmallVec<[Value; 2]> = SmallVec::new();
        body.visit_operands(inst, |value| operands.push(value));
        body.remove_inst(inst);
        for value in operands {
            uses[value] = uses[value].saturating_sub(1);
            work.extend(body.value_inst(value).filter(|&inst| unused(body, &uses, inst)));
        }
    }
}

/// The byte of a global that a pointer points to.
fn place(body: &Body, types: &Types, pointer: Value) -> Option<(Global, u64)> {
    let (mut pointer, mut offset) = (pointer, 0i64);
    for _ in 0..MAX_STEPS {
        let inst = body.value_inst(pointer)?;
        let data = body.inst(inst);
        if data.op == Op::GlobalAddress {
            let symbol = body.symbol_exists(data.imm).then(|| body.symbol(SymbolRef::from_u32(data.imm)));
            let Some(Symbol::Global(global)) = symbol else { return None };
            return Some((*global, u64::try_from(offset).ok()?));
        }
        offset = offset.checked_add(constant_offset(body, types, inst)??)?;
        pointer = *body.args(inst).first()?;
    }
    None
}

/// Puts an address in the place of a load of this type, if it has that type.
fn replace(body: &mut Body, load: Inst, ty: Type, known: Known) -> bool {
    let generic = Type::pointer(Space::Generic);
    let (target, space, offset) = match known {
        Known::Func(func) => {
            if ty == generic {
                let symbol = body.make_symbol(Symbol::Func(func)).as_u32();
                body.replace_inst(load, Op::FunctionAddress, Type::UNKNOWN, &[], symbol);
            }
            return ty == generic;
        }
        Known::Global { target, space, offset } => (target, space, offset),
    };
    let own = Type::pointer(space);
    if ty != own && ty != generic {
        return false;
    }
    let symbol = body.make_symbol(Symbol::Global(target)).as_u32();
    let mut steps: SmallVec<[(Op, Type, Type); 3]> = SmallVec::from_slice(&[(Op::GlobalAddress, own, own)]);
    if offset > 0 {
        steps.push((Op::PtrAdd, Type::UNKNOWN, own));
    }
    if ty != own {
        steps.push((Op::SpaceCast, ty, ty));
    }
    let bytes = body.make_scalar(Type::I64, u128::from(offset));
    let (mut address, count) = (None, steps.len());
    for (n, (op, ty, result)) in steps.into_iter().enumerate() {
        let mut args: SmallVec<[Value; 2]> = address.into_iter().collect();
        args.extend((op == Op::PtrAdd).then_some(bytes));
        let imm = if op == Op::GlobalAddress { symbol } else { 0 };
        if n + 1 == count {
            body.replace_inst(load, op, ty, &args, imm);
            break;
        }
        let inst = body.make_inst(op, ty, &args, imm);
        body.make_results(inst, &[result]);
        body.set_origin(inst, body.origin(load));
        body.insert_inst_before(inst, load);
        address = body.first_result(inst);
    }
    true
}
