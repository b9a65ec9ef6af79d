//! Selection of addresses, loads and stores.
//!
//! OpenCL has typed pointers into every space: all are `uchar*` here, cast to what an access wants. Vulkan has addresses of
//! buffers, as 64-bit integers converted to pointers where they are used, and objects (see [`pointers`](super::pointers)).
//! Accesses that other work-items may see are `NonPrivatePointer` in Vulkan: without it, its memory model orders them with
//! nothing, barriers included.

use super::module::{Id, MAX_OPERANDS};
use super::select::Selector;
use super::{internal, types};
use crate::error::EmitError;
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Global, Inst, SymbolRef, Value};
use marquetry_ir::inst::MemFlags;
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Space, Type};
use rspirv::spirv::{Capability, Decoration, MemoryAccess, Op, StorageClass};
use smallvec::SmallVec;

impl Selector<'_, '_> {
    /// Selects an op that makes a pointer, or a number of one.
    pub fn address_op(&mut self, inst: Inst, op: IrOp) -> Result<Id, EmitError> {
        let data = self.body.inst(inst);
        let result = self.body.first_result(inst).map_or(Type::ERROR, |v| self.body.value_type(v));
        match op {
            IrOp::Slot => return self.slot(inst, data.ty),
            IrOp::GlobalAddress => {
                let Symbol::Global(global) = self.body.symbol(SymbolRef::from_u32(data.imm)) else {
                    return Err(internal("an address of a name in a legal unit"));
                };
                return self.global_address(*global, result);
            }
            _ => {}
        }
        let args = self.operands(inst)?;
        let first = self.arg_type(inst, 0);
        let layout = |ty| self.unit.types.layout(ty).ok_or_else(|| internal("a type without layout"));
        match op {
            IrOp::PtrAdd => self.move_pointer(args[0], first, args[1]),
            IrOp::FieldAddress => {
                let offset = self.unit.types.field_offset(data.ty, u64::from(data.imm));
                let offset = offset.ok_or_else(|| internal("a field that does not exist"))?;
                if offset == 0 {
                    return Ok(args[0]);
                }
                let offset = self.module().const_int(64, offset);
                self.move_pointer(args[0], first, offset)
            }
            IrOp::Index => {
                let size = layout(data.ty)?.size;
                let bits = self.arg_scalar(inst, 1)?.bits();
                let long = self.module().int(64);
                let mut index = args[1];
                if bits < 64 {
                    index = self.emit(Op::SConvert, long, &[index]);
                }
                if size != 1 {
                    let size = self.module().const_int(64, size);
                    index = self.emit(Op::IMul, long, &[index, size]);
                }
                self.move_pointer(args[0], first, index)
            }
            _ if self.is_vulkan() => Ok(args[0]),
            IrOp::PtrToInt => {
                let long = self.module().int(64);
                Ok(self.emit(Op::ConvertPtrToU, long, &args))
            }
            IrOp::IntToPtr => {
                let ty = self.type_id(result)?;
                Ok(self.emit(Op::ConvertUToPtr, ty, &args))
            }
            IrOp::SpaceCast => self.cast_space(args[0], first, result),
            _ => Err(internal(&format!("'{op}' is no address"))),
        }
    }

    fn move_pointer(&mut self, pointer: Id, ty: Type, bytes: Id) -> Result<Id, EmitError> {
        let ty = self.type_id(ty)?;
        let op = if self.is_vulkan() { Op::IAdd } else { Op::PtrAccessChain };
        Ok(self.emit(op, ty, &[pointer, bytes]))
    }

    /// Constant memory is no part of the generic space (OpenCL C 6.7.5), so its addresses go through integers.
    fn cast_space(&mut self, pointer: Id, from: Type, to: Type) -> Result<Id, EmitError> {
        let ty = self.type_id(to)?;
        let constant = [from, to].iter().any(|t| matches!(t.space(), Some(Space::Constant | Space::Param)));
        if constant {
            let long = self.module().int(64);
            let number = self.emit(Op::ConvertPtrToU, long, &[pointer]);
            return Ok(self.emit(Op::ConvertUToPtr, ty, &[number]));
        }
        let generic = to.space() == Some(Space::Generic);
        Ok(self.emit(if generic { Op::PtrCastToGeneric } else { Op::GenericCastToPtr }, ty, &[pointer]))
    }

    fn slot(&mut self, inst: Inst, ty: Type) -> Result<Id, EmitError> {
        if self.is_vulkan() {
            let object =
                self.state.objects.slot(self.func, inst).ok_or_else(|| internal("an unknown slot"))?;
            return Ok(self.object_pointer(object));
        }
        let layout = self.unit.types.layout(ty).ok_or_else(|| internal("a slot without layout"))?;
        let byte = self.module().int(8);
        let array = self.module().array(byte, layout.size.max(1));
        let variable = self.local_variable(array);
        // Slots are aligned so that vectors of any type may be put there.
        self.module().decorate(variable, Decoration::Alignment, &[layout.align]);
        let pointer = self.module().byte_pointer(Space::Local);
        Ok(self.in_prologue(|s| s.emit(Op::Bitcast, pointer, &[variable])))
    }

