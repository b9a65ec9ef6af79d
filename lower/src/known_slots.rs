//! Loads of addresses that slots of constant globals hold: where it is known which slot is loaded, the address itself
//! takes the load's place.
//!
//! Nobody writes constant memory, so what such a slot holds is known as soon as the unit is: the address of a function of
//! the unit, or of another of its globals. A call through a table at a place that is known becomes a direct one, and code
//! that follows such addresses compiles for targets that have none in memory. The host's words are never known.

use crate::passes::addresses::constant_offset;
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Func, Global, Inst, SymbolRef, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op;
use marquetry_ir::program::{GlobalData, Reference};
use marquetry_ir::types::{Space, Type, Types};
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
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
