//! Providers, linking, the library that jobs share, and hidden inputs.

use super::link::Linker;
use super::{Library, inputs};
use crate::dispatch::edges::Dependents;
use crate::dispatch::view::View;
use crate::exceptions;
use crate::failure::Failure;
use crate::job::{Job, OptLevel};
use crate::runtime::host::HostPolicy;
use crate::specialise;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::interp::{Config, Ended, Interp, Val};
use marquetry_ir::program::{OpenTable, Program};
use marquetry_ir::text;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::{Verified, verify_unit};

#[track_caller]
fn program(source: &str) -> Program {
    let mut program = marquetry_ir::library::program();
    let problems = text::parse(&mut program, "test.mq", source);
    assert_eq!(problems, []);
    program
}

fn entry(program: &Program, name: &str) -> Method {
    *program.methods_of(name).first().expect("there is an entry")
}

fn provided(program: &Program, name: &str) -> View {
    View::device(&[]).with_provider(&[program.find_table(name).expect("there is a table")])
}

fn job(program: &Program, name: &str, view: View) -> Job {
    Job::new(vec![entry(program, name)], view, OptLevel::Default)
}

/// What is wrong with a job: the message and the notes of its first diagnostic.
#[track_caller]
fn refused(program: &Program, job: &Job) -> String {
    match specialise::run(program, job) {
        Err(Failure::Program(diagnostics)) => {
            let first = diagnostics.first().expect("a diagnostic");
            let file = first.file.and_then(|file| program.files.get(file as usize)).expect("a file");
            format!("{}: {}\n{}", file.name, first.message, first.notes.join("\n"))
        }
        Err(other) => panic!("{other}"),
        Ok(unit) => panic!("was not refused:\n{}", text::print_unit(&unit)),
    }
}

#[track_caller]
fn linked(program: &Program, job: &Job) -> Unit {
    let unit = specialise::run(program, job).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(verify_unit(&unit), []);
    unit
}

const ALLOCATE: &str = "
method inner() -> ptr<global> {
entry:
    p = call malloc(i64 8)
    return p
}
kernel k(out: ptr<global>) {
entry:
    p = call inner()
    a = ptrtoint.i64 p
    store out, a
    return
}
";

#[test]
fn what_a_provider_does_not_supply_is_an_error_that_names_it_and_the_way_there() {
    let mut program = program(ALLOCATE);
    program.table("empty").expect("it is not the library's");
    let message = refused(&program, &job(&program, "k", provided(&program, "empty")));
    let wanted = "the runtime provider (table empty) does not supply gpu_malloc(i64) -> ptr<global>";
    assert!(message.contains(wanted), "{message}");
    let chain = "in function 'inner'\nthrough 'malloc'\ncalled from 'k' at test.mq:9:5";
    assert!(message.contains(chain), "{message}");
    // The author's own call is shown, not the library's.
    assert!(message.starts_with("test.mq: "), "{message}");
    let none = job(&program, "k", View::device(&[]).with_provider(&[]));
    assert!(refused(&program, &none).contains("has no runtime provider"));
    // What is not used may be absent.
    let unused = self::program("kernel k() {\nentry:\n    return\n}\n");
    linked(&unused, &job(&unused, "k", View::device(&[]).with_provider(&[])));
}

#[test]
fn a_provider_with_another_signature_is_an_error_that_names_both() {
    let cases = [
        ("bytes: i64, more: i64", "ptr<global>", "it takes 2 arguments, expected 1"),
        ("bytes: i64", "i64", "its results differ"),
        ("bytes: i64", "(ptr<global>, i1)", "its results differ"),
        ("bytes: f64", "ptr<global>", "argument 1 cannot be converted"),
        ("bytes: i32", "ptr<global>", "argument 1 cannot be converted"),
    ];
    for (params, results, problem) in cases {
        let values = match results {
            "i64" => "i64 0",
            "ptr<global>" => "ptr<global> null",
            _ => "ptr<global> null, i1 true",
        };
        let source = format!(
            "{ALLOCATE}overlay mine method gpu_malloc({params}) -> {results} {{\nentry:\n    return {values}\n}}\n"
        );
        let program = program(&source);
        let message = refused(&program, &job(&program, "k", provided(&program, "mine")));
        assert!(message.contains(problem), "{message}");
        assert!(
            message.contains("gpu_malloc(i64) -> ptr<global>") && message.contains("in table mine"),
            "{message}"
        );
    }
}

