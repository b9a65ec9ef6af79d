//! What comes late: definitions after a job was pinned, functions of the host after a call missed them, and what is found
//! out only when a job is compiled that was prepared before.

use crate::support::*;
use marquetry::compile::Compiled;
use marquetry::engine::Outcome;
use marquetry::session::{Backend, Config, Job, Session, SessionError, Watcher};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::hooks::{Anchor, Deferred};
use marquetry_lower::job::{self, Unresolved};
use marquetry_lower::observe::Silent;
use marquetry_lower::pipeline;
use marquetry_lower::runtime::Library;
use marquetry_lower::runtime::host::HostPolicy;
use std::sync::{Arc, Mutex};

/// Its unit makes a type that the program does not have.
const PINNED: &str = "abstract Mine
struct pair<A, B> { first: A, second: B }
method second<A, B>(a: A, b: B) -> B inline {
entry:
    p = make.pair<A, B> a, b
    r = get p, 1
    return r
}
kernel pinned(out: ptr<global>, n: i64, x: f32, y: i64) {
entry:
    m = call malloc(n)
    r = call second(x, y)
    store out, r
    return
}
";

/// Types in the places of those that units of the earlier program made, and a job over them.
const LATER: &str = "struct s1 { a: i8 }
struct s2 { a: i8, b: i8 }
struct s3 { a: i8, b: i16 }
kernel later(out: ptr<global>, n: i64) {
entry:
    m = call malloc(n)
    store out, m
    return
}
";

#[test]
fn a_pinned_job_keeps_its_types_whatever_the_library_was_made_for() {
    for relation in ["", "impl i128 : Mine\n"] {
        let session = Session::new();
        let ptx = session.add_backend(Backend::new("ptx", target("ptx:sm_90"))).unwrap();
        session.define("a.mq", PINNED).unwrap();
        let old = session.job("pinned", &ptx).unwrap();
        let first = session.compile_observed(&old, &mut Silent).unwrap();
        let fresh = Session::new();
        let config = fresh.add_backend(Backend::new("ptx", target("ptx:sm_90"))).unwrap();
        fresh.define("a.mq", PINNED).unwrap();
        let pinned = fresh.job("pinned", &config).unwrap();
        fresh.define("b.mq", &format!("{relation}{LATER}")).unwrap();
        fresh.compile(&fresh.job("later", &config).unwrap()).unwrap();
        let second = fresh.compile(&pinned).unwrap();
        assert_eq!(second.artifact().unwrap().code, first.artifact().unwrap().code, "{relation:?}");
    }
}

#[test]
fn the_library_is_not_shared_where_types_mean_something_else() {
    // What the provider supplies makes a type by its variables, which one program has and the other does not.
    let provider = "struct box<T> { value: T }
method boxed<T>(x: T) -> T {
entry:
    s = slot.box<T>
    p = field_address s, box<T>, 0
    store p, x
    r = load.T p
    return r
}
overlay mine method gpu_malloc(bytes: i64) -> ptr<global> noinline {
entry:
    n = call boxed(bytes)
    r = inttoptr.ptr<global> n
    return r
}
";
    let text = format!("{provider}{PINNED}");
    let session = Session::new();
    let mut backend = Backend::new("ptx", target("ptx:sm_90"));
    backend.provider(&["mine", "standard"]);
    let config = session.add_backend(backend).unwrap();
    session.define("a.mq", &text).unwrap();
    let old = session.job("pinned", &config).unwrap();
    let wanted = session.compile_observed(&old, &mut Silent).unwrap();
    let later = format!("impl i128 : Mine\nmethod mentions(x: box<i64>) {{\nentry:\n    return\n}}\n{LATER}");
    session.define("b.mq", &later).unwrap();
    session.compile(&session.job("later", &config).unwrap()).unwrap();
    let found = session.compile(&old).unwrap();
    assert_eq!(found.artifact().unwrap().code, wanted.artifact().unwrap().code);
}

