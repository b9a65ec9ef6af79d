//! The limit of the stack, and how much of it code needs.
//!
//! A function that may be called while it runs compares the stack pointer with a limit when it is entered. Where the
//! stack is used up it calls back ([`StackLimit::exhausted`]), and whoever runs the code gives it up there: by switching
//! to another stack, or with `longjmp`. Emitted code owns nothing that would have to be cleaned up.
//!
//! - The way to the limit is a hidden parameter of these functions and of those that reach them, so threads and
//!   work-items on stacks of their own have limits of their own, and code without recursion pays nothing.
//! - Leaving costs nothing where it does not happen: no function gives a status for it, no caller tests one.
//! - Frames have known sizes. What lies between two checks on any path of calls is kept free below the limit, so that
//!   large frames and long chains of calls cannot jump over it ([`StackNeeds`]).
//! - A wrapper that is told no limit, and an exported function that C calls directly, have none.

use super::reach::Reach;
use crate::error::EmitError;
use cranelift_entity::SecondaryMap;
use marquetry_ir::entity::Func;
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::exceptions::places::{Locator, ThrowPlace};
use marquetry_lower::legal::{Legal, Site};
use std::ffi::c_void;
use std::mem::offset_of;
use std::sync::Arc;

/// Most bytes of stack that calls may need without recursion.
pub const MAX_STACK_BYTES: u64 = 1 << 30;
/// Room that functions of the host and of the C library get, whoever calls them.
const HOST_BYTES: usize = 64 << 10;

/// Where the stack that code runs on ends.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct StackLimit {
    /// The least stack pointer with which a function may be entered: [`StackNeeds::lowest`]. 0 for no limit.
    pub lowest: usize,
    /// Called where the limit is passed, with this record and the number of the function
    /// ([`Scheduling::checked`](crate::artifact::Scheduling::checked)). Must not return.
    pub exhausted: ExhaustedFn,
    /// For the function above.
    pub data: *const c_void,
}

/// Gives up the code that runs on a stack.
pub type ExhaustedFn = unsafe extern "C" fn(stack: *const StackLimit, function: u64);

/// The stack that code needs.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct StackNeeds {
    /// Bytes from the wrapper of an entry on, without recursion.
    pub fixed: usize,
    /// Bytes that must be free whenever a function passes its check.
    pub reserve: usize,
    /// Whether there is recursion, which may need any amount.
    pub recursive: bool,
}

impl StackNeeds {
    /// Bytes of a stack on which recursion gets so many bytes, if there is any.
    pub fn bytes(&self, recursion: usize) -> usize {
        let recursion = if self.recursive { self.reserve + recursion } else { 0 };
        self.fixed + recursion + HOST_BYTES
    }

    /// The limit on a stack whose lowest byte that may be used is at this address.
    pub fn lowest(&self, end: usize) -> usize {
        end.saturating_add(self.reserve + HOST_BYTES)
    }
}

/// Whether recursion may use up the stack when this entry runs; calls of a host that calls back are not known.
pub fn may_recurse(legal: &Legal, entry: usize) -> bool {
    let func = legal.unit().entries.get(entry);
    func.is_some_and(|&func| Reach::compute(legal.unit()).facts(func).stack)
}

/// Where a function begins that checks the stack.
pub(super) fn place(function: &Function, locator: &mut Locator<'_>) -> ThrowPlace {
    let body = &function.body;
    let first = body.entry().and_then(|entry| body.first_inst(entry));
    let outermost = first.and_then(|inst| function.frames(body.origin(inst)).last());
    locator.place(&Site {
        kind: "stack overflow".into(),
        reason: None,
        operands: Box::default(),
        function: function.name.clone(),
        file: function.file,
        // Of code that was inlined, where that was called in this function.
        span: outermost.map_or(function.span, |(_, _, span)| span),
        callers: Box::default(),
        candidates: Arc::default(),
        more: false,
    })
}

/// Bytes of the frames of what was compiled.
#[derive(Default)]
pub(super) struct Frames {
    of: SecondaryMap<Func, usize>,
    /// The largest one of a wrapper, and of what hosts call in place of an entry.
    outermost: usize,
}

impl Frames {
    pub(super) fn add(&mut self, func: Option<Func>, bytes: usize) {
        match func {
            Some(func) => self.of[func] = bytes,
            None => self.outermost = self.outermost.max(bytes),
        }
    }
}

/// What a unit needs, from the bytes of its frames.
pub(super) fn needs(unit: &Unit, reach: &Reach, frames: &Frames) -> Result<StackNeeds, EmitError> {
    // What a function's callees need until they have passed their checks, or at all.
    let mut below = SecondaryMap::<Func, usize>::new();
    let mut below_addresses = 0usize;
    let deep = |below: &SecondaryMap<Func, usize>, func: Func| {
        frames.of[func].saturating_add(if reach.facts(func).checks { 0 } else { below[func] })
    };
    let addressed = |func: &Func| reach.facts(*func).address;
    for &func in reach.order() {
        let Some(func) = func else {
            let all = unit.funcs.keys().filter(addressed).map(|func| deep(&below, func));
            below_addresses = all.max().unwrap_or(0);
            continue;
        };
        if reach.facts(func).calls_indirect {
            below[func] = below[func].max(below_addresses);
        }
        let deep = deep(&below, func);
        for &caller in reach.callers(func) {
            below[caller] = below[caller].max(deep);
        }
    }
    let entries = unit.entries.iter().map(|&func| deep(&below, func));
    let reserve = unit.funcs.keys().filter(|&func| reach.facts(func).checks).map(|func| below[func]).max();
    let needs = StackNeeds {
        fixed: entries.max().unwrap_or(0).saturating_add(frames.outermost),
        reserve: reserve.unwrap_or(0),
        recursive: reserve.is_some(),
    };
    let found = needs.fixed.saturating_add(needs.reserve) as u64;
    if found > MAX_STACK_BYTES {
        return Err(EmitError::limit("bytes of stack for nested calls", MAX_STACK_BYTES, found));
    }
    Ok(needs)
}

/// Byte offsets, for emitted code.
pub(super) mod offset {
    use super::*;

    pub(crate) const LOWEST: i32 = offset_of!(StackLimit, lowest) as i32;
    pub(crate) const EXHAUSTED: i32 = offset_of!(StackLimit, exhausted) as i32;
    pub(crate) const LIMIT_BYTES: usize = size_of::<StackLimit>();
}
