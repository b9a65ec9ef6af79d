//! The device library: methods that every program starts with, written in the language itself.
//!
//! It lives in this crate because the right to add to the device table ([`Table::DEVICE`](crate::entity::Table::DEVICE)) and to
//! the standard provider's ([`Table::STANDARD`](crate::entity::Table::STANDARD)) is private to it: public functions add methods
//! to an [`OpenTable`](crate::program::OpenTable), which these two are not, none lends one of their methods out to be
//! changed, and text from outside is read without that right. A host that wants
//! other device code overlays it in a table of its own, which is asked first.
//!
//! `library/device.mq` is the one table of the runtime's intrinsics: name, signature, documentation, and whether the
//! real body is given there or supplied by the back-end's provider under the link name. [`intrinsics`] is that table
//! read back, [`document`] shows it to people. The other files hold ordinary methods of base: mathematics and atomic
//! accesses, listed by [`functions`].

mod functions;

use crate::diag::Diagnostic;
use crate::entity::Method;
use crate::program::Program;
use crate::signature::Signature;
use crate::span::{SourceFile, Span};
use crate::text::{self, DeviceFunction};
use crate::types::Types;
use rustc_hash::FxHashMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

pub use functions::{LibraryFunction, functions, functions_document};

/// The library's files: name and text.
pub const FILES: [(&str, &str); 8] = [
    ("library/device.mq", include_str!("../library/device.mq")),
    ("library/standard.mq", include_str!("../library/standard.mq")),
    ("library/math_exponential.mq", include_str!("../library/math_exponential.mq")),
    ("library/math_logarithm.mq", include_str!("../library/math_logarithm.mq")),
    ("library/math_circular.mq", include_str!("../library/math_circular.mq")),
    ("library/math_inverse.mq", include_str!("../library/math_inverse.mq")),
    ("library/math_small.mq", include_str!("../library/math_small.mq")),
    ("library/atomic.mq", include_str!("../library/atomic.mq")),
];

/// Who supplies the real body of a device function.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Supplier {
    /// The back-end's runtime provider, under the link name.
    Provider,
    /// The library itself.
    Library,
}

/// A device function.
#[derive(Clone, Debug)]
pub struct Intrinsic {
    /// What programs call.
    pub name: Arc<str>,
    /// What a provider's method for it is called, where one supplies it.
    pub link_name: Arc<str>,
    /// What it takes and returns; scalars and pointers only.
    pub signature: Signature,
    /// Names of the parameters.
    pub params: Vec<Arc<str>>,
    /// Who supplies the real body.
    pub supplier: Supplier,
    /// What it does, from the comment above the declaration.
    pub doc: String,
}

/// What a link name starts with.
const LINK_PREFIX: &str = "gpu_";

struct Library {
    program: Program,
    intrinsics: Vec<Intrinsic>,
    /// Those that a provider supplies, by link name.
    by_link_name: FxHashMap<Arc<str>, usize>,
    by_name: FxHashMap<Arc<str>, usize>,
}

/// Reads the files into a new program.
fn load() -> (Library, Vec<Diagnostic>) {
    let mut program = Program::new();
    let mut intrinsics = Vec::new();
    let mut diagnostics = Vec::new();
    for (name, source) in FILES {
        let (found, functions) = text::parse_library(&mut program, name, source);
        diagnostics.extend(found);
        intrinsics.extend(functions.into_iter().map(|function| described(function, source)));
    }
    let linked = intrinsics.iter().enumerate().filter(|(_, i)| i.supplier == Supplier::Provider);
    let by_link_name = linked.map(|(n, intrinsic)| (intrinsic.link_name.clone(), n)).collect();
    let by_name = intrinsics.iter().enumerate().map(|(n, intrinsic)| (intrinsic.name.clone(), n)).collect();
    program.share();
    (Library { program, intrinsics, by_link_name, by_name }, diagnostics)
}

/// Checked by a test: the library has no mistakes.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| load().0)
}

fn described(function: DeviceFunction, source: &str) -> Intrinsic {
    let DeviceFunction { name, signature, params, is_linked, span } = function;
    let doc = doc_above(source, span).join(" ");
    let supplier = if is_linked { Supplier::Provider } else { Supplier::Library };
    Intrinsic { link_name: link_name(&name).into(), name, signature, params, supplier, doc }
}

/// The lines of the comment above a declaration, whose name is at a place.
fn doc_above(source: &str, span: Span) -> Vec<&str> {
    let above = source.get(..span.start as usize).unwrap_or("");
    let above = above.rfind('\n').map_or("", |end| &above[..end]);
    let mut lines: Vec<&str> = above.rsplit('\n').map_while(|line| line.strip_prefix(';')).collect();
    lines.reverse();
    lines.iter().map(|line| line.trim()).collect()
}

/// Whether a method of a program is the library's own object, unchanged since it was read.
pub(crate) fn is_untouched(program: &Program, method: Method) -> bool {
    program.has_same(&library().program, method)
}

/// A program that holds the library and nothing else.
pub fn program() -> Program {
    library().program.clone()
}

/// Whether a file, by number, is one of the library among these files of a program or unit.
pub fn is_library_file(files: &[SourceFile], file: Option<u32>) -> bool {
    let number = file.map_or(usize::MAX, |file| file as usize);
    match (files.get(number), FILES.get(number)) {
        (Some(file), Some(&(name, text))) => *file.name == *name && file.text.len() == text.len(),
        _ => false,
    }
}

