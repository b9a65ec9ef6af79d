//! Globals.
//!
//! A global is an array of bytes. One with slots is an array of words, because first contents that are addresses are
//! written whole (PTX ISA 5.4.4); its size is a multiple of 8, as some word of it is aligned. Words that the host supplies
//! are zeros in a visible, writable variable, which no compiler may take for what it says, and stand in the artifact's
//! list: whoever loads the module finds the variable by its name and writes the word before the first launch. An external
//! variable would not do: the driver links no module to anything but modules.

use super::names::Names;
use super::select::internal;
use super::write::Writer;
use crate::artifact::{Relocation, RelocationKind};
use crate::error::EmitError;
use marquetry_ir::entity::Global;
use marquetry_ir::program::{GlobalData, GlobalSlot, Reference, WORD_BYTES, word_at};
use marquetry_ir::types::Space;
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Writes all globals, each after those whose addresses it holds, as far as that goes.
pub(super) fn globals(out: &mut Writer, unit: &Unit, names: &Names) -> Result<Vec<Relocation>, EmitError> {
    let mut relocations = Vec::new();
    if unit.globals.values().all(|data| data.slots.is_empty()) {
        for (id, data) in unit.globals.iter() {
            bytes(out, unit, data, names.global(id))?;
        }
        return Ok(relocations);
    }
    let by_name: FxHashMap<Arc<str>, Global> =
        unit.globals.iter().map(|(id, data)| (data.name.clone(), id)).collect();
    let targets = |global: Global| {
        unit.globals[global].slots.iter().filter_map(|slot| match &slot.reference {
            Reference::Global { name, .. } => by_name.get(name).copied(),
            _ => None,
        })
    };
    // Depth first; a global that waits for one that waits for it is declared before.
    let mut state: FxHashMap<Global, State> = FxHashMap::default();
    for first in unit.globals.keys() {
        let mut stack = vec![first];
        while let Some(&global) = stack.last() {
            match state.get(&global) {
                Some(State::Written) => drop(stack.pop()),
                Some(State::Waits) => {
                    stack.pop();
                    let data = &unit.globals[global];
                    for target in targets(global).filter(|&target| target != global) {
                        // Declared twice is as good as once.
                        if state.get(&target) == Some(&State::Waits) {
                            out.push(".extern ");
                            head(out, unit, &unit.globals[target], names.global(target))?;
                            out.push(";\n");
                        }
                    }
                    match data.slots.is_empty() {
                        true => bytes(out, unit, data, names.global(global))?,
                        false => words(out, unit, data, names, global, &by_name, &mut relocations)?,
                    }
                    state.insert(global, State::Written);
                }
                None => {
                    state.insert(global, State::Waits);
                    stack.extend(targets(global).filter(|target| !state.contains_key(target)));
                }
            }
        }
    }
    Ok(relocations)
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum State {
    Waits,
    Written,
}

/// Space, alignment, elements and name.
fn head(out: &mut Writer, unit: &Unit, data: &GlobalData, name: &str) -> Result<(), EmitError> {
    let layout = data.layout(&unit.types).ok_or_else(|| internal("a global of no known type"))?;
    // Vectors are aligned to at most 16 bytes, which is the most that an access asks for.
    out.push(if data.space == Space::Shared { ".shared .align " } else { ".global .align " });
    out.unsigned(u64::from(layout.align));
    let width = if data.slots.is_empty() { 1 } else { WORD_BYTES };
    out.push(if width == 1 { " .b8 " } else { " .u64 " });
    out.push(name);
    out.push("[");
    out.unsigned((layout.size / width).max(1));
    out.push("]");
    Ok(())
}

fn bytes(out: &mut Writer, unit: &Unit, data: &GlobalData, name: &str) -> Result<(), EmitError> {
    out.push(if data.space == Space::Shared { "" } else { ".visible " });
    head(out, unit, data, name)?;
    // What is not listed is zero (PTX ISA 5.4.4).
    let bytes = data.init.as_deref().unwrap_or(&[]);
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if used > 0 && data.space != Space::Shared {
        out.push(" = {");
        for (n, &byte) in bytes[..used].iter().enumerate() {
            out.push(if n == 0 { "" } else { "," });
            out.unsigned(u64::from(byte));
        }
        out.push("}");
    }
    out.push(";\n");
    Ok(())
}

fn words(
    out: &mut Writer,
    unit: &Unit,
    data: &GlobalData,
    names: &Names,
    global: Global,
    by_name: &FxHashMap<Arc<str>, Global>,
    relocations: &mut Vec<Relocation>,
) -> Result<(), EmitError> {
    out.push(".visible ");
    head(out, unit, data, names.global(global))?;
    out.push(" = {");
    let bytes = data.init.as_deref().unwrap_or(&[]);
    let size = unit.types.layout(data.ty).map_or(0, |layout| layout.size);
    let mut slots = data.slots.iter().peekable();
    for n in 0..size / WORD_BYTES {
        out.push(if n == 0 { "" } else { "," });
        let start = n * WORD_BYTES;
        let Some(GlobalSlot { reference, .. }) = slots.next_if(|slot| slot.offset == start) else {
            let word = bytes.get(start as usize..).unwrap_or(&[]).iter().take(WORD_BYTES as usize);
            out.unsigned(word.rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte)));
            continue;
        };
        if let Reference::Global { name, offset } = reference {
            let target = by_name.get(name).ok_or_else(|| internal("a slot for no global"))?;
            // In a pointer to its space a global has its address there, anywhere else its generic one.
            let space = word_at(&unit.types, data.ty, start).and_then(|word| word.space());
            let own = matches!(space, Some(Space::Global | Space::Constant));
            out.push(if own { "" } else { "generic(" });
            out.push(names.global(*target));
            out.push(if own { "" } else { ")" });
            if *offset > 0 {
                out.push("+");
                out.unsigned(*offset);
            }
            continue;
        }
        if let Reference::Func(func) = reference {
            // The name of a function that was declared before (PTX ISA 5.4.4).
            out.push(names.func(*func));
            continue;
        }
        out.push("0");
        relocations.push(Relocation {
            symbol: names.global(global).into(),
            offset: start,
            size: WORD_BYTES as u32,
            reference: reference.clone(),
            kind: RelocationKind::Write,
        });
    }
    out.push("};\n");
    Ok(())
}
