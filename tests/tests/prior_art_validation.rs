//! Conformance facts of the prior art that concern validation, each as a test that carries its number; the table of rules
//! in the documentation of `lower/src/validate`, each row shown to be true; and that what a job becomes does not depend on
//! what was compiled before.
//!
//! Facts from T071 to T083 that cannot apply here:
//!
//! | facts | why |
//! |---|---|
//! | T072, T075, T078, T081 | no facts: the numbers are those of the project's list of conformance facts, which leaves these out |
//! | T071, in its letter | there are no integers that live on a heap; what no host can hand over here is an address of memory that lives as long as a kernel |
//! | T083, in its letter | methods are always specialised; a call is left to run time by an op of its own |

use marquetry::compile::{Target, compile_artifact_with};
use marquetry::library;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::Method;
use marquetry_ir::op::Op;
use marquetry_ir::program::{Program, World};
use marquetry_ir::text;
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;
use marquetry_lower::runtime::Library;
use marquetry_lower::target::{Action, Caps, Target as Lowering, TypeAction};

#[track_caller]
fn program(source: &str) -> Program {
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    program
}

fn method(program: &Program, name: &str) -> Method {
    *program.methods_of(name).first().unwrap_or_else(|| panic!("there is no {name}"))
}

fn target(name: &str) -> Target {
    Target::parse(name, OptLevel::Default).expect("a target")
}

fn view(name: &str) -> View {
    if name == "native" { View::native(&[]) } else { View::device(&[]) }
}

fn lowered(program: &Program, entry: &str, name: &str, level: OptLevel) -> Result<(), Failure> {
    let job = Job::new(vec![method(program, entry)], view(name), level);
    pipeline::run(program, &job, target(name).lowering()).map(drop)
}

/// What is wrong with `k` of a text.
#[track_caller]
fn refused(source: &str, name: &str, level: OptLevel) -> Vec<Diagnostic> {
    match lowered(&program(source), "k", name, level) {
        Err(Failure::Program(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

/// A diagnostic with its notes on one line.
fn line(problem: &Diagnostic) -> String {
    let mut parts = vec![format!("{}: {}", problem.code, problem.message)];
    parts.extend(problem.notes.iter().cloned());
    parts.join(" | ")
}

#[track_caller]
fn check(problems: &[Diagnostic], wanted: &[&str]) {
    let found: Vec<String> = problems.iter().map(line).collect();
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        wanted.split(" .. ").for_each(|part| assert!(found.contains(part), "{found}\nlacks {part}"));
    }
}

const TILE: &str = "struct row { x: f32, p: ptr<shared> }
struct tile { rows: array<row, 4>, n: i32 }
kernel k(t: tile, n: i32, q: ptr<local>) {
entry:
    return
}
";

#[test]
fn t071_an_argument_that_no_host_can_hand_over() {
    for name in ["ptx", "spirv:vulkan1.3", "native"] {
        check(
            &refused(TILE, name, OptLevel::None),
            &[
                "D0004: kernel argument 1 is of type tile, which is not plain data | in function 'k' | .rows is of type \
                 array<row, 4>, which is not plain data |   [] is of type row, which is not plain data |     .p is of \
                 type ptr<shared>, which is not plain data | plain data are",
                "D0004: kernel argument 3 is of type ptr<local>, which is not plain data | in function 'k' | plain data",
            ],
        );
    }
}

#[test]
fn t073_an_unknown_function_and_the_calls_that_lead_there() {
    let source = "method println(x: i32) {
entry:
    call write_out(x)
    return
}
kernel k(x: i32) {
entry:
    call println(x)
    return
}
";
    let wanted =
        "D0001: no method write_out(i32) in sight | in function 'println' | called from 'k' at t.mq:8:5";
    check(&refused(source, "ptx", OptLevel::None), &[wanted]);
}

/// A kernel that asserts what stands in a text.
fn asserts(body: &str) -> String {
    format!("kernel k(n: i32) {{\nentry:\n{body}\n    return\n}}\n")
}

#[test]
fn t074_an_assertion_that_holds_leaves_nothing() {
    let program = program(&asserts("    static_assert i1 true, \"always\""));
    lowered(&program, "k", "ptx", OptLevel::None).expect("it compiles");
}

#[test]
fn t076_an_assertion_about_an_argument() {
    let source = asserts("    c = eq n, i32 1\n    static_assert c, \"one\"");
    for level in [OptLevel::None, OptLevel::Default] {
        check(&refused(&source, "ptx", level), &["L0002: static assertion failed: one"]);
    }
}

#[test]
fn t077_an_assertion_that_control_cannot_get_to() {
    let source = "kernel k(n: i32) {
entry:
    branch i1 false, never, done
never:
    static_assert i1 false, \"never\"
    jump done
done:
    return
}
";
    for level in [OptLevel::None, OptLevel::Default] {
        let found = lowered(&program(source), "k", "ptx", level);
        assert!(found.is_ok(), "{found:?}");
    }
}

const HELPED: &str = "method helper(n: i32) inline {
entry:
    c = lt.s n, i32 4
    static_assert c, \"too small\"
    return
}
kernel k(n: i32) {
entry:
    call helper(n)
    return
}
";

