//! What is wrong, or probably not meant, about overlays and what they replace, whatever is called.

use super::explain::header;
use super::pattern::{returns_the_same, subsumes};
use super::resolve::{Answer, look_up};
use super::specificity::{is_more_specific, most_specific};
use super::view::View;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{MethodData, OpenTable, Program, World};
use marquetry_ir::span::Location;
use marquetry_ir::types::Type;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// Warnings for methods of one table of a view that hide more specific ones below.
pub fn shadowed(program: &Program, view: &View, table: Table) -> Vec<Diagnostic> {
    let own = program.methods().filter(|(_, data)| data.table() == table);
    let mut heads = Heads::default();
    own.flat_map(|(upper, data)| hidden_by(program, view, upper, heads.below(program, data))).collect()
}

/// Warnings for all methods in a view's tables of overlays that hide more specific ones below; but for those of the library,
/// which are as they are.
pub fn shadowed_in(program: &Program, view: &View) -> Vec<Diagnostic> {
    let own = program.methods().filter(|(_, data)| is_own(data));
    let mut heads = Heads::default();
    own.flat_map(|(upper, data)| hidden_by(program, view, upper, heads.below(program, data))).collect()
}

/// As [`shadowed_in`], for what changed since a world, on either side.
pub fn shadowed_since(program: &Program, view: &View, world: World) -> Vec<Diagnostic> {
    let mut changed: BTreeMap<&str, FxHashSet<Method>> = BTreeMap::new();
    for method in program.changes_since(world).filter(|&method| program.is_alive(method, program.world())) {
        changed.entry(&program.method(method).name).or_default().insert(method);
    }
    let (mut heads, mut warnings) = (Heads::default(), Vec::new());
    for (name, changed) in changed {
        let all = program.methods_of(name);
        let mut lower: Vec<Method> = changed.iter().copied().collect();
        lower.sort_unstable();
        for &upper in all.iter().filter(|&&upper| is_own(program.method(upper))) {
            let asked = match changed.contains(&upper) {
                true => heads.below(program, program.method(upper)),
                false => &lower[..],
            };
            warnings.extend(hidden_by(program, view, upper, asked));
        }
    }
    warnings
}

/// Whether a method is an overlay that is not the library's.
fn is_own(data: &MethodData) -> bool {
    data.table() != Table::BASE && OpenTable::try_from(data.table()).is_ok()
}

/// For each name of many methods, these by place and type of their parameters without variables.
#[derive(Default)]
struct Heads<'p>(FxHashMap<&'p str, FxHashMap<(usize, Type), Vec<Method>>>);

impl<'p> Heads<'p> {
    /// The methods that may take less than a method, in the order of their definition: where that one has a type without
    /// variables, they have the same.
    fn below<'a>(&'a mut self, program: &'p Program, data: &'p MethodData) -> &'a [Method] {
        /// Most methods that are compared one by one.
        const FEW: usize = 16;
        fn settled(data: &MethodData) -> impl Iterator<Item = (usize, Type)> {
            data.signature.params.iter().copied().enumerate().filter(|(_, ty)| !ty.is_generic())
        }
        let all = program.methods_of(&data.name);
        if all.len() <= FEW || settled(data).next().is_none() {
            return all;
        }
        let by_head = self.0.entry(&data.name).or_insert_with(|| {
            let mut by_head: FxHashMap<(usize, Type), Vec<Method>> = FxHashMap::default();
            for &method in all {
                for head in settled(program.method(method)) {
                    by_head.entry(head).or_default().push(method);
                }
            }
            by_head
        });
        let lists = settled(data).map(|head| by_head.get(&head).map_or(&[][..], |methods| methods));
        lists.min_by_key(|methods| methods.len()).unwrap_or(all)
    }
}

/// Warnings for those of these methods of the same function that one of a view hides although they are more specific.
fn hidden_by(program: &Program, view: &View, upper: Method, others: &[Method]) -> Vec<Diagnostic> {
    let (types, world, data) = (&program.types, view.world(program), program.method(upper));
    let place = |table| view.tables().iter().position(|&other| other == table);
    let Some(above) = place(data.table()).filter(|_| program.is_alive(upper, world)) else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    for &lower in others {
        let hidden = program.method(lower);
        let below = place(hidden.table()).is_some_and(|place| place > above);
        if below && program.is_alive(lower, world) && is_more_specific(types, hidden, data) {
            let message = format!(
                "{} shadows the more specific {}",
                header_in_table(program, data),
                header_in_table(program, hidden)
            );
            warnings.push(Diagnostic::warning(Code::Shadow, data.file, data.span, message));
        }
    }
    warnings
}

