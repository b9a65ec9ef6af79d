//! Functions that are too large for all that Cranelift can do.
#![allow(unsafe_code)] // runs the code under test

use super::*;
use crate::native::effort::{Effort, effort};
use marquetry_ir::analysis::cfg::ControlFlow;
use std::fmt::Write;

/// Loops inside each other, each of which exchanges two values; the outermost runs `n` rounds, the others one.
fn nest(depth: usize, padding: usize) -> String {
    let mut text = "method f(n: i64, a: i64, b: i64) -> i64 {\nentry:\n    jump h0(i64 0, a, b)\n".to_owned();
    for k in 0..depth {
        let _ = writeln!(text, "h{k}(c{k}: i64, a{k}: i64, b{k}: i64):");
        if k + 1 < depth {
            let _ = writeln!(text, "    jump h{}(i64 0, b{k}, a{k})", k + 1);
        }
    }
    let last = depth - 1;
    let _ = writeln!(text, "    twice = add a{last}, a{last}\n    x0 = add twice, b{last}");
    for k in 0..padding {
        let _ = writeln!(text, "    x{} = xor x{k}, n", k + 1);
    }
    for k in (0..depth).rev() {
        let bound = if k == 0 { "n" } else { "i64 1" };
        let _ = writeln!(
            text,
            "    d{k} = add c{k}, i64 1\n    more{k} = lt.u d{k}, {bound}\n    branch more{k}, h{k}(d{k}, b{k}, a{k}), \
             after{k}\nafter{k}:"
        );
    }
    let _ = writeln!(text, "    return x{padding}\n}}");
    text
}

fn effort_of(text: &str) -> Effort {
    let legal = legal(text, &target("native", 2));
    let body = &legal.unit().funcs.values().next().unwrap().body;
    let mut flow = ControlFlow::new();
    flow.compute(body);
    effort(body, &flow)
}

#[test]
fn less_is_done_where_it_would_take_too_long() {
    let straight = |count: usize| {
        let mut text = "method f(a: i64, b: i64) -> i64 {\nentry:\n    x0 = add a, b\n".to_owned();
        (0..count).for_each(|k| {
            let _ = writeln!(text, "    x{} = xor x{k}, b", k + 1);
        });
        text + &format!("    return x{count}\n}}")
    };
    let wide = |count: usize| {
        let mut text = "method f(a: i64, b: i64) -> i64 {\nentry:\n    y0 = add a, b\n".to_owned();
        (0..count).for_each(|k| {
            let _ = writeln!(text, "    x{k} = add a, i64 {k}");
        });
        (0..count).for_each(|k| {
            let _ = writeln!(text, "    y{} = mul y{k}, x{k}", k + 1);
        });
        text + &format!("    return y{count}\n}}")
    };
    assert_eq!(effort_of(&straight(10_000)), Effort::Full);
    assert_eq!(effort_of(&wide(100)), Effort::Full);
    assert_eq!(effort_of(&wide(3000)), Effort::Quick);
    assert_eq!(effort_of(&nest(10, 2100)), Effort::Full);
    assert_eq!(effort_of(&nest(40, 3000)), Effort::Plain);
    assert_eq!(effort_of(&nest(600, 0)), Effort::Least);
}

/// Branches that change one of `width` values, all of which are used at the end.
fn web(count: usize, width: usize) -> String {
    let mut text = "method f(a: i64, p: ptr<global>) -> i64 {\nentry:\n".to_owned();
    let mut values: Vec<String> = (0..width).map(|k| format!("v{k}")).collect();
    for (k, value) in values.iter().enumerate() {
        let _ = writeln!(text, "    {value} = mul a, i64 {}", k + 3);
    }
    for k in 0..count {
        let value = &mut values[k % width];
        let _ = writeln!(
            text,
            "    c{k} = lt.u a, i64 {k}\n    branch c{k}, then{k}, join{k}({value})\nthen{k}:\n    l{k} = load.i64 p\n    \
             store p, {value}\n    jump join{k}(l{k})\njoin{k}(w{k}: i64):"
        );
        *value = format!("w{k}");
    }
    let mut sum = "a".to_owned();
    for (k, value) in values.iter().enumerate() {
        let _ = writeln!(text, "    s{k} = xor {sum}, {value}");
        sum = format!("s{k}");
    }
    text + &format!("    return {sum}\n}}")
}

/// Blocks that go on, or back to the one of half their number.
fn back(count: usize) -> String {
    let mut text = "method f(a: i64, p: ptr<global>) -> i64 {\nentry:\n    jump b0\n".to_owned();
    for k in 0..count {
        let _ = writeln!(
            text,
            "b{k}:\n    l{k} = load.i64 p volatile\n    c{k} = lt.u l{k}, a\n    branch c{k}, b{}, b{}",
            k + 1,
            k / 2
        );
    }
    text + &format!("b{count}:\n    return a\n}}")
}

