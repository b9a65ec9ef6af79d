//! Running decoded steps, on an explicit stack of frames, until an item returns, throws or waits.

use super::code::{Code, Edge, Operand, Step, Via, bits, operand};
use super::fault::{Checked, Fault, FaultKind, Location, malformed};
use super::memory::{Callee, Contents, Memory, Place, function_at};
use super::prepare::{global_space, prepare, signature_of};
use super::value::{Val, read_bits, write_bits};
use super::{HostFn, Thrown};
use crate::entity::{Extern, Func, Global};
use crate::exception::Exception;
use crate::limits::{MAX_CALL_DEPTH, MAX_STACK_VALUES};
use crate::op::Op;
use crate::semantics::{self, LaneOutcome, Outcome};
use crate::types::{Scalar, Space};
use crate::unit::Unit;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::cell::OnceCell;
use std::sync::Arc;

/// The functions of a unit, decoded when they are first called.
pub(super) struct Library<'u> {
    pub unit: &'u Unit,
    codes: Vec<OnceCell<Code>>,
}

impl<'u> Library<'u> {
    pub fn new(unit: &'u Unit) -> Self {
        Library { unit, codes: (0..unit.funcs.len()).map(|_| OnceCell::new()).collect() }
    }

    pub fn code(&self, func: Func) -> Checked<&Code> {
        match (self.codes.get(func.as_u32() as usize), self.unit.funcs.get(func)) {
            (Some(cell), Some(function)) => Ok(cell.get_or_init(|| prepare(self.unit, function))),
            _ => malformed("the function does not exist"),
        }
    }

    /// Where an item is.
    pub fn location(&self, item: &Item) -> Option<Location> {
        let func = item.frame.func;
        let function = self.unit.funcs.get(func)?;
        let code = self.code(func).ok()?;
        let inst = *code.insts.get(item.frame.pc as usize).or(code.insts.last())?;
        Some(Location { func, function: function.name.clone(), inst, span: function.body.span(inst) })
    }
}

/// What all items of a run share.
pub(super) struct Machine {
    pub memory: Memory,
    pub externs: FxHashMap<Arc<str>, HostFn>,
    /// Addresses of globals that exist already.
    pub globals: FxHashMap<Global, u64>,
    /// Addresses of the current group's shared globals.
    pub shared: FxHashMap<Global, u64>,
    pub fuel: u64,
    /// Steps since the interpreter was made: the clock.
    pub ticks: u64,
    /// Values in all frames.
    pub stack_values: usize,
    pub grid: Option<Grid>,
    /// Whether shared memory is watched for races.
    pub races: bool,
    pub subgroup_size: u32,
}

/// The launch at hand.
#[derive(Copy, Clone)]
pub(super) struct Grid {
    pub groups: [u32; 3],
    pub block: [u32; 3],
    pub group: [u32; 3],
}

#[derive(Copy, Clone)]
struct Frame {
    func: Func,
    /// The step that runs next; while it runs, that step.
    pc: u32,
    /// The first slot in the item's values.
    base: u32,
    /// How many of the item's locals belong to callers.
    locals: u32,
    /// Where the caller wants the results.
    dest: u32,
}

/// One thread of control: a call from the host, or a work-item.
pub(super) struct Item {
    frame: Frame,
    callers: Vec<Frame>,
    values: Vec<Val>,
    /// Addresses of live stack slots.
    locals: Vec<u64>,
    /// Linear position in the group.
    pub linear: u32,
}

/// Why an item does not go on.
pub(super) enum Stop {
    Returned(Vec<Val>),
    Threw(Thrown),
    /// It waits at the step at hand, a barrier or sub-group op.
    Waits,
}

/// Where an item waits.
pub(super) type Position = (Func, u32);

impl Item {
    pub fn new(linear: u32) -> Self {
        let frame = Frame { func: Func::from_u32(0), pc: 0, base: 0, locals: 0, dest: 0 };
        Item { frame, callers: Vec::new(), values: Vec::new(), locals: Vec::new(), linear }
    }

    /// Makes the item ready to run a function from its start.
    pub fn start(
        &mut self,
        library: &Library,
        machine: &mut Machine,
        func: Func,
        args: &[Val],
    ) -> Checked<()> {
        self.clear(machine);
        let code = library.code(func)?;
        self.frame = Frame { func, pc: 0, base: 0, locals: 0, dest: 0 };
        self.grow(machine, code)?;
        self.values.iter_mut().zip(args).for_each(|(slot, arg)| slot.clone_from(arg));
        Ok(())
    }

    fn grow(&mut self, machine: &mut Machine, code: &Code) -> Checked<()> {
        let slots = code.slots as usize;
        if machine.stack_values + slots > MAX_STACK_VALUES {
            return Err(Box::new(FaultKind::StackOverflow));
        }
        machine.stack_values += slots;
        self.values.resize(self.values.len() + slots, Val::Bits(0));
        Ok(())
    }

