//! What goes wrong with images.

use super::HostSymbol;
use crate::session::SessionError;
use marquetry_codegen::error::EmitError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why an image was not written or not loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It does not begin as images do.
    NotAnImage,
    /// It is of another version of the format.
    Version {
        /// Its version.
        found: u32,
        /// What is read here.
        expected: u32,
    },
    /// It holds code for other machines.
    Machine {
        /// Which.
        found: String,
        /// What this one is.
        expected: String,
    },
    /// Its code needs features that this processor has not.
    Features(Vec<String>),
    /// Its bytes are not those that were written.
    Checksum {
        /// Of the bytes.
        found: u64,
        /// What the header says.
        expected: u64,
    },
    /// Something in it cannot be.
    Damaged {
        /// What.
        item: String,
        /// What is wrong with it.
        why: String,
    },
    /// A symbol that an entry needs has no address.
    Symbol {
        /// Its name.
        name: String,
        /// The library that it is looked for in, if the image says so.
        library: Option<String>,
        /// What the resolver says.
        why: String,
    },
    /// A job means something in this process only.
    NotStorable {
        /// What is compiled.
        entry: String,
        /// Each value or setting of this process that it depends on.
        why: Vec<String>,
    },
    /// A job did not compile.
    Compile {
        /// What is compiled.
        entry: String,
        /// Why.
        error: Box<SessionError>,
    },
    /// The target has no images, or a limit of theirs is passed.
    Emit(EmitError),
    /// The memory that it needs cannot be had.
    Memory(String),
}

impl ImageError {
    pub(super) fn damaged(item: impl Into<String>, why: impl Into<String>) -> Self {
        ImageError::Damaged { item: item.into(), why: why.into() }
    }

    pub(crate) fn file(path: &Path, why: impl fmt::Display) -> Self {
        ImageError::File { path: path.to_path_buf(), why: why.to_string() }
    }

    pub(crate) fn compile(entry: &str, error: SessionError) -> Self {
        ImageError::Compile { entry: entry.to_owned(), error: Box::new(error) }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::File { path, why } => write!(f, "image '{}': {why}", path.display()),
            ImageError::NotAnImage => f.write_str("not an image: it does not begin like one"),
            ImageError::Version { found, expected } => {
                let age = if found < expected { "an older" } else { "a newer" };
                write!(f, "the image is of {age} version: found {found}, expected {expected}")
            }
            ImageError::Machine { found, expected } => {
                write!(f, "the image is for another machine: found {found}, expected {expected}")
            }
            ImageError::Features(names) => {
                write!(f, "the image needs what this processor has not: {}", names.join(", "))
            }
            ImageError::Checksum { found, expected } => {
                write!(f, "the image is damaged: its checksum is {found:016x}, expected {expected:016x}")
            }
            ImageError::Damaged { item, why } => write!(f, "the image is damaged: {item}: {why}"),
            ImageError::Symbol { name, library, why } => {
                // As the program spells it.
                let reference = HostSymbol { name, library: library.as_deref() }.reference();
                write!(f, "{reference}: {why}")
            }
            ImageError::NotStorable { entry, why } => {
                write!(f, "'{entry}' cannot be stored in an image: {}", why.join("; "))
            }
            ImageError::Compile { entry, error } => write!(f, "'{entry}': {error}"),
            ImageError::Emit(error) => error.fmt(f),
            ImageError::Memory(why) => write!(f, "no memory for the image: {why}"),
        }
    }
}

impl std::error::Error for ImageError {}

impl From<EmitError> for ImageError {
    fn from(error: EmitError) -> Self {
        ImageError::Emit(error)
    }
}
