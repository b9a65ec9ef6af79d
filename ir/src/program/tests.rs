//! Programs whose methods come and go.

use super::{ExternData, MethodData, OpenTable, Program, World, Worlds};
use crate::entity::{Extern, Method, Table};
use crate::limits::MAX_METHODS;
use crate::signature::Signature;
use crate::span::Span;
use crate::text;
use crate::types::Type;

/// A program of two overloads and one method with a variable; the first of these, to be redefined.
fn program() -> (Program, MethodData) {
    let mut program = Program::new();
    let source = "method f(x: i32) {\nentry:\n    return\n}\nmethod f(x: f32) {\nentry:\n    return\n}\n\
                  method f<T>(x: T) {\nentry:\n    return\n}\n";
    let problems = text::parse(&mut program, "t.mq", source);
    assert!(problems.is_empty(), "{problems:?}");
    let first = program.methods_of("f")[0];
    let data = program.method(first).clone();
    (program, data)
}

#[test]
fn redefining_never_ends_if_the_past_is_forgotten() {
    let (mut program, data) = program();
    for n in 0..MAX_METHODS + 10 {
        let method = program.redefine_method(OpenTable::BASE, data.clone()).expect("there is room");
        if n % 1000 == 0 {
            program.forget_before(program.world());
            assert_eq!(program.kept_methods(), 3);
            assert_eq!(program.all_methods_of("f").len(), 3);
            assert!(program.is_alive(method, program.world()));
        }
    }
    assert!(program.method_count() > MAX_METHODS);
}

#[test]
fn what_is_forgotten_is_gone_and_the_rest_stays() {
    let (mut program, data) = program();
    let [first, second, third] = *program.methods_of("f") else { panic!() };
    let middle = program.redefine_method(OpenTable::BASE, data.clone()).expect("a method");
    let world = program.world();
    program.delete_method(second).expect("it is no library method");
    program.delete_method(third).expect("it is no library method");
    let last = program.redefine_method(OpenTable::BASE, data).expect("a method");
    assert_eq!(program.kept_methods(), 5);
    assert_eq!(program.forget_before(world), 1);
    assert_eq!((program.oldest_world(), program.forget_before(World(1))), (world, 0));
    assert!(!program.method_exists(first) && program.method(first).name.is_empty());
    assert_eq!(program.lifetime(middle), Worlds { from: world, until: program.world() });
    assert_eq!(program.all_methods_of("f"), [second, third, middle, last]);
    let changes: Vec<Method> = program.changes_since(world).collect();
    assert_eq!(changes, [second, third, last]);
    // More than there is to forget: the present is kept.
    assert_eq!(program.forget_before(World::MAX), 3);
    assert_eq!(program.oldest_world(), program.world());
    let overloads = program.overloads("f").expect("a function");
    assert_eq!(overloads.taking(Table::BASE, &[Type::I32]), [last]);
    assert!(overloads.taking(Table::BASE, &[Type::F32]).is_empty());
    assert_eq!(overloads.generic(Table::BASE, &[Type::F32]).count(), 0);
    assert_eq!(program.methods().count(), 1);
    // An id is never used again.
    assert_eq!(program.changes_since(program.world()).count(), 0);
    assert!(!program.delete_method(first).expect("it is nobody's"));
}

#[test]
fn a_function_of_the_host_is_there_from_its_world_on() {
    let mut program = Program::new();
    let host = |name: &str| ExternData {
        name: name.into(),
        link_name: name.into(),
        signature: Signature::new([Type::I32], []),
        file: None,
        span: Span::NOWHERE,
    };
    let before = program.world();
    let first = program.add_extern(host("first")).expect("a function");
    let between = program.world();
    let second = program.add_extern(host("second")).expect("a function");
    assert!(before < between && between < program.world());
    assert_eq!(program.add_extern(host("first")), Err(first));
    let there = |world: World| ["first", "second"].map(|name| program.find_extern_in(name, world));
    assert_eq!(there(before), [None, None]);
    assert_eq!(there(between), [Some(first), None]);
    assert_eq!(there(program.world()), [Some(first), Some(second)]);
    assert_eq!(program.extern_lifetime(second).before(), Worlds { from: World(0), until: program.world() });
    let since = |world| program.externs_since(world).collect::<Vec<Extern>>();
    assert_eq!((since(before), since(between)), (vec![first, second], vec![second]));
    assert_eq!(program.changes_since(before).count(), 0);
    // What is forgotten is what changed, not what is there.
    program.forget_before(World::MAX);
    assert_eq!(program.externs_since(before).count(), 0);
    assert_eq!(program.find_extern_in("first", program.world()), Some(first));
}