/// Loops one after the other that carry `width` values, each of which is computed from another one.
fn chain(count: usize, width: usize) -> String {
    let list = |prefix: &str, ty: &str| {
        (0..width).map(|k| format!("{prefix}{k}{ty}")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "method f(n: i64, {}) -> i64 {{\nentry:\n    jump h0(i64 0, {})\n",
        list("x", ": i64"),
        list("x", "")
    );
    for i in 0..count {
        let _ = writeln!(text, "h{i}(c{i}: i64, {}):", list(&format!("a{i}_"), ": i64"));
        for k in 0..width {
            let _ = writeln!(text, "    b{i}_{k} = add a{i}_{k}, a{i}_{}", (k + 1) % width);
        }
        let now = list(&format!("b{i}_"), "");
        let _ = writeln!(
            text,
            "    d{i} = add c{i}, i64 1\n    more{i} = lt.u d{i}, n\n    branch more{i}, h{i}(d{i}, {now}), h{}(i64 0, {now})",
            i + 1
        );
    }
    let _ = writeln!(
        text,
        "h{count}(c{count}: i64, {}):\n    return a{count}_0\n}}",
        list(&format!("a{count}_"), ": i64")
    );
    text
}

/// Loops inside each other, left from the middle to the end of each.
fn middle_exits(depth: usize) -> String {
    let mut text = "method f(x: i64) -> i64 {\nentry:\n    jump h0(x)\n".to_owned();
    for k in 0..depth {
        let _ = writeln!(
            text,
            "h{k}(p{k}: i64):\n    c{k} = lt.s p{k}, i64 {k}\n    branch c{k}, h{}(p{k}), x{k}(p{k})",
            k + 1
        );
    }
    let _ = writeln!(text, "h{depth}(z: i64):\n    jump x{}(z)", depth - 1);
    for k in (0..depth).rev() {
        let next = if k == 0 { "done".to_owned() } else { format!("x{}(w{k})", k - 1) };
        let _ = writeln!(
            text,
            "x{k}(y{k}: i64):\n    w{k} = add y{k}, i64 1\n    k{k} = lt.s w{k}, x\n    branch k{k}, h{k}(w{k}), {next}"
        );
    }
    text + "done:\n    return x\n}"
}

#[test]
fn values_that_are_passed_on_for_ever_are_allocated_in_one_pass() {
    assert_eq!(effort_of(&chain(400, 6)), Effort::Full);
    assert_eq!(effort_of(&chain(8000, 6)), Effort::Quick);
    assert_eq!(effort_of(&middle_exits(600)), Effort::Plain);
    assert_eq!(effort_of(&middle_exits(2000)), Effort::Quick);
}

#[test]
fn the_allocator_splits_and_climbs_little() {
    assert_eq!(effort_of(&web(600, 16)), Effort::Full);
    assert_eq!(effort_of(&web(5000, 8)), Effort::Full);
    assert_eq!(effort_of(&web(5000, 16)), Effort::Quick);
    assert!(effort_of(&back(800)) <= Effort::Plain);
    assert_eq!(effort_of(&back(8000)), Effort::Quick);
}

#[test]
fn what_is_left_out_changes_nothing() {
    for (depth, padding) in [(40, 3000), (600, 0)] {
        for opt_level in [0, 2] {
            let code = jit(&nest(depth, padding), opt_level);
            // Even numbers of xor cancel out; each level but the first, and each round, exchanges the two.
            for rounds in [1, 2, 5] {
                let (x, y) = if (depth + rounds) % 2 == 0 { (7, 100) } else { (100, 7) };
                assert_eq!(call(&code, "f", &[rounds as u128, 7, 100]), [2 * x + y], "{depth} {rounds}");
            }
        }
    }
}

#[test]
fn edges_with_many_arguments_have_room() {
    // Each block passes 64 values on twice, which is more code than its instructions take.
    let mut text = "method f(a: i64) -> i64 {\nentry:\n    c = eq a, i64 0\n".to_owned();
    let list = |prefix: &str| (0..64).map(|k| format!("{prefix}{k}")).collect::<Vec<_>>();
    let start = vec!["a".to_owned(); 64];
    let mut values = start;
    for block in 0..120 {
        let mut turned = values.clone();
        turned.rotate_left(1);
        let params: Vec<String> = list(&format!("p{block}_")).iter().map(|p| format!("{p}: i64")).collect();
        let _ = writeln!(
            text,
            "    branch c, b{block}({}), b{block}({})\nb{block}({}):",
            values.join(", "),
            turned.join(", "),
            params.join(", ")
        );
        values = list(&format!("p{block}_"));
    }
    text += "    return p119_3\n}";
    for opt_level in [0, 2] {
        assert_eq!(call(&jit(&text, opt_level), "f", &[9]), [9]);
    }
}
