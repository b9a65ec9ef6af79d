//! Legalisation: every op on every type becomes one that the target has.
//!
//! A function that lacks more than wide [`indices`] is built anew. A value whose type the target does not hold becomes several legal values
//! ([`shape`]); an op is split, asked about and, where the target lacks it, written in terms of other ops, which are
//! asked about in turn ([`emit`]). What takes a loop or much code becomes a function of the unit, made once
//! ([`helpers`]). All that the target cannot do is reported at once, each thing once per place.
//!
//! # What an emitter may rely on
//! - No value has an aggregate type, nor any type that the target does not hold.
//! - Every op is one that the target answered `Legal` for; constant lanes of legal vectors are always extracted and
//!   inserted by it. `index` takes an `i64`, or an `i32` where `i64` is held in halves; dynamic lane numbers are `i32` below the number of lanes.
//! - No `make`, `get`, `set`, `throw`, `bounds_check`, `unreachable`, `static_assert`; divisions are guarded.
//! - Only reachable blocks, in the order of the source; nothing unused that has no effect.

mod aggregates;
mod already;
mod atomics;
mod caps;
mod convert;
mod division;
mod emit;
mod floats;
mod formulas;
mod function;
mod held;
mod helpers;
mod indices;
mod ints;
mod memory;
mod promote;
mod shape;
mod sizes;
mod soft_arithmetic;
mod soft_float;
mod tidy;
mod vectors;
mod wide_ints;

use crate::exceptions::Lowered;
use crate::failure::{Failure, Limit};
use crate::legal::{Argument, EntryAbi, Legal};
use crate::passes::PassContext;
use crate::report;
use crate::target::Target;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::dominators::Dominators;
use marquetry_ir::body::{Body, Frame, Origin};
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Block, Func, Value};
use marquetry_ir::op::Op;
use marquetry_ir::span::{SourceFile, Span};
use marquetry_ir::types::{Type, Types};
use marquetry_ir::unit::Function;
use rustc_hash::{FxHashMap, FxHashSet};
use shape::Shape;
use smallvec::smallvec;
use std::rc::Rc;
use std::sync::Arc;

/// Deepest nesting of expansions. None needs half of it; a target that wants two ops made of each other gets there.
const MAX_DEPTH: u32 = 40;

/// What belongs to the function that is being built.
struct Building {
    body: Body,
    /// Where instructions are appended.
    block: Block,
    /// Leaves of all values so far.
    parts: Vec<Value>,
    /// Of the instruction that is legalised.
    origin: Origin,
    /// Name and file of the function.
    name: Arc<str>,
    file: Option<u32>,
}

impl Building {
    /// No function: only places are noted here.
    fn nothing() -> Self {
        let (body, parts, origin) = Default::default();
        Building { body, block: Block::from_u32(0), parts, origin, name: "".into(), file: None }
    }

    /// An empty function with its entry block.
    fn new(name: Arc<str>, file: Option<u32>) -> Self {
        let mut body = Body::new();
        let block = body.make_block();
        body.append_block(block);
        Building { body, block, parts: Vec::new(), origin: Origin::default(), name, file }
    }
}

struct Legaliser<'a> {
    target: &'a dyn Target,
    types: Arc<Types>,
    shapes: FxHashMap<Type, Rc<Shape>>,
    /// Whether values of scalar and pointer types are legal, as far as they were seen.
    held: [Option<bool>; already::NUMBERED],
    cfg: ControlFlow,
    dominators: Dominators,
    f: Building,
    files: Arc<[SourceFile]>,
    depth: u32,
    helpers: FxHashMap<String, Func>,
    made: Vec<Function>,
    first_made: u32,
    failure: Option<Failure>,
    problems: Vec<Diagnostic>,
    reported: FxHashSet<(String, Option<u32>, Span)>,
}

/// Makes a unit legal for a target.
///
/// # Errors
/// Ops and types that the target does not have, all of them; static assertions that do not hold; a limit.
pub fn run(lowered: Lowered, target: &dyn Target) -> Result<Legal, Failure> {
    run_in(&mut PassContext::default(), lowered, target)
}

