//! Worlds: what a change concerns, what pinned jobs still see, and what is forgotten.

use crate::support::*;
use marquetry::compile::Compiled;
use marquetry::engine::EngineError;
use marquetry::session::{Backend, Config, Job, Session, SessionError};
use marquetry_ir::op::Op;
use marquetry_lower::hooks::{Anchor, Deferred};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};

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

const RELATIONS: &str = "abstract Real\nimpl f32 : Real\n
                method kind(x: Any) -> i32 {\nentry:\n    return i32 0\n}\n
                method kind(x: Real) -> i32 {\nentry:\n    return i32 1\n}\n
                method ask(x: i32) -> i32 {\nentry:\n    r = call kind(x)\n    return r\n}\n";

#[test]
fn relations_between_types_are_a_change() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", RELATIONS).unwrap();
    let old = session.job("ask", &config).unwrap();
    assert_eq!(call(&session.compile(&old).unwrap(), &[5]), 0);
    session.define("t.mq", "impl i32 : Real\n").unwrap();
    let new = session.job("ask", &config).unwrap();
    assert_ne!(old.world, new.world);
    assert_eq!(call(&session.compile(&new).unwrap(), &[5]), 1);
    let again = session.compile_observed(&old, &mut marquetry_lower::observe::Silent).unwrap();
    assert_eq!(call(&again, &[5]), 0);
}

/// All methods that code of a later world calls were there before: that says nothing about relations.
#[test]
fn what_later_relations_gave_is_not_taken_for_earlier_ones() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", RELATIONS).unwrap();
    let old = session.job("ask", &config).unwrap();
    session.define("t.mq", "impl i32 : Real\n").unwrap();
    let new = session.job("ask", &config).unwrap();
    assert_eq!(call(&session.compile(&new).unwrap(), &[5]), 1);
    assert_eq!(call(&session.compile(&old).unwrap(), &[5]), 0);
}

/// A method that is forgotten was the one to call in worlds that are forgotten, too.
#[test]
fn what_is_compiled_after_forgetting_holds_from_there() {
    let session = Session::new();
    let config = native(&session);
    session
        .define("t.mq", &[RELATIONS, "method kind(x: i32) -> i32 {\nentry:\n    return i32 2\n}\n"].concat())
        .unwrap();
    let old = session.job("ask", &config).unwrap();
    let kind = session.snapshot().methods_of("kind")[2];
    assert!(session.delete(kind).unwrap());
    session.forget_before(session.world());
    let new = session.job("ask", &config).unwrap();
    assert_eq!(call(&session.compile(&new).unwrap(), &[5]), 0);
    let error = session.compile(&old).unwrap_err().to_string();
    assert!(error.contains("is forgotten"), "{error}");
}

/// A child's argument may be of a type that only the unit of its parent made. It becomes one of the present program; the
/// program of a world before relations changed is another one, which stays as it is.
#[test]
fn children_of_earlier_relations_have_no_types_that_only_their_parents_made() {
    let session = Session::new();
    let mut backend = Backend::new("native", target("native"));
    backend.hook(Anchor::Specialised, "asks for a child", |context| {
        for function in context.unit.funcs.values() {
            let insts = function.body.blocks().flat_map(|block| function.body.block_insts(block));
            let makes = insts.map(|inst| function.body.inst(inst)).filter(|inst| inst.op == Op::Make);
            context.deferred.extend(makes.map(|make| Deferred {
                name: "child".into(),
                arguments: [make.ty].into(),
                backend: None,
            }));
        }
        Ok(())
    });
    let config = session.add_backend(backend).unwrap();
    // One child says what it takes, one takes anything.
    for (n, takes) in ["box<T>", "T"].into_iter().enumerate() {
        let text = format!(
            "abstract Number{n}\nstruct box{n}<T> {{ value: T }}\n
             method child<T>(b: {takes}) -> i32 {{\nentry:\n    return i32 {n}\n}}\n
             method wrap{n}<T>(x: T) -> T inline {{\nentry:\n    b = make.box{n}<T> x\n    r = get b, 0\n    return r\n}}\n
             method parent{n}(x: i32) -> i32 {{\nentry:\n    r = call wrap{n}(x)\n    return r\n}}\n"
        );
        session.define("t.mq", &text.replace("box<T>)", &format!("box{n}<T>)"))).unwrap();
        let old = session.job(&format!("parent{n}"), &config).unwrap();
        session.define("t.mq", &format!("impl {} : Number{n}\n", ["i32", "f32"][n])).unwrap();
        let new = session.job(&format!("parent{n}"), &config).unwrap();
        let error = session.compile(&old).unwrap_err().to_string();
        let world = old.world.0;
        assert!(
            error.starts_with(&format!("the child 'child' takes box{n}<i32>, a type that only")),
            "{error}"
        );
        assert!(
            error.contains(&format!("in world {world}, before relations between types changed")),
            "{error}"
        );
        let code = session.compile(&new).unwrap();
        assert_eq!(call(&code, &[5]), 5);
        assert_eq!(call(code.children[0].compiled.as_ref().unwrap(), &[5]), n as i32);
        // The type is known now, in the present; the past is what it was.
        assert!(session.compile(&old).is_err());
    }
}

#[test]
fn a_wrong_definition_changes_nothing() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &constant("f", 1)).unwrap();
    let world = session.world();
    let broken = format!("{}method g() -> i32 {{\nentry:\n    return f32 1.0\n}}\n", constant("f2", 2));
    assert!(matches!(session.define("t.mq", &broken), Err(SessionError::Definition(..))));
    assert!(matches!(session.define("t.mq", &constant("f", 2)), Err(SessionError::Definition(..))));
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

#[test]
fn methods_that_ended_are_given_back_once_their_worlds_are_forgotten() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &[caller("top", "leaf"), constant("leaf", 0)].concat()).unwrap();
    let (before, old) = (session.statistics().methods, session.job("top", &config).unwrap());
    for value in 1..=300 {
        session.redefine("t.mq", &constant("leaf", value)).unwrap();
        if value % 100 == 0 {
            assert_eq!(session.statistics().methods, before + 100);
            session.forget_before(session.world());
            assert_eq!(session.statistics().methods, before);
        }
    }
    assert_eq!(call(&session.compile(&session.job("top", &config).unwrap()).unwrap(), &[]), 300);
    // What the old job means is gone: it is not compiled from what is there instead.
    let error = session.compile(&old).unwrap_err().to_string();
    let now = session.world().0;
    assert_eq!(
        error,
        format!("world {} is forgotten: the earliest that the program knows is {now}", old.world.0)
    );
    // The future is not forgotten.
    let job = session.job("top", &config).unwrap();
    session.forget_before(marquetry_ir::program::World::MAX);
    assert_eq!(session.statistics().entries, 1);
    assert_eq!(call(&session.compile(&job).unwrap(), &[]), 300);
}

/// A change that forgets what it changed closes what depends on it all the same.
#[test]
fn a_change_may_forget_its_own_world() {
    let session = Session::new();
    let config = native(&session);
    session.define("t.mq", &[caller("top", "leaf"), constant("leaf", 1)].concat()).unwrap();
    session.compile(&session.job("top", &config).unwrap()).unwrap();
    session
        .change(|program| {
            let problems = marquetry_ir::text::parse_redefining(program, "t.mq", &constant("leaf", 2));
            program.forget_before(program.world());
            if problems.is_empty() { Ok(()) } else { Err(problems) }
        })
        .unwrap();
    assert_eq!(call(&session.compile(&session.job("top", &config).unwrap()).unwrap(), &[]), 2);
}
