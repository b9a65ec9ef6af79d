//! Selection of atomics and fences.
//!
//! Orders and scopes are those of PTX; sequential consistency is a `fence.sc` before the access (PTX ISA 8 "Memory
//! Consistency Model").

use super::regs::{Address, Reg};
use super::select::{Here, Selector, args, illegal};
use super::select_scalar::result_type;
use super::types::{Class, bits_of, class_of, float, memory, signed, space, unsigned, untyped};
use super::write::Arg;
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::inst::{MemFlags, Order, Scope};
use marquetry_ir::op::Op;
use marquetry_ir::types::{Space, Type};

fn scope_suffix(scope: Scope) -> &'static str {
    match scope {
        // PTX has no scope smaller than the group.
        Scope::Subgroup | Scope::Group => ".cta",
        Scope::Device => ".gpu",
        Scope::System => ".sys",
    }
}

impl Selector<'_> {
    fn sequential_fence(&mut self, flags: MemFlags) {
        if flags.order() == Order::SeqCst {
            self.out.line(&["fence.sc", scope_suffix(flags.scope())], &[]);
        }
    }

    pub(super) fn fence(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let flags = MemFlags::from_bits(here.body.inst(inst).imm);
        match flags.order() {
            Order::Relaxed => {}
            Order::SeqCst => self.sequential_fence(flags),
            _ => self.out.line(&["fence.acq_rel", scope_suffix(flags.scope())], &[]),
        }
        Ok(())
    }

    pub(super) fn atomic_access(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let data = here.body.inst(inst);
        let flags = MemFlags::from_bits(data.imm);
        let is_load = data.op == Op::AtomicLoad;
        let Some(&pointer) = here.body.args(inst).first() else { return Err(illegal(here, inst)) };
        let at = self.pointer_space(here, pointer);
        let address = Arg::Memory(self.address(here, pointer)?);
        // Nobody else sees local memory, and it knows no orders.
        let is_local = at == Space::Local;
        let order = match flags.order() {
            _ if is_local => "",
            Order::Acquire | Order::AcqRel | Order::SeqCst if is_load => ".acquire",
            Order::Release | Order::AcqRel if !is_load => ".release",
            _ => ".relaxed",
        };
        let scope = if is_local { "" } else { scope_suffix(flags.scope()) };
        if !is_local {
            self.sequential_fence(flags);
        }
        if is_load {
            let result = self.result(here, inst)?;
            self.out.line(&["ld", order, scope, space(at), memory(data.ty)?], &[Arg::Reg(result), address]);
        } else {
            let [_, value] = args(here, inst)?;
            let ty = here.body.value_type(value);
            let value = self.operand(here, value)?;
            self.out.line(&["st", order, scope, space(at), memory(ty)?], &[address, value]);
        }
        Ok(())
    }

    pub(super) fn atomic_update(&mut self, here: &Here, inst: Inst) -> Result<(), EmitError> {
        let data = here.body.inst(inst);
        let flags = MemFlags::from_bits(data.imm);
        let &[pointer, operand, ..] = here.body.args(inst) else { return Err(illegal(here, inst)) };
        let ty = result_type(here, inst)?;
        let bits = bits_of(ty);
        let at = self.pointer_space(here, pointer);
        let address = self.address(here, pointer)?;
        let mut value = if ty.is_float() && data.op == Op::RmwAdd {
            self.float_operand(here, operand)?
        } else {
            self.operand(here, operand)?
        };
        let (name, suffix) = match data.op {
            Op::RmwExchange => (".exch", untyped(bits)),
            Op::RmwAdd if ty.is_float() => (".add", float(ty)?),
            Op::RmwAdd => (".add", unsigned(bits)),
            Op::RmwSub => {
                value = match value {
                    Arg::Int(value) => Arg::Int(value.wrapping_neg()),
                    value => {
                        let class = class_of(ty)?;
                        let negated = Arg::Reg(self.regs.fresh(class));
                        self.out.line(&["neg", signed(bits)], &[negated, value]);
                        negated
                    }
                };
                (".add", unsigned(bits))
            }
            Op::RmwAnd => (".and", untyped(bits)),
            Op::RmwOr => (".or", untyped(bits)),
            Op::RmwXor => (".xor", untyped(bits)),
            Op::RmwMinS => (".min", signed(bits)),
            Op::RmwMinU => (".min", unsigned(bits)),
            Op::RmwMaxS => (".max", signed(bits)),
            Op::RmwMaxU => (".max", unsigned(bits)),
            Op::CompareExchange => (".cas", untyped(bits)),
            _ => return Err(illegal(here, inst)),
        };
        let replacement = match here.body.args(inst) {
            &[_, _, new] => Some(self.operand(here, new)?),
            _ => None,
        };
        if at != Space::Local {
            self.sequential_fence(flags);
        }
        let old = self.result(here, inst)?;
        let flushes = ty == Type::F32 && data.op == Op::RmwAdd && at != Space::Shared;
        if at == Space::Local {
            self.local_update(old, address, (name, suffix), value, replacement);
        } else {
            let order = match flags.order() {
                Order::Relaxed => ".relaxed",
                Order::Acquire => ".acquire",
                Order::Release => ".release",
                Order::AcqRel | Order::SeqCst => ".acq_rel",
            };
            let how = [order, scope_suffix(flags.scope()), space(at)];
            if flushes {
                self.exact_atomic_add(old, address, how, value);
            } else {
                let line = [Arg::Reg(old), Arg::Memory(address), value, replacement.unwrap_or(value)];
                let count = if replacement.is_some() { 4 } else { 3 };
                self.out.line(&["atom", how[0], how[1], how[2], name, suffix], &line[..count]);
            }
        }
        if let Some(done) = here.body.results(inst).nth(1) {
            let done = self.define(here, done)?;
            self.out.line(&["setp.eq", untyped(bits)], &[Arg::Reg(done), Arg::Reg(old), value]);
        }
        Ok(())
    }

    /// `atom.add.f32` on global memory flushes subnormal numbers (PTX ISA 9.7.13 "atom"), so the sum is computed
    /// here and exchanged until nobody came between.
    fn exact_atomic_add(&mut self, old: Reg, address: Address, [order, scope, at]: [&str; 3], value: Arg) {
        let (sum, seen) = (Arg::Reg(self.regs.fresh(Class::B32)), Arg::Reg(self.regs.fresh(Class::B32)));
        let again = self.regs.fresh(Class::Pred);
        let retry = self.fresh_label();
        let (old, place) = (Arg::Reg(old), Arg::Memory(address));
        self.out.line(&["ld.relaxed", scope, at, ".b32"], &[old, place]);
        self.out.label(retry);
        self.out.line(&["add.rn.f32"], &[sum, old, value]);
        self.out.line(&["atom", order, scope, at, ".cas.b32"], &[seen, place, old, sum]);
        self.out.line(&["setp.ne.b32"], &[Arg::Reg(again), seen, old]);
        self.out.line(&["mov.b32"], &[old, seen]);
        self.out.line_if(again, true, &["bra"], &[Arg::Label(retry)]);
    }

    /// There are no atomics on local memory, and no other thread that could come between.
    fn local_update(
        &mut self,
        old: Reg,
        address: Address,
        (name, suffix): (&str, &str),
        value: Arg,
        replacement: Option<Arg>,
    ) {
        let class = old.class();
        let new = Arg::Reg(self.regs.fresh(class));
        let (old, place) = (Arg::Reg(old), Arg::Memory(address));
        self.out.line(&["ld.local", class.suffix()], &[old, place]);
        match (name, replacement) {
            (_, Some(replacement)) => {
                let equal = Arg::Reg(self.regs.fresh(Class::Pred));
                self.out.line(&["setp.eq", suffix], &[equal, old, value]);
                self.out.line(&["selp", suffix], &[new, replacement, old, equal]);
            }
            (".exch", None) => self.out.line(&["mov", suffix], &[new, value]),
            (".add", None) if suffix.starts_with(".f") => {
                self.out.line(&["add.rn", suffix], &[new, old, value])
            }
            (name, None) => self.out.line(&[&name[1..], suffix], &[new, old, value]),
        }
        self.out.line(&["st.local", class.suffix()], &[place, new]);
    }
}