/// A session whose jobs of `parent` have `child` for a child.
fn with_child() -> (Session, Config) {
    let session = Session::new();
    let mut backend = Backend::new("native", target("native"));
    backend.hook(Anchor::Specialised, "defer", |cx| {
        let entry = cx.unit.entries[0];
        if &*cx.unit.funcs[entry].name == "parent" {
            cx.deferred.push(Deferred { name: "child".into(), arguments: [].into(), backend: None });
        }
        Ok(())
    });
    let config = session.add_backend(backend).unwrap();
    session.define("a.mq", &[constant("parent", 1), constant("child", 2)].concat()).unwrap();
    (session, config)
}

#[test]
fn a_job_that_was_prepared_follows_its_children_once_it_is_compiled() {
    for change_between in [false, true] {
        let (session, config) = with_child();
        let job = session.job("parent", &config).unwrap();
        session.prepare(&job).unwrap();
        let attached = session.results::<Mutex<i32>>(&job).unwrap();
        *attached.lock().unwrap() = 7;
        if change_between {
            // What was prepared is followed already.
            session.define("b.mq", &constant("unrelated", 0)).unwrap();
        }
        let value = |code: &Compiled| call(code.children[0].compiled.as_ref().unwrap(), &[]);
        assert_eq!(value(&session.compile(&job).unwrap()), 2);
        let results = session.results::<Mutex<i32>>(&job).unwrap();
        assert_eq!(*results.lock().unwrap(), 7, "what is attached stays");
        let before = session.statistics().invalidations;
        session.redefine("a.mq", &constant("child", 3)).unwrap();
        assert_eq!(session.statistics().invalidations - before, 2, "the child and its parent");
        assert_eq!(value(&session.compile(&session.job("parent", &config).unwrap()).unwrap()), 3);
        assert_eq!(value(&session.compile(&job).unwrap()), 2);
    }
}

#[test]
fn a_job_that_was_prepared_follows_what_is_linked_late() {
    let begin = |body: &str| {
        format!(
            "overlay mine method gpu_print_begin(format: i32, words: i32) -> ptr<global> {{\nentry:\n{body}}}\n"
        )
    };
    let null = begin("    return ptr<global> null\n");
    let other = begin("    n = zext.i64 format\n    p = inttoptr.ptr<global> n\n    return p\n");
    let session = Session::new();
    let mut backend = Backend::new("ptx", target("ptx:sm_90"));
    backend.provider(&["mine", "standard"]);
    let config = session.add_backend(backend).unwrap();
    let kernel = "kernel k(x: i32) {\nentry:\n    print \"%d\", x\n    return\n}\n";
    session.define("a.mq", &format!("{kernel}{null}")).unwrap();
    let job = session.job("k", &config).unwrap();
    session.prepare(&job).unwrap();
    let code = |code: &Compiled| code.artifact().unwrap().code.clone();
    let first = code(&session.compile(&job).unwrap());
    session.redefine("b.mq", &other).unwrap();
    let second = code(&session.compile(&session.job("k", &config).unwrap()).unwrap());
    assert_ne!(first, second);
    assert_eq!(code(&session.compile(&job).unwrap()), first);
}

/// What the host supplies as `foo`.
extern "C" fn positive(x: i32) -> i32 {
    x.abs()
}

#[test]
fn a_function_of_the_host_is_a_definition() {
    #[allow(unsafe_code, reason = "the function takes and returns what is declared below")]
    // SAFETY: it is of the C convention, does not unwind, and lives as long as the process.
    let session = unsafe { Session::new().with_symbol("positive", positive as *const u8) };
    let mut config = native(&session);
    config.options.unresolved = Unresolved::Throw;
    let text =
        "method m(x: i32) -> i32 {\nentry:\n    r = call foo(x)\n    s = add r, i32 0\n    return s\n}\n";
    session.define("a.mq", text).unwrap();
    let run = |code: &Compiled| match code.call(&mut [int(-5)]).unwrap() {
        Outcome::Returned(results) => Ok(results[0].lanes()[0] as u32 as i32),
        Outcome::Threw(thrown) => Err(thrown.kind),
    };
    let old = session.job("m", &config).unwrap();
    let missing = Err("UnresolvedError".to_owned());
    assert_eq!(run(&session.compile(&old).unwrap()), missing);
    // Another one, and one that takes something else, concern nobody.
    session.define("b.mq", "extern func bar(i32) -> i32 as \"labs\"\n").unwrap();
    assert_eq!(session.statistics().invalidations, 0);
    session.define("c.mq", "extern func foo(i32) -> i32 as \"positive\"\n").unwrap();
    assert_eq!(session.statistics().invalidations, 1);
    let new = session.job("m", &config).unwrap();
    assert!(old.world < new.world);
    assert_eq!(run(&session.compile(&new).unwrap()), Ok(5));
    // A job of an earlier world does not see it, whenever it is compiled.
    assert_eq!(run(&session.compile(&old).unwrap()), missing);
    assert_eq!(run(&session.compile_observed(&old, &mut Silent).unwrap()), missing);
    config.options.unresolved = Unresolved::Refuse;
    let refused = Job { config: config.clone(), ..old };
    let error = session.compile(&refused).unwrap_err().to_string();
    assert!(error.contains("foo"), "{error}");
    assert_eq!(run(&session.compile(&session.job("m", &config).unwrap()).unwrap()), Ok(5));
    // It is there now: what follows concerns nobody either.
    let before = session.statistics().invalidations;
    session.define("d.mq", "extern func baz(i32) -> i32 as \"labs\"\n").unwrap();
    assert_eq!(session.statistics().invalidations, before);
}

