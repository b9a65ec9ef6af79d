//! Kernels that are in this process's memory, as code that was made there or as a library that was loaded: all that
//! whoever runs them must know.

use super::context::WorkGroup;
use super::stack::{StackLimit, StackNeeds};
use crate::artifact::{Artifact, argument_block};
use marquetry_ir::program::MethodKind;
use marquetry_lower::exceptions::places::ThrowPlace;
use std::any::Any;
use std::sync::Arc;

/// Runs the work-items `first` to before `end` of a group, on a stack with this limit or, if that is null, without one.
pub type KernelFn = unsafe extern "C" fn(
    args: *const u8,
    group: *const WorkGroup,
    first: u32,
    end: u32,
    stack: *const StackLimit,
);

/// A kernel in this process's memory. Its code stays there as long as this value lives.
#[derive(Clone)]
pub struct NativeKernel {
    pub(super) name: Arc<str>,
    pub(super) function: KernelFn,
    pub(super) argument_bytes: u32,
    pub(super) waits: bool,
    pub(super) shared_bytes: u64,
    pub(super) stack: StackNeeds,
    pub(super) checked: Arc<[ThrowPlace]>,
    /// Frees the code when it is dropped.
    pub(super) _code: Arc<dyn Any + Send + Sync>,
}

impl NativeKernel {
    /// A kernel of an object that was linked and loaded: `function` is what its symbol `NAME$items` stands for. None if
    /// the artifact is no object, or has no such kernel.
    ///
    /// # Safety
    /// `function` is that wrapper of that entry, linked from the artifact's own code, and stays in memory until `code`
    /// is dropped.
    #[allow(unsafe_code, reason = "the caller vouches for a function that others call")]
    pub unsafe fn linked(
        artifact: &Artifact,
        entry: usize,
        function: KernelFn,
        code: Arc<dyn Any + Send + Sync>,
    ) -> Option<NativeKernel> {
        let known = artifact.entries.get(entry).filter(|known| known.kind == MethodKind::Kernel)?;
        let scheduling = artifact.scheduling.as_ref()?;
        Some(NativeKernel {
            name: known.symbol.clone(),
            function,
            argument_bytes: argument_block(&known.signature.params).1,
            waits: *scheduling.waits.get(entry)?,
            shared_bytes: artifact.shared_bytes,
            stack: scheduling.stack,
            checked: scheduling.checked.clone(),
            _code: code,
        })
    }

    /// Its name in the code.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What runs its work-items; valid while this value or a clone of it lives. The argument block has
    /// [`argument_bytes`](Self::argument_bytes) bytes, the group [`shared_bytes`](Self::shared_bytes) of shared memory.
    pub fn function(&self) -> KernelFn {
        self.function
    }

    /// Bytes of its arguments, laid out by [`argument_block`].
    pub fn argument_bytes(&self) -> u32 {
        self.argument_bytes
    }

    /// Whether work-items meet: each must be run on a stack of its own.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Bytes of shared memory that a group needs.
    pub fn shared_bytes(&self) -> u64 {
        self.shared_bytes
    }

    /// The stack that a work-item needs.
    pub fn stack(&self) -> StackNeeds {
        self.stack
    }

    /// The functions that check the limit of the stack, by number.
    pub fn checked(&self) -> &[ThrowPlace] {
        &self.checked
    }
}

impl std::fmt::Debug for NativeKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeKernel").field("name", &self.name).finish_non_exhaustive()
    }
}
