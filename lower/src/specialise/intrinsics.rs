//! Calls of link names, and refusals that say how code got to them.

use super::unresolved::Cause;
use super::{Home, Specialiser};
use crate::report::{self, Place};
use crate::runtime::provider;
use cranelift_entity::EntityRef;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Func, Inst, Method, Table, Value};
use marquetry_ir::library::{self, Intrinsic};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use smallvec::SmallVec;

/// Most functions that a chain of calls names.
const SHOWN: usize = 16;

impl Specialiser<'_> {
    /// The link name that a method of the device library stands for, if there is no more to it and the provider supplies
    /// what is called: then the method itself is not needed.
    pub(super) fn stands_for(
        &mut self,
        method: Method,
        arguments: &[Type],
        results: usize,
    ) -> Option<&'static Intrinsic> {
        let data = self.program.method(method);
        if data.table() != Table::DEVICE {
            return None;
        }
        let intrinsic = library::linked_function(&data.name)?;
        let wanted = &intrinsic.signature;
        let fits = wanted.params == arguments && wanted.results.len() == results;
        (fits && self.check_supply(intrinsic).is_ok()).then_some(intrinsic)
    }

    /// Whether the provider supplies an intrinsic; asked once for each.
    fn check_supply(&mut self, intrinsic: &'static Intrinsic) -> Result<(), String> {
        // There are as many as the library declares, at most.
        if !self.supplied.iter().any(|known| std::ptr::eq(*known, intrinsic)) {
            provider::supplied(self.program, &self.job.view, intrinsic)?;
            self.supplied.push(intrinsic);
        }
        Ok(())
    }

    /// A call of a link name: checked against the declaration and the provider, and left for the linker.
    pub(super) fn link_intrinsic(
        &mut self,
        body: &mut Body,
        home: Home<'_>,
        inst: Inst,
        intrinsic: &'static Intrinsic,
        args: &[Value],
    ) {
        let wanted = &intrinsic.signature;
        let found: SmallVec<[Type; 8]> = args.iter().map(|&arg| body.value_type(arg)).collect();
        let results = body.results(inst).len();
        let problem = if found[..] != wanted.params[..] || results != wanted.results.len() {
            let found = Signature::new(found.as_slice(), []);
            let declared = provider::declared(intrinsic);
            let found = found.display(&self.unit.types);
            Some(format!("arguments {found} and {results} results for {declared}"))
        } else {
            self.check_supply(intrinsic).err()
        };
        if let Some(problem) = problem {
            return self.set_aside(body, home.func, inst, args, Cause::Needed(problem));
        }
        self.find(&intrinsic.link_name, &wanted.params, home.func);
        self.calls_runtime = true;
        self.set_result_types(body, inst, &wanted.results);
        let id = body.make_symbol(Symbol::Name(intrinsic.link_name.clone()));
        let (op, ty) = (body.inst(inst).op, body.inst(inst).ty);
        body.replace_inst(inst, op, ty, args, id.as_u32());
    }

    /// The call that leads to a function from the author's own text: where what cannot be in the function is reported.
    pub(super) fn author_of(&self, func: Func, span: Span) -> (Func, Span) {
        let library = library::FILES.len() as u32;
        let (mut at, mut span) = (func, span);
        for _ in 0..SHOWN {
            let file = self.unit.funcs[at].file;
            let Some(record) = self.records.get(at.index()).filter(|_| file.is_none_or(|f| f < library))
            else {
                break;
            };
            let Some(parent) = record.parent else { break };
            span = record.site;
            at = parent;
        }
        (at, span)
    }

    /// The error for what cannot be in a function, with the chain of calls as a note.
    pub(super) fn needed_from(&self, func: Func, span: Span, message: String) -> Diagnostic {
        let (at, span) = self.author_of(func, span);
        let function = &self.unit.funcs[at];
        let span = if span.is_somewhere() { span } else { function.span };
        let place = Place { function: &function.name, file: function.file, span };
        let through = (at != func).then(|| format!("through '{}'", self.unit.funcs[func].name));
        let chain = through.into_iter().chain(self.chain(at));
        chain.fold(report::dispatch(&place, message), Diagnostic::with_note)
    }
}
