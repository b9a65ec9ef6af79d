//! A unit: what one job compiles, closed and monomorphic.
//!
//! Every value has a type, every call names a function of the unit or of the host. Dispatch and specialisation
//! make units; the verifier checks them completely, the interpreter runs them as they are at any stage, passes
//! rewrite them, emitters turn them into code.

use crate::body::{Body, Frames, Origin};
use crate::entity::{Extern, Func, Global};
use crate::program::{ExternData, GlobalData, Inlining, MethodKind};
use crate::signature::Signature;
use crate::span::{SourceFile, Span};
use crate::types::{Type, Types};
use cranelift_entity::PrimaryMap;
use std::sync::Arc;

/// A function of a unit.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its symbol, unique in the unit.
    pub name: Arc<str>,
    /// Function or kernel.
    pub kind: MethodKind,
    /// What it takes and returns.
    pub signature: Signature,
    /// The code.
    pub body: Body,
    /// Inlining attribute.
    pub inlining: Inlining,
    /// The source file, an index into [`Unit::files`].
    pub file: Option<u32>,
    /// Where the text spelled its name.
    pub span: Span,
}

impl Function {
    /// The chain of functions that a location of the body is in, from the inside to this one.
    pub fn frames(&self, origin: Origin) -> Frames<'_> {
        self.body.frames(&self.name, self.file, origin)
    }
}

/// A format that code prints with, by the number that its records carry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PrintFormat {
    /// The format, as the program spells it.
    pub text: Arc<str>,
    /// Types of the operands.
    pub types: Box<[Type]>,
}

/// What one job compiles.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Arrays and structs.
    pub types: Arc<Types>,
    /// Texts that the functions came from.
    pub files: Arc<[SourceFile]>,
    /// Functions; the entries are those that hosts call or launch.
    pub funcs: PrimaryMap<Func, Function>,
    /// Globals in use.
    pub globals: PrimaryMap<Global, GlobalData>,
    /// Functions of the host in use.
    pub externs: PrimaryMap<Extern, ExternData>,
    /// What hosts call or launch.
    pub entries: Vec<Func>,
    /// The formats of what it prints, once that is lowered.
    pub formats: Vec<PrintFormat>,
}

impl Unit {
    /// The function of this symbol.
    pub fn find(&self, name: &str) -> Option<Func> {
        self.funcs.iter().find(|(_, function)| &*function.name == name).map(|(func, _)| func)
    }
}
