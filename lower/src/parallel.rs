//! Passes over the functions of a unit on several threads.
//!
//! What becomes of a function depends on it, and on functions that no thread changes meanwhile: which thread takes which
//! function, and when, makes no difference. Observers are told about passes in their order, so whoever has one gets one
//! thread.

use crate::observe::{Observer, PassReport};
use crate::passes::PassContext;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Func;
use marquetry_ir::threads;
use marquetry_ir::unit::Unit;
use std::sync::Mutex;
use std::time::Duration;

/// Functions that a thread takes at once.
const CHUNK: usize = 16;
/// Fewer functions are not worth starting threads for.
const FEW: usize = 4 * CHUNK;

/// The tables of each thread that works.
pub(crate) struct Workers<'a> {
    /// Of the thread that asks.
    pub(crate) own: &'a mut PassContext,
    /// Of those that help it.
    pub(crate) others: &'a mut [PassContext],
}

impl<'a> Workers<'a> {
    /// For so many threads; tables that are missing are made, and kept.
    pub(crate) fn new(own: &'a mut PassContext, others: &'a mut Vec<PassContext>, threads: usize) -> Self {
        let helpers = threads.saturating_sub(1);
        if others.len() < helpers {
            others.resize_with(helpers, PassContext::default);
        }
        Workers { own, others: others.get_mut(..helpers).unwrap_or_default() }
    }
}

impl Workers<'_> {
    /// All tables.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut PassContext> {
        std::iter::once(&mut *self.own).chain(self.others.iter_mut())
    }

    /// Whether several threads work on so many functions.
    pub(crate) fn are_several(&self, functions: usize, observer: &dyn Observer) -> bool {
        !self.others.is_empty() && functions >= FEW && !observer.wants_passes()
    }
}

/// A function that is worked on, its body outside of the unit, and what is found out about it.
pub(crate) struct Item<R> {
    pub(crate) func: Func,
    pub(crate) body: Body,
    pub(crate) found: R,
}

impl<R> Item<R> {
    pub(crate) fn new(func: Func, found: R) -> Self {
        Item { func, body: Body::default(), found }
    }
}

/// What stands around a function that is worked on.
pub(crate) trait Around {
    /// The unit; the function in it has no body.
    fn unit(&self) -> &Unit;

    /// Whether anybody wants reports.
    fn is_watched(&self) -> bool;

    /// A pass is done.
    fn report(&mut self, pass: &str, func: Func, body: &mut Body, elapsed: Duration, changed: bool);
}

/// Nobody watches.
struct Shared<'a>(&'a Unit);

impl Around for Shared<'_> {
    fn unit(&self) -> &Unit {
        self.0
    }

    fn is_watched(&self) -> bool {
        false
    }

    fn report(&mut self, _: &str, _: Func, _: &mut Body, _: Duration, _: bool) {}
}

/// An observer sees the function in its unit.
struct Watched<'a> {
    unit: &'a mut Unit,
    observer: &'a mut dyn Observer,
}

impl Around for Watched<'_> {
    fn unit(&self) -> &Unit {
        self.unit
    }

    fn is_watched(&self) -> bool {
        self.observer.wants_passes()
    }

    fn report(&mut self, pass: &str, func: Func, body: &mut Body, elapsed: Duration, changed: bool) {
        std::mem::swap(&mut self.unit.funcs[func].body, body);
        self.observer.pass(PassReport { pass, unit: self.unit, func, elapsed, changed });
        std::mem::swap(&mut self.unit.funcs[func].body, body);
    }
}

/// What is done to a function.
pub(crate) type Work<'a, R> = &'a (dyn Fn(&mut Item<R>, &mut PassContext, &mut dyn Around) + Sync);

/// Works on functions of a unit, none of which looks at another one of them.
pub(crate) fn each_function<R: Send>(
    unit: &mut Unit,
    items: &mut [Item<R>],
    workers: &mut Workers<'_>,
    observer: &mut dyn Observer,
    work: Work<'_, R>,
) {
    if !workers.are_several(items.len(), observer) {
        for item in items {
            std::mem::swap(&mut unit.funcs[item.func].body, &mut item.body);
            work(item, workers.own, &mut Watched { unit: &mut *unit, observer: &mut *observer });
            std::mem::swap(&mut unit.funcs[item.func].body, &mut item.body);
        }
        return;
    }
    let swap = |unit: &mut Unit, items: &mut [Item<R>]| {
        items.iter_mut().for_each(|item| std::mem::swap(&mut unit.funcs[item.func].body, &mut item.body));
    };
    swap(unit, items);
    {
        let unit: &Unit = unit;
        each(items, workers, &|item, context| work(item, context, &mut Shared(unit)));
    }
    swap(unit, items);
}

