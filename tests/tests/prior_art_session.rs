//! Facts about jobs, configs, caches, worlds, deferred jobs and questions to the target, each named by its number in the
//! catalogue of what such compilers must do. Those of the same sections that have no test here:
//!
//! | facts | why |
//! |---|---|
//! | T001 - T007 | there is one kind of view, a unit in the language itself, at any stage: see `T004` and `marq compile --stage` |
//! | T008, T010, T025 | host objects are no values of the language |
//! | T023 | the library is methods of the program: a redefinition of one is an ordinary change, see `T023` |
//! | T026, T029 | filetests `dispatch/structs.mq` and every function that returns something |
//! | T028 | code coverage of the host language |
//! | T034 | arrays of the host are pointers |
//! | T037 | the packed entry ABI: see `prior_art_abi.rs` |
//! | T038 | no safepoints |
//! | T043 | convergence is a property of ops, not an attribute that can be lost |
//! | T044 | symbols are looked up when code is made; those that are missing are all named at once |
//! | T046 | see `T035` |
//! | T095 | no target has a stack space that pointers are cast from |

use marquetry::compile::{Compiled, Form, Target};
use marquetry::engine::{EngineError, EngineKind, Extent, Launcher, Outcome};
use marquetry::session::{Backend, Config, Job, Session, SessionError, Watcher};
use marquetry::value::{HostArg, HostValue};
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::hooks::{Anchor, Deferred, Place};
use marquetry_lower::job::{DebugLevel, EntryConvention, InlinePolicy, JobEntry, OptLevel};
use marquetry_lower::observe::{Observer, PassReport};
use marquetry_lower::query::Answer;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

fn target(text: &str) -> Target {
    Target::parse(text, OptLevel::Default).unwrap()
}

fn native(session: &Session) -> Config {
    session.add_backend(Backend::new("native", target("native"))).unwrap()
}

fn int(value: i32) -> HostArg {
    HostArg::Value(HostValue::scalar(Type::I32, value as u32 as u128).unwrap())
}

fn call(code: &Compiled, args: &[i32]) -> i32 {
    let mut args: Vec<HostArg> = args.iter().map(|&value| int(value)).collect();
    match code.call(&mut args).unwrap() {
        Outcome::Returned(results) => results[0].lanes()[0] as u32 as i32,
        Outcome::Threw(thrown) => panic!("{thrown}"),
    }
}

fn constant(name: &str, value: i32) -> String {
    format!("method {name}() -> i32 noinline {{\nentry:\n    return i32 {value}\n}}\n")
}

fn caller(name: &str, callee: &str) -> String {
    format!("method {name}() -> i32 {{\nentry:\n    r = call {callee}()\n    return r\n}}\n")
}

/// What was compiled and what was closed, by the name of the method.
#[derive(Default)]
struct Log {
    compiled: AtomicUsize,
    closed: AtomicUsize,
}

impl Watcher for Log {
    fn compiled(&self, _: &Job, _: Duration) {
        self.compiled.fetch_add(1, Ordering::SeqCst);
    }

    fn invalidated(&self, _: &JobEntry, _: &Config) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn t004_a_stage_shows_the_function() {
    let session = Session::new();
    session.define("t.mq", &caller("parent", "child")).unwrap();
    session.define("t.mq", &constant("child", 1)).unwrap();
    let mut config = native(&session);
    config.form = Form::Object;
    let code = session.compile(&session.job("parent", &config).unwrap()).unwrap();
    assert_eq!(&*code.entry().unwrap().symbol, "parent");
    let object = &code.artifact().unwrap().code;
    assert!(object.windows(6).any(|bytes| bytes == b"parent"));
}

#[test]
fn t011_functions_as_arguments_give_one_instance_each() {
    let session = Session::new();
    let config = native(&session);
    session
        .define(
            "t.mq",
            "method inc(x: i32) -> i32 noinline {\nentry:\n    y = add x, i32 1\n    return y\n}\n
             method twice<F>(f: F, x: i32) -> i32 noinline {\nentry:\n    a = call f(x)\n    b = call f(a)\n    return b\n}\n
             method main(x: i32) -> i32 {\nentry:\n    a = call twice(fn inc, x)\n    b = call twice(fn inc, a)\n    return b\n}\n",
        )
        .unwrap();
    struct Count(Vec<String>);
    impl Observer for Count {
        fn pass(&mut self, report: PassReport<'_>) {
            if report.pass == "inline" {
                self.0.push(report.function().into());
            }
        }
    }
    let mut count = Count(Vec::new());
    let job = session.job("main", &config).unwrap();
    let code = session.compile_observed(&job, &mut count).unwrap();
    assert_eq!(call(&code, &[5]), 9);
    assert_eq!(count.0.len(), 3, "{:?}", count.0);
}

#[derive(Default, Debug)]
struct Attached(Mutex<u32>);

#[derive(Default, Debug)]
struct Other(Mutex<u32>);

#[test]
fn t013_t014_t015_results_exist_once_the_job_is_prepared() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &constant("f", 1)).unwrap();
    let job = session.job("f", &config).unwrap();
    assert!(session.results::<Attached>(&job).is_none());
    session.prepare(&job).unwrap();
    let first = session.results::<Attached>(&job).unwrap();
    assert_eq!(*first.0.lock().unwrap(), 0);
    *first.0.lock().unwrap() = 7;
    assert!(Arc::ptr_eq(&first, &session.results::<Attached>(&job).unwrap()));
    // Two consumers have a value each, and compiling keeps both.
    *session.results::<Other>(&job).unwrap().0.lock().unwrap() = 8;
    session.compile(&job).unwrap();
    assert!(Arc::ptr_eq(&first, &session.results::<Attached>(&job).unwrap()));
    assert_eq!(session.statistics().compilations, 1);
}

