//! Explanations of decisions.

use super::*;
use marquetry_lower::dispatch::explain::explain;

#[track_caller]
fn rendered(source: &str, call: &str, tables: &[&str]) -> String {
    let mut program = program(source);
    let tables: Vec<_> = tables.iter().map(|name| program.table(name).unwrap()).collect();
    let (name, arguments) = text::parse_call(&mut program, call).unwrap();
    let view = View::native(&tables);
    explain(&program, &program.types, &view, &name, &arguments).render(&program, &program.types)
}

#[test]
fn newtypes_packs_and_variables_in_order_of_tables() {
    let source = "\
abstract Length
newtype meters : Length = f32
newtype feet : Length = f32
newtype tagged<T> = T
method f(x: meters) -> i32 {\nentry:\n    return i32 1\n}
method f(x: Length) -> i32 {\nentry:\n    return i32 2\n}
method f(x: f32, more: Any...) -> i32 {\nentry:\n    return i32 3\n}
method f<T>(x: tagged<T>) -> i32 {\nentry:\n    return i32 4\n}
overlay top method f(x: feet) -> i32 {\nentry:\n    return i32 5\n}\n";
    let wanted = "\
f(meters) -> base: f(meters) -> i32
table top
    f(feet) -> i32: argument 1 is meters, expected feet
table base
    f(meters) -> i32: chosen
    f(Length) -> i32: applies, but f(meters) -> i32 is more specific
    f(f32, Any...) -> i32: argument 1 is meters, expected f32
    f<T>(tagged<T>) -> i32: argument 1 is meters, expected tagged<T>\n";
    assert_eq!(rendered(source, "f(meters)", &["top"]), wanted);
    let wanted = "\
f(feet) -> top: f(feet) -> i32
table top
    f(feet) -> i32: chosen
table base
    f(meters) -> i32: argument 1 is feet, expected meters
    f(Length) -> i32: applies, but table top is asked first
    f(f32, Any...) -> i32: argument 1 is feet, expected f32
    f<T>(tagged<T>) -> i32: argument 1 is feet, expected tagged<T>\n";
    assert_eq!(rendered(source, "f(feet)", &["top"]), wanted);
    assert!(rendered(source, "f(f32, i8, meters)", &[]).contains("f(f32, Any...) -> i32: chosen"));
    assert!(rendered(source, "f(tagged<meters>)", &[]).contains("f<T>(tagged<T>) -> i32: chosen"));
    let none = rendered(source, "f()", &[]);
    assert!(none.starts_with("f() -> no method\n"), "{none}");
    assert!(none.contains("f(f32, Any...) -> i32: takes at least 1 argument, found 0"), "{none}");
}
