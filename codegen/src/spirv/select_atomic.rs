//! Selection of atomics, fences and barriers.
//!
//! Orders become memory semantics (SPIR-V 3.26) over all memory that work-items share, since an acquire of a shared
//! flag also orders global data. In Vulkan, acquiring makes visible and releasing makes available; its memory
//! model has no sequential consistency, which the target says. Floats are exchanged as integers.

use super::internal;
use super::module::Id;
use super::select::Selector;
use super::types;
use crate::error::EmitError;
use marquetry_ir::entity::Inst;
use marquetry_ir::inst::{MemFlags, Order, Scope};
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Space, Type};
use rspirv::spirv::{Capability, MemorySemantics as Semantics, Op, Scope as SpvScope};

impl Selector<'_, '_> {
    fn scope(&mut self, scope: Scope) -> Id {
        let scope = match scope {
            Scope::Subgroup => SpvScope::Subgroup,
            Scope::Group => SpvScope::Workgroup,
            // Vulkan has nothing wider, and hosts see memory when the queue is idle.
            Scope::System if !self.is_vulkan() => SpvScope::CrossDevice,
            Scope::Device | Scope::System => SpvScope::Device,
        };
        if scope == SpvScope::Device && self.is_vulkan() {
            self.module().caps.add(Capability::VulkanMemoryModelDeviceScope);
        }
        self.module().u32(scope as u32)
    }

    fn semantics(&mut self, order: Order) -> Result<Id, EmitError> {
        let vulkan = self.is_vulkan();
        let memory = if vulkan { Semantics::UNIFORM_MEMORY } else { Semantics::CROSS_WORKGROUP_MEMORY };
        let memory = memory | Semantics::WORKGROUP_MEMORY;
        let (acquire, release) = if vulkan {
            (Semantics::MAKE_VISIBLE, Semantics::MAKE_AVAILABLE)
        } else {
            (Semantics::RELAXED, Semantics::RELAXED)
        };
        let semantics = match order {
            Order::Relaxed => Semantics::RELAXED,
            Order::Acquire => memory | Semantics::ACQUIRE | acquire,
            Order::Release => memory | Semantics::RELEASE | release,
            Order::AcqRel => memory | Semantics::ACQUIRE_RELEASE | acquire | release,
            Order::SeqCst if vulkan => return Err(internal("a sequentially consistent access")),
            Order::SeqCst => memory | Semantics::SEQUENTIALLY_CONSISTENT,
        };
        Ok(self.module().u32(semantics.bits()))
    }

    /// The pointer of an atomic to elements of this type, and the type of these elements.
    fn atomic_pointer(&mut self, inst: Inst, ty: Type, float: bool) -> Result<(Id, Id), EmitError> {
        let bits = ty.bits().unwrap_or(32);
        if bits == 64 && !float {
            self.module().caps.add(Capability::Int64Atomics);
        }
        let pointer = *self.body.args(inst).first().ok_or_else(|| internal("an atomic without address"))?;
        let space = self.body.value_type(pointer).space().unwrap_or(Space::Generic);
        let address = self.value(pointer)?;
        let wanted = if float { self.module().float(bits) } else { self.module().int(bits) };
        if !self.is_vulkan() {
            return Ok((self.cast_pointer(address, types::storage_class(space), wanted), wanted));
        }
        let target = self.state.objects.target(self.func, inst);
        match target.objects.as_slice() {
            [] => Ok((self.buffer_pointer(address, wanted, bits / 8), wanted)),
            &[object] if !target.address => {
                let (at, element) = self.element_pointer(address, object, 0)?;
                if element != wanted {
                    return Err(internal("an atomic on elements of another type"));
                }
                Ok((at, element))
            }
            _ => Err(internal("an atomic on several variables")),
        }
    }

    /// Orders memory accesses.
    pub(super) fn fence(&mut self, scope: Scope, order: Order) -> Result<(), EmitError> {
        let scope = self.scope(scope);
        let semantics = self.semantics(order)?;
        self.emit_void(Op::MemoryBarrier, &[scope, semantics]);
        Ok(())
    }