#[test]
fn t016_t017_identity_is_the_value_of_the_config() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &constant("f", 1)).unwrap();
    let job = session.job("f", &config).unwrap();
    session.prepare(&job).unwrap();
    let first = session.results::<Attached>(&job).unwrap();

    let mut named = config.clone();
    named.options.name = Some("other".into());
    let other = Job { config: named, ..job.clone() };
    assert!(session.results::<Attached>(&other).is_none());
    let code = session.compile(&other).unwrap();
    assert_eq!(&*code.entry().unwrap().symbol, "other");
    assert!(!Arc::ptr_eq(&first, &session.results::<Attached>(&other).unwrap()));

    // From scratch, and equal.
    let again = Job { config: Backend::new("native", target("native")).config(), ..job.clone() };
    assert_eq!(again, job);
    assert!(Arc::ptr_eq(&first, &session.results::<Attached>(&again).unwrap()));

    let differ: [fn(&mut Config); 9] = [
        |config| config.options.entry_abi = EntryConvention::Packed,
        |config| config.options.state = Some(Type::I32),
        |config| config.options.opt_level = OptLevel::None,
        |config| config.options.debug_level = DebugLevel::Full,
        |config| config.options.inlining = InlinePolicy::Always,
        |config| config.tables.push("extra".into()),
        |config| config.params = marquetry::session::Params::new(1),
        |config| config.device = true,
        |config| config.form = Form::Object,
    ];
    for change in differ {
        let mut other = config.clone();
        change(&mut other);
        assert!(session.results::<Attached>(&Job { config: other, ..job.clone() }).is_none());
    }
}

#[test]
fn a3_parts_of_other_artifacts_are_not_finished_apart() {
    let session = Session::new();
    let mut config = native(&session);
    config.options.optimize = true;
    config.options.name = Some("mine".into());
    let nested = config.nested();
    assert!(!nested.is_toplevel() && config.is_toplevel());
    let options = &nested.options;
    assert_eq!((options.optimize, options.cleanup, options.validate), (false, false, false));
    assert_eq!(options.name, None);
}

#[test]
fn t019_jobs_of_methods_with_variables_and_packs() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", "method first<T>(x: T, rest: Any...) -> T {\nentry:\n    return x\n}\n").unwrap();
    let job = session.job("first(i32, i64, f32)", &config).unwrap();
    session.prepare(&job).unwrap();
    assert!(session.results::<Attached>(&job).is_some());
    assert!(session.results::<Attached>(&session.job("first(i32)", &config).unwrap()).is_none());
    let code = session.compile(&session.job("first(i32)", &config).unwrap()).unwrap();
    assert_eq!(call(&code, &[3]), 3);
    assert!(matches!(session.job("first", &config), Err(SessionError::NotFound(_))));
}

#[test]
fn t020_t085_t107_configs_with_other_tables_share_nothing() {
    let session = Session::new();
    let plain = native(&session);
    let mut backend = Backend::new("overlaid", target("native"));
    backend.tables(&["mine"]);
    let overlaid = session.add_backend(backend).unwrap();
    let text =
        format!("{}{}overlay mine {}", caller("parent", "child"), constant("child", 0), constant("child", 1));
    session.define("t.mq", &text).unwrap();
    let (a, b) = (session.job("parent", &plain).unwrap(), session.job("parent", &overlaid).unwrap());
    session.prepare(&a).unwrap();
    session.prepare(&b).unwrap();
    let (of_a, of_b) = (session.results::<Attached>(&a).unwrap(), session.results::<Attached>(&b).unwrap());
    assert!(!Arc::ptr_eq(&of_a, &of_b));
    for _ in 0..2 {
        assert_eq!(call(&session.compile(&a).unwrap(), &[]), 0);
        assert_eq!(call(&session.compile(&b).unwrap(), &[]), 1);
    }
}

