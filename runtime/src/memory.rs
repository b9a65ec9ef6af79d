//! The memory of compilations, which the next one on the same thread uses again.
//!
//! Compilations of small kernels would spend much of their time on making tables. So each thread keeps those of its last
//! compilation, unless that was a large one. They are taken out while they are in use: a compilation inside another
//! one makes its own, and those of one that panicked are gone. Nothing is shared, so nothing is locked; nothing but
//! memory goes from one compilation to the next.

use marquetry_codegen::native::NativeContext;
use marquetry_codegen::spirv::SpirvContext;
use marquetry_ir::unit::Unit;
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

/// Most instructions of a unit whose compilation's tables are kept.
const MAX_KEPT: usize = 1 << 14;

thread_local! {
    static KEPT: Cell<Option<Box<Memory>>> = const { Cell::new(None) };
}

impl Memory {
    /// Not kept for the next compilation.
    pub(crate) fn forget(&mut self) {
        self.large = true;
    }

    /// Says for what it was used: what is large is not kept.
    pub(crate) fn used_for(&mut self, unit: &Unit) {
        self.large |=
            unit.funcs.values().map(|function| function.body.inst_count()).sum::<usize>() > MAX_KEPT;
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
    use marquetry_ir::unit::Function;

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

    #[test]
    fn large_tables_are_not_kept() {
        let mut unit = Unit::default();
        let mut body = marquetry_ir::body::Body::new();
        for _ in 0..=MAX_KEPT {
            body.make_inst(marquetry_ir::op::Op::Return, marquetry_ir::types::Type::ERROR, &[], 0);
        }
        unit.funcs.push(Function {
            name: "large".into(),
            kind: marquetry_ir::program::MethodKind::Function,
            signature: marquetry_ir::signature::Signature::new([], []),
            body,
            inlining: marquetry_ir::program::Inlining::Auto,
            file: None,
            span: marquetry_ir::span::Span::NOWHERE,
        });
        with(|memory| memory.used_for(&unit));
        assert!(!is_kept());
    }
}
