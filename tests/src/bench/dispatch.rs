//! `marq-bench dispatch`: look-ups, changes and what they invalidate, with 100,000 methods of 1,000 functions in 4 tables.

use super::measure::{micros, once};
use super::table::Table;
use super::{Options, Outcome};
use marquetry::compile::Target;
use marquetry::session::{Backend, Session};
use marquetry_ir::body::Body;
use marquetry_ir::entity::Func;
use marquetry_ir::program::{MethodData, OpenTable, Program, Variable, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::types::{Abstract, Scalar, Space, Type};
use marquetry_lower::dispatch::edges::{Dependents, Edge, Instance};
use marquetry_lower::dispatch::memo::SignatureId;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::{View, overlays};
use marquetry_lower::job::OptLevel;
use std::hint::black_box;
use std::time::Instant;

/// Look-ups, changes of the program, and what they invalidate
#[derive(clap::Args, Debug)]
pub(super) struct Dispatch {
    /// Instances that depend on what is redefined
    #[arg(long, default_value_t = 10_000)]
    dependents: u32,
}

const FUNCTIONS: usize = 1000;
const METHODS: usize = 100;

/// The tables besides base, first asked first.
const OVERLAYS: [&str; 3] = ["first", "second", "third"];

fn method(name: &str, params: Vec<Type>, variables: Vec<Variable>) -> MethodData {
    let mut data = MethodData::function(name, Signature::new(params, []), Body::new());
    data.variables = variables;
    data
}

fn concrete(n: usize) -> Type {
    let scalars = Scalar::ALL.map(Type::scalar);
    match n % 16 {
        n if n < 10 => scalars[n],
        n => Type::pointer(Space::ALL[n - 10]),
    }
}

/// A quarter of the methods have variables; those of one function are 25 per table.
fn methods(program: &mut Program) -> Result<Vec<(OpenTable, MethodData)>, String> {
    let real = program.types.abstract_type("Real", Abstract::ANY).map_err(|e| e.to_string())?;
    program.types.implement(Type::F32, real).map_err(|e| e.to_string())?;
    program.types.implement(Type::F64, real).map_err(|e| e.to_string())?;
    let t = program.types.variable("T").map_err(|e| e.to_string())?;
    let mut tables = vec![OpenTable::BASE];
    for name in OVERLAYS {
        tables.push(program.table(name).map_err(|error| error.to_string())?);
    }
    let mut list = Vec::new();
    for function in 0..FUNCTIONS {
        let name = format!("function{function}");
        for n in 0..METHODS {
            let (table, n) = (tables[n % 4], n / 4);
            if n % 4 == 3 {
                let bound = if n % 8 == 3 { real } else { Abstract::ANY };
                let variables = vec![Variable { ty: t, bound }];
                list.push((table, method(&name, vec![t, t, concrete(n / 8), concrete(n)], variables)));
            } else {
                let params = vec![concrete(n), concrete(n / 2), concrete(n / 3)];
                list.push((table, method(&name, params, Vec::new())));
            }
        }
    }
    Ok(list)
}

impl Dispatch {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let mut table = Table::new(
            "dispatch, 100,000 methods of 1,000 functions in 4 tables",
            &["what", "us", "at most"],
        );
        let mut misses = Vec::new();
        let mut row = |what: &str, found: f64, most: f64| {
            table.row(vec![what.into(), found.into(), most.into()]);
            if found > most {
                misses.push(what.to_owned());
            }
        };
        let mut program = Program::new();
        let list = methods(&mut program)?;
        let (_, adding) = once(|| {
            for (table, data) in list {
                // Some repeat: these are refused.
                let _ = black_box(program.add_method(table, data));
            }
        });
        row("adding all", adding, 500_000.0);
        let view = View::native(&overlays(&program, &OVERLAYS).map_err(|error| error.to_string())?);
        let signatures = signatures();
        let mut found = 0;
        let (_, cold) = once(|| {
            for (name, arguments) in &signatures {
                found += usize::from(look_up(&program, &view, name, arguments).answer != Answer::Nothing);
            }
        });
        if found <= 1000 {
            return Err(format!("{found} look-ups found something"));
        }
        row("a cold look-up", cold / signatures.len() as f64, 5.0);
        let [one, eight, named] = repeated(program.clone(), &signatures)?;
        row("session: a repeated look-up", one, 0.06);
        row("session: a repeated look-up from 8 threads", eight, 0.06);
        row("session: a job for a call that was asked before", named, 5.0);
        row(
            "dependents found after a redefinition",
            invalidated(&mut program, &view, self.dependents)?,
            10_000.0,
        );
        let [define, hit, close] = in_a_session(program, self.dependents)?;
        row("session: a method defined", define, 20_000.0);
        row("session: a job from the cache", hit, 2.0);
        row("session: a redefinition that closes all callers", close, 10_000.0);
        table.print(options.json);
        match misses[..] {
            [] => Ok(()),
            _ => Err(format!("too slow: {}", misses.join(", "))),
        }
    }
}

fn signatures() -> Vec<(String, Vec<Type>)> {
    let signature = |n: usize| {
        let arguments = match n % 3 {
            0 => vec![concrete(n), concrete(n / 2), concrete(n / 3)],
            1 => vec![Type::F32, Type::F32, concrete(n % 3), concrete(n % 25)],
            _ => vec![Type::I8, Type::I8, concrete(n % 3), concrete(n % 25)],
        };
        (format!("function{}", n * 7 % FUNCTIONS), arguments)
    };
    (0..20_000).map(signature).collect()
}

