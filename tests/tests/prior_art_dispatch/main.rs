//! Conformance facts of the prior art that concern jobs, look-up, overlays, worlds and calls that cannot be resolved,
//! each as a test that carries its number. T085, T086, T088 and T089 are also tests of the resolver itself, in
//! `lower/src/dispatch/tests.rs`, T100 is with the mangler, `lower/src/specialise/mangle.rs`.
//!
//! Facts up to T089 that cannot apply here, or are tested where they belong:
//!
//! | facts | why |
//! |---|---|
//! | T003, T006, T009, T012, T015, T018, T021, T024, T027, T030, T033, T036, T039, T042, T045, T048, T051, T054, T057, T060, T063, T066, T069, T072, T075, T078, T081, T084, T087 | no facts: the numbers are those of the project's list of conformance facts, which leaves these out |
//! | T010, T025 | objects of the host are no values of the language; what stands for them are words in globals, see `prior_art_references` |
//! | T049 to T070 | `prior_art_references` |
//! | T013, T014, T016, T022 | slots for results in a cache of the host's: the runtime's cache has its own tests; a job has no name, so there is none to differ |
//! | T028 | coverage is the host's: bodies have spans, what hosts count with them is theirs |
//! | T034, T071 | arguments that live in a garbage-collected heap: there are none |
//! | T037 | a calling convention through boxed arguments: the packed entry ABI, see `prior_art_abi.rs` |
//! | T038 | safepoints: there is no collector that could ask for them |
//! | T044 | native code never looks a symbol up that is only called: the linker or the session does |

mod bad_input;
mod unresolved;
mod which;

use marquetry::compile::{Target, compile_artifact};
use marquetry_ir::entity::Method;
use marquetry_ir::interp::{Config, Ended, Interp, Val};
use marquetry_ir::program::{MethodError, OpenTable, Program, Variable, World};
use marquetry_ir::text;
use marquetry_ir::types::{Abstract, Type};
use marquetry_ir::unit::Unit;
use marquetry_lower::dispatch::edges::Dependents;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::resolve_naive;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{Job, JobEntry, OptLevel, Options, Unresolved};
use marquetry_lower::pipeline;
use marquetry_lower::specialise::{self, run_recorded};
use marquetry_lower::stage::Stage;

#[track_caller]
fn program(source: &str) -> Program {
    let mut program = Program::new();
    assert_eq!(text::parse(&mut program, "test.mq", source), []);
    program
}

#[track_caller]
fn method(program: &Program, name: &str) -> Method {
    *program.methods_of(name).first().unwrap_or_else(|| panic!("there is no {name}"))
}

fn job(program: &Program, entry: &str, view: View) -> Job {
    Job::new(vec![method(program, entry)], view, OptLevel::None)
}

/// A method for arguments of these types.
fn instance(method: Method, arguments: &[Type]) -> Job {
    let entries = vec![JobEntry { method, arguments: Some(arguments.into()) }];
    Job { entries, ..Job::new(vec![], View::native(&[]), OptLevel::None) }
}

/// The same job with other options.
fn with(job: &Job, change: impl FnOnce(&mut Options)) -> Job {
    let mut job = job.clone();
    change(&mut job.options);
    job
}

fn native(program: &Program, entry: &str) -> Job {
    job(program, entry, View::native(&[]))
}

#[track_caller]
fn specialised(program: &Program, job: &Job) -> Unit {
    pipeline::specialised(program, job).unwrap_or_else(|error| panic!("{error}")).into_unit()
}

#[track_caller]
fn until(program: &Program, job: &Job, stage: Stage) -> Unit {
    let target = Target::parse("native", job.options.opt_level).unwrap();
    pipeline::run_until(program, job, target.lowering(), stage).unwrap_or_else(|error| panic!("{error}"))
}

/// The messages and notes of a refused job.
#[track_caller]
fn refused(program: &Program, job: &Job) -> Vec<String> {
    match pipeline::specialised(program, job) {
        Ok(_) => panic!("was not refused"),
        Err(Failure::Program(list)) => list
            .into_iter()
            .map(|diagnostic| format!("{} | {}", diagnostic.message, diagnostic.notes.join(" | ")))
            .collect(),
        Err(other) => vec![other.to_string()],
    }
}

