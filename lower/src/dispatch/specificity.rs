//! Specificity: a method is more specific than another if it takes less.

use super::pattern::subsumes;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{MethodData, Program};
use marquetry_ir::types::Types;

/// Whether `a` takes only what `b` takes as well, and not all of it.
pub fn is_more_specific(types: &Types, a: &MethodData, b: &MethodData) -> bool {
    subsumes(types, b, a) && !subsumes(types, a, b)
}

/// The most specific of methods that all are applicable.
///
/// # Errors
/// Two of them of which neither is more specific, and no third is more specific than both.
pub fn most_specific(program: &Program, methods: &[Method]) -> Result<Option<Method>, (Method, Method)> {
    let types = &program.types;
    let beats = |a: Method, b: Method| is_more_specific(types, program.method(a), program.method(b));
    // The only one that can beat all others is the last one standing of a walk.
    let Some((&first, rest)) = methods.split_first() else { return Ok(None) };
    let best = rest.iter().fold(first, |best, &other| if beats(other, best) { other } else { best });
    match methods.iter().find(|&&other| other != best && !beats(best, other)) {
        Some(&other) => Err((best.min(other), best.max(other))),
        None => Ok(Some(best)),
    }
}
