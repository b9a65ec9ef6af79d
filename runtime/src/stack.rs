//! Stacks of known size for calls of native code, so that recursion ends with an error and not with the process.
//!
//! Code is run on a stack of its own; where that is used up, control switches back to the caller, and what is on the
//! stack is forgotten. Each stack has its own limit: any number of threads may use one each.
#![allow(unsafe_code)] // gives up frames of emitted code

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{CoroutineResult, ScopedCoroutine, Yielder};
use marquetry_codegen::native::{StackLimit, StackNeeds};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

/// Bytes that recursion gets in a call: only those that it uses become memory.
pub const RECURSION_BYTES: usize = 64 << 20;
/// Most stack that code without recursion may need to run on its caller's, whose size nobody knows.
pub const CALLER_BYTES: usize = 128 << 10;

/// The stack is used up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Exhausted {
    /// The number of the function that was to be entered, among those that check.
    pub function: usize,
}

/// The lowest limit on a stack.
pub(crate) fn lowest(stack: &DefaultStack, needs: &StackNeeds) -> usize {
    // The last page is the guard's; pages are 64 KiB at most.
    needs.lowest(stack.limit().get() + GUARD_BYTES)
}

/// Bytes at the end of a stack that must not be touched.
const GUARD_BYTES: usize = 64 << 10;

/// A stack for code with such needs, and room for recursion.
pub(crate) fn allocate(needs: &StackNeeds, recursion: usize) -> std::io::Result<DefaultStack> {
    DefaultStack::new(needs.bytes(recursion) + GUARD_BYTES)
}

/// What a stack's code and its caller tell each other.
struct Desk {
    exhausted: Cell<Option<u64>>,
    yielder: Cell<*const Yielder<(), ()>>,
}

unsafe extern "C" fn give_up(stack: *const StackLimit, function: u64) {
    // SAFETY: emitted code passes the record that it was given; its data is the desk, which lives as long as the
    // coroutine, and the yielder lives on the stack that this runs on.
    unsafe {
        let desk = &*(*stack).data.cast::<Desk>();
        desk.exhausted.set(Some(function));
        (*desk.yielder.get()).suspend(());
    }
}

/// A stack for calls, one after the other.
#[derive(Default)]
pub struct CallStack {
    /// The stack, and its size; made when it is first needed.
    kept: Option<(DefaultStack, usize)>,
}

impl CallStack {
    /// No stack yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether code should run here: it is recursive, or needs more than a caller's stack is sure to have.
    pub fn is_wanted(needs: &StackNeeds) -> bool {
        needs.recursive || needs.bytes(0) > CALLER_BYTES
    }

    /// Runs code on this stack. It is told the limit, to pass it on.
    ///
    /// # Errors
    /// There is no memory for the stack.
    ///
    /// # Safety
    /// The needs are those of the native code that `call` runs. While that runs, `call` owns nothing that would have to
    /// be dropped: if the stack is used up, what is on it is forgotten.
    pub unsafe fn run(
        &mut self,
        needs: &StackNeeds,
        call: impl FnOnce(&StackLimit),
    ) -> std::io::Result<Result<(), Exhausted>> {
        let bytes = needs.bytes(RECURSION_BYTES);
        let mut stack = match self.kept.take() {
            Some((stack, size)) if size >= bytes => (stack, size),
            _ => (allocate(needs, RECURSION_BYTES)?, bytes),
        };
        let desk = Desk { exhausted: Cell::new(None), yielder: Cell::new(ptr::null()) };
        let data: *const c_void = (&raw const desk).cast();
        let limit = StackLimit { lowest: lowest(&stack.0, needs), exhausted: give_up, data };
        let coroutine = ScopedCoroutine::with_stack(&mut stack.0, |yielder, ()| {
            desk.yielder.set(yielder);
            call(&limit);
        });
        coroutine.scope(|mut coroutine| {
            if let CoroutineResult::Yield(()) = coroutine.as_mut().resume(()) {
                // SAFETY: the stack holds frames of emitted code, of `give_up` and of the closure above; by the
                // caller's promise none of them owns anything that would have to be dropped.
                unsafe { coroutine.force_reset() };
            }
        });
        match desk.exhausted.get() {
            None => {
                self.kept = Some(stack);
                Ok(Ok(()))
            }
            // The stack is not kept: all of it became memory.
            Some(function) => Ok(Err(Exhausted { function: function as usize })),
        }
    }
}

impl std::fmt::Debug for CallStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallStack").field("bytes", &self.kept.as_ref().map(|kept| kept.1)).finish()
    }
}
