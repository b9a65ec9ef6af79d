//! Small texts, and what one or two passes make of them.

use super::{run_passes, unit};
use crate::job::OptLevel;
use crate::observe::Silent;
use crate::optimise::{self, Pass};
use crate::passes::{cse, dce, implied, indvars, licm, mem2reg, rotate, simplify, simplify_cfg, sroa};
use marquetry_ir::body::Body;
use marquetry_ir::limits::MAX_COPIED_INSTS;
use marquetry_ir::op::Op;
use marquetry_ir::text;
use marquetry_ir::unit::Unit;

const SIMPLIFY: Pass = Pass::new("simplify", simplify::run);
const SIMPLIFY_CFG: Pass = Pass::new("simplify_cfg", simplify_cfg::run);
const CSE: Pass = Pass::new("cse", cse::run);
const DCE: Pass = Pass::new("dce", dce::run);
const MEM2REG: Pass = Pass::new("mem2reg", mem2reg::run);
const ROTATE: Pass = Pass::new("rotate", rotate::run);
const INDVARS: Pass = Pass::new("indvars", indvars::run);
const IMPLIED: Pass = Pass::new("implied", implied::run);
const LICM: Pass = Pass::new("licm", licm::run);
const SROA: Pass = Pass::new("sroa", sroa::run);

/// Ops of the only function, in order.
fn ops(unit: &Unit) -> Vec<Op> {
    let body = &unit.funcs.values().next().expect("the test has a function").body;
    body.blocks()
        .flat_map(|block| body.block_insts(block).map(|inst| body.inst(inst).op).collect::<Vec<_>>())
        .collect()
}

fn after(source: &str, passes: &[Pass]) -> Vec<Op> {
    let mut unit = unit(source);
    run_passes(&mut unit, passes);
    ops(&unit)
}

#[track_caller]
fn becomes(expression: &str, ty: &str, wanted: &str) {
    let source =
        format!("method f(a: {ty}, b: {ty}, c: i1) -> {ty} {{\nentry:\n{expression}\n    return r\n}}\n");
    let mut found = unit(&source);
    run_passes(&mut found, &[SIMPLIFY, DCE]);
    let printed = text::print_unit(&found);
    let line = printed.lines().map(str::trim).filter(|line| !line.is_empty());
    let code: Vec<&str> =
        line.skip_while(|line| !line.ends_with(':')).skip(1).take_while(|line| *line != "}").collect();
    assert_eq!(code.join("; "), wanted, "{source}");
}

#[test]
fn integer_identities() {
    becomes("r = add a, i32 0", "i32", "return a");
    becomes("r = mul a, i32 8", "i32", "r = shl a, i32 3; return r");
    becomes("t = add a, i32 3\nr = add t, i32 -3", "i32", "return a");
    becomes("r = sub a, a", "i32", "return i32 0");
    becomes("t = shl a, i32 20\nr = shl t, i32 20", "i32", "return i32 0");
    becomes("t = not a\nr = and t, a", "i32", "return i32 0");
    becomes("r = div.u a, i32 16", "i32", "r = shr.u a, i32 4; return r");
    becomes("r = rem.u i32 5, b", "i32", "r = rem.u i32 5, b; return r");
    becomes("t = sext.i64 a\nr = trunc.i32 t", "i32", "return a");
    becomes("r = select c, a, a", "i32", "return a");
    becomes("t = shr.s a, i32 20\nr = shr.s t, i32 20", "i32", "r = shr.s a, i32 31; return r");
    becomes("r = mul i32 6, i32 7", "i32", "return i32 42");
}

#[test]
fn float_identities_hold_for_both_zeros() {
    becomes("r = add a, f32 -0.0", "f32", "return a");
    becomes("r = add a, f32 0.0", "f32", "r = add a, f32 0.0; return r");
    becomes("r = sub a, f32 0.0", "f32", "return a");
    becomes("r = mul a, f32 0.0", "f32", "r = mul a, f32 0.0; return r");
    becomes("r = mul a, f32 1.0", "f32", "return a");
    becomes("r = sub a, a", "f32", "r = sub a, a; return r");
}

