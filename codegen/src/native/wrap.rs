//! Wrappers: one signature for all functions, one for all kernels.
//!
//! `NAME$packed` is `uint32_t (const void *args, void *results, const StackLimit *stack)`: arguments and results are
//! laid out by [`argument_block`], little-endian, at any alignment; it returns the status, 0 if the function does not
//! throw. `stack` may be null, for a stack without limit. A function that asks for its work-item is told that it is the
//! only one of the only group.
//!
//! `NAME$items` is `void (const void *args, const WorkGroup *group, uint32_t first, uint32_t end, const StackLimit
//! *stack)`: it runs the work-items from `first` to before `end`, in order.
//!
//! For engines, `NAME` itself is what C expects: where the function has the stack as a hidden parameter, another one of this name
//! passes it, and the function is `NAME$limited`. Where the job's entry ABI is packed, `NAME` is what `NAME$packed` is
//! else, and the function is `NAME$typed`, which nobody else sees. Where another entry has a wrapper's name, or the host
//! a function of it, the wrapper's ends in the least number that makes it free: `NAME$packed_1`.
//!
//! Where exports are listed ([`super::ObjectPlan`]), there is none of this but what is in front of an export, if anything
//! has to be: a function of ordinary C types ([`super::export`]), or one of the wrappers above under the export's name. A kernel's
//! block has the machine's order of bytes then: it is a struct of C. In it the addresses of the mailbox, the print buffer and the
//! arena may be null: the wrapper has memory of its own for what the kernel leaves there, which nobody reads. So kernels need
//! no test, and it costs a few instructions for each range of work-items.

use super::Arch;
use super::context::{SubgroupOp, offset};
use super::emit::{Declared, Solo, import_data, import_function};
use super::export::{CReturn, CSignature};
use super::select::internal;
use super::tables::Callee;
use super::types::{clif_type, constant, held};
use crate::artifact::argument_block;
use crate::error::EmitError;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, BlockArg, Endianness, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, types,
};
use marquetry_ir::entity::Func;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use marquetry_lower::exceptions::record::Record;
use marquetry_lower::legal::{Argument, EntryAbi, Passing, Role};
use marquetry_lower::runtime::inputs::{ARENA, ARENA_HEADER_BYTES};
use marquetry_lower::runtime::print;

/// How fields of argument and result blocks are accessed.
fn packed_flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_endianness(Endianness::Little)
}

fn entry(out: &mut ir::Function) -> (ir::Block, Vec<ir::Value>) {
    let block = out.dfg.make_block();
    out.layout.append_block(block);
    let types: Vec<ir::Type> = out.signature.params.iter().map(|param| param.value_type).collect();
    let values = types.into_iter().map(|ty| out.dfg.append_block_param(block, ty)).collect();
    (block, values)
}

fn load_args(
    cursor: &mut FuncCursor<'_>,
    types: &[Type],
    args: ir::Value,
    order: Endianness,
) -> Result<Vec<ir::Value>, EmitError> {
    let (slots, _) = argument_block(types);
    let fields = types.iter().zip(slots);
    let flags = MemFlagsData::new().with_notrap().with_endianness(order);
    fields.map(|(&ty, slot)| Ok(cursor.ins().load(held(ty)?, flags, args, slot.offset as i32))).collect()
}

fn record(cursor: &mut FuncCursor<'_>, bytes: u32) -> ir::Value {
    let slot = cursor.func.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4));
    cursor.ins().stack_addr(types::I64, slot, 0)
}

fn store(cursor: &mut FuncCursor<'_>, ty: ir::Type, bits: u64, base: ir::Value, at: i32) {
    let value = constant(cursor, ty, u128::from(bits));
    cursor.ins().store(MemFlagsData::trusted(), value, base, at);
}

