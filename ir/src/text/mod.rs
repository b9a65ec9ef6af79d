//! The text format: reading, printing, formatting.
//!
//! Reading gives a program and all mistakes found; printing gives the one canonical text, so that
//! `parse(print(p))` is `p` again. Stage dumps of units use the same syntax. The formatter works on tokens, because
//! reading drops comments.
//!
//! Newlines end instructions; inside an item's header and in lists of initial contents they mean nothing.

mod lexer;
mod literal;
mod scope;
mod definitions;
mod parser;
mod parse_item;
mod parse_device;
mod parse_init;
mod parse_slots;
mod parse_type;
mod parse_generic;
mod parse_body;
mod parse_inst;
mod parse_call;
mod names;
mod places;
mod print;
mod print_definition;
mod print_init;
mod print_nominal;
mod print_slots;
mod print_inst;
mod format;

use crate::diag::{Code, Diagnostic};
use crate::limits::MAX_SOURCE_BYTES;
use crate::program::Program;
use crate::span::Span;
use crate::types::Type;
use std::sync::Arc;

pub use format::format;
pub use literal::settle;
pub(crate) use literal::write_scalar;
pub use parse_body::mismatch_message;
pub(crate) use parse_device::DeviceFunction;
pub use places::Places;
pub use print::{
    Annotate, Place, print_body, print_inst, print_own_program, print_own_unit_with, print_program,
    print_program_with, print_unit, print_unit_with,
};
pub use print_definition::{print_definition, print_type};

/// Reads a text into a program: the file is remembered, and every item without mistakes is added.
///
/// What comes back is empty if all is well, and never more than [`MAX_DIAGNOSTICS`](crate::limits::MAX_DIAGNOSTICS).
pub fn parse(program: &mut Program, name: &str, text: &str) -> Vec<Diagnostic> {
    read(program, name, text, false).0
}

/// As [`parse`], for a text whose methods take the place of those in their tables that take the same, where there are
/// any. Jobs pinned to an earlier world still see the old ones.
pub fn parse_redefining(program: &mut Program, name: &str, text: &str) -> Vec<Diagnostic> {
    read(program, name, text, true).0
}

/// As [`parse`], for a text of this project's library: it may add to the library's tables. Also gives the device functions
/// that it declares.
pub(crate) fn parse_library(
    program: &mut Program,
    name: &str,
    text: &str,
) -> (Vec<Diagnostic>, Vec<DeviceFunction>) {
    let file = program.add_file(name, text);
    let mut parser = parser::Parser::new(program, file, text);
    parser.library = Some(Vec::new());
    parser.items();
    (parser.diagnostics, parser.library.unwrap_or_default())
}

/// Whether the canonical text of a program reads back as the same program.
///
/// # Errors
/// What is wrong with the text.
pub fn check_round_trip(program: &Program) -> Result<(), String> {
    let printed = print_program(program);
    let mut again = Program::new();
    // The library's overlays are printed as well.
    let (diagnostics, _) = parse_library(&mut again, "printed", &printed);
    match diagnostics.first() {
        Some(diagnostic) => Err(format!("the printed program is refused: {}", diagnostic.message)),
        None if print_program(&again) != printed => Err("the printed program prints differently".into()),
        None => Ok(()),
    }
}

/// As [`parse`]; also whether parts of the text were skipped.
fn read(program: &mut Program, name: &str, text: &str, redefining: bool) -> (Vec<Diagnostic>, bool) {
    if text.len() > MAX_SOURCE_BYTES {
        return (vec![too_long(name)], true);
    }
    let file = program.add_file(name, text);
    let mut parser = parser::Parser::new(program, file, text);
    parser.redefining = redefining;
    parser.items();
    let mut diagnostics = parser.diagnostics;
    // Undefined names are found at the end of a body.
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    (diagnostics, parser.skipped)
}

/// Of longer ones, no more is read than shows that they are.
fn too_long(name: &str) -> Diagnostic {
    let message = format!("'{name}' has more than {MAX_SOURCE_BYTES} bytes");
    Diagnostic::error(Code::Limit, None, Span::NOWHERE, message)
}

/// Reads `name(TYPE, ...)` as a call with arguments of these types; new types are made in the program.
///
/// # Errors
/// The first mistake.
pub fn parse_call(program: &mut Program, text: &str) -> Result<(Arc<str>, Vec<Type>), String> {
    if text.len() > MAX_SOURCE_BYTES {
        return Err(format!("call has {} bytes, expected at most {MAX_SOURCE_BYTES}", text.len()));
    }
    let mut parser = parser::Parser::new(program, 0, text);
    match parser.call() {
        Ok(call) => Ok(call),
        Err(parser::Failed) => {
            Err(parser.diagnostics.into_iter().next().map_or_else(String::new, |first| first.message))
        }
    }
}

/// The text that a text in quotes stands for; none if an escape is none, or if it is no text.
pub fn unquote(quoted: &str) -> Option<String> {
    String::from_utf8(literal::unquote(quoted).ok()?).ok()
}

/// As [`parse`], for bytes that may not be text.
pub fn parse_bytes(program: &mut Program, name: &str, bytes: &[u8]) -> Vec<Diagnostic> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(program, name, text),
        Err(_) if bytes.len() > MAX_SOURCE_BYTES => vec![too_long(name)],
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or(0);
            let file = program.add_file(name, &String::from_utf8_lossy(bytes));
            let message = format!("found byte 0x{byte:02x} at offset {at}, expected UTF-8");
            vec![Diagnostic::error(Code::Encoding, Some(file), Span::new(at, at + 1), message)]
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_damage;
