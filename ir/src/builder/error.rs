//! What a host can do wrong while it builds.

use crate::builder::Variable;
use crate::entity::{Block, Value};
use crate::infer::TypeMismatch;
use crate::op::Op;
use crate::types::Type;
use std::fmt;

/// All mistakes of one function, in the order in which they were made; at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildError {
    /// The mistakes, at most [`MAX_DIAGNOSTICS`](crate::limits::MAX_DIAGNOSTICS).
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.mistakes.iter().enumerate() {
            let separator = if n == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildError {}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The block that was current.
    pub block: Option<Block>,
    /// What was wrong.
    pub kind: MistakeKind,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.block {
            Some(block) => write!(f, "{block}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

/// The kinds of mistakes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MistakeKind {
    /// An instruction before [`switch_to_block`](crate::builder::FunctionBuilder::switch_to_block).
    NoBlock,
    /// An instruction or a definition after the terminator.
    Filled(Block),
    /// A block that is used but has no terminator.
    Unfilled(Block),
    /// A block that is used but was never sealed.
    Unsealed(Block),
    /// An edge to a block that was sealed.
    Sealed(Block),
    /// An edge to the entry block.
    EntryTarget,
    /// The entry block does not have the parameters of the function.
    EntryParameters,
    /// A value that this body does not have.
    MissingValue(Value),
    /// A block that this body does not have.
    MissingBlock(Block),
    /// A variable that was not declared.
    MissingVariable(Variable),
    /// A variable is used where it is not defined on every path.
    Undefined(Variable),
    /// A value of another type than the variable.
    VariableType {
        /// The variable.
        variable: Variable,
        /// Type of the value.
        found: Type,
        /// Type of the variable.
        wanted: Type,
    },
    /// Operands that do not fit the op.
    Operands {
        /// The op.
        op: Op,
        /// Why they do not fit.
        mismatch: TypeMismatch,
    },
    /// Another number of edge arguments than the block has parameters.
    ArgumentCount {
        /// The destination.
        block: Block,
        /// How many there are.
        found: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// An edge argument or a returned value of another type than the parameter or result.
    Argument {
        /// Which argument, from 0.
        index: usize,
        /// Its type.
        found: Type,
        /// Type of the parameter or result.
        wanted: Type,
    },
    /// Another number of returned values than the function has results.
    ReturnCount {
        /// How many there are.
        found: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// A case value that the selector cannot have.
    Case(i128),
    /// An alignment that is no power of two up to 2^30, or a name that is no identifier.
    Malformed(String),
    /// More results, parameters or operands than the limit.
    Limit(&'static str, usize),
}

impl fmt::Display for MistakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use MistakeKind::*;
        match self {
            NoBlock => f.write_str("no block to put the instruction in"),
            Filled(block) => write!(f, "{block} has its terminator already"),
            Unfilled(block) => write!(f, "{block} has no terminator"),
            Unsealed(block) => write!(f, "{block} was never sealed"),
            Sealed(block) => write!(f, "{block} was sealed before this edge to it"),
            EntryTarget => f.write_str("the entry block cannot be a destination"),
            EntryParameters => f.write_str("the entry block does not have the parameters of the function"),
            MissingValue(value) => write!(f, "{value} does not exist in this body"),
            MissingBlock(block) => write!(f, "{block} does not exist in this body"),
            MissingVariable(variable) => write!(f, "{variable} was not declared"),
            Undefined(variable) => write!(f, "{variable} is not defined on every path to its use"),
            VariableType { variable, found, wanted } => {
                write!(f, "{variable} is defined by a value of type {found}, expected {wanted}")
            }
            Operands { op, mismatch } => write!(f, "{op}: {mismatch}"),
            ArgumentCount { block, found, wanted } => {
                write!(f, "{found} arguments for {block}, which has {wanted} parameters")
            }
            Argument { index, found, wanted } => {
                write!(f, "argument {} has type {found}, expected {wanted}", index + 1)
            }
            ReturnCount { found, wanted } => {
                write!(f, "found {found} values after 'return', expected {wanted}")
            }
            Case(case) => write!(f, "case {case} is no value of the selector's type"),
            Malformed(what) => write!(f, "{what}"),
            Limit(what, limit) => write!(f, "too many {what}, the most is {limit}"),
        }
    }
}
