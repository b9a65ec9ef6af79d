//! What programs ask for that Vulkan has no form for, found before anything is selected.
//!
//! An atomic goes to one element of one variable, or to an address in a buffer: which, must be known when the shader is
//! made. Ordinary accesses are split and chosen among at run time; an atomic cannot be.

use super::SpirvTarget;
use super::pointers::Objects;
use crate::error::EmitError;
use crate::refusals::Refusals;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::op::{Op, OpSet, Shape};
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::Unit;

/// What goes to one place in memory, atomically.
const ATOMIC: OpSet = {
    let mut set = OpSet::NONE;
    let mut n = 0;
    while n < Op::ALL.len() {
        if matches!(Op::ALL[n].info().shape, Shape::AtomicLoad | Shape::Atomic) {
            set = set.with(&OpSet::of(&[Op::ALL[n]]));
        }
        n += 1;
    }
    set
};

/// Checks a unit.
///
/// # Errors
/// It asks for what Vulkan cannot do.
pub(super) fn check(
    unit: &Unit,
    cfgs: &[ControlFlow],
    objects: &Objects,
    target: &SpirvTarget,
) -> Result<(), EmitError> {
    let mut refusals = Refusals::new(unit, target);
    for &(func, inst) in &objects.nowhere {
        let op = unit.funcs[func].body.inst(inst).op;
        refusals.at(
            func,
            inst,
            format!("'{op}' at this address"),
            "it is in shared or local memory, which has no addresses in Vulkan, and in no variable of the program",
        );
    }
    for ((func, function), cfg) in unit.funcs.iter().zip(cfgs) {
        let body = &function.body;
        if !body.may_have_any(&ATOMIC) {
            continue;
        }
        for inst in cfg.reverse_post_order().iter().flat_map(|&block| body.block_insts(block)) {
            let (data, args) = (body.inst(inst), body.args(inst));
            let ty = match data.op.info().shape {
                Shape::AtomicLoad => data.ty,
                Shape::Atomic => args.get(1).map_or(Type::ERROR, |&value| body.value_type(value)),
                _ => continue,
            };
            let place = objects.target(func, inst);
            match place.objects.as_slice() {
                [] => {}
                &[object] if !place.address => {
                    let Some(memory) = objects.list.get(object as usize) else { continue };
                    let bits = if ty.space().is_some() { 64 } else { ty.bits().unwrap_or(32) };
                    let adds_floats = data.op == Op::RmwAdd && ty.is_float();
                    if memory.element * 8 != bits || memory.float_add != adds_floats {
                        let kind = if memory.space == Space::Shared { "shared" } else { "local" };
                        refusals.at(
                            func,
                            inst,
                            format!("'{}' on {kind} memory that is also accessed in other sizes or kinds", data.op),
                            "a variable has elements of one type in Vulkan, and an atomic needs one of its own",
                        );
                    }
                }
                _ => refusals.at(
                    func,
                    inst,
                    format!("'{}' through this pointer", data.op),
                    "it may point to several variables, or to one and to a buffer: an atomic must know to which when the \
                     shader is made",
                ),
            }
        }
    }
    refusals.finish()
}
