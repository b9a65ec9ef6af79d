//! What an object shows to C: names that are identifiers, and signatures of ordinary types.
//!
//! | argument | C passes |
//! |---|---|
//! | integer of up to 64 bits, `f32`, `f64`, pointer | it, by value: `i1` as `bool`, integers as `intN_t`, pointers as `void *` |
//! | `f16`, `bf16` | its bits, as `uint16_t` |
//! | struct, array, vector, `i128` | the address of its bytes in C's layout, which are read while the function is entered |
//!
//! | the function | C gets |
//! |---|---|
//! | returns nothing | nothing |
//! | returns one thing of the first rows | that |
//! | returns several, or something of the last row | nothing; behind the arguments it passes the address where each result goes |
//! | throws | a status, `uint32_t`: 0, or the number of the place that threw, from 1 on; all results go where addresses lead, and are undefined unless the status is 0; operands of exceptions do not reach C |
//!
//! Where the compiled function is called just so already, the symbol is its own; else it is one of a small function in
//! front. Whether a function throws is known when it has been optimised, so signatures belong to the object that they
//! were made with.

use marquetry_ir::program::MethodKind;
use marquetry_ir::types::{Scalar, Type, Types};
use marquetry_lower::job::EntryConvention;
use marquetry_lower::legal::{Legal, Role};
use std::sync::Arc;

/// A parameter of a function as C sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CParam {
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Its type, one of the unit.
    pub ty: Type,
    /// Whether C passes its address.
    pub by_address: bool,
}

/// What a function returns in C.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CReturn {
    /// Nothing.
    Nothing,
    /// Its only result, of this type.
    Value(Type),
    /// Whether it threw.
    Status,
}

/// The signature of a function as C sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSignature {
    /// Its arguments.
    pub params: Vec<CParam>,
    /// The types of what it stores where the last parameters lead.
    pub outs: Vec<Type>,
    /// What it returns.
    pub returns: CReturn,
}

/// How an exported symbol is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExportKind {
    /// As a function of C.
    Function(CSignature),
    /// With blocks of arguments and results: `uint32_t (const void *args, void *results, const void *stack)`.
    Packed,
    /// With a block of arguments, for some of a group's work-items.
    Kernel {
        /// Whether work-items meet: each must be run on a stack of its own.
        waits: bool,
    },
}

/// An entry that others than the object see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Export {
    /// The number of the entry in its unit.
    pub entry: usize,
    /// The symbol.
    pub symbol: Arc<str>,
    /// Whether it is called with blocks, if it is a function, whatever the job's entry ABI: so operands of exceptions arrive.
    pub packed: bool,
}

/// Whether C passes a value of this type as it is.
fn is_simple(types: &Types, ty: Type) -> bool {
    let ty = types.underlying(ty);
    ty.is_pointer() || ty.as_scalar().is_some_and(|scalar| scalar != Scalar::I128)
}

impl CSignature {
    /// Of an entry that is a function; none if there is no such entry.
    pub fn of(legal: &Legal, entry: usize) -> Option<CSignature> {
        let (&func, abi) = legal.unit().entries.get(entry).zip(legal.entries().get(entry))?;
        let unit = legal.unit();
        if unit.funcs.get(func)?.kind != MethodKind::Function {
            return None;
        }
        let types = &unit.types;
        let passed = abi.arguments.iter().filter(|argument| !argument.parts.is_empty());
        let params = passed.map(|argument| CParam {
            name: match &argument.role {
                Role::Input(name) => Some(name.clone()),
                _ => argument.name.clone(),
            },
            ty: argument.ty,
            by_address: !is_simple(types, argument.ty),
        });
        let results: Vec<Type> =
            abi.results.iter().filter(|result| !result.parts.is_empty()).map(|result| result.ty).collect();
        let (outs, returns) = match *results {
            _ if abi.status => (results, CReturn::Status),
            [ty] if is_simple(types, ty) => (Vec::new(), CReturn::Value(ty)),
            _ => (results, CReturn::Nothing),
        };
        Some(CSignature { params: params.collect(), outs, returns })
    }

    /// Whether the compiled function is called just so, as far as its signature says.
    pub(super) fn is_direct(&self) -> bool {
        self.params.iter().all(|param| !param.by_address)
            && self.outs.is_empty()
            && self.returns != CReturn::Status
    }
}

impl ExportKind {
    /// Of an export; none if there is no such entry. `waits`: whether its work-items meet.
    pub fn of(legal: &Legal, export: &Export, waits: bool) -> Option<ExportKind> {
        let abi = legal.entries().get(export.entry)?;
        Some(match CSignature::of(legal, export.entry) {
            Some(_) if export.packed || abi.convention == EntryConvention::Packed => ExportKind::Packed,
            Some(signature) => ExportKind::Function(signature),
            None => ExportKind::Kernel { waits },
        })
    }
}