    /// Gives back what the item holds.
    pub fn clear(&mut self, machine: &mut Machine) {
        self.locals.drain(..).for_each(|address| machine.memory.release(address));
        machine.stack_values -= self.values.len().min(machine.stack_values);
        self.values.clear();
        self.callers.clear();
    }

    pub fn position(&self) -> Position {
        (self.frame.func, self.frame.pc)
    }

    /// The step that the item waits at.
    pub fn step<'l>(&self, library: &'l Library) -> Checked<(&'l Code, &'l Step)> {
        let code = library.code(self.frame.func)?;
        match code.steps.get(self.frame.pc as usize) {
            Some(step) => Ok((code, step)),
            None => malformed("control left the function"),
        }
    }

    /// The bits of an operand of the step that the item waits at.
    pub fn bits(&self, code: &Code, at: Operand) -> u128 {
        let frame = self.values.get(self.frame.base as usize..).unwrap_or(&[]);
        bits(code, frame, at)
    }

    /// Ends the wait, with a result if there is one.
    pub fn resume(&mut self, result: Option<(u32, u128)>) {
        if let Some((dest, bits)) = result
            && let Some(slot) = self.values.get_mut(self.frame.base as usize + dest as usize)
        {
            *slot = Val::Bits(bits);
        }
        self.frame.pc += 1;
    }
}

/// Runs an item.
pub(super) fn run(library: &Library, machine: &mut Machine, item: &mut Item) -> Result<Stop, Fault> {
    steps(library, machine, item).map_err(|kind| Fault { kind, location: library.location(item) })
}

/// Writes a result. Slots exist by construction; a frame without them would be too short to write to.
#[inline]
fn put(frame: &mut [Val], dest: u32, value: Val) {
    if let Some(slot) = frame.get_mut(dest as usize) {
        *slot = value;
    }
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
                    address = machine.memory.allocate(size, align, Space::Local, Contents::Uninitialised)?;
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
                let value = load_parts(library.unit, &mut machine.memory, code, place, ty, parts)?;
                put(frame, dest, value);
            }
            Step::StoreParts { address, value, ty, parts, via } => {
                let size = library.unit.types.layout(ty).map_or(0, |layout| layout.size);
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
                machine.memory.copy(to, from, size)?;
            }
            Step::MemSet { to, byte, size, via } => {
                let (byte, size) = (bits(code, frame, byte) as u8, bits(code, frame, size) as u64);
                machine.memory.fill(place(code, frame, to, via), byte, size)?;
            }
            Step::AtomicLoad { address, ty, via, orders, dest } => {
                machine.order(orders);
                let cell = machine.memory.atomic(place(code, frame, address, via), ty.bytes())?;
                put(frame, dest, Val::Bits(read_bits(cell)));
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
                let cell = machine.memory.atomic(place(code, frame, address, via), ty.bytes())?;
                let old = read_bits(cell);
                let equal = old == bits(code, frame, wanted);
                if equal {
                    write_bits(cell, bits(code, frame, new));
                }
                put(frame, dest, Val::Bits(old));
                put(frame, dest + 1, Val::i1(equal));
            }
            Step::Fence => machine.order(true),
            Step::WorkItem { op, dimension, dest } => {
                let number = machine.work_item(op, dimension.into(), item.linear)?;
                put(frame, dest, Val::Bits(number.into()));
            }
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
            Step::Throw { kind } => {
                let Some((kind, reason)) = code.thrown.get(kind as usize) else {
                    return malformed("no such exception");
                };
                let location = library.location(item);
                return Ok(Stop::Threw(Thrown { kind: kind.clone(), reason: reason.clone(), location }));
            }
            Step::Unreachable => return throws(library, item, Exception::UnreachableError, false),
            Step::Assert { condition, message } => {
                if bits(code, frame, condition) & 1 == 0 {
                    let text = code.messages.get(message as usize).cloned().unwrap_or_default();
                    return Err(Box::new(FaultKind::AssertionFailed(text)));
                }
            }
            Step::Malformed { message } => {
                let text = code.messages.get(message as usize).cloned().unwrap_or_default();
                return Err(Box::new(FaultKind::Malformed(text)));
            }
        }
        item.frame.pc += 1;
    }
}

