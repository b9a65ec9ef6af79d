//! The optimiser: which passes run at which level, in which order, over which functions.
//!
//! Functions are visited callees first: calls of small, finished functions are inlined, then the passes run on what
//! that gives. At the end, functions that nothing mentions any more are dropped.

use crate::call_graph;
use crate::hooks::{Hooks, Place};
use crate::inline;
use crate::job::OptLevel;
use crate::observe::Observer;
use crate::parallel::{Around, Item, Workers, each_function};
use crate::passes::{
    PassContext, cse, dce, implied, indvars, licm, mem2reg, rotate, simplify, simplify_cfg, sroa, unroll,
};
use cranelift_entity::SecondaryMap;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Func;
use marquetry_ir::program::{Inlining, MethodKind};
use marquetry_ir::unit::{Function, Unit};
use marquetry_ir::verify::verify_unit;
use rustc_hash::FxHashSet;
use std::time::Instant;

/// A pass, as the lists name it.
#[derive(Copy, Clone)]
pub struct Pass {
    /// Its name in reports.
    pub name: &'static str,
    /// Runs it on a body; says whether it changed anything.
    pub run: fn(&mut Body, &mut PassContext) -> bool,
    /// Which pass it is, and those that find nothing new in what it changes.
    bit: u64,
    leaves: u64,
}

impl Pass {
    /// A pass that may make work for every other one, and for itself.
    pub const fn new(name: &'static str, run: fn(&mut Body, &mut PassContext) -> bool) -> Pass {
        Pass { name, run, bit: 0, leaves: 0 }
    }

    /// Gives it a number of its own: it is not asked again before something changed that it looks at.
    const fn numbered(self, number: u32) -> Pass {
        assert!(number < OWN);
        Pass { bit: 1 << number, ..self }
    }

    /// Says that it finds nothing new in what it changed itself.
    const fn idempotent(self) -> Pass {
        Pass { leaves: self.leaves | self.bit, ..self }
    }

    /// Says which other passes find nothing new in what this one changes.
    const fn leaves(self, others: &[Pass]) -> Pass {
        let (mut leaves, mut n) = (self.leaves, 0);
        while n < others.len() {
            leaves |= others[n].bit;
            n += 1;
        }
        Pass { leaves, ..self }
    }

    fn step(&self) -> Step<'_> {
        Step { name: self.name, run: &self.run, bit: self.bit, leaves: self.leaves }
    }
}

/// How many passes there are, at most; hosts' passes have the numbers behind.
const OWN: u32 = 16;

const SROA: Pass = Pass::new("sroa", sroa::run).numbered(0);
const MEM2REG: Pass = Pass::new("mem2reg", mem2reg::run).numbered(1);
const SIMPLIFY: Pass = Pass::new("simplify", simplify::run).numbered(2).idempotent();
const CSE: Pass = Pass::new("cse", cse::run).numbered(3).idempotent();
const IMPLIED: Pass = Pass::new("implied", implied::run).numbered(4).idempotent();
// What goes was not looked at by rules, nor equal to anything.
const DCE: Pass = Pass::new("dce", dce::run).numbered(5).idempotent().leaves(&[SIMPLIFY, CSE, IMPLIED]);
const SIMPLIFY_CFG: Pass = Pass::new("simplify_cfg", simplify_cfg::run).numbered(6).idempotent();
const ROTATE: Pass = Pass::new("rotate", rotate::run).numbered(7);
const UNROLL: Pass = Pass::new("unroll", unroll::run).numbered(8);
const INDVARS: Pass = Pass::new("indvars", indvars::run).numbered(9);
// Rules look at what is computed, not at where.
const LICM: Pass = Pass::new("licm", licm::run).numbered(10).leaves(&[SIMPLIFY]);

/// After exceptions and after legalisation: what these leave behind goes.
const CLEANUP: &[Pass] = &[SIMPLIFY, SIMPLIFY_CFG, CSE, DCE];

const LESS: &[Pass] = &[SIMPLIFY_CFG, SROA, MEM2REG, SIMPLIFY, SIMPLIFY_CFG, CSE, DCE];

