//! Diagnostics for people: drawn into the text that the code came from or, for code that a host built, into its
//! printed form.

use crate::diag::Diagnostic;
use crate::program::Program;
use crate::unit::Unit;
use crate::verify::module::Module;

/// What [`explain`] can draw into.
#[derive(Copy, Clone)]
pub struct Explained<'a>(pub(super) Module<'a>);

impl<'a> From<&'a Program> for Explained<'a> {
    fn from(program: &'a Program) -> Self {
        Explained(Module::Program(program))
    }
}

impl<'a> From<&'a Unit> for Explained<'a> {
    fn from(unit: &'a Unit) -> Self {
        Explained(Module::Unit(unit))
    }
}

/// All diagnostics as plain text.
pub fn explain<'a>(module: impl Into<Explained<'a>>, diagnostics: &[Diagnostic]) -> String {
    let Explained(module) = module.into();
    crate::diag::render(diagnostics, module.files())
}
