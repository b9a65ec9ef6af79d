//! A program: types, globals, externs and methods in their tables.
//!
//! Every method lives in exactly one table. Three tables always exist: [`Table::BASE`] is what native code sees,
//! [`Table::DEVICE`] holds the runtime's overlays, [`Table::STANDARD`] what this project's own back-ends supply to them; to
//! the latter two nobody but [`crate::library`] adds: methods are added to an [`OpenTable`], which neither is. Others are
//! made by name for back-ends.
//! A program holds data only; which method a call means is decided in the `lower` crate, per job.
//!
//! Every definition, redefinition and deletion of a method advances the [`World`], and so does a function of the host that
//! is added: calls that missed it mean it from then on. Each method has the worlds in which it is alive, so that a job pinned to a world finds what was there. Methods that ended stay until the owner of the program
//! says that nobody looks at their worlds any more: [`Program::forget_before`]. Their ids are never used again.

mod boxes;
mod data;
mod externs;
mod names;
mod overloads;
mod references;
mod tables;
mod world;

use crate::body::Body;
use crate::chunks::Chunks;
use crate::entity::{Extern, Global, Method, Table};
use crate::library;
use crate::limits::{MAX_METHODS, MAX_NAME_BYTES};
use crate::span::SourceFile;
use crate::types::{Type, Types};
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use data::NOTHING;
use names::Names;
use overloads::Takes;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use world::Change;

pub use boxes::{BoxError, Boxed, Header, ObjectModel};
pub use data::{ExternData, GlobalData, Inlining, MethodData, MethodError, MethodKind, Variable};
pub use overloads::Overloads;
pub use references::{
    GlobalSlot, NoHost, Reference, Resolve, WORD_BYTES, Words, fits, fits_function, word_at,
};
pub use tables::{OpenTable, PrivateTable};
pub use world::{World, Worlds};

/// Types, globals, externs and methods.
#[derive(Clone, Debug)]
pub struct Program {
    /// Arrays and structs.
    pub types: Types,
    /// Texts that the program came from.
    pub files: Vec<SourceFile>,
    /// Globals.
    pub globals: PrimaryMap<Global, GlobalData>,
    /// Functions of the host.
    pub externs: PrimaryMap<Extern, ExternData>,
    /// Shared between copies of a program until one of them changes a method: a host copies the library for every
    /// program that it makes.
    methods: Chunks<Method, Arc<MethodData>>,
    /// None for methods that are forgotten.
    lifetimes: Chunks<Method, Option<Worlds>>,
    world: World,
    /// The earliest world that is not forgotten.
    oldest: World,
    /// Methods that ended and are not forgotten, with the world in which they did, in that order.
    ended: Vec<(World, Method)>,
    /// How many methods are forgotten.
    forgotten: usize,
    tables: PrimaryMap<Table, Arc<str>>,
    table_names: FxHashMap<Arc<str>, Table>,
    by_name: Names,
    /// Per step of the world since the oldest, what it was about.
    changes: Vec<Change>,
    global_names: FxHashMap<Arc<str>, Global>,
    extern_names: FxHashMap<Arc<str>, Extern>,
    /// The first world in which each one is there.
    extern_worlds: SecondaryMap<Extern, World>,
}

