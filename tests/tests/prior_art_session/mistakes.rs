//! Definitions and jobs that are wrong: each is refused with a message that names both sides, and leaves the world before as
//! it was, in which everything that was compiled still is, and compiles again to the same.

use crate::support::*;
use marquetry::session::{Backend, Config, Job, Session, SessionError};
use marquetry_ir::entity::Table;
use marquetry_ir::program::{OpenTable, Program, World};
use marquetry_ir::types::Type;
use marquetry_lower::observe::Silent;
use std::sync::Arc;

/// What works before, and must afterwards.
const SOUND: &str = "abstract Real
impl f32, f64 : Real
struct box<T> { value: T }

method leaf(x: i32) -> i32 noinline {
entry:
    y = add x, i32 1
    return y
}

method top(x: i32) -> i32 {
entry:
    y = call leaf(x)
    return y
}

kernel work(p: ptr<global>) {
entry:
    i = call global_id(i32 0)
    s = call malloc(i64 8)
    v = trunc.i32 i
    r = call leaf(v)
    q = index p, i, i32
    store q, r
    return
}
";

struct Bench {
    session: Session,
    native: Config,
    ptx: Config,
    jobs: [Job; 2],
    /// The code of the kernel.
    code: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let session = Session::new();
        let native = native(&session);
        let mut backend = Backend::new("ptx", target("ptx:sm_80"));
        backend.tables(&["mine"]);
        let ptx = session.add_backend(backend).unwrap();
        session.define("sound.mq", SOUND).unwrap();
        let jobs = [session.job("top", &native).unwrap(), session.job("work", &ptx).unwrap()];
        let code = session.compile(&jobs[1]).unwrap().artifact().unwrap().code.clone();
        assert_eq!(call(&session.compile(&jobs[0]).unwrap(), &[6]), 7);
        Bench { session, native, ptx, jobs, code }
    }

    /// The jobs of before are what they were: remembered, and compiled anew.
    #[track_caller]
    fn is_sound(&self) {
        let Bench { session, jobs: [top, work], code, .. } = self;
        assert_eq!(call(&session.compile(top).unwrap(), &[6]), 7);
        assert_eq!(call(&session.compile_observed(top, &mut Silent).unwrap(), &[6]), 7);
        assert_eq!(session.compile(work).unwrap().artifact().unwrap().code, *code);
        let again = session.compile_observed(work, &mut Silent).unwrap();
        assert_eq!(again.artifact().unwrap().code, *code);
    }

    /// A definition that is refused as a whole: nothing of it is there afterwards.
    #[track_caller]
    fn refuses(&self, text: &str, wanted: &[&str]) {
        let before = self.session.snapshot();
        let compilations = self.session.statistics();
        // What stands before the mistake must not stay, either.
        let text = format!("{}{text}", constant("innocent", 1));
        for error in [self.session.define("bad.mq", &text), self.session.redefine("bad.mq", &text)] {
            let Err(SessionError::Definition(_, said)) = error else { panic!("{text} is taken: {error:?}") };
            wanted.iter().for_each(|part| assert!(said.contains(part), "no '{part}' in: {said}"));
        }
        assert!(Arc::ptr_eq(&before, &self.session.snapshot()), "the program is another one");
        assert_eq!(self.session.statistics(), compilations);
        self.is_sound();
    }

    /// A sound definition that no job can be made of.
    #[track_caller]
    fn does_not_compile(&self, text: &str, entry: &str, config: &Config, wanted: &[&str]) {
        self.session.redefine("bad.mq", text).unwrap();
        let job = self.session.job(entry, config).unwrap();
        for _ in 0..2 {
            let error = self.session.compile(&job).expect_err("it compiles").to_string();
            wanted.iter().for_each(|part| assert!(error.contains(part), "no '{part}' in: {error}"));
        }
        self.is_sound();
    }
}

#[test]
fn ambiguous_methods_are_both_named() {
    let bench = Bench::new();
    let text = "method left(a: Real, b: f32) -> i32 {\nentry:\n    return i32 1\n}\n
                method left(a: f32, b: Real) -> i32 {\nentry:\n    return i32 2\n}\n
                method ask(x: f32) -> i32 {\nentry:\n    r = call left(x, x)\n    return r\n}\n";
    let both = "left(Real, f32) -> i32 and left(f32, Real) -> i32 in table base both apply";
    bench.does_not_compile(text, "ask", &bench.native, &[both]);
    let error = bench.session.job("left(f32, f32)", &bench.native).unwrap_err().to_string();
    assert!(error.contains(both), "{error}");
    // What settles it is a method like any other.
    let third = "method left(a: f32, b: f32) -> i32 {\nentry:\n    return i32 3\n}\n
                 method asked(x: i32) -> i32 {\nentry:\n    y = stof.f32 x\n    r = call ask(y)\n    return r\n}\n";
    bench.session.define("t.mq", third).unwrap();
    let job = bench.session.job("asked", &bench.native).unwrap();
    assert_eq!(call(&bench.session.compile(&job).unwrap(), &[1]), 3);
}