#[test]
fn small_differences_of_a_provider_are_bridged() {
    let source = "
kernel k(out: ptr<global>) {
entry:
    p = call print_begin(i32 1, i32 2)
    q = call print_word(p, i64 5)
    return
}
overlay mine method gpu_print_begin(format: i64, words: i32) -> ptr<global> {
entry:
    p = inttoptr.ptr<global> format
    return p
}
overlay mine method gpu_print_word(place: i64, word: i64) -> ptr<global> {
entry:
    p = inttoptr.ptr<global> place
    return p
}
";
    let program = program(source);
    let unit = linked(&program, &job(&program, "k", provided(&program, "mine")));
    let text = text::print_unit(&unit);
    assert!(text.contains("zext.i64") && text.contains("ptrtoint.i64"), "{text}");
}

#[test]
fn a_function_of_the_unit_is_not_taken_for_the_librarys() {
    let source = "overlay mine kernel gpu_local_id(dimension: i32) {\nentry:\n    i = call local_id(dimension)\n    return\n}\n";
    let program = program(source);
    let kernel = *program.methods_of("gpu_local_id").last().expect("the kernel");
    let job = Job::new(vec![kernel], View::device(&[]), OptLevel::Default);
    assert!(refused(&program, &job).contains("has a function 'gpu_local_id' already"));
}

#[test]
fn providers_may_call_each_other_in_circles() {
    let source = "
kernel k(n: i64) {
entry:
    p = call malloc(n)
    return
}
overlay mine method gpu_malloc(bytes: i64) -> ptr<global> noinline {
entry:
    call report_oom(bytes)
    return ptr<global> null
}
overlay mine method gpu_report_oom(bytes: i64) noinline {
entry:
    p = call malloc(bytes)
    return
}
";
    let program = program(source);
    let unit = linked(&program, &job(&program, "k", provided(&program, "mine")));
    assert!(unit.find("gpu_malloc").is_some() && unit.find("gpu_report_oom").is_some());
}

const TWO_KERNELS: &str = "
kernel first(out: ptr<global>) {
entry:
    i = call global_id(i32 0)
    p = index out, i, i64
    store p, i
    return
}
kernel second(out: ptr<global>) {
entry:
    i = call global_id(i32 1)
    store out, i
    return
}
overlay other method helper(x: i64) -> i64 {
entry:
    return x
}
method helper(x: i64) -> i64 {
entry:
    y = add x, i64 1
    return y
}
overlay mine method gpu_local_id(dimension: i32) -> i64 {
entry:
    x = call helper(i64 3)
    return x
}
";