#[track_caller]
fn asm(program: &Program, job: &Job, target: &str) -> String {
    let target = Target::parse(target, job.options.opt_level).unwrap();
    let legal = pipeline::run(program, job, target.lowering()).unwrap_or_else(|error| panic!("{error}"));
    target.emit_text(&legal).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn call(unit: &Unit, args: &[Val]) -> Vec<Val> {
    match Interp::new(unit, Config::default()).call(unit.entries[0], args) {
        Ok(Ended::Returned(values)) => values,
        other => panic!("{other:?}"),
    }
}

fn names(unit: &Unit) -> Vec<String> {
    unit.funcs.values().map(|function| function.name.to_string()).collect()
}

const IDENTITY: &str = "method f(x: i32) -> i32 {\nentry:\n    return x\n}\n";

#[test]
fn t001_t002_t029_one_body_with_its_types() {
    let program = program(IDENTITY);
    let unit = specialised(&program, &native(&program, "f"));
    assert_eq!(unit.funcs.len(), 1);
    assert_eq!(unit.entries.len(), 1);
    assert_eq!(unit.funcs[unit.entries[0]].signature.results, [Type::I32]);
}

#[test]
fn t004_t005_t046_every_view_shows_the_symbol_however_often() {
    let program = program(&IDENTITY.replace("method f(", "method noticed("));
    let job = native(&program, "noticed");
    assert!(text::print_unit(&specialised(&program, &job)).contains("method noticed("));
    let first = asm(&program, &job, "native");
    assert!(first.contains("noticed"), "{first}");
    assert_eq!(first, asm(&program, &job, "native"));
}

#[test]
fn t007_t008_types_and_functions_as_arguments_are_constants() {
    let source = "\
method size(t: type f32) -> i32 {\nentry:\n    return i32 4\n}
method apply<F>(f: F, t: type f32) -> i32 {\nentry:\n    r = call f(t)\n    return r\n}
method f() -> i32 {\nentry:\n    r = call apply(fn size, type f32)\n    return r\n}\n";
    let program = program(source);
    let unit = specialised(&program, &native(&program, "f"));
    assert_eq!(names(&unit), ["f", "apply(fn size, type f32)", "size"]);
    assert!(unit.funcs.values().all(|function| function.signature.params.is_empty()), "nothing is passed");
    assert_eq!(call(&unit, &[]), [Val::i32(4)]);
}

#[test]
fn t011_a_reduction_has_one_instance_of_each() {
    let source = "\
method plus<T>(a: T, b: T) -> T noinline {\nentry:\n    r = add a, b\n    return r\n}
method reduce<T>(op: Function, xs: array<T, 4>) -> T {
entry:
    a = get xs, 0
    b = get xs, 1
    c = get xs, 2
    d = get xs, 3
    ab = call op(a, b)
    abc = call op(ab, c)
    abcd = call op(abc, d)
    return abcd
}
method f(x: i32) -> i32 {
entry:
    xs = make.array<i32, 4> x, i32 2, i32 3, i32 4
    r = call reduce(fn plus, xs)
    return r
}\n";
    let program = program(source);
    let unit = specialised(&program, &native(&program, "f"));
    assert_eq!(names(&unit), ["f", "reduce(fn plus, array<i32, 4>)", "plus(i32, i32)"]);
    assert_eq!(call(&unit, &[Val::i32(1)]), [Val::i32(10)]);
}

#[test]
fn t017_equal_jobs_are_equal_and_options_tell_them_apart() {
    let mut program = program(IDENTITY);
    let table = program.table("mine").unwrap();
    let one = native(&program, "f");
    assert_eq!(one, native(&program, "f"));
    let others = [
        with(&one, |options| options.opt_level = OptLevel::More),
        Job { view: View::native(&[table]), ..one.clone() },
        Job { view: View::device(&[]), ..one.clone() },
        Job { view: View::native(&[]).at(World(1)), ..one.clone() },
        with(&one, |options| options.evaluate = false),
        with(&one, |options| options.unresolved = Unresolved::Throw),
        instance(method(&program, "f"), &[Type::I32]),
    ];
    assert!(others.iter().all(|other| *other != one));
}

#[test]
fn t019_variadic_methods_are_found_for_any_number() {
    let source = "\
method count(xs: i32...) -> i32 {\nentry:\n    r = call number(xs...)\n    return r\n}
method number() -> i32 {\nentry:\n    return i32 0\n}
method number(x: i32, xs: i32...) -> i32 {
entry:\n    n = call number(xs...)\n    r = add n, i32 1\n    return r\n}\n";
    let program = program(source);
    for count in 0..4 {
        let arguments = vec![Type::I32; count];
        let answer = look_up(&program, &View::native(&[]), "count", &arguments).answer;
        assert_eq!(answer, Answer::Method(method(&program, "count")));
        let job = instance(method(&program, "count"), &arguments);
        let args = vec![Val::i32(7); count];
        assert_eq!(call(&specialised(&program, &job), &args), [Val::i32(count as i32)]);
    }
}

const OVERLAID: &str = "\
method kernel() -> i32 {\nentry:\n    r = call child()\n    return r\n}
method child() -> i32 {\nentry:\n    return i32 0\n}
overlay mine method child() -> i32 {\nentry:\n    return i32 1\n}\n";

#[test]
fn t020_t085_t047_an_overlay_is_seen_by_its_jobs_only_whatever_was_compiled_before() {
    let program = program(OVERLAID);
    let mine = program.open_table("mine").unwrap();
    let plain = native(&program, "kernel");
    let overlaid = job(&program, "kernel", View::device(&[mine]));
    let run = |job: &Job| call(&specialised(&program, job), &[]);
    assert_ne!(plain, overlaid);
    assert_eq!(run(&plain), [Val::i32(0)]);
    assert_eq!(run(&overlaid), [Val::i32(1)]);
    assert_eq!(run(&plain), [Val::i32(0)], "the host's call is not affected");
    for level in [OptLevel::None, OptLevel::Default] {
        let at = |job: &Job| asm(&program, &with(job, |options| options.opt_level = level), "native");
        let (first, _, again) = (at(&plain), at(&overlaid), at(&plain));
        assert_eq!(first, again);
    }
}

#[test]
fn t023_a_redefined_function_makes_what_was_built_of_it_invalid() {
    let mut program = program(OVERLAID);
    let job = native(&program, "kernel");
    let built = run_recorded(&program, &job).unwrap();
    let mut dependents = Dependents::new();
    for instance in &built.instances {
        dependents.add(&mut program, &built.unit.types, &job.view, instance).unwrap();
    }
    let before = program.world();
    let child = program.method(method(&program, "child")).clone();
    assert_eq!(dependents.invalidated_since(&program, before), []);
    program.redefine_method(OpenTable::BASE, child).unwrap();
    assert_eq!(dependents.invalidated_since(&program, before).len(), 2, "the function and its caller");
    let rebuilt = run_recorded(&program, &job).unwrap();
    assert_eq!(text::print_unit(&built.unit), text::print_unit(&rebuilt.unit));
    assert_eq!(built.worlds.from, World(2), "the overlay, which came last, is not looked at");
    assert_eq!((rebuilt.worlds.from, rebuilt.worlds.until), (program.world(), World::MAX));
}

#[test]
fn t026_kernels_take_empty_structs() {
    let source = "\
struct empty {}
kernel k<E>(e: E, out: ptr<global>) {\nentry:\n    store out, i32 3\n    return\n}\n";
    let program = program(source);
    let empty = program.types.find_struct("empty").unwrap();
    let arguments = [empty, Type::pointer(marquetry_ir::types::Space::Global)];
    let job = Job { view: View::device(&[]), ..instance(method(&program, "k"), &arguments) };
    let unit = specialised(&program, &job);
    assert_eq!(unit.funcs[unit.entries[0]].signature.params.len(), 1);
    assert!(asm(&program, &job, "ptx:sm_80").contains("_Z1k5emptyPU6globalv"));
}

#[test]
fn t031_a_variable_that_nothing_binds_is_an_error() {
    let mut program = Program::new();
    let source = "method f<T>(x: i32) -> i32 {\nentry:\n    return x\n}\n";
    let found = text::parse(&mut program, "test.mq", source);
    assert!(found[0].message.contains("type variable 'T' is in no parameter"), "{found:?}");
    let mut program = self::program(IDENTITY);
    let ty = program.types.variable("T").unwrap();
    let mut data = program.method(method(&program, "f")).clone();
    data.name = "g".into();
    data.variables = vec![Variable { ty, bound: Abstract::ANY }];
    let world = program.world();
    assert_eq!(program.add_method(OpenTable::BASE, data.clone()), Err(MethodError::Unbound(ty)));
    assert_eq!(program.redefine_method(OpenTable::BASE, data), Err(MethodError::Unbound(ty)));
    assert_eq!(program.world(), world, "nothing happened");
}

#[test]
fn t032_t035_t040_calls_of_what_is_not_inlined_survive() {
    let sums: String = (1..200).map(|n| format!("    v{n} = mul v{}, x\n", n - 1)).collect();
    let source = format!(
        "method big(x: i32) -> i32 {{\nentry:\n    v0 = add x, i32 1\n{sums}    return v199\n}}
method child(x: i32) -> i32 noinline {{\nentry:\n    return x\n}}
method parent(x: i32) -> i32 {{\nentry:\n    a = call child(x)\n    b = call big(a)\n    return b\n}}\n"
    );
    let program = program(&source);
    let job = with(&native(&program, "parent"), |options| options.opt_level = OptLevel::Default);
    let printed = text::print_unit(&until(&program, &job, Stage::Optimised));
    assert!(printed.contains("call child(") && printed.contains("call big("), "{printed}");
    let unoptimised = native(&program, "parent");
    assert_eq!(asm(&program, &unoptimised, "native"), asm(&program, &unoptimised, "native"));
}

#[test]
fn t041_what_says_inline_is_no_function_of_its_own() {
    let source = "\
method child(x: i32) -> i32 inline {\nentry:\n    return x\n}
method parent(x: i32) -> i32 {\nentry:\n    a = call child(x)\n    return a\n}\n";
    let program = program(source);
    for opt_level in [OptLevel::None, OptLevel::Default] {
        let job = with(&native(&program, "parent"), |options| options.opt_level = opt_level);
        assert_eq!(names(&until(&program, &job, Stage::Optimised)), ["parent"]);
    }
}

#[test]
fn t043_convergent_ops_survive_inlining_in_their_order() {
    let source = "\
method wait() inline {\nentry:\n    barrier\n    return\n}
kernel k(out: ptr<global>) {\nentry:\n    store out, i32 1\n    call wait()\n    store out, i32 2\n    return\n}\n";
    let program = program(source);
    let job = with(&job(&program, "k", View::device(&[])), |options| options.opt_level = OptLevel::More);
    let printed = text::print_unit(&until(&program, &job, Stage::Optimised));
    let places = ["i32 1", "barrier", "i32 2"].map(|text| printed.find(text).expect(text));
    assert!(places.is_sorted(), "{printed}");
}

#[test]
fn t073_t082_t083_what_cannot_be_resolved_is_named_with_its_callers() {
    let source = "\
method inner(x: f32) {\nentry:\n    unresolved println(x)\n    return\n}
method outer<T>(x: T) {\nentry:\n    call inner(x)\n    call print(x)\n    return\n}
method print(x: i64) {\nentry:\n    return\n}
kernel k(x: f32) {\nentry:\n    call outer(x)\n    call nowhere()\n    return\n}\n";
    let program = program(source);
    for view in [View::native(&[]), View::device(&[])] {
        let found = refused(&program, &job(&program, "k", view));
        let wanted = [
            "call of println(f32) is left unresolved | in function 'inner' | called from 'outer(f32)' at \
             test.mq:8:5 | called from 'k' at test.mq:18:5",
            "no method print(f32) in sight; there is print(i64): argument 1 is f32, expected i64 | in function \
             'outer(f32)' | called from 'k' at test.mq:18:5",
            "no method nowhere() in sight | in function 'k'",
        ];
        assert_eq!(found, wanted);
    }
    let unknown =
        self::program("method f() -> ptr<global> {\nentry:\n    p = address.global x\n    return p\n}\n");
    assert_eq!(refused(&unknown, &native(&unknown, "f")), ["no global 'x' | in function 'f'"]);
}

#[test]
fn t074_t076_t077_t079_assertions_are_checked_after_constants_are_folded() {
    let source = "\
method checked(c: i1) inline {\nentry:\n    static_assert c, \"must hold\"\n    return\n}
method holds() {\nentry:\n    call checked(i1 true)\n    return\n}
method dynamic(c: i1) {\nentry:\n    call checked(c)\n    return\n}
method dead() {\nentry:\n    branch i1 false, never, done\nnever:\n    static_assert i1 false, \"dead\"\n    jump done
done:\n    return\n}\n";
    let program = program(source);
    let compile = |entry: &str, opt_level| {
        let job = with(&native(&program, entry), |options| options.opt_level = opt_level);
        let target = Target::parse("native", opt_level).unwrap();
        compile_artifact(&program, &job, &target).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(compile("dead", OptLevel::Default), Ok(()));
    for level in [OptLevel::None, OptLevel::Default] {
        assert_eq!(compile("holds", level), Ok(()));
        let error = compile("dynamic", level).unwrap_err();
        assert!(error.contains("must hold"), "{error}");
    }
}

#[test]
fn t080_messages_are_literals() {
    let mut program = Program::new();
    let source = "method f(c: i1) {\nentry:\n    static_assert c, c\n    return\n}\n";
    assert!(!text::parse(&mut program, "test.mq", source).is_empty());
}

#[test]
fn t086_an_unrelated_overlay_leaves_everything_static() {
    let source = "\
method isnan(x: f32) -> i1 {\nentry:\n    r = ne x, x\n    return r\n}
overlay mine method isnan(x: f32) -> i1 {\nentry:\n    return i1 false\n}
method down(x: f32) -> f32 {\nentry:\n    r = floor x\n    return r\n}
method both(f: Function, x: array<f32, 2>) -> array<f32, 2> {
entry:\n    a = get x, 0\n    b = get x, 1\n    c = call f(a)\n    d = call f(b)\n    r = make.array<f32, 2> c, d
    return r\n}
kernel k(p: ptr<global>) {
entry:\n    x = load.array<f32, 2> p\n    y = call both(fn down, x)\n    store p, y\n    return\n}\n";
    let program = program(source);
    let mine = program.open_table("mine").unwrap();
    let job = job(&program, "k", View::device(&[mine]));
    let text = asm(&program, &job, "ptx:sm_80");
    assert!(text.contains("cvt.rmi.f32.f32"), "{text}");
}

#[test]
fn t088_t089_stacked_views_agree_and_an_overlay_starts_a_new_range() {
    let mut program = program("method f(x: i32) -> i32 {\nentry:\n    return x\n}\n");
    let [one, two] = ["one", "two"].map(|name| program.table(name).unwrap());
    let views =
        [View::native(&[]), View::native(&[one]), View::native(&[one, two]), View::device(&[one, two])];
    let ask = |program: &Program| {
        views.clone().map(|view| {
            let found = look_up(program, &view, "f", &[Type::I32]);
            assert_eq!(found, resolve_naive::look_up(program, &view, "f", &[Type::I32]));
            found
        })
    };
    let before = ask(&program);
    assert!(before.iter().all(|found| *found == before[0]), "{before:?}");
    let world = program.world();
    let data = program.method(method(&program, "f")).clone();
    let overlay = program.add_method(one, data).unwrap();
    let after = ask(&program);
    assert_eq!(after[0], before[0], "native code is not concerned");
    for found in &after[1..] {
        assert_eq!(found.answer, Answer::Method(overlay));
        assert_eq!((found.worlds.from, found.worlds.until), (World(world.0 + 1), World::MAX));
    }
}
