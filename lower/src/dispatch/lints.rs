//! What is wrong, or probably not meant, about overlays and what they replace, whatever is called.

use super::explain::header;
use super::pattern::subsumes;
use super::specificity::is_more_specific;
use super::view::View;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{MethodData, OpenTable, Program, World};
use rustc_hash::FxHashSet;

/// Warnings for methods of one table of a view that hide more specific ones below.
pub fn shadowed(program: &Program, view: &View, table: Table) -> Vec<Diagnostic> {
    let own = program.methods().filter(|(_, data)| data.table() == table);
    own.flat_map(|(upper, _)| hidden_by(program, view, upper, |_| true)).collect()
}

/// Warnings for all methods in a view's tables of overlays that hide more specific ones below; but for those of the library,
/// which are as they are.
pub fn shadowed_in(program: &Program, view: &View) -> Vec<Diagnostic> {
    let own = program.methods().filter(|(_, data)| is_own(data));
    own.flat_map(|(upper, _)| hidden_by(program, view, upper, |_| true)).collect()
}

/// As [`shadowed_in`], for what changed since a world, on either side.
pub fn shadowed_since(program: &Program, view: &View, world: World) -> Vec<Diagnostic> {
    let world_now = view.world(program);
    let changed: FxHashSet<Method> =
        program.changes_since(world).filter(|&method| program.is_alive(method, world_now)).collect();
    let mut names: Vec<&str> = changed.iter().map(|&method| &*program.method(method).name).collect();
    names.sort_unstable();
    names.dedup();
    let mut warnings = Vec::new();
    for &upper in names.into_iter().flat_map(|name| program.methods_of(name)) {
        if is_own(program.method(upper)) {
            let is_new = changed.contains(&upper);
            warnings.extend(hidden_by(program, view, upper, |lower| is_new || changed.contains(&lower)));
        }
    }
    warnings
}

/// Whether a method is an overlay that is not the library's.
fn is_own(data: &MethodData) -> bool {
    data.table() != Table::BASE && OpenTable::try_from(data.table()).is_ok()
}

/// Warnings for the methods, of those that are asked about, that a method of a view hides although they are more specific.
fn hidden_by(
    program: &Program,
    view: &View,
    upper: Method,
    is_asked_about: impl Fn(Method) -> bool,
) -> Vec<Diagnostic> {
    let (types, world, data) = (&program.types, view.world(program), program.method(upper));
    let place = |table| view.tables().iter().position(|&other| other == table);
    let Some(above) = place(data.table()).filter(|_| program.is_alive(upper, world)) else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    for &lower in program.all_methods_of(&data.name) {
        let hidden = program.method(lower);
        let below = place(hidden.table()).is_some_and(|place| place > above);
        if below
            && is_asked_about(lower)
            && program.is_alive(lower, world)
            && is_more_specific(types, hidden, data)
        {
            let message = format!(
                "{} in table {} shadows the more specific {} in table {}",
                header(types, data),
                program.table_name(data.table()),
                header(types, hidden),
                program.table_name(hidden.table()),
            );
            warnings.push(Diagnostic::warning(Code::Shadow, data.file, data.span, message));
        }
    }
    warnings
}

/// Errors for overlays that take what a method of base takes and return something else: callers could not be typed without
/// knowing the job.
pub fn disagreeing(program: &Program) -> Vec<Diagnostic> {
    let world = program.world();
    let all = program.methods().filter(|(method, _)| program.is_alive(*method, world));
    let overlays = all.filter(|(_, data)| data.table() != Table::BASE);
    overlays.flat_map(|(overlay, _)| disagreements(program, overlay)).collect()
}

/// As [`disagreeing`], for what changed since a world, on either side.
pub fn disagreeing_since(program: &Program, world: World) -> Vec<Diagnostic> {
    let now = program.world();
    let mut overlays: FxHashSet<Method> = FxHashSet::default();
    let mut names: FxHashSet<&str> = FxHashSet::default();
    for method in program.changes_since(world).filter(|&method| program.is_alive(method, now)) {
        let data = program.method(method);
        if data.table() != Table::BASE {
            overlays.insert(method);
        } else if names.insert(&data.name) {
            let above = program.methods_of(&data.name).iter().copied();
            overlays.extend(above.filter(|&other| program.method(other).table() != Table::BASE));
        }
    }
    let mut overlays: Vec<Method> = overlays.into_iter().collect();
    overlays.sort_unstable();
    overlays.into_iter().flat_map(|overlay| disagreements(program, overlay)).collect()
}

fn disagreements(program: &Program, overlay: Method) -> Vec<Diagnostic> {
    let types = &program.types;
    let data = program.method(overlay);
    // Without variables there is at most one, found by hash.
    let replaced = match data.is_generic() {
        true => program
            .methods_of(&data.name)
            .iter()
            .copied()
            .filter(|&base| is_same(program, data, base))
            .collect(),
        false => Vec::from_iter(program.taking_the_same(data, Table::BASE)),
    };
    let mut errors = Vec::new();
    for replaced in replaced.into_iter().map(|method| program.method(method)) {
        // Results with variables follow from the arguments; variables of two methods have nothing in common.
        let open = |data: &MethodData| data.signature.results.iter().any(|ty| ty.is_generic());
        let differs = match open(data) || open(replaced) {
            true => data.signature.results.len() != replaced.signature.results.len(),
            false => data.signature.results != replaced.signature.results,
        };
        if differs {
            let message = format!(
                "{} in table {} replaces {} in table {}: it takes the same and returns something else",
                header(types, data),
                program.table_name(data.table()),
                header(types, replaced),
                program.table_name(replaced.table()),
            );
            let mut error = Diagnostic::error(Code::Replacement, data.file, data.span, message);
            if replaced.file == data.file {
                error = error.with_label(replaced.span, "what it replaces");
            }
            errors.push(error);
        }
    }
    errors
}

/// Whether a method of base takes the same as an overlay, with variables in it.
fn is_same(program: &Program, data: &MethodData, base: Method) -> bool {
    let (types, base) = (&program.types, program.method(base));
    base.table() == Table::BASE && subsumes(types, data, base) && subsumes(types, base, data)
}
