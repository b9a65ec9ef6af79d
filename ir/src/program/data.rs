//! What a program is made of: methods with their attributes, globals, functions of the host.

use crate::body::Body;
use crate::entity::{Method, Table};
use crate::program::GlobalSlot;
use crate::signature::Signature;
use crate::span::Span;
use crate::types::{Abstract, Generic, Type, Types};
use std::sync::{Arc, LazyLock};

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

/// Why a method cannot be added.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MethodError {
    /// Its table has one of this name that takes the same.
    Exists(Method),
    /// The device table and the standard provider's are this project's own.
    DeviceTable,
    /// Calls of this name mean what the runtime provider supplies for this device function, so a method in base would
    /// never be called: the provider's are overlays, in a table that it names.
    LinkName(&'static str),
    /// The name is longer than [`MAX_NAME_BYTES`](crate::limits::MAX_NAME_BYTES), or has a zero byte: no text can spell it.
    Name,
    /// There is no such table.
    NoTable(Table),
    /// No parameter mentions this variable, so no call could determine it.
    Unbound(Type),
    /// The program has [`MAX_METHODS`](crate::limits::MAX_METHODS), ended ones included that are not forgotten.
    TooMany,
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
    /// The source file, an index into [`Program::files`](crate::program::Program::files).
    pub file: Option<u32>,
    /// Where the text spelled its name.
    pub span: Span,
}

impl MethodData {
    /// A function in base without type variables.
    pub fn function(name: &str, signature: Signature, body: Body) -> Self {
        MethodData {
            name: name.into(),
            table: Table::BASE,
            kind: MethodKind::Function,
            signature,
            variables: Vec::new(),
            body,
            inlining: Inlining::Auto,
            consistent: false,
            file: None,
            span: Span::NOWHERE,
        }
    }

    /// A kernel in base without type variables.
    pub fn kernel(name: &str, signature: Signature, body: Body) -> Self {
        MethodData { kind: MethodKind::Kernel, ..Self::function(name, signature, body) }
    }

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
    /// The alignment that it has at least, a power of two; that of its type, if there is none.
    pub align: Option<u32>,
    /// Its first contents, as bytes of the type's layout, little-endian; none for zero. Shared memory has none
    /// and starts uninitialised.
    pub init: Option<Arc<[u8]>>,
    /// The words of it that stand for something outside of it, by ascending offset; its first contents are zero there.
    pub slots: Vec<GlobalSlot>,
    /// The source file, an index into [`Program::files`](crate::program::Program::files).
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
    /// The source file, an index into [`Program::files`](crate::program::Program::files).
    pub file: Option<u32>,
    /// Where the text spelled its name.
    pub span: Span,
}

/// What stands for methods that do not exist.
pub(super) static NOTHING: LazyLock<Arc<MethodData>> = LazyLock::new(|| {
    Arc::new(MethodData {
        name: "".into(),
        table: Table::BASE,
        kind: MethodKind::Function,
        signature: Signature::default(),
        variables: Vec::new(),
        body: Body::new(),
        inlining: Inlining::Auto,
        consistent: false,
        file: None,
        span: Span::NOWHERE,
    })
});