/// Microseconds per look-up of a session by the id of a call, from one thread and from eight; and per job by name and types.
fn repeated(program: Program, signatures: &[(String, Vec<Type>)]) -> Result<[f64; 3], String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let session = Session::over(program);
    let target = Target::parse("native", OptLevel::None).map_err(|error| text(&error))?;
    let mut backend = Backend::new("overlaid", target);
    backend.tables(&OVERLAYS);
    let config = session.add_backend(backend).map_err(|error| text(&error))?;
    let look_ups = session.look_ups(&config).map_err(|error| text(&error))?;
    let ids: Option<Vec<SignatureId>> =
        signatures.iter().map(|(name, arguments)| look_ups.intern(name, arguments)).collect();
    let ids = ids.ok_or("too many signatures")?;
    const ROUNDS: usize = 20;
    let all = || {
        for _ in 0..ROUNDS {
            ids.iter().for_each(|&id| {
                black_box(look_ups.answer(id));
            });
        }
    };
    let count = (ids.len() * ROUNDS) as f64;
    all();
    let (_, one) = once(all);
    // More threads than cores take turns; what one look-up costs shows no lock.
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    let start = Instant::now();
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(all))));
    let eight = micros(start.elapsed()) * cores as f64 / 8.0;
    let meant = |id: &SignatureId| {
        look_ups.answer(*id).is_some_and(|found| matches!(found.answer, Answer::Method(_)))
    };
    let found: Vec<&(String, Vec<Type>)> =
        signatures.iter().zip(&ids).filter(|(_, id)| meant(id)).map(|(signature, _)| signature).collect();
    let (_, named) = once(|| {
        for (name, arguments) in &found {
            let _ = black_box(session.job_of(name, arguments, &config));
        }
    });
    Ok([one / count, eight / count, named / found.len() as f64])
}

/// Microseconds from a redefinition to the list of those that it concerns, each of which called it with other types.
fn invalidated(program: &mut Program, view: &View, count: u32) -> Result<f64, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let t = program.types.variable("T").map_err(|error| text(&error))?;
    let variables = vec![Variable { ty: t, bound: Abstract::ANY }];
    let callee = || method("callee", vec![t], variables.clone());
    let first = program.add_method(OpenTable::BASE, callee()).map_err(|error| text(&error))?;
    let caller = method("caller", Vec::new(), Vec::new());
    let caller = program.add_method(OpenTable::BASE, caller).map_err(|error| text(&error))?;
    let mut all = Vec::new();
    for n in 0..count {
        all.push(program.types.array(Type::I8, u64::from(n) + 1).map_err(|error| text(&error))?);
    }
    let (types, mut dependents) = (program.types.clone(), Dependents::new());
    for (n, ty) in (0..).zip(all) {
        let arguments = [ty].into();
        let edge = Edge { name: "callee".into(), arguments, answer: Answer::Method(first) };
        let instance = Instance {
            func: Func::from_u32(n),
            method: caller,
            arguments: [].into(),
            edges: vec![edge],
            worlds: Worlds::ALL,
            alone: None,
        };
        dependents.add(program, &types, view, &instance).map_err(|error| error.to_string())?;
    }
    let world = program.world();
    program.redefine_method(OpenTable::BASE, callee()).map_err(|error| format!("{error:?}"))?;
    let (stale, time) = once(|| dependents.invalidated_since(program, world));
    if stale.len() == count as usize { Ok(time) } else { Err(format!("{} are stale", stale.len())) }
}

/// Microseconds to define a method in a session over a large program, to get a job's code from the cache, and to redefine
/// what very many entries call.
fn in_a_session(program: Program, count: u32) -> Result<[f64; 3], String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let session = Session::over(program);
    let target = Target::parse("native", OptLevel::None).map_err(|error| text(&error))?;
    let config = session.add_backend(Backend::new("native", target)).map_err(|error| text(&error))?;
    let mut source = String::from("method leaf() -> i32 {\nentry:\n    return i32 1\n}\n");
    for n in 0..count {
        source += &format!("method caller{n}() -> i32 {{\nentry:\n    r = call leaf()\n    return r\n}}\n");
    }
    session.define("callers.mq", &source).map_err(|error| text(&error))?;
    for n in 0..count {
        let job = session.job(&format!("caller{n}"), &config).map_err(|error| text(&error))?;
        session.prepare(&job).map_err(|error| text(&error))?;
    }
    // The first change takes in what was prepared; the second is what a change costs.
    let define = |name: &str| {
        session.define("one.mq", &format!("method {name}() -> i32 {{\nentry:\n    return i32 1\n}}\n"))
    };
    define("one").map_err(|error| text(&error))?;
    let (done, defined) = once(|| define("two"));
    done.map_err(|error| text(&error))?;
    let job = session.job("caller0", &config).map_err(|error| text(&error))?;
    session.compile(&job).map_err(|error| text(&error))?;
    const HITS: u32 = 10_000;
    let (_, hits) = once(|| {
        for _ in 0..HITS {
            let _ = black_box(session.compile(&job));
        }
    });
    let leaf = "method leaf() -> i32 {\nentry:\n    return i32 2\n}\n";
    let (done, closed) = once(|| session.redefine("leaf.mq", leaf));
    done.map_err(|error| text(&error))?;
    match session.statistics().invalidations {
        found if found == u64::from(count) => Ok([defined, hits / f64::from(HITS), closed]),
        found => Err(format!("{found} entries were closed, expected {count}")),
    }
}
