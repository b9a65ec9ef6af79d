//! What programs ask for that the languages have no form for, found before anything is selected.
//!
//! Legalisation refuses ops and types. What is left depends on where pointers point, on orders and on flags; all of it is
//! reported at once, each thing at its place.

use super::ShaderTarget;
use super::objects::{Objects, Points};
use crate::error::EmitError;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Func, Inst, Value};
use marquetry_ir::inst::{MemFlags, Order};
use marquetry_ir::limits::MAX_DIAGNOSTICS;
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::Unit;
use marquetry_lower::report;

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
    let mut refusals = Refusals { unit, objects, target, list: Vec::new() };
    refusals.globals();
    for (func, cfg) in unit.funcs.keys().zip(cfgs) {
        let body = &unit.funcs[func].body;
        for &block in cfg.reverse_post_order() {
            for inst in body.block_insts(block) {
                refusals.inst(func, inst);
            }
        }
    }
    if refusals.list.is_empty() { Ok(()) } else { Err(EmitError::Program(refusals.list)) }
}

struct Refusals<'a> {
    unit: &'a Unit,
    objects: &'a Objects,
    target: &'a ShaderTarget,
    list: Vec<Diagnostic>,
}

impl Refusals<'_> {
    fn add(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
        }
    }

    fn at(&mut self, func: Func, inst: Inst, what: String, reason: &str) {
        let function = &self.unit.funcs[func];
        let chain: Vec<_> = function.frames(function.body.origin(inst)).owned().collect();
        let Some((own, callers)) = chain.split_first() else { return };
        let message = format!("target {} has no {what}", self.target);
        let mut diagnostic =
            Diagnostic::error(Code::Unsupported, own.file, own.span, message).with_note(reason);
        diagnostic.notes.extend(report::inlined_into(callers, &self.unit.files));
        if !self.list.contains(&diagnostic) {
            self.add(diagnostic);
        }
    }

    fn globals(&mut self) {
        let unit = self.unit;
        for global in unit.globals.values() {
            if !matches!(global.space, Space::Shared | Space::Constant) {
                let message = format!(
                    "target {} has no global variables in {} memory, where '{}' is",
                    self.target,
                    global.space.name(),
                    global.name
                );
                let diagnostic = Diagnostic::error(Code::Unsupported, global.file, global.span, message);
                self.add(diagnostic.with_note(
                    "what outlives a launch is in buffers: pass one to the kernel, or use shared or constant memory",
                ));
            }
        }
    }

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
                    self.at(func, inst, format!("'{op}' on these pointers"), reason);
                }
            }
            _ => {}
        }
    }

    fn access(&mut self, func: Func, inst: Inst, op: Op, pointer: Value) {
        let body = &self.unit.funcs[func].body;
        let flags = MemFlags::from_bits(body.inst(inst).imm);
        if flags.is_volatile() {
            self.at(func, inst, format!("volatile '{op}'"), "shading languages have no volatile accesses");
        }
        match self.objects.points(func, body, pointer) {
            Points::One(_) => {
                let plain = matches!(op.info().shape, Shape::Load | Shape::Store);
                let order = flags.order();
                if !plain && order != Order::Relaxed {
                    self.at(
                        func,
                        inst,
                        format!("'{op}' of order {}", order.name()),
                        "shading languages have relaxed atomics only; barriers order memory within a group",
                    );
                }
            }
            Points::Nowhere => self.at(
                func,
                inst,
                format!("'{op}' at this address"),
                "it is in no buffer or variable: shading languages have no addresses, only offsets into one",
            ),
            Points::Several => self.at(
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
