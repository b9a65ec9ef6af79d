//! Why a legal unit was not emitted.

use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::GlobalData;
use marquetry_ir::types::Space;
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::failure::Limit;
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
        sum = sum.saturating_add(size).saturating_add(room);
        if sum > limit {
            let passed = Limit::new("bytes of globals", limit, sum);
            return Err(EmitError::Limit(passed.at(&global.name, global.file, global.span)));
        }
    }
    Ok(sum)
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
            EmitError::Target(message) => f.write_str(message),
            EmitError::Internal(message) => write!(f, "internal error: {message}"),
        }
    }
}

impl std::error::Error for EmitError {}
