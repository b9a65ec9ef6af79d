//! A group whose work-items meet: each runs on a stack of its own until it waits, then the next one runs.
//!
//! When all have run, sub-groups go on: of the lanes that wait at sub-group ops, those at the place that comes first in
//! the code are the active lanes and go on together. When nobody waits at a sub-group op, all work-items that have not
//! returned must wait at the same barrier, and pass it; else the launch fails. This is how the interpreter does it.

use crate::device::DeviceError;
use crate::stack;
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use marquetry_codegen::native::context::{SUBGROUP_SIZE, SubgroupOp, WorkGroup, WorkItem};
use marquetry_codegen::native::{NativeKernel, StackLimit};
use std::cell::Cell;
use std::ptr;

/// Bytes that recursion gets on the stack of a work-item, of which there may be thousands.
const RECURSION_BYTES: usize = 4 << 20;

/// What a work-item is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    Runs,
    Returned,
    /// In a function, by number, for which there was no stack left.
    Exhausted(u64),
    /// At the barrier of this place.
    Barrier(u64),
    /// At the sub-group operation of this place.
    Subgroup {
        site: u64,
        op: u64,
        value: u64,
        lane: u64,
    },
}

/// The side of a work-item that its own code sees.
struct Desk {
    state: Cell<State>,
    result: Cell<u64>,
    yielder: Cell<*const Yielder<(), ()>>,
}

/// A group that runs nothing yet. Where work-items never meet, nobody calls the two functions.
pub(super) fn template(id: [u32; 3], size: [u32; 3], count: [u32; 3], shared: *mut u8) -> WorkGroup {
    WorkGroup {
        group_id: id,
        group_size: size,
        group_count: count,
        subgroup_size: SUBGROUP_SIZE,
        shared,
        barrier,
        subgroup,
        scheduler: ptr::null(),
    }
}

/// Finds a work-item's desk, says what it waits for, and switches to the scheduler until that has come.
///
/// # Safety
/// The work-item is one that a [`Runner`] runs.
unsafe fn wait(item: *const WorkItem, state: State) -> u64 {
    // SAFETY: emitted code hands on the work-item that it was given; its group's scheduler is the array of desks, one
    // per work-item, and the yielder lives on the stack that this runs on.
    unsafe {
        let item = &*item;
        let desks = (*item.group).scheduler.cast::<Desk>();
        let desk = &*desks.add(item.linear as usize);
        desk.state.set(state);
        (*desk.yielder.get()).suspend(());
        desk.result.get()
    }
}

unsafe extern "C" fn barrier(item: *const WorkItem, site: u64) {
    // SAFETY: called by kernels that a `Runner` runs.
    unsafe { wait(item, State::Barrier(site)) };
}

unsafe extern "C" fn subgroup(item: *const WorkItem, op: u64, value: u64, lane: u64, site: u64) -> u64 {
    // SAFETY: called by kernels that a `Runner` runs.
    unsafe { wait(item, State::Subgroup { site, op, value, lane }) }
}

unsafe extern "C" fn exhausted(stack: *const StackLimit, function: u64) {
    // SAFETY: emitted code hands on the record that it was given; its data is the desk of a work-item that a `Runner`
    // runs, and the yielder lives on the stack that this runs on.
    unsafe {
        let desk = &*(*stack).data.cast::<Desk>();
        desk.state.set(State::Exhausted(function));
        (*desk.yielder.get()).suspend(());
    }
}

type Thread = Coroutine<(), (), (), DefaultStack>;

/// Runs groups, one after the other, and keeps the stacks.
pub(super) struct Runner<'a> {
    kernel: &'a NativeKernel,
    stacks: Vec<DefaultStack>,
    desks: Vec<Desk>,
    threads: Vec<Thread>,
}

