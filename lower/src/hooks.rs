//! Hooks: what hosts insert into the pipeline, at places with names.
//!
//! A [`UnitHook`] sees the whole unit at an [`Anchor`]; what it leaves is verified, so a hook cannot make code that was
//! not checked. A function pass is put before, after or in the place of one of the optimiser's
//! [passes](crate::optimise::passes), by its name. Hooks have names, too: observers see them like everything else.

use crate::job::Job;
use crate::passes::PassContext;
use crate::report;
use crate::target::Target;
use marquetry_ir::body::{Body, Frame};
use marquetry_ir::diag::{Code, Diagnostic, Severity};
use marquetry_ir::entity::{Func, Inst};
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A place in the pipeline where hooks run.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Anchor {
    /// The unit is closed and verified; nothing is inlined, no question to the target is answered.
    Specialised,
    /// Questions are answered and static assertions hold; the optimiser comes next.
    BeforeOptimise,
    /// After the optimiser.
    AfterOptimise,
    /// Exceptions are statuses and mailboxes; the last place where any op is allowed.
    BeforeLegalise,
}

impl Anchor {
    /// All, in order.
    pub const ALL: [Anchor; 4] =
        [Anchor::Specialised, Anchor::BeforeOptimise, Anchor::AfterOptimise, Anchor::BeforeLegalise];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Anchor::Specialised => "specialised",
            Anchor::BeforeOptimise => "before-optimise",
            Anchor::AfterOptimise => "after-optimise",
            Anchor::BeforeLegalise => "before-legalise",
        }
    }
}

/// Something else that has to be compiled for this job to be complete: a kernel that a kernel's host code launches, or
/// the device's side of a host function. What becomes of it is the session's matter; the pipeline carries it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Deferred {
    /// The generic function.
    pub name: Arc<str>,
    /// Types of the arguments, of the unit's table.
    pub arguments: Box<[Type]>,
    /// The back-end that compiles it; the job's own if there is none.
    pub backend: Option<Arc<str>>,
}

/// What a hook works on.
pub struct HookContext<'a> {
    /// The unit.
    pub unit: &'a mut Unit,
    /// The job.
    pub job: &'a Job,
    /// What it is compiled for.
    pub target: &'a dyn Target,
    /// The params of the job's config, if the session gave any.
    pub params: Option<&'a (dyn Any + Send + Sync)>,
    /// What else has to be compiled, in order; hooks add to it.
    pub deferred: &'a mut Vec<Deferred>,
    /// What the author should know though the job compiles; hooks add to it. It comes with the code.
    pub warnings: &'a mut Vec<Diagnostic>,
}

impl HookContext<'_> {
    /// The params of the job's config, if they are of this type.
    pub fn param<P: 'static>(&self) -> Option<&P> {
        self.params?.downcast_ref()
    }

    /// A mistake of the program at an instruction: the place in its source, and what it was inlined into. For hooks to
    /// return.
    pub fn problem(&self, func: Func, inst: Inst, code: Code, message: impl Into<String>) -> Diagnostic {
        let Some(function) = self.unit.funcs.get(func) else {
            return Diagnostic::error(code, None, Span::NOWHERE, message);
        };
        let mut frames = function.frames(function.body.origin(inst)).owned();
        let Some(own) = frames.next() else {
            return Diagnostic::error(code, function.file, function.span, message);
        };
        let span = if own.span.is_somewhere() { own.span } else { function.span };
        let mut problem = Diagnostic::error(code, own.file, span, message);
        problem.notes.push(format!("in function '{}'", own.function));
        let callers: Vec<Frame> = frames.collect();
        problem.notes.extend(report::inlined_into(&callers, &self.unit.files));
        problem
    }

    /// Warns of something at an instruction.
    pub fn warn(&mut self, func: Func, inst: Inst, code: Code, message: impl Into<String>) {
        let problem = self.problem(func, inst, code, message);
        self.warnings.push(Diagnostic { severity: Severity::Warning, ..problem });
    }
}

type UnitFn = dyn Fn(&mut HookContext<'_>) -> Result<(), Vec<Diagnostic>> + Send + Sync;
type PassFn = dyn Fn(&mut Body, &mut PassContext) -> bool + Send + Sync;

/// A host's step on a whole unit.
#[derive(Clone)]
pub struct UnitHook {
    /// Its name in reports.
    pub name: Arc<str>,
    /// Where it runs.
    pub anchor: Anchor,
    pub(crate) run: Arc<UnitFn>,
}

/// Where a host's pass goes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// Before every run of the pass of this name.
    Before(Arc<str>),
    /// After every run.
    After(Arc<str>),
    /// In its place.
    Instead(Arc<str>),
}

impl Place {
    /// The name of the pass.
    pub fn pass(&self) -> &str {
        match self {
            Place::Before(name) | Place::After(name) | Place::Instead(name) => name,
        }
    }
}

/// A host's pass over one function.
#[derive(Clone)]
pub struct HostPass {
    /// Its name in reports.
    pub name: Arc<str>,
    /// Where it goes.
    pub place: Place,
    pub(crate) run: Arc<PassFn>,
}

/// All hooks of a back-end.
#[derive(Clone, Default)]
pub struct Hooks {
    pub(crate) units: Vec<UnitHook>,
    pub(crate) passes: Vec<HostPass>,
}

/// There is no pass of the name that a host's pass should stand next to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownPass(pub Arc<str>);

impl fmt::Display for UnknownPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = crate::optimise::pass_names().collect();
        write!(f, "there is no pass '{}', expected one of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownPass {}

impl Hooks {
    /// None.
    pub const fn new() -> Self {
        Hooks { units: Vec::new(), passes: Vec::new() }
    }

    /// Adds a step on whole units. Hooks of one anchor run in the order in which they were added.
    pub fn at(
        &mut self,
        anchor: Anchor,
        name: &str,
        run: impl Fn(&mut HookContext<'_>) -> Result<(), Vec<Diagnostic>> + Send + Sync + 'static,
    ) {
        self.units.push(UnitHook { name: name.into(), anchor, run: Arc::new(run) });
    }

    /// Adds a pass over functions, which says whether it changed anything. It must keep what every
    /// [pass](crate::passes) keeps, and say so by [`PassContext::changed_edges`] if it changed control flow.
    ///
    /// # Errors
    /// The optimiser has no pass of the name that `place` mentions.
    pub fn pass(
        &mut self,
        place: Place,
        name: &str,
        run: impl Fn(&mut Body, &mut PassContext) -> bool + Send + Sync + 'static,
    ) -> Result<(), UnknownPass> {
        if !crate::optimise::pass_names().any(|known| known == place.pass()) {
            return Err(UnknownPass(place.pass().into()));
        }
        self.passes.push(HostPass { name: name.into(), place, run: Arc::new(run) });
        Ok(())
    }

    /// Whether there are any at an anchor.
    pub fn has(&self, anchor: Anchor) -> bool {
        self.units.iter().any(|hook| hook.anchor == anchor)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.passes.is_empty()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units: Vec<(Anchor, &str)> = self.units.iter().map(|hook| (hook.anchor, &*hook.name)).collect();
        let passes: Vec<(&str, &Place)> = self.passes.iter().map(|pass| (&*pass.name, &pass.place)).collect();
        f.debug_struct("Hooks").field("units", &units).field("passes", &passes).finish()
    }
}