#[test]
fn kernels_that_differ_in_name_share_the_library() {
    let session = Session::new();
    let config = session.add_backend(Backend::new("ptx", target("ptx:sm_90"))).unwrap();
    let kernel = |name: &str| {
        format!(
            "kernel {name}(p: ptr<global>) {{\nentry:\n    m = call malloc(i64 4)\n    store p, m\n    return\n}}\n"
        )
    };
    session.define("a.mq", &[kernel("k1"), kernel("k2")].concat()).unwrap();
    let (program, library) = (session.snapshot(), Library::new());
    for (kernel, name) in [("k1", "a"), ("k2", "b")] {
        let entries = vec![program.methods_of(kernel)[0].into()];
        let options = job::Options {
            name: Some(name.into()),
            evaluate: name == "a",
            state: (name == "a").then_some(Type::I32),
            ..Default::default()
        };
        let job = job::Job { entries, view: View::device(&[]), options };
        pipeline::run_with(&program, &job, config.target.lowering(), &library, &mut Silent).unwrap();
    }
    assert_eq!(library.counts(), (1, 1));
}

#[test]
fn the_library_is_made_anew_for_another_level_and_policy() {
    let session = Session::new();
    let config = session.add_backend(Backend::new("ptx", target("ptx:sm_90"))).unwrap();
    let text =
        "kernel k(p: ptr<global>) {\nentry:\n    m = call malloc(i64 4)\n    store p, m\n    return\n}\n";
    session.define("a.mq", text).unwrap();
    let (program, library) = (session.snapshot(), Library::new());
    let levels = [job::OptLevel::None, job::OptLevel::Default];
    for (opt_level, unresolved) in
        levels.into_iter().flat_map(|level| [(level, Unresolved::Refuse), (level, Unresolved::Throw)])
    {
        let entries = vec![program.methods_of("k")[0].into()];
        let options = job::Options { opt_level, unresolved, ..Default::default() };
        let job = job::Job { entries, view: View::device(&[]), options };
        pipeline::run_with(&program, &job, config.target.lowering(), &library, &mut Silent).unwrap();
    }
    assert_eq!(library.counts(), (4, 0));
}
#[test]
fn what_becomes_of_device_functions_in_host_code_is_a_config() {
    let session = Session::new();
    let config = native(&session);
    let text =
        "method m() -> i64 {\nentry:\n    p = call malloc(i64 4)\n    r = ptrtoint.i64 p\n    return r\n}\n";
    session.define("a.mq", text).unwrap();
    let compile = |policy: HostPolicy| {
        let mut config = config.clone();
        config.host_policy = policy;
        session.compile(&session.job("m", &config)?)
    };
    let ended = |policy| compile(policy).map(|code| code.call(&mut []).unwrap());
    match ended(HostPolicy::Sentinel) {
        Ok(Outcome::Returned(results)) => assert_eq!(results[0].get(), Some(1i64)),
        other => panic!("{other:?}"),
    }
    match ended(HostPolicy::Trap) {
        Ok(Outcome::Threw(thrown)) => assert_eq!(thrown.kind, "DeviceOnlyError"),
        other => panic!("{other:?}"),
    }
    match ended(HostPolicy::Error) {
        Err(SessionError::Compile(error)) => assert!(error.to_string().contains("devices only"), "{error}"),
        other => panic!("{other:?}"),
    }
}

