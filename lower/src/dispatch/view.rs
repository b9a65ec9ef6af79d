//! A view: the ordered stack of tables that one job consults.
//!
//! Tables are asked in order and the first with an applicable method wins, even where a lower one holds a more
//! specific method. The order is: the job's tables as listed, the device table (for device jobs only), base.

use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::Program;
use marquetry_ir::types::Type;

/// An ordered stack of tables.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct View {
    tables: Vec<Table>,
}

impl View {
    /// What native code sees: these tables, then base.
    pub fn native(tables: &[Table]) -> Self {
        Self::stack(tables, &[Table::BASE])
    }

    /// What device code sees: these tables, then the device table, then base.
    pub fn device(tables: &[Table]) -> Self {
        Self::stack(tables, &[Table::DEVICE, Table::BASE])
    }

    fn stack(own: &[Table], below: &[Table]) -> Self {
        let own = own.iter().filter(|table| !below.contains(table));
        View { tables: own.chain(below).copied().collect() }
    }

    /// The tables, first asked first.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The method that a call with these argument types means.
    pub fn resolve(&self, program: &Program, name: &str, arguments: &[Type]) -> Option<Method> {
        self.tables.iter().find_map(|&table| program.method_in(table, name, arguments))
    }

    /// The methods of a generic function that this view can see, for messages.
    pub fn candidates<'p>(&'p self, program: &'p Program, name: &str) -> impl Iterator<Item = Method> + 'p {
        let methods = program.methods_of(name).iter().copied();
        methods.filter(|&method| self.tables.contains(&program.method(method).table))
    }
}