impl Runner<'_> {
    pub(super) fn new(kernel: &NativeKernel) -> Runner<'_> {
        Runner { kernel, stacks: Vec::new(), desks: Vec::new(), threads: Vec::new() }
    }

    /// Runs all work-items of a group.
    pub(super) fn run(&mut self, args: &[u8], group: &mut WorkGroup, items: u32) -> Result<(), DeviceError> {
        self.desks.clear();
        self.desks.extend((0..items).map(|_| Desk {
            state: Cell::new(State::Runs),
            result: Cell::new(0),
            yielder: Cell::new(ptr::null()),
        }));
        group.scheduler = self.desks.as_ptr().cast();
        let group: *const WorkGroup = group;
        let (kernel, needs) = (self.kernel.function(), self.kernel.stack());
        for linear in 0..items {
            let stack = match self.stacks.pop() {
                Some(stack) => stack,
                None => stack::allocate(&needs, RECURSION_BYTES)
                    .map_err(|_| DeviceError::OutOfMemory { bytes: needs.bytes(RECURSION_BYTES) as u64 })?,
            };
            let lowest = stack::lowest(&stack, &needs);
            let (args, desks) = (args.as_ptr(), self.desks.as_ptr());
            self.threads.push(Thread::with_stack(stack, move |yielder, ()| {
                // SAFETY: argument block, group and desks outlive the coroutine, which is finished or reset before
                // `run` returns; the rest is as for kernels that do not wait.
                unsafe {
                    let desk = desks.add(linear as usize);
                    (*desk).yielder.set(yielder);
                    let limit = StackLimit { lowest, exhausted, data: desk.cast() };
                    kernel(args, group, linear, linear + 1, &limit);
                }
            }));
        }
        let outcome = self.schedule();
        for mut thread in self.threads.drain(..) {
            if !thread.done() {
                // SAFETY: the stack holds frames of emitted code, of `wait` and of the closure above; none of them
                // owns anything that would have to be dropped.
                unsafe { thread.force_reset() };
            }
            self.stacks.push(thread.into_stack());
        }
        outcome
    }

    fn schedule(&mut self) -> Result<(), DeviceError> {
        loop {
            for (thread, desk) in self.threads.iter_mut().zip(&self.desks) {
                if desk.state.get() != State::Runs {
                    continue;
                }
                if let CoroutineResult::Return(()) = thread.resume(()) {
                    desk.state.set(State::Returned);
                } else if let State::Exhausted(function) = desk.state.get() {
                    return Err(overflow(self.kernel, function as usize));
                }
            }
            let mut moved = false;
            for lanes in self.desks.chunks(SUBGROUP_SIZE as usize) {
                moved |= meet(lanes)?;
            }
            if !moved && !self.pass_barrier()? {
                return Ok(());
            }
        }
    }

    /// Lets all work-items pass the barrier at which they wait. Whether there are any.
    fn pass_barrier(&self) -> Result<bool, DeviceError> {
        let mut place = None;
        for (number, desk) in self.desks.iter().enumerate() {
            if let State::Barrier(site) = desk.state.get() {
                let &mut (first, other) = place.get_or_insert((number, site));
                if other != site {
                    let reason =
                        format!("work-items {first} and {number} of a group wait at different barriers");
                    return Err(DeviceError::Launch { reason });
                }
                desk.state.set(State::Runs);
            }
        }
        Ok(place.is_some())
    }
}

/// The error for a function of a kernel for which there was no stack left.
pub(super) fn overflow(kernel: &NativeKernel, number: usize) -> DeviceError {
    let function =
        kernel.checked().get(number).map_or_else(|| "?".into(), |place| place.at.function.to_string());
    DeviceError::StackOverflow { function, number }
}

/// Lets the lanes of one sub-group that wait at the first of its operations go on. Whether there are any.
fn meet(lanes: &[Desk]) -> Result<bool, DeviceError> {
    let waiting = lanes.iter().filter_map(|desk| match desk.state.get() {
        State::Subgroup { site, op, .. } => Some((site, op)),
        _ => None,
    });
    let Some((first, code)) = waiting.min() else { return Ok(false) };
    let operation = SubgroupOp::from_code(code);
    let (op, wide) =
        operation.ok_or_else(|| DeviceError::Launch { reason: format!("no sub-group operation {code}") })?;
    let mut operands = [None; SUBGROUP_SIZE as usize];
    let mut results = [0; SUBGROUP_SIZE as usize];
    for (desk, operand) in lanes.iter().zip(&mut operands) {
        if let State::Subgroup { site, value, lane, .. } = desk.state.get()
            && site == first
        {
            *operand = Some((value, lane));
        }
    }
    op.apply(wide, &operands, &mut results);
    for ((desk, operand), result) in lanes.iter().zip(&operands).zip(results) {
        if operand.is_some() {
            desk.result.set(result);
            desk.state.set(State::Runs);
        }
    }
    Ok(true)
}
