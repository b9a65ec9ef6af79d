//! Which tables anybody may add methods to: a right that is a type.

use crate::entity::Table;
use std::fmt;

/// A table that anybody may add methods to.
///
/// The device table holds the real bodies of device functions, the standard table what this project's own back-ends supply
/// to them. Nobody else adds to either, and that is no matter of asking: what adds a method takes an [`OpenTable`], and
/// there is no way to make one of them. A [`Table`] is a mere id, for reading: the library's have ids like all others,
/// but an id gives no right.
///
/// Base is open, and so is what a host makes by name:
///
/// ```
/// use marquetry_ir::entity::Table;
/// use marquetry_ir::library;
/// use marquetry_ir::program::OpenTable;
///
/// let mut program = library::program();
/// let mine: OpenTable = program.table("mine")?;
/// let malloc = program.methods_of("malloc").iter().map(|&method| program.method(method));
/// let real = malloc.clone().find(|data| data.table() == Table::DEVICE).cloned().ok_or("it has a real body")?;
/// let copy = program.add_method(mine, real)?;
/// assert_eq!(program.method(copy).table(), mine.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The same with the device table does not compile, because its id is no `OpenTable`,
///
/// ```compile_fail,E0308
/// use marquetry_ir::entity::Table;
/// use marquetry_ir::library;
/// use marquetry_ir::program::OpenTable;
///
/// let mut program = library::program();
/// let mine: OpenTable = Table::DEVICE;
/// let malloc = program.methods_of("malloc").iter().map(|&method| program.method(method));
/// let real = malloc.clone().find(|data| data.table() == Table::DEVICE).cloned().ok_or("it has a real body")?;
/// let copy = program.add_method(mine, real)?;
/// assert_eq!(program.method(copy).table(), mine.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// nor is it made into one, by the conversion that everybody has or by hand:
///
/// ```
/// use marquetry_ir::entity::Table;
/// use marquetry_ir::program::OpenTable;
/// let device = OpenTable::try_from(Table::DEVICE);
/// assert!(device.is_err());
/// ```
///
/// ```compile_fail,E0423
/// use marquetry_ir::entity::Table;
/// use marquetry_ir::program::OpenTable;
/// let device = OpenTable(Table::DEVICE);
/// ```
///
/// Nor can data name the table that it goes to (for the same reason no other crate writes a literal of it):
///
/// ```compile_fail,E0616
/// # use marquetry_ir::{body::Body, entity::Table, program::MethodData, signature::Signature};
/// let mut data = MethodData::function("f", Signature::default(), Body::new());
/// data.table = Table::DEVICE;
/// ```
///
/// ```
/// # use marquetry_ir::{body::Body, entity::Table, program::MethodData, signature::Signature};
/// let mut data = MethodData::function("f", Signature::default(), Body::new());
/// data.consistent = true;
/// assert_eq!(data.table(), Table::BASE);
/// ```
///
/// What is found out at run time are names and ids: [`Program::table`](super::Program::table) of `device` is an error, and
/// so is `OpenTable::try_from` of its id.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpenTable(Table);

impl OpenTable {
    /// The table of ordinary methods.
    pub const BASE: OpenTable = OpenTable(Table::BASE);
}

impl From<OpenTable> for Table {
    fn from(table: OpenTable) -> Table {
        table.0
    }
}

impl TryFrom<Table> for OpenTable {
    type Error = PrivateTable;

    fn try_from(table: Table) -> Result<Self, PrivateTable> {
        match table {
            Table::DEVICE | Table::STANDARD => Err(PrivateTable(table)),
            table => Ok(OpenTable(table)),
        }
    }
}

/// The table is one of the library's: nobody else adds to it, or takes anything out of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PrivateTable(pub Table);

impl fmt::Display for PrivateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.0 == Table::DEVICE { "device" } else { "standard" };
        write!(f, "the {name} table is private: it holds the library's overlays only")
    }
}

impl std::error::Error for PrivateTable {}
