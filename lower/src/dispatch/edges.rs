//! Edges: what an instance looked up, and which instances a change of the program concerns.
//!
//! An instance depends on the answers of its look-ups, misses included, and on nothing else of the program's methods but
//! one thing: an entry's symbol tells overloads apart where there are any. A miss may have meant a function of the host, of which
//! there is one per name, for ever: one that is added concerns those who missed it. After a change, only the look-ups of changed names
//! can have other answers; they are asked again, so exactly those instances are invalid whose answers differ.

use super::pattern::accept;
use super::resolve::{Answer, look_up};
use super::view::View;
use crate::runtime::host;
use marquetry_ir::entity::{Func, Method};
use marquetry_ir::program::{Program, World, Worlds};
use marquetry_ir::types::{Type, TypeError, Types};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// One look-up and its answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Edge {
    /// What was called.
    pub name: Arc<str>,
    /// Types of the arguments.
    pub arguments: Box<[Type]>,
    /// What that meant.
    pub answer: Answer,
}

/// A method with concrete arguments, as a unit's function.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The function in its unit.
    pub func: Func,
    /// The method.
    pub method: Method,
    /// Types of the arguments, those of no size included.
    pub arguments: Box<[Type]>,
    /// What it looked up.
    pub edges: Vec<Edge>,
    /// The worlds in which it would be made the same.
    pub worlds: Worlds,
    /// For entries without variables, whose symbol depends on it: whether the method was [alone](View::is_alone).
    pub alone: Option<bool>,
}

/// The id of an instance among [`Dependents`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dependent(pub u32);

/// Instances by one look-up and the number of its view.
type EqualLookUps = FxHashMap<(Edge, u32), Vec<Dependent>>;

/// Entries by the number of their view, the method and whether it was alone.
type EqualSymbols = FxHashMap<(u32, Method, bool), Vec<Dependent>>;

/// Instances by what they looked up.
#[derive(Clone, Debug, Default)]
pub struct Dependents {
    /// Equal look-ups through one view are asked again once, however many made them.
    by_name: FxHashMap<Arc<str>, EqualLookUps>,
    by_method: FxHashMap<Method, Vec<(Dependent, u32)>>,
    /// Entries, by what their symbols depend on.
    by_symbol: FxHashMap<Arc<str>, EqualSymbols>,
    views: Vec<View>,
    view_index: FxHashMap<View, u32>,
    count: u32,
}

impl Dependents {
    /// No instances.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers an instance that was made through a view; `types` is the table of its unit. Through a view that is
    /// pinned to a world nothing ever changes.
    ///
    /// # Errors
    /// A type of the unit cannot be made in the program: they are not related.
    pub fn add(
        &mut self,
        program: &mut Program,
        types: &Types,
        view: &View,
        instance: &Instance,
    ) -> Result<Dependent, TypeError> {
        let id = Dependent(self.count);
        let number = match self.view_index.get(view) {
            Some(&number) => number,
            None => {
                let number = self.views.len() as u32;
                self.views.push(view.clone());
                self.view_index.insert(view.clone(), number);
                number
            }
        };
        for edge in &instance.edges {
            // The unit made types that the program may not have, or may have made otherwise since.
            let arguments: Result<Vec<Type>, TypeError> =
                edge.arguments.iter().map(|&ty| program.types.import(types, ty)).collect();
            let edge = Edge { arguments: arguments?.into(), ..edge.clone() };
            self.by_name.entry(edge.name.clone()).or_default().entry((edge, number)).or_default().push(id);
        }
        self.by_method.entry(instance.method).or_default().push((id, number));
        if let Some(alone) = instance.alone {
            let of_name = self.by_symbol.entry(program.method(instance.method).name.clone()).or_default();
            of_name.entry((number, instance.method, alone)).or_default().push(id);
        }
        self.count += 1;
        Ok(id)
    }

    /// The instances that would be made otherwise after the changes since a world, sorted.
    pub fn invalidated_since(&self, program: &Program, world: World) -> Vec<Dependent> {
        let mut changed: Vec<Method> = program.changes_since(world).collect();
        changed.sort_unstable();
        changed.dedup();
        let mut by_name: FxHashMap<&Arc<str>, Vec<Method>> = FxHashMap::default();
        for &method in &changed {
            by_name.entry(&program.method(method).name).or_default().push(method);
        }
        let mut found = Vec::new();
        for (name, methods) in by_name {
            // A method that was ended since, redefined ones among them: instances of it are stale whoever calls them.
            for &method in program.all_methods_of(name) {
                if ended_since(program, method, world) {
                    let instances = self.by_method.get(&method).into_iter().flatten();
                    found.extend(instances.filter(|(_, view)| !self.is_pinned(*view)).map(|(id, _)| *id));
                }
            }
            for (&(view, method, alone), dependents) in self.by_symbol.get(name).into_iter().flatten() {
                let view = self.views.get(view as usize).filter(|view| !view.is_pinned());
                if view.is_some_and(|view| view.is_alone(program, method).0 != alone) {
                    found.extend(dependents);
                }
            }
            let Some(edges) = self.by_name.get(name) else { continue };
            for ((edge, view), dependents) in edges {
                if self.differs(program, edge, *view, world, &methods) {
                    found.extend(dependents);
                }
            }
        }
        for id in program.externs_since(world) {
            let data = &program.externs[id];
            // It is what calls mean that no method fits. Those that were made before have not seen it.
            for ((edge, view), dependents) in self.by_name.get(&data.name).into_iter().flatten() {
                let takes = host::takes(&program.types, &data.signature.params, &edge.arguments).is_ok();
                if edge.answer == Answer::Nothing && takes && !self.is_pinned(*view) {
                    found.extend(dependents);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn is_pinned(&self, view: u32) -> bool {
        self.views.get(view as usize).is_some_and(View::is_pinned)
    }

    fn differs(&self, program: &Program, edge: &Edge, view: u32, world: World, changed: &[Method]) -> bool {
        let Some(view) = self.views.get(view as usize).filter(|view| !view.is_pinned()) else { return false };
        // What it meant is gone: nothing needs to be asked.
        if matches!(edge.answer, Answer::Method(method) if ended_since(program, method, world)) {
            return true;
        }
        let concerns = |&method: &Method| {
            let data = program.method(method);
            view.tables_for(&edge.name).contains(&data.table())
                && accept(program, data, &edge.arguments).is_ok()
        };
        changed.iter().any(concerns)
            && look_up(program, view, &edge.name, &edge.arguments).answer != edge.answer
    }
}

/// Whether a method was ended after a world, and by now.
fn ended_since(program: &Program, method: Method, world: World) -> bool {
    let until = program.lifetime(method).until;
    until > world && until <= program.world()
}
