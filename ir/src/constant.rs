//! Constants: values that belong to no block.
//!
//! A constant is a value like any other, so it can be an operand anywhere; there is no instruction that makes one,
//! nothing to hoist and nothing to place. Emitters spell it where it is used.

use crate::types::Type;

/// A constant and its type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ConstData {
    /// The type.
    pub ty: Type,
    /// The value.
    pub value: ConstValue,
}

/// The value of a constant.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ConstValue {
    /// The bits of a scalar (floats too), or the address in a pointer; bits above the type's width are 0.
    Scalar(u128),
    /// The bits of each lane of a vector.
    Lanes(Box<[u128]>),
    /// All bytes zero; the only constants of arrays, structs and singleton types.
    Zero,
    /// A number of a type that mentions variables; read once the type is known.
    Literal(std::sync::Arc<str>),
    /// The value that a type variable is bound to.
    Variable(Type),
}

impl ConstData {
    /// The bits of a scalar or pointer constant.
    pub fn scalar(&self) -> Option<u128> {
        match self.value {
            ConstValue::Scalar(bits) => Some(bits),
            _ => None,
        }
    }

    /// Whether all bits are zero.
    pub fn is_zero(&self) -> bool {
        match &self.value {
            ConstValue::Scalar(bits) => *bits == 0,
            ConstValue::Lanes(lanes) => lanes.iter().all(|&bits| bits == 0),
            ConstValue::Zero => true,
            ConstValue::Literal(_) | ConstValue::Variable(_) => false,
        }
    }
}
