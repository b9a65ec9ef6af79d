//! Selection of loads and stores.
//!
//! OpenCL has typed pointers into every space: all are `uchar*` here, cast to what an access wants. Vulkan has addresses of
//! buffers, as 64-bit integers converted to pointers where they are used, and objects (see [`pointers`](super::pointers)).
//! Accesses that other work-items may see are `NonPrivatePointer` in Vulkan: without it, its memory model orders them with
//! nothing, barriers included.

use super::module::Id;
use super::select::Selector;
use super::{internal, types};
use crate::error::EmitError;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::types::{Scalar, Space, Type};
use rspirv::spirv::{Capability, MemoryAccess, Op, StorageClass};
use smallvec::SmallVec;

impl Selector<'_, '_> {
    /// The alignment of an access and its memory operands.
    fn flags(&mut self, inst: Inst, ty: Type, space: Space) -> (u32, MemoryAccess) {
        let flags = MemFlags::from_bits(self.body.inst(inst).imm);
        let own = self.unit.types.layout(ty).map_or(1, |l| l.align);
        let align = flags.align().unwrap_or(own);
        let mut access = MemoryAccess::NONE;
        if flags.is_volatile() {
            access |= MemoryAccess::VOLATILE;
        }
        if self.is_vulkan() && !matches!(space, Space::Local | Space::Constant) {
            access |= MemoryAccess::NON_PRIVATE_POINTER;
        }
        (align, access)
    }

    /// Selects a load.
    pub(super) fn load(&mut self, inst: Inst) -> Result<Id, EmitError> {
        let ty = self.body.inst(inst).ty;
        let pointer = *self.body.args(inst).first().ok_or_else(|| internal("a load without address"))?;
        let space = self.body.value_type(pointer).space().unwrap_or(Space::Generic);
        let address = self.value(pointer)?;
        let (align, access) = self.flags(inst, ty, space);
        let held = self.memory_type(ty)?;
        if !self.is_vulkan() {
            let typed = self.cast_pointer(address, types::storage_class(space), held);
            let loaded = self.emit(Op::Load, held, &[typed, (access | MemoryAccess::ALIGNED).bits(), align]);
            return Ok(if ty == Type::I1 { self.byte_to_truth(loaded) } else { loaded });
        }
        let target = self.state.objects.target(self.func, inst);
        if target.objects.is_empty() {
            return self.load_address(address, ty, align, access);
        }
        if !target.address {
            let bits = self.load_objects(address, &target.objects, ty, access)?;
            return self.value_of_bits(bits, ty);
        }
        // The bit that tells addresses from objects decides while running.
        let int = self.module().int(bytes_of(ty) * 8);
        let result = self.local_variable(int);
        let [_, no, merge] = self.fork(address);
        let bits = self.load_objects(address, &target.objects, ty, access)?;
        self.emit_void(Op::Store, &[result, bits]);
        self.emit_void(Op::Branch, &[merge]);
        self.emit_void(Op::Label, &[no]);
        let loaded = self.load_address(address, ty, align, access)?;
        let bits = self.bits_of(loaded, ty)?;
        self.emit_void(Op::Store, &[result, bits]);
        self.emit_void(Op::Branch, &[merge]);
        self.emit_void(Op::Label, &[merge]);
        let bits = self.emit(Op::Load, int, &[result]);
        self.value_of_bits(bits, ty)
    }

