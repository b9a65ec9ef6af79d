//! What programs ask for that the languages have no form for, found before anything is selected.
//!
//! Lowering refuses ops, types and flags. What is left depends on where pointers point, and on the orders of atomics.

use super::ShaderTarget;
use super::objects::{Objects, Points};
use crate::error::EmitError;
use crate::refusals::Refusals;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::entity::{Func, Inst, Value};
use marquetry_ir::inst::{MemFlags, Order};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;

/// Checks a unit.
///
/// # Errors
/// It asks for what the languages cannot do.
pub(super) fn check(
    unit: &Unit,
    cfgs: &[ControlFlow],
    objects: &Objects,
    target: &ShaderTarget,
) -> Result<(), EmitError> {
    let mut checker = Checker { unit, objects, refusals: Refusals::new(unit, target) };
    for (func, cfg) in unit.funcs.keys().zip(cfgs) {
        let body = &unit.funcs[func].body;
        for &block in cfg.reverse_post_order() {
            for inst in body.block_insts(block) {
                checker.inst(func, inst);
            }
        }
    }
    checker.refusals.finish()
}

struct Checker<'a> {
    unit: &'a Unit,
    objects: &'a Objects,
    refusals: Refusals<'a>,
}

impl Checker<'_> {
    fn inst(&mut self, func: Func, inst: Inst) {
        let body = &self.unit.funcs[func].body;
        let (data, args) = (body.inst(inst), body.args(inst));
        let op = data.op;
        match op.info().shape {
            Shape::Load | Shape::Store | Shape::AtomicLoad | Shape::Atomic => {
                if let Some(&pointer) = args.first() {
                    self.access(func, inst, op, pointer);
                }
            }
            _ if matches!(op, Op::Eq | Op::Ne) => {
                if let &[a, b] = args
                    && body.value_type(a).is_pointer()
                    && !self.objects.same(func, body, a, b)
                {
                    let reason = "addresses are offsets, which compare only if both are known to be in one buffer \
                                  or variable";
                    self.refusals.at(func, inst, format!("'{op}' on these pointers"), reason);
                }
            }
            _ => {}
        }
    }

    fn access(&mut self, func: Func, inst: Inst, op: Op, pointer: Value) {
        let body = &self.unit.funcs[func].body;
        let flags = MemFlags::from_bits(body.inst(inst).imm);
        match self.objects.points(func, body, pointer) {
            Points::One(_) => {
                let plain = matches!(op.info().shape, Shape::Load | Shape::Store);
                let order = flags.order();
                if !plain && order != Order::Relaxed {
                    self.refusals.at(
                        func,
                        inst,
                        format!("'{op}' of order {}", order.name()),
                        "shading languages have relaxed atomics only; barriers order memory within a group",
                    );
                }
            }
            Points::Nowhere => self.refusals.at(
                func,
                inst,
                format!("'{op}' at this address"),
                "it is in no buffer or variable: shading languages have no addresses, only offsets into one",
            ),
            Points::Several => self.refusals.at(
                func,
                inst,
                format!("'{op}' through this pointer"),
                "it may point into several buffers or variables, or was returned by a function: shading languages \
                 must know which one while they are compiled",
            ),
        }
    }
}

/// How many buffers a kernel is given: its pointers.
pub(super) fn buffers(params: &[Type]) -> usize {
    params.iter().filter(|ty| ty.is_pointer()).count()
}
