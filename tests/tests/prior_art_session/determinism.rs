//! What a job becomes depends on the program and on the config, and on nothing that was compiled before: after each of many
//! changes, what a session gives is what a session gives that never saw anything else. And a job is compiled again only
//! if it becomes something else.

use crate::support::target;
use marquetry::session::{Backend, Config, Session, SessionError};
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_ir::types::{Space, Type};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{self as lower, OptLevel};
use marquetry_lower::specialise;
use std::fmt::Write;

/// A small linear congruential generator: the same programs on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as usize
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// How many functions there are; each calls the one below it.
const FUNCTIONS: usize = 3;
const TABLES: [&str; 5] = ["", "", "overlay lower ", "overlay upper ", "overlay nobodys "];
const PARAMETERS: [&str; 5] = ["(x: i32)", "(x: f32)", "(x: Real)", "<T>(x: T)", "<T: Real>(x: T)"];

/// A method that is told apart from all others by its number.
fn method(table: &str, function: usize, parameters: &str, number: usize) -> String {
    let mut text = format!("{table}method f{function}{parameters} -> i32 noinline {{\nentry:\n");
    let below = function.checked_sub(1);
    let _ = match below {
        Some(below) => writeln!(text, "    a = call f{below}(x)\n    b = call f{below}(a)\n    c = xor a, b"),
        None => writeln!(text, "    c = add i32 1, i32 2"),
    };
    let _ = writeln!(text, "    r = add c, i32 {number}\n    return r\n}}");
    text
}

const KERNEL: &str = "abstract Real\nimpl f32 : Real\nkernel k(p: ptr<global>, i: i32, f: f32) {\nentry:\n    \
                      a = call f2(i)\n    b = call f2(f)\n    c = xor a, b\n    store p, c\n    return\n}\n";
/// Overloads of the kernel, which nothing calls: its symbol must tell it from those that its jobs see.
const KERNELS: [(&str, &str); 3] =
    [("overlay lower ", "q: ptr<global>"), ("overlay nobodys ", "n: i8"), ("", "n: i16")];

fn backends(session: &Session) -> Vec<Config> {
    let add = |name: &str, text: &str, tables: &[&str]| {
        let mut backend = Backend::new(name, target(text));
        backend.tables(tables);
        let mut config = session.add_backend(backend).unwrap();
        config.options.opt_level = OptLevel::None;
        config
    };
    vec![
        add("plain", "ptx:sm_80", &[]),
        add("one", "ptx:sm_80", &["lower"]),
        add("both", "spirv:opencl2.1", &["upper", "lower"]),
    ]
}

/// What becomes of the kernel: code, or why there is none.
fn made(session: &Session, config: &Config) -> Result<Vec<u8>, String> {
    let arguments = [Type::pointer(Space::Global), Type::I32, Type::F32];
    let job = session.job_of("k", &arguments, config).map_err(|error| error.to_string())?;
    let compiled = session.compile(&job).map_err(|error: SessionError| error.to_string())?;
    Ok(compiled.artifact().expect("code for a device").code.clone())
}

fn alive(program: &Program) -> Vec<Method> {
    let world = program.world();
    let ours = program.methods().filter(|(method, data)| {
        let is_overload = &*data.name == "k" && data.signature.params.len() == 1;
        let is_function = data.name.len() == 2 && data.name.starts_with('f');
        (is_overload || is_function) && program.is_alive(*method, world)
    });
    ours.map(|(method, _)| method).collect()
}

fn change(session: &Session, random: &mut Random, number: usize) {
    let methods = alive(&session.snapshot());
    if random.below(4) == 0 && !methods.is_empty() {
        assert!(session.delete(methods[random.below(methods.len())]).unwrap());
        return;
    }
    if random.below(8) == 0 {
        let (table, parameter) = KERNELS[random.below(KERNELS.len())];
        let text = format!("{table}kernel k({parameter}) {{\nentry:\n    return\n}}\n");
        session.redefine("k.mq", &text).unwrap();
        return;
    }
    let (table, parameters) = (random.pick(&TABLES), random.pick(&PARAMETERS));
    session.redefine("t.mq", &method(table, random.below(FUNCTIONS), parameters, number)).unwrap();
}

