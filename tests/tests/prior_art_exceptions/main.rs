//! Conformance facts of the prior art that concern exceptions: what becomes of `throw` on each target, what is reported
//! at which debug level, and what arrives at the host. Each test carries its number. That every engine throws the same
//! from the same place is in the filetests, `tests/filetests/control`.
//!
//! | facts | why they are not here |
//! |---|---|
//! | T079 | names in messages of static assertions: `prior_art_validation.rs`; of those at run time, `t079` here |
//! | T098, T143, T145 | state and signals: `prior_art_abi.rs`; here the same at the debug levels that report |
//! | T133, in its letter | there is no execution mask; `t133` states where the trap stands |
//! | T137, its second half | the prior art has no test of arguments of exceptions; those here are in `control/operands.mq` and below |
//! | T155 | what a reporter of its own needs reaches all that allocates: `lower/src/runtime/tests.rs` |

mod launches;

use marquetry::compile::{Compiled, Target, compile_with};
use marquetry::device::DeviceKind;
use marquetry::engine::{EngineKind, Extent, Launcher, Outcome, Thrown};
use marquetry::inputs::LaunchOptions;
use marquetry::library;
use marquetry::value::{HostArg, HostValue};
use marquetry_codegen::native::emit_object;
use marquetry_ir::op::Op;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_ir::types::{Scalar, Type};
use marquetry_ir::unit::Unit;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::exceptions::record::{Record, WorkItem};
use marquetry_lower::job::{DebugLevel, Job, OptLevel, ThrowPolicy};
use marquetry_lower::legal::Legal;
use marquetry_lower::pipeline::{self, Setup};
use marquetry_lower::runtime::Library;
use object::{Object, ObjectSymbol};
use std::sync::Arc;

const DEVICES: [&str; 3] = ["ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1"];
const LEVELS: [DebugLevel; 3] = [DebugLevel::None, DebugLevel::Lines, DebugLevel::Full];

/// A provider that notes what it is told, each time what it was, the first letter of the text and the line.
const PROVIDER: &str = "
method note(what: i32, letter: i8, line: i32) noinline {
entry:
    log = kernel_input.ptr<global> log
    n = rmw_add log, i32 1 relaxed device
    w = zext.i64 n
    offset = mul w, i64 12
    past = add offset, i64 4
    p = ptr_add log, past
    store p, what
    q = ptr_add p, i64 4
    l = zext.i32 letter
    store q, l
    r = ptr_add p, i64 8
    store r, line
    return
}
overlay mine method gpu_report_exception(name: ptr<constant>) {
entry:
    c = load.i8 name
    call note(i32 1, c, i32 0)
    return
}
overlay mine method gpu_report_exception_name(name: ptr<constant>) {
entry:
    c = load.i8 name
    call note(i32 2, c, i32 0)
    return
}
overlay mine method gpu_report_exception_frame(index: i32, function: ptr<constant>, file: ptr<constant>, line: i32) {
entry:
    c = load.i8 function
    what = add index, i32 100
    call note(what, c, line)
    return
}
overlay mine method gpu_signal_exception() {
entry:
    call note(i32 3, i8 0, i32 0)
    return
}
";

const SOURCE: &str = "method quotient(a: i32, b: i32) -> i32 inline {
entry:
    q = div.u a, b
    return q
}
method mean(a: i32, n: i32) -> i32 noinline {
entry:
    m = call quotient(a, n)
    return m
}
kernel k(out: ptr<global>, n: i32) {
entry:
    i = local_id 0
    m = call mean(i, n)
    p = index out, i, i32
    store p, m
    return
}
kernel several(out: ptr<global>, n: i32) {
entry:
    i = local_id 0
    l = call mean(i32 8, n)
    r = call mean(i, n)
    m = add l, r
    p = index out, i, i32
    store p, m
    return
}
kernel one(out: ptr<global>, which: i32) {
entry:
    i = local_id 0
    g = group_id 0
    before = mul g, i32 4
    id = add before, i
    hit = eq id, which
    call strike(hit)
    p = index out, id, i32
    store p, id
    return
}
method strike(hit: i1) noinline {
entry:
    branch hit, fail, fine
fail:
    throw Struck
fine:
    return
}
kernel reads(out: ptr<global>, i: i32) {
entry:
    j = bounds_check i, i32 4
    store out, j
    return
}
method checked(x: i32) inline {
entry:
    fine = gt.s x, i32 0
    assert fine, \"x is positive\"
    return
}
kernel asserts(out: ptr<global>, x: i32) {
entry:
    call checked(x)
    return
}
method divmod(a: i32, b: i32) -> (i32, i32) {
entry:
    q = div.s a, b
    r = rem.s a, b
    return q, r
}
method both(a: i32, b: i32) -> i32 {
entry:
    q, r = call divmod(a, b)
    s = add q, r
    return s
}
method go(id: i32, limit: i64) noinline {
entry:
    throw TooFar, \"%d of %d\", id, limit
}
kernel far(out: ptr<global>, n: i32) {
entry:
    i = local_id 0
    g = group_id 0
    before = mul g, i32 4
    id = add before, i
    w = zext.i64 n
    call go(id, w)
    return
}
";

#[track_caller]
fn program() -> Program {
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "t.mq", SOURCE), []);
    assert_eq!(text::parse(&mut program, "provider.mq", PROVIDER), []);
    program
}

fn target(name: &str) -> Target {
    Target::parse(name, OptLevel::Default).unwrap()
}

#[track_caller]
fn job(program: &Program, entry: &str, level: DebugLevel) -> Job {
    let method = *program.methods_of(entry).first().expect("the entry");
    let mine = program.find_table("mine").expect("the provider");
    let view = View::device(&[]).with_provider(&[mine]);
    let mut job = Job::new(vec![method], view, OptLevel::Default);
    job.options.debug_level = level;
    job
}

