//! Signatures: what a function takes and returns.

use crate::types::{Type, Types};
use std::fmt;

/// Parameter and result types.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Signature {
    /// Types of the parameters, in order.
    pub params: Vec<Type>,
    /// Types of the results, in order.
    pub results: Vec<Type>,
}

impl Signature {
    /// A signature.
    pub fn new(params: impl Into<Vec<Type>>, results: impl Into<Vec<Type>>) -> Self {
        Signature { params: params.into(), results: results.into() }
    }

    /// As the text format spells it: `(i32, f32) -> (f32, i1)`.
    pub fn display<'a>(&'a self, types: &'a Types) -> impl fmt::Display + 'a {
        SignatureDisplay { signature: self, types }
    }
}

struct SignatureDisplay<'a> {
    signature: &'a Signature,
    types: &'a Types,
}

/// Prints `a, b, c`.
pub(crate) fn write_types(f: &mut fmt::Formatter<'_>, types: &Types, list: &[Type]) -> fmt::Result {
    for (n, &ty) in list.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        write!(f, "{comma}{}", types.display(ty))?;
    }
    Ok(())
}

impl fmt::Display for SignatureDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        write_types(f, self.types, &self.signature.params)?;
        f.write_str(")")?;
        match self.signature.results.as_slice() {
            [] => Ok(()),
            [one] => write!(f, " -> {}", self.types.display(*one)),
            many => {
                f.write_str(" -> (")?;
                write_types(f, self.types, many)?;
                f.write_str(")")
            }
        }
    }
}
