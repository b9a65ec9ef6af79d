//! What a job cannot have, from where it is met to what becomes of it: calls that no method fits, and what code of its
//! kind may not mention.
//!
//! While a body is typed such an instruction becomes an `unresolved` op whose results have no known type; what needs them
//! is skipped and counted, so that one mistake is one message. When all bodies are there, the job's policy decides. To
//! refuse only what control can get to, a copy of the unit is simplified as far as no option changes: questions to the
//! target are answered, `inline` methods inlined, constants folded, branches on them taken. What is still there is an
//! error, with the chain of calls that leads to it; the others become throws that nothing reaches. Messages are made for
//! errors only: code that is dead here may mention much.

use super::{Answering, Home, Specialiser, erase, remove_unreachable, settle};
use crate::call_graph;
use crate::dispatch::explain;
use crate::failure::Failure;
use crate::fold::{self, Folding};
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
use marquetry_ir::entity::{Extern, Func, Inst, SymbolRef, Value};
use marquetry_ir::exception::Exception;
use marquetry_ir::limits::MAX_DIAGNOSTICS;
use marquetry_ir::op::{Op, Rule};
use marquetry_ir::program::{ExternData, Inlining};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::text;
use marquetry_ir::types::{Type, Types};
use marquetry_ir::unit::Unit;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::sync::Arc;

/// Something that a job cannot have, unless control cannot get to it.
pub(super) struct Problem {
    /// Where it is.
    func: Func,
    inst: Inst,
    span: Span,
    /// The instruction as it was, where nothing else says which it is.
    text: Option<String>,
    /// What is wrong.
    cause: Cause,
    /// How many other calls need its results.
    pub(super) followers: usize,
}

/// What is wrong with an instruction.
pub(super) enum Cause {
    /// A call that no method fits.
    Call {
        name: Arc<str>,
        arguments: Box<[Type]>,
        /// Whether the program itself leaves it unresolved.
        deliberate: bool,
    },
    /// What it mentions cannot be there.
    Mention(String),
    /// As `Mention`, of something that the library's text mentions for its callers: it is reported at the call that leads
    /// there from the author's own text.
    Needed(String),
}

/// For each value of a body, the instructions that use it, in order.
pub(super) type Users = FxHashMap<Value, SmallVec<[Inst; 2]>>;

/// Times that a body is simplified at most.
const ROUNDS: usize = 4;

