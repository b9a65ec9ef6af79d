//! Why types cannot be made.

use super::Type;
use crate::limits::{MAX_FIELDS, MAX_NAME_BYTES, MAX_TYPE_BYTES, MAX_TYPES};
use std::fmt;
use std::sync::Arc;

/// Why a type cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypeError {
    /// Larger than [`MAX_TYPE_BYTES`].
    TooLarge,
    /// More than [`MAX_FIELDS`] fields.
    TooManyFields(usize),
    /// Two fields of one struct have this name.
    RepeatedField(Arc<str>),
    /// A struct of this name exists and has other fields.
    Redefined(Arc<str>),
    /// Elements and fields must be known types.
    NotStorable(Type),
    /// A type, or a chain of supertypes, nested more than [`MAX_TYPE_DEPTH`](crate::limits::MAX_TYPE_DEPTH) deep.
    TooDeep,
    /// Its name would have more than [`MAX_NAME_BYTES`].
    TooLong,
    /// What stands where a constant is needed.
    NoConstant(Type),
    /// The name means another type already.
    Taken(Arc<str>),
    /// A part of it is of another program.
    Foreign,
    /// There are [`MAX_TYPES`](crate::limits::MAX_TYPES) already.
    TooMany,
    /// The type is of another abstract type already.
    Implemented(Type, Arc<str>),
    /// Structs say what they are where they are defined.
    NotImplementable(Type),
    /// A struct has another number of parameters.
    Arguments {
        /// How many are given.
        found: usize,
        /// How many it has.
        wanted: usize,
    },
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeError::TooLarge => write!(f, "type is larger than {MAX_TYPE_BYTES} bytes"),
            TypeError::TooManyFields(n) => write!(f, "struct has {n} fields, the most is {MAX_FIELDS}"),
            TypeError::RepeatedField(name) => write!(f, "struct has two fields '{name}'"),
            TypeError::Redefined(name) => write!(f, "struct '{name}' is defined already, with other fields"),
            TypeError::NotStorable(ty) => write!(f, "type {ty} cannot be stored"),
            TypeError::TooDeep => {
                write!(f, "type is nested more than {} deep", crate::limits::MAX_TYPE_DEPTH)
            }
            TypeError::TooLong => {
                write!(f, "type has a name of more than {MAX_NAME_BYTES} bytes, its parameters included")
            }
            TypeError::NoConstant(ty) => write!(f, "type {ty} is no constant"),
            TypeError::Foreign => f.write_str("a part of the type is of another program"),
            TypeError::TooMany => write!(f, "program has more than {MAX_TYPES} types"),
            TypeError::Taken(name) => write!(f, "type '{name}' is defined already"),
            TypeError::Implemented(ty, old) => write!(f, "type {ty} is a {old} already"),
            TypeError::NotImplementable(_) => {
                f.write_str("only scalars, vectors and pointers are declared; structs say what they are")
            }
            TypeError::Arguments { found, wanted } => {
                write!(f, "{found} type arguments, expected {wanted}")
            }
        }
    }
}

impl std::error::Error for TypeError {}
