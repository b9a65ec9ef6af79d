//! A program: types, globals, externs and methods in their tables.
//!
//! Every method lives in exactly one table. The first two tables always exist: [`Table::BASE`] is what native code sees,
//! [`Table::DEVICE`] holds the runtime's overlays and is this project's own. Others are made by name for back-ends.
//! A program holds data only; which method a call means is decided in the `lower` crate, per job.

use crate::body::Body;
use crate::entity::{Extern, Global, Method, Table};
use crate::signature::Signature;
use crate::span::{SourceFile, Span};
use crate::types::{Type, Types};
use cranelift_entity::{EntityRef, PrimaryMap};
use rustc_hash::FxHashMap;
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

/// A method: signature, body and attributes.
#[derive(Clone, Debug)]
pub struct MethodData {
    /// The generic function that it belongs to.
    pub name: Arc<str>,
    /// The table that it lives in.
    pub table: Table,
    /// Function or kernel.
    pub kind: MethodKind,
    /// Exact parameter and result types.
    pub signature: Signature,
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
struct Methods {
    list: Vec<Method>,
    /// By parameter types: at most one per table.
    by_params: FxHashMap<Vec<Type>, Vec<Method>>,
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
    methods: PrimaryMap<Method, MethodData>,
    tables: PrimaryMap<Table, Arc<str>>,
    table_names: FxHashMap<Arc<str>, Table>,
    by_name: FxHashMap<Arc<str>, Methods>,
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
        let mut program = Program {
            types: Types::new(),
            files: Vec::new(),
            globals: PrimaryMap::new(),
            externs: PrimaryMap::new(),
            methods: PrimaryMap::new(),
            tables: PrimaryMap::new(),
            table_names: FxHashMap::default(),
            by_name: FxHashMap::default(),
            global_names: FxHashMap::default(),
            extern_names: FxHashMap::default(),
        };
        program.table("base");
        program.table("device");
        program
    }

    /// Remembers a source text; the result is what `file` fields hold.
    pub fn add_file(&mut self, name: &str, text: &str) -> u32 {
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        self.files.len() as u32 - 1
    }

    /// The table of this name, made if it does not exist.
    pub fn table(&mut self, name: &str) -> Table {
        if let Some(table) = self.find_table(name) {
            return table;
        }
        let name: Arc<str> = name.into();
        let table = self.tables.push(name.clone());
        self.table_names.insert(name, table);
        table
    }

    /// The table of this name.
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

    /// Adds a method.
    ///
    /// # Errors
    /// Its table has one of this name and these parameter types already: that one.
    pub fn add_method(&mut self, data: MethodData) -> Result<Method, Method> {
        let siblings = self.by_name.entry(data.name.clone()).or_default();
        let same = siblings.by_params.entry(data.signature.params.clone()).or_default();
        if let Some(&existing) = same.iter().find(|&&m| self.methods[m].table == data.table) {
            return Err(existing);
        }
        let method = self.methods.push(data);
        same.push(method);
        siblings.list.push(method);
        Ok(method)
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

    /// A method, to be changed: all but its name, its table and the types of its parameters, by which it is found.
    pub fn method_mut(&mut self, method: Method) -> &mut MethodData {
        &mut self.methods[method]
    }

    /// All methods in the order of their definition.
    pub fn methods(&self) -> impl Iterator<Item = (Method, &MethodData)> {
        self.methods.iter()
    }

    /// The methods of a generic function, in all tables.
    pub fn methods_of(&self, name: &str) -> &[Method] {
        self.by_name.get(name).map_or(&[], |methods| &methods.list)
    }

    /// The method of a generic function that a table holds for these parameter types.
    pub fn method_in(&self, table: Table, name: &str, params: &[Type]) -> Option<Method> {
        let same = self.by_name.get(name)?.by_params.get(params)?;
        same.iter().find(|&&method| self.methods[method].table == table).copied()
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