const DEFAULT: &[Pass] = &[
    // Slots become values, as far as they do without unrolling.
    SIMPLIFY_CFG,
    SROA,
    MEM2REG,
    SIMPLIFY,
    SIMPLIFY_CFG,
    CSE,
    IMPLIED,
    // Loops: tested at the bottom, unrolled if short; slots that this makes splittable.
    ROTATE,
    SIMPLIFY_CFG,
    UNROLL,
    SIMPLIFY_CFG,
    SIMPLIFY,
    SROA,
    MEM2REG,
    // What the loops that stay compute again and again.
    SIMPLIFY,
    CSE,
    LICM,
    INDVARS,
    // The guards in front of inner loops are known behind those of outer ones.
    IMPLIED,
    // What all this left behind.
    SIMPLIFY,
    SIMPLIFY_CFG,
    CSE,
    DCE,
];

/// The passes of a level, in order.
pub const fn passes(level: OptLevel) -> &'static [Pass] {
    match level {
        OptLevel::None => &[],
        OptLevel::Less => LESS,
        OptLevel::Default | OptLevel::More => DEFAULT,
    }
}

/// Most instructions of a function that is inlined before it is optimised.
const SMALL: u32 = 48;

/// The names of all passes that host's passes can stand next to.
pub fn pass_names() -> impl Iterator<Item = &'static str> {
    let all: Vec<&str> = LESS.iter().chain(DEFAULT).map(|pass| pass.name).collect();
    let first = |n: usize| all.iter().position(|name| *name == all[n]) == Some(n);
    (0..all.len()).filter(|&n| first(n)).map(|n| all[n]).collect::<Vec<_>>().into_iter()
}

/// A pass of a list that host's passes may have joined.
struct Step<'a> {
    name: &'a str,
    run: &'a (dyn Fn(&mut Body, &mut PassContext) -> bool + Sync),
    /// Which of the passes it is; 0 for one beyond those that are told apart, which is asked every time.
    bit: u64,
    /// Passes that find nothing new in what it changed.
    leaves: u64,
}

/// The passes of a level with those of a host.
fn steps(level: OptLevel, hooks: &Hooks) -> Vec<Step<'_>> {
    let mut steps = Vec::with_capacity(passes(level).len() + hooks.passes.len());
    for pass in passes(level) {
        let hosts = |wanted: fn(&Place) -> bool| {
            let here = hooks.passes.iter().filter(move |host| host.place.pass() == pass.name);
            let here = here.filter(move |host| wanted(&host.place));
            here.map(|host| {
                let number =
                    hooks.passes.iter().position(|other| other.name == host.name).unwrap_or(usize::MAX);
                let number = u32::try_from(number).ok().and_then(|number| number.checked_add(OWN));
                let bit = number.and_then(|number| 1u64.checked_shl(number)).unwrap_or(0);
                Step { name: &host.name, run: &*host.run, bit, leaves: 0 }
            })
        };
        steps.extend(hosts(|place| matches!(place, Place::Before(_))));
        let before = steps.len();
        steps.extend(hosts(|place| matches!(place, Place::Instead(_))));
        if steps.len() == before {
            steps.push(pass.step());
        }
        steps.extend(hosts(|place| matches!(place, Place::After(_))));
    }
    steps
}

/// Optimises all functions of a unit.
pub fn run(unit: &mut Unit, level: OptLevel, observer: &mut dyn Observer) {
    let mut workers = Workers { own: &mut PassContext::default(), others: &mut [] };
    run_in(&mut workers, unit, level, &Hooks::new(), observer);
}

/// What is found out about a function while it is optimised.
#[derive(Copy, Clone, Default)]
struct Found {
    /// Its size in the end.
    size: u32,
    /// It is not worth optimising before it is part of its callers.
    waits: bool,
    /// Nor are its calls worth copying into it.
    unexpanded: bool,
    /// How many instructions were copied in the unit before it, where others are worked on at once.
    copied: Option<usize>,
}