#[test]
fn t079_an_assertion_in_an_inlined_function() {
    for level in [OptLevel::None, OptLevel::Default] {
        let problems = refused(HELPED, "ptx", level);
        check(&problems, &["L0002: static assertion failed: too small .. 'helper' .. 'k'"]);
    }
}

#[test]
fn t080_a_message_is_a_literal() {
    let mut program = library::program();
    let problems = text::parse(&mut program, "t.mq", &asserts("    static_assert i1 true, n"));
    assert_eq!(problems.first().map(|problem| problem.code), Some(Code::Syntax), "{problems:?}");
}

#[test]
fn t082_an_undefined_global() {
    let source = asserts("    p = address.constant nosuch");
    check(&refused(&source, "ptx", OptLevel::None), &["D0001: no global 'nosuch' | in function 'k'"]);
}

#[test]
fn t083_a_call_that_is_left_to_run_time() {
    let source = asserts("    unresolved half(n)");
    let wanted = "D0001: call of half(i32) is left unresolved | in function 'k'";
    check(&refused(&source, "ptx", OptLevel::None), &[wanted]);
}

/// The rows of the documented table: rule, code, message.
fn documented() -> Vec<(String, String, String)> {
    let source = include_str!("../../lower/src/validate/mod.rs");
    let rows = source.lines().filter(|line| line.starts_with("//! | V"));
    rows.map(|row| {
        let mut cells =
            row.trim_start_matches("//! | ").split(" | ").map(|cell| cell.trim_matches(['|', ' ']));
        let mut next = || cells.next().unwrap_or_default().to_owned();
        let (rule, _, code, message) = (next(), next(), next(), next());
        (rule, code, message)
    })
    .collect()
}

/// A target on which two ops are made of each other.
struct Circular(Target);

impl Lowering for Circular {
    fn name(&self) -> String {
        "circular".into()
    }

    fn caps(&self) -> &Caps {
        self.0.lowering().caps()
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        self.0.lowering().type_action(ty)
    }

    fn action(&self, op: Op, from: Type, to: Type) -> Action {
        match op {
            Op::Select => Action::Expand,
            Op::Zext | Op::Sext if from == Type::I1 => Action::Expand,
            _ => self.0.lowering().action(op, from, to),
        }
    }
}

/// A target of someone outside, without `f64`.
struct Narrow(Target);

impl Lowering for Narrow {
    fn name(&self) -> String {
        "narrow".into()
    }

    fn caps(&self) -> &Caps {
        self.0.lowering().caps()
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        match ty.lane() {
            Some(Scalar::F64) => TypeAction::Unsupported("its registers have 32 bits"),
            _ => self.0.lowering().type_action(ty),
        }
    }

    fn action(&self, op: Op, from: Type, to: Type) -> Action {
        self.0.lowering().action(op, from, to)
    }
}

