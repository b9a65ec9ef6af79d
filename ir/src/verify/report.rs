//! Where the checks of one function meet: what they look at, and where they say what is wrong.

use crate::body::Body;
use crate::diag::{Code, Diagnostic, Subject};
use crate::entity::{AnyEntity, Block, Inst, Value};
use crate::limits::MAX_DIAGNOSTICS;
use crate::program::MethodKind;
use crate::signature::Signature;
use crate::span::Span;
use crate::types::{Type, Types};
use crate::verify::Results;
use crate::verify::module::Module;
use crate::verify::structure::Facts;
use std::sync::Arc;

/// Diagnostics so far, at most [`MAX_DIAGNOSTICS`].
#[derive(Default)]
pub(super) struct Report {
    diagnostics: Vec<Diagnostic>,
    errors: usize,
}

impl Report {
    /// Adds a diagnostic; dropped if there are too many.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += 1;
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Adds those of what was looked at next.
    pub(super) fn append(&mut self, next: Report) {
        self.errors += next.errors;
        let room = MAX_DIAGNOSTICS.saturating_sub(self.diagnostics.len());
        self.diagnostics.extend(next.diagnostics.into_iter().take(room));
    }

    /// Whether further diagnostics would be dropped.
    pub(super) fn is_full(&self) -> bool {
        self.diagnostics.len() >= MAX_DIAGNOSTICS
    }

    /// How many there were, dropped ones included.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// All of them; the last one says so if more may exist.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if self.is_full()
            && let Some(last) = self.diagnostics.last_mut()
        {
            last.notes.push(format!("there may be more than these {MAX_DIAGNOSTICS} errors"));
        }
        self.diagnostics
    }
}

/// A method of a program or a function of a unit.
#[derive(Copy, Clone)]
pub(super) struct FunctionView<'a> {
    pub(super) owner: AnyEntity,
    pub(super) name: &'a Arc<str>,
    pub(super) kind: MethodKind,
    pub(super) signature: &'a Signature,
    pub(super) body: &'a Body,
    pub(super) file: Option<u32>,
    pub(super) span: Span,
}

impl FunctionView<'_> {
    /// The diagnostic that something in this function is wrong.
    pub(super) fn diagnostic(
        &self,
        code: Code,
        entity: AnyEntity,
        span: Span,
        message: String,
    ) -> Diagnostic {
        let subject = Subject { owner: self.owner, name: self.name.clone(), entity };
        let span = if span.is_somewhere() { span } else { self.span };
        Diagnostic::error(code, self.file, span, message).about(subject)
    }
}

/// One function while it is checked. Each file of this module adds its checks.
pub(super) struct Checker<'a> {
    pub(super) module: Module<'a>,
    pub(super) function: FunctionView<'a>,
    pub(super) body: &'a Body,
    pub(super) types: &'a Types,
    /// Whether every type must be known: units, not programs.
    pub(super) complete: bool,
    pub(super) results: Results,
    pub(super) facts: &'a mut Facts,
    pub(super) report: &'a mut Report,
}

impl<'a> Checker<'a> {
    /// Ready to run.
    pub(super) fn new(
        module: Module<'a>,
        function: FunctionView<'a>,
        results: Results,
        facts: &'a mut Facts,
        report: &'a mut Report,
    ) -> Self {
        let complete = matches!(module, Module::Unit(_));
        let (body, types) = (function.body, module.types());
        Checker { module, function, body, types, complete, results, facts, report }
    }

    /// All checks of the function.
    pub(super) fn run(&mut self) {
        if self.structure() {
            self.facts.analyse(self.body);
            self.types();
            if self.facts.has_slots {
                self.frame();
            }
            self.dominance();
        }
    }

    /// Reports something about the whole function.
    pub(super) fn at_function(&mut self, code: Code, message: String) {
        let owner = self.function.owner;
        self.report.push(self.function.diagnostic(code, owner, Span::NOWHERE, message));
    }

    /// Reports something about a block.
    pub(super) fn at_block(&mut self, code: Code, block: Block, message: String) {
        let last = self.body.last_inst(block).filter(|&inst| self.body.inst_exists(inst));
        let span = last.map_or(Span::NOWHERE, |inst| self.body.span(inst));
        self.report.push(self.function.diagnostic(code, AnyEntity::Block(block), span, message));
    }

    /// Reports something about an instruction.
    pub(super) fn at_inst(&mut self, code: Code, inst: Inst, message: String) {
        let span = self.body.span(inst);
        self.report.push(self.function.diagnostic(code, AnyEntity::Inst(inst), span, message));
    }

    /// Reports something about a block parameter.
    pub(super) fn at_param(&mut self, code: Code, value: Value, message: String) {
        self.report.push(self.function.diagnostic(code, AnyEntity::Value(value), Span::NOWHERE, message));
    }

    /// The type of a value; erroneous if its definition was reported.
    pub(super) fn value_type(&self, value: Value) -> Type {
        if self.facts.failed.contains(value) { Type::ERROR } else { self.body.value_type(value) }
    }

    /// What is wrong with the type of something that must have one.
    pub(super) fn type_problem(&self, ty: Type) -> Option<(Code, String)> {
        match () {
            () if ty.is_scalar() || ty.is_pointer() => None,
            () if !self.complete && (ty == Type::UNKNOWN || self.types.generic(ty).is_some()) => None,
            () if !ty.is_known() => Some((Code::Untyped, "has no known type".into())),
            () if self.types.layout(ty).is_none() => {
                Some((Code::ForeignType, format!("has type {ty}, which is not in this table of types")))
            }
            () => None,
        }
    }

    /// As [`Self::type_problem`], where unknown is wrong even before dispatch.
    pub(super) fn settled_type_problem(&self, ty: Type) -> Option<(Code, String)> {
        if ty == Type::UNKNOWN {
            Some((Code::Untyped, "has no known type".into()))
        } else {
            self.type_problem(ty)
        }
    }

    /// How messages call a value: by its name if it has one.
    pub(super) fn value_name(&self, value: Value) -> String {
        self.body.names.value(value).map_or_else(|| value.to_string(), |name| format!("'{name}'"))
    }

    /// How messages call a block.
    pub(super) fn block_name(&self, block: Block) -> String {
        self.body.names.block(block).map_or_else(|| block.to_string(), |name| format!("'{name}'"))
    }
}
