//! Running decoded steps until an item returns, throws or waits.

use super::Thrown;
use super::code::{Code, Edge, List, Operand, Step, Via, bits, operand};
use super::fault::{Checked, Fault, FaultKind, malformed};
use super::machine::Machine;
use super::memory::{Callee, Contents, Place, function_at};
use super::prepare::signature_of;
use super::stack::{Item, Library, call, leave, put};
use super::value::{Val, read_bits, write_bits};
use crate::entity::{Extern, Func};
use crate::exception::Exception;
use crate::print_format;
use crate::semantics::{self, LaneOutcome, Outcome};
use crate::types::{Scalar, Space, Type};
use crate::unit::Unit;
use smallvec::SmallVec;
use std::sync::Arc;

/// Why an item does not go on.
pub(super) enum Stop {
    Returned(Vec<Val>),
    Threw(Thrown),
    /// It waits at the step at hand, a barrier or sub-group op.
    Waits,
}

/// Runs an item.
pub(super) fn run(library: &Library, machine: &mut Machine, item: &mut Item) -> Result<Stop, Fault> {
    steps(library, machine, item).map_err(|kind| Fault { kind, location: library.location(item) })
}

#[inline]
fn place(code: &Code, frame: &[Val], address: Operand, via: Via) -> Place {
    Place { address: bits(code, frame, address) as u64, space: via.space, align: via.align }
}

