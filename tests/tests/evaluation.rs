//! Compile-time evaluation, with overlays present: what is computed during compilation, what is not, and that it makes no
//! difference.

use marquetry::compile::Target;
use marquetry_ir::entity::Table;
use marquetry_ir::interp::{Config, Ended, Interp, Val};
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_ir::unit::Unit;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::effects::{self, FuncEffects};
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;
use marquetry_lower::stage::Stage;
use std::fmt::Write;

#[track_caller]
fn program(source: &str) -> Program {
    let mut program = Program::new();
    assert_eq!(text::parse(&mut program, "test.mq", source), [], "{source}");
    program
}

fn job(program: &Program, view: View, evaluate: bool) -> Job {
    let entry = *program.methods_of("main").first().expect("there is main");
    let mut job = Job::new(vec![entry], view, OptLevel::Default);
    job.options.evaluate = evaluate;
    job
}

#[track_caller]
fn optimised(program: &Program, view: View, evaluate: bool) -> Unit {
    let target = Target::parse("native", OptLevel::Default).unwrap();
    let job = job(program, view, evaluate);
    let unit = pipeline::run_until(program, &job, target.lowering(), Stage::Optimised);
    unit.unwrap_or_else(|error| panic!("{error}"))
}

fn run(unit: &Unit, args: &[Val]) -> Result<Ended, String> {
    Interp::new(unit, Config::default()).call(unit.entries[0], args).map_err(|fault| fault.to_string())
}

const FIBONACCI: &str = "\
method fib(n: i32) -> i32 noinline {
entry:
    small = lt.s n, i32 2
    branch small, done(n), more
more:
    a = sub n, i32 1
    b = sub n, i32 2
    x = call fib(a)
    y = call fib(b)
    z = add x, y
    return z
done(r: i32):
    return r
}
method main() -> i32 {\nentry:\n    r = call fib(i32 15)\n    return r\n}\n";

fn printed(program: &Program, view: View, evaluate: bool) -> String {
    text::print_unit(&optimised(program, view, evaluate))
}

#[test]
fn pure_calls_with_constant_arguments_are_computed() {
    let program = program(FIBONACCI);
    let on = printed(&program, View::native(&[]), true);
    assert!(on.contains("return i32 610") && !on.contains("call"), "{on}");
    let off = printed(&program, View::native(&[]), false);
    assert!(off.contains("call fib(i32 15)"), "{off}");
}

#[test]
fn b7_an_overlay_blocks_what_may_reach_it_and_a_consistent_one_does_not() {
    let overlay = |attribute: &str| {
        format!(
            "overlay mine method step(n: i32) -> i32 noinline{attribute} {{\nentry:\n    r = add n, i32 1\n    return r\n}}\n"
        )
    };
    let common = "\
method step(n: i32) -> i32 noinline {\nentry:\n    r = add i32 1, n\n    return r\n}
method twice(n: i32) -> i32 noinline {\nentry:\n    a = call step(n)\n    b = call step(a)\n    return b\n}
method other(n: i32) -> i32 noinline {\nentry:\n    a = mul n, n\n    return a\n}
method main() -> i32 {
entry:
    a = call twice(i32 5)
    b = call other(i32 5)
    c = add a, b
    return c
}\n";
    let plain = program(&format!("{common}{}", overlay("")));
    let consistent = program(&format!("{common}{}", overlay(" consistent")));
    let mine = |program: &Program| View::device(&[program.open_table("mine").unwrap()]);
    let blocked = printed(&plain, mine(&plain), true);
    assert!(blocked.contains("call twice(i32 5)"), "{blocked}");
    assert!(!blocked.contains("call other"), "what does not reach it is computed: {blocked}");
    assert!(printed(&consistent, mine(&consistent), true).contains("return i32 32"));
    // Jobs that do not see the overlay are not concerned.
    assert!(printed(&plain, View::native(&[]), true).contains("return i32 32"));
    assert!(printed(&plain, View::device(&[]), true).contains("return i32 32"));
}

