//! A program: types, globals, externs and methods in their tables.
//!
//! Every method lives in exactly one table. Three tables always exist: [`Table::BASE`] is what native code sees,
//! [`Table::DEVICE`] holds the runtime's overlays, [`Table::STANDARD`] what this project's own back-ends supply to them; to
//! the latter two nobody but [`crate::library`] adds. Others are made by name for back-ends.
//! A program holds data only; which method a call means is decided in the `lower` crate, per job.
//!
//! Every definition, redefinition and deletion of a method advances the [`World`]. Methods are never thrown away: each
//! has the worlds in which it is alive, so that a job pinned to a world finds what was there.

use crate::body::Body;
use crate::chunks::Chunks;
use crate::entity::{Extern, Global, Method, Table};
use crate::signature::Signature;
use crate::span::{SourceFile, Span};
use crate::types::{Abstract, Generic, Type, Types};
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, PrimaryMap, SecondaryMap};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// Whether, and how eagerly, calls of a method are replaced by its body.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Inlining {
    /// By size.
    #[default]
    Auto,
    /// Always, where possible.
    Always,
    /// Never, unless the target has no calls.
    Never,
}

/// What a method is for.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum MethodKind {
    /// Called by other methods and by hosts.
    Function,
    /// Launched over a grid; returns nothing.
    Kernel,
}

/// A type variable of a method.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Variable {
    /// The variable, as [`Types::variable`] gives it.
    pub ty: Type,
    /// What it ranges over.
    pub bound: Abstract,
}

/// A moment in the history of a program: how many changes to its methods came before.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct World(pub u64);

impl World {
    /// After everything.
    pub const MAX: World = World(u64::MAX);
}

/// The worlds in which something holds: from the first, up to but without the second.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Worlds {
    /// The first.
    pub from: World,
    /// The first after them; [`World::MAX`] if there is none yet.
    pub until: World,
}

impl Worlds {
    /// All of them.
    pub const ALL: Worlds = Worlds { from: World(0), until: World::MAX };

    /// Whether a world is among them.
    pub fn contains(self, world: World) -> bool {
        self.from <= world && world < self.until
    }

    /// Those in both.
    pub fn intersect(self, other: Worlds) -> Worlds {
        Worlds { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}

/// Why a method cannot be added.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MethodError {
    /// Its table has one of this name that takes the same.
    Exists(Method),
    /// The device table and the standard provider's are this project's own.
    DeviceTable,
    /// There is no such table.
    NoTable(Table),
    /// No parameter mentions this variable, so no call could determine it.
    Unbound(Type),
}

/// A method: signature, body and attributes.
#[derive(Clone, Debug)]
pub struct MethodData {
    /// The generic function that it belongs to.
    pub name: Arc<str>,
    /// The table that it lives in.
    pub table: Table,
    /// Function or kernel.
    pub kind: MethodKind,
    /// Parameter and result types; they may mention the variables. The last parameter may be a pack `T...`.
    pub signature: Signature,
    /// Type variables.
    pub variables: Vec<Variable>,
    /// The code.
    pub body: Body,
    /// Inlining attribute.
    pub inlining: Inlining,
    /// For overlays: whether the observable result is the same as that of what it replaces.
    pub consistent: bool,
    /// The source file, an index into [`Program::files`].
    pub file: Option<u32>,
    /// Where the text spelled its name.
    pub span: Span,
}

impl MethodData {
    /// What a variable, named or not, ranges over.
    pub fn bound(&self, types: &Types, variable: Type) -> Abstract {
        if let Some(Generic::Abstract(bound)) = types.generic(variable) {
            return *bound;
        }
        self.variables.iter().find(|v| v.ty == variable).map_or(Abstract::ANY, |v| v.bound)
    }

    /// Whether a parameter mentions variables.
    pub fn is_generic(&self) -> bool {
        self.signature.params.iter().any(|ty| ty.is_generic())
    }
}

/// Memory that lives as long as the program, or as a work-group.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalData {
    /// Its name, unique among globals.
    pub name: Arc<str>,
    /// What it holds.
    pub ty: Type,
    /// Its address space: global, constant or shared.
    pub space: crate::types::Space,
    /// Its first contents, as bytes of the type's layout, little-endian; none for zero. Shared memory has none
    /// and starts uninitialised.
    pub init: Option<Arc<[u8]>>,
    /// The source file, an index into [`Program::files`].
    pub file: Option<u32>,
    /// Where the text spelled its name.
    pub span: Span,
}