    /// Selects an atomic or a fence.
    pub(super) fn atomic_op(&mut self, inst: Inst, op: IrOp) -> Result<(), EmitError> {
        let flags = MemFlags::from_bits(self.body.inst(inst).imm);
        let order = flags.order();
        if op == IrOp::Fence {
            return self.fence(flags.scope(), order);
        }
        let scope = self.scope(flags.scope());
        let value = self.body.args(inst).get(1).copied();
        let ty = if op == IrOp::AtomicLoad {
            self.body.inst(inst).ty
        } else {
            value.map_or(Type::ERROR, |v| self.body.value_type(v))
        };
        let float_add = op == IrOp::RmwAdd && ty.is_float();
        let (pointer, element) = self.atomic_pointer(inst, ty, float_add)?;
        let value = match value {
            Some(value) => {
                let id = self.value(value)?;
                if float_add { id } else { self.bits_of(id, ty)? }
            }
            None => 0,
        };
        let read = match op {
            IrOp::AtomicLoad => {
                // A load releases nothing and a store acquires nothing (3.42.18): their halves of acq_rel.
                let order = if order == Order::AcqRel { Order::Acquire } else { order };
                let semantics = self.semantics(order)?;
                self.emit(Op::AtomicLoad, element, &[pointer, scope, semantics])
            }
            IrOp::AtomicStore => {
                let order = if order == Order::AcqRel { Order::Release } else { order };
                let semantics = self.semantics(order)?;
                self.emit_void(Op::AtomicStore, &[pointer, scope, semantics, value]);
                return Ok(());
            }
            IrOp::CompareExchange => {
                return self.compare_exchange(inst, [pointer, scope, value, element], order);
            }
            _ => {
                let opcode = match op {
                    IrOp::RmwExchange => Op::AtomicExchange,
                    IrOp::RmwAdd if float_add => {
                        self.module().caps.add(Capability::AtomicFloat32AddEXT);
                        Op::AtomicFAddEXT
                    }
                    IrOp::RmwAdd => Op::AtomicIAdd,
                    IrOp::RmwSub => Op::AtomicISub,
                    IrOp::RmwAnd => Op::AtomicAnd,
                    IrOp::RmwOr => Op::AtomicOr,
                    IrOp::RmwXor => Op::AtomicXor,
                    IrOp::RmwMinS => Op::AtomicSMin,
                    IrOp::RmwMinU => Op::AtomicUMin,
                    IrOp::RmwMaxS => Op::AtomicSMax,
                    IrOp::RmwMaxU => Op::AtomicUMax,
                    _ => return Err(internal(&format!("'{op}' in a unit for SPIR-V"))),
                };
                let semantics = self.semantics(order)?;
                self.emit(opcode, element, &[pointer, scope, semantics, value])
            }
        };
        let read = if float_add { read } else { self.value_of_bits(read, ty)? };
        self.define_all(inst, &[read])
    }

    fn compare_exchange(
        &mut self,
        inst: Inst,
        [pointer, scope, expected, element]: [Id; 4],
        order: Order,
    ) -> Result<(), EmitError> {
        let new = *self.body.args(inst).get(2).ok_or_else(|| internal("an exchange without value"))?;
        let new = self.value(new)?;
        let equal = self.semantics(order)?;
        // A failed exchange is a load: it cannot release (3.42.18).
        let unequal = self.semantics(match order {
            Order::Release => Order::Relaxed,
            Order::AcqRel => Order::Acquire,
            other => other,
        })?;
        let operands = [pointer, scope, equal, unequal, new, expected];
        let old = self.emit(Op::AtomicCompareExchange, element, &operands);
        let truth = self.module().bool();
        let exchanged = self.emit(Op::IEqual, truth, &[old, expected]);
        self.define_all(inst, &[old, exchanged])
    }

    /// Selects a barrier of the group or the sub-group.
    pub(super) fn barrier(&mut self, group: bool) -> Result<(), EmitError> {
        let scope = self.scope(if group { Scope::Group } else { Scope::Subgroup });
        if !group {
            self.module().caps.add(Capability::GroupNonUniform);
        }
        let semantics = self.semantics(Order::AcqRel)?;
        self.emit_void(Op::ControlBarrier, &[scope, scope, semantics]);
        Ok(())
    }
}
