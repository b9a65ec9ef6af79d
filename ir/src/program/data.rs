//! What a program is made of: methods with their attributes, globals, functions of the host.

use crate::body::Body;
use crate::entity::{Method, Table};
use crate::limits::{MAX_METHODS, MAX_NAME_BYTES};
use crate::program::GlobalSlot;
use crate::signature::Signature;
use crate::span::Span;
use crate::types::{Abstract, Generic, Type, Types};
use std::fmt;
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
    /// Calls of this name mean what the runtime provider supplies for this device function, so a method in base would
    /// never be called: the provider's are overlays, in a table that it names.
    LinkName(&'static str),
    /// The name is longer than [`MAX_NAME_BYTES`], or has a zero byte: no text can spell it.
    Name,
    /// The program has no such table: it is one of another program.
    NoTable(Table),
    /// No parameter mentions this variable, so no call could determine it.
    Unbound(Type),
    /// The program has [`MAX_METHODS`], ended ones included that are not forgotten.
    TooMany,
}

impl fmt::Display for MethodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MethodError::Exists(_) => f.write_str("its table has a method that takes the same"),
            MethodError::LinkName(function) => write!(
                f,
                "the name is how the device library calls what a runtime provider supplies for '{function}', in a table \
                 of the provider: make the method an overlay there"
            ),
            MethodError::Name => {
                write!(f, "the name is longer than {MAX_NAME_BYTES} bytes, or has a zero byte")
            }
            MethodError::NoTable(_) => f.write_str("there is no such table"),
            MethodError::Unbound(_) => f.write_str("a type variable occurs in no parameter"),
            MethodError::TooMany => write!(
                f,
                "the program has {MAX_METHODS} methods, the most there may be; those of earlier worlds count until \
                 `Program::forget_before`, or a session's"
            ),
        }
    }
}

impl std::error::Error for MethodError {}

/// A method: signature, body and attributes. Other crates make one by [`MethodData::function`] or [`MethodData::kernel`]
/// and set the fields that differ; which table it goes to says who adds it.
#[derive(Clone, Debug)]
pub struct MethodData {
    /// The generic function that it belongs to.
    pub name: Arc<str>,
    /// Set by what adds it to a program.
    pub(crate) table: Table,
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
    /// A function without type variables.
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

    /// A kernel without type variables.
    pub fn kernel(name: &str, signature: Signature, body: Body) -> Self {
        MethodData { kind: MethodKind::Kernel, ..Self::function(name, signature, body) }
    }

    /// The table that it lives in; base for one that is in no program.
    pub fn table(&self) -> Table {
        self.table
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
pub(super) static NOTHING: LazyLock<Arc<MethodData>> =
    LazyLock::new(|| Arc::new(MethodData::function("", Signature::default(), Body::new())));