    /// Selects a store.
    pub(super) fn store(&mut self, inst: Inst) -> Result<(), EmitError> {
        let [pointer, value] = self.two(inst)?;
        let ty = self.body.value_type(value);
        let space = self.body.value_type(pointer).space().unwrap_or(Space::Generic);
        let (address, value) = (self.value(pointer)?, self.value(value)?);
        let (align, access) = self.flags(inst, ty, space);
        let held = self.memory_type(ty)?;
        if !self.is_vulkan() {
            let typed = self.cast_pointer(address, types::storage_class(space), held);
            let value = if ty == Type::I1 { self.truth_to_byte(value) } else { value };
            self.emit_void(Op::Store, &[typed, value, (access | MemoryAccess::ALIGNED).bits(), align]);
            return Ok(());
        }
        let target = self.state.objects.target(self.func, inst);
        if target.objects.is_empty() {
            return self.store_address(address, value, ty, align, access);
        }
        let bits = self.bits_of(value, ty)?;
        if !target.address {
            return self.store_objects(address, &target.objects, bits, ty, access);
        }
        let [_, no, merge] = self.fork(address);
        self.store_objects(address, &target.objects, bits, ty, access)?;
        self.emit_void(Op::Branch, &[merge]);
        self.emit_void(Op::Label, &[no]);
        self.store_address(address, value, ty, align, access)?;
        self.emit_void(Op::Branch, &[merge]);
        self.emit_void(Op::Label, &[merge]);
        Ok(())
    }

    /// The first two operands.
    pub(super) fn two(&self, inst: Inst) -> Result<[Value; 2], EmitError> {
        match self.body.args(inst) {
            &[a, b, ..] => Ok([a, b]),
            _ => Err(internal("an access without operands")),
        }
    }

    fn memory_type(&mut self, ty: Type) -> Result<Id, EmitError> {
        let held = self.module().memory_type(ty);
        held.ok_or_else(|| internal(&format!("an access of type {ty} in a legal unit")))
    }

    /// A pointer of OpenCL to something else than bytes.
    pub(super) fn cast_pointer(&mut self, pointer: Id, class: StorageClass, pointee: Id) -> Id {
        let byte = self.module().int(8);
        if pointee == byte {
            return pointer;
        }
        let ty = self.module().pointer(class, pointee);
        self.emit(Op::Bitcast, ty, &[pointer])
    }

    /// A pointer of Vulkan from the address of a buffer.
    pub(super) fn buffer_pointer(&mut self, address: Id, pointee: Id, bytes: u32) -> Id {
        match bytes {
            1 => self.module().caps.add(Capability::StorageBuffer8BitAccess),
            2 => self.module().caps.add(Capability::StorageBuffer16BitAccess),
            _ => {}
        }
        let ty = self.module().pointer(StorageClass::PhysicalStorageBuffer, pointee);
        self.emit(Op::ConvertUToPtr, ty, &[address])
    }

    /// A value of a buffer at an address, in parts if it is not aligned.
    pub(super) fn load_address(
        &mut self,
        address: Id,
        ty: Type,
        align: u32,
        access: MemoryAccess,
    ) -> Result<Id, EmitError> {
        let bytes = bytes_of(ty);
        let access = (access | MemoryAccess::ALIGNED).bits();
        if align >= bytes && ty != Type::I1 {
            let held = self.memory_type(ty)?;
            let pointer = self.buffer_pointer(address, held, bytes);
            return Ok(self.emit(Op::Load, held, &[pointer, access, align]));
        }
        let part = align.min(bytes);
        let held = self.module().int(part * 8);
        let mut parts = SmallVec::<[Id; 8]>::new();
        for n in 0..bytes / part {
            let at = self.offset_address(address, n * part);
            let pointer = self.buffer_pointer(at, held, part);
            parts.push(self.emit(Op::Load, held, &[pointer, access, part]));
        }
        let bits = self.join(&parts, part * 8, bytes * 8);
        self.value_of_bits(bits, ty)
    }