#[test]
fn what_throws_stays() {
    becomes("t = div.s i32 1, i32 0\nr = add a, i32 0", "i32", "t = div.s i32 1, i32 0; return a");
    becomes("t = div.s a, b\nr = add a, i32 0", "i32", "t = div.s a, b; return a");
    becomes("t = div.s a, i32 3\nr = add a, i32 0", "i32", "return a");
    becomes("r = div.s a, i32 -1", "i32", "r = div.s a, i32 -1; return r");
    becomes(
        "t = bounds_check i32 4, i32 4\nr = add a, i32 0",
        "i32",
        "t = bounds_check i32 4, i32 4; return a",
    );
}

#[test]
fn slots_become_values_and_parameters() {
    let source = "method f(n: i32) -> i32 {
entry:
    s = slot.i32
    i = slot.i32
    store s, i32 0
    store i, i32 0
    jump head
head:
    k = load.i32 i
    more = lt.s k, n
    branch more, body, done
body:
    a = load.i32 s
    b = add a, k
    store s, b
    k1 = add k, i32 1
    store i, k1
    jump head
done:
    r = load.i32 s
    return r
}
";
    let mut unit = unit(source);
    run_passes(&mut unit, &[MEM2REG, DCE]);
    let found = ops(&unit);
    assert!(!found.iter().any(|op| matches!(op, Op::Slot | Op::Load | Op::Store)), "{found:?}");
    let body = &unit.funcs.values().next().expect("a function").body;
    let params: usize = body.blocks().skip(1).map(|block| body.block_params(block).len()).sum();
    assert_eq!(params, 2, "one parameter per variable, in the loop's head only");
}

#[test]
fn arrays_and_structs_fall_apart() {
    let source = "struct pair { x: i32, y: i64 }
method f(a: i32, b: i64) -> i64 {
entry:
    s = slot.pair
    t = slot.array<i32, 4>
    memset t, i8 0, i64 16
    x = field_address s, pair, 0
    y = field_address s, pair, 1
    store x, a
    store y, b
    whole = load.pair s
    g = get whole, 1
    t2 = index t, i64 2, i32
    v = load.i32 t2
    w = sext.i64 v
    r = add g, w
    return r
}
";
    assert_eq!(after(source, &[SROA, MEM2REG, SIMPLIFY, DCE]), [Op::Return]);
}

#[test]
fn an_escaping_slot_stays() {
    let source = "method g(p: ptr<local>) { entry:
    return
}
method f(a: i32) -> i32 {
entry:
    s = slot.i32
    store s, a
    call g(s)
    r = load.i32 s
    return r
}
";
    let mut found = unit(source);
    run_passes(&mut found, &[SROA, MEM2REG, CSE, DCE]);
    let function =
        found.funcs.values().find(|function| &*function.name == "f" || function.signature.results.len() == 1);
    let body = &function.expect("f").body;
    let loads = body
        .blocks()
        .flat_map(|b| body.block_insts(b))
        .filter(|&inst| body.inst(inst).op == Op::Load)
        .count();
    assert_eq!(loads, 1, "the callee may have written");
}

#[test]
fn loads_are_forwarded_until_something_may_write() {
    let source = "method f(p: ptr<global>, q: ptr<global>) -> i32 {
entry:
    store p, i32 1
    a = load.i32 p
    store q, i32 2
    b = load.i32 p
    p4 = ptr_add p, i64 4
    store p4, i32 3
    c = load.i32 p
    v = load.i32 p volatile
    t = add a, b
    u = add t, c
    r = add u, v
    return r
}
";
    let found = after(source, &[CSE, DCE]);
    assert_eq!(
        found.iter().filter(|&&op| op == Op::Load).count(),
        2,
        "the one behind q and the volatile one"
    );
}

#[test]
fn equal_divisions_throw_once() {
    let source = "method f(a: i32, b: i32) -> i32 {
entry:
    x = div.s a, b
    y = div.s a, b
    r = sub x, y
    return r
}
";
    assert_eq!(after(source, &[CSE, SIMPLIFY, DCE]), [Op::DivS, Op::Return]);
}

