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
    /// Of an entry; none if there is none. `waits`: whether its work-items meet.
    pub fn of(legal: &Legal, entry: usize, waits: bool) -> Option<ExportKind> {
        let abi = legal.entries().get(entry)?;
        Some(match CSignature::of(legal, entry) {
            Some(_) if abi.convention == EntryConvention::Packed => ExportKind::Packed,
            Some(signature) => ExportKind::Function(signature),
            None => ExportKind::Kernel { waits },
        })
    }
}

/// What is no name in C or C++, though it looks like one.
const KEYWORDS: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "asm",
    "auto",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "compl",
    "concept",
    "const",
    "constexpr",
    "continue",
    "default",
    "delete",
    "do",
    "double",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "nullptr",
    "operator",
    "or",
    "private",
    "protected",
    "public",
    "register",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "while",
    "xor",
];

/// A name as an identifier of C: `scale(f32, ptr<global>)` is `scale_f32_ptr_global`. What is one already stays as it is;
/// everything else between letters and digits becomes one underscore.
pub fn c_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut gap = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            if gap {
                out.push('_');
            }
            gap = false;
            out.push(c);
        } else {
            gap = true;
        }
    }
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    if KEYWORDS.contains(&out.as_str()) {
        out.push('_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (name, wanted) in [
            ("axpy", "axpy"),
            ("_x9", "_x9"),
            ("scale(f32, ptr<global>)", "scale_f32_ptr_global"),
            ("f()", "f"),
            ("odd name", "odd_name"),
            ("9lives", "_9lives"),
            ("", "_"),
            ("\u{e9}", "_"),
            ("while", "while_"),
            ("a::b", "a_b"),
        ] {
            assert_eq!(c_name(name), wanted);
        }
        let mut sorted = KEYWORDS.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, KEYWORDS);
    }
}
