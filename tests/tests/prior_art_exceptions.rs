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

/// The devices of this machine that load compiled kernels.
fn launchers() -> Vec<(DeviceKind, Launcher)> {
    let kinds = [DeviceKind::Cpu, DeviceKind::Vulkan, DeviceKind::OpenCl, DeviceKind::Cuda];
    let open = |kind: DeviceKind| match Launcher::open(kind) {
        Ok(launcher) => Some((kind, launcher)),
        Err(reason) => {
            println!("skipped: {}: {reason}", kind.name());
            None
        }
    };
    kinds.into_iter().filter_map(open).collect()
}

const WORDS: usize = 256;

/// Launches four work-items; gives the exception and what the provider noted.
fn launch(launcher: &Launcher, entry: &str, level: DebugLevel) -> (Thrown, Vec<(u32, char, u32)>) {
    let program = program();
    let target = Target::for_device(launcher.device().info(), OptLevel::Default).expect("a target");
    let job = job(&program, entry, level);
    let compiled = compile_with(&program, &job, &target, &Library::new());
    let compiled = Arc::new(compiled.unwrap_or_else(|error| panic!("{entry} at {level:?}: {error}")));
    let int = |value| HostArg::Value(HostValue::scalar(Type::I32, value).expect("an i32"));
    let buffer = |words: usize| HostArg::Buffer { element: Scalar::I32, bytes: vec![0; 4 * words] };
    let mut options = LaunchOptions::default();
    options.inputs.push(("log".into(), buffer(WORDS)));
    let extent = Extent { grid: [1; 3], block: [4, 1, 1] };
    let launched = launcher.launch_with(&compiled, extent, &mut [buffer(4), int(0)], &mut options);
    let Outcome::Threw(thrown) = launched.expect("it runs").outcome else { panic!("nothing was thrown") };
    let HostArg::Buffer { bytes, .. } = &options.inputs[0].1 else { panic!("a buffer") };
    let words: Vec<u32> =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    let letter = |word: u32| char::from_u32(word).unwrap();
    let notes = words[1..].chunks_exact(3).take(words[0] as usize);
    (thrown, notes.map(|note| (note[0], letter(note[1]), note[2])).collect())
}

#[test]
fn t175_the_first_to_throw_reports_every_frame_and_all_signal() {
    for (kind, launcher) in launchers() {
        for level in LEVELS {
            let (thrown, notes) = launch(&launcher, "k", level);
            let signals = notes.iter().filter(|note| note.0 == 3).count();
            assert_eq!(signals, 4, "{} at {level:?}: {notes:?}", kind.name());
            let reports: Vec<_> = notes.into_iter().filter(|note| note.0 != 3).collect();
            let wanted: &[(u32, char, u32)] = match level {
                DebugLevel::None => &[],
                DebugLevel::Lines => &[(1, 'D', 0)],
                DebugLevel::Full => &[(2, 'D', 0), (101, 'q', 3), (102, 'm', 8), (103, 'k', 14)],
            };
            assert_eq!(reports, wanted, "{} at {level:?}", kind.name());
            // What the host learns is the same at every level.
            let names: Vec<&str> = thrown.callers.iter().map(|caller| &*caller.function).collect();
            assert_eq!((&*thrown.kind, &*thrown.function), ("DivideError", "quotient"));
            assert_eq!(names, ["mean", "k"], "{}", kind.name());
            let lines: Vec<_> = thrown.callers.iter().map(|c| c.place.as_ref().map(|p| p.line)).collect();
            assert_eq!(lines, [Some(8), Some(14)]);
            let report = thrown.report(DebugLevel::Full);
            assert!(
                report.contains("\n  in 'quotient', t.mq:3:5\n  called by 'mean', t.mq:8:5\n"),
                "{report}"
            );
            assert!(report.ends_with(" of kernel 'k'"), "{report}");
            assert_eq!(thrown.report(DebugLevel::None).lines().count(), 1);
        }
    }
}

#[test]
fn all_callers_that_may_have_been_it_are_named() {
    for (kind, launcher) in launchers() {
        let (thrown, notes) = launch(&launcher, "several", DebugLevel::Full);
        let reports: Vec<_> = notes.into_iter().filter(|note| note.0 != 3).collect();
        // The frame after the last certain one says that there are several.
        let wanted =
            [(2, 'D', 0), (101, 'q', 3), (102, 'm', 8), (103, 'm', 0), (104, 's', 22), (105, 's', 23)];
        assert_eq!(reports, wanted, "{}", kind.name());
        let lines = thrown.candidates.iter().map(|caller| caller.place.as_ref().map_or(0, |p| p.line));
        assert_eq!(lines.collect::<Vec<usize>>(), [22, 23], "{}", kind.name());
        let shown = thrown.to_string();
        let wanted =
            "called by 'mean', t.mq:8:5; called by one of 'several', t.mq:22:5 or 'several', t.mq:23:5)";
        assert!(shown.contains(wanted), "{shown}");
    }
}

/// What an engine throws for a kernel of two groups of four work-items.
fn thrown(kind: EngineKind, entry: &str, number: u128) -> Option<Thrown> {
    let mut engine = match kind.open(OptLevel::Default) {
        Ok(engine) => engine,
        Err(reason) => {
            println!("skipped: {}: {reason}", kind.name());
            return None;
        }
    };
    let program = program();
    let method = *program.methods_of(entry).first().expect("the kernel");
    engine.load(Arc::new(program));
    let out = HostArg::Buffer { element: Scalar::I32, bytes: vec![0; 32] };
    let number = HostArg::Value(HostValue::scalar(Type::I32, number).expect("an i32"));
    let extent = Extent { grid: [2, 1, 1], block: [4, 1, 1] };
    let outcome = engine.launch(method, extent, &mut [out, number]);
    let outcome = outcome.unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
    // As a host would pass it on.
    Some(*outcome.returned().expect_err("an exception"))
}