fn steps(library: &Library, machine: &mut Machine, item: &mut Item) -> Checked<Stop> {
    let mut code = library.code(item.frame.func)?;
    loop {
        let Some(step) = code.steps.get(item.frame.pc as usize) else {
            return malformed("control left the function");
        };
        if machine.fuel == 0 {
            return Err(Box::new(FaultKind::OutOfFuel));
        }
        machine.fuel -= 1;
        let Some(frame) = item.values.get_mut(item.frame.base as usize..) else {
            return malformed("the frame does not exist");
        };
        match *step {
            Step::Scalar { op, from, to, guarded, count, ref args, dest } => {
                let args = args.map(|at| bits(code, frame, at));
                let outcome = match count {
                    2 => semantics::scalar(op, from, to, &args[..2]),
                    1 => semantics::scalar(op, from, to, &args[..1]),
                    _ => semantics::scalar(op, from, to, &args),
                };
                match outcome {
                    Some(Outcome::Value(bits)) => put(frame, dest, Val::Bits(bits)),
                    Some(Outcome::Pair(bits, flag)) => {
                        put(frame, dest, Val::Bits(bits));
                        put(frame, dest + 1, Val::i1(flag));
                    }
                    Some(Outcome::Throws(exception)) => return throws(library, item, exception, guarded),
                    None => return malformed("the op is not defined for its operands"),
                }
            }
            Step::Lanes { op, guarded, from, to, args, dest } => {
                let outcome = {
                    let list = code.list(args).iter().map(|&at| operand(code, frame, at).lanes());
                    semantics::lanewise(op, from, to, &list.collect::<SmallVec<[&[u128]; 3]>>())
                };
                let value = |lanes: Box<[u128]>| match *lanes {
                    [bits] => Val::Bits(bits),
                    _ => Val::Lanes(lanes),
                };
                match outcome {
                    Some(LaneOutcome::Value(lanes)) => put(frame, dest, value(lanes)),
                    Some(LaneOutcome::Pair(lanes, flags)) => {
                        put(frame, dest, value(lanes));
                        put(frame, dest + 1, value(flags));
                    }
                    Some(LaneOutcome::Throws(exception)) => return throws(library, item, exception, guarded),
                    None => return malformed("the op is not defined for its operands"),
                }
            }
            Step::Choose { condition, yes, no, dest } => {
                let from = if bits(code, frame, condition) & 1 != 0 { yes } else { no };
                let value = operand(code, frame, from).clone();
                put(frame, dest, value);
            }
            Step::Copy { from, dest } => {
                let value = operand(code, frame, from).clone();
                put(frame, dest, value);
            }
            Step::Make { .. } | Step::Get { .. } | Step::Set { .. } => {
                let made = aggregate(library.unit, code, frame, step);
                let Some((dest, value)) = made else { return malformed("aggregate does not fit its type") };
                if let Val::Bytes(bytes) = &value {
                    machine.charge(bytes.len() as u64)?;
                }
                put(frame, dest, value);
            }
            Step::Index { base, index, from, scale, dest } => {
                let index = semantics::int::signed(from, bits(code, frame, index)) as u64;
                let base = bits(code, frame, base) as u64;
                put(frame, dest, Val::pointer(base.wrapping_add(index.wrapping_mul(scale))));
            }
            Step::FieldAddress { base, offset, dest } => {
                let base = bits(code, frame, base) as u64;
                put(frame, dest, Val::pointer(base.wrapping_add(offset)));
            }
            Step::Global { global, dest } => {
                let address = machine.global(library.unit, global)?;
                put(frame, dest, Val::pointer(address));
            }
            Step::Slot { home, size, align, dest } => {
                let mut address = bits(code, frame, home) as u64;
                if address == 0 {
                    machine.charge(size)?;
                    // Slots are on the stack, whatever else used the memory up.
                    let slot = machine.memory.allocate(size, align, Space::Local, Contents::Uninitialised);
                    address = slot.map_err(|_| Box::new(FaultKind::StackOverflow))?;
                    put(frame, home, Val::pointer(address));
                    item.locals.push(address);
                }
                put(frame, dest, Val::pointer(address));
            }
            Step::Load { address, ty, via, dest } => {
                let place = place(code, frame, address, via);
                let bits = machine.memory.load(place, ty.bytes())?;
                if ty == Scalar::I1 && bits > 1 {
                    return Err(Box::new(FaultKind::NotTruth { address: place.address }));
                }
                put(frame, dest, Val::Bits(bits));
            }
            Step::Store { address, value, ty, via } => {
                let place = place(code, frame, address, via);
                machine.memory.store(place, ty.bytes(), bits(code, frame, value))?;
            }
            Step::LoadParts { address, ty, parts, via, dest } => {
                let place = place(code, frame, address, via);
                let value = load_parts(library.unit, machine, code, place, ty, parts)?;
                put(frame, dest, value);
            }
            Step::StoreParts { address, value, ty, parts, via } => {
                let size = library.unit.types.layout(ty).map_or(0, |layout| layout.size);
                machine.charge(size)?;
                let mut bytes = vec![0; size as usize];
                let parts = code.parts.get(parts as usize).map_or(&[][..], |parts| parts);
                if operand(code, frame, value).encode(ty, &mut bytes).is_none() {
                    return malformed("stored value does not fit its type");
                }
                machine.memory.store_ranges(place(code, frame, address, via), &bytes, parts)?;
            }
            Step::MemCopy { to, from, size, to_via, from_via } => {
                let size = bits(code, frame, size) as u64;
                let (to, from) = (place(code, frame, to, to_via), place(code, frame, from, from_via));
                machine.memory.check_ranges(size, &[to.address, from.address])?;
                machine.charge(size)?;
                machine.memory.copy(to, from, size)?;
            }
            Step::MemSet { to, byte, size, via } => {
                let (byte, size) = (bits(code, frame, byte) as u8, bits(code, frame, size) as u64);
                let to = place(code, frame, to, via);
                machine.memory.check_ranges(size, &[to.address])?;
                machine.charge(size)?;
                machine.memory.fill(to, byte, size)?;
            }
            Step::AtomicLoad { address, ty, via, orders, dest } => {
                machine.order(orders);
                let bits = machine.memory.atomic_load(place(code, frame, address, via), ty.bytes())?;
                put(frame, dest, Val::Bits(bits));
            }
            Step::AtomicStore { address, value, ty, via, orders } => {
                machine.order(orders);
                let value = bits(code, frame, value);
                machine.memory.atomic_store(place(code, frame, address, via), ty.bytes(), value)?;
            }
            Step::Rmw { op, address, value, ty, via, orders, dest } => {
                machine.order(orders);
                let cell = machine.memory.atomic(place(code, frame, address, via), ty.bytes())?;
                let (old, value) = (read_bits(cell), bits(code, frame, value));
                let new = match op.map(|op| semantics::scalar(op, ty, ty, &[old, value])) {
                    None => value,
                    Some(Some(Outcome::Value(new))) => new,
                    Some(_) => return malformed("the op is not defined for its operands"),
                };
                write_bits(cell, new);
                put(frame, dest, Val::Bits(old));
            }
            Step::CompareExchange { args: [address, wanted, new], ty, via, orders, dest } => {
                machine.order(orders);
                let place = place(code, frame, address, via);
                // An exchange that does not happen only reads.
                let old = machine.memory.atomic_load(place, ty.bytes())?;
                let equal = old == bits(code, frame, wanted);
                if equal {
                    write_bits(machine.memory.atomic(place, ty.bytes())?, bits(code, frame, new));
                }
                put(frame, dest, Val::Bits(old));
                put(frame, dest + 1, Val::i1(equal));
            }
            Step::Fence => machine.order(true),
            Step::WorkItem { op, dimension, dest } => {
                let number = machine.work_item(op, dimension.into(), item.linear)?;
                put(frame, dest, Val::Bits(number.into()));
            }
            Step::Trap => return Err(Box::new(FaultKind::Trapped)),
            Step::Barrier | Step::Subgroup { .. } => {
                if machine.grid.is_none() {
                    return Err(Box::new(FaultKind::NotInKernel));
                }
                return Ok(Stop::Waits);
            }
            Step::Clock { dest } => {
                let now = machine.ticks.wrapping_sub(machine.fuel);
                put(frame, dest, Val::pointer(now));
            }
            Step::Call { func, args, dest } => {
                code = call(library, machine, item, code, Func::from_u32(func), code.list(args), dest)?;
                continue;
            }
            Step::CallExtern { number, args, dest } => {
                call_extern(library, machine, code, frame, number, code.list(args), dest)?;
            }
            Step::CallIndirect { address, signature, args, dest } => {
                let address = bits(code, frame, address) as u64;
                match callee(library, item.frame.func, address, signature)? {
                    Callee::Func(func) => {
                        code =
                            call(library, machine, item, code, Func::from_u32(func), code.list(args), dest)?;
                        continue;
                    }
                    Callee::Extern(number) => {
                        call_extern(library, machine, code, frame, number, code.list(args), dest)?;
                    }
                }
            }
            Step::Jump { edge } => {
                item.frame.pc = take(code, frame, edge)?;
                continue;
            }
            Step::Branch { condition, yes, no } => {
                let edge = if bits(code, frame, condition) & 1 != 0 { yes } else { no };
                item.frame.pc = take(code, frame, edge)?;
                continue;
            }
            Step::Switch { selector, table } => {
                let selector = bits(code, frame, selector);
                let Some(table) = code.tables.get(table as usize) else { return malformed("no such switch") };
                let found = table.cases.binary_search_by_key(&selector, |case| case.0);
                let edge = found.ok().and_then(|n| table.cases.get(n)).map_or(table.otherwise, |case| case.1);
                item.frame.pc = take(code, frame, edge)?;
                continue;
            }
            Step::Return { args } => {
                let results: SmallVec<[Val; 2]> =
                    code.list(args).iter().map(|&at| operand(code, frame, at).clone()).collect();
                match leave(library, machine, item, results)? {
                    Ok(caller) => code = caller,
                    Err(results) => return Ok(Stop::Returned(results)),
                }
                continue;
            }
            Step::Throw { kind, types, args } => {
                let thrown = thrown(code, frame, kind, types, args)?;
                return Ok(Stop::Threw(Thrown { location: library.location(item), ..thrown }));
            }
            Step::Unreachable => return throws(library, item, Exception::UnreachableError, false),
            Step::Assert { condition, message } => {
                if bits(code, frame, condition) & 1 == 0 {
                    let text = code.messages.get(message as usize).cloned().unwrap_or_default();
                    return Err(Box::new(FaultKind::AssertionFailed(text)));
                }
            }
            Step::Check { condition, kind, types, args } => {
                if bits(code, frame, condition) & 1 == 0 {
                    let thrown = thrown(code, frame, kind, types, args)?;
                    return Ok(Stop::Threw(Thrown { location: library.location(item), ..thrown }));
                }
            }
            Step::Input { name, dest } => {
                let name = code.messages.get(name as usize).cloned().unwrap_or_default();
                let Some(value) = machine.inputs.get(&name).cloned() else {
                    return Err(Box::new(FaultKind::NoInput(name)));
                };
                put(frame, dest, value);
            }
            Step::Print { format, types, args } => {
                let format = code.messages.get(format as usize).cloned().unwrap_or_default();
                let types = code.printed.get(types as usize).map_or(&[][..], |types| types);
                let values = code.list(args).iter().map(|&at| bits(code, frame, at) as u64);
                machine.print(format, types, values)?;
            }
            Step::Malformed { message } => {
                let text = code.messages.get(message as usize).cloned().unwrap_or_default();
                return Err(Box::new(FaultKind::Malformed(text)));
            }
        }
        item.frame.pc += 1;
    }
}

