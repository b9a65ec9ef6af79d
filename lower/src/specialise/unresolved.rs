//! Calls that no method fits, from where they are met to what becomes of them.
//!
//! While a body is typed such a call becomes an `unresolved` op whose results have no known type; what needs them is
//! skipped and counted, so that one mistake is one message. When all bodies are there, the job's policy decides. To
//! refuse only what control can get to, a copy of the unit is simplified as far as no option changes: `inline` methods
//! are inlined, constants folded, branches on them taken. A call that is still there is an error, with the chain of
//! calls that leads to it; the others become throws that nothing reaches.

use super::{Home, Specialiser, erase, settle};
use crate::call_graph;
use crate::dispatch::explain;
use crate::failure::Failure;
use crate::inline;
use crate::job::Unresolved;
use crate::passes::{PassContext, simplify, simplify_cfg};
use crate::report::{self, Place};
use crate::throw_at::throw_at;
use crate::validate;
use cranelift_entity::{EntityRef, SecondaryMap};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Block, Extern, Func, Inst, SymbolRef, Value};
use marquetry_ir::exception::Exception;
use marquetry_ir::op::{Op, Rule};
use marquetry_ir::program::{ExternData, Inlining};
use marquetry_ir::signature::Signature;
use marquetry_ir::text;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A call that no method fits.
pub(super) struct Problem {
    /// Where it is.
    pub(super) func: Func,
    pub(super) inst: Inst,
    /// What is wrong, with the near misses.
    pub(super) diagnostic: Diagnostic,
    /// How many other calls need its results.
    pub(super) followers: usize,
}

/// Times that a body is simplified at most.
const ROUNDS: usize = 4;

/// Which of the problems control may get to, as far as constants tell.
pub(super) fn reached(unit: &Unit, problems: &[Problem]) -> Vec<bool> {
    let mut unit = unit.clone();
    for (number, problem) in problems.iter().enumerate() {
        // Ids of instructions do not survive inlining, symbols do.
        let Some(function) = unit.funcs.get_mut(problem.func) else { continue };
        let mark = function.body.make_symbol(Symbol::Name(number.to_string().into()));
        function.body.set_imm(problem.inst, mark.as_u32());
    }
    let graph = call_graph::bottom_up(&unit);
    let mut ctx = PassContext::new(unit.types.clone());
    let mut sizes = SecondaryMap::<Func, u32>::with_capacity(unit.funcs.len());
    for &func in &graph.order {
        inline::run(&mut unit, func, &graph, &sizes, &SecondaryMap::new(), &mut ctx);
        let Some(function) = unit.funcs.get_mut(func) else { continue };
        for _ in 0..ROUNDS {
            let simpler = simplify::run(&mut function.body, &mut ctx);
            if !(simplify_cfg::run(&mut function.body, &mut ctx) | simpler) {
                break;
            }
        }
        sizes[func] = match function.inlining {
            Inlining::Always => u32::try_from(inline::size(&function.body)).unwrap_or(u32::MAX),
            Inlining::Auto | Inlining::Never => u32::MAX,
        };
    }
    call_graph::prune(&mut unit);
    let mut reached = vec![false; problems.len()];
    for body in unit.funcs.values().map(|function| &function.body) {
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            if body.inst(inst).op != Op::Unresolved {
                continue;
            }
            let Symbol::Name(mark) = body.symbol(SymbolRef::from_u32(body.inst(inst).imm)) else { continue };
            if let Some(slot) = mark.parse().ok().and_then(|number: usize| reached.get_mut(number)) {
                *slot = true;
            }
        }
    }
    reached
}