/// Errors for overlays that return something else than what they replace: than the methods of base whose arguments they
/// all take, and than the one that their own arguments mean in base. Callers could not be typed without knowing the job.
pub fn disagreeing(program: &Program) -> Vec<Diagnostic> {
    let world = program.world();
    let all = program.methods().filter(|(method, _)| program.is_alive(*method, world));
    let overlays = all.filter(|(_, data)| data.table() != Table::BASE);
    let mut bases = Bases::default();
    overlays.filter_map(|(overlay, _)| disagreement(program, overlay, &mut bases)).collect()
}

/// For each name, the methods of base by the types that they return, as far as these are settled.
type Bases<'p> = FxHashMap<&'p str, FxHashMap<Option<&'p [Type]>, Vec<Method>>>;

/// What methods return, if it does not depend on their variables.
fn settled(data: &MethodData) -> Option<&[Type]> {
    let results = &data.signature.results[..];
    results.iter().all(|ty| !ty.is_generic()).then_some(results)
}

/// The methods of base that may return something else than an overlay, in the order of their definition.
fn differing<'p>(program: &'p Program, data: &'p MethodData, bases: &mut Bases<'p>) -> Vec<Method> {
    let by_results = bases.entry(&data.name).or_insert_with(|| {
        let mut by_results: FxHashMap<_, Vec<Method>> = FxHashMap::default();
        for &method in program.methods_of(&data.name) {
            let base = program.method(method);
            if base.table() == Table::BASE {
                by_results.entry(settled(base)).or_default().push(method);
            }
        }
        by_results
    });
    let own = settled(data);
    let others = by_results.iter().filter(|(results, _)| own.is_none() || **results != own);
    let mut methods: Vec<Method> = others.flat_map(|(_, methods)| methods).copied().collect();
    methods.sort_unstable();
    methods
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
    let mut bases = Bases::default();
    overlays.into_iter().filter_map(|overlay| disagreement(program, overlay, &mut bases)).collect()
}

/// The error for an overlay, about the first method of base that it disagrees with. Where two methods take only some
/// arguments in common, what a call means decides: specialisation looks there.
fn disagreement<'p>(program: &'p Program, overlay: Method, bases: &mut Bases<'p>) -> Option<Diagnostic> {
    let (types, data) = (&program.types, program.method(overlay));
    let replaces = |base: Method| replacement(program, overlay, base);
    // What its own arguments mean in base.
    if !data.is_generic() {
        let found = look_up(program, &View::native(&[]), &data.name, &data.signature.params).answer;
        let Answer::Method(base) = found else { return None };
        return (returns_the_same(types, program.method(base), data) == Some(false)).then(|| replaces(base));
    }
    // Most return the same, whatever they take.
    let differing = differing(program, data, bases);
    if differing.is_empty() {
        return None;
    }
    let wider: Vec<Method> = covering(program, Table::BASE, data).collect();
    if let Ok(Some(base)) = most_specific(program, &wider)
        && returns_the_same(types, program.method(base), data) == Some(false)
    {
        return Some(replaces(base));
    }
    // What is called in base where the overlay is called now, unless a more specific one of its table is.
    let replaced = differing.into_iter().find(|&method| {
        let base = program.method(method);
        let rival = |other: Method| is_more_specific(types, program.method(other), data);
        returns_the_same(types, data, base) == Some(false)
            && !covering(program, data.table(), base).any(rival)
    });
    replaced.map(replaces)
}

/// The methods of a table that take all that a method takes.
fn covering<'p>(program: &'p Program, table: Table, of: &'p MethodData) -> impl Iterator<Item = Method> + 'p {
    let params = &of.signature.params;
    let overloads = program.overloads(&of.name).into_iter();
    let methods = overloads.flat_map(move |overloads| {
        overloads.taking(table, params).iter().copied().chain(overloads.generic(table, params))
    });
    let alive = methods.filter(|&method| program.is_alive(method, program.world()));
    alive.filter(|&method| subsumes(&program.types, program.method(method), of))
}

/// The error for an overlay that returns something else than the method of base in whose place it is called.
pub fn replacement(program: &Program, overlay: Method, replaced: Method) -> Diagnostic {
    let [data, base] = [overlay, replaced].map(|method| program.method(method));
    let same = subsumes(&program.types, data, base) && subsumes(&program.types, base, data);
    let message = format!(
        "{} replaces {}: {} something else",
        header_in_table(program, data),
        header_in_table(program, base),
        if same { "it takes the same and returns" } else { "for arguments that both take it returns" },
    );
    let error = Diagnostic::error(Code::Replacement, data.file, data.span, message);
    if base.file == data.file {
        return error.with_label(base.span, "what it replaces");
    }
    match Location::of(&program.files, base.file, base.span) {
        Some(place) => error.with_note(format!("what it replaces is defined at {place}")),
        None => error.with_note("what it replaces is defined by the host"),
    }
}

/// A method as messages name it.
fn header_in_table(program: &Program, data: &MethodData) -> String {
    format!("{} in table {}", header(&program.types, data), program.table_name(data.table()))
}