#[test]
fn small_branches_become_selects_but_loads_and_throws_do_not() {
    let diamond = |code: &str| {
        format!(
            "method f(a: i32, b: i32, p: ptr<global>) -> i32 {{
entry:
    c = lt.s a, b
    branch c, yes, no
yes:
    x = {code}
    jump join(x)
no:
    jump join(b)
join(r: i32):
    return r
}}
"
        )
    };
    assert_eq!(after(&diamond("add a, i32 1"), &[SIMPLIFY_CFG]), [Op::LtS, Op::Add, Op::Select, Op::Return]);
    for code in ["load.i32 p", "div.s a, b"] {
        assert!(after(&diamond(code), &[SIMPLIFY_CFG]).contains(&Op::Branch), "{code}");
    }
}

#[test]
fn dead_cycles_of_parameters_go_and_the_loop_stays() {
    let source = "method f(n: i32) -> i32 {
entry:
    jump head(i32 0, i32 1)
head(i: i32, x: i32):
    y = mul x, i32 3
    j = add i, i32 1
    more = lt.s j, n
    branch more, head(j, y), done
done:
    return n
}
";
    let found = after(source, &[DCE, SIMPLIFY_CFG]);
    assert!(!found.contains(&Op::Mul) && found.contains(&Op::Branch), "{found:?}");
}

#[test]
fn stores_to_slots_that_nobody_reads_go() {
    let source = "method f(a: i32) -> i32 {
entry:
    s = slot.array<i32, 4>
    p = index s, a, i32
    store p, a
    return a
}
";
    assert_eq!(after(source, &[DCE]), [Op::Return]);
}

#[test]
fn inlined_code_is_optimised_and_dropped() {
    let source = "method twice(x: i32) -> i32 inline { entry:
    r = add x, x
    return r
}
method f() -> i32 {
entry:
    a = call twice(i32 3)
    b = call twice(a)
    return b
}
";
    let mut found = unit(source);
    found.entries.retain(|&entry| found.funcs[entry].signature.params.is_empty());
    optimise::run(&mut found, OptLevel::Less, &mut Silent);
    assert_eq!(found.funcs.len(), 1);
    assert_eq!(ops(&found), [Op::Return]);
}

/// Three levels of calls become one, with the calls of the last level left.
#[test]
fn small_functions_are_inlined_into_themselves() {
    let calls = |attribute: &str, level: OptLevel| {
        let mut found = unit(&format!(
            "method fib(n: i32) -> i32 {attribute} {{
entry:
    small = lt.s n, i32 2
    branch small, base, more
base:
    return n
more:
    n1 = sub n, i32 1
    a = call fib(n1)
    n2 = sub n, i32 2
    b = call fib(n2)
    c = add a, b
    return c
}}
"
        ));
        optimise::run(&mut found, level, &mut Silent);
        ops(&found).iter().filter(|&&op| op == Op::Call).count()
    };
    assert_eq!(calls("", OptLevel::Default), 8);
    assert_eq!(calls("", OptLevel::Less), 2);
    assert_eq!(calls("noinline", OptLevel::Default), 2);
}

/// Functions that are inlined keep their calls until they are part of something that stays.
#[test]
fn small_functions_are_inlined_through_each_other() {
    let source = "method pick(n: i32, x: i32) -> i32 inline {
entry:
    switch n, other, [0: same, 1: twice]
same:
    return x
twice:
    t = add x, x
    return t
other:
    return i32 0
}
method between(n: i32, x: i32) -> i32 inline {
entry:
    a = call pick(n, x)
    b = call pick(n, a)
    return b
}
method outside(n: i32, x: i32) -> i32 inline {
entry:
    a = call between(n, x)
    b = call between(i32 1, a)
    return b
}
method f(n: i32, x: i32) -> i32 {
entry:
    r = call outside(i32 1, x)
    return r
}
";
    let mut found = unit(source);
    found.entries.retain(|&entry| &*found.funcs[entry].name == "f");
    optimise::run(&mut found, OptLevel::Default, &mut Silent);
    assert_eq!(found.funcs.len(), 1);
    assert_eq!(ops(&found), [Op::Add, Op::Add, Op::Add, Op::Add, Op::Return]);
    // What stays, because its address is taken, has no calls either.
    let address = "method g(n: i32, x: i32) -> i32 {
