//! Every op on every type that the targets claim.

use super::*;
use marquetry_ir::op::{Effects, Op, Rule, Shape};
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::target::{Action, Target, TypeAction};
use std::fmt::Write;

/// One kernel per type with all ops on it that the target has, on values from memory, results to memory.
fn kernels(target: &SpirvTarget) -> (String, usize) {
    let mut all = String::new();
    let mut count = 0;
    for from in Scalar::ALL {
        if target.type_action(Type::scalar(from)) != TypeAction::Legal {
            continue;
        }
        let name = from.name();
        let mut s = format!(
            "kernel k_{name}(x: ptr<global>, t: {name}, q: i1) {{\nentry:\n    a = load.{name} x\n    \
             b = load.{name} x volatile\n    c = load.{name} x align 1\n"
        );
        for &op in Op::ALL {
            let info = op.info();
            let args = match info.shape {
                Shape::Unary | Shape::Convert => "a",
                Shape::Binary => "a, b",
                Shape::Ternary if op == Op::Select => "q, a, b",
                Shape::Ternary => "a, b, c",
                _ => continue,
            };
            if info.effects.has(Effects::CONVERGENT) || info.effects.has(Effects::THROW) {
                continue;
            }
            let results = if info.shape == Shape::Convert { &Scalar::ALL[..] } else { &[from][..] };
            for &result in results {
                let result_type = match info.rule {
                    Rule::CompareAny | Rule::CompareInt | Rule::CompareFloat => Type::I1,
                    _ => Type::scalar(result),
                };
                let legal = target.type_action(result_type) == TypeAction::Legal
                    && target.action(op, Type::scalar(from), result_type) == Action::Legal;
                if !legal {
                    continue;
                }
                let suffix =
                    if info.shape == Shape::Convert { format!(".{}", result.name()) } else { String::new() };
                let flag = if info.rule == Rule::Overflow { format!(", f{count}") } else { String::new() };
                let mut line = format!("    r{count}{flag} = {op}{suffix} {args}\n    store x, r{count}\n");
                if !flag.is_empty() {
                    let _ = writeln!(line, "    store x, f{count}");
                }
                let trial = format!("{s}{line}    return\n}}\n");
                if text::parse(&mut Program::new(), "trial", &trial).is_empty() {
                    s.push_str(&line);
                    count += 1;
                }
            }
        }
        let _ = write!(s, "    store x, t\n    return\n}}\n");
        all.push_str(&s);
    }
    (all, count)
}

/// Ops that touch memory, control and work-items.
pub(super) const REST: &str = "
kernel divisions(x: ptr<global>, a: i8, b: i16, c: i32, d: i64) {
entry:
    a0 = div.s a, a
    a1 = rem.s a, a0
    b0 = div.u b, b
    b1 = rem.u b, b0
    c0 = rem.s c, c
    d0 = rem.s d, d
    d1 = div.s d, d0
    store x, a1
    store x, b1
    store x, c0
    store x, d1
    return
}
kernel atomics(p: ptr<global>, a: i32, b: i64, c: f32, d: f64) {
entry:
    a0 = atomic_load.i32 p relaxed device
    a1 = atomic_load.f64 p acquire system
    atomic_store p, a release group
    atomic_store p, d relaxed subgroup
    b0 = rmw_exchange p, c relaxed device
    b1 = rmw_exchange p, d acq_rel device
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
    d0 = rmw_add p, c relaxed device
    d1 = rmw_add p, d relaxed device
    d2 = rmw_min p, c relaxed device
    e0, f0 = cmpxchg p, a, c0 acq_rel device
    e1, f1 = cmpxchg p, b, c1 acquire group
    e2, f2 = cmpxchg p, b, c1 release group
    fence acq_rel device
    fence release group
    store p, f0
    store p, f1
    store p, d2
    return
}
kernel items(p: ptr<global>, n: i32, v: f64) {
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
    h2 = subgroup_all h
    i = subgroup_ballot h2
    j = subgroup_reduce_min.s i
    k = subgroup_reduce_add g
    l = subgroup_reduce_xor k
    m = subgroup_shuffle_up v, l
    o = subgroup_shuffle_xor j, f
    q = subgroup_shuffle_down m, a
    r = add b, c
    s = add d, e
    t = add r, s
    store p, t
    store p, o
    store p, q
    return
}
";

#[test]
fn every_claimed_op_validates() {
    for target in targets() {
        let (source, count) = kernels(&target);
        assert!(count > 350, "{target}: only {count}");
        module(&source, &target);
        module(REST, &target);
    }
}

#[test]
fn the_clock_is_vulkans() {
    let source = "kernel k(x: ptr<global>) {\nentry:\n    c = clock\n    store x, c\n    return\n}\n";
    let text = text_of(source, &SpirvTarget::vulkan());
    assert!(text.contains("SPV_KHR_shader_clock") && text.contains("OpReadClockKHR"), "{text}");
    let action = SpirvTarget::opencl().action(Op::Clock, Type::I64, Type::I64);
    assert!(matches!(action, Action::Unsupported(_)));
}

#[test]
fn vulkan_refuses_sequential_consistency() {
    let source =
        "kernel k(x: ptr<global>) {\nentry:\n    c = rmw_add x, i32 1 seq_cst device\n    return\n}\n";
    let target = SpirvTarget::vulkan();
    let list = refusals(source, &target);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0].message, "target spirv:vulkan1.3 has no 'rmw_add' of order seq_cst");
    assert!(source[list[0].span.start as usize..].starts_with("c = rmw_add"), "{list:?}");
    module(source, &SpirvTarget::opencl());
}

#[test]
fn floats_are_not_contracted() {
    let source = "kernel k(x: ptr<global>, a: f32) {\nentry:\n    b = mul a, a\n    c = add b, a\n    store x, c\n    return\n}\n";
    let vulkan = text_of(source, &SpirvTarget::vulkan());
    assert_eq!(vulkan.matches("NoContraction").count(), 2, "{vulkan}");
    assert!(vulkan.contains("SignedZeroInfNanPreserve 32"), "{vulkan}");
    assert!(text_of(source, &SpirvTarget::opencl()).contains("ContractionOff"));
}

#[test]
fn modules_ask_only_for_what_they_use() {
    let source = "kernel k(x: ptr<global>, a: i32) {\nentry:\n    store x, a\n    return\n}\n";
    let text = text_of(source, &SpirvTarget::vulkan());
    for unused in ["Int8", "Int16", "Float16", "Float64", "Int64Atomics", "GroupNonUniform", "8BitAccess"] {
        assert!(!text.contains(unused), "{unused}\n{text}");
    }
}
