//! Marquetry: a compiler library for hosts that generate CPU and GPU code while they run.

pub mod library;
pub mod compile;
pub mod value;
pub mod device;
pub mod engine;
pub mod filetest;
#[cfg(feature = "cli")]
pub mod cli;

use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::Program;

/// Everything that is wrong with a program, as far as it can be known before dispatch.
pub fn check(program: &Program) -> Vec<Diagnostic> {
    marquetry_ir::verify::verify_program(program)
}

/// The README's code, as documentation tests.
#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;
