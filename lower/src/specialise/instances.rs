//! Instances: a method with concrete arguments becomes a function of the unit, made when it is first asked for.
//!
//! Names are stable, so that units compiled apart agree on them. Instances that lead to ever more instances end at a
//! limit, with the chain in the message.

use super::{Home, Record, Specialiser, mangle, settle};
use crate::dispatch::edges::Instance;
use crate::dispatch::lints::replacement;
use crate::dispatch::resolve::{Answer, look_up_in};
use crate::dispatch::view::View;
use crate::dispatch::{explain, pattern};
use crate::failure::Failure;
use crate::job::JobEntry;
use crate::report::{self, Place};
use crate::runtime::host;
use crate::validate;
use cranelift_entity::EntityRef;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Func, Method, Table};
use marquetry_ir::library;
use marquetry_ir::limits::{MAX_INSTANCES, MAX_PARAMS, MAX_SPECIALISATION_DEPTH};
use marquetry_ir::program::{MethodData, MethodKind, OpenTable, Program, World};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::{Location, Span};
use marquetry_ir::types::{Type, TypeError};
use marquetry_ir::unit::Function;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Variables with what they stand for.
type Bindings = Vec<(Type, Type)>;

/// The message for a job of a world that a program does not know any more.
pub fn forgotten(program: &Program, world: World) -> String {
    let oldest = program.oldest_world().0;
    format!("world {} is forgotten: the earliest that the program knows is {oldest}", world.0)
}