#[track_caller]
fn legal(program: &Program, job: &Job, name: &str) -> Legal {
    pipeline::run(program, job, target(name).lowering()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn count(unit: &Unit, op: Op) -> usize {
    let bodies = unit.funcs.values().map(|function| &function.body);
    bodies.map(|b| b.blocks().flat_map(|k| b.block_insts(k)).filter(|&i| b.inst(i).op == op).count()).sum()
}

fn has(unit: &Unit, name: &str) -> bool {
    unit.funcs.values().any(|function| &*function.name == name)
}

/// Which functions of the provider are in the code of a kernel.
fn told(legal: &Legal) -> Vec<&'static str> {
    let all = ["report_exception", "report_exception_name", "report_exception_frame", "signal_exception"];
    all.into_iter().filter(|name| has(legal.unit(), &format!("gpu_{name}"))).collect()
}

#[test]
fn t097_a_division_reports_and_no_throw_is_left() {
    let program = program();
    for name in DEVICES {
        for level in LEVELS {
            let legal = legal(&program, &job(&program, "k", level), name);
            let wanted: &[&str] = match level {
                DebugLevel::None => &["signal_exception"],
                DebugLevel::Lines => &["report_exception", "signal_exception"],
                DebugLevel::Full => &["report_exception_name", "report_exception_frame", "signal_exception"],
            };
            assert_eq!(told(&legal), wanted, "{name} at {level:?}");
            assert_eq!((count(legal.unit(), Op::Throw), count(legal.unit(), Op::Trap)), (0, 0));
            let code = target(name).emit_text(&legal).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!code.contains("trap;"), "{code}");
            // Texts are only there where somebody reads them.
            let texts = legal.unit().globals.values().filter(|g| g.name.starts_with("mq_text")).count();
            assert_eq!(texts > 0, level > DebugLevel::None, "{name} at {level:?}");
        }
    }
}

#[test]
fn t098_a_library_that_is_built_meanwhile_disturbs_nothing() {
    let program = program();
    for name in DEVICES {
        let job = job(&program, "k", DebugLevel::Full);
        let target = target(name);
        let library = Library::new();
        let code = || {
            let setup = Setup::new(target.lowering(), &library);
            let mut context = pipeline::Context::new();
            let made = pipeline::run_recorded(
                &mut context,
                &program,
                &job,
                &setup,
                &mut marquetry_lower::observe::Silent,
            );
            text::print_unit(made.unwrap_or_else(|error| panic!("{name}: {error}")).legal.unit())
        };
        // The first time the library is empty.
        assert_eq!(code(), code(), "{name}");
        assert!(code().contains("gpu_report_exception_name"), "{name}");
    }
}

#[test]
fn t109_a_helper_that_throws_needs_nothing_of_the_host() {
    let program = program();
    let method = *program.methods_of("both").first().expect("the entry");
    let job = Job::new(vec![method], View::native(&[]), OptLevel::Default);
    let legal = legal(&program, &job, "native");
    let Target::Native(native) = target("native") else { panic!("a native target") };
    let artifact = emit_object(&legal, &native).expect("an object");
    let file = object::File::parse(&*artifact.code).expect("an object");
    let undefined: Vec<&str> =
        file.symbols().filter(|s| s.is_undefined()).filter_map(|s| s.name().ok()).collect();
    assert_eq!(undefined, [""; 0]);
}

#[test]
fn t127_a_bounds_error_is_reported_and_signalled() {
    let program = program();
    for name in DEVICES {
        let legal = legal(&program, &job(&program, "reads", DebugLevel::Lines), name);
        assert_eq!(told(&legal), ["report_exception", "signal_exception"], "{name}");
        assert_eq!(&*legal.sites()[0].kind, "BoundsError");
    }
}

#[test]
fn t133_a_trap_stands_behind_a_branch_and_after_the_signal() {
    let program = program();
    for name in DEVICES {
        let mut job = job(&program, "reads", DebugLevel::Full);
        job.options.throws = ThrowPolicy::Trap;
        let legal = legal(&program, &job, name);
        assert_eq!(told(&legal), ["signal_exception"], "{name}");
        let has_trap = name.starts_with("ptx");
        assert_eq!(count(legal.unit(), Op::Trap), usize::from(has_trap), "{name}");
        let code = target(name).emit_text(&legal).unwrap_or_else(|error| panic!("{name}: {error}"));
        if has_trap {
            let kernel = code.split(".entry reads").nth(1).expect("the kernel");
            let [branch, claim, signal, trap] =
                ["bra", "cas", "gpu_signal_exception", "trap;"].map(|word| kernel.find(word).unwrap());
            assert!(branch < claim && claim < signal && signal < trap, "{kernel}");
        }
    }
    // Without a kernel nobody records anything, so the place itself traps.
    let method = *program.methods_of("both").first().expect("the entry");
    let mut job = Job::new(vec![method], View::native(&[]), OptLevel::Default);
    job.options.throws = ThrowPolicy::Trap;
    let unit = legal(&program, &job, "native").into_unit();
    assert!(count(&unit, Op::Trap) >= 2, "{}", text::print_unit(&unit));
}

#[test]
fn t145_the_exit_policy_signals_in_the_kernel_and_reports_nothing() {
    let program = program();
    for name in DEVICES {
        let mut job = job(&program, "k", DebugLevel::Full);
        job.options.throws = ThrowPolicy::Exit;
        let legal = legal(&program, &job, name);
        assert_eq!(told(&legal), ["signal_exception"], "{name}");
        assert!(!has(legal.unit(), "mq_report"), "{name}");
    }
}