#[test]
fn a_sentinel_never_folds() {
    let source = "\
method size() -> i64 noinline {\nentry:\n    r = call global_size(i32 0)\n    return r\n}
method one() -> i64 noinline {\nentry:\n    return i64 1\n}
method main() -> i64 {\nentry:\n    a = call size()\n    b = call one()\n    r = add a, b\n    return r\n}\n";
    // What a native job sees of the device functions are bodies that stand for what only devices can do.
    let mut program = marquetry::library::program();
    assert_eq!(text::parse(&mut program, "test.mq", source), []);
    let found = printed(&program, View::native(&[]), true);
    assert!(found.contains("call size()") && !found.contains("call one()"), "{found}");
}

#[test]
fn what_has_effects_stays() {
    let source = "\
global counter: i32 in global
method count(n: i32) -> i32 noinline {
entry:\n    p = address.global counter\n    x = load.i32 p\n    y = add x, n\n    store p, y\n    return y\n}
method throws(n: i32) -> i32 noinline {\nentry:\n    r = div.s i32 1, n\n    return r\n}
method endless(n: i32) -> i32 noinline {\nentry:\n    jump on(n)\non(i: i32):\n    j = add i, i32 2\n    c = eq j, i32 1\n    branch c, off, on(j)\noff:\n    return j\n}
method own(n: i32) -> i32 noinline {
entry:\n    s = slot.array<i32, 2>\n    p = index s, i64 1, i32\n    store p, n\n    x = load.i32 p\n    return x\n}
method main(c: i1) -> i32 {
entry:
    a = call count(i32 1)
    b = call own(i32 2)
    d = add a, b
    branch c, then, done
then:
    e = call throws(i32 0)
    f = call endless(i32 0)
    g = call throws(i32 1)
    jump done
done:
    return d
}\n";
    let program = program(source);
    let found = printed(&program, View::native(&[]), true);
    for call in ["call count(i32 1)", "call throws(i32 0)", "call endless(i32 0)"] {
        assert!(found.contains(call), "{call}: {found}");
    }
    assert!(!found.contains("call own") && !found.contains("call throws(i32 1)"), "{found}");
}

#[test]
fn effects_are_derived_to_a_fixed_point() {
    let source = "\
extern func host(i32) -> i32 as \"host\"
global data: i32 in global
method pure(x: i32) -> i32 {\nentry:\n    y = add x, x\n    return y\n}
method throws(x: i32) -> i32 {\nentry:\n    y = div.s x, x\n    return y\n}
method reads() -> i32 {\nentry:\n    p = address.global data\n    x = load.i32 p\n    return x\n}
method writes() {\nentry:\n    p = address.global data\n    store p, i32 1\n    return\n}
method outside(x: i32) -> i32 {\nentry:\n    y = call host(x)\n    return y\n}
method even(x: i32) -> i32 {\nentry:\n    y = call odd(x)\n    return y\n}
method odd(x: i32) -> i32 {\nentry:\n    y = call even(x)\n    z = call throws(y)\n    return z\n}
method main(x: i32) -> i32 {
entry:
    a = call pure(x)
    b = call even(a)
    c = call reads()
    call writes()
    d = call outside(c)
    return d
}\n";
    let program = program(source);
    let unit = pipeline::specialised(&program, &job(&program, View::native(&[]), true)).unwrap().into_unit();
    let found = effects::find(&unit, |_| FuncEffects::PURE);
    let of = |name: &str| format!("{:?}", found[unit.find(name).unwrap()]);
    assert_eq!(of("pure"), "pure");
    assert_eq!(of("throws"), "throws");
    assert_eq!(of("reads"), "reads");
    assert_eq!(of("writes"), "writes");
    assert_eq!(of("outside"), "reads writes outside");
    assert_eq!(of("even"), "throws nontotal");
    assert_eq!(of("odd"), "throws nontotal");
    assert_eq!(of("main"), "reads writes throws nontotal outside");
}