#[test]
fn circles_of_types_are_named() {
    let bench = Bench::new();
    bench.refuses("abstract Own : Own\n", &["types cannot define each other: 'Own' by 'Own'"]);
    let mutual = "abstract One : Two\nabstract Two : One\n";
    bench.refuses(mutual, &["types cannot define each other: 'One' by 'Two' by 'One'"]);
    bench.refuses("impl i32 : Int\nabstract Int\n", &["types are defined before their use"]);
    let structs = "struct a { b: b }\nstruct b { c: c }\nstruct c { a: a }\n";
    bench.refuses(structs, &["'a' by 'b' by 'c' by 'a'"]);
}

#[test]
fn endless_specialisation_says_how_it_began() {
    let bench = Bench::new();
    let grow = "method grow<T>(x: T) -> i32 {\nentry:\n    y = make.box<T> x\n    r = call grow(y)\n    return r\n}\n
                method begin(x: i32) -> i32 {\nentry:\n    r = call grow(x)\n    return r\n}\n";
    let chain = "begin(i32) calls grow(i32) calls grow(box<i32>) calls grow(box<box<i32>>)";
    bench.does_not_compile(grow, "begin", &bench.native, &["specialisation of 'grow' does not end", chain]);
    let mutual = "method ping<T>(x: T) -> i32 {\nentry:\n    y = make.box<T> x\n    r = call pong(y)\n    return r\n}\n
                  method pong<T>(x: T) -> i32 {\nentry:\n    r = call ping(x)\n    return r\n}\n
                  method begin(x: i32) -> i32 {\nentry:\n    r = call ping(x)\n    return r\n}\n";
    let chain =
        "begin(i32) calls ping(i32) calls pong(box<i32>) calls ping(box<i32>) calls pong(box<box<i32>>)";
    bench.does_not_compile(mutual, "begin", &bench.native, &[chain]);
}

#[test]
fn a_provider_that_does_not_fit_is_named_with_what_it_should_be() {
    let bench = Bench::new();
    let mut backend = Backend::new("odd", target("ptx:sm_80"));
    backend.provider(&["odd"]);
    let odd = bench.session.add_backend(backend).unwrap();
    let lacking = bench.session.compile(&bench.session.job("work", &odd).unwrap()).unwrap_err().to_string();
    assert!(lacking.contains("(table odd) does not supply gpu_"), "{lacking}");
    let text = "overlay odd method gpu_global_id(d: i32) -> i64 {\nentry:\n    return i64 0\n}\n
                overlay odd method gpu_malloc(n: i64) -> i32 {\nentry:\n    return i32 0\n}\n";
    let both = "gpu_malloc(i64) -> i32 in table odd does not fit gpu_malloc(i64) -> ptr<global>";
    bench.does_not_compile(text, "work", &odd, &[both, "its results differ"]);
    let text = "overlay odd method gpu_malloc(n: i64, m: i64) -> ptr<global> {\nentry:\n    return ptr<global> null\n}\n";
    let malloc = bench.session.snapshot().all_methods_of("gpu_malloc").to_vec();
    let old = malloc.into_iter().rfind(|&m| bench.session.snapshot().is_alive(m, bench.session.world()));
    assert!(bench.session.delete(old.unwrap()).unwrap());
    bench.does_not_compile(text, "work", &odd, &["it takes 2 arguments, expected 1"]);
}

#[test]
fn overlays_of_device_functions_return_what_these_do() {
    let bench = Bench::new();
    let text = "overlay mine method global_id(d: i32) -> i32 {\nentry:\n    return i32 0\n}\n";
    bench
        .refuses(text, &["global_id(i32) -> i32 in table mine replaces global_id(i32) -> i64 in table base"]);
    let text = "overlay mine method leaf(x: i32) -> (i32, i32) {\nentry:\n    return x, x\n}\n";
    bench.refuses(text, &["leaf(i32) -> (i32, i32) in table mine replaces leaf(i32) -> i32 in table base"]);
    // From the other side, and through the API.
    let text = "overlay mine method late(x: i8) -> i32 {\nentry:\n    return i32 0\n}\n";
    bench.session.define("t.mq", text).unwrap();
    let base = "method late(x: i8) -> i64 {\nentry:\n    return i64 0\n}\n";
    bench.refuses(base, &["late(i8) -> i32 in table mine replaces late(i8) -> i64 in table base"]);
}