/// As [`run`], with the tables of earlier runs.
pub(crate) fn run_in(ctx: &mut PassContext, lowered: Lowered, target: &dyn Target) -> Result<Legal, Failure> {
    ctx.forget_flow();
    let Lowered { mut unit, sites, mut entries, tidy, .. } = lowered;
    let first_made = unit.funcs.len() as u32;
    let types = unit.types.clone();
    let mut legaliser = Legaliser {
        target,
        types,
        shapes: FxHashMap::default(),
        held: [None; already::NUMBERED],
        cfg: std::mem::take(&mut ctx.cfg),
        dominators: std::mem::take(&mut ctx.dominators),
        f: Building::nothing(),
        files: unit.files.clone(),
        depth: 0,
        helpers: FxHashMap::default(),
        made: Vec::new(),
        first_made,
        failure: None,
        problems: Vec::new(),
        reported: FxHashSet::default(),
    };
    legaliser.check_caps(&unit, &entries);
    for (&func, abi) in unit.entries.iter().zip(&mut entries) {
        legaliser.number_parts(&unit.funcs[func].signature.params, &mut abi.arguments);
        legaliser.number_results(abi);
    }
    let mut rewritten = legaliser.legalise_unit(&mut unit, tidy);
    legaliser.check_globals(&unit);
    let Legaliser { made, failure, problems, cfg, dominators, .. } = legaliser;
    (ctx.cfg, ctx.dominators) = (cfg, dominators);
    if !problems.is_empty() {
        return Err(Failure::Program(problems));
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    for mut function in made {
        function.name = crate::fresh::fresh_name(&unit, &function.name);
        rewritten.push(unit.funcs.push(function));
    }
    if cfg!(debug_assertions) {
        tidy::check(&unit, target).map_err(Failure::Internal)?;
    }
    Ok(Legal::new(unit, sites, entries, rewritten))
}

/// Arguments of entries.
impl Legaliser<'_> {
    /// Notes which lowered parameters each argument becomes.
    fn number_parts(&mut self, params: &[Type], arguments: &mut [Argument]) {
        let mut first = 0;
        for (&ty, argument) in params.iter().zip(arguments) {
            argument.first = first;
            if self.is_held(ty) {
                argument.parts = smallvec![0];
                first += 1;
                continue;
            }
            let shape = self.shape(ty);
            argument.parts = shape.leaves.iter().map(|leaf| leaf.1).collect();
            first += argument.parts.len() as u32;
        }
    }

    /// Notes which lowered results each result becomes.
    fn number_results(&mut self, abi: &mut EntryAbi) {
        // Functions are entries only where words of 64 bits are held as they are.
        let mut first = u32::from(abi.status) + abi.operands as u32;
        for result in &mut abi.results {
            let shape = self.shape(result.ty);
            result.first = first;
            result.parts = shape.leaves.iter().map(|leaf| leaf.1).collect();
            first += result.parts.len() as u32;
        }
    }
}

/// Failures.
impl Legaliser<'_> {
    /// Notes what makes going on pointless; the first counts.
    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Notes that a limit was passed in the function at hand.
    fn too_much(&mut self, what: &'static str, limit: u64, found: u64) {
        let own = self.f.body.frames(&self.f.name, self.f.file, self.f.origin).next();
        let (name, file, span) = own.unwrap_or((&self.f.name, None, Span::NOWHERE));
        let limit = Limit::new(what, limit, found).at(name, file, span);
        self.fail(Failure::Limit(limit));
    }

    /// Notes a mistake of the program, once per place.
    fn problem(&mut self, code: Code, message: String, note: Option<&str>) {
        let frames = self.f.body.frames(&self.f.name, self.f.file, self.f.origin);
        let chain: Vec<Frame> = frames.owned().collect();
        self.problem_at(&chain, code, message, note);
    }

    /// Notes a mistake of the program in a function, the first of these, that was inlined into the others.
    fn problem_at(&mut self, chain: &[Frame], code: Code, message: String, note: Option<&str>) {
        let Some((own, callers)) = chain.split_first() else { return };
        let (file, span) = (own.file, own.span);
        let new = self.reported.insert((message.clone(), file, span));
        if !new || self.problems.len() >= marquetry_ir::limits::MAX_DIAGNOSTICS {
            return;
        }
        let mut diagnostic = Diagnostic::error(code, file, span, message);
        if let Some(note) = note {
            diagnostic = diagnostic.with_note(note);
        }
        diagnostic.notes.extend(report::inlined_into(callers, &self.files));
        self.problems.push(diagnostic);
    }

    fn unsupported_type(&mut self, ty: Type, reason: &str) {
        let message = format!("target {} has no type {}", self.target.name(), self.types.display(ty));
        self.problem(Code::Unsupported, message, Some(reason));
    }

    fn unsupported_op(&mut self, op: Op, from: Type, to: Type, reason: &str) {
        let types = self.types.clone();
        let (from, to) = if from == to {
            (types.display(from), None)
        } else {
            (types.display(from), Some(types.display(to)))
        };
        let to = to.map_or(String::new(), |to| format!(" to {to}"));
        let message = format!("target {} has no '{op}' on {from}{to}", self.target.name());
        self.problem(Code::Unsupported, message, Some(reason));
    }
}

#[cfg(test)]
mod tests;
