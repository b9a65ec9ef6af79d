//! A view: the ordered stack of tables that one job consults, in one world.
//!
//! Tables are asked in order and the first with an applicable method wins, even where a lower one holds a more
//! specific method. The order is: the job's tables as listed, the device table (for device jobs only), base.

use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{Program, World};

/// An ordered stack of tables, and the world in which they are read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct View {
    tables: Vec<Table>,
    world: Option<World>,
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
        let mut tables: Vec<Table> = Vec::with_capacity(own.len() + below.len());
        // The device table is never a back-end's own: for native code it does not exist.
        let own = own.iter().filter(|table| ![Table::DEVICE, Table::BASE].contains(table));
        for &table in own.chain(below) {
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        View { tables, world: None }
    }

    /// The same tables in one world; without it, in the present one.
    pub fn at(mut self, world: World) -> Self {
        self.world = Some(world);
        self
    }

    /// Whether it is read in one world for ever.
    pub fn is_pinned(&self) -> bool {
        self.world.is_some()
    }

    /// The tables, first asked first.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The world in which a program is read.
    pub fn world(&self, program: &Program) -> World {
        self.world.map_or(program.world(), |world| world.min(program.world()))
    }

    /// The methods of a generic function that this view can see, for messages.
    pub fn candidates<'p>(&'p self, program: &'p Program, name: &str) -> impl Iterator<Item = Method> + 'p {
        let world = self.world(program);
        let methods = program.all_methods_of(name).iter().copied();
        let alive = methods.filter(move |&method| program.is_alive(method, world));
        alive.filter(|&method| self.tables.contains(&program.method(method).table))
    }
}
