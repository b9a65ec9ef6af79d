//! Types and constants.
//!
//! | type | in registers | in memory |
//! |---|---|---|
//! | `i1` | `bool` | a byte, 0 or 1 |
//! | `i8` ... `i64`, `f16`, `f32`, `f64` | themselves (integers without sign) | the same |
//! | `bf16` | a 16-bit integer | the same |
//! | pointers, OpenCL | `uchar*` of the space's storage class | the same |
//! | pointers, Vulkan | a 64-bit integer | the same |

use super::internal;
use super::module::{Id, Module};
use crate::error::EmitError;
use marquetry_ir::types::{Scalar, Space, Type, TypeKind};
use rspirv::spirv as spv;
use rspirv::spirv::{Capability, Op, StorageClass};
use smallvec::SmallVec;

/// The storage class of an address space in OpenCL.
pub(super) fn storage_class(space: Space) -> StorageClass {
    match space {
        Space::Generic => StorageClass::Generic,
        Space::Global => StorageClass::CrossWorkgroup,
        Space::Shared => StorageClass::Workgroup,
        Space::Constant | Space::Param => StorageClass::UniformConstant,
        Space::Local => StorageClass::Function,
    }
}

/// The place of a width in the tables of types: up to 128 bits.
fn log2(bits: u32) -> usize {
    (bits.trailing_zeros() & 7) as usize
}

impl Module {
    /// `void`.
    pub(super) fn void(&mut self) -> Id {
        self.intern_type(Op::TypeVoid, &[])
    }

    /// `bool`.
    pub(super) fn bool(&mut self) -> Id {
        self.intern_type(Op::TypeBool, &[])
    }

    /// An integer of 8, 16, 32 or 64 bits; signedness is a matter of the ops.
    pub(super) fn int(&mut self, bits: u32) -> Id {
        let known = self.ints[log2(bits)];
        if known != 0 {
            return known;
        }
        match bits {
            8 => self.caps.add(Capability::Int8),
            16 => self.caps.add(Capability::Int16),
            64 => self.caps.add(Capability::Int64),
            _ => {}
        }
        let id = self.intern_type(Op::TypeInt, &[bits, 0]);
        self.ints[log2(bits)] = id;
        id
    }

    /// A float of 16, 32 or 64 bits.
    pub(super) fn float(&mut self, bits: u32) -> Id {
        let known = self.floats[log2(bits)];
        if known != 0 {
            return known;
        }
        match bits {
            16 => self.caps.add(Capability::Float16),
            64 => self.caps.add(Capability::Float64),
            _ => {}
        }
        let id = self.intern_type(Op::TypeFloat, &[bits]);
        self.floats[log2(bits)] = id;
        id
    }

    /// A vector of integers.
    pub(super) fn int_vector(&mut self, bits: u32, lanes: u32) -> Id {
        let lane = self.int(bits);
        self.intern_type(Op::TypeVector, &[lane, lanes])
    }

    /// A pointer type.
    pub(super) fn pointer(&mut self, class: StorageClass, pointee: Id) -> Id {
        match class {
            StorageClass::Generic => self.caps.add(Capability::GenericPointer),
            StorageClass::PhysicalStorageBuffer => self.caps.add(Capability::PhysicalStorageBufferAddresses),
            _ => {}
        }
        self.intern_type(Op::TypePointer, &[class as u32, pointee])
    }

    /// An array type without layout.
    pub(super) fn array(&mut self, element: Id, length: u64) -> Id {
        let length = self.const_int(32, length);
        self.intern_type(Op::TypeArray, &[element, length])
    }

    /// The type of a scalar in registers.
    pub(super) fn scalar(&mut self, scalar: Scalar) -> Id {
        match scalar {
            Scalar::I1 => self.bool(),
            Scalar::BF16 => self.int(16),
            Scalar::F16 | Scalar::F32 | Scalar::F64 => self.float(scalar.bits()),
            _ => self.int(scalar.bits()),
        }
    }