/// Numbers that look random, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Functions that call each other with constants and parameters, loop and throw; some have overlays, which say truly or
/// not at all that they are consistent.
fn random_program(random: &mut Random) -> String {
    let mut out = String::new();
    let count = 3 + random.below(5);
    for n in 0..count {
        let mut body = String::from("    v0 = add x, y\n");
        let mut last = 0;
        for v in 1..2 + random.below(6) {
            let operand = |random: &mut Random| match random.below(4) {
                0 => format!("i32 {}", random.below(9) as i64 - 4),
                1 => "x".to_string(),
                2 => "y".to_string(),
                _ => format!("v{}", random.below(v)),
            };
            let (a, b) = (operand(random), operand(random));
            let line = match random.below(7) {
                0 if n > 0 => {
                    format!("call f{}(i32 {}, i32 {})", random.below(n), random.below(5), random.below(5))
                }
                1 if n > 0 => format!("call f{}({a}, {b})", random.below(n)),
                2 => format!("div.s v0, {b}"),
                3 => format!("mul v0, {b}"),
                4 => format!("sub {a}, v0"),
                5 => format!("xor v0, {a}"),
                _ => format!("rem.u v0, {b}"),
            };
            let _ = writeln!(body, "    v{v} = {line}");
            last = v;
        }
        let inlining = ["", " noinline", " inline"][random.below(3) as usize];
        let _ = writeln!(
            out,
            "method f{n}(x: i32, y: i32) -> i32{inlining} {{\nentry:\n{body}    return v{last}\n}}"
        );
        match random.below(4) {
            0 => {
                let _ = writeln!(
                    out,
                    "overlay mine method f{n}(x: i32, y: i32) -> i32 {{\nentry:\n    r = sub y, x\n    return r\n}}"
                );
            }
            1 => {
                let _ = writeln!(
                    out,
                    "overlay mine method f{n}(x: i32, y: i32) -> i32 consistent {{\nentry:\n{body}    return v{last}\n}}"
                );
            }
            _ => {}
        }
    }
    let mut body = String::from("    t0 = add a, i32 0\n");
    for n in 0..count {
        let arguments = match random.below(3) {
            0 => format!("t{n}, i32 2"),
            _ => format!("i32 {}, i32 {}", random.below(7), random.below(7)),
        };
        let _ = writeln!(body, "    c{n} = call f{n}({arguments})\n    t{} = xor t{n}, c{n}", n + 1);
    }
    let _ = writeln!(out, "method main(a: i32) -> i32 {{\nentry:\n{body}    return t{count}\n}}");
    out
}

#[test]
fn evaluation_makes_no_difference() {
    let mut random = Random(7);
    let (mut fewer, mut threw) = (0, 0);
    for _ in 0..150 {
        let source = random_program(&mut random);
        let mut program = program(&source);
        let mine = program.table("mine").unwrap();
        for view in [View::native(&[]), View::device(&[]), View::native(&[mine]), View::device(&[mine])] {
            let unoptimised =
                pipeline::specialised(&program, &job(&program, view.clone(), false)).unwrap().into_unit();
            let on = optimised(&program, view.clone(), true);
            let off = optimised(&program, view.clone(), false);
            fewer += usize::from(text::print_unit(&on) != text::print_unit(&off));
            for a in [0, 1, -3, 1000] {
                let wanted = run(&unoptimised, &[Val::i32(a)]);
                let strip = |ended: Result<Ended, String>| match ended {
                    Ok(Ended::Threw(thrown)) => Err(thrown.kind.to_string()),
                    Ok(Ended::Returned(values)) => Ok(values),
                    Err(fault) => Err(fault),
                };
                threw += usize::from(matches!(wanted, Ok(Ended::Threw(_))));
                let wanted = strip(wanted);
                assert_eq!(strip(run(&on, &[Val::i32(a)])), wanted, "with evaluation, {a}: {source}");
                assert_eq!(strip(run(&off, &[Val::i32(a)])), wanted, "without evaluation, {a}: {source}");
            }
        }
        assert!(program.tables().any(|table| table == Table::BASE));
    }
    assert!(fewer > 50 && threw > 50, "{fewer} programs changed, {threw} runs threw");
}
