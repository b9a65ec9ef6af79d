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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Code, Target, compile};
    use marquetry_codegen::native::JitCode;
    use marquetry_ir::program::Program;
    use marquetry_ir::text;
    use marquetry_lower::dispatch::view::View;
    use marquetry_lower::job::{Job, OptLevel};
    use std::sync::Arc;

    fn compiled(source: &str, level: OptLevel) -> Arc<JitCode> {
        let mut program = Program::new();
        assert_eq!(text::parse(&mut program, "test.mq", source), []);
        let entries = program.methods_of("f").to_vec();
        let job = Job::new(entries, View::native(&[]), level);
        match compile(&program, &job, &Target::parse("native", level).unwrap()).unwrap().code {
            Code::Jit(code) => code,
            Code::Artifact(_) => panic!("expected code in memory"),
        }
    }

    /// Calls `f(n: i64) -> i64`.
    fn call(stack: &mut CallStack, code: &JitCode, n: i64) -> Result<i64, Exhausted> {
        let (args, mut results) = (n.to_le_bytes(), [0; 8]);
        let mut status = Ok(1);
        // SAFETY: the blocks have the sizes of the signature; the closure owns nothing.
        unsafe {
            let call = |limit: &StackLimit| status = code.call_packed(0, &args, &mut results, Some(limit));
            stack.run(&code.stack(), call).unwrap()?;
        }
        assert_eq!(status, Ok(0));
        Ok(i64::from_le_bytes(results))
    }

    /// A sum to `n`, forever for negative numbers; `then` is done on the way down.
    fn sum(then: &str) -> String {
        format!(
            "method f(n: i64) -> i64 {{
             entry:
                 none = eq n, i64 0
                 branch none, done, more
             done:
                 return i64 0
             more:
                 {then}
                 m = sub n, i64 1
                 rest = call f(m)
                 s = add rest, n
                 return s
             }}
             "
        )
    }

    #[test]
    fn threads_have_limits_of_their_own() {
        let code = compiled(&sum(""), OptLevel::Default);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let code = &code;
                scope.spawn(move || {
                    let mut stack = CallStack::new();
                    for round in 0..6 {
                        let n = if (thread + round) % 3 == 0 { -1 } else { 10_000 + thread };
                        let wanted = if n < 0 { Err(Exhausted { function: 0 }) } else { Ok(n * (n + 1) / 2) };
                        assert_eq!(call(&mut stack, code, n), wanted);
                    }
                });
            }
        });
    }

    #[test]
    fn what_lies_between_two_checks_fits_below_the_limit() {
        let large = "method large(n: i64) -> i64 noinline {
            entry:
                s = slot.array<i64, 100000>
                at = and n, i64 65535
                p = index s, at, i64
                store p, n
                x = load.i64 p volatile
                return x
            }
            method larger(n: i64) -> i64 noinline {
            entry:
                s = slot.array<i64, 50000>
                at = and n, i64 32767
                p = index s, at, i64
                store p, n
                y = call large(n)
                x = load.i64 p volatile
                z = add x, y
                return z
            }
            ";
        for level in [OptLevel::None, OptLevel::Default] {
            let code = compiled(&[&sum("x = call larger(n)"), large].concat(), level);
            let needs = code.stack();
            assert!(needs.recursive, "{needs:?}");
            assert!((1_200_000..1_210_000).contains(&needs.reserve), "{needs:?}");
            let mut stack = CallStack::new();
            assert_eq!(call(&mut stack, &code, 1000), Ok(500_500));
            assert_eq!(call(&mut stack, &code, -1), Err(Exhausted { function: 0 }));
            assert_eq!(code.checked()[0].at.function, "f".into());
        }
    }

    #[test]
    fn code_without_recursion_knows_no_limit() {
        let code = compiled("method f(n: i64) -> i64 {\nentry:\n    return n\n}\n", OptLevel::Default);
        let needs = code.stack();
        assert!(!needs.recursive && needs.reserve == 0 && needs.fixed < 1000, "{needs:?}");
        assert!(!CallStack::is_wanted(&needs) && code.checked().is_empty());
        // It may run on such a stack nevertheless.
        assert_eq!(call(&mut CallStack::new(), &code, 7), Ok(7));
    }

    #[test]
    fn calls_may_stand_on_stacks_of_each_other() {
        let code = compiled(&sum(""), OptLevel::Default);
        let (mut outer, mut inner) = (CallStack::new(), CallStack::new());
        let mut found = Ok(0);
        // SAFETY: the closure runs no native code itself.
        let done = unsafe { outer.run(&code.stack(), |_| found = call(&mut inner, &code, -1)) };
        assert_eq!((done.unwrap(), found), (Ok(()), Err(Exhausted { function: 0 })));
    }
}
