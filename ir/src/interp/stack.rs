//! Functions and frames: where an item of control is, and how it gets into functions and out of them.

use super::code::{Code, Operand, Step, bits, operand};
use super::fault::{Checked, FaultKind, Location, MAX_BACKTRACE, malformed};
use super::machine::Machine;
use super::prepare::prepare;
use super::value::Val;
use crate::body;
use crate::entity::{Func, Inst};
use crate::limits::{MAX_CALL_DEPTH, MAX_STACK_VALUES};
use crate::unit::Unit;
use smallvec::SmallVec;
use std::cell::OnceCell;

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
        let inst = self.inst(&item.frame)?;
        let frames = std::iter::once(&item.frame).chain(item.callers.iter().rev());
        // One more than is named, to know whether there are any.
        let mut frames = frames.take(MAX_BACKTRACE + 2).flat_map(|frame| self.source(frame));
        let own = frames.next()?;
        let callers = frames.by_ref().take(MAX_BACKTRACE).collect();
        let more = frames.next().is_some();
        Some(Location { func, function: own.function, inst, file: own.file, span: own.span, callers, more })
    }

    fn inst(&self, frame: &Frame) -> Option<Inst> {
        let code = self.code(frame.func).ok()?;
        code.insts.get(frame.pc as usize).or(code.insts.last()).copied()
    }

    /// The functions that the code of a frame is from.
    fn source(&self, frame: &Frame) -> impl Iterator<Item = body::Frame> {
        let function = self.unit.funcs.get(frame.func).zip(self.inst(frame));
        let frames = function.map(|(function, inst)| function.frames(function.body.origin(inst)).owned());
        frames.into_iter().flatten()
    }
}

#[derive(Copy, Clone)]
pub(super) struct Frame {
    pub func: Func,
    /// The step that runs next; while it runs, that step.
    pub pc: u32,
    /// The first slot in the item's values.
    pub base: u32,
    /// How many of the item's locals belong to callers.
    locals: u32,
    /// Where the caller wants the results.
    dest: u32,
}

/// One thread of control: a call from the host, or a work-item.
pub(super) struct Item {
    pub frame: Frame,
    callers: Vec<Frame>,
    pub values: Vec<Val>,
    /// Addresses of live stack slots.
    pub locals: Vec<u64>,
    /// Linear position in the group.
    pub linear: u32,
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

/// Enters a function.
pub(super) fn call<'l>(
    library: &'l Library,
    machine: &mut Machine,
    item: &mut Item,
    caller: &Code,
    func: Func,
    args: &[Operand],
    dest: u32,
) -> Checked<&'l Code> {
    let code = library.code(func)?;
    let base = item.values.len();
    let grown = if item.callers.len() < MAX_CALL_DEPTH {
        item.grow(machine, code)
    } else {
        Err(Box::new(FaultKind::StackOverflow))
    };
    if let Err(fault) = grown {
        // What overflows the stack is the function that does not fit any more, as in native code.
        item.callers.push(item.frame);
        item.frame.func = func;
        item.frame.pc = 0;
        return Err(fault);
    }
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
pub(super) fn leave<'l>(
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

/// Writes a result. Slots exist by construction; a frame without them would be too short to write to.
#[inline]
pub(super) fn put(frame: &mut [Val], dest: u32, value: Val) {
    if let Some(slot) = frame.get_mut(dest as usize) {
        *slot = value;
    }
}