/// What is to be said about problems: each once, in the order of the source, with what follows from it.
pub(super) fn diagnostics(problems: Vec<Problem>) -> Vec<Diagnostic> {
    let mut seen: FxHashMap<(Option<u32>, u32, String), usize> = FxHashMap::default();
    let mut found: Vec<(Diagnostic, usize, usize)> = Vec::new();
    for Problem { diagnostic, followers, .. } in problems {
        let key = (diagnostic.file, diagnostic.span.start, diagnostic.message.clone());
        match seen.get(&key).and_then(|&at| found.get_mut(at)) {
            Some(other) => other.2 += 1,
            None => {
                seen.insert(key, found.len());
                found.push((diagnostic, followers, 0));
            }
        }
    }
    // The order of work is no order for readers.
    found.sort_by_key(|(diagnostic, ..)| (diagnostic.file, diagnostic.span.start));
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let with_notes = |(mut diagnostic, followers, others): (Diagnostic, usize, usize)| {
        if followers > 0 {
            let (needs, is) = if followers == 1 { ("needs", "is") } else { ("need", "are") };
            let s = plural(followers);
            let note = format!("{followers} other call{s} that {needs} its results {is} not reported");
            diagnostic = diagnostic.with_note(note);
        }
        if others > 0 {
            let note = format!("the same in {others} other instance{} of the method", plural(others));
            diagnostic = diagnostic.with_note(note);
        }
        diagnostic
    };
    found.into_iter().map(with_notes).collect()
}

/// Makes every problem a throw. What was behind it is gone.
pub(super) fn make_throw(unit: &mut Unit, problems: &[Problem]) {
    let mut cfg = ControlFlow::new();
    for problem in problems {
        let Some(function) = unit.funcs.get_mut(problem.func) else { continue };
        let body = &mut function.body;
        let Problem { inst, diagnostic, .. } = problem;
        let kind = Exception::UnresolvedError.name();
        if !throw_at(body, *inst, kind, &diagnostic.message, diagnostic.span) {
            // One before it in its block took it away.
            continue;
        }
        cfg.compute(body);
        let unreachable: Vec<Block> = body.blocks().filter(|&block| !cfg.is_reachable(block)).collect();
        unreachable.into_iter().for_each(|block| body.remove_block(block));
    }
}

/// The type that a value must have for what it is used for; none if no use tells.
pub(super) fn wanted_type(body: &Body, results: &[Type], value: Value) -> Option<Type> {
    let known = |ty: Type| ty.is_known().then_some(ty);
    for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
        let data = body.inst(inst);
        let args = body.args(inst);
        let at = args.iter().position(|&arg| arg == value);
        let found = match (data.op.info().rule, at) {
            (_, Some(at)) if data.op == Op::Return => results.get(at).copied().and_then(known),
            (_, Some(0)) if matches!(data.op, Op::Branch | Op::StaticAssert | Op::Assert) => Some(Type::I1),
            (Rule::SameNumber | Rule::SameInt | Rule::SameBits | Rule::SameFloat, Some(_))
            | (Rule::CompareAny | Rule::CompareInt | Rule::CompareFloat | Rule::Overflow, Some(_)) => {
                args.iter().find_map(|&arg| known(body.value_type(arg)))
            }
            _ => None,
        };
        let on_edge = || {
            body.targets(inst).iter().find_map(|&target| {
                let at = body.target_args(target).iter().position(|&arg| arg == value)?;
                let param = body.block_params(body.target_block(target)).get(at).copied()?;
                known(body.value_type(param))
            })
        };
        if let Some(ty) = found.or_else(on_edge) {
            return Some(ty);
        }
    }
    None
}

