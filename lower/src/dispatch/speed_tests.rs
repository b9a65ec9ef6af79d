//! How fast dispatch is with 100,000 methods of 1,000 functions in 4 tables. Run with
//! `cargo test --release -p marquetry-lower --lib dispatch::speed -- --ignored --nocapture`.

use super::edges::{Dependents, Edge, Instance};
use super::memo::Memo;
use super::resolve::{Answer, look_up};
use super::view::View;
use marquetry_ir::body::Body;
use marquetry_ir::entity::{Func, Table};
use marquetry_ir::program::{Inlining, MethodData, MethodKind, Program, Variable, Worlds};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::{Abstract, Scalar, Space, Type};
use std::hint::black_box;
use std::time::{Duration, Instant};

const FUNCTIONS: usize = 1000;
const METHODS: usize = 100;

fn method(name: &str, table: Table, params: Vec<Type>, variables: Vec<Variable>) -> MethodData {
    MethodData {
        name: name.into(),
        table,
        kind: MethodKind::Function,
        signature: Signature::new(params, []),
        variables,
        body: Body::new(),
        inlining: Inlining::Auto,
        consistent: false,
        file: None,
        span: Span::NOWHERE,
    }
}

fn concrete(n: usize) -> Type {
    let scalars = Scalar::ALL.map(Type::scalar);
    match n % 16 {
        n if n < 10 => scalars[n],
        n => Type::pointer(Space::ALL[n - 10]),
    }
}

/// A quarter of the methods have variables; those of one function are 25 per table.
fn methods(program: &mut Program) -> Vec<MethodData> {
    let real = program.types.abstract_type("Real", Abstract::ANY).expect("new");
    program.types.implement(Type::F32, real).expect("a scalar");
    program.types.implement(Type::F64, real).expect("a scalar");
    let t = program.types.variable("T").expect("few");
    let tables = [Table::BASE, program.table("first"), program.table("second"), program.table("third")];
    let mut list = Vec::new();
    for function in 0..FUNCTIONS {
        let name = format!("function{function}");
        for n in 0..METHODS {
            let (table, n) = (tables[n % 4], n / 4);
            if n % 4 == 3 {
                let bound = if n % 8 == 3 { real } else { Abstract::ANY };
                let variables = vec![Variable { ty: t, bound }];
                list.push(method(&name, table, vec![t, t, concrete(n / 8), concrete(n)], variables));
            } else {
                list.push(method(
                    &name,
                    table,
                    vec![concrete(n), concrete(n / 2), concrete(n / 3)],
                    Vec::new(),
                ));
            }
        }
    }
    list
}

fn report(what: &str, found: Duration, limit: Duration) {
    println!("{what}: {found:?} (at most {limit:?})");
    assert!(found <= limit, "{what}: {found:?}, the most is {limit:?}");
}

fn per(total: Duration, count: usize) -> Duration {
    total / u32::try_from(count).expect("small")
}

#[test]
#[ignore = "measures time"]
fn speed() {
    let mut program = Program::new();
    let list = methods(&mut program);
    let start = Instant::now();
    for data in list {
        // Some repeat: these are refused.
        let _ = black_box(program.add_method(data));
    }
    report("adding 100,000 methods", start.elapsed(), Duration::from_millis(500));

    let tables = ["first", "second", "third"].map(|name| program.find_table(name).expect("it exists"));
    let view = View::native(&tables);
    let mut signatures: Vec<(String, Vec<Type>)> = Vec::new();
    for n in 0..20_000 {
        let name = format!("function{}", n * 7 % FUNCTIONS);
        let arguments = match n % 3 {
            0 => vec![concrete(n), concrete(n / 2), concrete(n / 3)],
            1 => vec![Type::F32, Type::F32, concrete(n % 3), concrete(n % 25)],
            _ => vec![Type::I8, Type::I8, concrete(n % 3), concrete(n % 25)],
        };
        signatures.push((name, arguments));
    }
    let start = Instant::now();
    let mut found = 0;
    for (name, arguments) in &signatures {
        found += usize::from(look_up(&program, &view, name, arguments).answer != Answer::Nothing);
    }
    assert!(found > 1000);
    report("a cold look-up", per(start.elapsed(), signatures.len()), Duration::from_micros(5));

    let memo = Memo::new(&program, &view);
    let ids: Vec<_> =
        signatures.iter().map(|(name, arguments)| memo.intern(name, arguments).expect("few")).collect();
    ids.iter().for_each(|&id| assert!(memo.look_up(&program, id).is_some()));
    let repeated = || {
        let start = Instant::now();
        for _ in 0..20 {
            for &id in &ids {
                black_box(memo.look_up(&program, id));
            }
        }
        per(start.elapsed(), ids.len() * 20)
    };
    report("a repeated look-up", repeated(), Duration::from_nanos(60));
    // More threads than cores take turns; what one look-up costs shows no lock.
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let start = Instant::now();
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| black_box(repeated())))));
    let all = per(start.elapsed(), ids.len() * 20 * 8) * u32::try_from(cores.min(8)).expect("small");
    report("a repeated look-up from 8 threads", all, Duration::from_nanos(60));

    let mut dependents = Dependents::new();
    let types = program.types.clone();
    let arguments: Box<[Type]> = [Type::F32].into();
    let callee = program.add_method(method("callee", Table::BASE, arguments.to_vec(), Vec::new()));
    let callee = callee.expect("new");
    for n in 0..10_000 {
        let edge =
            Edge { name: "callee".into(), arguments: arguments.clone(), answer: Answer::Method(callee) };
        let instance = Instance {
            func: Func::from_u32(n),
            method: callee,
            arguments: arguments.clone(),
            edges: vec![edge],
            worlds: Worlds::ALL,
        };
        dependents.add(&mut program, &types, &view, &instance).expect("same types");
    }
    let world = program.world();
    program.redefine_method(method("callee", Table::BASE, arguments.to_vec(), Vec::new())).expect("base");
    let start = Instant::now();
    let stale = dependents.invalidated_since(&program, world);
    assert_eq!(stale.len(), 10_000);
    report("invalidating 10,000 dependents", start.elapsed(), Duration::from_millis(10));
}
