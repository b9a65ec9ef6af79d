//! Calls that no method fits, from where they are met to what becomes of them.
//!
//! While a body is typed such a call becomes an `unresolved` op whose results have no known type; what needs them is
//! skipped and counted, so that one mistake is one message. When all bodies are there, the job's policy decides. To
//! refuse only what control can get to, a copy of the unit is simplified as far as no option changes: `inline` methods
//! are inlined, constants folded, branches on them taken. A call that is still there is an error, with the chain of
//! calls that leads to it; the others become throws that nothing reaches.

use crate::call_graph;
use crate::inline;
use crate::passes::{PassContext, simplify, simplify_cfg};
use cranelift_entity::SecondaryMap;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::{Block, Func, Inst, SymbolRef, Value};
use marquetry_ir::exception::Exception;
use marquetry_ir::op::{Op, Rule};
use marquetry_ir::program::Inlining;
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
        function.body.inst_mut(problem.inst).imm = mark.as_u32();
    }
    let graph = call_graph::bottom_up(&unit);
    let mut ctx = PassContext::new(unit.types.clone());
    let mut sizes = SecondaryMap::<Func, u32>::with_capacity(unit.funcs.len());
    for &func in &graph.order {
        inline::run(&mut unit, func, &graph, &sizes);
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
        // One before it in its block may have taken it away.
        let Some(block) = body.inst_block(problem.inst) else { continue };
        let mut next = Some(problem.inst);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            body.remove_inst(inst);
        }
        let kind = Exception::UnresolvedError.name().into();
        let reason: Arc<str> = problem.diagnostic.message.as_str().into();
        let symbol = body.make_symbol(Symbol::Exception(kind, Some(reason)));
        let throw = body.make_inst(Op::Throw, Type::ERROR, &[], symbol.as_u32());
        body.append_inst(throw, block);
        body.set_span(throw, problem.diagnostic.span);
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
            (_, Some(0)) if matches!(data.op, Op::Branch | Op::StaticAssert) => Some(Type::I1),
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
