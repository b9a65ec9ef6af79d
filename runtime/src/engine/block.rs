//! Arguments and results in blocks.
//!
//! The signature of compiled code is the one after legalisation: a vector that the target has not is passed as several
//! smaller vectors or scalars, one after the other. Their bytes in order are the bytes of the vector.

use super::EngineError;
use crate::value::{HostArg, HostValue};
use marquetry_codegen::artifact::argument_block;
use marquetry_ir::types::Type;

/// The bytes of an argument block, buffers by their addresses.
pub(super) fn pack(types: &[Type], args: &mut [HostArg]) -> Vec<u8> {
    let (slots, size) = argument_block(types);
    let mut block = vec![0; size as usize];
    let mut slots = slots.iter();
    for arg in args {
        let bytes = match arg {
            HostArg::Value(value) => value.to_bytes(),
            HostArg::Buffer { bytes, .. } => (bytes.as_mut_ptr() as u64).to_le_bytes().to_vec(),
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let Some(slot) = slots.next() else { return block };
            let (part, tail) = rest.split_at(rest.len().min(slot.size as usize));
            let start = slot.offset as usize;
            if let Some(place) = block.get_mut(start..start + part.len()) {
                place.copy_from_slice(part);
            }
            rest = tail;
        }
    }
    block
}

/// The values as parameters of these types take them, in order: the bytes of each, none for a buffer.
pub(super) fn parts(types: &[Type], args: &[HostArg]) -> Vec<Vec<Vec<u8>>> {
    let mut slots = argument_block(types).0.into_iter();
    let mut cut = |arg: &HostArg| {
        let HostArg::Value(value) = arg else {
            slots.next();
            return Vec::new();
        };
        let bytes = value.to_bytes();
        let (mut parts, mut rest) = (Vec::new(), bytes.as_slice());
        while !rest.is_empty() {
            let size = slots.next().map_or(rest.len(), |slot| slot.size as usize).clamp(1, rest.len());
            let (part, tail) = rest.split_at(size);
            parts.push(part.to_vec());
            rest = tail;
        }
        parts
    };
    args.iter().map(&mut cut).collect()
}

/// Results of the wanted types out of a block that compiled code with results of the passed types has filled.
pub(super) fn read_results(
    wanted: &[Type],
    passed: &[Type],
    block: &[u8],
) -> Result<Vec<HostValue>, EngineError> {
    let unfit = || EngineError::Failed("results do not fit their block".into());
    let mut bytes = Vec::with_capacity(block.len());
    for slot in argument_block(passed).0 {
        let range = slot.offset as usize..(slot.offset + slot.size) as usize;
        bytes.extend_from_slice(block.get(range).ok_or_else(unfit)?);
    }
    let mut rest = bytes.as_slice();
    let mut values = Vec::with_capacity(wanted.len());
    for &ty in wanted {
        let size = ty.lane().map_or(8, |lane| lane.bytes() as usize) * ty.lanes() as usize;
        let (value, tail) = rest.split_at_checked(size).ok_or_else(unfit)?;
        values.push(HostValue::from_bytes(ty, value).ok_or_else(unfit)?);
        rest = tail;
    }
    if rest.is_empty() { Ok(values) } else { Err(unfit()) }
}
