//! Texts that are nearly programs: tokens of others, swapped, dropped and repeated.

use super::choices::Choices;
use super::methods::case;

/// Texts to start from.
pub const SEEDS: [&str; 3] = [
    include_str!("../../../tests/kernels/fib.mq"),
    include_str!("../../../tests/kernels/reduce.mq"),
    include_str!("../../../tests/kernels/saxpy.mq"),
];

/// Tokens that are likely to matter.
const TOKENS: [&str; 41] = [
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "->",
    "\n",
    ";",
    "\"",
    "\\x",
    "method",
    "kernel",
    "struct",
    "newtype",
    "global",
    "extern",
    "overlay",
    "i32",
    "vec<f32, 4>",
    "ptr<global>",
    "array<i8, 99999999999>",
    "zero",
    "null",
    "nan",
    "inf",
    "-1",
    "0x",
    "1e400",
    "nan:0x1",
    "jump",
    "branch",
    "switch",
    "return",
    "call",
    "load.",
    "unknown",
    "\u{fffd}",
];

/// Splits a text into words, spaces and signs.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    while let Some(first) = rest.chars().next() {
        let end = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, tail) = rest.split_at(end);
        tokens.push(token);
        rest = tail;
    }
    tokens
}

/// A seed or a generated program with some tokens changed.
pub fn mutated(choices: &mut Choices) -> String {
    let edits = choices.range(1..12);
    let own;
    let text = match choices.below(5) {
        n @ 0..3 => SEEDS[n],
        _ => {
            own = case(choices).text;
            &own
        }
    };
    let mut list = tokens(text);
    for _ in 0..edits {
        if list.is_empty() {
            break;
        }
        let (at, other) = (choices.below(list.len()), choices.below(list.len()));
        match choices.below(6) {
            0 => list.swap(at, other),
            1 => drop(list.remove(at)),
            2 => list.insert(at, list[other]),
            3 => list[at] = list[other],
            4 => list.insert(at, TOKENS[choices.below(TOKENS.len())]),
            _ => list.truncate(list.len() - choices.below(list.len()) / 4),
        }
    }
    list.concat()
}
