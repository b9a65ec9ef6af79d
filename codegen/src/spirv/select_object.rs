//! Selection of accesses to objects of Vulkan: shared memory, slots and constants, by index (see [`pointers`](super::pointers)).

use super::internal;
use super::module::Id;
use super::pointers::{Object, ObjectData};
use super::select::Selector;
use super::select_memory::bytes_of;
use crate::error::EmitError;
use marquetry_ir::types::{Space, Type};
use rspirv::spirv::{MemoryAccess, Op, StorageClass};
use smallvec::SmallVec;

/// Bits that mark a pointer as one to an object.
const OBJECT_TAG: u64 = 1 << 63;

impl Selector<'_, '_> {
    /// The pointer to the start of an object.
    pub(super) fn object_pointer(&mut self, object: Object) -> Id {
        self.module().const_int(64, OBJECT_TAG | u64::from(object) << 32)
    }

    /// The variable of an object and the type of its elements.
    fn object(&mut self, object: Object) -> Result<(Id, Id, StorageClass), EmitError> {
        let data = self.state.objects.list.get(object as usize);
        let data = data.ok_or_else(|| internal("an unknown object"))?.clone();
        let class = match data.space {
            Space::Shared => StorageClass::Workgroup,
            Space::Local if !data.elsewhere => StorageClass::Function,
            _ => StorageClass::Private,
        };
        let element = self.object_element(object)?;
        let mut variable = data.variable;
        if variable == 0 {
            let array = self.module().array(element, data.length());
            if class == StorageClass::Function {
                variable = self.local_variable(array);
            } else {
                let pointer = self.module().pointer(class, array);
                let mut operands: SmallVec<[u32; 2]> = SmallVec::from_slice(&[class as u32]);
                if let Some(global) = data.global.filter(|_| data.space == Space::Constant) {
                    operands.push(self.initial_value(array, data.element, data.length(), global)?);
                }
                variable = self.module().global(Op::Variable, pointer, &operands);
            }
            if let Some(data) = self.state.objects.list.get_mut(object as usize) {
                data.variable = variable;
            }
        }
        if class != StorageClass::Function {
            self.use_global(variable);
        }
        Ok((variable, element, class))
    }

    fn object_data(&self, object: Object) -> Result<&ObjectData, EmitError> {
        self.state.objects.list.get(object as usize).ok_or_else(|| internal("an unknown object"))
    }

    fn object_element(&mut self, object: Object) -> Result<Id, EmitError> {
        let data = self.object_data(object)?;
        let (bytes, float) = (data.element, data.float_add);
        if !float {
            return Ok(self.module().int(bytes * 8));
        }
        match bytes {
            4 | 8 => Ok(self.module().float(bytes * 8)),
            _ => Err(internal("atomic floats in memory that is accessed in parts")),
        }
    }

    /// A pointer to the `n`-th element from where a pointer to an object points.
    pub(super) fn element_pointer(
        &mut self,
        pointer: Id,
        object: Object,
        n: u32,
    ) -> Result<(Id, Id), EmitError> {
        let shift = self.object_data(object)?.element.trailing_zeros();
        let (variable, element, class) = self.object(object)?;
        let short = self.module().int(32);
        let mut index = self.emit(Op::UConvert, short, &[pointer]);
        if shift != 0 {
            let shift = self.module().u32(shift);
            index = self.emit(Op::ShiftRightLogical, short, &[index, shift]);
        }
        if n != 0 {
            let n = self.module().u32(n);
            index = self.emit(Op::IAdd, short, &[index, n]);
        }
        let ty = self.module().pointer(class, element);
        Ok((self.emit(Op::AccessChain, ty, &[variable, index]), element))
    }

    /// The memory operands that an object may have: `NonPrivatePointer` is for memory that others can see.
    fn object_access(&self, object: Object, access: MemoryAccess) -> Result<MemoryAccess, EmitError> {
        let shared = self.object_data(object)?.space == Space::Shared;
        Ok(if shared { access } else { access - MemoryAccess::NON_PRIVATE_POINTER })
    }

    fn load_object(
        &mut self,
        pointer: Id,
        object: Object,
        ty: Type,
        access: MemoryAccess,
    ) -> Result<Id, EmitError> {
        let (bytes, part) = (bytes_of(ty), self.object_data(object)?.element);
        let access = self.object_access(object, access)?;
        let int = self.module().int(part * 8);
        let mut parts = SmallVec::<[Id; 8]>::new();
        for n in 0..(bytes / part).max(1) {
            let (at, element) = self.element_pointer(pointer, object, n)?;
            let loaded = self.emit(Op::Load, element, &access_operands(at, access));
            parts.push(if element == int { loaded } else { self.emit(Op::Bitcast, int, &[loaded]) });
        }
        Ok(self.join(&parts, part * 8, bytes * 8))
    }

