//! What holds between the parts of a program or a unit, and of its globals, externs and signatures.

use crate::diag::{Code, Diagnostic, Subject};
use crate::entity::{AnyEntity, Method};
use crate::library;
use crate::program::{ExternData, GlobalData, MethodData, MethodKind, Program, World};
use crate::signature::Signature;
use crate::span::{SourceFile, Span};
use crate::types::{Abstract, Generic, Space, Type, Types};
use crate::unit::Unit;
use crate::verify::globals;
use crate::verify::report::{FunctionView, Report};
use rustc_hash::{FxHashMap, FxHashSet};
use std::hash::Hash;
use std::sync::Arc;

/// A program or a unit.
#[derive(Copy, Clone)]
pub(super) enum Module<'a> {
    Program(&'a Program),
    Unit(&'a Unit),
}

impl<'a> Module<'a> {
    /// Arrays and structs.
    pub(super) fn types(self) -> &'a Types {
        match self {
            Module::Program(program) => &program.types,
            Module::Unit(unit) => &unit.types,
        }
    }

    /// Texts.
    pub(super) fn files(self) -> &'a [SourceFile] {
        match self {
            Module::Program(program) => &program.files,
            Module::Unit(unit) => &unit.files,
        }
    }

    /// Calls `f` on every method that was added since a world, or on all if there is none; or on every function.
    pub(super) fn each_function(self, since: Option<World>, f: &mut dyn FnMut(FunctionView<'a>)) {
        let mut method = |method: Method, data: &'a MethodData| {
            f(FunctionView {
                owner: AnyEntity::Method(method),
                name: &data.name,
                kind: data.kind,
                signature: &data.signature,
                body: &data.body,
                file: data.file,
                span: data.span,
            });
        };
        match (self, since) {
            // A test sees to it that the library has no mistakes, and what is still the library's own object is as it was.
            (Module::Program(program), None) => {
                let others = program.methods().filter(|&(id, _)| !library::is_untouched(program, id));
                others.for_each(|(id, data)| method(id, data));
            }
            (Module::Program(program), Some(world)) => {
                let changed = program.changes_since(world);
                let alive = changed.filter(|&id| program.is_alive(id, program.world()));
                alive.for_each(|id| method(id, program.method(id)));
            }
            (Module::Unit(unit), _) => unit.funcs.iter().for_each(|(func, data)| {
                f(FunctionView {
                    owner: AnyEntity::Func(func),
                    name: &data.name,
                    kind: data.kind,
                    signature: &data.signature,
                    body: &data.body,
                    file: data.file,
                    span: data.span,
                });
            }),
        }
    }

    fn globals(self) -> impl Iterator<Item = (AnyEntity, &'a GlobalData)> {
        let globals = match self {
            Module::Program(program) => &program.globals,
            Module::Unit(unit) => &unit.globals,
        };
        globals.iter().map(|(id, data)| (AnyEntity::Global(id), data))
    }

    fn externs(self) -> impl Iterator<Item = (AnyEntity, &'a ExternData)> {
        let externs = match self {
            Module::Program(program) => &program.externs,
            Module::Unit(unit) => &unit.externs,
        };
        externs.iter().map(|(id, data)| (AnyEntity::Extern(id), data))
    }
}

/// Something with a name, for messages.
pub(super) struct Item<'a> {
    owner: AnyEntity,
    name: &'a Arc<str>,
    file: Option<u32>,
    span: Span,
}

impl Item<'_> {
    pub(super) fn error(&self, code: Code, message: String) -> Diagnostic {
        let subject = Subject { owner: self.owner, name: self.name.clone(), entity: self.owner };
        Diagnostic::error(code, self.file, self.span, message).about(subject)
    }
}

