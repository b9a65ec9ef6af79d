//! Mandatory folding: the part of simplification that every job gets, at every optimisation level.
//!
//! Questions to the target become constants, the branches that they decide are decided, and what is not reached any
//! more goes, before the optimiser and before the target's rules look at the code. Then static assertions are checked,
//! all at once: an assertion must follow by folding constants and branches in its own function, into which `inline`
//! methods that ask or assert have been inlined. So what holds does not depend on the optimisation level.
//!
//! Functions that neither ask nor assert are left as they are.

use crate::call_graph::{self, BottomUp, callee};
use crate::failure::Failure;
use crate::inline;
use crate::known_slots;
use crate::passes::{PassContext, simplify, simplify_cfg};
use crate::query::Answer;
use crate::report::{self, Place};
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Func, Inst, SigRef, SymbolRef, Value};
use marquetry_ir::limits::{MAX_COPIED_INSTS, MAX_DIAGNOSTICS, MAX_INLINED_INSTS};
use marquetry_ir::op::Op;
use marquetry_ir::program::Inlining;
use marquetry_ir::span::Span;
use marquetry_ir::unit::Unit;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Who answers, and what to do with assertions.
pub struct Folding<'a> {
    /// The answer to a key.
    pub answer: &'a dyn Fn(&str) -> Option<Answer>,
    /// The keys, for messages.
    pub known: &'a dyn Fn() -> String,
    /// Whether assertions are checked; they are dropped otherwise.
    pub check: bool,
}

/// Where an assertion was written, and the calls through which it was inlined, innermost first.
#[derive(Clone)]
struct Origin {
    function: Arc<str>,
    file: Option<u32>,
    span: Span,
    callers: Vec<Arc<str>>,
}

type Origins = FxHashMap<Inst, Origin>;

/// Answers, folds and checks a unit.
///
/// Gives old and new ids of the functions that are left, if any may have gone.
///
/// # Errors
/// Keys that nobody answers, answers that do not fit, and assertions that do not hold: all of them.
pub fn run(unit: &mut Unit, folding: &Folding<'_>) -> Result<Option<Vec<(Func, Func)>>, Failure> {
    let mut problems = Vec::new();
    let mut own = answer_all(unit, folding, &mut problems);
    if !problems.is_empty() {
        return Err(Failure::Program(problems));
    }
    if own.is_empty() {
        return Ok(None);
    }
    let graph = call_graph::bottom_up(unit);
    let mut ctx = PassContext::new(unit.types.clone());
    let mut origins: FxHashMap<Func, Origins> = FxHashMap::default();
    let mut left = MAX_COPIED_INSTS;
    for &func in &graph.order {
        let mut known = written(unit, func);
        let inlined = inline_concerned(unit, func, &graph, &own, &origins, &mut known, &mut left);
        if inlined {
            own.insert(func);
        }
        if own.contains(&func) {
            let body = &mut unit.funcs[func].body;
            // Each round may decide branches that let the next one see more; two see what constants alone decide.
            for _ in 0..2 {
                ctx.changed_edges();
                simplify_cfg::run(body, &mut ctx);
                ctx.changed_edges();
                simplify::run(body, &mut ctx);
            }
            ctx.changed_edges();
            simplify_cfg::run(body, &mut ctx);
        }
        origins.insert(func, known);
    }
    // What was inlined everywhere is checked where it ended up.
    let order = call_graph::prune(unit);
    for &(old, func) in &order {
        let known = origins.remove(&old).unwrap_or_default();
        check(unit, func, &known, folding.check, &mut problems);
    }
    if problems.is_empty() { Ok(Some(order)) } else { Err(Failure::Program(problems)) }
}

/// Answers questions and does nothing else.
///
/// # Errors
/// As [`run`], but for assertions.
pub fn answer_only(unit: &mut Unit, folding: &Folding<'_>) -> Result<(), Failure> {
    let mut problems = Vec::new();
    answer_all(unit, folding, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(Failure::Program(problems)) }
}