/// A function that the host supplies under a link name.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternData {
    /// What calls say.
    pub name: Arc<str>,
    /// The symbol to link to.
    pub link_name: Arc<str>,
    /// What it takes and returns, by the platform's C convention; it does not throw.
    pub signature: Signature,
    /// The source file, an index into [`Program::files`].
    pub file: Option<u32>,
    /// Where the text spelled its name.
    pub span: Span,
}

/// The methods of one generic function.
#[derive(Clone, Debug, Default)]
struct Function {
    /// All that ever were.
    all: Vec<Method>,
    /// Those that are.
    live: Vec<Method>,
    tables: Vec<(Table, InTable)>,
}

/// The methods of one generic function in one table, ended ones included.
#[derive(Clone, Debug, Default)]
struct InTable {
    /// By what they take, in the canonical form; without variables, that is the words of the types.
    by_signature: FxHashMap<Box<[u32]>, SmallVec<[Method; 1]>>,
    /// Those with variables, by the number of parameters.
    generic: FxHashMap<usize, Vec<Candidate>>,
    /// Those with variables that take any number.
    variadic: Vec<Candidate>,
}

/// A method with variables and what its first parameters are where they have none, to turn most away at once.
#[derive(Clone, Debug)]
struct Candidate {
    method: Method,
    heads: [Type; 4],
}

impl Candidate {
    fn new(method: Method, params: &[Type]) -> Self {
        let head = |n: usize| params.get(n).copied().filter(|ty| !ty.is_generic()).unwrap_or(Type::UNKNOWN);
        Candidate { method, heads: [head(0), head(1), head(2), head(3)] }
    }

    /// Whether it may take these.
    fn may_take(&self, arguments: &[Type]) -> bool {
        self.heads.iter().zip(arguments).all(|(&head, &ty)| head == Type::UNKNOWN || head == ty)
    }
}

/// The methods of one generic function, of all tables and worlds.
#[derive(Copy, Clone, Debug)]
pub struct Overloads<'a>(&'a Function);

impl<'a> Overloads<'a> {
    /// The methods of a table that take exactly these types and have no variables, ended ones included.
    pub fn taking(self, table: Table, arguments: &[Type]) -> &'a [Method] {
        let Some(overloads) = self.0.overloads(table) else { return &[] };
        let key: SmallVec<[u32; 16]> = arguments.iter().map(|ty| ty.word()).collect();
        overloads.by_signature.get(&key[..]).map_or(&[], |list| list)
    }

    /// The methods of a table with type variables that may take these types, ended ones included.
    pub fn generic(self, table: Table, arguments: &[Type]) -> impl Iterator<Item = Method> {
        let (fixed, variadic) = match self.0.overloads(table) {
            Some(overloads) => (overloads.generic.get(&arguments.len()), &overloads.variadic[..]),
            None => (None, &[][..]),
        };
        let all = fixed.map_or(&[][..], |list| list).iter().chain(variadic);
        all.filter(|candidate| candidate.may_take(arguments)).map(|candidate| candidate.method)
    }
}

impl Function {
    fn overloads(&self, table: Table) -> Option<&InTable> {
        self.tables.iter().find(|(other, _)| *other == table).map(|(_, overloads)| overloads)
    }

    fn overloads_mut(&mut self, table: Table) -> &mut InTable {
        let found = self.tables.iter().position(|(other, _)| *other == table);
        let at = found.unwrap_or_else(|| {
            self.tables.push((table, InTable::default()));
            self.tables.len() - 1
        });
        &mut self.tables[at].1
    }
}

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
    lifetimes: SecondaryMap<Method, Option<Worlds>>,
    world: World,
    tables: PrimaryMap<Table, Arc<str>>,
    by_name: FxHashMap<Arc<str>, Arc<Function>>,
    /// Per step of the world, the method that it was about.
    changes: Vec<PackedOption<Method>>,
    global_names: FxHashMap<Arc<str>, Global>,
    extern_names: FxHashMap<Arc<str>, Extern>,
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