/// Keeps what is said about what is probably not meant.
#[derive(Default)]
struct Warned(Mutex<Vec<String>>);

impl Watcher for Warned {
    fn warned(&self, config: &Config, warnings: &[Diagnostic], text: &str) {
        assert!(warnings.iter().all(|warning| text.contains(&warning.message)), "{text}");
        let messages = warnings.iter().map(|warning| format!("{}: {}", config.backend, warning.message));
        self.0.lock().unwrap().extend(messages);
    }
}

#[test]
fn overlays_that_hide_more_specific_ones_are_told_of_by_the_stack_of_the_job() {
    let warned = Arc::new(Warned::default());
    let session = Session::new().watched(warned.clone());
    let said = || std::mem::take(&mut *warned.0.lock().unwrap());
    let backend = |name: &str, tables: &[&str]| {
        let mut backend = Backend::new(name, target("native"));
        backend.tables(tables);
        session.add_backend(backend).unwrap()
    };
    let over = backend("over", &["top", "low"]);
    let under = backend("under", &["low", "top"]);
    let apart = backend("apart", &["low"]);
    let base =
        "abstract Real\nimpl f32, f64 : Real\nmethod f(x: Real) -> i32 {\nentry:\n    return i32 1\n}\n";
    let overlay =
        |text: &str, value: i32| format!("overlay {text} -> i32 {{\nentry:\n    return i32 {value}\n}}\n");
    session.define("base.mq", base).unwrap();
    session.define("low.mq", &overlay("low method f(x: f64)", 2)).unwrap();
    assert_eq!(said(), [""; 0]);
    session.define("top.mq", &overlay("top method f<T: Real>(x: T)", 3)).unwrap();
    let hides = "f<T: Real>(T) -> i32 in table top shadows the more specific f(f64) -> i32 in table low";
    assert_eq!(said(), [format!("over: {hides}")]);
    // What is hidden may come later, and what is no news is not said again.
    session.define("lower.mq", &overlay("low method f(x: f32)", 4)).unwrap();
    assert_eq!(said(), [format!("over: {}", hides.replace("f64", "f32"))]);
    session.define("other.mq", &constant("unrelated", 1)).unwrap();
    assert_eq!(said(), [""; 0]);
    for (config, count) in [(&over, 2), (&under, 0), (&apart, 0)] {
        assert_eq!(session.warnings(config).unwrap().len(), count);
    }
    backend("late", &["top", "low"]);
    assert_eq!(said().len(), 2);
}

#[test]
fn look_ups_stay_in_their_world_and_jobs_do_not() {
    let session = Session::new();
    let config = native(&session);
    session.define("a.mq", &constant("f", 1)).unwrap();
    let look_ups = session.look_ups(&config).unwrap();
    assert!(Arc::ptr_eq(&look_ups, &session.look_ups(&config).unwrap()));
    let (first, again) = (session.job_of("f", &[], &config).unwrap(), look_ups.job("f", &[]).unwrap());
    assert_eq!(first, again);
    assert!(look_ups.job("g", &[]).is_err());
    session.redefine("a.mq", &constant("f", 2)).unwrap();
    session.define("b.mq", &constant("g", 3)).unwrap();
    assert_eq!(look_ups.job("f", &[]).unwrap(), first);
    assert!(look_ups.job("g", &[]).is_err());
    let value =
        |name: &str| call(&session.compile(&session.job_of(name, &[], &config).unwrap()).unwrap(), &[]);
    assert_eq!((value("f"), value("g")), (2, 3));
    // A type that the program does not have is made, and others are no change.
    let world = session.snapshot();
    assert!(session.job("f(i32)", &config).is_err());
    assert!(Arc::ptr_eq(&world, &session.snapshot()));
    assert!(session.job("f(array<i8, 77>)", &config).is_err());
    assert!(!Arc::ptr_eq(&world, &session.snapshot()));
}
