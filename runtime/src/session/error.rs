//! Why a session did not do what it was asked to.

use crate::engine::EngineError;
use crate::image::ImageError;
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::{MethodError, PrivateTable};
use std::fmt;

/// Why a session did not do what it was asked to.
#[derive(Clone, Debug)]
pub enum SessionError {
    /// The text or the method is wrong; the program stays as it was. The mistakes, and the same as text, with the place of
    /// each.
    Definition(Vec<Diagnostic>, String),
    /// A method cannot be added; the program stays as it was.
    Method(MethodError),
    /// The library's tables are for nobody else to change; the program stays as it was.
    Private(PrivateTable),
    /// There is no such method, back-end, or instance.
    NotFound(String),
    /// The job did not compile.
    Compile(EngineError),
    /// An image has the job, but is damaged there.
    Image(ImageError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Definition(_, text) => f.write_str(text.trim_end()),
            SessionError::Method(error) => error.fmt(f),
            SessionError::Private(error) => error.fmt(f),
            SessionError::NotFound(what) => f.write_str(what),
            SessionError::Compile(error) => error.fmt(f),
            SessionError::Image(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {}

impl From<EngineError> for SessionError {
    fn from(error: EngineError) -> Self {
        SessionError::Compile(error)
    }
}