fn link_with(library: &Library, program: &Program, name: &str, view: View) -> specialise::Specialised {
    let job = job(program, name, view);
    let mut linker = Linker::new(program, &job, library);
    specialise::run_linked(&mut linker, &job, &|_| None).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn jobs_that_differ_in_their_kernel_only_share_the_library() {
    let program = program(TWO_KERNELS);
    let library = Library::new();
    let first = link_with(&library, &program, "first", View::device(&[]));
    let (compiled, reused) = library.counts();
    assert_eq!((compiled, reused), (3, 0));
    link_with(&library, &program, "second", View::device(&[]));
    assert_eq!(library.counts(), (3, 3));
    // Another world, in which nothing that matters is different.
    let mut later = program.clone();
    assert_eq!(text::parse(&mut later, "more.mq", "method unrelated() {\nentry:\n    return\n}\n"), []);
    link_with(&library, &later, "first", View::device(&[]));
    assert_eq!(library.counts(), (3, 6));
    // The same bytes as without a library that was there before.
    let again = link_with(&Library::new(), &program, "first", View::device(&[]));
    assert_eq!(text::print_unit(&first.unit), text::print_unit(&again.unit));
}

#[test]
fn what_the_library_depends_on_makes_it_anew() {
    let source = TWO_KERNELS.replace("call global_id(i32 0)", "call local_id(i32 0)");
    let program = program(&source);
    let library = Library::new();
    let view = provided(&program, "mine");
    let made = link_with(&library, &program, "first", view.clone());
    assert_eq!(library.counts(), (1, 0));
    assert_eq!(
        made.linked.iter().map(|i| &*program.method(i.method).name).collect::<Vec<_>>(),
        // What asked is recorded with its look-up, then what the library's function is made of.
        ["first", "gpu_local_id", "helper"]
    );
    // A table of the job's own is asked before base: another view, another library.
    let other = program.open_table("other").expect("a table");
    let overlaid = View::device(&[other]).with_provider(view.provider());
    link_with(&library, &program, "first", overlaid);
    assert_eq!(library.counts(), (2, 0));
    // Redefining what a provider's method calls: kept functions are checked, not trusted, and dependents are found.
    let mut later = program.clone();
    let mut dependents = Dependents::new();
    let world = later.world();
    let types = made.unit.types.clone();
    let ids: Vec<_> = made
        .linked
        .iter()
        .map(|instance| dependents.add(&mut later, &types, &view, instance).expect("related"))
        .collect();
    let helper = *later.methods_of("helper").last().expect("the helper");
    assert_eq!(later.method(helper).table(), Table::BASE);
    let data = later.method(helper).clone();
    later.redefine_method(OpenTable::BASE, data).expect("it can be redefined");
    // What "first" itself looked up has the answers it had; the job depends on all its instances.
    assert_eq!(dependents.invalidated_since(&later, world), ids[1..]);
    link_with(&library, &later, "first", view.clone());
    assert_eq!(library.counts(), (3, 0));
    // The world before still has what it had.
    link_with(&library, &later, "first", view.clone().at(world));
    assert_eq!(library.counts(), (3, 1));
    assert!(made.worlds.contains(program.world()));
}

#[test]
fn host_policies() {
    let source = "
method uses(x: i64) -> i64 {
entry:
    p = call malloc(x)
    a = ptrtoint.i64 p
    return a
}
method prints() {
entry:
    print \"never\"
    print \"nor this\"
    return
}
";
    let program = program(source);
    let view = |policy| View::native(&[]).with_host_policy(policy);
    let run = |name: &str, policy, args: &[Val]| {
        let unit = linked(&program, &job(&program, name, view(policy)));
        let mut interp = Interp::new(&unit, Config::default());
        let ended = interp.call(unit.entries[0], args).expect("it runs");
        assert_eq!(interp.take_printed(), []);
        ended
    };
    let arg = [Val::i64(8)];
    assert_eq!(run("uses", HostPolicy::Sentinel, &arg), Ended::Returned(vec![Val::i64(1)]));
    assert_eq!(run("prints", HostPolicy::Sentinel, &[]), Ended::Returned(vec![]));
    for (name, args, reason) in [("uses", &arg[..], "'malloc' runs"), ("prints", &[], "'print' runs")] {
        match run(name, HostPolicy::Trap, args) {
            Ended::Threw(thrown) => {
                assert_eq!(&*thrown.kind, "DeviceOnlyError");
                assert!(thrown.reason.is_some_and(|r| r.contains(reason)));
            }
            other => panic!("{other:?}"),
        }
        let message = refused(&program, &job(&program, name, view(HostPolicy::Error)));
        assert!(message.contains(reason) && message.contains("code for the host"), "{message}");
    }
    // Compiled by itself, a host body is what it is.
    linked(&program, &job(&program, "malloc", view(HostPolicy::Error)));
    for policy in HostPolicy::ALL {
        assert_eq!(HostPolicy::from_name(policy.name()), Some(policy));
    }
}

#[test]
fn sentinels_are_not_constants() {
    let source = "
method is_null() -> i1 {
entry:
    p = call malloc(i64 8)
    r = eq p, ptr<global> null
    return r
}
";
    let program = program(source);
    let job = job(&program, "is_null", View::native(&[]));
    let mut unit = linked(&program, &job);
    crate::optimise::run(&mut unit, OptLevel::More, &mut crate::observe::Silent);
    let text = text::print_unit(&unit);
    assert!(text.contains("sentinel.ptr<global>") && text.contains("= eq "), "{text}");
}

#[test]
fn host_bodies_have_names_of_their_own() {
    let program = program(ALLOCATE);
    let host = linked(&program, &job(&program, "inner", View::native(&[])));
    assert!(host.find("host_malloc").is_some() && host.find("malloc").is_none());
    let device = linked(&program, &job(&program, "k", View::device(&[])));
    // On devices the link name is called: there is no more to the function.
    assert!(["host_malloc", "malloc"].iter().all(|name| device.find(name).is_none()));
    assert!(device.find("gpu_malloc").is_some());
}

#[test]
fn hidden_inputs_go_where_they_are_used_and_nowhere_else() {
    let source = "
method reads() -> i64 noinline {
entry:
    x = kernel_input.i64 seed
    return x
}
method plain(x: i64) -> i64 noinline {
entry:
    y = add x, i64 1
    return y
}
kernel k(out: ptr<global>) {
entry:
    x = call reads()
    y = call plain(x)
    p = kernel_input.ptr<global> extra
    store p, y
    return
}
kernel none(out: ptr<global>) {
entry:
    y = call plain(i64 1)
    store out, y
    return
}
";
    let program = program(source);
    let entries = ["k", "none"].map(|name| entry(&program, name)).to_vec();
    let job = Job::new(entries, View::device(&[]), OptLevel::Default);
    let mut lowered = exceptions::run(verified(linked(&program, &job))).expect("it is lowered");
    inputs::run(&mut lowered, None).expect("inputs are threaded");
    assert_eq!(verify_unit(&lowered.unit), []);
    let params = |name: &str| {
        let func = lowered.unit.find(name).expect("a function");
        lowered.unit.funcs[func].signature.params.len()
    };
    assert_eq!((params("k"), params("reads"), params("plain"), params("none")), (3, 1, 1, 1));
    let names: Vec<&str> = lowered.entries[0].inputs.iter().map(|input| &*input.name).collect();
    assert_eq!(names, ["extra", "seed"]);
    assert_eq!(lowered.entries[1].inputs, []);
}

#[test]
fn a_hidden_input_has_one_type() {
    let source = "
kernel k() {
entry:
    x = kernel_input.i64 seed
    y = kernel_input.i32 seed
    return
}
";
    let program = program(source);
    let mut lowered =
        exceptions::run(verified(linked(&program, &job(&program, "k", View::device(&[]))))).expect("lowered");
    match inputs::run(&mut lowered, None) {
        Err(Failure::Program(diagnostics)) => {
            assert_eq!(diagnostics[0].message, "hidden input 'seed' has type i32 here, and i64 elsewhere");
        }
        other => panic!("{other:?}"),
    }
}

/// What threading the inputs of a kernel that reads so many says.
fn threaded(count: usize, state: Option<Type>) -> Result<(), Failure> {
    let reads: String = (0..count).map(|n| format!("    v{n} = kernel_input.i32 x{n}\n")).collect();
    let stores: String = (0..count).map(|n| format!("    store p, v{n} volatile\n")).collect();
    let program = program(&format!("kernel k(p: ptr<global>) {{\nentry:\n{reads}{stores}    return\n}}\n"));
    let unit = linked(&program, &job(&program, "k", View::device(&[])));
    let mut lowered = exceptions::run(verified(unit)).expect("it is lowered");
    inputs::run(&mut lowered, state)
}

#[test]
fn hidden_inputs_are_as_many_as_there_may_be_the_state_included() {
    assert!(threaded(64, None).is_ok() && threaded(63, Some(Type::I32)).is_ok());
    for (count, state) in [(64, Some(Type::I32)), (65, None)] {
        let Err(Failure::Limit(limit)) = threaded(count, state) else { panic!("{count} and {state:?}") };
        let diagnostic = limit.diagnostic();
        assert_eq!(diagnostic.message, "65 hidden inputs, the most is 64");
        assert!(diagnostic.span.is_somewhere() && diagnostic.file.is_some());
        assert_eq!(diagnostic.notes, ["in 'k'"]);
    }
}

fn verified(unit: Unit) -> Verified {
    Verified::new(unit).expect("linking keeps units valid")
}
