//! What a job becomes depends on the program and on the config, and on nothing that was compiled before: after each of many
//! changes, what a session gives is what a session gives that never saw anything else. And a job is compiled again only
//! if it becomes something else.

use crate::support::target;
use marquetry::session::{Backend, Config, Session, SessionError};
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_lower::job::OptLevel;
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
    let job = session.job("k", config).map_err(|error| error.to_string())?;
    let compiled = session.compile(&job).map_err(|error: SessionError| error.to_string())?;
    Ok(compiled.artifact().expect("code for a device").code.clone())
}

fn alive(program: &Program) -> Vec<Method> {
    let world = program.world();
    let ours = program.methods().filter(|(method, data)| {
        data.name.len() == 2 && data.name.starts_with('f') && program.is_alive(*method, world)
    });
    ours.map(|(method, _)| method).collect()
}

fn change(session: &Session, random: &mut Random, number: usize) {
    let methods = alive(&session.snapshot());
    if random.below(4) == 0 && !methods.is_empty() {
        assert!(session.delete(methods[random.below(methods.len())]).unwrap());
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
            session.define("t.mq", &method("", function, "<T>(x: T)", function)).unwrap();
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
                    assert_ne!(found, before[n], "{}, step {step}: compiled again for nothing", config.backend);
                } else if found.is_ok() {
                    kept += 1;
                } else {
                    refused += 1;
                }
                before[n] = found;
            }
        }
    }
    assert!(again > 50 && kept > 50 && refused > 10, "{again} compiled again, {kept} kept, {refused} refused");
}