impl Program {
    /// A program without any methods.
    pub fn new() -> Self {
        let mut tables = PrimaryMap::new();
        tables.push("base".into());
        tables.push("device".into());
        tables.push("standard".into());
        Program {
            types: Types::new(),
            files: Vec::new(),
            globals: PrimaryMap::new(),
            externs: PrimaryMap::new(),
            methods: Chunks::new(),
            lifetimes: SecondaryMap::new(),
            world: World(0),
            changes: Vec::new(),
            tables,
            by_name: FxHashMap::default(),
            global_names: FxHashMap::default(),
            extern_names: FxHashMap::default(),
        }
    }

    /// Remembers a source text; the result is what `file` fields hold.
    pub fn add_file(&mut self, name: &str, text: &str) -> u32 {
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        self.files.len() as u32 - 1
    }

    /// The table of this name, made if it does not exist.
    pub fn table(&mut self, name: &str) -> Table {
        match self.find_table(name) {
            Some(table) => table,
            None => self.tables.push(name.into()),
        }
    }

    /// The table of this name.
    pub fn find_table(&self, name: &str) -> Option<Table> {
        self.tables.iter().find(|(_, n)| &***n == name).map(|(table, _)| table)
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

    /// Adds a method.
    ///
    /// # Errors
    /// Its table has one of this name that takes the same, does not exist, or is one of the library's; or it has
    /// a variable that no parameter mentions.
    pub fn add_method(&mut self, data: MethodData) -> Result<Method, MethodError> {
        self.check_table(data.table)?;
        self.insert_method(data)
    }

    /// Adds a method of this project's library, which may live in its tables. Only [`crate::library`] gets here:
    /// nothing that is public adds to those tables.
    pub(crate) fn add_library_method(&mut self, data: MethodData) -> Result<Method, MethodError> {
        self.insert_method(data)
    }

    /// Adds a method in place of the one in its table that has its name and takes the same, if there is one. Jobs
    /// pinned to an earlier world still see the old one.
    ///
    /// # Errors
    /// The table does not exist, or is the device table; or a variable is in no parameter.
    pub fn redefine_method(&mut self, data: MethodData) -> Result<Method, MethodError> {
        self.check_table(data.table)?;
        self.check_variables(&data)?;
        // One step: there is no world in which neither is alive.
        let next = World(self.world.0 + 1);
        if let Some(old) = self.living(&data, &self.canonical(&data)) {
            self.end(old, next);
        }
        self.insert_method(data)
    }

    /// Ends a method; whether it was alive. Jobs pinned to an earlier world still see it.
    ///
    /// # Errors
    /// The method is the library's.
    pub fn delete_method(&mut self, method: Method) -> Result<bool, MethodError> {
        let Some(data) = self.methods.get(method) else { return Ok(false) };
        self.check_table(data.table)?;
        let alive = self.is_alive(method, self.world);
        if alive {
            self.advance(method);
            self.end(method, self.world);
        }
        Ok(alive)
    }

    fn check_table(&self, table: Table) -> Result<(), MethodError> {
        match table {
            Table::DEVICE | Table::STANDARD => Err(MethodError::DeviceTable),
            table if !self.tables.is_valid(table) => Err(MethodError::NoTable(table)),
            _ => Ok(()),
        }
    }

    /// Advances the world for a change that is not about a method: relations between types, say.
    pub fn advance_world(&mut self) {
        self.world.0 += 1;
        self.changes.push(None.into());
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

    fn advance(&mut self, about: Method) {
        self.world.0 += 1;
        self.changes.push(about.into());
    }

    /// The living method in the same table that takes the same.
    fn living(&self, data: &MethodData, key: &[u32]) -> Option<Method> {
        let overloads = self.by_name.get(&data.name)?.overloads(data.table)?;
        let last = *overloads.by_signature.get(key)?.last()?;
        (self.lifetime(last).until == World::MAX).then_some(last)
    }

    fn insert_method(&mut self, mut data: MethodData) -> Result<Method, MethodError> {
        self.check_variables(&data)?;
        let key = self.canonical(&data);
        if let Some(old) = self.living(&data, &key) {
            return Err(MethodError::Exists(old));
        }
        let (name, table, is_generic) = (data.name.clone(), data.table, data.is_generic());
        let count = data.signature.params.len();
        let variadic = data.signature.params.last().is_some_and(|&ty| self.types.as_pack(ty).is_some());
        let method = self.methods.next_key();
        let candidate = Candidate::new(method, &data.signature.params);
        data.body.shrink();
        self.methods.push(Arc::new(data));
        self.advance(method);
        self.lifetimes[method] = Some(Worlds { from: self.world, until: World::MAX });
        let function = Arc::make_mut(self.by_name.entry(name).or_default());
        function.all.push(method);
        function.live.push(method);
        let overloads = function.overloads_mut(table);
        overloads.by_signature.entry(key).or_default().push(method);
        if variadic {
            overloads.variadic.push(candidate);
        } else if is_generic {
            overloads.generic.entry(count).or_default().push(candidate);
        }
        Ok(method)
    }

    fn end(&mut self, method: Method, until: World) {
        if let Some(lifetime) = &mut self.lifetimes[method] {
            lifetime.until = until;
        }
        if let Some(function) = self.by_name.get_mut(&self.methods[method].name) {
            Arc::make_mut(function).live.retain(|&other| other != method);
        }
    }

    /// What changed after a world: the methods that were added or ended, a redefinition once, with the new one.
    pub fn changes_since(&self, world: World) -> impl Iterator<Item = Method> {
        let start = usize::try_from(world.0).unwrap_or(usize::MAX);
        let changes = self.changes.get(start..).unwrap_or(&[]);
        changes.iter().filter_map(|change| change.expand())
    }

    /// The methods of a generic function by what they take; none if there never was one.
    pub fn overloads(&self, name: &str) -> Option<Overloads<'_>> {
        self.by_name.get(name).map(|function| Overloads(function))
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

    /// Adds a function of the host.
    ///
    /// # Errors
    /// One of this name exists already: that one.
    pub fn add_extern(&mut self, data: ExternData) -> Result<Extern, Extern> {
        if let Some(&existing) = self.extern_names.get(&data.name) {
            return Err(existing);
        }
        let name = data.name.clone();
        let id = self.externs.push(data);
        self.extern_names.insert(name, id);
        Ok(id)
    }

    /// A method.
    pub fn method(&self, method: Method) -> &MethodData {
        &self.methods[method]
    }

    /// The body of a method, to be changed in place; none if it is the library's. For tools that take programs apart:
    /// the world does not notice; [`Self::redefine_method`] is the way to give a method another body.
    pub fn body_mut(&mut self, method: Method) -> Option<&mut Body> {
        let data = self.methods.get_mut(method)?;
        let own = !matches!(data.table, Table::DEVICE | Table::STANDARD);
        own.then(|| &mut Arc::make_mut(data).body)
    }

    /// A method, to be spoiled.
    #[cfg(test)]
    pub(crate) fn method_mut(&mut self, method: Method) -> &mut MethodData {
        Arc::make_mut(&mut self.methods[method])
    }

    /// A method as the object that copies of a program share until one of them changes it.
    pub fn method_object(&self, method: Method) -> Arc<MethodData> {
        self.methods[method].clone()
    }

    /// All methods of the present world in the order of their definition.
    pub fn methods(&self) -> impl Iterator<Item = (Method, &MethodData)> {
        let methods = self.methods.iter().map(|(method, data)| (method, &**data));
        methods.filter(|(method, _)| self.is_alive(*method, self.world))
    }

    /// How many methods there are, ended ones included; to size tables.
    pub fn method_count(&self) -> usize {
        self.methods.len()
    }

    /// Whether a method of this id exists, alive or not.
    pub fn method_exists(&self, method: Method) -> bool {
        self.methods.is_valid(method)
    }

    /// The methods of a generic function in the present world, in all tables.
    pub fn methods_of(&self, name: &str) -> &[Method] {
        self.by_name.get(name).map_or(&[], |function| &function.live)
    }

    /// The methods that a generic function ever had, in all tables, in the order of their definition.
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

    /// The host's function of this name.
    pub fn find_extern(&self, name: &str) -> Option<Extern> {
        self.extern_names.get(name).copied()
    }
}
