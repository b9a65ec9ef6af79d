//! Diagnostics that lowering makes, all through here.

use marquetry_ir::body::Frame;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::Func;
use marquetry_ir::span::{SourceFile, Span};
use marquetry_ir::unit::Unit;

/// Where something is wrong.
#[derive(Copy, Clone, Debug)]
pub struct Place<'a> {
    /// The function.
    pub function: &'a str,
    /// Its source file.
    pub file: Option<u32>,
    /// Where in it.
    pub span: Span,
}

/// A call that no method fits, or an operand that does not fit once types are known.
pub fn dispatch(place: &Place<'_>, message: String) -> Diagnostic {
    error(Code::Dispatch, place, message)
}

/// A limit that was passed.
pub fn limit(place: &Place<'_>, message: String) -> Diagnostic {
    error(Code::Limit, place, message)
}

/// Something that the target cannot do.
pub fn unsupported(place: &Place<'_>, message: String) -> Diagnostic {
    error(Code::Unsupported, place, message)
}

/// An argument that no host can hand over.
pub fn argument(place: &Place<'_>, message: String) -> Diagnostic {
    error(Code::Argument, place, message)
}

/// A call through an address that is no function's.
pub fn pointer(place: &Place<'_>, message: String) -> Diagnostic {
    error(Code::Pointer, place, message)
}

/// A question to the target that nobody answers, or whose answer does not fit.
pub fn query(place: &Place<'_>, message: String) -> Diagnostic {
    error(Code::Query, place, message)
}

/// A static assertion that does not hold.
pub fn assertion(place: &Place<'_>, message: String) -> Diagnostic {
    error(Code::Assertion, place, message)
}

fn error(code: Code, place: &Place<'_>, message: String) -> Diagnostic {
    Diagnostic::error(code, place.file, place.span, message)
        .with_note(format!("in function '{}'", place.function))
}

/// One call on the way to a place, as a note; `via` is the table that the caller is from.
pub fn called_from(unit: &Unit, caller: Func, via: &str, site: Span) -> String {
    let Some(function) = unit.funcs.get(caller) else { return String::new() };
    let file = function.file.and_then(|file| unit.files.get(file as usize)).filter(|_| site.is_somewhere());
    let at = file.map_or(String::new(), |file| {
        let (line, column) = file.line_column(site.start);
        format!(" at {}:{line}:{column}", file.name)
    });
    format!("called from '{}'{via}{at}", function.name)
}

/// How code got to where it is, as notes: one for each function that it was inlined into.
pub fn inlined_into(callers: &[Frame], files: &[SourceFile]) -> Vec<String> {
    let note = |caller: &Frame| {
        let file =
            caller.file.and_then(|file| files.get(file as usize)).filter(|_| caller.span.is_somewhere());
        let at = file.map_or(String::new(), |file| {
            let (line, column) = file.line_column(caller.span.start);
            format!(" at {}:{line}:{column}", file.name)
        });
        format!("inlined into '{}'{at}", caller.function)
    };
    callers.iter().map(note).collect()
}
