//! The exceptions that the language itself throws, with names and numbers that never change.
//!
//! A `throw` may name any other kind; a unit numbers those from [`Exception::FIRST_OTHER`] upwards.

use std::fmt;

/// An exception that an op throws.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
pub enum Exception {
    /// An integer was divided by zero.
    DivideError = 0,
    /// The quotient of two signed integers does not fit.
    OverflowError = 1,
    /// An index is not below its bound.
    BoundsError = 2,
    /// Control got where the program claims that it never gets.
    UnreachableError = 3,
}

impl Exception {
    /// All of them, by number.
    pub const ALL: [Exception; 4] = [
        Exception::DivideError,
        Exception::OverflowError,
        Exception::BoundsError,
        Exception::UnreachableError,
    ];

    /// The least number of an exception that only a program knows; those below are the language's.
    pub const FIRST_OTHER: u32 = 16;

    /// The kind, as `throw` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Exception::DivideError => "DivideError",
            Exception::OverflowError => "OverflowError",
            Exception::BoundsError => "BoundsError",
            Exception::UnreachableError => "UnreachableError",
        }
    }

    /// The number, the same in every version.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The exception of this name.
    pub fn from_name(name: &str) -> Option<Exception> {
        Exception::ALL.into_iter().find(|exception| exception.name() == name)
    }

    /// The exception of this number.
    pub fn from_id(id: u32) -> Option<Exception> {
        Exception::ALL.into_iter().find(|exception| exception.id() == id)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (n, exception) in Exception::ALL.into_iter().enumerate() {
            assert_eq!(exception.id(), n as u32);
            assert_eq!(Exception::from_id(n as u32), Some(exception));
            assert_eq!(Exception::from_name(exception.name()), Some(exception));
            assert!(exception.id() < Exception::FIRST_OTHER);
        }
        assert_eq!(Exception::from_id(4), None);
        assert_eq!(Exception::from_name("divideerror"), None);
    }
}