/// A group of one work-item, on the stack.
fn solo_item(cursor: &mut FuncCursor<'_>, declared: &Declared) -> Result<ir::Value, EmitError> {
    let [barrier, subgroup] = match declared.solo {
        Some(Solo::Addresses(addresses)) => {
            addresses.map(|address| constant(cursor, types::I64, u128::from(address)))
        }
        Some(Solo::Functions(ids)) => {
            let signatures = [solo_signature(0, declared), solo_signature(1, declared)];
            let mut pairs = ids.into_iter().zip(signatures);
            std::array::from_fn(|_| {
                let Some((id, signature)) = pairs.next() else { return constant(cursor, types::I64, 0) };
                let function = import_function(cursor.func, id.as_u32(), signature, true);
                cursor.ins().func_addr(types::I64, function)
            })
        }
        None => return Err(internal("nothing waits for a group of one work-item")),
    };
    let group = record(cursor, offset::GROUP_BYTES);
    for dimension in 0..3 {
        store(cursor, types::I32, 0, group, offset::GROUP_ID + 4 * dimension);
        store(cursor, types::I32, 1, group, offset::GROUP_SIZE + 4 * dimension);
        store(cursor, types::I32, 1, group, offset::GROUP_COUNT + 4 * dimension);
    }
    store(cursor, types::I32, u64::from(super::context::SUBGROUP_SIZE), group, offset::SUBGROUP_SIZE);
    cursor.ins().store(MemFlagsData::trusted(), barrier, group, offset::BARRIER);
    cursor.ins().store(MemFlagsData::trusted(), subgroup, group, offset::SUBGROUP);
    let shared = match u32::try_from(declared.shared_bytes) {
        Ok(0) => constant(cursor, types::I64, 0),
        Ok(bytes) if u64::from(bytes) <= super::context::MAX_SHARED_BYTES => record(cursor, bytes),
        _ => return Err(internal("too much shared memory")),
    };
    cursor.ins().store(MemFlagsData::trusted(), shared, group, offset::SHARED);
    let item = record(cursor, offset::ITEM_BYTES);
    cursor.ins().store(MemFlagsData::trusted(), group, item, offset::GROUP);
    for dimension in 0..3 {
        store(cursor, types::I32, 0, item, offset::LOCAL_ID + 4 * dimension);
    }
    store(cursor, types::I32, 0, item, offset::LINEAR);
    Ok(item)
}

/// Bytes of what a kernel writes to behind a parameter that may be null, for a start with nothing in it.
fn unread_bytes(argument: &Argument) -> Option<u32> {
    let bytes = match &argument.role {
        Role::Mailbox => Record::BYTES,
        // Without a single word or unit nothing is beyond them.
        Role::Input(name) if **name == *print::INPUT => print::HEADER_BYTES,
        Role::Input(name) if **name == *ARENA => ARENA_HEADER_BYTES,
        _ => return None,
    };
    (argument.passing == Passing::Pointer).then_some(bytes as u32)
}

/// The address, or if that is null, one of memory of the caller's that starts with zeros: code reads no more of it than a header.
fn or_unread(cursor: &mut FuncCursor<'_>, address: ir::Value, bytes: u32) -> ir::Value {
    let memory = record(cursor, bytes);
    for at in [0, 8] {
        store(cursor, types::I64, 0, memory, at);
    }
    let zero = constant(cursor, types::I64, 0);
    let is_null = cursor.ins().icmp(IntCC::Equal, address, zero);
    cursor.ins().select(is_null, memory, address)
}

/// How the barrier (0) and the sub-group operations (1) of a group are called.
fn solo_signature(number: usize, declared: &Declared) -> ir::Signature {
    match number {
        0 => declared.convention.registers(2, 0),
        _ => declared.convention.registers(5, 1),
    }
}

/// What waits for a group of one work-item, in objects: the barrier (0) does nothing, and an operation (1) gives the value,
/// or of a vote the one bit. Nobody reads what a sub-group's barrier gives.
pub(super) fn solo(number: usize, declared: &Declared, out: &mut ir::Function) {
    out.signature = solo_signature(number, declared);
    let (block, params) = entry(out);
    let mut cursor = FuncCursor::new(out);
    cursor.goto_bottom(block);
    let &[_, op, value, _, _] = &params[..] else {
        cursor.ins().return_(&[]);
        return;
    };
    let bit = constant(&mut cursor, types::I64, 1);
    let bit = cursor.ins().band(value, bit);
    let mut result = value;
    for vote in [SubgroupOp::Any, SubgroupOp::All, SubgroupOp::Ballot] {
        let vote = constant(&mut cursor, types::I64, vote as u128);
        let is_vote = cursor.ins().icmp(IntCC::Equal, op, vote);
        result = cursor.ins().select(is_vote, bit, result);
    }
    cursor.ins().return_(&[result]);
}

/// The record of a stack without limit.
fn no_limit(cursor: &mut FuncCursor<'_>, declared: &Declared) -> Result<ir::Value, EmitError> {
    let data = declared.no_limit.ok_or_else(|| internal("the record of a stack without limit is missing"))?;
    let record = import_data(cursor.func, data);
    Ok(cursor.ins().symbol_value(types::I64, record))
}

/// What is passed on as the stack: the caller's record, if it has one.
fn known_stack(
    cursor: &mut FuncCursor<'_>,
    declared: &Declared,
    stack: ir::Value,
) -> Result<ir::Value, EmitError> {
    let none = no_limit(cursor, declared)?;
    let zero = constant(cursor, types::I64, 0);
    let is_null = cursor.ins().icmp(IntCC::Equal, stack, zero);
    Ok(cursor.ins().select(is_null, none, stack))
}

