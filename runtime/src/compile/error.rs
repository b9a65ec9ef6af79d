//! Why jobs do not become code.

use marquetry_codegen::error::EmitError;
use marquetry_ir::diag::Diagnostic;
use marquetry_lower::failure::Failure;
use std::fmt;

/// Why a job did not become code.
#[derive(Clone, Debug)]
pub enum CompileError {
    /// Before it was legal for its target.
    Lower(Failure),
    /// When it was.
    Emit(EmitError),
}

impl CompileError {
    /// What to show of it in the program's text; none if it is about nothing there.
    pub fn diagnostics(&self) -> Option<Vec<Diagnostic>> {
        match self {
            CompileError::Lower(Failure::Program(diagnostics))
            | CompileError::Emit(EmitError::Program(diagnostics)) => Some(diagnostics.clone()),
            CompileError::Lower(Failure::Limit(limit)) | CompileError::Emit(EmitError::Limit(limit)) => {
                Some(vec![limit.diagnostic()])
            }
            _ => None,
        }
    }
}

impl From<Failure> for CompileError {
    fn from(failure: Failure) -> Self {
        CompileError::Lower(failure)
    }
}

impl From<EmitError> for CompileError {
    fn from(error: EmitError) -> Self {
        CompileError::Emit(error)
    }
}

impl std::error::Error for CompileError {}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Lower(failure) => failure.fmt(f),
            CompileError::Emit(error) => error.fmt(f),
        }
    }
}
