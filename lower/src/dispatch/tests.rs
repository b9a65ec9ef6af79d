//! Look-ups, worlds and edges, and the indexed resolver against its oracle.

use super::edges::Dependents;
use super::explain::{explain, header};
use super::lints::shadowed;
use super::memo::Memo;
use super::pattern::{accept, subsumes};
use super::resolve::{Answer, look_up};
use super::view::View;
use super::{resolve_naive, specificity};
use crate::job::{Job, OptLevel};
use crate::specialise::{self, Specialised};
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{MethodData, MethodError, Program, World, Worlds};
use marquetry_ir::text;
use marquetry_ir::types::Type;

#[track_caller]
fn program(source: &str) -> Program {
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
fn redefine(program: &mut Program, source: &str) -> Method {
    let mut scratch = Program::new();
    for table in program.tables() {
        let name = program.table_name(table).to_string();
        scratch.table(&name);
    }
    scratch.types = program.types.clone();
    let problems = text::parse(&mut scratch, "new.mq", source);
    assert_eq!(problems, []);
    let data = scratch.methods().next().expect("there is a method").1.clone();
    program.types = scratch.types.clone();
    program.redefine_method(data).expect("it can be redefined")
}

fn returning(name: &str, number: i32) -> String {
    format!("method {name}() -> i32 {{\nentry:\n    return i32 {number}\n}}\n")
}

const PARENT: &str = "method parent() -> i32 {\nentry:\n    r = call child()\n    return r\n}\n";

#[test]
fn t085_an_overlay_is_seen_by_its_jobs_only() {
    let overlay = format!("overlay mine {}", returning("child", 1));
    let program = program(&format!("{PARENT}{}{overlay}", returning("child", 0)));
    let mine = program.find_table("mine").expect("it exists");
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
    let mine = program.find_table("mine").expect("it exists");
    let text = compiled(&program, "use", View::device(&[mine]));
    assert!(text.contains("floor") && !text.contains("call_indirect"), "{text}");
    // The function that is broadcast is an argument of no size: two parameters became one.
    assert!(text.contains("\"broadcast(fn down, array<f32, 2>)\"(a: array<f32, 2>)"), "{text}");
    assert_eq!(text, compiled(&program, "use", View::device(&[])));
}

#[test]
fn t088_views_agree_where_nothing_is_overlaid() {
    let mut program = program(&returning("child", 0));
    let (a, b) = (program.table("a"), program.table("b"));
    let views = [View::native(&[]), View::native(&[a]), View::native(&[a, b])];
    let found = views.map(|view| look_up(&program, &view, "child", &[]));
    assert!(matches!(found[0].answer, Answer::Method(_)));
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

#[test]
fn t089_an_overlay_starts_a_new_range() {
    let mut program = program(&returning("child", 0));
    let (a, b) = (program.table("a"), program.table("b"));
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
    let in_device = |(_, data): &(Method, &MethodData)| data.table == Table::DEVICE;
    let (method, data) = program.methods().find(in_device).map(|(m, d)| (m, d.clone())).expect("it is there");
    assert!(program.body_mut(method).is_none());
    assert_eq!(program.redefine_method(data.clone()), Err(MethodError::DeviceTable));
    assert_eq!(program.delete_method(method), Err(MethodError::DeviceTable));
    assert_eq!(program.add_method(data.clone()), Err(MethodError::DeviceTable));
    let nowhere = Table::from_u32(99);
    let lost = MethodData { table: nowhere, ..data };
    assert_eq!(program.add_method(lost), Err(MethodError::NoTable(nowhere)));
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
    let top = program.table("top");
    let unused = program.table("unused");
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
    assert_eq!(stale(change), ["middle(i32)", "leaf(i32)"]);
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
    let top = program.find_table("top").expect("it exists");
    let view = View::native(&[top]);
    let warnings = shadowed(&program, &view, top);
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

/// A generator of numbers that needs no crate.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const CONCRETE: [&str; 12] = [
    "i32",
    "f32",
    "f64",
    "vec<f32, 4>",
    "vec<f64, 2>",
    "array<f32, 4>",
    "ptr<global>",
    "pair<f32, f32>",
    "pair<i32, f32>",
    "pair<pair<f32, f32>, i32>",
    "type f32",
    "fn f",
];

const PATTERNS: [&str; 22] = [
    "Any",
    "Real",
    "Float",
    "Function",
    "T",
    "U",
    "T",
    "U",
    "vec<T, N>",
    "vec<f32, N>",
    "array<T, N>",
    "array<T, 4>",
    "ptr<S>",
    "pair<T, T>",
    "pair<T, U>",
    "pair<Real, T>",
    "pair<Any, Any>",
    "Pair",
    "type T",
    "pair<pair<T, T>, U>",
    "N",
    "S",
];

/// One method with random parameters.
fn random_method(random: &mut Random, name: &str) -> String {
    let count = [0, 1, 1, 1, 2, 2, 3][random.below(7)];
    let mut params: Vec<String> = Vec::new();
    for n in 0..count {
        let ty = if random.below(3) == 0 { random.pick(&CONCRETE) } else { random.pick(&PATTERNS) };
        let pack = if n + 1 == count && random.below(4) == 0 { "..." } else { "" };
        params.push(format!("p{n}: {ty}{pack}"));
    }
    let text = params.join(", ");
    let is_used =
        |variable: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == variable);
    let mut variables = Vec::new();
    for variable in ["T", "U", "N", "S"].into_iter().filter(|v| is_used(v)) {
        let bound = match variable {
            "T" | "U" => random.pick(&["", "", ": Real", ": Float", ": Pair"]),
            _ => "",
        };
        variables.push(format!("{variable}{bound}"));
    }
    let variables = if variables.is_empty() { String::new() } else { format!("<{}>", variables.join(", ")) };
    let table = random.pick(&["", "", "overlay a ", "overlay b "]);
    format!("{table}method {name}{variables}({text}) {{\nentry:\n    return\n}}\n")
}

#[test]
fn the_indexed_resolver_agrees_with_the_oracle() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut found, mut ambiguous, mut nothing) = (0, 0, 0);
    for _ in 0..150 {
        let mut program = program(
            "abstract Real\nabstract Float : Real\nabstract Pair\nimpl i32 : Real\nimpl f32, f64 : Float\n\
             struct pair<A, B> : Pair { a: A, b: B }\n",
        );
        let (a, b) = (program.table("a"), program.table("b"));
        for _ in 0..4 + random.below(40) {
            // Two of the same are refused; the rest of the history is made of redefinitions and deletions.
            let name = random.pick(&["f", "f", "f", "g"]);
            let source = random_method(&mut random, name);
            match random.below(4) {
                0 => {
                    redefine(&mut program, &source);
                }
                1 if program.method_count() > 0 => {
                    let victim = Method::from_u32(random.below(program.method_count()) as u32);
                    assert!(program.delete_method(victim).is_ok());
                }
                _ => drop(text::parse(&mut program, "more.mq", &source)),
            }
        }
        let views = [View::native(&[]), View::native(&[a]), View::device(&[b, a])];
        for _ in 0..60 {
            let newest = program.world().0 as usize;
            let world = World([newest, newest, random.below(newest + 1)][random.below(3)] as u64);
            let view = views[random.below(3)].clone().at(world);
            let count = [0, 1, 1, 1, 2, 2, 3][random.below(7)];
            let types: Vec<&str> = (0..count).map(|_| random.pick(&CONCRETE)).collect();
            let call = format!("{}({})", random.pick(&["f", "f", "f", "g"]), types.join(", "));
            let (name, arguments) = text::parse_call(&mut program, &call).expect("it reads");
            let fast = look_up(&program, &view, &name, &arguments);
            assert_eq!(fast, resolve_naive::look_up(&program, &view, &name, &arguments), "{call}");
            assert!(fast.worlds.contains(world), "{call} {world:?} {fast:?}");
            match fast.answer {
                Answer::Method(_) => found += 1,
                Answer::Ambiguous(..) => ambiguous += 1,
                Answer::Nothing => nothing += 1,
            }
            // The range is right: within it the answer is the same, as asked anew.
            for other in 0..=program.world().0 {
                if fast.worlds.contains(World(other)) {
                    let again = look_up(&program, &view.clone().at(World(other)), &name, &arguments);
                    assert_eq!(again.answer, fast.answer, "{call} in {other}");
                }
            }
        }
        specificity_is_a_partial_order(&program);
    }
    assert!(found > 2000 && ambiguous > 20 && nothing > 2000, "{found} {ambiguous} {nothing}");
}

