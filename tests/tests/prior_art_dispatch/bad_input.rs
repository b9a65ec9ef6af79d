//! Bad input: each a clear error, and the world before stays usable.

use super::*;

#[test]
fn deleting_a_method_in_use_concerns_the_worlds_after_only() {
    let mut program = program(OVERLAID);
    let job = native(&program, "kernel");
    let before = program.world();
    let old = text::print_unit(&specialised(&program, &job));
    let base = method(&program, "child");
    assert_eq!(program.delete_method(base), Ok(true));
    let found = refused(&program, &job);
    assert_eq!(found, ["no method child() in sight | in function 'kernel'"]);
    let pinned = Job { view: View::native(&[]).at(before), ..job };
    assert_eq!(text::print_unit(&specialised(&program, &pinned)), old);
    assert_eq!(program.delete_method(base), Ok(false), "it is gone already");
}

#[test]
fn v7_a_method_newer_than_the_world_of_its_job_names_both_worlds() {
    let mut program = program(OVERLAID);
    let world = program.world();
    let data = program.method(method(&program, "kernel")).clone();
    let new = program.redefine_method(OpenTable::BASE, data).unwrap();
    let view = View::native(&[]).at(world);
    let job = Job::new(vec![new], view, OptLevel::None);
    let found = refused(&program, &job);
    assert_eq!(found, ["kernel() -> i32 was defined in world 4, the job is of world 3"]);
    let old = *program.all_methods_of("kernel").first().unwrap();
    let found = refused(&program, &Job::new(vec![old], View::native(&[]), OptLevel::None));
    assert_eq!(found, ["kernel() -> i32 was deleted or redefined in world 4, the job is of world 4"]);
}

#[test]
fn specialisation_without_end_is_found_and_leaves_the_program_as_it_was() {
    let source = "\
struct box<T> { value: T }
method grow<T>(x: T) {\nentry:\n    y = make.box<T> x\n    call grow(y)\n    return\n}
method ping<T>(x: T) {\nentry:\n    y = make.box<T> x\n    call pong(y)\n    return\n}
method pong<T>(x: T) {\nentry:\n    y = make.array<T, 2> x, x\n    call ping(y)\n    return\n}
method f() {\nentry:\n    call grow(i32 1)\n    return\n}
method g() {\nentry:\n    call ping(i32 1)\n    return\n}
method fine(x: i32) -> i32 {\nentry:\n    return x\n}\n";
    let program = program(source);
    for entry in ["f", "g"] {
        let found = refused(&program, &native(&program, entry));
        assert!(found[0].contains("does not end"), "{found:?}");
        assert!(found[0].len() < 2000, "{}", found[0].len());
    }
    assert_eq!(call(&specialised(&program, &native(&program, "fine")), &[Val::i32(3)]), [Val::i32(3)]);
}

#[test]
fn ambiguous_definitions_name_both_where_a_call_meets_them() {
    let source = "\
method f(x: Any, y: i32) {\nentry:\n    return\n}
method f(x: i32, y: Any) {\nentry:\n    return\n}
method g() {\nentry:\n    call f(i32 1, i32 2)\n    return\n}
method h() {\nentry:\n    call f(i32 1, i8 2)\n    return\n}\n";
    let program = program(source);
    let found = refused(&program, &native(&program, "g"));
    assert!(found[0].contains("f(Any, i32) and f(i32, Any)"), "{found:?}");
    specialised(&program, &native(&program, "h"));
}

#[test]
fn entries_of_no_such_types_are_refused() {
    let mut program =
        program("abstract Real\nimpl f32 : Real\nmethod f<T: Real>(x: T) {\nentry:\n    return\n}\n");
    let f = method(&program, "f");
    let with = |arguments: &[Type]| instance(f, arguments);
    specialised(&program, &with(&[Type::F32]));
    let found = refused(&program, &with(&[Type::I32]));
    assert_eq!(found, ["f<T: Real>(T): argument 1 is i32, expected T"]);
    assert_eq!(refused(&program, &with(&[])), ["f<T: Real>(T): takes 1 argument, found 0"]);
    let open = program.types.variable("T").unwrap();
    assert!(refused(&program, &with(&[open]))[0].contains("argument type T is not concrete"));
    let found = refused(&program, &Job::new(vec![f], View::native(&[]), OptLevel::None));
    assert!(found[0].contains("as an entry it needs the types of its arguments"), "{found:?}");
    let error = specialise::instantiate(&mut program, f, &[Type::I8]).unwrap_err();
    assert!(error.to_string().contains("argument 1 is i8, expected T"), "{error}");
}