    fn in_prologue<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.in_prologue, true);
        let result = f(self);
        self.in_prologue = before;
        result
    }

    fn global_address(&mut self, global: Global, result: Type) -> Result<Id, EmitError> {
        let data = &self.unit.globals[global];
        if self.is_vulkan() {
            return match self.state.objects.global(global) {
                Some(object) => Ok(self.object_pointer(object)),
                None => Err(EmitError::Target(format!(
                    "Vulkan: global '{}' is in global memory; pass a buffer to the kernel instead",
                    data.name
                ))),
            };
        }
        let variable = match self.state.globals.get(&global) {
            Some(&id) => id,
            None => {
                let id = self.global_variable(global)?;
                self.state.globals.insert(global, id);
                id
            }
        };
        self.use_global(variable);
        let pointer = self.module().byte_pointer(data.space);
        let address = self.in_prologue(|s| s.emit(Op::Bitcast, pointer, &[variable]));
        if result.space() == Some(data.space) {
            return Ok(address);
        }
        let from = Type::pointer(data.space);
        self.in_prologue(|s| s.cast_space(address, from, result))
    }

    /// A variable of OpenCL for a global: an array of integers as wide as its alignment.
    fn global_variable(&mut self, global: Global) -> Result<Id, EmitError> {
        let data = &self.unit.globals[global];
        let layout = self.unit.types.layout(data.ty).ok_or_else(|| internal("a global without layout"))?;
        let element = layout.align.clamp(1, 8);
        let length = layout.size.div_ceil(u64::from(element)).max(1);
        let class = types::storage_class(data.space);
        let integer = self.module().int(element * 8);
        let array = self.module().array(integer, length);
        let pointer = self.module().pointer(class, array);
        let mut operands: SmallVec<[u32; 2]> = SmallVec::from_slice(&[class as u32]);
        if data.space != Space::Shared {
            operands.push(self.initial_value(array, element, length, data.init.as_deref())?);
        }
        let variable = self.module().global(Op::Variable, pointer, &operands);
        self.module().decorate(variable, Decoration::Alignment, &[layout.align]);
        if data.space == Space::Constant {
            self.module().decorate(variable, Decoration::Constant, &[]);
        }
        Ok(variable)
    }

    /// An array constant from the bytes of a global.
    pub fn initial_value(
        &mut self,
        array: Id,
        element: u32,
        length: u64,
        init: Option<&[u8]>,
    ) -> Result<Id, EmitError> {
        let Some(bytes) = init else { return Ok(self.module().intern_const(Op::ConstantNull, array, &[])) };
        if length > MAX_OPERANDS as u64 {
            let limit = MAX_OPERANDS as u64;
            return Err(EmitError::limit("elements of an initialised global", limit, length));
        }
        let mut elements: Vec<Id> = Vec::with_capacity(length as usize);
        for chunk in bytes.chunks(element as usize) {
            let value = chunk.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
            elements.push(self.module().const_int(element * 8, value));
        }
        let zero = self.module().const_int(element * 8, 0);
        elements.resize(length as usize, zero);
        Ok(self.module().intern_const(Op::ConstantComposite, array, &elements))
    }

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
    pub fn load(&mut self, inst: Inst) -> Result<Id, EmitError> {
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
    pub fn store(&mut self, inst: Inst) -> Result<(), EmitError> {
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
    pub fn two(&self, inst: Inst) -> Result<[Value; 2], EmitError> {
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
    pub fn cast_pointer(&mut self, pointer: Id, class: StorageClass, pointee: Id) -> Id {
        let byte = self.module().int(8);
        if pointee == byte {
            return pointer;
        }
        let ty = self.module().pointer(class, pointee);
        self.emit(Op::Bitcast, ty, &[pointer])
    }

    /// A pointer of Vulkan from the address of a buffer.
    pub fn buffer_pointer(&mut self, address: Id, pointee: Id, bytes: u32) -> Id {
        match bytes {
            1 => self.module().caps.add(Capability::StorageBuffer8BitAccess),
            2 => self.module().caps.add(Capability::StorageBuffer16BitAccess),
            _ => {}
        }
        let ty = self.module().pointer(StorageClass::PhysicalStorageBuffer, pointee);
        self.emit(Op::ConvertUToPtr, ty, &[address])
    }

    /// A value of a buffer at an address, in parts if it is not aligned.
    pub fn load_address(
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
    pub fn piece(&mut self, value: Id, bits: u32, n: u32, part: u32) -> Id {
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
    pub fn join(&mut self, parts: &[Id], part: u32, bits: u32) -> Id {
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
    pub fn byte_to_truth(&mut self, byte: Id) -> Id {
        let (truth, zero) = (self.module().bool(), self.module().const_int(8, 0));
        self.emit(Op::INotEqual, truth, &[byte, zero])
    }

    fn truth_to_byte(&mut self, truth: Id) -> Id {
        let byte = self.module().int(8);
        let (one, zero) = (self.module().const_int(8, 1), self.module().const_int(8, 0));
        self.emit(Op::Select, byte, &[truth, one, zero])
    }

    /// A value as the integer that memory holds for it.
    pub fn bits_of(&mut self, value: Id, ty: Type) -> Result<Id, EmitError> {
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
    pub fn value_of_bits(&mut self, bits: Id, ty: Type) -> Result<Id, EmitError> {
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