/// As [`run`], with the tables of earlier runs, on as many threads as there are of them, and with a host's passes.
pub(crate) fn run_in(
    workers: &mut Workers<'_>,
    unit: &mut Unit,
    level: OptLevel,
    hooks: &Hooks,
    observer: &mut dyn Observer,
) {
    let steps = steps(level, hooks);
    let graph = call_graph::bottom_up(unit);
    for ctx in workers.all() {
        ctx.types = unit.types.clone();
        ctx.light = false;
        ctx.inlining.start(0);
    }
    // Without optimisation only what says `inline` is inlined: everything else is too large.
    let size_of = |function: &Function, body: &Body| match level {
        // Nobody calls kernels.
        _ if function.kind == MethodKind::Kernel => u32::MAX,
        OptLevel::None if function.inlining != Inlining::Always => u32::MAX,
        _ => u32::try_from(inline::size(body)).unwrap_or(u32::MAX),
    };
    let mut sizes = SecondaryMap::<Func, u32>::with_capacity(unit.funcs.len());
    for (func, function) in &unit.funcs {
        sizes[func] = size_of(function, &function.body);
    }
    let mut is_entry = SecondaryMap::<Func, bool>::with_capacity(unit.funcs.len());
    unit.entries.iter().for_each(|&entry| is_entry[entry] = true);
    // What is small and inlined everywhere is not worth optimising before it is part of its callers.
    let waits = |inlining: Inlining, func: Func, size: u32| {
        inlining == Inlining::Always && size <= SMALL && !is_entry[func]
    };
    let mut waiting = FxHashSet::default();
    let mut unexpanded = SecondaryMap::<Func, bool>::new();
    // What becomes of a function depends on those that it calls, but for calls inside of a cycle.
    let several = workers.are_several(unit.funcs.len(), observer);
    // One thread takes the groups one function after the other: who copies first does not depend on threads.
    let groups = graph.groups(unit);
    let at_once = if several { unit.funcs.len() } else { 1 };
    let (mut copied, mut calls) = (0, Vec::new());
    let mut items = Vec::new();
    for group in groups.iter().flat_map(|group| group.chunks(at_once)) {
        items.clear();
        items.extend(group.iter().map(|&func| Item::new(func, Found::default())));
        // What all of them copy is bounded, and those that come first take first, whoever works on them.
        for Item { func, found, .. } in items.iter_mut().filter(|_| several) {
            let Function { inlining, body, .. } = &unit.funcs[*func];
            found.copied = Some(copied);
            let expanded = || inline::expanded_size(unit, *func, body, &graph, &sizes);
            if !(waits(*inlining, *func, sizes[*func])
                && expanded().is_some_and(|size| size <= SMALL as usize))
            {
                copied += inline::chosen(unit, *func, body, &graph, &sizes, copied, &mut calls);
            }
        }
        let one = |item: &mut Item<Found>, ctx: &mut PassContext, around: &mut dyn Around| {
            let Item { func, body, found } = item;
            let (func, inlining) = (*func, around.unit().funcs[*func].inlining);
            // Not even what it calls is worth copying into it, if that is no more than it was.
            if waits(inlining, func, sizes[func])
                && let Some(size) = inline::expanded_size(around.unit(), func, body, &graph, &sizes)
                && size <= SMALL as usize
            {
                *found = Found { size: size as u32, waits: true, unexpanded: true, copied: found.copied };
                return;
            }
            if let Some(copied) = found.copied {
                ctx.inlining.start(copied);
            }
            inline_calls(func, body, &graph, &sizes, &unexpanded, ctx, around);
            found.size = size_of(&around.unit().funcs[func], body);
            if waits(inlining, func, found.size) {
                found.waits = true;
                return;
            }
            run_list(func, body, &steps, ctx, around);
            if level > OptLevel::Less {
                let start = around.is_watched().then(Instant::now);
                let changed = inline::run_into_itself(around.unit(), func, body, ctx);
                if let Some(start) = start.filter(|_| changed) {
                    around.report("inline", func, body, start.elapsed(), changed);
                }
                if changed {
                    run_list(func, body, &steps, ctx, around);
                }
            }
            found.size = size_of(&around.unit().funcs[func], body);
            // Much of what later stages would look for is gone.
            body.recount_ops();
        };
        each_function(unit, &mut items, workers, observer, &one);
        for Item { func, found, .. } in items.drain(..) {
            sizes[func] = found.size;
            unexpanded[func] = found.unexpanded;
            if found.waits {
                waiting.insert(unit.funcs[func].name.clone());
            }
        }
    }
    if several {
        workers.own.inlining.start(copied);
    }
    // Some could not be inlined everywhere.
    if !waiting.is_empty() {
        for func in call_graph::alive(unit).into_iter().filter(|&func| unexpanded[func]) {
            each_function(unit, &mut [Item::new(func, ())], workers, observer, &|item, ctx, around| {
                inline_calls(item.func, &mut item.body, &graph, &sizes, &unexpanded, ctx, around);
            });
        }
    }
    call_graph::prune(unit);
    let late = unit.funcs.iter().filter(|(_, function)| waiting.contains(&function.name));
    let mut items: Vec<_> = late.map(|(func, _)| Item::new(func, ())).collect();
    each_function(unit, &mut items, workers, observer, &|item, ctx, around| {
        run_list(item.func, &mut item.body, &steps, ctx, around);
        item.body.recount_ops();
    });
    debug_check(unit);
}