#[test]
fn t022_wiping_empties_what_was_marked_and_nothing_else() {
    let session = Session::new();
    let config = native(&session);
    let mut sibling = config.clone();
    sibling.options.opt_level = OptLevel::None;
    session.define("t.mq", &constant("f", 1)).unwrap();
    let job = session.job("f", &config).unwrap();
    let other = Job { config: sibling, ..job.clone() };
    assert!(!session.mark_session_dependent(&job));
    for job in [&job, &other] {
        session.compile(job).unwrap();
        *session.results::<Attached>(job).unwrap().0.lock().unwrap() = 5;
    }
    assert!(session.mark_session_dependent(&job));
    assert_eq!(session.wipe_session_dependent(), 1);
    assert_eq!(*session.results::<Attached>(&job).unwrap().0.lock().unwrap(), 0);
    assert_eq!(*session.results::<Attached>(&other).unwrap().0.lock().unwrap(), 5);
    assert_eq!(session.wipe_session_dependent(), 0);
    session.compile(&other).unwrap();
    assert_eq!(session.statistics().compilations, 2);
    session.compile(&job).unwrap();
    assert_eq!(session.statistics().compilations, 3);
}

#[test]
fn t023_the_library_is_part_of_the_program() {
    let session = Session::new();
    let config = session.add_backend(Backend::cpu_device("cpu", target("native"))).unwrap();
    let kernel = "kernel k(out: ptr<global>) {\nentry:\n    i = call global_id(i32 0)\n    store out, i\n    return\n}\n";
    session.define("t.mq", kernel).unwrap();
    let job = session.job("k", &config).unwrap();
    session.compile(&job).unwrap();
    // The real body is in the device table, which is nobody's to change; the host's body is not what the kernel sees.
    let host = "method global_id(dimension: i32) -> i64 {\nentry:\n    return i64 9\n}\n";
    session.redefine("t.mq", host).unwrap();
    session.compile(&session.job("k", &config).unwrap()).unwrap();
    assert_eq!(session.statistics().compilations, 1);
    let private = format!("overlay device {host}");
    assert!(matches!(session.redefine("t.mq", &private), Err(SessionError::Definition(_))));
}

#[test]
fn t032_t040_t041_inlining_is_policy() {
    let big: String = (0..200).map(|n| format!("    v{} = mul v{n}, x\n", n + 1)).collect();
    let text = format!(
        "method big(x: i32) -> i32 {{\nentry:\n    v0 = add x, i32 1\n{big}    return v200\n}}\n
         method never(x: i32) -> i32 noinline {{\nentry:\n    return x\n}}\n
         kernel main(out: ptr<global>, x: i32) {{\nentry:\n    a = call big(x)\n    b = call never(a)\n    store out, b\n    return\n}}\n"
    );
    let session = Session::new();
    let mut config = session.add_backend(Backend::new("ptx", target("ptx:sm_80"))).unwrap();
    session.define("t.mq", &text).unwrap();
    let text_of = |config: &Config| {
        let code = session.compile(&session.job("main", config).unwrap()).unwrap();
        String::from_utf8(code.artifact().unwrap().code.clone()).unwrap()
    };
    let functions = |text: &str| text.matches(".func").count();
    let plain = text_of(&config);
    assert!(plain.contains("never") && plain.contains("big"), "{plain}");
    config.options.inlining = InlinePolicy::Always;
    let inlined = text_of(&config);
    assert!(inlined.contains("never") && !inlined.contains("big"), "{inlined}");
    assert!(functions(&inlined) < functions(&plain));
}

#[test]
fn t031_an_unbound_variable_is_an_error_even_of_functions() {
    let session = Session::new();
    let config = native(&session);
    let text = "method f<T>(x: i32) -> i32 {\nentry:\n    p = slot.T\n    return x\n}\n";
    let refused = match session.define("t.mq", text) {
        Err(_) => true,
        Ok(()) => session.job("f(i32)", &config).and_then(|job| session.compile(&job)).is_err(),
    };
    assert!(refused);
}

