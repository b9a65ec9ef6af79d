//! Marquetry: a compiler library for hosts that generate CPU and GPU code while they run.
//!
//! A host starts with a [`session`], opens an [`engine::Launcher`] for a [`device`], and builds methods with
//! [`ir::builder`] or from text. The crates below are [`ir`], [`lower`] and [`codegen`].

pub mod library;
pub mod compile;
pub mod session;
pub mod image;
pub mod aot;
pub mod value;
pub mod inputs;
pub mod stack;
mod memory;
mod whole_file;
pub mod device;
pub mod engine;
pub mod filetest;
#[cfg(feature = "cli")]
pub mod cli;

// Hosts depend on this crate alone: what its signatures mention, and what back-ends are made of, is here as well.
pub use marquetry_codegen as codegen;
pub use marquetry_ir as ir;
pub use marquetry_lower as lower;

use marquetry_ir::diag::Diagnostic;
use marquetry_ir::entity::Table;
use marquetry_ir::program::{OpenTable, Program};
use marquetry_lower::dispatch::lints::{disagreeing, shadowed};
use marquetry_lower::dispatch::view::View;

/// Everything that is wrong with a program, as far as it can be known before dispatch; and, if nothing is, warnings for
/// overlays that hide more specific methods when their table is put on top.
pub fn check(program: &Program) -> Vec<Diagnostic> {
    let mut diagnostics = marquetry_ir::verify::verify_program(program);
    if diagnostics.is_empty() {
        diagnostics.extend(disagreeing(program));
    }
    if diagnostics.is_empty() {
        for table in program.tables().filter(|&table| table != Table::BASE) {
            let own: Vec<OpenTable> = OpenTable::try_from(table).into_iter().collect();
            diagnostics.extend(shadowed(program, &View::device(&own), table));
        }
    }
    diagnostics
}

/// The README's code, as documentation tests.
#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;