impl Specialiser<'_> {
    pub(super) fn entry(&mut self, entry: &JobEntry) -> Result<Func, Failure> {
        let method = entry.method;
        let world = self.world.0;
        if self.world < self.program.oldest_world() {
            return Err(Failure::Job(forgotten(self.program, self.world)));
        }
        if !self.program.method_exists(method) {
            return Err(Failure::Job(format!("{method} does not exist in world {world}")));
        }
        let data = self.program.method(method);
        let types = &self.program.types;
        let header = || explain::header(types, data);
        if !self.program.is_alive(method, self.world) {
            let life = self.program.lifetime(method);
            let why = match life.from > self.world {
                true => format!("was defined in world {}", life.from.0),
                false => format!("was deleted or redefined in world {}", life.until.0),
            };
            let message = format!("{} {why}, the job is of world {world}", header());
            return Err(Failure::Job(message));
        }
        if data.kind == MethodKind::Kernel {
            let arguments = entry.arguments.as_deref().unwrap_or(&data.signature.params);
            self.diagnostics.extend(validate::arguments(types, data, arguments));
        }
        match &entry.arguments {
            Some(arguments) => {
                let open = arguments.iter().find(|ty| !ty.is_known() || types.layout(**ty).is_none());
                if let Some(&ty) = open {
                    let message =
                        format!("{}: argument type {} is not concrete", header(), types.display(ty));
                    return Err(Failure::Job(message));
                }
                pattern::accept(self.program, data, arguments).map_err(|rejection| {
                    Failure::Job(format!("{}: {}", header(), rejection.describe(types)))
                })?;
                self.instance(method, arguments, None)
            }
            None if data.is_generic() => Err(Failure::Job(format!(
                "{} has type variables: as an entry it needs the types of its arguments",
                header()
            ))),
            None => self.instance(method, &data.signature.params, None),
        }
    }

    /// The function for a method with these arguments, made and put on the worklist when first asked for.
    pub(super) fn instance(
        &mut self,
        method: Method,
        arguments: &[Type],
        caller: Option<(Func, Span)>,
    ) -> Result<Func, Failure> {
        let mut hasher = FxHasher::default();
        (method, arguments).hash(&mut hasher);
        let key = hasher.finish();
        let is_it = |func: &&Func| {
            let instance = self.records.get(func.index()).map(|record| &record.instance);
            instance.is_some_and(|known| known.method == method && *known.arguments == *arguments)
        };
        if let Some(&func) = self.instances.get(&key).and_then(|known| known.iter().find(is_it)) {
            return Ok(func);
        }
        let data = self.program.method(method);
        let nesting = self.nesting(data, arguments, caller)?;
        let (bindings, results) = self.typed(data, arguments, caller)?;
        self.check_replacement(method, arguments, &results, caller);
        let params: Vec<Type> =
            arguments.iter().copied().filter(|&ty| settle::has_size(&self.unit.types, ty)).collect();
        let func = self.unit.funcs.next_key();
        let mut worlds = self.program.lifetime(method);
        let mut alone = None;
        let name = match caller {
            Some(_) => self.inner_name(func, data, arguments),
            None => {
                // With variables it has its full name in any case.
                if !data.is_generic() {
                    let (is_alone, so_far) = self.job.view.is_alone(self.program, method);
                    worlds = worlds.intersect(so_far);
                    alone = Some(is_alone);
                }
                self.entry_name(data, arguments, alone == Some(true))
            }
        };
        self.names.insert(name.clone());
        self.unit.funcs.push(Function {
            name,
            kind: data.kind,
            signature: Signature::new(params, results.clone()),
            body: Body::new(),
            inlining: data.inlining,
            file: data.file,
            span: data.span,
        });
        let edges = Vec::new();
        let instance = Instance { func, method, arguments: arguments.into(), edges, worlds, alone };
        let (parent, site) = caller.map_or((None, Span::NOWHERE), |(func, span)| (Some(func), span));
        self.records.push(Record { instance, bindings, results, parent, site, nesting });
        self.instances.entry(key).or_default().push(func);
        self.worklist.push(func);
        Ok(func)
    }

    /// How many instances of methods with variables lead to a new one, itself included.
    ///
    /// # Errors
    /// They are too many, or all instances of the unit are.
    fn nesting(
        &self,
        data: &MethodData,
        arguments: &[Type],
        caller: Option<(Func, Span)>,
    ) -> Result<usize, Failure> {
        if self.records.len() >= MAX_INSTANCES {
            let chain = self.leading_to(data, arguments, caller.map(|(func, _)| func));
            let message = format!("more than {MAX_INSTANCES} instances, which is the most: {chain}");
            return Err(self.limit(data, caller, message));
        }
        let outer = caller.and_then(|(func, _)| self.records.get(func.index()));
        let nesting = outer.map_or(0, |record| record.nesting) + usize::from(data.is_generic());
        if nesting > MAX_SPECIALISATION_DEPTH {
            let why = format!("more than {MAX_SPECIALISATION_DEPTH} instances lead to one another");
            return Err(self.endless(data, arguments, caller, &why));
        }
        Ok(nesting)
    }

    /// As [`Self::returned`], for a method that a look-up found.
    fn typed(
        &mut self,
        data: &MethodData,
        arguments: &[Type],
        caller: Option<(Func, Span)>,
    ) -> Result<(Bindings, Vec<Type>), Failure> {
        match self.returned(data, arguments) {
            Ok(made) => Ok(made),
            // The look-up accepted these arguments.
            Err(None) => Err(Failure::Internal(format!("'{}' was chosen and does not apply", data.name))),
            Err(Some(error @ (TypeError::TooDeep | TypeError::TooLong | TypeError::TooLarge))) => {
                Err(self.endless(data, arguments, caller, &error.to_string()))
            }
            Err(Some(error)) => {
                let place = Place { function: &data.name, file: data.file, span: data.span };
                let header = explain::header(&self.unit.types, data);
                let message = format!("the results of {header} cannot be made: {error}");
                Err(Failure::Program(vec![report::dispatch(&place, message)]))
            }
        }
    }

    /// What the variables of a method stand for where it takes these arguments, and the types that it returns.
    ///
    /// # Errors
    /// A type cannot be made; none if the method does not take the arguments.
    fn returned(
        &mut self,
        data: &MethodData,
        arguments: &[Type],
    ) -> Result<(Bindings, Vec<Type>), Option<TypeError>> {
        if !data.is_generic() {
            return Ok((Vec::new(), data.signature.results.clone()));
        }
        let types = Arc::make_mut(&mut self.unit.types);
        let bound = pattern::accept_in(types, data, arguments).map_err(|_| None)?;
        let bindings = bound.as_types(types)?;
        let bind = |variable: Type| bindings.iter().find(|(v, _)| *v == variable).map(|(_, ty)| *ty);
        let results = data.signature.results.iter().map(|&ty| types.substitute(ty, &bind));
        let results: Vec<Type> = results.collect::<Result<_, TypeError>>()?;
        Ok((bindings, results))
    }

    /// Reports an overlay that returns something else than what base has for these arguments. Most of them are found where
    /// they are defined; where it takes only some of what a method of base takes, it depends on the arguments.
    fn check_replacement(
        &mut self,
        method: Method,
        arguments: &[Type],
        results: &[Type],
        caller: Option<(Func, Span)>,
    ) {
        let program = self.program;
        let data = program.method(method);
        let is_overlay = OpenTable::try_from(data.table()).is_ok_and(|table| table != OpenTable::BASE);
        if !is_overlay {
            return;
        }
        let base = View::native(&[]).at(self.world);
        let found = look_up_in(program, &self.unit.types, &base, &data.name, arguments).answer;
        let Answer::Method(replaced) = found else { return };
        let Ok((_, wanted)) = self.returned(program.method(replaced), arguments) else { return };
        if wanted == results {
            return;
        }
        let types = &self.unit.types;
        let [found, wanted] =
            [results, &wanted].map(|list| Signature::new(arguments, list).display(types).to_string());
        let note = format!("here it is {found}, in base {wanted}");
        let mut error = replacement(program, method, replaced).with_note(note);
        if let Some((func, span)) = caller {
            let from = &self.unit.funcs[func];
            let place = Location::of(&program.files, from.file, span);
            let place = place.map_or(String::new(), |place| format!(" at {place}"));
            error = error.with_note(format!("called in '{}'{place}", from.name));
        }
        self.diagnostics.push(error);
    }

    /// The error for instances that ask for ever more instances, at the call of the last one, with how it began.
    pub(super) fn endless(
        &self,
        data: &MethodData,
        arguments: &[Type],
        caller: Option<(Func, Span)>,
        why: &str,
    ) -> Failure {
        let chain = self.leading_to(data, arguments, caller.map(|(func, _)| func));
        let message = format!("specialisation of '{}' does not end: {chain}; {why}", data.name);
        self.limit(data, caller, message)
    }

    /// The error for a limit, at the call of the instance that is one too many.
    fn limit(&self, data: &MethodData, caller: Option<(Func, Span)>, message: String) -> Failure {
        let from = caller.and_then(|(func, span)| {
            let record = self.records.get(func.index()).filter(|_| span.is_somewhere())?;
            Some((self.program.method(record.instance.method), span))
        });
        let (from, span) = from.unwrap_or((data, data.span));
        let place = Place { function: &from.name, file: from.file, span };
        let mut error = report::limit(&place, message);
        if from.file == data.file && span != data.span {
            error = error.with_label(data.span, "what is called");
        }
        Failure::Program(vec![error])
    }

    /// The error for a call that packs make too long.
    pub(super) fn too_many(&self, home: Home<'_>, span: Span) -> Failure {
        let data = home.data;
        let place = Place { function: &data.name, file: data.file, span };
        let record = self.records.get(home.func.index());
        let arguments = record.map_or(&[][..], |record| &record.instance.arguments);
        let chain = self.leading_to(data, arguments, record.and_then(|record| record.parent));
        let message = format!(
            "with its packs the call has more than {MAX_PARAMS} arguments, which is the most: {chain}"
        );
        Failure::Program(vec![report::limit(&place, message)])
    }

    /// Which instances lead to the one with these arguments: the first of those that lead to one another, and itself.
    fn leading_to(&self, data: &MethodData, arguments: &[Type], parent: Option<Func>) -> String {
        const SHOWN: usize = 5;
        let types = &self.unit.types;
        let spelled = |name: &str, arguments: &[Type]| {
            let text = format!("{name}{}", Signature::new(arguments, []).display(types));
            match text.char_indices().nth(80) {
                Some((end, _)) => format!("{}...", text.get(..end).unwrap_or("")),
                None => text,
            }
        };
        let mut chain = Vec::new();
        let mut next = parent;
        while let Some(record) = next.and_then(|func| self.records.get(func.index())) {
            chain.push(record);
            // Whoever has no variables did not begin it.
            next = record.parent.filter(|_| record.nesting > 0);
        }
        let first = chain.iter().rev().take(SHOWN).map(|record| {
            spelled(&self.program.method(record.instance.method).name, &record.instance.arguments)
        });
        let mut words: Vec<String> = first.collect();
        if chain.len() > SHOWN {
            words.push(format!("{} more", chain.len() - SHOWN));
        }
        words.push(spelled(&data.name, arguments));
        words.join(" calls ")
    }

    /// An entry's name: the plain one where the generic function has one signature without variables, else with the
    /// argument types, for kernels mangled. Depends on what the view sees only, so that units compiled apart agree.
    fn entry_name(&self, data: &MethodData, arguments: &[Type], is_alone: bool) -> Arc<str> {
        if let Some(name) = host_name(data) {
            return name;
        }
        if is_alone {
            return data.name.clone();
        }
        // Drivers look kernels up by name, and not all of them take every character.
        if data.kind == MethodKind::Kernel {
            return mangle::symbol(&self.unit.types, &data.name, arguments).into();
        }
        self.full_name(data, arguments)
    }

    /// The name of another function, which nobody looks up: the plain one where the unit has one instance of that name
    /// without variables, else with the argument types. Depends on the unit only: methods that the job does not call
    /// change nothing.
    fn inner_name(&mut self, func: Func, data: &MethodData, arguments: &[Type]) -> Arc<str> {
        let wanted = match (host_name(data), self.plain.get(&data.name).copied()) {
            (Some(name), _) => name,
            (None, None) if !data.is_generic() => {
                self.plain.insert(data.name.clone(), Some(func));
                data.name.clone()
            }
            (None, Some(Some(first))) if !data.is_generic() => {
                self.plain.insert(data.name.clone(), None);
                self.rename_in_full(first, data);
                self.full_name(data, arguments)
            }
            (None, _) => self.full_name(data, arguments),
        };
        if !self.names.contains(&wanted) {
            return wanted;
        }
        // Entries are made first and keep theirs: hosts look them up.
        let numbered = (1u32..).map(|n| Arc::from(format!("{wanted}_{n}")));
        { numbered }.find(|name| !self.names.contains(name)).unwrap_or(wanted)
    }

    /// Tells the first instance of a name from the second.
    fn rename_in_full(&mut self, first: Func, data: &MethodData) {
        let Some(record) = self.records.get(first.index()) else { return };
        let name = self.full_name(data, &record.instance.arguments);
        if self.names.insert(name.clone()) {
            self.names.remove(&self.unit.funcs[first].name);
            self.unit.funcs[first].name = name;
        }
    }

    fn full_name(&self, data: &MethodData, arguments: &[Type]) -> Arc<str> {
        let signature = Signature::new(arguments, []);
        format!("{}{}", data.name, signature.display(&self.unit.types)).into()
    }
}

/// The name of a host body: neither half of a pair is taken for the other, nor for a function of the C library.
fn host_name(data: &MethodData) -> Option<Arc<str>> {
    let is_half = data.table() == Table::BASE
        && library::is_device_function(&data.name)
        && host::is_host_body(&data.body);
    is_half.then(|| format!("host_{}", data.name).into())
}