#[test]
fn t035_t046_the_same_job_gives_the_same_bytes() {
    let bytes = || {
        let session = Session::new();
        let config = session.add_backend(Backend::new("ptx", target("ptx:sm_80"))).unwrap();
        session.define("t.mq", KERNEL).unwrap();
        let job = session.job("saxpy", &config).unwrap();
        let first = session.compile(&job).unwrap().artifact().unwrap().code.clone();
        let again = session.compile_observed(&job, &mut marquetry_lower::observe::Silent).unwrap();
        assert_eq!(again.artifact().unwrap().code, first);
        first
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn t047_device_code_does_not_change_what_the_host_calls() {
    let session = Session::new();
    let host = native(&session);
    let mut gpu = Backend::new("gpu", target("ptx:sm_80"));
    gpu.tables(&["gpu_overlays"]);
    let gpu = session.add_backend(gpu).unwrap();
    let text = format!(
        "{}overlay gpu_overlays {}kernel k(out: ptr<global>) {{\nentry:\n    x = call shared()\n    store out, x\n    return\n}}\n",
        constant("shared", 4),
        constant("shared", 5)
    );
    session.define("t.mq", &text).unwrap();
    let code = session.compile(&session.job("k", &gpu).unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&code.artifact().unwrap().code).contains('5'));
    assert_eq!(call(&session.compile(&session.job("shared", &host).unwrap()).unwrap(), &[]), 4);
}

#[test]
fn m3_a_change_recompiles_what_it_concerns_and_nothing_else() {
    let log = Arc::new(Log::default());
    let session = Session::new().watched(log.clone());
    let config = native(&session);
    let text = [
        caller("top", "middle"),
        caller("middle", "leaf"),
        constant("leaf", 1),
        caller("apart", "other"),
        constant("other", 10),
    ]
    .concat();
    session.define("t.mq", &text).unwrap();
    let value = |name: &str| call(&session.compile(&session.job(name, &config).unwrap()).unwrap(), &[]);
    assert_eq!((value("top"), value("apart")), (1, 10));
    let compiled = || log.compiled.load(Ordering::SeqCst);
    assert_eq!(compiled(), 2);
    // The world advances for something else.
    session.define("t.mq", &constant("unrelated", 3)).unwrap();
    assert_eq!((value("top"), value("apart"), compiled()), (1, 10, 2));
    assert_eq!(log.closed.load(Ordering::SeqCst), 0);
    // A callee's callee.
    session.redefine("t.mq", &constant("leaf", 2)).unwrap();
    assert_eq!(log.closed.load(Ordering::SeqCst), 1);
    assert_eq!((value("top"), value("apart"), compiled()), (2, 10, 3));
    // Another method of the same function that no look-up meant.
    session.define("t.mq", "method leaf(x: f32) -> i32 {\nentry:\n    return i32 0\n}\n").unwrap();
    assert_eq!((value("top"), compiled()), (2, 3));
    // A deletion.
    let leaf = session.snapshot().methods_of("leaf")[0];
    assert!(session.delete(leaf).unwrap());
    let job = session.job("top", &config).unwrap();
    assert!(matches!(session.compile(&job), Err(SessionError::Compile(EngineError::Program(_)))));
    assert_eq!(value("apart"), 10);
}

#[test]
fn t089_an_overlay_where_a_look_up_missed_is_a_change() {
    let session = Session::new();
    let mut backend = Backend::new("overlaid", target("native"));
    backend.tables(&["upper", "lower"]);
    let config = session.add_backend(backend).unwrap();
    let plain = native(&session);
    let text = [caller("parent", "child"), constant("child", 0)].concat();
    session.define("t.mq", &text).unwrap();
    let value =
        |config: &Config| call(&session.compile(&session.job("parent", config).unwrap()).unwrap(), &[]);
    assert_eq!((value(&config), value(&plain)), (0, 0));
    let before = session.world();
    session.define("t.mq", &format!("overlay lower {}", constant("child", 1))).unwrap();
    assert_eq!((value(&config), value(&plain)), (1, 0));
    assert_eq!(session.statistics().compilations, 3);
    session.define("t.mq", &format!("overlay upper {}", constant("child", 2))).unwrap();
    assert_eq!((value(&config), value(&plain)), (2, 0));
    // A table that no config lists.
    session.define("t.mq", &format!("overlay nobodys {}", constant("child", 3))).unwrap();
    assert_eq!((value(&config), value(&plain)), (2, 0));
    assert_eq!(session.statistics().compilations, 4);
    let old = Job { world: before, ..session.job("parent", &config).unwrap() };
    assert_eq!(call(&session.compile(&old).unwrap(), &[]), 0);
    assert_eq!(session.statistics().compilations, 4);
}

#[test]
fn b9_a_pinned_job_is_compiled_the_same_for_ever() {
    let session = Session::new();
    let config = session.add_backend(Backend::new("ptx", target("ptx:sm_80"))).unwrap();
    session.define("t.mq", KERNEL).unwrap();
    let job = session.job("saxpy", &config).unwrap();
    let bytes = |job: &Job| session.compile(job).unwrap().artifact().unwrap().code.clone();
    let first = bytes(&job);
    session.redefine("t.mq", &KERNEL.replace("add p, vy", "sub p, vy")).unwrap();
    let new = session.job("saxpy", &config).unwrap();
    assert_ne!(bytes(&new), first);
    assert_eq!(bytes(&job), first);
    // Also when it is compiled only now, after everything that has changed since.
    let observed = session.compile_observed(&job, &mut marquetry_lower::observe::Silent).unwrap();
    assert_eq!(observed.artifact().unwrap().code, first);
    let never = Job { world: new.world, ..job.clone() };
    assert!(session.compile(&never).is_err(), "the old method is not of the new world");
}

#[test]
fn relations_between_types_are_a_change() {
    let session = Session::new();
    let config = native(&session);
    let text = "abstract Real\nimpl f32 : Real\n
                method kind(x: Any) -> i32 {\nentry:\n    return i32 0\n}\n
                method kind(x: Real) -> i32 {\nentry:\n    return i32 1\n}\n
                method ask(x: i32) -> i32 {\nentry:\n    r = call kind(x)\n    return r\n}\n";
    session.define("t.mq", text).unwrap();
    let old = session.job("ask", &config).unwrap();
    assert_eq!(call(&session.compile(&old).unwrap(), &[5]), 0);
    session.define("t.mq", "impl i32 : Real\n").unwrap();
    let new = session.job("ask", &config).unwrap();
    assert_ne!(old.world, new.world);
    assert_eq!(call(&session.compile(&new).unwrap(), &[5]), 1);
    let again = session.compile_observed(&old, &mut marquetry_lower::observe::Silent).unwrap();
    assert_eq!(call(&again, &[5]), 0);
}

#[test]
fn a_wrong_definition_changes_nothing() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &constant("f", 1)).unwrap();
    let world = session.world();
    let broken = format!("{}method g() -> i32 {{\nentry:\n    return f32 1.0\n}}\n", constant("f2", 2));
    assert!(matches!(session.define("t.mq", &broken), Err(SessionError::Definition(_))));
    assert!(matches!(session.define("t.mq", &constant("f", 2)), Err(SessionError::Definition(_))));
    assert_eq!(session.world(), world);
    assert!(session.job("f2", &config).is_err());
    assert_eq!(call(&session.compile(&session.job("f", &config).unwrap()).unwrap(), &[]), 1);
}