entry:
    p = function_address outside(i32, i32)
    r = call_indirect p(n, x) -> i32
    return r
}
";
    let mut found = unit(&format!("{source}{address}"));
    found.entries.retain(|&entry| &*found.funcs[entry].name == "g");
    optimise::run(&mut found, OptLevel::Default, &mut Silent);
    assert_eq!(found.funcs.len(), 2);
    let calls = |body: &marquetry_ir::body::Body| {
        body.blocks().flat_map(|block| body.block_insts(block)).any(|inst| body.inst(inst).op == Op::Call)
    };
    assert!(!found.funcs.values().any(|function| calls(&function.body)));
}

/// A loop over `n` rounds, tested at the top, with this code in its body, which defines `x`.
fn looped(code: &str) -> String {
    format!(
        "method f(n: i32, a: i32, b: i32, p: ptr<global>, q: ptr<global>) -> i32 {{
entry:
    jump head(i32 0, i32 0)
head(i: i32, sum: i32):
    more = lt.s i, n
    branch more, body, done
body:
    {code}
    next = add sum, x
    j = add i, i32 1
    jump head(j, next)
done:
    return sum
}}
"
    )
}

/// How many instructions of this kind stand in loops.
fn in_loops(source: &str, passes: &[Pass], op: Op) -> usize {
    let mut found = unit(source);
    run_passes(&mut found, passes);
    let body = &found.funcs.values().next().expect("a function").body;
    let mut ctx = crate::passes::PassContext::new(found.types.clone());
    ctx.find_loops(body);
    let inside = body.blocks().filter(|&block| ctx.loops.innermost(block).is_some());
    inside.flat_map(|block| body.block_insts(block)).filter(|&inst| body.inst(inst).op == op).count()
}

const LOOPS: &[Pass] = &[ROTATE, SIMPLIFY_CFG, LICM, SIMPLIFY_CFG];

#[test]
fn a_rotated_loop_has_one_branch_per_round() {
    let source = looped("x = mul a, i");
    assert_eq!(in_loops(&source, &[], Op::Branch) + in_loops(&source, &[], Op::Jump), 2);
    assert_eq!(in_loops(&source, &[ROTATE, SIMPLIFY_CFG], Op::Branch), 1);
    assert_eq!(in_loops(&source, &[ROTATE, SIMPLIFY_CFG], Op::Jump), 0);
}

#[test]
fn invariants_move_out_of_loops() {
    assert_eq!(in_loops(&looped("x = mul a, b"), LOOPS, Op::Mul), 0);
    assert_eq!(in_loops(&looped("x = load.i32 p"), LOOPS, Op::Load), 0);
    assert_eq!(in_loops(&looped("x = div.s a, b"), LOOPS, Op::DivS), 0);
}

#[test]
fn what_a_loop_may_change_or_must_do_first_stays() {
    assert_eq!(in_loops(&looped("x = load.i32 p\n store q, i"), LOOPS, Op::Load), 1);
    assert_eq!(in_loops(&looped("x = load.i32 p volatile"), LOOPS, Op::Load), 1);
    assert_eq!(in_loops(&looped("x = load.i32 p\n fence seq_cst device"), LOOPS, Op::Load), 1);
    assert_eq!(in_loops(&looped("store q, i\n x = div.s a, b"), LOOPS, Op::DivS), 1);
    // The throw comes first: a load behind it may be of a wrong address.
    assert_eq!(in_loops(&looped("y = div.s i, a\n x = load.i32 p"), LOOPS, Op::Load), 1);
    // Never entered, never divided: without the guard that rotation makes, nothing moves.
    assert_eq!(in_loops(&looped("x = div.s a, b"), &[LICM], Op::DivS), 1);
}

