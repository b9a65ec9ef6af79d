//! Whatever a text is: limits are errors, damage is no panic, cost is linear.

use super::tests::{EXAMPLE, mistakes, sample, sound};
use super::*;
use crate::body::Body;
use crate::entity::Value;
use crate::op::Op;

#[test]
fn mistakes_are_limited() {
    let text = "method f() {\nentry:\n".to_owned() + &"    bogus\n".repeat(1000) + "}\n";
    assert_eq!(mistakes(&text).len(), crate::limits::MAX_DIAGNOSTICS);
    assert_eq!(mistakes(&"}".repeat(1000)).len(), crate::limits::MAX_DIAGNOSTICS);
    assert!(!mistakes(&"(".repeat(1000)).is_empty());
}

#[test]
fn limits_are_errors() {
    let deep = |n: usize| {
        let (open, close) = ("array<".repeat(n), ", 1>".repeat(n));
        format!("global g: {open}i8{close} in global = {}i8 1{}", "[".repeat(n), "]".repeat(n))
    };
    assert_eq!(mistakes(&deep(100_000)), [(Code::Limit, 1)]);
    assert_eq!(mistakes(&deep(60)), []);
    assert_eq!(mistakes("global g: array<i64, 18446744073709551615> in global"), [(Code::InvalidType, 1)]);
    let long = "x".repeat(crate::limits::MAX_NAME_BYTES + 1);
    assert_eq!(mistakes(&format!("global {long}: i8 in global")), [(Code::Limit, 1)]);
    assert_eq!(mistakes(&format!("global \"{long}\": i8 in global")), [(Code::Limit, 1)]);
    // What names functions of the host to linkers is a name, too.
    assert_eq!(mistakes(&format!("extern func f() as \"{long}\"")), [(Code::Limit, 1)]);
    assert_eq!(mistakes("extern func f() as \"a\\x00b\""), [(Code::Literal, 1)]);
    for source in [format!("global {long}: i8 in global"), format!("global \"{long}\": i8 in global")] {
        let list = parse(&mut Program::new(), "t.mq", &source);
        assert_eq!(list[0].message, "found a name of 4097 bytes, expected at most 4096");
    }
}

#[test]
fn bytes_that_are_no_text() {
    let mut program = Program::new();
    let list = parse_bytes(&mut program, "t.mq", b"global g: i32 in global\n; \xff\n");
    let shown = crate::diag::render(&list, &program.files);
    assert!(
        shown.starts_with("t.mq:2:3: error[P0001]: found byte 0xff at offset 26, expected UTF-8\n"),
        "{shown}"
    );
    assert!(parse_bytes(&mut program, "t.mq", b"global g: i32 in global\n").is_empty());
}

#[test]
fn api_built_nonsense_prints() {
    let mut body = Body::new();
    let block = body.make_block();
    body.append_block(block);
    for &op in Op::ALL {
        let args = [Value::from_u32(1000), Value::from_u32(1001)];
        let inst = body.make_inst(op, crate::types::Type::ERROR, &args[..op as usize % 3], 77);
        body.append_inst(inst, block);
    }
    let text = print_body(&body, &crate::types::Types::new(), None);
    assert_eq!(text.lines().count(), Op::ALL.len() + 1);
}

/// Whatever is cut out of a text or doubled in it: an answer, and what reads prints and reads again.
#[test]
fn damaged_texts_are_no_panic() {
    let mut state = 1u64;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % limit
    };
    for _ in 0..3000 {
        let mut text = EXAMPLE.to_owned();
        for _ in 0..=random(3) {
            let (from, to) = (random(text.len()), random(text.len()));
            let length = random(12);
            let part = text.get(from..(from + length).min(text.len())).unwrap_or("").to_owned();
            match random(3) {
                0 => text = text.replacen(&part, "", 1),
                1 if text.is_char_boundary(to) => text.insert_str(to, &part),
                _ => text.truncate(text.len() - length.min(text.len() - 1)),
            }
        }
        let mut program = Program::new();
        let list = parse(&mut program, "t.mq", &text);
        crate::diag::render(&list, &program.files);
        let printed = print_program(&program);
        assert_eq!(print_program(&sound(&printed)), printed);
        if let Ok(once) = super::format(&text) {
            assert_eq!(super::format(&once).as_deref(), Ok(once.as_str()), "{text}");
            let mut formatted = Program::new();
            parse(&mut formatted, "t.mq", &once);
            assert_eq!(print_program(&formatted), printed, "{text}");
        }
    }
}

