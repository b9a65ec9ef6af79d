//! What hosts add to the pipeline, and what jobs are made of: hooks, children, questions, assertions, scratch memory.

use crate::support::*;
use marquetry::compile::Compiled;
use marquetry::engine::{EngineError, EngineKind, Extent, Launcher, Outcome};
use marquetry::session::{Backend, Config, Session, SessionError};
use marquetry::value::{HostArg, HostValue};
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::hooks::{Anchor, Deferred, Place};
use marquetry_lower::job::OptLevel;
use marquetry_lower::observe::{Observer, PassReport};
use marquetry_lower::query::Answer;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
fn t074_t076_t077_assertions_are_checked_at_every_level() {
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