/// Checks everything but the bodies; of methods, those that were added since a world, if there is one.
pub(super) fn check(module: Module<'_>, since: Option<World>, report: &mut Report) {
    let types = module.types();
    let mut names = FxHashSet::default();
    let mut slotted = false;
    for (owner, data) in module.globals() {
        let item = Item { owner, name: &data.name, file: data.file, span: data.span };
        unique(&item, "global", &mut names, &data.name, report);
        globals::global(&item, types, data, report);
        slotted |= !data.slots.is_empty();
    }
    if slotted {
        addresses(module, report);
    }
    names.clear();
    for (owner, data) in module.externs() {
        let item = Item { owner, name: &data.name, file: data.file, span: data.span };
        unique(&item, "extern function", &mut names, &data.name, report);
        signature(&item, types, &data.signature, false, report);
        if data.link_name.is_empty() || data.link_name.contains('\0') {
            let message = "has a link name that is empty or has a zero byte: no symbol has";
            report.push(item.error(Code::LinkName, message.into()));
        }
    }
    names.clear();
    let mut methods = FxHashSet::default();
    module.each_function(since, &mut |function| {
        let FunctionView { owner, name, file, span, .. } = function;
        let item = Item { owner, name, file, span };
        signature(&item, types, function.signature, matches!(module, Module::Program(_)), report);
        if function.kind == MethodKind::Kernel && !function.signature.results.is_empty() {
            let error = item.error(Code::KernelResults, "a kernel cannot have results".into());
            let help = "what a kernel computes goes into memory; it ends in 'return' without values";
            report.push(error.with_note(help));
        }
        match (module, owner) {
            (Module::Program(program), AnyEntity::Method(method)) => {
                let data = program.method(method);
                variables(&item, types, data, report);
                // What a variable stands for is part of what a method takes.
                let bounds: Vec<Abstract> = data.variables.iter().map(|variable| variable.bound).collect();
                let key = (data.table, &data.name, &data.signature.params, bounds);
                unique(&item, "method with these parameters in its table", &mut methods, key, report);
            }
            _ => unique(&item, "function", &mut names, name, report),
        }
    });
    if let Module::Unit(unit) = module {
        for &entry in unit.entries.iter().filter(|&&entry| !unit.funcs.is_valid(entry)) {
            let message = format!("entry {entry} does not exist in the unit");
            report.push(Diagnostic::error(Code::DanglingId, None, Span::NOWHERE, message));
        }
    }
}

/// Slots for the addresses of other globals.
fn addresses(module: Module<'_>, report: &mut Report) {
    let known: FxHashMap<&str, (Space, u64)> = module
        .globals()
        .map(|(_, data)| {
            let size = module.types().layout(data.ty).map_or(0, |layout| layout.size);
            (&*data.name, (data.space, size))
        })
        .collect();
    for (owner, data) in module.globals().filter(|(_, data)| !data.slots.is_empty()) {
        let item = Item { owner, name: &data.name, file: data.file, span: data.span };
        globals::addresses(&item, module, data, &|name| known.get(name).copied(), report);
    }
}

fn unique<K: Hash + Eq>(item: &Item<'_>, what: &str, seen: &mut FxHashSet<K>, key: K, report: &mut Report) {
    if !seen.insert(key) {
        report.push(item.error(Code::Duplicate, format!("another {what} has the name '{}'", item.name)));
    }
}

/// What is wrong with a type that must be settled, but for type variables where they may be.
pub(super) fn problem(types: &Types, ty: Type, generic: bool) -> Option<(Code, String)> {
    if types.generic(ty).is_some() && generic {
        return None;
    }
    if !ty.is_known() {
        return Some((Code::Untyped, "has no known type".into()));
    }
    let foreign = types.layout(ty).is_none();
    foreign.then(|| (Code::ForeignType, format!("has type {ty}, which is not in this table of types")))
}

fn signature(item: &Item<'_>, types: &Types, signature: &Signature, generic: bool, report: &mut Report) {
    let sides = [("parameter", &signature.params), ("result", &signature.results)];
    for (what, list) in sides {
        for (n, &ty) in list.iter().enumerate() {
            if let Some((code, problem)) = problem(types, ty, generic) {
                report.push(item.error(code, format!("{what} {} {problem}", n + 1)));
            }
        }
    }
}

/// Type variables: each is one, some parameter determines it, and packs come last.
fn variables(item: &Item<'_>, types: &Types, data: &MethodData, report: &mut Report) {
    let Signature { params, results } = &data.signature;
    let mut mentioned: FxHashSet<Type> = FxHashSet::default();
    for &ty in params {
        types.each_variable(ty, &mut |variable| {
            mentioned.insert(variable);
        });
    }
    let declared: FxHashSet<Type> = data.variables.iter().map(|variable| variable.ty).collect();
    for &ty in &declared {
        let is_variable = matches!(types.generic(ty), Some(Generic::Variable(_)));
        if !is_variable || !mentioned.contains(&ty) {
            let message = format!("type variable {} is in no parameter", types.display(ty));
            report.push(item.error(Code::Variable, message));
        }
    }
    for &ty in params.iter().chain(results) {
        types.each_variable(ty, &mut |variable| {
            let is_named = matches!(types.generic(variable), Some(Generic::Variable(_)));
            if is_named && !declared.contains(&variable) {
                let message = format!("type {} is no variable of this method", types.display(variable));
                report.push(item.error(Code::Variable, message));
            }
        });
    }
    let inner = params.split_last().map_or(&[][..], |(_, inner)| inner);
    if inner.iter().chain(results).any(|&ty| types.as_pack(ty).is_some()) {
        report.push(item.error(Code::Variable, "only the last parameter can be a pack".into()));
    }
}
