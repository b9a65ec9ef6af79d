//! Why a session did not do what it was asked to.

use crate::engine::EngineError;
use crate::image::ImageError;
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::limits::{MAX_METHODS, MAX_NAME_BYTES};
use marquetry_ir::program::MethodError;
use std::fmt;

/// Why a session did not do what it was asked to.
#[derive(Clone, Debug)]
pub enum SessionError {
    /// The text or the method is wrong; the program stays as it was. The mistakes, and the same as text, with the place of
    /// each.
    Definition(Vec<Diagnostic>, String),
    /// A method cannot be added or deleted; the program stays as it was.
    Method(MethodError),
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
            SessionError::Method(MethodError::Exists(_)) => {
                f.write_str("its table has a method that takes the same")
            }
            SessionError::Method(MethodError::DeviceTable) => f.write_str("the device table is private"),
            SessionError::Method(MethodError::Unbound(_)) => {
                f.write_str("a type variable occurs in no parameter")
            }
            SessionError::Method(MethodError::LinkName(function)) => write!(
                f,
                "the name is how the device library calls what a runtime provider supplies for '{function}', in a table \
                 of the provider: make the method an overlay there"
            ),
            SessionError::Method(MethodError::Name) => {
                write!(f, "the name is longer than {MAX_NAME_BYTES} bytes, or has a zero byte")
            }
            SessionError::Method(MethodError::NoTable(_)) => f.write_str("there is no such table"),
            SessionError::Method(MethodError::TooMany) => write!(
                f,
                "the program has {MAX_METHODS} methods, the most there may be; those of earlier worlds count until \
                 `Session::forget_before`"
            ),
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