    fn store_address(
        &mut self,
        address: Id,
        value: Id,
        ty: Type,
        align: u32,
        access: MemoryAccess,
    ) -> Result<(), EmitError> {
        let bytes = bytes_of(ty);
        let access = (access | MemoryAccess::ALIGNED).bits();
        if align >= bytes && ty != Type::I1 {
            let held = self.memory_type(ty)?;
            let pointer = self.buffer_pointer(address, held, bytes);
            self.emit_void(Op::Store, &[pointer, value, access, align]);
            return Ok(());
        }
        let part = align.min(bytes);
        let held = self.module().int(part * 8);
        let bits = self.bits_of(value, ty)?;
        for n in 0..bytes / part {
            let at = self.offset_address(address, n * part);
            let pointer = self.buffer_pointer(at, held, part);
            let piece = self.piece(bits, bytes * 8, n, part * 8);
            self.emit_void(Op::Store, &[pointer, piece, access, part]);
        }
        Ok(())
    }

    fn offset_address(&mut self, address: Id, bytes: u32) -> Id {
        if bytes == 0 {
            return address;
        }
        let (ty, bytes) = (self.module().int(64), self.module().const_int(64, u64::from(bytes)));
        self.emit(Op::IAdd, ty, &[address, bytes])
    }

    /// Part `n` of a value of `bits` bits.
    pub(super) fn piece(&mut self, value: Id, bits: u32, n: u32, part: u32) -> Id {
        if bits == part {
            return value;
        }
        let mut value = value;
        if n != 0 {
            let (whole, count) =
                (self.module().int(bits), self.module().const_int(bits, u64::from(n * part)));
            value = self.emit(Op::ShiftRightLogical, whole, &[value, count]);
        }
        let ty = self.module().int(part);
        self.emit(Op::UConvert, ty, &[value])
    }

    /// A value of `bits` bits from its parts, the lowest first.
    pub(super) fn join(&mut self, parts: &[Id], part: u32, bits: u32) -> Id {
        let whole = self.module().int(bits);
        let mut result = 0;
        for (n, &value) in parts.iter().enumerate() {
            if part == bits {
                return value;
            }
            let mut value = self.emit(Op::UConvert, whole, &[value]);
            if n != 0 {
                let count = self.module().const_int(bits, n as u64 * u64::from(part));
                value = self.emit(Op::ShiftLeftLogical, whole, &[value, count]);
            }
            result = if n == 0 { value } else { self.emit(Op::BitwiseOr, whole, &[result, value]) };
        }
        result
    }

    /// A byte that is 0 or 1 as a truth value.
    pub(super) fn byte_to_truth(&mut self, byte: Id) -> Id {
        let (truth, zero) = (self.module().bool(), self.module().const_int(8, 0));
        self.emit(Op::INotEqual, truth, &[byte, zero])
    }

    fn truth_to_byte(&mut self, truth: Id) -> Id {
        let byte = self.module().int(8);
        let (one, zero) = (self.module().const_int(8, 1), self.module().const_int(8, 0));
        self.emit(Op::Select, byte, &[truth, one, zero])
    }

    /// A value as the integer that memory holds for it.
    pub(super) fn bits_of(&mut self, value: Id, ty: Type) -> Result<Id, EmitError> {
        match ty.as_scalar() {
            Some(Scalar::I1) => Ok(self.truth_to_byte(value)),
            Some(scalar) if scalar.is_float() && scalar != Scalar::BF16 => {
                let int = self.module().int(scalar.bits());
                Ok(self.emit(Op::Bitcast, int, &[value]))
            }
            _ => Ok(value),
        }
    }

    /// A value from the integer that memory holds for it.
    pub(super) fn value_of_bits(&mut self, bits: Id, ty: Type) -> Result<Id, EmitError> {
        match ty.as_scalar() {
            Some(Scalar::I1) => Ok(self.byte_to_truth(bits)),
            Some(scalar) if scalar.is_float() && scalar != Scalar::BF16 => {
                let float = self.module().float(scalar.bits());
                Ok(self.emit(Op::Bitcast, float, &[bits]))
            }
            _ => Ok(bits),
        }
    }
}

/// Bytes of a scalar or pointer in memory.
pub(super) fn bytes_of(ty: Type) -> u32 {
    ty.bits().unwrap_or(8).div_ceil(8)
}
