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
    methods: PrimaryMap<Method, Arc<MethodData>>,
    tables: PrimaryMap<Table, Arc<str>>,
    by_name: FxHashMap<Arc<str>, SmallVec<[Method; 2]>>,
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
        Program {
            types: Types::new(),
            files: Vec::new(),
            globals: PrimaryMap::new(),
            externs: PrimaryMap::new(),
            methods: PrimaryMap::new(),
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

    /// Adds a method.
    ///
    /// # Errors
    /// Its table has one of this name and these parameter types already: that one.
    pub fn add_method(&mut self, data: MethodData) -> Result<Method, Method> {
        let same = |m: &MethodData| m.table == data.table && m.signature.params == data.signature.params;
        let siblings = self.by_name.get(&data.name).map_or(&[][..], |list| list);
        if let Some(&existing) = siblings.iter().find(|&&m| same(&self.methods[m])) {
            return Err(existing);
        }
        let name = data.name.clone();
        let method = self.methods.push(Arc::new(data));
        self.by_name.entry(name).or_default().push(method);
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

    /// A method, to be changed.
    pub fn method_mut(&mut self, method: Method) -> &mut MethodData {
        Arc::make_mut(&mut self.methods[method])
    }

    /// All methods in the order of their definition.
    pub fn methods(&self) -> impl Iterator<Item = (Method, &MethodData)> {
        self.methods.iter().map(|(method, data)| (method, &**data))
    }

    /// The methods of a generic function, in all tables.
    pub fn methods_of(&self, name: &str) -> &[Method] {
        self.by_name.get(name).map_or(&[], |list| list)
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
