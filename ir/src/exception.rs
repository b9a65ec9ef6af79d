//! The exceptions that the language itself throws, with names that never change.
//!
//! A `throw` may name any other kind. Code in the field tells exceptions apart by the place that throws, which lowering
//! numbers, so kinds have no numbers of their own.

use std::fmt;

/// An exception that an op throws.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Exception {
    /// An integer was divided by zero.
    DivideError,
    /// The quotient of two signed integers does not fit.
    OverflowError,
    /// An index is not below its bound.
    BoundsError,
    /// Control got where the program claims that it never gets.
    UnreachableError,
    /// A call that no method fits was reached.
    UnresolvedError,
    /// The condition of an `assert` is false.
    AssertionFailed,
}

impl Exception {
    /// All of them.
    pub const ALL: [Exception; 6] = [
        Exception::DivideError,
        Exception::OverflowError,
        Exception::BoundsError,
        Exception::UnreachableError,
        Exception::UnresolvedError,
        Exception::AssertionFailed,
    ];

    /// The kind, as `throw` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Exception::DivideError => "DivideError",
            Exception::OverflowError => "OverflowError",
            Exception::BoundsError => "BoundsError",
            Exception::UnreachableError => "UnreachableError",
            Exception::UnresolvedError => "UnresolvedError",
            Exception::AssertionFailed => "AssertionFailed",
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
