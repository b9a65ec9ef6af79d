//! How code got to where a problem is, for problems that are found when the code has changed a lot.
//!
//! What the optimiser and legalisation leave does not tell any more who called whom through which table. So when there is
//! a problem, and only then, the job is specialised once more, and the shortest way from an entry to the place is added.

use crate::failure::Failure;
use crate::job::Job;
use crate::report;
use crate::specialise::{self, Answering, Specialised};
use crate::validate::overlay_of;
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::Symbol;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Func, Inst, SymbolRef};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::Program;
use marquetry_ir::span::Span;
use std::collections::VecDeque;

/// Most calls that a message shows.
const SHOWN: usize = 8;

/// Adds the calls that lead to each problem of a target, and the tables through which they were dispatched.
pub fn traced(failure: Failure, program: &Program, job: &Job, answer: Answering<'_>) -> Failure {
    let Failure::Program(mut problems) = failure else { return failure };
    let wants = |problem: &Diagnostic| {
        let late = matches!(problem.code, Code::Unsupported | Code::Assertion | Code::Pointer);
        late && problem.span.is_somewhere()
    };
    if problems.iter().any(wants)
        && let Ok(made) = specialise::run_answered(program, job, answer)
    {
        let trace = Trace::new(program, &made);
        problems.iter_mut().filter(|problem| wants(problem)).for_each(|problem| trace.add_to(problem));
    }
    Failure::Program(problems)
}

/// Says what was compiled, where this library is wrong.
pub fn in_context(failure: Failure, program: &Program, job: &Job, target: &str) -> Failure {
    let Failure::Internal(message) = failure else { return failure };
    let names: Vec<String> = job
        .entries
        .iter()
        .filter(|entry| program.method_exists(entry.method))
        .map(|entry| format!("'{}'", program.method(entry.method).name))
        .collect();
    let (level, version) = (job.options.opt_level as u8, env!("CARGO_PKG_VERSION"));
    let world = job.view.world(program).0;
    Failure::Internal(format!(
        "{message}; while compiling {} for {target} at -O{level} in world {world} by version {version}: please report \
         this",
        names.join(", ")
    ))
}

struct Trace<'a> {
    program: &'a Program,
    made: &'a Specialised,
    /// The call through which a function was reached first, in the order of distance from an entry.
    callers: SecondaryMap<Func, Option<(Func, Span)>>,
}

impl<'a> Trace<'a> {
    fn new(program: &'a Program, made: &'a Specialised) -> Self {
        let unit = &made.unit;
        let mut callers = SecondaryMap::<Func, Option<(Func, Span)>>::new();
        let mut seen = SecondaryMap::<Func, bool>::new();
        let mut queue: VecDeque<Func> = unit.entries.iter().copied().collect();
        queue.iter().for_each(|&entry| seen[entry] = true);
        while let Some(func) = queue.pop_front() {
            let Some(function) = unit.funcs.get(func) else { continue };
            let body = &function.body;
            for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
                let data = body.inst(inst);
                if !matches!(data.op, Op::Call | Op::FunctionAddress) || !body.symbol_exists(data.imm) {
                    continue;
                }
                if let &Symbol::Func(callee) = body.symbol(SymbolRef::from_u32(data.imm))
                    && !std::mem::replace(&mut seen[callee], true)
                {
                    callers[callee] = Some((func, body.span(inst)));
                    queue.push_back(callee);
                }
            }
        }
        Trace { program, made, callers }
    }

    fn add_to(&self, problem: &mut Diagnostic) {
        let Some(func) = self.function_at(problem) else { return };
        let own = format!("in function '{}'", self.made.unit.funcs[func].name);
        let overlay = self.overlay_of(func);
        match problem.notes.iter_mut().find(|note| note.starts_with(&own)) {
            Some(note) if note.len() == own.len() => note.push_str(&overlay),
            Some(_) => {}
            None => problem.notes.insert(0, own + &overlay),
        }
        // Inlined calls are listed where the code they were inlined into is at hand.
        if problem.notes.iter().any(|note| note.starts_with("inlined into")) {
            return;
        }
        let mut at = func;
        for n in 0.. {
            let Some((caller, span)) = self.callers[at] else { break };
            if n == SHOWN {
                problem.notes.push("...".into());
                break;
            }
            problem.notes.push(report::called_from(&self.made.unit, caller, &self.overlay_of(caller), span));
            at = caller;
        }
    }

    fn overlay_of(&self, func: Func) -> String {
        let instance = self.made.instances.get(func.as_u32() as usize);
        instance.map_or(String::new(), |instance| overlay_of(self.program, instance.method))
    }

    /// The function that holds what a problem is about. Instances of one method share their text: the one that mentions
    /// a type of the message is meant.
    fn function_at(&self, problem: &Diagnostic) -> Option<Func> {
        let unit = &self.made.unit;
        let mut found = None;
        for (func, function) in unit.funcs.iter().filter(|(_, function)| function.file == problem.file) {
            let body = &function.body;
            if function.span == problem.span {
                found = found.or(Some(func));
            }
            for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
                if body.span(inst) != problem.span {
                    continue;
                }
                if self.mentions(func, inst, &problem.message) {
                    return Some(func);
                }
                found = found.or(Some(func));
            }
        }
        found
    }

    fn mentions(&self, func: Func, inst: Inst, message: &str) -> bool {
        let unit = &self.made.unit;
        let body = &unit.funcs[func].body;
        let data = body.inst(inst);
        let own = (data.op.info().shape != Shape::Call).then_some(data.ty);
        let values = body.args(inst).iter().copied().chain(body.results(inst));
        let mut types = own.into_iter().chain(values.map(|value| body.value_type(value)));
        types.any(|ty| {
            ty.is_known()
                && message.split([' ', ':', ';']).any(|word| word == unit.types.display(ty).to_string())
        })
    }
}