impl Specialiser<'_> {
    /// Decides about calls that no method fits, and takes newtypes away.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let mut problems = std::mem::take(&mut self.problems);
        if self.job.options.unresolved != Unresolved::Throw && !problems.is_empty() {
            // Bodies that are wrong in other ways cannot be simplified.
            let reached = match self.diagnostics.is_empty() {
                true => reached(&self.unit, &problems),
                false => vec![true; problems.len()],
            };
            if reached.contains(&true) {
                let mut keep = reached.into_iter();
                problems.retain(|_| keep.next().unwrap_or(true));
                self.diagnostics.extend(diagnostics(problems));
                problems = Vec::new();
            }
        }
        if !self.diagnostics.is_empty() {
            return Err(Failure::Program(std::mem::take(&mut self.diagnostics)));
        }
        self.just_inferred &= problems.is_empty() && !self.unit.types.has_newtypes();
        make_throw(&mut self.unit, &problems);
        erase::run(&mut self.unit)
            .map_err(|error| Failure::Job(format!("newtypes cannot be taken away: {error}")))
    }

    /// The calls that lead to a function, innermost first, as notes.
    pub(super) fn chain(&self, func: Func) -> Vec<String> {
        const SHOWN: usize = 8;
        let mut notes = Vec::new();
        let mut at = func;
        while let Some(record) = self.records.get(at.index()) {
            let Some(parent) = record.parent else { break };
            let Some(caller) = self.unit.funcs.get(parent) else { break };
            if notes.len() == SHOWN {
                notes.push("...".into());
                break;
            }
            let file = caller.file.and_then(|file| self.unit.files.get(file as usize));
            let via = self.overlay_of(parent);
            notes.push(match file.filter(|_| record.site.is_somewhere()) {
                Some(file) => {
                    let (line, column) = file.line_column(record.site.start);
                    format!("called from '{}'{via} at {}:{line}:{column}", caller.name, file.name)
                }
                None => format!("called from '{}'{via}", caller.name),
            });
            at = parent;
        }
        notes
    }

    /// Which table a function's method is an overlay of, for notes; nothing for methods of base.
    fn overlay_of(&self, func: Func) -> String {
        let method = self.records.get(func.index()).map(|record| record.instance.method);
        method.map_or(String::new(), |method| validate::overlay_of(self.program, method))
    }

    /// An error at an instruction, with the calls that lead there.
    pub(super) fn error_at(&self, body: &Body, home: Home<'_>, inst: Inst, message: String) -> Diagnostic {
        let name = &self.unit.funcs[home.func].name;
        let place = Place { function: name, file: home.data.file, span: body.span(inst) };
        let mut error = report::dispatch(&place, message);
        if let Some(own) = error.notes.first_mut() {
            own.push_str(&self.overlay_of(home.func));
        }
        if !place.span.is_somewhere() {
            let text = text::print_inst(body, &self.unit.types, None, inst);
            error = error.with_note(format!("in '{text}'"));
        }
        self.chain(home.func).into_iter().fold(error, Diagnostic::with_note)
    }

    /// Makes a call that no method fits an `unresolved` op.
    pub(super) fn leave_unresolved(
        &mut self,
        body: &mut Body,
        home: Home<'_>,
        inst: Inst,
        name: &Arc<str>,
        args: &[Value],
    ) {
        let arguments: Vec<Type> = args.iter().map(|&arg| body.value_type(arg)).collect();
        let mut message =
            explain::unresolved(self.program, &self.unit.types, &self.job.view, name, &arguments);
        if body.inst(inst).op == Op::Unresolved {
            let called = Signature::new(arguments, []);
            message = format!("call of {name}{} is left unresolved", called.display(&self.unit.types));
        } else if matches!(self.job.options.unresolved, Unresolved::Callback(_)) {
            message.push_str("; the host cannot answer: nothing around the call tells what it returns");
        }
        let diagnostic = self.error_at(body, home, inst, message);
        let symbol = body.make_symbol(Symbol::Name(name.clone()));
        let ty = body.inst(inst).ty;
        body.replace_inst(inst, Op::Unresolved, ty, args, symbol.as_u32());
        let number = self.problems.len();
        for value in body.results(inst) {
            body.set_value_type(value, Type::ERROR);
            self.roots.insert(value, number);
        }
        self.problems.push(Problem { func: home.func, inst, diagnostic, followers: 0 });
    }

    /// The function of the host that answers an unresolved call, and what it returns.
    pub(super) fn asked(
        &mut self,
        body: &mut Body,
        home: Home<'_>,
        inst: Inst,
        name: &Arc<str>,
        arguments: &[Type],
    ) -> Option<(Extern, Vec<Type>)> {
        let Unresolved::Callback(prefix) = &self.job.options.unresolved else { return None };
        let own = &self.unit.funcs[home.func].signature.results;
        let results: Option<Vec<Type>> =
            body.results(inst).map(|value| wanted_type(body, own, value)).collect();
        let results = results?;
        let passed: Vec<Type> =
            arguments.iter().copied().filter(|&ty| settle::has_size(&self.unit.types, ty)).collect();
        let called = Signature::new(arguments, results.as_slice());
        let link_name: Arc<str> = format!("{prefix}{name}{}", called.display(&self.unit.types)).into();
        let externs = &mut self.unit.externs;
        let id = *self.asked.entry(link_name.clone()).or_insert_with(|| {
            let signature = Signature::new(passed, results.as_slice());
            let (name, file, span) = (link_name.clone(), home.data.file, home.data.span);
            externs.push(ExternData { name, link_name, signature, file, span })
        });
        body.set_op(inst, Op::Call);
        Some((id, results))
    }
}
