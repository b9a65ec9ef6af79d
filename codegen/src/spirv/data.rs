//! First contents of globals, and the words in them that the host supplies.
//!
//! A word that the host supplies is made of *specialisation constants* (SPIR-V 2.15.1), parts of the array that the global
//! is, and the artifact lists their numbers. Not a relocation buffer: that would be a hidden argument of every kernel and a
//! load for every use, while the compiler behind SPIR-V sees a specialised constant as the constant that it is; and
//! constant memory stays constant memory. Both interfaces take values for such constants when a program or pipeline is
//! made; [`specialise`] writes them into the module itself, as defaults, which means the same and works with drivers
//! that lack the call. The defaults are zeros until then, and the list in the artifact says so: a loader that fills
//! none of them has no excuse.
//!
//! Addresses of globals are refused: there is no constant for one in either environment.

use super::internal;
use super::module::{Id, MAX_OPERANDS};
use super::select::Selector;
use crate::artifact::{Relocation, RelocationKind};
use crate::error::EmitError;
use marquetry_ir::entity::Global;
use marquetry_ir::program::WORD_BYTES;
use rspirv::spirv::{Decoration, MAGIC_NUMBER, Op};
use std::collections::BTreeMap;

/// The number of the first constant for a word. Those of the group size are 0, 1 and 2.
const FIRST_CONSTANT: u32 = 16;

impl Selector<'_, '_> {
    /// An array constant from the first contents of a global.
    pub fn initial_value(
        &mut self,
        array: Id,
        element: u32,
        length: u64,
        global: Global,
    ) -> Result<Id, EmitError> {
        let data = &self.unit.globals[global];
        if data.init.is_none() && data.slots.is_empty() {
            return Ok(self.module().intern_const(Op::ConstantNull, array, &[]));
        }
        if length > MAX_OPERANDS as u64 {
            let limit = MAX_OPERANDS as u64;
            return Err(EmitError::limit("elements of an initialised global", limit, length));
        }
        let mut elements: Vec<Id> = Vec::with_capacity(length as usize);
        for chunk in data.init.as_deref().unwrap_or(&[]).chunks(element as usize) {
            let value = chunk.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
            elements.push(self.module().const_int(element * 8, value));
        }
        let zero = self.module().const_int(element * 8, 0);
        elements.resize(length as usize, zero);
        if data.slots.is_empty() {
            return Ok(self.module().intern_const(Op::ConstantComposite, array, &elements));
        }
        let bytes = element.clamp(1, WORD_BYTES as u32);
        for slot in &data.slots {
            let before: u32 = self.state.relocations.last().map_or(FIRST_CONSTANT, |last| match last.kind {
                RelocationKind::Specialise { first, bytes } => first + WORD_BYTES as u32 / bytes.max(1),
                _ => FIRST_CONSTANT,
            });
            let start = (slot.offset / u64::from(bytes)) as usize;
            for n in 0..WORD_BYTES as u32 / bytes {
                let id = self.specialisation(bytes, before + n);
                let place = elements.get_mut(start + n as usize);
                *place.ok_or_else(|| internal("a slot outside of its global"))? = id;
            }
            self.state.relocations.push(Relocation {
                symbol: data.name.clone(),
                offset: slot.offset,
                size: WORD_BYTES as u32,
                reference: slot.reference.clone(),
                kind: RelocationKind::Specialise { first: before, bytes },
            });
        }
        Ok(self.module().global(Op::SpecConstantComposite, array, &elements))
    }

    /// A specialisation constant of this number, zero unless the host says otherwise.
    fn specialisation(&mut self, bytes: u32, number: u32) -> Id {
        let ty = self.module().int(bytes * 8);
        // A literal of 64 bits takes two words (SPIR-V 2.2.1).
        let zeros: &[u32] = if bytes == 8 { &[0, 0] } else { &[0] };
        let id = self.module().global(Op::SpecConstant, ty, zeros);
        self.module().decorate(id, Decoration::SpecId, &[number]);
        id
    }
}

/// Writes values of specialisation constants into a module, as their defaults; by number.
///
/// # Errors
/// The code is no SPIR-V module, or has no such constants; nothing was changed then.
pub fn specialise(code: &mut [u8], values: &BTreeMap<u32, u64>) -> Result<(), EmitError> {
    let wrong = |what: &str| EmitError::Unsupported(format!("the module cannot be specialised: {what}"));
    let word = |code: &[u8], at: usize| -> Option<u32> {
        let start = at.checked_mul(4)?;
        let bytes = code.get(start..start.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    if word(code, 0) != Some(MAGIC_NUMBER) || !code.len().is_multiple_of(4) {
        return Err(wrong("it is no SPIR-V"));
    }
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    // Number of the constant, its first literal and how many there are.
    let mut places: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    let mut at = 5;
    while let Some(first) = word(code, at) {
        let (length, op) = ((first >> 16) as usize, first & 0xffff);
        if length == 0 || at + length > code.len() / 4 {
            return Err(wrong("an instruction has a wrong length"));
        }
        let operand = |n: usize| word(code, at + n).filter(|_| n < length);
        if op == Op::Function as u32 {
            break;
        }
        if op == Op::Decorate as u32
            && operand(2) == Some(Decoration::SpecId as u32)
            && let (Some(id), Some(number)) = (operand(1), operand(3))
        {
            numbers.insert(id, number);
        }
        if op == Op::SpecConstant as u32
            && let Some(&number) = operand(2).and_then(|id| numbers.get(&id))
            && (4..=5).contains(&length)
        {
            places.insert(number, (at + 3, length - 3));
        }
        at += length;
    }
    if let Some(number) = values.keys().find(|number| !places.contains_key(number)) {
        return Err(wrong(&format!("it has no constant {number}")));
    }
    for (number, value) in values {
        let Some(&(at, count)) = places.get(number) else { continue };
        let bytes = value.to_le_bytes();
        if let Some(place) = code.get_mut(at * 4..(at + count) * 4) {
            place.copy_from_slice(&bytes[..count * 4]);
        }
    }
    Ok(())
}