/// Which of the problems control may get to, as far as constants and answers tell. Functions that are `wrong` in other
/// ways cannot be simplified: control may get to all in them.
fn reached(unit: &Unit, problems: &[Problem], wrong: &FxHashSet<Func>, answer: Answering<'_>) -> Vec<bool> {
    let mut unit = unit.clone();
    for (number, problem) in problems.iter().enumerate() {
        // Ids of instructions do not survive inlining, symbols do.
        let Some(function) = unit.funcs.get_mut(problem.func) else { continue };
        let mark = function.body.make_symbol(Symbol::Name(number.to_string().into()));
        function.body.set_imm(problem.inst, mark.as_u32());
    }
    for &func in wrong {
        if let Some(function) = unit.funcs.get_mut(func) {
            function.inlining = Inlining::Never;
        }
    }
    // Questions that nobody answers are reported when the unit itself is folded.
    let _ = fold::answer_only(&mut unit, &Folding { answer, known: &String::new, check: false });
    let graph = call_graph::bottom_up(&unit);
    let mut ctx = PassContext::new(unit.types.clone());
    let mut sizes = SecondaryMap::<Func, u32>::with_capacity(unit.funcs.len());
    for &func in &graph.order {
        if wrong.contains(&func) {
            sizes[func] = u32::MAX;
            continue;
        }
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

/// Makes every problem a throw. What was behind it is gone.
fn make_throw(unit: &mut Unit, problems: &[Problem], reason: impl Fn(&Problem) -> Option<Arc<str>>) {
    let mut concerned: FxHashSet<Func> = FxHashSet::default();
    for problem in problems {
        let Some(function) = unit.funcs.get_mut(problem.func) else { continue };
        let body = &mut function.body;
        let kind = Exception::UnresolvedError.name();
        if !throw_at(body, problem.inst, kind, || reason(problem), problem.span) {
            // One before it in its block took it away.
            continue;
        }
        concerned.insert(problem.func);
    }
    let mut cfg = ControlFlow::new();
    for func in concerned {
        if let Some(function) = unit.funcs.get_mut(func) {
            cfg.compute(&function.body);
            remove_unreachable(&mut function.body, &cfg);
        }
    }
}

/// The instructions that use each value of a body.
fn users_of(body: &Body) -> Users {
    let mut users = Users::default();
    for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
        body.visit_operands(inst, |value| {
            let known = users.entry(value).or_default();
            if known.last() != Some(&inst) {
                known.push(inst);
            }
        });
    }
    users
}

/// The type that a value must have for what it is used for; none if no use tells.
fn wanted_type(body: &Body, users: &Users, results: &[Type], value: Value) -> Option<Type> {
    let known = |ty: Type| ty.is_known().then_some(ty);
    for &inst in users.get(&value).into_iter().flatten() {
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
    /// Decides about what the job cannot have, and takes newtypes away.
    pub(super) fn finish(&mut self, answer: Answering<'_>) -> Result<(), Failure> {
        let mut problems = std::mem::take(&mut self.problems);
        let throws = self.job.options.unresolved == Unresolved::Throw;
        let allowed = |problem: &Problem| throws && matches!(problem.cause, Cause::Call { .. });
        // At the limit of diagnostics bodies are left as they are, which nothing can simplify.
        if self.diagnostics.len() < MAX_DIAGNOSTICS && !problems.iter().all(allowed) {
            let reached = reached(&self.unit, &problems, &self.wrong, answer);
            if problems.iter().zip(&reached).any(|(problem, &reached)| reached && !allowed(problem)) {
                let refused = problems.drain(..).zip(reached);
                let refused = refused.filter(|(problem, reached)| *reached && !allowed(problem));
                let refused: Vec<Problem> = refused.map(|(problem, _)| problem).collect();
                let found = self.refusals(refused);
                self.diagnostics.extend(found);
            }
        }
        if !self.diagnostics.is_empty() {
            self.diagnostics.truncate(MAX_DIAGNOSTICS);
            return Err(Failure::Program(std::mem::take(&mut self.diagnostics)));
        }
        self.just_inferred &= problems.is_empty() && !self.unit.types.has_newtypes();
        let mut unit = std::mem::take(&mut self.unit);
        let types = unit.types.clone();
        make_throw(&mut unit, &problems, |problem| {
            allowed(problem).then(|| self.message(&types, problem).into())
        });
        drop(types);
        self.unit = unit;
        erase::run(&mut self.unit)
            .map_err(|error| Failure::Job(format!("newtypes cannot be taken away: {error}")))
    }

    /// What is to be said about problems: each once, in the order of the source, with what follows from it.
    fn refusals(&self, problems: Vec<Problem>) -> Vec<Diagnostic> {
        let mut placed: Vec<((Option<u32>, u32), Func, Problem)> = Vec::with_capacity(problems.len());
        for problem in problems {
            let (at, span) = self.place(&problem);
            let file = self.unit.funcs.get(at).and_then(|function| function.file);
            placed.push(((file, span.start), at, problem));
        }
        // The order of work is no order for readers.
        placed.sort_by_key(|(place, ..)| *place);
        let mut found: Vec<(Diagnostic, Problem, usize)> = Vec::new();
        for (place, at, problem) in placed {
            let message = self.message(&self.unit.types, &problem);
            let same = found.iter_mut().rev();
            let mut same = same.take_while(|(known, ..)| (known.file, known.span.start) == place);
            if let Some((_, known, others)) = same.find(|(known, ..)| *known.message == message) {
                *others += usize::from(known.func != problem.func);
                continue;
            }
            if found.len() + self.diagnostics.len() == MAX_DIAGNOSTICS {
                break;
            }
            found.push((self.diagnostic(at, &problem, message), problem, 0));
        }
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let with_notes = |(mut diagnostic, Problem { followers, .. }, others)| {
            if followers > 0 {
                let (needs, is) = if followers == 1 { ("needs", "is") } else { ("need", "are") };
                let s = plural(followers);
                let note = format!("{followers} other call{s} that {needs} its results {is} not reported");
                diagnostic = Diagnostic::with_note(diagnostic, note);
            }
            if others > 0 {
                let note = format!("the same in {others} other instance{} of the method", plural(others));
                diagnostic = diagnostic.with_note(note);
            }
            diagnostic
        };
        found.into_iter().map(with_notes).collect()
    }

    /// What is wrong, with the near misses.
    fn message(&self, types: &Types, problem: &Problem) -> String {
        match &problem.cause {
            Cause::Mention(message) | Cause::Needed(message) => message.clone(),
            Cause::Call { name, arguments, deliberate: true } => {
                let called = Signature::new(&arguments[..], []);
                format!("call of {name}{} is left unresolved", called.display(types))
            }
            Cause::Call { name, arguments, .. } => {
                let mut message = explain::unresolved(self.program, types, &self.job.view, name, arguments);
                if matches!(self.job.options.unresolved, Unresolved::Callback(_)) {
                    message
                        .push_str("; the host cannot answer: nothing around the call tells what it returns");
                }
                message
            }
        }
    }

    /// The function and the place in it at which a problem is reported.
    fn place(&self, problem: &Problem) -> (Func, Span) {
        match problem.cause {
            Cause::Needed(_) => self.author_of(problem.func, problem.span),
            Cause::Call { .. } | Cause::Mention(_) => (problem.func, problem.span),
        }
    }

    fn diagnostic(&self, at: Func, problem: &Problem, message: String) -> Diagnostic {
        match problem.cause {
            Cause::Needed(_) => self.needed_from(problem.func, problem.span, message),
            Cause::Call { .. } | Cause::Mention(_) => {
                self.error_in(at, problem.span, problem.text.as_deref(), message)
            }
        }
    }

    /// The calls that lead to a function, innermost first, as notes.
    pub(super) fn chain(&self, func: Func) -> Vec<String> {
        const SHOWN: usize = 8;
        let mut notes = Vec::new();
        let mut at = func;
        while let Some(record) = self.records.get(at.index()) {
            let Some(parent) = record.parent else { break };
            if notes.len() == SHOWN {
                notes.push("...".into());
                break;
            }
            notes.push(report::called_from(&self.unit, parent, &self.overlay_of(parent), record.site));
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
    pub(super) fn error_at(&self, body: &Body, func: Func, inst: Inst, message: String) -> Diagnostic {
        let text = self.text_of(body, inst);
        self.error_in(func, body.span(inst), text.as_deref(), message)
    }

    /// An instruction as text, if it does not say where it stands.
    fn text_of(&self, body: &Body, inst: Inst) -> Option<String> {
        let somewhere = body.span(inst).is_somewhere();
        (!somewhere).then(|| text::print_inst(body, &self.unit.types, None, inst))
    }

    fn error_in(&self, func: Func, span: Span, text: Option<&str>, message: String) -> Diagnostic {
        let function = &self.unit.funcs[func];
        let place = Place { function: &function.name, file: function.file, span };
        let mut error = report::dispatch(&place, message);
        if let Some(own) = error.notes.first_mut() {
            own.push_str(&self.overlay_of(func));
        }
        if let Some(text) = text {
            error = error.with_note(format!("in '{text}'"));
        }
        self.chain(func).into_iter().fold(error, Diagnostic::with_note)
    }

    /// Makes an instruction that the job cannot have an `unresolved` op.
    pub(super) fn set_aside(
        &mut self,
        body: &mut Body,
        func: Func,
        inst: Inst,
        args: &[Value],
        cause: Cause,
    ) {
        let (span, text) = (body.span(inst), self.text_of(body, inst));
        // The name is of no use any more.
        let symbol = body.make_symbol(Symbol::Name("".into()));
        body.replace_inst(inst, Op::Unresolved, Type::UNKNOWN, args, symbol.as_u32());
        let number = self.problems.len();
        for value in body.results(inst) {
            body.set_value_type(value, Type::ERROR);
            self.roots.insert(value, number);
        }
        self.problems.push(Problem { func, inst, span, text, cause, followers: 0 });
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
        let users = self.users.get_or_insert_with(|| users_of(body));
        let results: Option<Vec<Type>> =
            body.results(inst).map(|value| wanted_type(body, users, own, value)).collect();
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