/// Cleans up what lowering left behind. No op appears on a type on which it did not appear before, so that a
/// legal unit stays legal.
pub fn cleanup(unit: &mut Unit, observer: &mut dyn Observer) {
    let funcs: Vec<Func> = unit.funcs.keys().collect();
    let mut workers = Workers { own: &mut PassContext::default(), others: &mut [] };
    cleanup_some(&mut workers, unit, &funcs, observer);
}

/// As [`cleanup`], of these functions.
pub(crate) fn cleanup_some(
    workers: &mut Workers<'_>,
    unit: &mut Unit,
    funcs: &[Func],
    observer: &mut dyn Observer,
) {
    for ctx in workers.all() {
        ctx.types = unit.types.clone();
        ctx.light = true;
    }
    if funcs.is_empty() {
        return;
    }
    let steps: Vec<Step<'_>> = CLEANUP.iter().map(Pass::step).collect();
    let mut items: Vec<_> = funcs.iter().map(|&func| Item::new(func, ())).collect();
    each_function(unit, &mut items, workers, observer, &|item, ctx, around| {
        run_list(item.func, &mut item.body, &steps, ctx, around);
    });
    debug_check(unit);
}

/// In debug builds: passes and stages leave a unit well-formed.
pub(crate) fn debug_check(unit: &Unit) {
    if cfg!(debug_assertions) {
        let problems = verify_unit(unit);
        debug_assert!(problems.is_empty(), "a pass broke the unit: {problems:?}");
        let known = unit.funcs.values().all(|function| function.body.knows_its_ops());
        debug_assert!(known, "an op was changed in a way that the body did not see");
    }
}

/// Inlines calls, and reports it like a pass.
fn inline_calls(
    func: Func,
    body: &mut Body,
    graph: &call_graph::BottomUp,
    sizes: &SecondaryMap<Func, u32>,
    unexpanded: &SecondaryMap<Func, bool>,
    context: &mut PassContext,
    around: &mut dyn Around,
) {
    let start = around.is_watched().then(Instant::now);
    let changed = inline::run_in(around.unit(), func, body, graph, sizes, unexpanded, context);
    if let Some(start) = start {
        around.report("inline", func, body, start.elapsed(), changed);
    }
}

/// Runs passes. One that has nothing to do is not asked again before another one changed something that it looks at.
fn run_list(func: Func, body: &mut Body, list: &[Step<'_>], ctx: &mut PassContext, around: &mut dyn Around) {
    let mut idle = 0u64;
    let wanted = around.is_watched();
    ctx.trusting = true;
    ctx.forget_flow();
    for pass in list {
        if idle & pass.bit != 0 {
            continue;
        }
        let start = wanted.then(Instant::now);
        let changed = (pass.run)(body, ctx);
        let elapsed = start.map(|start| start.elapsed());
        if changed {
            idle &= pass.leaves;
        }
        if !changed || pass.leaves & pass.bit != 0 {
            idle |= pass.bit;
        }
        debug_assert!(ctx.flow_is_right(body), "{} says wrongly that edges stayed", pass.name);
        if let Some(elapsed) = elapsed {
            around.report(pass.name, func, body, elapsed, changed);
        }
    }
    ctx.trusting = false;
}
