//! Dispatch in programs that are made at random, against the naive resolver and the laws of an order.

use super::explain::header;
use super::pattern::{accept, subsumes};
use super::resolve::{Answer, look_up};
use super::tests::{program, redefine};
use super::view::View;
use super::{resolve_naive, specificity};
use crate::job::{Job, OptLevel};
use marquetry_ir::entity::Method;
use marquetry_ir::program::{Program, World};
use marquetry_ir::text;

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
        let [a, b] = ["a", "b"].map(|name| program.table(name).expect("it is not the library's"));
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
