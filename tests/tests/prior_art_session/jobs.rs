//! Jobs and configs: what tells them apart, and what they give.

use crate::support::*;
use marquetry::compile::Form;
use marquetry::session::{Backend, Config, Job, Session, SessionError};
use marquetry_ir::types::Type;
use marquetry_lower::job::{DebugLevel, EntryConvention, InlinePolicy, OptLevel};
use marquetry_lower::observe::{Observer, PassReport};
use std::sync::{Arc, Mutex};

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
    assert!(matches!(session.redefine("t.mq", &private), Err(SessionError::Definition(..))));
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