/// What C calls in place of an entry that has the stack as a hidden parameter.
pub(super) fn unlimited(
    unit: &Unit,
    func: Func,
    declared: &Declared,
    out: &mut ir::Function,
) -> Result<(), EmitError> {
    let (block, passed) = entry(out);
    let callee = declared.import(out, Callee::Func(func))?;
    let mut cursor = FuncCursor::new(out);
    cursor.goto_bottom(block);
    let wanted = unit.funcs[func].signature.params.iter().map(|&ty| clif_type(ty).unwrap_or(types::INVALID));
    let hidden = usize::from(declared.reach.facts(func).context);
    let wanted = wanted.chain(std::iter::repeat_n(types::I64, hidden));
    let mut values = declared.convention.receive(&mut cursor, wanted, passed);
    let stack = no_limit(&mut cursor, declared)?;
    // The work-item stays the last one.
    values.insert(values.len().saturating_sub(hidden), stack);
    declared.convention.pass(&mut cursor, &mut values);
    let call = cursor.ins().call(callee, &values);
    let results = cursor.func.dfg.inst_results(call).to_vec();
    cursor.ins().return_(&results);
    Ok(())
}

/// What C calls in place of an entry whose own signature is not one of ordinary types.
pub(super) fn c_function(
    unit: &Unit,
    func: Func,
    abi: &EntryAbi,
    seen: &CSignature,
    declared: &Declared,
    out: &mut ir::Function,
) -> Result<(), EmitError> {
    let inner = &unit.funcs[func].signature;
    out.signature = declared.convention.seen_from_c(&unit.types, seen)?;
    let (block, passed) = entry(out);
    let callee = declared.import(out, Callee::Func(func))?;
    let mut cursor = FuncCursor::new(out);
    cursor.goto_bottom(block);
    let wanted = seen.params.iter().map(|param| match param.by_address {
        true => types::I64,
        false => clif_type(unit.types.underlying(param.ty)).unwrap_or(types::INVALID),
    });
    let wanted = wanted.chain(std::iter::repeat_n(types::I64, seen.outs.len()));
    let params = declared.convention.receive(&mut cursor, wanted, passed);
    // Memory of C's: in the order of bytes of the machine, and as aligned as anybody made it.
    let flags = MemFlagsData::new().with_notrap();
    let offset = |bytes: u64| i32::try_from(bytes).map_err(|_| internal("a part of a value is far away"));
    let (passed, outs) =
        params.split_at_checked(seen.params.len()).ok_or_else(|| internal("too few parameters"))?;
    let mut values = Vec::with_capacity(inner.params.len());
    let arguments = abi.arguments.iter().filter(|argument| !argument.parts.is_empty());
    for ((argument, param), &value) in arguments.zip(&seen.params).zip(passed) {
        if !param.by_address {
            values.push(value);
            continue;
        }
        let types = inner.params.iter().skip(argument.first as usize);
        for (&ty, &part) in types.zip(&argument.parts) {
            values.push(cursor.ins().load(held(ty)?, flags, value, offset(part)?));
        }
    }
    let facts = declared.reach.facts(func);
    if facts.stack {
        values.push(no_limit(&mut cursor, declared)?);
    }
    if facts.context {
        values.push(solo_item(&mut cursor, declared)?);
    }
    declared.convention.pass(&mut cursor, &mut values);
    let call = cursor.ins().call(callee, &values);
    let returned = cursor.func.dfg.inst_results(call).to_vec();
    let results = abi.results.iter().filter(|result| !result.parts.is_empty());
    for (result, &out) in results.zip(outs) {
        for (&value, &part) in returned.iter().skip(result.first as usize).zip(&result.parts) {
            cursor.ins().store(flags, value, out, offset(part)?);
        }
    }
    let given = usize::from(seen.returns != CReturn::Nothing);
    cursor.ins().return_(returned.get(..given).unwrap_or(&[]));
    Ok(())
}

/// The wrapper of a function.
pub(super) fn packed(
    unit: &Unit,
    func: Func,
    abi: &EntryAbi,
    declared: &Declared,
    out: &mut ir::Function,
) -> Result<(), EmitError> {
    let signature = &unit.funcs[func].signature;
    out.signature = declared.convention.packed();
    let (block, params) = entry(out);
    let callee = declared.import(out, Callee::Func(func))?;
    let mut cursor = FuncCursor::new(out);
    cursor.goto_bottom(block);
    let &[args, results, stack] = &params[..] else {
        return Err(internal("a wrapper has three parameters"));
    };
    let mut values = load_args(&mut cursor, &signature.params, args, Endianness::Little)?;
    if declared.reach.facts(func).stack {
        values.push(known_stack(&mut cursor, declared, stack)?);
    }
    if declared.reach.facts(func).context {
        values.push(solo_item(&mut cursor, declared)?);
    }
    declared.convention.pass(&mut cursor, &mut values);
    let call = cursor.ins().call(callee, &values);
    let mut returned = cursor.func.dfg.inst_results(call).to_vec();
    let mut types = &signature.results[..];
    let status = if abi.status && !returned.is_empty() {
        types = types.get(1..).unwrap_or(&[]);
        returned.remove(0)
    } else {
        constant(&mut cursor, types::I32, 0)
    };
    for (slot, value) in argument_block(types).0.iter().zip(returned) {
        cursor.ins().store(packed_flags(), value, results, slot.offset as i32);
    }
    cursor.ins().return_(&[status]);
    Ok(())
}

