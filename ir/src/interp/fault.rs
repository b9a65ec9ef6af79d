//! Faults: why a program could not be run to an end that the language defines.

use crate::body::Frame;
use crate::entity::{Func, Inst};
use crate::program::Reference;
use crate::span::Span;
use crate::types::Space;
use std::fmt;
use std::sync::Arc;

/// Where a program was when something happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The function.
    pub func: Func,
    /// The name of the function whose code it was: of this one, or of one that was inlined into it.
    pub function: Arc<str>,
    /// The instruction.
    pub inst: Inst,
    /// That code's file.
    pub file: Option<u32>,
    /// Where the text spelled it.
    pub span: Span,
    /// Who called, from the inside to the outside; at most [`MAX_BACKTRACE`].
    pub callers: Vec<Frame>,
    /// Whether there are more callers than these.
    pub more: bool,
}

/// The most callers that a location names.
pub const MAX_BACKTRACE: usize = 64;

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of '{}'", self.inst, self.function)
    }
}

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The fuel is used up.
    OutOfFuel,
    /// More memory than the configuration allows.
    OutOfMemory {
        /// How much was asked for, in bytes.
        bytes: u64,
    },
    /// Calls are nested too deep, or their frames are too large together.
    StackOverflow,
    /// No allocation has this address: null, made up, or of a function.
    InvalidAddress {
        /// The address.
        address: u64,
        /// How many bytes were to be accessed.
        size: u64,
    },
    /// The access is not inside the allocation that the address belongs to.
    OutOfBounds {
        /// The address.
        address: u64,
        /// How many bytes were to be accessed.
        size: u64,
        /// Where the allocation starts.
        start: u64,
        /// How many bytes it has.
        length: u64,
    },
    /// The allocation that the address belongs to is gone.
    UseAfterFree {
        /// The address.
        address: u64,
    },
    /// The address is no multiple of the alignment.
    Misaligned {
        /// The address.
        address: u64,
        /// The alignment.
        align: u32,
    },
    /// A byte was read that nobody wrote.
    Uninitialised {
        /// The address of the first such byte.
        address: u64,
    },
    /// A truth value in memory was neither 0 nor 1.
    NotTruth {
        /// The address.
        address: u64,
    },
    /// Constant memory was written.
    WriteToConstant {
        /// The address.
        address: u64,
    },
    /// A pointer to one address space holds the address of a place in another.
    WrongSpace {
        /// The address.
        address: u64,
        /// The pointer's space.
        expected: Space,
        /// The place's space.
        found: Space,
    },
    /// The ranges of a `memcpy` overlap and are not equal.
    Overlap {
        /// Where to.
        to: u64,
        /// Where from.
        from: u64,
        /// How many bytes.
        size: u64,
    },
    /// Two work-items accessed a byte between two barriers, one of them wrote, and not both atomically.
    Race {
        /// The address.
        address: u64,
        /// The work-item at hand, by its linear position in the group.
        item: u32,
        /// The other one; none if there are several.
        other: Option<u32>,
    },
    /// An indirect call of something that is no function.
    NotAFunction {
        /// The address.
        address: u64,
    },
    /// An indirect call with another signature than the function's.
    WrongSignature {
        /// The function.
        function: Arc<str>,
    },
    /// The op has a meaning only in a kernel.
    NotInKernel,
    /// Work-items of a group wait at different barriers, and nobody can go on.
    BarrierDivergence,
    /// A `trap` was reached.
    Trapped,
    /// A division that earlier code should have guarded got operands that it throws for.
    Unguarded,
    /// The condition of a `static_assert` is false.
    AssertionFailed(Arc<str>),
    /// The host passes no such input.
    NoInput(Arc<str>),
    /// The host supplies no word for a slot.
    NoWord {
        /// The global.
        global: Arc<str>,
        /// What the slot stands for.
        reference: Reference,
        /// Why, as the host says.
        reason: Arc<str>,
    },
    /// The host supplies no such function.
    UnknownExtern(Arc<str>),
    /// A function of the host failed.
    ExternFailed(Arc<str>),
    /// The host's arguments do not fit the function, or the launch is out of range.
    BadArguments(Arc<str>),
    /// The unit is not well-formed here; verification says why.
    Malformed(Arc<str>),
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfFuel => f.write_str("out of fuel"),
            Self::OutOfMemory { bytes } => write!(f, "out of memory, {bytes} bytes wanted"),
            Self::StackOverflow => f.write_str("stack overflow"),
            Self::InvalidAddress { address, size } => {
                write!(f, "access of {size} bytes at {address:#x}, which is no valid address")
            }
            Self::OutOfBounds { address, size, start, length } => {
                let offset = address.wrapping_sub(*start) as i64;
                write!(f, "access of {size} bytes at offset {offset} of an allocation of {length} bytes")
            }
            Self::UseAfterFree { address } => write!(f, "access at {address:#x} after the memory was freed"),
            Self::Misaligned { address, align } => {
                write!(f, "access at {address:#x}, expected a multiple of {align}")
            }
            Self::Uninitialised { address } => write!(f, "uninitialised byte read at {address:#x}"),
            Self::NotTruth { address } => write!(f, "truth value at {address:#x} is neither 0 nor 1"),
            Self::WriteToConstant { address } => write!(f, "constant memory written at {address:#x}"),
            Self::WrongSpace { address, expected, found } => {
                let (expected, found) = (expected.name(), found.name());
                write!(f, "ptr<{expected}> holds {address:#x}, which is in {found} memory")
            }
            Self::Overlap { to, from, size } => {
                write!(f, "memcpy of {size} bytes from {from:#x} to {to:#x} overlaps")
            }
            Self::Race { address, item, other } => {
                write!(f, "data race at {address:#x} between work-item {item} and ")?;
                match other {
                    Some(other) => write!(f, "{other}"),
                    None => f.write_str("others"),
                }
            }
            Self::NotAFunction { address } => write!(f, "call of {address:#x}, which is no function"),
            Self::WrongSignature { function } => {
                write!(f, "indirect call of '{function}' with another signature")
            }
            Self::NotInKernel => f.write_str("work-item op outside of a kernel launch"),
            Self::Trapped => f.write_str("trap"),
            Self::BarrierDivergence => f.write_str("work-items wait at different barriers"),
            Self::Unguarded => f.write_str("guarded op got operands that it throws for"),
            Self::AssertionFailed(message) => write!(f, "static assertion failed: {message}"),
            Self::NoInput(name) => write!(f, "host passes no input '{name}'"),
            Self::NoWord { global, reference, reason } => {
                write!(f, "no word for {reference} in global '{global}': {reason}")
            }
            Self::UnknownExtern(name) => write!(f, "host supplies no function '{name}'"),
            Self::ExternFailed(message) => write!(f, "function of the host failed: {message}"),
            Self::BadArguments(message) => write!(f, "bad arguments: {message}"),
            Self::Malformed(message) => write!(f, "malformed code: {message}"),
        }
    }
}

/// What went wrong and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What.
    pub kind: Box<FaultKind>,
    /// Where; none if nothing ran yet.
    pub location: Option<Location>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{} at {location}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl std::error::Error for Fault {}

/// A result inside the interpreter; the location is added where the instruction is known.
pub(super) type Checked<T> = Result<T, Box<FaultKind>>;

/// The fault for code that verification refuses.
pub(super) fn malformed<T>(message: &str) -> Checked<T> {
    Err(Box::new(FaultKind::Malformed(message.into())))
}