/// Whether a method of the library has this name.
pub fn has_method(name: &str) -> bool {
    !library().program.methods_of(name).is_empty()
}

/// All device functions, in the order of their declaration.
pub fn intrinsics() -> &'static [Intrinsic] {
    &library().intrinsics
}

/// What a provider supplies a device function as.
pub(crate) fn link_name(function: &str) -> String {
    format!("{LINK_PREFIX}{function}")
}

/// The device function that a provider supplies under this link name.
pub fn intrinsic(link_name: &str) -> Option<&'static Intrinsic> {
    // Most names are none: they are told apart without the table.
    if !link_name.starts_with(LINK_PREFIX) {
        return None;
    }
    let library = library();
    library.by_link_name.get(link_name).and_then(|&n| library.intrinsics.get(n))
}

/// The device function of this name, if its real body does nothing but call its link name.
pub fn linked_function(name: &str) -> Option<&'static Intrinsic> {
    let library = library();
    let found = library.by_name.get(name).and_then(|&n| library.intrinsics.get(n));
    found.filter(|intrinsic| intrinsic.supplier == Supplier::Provider)
}

/// Whether a device function has this name.
pub fn is_device_function(name: &str) -> bool {
    library().by_name.contains_key(name)
}

/// The table of device functions, for people.
pub fn document() -> String {
    let types = Types::new();
    let mut out = String::from(
        "# The device library\n\nGenerated from `library/device.mq`; do not edit.\n\n\
         What code for devices may call. On the host each has a body that gives a sentinel; a job may ask for an \
         exception or an error instead.\nA function of the *provider* is supplied by the back-end's runtime provider as \
         a method under the link name, in a table that the job's view names;\nit may be absent until something needs it. No method of `base` may have a link name:\
         \x20calls of one mean what the provider supplies. \
         One of the *library* is built in.\n\n| function | link name | supplied by | meaning |\n|---|---|---|---|\n",
    );
    for intrinsic in intrinsics() {
        let Intrinsic { name, link_name, signature, params, supplier, doc } = intrinsic;
        let typed = params.iter().zip(&signature.params);
        let params: Vec<String> = typed.map(|(name, &ty)| format!("{name}: {}", types.display(ty))).collect();
        let results = Signature::new([], signature.results.clone()).display(&types).to_string();
        let results = results.strip_prefix("()").unwrap_or("");
        let (link, by) = match supplier {
            Supplier::Provider => (format!("`{link_name}`"), "provider"),
            Supplier::Library => ("–".into(), "library"),
        };
        let _ = writeln!(out, "| `{name}({}){results}` | {link} | {by} | {doc} |", params.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Table;

    #[test]
    fn the_library_has_no_mistakes() {
        let (library, diagnostics) = load();
        assert_eq!(diagnostics, []);
        assert_eq!(crate::verify::verify_program(&library.program), []);
    }

    #[test]
    fn every_device_function_is_a_pair_that_is_documented() {
        let program = program();
        for intrinsic in intrinsics() {
            let tables: Vec<Table> =
                program.methods_of(&intrinsic.name).iter().map(|&m| program.method(m).table).collect();
            assert_eq!(tables, [Table::BASE, Table::DEVICE], "{}", intrinsic.name);
            assert!(!intrinsic.doc.is_empty(), "{}", intrinsic.name);
        }
    }

    #[test]
    fn the_standard_provider_supplies_what_is_declared() {
        let program = program();
        for (_, method) in program.methods().filter(|(_, method)| method.table == Table::STANDARD) {
            let Some(intrinsic) = intrinsic(&method.name) else { panic!("{} is not declared", method.name) };
            assert_eq!(method.signature, intrinsic.signature, "{}", method.name);
        }
    }

    #[test]
    fn every_function_is_documented_and_mathematical_ones_tell_their_error() {
        let functions = functions();
        let methods = |name: &str| functions.iter().filter(|function| *function.name == *name).count();
        assert_eq!([methods("math_exp"), methods("math_atan2"), methods("atomic_add")], [2, 2, 1]);
        for function in &functions {
            assert_eq!(function.error.is_some(), function.name.starts_with("math_"), "{}", function.name);
        }
        let program = program();
        for (_, method) in program.methods().filter(|(_, method)| method.file.is_some_and(|file| file > 1)) {
            let known = method.name.starts_with("math_impl_") || methods(&method.name) > 0;
            assert!(known, "{} has no documentation", method.name);
        }
    }

    #[test]
    fn the_library_is_not_verified_again_unless_it_was_changed() {
        let mut program = program();
        let method = program.methods_of("math_exp")[0];
        assert!(is_untouched(&program, method));
        assert_eq!(crate::verify::verify_program(&program), []);
        let body = program.body_mut(method).expect("a body of base");
        let last = body.last_inst(body.entry().unwrap()).unwrap();
        body.remove_inst(last);
        assert!(!is_untouched(&program, method));
        assert_ne!(crate::verify::verify_program(&program), []);
    }

    #[test]
    fn the_documentation_is_that_of_the_library() {
        let documents = [("DEVICE.md", document()), ("LIBRARY.md", functions_document())];
        for (name, document) in documents {
            let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("MARQ_BLESS").is_some() {
                std::fs::write(&path, &document).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == document,
                "ir/{name} is stale: MARQ_BLESS=1 cargo test -p marquetry-ir --lib library"
            );
        }
    }
}