#[test]
fn what_was_compiled_before_changes_nothing() {
    let mut random = Random(3);
    let (mut again, mut kept, mut refused) = (0, 0, 0);
    for _ in 0..12 {
        let session = Session::new();
        session.define("k.mq", KERNEL).unwrap();
        for function in 0..FUNCTIONS {
            session.define("t.mq", &method("", function, "(x: i32)", function)).unwrap();
            session.define("t.mq", &method("", function, "(x: f32)", 10 + function)).unwrap();
        }
        let configs = backends(&session);
        let mut before: Vec<_> = configs.iter().map(|config| made(&session, config)).collect();
        for step in 0..16 {
            change(&session, &mut random, 100 + step);
            let fresh = Session::over(Program::clone(&session.snapshot()));
            let fresh_configs = backends(&fresh);
            for (n, config) in configs.iter().enumerate() {
                let compilations = session.statistics().compilations;
                let found = made(&session, config);
                let wanted = made(&fresh, &fresh_configs[n]);
                let text = |made: &Result<Vec<u8>, String>| match made {
                    Ok(code) => String::from_utf8_lossy(code).into_owned(),
                    Err(why) => why.clone(),
                };
                assert_eq!(text(&found), text(&wanted), "{}, step {step}", config.backend);
                if session.statistics().compilations > compilations {
                    again += 1;
                    assert_ne!(
                        found, before[n],
                        "{}, step {step}: compiled again for nothing",
                        config.backend
                    );
                } else if found.is_ok() {
                    kept += 1;
                } else {
                    refused += 1;
                }
                before[n] = found;
            }
        }
    }
    assert!(
        again > 50 && kept > 50 && refused > 10,
        "{again} compiled again, {kept} kept, {refused} refused"
    );
}

/// What a function is called depends on what its job calls, so that overloads nobody calls change nothing; what an entry is
/// called, on what its job sees, so that code for two of them can be linked. That is a dependency like any other.
#[test]
fn symbols_depend_on_nothing_that_was_compiled_before() {
    let session = Session::new();
    let config = session.add_backend(Backend::new("ptx", target("ptx:sm_80"))).unwrap();
    let text = "method leaf(x: i32) -> i32 noinline {\nentry:\n    y = mul x, x\n    return y\n}\n
                kernel top(p: ptr<global>) {\nentry:\n    x = load.i32 p\n    a = call leaf(x)\n    store p, a\n    return\n}\n";
    session.define("t.mq", text).unwrap();
    let made = |session: &Session| {
        let job = session.job_of("top", &[Type::pointer(Space::Global)], &config).unwrap();
        let compiled = session.compile(&job).unwrap();
        String::from_utf8(compiled.artifact().unwrap().code.clone()).unwrap()
    };
    let first = made(&session);
    assert!(first.contains(".entry top(") && first.contains("leaf("), "{first}");
    let overload = "method leaf(x: f32) -> i32 noinline {\nentry:\n    return i32 2\n}\n";
    session.define("t.mq", overload).unwrap();
    assert_eq!((made(&session), session.statistics().compilations), (first.clone(), 1));
    let fresh = |session: &Session| {
        let fresh = Session::over(Program::clone(&session.snapshot()));
        fresh.add_backend(Backend::new("ptx", target("ptx:sm_80"))).unwrap();
        made(&fresh)
    };
    assert_eq!(fresh(&session), first);
    // Of a table that the job does not see.
    session.define("t.mq", "overlay nobodys kernel top(n: i8) {\nentry:\n    return\n}\n").unwrap();
    assert_eq!((made(&session), session.statistics().compilations), (first.clone(), 1));
    assert_eq!(fresh(&session), first);
    session.define("t.mq", "kernel top(n: i16) {\nentry:\n    return\n}\n").unwrap();
    let told_apart = made(&session);
    assert_eq!(session.statistics().compilations, 2);
    assert!(told_apart.contains("_Z3top") && !told_apart.contains(".entry top("), "{told_apart}");
    assert_eq!(fresh(&session), told_apart);
    // And back.
    let overload = *session.snapshot().methods_of("top").last().unwrap();
    assert!(session.delete(overload).unwrap());
    assert_eq!(made(&session), first);
    // Those whose address or call a job has are told apart in its own code.
    let both = "kernel both(p: ptr<global>) {\nentry:\n    a = call leaf(i32 1)\n    b = call leaf(f32 1.0)\n    \
                c = add a, b\n    store p, c\n    return\n}\n";
    session.define("t.mq", both).unwrap();
    let job = session.job("both", &config).unwrap();
    let unit = specialise::run(
        &session.snapshot(),
        &lower::Job::new(vec![job.entry.method], View::device(&[]), OptLevel::None),
    );
    let names: Vec<String> = unit.unwrap().funcs.values().map(|function| function.name.to_string()).collect();
    assert_eq!(names, ["both", "leaf(i32)", "leaf(f32)"]);
}