/// An example of a rule: what kind of error, and all that is said.
fn example(rule: &str) -> (String, String) {
    let ptx = |source: &str| first(&refused(source, "ptx:sm_75", OptLevel::Default));
    let first_of_job = |program: &Program, view: View| {
        let job = Job::new(vec![method(program, "k")], view, OptLevel::None);
        match pipeline::run(program, &job, target("ptx").lowering()) {
            Err(Failure::Program(problems)) => first(&problems),
            Err(Failure::Job(message)) => ("job".into(), message),
            other => panic!("{rule}: {other:?}"),
        }
    };
    match rule {
        "V1" => ptx(&asserts("    r = call add(n, n)")),
        "V2" => parsed("method k<T>(x: i32) {\nentry:\n    return\n}\n"),
        "V3" => parsed("kernel k(x: i32) -> i32 {\nentry:\n    return x\n}\n"),
        "V4" => first_of_job(&program("method k<T>(x: T) {\nentry:\n    return\n}\n"), View::device(&[])),
        "V6" => ptx(TILE),
        "V7" => {
            let program = program(&asserts(""));
            first_of_job(&program, View::device(&[]).at(World(program.world().0 - 1)))
        }
        "V8" => ptx(&asserts("    p = call gpu_maloc(i64 8)")),
        "V9" => {
            ptx(&("extern func abs(i32) -> i32 as \"abs\"\n".to_owned() + &asserts("    a = call abs(n)")))
        }
        "V10" => ptx(&asserts("    p = inttoptr.ptr<generic> i64 4096\n    call_indirect p(n)")),
        "V13" => ptx(&asserts("    p = address.constant nosuch")),
        "V14" => ptx(&asserts("    unresolved half(n)")),
        "V15" => ptx(HELPED),
        "V16" => {
            let source = "kernel k(p: ptr<global>) {\nentry:\n    x = load.f64 p\n    y = mul x, x\n    store p, y\n    \
                          return\n}\n";
            let program = program(source);
            let job = Job::new(vec![method(&program, "k")], View::device(&[]), OptLevel::Default);
            match pipeline::run(&program, &job, &Narrow(target("ptx"))) {
                Err(Failure::Program(problems)) => first(&problems),
                other => panic!("{other:?}"),
            }
        }
        "V19" => {
            let source = "method k(c: i1, x: i8) -> i64 {\nentry:\n    y = zext.i64 x\n    z = select c, y, i64 5\n    \
                          return z\n}\n";
            let program = program(source);
            let job = Job::new(vec![method(&program, "k")], View::native(&[]), OptLevel::Default);
            match pipeline::run(&program, &job, &Circular(target("native"))) {
                Err(Failure::Internal(message)) => ("internal".into(), message),
                other => panic!("{other:?}"),
            }
        }
        "V20" => {
            let source = "overlay other method gpu_malloc(a: f32, b: f32) -> ptr<global> {\nentry:\n    return \
                          ptr<global> null\n}\n";
            let program = program(&(source.to_owned() + &asserts("    p = call malloc(i64 8)")));
            let other = program.find_table("other").expect("a table");
            first_of_job(&program, View::device(&[]).with_provider(&[other]))
        }
        "V21" => {
            let source = "kernel k(p: ptr<global>) {\nentry:\n    a = kernel_input.i32 x\n    b = kernel_input.i64 x\n    \
                          store p, a\n    store p, b\n    return\n}\n";
            ptx(source)
        }
        "V24" => match Target::parse("ptx:sm_11", OptLevel::Default) {
            Err(error) => ("option".into(), error.to_string()),
            Ok(_) => panic!("a target"),
        },
        _ => panic!("no example of {rule}"),
    }
}

fn first(problems: &[Diagnostic]) -> (String, String) {
    let problem = problems.first().expect("a problem");
    (problem.code.to_string(), line(problem))
}

fn parsed(source: &str) -> (String, String) {
    let mut program = Program::new();
    let mut problems = text::parse(&mut program, "t.mq", source);
    problems.extend(marquetry::check(&program));
    first(&problems)
}