#[test]
fn the_tables_of_the_library_are_private() {
    let bench = Bench::new();
    for table in ["device", "standard"] {
        let text = format!("overlay {table} {}", constant("mine", 1));
        bench.refuses(&text, &[&format!("the {table} table is private")]);
    }
    let snapshot = bench.session.snapshot();
    // Nor are they a back-end's to list: it would see them where they are not meant to be seen, or in another order.
    for table in ["base", "device", "standard"] {
        let mut backend = Backend::new("sly", target("native"));
        backend.tables(&[table]);
        let error = bench.session.add_backend(backend).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "'{table}' is a table of the library, expected one of overlays, one of the back-end 'sly'"
            )
        );
        let mut backend = Backend::new("sly", target("ptx:sm_80"));
        backend.provider(&[table]);
        let added = bench.session.add_backend(backend);
        assert_eq!(added.is_ok(), table == "standard", "{table}");
    }
    // Nor is anything taken out of them, or changed in place.
    let own = |program: &Program| {
        program.methods().find(|(_, data)| data.table() == Table::DEVICE).map(|(method, _)| method)
    };
    let method = own(&snapshot).expect("the library has overlays");
    assert!(matches!(bench.session.delete(method), Err(SessionError::Private(_))));
    bench.is_sound();
}

#[test]
fn deleting_what_is_in_use_leaves_its_own_world_as_it_was() {
    let bench = Bench::new();
    let leaf = bench.session.snapshot().methods_of("leaf")[0];
    let held = bench.session.compile(&bench.jobs[0]).unwrap();
    assert!(bench.session.delete(leaf).unwrap());
    assert!(!bench.session.delete(leaf).unwrap(), "it is gone");
    // Code that runs is nobody's to take; the old world has the method, the new one says what it lacks and where.
    assert_eq!(call(&held, &[6]), 7);
    bench.is_sound();
    for (entry, config) in [("top", &bench.native), ("work", &bench.ptx)] {
        let job = bench.session.job(entry, config).unwrap();
        let error = bench.session.compile(&job).unwrap_err().to_string();
        assert!(error.contains("no method leaf(i32) in sight"), "{error}");
    }
    // An entry that is deleted is named with both worlds.
    let top = bench.session.snapshot().methods_of("top")[0];
    assert!(bench.session.delete(top).unwrap());
    let job = Job { world: bench.session.world(), ..bench.jobs[0].clone() };
    let error = bench.session.compile(&job).unwrap_err().to_string();
    let (gone, now) = (bench.session.world().0, job.world.0);
    let wanted =
        format!("top(i32) -> i32 was deleted or redefined in world {gone}, the job is of world {now}");
    assert!(error.contains(&wanted), "{error}");
    bench.is_sound();
}

/// What a job of a world that is yet to come would become is not known, so it is not compiled as if that were the present one.
#[test]
fn the_future_is_not_compiled() {
    let bench = Bench::new();
    let now = bench.session.world();
    let job = Job { world: World(now.0 + 1), ..bench.jobs[0].clone() };
    let error = bench.session.compile(&job).unwrap_err().to_string();
    assert_eq!(error, format!("world {} is yet to come: the present one is {}", now.0 + 1, now.0));
    assert!(bench.session.prepare(&job).is_err() && bench.session.results::<u32>(&job).is_none());
    bench.session.redefine("t.mq", "method leaf(x: i32) -> i32 {\nentry:\n    return i32 40\n}\n").unwrap();
    assert_eq!(bench.session.world(), job.world);
    assert_eq!(call(&bench.session.compile(&job).unwrap(), &[6]), 40);
    bench.is_sound();
}

/// What hosts build is looked at as what they write is.
#[test]
fn built_methods_are_verified() {
    let bench = Bench::new();
    let snapshot = bench.session.snapshot();
    let leaf = snapshot.method(snapshot.methods_of("leaf")[0]).clone();
    let mut other = leaf.clone();
    other.signature.results = vec![Type::I64];
    let error = bench.session.define_method(OpenTable::BASE, &other).unwrap_err().to_string();
    assert!(error.contains("return"), "{error}");
    let mine = snapshot.open_table("mine").unwrap();
    let overlay = bench.session.define_method(mine, &leaf).unwrap();
    assert_eq!(bench.session.snapshot().method(overlay).table(), mine.into());
    bench.is_sound();
}