/// Answers questions; gives the functions that ask or assert.
fn answer_all(unit: &mut Unit, folding: &Folding<'_>, problems: &mut Vec<Diagnostic>) -> FxHashSet<Func> {
    let mut concerned = FxHashSet::default();
    for (func, function) in unit.funcs.iter_mut() {
        let body = &mut function.body;
        let mut asked: Vec<Inst> = Vec::new();
        for block in body.blocks() {
            for inst in body.block_insts(block) {
                match body.inst(inst).op {
                    Op::TargetQuery => asked.push(inst),
                    Op::StaticAssert => {
                        concerned.insert(func);
                    }
                    _ => {}
                }
            }
        }
        if asked.is_empty() {
            continue;
        }
        concerned.insert(func);
        let mut answers: FxHashMap<Value, Value> = FxHashMap::default();
        for inst in asked {
            match answer(body, inst, folding) {
                Ok(value) => {
                    answers.extend(body.first_result(inst).map(|result| (result, value)));
                    body.remove_inst(inst);
                }
                Err(message) if problems.len() < MAX_DIAGNOSTICS => {
                    let span = body.span(inst);
                    let place = Place { function: &function.name, file: function.file, span };
                    problems.push(report::query(&place, message));
                }
                Err(_) => {}
            }
        }
        rewrite(body, &answers);
    }
    concerned
}

/// The constant that stands for a question.
fn answer(body: &mut Body, inst: Inst, folding: &Folding<'_>) -> Result<Value, String> {
    let data = body.inst(inst);
    let (ty, imm) = (data.ty, data.imm);
    let key = match body.symbol_exists(imm).then(|| body.symbol(SymbolRef::from_u32(imm))) {
        Some(Symbol::Message(key)) => key.clone(),
        _ => return Err("target_query without a key".into()),
    };
    let answer = (folding.answer)(&key)
        .ok_or_else(|| format!("no target answers '{key}', expected {}", (folding.known)()))?;
    let bits = match (answer, ty.lane().filter(|_| !ty.is_vector())) {
        (Answer::Truth(truth), Some(marquetry_ir::types::Scalar::I1)) => u128::from(truth),
        (Answer::Number(number), Some(scalar)) if scalar.is_int() && scalar.bits() > 1 => {
            let bits = u128::from(number);
            if bits > scalar.mask() >> 1 {
                return Err(format!("'{key}' is {number}, which is no {ty}"));
            }
            bits
        }
        (Answer::Truth(_), _) => return Err(format!("'{key}' is a truth value, asked for as {ty}")),
        (Answer::Number(_), _) => return Err(format!("'{key}' is a number, asked for as {ty}")),
    };
    Ok(body.make_scalar(ty, bits))
}

fn rewrite(body: &mut Body, replaced: &FxHashMap<Value, Value>) {
    if replaced.is_empty() {
        return;
    }
    let insts: Vec<Inst> = placed(body);
    for inst in insts {
        body.rewrite_operands(inst, |value| replaced.get(&value).copied().unwrap_or(value));
    }
}

fn placed(body: &Body) -> Vec<Inst> {
    body.blocks().flat_map(|block| body.block_insts(block)).collect()
}

/// The assertions that a function was written with.
fn written(unit: &Unit, func: Func) -> Origins {
    let function = &unit.funcs[func];
    let body = &function.body;
    let asserts = body.blocks().flat_map(|block| body.block_insts(block));
    let asserts = asserts.filter(|&inst| body.inst(inst).op == Op::StaticAssert);
    let origin = |inst| Origin {
        function: function.name.clone(),
        file: function.file,
        span: body.span(inst),
        callers: Vec::new(),
    };
    asserts.map(|inst| (inst, origin(inst))).collect()
}

/// Inlines calls of `inline` functions that ask or assert, as long as instructions are `left` to be copied; whether there
/// were any.
fn inline_concerned(
    unit: &mut Unit,
    func: Func,
    graph: &BottomUp,
    concerned: &FxHashSet<Func>,
    origins: &FxHashMap<Func, Origins>,
    known: &mut Origins,
    left: &mut usize,
) -> bool {
    let body = &unit.funcs[func].body;
    let wanted = |callee: Func| {
        concerned.contains(&callee)
            && unit.funcs[callee].inlining == Inlining::Always
            && graph.component[callee] != graph.component[func]
    };
    let calls: Vec<(Inst, Func)> = body
        .blocks()
        .flat_map(|block| body.block_insts(block))
        .filter_map(|inst| Some((inst, callee(body, inst).filter(|&callee| wanted(callee))?)))
        .collect();
    if calls.is_empty() {
        return false;
    }
    let caller = unit.funcs[func].name.clone();
    let mut body = std::mem::take(&mut unit.funcs[func].body);
    let mut budget = MAX_INLINED_INSTS.saturating_sub(inline::size(&body));
    // From the end: what follows a call is moved behind what it becomes.
    for &(call, callee) in calls.iter().rev() {
        let from = &unit.funcs[callee].body;
        let cost = inline::size(from);
        if cost > budget.min(*left) {
            continue;
        }
        budget -= cost;
        *left -= cost;
        let first = body.inst_count() as u32;
        inline::inline_call(&mut body, call, &unit.funcs[callee]);
        // Copies are made in reverse post-order.
        let mut cfg = ControlFlow::new();
        cfg.compute(from);
        let old = cfg.reverse_post_order().iter().flat_map(|&block| from.block_insts(block));
        let old = old.filter(|&inst| from.inst(inst).op == Op::StaticAssert);
        let new = (first..body.inst_count() as u32).map(Inst::from_u32);
        let new: Vec<Inst> = new.filter(|&inst| body.inst(inst).op == Op::StaticAssert).collect();
        for (old, new) in old.zip(new) {
            if let Some(origin) = origins.get(&callee).and_then(|known| known.get(&old)) {
                let mut origin = origin.clone();
                origin.callers.push(caller.clone());
                known.insert(new, origin);
            }
        }
    }
    unit.funcs[func].body = body;
    true
}

