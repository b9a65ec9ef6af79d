//! Arguments of kernels: only plain data can be handed over.
//!
//! Plain data are numbers, vectors, pointers into memory that exists before the kernel runs, and arrays and structs of
//! these. Pointers into shared, local and parameter memory are not: what they point to lives as long as a group, a
//! work-item or a call, so no value that a host has could be one.

use crate::report::{self, Place};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::MethodData;
use marquetry_ir::types::{Aggregate, Space, Type, Types};
use rustc_hash::FxHashMap;

/// Deepest field that a message shows.
const DEPTH: usize = 10;
/// Most fields that a message shows.
const SHOWN: usize = 16;

/// What is wrong with a kernel's arguments: one diagnostic for each that is not plain data.
pub fn check(types: &Types, kernel: &MethodData, arguments: &[Type]) -> Vec<Diagnostic> {
    let mut known = FxHashMap::default();
    let place = Place { function: &kernel.name, file: kernel.file, span: kernel.span };
    let mut problems = Vec::new();
    for (n, &ty) in arguments.iter().enumerate() {
        // Most arguments are no aggregates.
        if (ty.is_known() && !ty.is_aggregate() && !is_out_of_reach(types, ty))
            || is_plain(types, ty, &mut known)
        {
            continue;
        }
        let name = types.display(ty);
        let message = format!("kernel argument {} is of type {name}, which is not plain data", n + 1);
        let mut problem = report::argument(&place, message);
        problem.notes.extend(tree(types, ty, &mut known));
        problems.push(problem.with_note(
            "plain data are numbers, vectors, pointers to global, constant or generic memory, and arrays and structs of \
             these; shared, local and parameter memory exists only while a kernel runs",
        ));
    }
    problems
}

/// Whether a type itself rules out that hosts have values of it.
fn is_out_of_reach(types: &Types, ty: Type) -> bool {
    matches!(types.underlying(ty).space(), Some(Space::Shared | Space::Local | Space::Param))
}

/// What a type is made of, with the names that lead there, last first.
fn parts(types: &Types, ty: Type) -> Vec<(String, Type)> {
    match types.aggregate(types.underlying(ty)) {
        Some(Aggregate::Array { element, .. }) => vec![("[]".into(), *element)],
        Some(Aggregate::Struct { fields, .. }) => {
            fields.iter().rev().map(|(name, ty)| (format!(".{name}"), *ty)).collect()
        }
        Some(Aggregate::Singleton(_)) | None => Vec::new(),
    }
}

/// Whether all of a type is plain data; every type is looked into once.
fn is_plain(types: &Types, ty: Type, known: &mut FxHashMap<Type, bool>) -> bool {
    let mut stack = vec![(ty, false)];
    while let Some((ty, parts_known)) = stack.pop() {
        if known.contains_key(&ty) {
            continue;
        }
        let parts = parts(types, ty);
        if !parts_known && !parts.is_empty() {
            stack.push((ty, true));
            stack.extend(parts.iter().map(|&(_, part)| (part, false)));
            continue;
        }
        let all = parts.iter().all(|(_, part)| known.get(part).copied().unwrap_or(true));
        known.insert(ty, all && !is_out_of_reach(types, ty));
    }
    known.get(&ty).copied().unwrap_or(true)
}

/// The parts of a type that are no plain data, each on a line that is indented as deep as it is nested.
fn tree(types: &Types, ty: Type, known: &mut FxHashMap<Type, bool>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut stack: Vec<(String, Type, usize)> =
        parts(types, ty).into_iter().map(|(name, part)| (name, part, 1)).collect();
    while let Some((name, part, depth)) = stack.pop() {
        if is_plain(types, part, known) {
            continue;
        }
        if lines.len() == SHOWN {
            lines.push("...".into());
            break;
        }
        let indent = "  ".repeat(depth - 1);
        lines.push(format!("{indent}{name} is of type {}, which is not plain data", types.display(part)));
        if depth < DEPTH {
            stack.extend(parts(types, part).into_iter().map(|(name, ty)| (name, ty, depth + 1)));
        }
    }
    lines
}