/// Does the work for each item, whoever comes first.
fn each<T: Send>(
    items: &mut [T],
    workers: &mut Workers<'_>,
    work: &(dyn Fn(&mut T, &mut PassContext) + Sync),
) {
    let helpers = items.len().div_ceil(CHUNK).saturating_sub(1);
    let chunks = Mutex::new(items.chunks_mut(CHUNK));
    let run = |context: &mut PassContext| {
        // Nothing panics while it is locked.
        while let Some(chunk) = chunks.lock().ok().and_then(|mut chunks| chunks.next()) {
            chunk.iter_mut().for_each(|item| work(item, context));
        }
    };
    threads::beside(workers.others.iter_mut().take(helpers), run, || run(workers.own));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::view::View;
    use crate::hooks::Hooks;
    use crate::job::{Job, OptLevel};
    use crate::observe::Silent;
    use crate::{optimise, specialise};
    use marquetry_ir::program::Program;
    use marquetry_ir::text;
    use std::fmt::Write;

    /// Functions of all inlining policies that call each other, some in cycles, in several layers.
    fn source() -> String {
        let mut text = String::new();
        for n in 0..400usize {
            let inlining = ["", " noinline", " inline"][n % 3];
            let (down, around) = (n / 2, n / 10 * 10 + (n + 3) % 10);
            let around = if n % 20 < 10 { around } else { n / 3 };
            let _ = write!(
                text,
                "method f{n}(x: i32, n: i32) -> i32{inlining} {{\nentry:\n    done = lt.s n, i32 1\n    branch done, low, \
                 high\nlow:\n    q = div.s x, i32 {n}\n    return q\nhigh:\n    m = sub n, i32 1\n    a = call f{down}(x, \
                 m)\n    b = call f{around}(a, m)\n    c = xor b, i32 {n}\n    return c\n}}\n"
            );
        }
        text
    }

    /// What the optimiser makes of a program's methods, but for those that are only called, on so many threads.
    fn optimised(
        source: &str,
        called: impl Fn(u32) -> bool,
        level: OptLevel,
        threads: &[usize],
    ) -> Vec<String> {
        let mut program = Program::new();
        assert_eq!(text::parse(&mut program, "parallel.mq", source), []);
        let entries = program.methods().map(|(method, _)| method).filter(|method| !called(method.as_u32()));
        let job = Job::new(entries.collect(), View::native(&[]), level);
        let unit = specialise::run(&program, &job).expect("a unit");
        let on = |&threads: &usize| {
            let mut unit = unit.clone();
            let mut others: Vec<PassContext> = (1..threads).map(|_| PassContext::default()).collect();
            let mut workers = Workers { own: &mut PassContext::default(), others: &mut others };
            optimise::run_in(&mut workers, &mut unit, level, &Hooks::new(), &mut Silent);
            text::print_unit(&unit)
        };
        threads.iter().map(on).collect()
    }

    #[test]
    fn the_number_of_threads_makes_no_difference() {
        let found = optimised(&source(), |method| method % 4 == 2, OptLevel::Default, &[1, 2, 3, 7]);
        assert!(found[0].len() > 10_000);
        assert!(found.iter().all(|text| *text == found[0]));
    }

    #[test]
    fn nor_does_it_where_no_more_is_inlined() {
        // Chains of functions each of which holds all below it: together more than a unit may copy.
        let mut source = String::new();
        for (chain, n) in (0..3).flat_map(|chain| (0..200).map(move |n| (chain, n))) {
            let _ = writeln!(source, "method g{chain}_{n}(a: i32) -> i32 inline {{\nentry:");
            match n {
                0 => drop(writeln!(source, "    r0 = add a, i32 1")),
                _ => drop(writeln!(source, "    r0 = call g{chain}_{}(a)", n - 1)),
            }
            for k in 0..120 {
                let _ = writeln!(source, "    r{} = mul r{k}, a", k + 1);
            }
            source.push_str("    return r120\n}\n");
        }
        let found = optimised(&source, |_| false, OptLevel::None, &[1, 4]);
        assert!(found[0].contains(" call "), "the limit was not reached");
        assert!(found[0] == found[1]);
    }

    #[test]
    #[should_panic(expected = "thirty")]
    fn what_a_helper_panics_with_arrives() {
        let mut numbers: Vec<u32> = (0..1000).collect();
        let (mut own, mut others) = (PassContext::default(), [PassContext::default()]);
        let mut workers = Workers { own: &mut own, others: &mut others };
        each(&mut numbers, &mut workers, &|number, _| assert!(*number != 30, "thirty"));
    }
}
