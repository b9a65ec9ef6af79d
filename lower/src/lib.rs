//! Marquetry's algorithms: from methods to code that is monomorphic, optimised and legal for one target.
#![forbid(unsafe_code)]

pub mod target;
pub mod failure;
pub mod legal;
mod fresh;
pub mod exceptions;
pub mod legalise;
