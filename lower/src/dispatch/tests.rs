//! Look-ups, worlds and edges.

use super::edges::Dependents;
use super::explain::explain;
use super::lints::shadowed;
use super::memo::Memo;
use super::resolve::{Answer, look_up};
use super::view::View;
use crate::job::{Job, OptLevel};
use crate::specialise::{self, Specialised};
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{MethodData, OpenTable, PrivateTable, Program, World, Worlds};
use marquetry_ir::text;
use marquetry_ir::types::Type;

#[track_caller]
pub(super) fn program(source: &str) -> Program {
    let mut program = Program::new();
    let problems = text::parse(&mut program, "test.mq", source);
    assert_eq!(problems, []);
    program
}

fn job(program: &Program, entry: &str, view: View) -> Job {
    let entry = *program.all_methods_of(entry).first().expect("there is an entry");
    Job::new(vec![entry], view, OptLevel::None)
}

fn specialised(program: &Program, entry: &str, view: View) -> Specialised {
    specialise::run_recorded(program, &job(program, entry, view)).unwrap_or_else(|error| panic!("{error}"))
}

/// The text of what a job became.
fn compiled(program: &Program, entry: &str, view: View) -> String {
    text::print_unit(&specialised(program, entry, view).unit)
}

/// Puts the only method of a text in place of what is there.
pub(super) fn redefine(program: &mut Program, source: &str) -> Method {
    let mut scratch = Program::new();
    for table in program.tables() {
        // The library's are there already.
        let _ = scratch.table(program.table_name(table));
    }
    scratch.types = program.types.clone();
    let problems = text::parse(&mut scratch, "new.mq", source);
    assert_eq!(problems, []);
    let data = scratch.methods().next().expect("there is a method").1.clone();
    program.types = scratch.types.clone();
    let table = OpenTable::try_from(data.table()).expect("it is not the library's");
    program.redefine_method(table, data).expect("it can be redefined")
}

fn returning(name: &str, number: i32) -> String {
    format!("method {name}() -> i32 {{\nentry:\n    return i32 {number}\n}}\n")
}

const PARENT: &str = "method parent() -> i32 {\nentry:\n    r = call child()\n    return r\n}\n";

#[test]
fn t085_an_overlay_is_seen_by_its_jobs_only() {
    let overlay = format!("overlay mine {}", returning("child", 1));
    let program = program(&format!("{PARENT}{}{overlay}", returning("child", 0)));
    let mine = program.open_table("mine").expect("it exists");
    assert!(compiled(&program, "parent", View::device(&[])).contains("return i32 0"));
    assert!(compiled(&program, "parent", View::device(&[mine])).contains("return i32 1"));
    assert!(compiled(&program, "parent", View::native(&[])).contains("return i32 0"));
}

#[test]
fn t086_an_unrelated_overlay_leaves_calls_static() {
    let source = "\
abstract Float
impl f32, f64 : Float
method isnan(x: Float) -> i1 {\nentry:\n    return i1 false\n}
overlay mine method isnan(x: f32) -> i1 {\nentry:\n    r = ne x, x\n    return r\n}
method down<T: Float>(x: T) -> T {\nentry:\n    r = floor x\n    return r\n}
method broadcast<T: Float>(f: Function, a: array<T, 2>) -> array<T, 2> {
entry:
    x = get a, 0
    y = get a, 1
    u = call f(x)
    v = call f(y)
    r = make.array<T, 2> u, v
    return r
}
method use(a: f32) -> f32 {
entry:
    x = make.array<f32, 2> a, a
    y = call broadcast(fn down, x)
    r = get y, 0
    return r
}
";
    let program = program(source);
    let mine = program.open_table("mine").expect("it exists");
    let text = compiled(&program, "use", View::device(&[mine]));
    assert!(text.contains("floor") && !text.contains("call_indirect"), "{text}");
    // The function that is broadcast is an argument of no size: two parameters became one.
    assert!(text.contains("\"broadcast(fn down, array<f32, 2>)\"(a: array<f32, 2>)"), "{text}");
    assert_eq!(text, compiled(&program, "use", View::device(&[])));
}

