//! Types, constants and memory flags in Cranelift's terms.

use crate::error::EmitError;
use cranelift_codegen::cursor::FuncCursor;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{self, InstBuilder, types};
use marquetry_ir::types::{Aggregate, Scalar, Type, TypeKind, Types};

/// How a value of this type is held; none for what legalisation takes apart.
pub(super) fn clif_type(ty: Type) -> Option<ir::Type> {
    Some(match ty.kind() {
        TypeKind::Scalar(scalar) => match scalar {
            Scalar::I1 | Scalar::I8 => types::I8,
            Scalar::I16 | Scalar::F16 | Scalar::BF16 => types::I16,
            Scalar::I32 => types::I32,
            Scalar::I64 => types::I64,
            Scalar::I128 => types::I128,
            Scalar::F32 => types::F32,
            Scalar::F64 => types::F64,
        },
        TypeKind::Pointer(_) => types::I64,
        TypeKind::Vector(lane, lanes) if lane.bits() * lanes == 128 && lane != Scalar::I1 => {
            return clif_type(Type::scalar(lane))?.by(lanes);
        }
        TypeKind::Vector(..) | TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => return None,
    })
}

/// As [`clif_type`], where legalisation promised that there is one.
pub(super) fn held(ty: Type) -> Result<ir::Type, EmitError> {
    clif_type(ty).ok_or_else(|| EmitError::Internal(format!("type {ty} was not legalised for native code")))
}

/// The integer of as many bits.
pub(super) fn as_int(ty: ir::Type) -> ir::Type {
    match ty {
        types::F32 => types::I32,
        types::F64 => types::I64,
        other => other,
    }
}

/// A constant at the cursor.
pub(super) fn constant(cursor: &mut FuncCursor<'_>, ty: ir::Type, bits: u128) -> ir::Value {
    match ty {
        types::F32 => cursor.ins().f32const(Ieee32::with_bits(bits as u32)),
        types::F64 => cursor.ins().f64const(Ieee64::with_bits(bits as u64)),
        types::I128 => {
            let low = cursor.ins().iconst(types::I64, bits as u64 as i64);
            let high = cursor.ins().iconst(types::I64, (bits >> 64) as u64 as i64);
            cursor.ins().iconcat(low, high)
        }
        // Cranelift wants the bits above the type's width to be zero.
        _ => {
            let mask = if ty.bits() >= 64 { u64::MAX } else { (1 << ty.bits()) - 1 };
            cursor.ins().iconst(ty, (bits as u64 & mask) as i64)
        }
    }
}

/// A vector constant at the cursor.
pub(super) fn vector_constant(cursor: &mut FuncCursor<'_>, ty: ir::Type, lanes: &[u128]) -> ir::Value {
    let lane_bytes = ty.lane_type().bytes() as usize;
    let bytes = lanes.iter().flat_map(|lane| lane.to_le_bytes().into_iter().take(lane_bytes));
    let data: Vec<u8> = bytes.collect();
    let constant = cursor.func.dfg.constants.insert(data.into());
    cursor.ins().vconst(ty, constant)
}

/// Reverses the bytes of each scalar in the little-endian image of a value.
pub(super) fn swap_scalars(types: &Types, ty: Type, image: &mut [u8]) {
    let mut work = vec![(ty, 0u64)];
    let mut swap = |at: u64, size: u64| {
        let range = usize::try_from(at).ok().zip(usize::try_from(at + size).ok());
        if let Some(bytes) = range.and_then(|(start, end)| image.get_mut(start..end)) {
            bytes.reverse();
        }
    };
    while let Some((ty, at)) = work.pop() {
        match ty.kind() {
            // There may be very many of these, and none has a byte.
            TypeKind::Aggregate(_) if types.layout(ty).is_none_or(|layout| layout.size == 0) => {}
            TypeKind::Scalar(scalar) => swap(at, scalar.bytes()),
            TypeKind::Pointer(_) => swap(at, 8),
            TypeKind::Vector(lane, lanes) => {
                (0..u64::from(lanes)).for_each(|n| swap(at + n * lane.bytes(), lane.bytes()));
            }
            TypeKind::Aggregate(_) => match types.aggregate(ty) {
                // A long array is walked without listing its elements first, where they are scalars.
                Some(&Aggregate::Array { element, length }) => {
                    let Some(layout) = types.layout(element) else { continue };
                    match element.kind() {
                        TypeKind::Scalar(_) | TypeKind::Pointer(_) => {
                            (0..length).for_each(|n| swap(at + n * layout.size, layout.size));
                        }
                        _ => work.extend((0..length).map(|n| (element, at + n * layout.size))),
                    }
                }
                Some(Aggregate::Struct { fields, .. }) => {
                    let fields = fields.iter().enumerate();
                    work.extend(fields.filter_map(|(n, &(_, field))| {
                        Some((field, at + types.field_offset(ty, n as u64)?))
                    }));
                }
                Some(Aggregate::Singleton(_)) | None => {}
            },
            TypeKind::Unknown | TypeKind::Error => {}
        }
    }
}