#[test]
fn a_tile_of_accumulators_becomes_values() {
    let source = "kernel tile(p: ptr<global>) {
entry:
    acc = slot.array<f32, 16>
    memset acc, i8 0, i64 64
    jump outer(i32 0)
outer(i: i32):
    mi = lt.s i, i32 4
    branch mi, rows, done
rows:
    jump inner(i32 0)
inner(j: i32):
    mj = lt.s j, i32 4
    branch mj, cell, next
cell:
    r = mul i, i32 4
    k = add r, j
    a = index acc, k, f32
    v = load.f32 a
    pa = index p, k, f32
    w = load.f32 pa
    s = fma w, w, v
    store a, s
    j1 = add j, i32 1
    jump inner(j1)
next:
    i1_ = add i, i32 1
    jump outer(i1_)
done:
    o = index acc, i32 5, f32
    r5 = load.f32 o
    store p, r5
    return
}
";
    let mut found = unit(source);
    optimise::run(&mut found, OptLevel::Default, &mut Silent);
    let found = ops(&found);
    assert!(!found.iter().any(|op| matches!(op, Op::Slot | Op::Branch)), "{found:?}");
    assert_eq!(found.iter().filter(|&&op| op == Op::Load).count(), 1, "only one cell is used: {found:?}");
}

#[test]
fn narrow_counters_that_cannot_wrap_are_widened() {
    let passes = &[ROTATE, SIMPLIFY_CFG, LICM, INDVARS, DCE];
    let source = looped("w = sext.i64 i\n y = mul w, w\n x = trunc.i32 y");
    assert_eq!(in_loops(&source, passes, Op::Sext), 0);
    assert_eq!(in_loops(&source, passes, Op::Add), 2, "the narrow counter is gone");
    // A step of 2 may jump over the bound and the end of the range.
    let source = source.replace("j = add i, i32 1", "j = add i, i32 2");
    assert_eq!(in_loops(&source, passes, Op::Sext), 1);
    // Control may go back at the end of the range.
    let source = source.replace("add i, i32 2", "add i, i32 1").replace("lt.s i, n", "le.s i, n");
    assert_eq!(in_loops(&source, passes, Op::Sext), 1);
}

#[test]
fn conditions_behind_branches_are_known() {
    let source = "method f(a: i32, b: i32, t: ptr<global>) -> i1 {
entry:
    c = lt.s a, b
    branch c, yes, no
yes:
    d = le.s a, b
    store t, d
    return c
no:
    e = ge.s a, b
    store t, e
    f = ge.u a, b
    return f
}
";
    let found = after(source, &[IMPLIED]);
    assert_eq!(found, [Op::LtS, Op::Branch, Op::Store, Op::Return, Op::Store, Op::GeU, Op::Return]);
}

#[test]
fn a_loop_up_to_the_bound_needs_no_bounds_check() {
    let source = looped("k = bounds_check i, n\n x = mul k, a");
    assert_eq!(in_loops(&source, &[IMPLIED], Op::BoundsCheck), 0);
    let from_minus_one = source.replace("head(i32 0,", "head(i32 -1,");
    assert_eq!(in_loops(&from_minus_one, &[IMPLIED], Op::BoundsCheck), 1);
    let other_bound = source.replace("bounds_check i, n", "bounds_check i, a");
    assert_eq!(in_loops(&other_bound, &[IMPLIED], Op::BoundsCheck), 1);
    let by_two = source.replace("add i, i32 1", "add i, i32 2");
    assert_eq!(in_loops(&by_two, &[IMPLIED], Op::BoundsCheck), 1);
}

/// Each of a chain of functions that are inlined holds all below it: what is copied is bounded, and calls stay behind.
#[test]
fn inlining_copies_a_bounded_number_of_instructions() {
    let mut source = String::from("method f0(a: i32) -> i32 inline {\nentry:\n    return a\n}\n");
    for n in 1..400 {
        let header = format!("method f{n}(a: i32) -> i32 inline {{\nentry:\n    r0 = call f{}(a)\n", n - 1);
        source.push_str(&header);
        (0..100).for_each(|k| source.push_str(&format!("    r{} = mul r{k}, a\n", k + 1)));
        source.push_str("    return r100\n}\n");
    }
    let mut unit = unit(&source);
    optimise::run(&mut unit, OptLevel::None, &mut Silent);
    let calls = |body: &Body| {
        let insts = body.blocks().flat_map(|block| body.block_insts(block));
        insts.filter(|&inst| body.inst(inst).op == Op::Call).count()
    };
    let total: usize = unit.funcs.values().map(|function| function.body.inst_count()).sum();
    assert!(total < 2 * MAX_COPIED_INSTS, "{total}");
    let inlined = unit.funcs.values().filter(|function| calls(&function.body) == 0).count();
    assert!((250..390).contains(&inlined), "{inlined}");
}