/// Lines of tokens in no sensible order: an answer, and the formatter's text means the same.
#[test]
fn token_soup_is_no_panic() {
    let words = [
        "x",
        "y",
        "z",
        "entry",
        "a",
        "i32",
        "f32",
        "vec<i32, 2>",
        "ptr<global>",
        "array<i8, 2>",
        "s",
        "zero",
        "null",
        "true",
        "nan",
        "inf",
        "1",
        "-1",
        "0",
        "0x7fc00001",
        "1.5",
        "[",
        "]",
        "(",
        ")",
        ",",
        ":",
        "=",
        "->",
        ".",
        "<",
        ">",
        "-",
        "\"q\"",
        "; c",
        "align",
        "volatile",
        "relaxed",
        "device",
        "{",
        "}",
        "method",
        "\n",
        "\n",
        "\n    ",
    ];
    let mut state = 7u64;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % limit
    };
    for _ in 0..3000 {
        let mut text = "struct s { x: i32 }\nmethod f(a: i32, p: ptr<global>) {\nentry:\n".to_owned();
        for _ in 0..random(12) {
            let op = Op::ALL[random(Op::ALL.len())];
            match random(4) {
                0 => text.push_str(&format!("    {}", sample(op))),
                1 => text.push_str(&format!("    x = {} ", op.mnemonic())),
                2 => text.push_str(&format!("    {} ", op.mnemonic())),
                _ => text.push_str("b(k: i32): "),
            }
            for _ in 0..random(6) {
                text.push_str(words[random(words.len())]);
                text.push_str(if random(3) == 0 { "" } else { " " });
            }
            text.push('\n');
        }
        text.push_str("}\n");
        let mut program = Program::new();
        parse(&mut program, "t.mq", &text);
        let printed = print_program(&program);
        assert_eq!(print_program(&sound(&printed)), printed, "{text}");
        if let Ok(once) = super::format(&text) {
            assert_eq!(super::format(&once).as_deref(), Ok(once.as_str()), "{text}");
            let mut formatted = Program::new();
            parse(&mut formatted, "t.mq", &once);
            assert_eq!(print_program(&formatted), printed, "{text}");
        }
    }
}

#[test]
fn names_hold_no_zero_byte() {
    let mut program = Program::new();
    let list = parse(&mut program, "t.mq", "method \"a\\x00b\"() {\nentry:\n    return\n}\n");
    assert!(list.iter().any(|d| d.code == crate::diag::Code::Literal), "{list:?}");
}

#[test]
fn overloads_take_linear_time() {
    let mut text = String::new();
    for n in 0..40_000 {
        text += &format!("struct s{n} {{ a: i32 }}\nmethod f(a: s{n}) {{\nentry:\n    return\n}}\n");
    }
    let start = std::time::Instant::now();
    let program = sound(&text);
    assert_eq!(program.methods_of("f").len(), 40_000);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn blocks_may_have_more_parameters_than_functions() {
    let block = |count: usize| {
        let list = |each: fn(usize) -> String| (0..count).map(each).collect::<Vec<_>>().join(", ");
        let (values, params) = (list(|_| "i32 1".into()), list(|n| format!("p{n}: i32")));
        format!("method f() {{\nentry:\n    jump next({values})\nnext({params}):\n    return\n}}\n")
    };
    assert_eq!(mistakes(&block(crate::limits::MAX_PARAMS + 1)), []);
    assert_eq!(mistakes(&block(crate::limits::MAX_BLOCK_PARAMS + 1))[0], (Code::Limit, 4));
}