/// What a `throw`, or an `assert` that does not hold, throws, with the operands in the reason; where is not said.
fn thrown(code: &Code, frame: &[Val], kind: u32, types: u32, args: List) -> Checked<Thrown> {
    let Some((kind, reason)) = code.thrown.get(kind as usize) else {
        return malformed("no such exception");
    };
    let types = code.printed.get(types as usize).map_or(&[][..], |types| types);
    let values = code.list(args).iter().map(|&at| bits(code, frame, at) as u64);
    let operands: Vec<(Type, u64)> = types.iter().copied().zip(values).collect();
    let reason = reason.as_ref().map(|reason| print_format::reason(reason, &operands).into());
    Ok(Thrown { kind: kind.clone(), reason, operands, location: None, item: None })
}

/// An op threw: an exception, or a fault where something promised that it would not.
fn throws(library: &Library, item: &Item, exception: Exception, guarded: bool) -> Checked<Stop> {
    if guarded {
        return Err(Box::new(FaultKind::Unguarded));
    }
    let location = library.location(item);
    let (kind, operands) = (exception.name().into(), Vec::new());
    Ok(Stop::Threw(Thrown { kind, reason: None, operands, location, item: None }))
}

/// Moves an edge's arguments and gives the first step of its destination.
#[inline]
fn take(code: &Code, frame: &mut [Val], edge: u32) -> Checked<u32> {
    let Some(&Edge { target, args, params, parallel }) = code.edges.get(edge as usize) else {
        return malformed("no such edge");
    };
    let args = code.list(args);
    if parallel {
        let values: SmallVec<[Val; 8]> = args.iter().map(|&at| operand(code, frame, at).clone()).collect();
        values.into_iter().zip(params..).for_each(|(value, dest)| put(frame, dest, value));
    } else {
        for (&at, dest) in args.iter().zip(params..) {
            let value = operand(code, frame, at).clone();
            put(frame, dest, value);
        }
    }
    Ok(target)
}