    fn store_object(
        &mut self,
        pointer: Id,
        object: Object,
        bits: Id,
        bytes: u32,
        access: MemoryAccess,
    ) -> Result<(), EmitError> {
        let part = self.object_data(object)?.element;
        let access = self.object_access(object, access)?;
        let int = self.module().int(part * 8);
        for n in 0..(bytes / part).max(1) {
            let piece = self.piece(bits, bytes * 8, n, part * 8);
            let (at, element) = self.element_pointer(pointer, object, n)?;
            let piece = if element == int { piece } else { self.emit(Op::Bitcast, element, &[piece]) };
            let mut operands: SmallVec<[u32; 4]> = SmallVec::from_slice(&[at, piece]);
            if access != MemoryAccess::NONE {
                operands.push(access.bits());
            }
            self.emit_void(Op::Store, &operands);
        }
        Ok(())
    }

    /// Whether a pointer points to an object.
    fn points_to(&mut self, pointer: Id, object: Object) -> Id {
        let (long, short, truth) = (self.module().int(64), self.module().int(32), self.module().bool());
        let half = self.module().const_int(64, 32);
        let high = self.emit(Op::ShiftRightLogical, long, &[pointer, half]);
        let tag = self.emit(Op::UConvert, short, &[high]);
        let wanted = self.module().u32((OBJECT_TAG >> 32) as u32 | object);
        self.emit(Op::IEqual, truth, &[tag, wanted])
    }

    /// Loads from one of several objects: from each at an offset that is right if it is the one, else 0.
    pub(super) fn load_objects(
        &mut self,
        pointer: Id,
        list: &[Object],
        ty: Type,
        access: MemoryAccess,
    ) -> Result<Id, EmitError> {
        if let &[object] = list {
            return self.load_object(pointer, object, ty, access);
        }
        let (long, int) = (self.module().int(64), self.module().int(bytes_of(ty) * 8));
        let zero = self.module().const_int(64, 0);
        let mut result = self.module().const_int(bytes_of(ty) * 8, 0);
        for &object in list {
            if self.object_data(object)?.bytes < u64::from(bytes_of(ty)) {
                continue;
            }
            let here = self.points_to(pointer, object);
            let offset = self.emit(Op::Select, long, &[here, pointer, zero]);
            let loaded = self.load_object(offset, object, ty, access)?;
            result = self.emit(Op::Select, int, &[here, loaded, result]);
        }
        Ok(result)
    }

    /// Stores to one of several objects: a selection for each.
    pub(super) fn store_objects(
        &mut self,
        pointer: Id,
        list: &[Object],
        bits: Id,
        ty: Type,
        access: MemoryAccess,
    ) -> Result<(), EmitError> {
        let bytes = bytes_of(ty);
        if let &[object] = list {
            return self.store_object(pointer, object, bits, bytes, access);
        }
        for &object in list {
            if self.object_data(object)?.bytes < u64::from(bytes) {
                continue;
            }
            let here = self.points_to(pointer, object);
            let (then, merge) = (self.module().id(), self.module().id());
            self.emit_void(Op::SelectionMerge, &[merge, 0]);
            self.emit_void(Op::BranchConditional, &[here, then, merge]);
            self.emit_void(Op::Label, &[then]);
            self.store_object(pointer, object, bits, bytes, access)?;
            self.emit_void(Op::Branch, &[merge]);
            self.emit_void(Op::Label, &[merge]);
        }
        Ok(())
    }

    /// Begins a selection by whether a pointer points to an object; the code for objects comes first. Gives the
    /// labels of both arms and of the end.
    pub(super) fn fork(&mut self, pointer: Id) -> [Id; 3] {
        let (truth, zero) = (self.module().bool(), self.module().const_int(64, 0));
        let labels = [self.module().id(), self.module().id(), self.module().id()];
        let [yes, no, merge] = labels;
        let is_object = self.emit(Op::SLessThan, truth, &[pointer, zero]);
        self.emit_void(Op::SelectionMerge, &[merge, 0]);
        self.emit_void(Op::BranchConditional, &[is_object, yes, no]);
        self.emit_void(Op::Label, &[yes]);
        labels
    }
}

fn access_operands(pointer: Id, access: MemoryAccess) -> SmallVec<[u32; 2]> {
    let mut operands = SmallVec::from_slice(&[pointer]);
    if access != MemoryAccess::NONE {
        operands.push(access.bits());
    }
    operands
}
