//! Values of the program's types as parameters and results of lowered signatures.
//!
//! A target that does not hold a type takes its values in parts: a vector lane by lane or half by half, a wide integer
//! in two halves, low first. The bytes of the parts, one after the other, are the bytes of the value, so that it is cut
//! and put together without knowing how it was lowered.

use super::EngineError;
use crate::stack::{CallStack, Exhausted};
use crate::value::{HostArg, HostValue, regroup};
use marquetry_codegen::artifact::{Slot, argument_block};
use marquetry_codegen::native::{StackLimit, StackNeeds};
use marquetry_ir::types::{Scalar, Type, TypeKind, Types};

/// What values of these types are held as: newtypes are what they are newtypes of.
pub(crate) fn held(types: &Types, list: &[Type]) -> Vec<Type> {
    list.iter().map(|&ty| types.underlying(ty)).collect()
}

/// Runs a call of native code, on a stack of its own where it needs one.
///
/// # Safety
/// As for [`CallStack::run`].
#[allow(unsafe_code, reason = "the caller vouches for the code that it runs")]
pub(crate) unsafe fn on_stack(
    stack: &mut CallStack,
    needs: &StackNeeds,
    call: impl FnOnce(Option<&StackLimit>),
) -> Result<Result<(), Exhausted>, EngineError> {
    if !CallStack::is_wanted(needs) {
        call(None);
        return Ok(Ok(()));
    }
    // SAFETY: the caller's promise.
    let done = unsafe { stack.run(needs, |limit| call(Some(limit))) };
    done.map_err(|error| EngineError::Failed(format!("no memory for the stack: {error}")))
}

/// What is passed for one lowered parameter.
pub(crate) enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The address of the buffer that is this argument.
    Buffer(usize),
    /// A null pointer.
    Null,
}

fn size(ty: Type) -> usize {
    match ty.kind() {
        TypeKind::Scalar(scalar) => scalar.bytes() as usize,
        TypeKind::Vector(lane, lanes) => lane.bytes() as usize * lanes as usize,
        TypeKind::Pointer(_) => Scalar::I64.bytes() as usize,
        TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => 0,
    }
}

fn unfit() -> EngineError {
    EngineError::Failed("the arguments do not fit the lowered signature".into())
}

/// Cuts arguments into the parts that the first parameters of a lowered signature take.
pub(crate) fn split(args: &[HostArg], params: &[Type]) -> Result<Vec<Part>, EngineError> {
    let mut params = params.iter();
    let mut parts = Vec::with_capacity(params.len());
    for (n, arg) in args.iter().enumerate() {
        match arg {
            HostArg::Buffer { .. } => {
                params.next().filter(|ty| ty.is_pointer()).ok_or_else(unfit)?;
                parts.push(Part::Buffer(n));
            }
            HostArg::Value(value) if value.ty().is_pointer() => {
                params.next().filter(|ty| ty.is_pointer()).ok_or_else(unfit)?;
                parts.push(Part::Null);
            }
            HostArg::Value(value) => {
                let bytes = value.to_bytes();
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let size =
                        params.next().map(|&ty| size(ty)).filter(|&size| size > 0).ok_or_else(unfit)?;
                    let (part, tail) = rest.split_at_checked(size).ok_or_else(unfit)?;
                    parts.push(Part::Bytes(part.to_vec()));
                    rest = tail;
                }
            }
        }
    }
    Ok(parts)
}

/// The argument block of native code: parts at their places, buffers by their addresses.
pub(crate) fn pack(args: &mut [HostArg], params: &[Type]) -> Result<Vec<u8>, EngineError> {
    let address = |arg: &mut HostArg| match arg {
        HostArg::Buffer { bytes, .. } => bytes.as_mut_ptr() as u64,
        HostArg::Value(_) => 0,
    };
    let addresses: Vec<u64> = args.iter_mut().map(address).collect();
    let (slots, size) = argument_block(params);
    let mut block = vec![0; size as usize];
    let parts = split(args, params)?;
    if parts.len() != slots.len() {
        return Err(unfit());
    }
    for (slot, part) in slots.iter().zip(parts) {
        let bytes = match part {
            Part::Bytes(bytes) => bytes,
            Part::Buffer(n) => addresses.get(n).copied().unwrap_or(0).to_le_bytes().to_vec(),
            Part::Null => vec![0; 8],
        };
        let start = slot.offset as usize;
        block.get_mut(start..start + bytes.len()).ok_or_else(unfit)?.copy_from_slice(&bytes);
    }
    Ok(block)
}

/// Puts values of these types together from a block that holds lowered results.
pub(crate) fn join(types: &[Type], lowered: &[Type], block: &[u8]) -> Result<Vec<HostValue>, EngineError> {
    if types.iter().any(|ty| ty.is_aggregate()) {
        return Err(EngineError::Unsupported("aggregates do not pass to the host".into()));
    }
    let read = |(slot, &ty): (Slot, &Type)| {
        let bytes = block.get(slot.offset as usize..(slot.offset + slot.size) as usize)?;
        HostValue::from_bytes(ty, bytes)
    };
    let parts: Option<Vec<HostValue>> =
        argument_block(lowered).0.into_iter().zip(lowered).map(read).collect();
    let values = parts.and_then(|parts| regroup(&parts, types));
    values.ok_or_else(|| EngineError::Failed("the results do not fit the lowered signature".into()))
}