/// What an indirect call calls.
fn callee(library: &Library, caller: Func, address: u64, signature: u32) -> Checked<Callee> {
    let unit = library.unit;
    let wanted = unit.funcs.get(caller).and_then(|function| signature_of(&function.body, signature));
    let Some(wanted) = wanted else { return malformed("no such signature") };
    let callee = function_at(address);
    let found = callee.and_then(|callee| match callee {
        Callee::Func(number) => unit.funcs.get(Func::from_u32(number)).map(|f| (&f.signature, &f.name)),
        Callee::Extern(number) => unit.externs.get(Extern::from_u32(number)).map(|e| (&e.signature, &e.name)),
    });
    match (callee, found) {
        (Some(callee), Some((found, _))) if found == wanted => Ok(callee),
        (_, Some((_, name))) => Err(Box::new(FaultKind::WrongSignature { function: name.clone() })),
        _ => Err(Box::new(FaultKind::NotAFunction { address })),
    }
}

fn call_extern(
    library: &Library,
    machine: &mut Machine,
    code: &Code,
    frame: &mut [Val],
    number: u32,
    args: &[Operand],
    dest: u32,
) -> Checked<()> {
    let unit = library.unit;
    let Some(data) = unit.externs.get(Extern::from_u32(number)) else { return malformed("no such extern") };
    let Some(function) = machine.externs.get(&data.link_name) else {
        return Err(Box::new(FaultKind::UnknownExtern(data.link_name.clone())));
    };
    let args: SmallVec<[Val; 4]> = args.iter().map(|&at| operand(code, frame, at).clone()).collect();
    let failed = |message: Arc<str>| Box::new(FaultKind::ExternFailed(message));
    let results = function(&mut machine.memory, &args).map_err(|message| failed(message.into()))?;
    let wanted = &data.signature.results;
    let fits = results.len() == wanted.len()
        && results.iter().zip(wanted).all(|(value, &ty)| value.fits(&unit.types, ty));
    if !fits {
        return Err(failed(format!("results of '{}' do not fit its signature", data.link_name).into()));
    }
    results.into_iter().zip(dest..).for_each(|(value, dest)| put(frame, dest, value));
    Ok(())
}

