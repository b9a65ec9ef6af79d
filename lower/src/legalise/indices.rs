//! Indices of 64 bits, in place: what most functions lack, and no reason to build them anew.
//!
//! Each narrow index is widened in front of its first use, once for all uses that this place dominates. Widenings that
//! are there already are taken, too. Linear.

use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::analysis::dominators::Dominators;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Block, Inst, Value};
use marquetry_ir::op::Op;
use marquetry_ir::semantics::int::signed;
use marquetry_ir::types::Type;
use rustc_hash::FxHashMap;

/// Widens the indices of a body whose control flow is known.
pub(super) fn widen(body: &mut Body, cfg: &ControlFlow, dominators: &mut Dominators) {
    let mut dominates = DominatesLater { dominators, computed: false };
    // The last widening of each value, in the order of the walk.
    let mut wide: FxHashMap<Value, Inst> = FxHashMap::default();
    for &block in cfg.reverse_post_order() {
        let mut next = body.first_inst(block);
        while let Some(inst) = next {
            next = body.next_inst(inst);
            let data = body.inst(inst);
            let (narrow, widens) = match (data.op, body.args(inst)) {
                (Op::Sext, &[value]) => (value, data.ty == Type::I64),
                (Op::Index, &[_, index]) if body.value_type(index) != Type::I64 => (index, false),
                _ => continue,
            };
            let known = wide.get(&narrow).copied().filter(|&known| {
                body.inst_block(known).is_some_and(|at| at == block || dominates.ask(cfg, at, block))
            });
            if data.op == Op::Sext {
                if widens && known.is_none() {
                    wide.insert(narrow, inst);
                }
                continue;
            }
            let new = constant(body, narrow).or_else(|| {
                let known = known.unwrap_or_else(|| {
                    let new = body.make_inst(Op::Sext, Type::I64, &[narrow], 0);
                    body.make_results(new, &[Type::I64]);
                    body.insert_inst_before(new, inst);
                    body.set_origin(new, body.origin(inst));
                    wide.insert(narrow, new);
                    new
                });
                body.first_result(known)
            });
            if let (Some(new), Some(index)) = (new, body.args_mut(inst).get_mut(1)) {
                *index = new;
            }
        }
    }
}

/// Dominators that are computed when they are asked first: widenings are mostly in the block that needs them.
struct DominatesLater<'a> {
    dominators: &'a mut Dominators,
    computed: bool,
}

impl DominatesLater<'_> {
    fn ask(&mut self, cfg: &ControlFlow, from: Block, block: Block) -> bool {
        if !std::mem::replace(&mut self.computed, true) {
            self.dominators.compute(cfg);
        }
        self.dominators.dominates(cfg, from, block)
    }
}

/// A constant index in 64 bits.
fn constant(body: &mut Body, index: Value) -> Option<Value> {
    let bits = body.value_bits(index)?;
    let number = signed(body.value_type(index).as_scalar()?, bits);
    Some(body.make_scalar(Type::I64, number as u128))
}