fn specificity_is_a_partial_order(program: &Program) {
    let methods: Vec<_> =
        program.methods().filter(|(_, data)| *data.name == *"f").map(|(_, data)| data).collect();
    let types = &program.types;
    for a in &methods {
        assert!(subsumes(types, a, a) || a.signature.params.iter().any(|_| true));
        for b in &methods {
            let less = specificity::is_more_specific(types, a, b);
            assert!(!(less && specificity::is_more_specific(types, b, a)));
            for c in &methods {
                if less && specificity::is_more_specific(types, b, c) {
                    assert!(subsumes(types, c, a), "not transitive");
                }
            }
        }
    }
}

#[test]
fn what_subsumes_takes_all_that_the_other_takes() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..60 {
        let mut program = program(
            "abstract Real\nabstract Float : Real\nabstract Pair\nimpl i32 : Real\nimpl f32, f64 : Float\n\
             struct pair<A, B> : Pair { a: A, b: B }\n",
        );
        for _ in 0..12 {
            let source = random_method(&mut random, "f");
            text::parse(&mut program, "more.mq", &source);
        }
        let mut calls = Vec::new();
        for _ in 0..200 {
            let count = random.below(4);
            let types: Vec<&str> = (0..count).map(|_| random.pick(&CONCRETE)).collect();
            calls.push(
                text::parse_call(&mut program, &format!("f({})", types.join(", "))).expect("it reads").1,
            );
        }
        let methods: Vec<_> = program.methods().map(|(_, data)| data).collect();
        for wide in &methods {
            for narrow in methods.iter().filter(|narrow| subsumes(&program.types, wide, narrow)) {
                for call in calls.iter().filter(|call| accept(&program, narrow, call).is_ok()) {
                    let rejection = accept(&program, wide, call).err();
                    let names = [wide, narrow].map(|data| header(&program.types, data));
                    assert_eq!(rejection, None, "{names:?} {call:?}");
                }
            }
        }
    }
}

