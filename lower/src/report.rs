//! Diagnostics that lowering makes, all through here.

use marquetry_ir::diag::Diagnostic;
use marquetry_ir::span::Span;

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
    let _ = place;
    Diagnostic { message }
}