/// Symbols end at zero bytes, and link names are the runtime provider's.
fn check_name(table: OpenTable, data: &MethodData) -> Result<(), MethodError> {
    if data.name.len() > MAX_NAME_BYTES || data.name.contains('\0') {
        return Err(MethodError::Name);
    }
    match library::intrinsic(&data.name) {
        Some(intrinsic) if table == OpenTable::BASE => Err(MethodError::LinkName(&intrinsic.name)),
        _ => Ok(()),
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

impl Program {
    /// A program without any methods.
    pub fn new() -> Self {
        let mut program = Program {
            types: Types::new(),
            files: Vec::new(),
            globals: PrimaryMap::new(),
            externs: PrimaryMap::new(),
            methods: Chunks::new(),
            lifetimes: Chunks::new(),
            world: World(0),
            oldest: World(0),
            ended: Vec::new(),
            forgotten: 0,
            changes: Vec::new(),
            tables: PrimaryMap::new(),
            table_names: FxHashMap::default(),
            by_name: Names::default(),
            global_names: FxHashMap::default(),
            extern_names: FxHashMap::default(),
            extern_worlds: SecondaryMap::new(),
        };
        for name in ["base", "device", "standard"] {
            program.intern_table(name);
        }
        program
    }

    /// Remembers a source text; the result is what `file` fields hold.
    pub fn add_file(&mut self, name: &str, text: &str) -> u32 {
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        self.files.len() as u32 - 1
    }

    /// The table of this name, to add methods to; made if it does not exist.
    ///
    /// # Errors
    /// It is one of the library's.
    pub fn table(&mut self, name: &str) -> Result<OpenTable, PrivateTable> {
        self.intern_table(name).try_into()
    }

    /// The table of this name, to add methods to, if there is one and it is not the library's.
    pub fn open_table(&self, name: &str) -> Option<OpenTable> {
        self.find_table(name)?.try_into().ok()
    }

    /// The table of this name, made if it does not exist.
    pub(crate) fn intern_table(&mut self, name: &str) -> Table {
        if let Some(table) = self.find_table(name) {
            return table;
        }
        let name: Arc<str> = name.into();
        let table = self.tables.push(name.clone());
        self.table_names.insert(name, table);
        table
    }

    /// The table of this name, to be read.
    pub fn find_table(&self, name: &str) -> Option<Table> {
        self.table_names.get(name).copied()
    }

    /// The name of a table.
    pub fn table_name(&self, table: Table) -> &str {
        self.tables.get(table).map_or("?", |name| name)
    }

    /// All tables, base and device first.
    pub fn tables(&self) -> impl Iterator<Item = Table> + use<> {
        (0..self.tables.len()).map(Table::new)
    }

    /// The present world.
    pub fn world(&self) -> World {
        self.world
    }

    /// Adds a method to a table, whichever one its data came from.
    ///
    /// # Errors
    /// The table has one of this name that takes the same, or does not exist; or the method has a variable that no
    /// parameter mentions; or it would be in base and has the link name of a device function.
    pub fn add_method(&mut self, table: OpenTable, data: MethodData) -> Result<Method, MethodError> {
        self.check_table(table)?;
        check_name(table, &data)?;
        self.insert_method(table.into(), data)
    }

    /// Makes copies of the program share what finds its methods. What is added later is not shared.
    pub(crate) fn share(&mut self) {
        self.by_name.share();
    }

    /// Whether a method is the very one that another program has in its place.
    pub(crate) fn has_same(&self, other: &Program, method: Method) -> bool {
        match (self.methods.get(method), other.methods.get(method)) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        }
    }

    /// Adds a method of this project's library, which may live in its tables. Only [`crate::library`] gets here:
    /// nothing that is public adds to those tables.
    pub(crate) fn add_library_method(
        &mut self,
        table: Table,
        data: MethodData,
    ) -> Result<Method, MethodError> {
        self.insert_method(table, data)
    }

    /// Adds a method to a table in place of the one there that has its name and takes the same, if there is one. Jobs
    /// pinned to an earlier world still see the old one.
    ///
    /// # Errors
    /// The table does not exist; or a variable is in no parameter; or the method would be in base and has the link name of
    /// a device function.
    pub fn redefine_method(&mut self, table: OpenTable, data: MethodData) -> Result<Method, MethodError> {
        self.check_table(table)?;
        check_name(table, &data)?;
        self.check_variables(&data)?;
        self.check_room()?;
        // One step: there is no world in which neither is alive.
        let next = World(self.world.0 + 1);
        if let Some(old) = self.taking_the_same(&data, table.into()) {
            self.end(old, next);
        }
        self.insert_method(table.into(), data)
    }

    /// Ends a method; whether it was alive. Jobs pinned to an earlier world still see it.
    ///
    /// # Errors
    /// The method lives in a table of the library.
    pub fn delete_method(&mut self, method: Method) -> Result<bool, PrivateTable> {
        let Some(data) = self.methods.get(method) else { return Ok(false) };
        OpenTable::try_from(data.table)?;
        let alive = self.is_alive(method, self.world);
        if alive {
            self.advance(Change::Method(method));
            self.end(method, self.world);
        }
        Ok(alive)
    }

    /// A table may be one of another program.
    fn check_table(&self, table: OpenTable) -> Result<(), MethodError> {
        let table = table.into();
        if self.tables.is_valid(table) { Ok(()) } else { Err(MethodError::NoTable(table)) }
    }

    /// Ids are of 32 bits, the last of which stands for none.
    fn check_room(&self) -> Result<(), MethodError> {
        let full = self.kept_methods() >= MAX_METHODS || self.methods.len() >= u32::MAX as usize - 1;
        if full { Err(MethodError::TooMany) } else { Ok(()) }
    }

    /// Advances the world for a change that is not about a method: relations between types, say.
    pub fn advance_world(&mut self) {
        self.advance(Change::Other);
    }

    fn check_variables(&self, data: &MethodData) -> Result<(), MethodError> {
        if data.variables.is_empty() {
            return Ok(());
        }
        let mut found: Vec<Type> = Vec::new();
        let params = data.signature.params.iter();
        params.for_each(|&ty| self.types.each_variable(ty, &mut |variable| found.push(variable)));
        match data.variables.iter().find(|variable| !found.contains(&variable.ty)) {
            Some(variable) => Err(MethodError::Unbound(variable.ty)),
            None => Ok(()),
        }
    }

    fn advance(&mut self, about: Change) {
        self.world.0 += 1;
        self.changes.push(about);
    }

    fn living(&self, name: &str, table: Table, key: &[u32]) -> Option<Method> {
        let last = *self.by_name.get(name)?.taking(table, key).last()?;
        (self.lifetime(last).until == World::MAX).then_some(last)
    }

    /// The method of a table that takes the same as this one, if there is one.
    pub fn taking_the_same(&self, data: &MethodData, table: Table) -> Option<Method> {
        self.living(&data.name, table, &self.canonical(data))
    }

    fn insert_method(&mut self, table: Table, mut data: MethodData) -> Result<Method, MethodError> {
        data.table = table;
        self.check_variables(&data)?;
        let key = self.canonical(&data);
        if let Some(old) = self.living(&data.name, table, &key) {
            return Err(MethodError::Exists(old));
        }
        self.check_room()?;
        let (name, is_generic) = (data.name.clone(), data.is_generic());
        let count = data.signature.params.len();
        let variadic = data.signature.params.last().is_some_and(|&ty| self.types.as_pack(ty).is_some());
        let method = self.methods.next_key();
        data.body.shrink();
        let takes = match (variadic, is_generic) {
            (true, _) => Takes::Any,
            (false, true) => Takes::Variables(count),
            (false, false) => Takes::Types,
        };
        self.by_name.entry(name).push(table, key, method, &data.signature.params, takes);
        self.methods.push(Arc::new(data));
        self.advance(Change::Method(method));
        self.lifetimes.push(Some(Worlds { from: self.world, until: World::MAX }));
        Ok(method)
    }

    fn end(&mut self, method: Method, until: World) {
        if let Some(Some(lifetime)) = self.lifetimes.get_mut(method) {
            lifetime.until = until;
            self.ended.push((until, method));
        }
        let name = self.methods[method].name.clone();
        self.by_name.entry(name).live.retain(|other| *other != method);
    }

    /// Forgets the methods that ended in this world or before it, which only jobs of earlier worlds see; says how many.
    /// From now on those worlds cannot be read: look-ups in them would miss what is gone. The present world always can.
    pub fn forget_before(&mut self, world: World) -> usize {
        let world = world.min(self.world);
        if world <= self.oldest {
            return 0;
        }
        let steps = usize::try_from(world.0 - self.oldest.0).unwrap_or(usize::MAX);
        self.changes.drain(..steps.min(self.changes.len()));
        self.oldest = world;
        let mut gone: FxHashMap<Arc<str>, Vec<Method>> = FxHashMap::default();
        let mut count = 0;
        let ended = self.ended.partition_point(|(until, _)| *until <= world);
        for (_, method) in self.ended.drain(..ended) {
            let Some(data) = self.methods.get_mut(method) else { continue };
            let data = std::mem::replace(data, NOTHING.clone());
            gone.entry(data.name.clone()).or_default().push(method);
            self.lifetimes[method] = None;
            count += 1;
        }
        for (name, methods) in gone {
            self.by_name.entry(name).forget(&methods);
        }
        self.forgotten += count;
        count
    }

    /// The earliest world in which jobs can be compiled: the one before which everything was forgotten.
    pub fn oldest_world(&self) -> World {
        self.oldest
    }

    /// What changed after a world, of what is not forgotten: the methods that were added or ended, a redefinition once,
    /// with the new one.
    pub fn changes_since(&self, world: World) -> impl Iterator<Item = Method> {
        self.steps_since(world).iter().filter_map(|change| match change {
            Change::Method(method) => Some(*method),
            Change::Extern(_) | Change::Other => None,
        })
    }

    fn steps_since(&self, world: World) -> &[Change] {
        let start = usize::try_from(world.0.saturating_sub(self.oldest.0)).unwrap_or(usize::MAX);
        self.changes.get(start..).unwrap_or(&[])
    }

    /// The methods of a generic function by what they take; none if there never was one.
    pub fn overloads(&self, name: &str) -> Option<Overloads<'_>> {
        self.by_name.get(name).map(Overloads)
    }

    /// The parameters with variables numbered in the order of their occurrence, and their bounds: equal for methods
    /// that take the same.
    fn canonical(&self, data: &MethodData) -> Box<[u32]> {
        let mut order: Vec<Type> = Vec::new();
        let mut key = Vec::with_capacity(data.signature.params.len());
        for &param in &data.signature.params {
            self.types.canonical(param, &mut order, &mut key);
        }
        key.extend(order.iter().map(|&ty| data.bound(&self.types, ty).number()));
        key.into()
    }

    /// Adds a global.
    ///
    /// # Errors
    /// One of this name exists already: that one.
    pub fn add_global(&mut self, data: GlobalData) -> Result<Global, Global> {
        if let Some(&existing) = self.global_names.get(&data.name) {
            return Err(existing);
        }
        let name = data.name.clone();
        let global = self.globals.push(data);
        self.global_names.insert(name, global);
        Ok(global)
    }

    /// A method; for an id of another program, one without a name and without code.
    pub fn method(&self, method: Method) -> &MethodData {
        self.methods.get(method).map_or(&NOTHING, |data| data)
    }

    /// The body of a method, to be changed in place; none if it is the library's. For tools that take programs apart:
    /// the world does not notice; [`Self::redefine_method`] is the way to give a method another body.
    pub fn body_mut(&mut self, method: Method) -> Option<&mut Body> {
        let data = self.methods.get_mut(method)?;
        OpenTable::try_from(data.table).ok()?;
        Some(&mut Arc::make_mut(data).body)
    }

    /// A method, to be spoiled.
    #[cfg(test)]
    pub(crate) fn method_mut(&mut self, method: Method) -> &mut MethodData {
        Arc::make_mut(&mut self.methods[method])
    }

    /// A method as the object that copies of a program share until one of them changes it.
    pub fn method_object(&self, method: Method) -> Arc<MethodData> {
        self.methods.get(method).unwrap_or(&NOTHING).clone()
    }

    /// All methods of the present world in the order of their definition.
    pub fn methods(&self) -> impl Iterator<Item = (Method, &MethodData)> {
        let methods = self.methods.iter().map(|(method, data)| (method, &**data));
        methods.filter(|(method, _)| self.is_alive(*method, self.world))
    }

    /// How many methods there ever were; to size tables.
    pub fn method_count(&self) -> usize {
        self.methods.len()
    }

    /// How many methods there are, ended ones that are not forgotten included.
    pub fn kept_methods(&self) -> usize {
        self.methods.len() - self.forgotten
    }

    /// Whether a method of this id exists, alive or not.
    pub fn method_exists(&self, method: Method) -> bool {
        matches!(self.lifetimes.get(method), Some(Some(_)))
    }

    /// The methods of a generic function in the present world, in all tables.
    pub fn methods_of(&self, name: &str) -> &[Method] {
        self.by_name.get(name).map_or(&[], |function| &function.live)
    }

    /// The methods that a generic function ever had and that are not forgotten, in all tables, in the order of their
    /// definition.
    pub fn all_methods_of(&self, name: &str) -> &[Method] {
        self.by_name.get(name).map_or(&[], |function| &function.all)
    }

    /// The worlds in which a method is alive.
    pub fn lifetime(&self, method: Method) -> Worlds {
        let never = Worlds { from: World::MAX, until: World::MAX };
        self.lifetimes.get(method).copied().flatten().unwrap_or(never)
    }

    /// Whether a method is alive in a world.
    pub fn is_alive(&self, method: Method, world: World) -> bool {
        self.lifetime(method).contains(world)
    }

    /// The global of this name.
    pub fn find_global(&self, name: &str) -> Option<Global> {
        self.global_names.get(name).copied()
    }
}

#[cfg(test)]
mod tests;