#[test]
fn t088_views_agree_where_nothing_is_overlaid() {
    let mut program = program(&returning("child", 0));
    let [a, b] = ["a", "b"].map(|name| program.table(name).expect("it is not the library's"));
    let views = [View::native(&[]), View::native(&[a]), View::native(&[a, b])];
    let found = views.map(|view| look_up(&program, &view, "child", &[]));
    assert!(matches!(found[0].answer, Answer::Method(_)));
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

#[test]
fn t089_an_overlay_starts_a_new_range() {
    let mut program = program(&returning("child", 0));
    let [a, b] = ["a", "b"].map(|name| program.table(name).expect("it is not the library's"));
    let views = [View::native(&[a]), View::native(&[a, b]), View::native(&[b, a])];
    let before = program.world();
    let old = look_up(&program, &views[0], "child", &[]);
    let overlay = redefine(&mut program, &format!("overlay a {}", returning("child", 1)));
    assert_eq!(program.world(), World(before.0 + 1));
    for view in views {
        let found = look_up(&program, &view, "child", &[]);
        assert_eq!(found.answer, Answer::Method(overlay));
        assert_eq!(found.worlds, Worlds { from: program.world(), until: World::MAX });
        // Asked about the world before, the answer is what it was, and ends where the overlay starts.
        let past = look_up(&program, &view.at(before), "child", &[]);
        assert_eq!((past.answer, past.worlds.until), (old.answer, program.world()));
    }
}

#[test]
fn jobs_pinned_to_a_world_give_the_same_text_for_ever() {
    let mut program = program(&format!("{PARENT}{}", returning("child", 0)));
    let world = program.world();
    let pinned = || View::native(&[]).at(world);
    let first = compiled(&program, "parent", pinned());
    let new = redefine(&mut program, &returning("child", 1));
    assert!(compiled(&program, "parent", View::native(&[])).contains("return i32 1"));
    assert_eq!(compiled(&program, "parent", pinned()), first);
    assert_eq!(program.delete_method(new), Ok(true));
    assert_eq!(program.delete_method(new), Ok(false));
    let failure = specialise::run(&program, &job(&program, "parent", View::native(&[])));
    assert!(failure.unwrap_err().to_string().contains("no method child()"));
    assert_eq!(compiled(&program, "parent", pinned()), first);
    // A further signature makes symbols longer, but not in the past.
    redefine(&mut program, "method child(x: i32) -> i32 {\nentry:\n    return x\n}\n");
    assert_eq!(compiled(&program, "parent", pinned()), first);
    assert_eq!(program.methods_of("child").len(), 1);
}

#[test]
fn the_device_table_is_private() {
    let mut program = Program::new();
    let source = format!("overlay device {}", returning("child", 0));
    let problems = text::parse(&mut program, "test.mq", &source);
    assert!(problems[0].message.contains("the device table is private"));
    let mut program = marquetry_ir::library::program();
    let in_device = |(_, data): &(Method, &MethodData)| data.table() == Table::DEVICE;
    let (method, data) = program.methods().find(in_device).map(|(m, d)| (m, d.clone())).expect("it is there");
    assert!(program.body_mut(method).is_none());
    assert_eq!(program.delete_method(method), Err(PrivateTable(Table::DEVICE)));
    for name in ["device", "standard"] {
        let private = program.find_table(name).expect("it is there");
        assert_eq!(program.table(name), Err(PrivateTable(private)));
        assert_eq!(OpenTable::try_from(private), Err(PrivateTable(private)));
        assert_eq!(program.open_table(name), None);
    }
    // A copy goes where the caller says, whatever it is a copy of.
    let mine = program.table("mine").expect("it is not the library's");
    let copy = program.add_method(mine, data.clone()).expect("there is none like it");
    let copy = program.redefine_method(mine, program.method(copy).clone()).expect("it can be redefined");
    assert_eq!(program.method(copy).table(), mine.into());
    let taking = program.taking_the_same(&data, Table::DEVICE);
    assert_eq!(taking, Some(method));
    assert!(program.is_alive(method, program.world()));
}

/// Two independent callers, one through a generic method.
const CALLERS: &str = "\
method leaf(x: i32) -> i32 {\nentry:\n    return x\n}
method leaf<T>(x: T) -> T {\nentry:\n    return x\n}
method other(x: i32) -> i32 {\nentry:\n    return x\n}
method middle<T>(x: T) -> T {\nentry:\n    r = call leaf(x)\n    return r\n}
method uses_leaf(x: i32) -> i32 {\nentry:\n    r = call middle(x)\n    return r\n}
method uses_other(x: i32) -> i32 {\nentry:\n    r = call other(x)\n    return r\n}
";

/// Per entry, the names of the instances that a change invalidates.
fn stale(change: impl FnOnce(&mut Program)) -> Vec<String> {
    let mut program = program(CALLERS);
    let [top, unused] = ["top", "unused"].map(|name| program.table(name).expect("it is not the library's"));
    assert_ne!(top, unused);
    let view = View::native(&[top]);
    let mut dependents = Dependents::new();
    let mut names = Vec::new();
    for entry in ["uses_leaf", "uses_other"] {
        let made = specialised(&program, entry, view.clone());
        for instance in &made.instances {
            dependents.add(&mut program, &made.unit.types, &view, instance).expect("types are related");
            names.push(made.unit.funcs[instance.func].name.to_string());
        }
    }
    let world = program.world();
    assert_eq!(dependents.invalidated_since(&program, world), []);
    change(&mut program);
    let found = dependents.invalidated_since(&program, world);
    found.iter().map(|dependent| names[dependent.0 as usize].clone()).collect()
}

#[test]
fn a_redefined_callee_invalidates_its_callers() {
    let change = |program: &mut Program| {
        redefine(program, "method leaf(x: i32) -> i32 {\nentry:\n    return i32 7\n}\n");
    };
    // The caller's answer is another method, and the instance of the old one is stale itself.
    assert_eq!(stale(change), ["middle(i32)", "leaf"]);
}

#[test]
fn an_overlay_invalidates_where_a_look_up_missed_its_table() {
    let overlay = "overlay top method leaf(x: Any) -> i32 {\nentry:\n    return i32 7\n}\n";
    assert_eq!(
        stale(|program| {
            redefine(program, overlay);
        }),
        ["middle(i32)"]
    );
    let deleted = |program: &mut Program| {
        let other = program.methods_of("other")[0];
        assert_eq!(program.delete_method(other), Ok(true));
    };
    assert_eq!(stale(deleted), ["uses_other", "other"]);
}

#[test]
fn nothing_changes_for_a_pinned_job() {
    let mut program = program(CALLERS);
    let pinned = View::native(&[]).at(program.world());
    let made = specialised(&program, "uses_leaf", pinned.clone());
    let mut dependents = Dependents::new();
    for instance in &made.instances {
        dependents.add(&mut program, &made.unit.types, &pinned, instance).expect("types are related");
    }
    let world = program.world();
    redefine(&mut program, "method leaf(x: i32) -> i32 {\nentry:\n    return i32 7\n}\n");
    assert_eq!(dependents.invalidated_since(&program, world), []);
}

#[test]
fn what_changes_no_answer_invalidates_nothing() {
    let elsewhere = "overlay unused method leaf(x: i32) -> i32 {\nentry:\n    return i32 7\n}\n";
    let less_specific = "method leaf(x: i32, y: i32) -> i32 {\nentry:\n    return x\n}\n";
    let general = "method other(x: Any) -> i32 {\nentry:\n    return i32 1\n}\n";
    let loser = "method leaf<T>(x: T) -> T {\nentry:\n    y = call other(x)\n    return y\n}\n";
    for change in [elsewhere, less_specific, general, loser, &returning("new", 1)] {
        assert_eq!(
            stale(|program| {
                redefine(program, change);
            }),
            [""; 0],
            "{change}"
        );
    }
}

#[test]
fn edges_survive_types_that_the_unit_made() {
    let source = "\
struct box<T> { value: T }
method open<T>(b: box<T>) -> T {\nentry:\n    r = get b, 0\n    return r\n}
method use(x: i32) -> i32 {\nentry:\n    b = make.box<i32> x\n    r = call wrapped(b)\n    return r\n}
method wrapped<T>(x: T) -> i32 {\nentry:\n    b = make.box<T> x\n    c = call open(b)\n    r = call open(c)\n    return r\n}
";
    let mut program = program(source);
    let view = View::native(&[]);
    let made = specialised(&program, "use", view.clone());
    // The program goes on and uses the same rows of its table for something else.
    program.types.array(Type::F32, 77).expect("small");
    let mut dependents = Dependents::new();
    for instance in &made.instances {
        dependents.add(&mut program, &made.unit.types, &view, instance).expect("types are related");
    }
    let world = program.world();
    redefine(&mut program, "method open(b: box<box<i32>>) -> i32 {\nentry:\n    return i32 0\n}\n");
    assert_eq!(dependents.invalidated_since(&program, world).len(), 1);
}

#[test]
fn lints_and_explanations() {
    let source = "\
method f(x: i32) {\nentry:\n    return\n}
overlay top method f(x: Any) {\nentry:\n    return\n}
overlay top method g(x: Any) {\nentry:\n    return\n}
";
    let program = program(source);
    let top = program.open_table("top").expect("it exists");
    let view = View::native(&[top]);
    let warnings = shadowed(&program, &view, top.into());
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.contains("f(Any) in table top shadows the more specific f(i32)"));
    assert_eq!(shadowed(&program, &view, Table::BASE), []);
    let text = explain(&program, &program.types, &view, "f", &[Type::I32]).render(&program, &program.types);
    assert_eq!(
        text,
        "f(i32) -> top: f(Any)\ntable top\n    f(Any): chosen\ntable base\n    f(i32): applies, but table top is asked first\n"
    );
}

#[test]
fn a_memo_answers_as_the_resolver_does_from_many_threads() {
    let program = program(CALLERS);
    let view = View::native(&[]);
    let memo = Memo::new(&program, &view);
    let arguments: Vec<Type> = [Type::I8, Type::I16, Type::I32, Type::F32, Type::F64].into();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..200 {
                    for name in ["leaf", "other", "middle", "none"] {
                        let types = &arguments[round % 5..=round % 5];
                        let id = memo.intern(name, types).expect("few");
                        assert_eq!(memo.intern(name, types), Some(id));
                        assert_eq!(memo.look_up(&program, id), Some(look_up(&program, &view, name, types)));
                    }
                }
            });
        }
    });
}