#[test]
fn m6_threads_that_want_the_same_get_the_same() {
    let log = Arc::new(Log::default());
    let session = Session::new().watched(log.clone());
    let config = native(&session);
    session.define("t.mq", &constant("f", 1)).unwrap();
    let job = session.job("f", &config).unwrap();
    let start = Barrier::new(8);
    let codes: Vec<Arc<Compiled>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    session.compile(&job).unwrap()
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    assert!(codes.iter().all(|code| Arc::ptr_eq(code, &codes[0])));
    assert_eq!(log.compiled.load(Ordering::SeqCst), 1);
}

/// Readers compile and run while a writer redefines what they call: every answer is one that was right once, and never an
/// older one than the thread saw before.
#[test]
fn m6_readers_and_a_writer() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &[caller("top", "leaf"), constant("leaf", 0)].concat()).unwrap();
    const ROUNDS: i32 = 40;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (mut last, start) = (0, std::time::Instant::now());
                while last < ROUNDS {
                    assert!(start.elapsed().as_secs() < 60, "{last} is seen for ever");
                    let code = session.compile(&session.job("top", &config).unwrap()).unwrap();
                    let value = call(&code, &[]);
                    assert!(value >= last, "{value} after {last}");
                    last = value;
                }
            });
        }
        for value in 1..=ROUNDS {
            session.redefine("t.mq", &constant("leaf", value)).unwrap();
        }
    });
    // Code that is held outlives what the session knows.
    let code = session.compile(&session.job("top", &config).unwrap()).unwrap();
    session.redefine("t.mq", &constant("leaf", 99)).unwrap();
    session.forget_before(session.world());
    assert_eq!(call(&code, &[]), ROUNDS);
    assert_eq!(call(&session.compile(&session.job("top", &config).unwrap()).unwrap(), &[]), 99);
}

const KERNEL: &str = "kernel saxpy(n: i64, a: f32, x: ptr<global>, y: ptr<global>) {
entry:
    i = call global_id(i32 0)
    inside = lt.s i, n
    branch inside, body, done
body:
    px = index x, i, f32
    py = index y, i, f32
    vx = load.f32 px
    vy = load.f32 py
    p = mul a, vx
    r = add p, vy
    store py, r
    jump done
done:
    return
}
";

#[test]
fn one_kernel_for_three_targets_and_a_launch() {
    let session = Session::new();
    session.define("saxpy.mq", KERNEL).unwrap();
    let cpu = session.add_backend(Backend::cpu_device("cpu", target("native"))).unwrap();
    let ptx = session.add_backend(Backend::new("ptx", target("ptx:sm_90"))).unwrap();
    let vulkan = session.add_backend(Backend::new("vulkan", target("spirv:vulkan1.3"))).unwrap();
    let code = |config: &Config| session.compile(&session.job("saxpy", config).unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&code(&ptx).artifact().unwrap().code).contains(".entry saxpy"));
    assert_eq!(code(&vulkan).artifact().unwrap().code[..4], 0x0723_0203_u32.to_le_bytes());
    let buffer = |value: f32| HostArg::Buffer { element: Scalar::F32, bytes: value.to_le_bytes().repeat(8) };
    let scalar = |ty, bits| HostArg::Value(HostValue::scalar(ty, bits).unwrap());
    let mut args = [scalar(Type::I64, 6), scalar(Type::F32, 2f32.to_bits().into()), buffer(3.0), buffer(1.0)];
    let launcher = Launcher::open(marquetry::device::DeviceKind::Cpu).unwrap();
    let extent = Extent { grid: [2, 1, 1], block: [4, 1, 1] };
    launcher.launch(&code(&cpu), extent, &mut args).unwrap();
    let HostArg::Buffer { bytes, .. } = &args[3] else { panic!() };
    let values: Vec<f32> = bytes.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(values, [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 1.0, 1.0]);
}

