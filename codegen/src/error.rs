//! Why a legal unit was not emitted.

use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::{GlobalData, GlobalSlot};
use marquetry_ir::types::Space;
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::failure::Limit;
use marquetry_lower::legal::Legal;
use marquetry_lower::references::Strategy;
use std::fmt;

/// An emitter's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// The target has no room for it: a limit of its format.
    Limit(Limit),
    /// The target cannot do what the unit asks for; the reason is for people.
    Unsupported(String),
    /// The program asks for what the target cannot do, at places of it: the author's to mend.
    Program(Vec<Diagnostic>),
    /// Functions of the host that nobody supplied, by link name.
    Unresolved(Vec<String>),
    /// Slots of globals that no word was written into, each with what it stands for.
    Words(Vec<String>),
    /// The target named in text is not one: what was found and what is known.
    Target(String),
    /// Marquetry, or a library it uses, is wrong: please report it.
    Internal(String),
}

impl EmitError {
    /// A limit that was passed.
    pub(crate) fn limit(what: &'static str, limit: u64, found: u64) -> Self {
        EmitError::Limit(Limit::new(what, limit, found))
    }

    /// In this function: limits say where they were passed.
    pub(crate) fn within(self, function: &Function) -> Self {
        match self {
            EmitError::Limit(limit) => {
                EmitError::Limit(limit.at(&function.name, function.file, function.span))
            }
            other => other,
        }
    }
}

/// Whether the globals that are data fit, `room` more for each than its type needs.
pub(crate) fn check_data(unit: &Unit, room: u64, limit: u64) -> Result<u64, EmitError> {
    let is_data = |global: &&GlobalData| global.space != Space::Shared;
    let mut sum = 0u64;
    for global in unit.globals.values().filter(is_data) {
        let size = unit.types.layout(global.ty).map_or(0, |layout| layout.size);
        let room = room.saturating_add(global.align.map_or(0, u64::from));
        sum = sum.saturating_add(size).saturating_add(room);
        if sum > limit {
            let passed = Limit::new("bytes of globals", limit, sum);
            return Err(EmitError::Limit(passed.at(&global.name, global.file, global.span)));
        }
    }
    Ok(sum)
}

/// The slots that wait for words of the host, for messages.
fn slots(unit: &Unit) -> Vec<String> {
    let slots = unit.globals.values().flat_map(|data| data.host_slots().map(move |slot| (data, slot)));
    slots
        .map(|(data, slot)| format!("{} at {} in global '{}'", slot.reference, slot.offset, data.name))
        .collect()
}

/// Whether all words of the host are there.
pub(crate) fn check_words(unit: &Unit) -> Result<(), EmitError> {
    let left = slots(unit);
    if left.is_empty() { Ok(()) } else { Err(EmitError::Words(left)) }
}

/// Whether nobody else wants to write the words that are missing.
pub(crate) fn check_deferred(legal: &Legal) -> Result<(), EmitError> {
    if legal.references() != Strategy::Defer || !legal.has_slots() {
        return Ok(());
    }
    let left = slots(legal.unit()).join(", ");
    Err(EmitError::Unsupported(format!(
        "the job defers its references, and no words were written for {left}"
    )))
}

/// Whether the target can have the words that are missing.
pub(crate) fn check_addresses(unit: &Unit, target: &str) -> Result<(), EmitError> {
    for data in unit.globals.values() {
        if let Some(slot) = data.slots.iter().find(|slot| !slot.reference.is_of_host()) {
            let GlobalSlot { offset, reference } = slot;
            let what = format!("{reference} at {offset} in global '{}'", data.name);
            return Err(EmitError::Unsupported(format!(
                "{target} has no addresses in first contents: {what}"
            )));
        }
    }
    Ok(())
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::Limit(limit) => limit.fmt(f),
            EmitError::Unsupported(what) => write!(f, "not supported: {what}"),
            EmitError::Program(diagnostics) => {
                let lines: Vec<&str> = diagnostics.iter().map(|d| d.message.as_str()).collect();
                f.write_str(&lines.join("; "))
            }
            EmitError::Unresolved(names) => {
                write!(f, "no address for the host's functions {}", names.join(", "))
            }
            EmitError::Words(slots) => write!(f, "no words for {}", slots.join(", ")),
            EmitError::Target(message) => f.write_str(message),
            EmitError::Internal(message) => write!(f, "internal error: {message}"),
        }
    }
}

impl std::error::Error for EmitError {}
