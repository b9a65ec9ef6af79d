//! Marquetry's targets: one folder each, with the same file names.
//!
//! An emitter takes a [`Legal`](marquetry_lower::legal::Legal) unit and gives an [`Artifact`](artifact::Artifact).

pub mod artifact;
pub mod error;
pub mod native;
pub mod ptx;
mod refusals;
#[cfg(feature = "shader")]
pub mod shader;
pub mod spirv;