/// `make`, `get` and `set`: the slot of the result and its value.
fn aggregate(unit: &Unit, code: &Code, frame: &[Val], step: &Step) -> Option<(u32, Val)> {
    let types = &*unit.types;
    let size = |ty| types.layout(ty).map(|layout| layout.size as usize);
    match *step {
        Step::Make { ty, args, dest } => {
            let Val::Bytes(zero) = Val::zero(types, ty)? else { return None };
            let mut bytes = zero.to_vec();
            for (n, &at) in code.list(args).iter().enumerate() {
                let field = types.field_type(ty, n as u64)?;
                let start = types.field_offset(ty, n as u64)? as usize;
                operand(code, frame, at).encode(field, bytes.get_mut(start..start + size(field)?)?)?;
            }
            Some((dest, Val::Bytes(bytes.into())))
        }
        Step::Get { from, ty, offset, dest } => {
            let Val::Bytes(bytes) = operand(code, frame, from) else { return None };
            let start = offset as usize;
            Some((dest, Val::decode(types, ty, bytes.get(start..start + size(ty)?)?)?))
        }
        Step::Set { from, value, ty, offset, dest } => {
            let Val::Bytes(bytes) = operand(code, frame, from) else { return None };
            let mut bytes = bytes.to_vec();
            let start = offset as usize;
            operand(code, frame, value).encode(ty, bytes.get_mut(start..start + size(ty)?)?)?;
            Some((dest, Val::Bytes(bytes.into())))
        }
        _ => None,
    }
}

/// Loads a vector or an aggregate.
fn load_parts(
    unit: &Unit,
    machine: &mut Machine,
    code: &Code,
    place: Place,
    ty: Type,
    parts: u32,
) -> Checked<Val> {
    let types = &*unit.types;
    let size = types.layout(ty).map_or(0, |layout| layout.size);
    let parts = code.parts.get(parts as usize).map_or(&[][..], |parts| parts);
    machine.charge(size)?;
    let bytes = machine.memory.load_ranges(place, size, parts)?;
    let truth = ty.lane() == Some(Scalar::I1);
    if let Some(n) = bytes.iter().position(|&byte| byte > 1).filter(|_| truth) {
        return Err(Box::new(FaultKind::NotTruth { address: place.address + n as u64 }));
    }
    Val::decode(types, ty, &bytes).map_or_else(|| malformed("loaded value does not fit its type"), Ok)
}