#[test]
fn a9_hooks_run_at_their_anchors_and_are_seen() {
    let session = Session::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut backend = Backend::new("native", target("native"));
    for anchor in Anchor::ALL {
        let order = order.clone();
        backend.hook(anchor, anchor.name(), move |context| {
            assert!(context.unit.find("f").is_some());
            order.lock().unwrap().push(anchor);
            Ok(())
        });
    }
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    backend
        .pass(Place::After("cse".into()), "mine", move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            false
        })
        .unwrap();
    let unknown = backend.pass(Place::Before("nonsense".into()), "x", |_, _| false).unwrap_err();
    assert!(unknown.to_string().contains("simplify_cfg"), "{unknown}");
    let config = session.add_backend(backend).unwrap();
    session.define("t.mq", &constant("f", 1)).unwrap();
    let job = session.job("f", &config).unwrap();
    #[derive(Default)]
    struct Seen(Vec<String>);
    impl Observer for Seen {
        fn pass(&mut self, report: PassReport<'_>) {
            self.0.push(report.pass.into());
        }
        fn hook(&mut self, anchor: Anchor, _: &str, _: &marquetry_ir::unit::Unit, _: Duration) {
            self.0.push(anchor.name().into());
        }
    }
    let mut seen = Seen::default();
    session.compile_observed(&job, &mut seen).unwrap();
    assert_eq!(*order.lock().unwrap(), Anchor::ALL);
    assert!(runs.load(Ordering::SeqCst) > 0);
    for anchor in Anchor::ALL {
        assert!(seen.0.iter().any(|name| name == anchor.name()), "{:?}", seen.0);
    }
    let cse = seen.0.iter().position(|name| name == "cse").unwrap();
    assert_eq!(seen.0[cse + 1], "mine");
}

#[test]
fn a_hook_that_breaks_the_unit_is_named() {
    let session = Session::new();
    let mut backend = Backend::new("native", target("native"));
    backend.hook(Anchor::AfterOptimise, "breaks", |context| {
        let entry = context.unit.entries[0];
        context.unit.funcs[entry].signature.results.clear();
        Ok(())
    });
    let config = session.add_backend(backend).unwrap();
    session.define("t.mq", &constant("f", 1)).unwrap();
    let error = session.compile(&session.job("f", &config).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the hook 'breaks' left"), "{error}");
}

/// A host function that needs a kernel: the hook finds out, the session compiles, and the parent depends on it.
#[test]
fn h2_h5_children_are_compiled_with_edges() {
    let log = Arc::new(Log::default());
    let session = Session::new().watched(log.clone());
    session.add_backend(Backend::new("gpu", target("ptx:sm_80"))).unwrap();
    let mut backend = Backend::new("native", target("native"));
    backend.hook(Anchor::Specialised, "launches", |context| {
        let arguments = [Type::pointer(marquetry_ir::types::Space::Global)].into();
        context.deferred.push(Deferred { name: "k".into(), arguments, backend: Some("gpu".into()) });
        Ok(())
    });
    let config = session.add_backend(backend).unwrap();
    let kernel = |value: i32| {
        "kernel k(out: ptr<global>) {\nentry:\n    x = call part()\n    store out, x\n    return\n}\n"
            .to_string()
            + &constant("part", value)
    };
    session.define("t.mq", &(constant("host", 1) + &kernel(17))).unwrap();
    let compile = || session.compile(&session.job("host", &config).unwrap()).unwrap();
    let text = |code: &Compiled| {
        let child = code.children[0].compiled.as_ref().unwrap();
        String::from_utf8(child.artifact().unwrap().code.clone()).unwrap()
    };
    let first = compile();
    assert!(text(&first).contains("17"), "{}", text(&first));
    assert_eq!(log.compiled.load(Ordering::SeqCst), 2);
    session.define("t.mq", &constant("unrelated", 0)).unwrap();
    assert!(Arc::ptr_eq(&first, &compile()));
    // What the child calls.
    session.redefine("t.mq", &constant("part", 18)).unwrap();
    let second = compile();
    assert!(text(&second).contains("18"), "{}", text(&second));
    assert_eq!(log.compiled.load(Ordering::SeqCst), 4);
    // The child itself: the parent's look-up means something else.
    session.redefine("t.mq", &kernel(19).replace("store out, x", "store out, x\n    store out, x")).unwrap();
    let third = compile();
    assert!(text(&third).contains("19"));
    // The old one still has what it had.
    assert!(text(&first).contains("17"));
}

#[test]
fn h2_a_child_that_asks_for_its_parent_ends() {
    let session = Session::new();
    let mut backend = Backend::new("native", target("native"));
    backend.hook(Anchor::Specialised, "again", |context| {
        let other = if context.unit.find("a").is_some() { "b" } else { "a" };
        context.deferred.push(Deferred { name: other.into(), arguments: [].into(), backend: None });
        Ok(())
    });
    let config = session.add_backend(backend).unwrap();
    session.define("t.mq", &[constant("a", 1), constant("b", 2)].concat()).unwrap();
    let job = session.job("a", &config).unwrap();
    let a = session.compile(&job).unwrap();
    let b = a.children[0].compiled.clone().unwrap();
    assert!(b.children[0].compiled.is_none());
    assert_eq!(b.children[0].job, job);
    assert!(Arc::ptr_eq(&session.compile(&b.children[0].job).unwrap(), &a));
    assert_eq!((call(&a, &[]), call(&b, &[])), (1, 2));
    // Two threads from both ends.
    session.redefine("t.mq", &[constant("a", 3), constant("b", 4)].concat()).unwrap();
    std::thread::scope(|scope| {
        for name in ["a", "b", "a", "b"] {
            let (session, config) = (&session, &config);
            scope.spawn(move || session.compile(&session.job(name, config).unwrap()).unwrap());
        }
    });
}

const POINTER: &str = "method inc(x: i32) -> i32 noinline {\nentry:\n    y = add x, i32 1\n    return y\n}\n
method through(x: i32) -> i32 {\nentry:\n    f = function_address inc(i32)\n    y = call_indirect f(x) -> i32\n    return y\n}\n
kernel k(out: ptr<global>, x: i32) {\nentry:\n    f = function_address inc(i32)\n    y = call_indirect f(x) -> i32\n    store out, y\n    return\n}\n";

/// The address of a function, called: the same as calling it, on the host, too; and where a target has no addresses, it
/// is the call that it stands for.
#[test]
fn t091_h2_the_address_of_a_known_function_is_the_function() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", POINTER).unwrap();
    assert_eq!(call(&session.compile(&session.job("through", &config).unwrap()).unwrap(), &[4]), 5);
    let mut engine = EngineKind::Interp.open(OptLevel::None).unwrap();
    let program = session.snapshot();
    let through = program.methods_of("through")[0];
    engine.load(program);
    let Outcome::Returned(results) = engine.call(through, &mut [int(4)]).unwrap() else { panic!() };
    assert_eq!(results[0].to_string(), "i32 5");
    let spirv = session.add_backend(Backend::new("spirv", target("spirv:vulkan1.3"))).unwrap();
    for level in [OptLevel::None, OptLevel::Default] {
        let mut config = spirv.clone();
        config.options.opt_level = level;
        session.compile(&session.job("k", &config).unwrap()).unwrap();
    }
    // An edge like any other.
    let first = session.compile(&session.job("through", &config).unwrap()).unwrap();
    session
        .redefine("t.mq", &POINTER.lines().take(5).collect::<Vec<_>>().join("\n").replace("i32 1", "i32 2"))
        .unwrap();
    let second = session.compile(&session.job("through", &config).unwrap()).unwrap();
    assert_eq!((call(&first, &[4]), call(&second, &[4])), (5, 6));
}

