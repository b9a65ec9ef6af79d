//! Whether a body is well-formed: enough of a verifier to catch a pass that breaks SSA.

use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::dominators::Dominators;
use marquetry_ir::body::ValueDef;
use marquetry_ir::entity::Func;
use marquetry_ir::infer::infer;
use marquetry_ir::op::Op;
use marquetry_ir::unit::Unit;

pub fn valid(unit: &Unit, func: Func) -> Result<(), String> {
    let body = &unit.funcs[func].body;
    let mut cfg = ControlFlow::new();
    cfg.compute(body);
    let mut dominators = Dominators::new();
    dominators.compute(&cfg);
    let mut seen = std::collections::HashSet::new();
    for &block in cfg.reverse_post_order() {
        if !body.is_block_placed(block) {
            return Err(format!("{block} is not placed"));
        }
        seen.insert(block);
        for (n, &param) in body.block_params(block).iter().enumerate() {
            if body.value_def(param) != ValueDef::Param(block, n as u16) {
                return Err(format!("{param} is not parameter {n} of {block}"));
            }
        }
        let mut done = std::collections::HashSet::new();
        let Some(terminator) = body.terminator(block) else { return Err(format!("{block} has no end")) };
        for inst in body.block_insts(block) {
            if body.inst(inst).op.is_terminator() && inst != terminator {
                return Err(format!("{inst} ends {block} early"));
            }
            let mut problem = None;
            body.visit_operands(inst, |value| {
                let fine = match body.value_def(value) {
                    ValueDef::Const(_) => true,
                    ValueDef::Param(at, _) => dominators.dominates(&cfg, at, block),
                    ValueDef::Result(def, _) => match body.inst_block(def) {
                        Some(at) if at == block => done.contains(&def),
                        Some(at) => body.is_block_placed(at) && dominators.dominates(&cfg, at, block),
                        None => false,
                    },
                };
                if !fine {
                    problem = Some(format!("{value} does not reach {inst} in {block}"));
                }
            });
            if let Some(problem) = problem {
                return Err(problem);
            }
            if body.inst(inst).op != Op::Call {
                let types = infer(body, &unit.types, inst).map_err(|e| format!("{inst}: {e}"))?;
                let found: Vec<_> = body.results(inst).map(|value| body.value_type(value)).collect();
                if found != types.to_vec() {
                    return Err(format!("{inst} has results {found:?}, expected {types:?}"));
                }
            }
            for &edge in body.targets(inst) {
                let to = body.target_block(edge);
                let wanted: Vec<_> = body.block_params(to).iter().map(|&v| body.value_type(v)).collect();
                let found: Vec<_> = body.target_args(edge).iter().map(|&v| body.value_type(v)).collect();
                if wanted != found {
                    return Err(format!("edge from {block} to {to} passes {found:?}, expected {wanted:?}"));
                }
            }
            done.insert(inst);
        }
    }
    Ok(())
}