/// An op threw: an exception, or a fault where something promised that it would not.
fn throws(library: &Library, item: &Item, exception: Exception, guarded: bool) -> Checked<Stop> {
    if guarded {
        return Err(Box::new(FaultKind::Unguarded));
    }
    let location = library.location(item);
    Ok(Stop::Threw(Thrown { kind: exception.name().into(), reason: None, location }))
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

/// Enters a function.
fn call<'l>(
    library: &'l Library,
    machine: &mut Machine,
    item: &mut Item,
    caller: &Code,
    func: Func,
    args: &[Operand],
    dest: u32,
) -> Checked<&'l Code> {
    if item.callers.len() >= MAX_CALL_DEPTH {
        return Err(Box::new(FaultKind::StackOverflow));
    }
    let code = library.code(func)?;
    let base = item.values.len();
    item.grow(machine, code)?;
    let (below, frame) = item.values.split_at_mut(base);
    let below = below.get(item.frame.base as usize..).unwrap_or(&[]);
    for (slot, &at) in frame.iter_mut().zip(args) {
        slot.clone_from(operand(caller, below, at));
    }
    let locals = item.locals.len() as u32;
    item.callers.push(item.frame);
    item.frame = Frame { func, pc: 0, base: base as u32, locals, dest };
    Ok(code)
}

/// Leaves a function: to its caller's code, or to the host with the results.
fn leave<'l>(
    library: &'l Library,
    machine: &mut Machine,
    item: &mut Item,
    results: SmallVec<[Val; 2]>,
) -> Checked<Result<&'l Code, Vec<Val>>> {
    let Some(caller) = item.callers.pop() else {
        item.clear(machine);
        return Ok(Err(results.into_vec()));
    };
    let Frame { base, locals, dest, .. } = item.frame;
    item.locals.drain(locals as usize..).for_each(|address| machine.memory.release(address));
    machine.stack_values -= item.values.len().saturating_sub(base as usize).min(machine.stack_values);
    item.values.truncate(base as usize);
    item.frame = caller;
    if let Some(frame) = item.values.get_mut(caller.base as usize..) {
        results.into_iter().zip(dest..).for_each(|(value, dest)| put(frame, dest, value));
    }
    item.frame.pc += 1;
    library.code(caller.func).map(Ok)
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
    memory: &mut Memory,
    code: &Code,
    place: Place,
    ty: crate::types::Type,
    parts: u32,
) -> Checked<Val> {
    let types = &*unit.types;
    let size = types.layout(ty).map_or(0, |layout| layout.size);
    let parts = code.parts.get(parts as usize).map_or(&[][..], |parts| parts);
    let bytes = memory.load_ranges(place, size, parts)?;
    let truth = ty.lane() == Some(Scalar::I1);
    if let Some(n) = bytes.iter().position(|&byte| byte > 1).filter(|_| truth) {
        return Err(Box::new(FaultKind::NotTruth { address: place.address + n as u64 }));
    }
    Val::decode(types, ty, &bytes).map_or_else(|| malformed("loaded value does not fit its type"), Ok)
}

impl Machine {
    /// An access that orders others happened.
    #[inline]
    pub fn order(&mut self, orders: bool) {
        let epoch = &mut self.memory.actor.epoch;
        *epoch = epoch.wrapping_add(orders.into());
    }

    /// The address of a global: its memory is made when it is first asked for.
    fn global(&mut self, unit: &Unit, global: Global) -> Checked<u64> {
        if let Some(&address) = self.globals.get(&global).or_else(|| self.shared.get(&global)) {
            return Ok(address);
        }
        let Some(data) = unit.globals.get(global) else { return malformed("no such global") };
        let Some(layout) = unit.types.layout(data.ty) else { return malformed("global has no size") };
        let space = global_space(data.space);
        let contents = match &data.init {
            _ if space == Space::Shared => Contents::Uninitialised,
            Some(bytes) => Contents::Bytes(bytes),
            None => Contents::Zero,
        };
        if space == Space::Shared && self.grid.is_none() {
            return Err(Box::new(FaultKind::NotInKernel));
        }
        let address = self.memory.allocate(layout.size, layout.align, space, contents)?;
        if space == Space::Shared {
            if self.races {
                self.memory.watch(address);
            }
            self.shared.insert(global, address);
        } else {
            self.globals.insert(global, address);
        }
        Ok(address)
    }

    fn work_item(&self, op: Op, dimension: usize, linear: u32) -> Checked<u32> {
        let Some(grid) = &self.grid else { return Err(Box::new(FaultKind::NotInKernel)) };
        let [width, height, _] = grid.block.map(|size| size.max(1));
        let local = [linear % width, linear / width % height, linear / width / height];
        let of = |dimensions: [u32; 3]| dimensions.get(dimension).copied().unwrap_or(0);
        Ok(match op {
            Op::LocalId => of(local),
            Op::GroupId => of(grid.group),
            Op::GroupSize => of(grid.block),
            Op::GroupCount => of(grid.groups),
            Op::SubgroupSize => self.subgroup_size,
            Op::SubgroupLane => linear % self.subgroup_size.max(1),
            _ => return malformed("not a work-item op"),
        })
    }
}