#[test]
fn every_rule_is_what_the_table_says() {
    let rows = documented();
    let rules: Vec<String> = (1..=24).map(|n| format!("V{n}")).collect();
    assert_eq!(rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>(), rules);
    let mut wrong = Vec::new();
    for (rule, code, message) in rows {
        if code == "-" {
            assert!(message.len() > 20, "{rule}: no reason");
            continue;
        }
        let (found_code, found) = example(&rule);
        if found_code != code || !found.contains(&message) {
            wrong.push(format!("{rule}: found {found_code}: {found}\n    expected {code}: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const MANY: &str = "method half(x: f32) -> f32 {
entry:
    r = mul x, f32 0.5
    return r
}
kernel k(n: i32, p: ptr<local>) {
entry:
    a = call half(n)
    b = call half(a)
    c = call half(b)
    q = address.constant nosuch
    call k(n, p)
    return
}
";

#[test]
fn all_problems_at_once_and_what_follows_is_folded() {
    check(
        &refused(MANY, "ptx", OptLevel::Default),
        &[
            "D0004: kernel argument 2",
            "D0001: no global 'nosuch'",
            "D0001: no method half(i32) .. 2 other calls that need its results are not reported",
            "D0001: 'k' is a kernel: kernels are launched, not called",
        ],
    );
}

#[test]
fn assertions_and_what_the_target_lacks_come_together() {
    let source = "extern func abs(i32) -> i32 as \"abs\"
kernel k(n: i32) {
entry:
    static_assert i1 false, \"first\"
    a = call abs(n)
    p = inttoptr.ptr<generic> i64 4096
    call_indirect p(n)
    return
}
";
    for level in [OptLevel::None, OptLevel::Default] {
        let wanted = ["L0002: static assertion failed: first", "D0005: ", "L0001: .. cannot call 'abs'"];
        check(&refused(source, "ptx", level), &wanted);
    }
}

const OVERLAID: &str = "method work(n: i32) noinline {
entry:
    return
}
overlay mine method work(n: i32) noinline {
entry:
    p = inttoptr.ptr<generic> i64 4096
    call_indirect p(n)
    a = call abs(n)
    b = call abs(n)
    return
}
extern func abs(i32) -> i32 as \"abs\"
kernel k(n: i32) {
entry:
    call work(n)
    return
}
";

#[test]
fn the_way_to_a_problem_names_the_tables_that_decided() {
    let program = program(OVERLAID);
    let mine = program.open_table("mine").expect("a table");
    for level in [OptLevel::None, OptLevel::Default] {
        let job = Job::new(vec![method(&program, "k")], View::device(&[mine]), level);
        let Err(Failure::Program(problems)) = pipeline::run(&program, &job, target("ptx").lowering()) else {
            panic!("it should be refused");
        };
        let way = "in function 'work' (overlay of table 'mine') .. called from 'k' at t.mq:16:5";
        let calls = format!("L0001: .. cannot call 'abs' .. {way}");
        check(&problems, &[&format!("D0005: .. {way}"), &calls, &calls]);
    }
    // Through base alone nothing is wrong.
    lowered(&program, "k", "ptx", OptLevel::Default).expect("it compiles");
}

/// What a job becomes, or what is wrong with it.
fn outcome(program: &Program, entry: &str, name: &str, library: &Library) -> Result<Vec<u8>, String> {
    let job = Job::new(vec![method(program, entry)], view(name), OptLevel::Default);
    match compile_artifact_with(program, &job, &target(name), library) {
        Ok(artifact) => Ok(artifact.code),
        Err(error) => {
            let problems = error.diagnostics().unwrap_or_default();
            Err(problems.iter().map(line).collect::<Vec<_>>().join("\n") + &error.to_string())
        }
    }
}

#[test]
fn the_result_does_not_depend_on_what_was_compiled_before() {
    let source = "kernel first(n: i64, out: ptr<global>) {
entry:
    p = call malloc(n)
    i = call global_id(i32 0)
    q = ptrtoint.i64 p
    place = index out, i, i64
    store place, q
    return
}
kernel second(n: i32, out: ptr<global>) {
entry:
    i = call global_id(i32 0)
    d = div.s i32 100, n
    p = call malloc(i64 16)
    store p, d
    place = index out, i, i32
    store place, d
    return
}
kernel wrong(n: i32, p: ptr<shared>) {
entry:
    a = call missing(n)
    b = call malloc(n)
    return
}
";
    let program = program(source);
    for name in ["ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1", "native"] {
        let entries = ["first", "second", "wrong"];
        let alone = entries.map(|entry| outcome(&program, entry, name, &Library::new()));
        assert!(alone[0].is_ok() && alone[1].is_ok() && alone[2].is_err(), "{name}: {alone:?}");
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
            let library = Library::new();
            for n in order.into_iter().chain(order) {
                let found = outcome(&program, entries[n], name, &library);
                assert!(found == alone[n], "{name}: '{}' depends on what came before", entries[n]);
            }
        }
    }
}