    /// The type of a scalar or pointer in registers; none for what legal units do not have.
    pub(super) fn value_type(&mut self, ty: Type) -> Option<Id> {
        match ty.kind() {
            TypeKind::Scalar(Scalar::I128) => None,
            TypeKind::Scalar(scalar) => Some(self.scalar(scalar)),
            TypeKind::Pointer(_) if self.is_vulkan() => Some(self.int(64)),
            TypeKind::Pointer(space) => Some(self.byte_pointer(space)),
            TypeKind::Vector(..) | TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => None,
        }
    }

    /// `uchar*` of an address space, for OpenCL.
    pub(super) fn byte_pointer(&mut self, space: Space) -> Id {
        let byte = self.int(8);
        self.pointer(storage_class(space), byte)
    }

    /// The type of a scalar or pointer in memory.
    pub(super) fn memory_type(&mut self, ty: Type) -> Option<Id> {
        if ty == Type::I1 { Some(self.int(8)) } else { self.value_type(ty) }
    }

    /// An integer constant.
    pub(super) fn const_int(&mut self, bits: u32, value: u64) -> Id {
        let ty = self.int(bits);
        let value = if bits < 64 { value & ((1 << bits) - 1) } else { value };
        if bits == 64 {
            self.intern_const(Op::Constant, ty, &[value as u32, (value >> 32) as u32])
        } else {
            self.intern_const(Op::Constant, ty, &[value as u32])
        }
    }

    /// `uint` constant.
    pub(super) fn u32(&mut self, value: u32) -> Id {
        self.const_int(32, u64::from(value))
    }

    /// A truth value.
    pub(super) fn const_bool(&mut self, value: bool) -> Id {
        let ty = self.bool();
        self.intern_const(if value { Op::ConstantTrue } else { Op::ConstantFalse }, ty, &[])
    }

    /// A scalar constant from its bits.
    pub(super) fn const_scalar(&mut self, scalar: Scalar, bits: u64) -> Id {
        match scalar {
            Scalar::I1 => self.const_bool(bits & 1 != 0),
            Scalar::F16 | Scalar::F32 | Scalar::F64 => {
                let ty = self.float(scalar.bits());
                let low = bits as u32;
                match scalar {
                    Scalar::F64 => self.intern_const(Op::Constant, ty, &[low, (bits >> 32) as u32]),
                    Scalar::F16 => self.intern_const(Op::Constant, ty, &[low & 0xffff]),
                    _ => self.intern_const(Op::Constant, ty, &[low]),
                }
            }
            _ => self.const_int(scalar.bits(), bits),
        }
    }

    /// A module-scope variable that the device fills in.
    pub(super) fn builtin(&mut self, builtin: spv::BuiltIn, ty: Id) -> Id {
        let pointer = self.pointer(StorageClass::Input, ty);
        let id = self.global(Op::Variable, pointer, &[StorageClass::Input as u32]);
        self.decorate(id, spv::Decoration::BuiltIn, &[builtin as u32]);
        id
    }
}

/// Types of parameters and results.
impl Module {
    /// What a function with these results returns: nothing, the one, or a struct of all.
    pub(super) fn result_type(&mut self, results: &[Type]) -> Result<Id, EmitError> {
        let mut types = SmallVec::<[Id; 4]>::new();
        for &result in results {
            let id = self.value_type(result);
            types.push(id.ok_or_else(|| internal(&format!("a result of type {result} in a legal unit")))?);
        }
        Ok(match types.as_slice() {
            [] => self.void(),
            [one] => *one,
            many => self.intern_type(Op::TypeStruct, many),
        })
    }

    /// What a kernel of OpenCL takes for a parameter: truth values as bytes, generic pointers as global ones.
    pub(super) fn kernel_parameter(&mut self, ty: Type) -> Result<Id, EmitError> {
        match ty.kind() {
            TypeKind::Scalar(Scalar::I1) => Ok(self.int(8)),
            TypeKind::Pointer(Space::Generic) => Ok(self.byte_pointer(Space::Global)),
            TypeKind::Pointer(Space::Local | Space::Param) => {
                Err(internal(&format!("a kernel parameter of type {ty}")))
            }
            _ => self
                .value_type(ty)
                .ok_or_else(|| internal(&format!("a parameter of type {ty} in a legal unit"))),
        }
    }
}
