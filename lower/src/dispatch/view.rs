//! A view: the ordered stack of tables that one job consults, in one world.
//!
//! Tables are asked in order and the first with an applicable method wins, even where a lower one holds a more
//! specific method. The order is: the job's tables as listed, the device table (for device jobs only), base.
//!
//! Besides, a view for devices names the tables of a runtime provider, in which link names (`gpu_...`) are looked up and nothing
//! else; and a view for the host says what becomes of functions that only devices have.

use crate::runtime::host::HostPolicy;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::library;
use marquetry_ir::program::{OpenTable, Program, World, Worlds};
use std::fmt;

/// An ordered stack of tables, and the world in which they are read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct View {
    tables: Vec<Table>,
    provider: Vec<Table>,
    host_policy: HostPolicy,
    world: Option<World>,
}

/// Why a table cannot be listed in a view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListError {
    /// There is none of this name.
    Missing(String),
    /// It is the library's: it has its place in every view that may see it.
    Library(String),
    /// No runtime provider is made of it.
    NoProvider(String),
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::Missing(name) => write!(f, "there is no table '{name}'"),
            ListError::Library(name) => {
                write!(f, "'{name}' is a table of the library, expected one of overlays")
            }
            ListError::NoProvider(name) => write!(f, "'{name}' is no table of a provider"),
        }
    }
}

impl std::error::Error for ListError {}

/// The tables of these names, to be a job's own: overlays, as what the library's are for is not to be chosen.
///
/// # Errors
/// There is none of such a name, or it is the library's.
pub fn overlays(program: &Program, names: &[impl AsRef<str>]) -> Result<Vec<OpenTable>, ListError> {
    let find = |name: &str| match program.find_table(name).map(OpenTable::try_from) {
        None => Err(ListError::Missing(name.into())),
        Some(Err(_) | Ok(OpenTable::BASE)) => Err(ListError::Library(name.into())),
        Some(Ok(table)) => Ok(table),
    };
    names.iter().map(|name| find(name.as_ref())).collect()
}

/// Those of these tables that there are: one that does not exist has no methods.
pub fn overlays_present(program: &Program, names: &[impl AsRef<str>]) -> Vec<OpenTable> {
    names.iter().filter_map(|name| program.open_table(name.as_ref())).collect()
}

/// The tables of these names, to be a runtime provider's: overlays, or the standard one.
///
/// # Errors
/// There is none of such a name, or it is another one of the library's.
pub fn provider(program: &Program, names: &[impl AsRef<str>]) -> Result<Vec<Table>, ListError> {
    let find = |name: &str| match program.find_table(name) {
        None => Err(ListError::Missing(name.into())),
        Some(Table::BASE | Table::DEVICE) => Err(ListError::NoProvider(name.into())),
        Some(table) => Ok(table),
    };
    names.iter().map(|name| find(name.as_ref())).collect()
}

impl View {
    /// What native code sees: these tables, then base.
    pub fn native(tables: &[OpenTable]) -> Self {
        Self::stack(tables, &[Table::BASE])
    }

    /// What device code sees: these tables, then the device table, then base. Its runtime provider is the standard one.
    pub fn device(tables: &[OpenTable]) -> Self {
        let view = Self::stack(tables, &[Table::DEVICE, Table::BASE]);
        view.with_provider(&[Table::STANDARD])
    }

    /// With a runtime provider that is made of these tables, first asked first; the standard one, [`Table::STANDARD`], may be
    /// among them.
    pub fn with_provider(mut self, tables: &[Table]) -> Self {
        self.provider = tables.to_vec();
        self
    }

    /// With this policy for what only devices have, in code for the host.
    pub fn with_host_policy(mut self, policy: HostPolicy) -> Self {
        self.host_policy = policy;
        self
    }

    /// The device table is nobody's own: for native code it does not exist.
    fn stack(own: &[OpenTable], below: &[Table]) -> Self {
        let mut tables: Vec<Table> = Vec::with_capacity(own.len() + below.len());
        // Base is the last one wherever it is listed.
        let own = own.iter().filter(|&&table| table != OpenTable::BASE).map(|&table| table.into());
        for table in own.chain(below.iter().copied()) {
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        View { tables, provider: Vec::new(), host_policy: HostPolicy::default(), world: None }
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

    /// The tables that a name is looked up in: the provider's for link names of intrinsics.
    pub fn tables_for(&self, name: &str) -> &[Table] {
        if library::intrinsic(name).is_some() { &self.provider } else { &self.tables }
    }

    /// The tables of the runtime provider.
    pub fn provider(&self) -> &[Table] {
        &self.provider
    }

    /// What becomes of functions that only devices have, in code for the host.
    pub fn host_policy(&self) -> HostPolicy {
        self.host_policy
    }

    /// Whether it is a view for devices.
    pub fn is_device(&self) -> bool {
        self.tables.contains(&Table::DEVICE)
    }

    /// Without what does not concern the device library: the world.
    pub(crate) fn normalised(&self) -> View {
        View { world: None, ..self.clone() }
    }

    /// Whether another view is the same, the world aside.
    pub(crate) fn is_same_stack(&self, other: &View) -> bool {
        let View { tables, provider, host_policy, world: _ } = self;
        (tables, provider, host_policy) == (&other.tables, &other.provider, &other.host_policy)
    }

    /// The world in which a program is read.
    pub fn world(&self, program: &Program) -> World {
        self.world.map_or(program.world(), |world| world.min(program.world()))
    }

    /// Whether all methods of a method's name that this view can see take the same, and worlds around the view's in
    /// which it is so or not.
    pub fn is_alone(&self, program: &Program, method: Method) -> (bool, Worlds) {
        let world = self.world(program);
        let data = program.method(method);
        let mut worlds = Worlds::ALL;
        for &other in program.all_methods_of(&data.name) {
            let sibling = program.method(other);
            if !self.tables.contains(&sibling.table()) || sibling.signature.params == data.signature.params {
                continue;
            }
            let lifetime = program.lifetime(other);
            if lifetime.contains(world) {
                return (false, lifetime);
            }
            if lifetime.from > world {
                worlds.until = worlds.until.min(lifetime.from);
            } else {
                worlds.from = worlds.from.max(lifetime.until);
            }
        }
        (true, worlds)
    }

    /// The methods of a generic function that this view can see, for messages.
    pub fn candidates<'p>(&'p self, program: &'p Program, name: &str) -> impl Iterator<Item = Method> + 'p {
        let world = self.world(program);
        let methods = program.all_methods_of(name).iter().copied();
        let alive = methods.filter(move |&method| program.is_alive(method, world));
        alive.filter(|&method| self.tables.contains(&program.method(method).table()))
    }
}
