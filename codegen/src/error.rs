//! Why a legal unit was not emitted.

use std::fmt;

/// An emitter's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// The target has no room for it: a limit of its format.
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The most there can be.
        limit: u64,
        /// How much there is.
        found: u64,
    },
    /// The target cannot do what the unit asks for; the reason is for people.
    Unsupported(String),
    /// Functions of the host that nobody supplied, by link name.
    Unresolved(Vec<String>),
    /// The target named in text is not one: what was found and what is known.
    Target(String),
    /// Marquetry, or a library it uses, is wrong: please report it.
    Internal(String),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::Limit { what, limit, found } => write!(f, "{found} {what}, the most is {limit}"),
            EmitError::Unsupported(what) => write!(f, "not supported: {what}"),
            EmitError::Unresolved(names) => {
                write!(f, "no address for the host's functions {}", names.join(", "))
            }
            EmitError::Target(message) => f.write_str(message),
            EmitError::Internal(message) => write!(f, "internal error: {message}"),
        }
    }
}

impl std::error::Error for EmitError {}
