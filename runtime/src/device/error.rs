//! What can go wrong between a host and a device: one error type for all devices, each case with what was found
//! and what was wanted.

use super::DeviceKind;
use std::fmt;

/// An error of a device or of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no such device here.
    Absent {
        /// The engine.
        kind: DeviceKind,
        /// Why it cannot be used.
        reason: String,
    },
    /// The device lacks something that the kernel or the call needs.
    Unsupported {
        /// What is needed and what the device has.
        reason: String,
    },
    /// The device's memory does not suffice.
    OutOfMemory {
        /// Bytes asked for; 0 where the driver ran out in a call that names no size.
        bytes: u64,
    },
    /// The driver, or the check before it, rejected the code.
    Compile {
        /// The kernel.
        entry: String,
        /// The driver's words.
        log: String,
    },
    /// A launch that the device cannot carry out.
    Launch {
        /// The limit that was passed, or the driver's words.
        reason: String,
    },
    /// Recursion used up the stack of a work-item.
    StackOverflow {
        /// The function that was to be entered.
        function: String,
        /// Its number among those of the kernel's code that check the stack.
        number: usize,
    },
    /// The device stopped working, usually because of what a kernel did; it has to be opened anew.
    Lost {
        /// The driver's words.
        reason: String,
    },
    /// An argument that does not fit the kernel.
    BadArgument {
        /// Which argument, from 0. Where the number of arguments is wrong, the first one missing or too many.
        index: usize,
        /// What was given.
        found: String,
        /// What the kernel takes.
        wanted: String,
    },
    /// A transfer or an argument that reaches beyond its buffer.
    OutOfBounds {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        bytes: u64,
        /// The buffer's length.
        len: u64,
    },
    /// The buffer belongs to another device.
    ForeignBuffer,
    /// The module belongs to another device.
    ForeignModule,
    /// A driver call failed.
    Driver {
        /// The driver's name for the call.
        call: &'static str,
        /// The driver's status code.
        code: i64,
        /// The driver's name or words for the code.
        message: String,
    },
    /// A validation layer objected to a call.
    Validation {
        /// The layer's messages, in order.
        messages: Vec<String>,
    },
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceError::Absent { kind, reason } => write!(f, "no {kind} device: {reason}"),
            DeviceError::Unsupported { reason } => write!(f, "not supported by the device: {reason}"),
            DeviceError::OutOfMemory { bytes: 0 } => f.write_str("out of device memory"),
            DeviceError::OutOfMemory { bytes } => write!(f, "out of device memory: {bytes} bytes wanted"),
            DeviceError::Compile { entry, log } => {
                write!(f, "the driver rejected kernel `{entry}`: {}", log.trim_end())
            }
            DeviceError::Launch { reason } => write!(f, "launch failed: {reason}"),
            DeviceError::StackOverflow { function, .. } => write!(f, "stack overflow (in '{function}')"),
            DeviceError::Lost { reason } => write!(f, "the device was lost: {reason}"),
            DeviceError::BadArgument { index, found, wanted } => {
                write!(f, "argument {index}: found {found}, wanted {wanted}")
            }
            DeviceError::OutOfBounds { offset, bytes, len } => {
                write!(f, "out of bounds: {bytes} bytes at offset {offset} of a buffer of {len} bytes")
            }
            DeviceError::ForeignBuffer => f.write_str("the buffer belongs to another device"),
            DeviceError::ForeignModule => f.write_str("the module belongs to another device"),
            DeviceError::Driver { call, code, message } => write!(f, "{call} failed: {message} ({code})"),
            DeviceError::Validation { messages } => {
                f.write_str("the validation layer objects:")?;
                messages.iter().try_for_each(|message| write!(f, "\n  {message}"))
            }
        }
    }
}

impl std::error::Error for DeviceError {}