/// Reports the assertions that are left, and drops them.
fn check(unit: &mut Unit, func: Func, known: &Origins, report: bool, problems: &mut Vec<Diagnostic>) {
    let function = &mut unit.funcs[func];
    let body = &mut function.body;
    let left = placed(body).into_iter().filter(|&inst| body.inst(inst).op == Op::StaticAssert);
    let left: Vec<Inst> = left.collect();
    for inst in left {
        let data = body.inst(inst);
        let message = match body.symbol_exists(data.imm).then(|| body.symbol(SymbolRef::from_u32(data.imm))) {
            Some(Symbol::Message(message)) => message.to_string(),
            _ => String::new(),
        };
        let condition = body.args(inst).first().and_then(|&value| body.value_const(value));
        let why = match condition {
            Some(_) => "the condition is false",
            None => "the condition is not known while compiling",
        };
        if report && problems.len() < MAX_DIAGNOSTICS {
            let origin = known.get(&inst);
            let place = Place {
                function: origin.map_or(&function.name, |origin| &origin.function),
                file: origin.map_or(function.file, |origin| origin.file),
                span: origin.map_or_else(|| body.span(inst), |origin| origin.span),
            };
            let mut problem =
                report::assertion(&place, format!("static assertion failed: {message}")).with_note(why);
            for caller in origin.into_iter().flat_map(|origin| &origin.callers) {
                problem = problem.with_note(format!("inlined into '{caller}'"));
            }
            problems.push(problem);
        }
        body.remove_inst(inst);
    }
}

/// Calls through the address of a function of the unit become calls of it, so that targets without addresses of
/// functions can compile them, and inlining sees them; also where the address stands in a table.
pub fn direct_calls(unit: &mut Unit) {
    known_slots::run(unit);
    for func in unit.funcs.keys().collect::<Vec<_>>() {
        let body = &unit.funcs[func].body;
        let is_indirect = |inst| body.inst(inst).op == Op::CallIndirect;
        if !body.blocks().flat_map(|block| body.block_insts(block)).any(is_indirect) {
            continue;
        }
        let named = |value: Value| {
            let data = body.value_inst(value).map(|inst| body.inst(inst))?;
            let known = data.op == Op::FunctionAddress && body.symbol_exists(data.imm);
            match known.then(|| body.symbol(SymbolRef::from_u32(data.imm))) {
                Some(Symbol::Func(callee)) => Some((*callee, data.imm)),
                _ => None,
            }
        };
        let mut direct: Vec<(Inst, u32)> = Vec::new();
        for inst in placed(body) {
            let data = body.inst(inst);
            if data.op != Op::CallIndirect || !body.signature_exists(data.imm) {
                continue;
            }
            let Some((callee, symbol)) = body.args(inst).first().and_then(|&value| named(value)) else {
                continue;
            };
            if unit.funcs[callee].signature == *body.signature(SigRef::from_u32(data.imm)) {
                direct.push((inst, symbol));
            }
        }
        if direct.is_empty() {
            continue;
        }
        let body = &mut unit.funcs[func].body;
        for (inst, symbol) in direct {
            let ty = body.inst(inst).ty;
            let args: Vec<Value> = body.args(inst).iter().skip(1).copied().collect();
            body.replace_inst(inst, Op::Call, ty, &args, symbol);
        }
        known_slots::sweep(body);
    }
}
