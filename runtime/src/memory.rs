//! The memory of compilations, which the next one on the same thread uses again.
//!
//! Compilations of small kernels would spend much of their time on making tables. So each thread keeps those of its last
//! compilation, unless that was a large one. They are taken out while they are in use: a compilation inside another
//! one makes its own, and those of one that panicked are gone. Nothing is shared, so nothing is locked; nothing but
//! memory goes from one compilation to the next.

use marquetry_codegen::native::NativeContext;
use marquetry_codegen::spirv::SpirvContext;
use marquetry_lower::pipeline::Context;
use std::cell::Cell;

/// Tables of all stages.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) lowering: Context,
    pub(crate) native: NativeContext,
    pub(crate) spirv: SpirvContext,
    /// Whether the tables grew too large to be kept.
    large: bool,
}

/// Most instructions of a unit, at its largest, whose compilation's tables are kept.
const MAX_KEPT: usize = 1 << 14;

thread_local! {
    static KEPT: Cell<Option<Box<Memory>>> = const { Cell::new(None) };
}

impl Memory {
    /// Not kept for the next compilation.
    pub(crate) fn forget(&mut self) {
        self.large = true;
    }

    /// A job went through its stages: what became large is not kept.
    pub(crate) fn used(&mut self) {
        self.large |= self.lowering.largest() > MAX_KEPT;
    }
}

/// Runs a compilation in the memory of this thread's last one.
pub(crate) fn with<R>(compile: impl FnOnce(&mut Memory) -> R) -> R {
    let kept = KEPT.try_with(Cell::take).ok().flatten();
    let mut memory = kept.unwrap_or_default();
    let result = compile(&mut memory);
    if !memory.large {
        // While a thread ends there is nothing to keep it in.
        let _ = KEPT.try_with(|kept| kept.set(Some(memory)));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Target, compile};
    use marquetry_ir::text;
    use marquetry_lower::dispatch::view::View;
    use marquetry_lower::job::{Job, OptLevel};
    use std::fmt::Write;

    fn address(memory: &Memory) -> usize {
        std::ptr::from_ref(memory).addr()
    }

    fn is_kept() -> bool {
        let kept = KEPT.take();
        let is_some = kept.is_some();
        KEPT.set(kept);
        is_some
    }

    #[test]
    fn one_compilation_uses_the_memory_of_another_but_not_of_one_around_it() {
        let first = with(|memory| address(memory));
        assert!(is_kept());
        with(|outer| {
            assert_eq!(address(outer), first);
            with(|inner| assert_ne!(address(inner), address(outer)));
        });
    }

    /// Compiles a function that leads to one of so many instructions, which is gone before anything is optimised.
    fn compile_with_dead(insts: usize) {
        let mut source = String::from("method dead(v0: i32) -> i32 {\nentry:\n");
        for n in 0..insts {
            let _ = writeln!(source, "    v{} = add v{n}, i32 3", n + 1);
        }
        let _ = writeln!(source, "    return v{insts}\n}}");
        source.push_str(
            "method f(x: i32) -> i32 {\nentry:\n    branch i1 false, large, small\n\
             large:\n    y = call dead(x)\n    return y\nsmall:\n    return x\n}\n",
        );
        let mut program = crate::library::program();
        assert_eq!(text::parse(&mut program, "t.mq", &source), []);
        let job = Job::new(program.methods_of("f").to_vec(), View::native(&[]), OptLevel::Default);
        compile(&program, &job, &Target::parse("native", OptLevel::Default).unwrap()).unwrap();
    }

    #[test]
    fn large_tables_are_not_kept_even_if_the_unit_ends_small() {
        compile_with_dead(10);
        assert!(is_kept());
        compile_with_dead(MAX_KEPT);
        assert!(!is_kept());
    }
}
