//! What programs ask for that a target's format has no form for, and lowering cannot know.
//!
//! Legalisation refuses ops, types and what a target lacks as a whole. What is left depends on where pointers point: an
//! emitter that must know goes through the unit before it selects anything, and reports all of it at once, each thing at
//! its place.

use crate::error::EmitError;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Func, Inst};
use marquetry_ir::limits::MAX_DIAGNOSTICS;
use marquetry_ir::unit::Unit;
use marquetry_lower::report;
use std::fmt;

/// What was found so far.
pub(crate) struct Refusals<'a> {
    unit: &'a Unit,
    /// The target, as messages spell it.
    target: &'a dyn fmt::Display,
    list: Vec<Diagnostic>,
}

impl<'a> Refusals<'a> {
    /// Nothing yet.
    pub(crate) fn new(unit: &'a Unit, target: &'a dyn fmt::Display) -> Self {
        Refusals { unit, target, list: Vec::new() }
    }

    /// An instruction asks for `what`, of which the target has none, because of `reason`.
    pub(crate) fn at(&mut self, func: Func, inst: Inst, what: String, reason: &str) {
        let function = &self.unit.funcs[func];
        let chain: Vec<_> = function.frames(function.body.origin(inst)).owned().collect();
        let Some((own, callers)) = chain.split_first() else { return };
        let message = format!("target {} has no {what}", self.target);
        let mut diagnostic =
            Diagnostic::error(Code::Unsupported, own.file, own.span, message).with_note(reason);
        diagnostic.notes.extend(report::inlined_into(callers, &self.unit.files));
        if self.list.len() < MAX_DIAGNOSTICS && !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// That was all.
    ///
    /// # Errors
    /// Anything was found.
    pub(crate) fn finish(self) -> Result<(), EmitError> {
        if self.list.is_empty() { Ok(()) } else { Err(EmitError::Program(self.list)) }
    }
}
