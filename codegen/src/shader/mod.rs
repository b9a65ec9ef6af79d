//! Shading languages: WGSL for WebGPU, MSL for Metal, HLSL for Direct3D, written by naga.
//!
//! These languages have no addresses and 32-bit integers only. So a pointer is a byte offset into the one object that it
//! may point to ([`objects`]), objects are arrays of 32-bit words ([`select_memory`]), and legalisation puts 64-bit integers
//! together from halves. Kernels that store pointers in memory, compare addresses or order memory by other means
//! than barriers have no form here and are refused with the reason.
//!
//! What arrives how, in every one of the languages (binding `n` of group 0 is buffer `n` of Metal and register `n` of
//! Direct3D):
//!
//! | binding | what |
//! |---|---|
//! | 0 | the [argument block](crate::artifact::argument_block), read only; a pointer's field is the byte offset in its buffer |
//! | 1 and up | the buffers of the kernel's pointer parameters, in order |
//!
//! A buffer is declared only if the kernel accesses it, read only if it never writes to it. Buffers that one launch writes to
//! must not overlap any other. Two languages need more: Metal reserves buffer 30 for sizes, which nothing reads; Direct3D
//! takes the number of groups, if a kernel asks for it, as three constants in `b0`. Entries of the artifact are called what the
//! text calls them: names that a language reserves, or that end in digits, are changed.
//!
//! Text has no room for debug information: debug levels change nothing.
//!
//! The group size is part of the target, since not all of the languages can set it later: `wgsl:256`, `msl:16x16`; 64 by default.
//!
//! # What these languages leave open
//! Their specifications let implementations fuse and reorder float operations, flush denormals and lose NaNs (WGSL 15.7,
//! "Floating point evaluation"), and do not round `/` and `sqrt` correctly; hosts of Metal switch fast math off. Offsets
//! have 32 bits, so pointers into the same buffer that are 4 GiB apart compare equal. Everything else computes what the
//! language says, or is refused at its place ([`refuse`]).

mod abi;
mod events;
mod intrinsics;
mod legality;
mod module;
mod objects;
mod refuse;
mod scopes;
mod select;
mod select_control;
mod select_memory;
mod select_scalar;
#[cfg(test)]
mod tests;
mod write;

use crate::artifact::{Artifact, Format};
use crate::error::{EmitError, check_addresses, check_deferred, check_words};
use marquetry_lower::legal::Legal;
use marquetry_lower::target::Caps;
use std::fmt;

/// A language.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Language {
    /// WebGPU's.
    Wgsl,
    /// Metal's, version 2.4.
    Msl,
    /// Direct3D's, for shader model 6.0.
    Hlsl,
}

impl Language {
    /// All languages.
    pub const ALL: [Language; 3] = [Language::Wgsl, Language::Msl, Language::Hlsl];

    /// The name, as targets spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Language::Wgsl => "wgsl",
            Language::Msl => "msl",
            Language::Hlsl => "hlsl",
        }
    }
}

/// The group size if the target does not state one.
const DEFAULT_BLOCK: [u32; 3] = [64, 1, 1];

/// The most work-items in a group, and along x and y, that every implementation has (WebGPU 3.6.2, "Limits").
const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];

/// A language, and the group size of the kernels.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ShaderTarget {
    language: Language,
    block: [u32; 3],
    caps: Caps,
}

impl ShaderTarget {
    /// A target with a group size.
    ///
    /// # Errors
    /// A group size that no implementation has.
    pub fn new(language: Language, block: [u32; 3]) -> Result<Self, EmitError> {
        let items = block.iter().fold(1u64, |items, &n| items.saturating_mul(u64::from(n)));
        let fits = block.iter().zip(MAX_BLOCK).all(|(&n, most)| (1..=most).contains(&n));
        if !fits || items > u64::from(MAX_BLOCK[0]) {
            let [x, y, z] = block;
            return Err(EmitError::Target(format!(
                "a group of {x}x{y}x{z} work-items: expected 1 to 1024, 64 at most along z"
            )));
        }
        Ok(ShaderTarget { language, block, caps: legality::caps() })
    }

    /// Reads a target as the command line spells it: `wgsl`, `msl:256`, `hlsl:16x16x1`.
    ///
    /// # Errors
    /// No such target: what was found, and what there is.
    pub fn parse(text: &str) -> Result<Self, EmitError> {
        let (name, size) = text.split_once(':').map_or((text, None), |(name, size)| (name, Some(size)));
        let wanted = || {
            format!(
                "unknown target '{text}', expected wgsl, msl or hlsl, and perhaps a group size: 'wgsl:16x16'"
            )
        };
        let language = Language::ALL.into_iter().find(|l| l.name() == name);
        let language = language.ok_or_else(|| EmitError::Target(wanted()))?;
        let mut block = DEFAULT_BLOCK;
        if let Some(size) = size {
            block = [1; 3];
            let mut parts = size.split('x');
            for n in &mut block {
                let Some(part) = parts.next() else { break };
                // `parse` takes signs, too.
                let digits = part.bytes().all(|byte| byte.is_ascii_digit());
                let number = part.parse().ok().filter(|_| digits);
                *n = number.ok_or_else(|| EmitError::Target(wanted()))?;
            }
            if parts.next().is_some() {
                return Err(EmitError::Target(wanted()));
            }
        }
        Self::new(language, block)
    }

    /// The same language with another group size.
    ///
    /// # Errors
    /// A group size that no implementation has.
    pub fn with_block(&self, block: [u32; 3]) -> Result<Self, EmitError> {
        Self::new(self.language, block)
    }

    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The group size.
    pub fn block(&self) -> [u32; 3] {
        self.block
    }
}

impl fmt::Display for ShaderTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.block;
        write!(f, "{}:{x}x{y}x{z}", self.language.name())
    }
}

fn internal(message: &str) -> EmitError {
    EmitError::Internal(format!("shading languages: {message}"))
}

fn unsupported(message: impl fmt::Display) -> EmitError {
    EmitError::Unsupported(format!("shading languages: {message}"))
}

/// Emits a unit that is legal for the target, as text.
///
/// # Errors
/// What the language cannot express, or a unit that is not legal for it.
pub fn emit(legal: &Legal, target: &ShaderTarget) -> Result<Artifact, EmitError> {
    check_baked(legal)?;
    let shader = abi::module(legal, target)?;
    let written = write::write(&shader, legal.unit(), target.language)?;
    let format = match target.language {
        Language::Wgsl => Format::Wgsl,
        Language::Msl => Format::Msl,
        Language::Hlsl => Format::Hlsl,
    };
    let mut artifact = Artifact::new(target.to_string(), format, written.text.into_bytes(), legal);
    // Names that the language reserves, or that end in digits, are changed.
    for (entry, &func) in artifact.entries.iter_mut().zip(&legal.unit().entries) {
        let at = shader.kernels.iter().position(|&kernel| kernel == func);
        let name =
            at.and_then(|at| written.names.get(at)).ok_or_else(|| internal("an entry without name"))?;
        entry.symbol = name.as_str().into();
    }
    Ok(artifact)
}

/// Shading languages have neither addresses nor memory that a loader could write: words are baked, or missing.
fn check_baked(legal: &Legal) -> Result<(), EmitError> {
    check_deferred(legal)?;
    check_addresses(legal.unit(), "a shading language")?;
    check_words(legal.unit()).map_err(|missing| {
        EmitError::Unsupported(format!("shading languages take words of the host only baked in: {missing}"))
    })
}
