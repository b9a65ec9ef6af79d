//! What the library has besides device functions: ordinary methods of base, for mathematics and atomic accesses.
//!
//! Their declaration, documentation and largest error stand in the library's text and nowhere else: [`functions`] is that
//! text read back, [`functions_document`] shows it to people, and a test holds the methods to the errors.

use super::{FILES, doc_above, library};
use crate::entity::{Method, Table};
use std::fmt::Write;
use std::sync::Arc;

/// What the names of methods start with that only the library itself should call: they may change.
const PRIVATE: &str = "math_impl_";

/// What the line of the documentation starts with that tells the error.
const ERROR: &str = "Error: ";

/// An ordinary method of the library.
#[derive(Clone, Debug)]
pub struct LibraryFunction {
    /// What programs call.
    pub name: Arc<str>,
    /// Itself, in every program that starts with the library.
    pub method: Method,
    /// Name, parameters and results as the text spells them.
    pub declaration: String,
    /// What it does, from the comment above it.
    pub doc: String,
    /// Its largest error, in units in the last place of the result, if it is not exact.
    pub error: Option<f64>,
}

/// The documented methods of the library that are not device functions, in the order of their definition.
pub fn functions() -> Vec<LibraryFunction> {
    let library = library();
    let program = &library.program;
    let ordinary = program.methods().filter(|(_, data)| {
        let is_half = library.by_name.contains_key(&data.name);
        data.table == Table::BASE && !is_half && !data.name.starts_with(PRIVATE)
    });
    let described = ordinary.filter_map(|(method, data)| {
        let (_, source) = FILES.get(data.file? as usize)?;
        let mut lines = doc_above(source, data.span);
        let error = lines.iter().position(|line| line.starts_with(ERROR)).map(|at| lines.remove(at));
        let error = error.and_then(|line| line.strip_prefix(ERROR)?.split(' ').next()?.parse().ok());
        let start = source.get(data.span.start as usize..)?;
        let header = start.split(" {").next()?.trim_end_matches(" inline");
        let (name, declaration) = (data.name.clone(), header.to_owned());
        Some(LibraryFunction { name, method, declaration, doc: lines.join(" "), error })
    });
    described.filter(|function| !function.doc.is_empty()).collect()
}

/// The table of ordinary methods, for people.
pub fn functions_document() -> String {
    let mut out = String::from(
        "# The library's functions\n\nGenerated from `library/math_*.mq` and `library/atomic.mq`; do not edit.\n\n\
         Every program starts with these methods, in `base`: code for the host and for devices calls the same bodies, and \
         gets the same bits on every engine that keeps subnormals and computes op by op; shading languages may rearrange \
         sums.\nA back-end or program may overlay them in a table of \
         its own, where its target has something faster. What starts with `math_impl_` is not listed and may change.\n\n\
         Special cases are those of IEEE 754-2019 section 9.2 and of annex F of the C standard. The error is the largest \
         seen, in units in the last place of the result, rounded up.\nThe functions for `f32` use `f32` and `i32` only. Each \
         mathematical function takes `f16` and `bf16` as well: it is computed as for `f32` and rounded once more.\n\n\
         | function | meaning | largest error |\n|---|---|---|\n",
    );
    for LibraryFunction { declaration, doc, error, .. } in functions() {
        let doc = doc.replace('|', "\\|");
        let error = error.map_or("–".to_owned(), |error| format!("{error} ulp"));
        let _ = writeln!(out, "| `{declaration}` | {doc} | {error} |");
    }
    out
}