/// The wrapper of a kernel. `seen`: its arguments, if it is C that passes them.
pub(super) fn kernel(
    unit: &Unit,
    func: Func,
    seen: Option<&[Argument]>,
    declared: &Declared,
    out: &mut ir::Function,
) -> Result<(), EmitError> {
    let signature = &unit.funcs[func].signature;
    let context = declared.reach.facts(func).context;
    out.signature = declared.convention.kernel();
    let (block, params) = entry(out);
    let callee = declared.import(out, Callee::Func(func))?;
    let [head, body, done] = std::array::from_fn(|_| {
        let block = out.dfg.make_block();
        out.layout.append_block(block);
        block
    });
    // The loop carries the number of the work-item and its position.
    let carried: Vec<ir::Value> = (0..4).map(|_| out.dfg.append_block_param(head, types::I32)).collect();
    let (&[args, group, first, end, stack], &[linear, x, y, z]) = (&params[..], &carried[..]) else {
        return Err(internal("a kernel's wrapper has five parameters"));
    };
    let mut cursor = FuncCursor::new(out);
    cursor.goto_bottom(block);
    let order = match seen {
        Some(_) if declared.arch == Arch::S390x => Endianness::Big,
        _ => Endianness::Little,
    };
    let mut values = load_args(&mut cursor, &signature.params, args, order)?;
    for argument in seen.unwrap_or(&[]) {
        if let (Some(bytes), Some(value)) = (unread_bytes(argument), values.get_mut(argument.first as usize))
        {
            *value = or_unread(&mut cursor, *value, bytes);
        }
    }
    let trusted = MemFlagsData::trusted();
    let size_x = cursor.ins().load(types::I32, trusted, group, offset::GROUP_SIZE);
    let size_y = cursor.ins().load(types::I32, trusted, group, offset::GROUP_SIZE + 4);
    let first_x = cursor.ins().urem(first, size_x);
    let rows = cursor.ins().udiv(first, size_x);
    let first_y = cursor.ins().urem(rows, size_y);
    let first_z = cursor.ins().udiv(rows, size_y);
    if declared.reach.facts(func).stack {
        values.push(known_stack(&mut cursor, declared, stack)?);
    }
    let item = if context { Some(record(&mut cursor, offset::ITEM_BYTES)) } else { None };
    if let Some(item) = item {
        cursor.ins().store(trusted, group, item, offset::GROUP);
        values.push(item);
    }
    cursor.ins().jump(head, &[first, first_x, first_y, first_z].map(BlockArg::Value));

    cursor.goto_bottom(head);
    let more = cursor.ins().icmp(IntCC::UnsignedLessThan, linear, end);
    cursor.ins().brif(more, body, &[], done, &[]);

    cursor.goto_bottom(body);
    if let Some(item) = item {
        for (dimension, value) in (0..).zip([x, y, z]) {
            cursor.ins().store(trusted, value, item, offset::LOCAL_ID + 4 * dimension);
        }
        cursor.ins().store(trusted, linear, item, offset::LINEAR);
    }
    declared.convention.pass(&mut cursor, &mut values);
    cursor.ins().call(callee, &values);
    let one = constant(&mut cursor, types::I32, 1);
    let zero = constant(&mut cursor, types::I32, 0);
    let next = cursor.ins().iadd(linear, one);
    let next_x = cursor.ins().iadd(x, one);
    let wraps_x = cursor.ins().icmp(IntCC::Equal, next_x, size_x);
    let new_x = cursor.ins().select(wraps_x, zero, next_x);
    let next_y = cursor.ins().iadd(y, one);
    let row = cursor.ins().select(wraps_x, next_y, y);
    let wraps_y = cursor.ins().icmp(IntCC::Equal, row, size_y);
    let new_y = cursor.ins().select(wraps_y, zero, row);
    let next_z = cursor.ins().iadd(z, one);
    let new_z = cursor.ins().select(wraps_y, next_z, z);
    cursor.ins().jump(head, &[next, new_x, new_y, new_z].map(BlockArg::Value));

    cursor.goto_bottom(done);
    cursor.ins().return_(&[]);
    Ok(())
}