fn problems(error: SessionError) -> Vec<marquetry_ir::diag::Diagnostic> {
    match error {
        SessionError::Compile(EngineError::Program(diagnostics)) => diagnostics,
        other => panic!("{other}"),
    }
}

#[test]
fn t074_t075_t076_t077_assertions_are_checked_at_every_level() {
    let session = Session::new();
    let config = native(&session);
    let text = "method holds() -> i32 {\nentry:\n    static_assert i1 true, \"yes\"\n    return i32 1\n}\n
                method fails() -> i32 {\nentry:\n    static_assert i1 false, \"one\"\n    static_assert i1 false, \"two\"\n    return i32 1\n}\n
                method runtime(x: i32) -> i32 {\nentry:\n    c = eq x, i32 3\n    static_assert c, \"three\"\n    return x\n}\n
                method dead() -> i32 {\nentry:\n    branch i1 false, never, leave\nnever:\n    static_assert i1 false, \"never\"\n    jump leave\nleave:\n    return i32 1\n}\n";
    session.define("t.mq", text).unwrap();
    for level in [OptLevel::None, OptLevel::Default] {
        let mut config = config.clone();
        config.options.opt_level = level;
        let compile = |name: &str| session.compile(&session.job(name, &config).unwrap());
        assert_eq!(call(&compile("holds").unwrap(), &[]), 1);
        assert_eq!(call(&compile("dead").unwrap(), &[]), 1);
        let found = problems(compile("fails").unwrap_err());
        let messages: Vec<&str> = found.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, ["static assertion failed: one", "static assertion failed: two"]);
        let found = problems(compile("runtime").unwrap_err());
        assert!(format!("{:?}", found[0]).contains("not known while compiling"));
        config.options.validate = false;
        session.compile(&session.job("fails", &config).unwrap()).unwrap();
    }
}

#[test]
fn t079_an_assertion_names_the_calls_that_led_to_it() {
    let session = Session::new();
    let config = native(&session);
    let text = "method check(x: i32) -> i32 inline {\nentry:\n    c = lt.s x, i32 10\n    static_assert c, \"small\"\n    return x\n}\n
                method between(x: i32) -> i32 inline {\nentry:\n    y = call check(x)\n    return y\n}\n
                method good() -> i32 {\nentry:\n    y = call between(i32 3)\n    return y\n}\n
                method bad() -> i32 {\nentry:\n    y = call between(i32 30)\n    return y\n}\n";
    session.define("t.mq", text).unwrap();
    for level in [OptLevel::None, OptLevel::Default] {
        let mut config = config.clone();
        config.options.opt_level = level;
        assert_eq!(call(&session.compile(&session.job("good", &config).unwrap()).unwrap(), &[]), 3);
        let found = problems(session.compile(&session.job("bad", &config).unwrap()).unwrap_err());
        let shown = format!("{found:?}");
        assert_eq!(found.len(), 1, "{shown}");
        for name in ["'check'", "'between'", "'bad'"] {
            assert!(shown.contains(name), "{shown}");
        }
    }
}

#[test]
fn h7_h8_questions_to_the_target_decide_branches_before_anything_else() {
    let session = Session::new();
    let text = "kernel k(out: ptr<global>) {\nentry:\n    sm = target_query.i32 \"sm\"\n    new = ge.u sm, i32 90\n    branch new, yes, no\nyes:\n    store out, i32 1234567\n    return\nno:\n    fine = target_query.i64 \"my_width\"\n    store out, fine\n    return\n}\n";
    session.define("t.mq", text).unwrap();
    for (spelling, expected) in [("ptx:sm_90", true), ("ptx:sm_80", false)] {
        let mut backend = Backend::new(spelling, target(spelling));
        backend.answer("my_width", Answer::Number(7654321));
        // Keys of every target cannot be replaced.
        backend.answer("sm", Answer::Number(1));
        let mut config = session.add_backend(backend).unwrap();
        config.options.opt_level = OptLevel::None;
        let code = session.compile(&session.job("k", &config).unwrap()).unwrap();
        let text = String::from_utf8_lossy(&code.artifact().unwrap().code).into_owned();
        assert_eq!((text.contains("1234567"), text.contains("7654321")), (expected, !expected), "{text}");
    }
    let config = native(&session);
    let mut device = config.clone();
    device.device = true;
    let found = problems(session.compile(&session.job("k", &device).unwrap()).unwrap_err());
    assert!(found[0].message.contains("no target answers 'my_width', expected is_native"), "{found:?}");
}

#[test]
fn t092_t094_scratch_memory_is_a_slot_in_the_entry_or_null() {
    let session = Session::new();
    let text = "method eight(x: f32) -> f32 {\nentry:\n    p = scratch.generic array<f32, 8>\n    q = index p, i32 7, f32\n    store p, x\n    store q, x\n    a = load.f32 p\n    b = load.f32 q\n    s = add a, b\n    return s\n}\n
                method none() -> i32 {\nentry:\n    p = scratch.local array<f32, 0>\n    n = eq p, ptr<local> null\n    r = zext.i32 n\n    return r\n}\n";
    session.define("t.mq", text).unwrap();
    let mut backend = Backend::new("native", target("native"));
    backend.hook(Anchor::Specialised, "look", |context| {
        let printed = marquetry_ir::text::print_unit(context.unit);
        assert!(!printed.contains("scratch"), "{printed}");
        let slots = printed.matches("slot.array<f32, 8>").count();
        assert_eq!(slots, usize::from(context.unit.find("eight").is_some()), "{printed}");
        Ok(())
    });
    let config = session.add_backend(backend).unwrap();
    let code = session.compile(&session.job("eight", &config).unwrap()).unwrap();
    let mut args = [HostArg::Value(HostValue::scalar(Type::F32, 1.5f32.to_bits().into()).unwrap())];
    let Outcome::Returned(results) = code.call(&mut args).unwrap() else { panic!() };
    assert_eq!(results[0].to_string(), "f32 3.0");
    assert_eq!(call(&session.compile(&session.job("none", &config).unwrap()).unwrap(), &[]), 1);
}

/// Code that is being run stays when everything that led to it is gone, the session included.
#[test]
fn code_outlives_its_session() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &constant("f", 6)).unwrap();
    let code = session.compile(&session.job("f", &config).unwrap()).unwrap();
    drop(session);
    let running = std::thread::spawn(move || call(&code, &[]));
    assert_eq!(running.join().unwrap(), 6);
}

#[test]
fn many_definitions_leave_no_trail_once_they_are_forgotten() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &[caller("top", "leaf"), constant("leaf", 0)].concat()).unwrap();
    for value in 1..100 {
        session.compile(&session.job("top", &config).unwrap()).unwrap();
        session.redefine("t.mq", &constant("leaf", value)).unwrap();
    }
    assert_eq!(session.statistics().entries, 99);
    assert_eq!(session.statistics().invalidations, 99);
    session.forget_before(session.world());
    assert_eq!(session.statistics().entries, 0);
    assert_eq!(call(&session.compile(&session.job("top", &config).unwrap()).unwrap(), &[]), 99);
}
