//! Every op on every scalar type that native code claims to have.
#![allow(unsafe_code)] // runs the code under test

use super::*;
use marquetry_ir::op::Shape;
use marquetry_ir::semantics::{self, Outcome, float};
use marquetry_ir::types::Scalar;
use marquetry_lower::target::Action;
use std::fmt::Write;

struct Case {
    op: Op,
    params: Vec<Type>,
    results: Vec<Type>,
    name: String,
}

/// One function per op and types that fit it and that the target has.
fn cases(target: &NativeTarget) -> (Vec<Case>, String) {
    let scalars: Vec<Type> = Scalar::ALL.iter().map(|&scalar| Type::scalar(scalar)).collect();
    let mut cases = Vec::new();
    let mut all = String::new();
    for &op in Op::ALL {
        let info = op.info();
        let count = match info.shape {
            Shape::Unary | Shape::Convert => 1,
            Shape::Binary => 2,
            Shape::Ternary => 3,
            _ => continue,
        };
        let touches = |effect| info.effects.has(effect);
        use marquetry_ir::op::Effects;
        if touches(Effects::CONVERGENT)
            || matches!(op, Op::PtrAdd | Op::BoundsCheck | Op::Insert | Op::Extract)
        {
            continue;
        }
        for &from in &scalars {
            let mut params = vec![from; count];
            if op == Op::Select {
                params[0] = Type::I1;
            }
            let wanted: &[Type] = if info.shape == Shape::Convert { &scalars } else { &[from] };
            for &suffix in wanted {
                for results in [vec![suffix], vec![Type::I1], vec![suffix, Type::I1]] {
                    if info.shape == Shape::Convert && results != [suffix] {
                        continue;
                    }
                    if target.action(op, from, results[0]) != Action::Legal {
                        continue;
                    }
                    let name = format!("f{}", cases.len());
                    let letters = ["a", "b", "c"];
                    let list: Vec<String> =
                        params.iter().zip(letters).map(|(ty, letter)| format!("{letter}: {ty}")).collect();
                    let suffix =
                        if info.shape == Shape::Convert { format!(".{suffix}") } else { String::new() };
                    let (outs, values) = match &results[..] {
                        [one] => (one.to_string(), "r"),
                        many => (format!("({}, {})", many[0], many[1]), "r, s"),
                    };
                    let text = format!(
                        "method {name}({}) -> {outs} {{\nentry:\n    {values} = {op}{suffix} {}\n    return {values}\n}}\n",
                        list.join(", "),
                        letters[..count].join(", "),
                    );
                    let mut program = Program::new();
                    if !text::parse(&mut program, "case", &text).is_empty() {
                        continue; // the op does not take these types
                    }
                    let fits = program.methods().all(|(_, method)| {
                        let body = &method.body;
                        let last = body.entry().and_then(|block| body.terminator(block));
                        last.is_some_and(|inst| {
                            body.args(inst)
                                .iter()
                                .map(|&arg| body.value_type(arg))
                                .eq(results.iter().copied())
                        })
                    });
                    if !fits {
                        continue;
                    }
                    let _ = all.write_str(&text);
                    cases.push(Case { op, params: params.clone(), results, name });
                    break;
                }
            }
        }
    }
    (cases, all)
}

/// Whether bits of NaN are moved, not made.
fn moves_bits(op: Op) -> bool {
    matches!(op, Op::Neg | Op::Abs | Op::CopySign | Op::Select | Op::Bitcast)
}