/// Texts that use everything that dispatch knows.
const TEXTS: [&str; 6] = [
    include_str!("../../../tests/filetests/dispatch/functions.mq"),
    include_str!("../../../tests/filetests/dispatch/refused.mq"),
    include_str!("../../../tests/filetests/dispatch/specific.mq"),
    include_str!("../../../tests/filetests/dispatch/structs.mq"),
    include_str!("../../../tests/filetests/dispatch/tables.mq"),
    include_str!("../../../tests/filetests/dispatch/variadic.mq"),
];

/// Cuts a text into names, numbers and single characters.
fn pieces(text: &str) -> Vec<&str> {
    let mut list = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end =
            if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        list.push(&rest[..end]);
        rest = &rest[end..];
    }
    list
}

#[test]
fn damaged_texts_are_refused_or_mean_the_same_printed() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let all: Vec<Vec<&str>> = TEXTS.iter().map(|text| pieces(text)).collect();
    let mut specialised = 0;
    for round in 0..1500 {
        let mut text = all[round % TEXTS.len()].clone();
        for _ in 0..1 + random.below(4) {
            let donor = &all[random.below(all.len())];
            let (at, from) = (random.below(text.len()), random.below(donor.len()));
            match random.below(3) {
                0 => text[at] = donor[from],
                1 => text.insert(at, donor[from]),
                _ => drop(text.remove(at)),
            }
        }
        let text = text.concat();
        let mut program = Program::new();
        text::parse(&mut program, "damaged.mq", &text);
        if !marquetry_ir::verify::verify_program(&program).is_empty() {
            continue;
        }
        let printed = text::print_program(&program);
        let mut again = Program::new();
        assert_eq!(text::parse(&mut again, "printed.mq", &printed), [], "{text}");
        assert_eq!(text::print_program(&again), printed, "{text}");
        let entries: Vec<Method> = program.methods().map(|(method, _)| method).collect();
        for entry in entries {
            let job = Job::new(vec![entry], View::native(&[]), OptLevel::None);
            specialised += usize::from(crate::pipeline::specialised(&program, &job).is_ok());
        }
    }
    assert!(specialised > 1000, "{specialised}");
}
