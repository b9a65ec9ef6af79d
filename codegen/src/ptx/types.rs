//! Register classes, and which suffix an instruction has for which type.
//!
//! Registers are untyped (`.b32` and not `.f32`), so that a bitcast between an integer and a float of the same
//! width costs nothing. What a register of a class holds for a type is one invariant, kept by every instruction:
//!
//! | type | register |
//! |---|---|
//! | `i1` | predicate |
//! | `i8`, `i16` | `.b32`, upper bits 0 |
//! | `i32`, `f32` | `.b32` |
//! | `f16`, `bf16` | `.b16` |
//! | `i64`, `f64`, pointers | `.b64` |

use crate::error::EmitError;
use marquetry_ir::types::{Scalar, Space, Type, TypeKind};

/// Classes of registers.
#[derive(Copy, Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Class {
    Pred,
    B16,
    B32,
    B64,
}

impl Class {
    pub(super) const ALL: [Class; 4] = [Class::Pred, Class::B16, Class::B32, Class::B64];

    /// The type in declarations and moves.
    pub(super) const fn suffix(self) -> &'static str {
        [".pred", ".b16", ".b32", ".b64"][self as usize]
    }

    /// What names of registers start with.
    pub(super) const fn prefix(self) -> &'static str {
        ["%p", "%h", "%r", "%d"][self as usize]
    }
}

/// The class that holds values of a type.
pub(super) fn class_of(ty: Type) -> Result<Class, EmitError> {
    Ok(match ty.kind() {
        TypeKind::Scalar(Scalar::I1) => Class::Pred,
        TypeKind::Scalar(Scalar::F16 | Scalar::BF16) => Class::B16,
        TypeKind::Scalar(Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::F32) => Class::B32,
        TypeKind::Scalar(Scalar::I64 | Scalar::F64) | TypeKind::Pointer(_) => Class::B64,
        _ => return Err(EmitError::Internal(format!("type {ty} is not legal for PTX"))),
    })
}

/// Width of a scalar or pointer.
pub(super) fn bits_of(ty: Type) -> u32 {
    ty.bits().unwrap_or(64)
}

/// The suffix of signed arithmetic on the register that holds so many bits.
pub(super) const fn signed(bits: u32) -> &'static str {
    if bits > 32 { ".s64" } else { ".s32" }
}

/// The suffix of unsigned arithmetic on the register that holds so many bits.
pub(super) const fn unsigned(bits: u32) -> &'static str {
    if bits > 32 { ".u64" } else { ".u32" }
}

/// The suffix of bitwise operations on the register that holds so many bits.
pub(super) const fn untyped(bits: u32) -> &'static str {
    if bits > 32 { ".b64" } else { ".b32" }
}

/// The suffix of float arithmetic.
pub(super) fn float(ty: Type) -> Result<&'static str, EmitError> {
    Ok(match ty {
        Type::F16 => ".f16",
        Type::BF16 => ".bf16",
        Type::F32 => ".f32",
        Type::F64 => ".f64",
        _ => return Err(EmitError::Internal(format!("type {ty} where a float is wanted"))),
    })
}

/// The suffix of loads and stores. Loads into wider registers fill with zeros (PTX ISA 9.4.1, "Operand Size
/// Exceeding Instruction-Type Size"), which keeps the invariant for `i8` and `i16`.
pub(super) fn memory(ty: Type) -> Result<&'static str, EmitError> {
    Ok(match ty.kind() {
        TypeKind::Scalar(Scalar::I1 | Scalar::I8) => ".u8",
        TypeKind::Scalar(Scalar::I16) => ".u16",
        TypeKind::Scalar(Scalar::F16 | Scalar::BF16) => ".b16",
        TypeKind::Scalar(Scalar::I32 | Scalar::F32) => ".b32",
        TypeKind::Scalar(Scalar::I64 | Scalar::F64) | TypeKind::Pointer(_) => ".b64",
        _ => return Err(EmitError::Internal(format!("type {ty} is not legal for PTX"))),
    })
}

/// The state space of an address space. Constant memory is global memory that is read through the non-coherent
/// path: a `ptr<constant>` may come from the host, which cannot pass addresses of `.const`.
pub(super) const fn space(space: Space) -> &'static str {
    match space {
        Space::Generic => "",
        Space::Global | Space::Constant => ".global",
        Space::Shared => ".shared",
        Space::Local => ".local",
        Space::Param => ".param",
    }
}