#[test]
fn every_engine_tells_which_work_item_of_which_kernel() {
    for kind in EngineKind::ALL {
        for number in [0_u32, 3, 6] {
            let Some(thrown) = thrown(kind, "one", number.into()) else { continue };
            let item = WorkItem { group: [number / 4, 0, 0], local: [number % 4, 0, 0] };
            assert_eq!(thrown.item, Some(item), "{}", kind.name());
            assert_eq!(thrown.kernel.as_deref(), Some("one"), "{}", kind.name());
            let names: Vec<&str> = thrown.callers.iter().map(|caller| &*caller.function).collect();
            assert_eq!((&*thrown.function, &names[..]), ("strike", &["one"][..]), "{}", kind.name());
        }
    }
}

#[test]
fn t079_an_assertion_in_an_inlined_helper_names_both_functions() {
    for kind in EngineKind::ALL {
        let Some(thrown) = thrown(kind, "asserts", 0) else { continue };
        assert_eq!((&*thrown.kind, &*thrown.function), ("AssertionFailed", "checked"), "{}", kind.name());
        assert_eq!(thrown.reason.as_deref(), Some("x is positive"));
        let names: Vec<&str> = thrown.callers.iter().map(|caller| &*caller.function).collect();
        assert_eq!(names, ["asserts"], "{}", kind.name());
    }
}

#[test]
fn an_artifact_tells_what_was_thrown_without_the_program() {
    for (kind, launcher) in launchers() {
        let target = Target::for_device(launcher.device().info(), OptLevel::Default).expect("a target");
        // Everything but what the test holds is gone when the mailbox is read.
        let (entries, places, mailbox) = {
            let program = program();
            let job = job(&program, "far", DebugLevel::None);
            let compiled = compile_with(&program, &job, &target, &Library::new()).expect("it compiles");
            let mut mailbox = [0; Record::BYTES];
            let number = 1 + compiled_site(&compiled, "TooFar") as u32;
            for (word, value) in [(0, number), (1, 1), (2, 5), (5, 3), (8, 41), (10, 2_u32.pow(31))] {
                mailbox[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
            }
            (compiled.entries.clone(), compiled.places().clone(), mailbox)
        };
        let thrown = Thrown::in_mailbox(&entries, &places, &mailbox).expect("an exception");
        assert_eq!(thrown.reason.as_deref(), Some("41 of 2147483648"), "{}", kind.name());
        let item = WorkItem { group: [5, 0, 0], local: [3, 0, 0] };
        assert_eq!((thrown.kernel.as_deref(), thrown.item), (Some("far"), Some(item)));
        let place = thrown.place.as_ref().expect("a place");
        assert_eq!((&*place.file, place.line), ("t.mq", 80));
        let report = thrown.report(DebugLevel::Full);
        assert!(report.contains("\n  in 'go', t.mq:80:5\n  called by 'far', t.mq:89:5\n"), "{report}");
    }
}

/// The number of the place that throws a kind.
fn compiled_site(compiled: &Compiled, kind: &str) -> usize {
    compiled.places().iter().position(|place| &*place.kind == kind).expect("a place that throws it")
}

#[test]
fn operands_of_the_first_to_throw_arrive() {
    for kind in EngineKind::ALL {
        let Some(thrown) = thrown(kind, "far", 1 << 31) else { continue };
        let item = thrown.item.expect("a work-item");
        let id = u64::from(4 * item.group[0] + item.local[0]);
        assert_eq!(thrown.operands[..], [(Type::I32, id), (Type::I64, 1 << 31)], "{}", kind.name());
        assert_eq!(thrown.reason, Some(format!("{id} of {}", 1_u64 << 31)));
    }
}

#[test]
fn a_level_whose_functions_are_missing_is_the_next_lower_one() {
    // By what the provider leaves out, what is told at the full level.
    let cases: [(&[&str], &[&str]); 5] = [
        (&["_exception_frame"], &["report_exception", "signal_exception"]),
        (&["_exception_name"], &["report_exception", "signal_exception"]),
        (&["_exception_frame", "report_exception"], &["signal_exception"]),
        (&["signal_exception"], &["report_exception_name", "report_exception_frame"]),
        (&["_exception_name", "report_exception", "signal_exception"], &[]),
    ];
    for name in DEVICES {
        for (missing, wanted) in cases {
            let mut provider = String::new();
            for method in PROVIDER.split_inclusive("\n}\n") {
                let left_out = |what: &&str| {
                    method.contains(&format!("gpu_{what}("))
                        || what.starts_with('_') && method.contains(&format!("gpu_report{what}("))
                };
                if !missing.iter().any(left_out) {
                    provider.push_str(method);
                }
            }
            let mut program = library::program();
            assert_eq!(text::parse(&mut program, "t.mq", SOURCE), []);
            assert_eq!(text::parse(&mut program, "provider.mq", &provider), []);
            if program.find_table("mine").is_none() {
                assert_eq!(wanted, [""; 0]);
                continue;
            }
            let legal = legal(&program, &job(&program, "k", DebugLevel::Full), name);
            assert_eq!(told(&legal), wanted, "{name} without {missing:?}");
        }
    }
}
