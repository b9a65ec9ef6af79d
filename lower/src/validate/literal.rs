//! Calls through addresses that are written down: no function of the program is at such a place, and what is there does
//! not take the arguments that calls through pointers pass.

use crate::report::{self, Place};
use marquetry_ir::body::{Body, Frame};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::Value;
use marquetry_ir::op::Op;
use marquetry_ir::unit::Unit;

/// Casts that are looked through.
const MAX_CASTS: usize = 8;

/// The calls of a unit through literal addresses. Null is none: it may be what is left of code that is never reached.
pub(super) fn calls(unit: &Unit) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for function in unit.funcs.values() {
        let body = &function.body;
        if !body.may_have(Op::CallIndirect) {
            continue;
        }
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            if body.inst(inst).op != Op::CallIndirect {
                continue;
            }
            let Some(address) = body.args(inst).first().and_then(|&callee| literal(body, callee)) else {
                continue;
            };
            let chain: Vec<Frame> = function.frames(body.origin(inst)).owned().collect();
            let Some((own, callers)) = chain.split_first() else { continue };
            let place = Place { function: &own.function, file: own.file, span: own.span };
            let message = format!(
                "call through the literal address {address:#x}: only addresses of the program's functions can be called"
            );
            let help = "a function of the host is declared by 'extern func' and called by its name";
            let mut problem = report::pointer(&place, message).with_note(help);
            problem.notes.extend(report::inlined_into(callers, &unit.files));
            problems.push(problem);
        }
    }
    problems
}

/// The number that a pointer is made of, if it is a constant other than null.
fn literal(body: &Body, mut value: Value) -> Option<u128> {
    for _ in 0..MAX_CASTS {
        if let Some(constant) = body.value_const(value) {
            return constant.scalar().filter(|&bits| bits != 0);
        }
        let inst = body.value_inst(value)?;
        if !matches!(body.inst(inst).op, Op::IntToPtr | Op::SpaceCast) {
            return None;
        }
        value = *body.args(inst).first()?;
    }
    None
}