fn check(opt_level: u8) {
    let target = target("native", opt_level);
    let (cases, text) = cases(&target);
    assert!(cases.len() > 400, "only {} cases", cases.len());
    let code = emit_jit(&legal(&text, &target), &target, &|_| None).unwrap();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for case in &cases {
        let operand = case.params.last().and_then(|ty| ty.as_scalar()).unwrap();
        let result = case.results[0].as_scalar().unwrap();
        let values: Vec<Vec<u128>> = case.params.iter().map(|&ty| edge_values(ty)).collect();
        let total: usize = values.iter().map(Vec::len).product();
        // All pairs; of triples, every seventh.
        let step = if case.params.len() == 3 && total > 20_000 { 7 } else { 1 };
        for n in (0..total).step_by(step) {
            let mut rest = n;
            let args: Vec<u128> = values
                .iter()
                .map(|list| {
                    let value = list[rest % list.len()];
                    rest /= list.len();
                    value
                })
                .collect();
            let wanted = match semantics::scalar(case.op, operand, result, &args) {
                Some(Outcome::Value(value)) => vec![value],
                Some(Outcome::Pair(value, flag)) => vec![value, u128::from(flag)],
                Some(Outcome::Throws(exception)) => {
                    let (status, _) = call_status(&code, &case.name, &args);
                    let site = code.places().get((status as usize).wrapping_sub(1));
                    assert_eq!(site.map(|site| &*site.kind), Some(exception.name()), "{} {args:x?}", case.op);
                    continue;
                }
                None => panic!("{} of {:?} is not defined", case.op, case.params),
            };
            checked += 1;
            let found = call(&code, &case.name, &args);
            let is_nan = result.is_float() && float::is_nan(result, wanted[0]);
            let same = found == wanted || (is_nan && !moves_bits(case.op) && float::is_nan(result, found[0]));
            if !same && wrong.len() < 50 {
                wrong.push(format!(
                    "{} {:?} {args:x?}: {found:x?}, expected {wanted:x?}",
                    case.op, case.params
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn ops_compute_what_they_mean_optimised() {
    check(2);
}

#[test]
fn ops_compute_what_they_mean_unoptimised() {
    check(0);
}

/// Ops that touch memory, control and work-items, so that each is compiled for each architecture.
const REST: &str = "
struct pair { x: i8, y: i128 }
global counts: array<i32, 4> in global = [i32 1, i32 2, i32 3, i32 4]
global fixed: pair in constant
global tile: array<f32, 64> in shared
extern func host(i8, i16, i32, i64, f32, f64, i128, i1) -> i16 as \"host_function\"
method leaf(a: i64) -> (i64, i1, f64, i128, i8) {
entry:
    b = stof.f64 a
    c = sext.i128 a
    d = trunc.i8 a
    e = gt.s a, i64 0
    return a, e, b, c, d
}
method calls(a: i64) -> i128 {
entry:
    b, c, d, e, f = call leaf(a)
    p = function_address leaf(i64)
    g, h, i, j, k = call_indirect p(b) -> (i64, i1, f64, i128, i8)
    l = trunc.i16 a
    m = trunc.i32 a
    n = fconvert.f32 d
    o = call host(k, l, m, a, n, i, e, h)
    q = zext.i128 o
    r = add q, j
    return r
}
method memory(p: ptr<global>, q: ptr<global>, n: i64) -> i128 {
entry:
    s = slot.array<i64, 9>
    a = load.i128 p
    b = load.i64 q align 1
    c = load.f32 p volatile
    d = load.i128 q volatile
    e = load.i32 q align 1 volatile
    store p, a align 2
    store q, b volatile
    store p, c
    f = spacecast.ptr<generic> s
    g = spacecast.ptr<generic> p
    memcpy f, g, i64 72 align 8
    memcpy f, g, i64 31
    memcpy f, g, n
    memset f, i8 3, i64 21
    memset f, i8 3, n
    h = address.global counts
    i = index h, n, i32
    j = load.i32 i
    k = address.constant fixed
    l = field_address k, pair, 1
    m = load.i128 l
    o = sext.i128 j
    r = add m, o
    t = add r, d
    u = sext.i128 e
    v = add t, u
    return v
}
method atomics(p: ptr<global>, a: i32, b: i64, c: f32, d: f64) -> i64 {
entry:
    a0 = atomic_load.i32 p relaxed device
    a1 = atomic_load.f64 p seq_cst system
    atomic_store p, a release device
    atomic_store p, d release device
    b0 = rmw_exchange p, c relaxed device
    b1 = rmw_exchange p, d relaxed device
    b2 = rmw_exchange p, b relaxed device
    c0 = rmw_add p, a relaxed device
    c1 = rmw_sub p, b relaxed device
    c2 = rmw_and p, a relaxed device
    c3 = rmw_or p, b relaxed device
    c4 = rmw_xor p, a relaxed device
    c5 = rmw_min.s p, a relaxed device
    c6 = rmw_min.u p, b relaxed device
    c7 = rmw_max.s p, b relaxed device
    c8 = rmw_max.u p, a relaxed device
    e0, f0 = cmpxchg p, a, c0 acq_rel device
    e1, f1 = cmpxchg p, b, c1 acq_rel device
    fence acq_rel device
    return e1
}
method control(a: i8, b: i64, c: i128) -> i32 {
entry:
    switch a, other(i32 0), [0: done(i32 1), 1: done(i32 2), 2: done(i32 3), 3: done(i32 4), -5: done(i32 5)]
other(r: i32):
    switch b, more, [0: done(i32 1), 1: done(i32 2), 2: done(i32 3), 3: done(i32 4), -5: done(i32 5), 100000000000: done(r), 7: done(i32 6), 8: more]
more:
    switch c, done(i32 9), [0: done(i32 1), 1: done(i32 2), 2: done(i32 3), 3: done(i32 4), -5: done(i32 5)]
done(x: i32):
    return x
}
kernel items(p: ptr<global>, n: i32) {
entry:
    a = local_id 0
    b = group_id 1
    c = group_size 2
    d = group_count 0
    e = subgroup_size
    f = subgroup_lane
    barrier
    subgroup_barrier
    g = subgroup_shuffle n, f
    h = subgroup_any i1 true
    i = subgroup_ballot h
    j = subgroup_reduce_min.s i
    k = address.shared tile
    l = index k, a, f32
    m = load.f32 l
    o = subgroup_shuffle_up m, f
    q = subgroup_shuffle_xor j, f
    r = clock
    store l, o
    s = add q, r
    store p, s
    return
}
";

#[test]
fn every_architecture_has_every_op() {
    for triple in TRIPLES {
        for opt_level in [0, 2] {
            for relocation in [Relocation::Pic, Relocation::Static] {
                let options =
                    NativeOptions { opt_level, relocation, verify: true, ..NativeOptions::default() };
                let target = NativeTarget::parse(triple, options).unwrap();
                let (_, text) = cases(&target);
                let text =
                    if relocation == Relocation::Pic { format!("{REST}{text}") } else { REST.to_owned() };
                let legal = legal(&text, &target);
                let artifact = emit_object(&legal, &target);
                let artifact =
                    artifact.unwrap_or_else(|e| panic!("{triple} -O{opt_level} {relocation:?}: {e}"));
                assert!(artifact.code.starts_with(b"\x7fELF"));
                assert_eq!(artifact.shared_bytes, 256);
            }
        }
    }
}
