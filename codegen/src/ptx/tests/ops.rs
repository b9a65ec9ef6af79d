//! Every op on every type that the target calls legal must assemble on every architecture.

use super::super::PtxTarget;
use super::{ARCHITECTURES, compile};
use marquetry_ir::op::{Op, Rule};
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::target::{Action, Target};
use std::fmt::Write;

const INTS: [Type; 4] = [Type::I8, Type::I16, Type::I32, Type::I64];
const FLOATS: [Type; 4] = [Type::F16, Type::BF16, Type::F32, Type::F64];

fn scalars(fits: impl Fn(Scalar) -> bool) -> Vec<Type> {
    let legal = Scalar::ALL.into_iter().filter(|&s| s != Scalar::I128 && fits(s));
    legal.map(Type::scalar).collect()
}

/// A constant of a type, as text.
fn constant(ty: Type) -> &'static str {
    match ty {
        Type::I1 => "i1 true",
        Type::I8 => "i8 -5",
        Type::I16 => "i16 -300",
        Type::I32 => "i32 -70000",
        Type::I64 => "i64 -5000000000",
        Type::F16 => "f16 -1.5",
        Type::BF16 => "bf16 -1.5",
        Type::F32 => "f32 -0.1",
        Type::F64 => "f64 -0.1",
        _ => "ptr<global> null",
    }
}

/// A kernel for one op on operands of these types, once with a constant as the last one.
fn kernels(out: &mut String, op: Op, suffix: Option<Type>, operands: &[Type]) {
    let suffix = suffix.map_or(String::new(), |ty| format!(".{ty}"));
    let n = out.len();
    let params: String = operands.iter().zip('a'..).map(|(ty, name)| format!("{name}: {ty}, ")).collect();
    let mut names: Vec<String> = ('a'..).take(operands.len()).map(String::from).collect();
    let _ = writeln!(out, "kernel k{n}({params}out: ptr<global>) {{\nentry:");
    let _ = writeln!(out, "    r = {op}{suffix} {}\n    store out, r volatile", names.join(", "));
    if let (Some(last), Some(&ty)) = (names.last_mut(), operands.last()) {
        *last = constant(ty).to_string();
        let _ = writeln!(out, "    s = {op}{suffix} {}\n    store out, s volatile", names.join(", "));
    }
    let _ = writeln!(out, "    return\n}}");
}

fn program(target: &PtxTarget) -> String {
    let mut out = String::new();
    for &op in Op::ALL {
        let legal = |from, to| target.action(op, from, to) == Action::Legal;
        let arity = match op.info().shape {
            marquetry_ir::op::Shape::Unary => 1,
            marquetry_ir::op::Shape::Binary => 2,
            marquetry_ir::op::Shape::Ternary => 3,
            _ => 0,
        };
        let types = match op.info().rule {
            Rule::SameNumber => scalars(|s| s != Scalar::I1),
            Rule::SameInt => INTS.to_vec(),
            Rule::SameBits => scalars(Scalar::is_int),
            Rule::SameFloat | Rule::CompareFloat => FLOATS.to_vec(),
            Rule::CompareInt => INTS.to_vec(),
            Rule::CompareAny => {
                [scalars(|_| true), vec![Type::pointer(marquetry_ir::types::Space::Global)]].concat()
            }
            Rule::SubgroupInt => vec![Type::I32, Type::I64],
            Rule::SubgroupVote | Rule::SubgroupBallot => vec![Type::I1],
            Rule::WorkItem | Rule::Clock => {
                let dimension = if op.info().shape == marquetry_ir::op::Shape::Dimension { " 2" } else { "" };
                let _ = writeln!(
                    out,
                    "kernel k{}(out: ptr<global>) {{\nentry:\n    r = {op}{dimension}",
                    out.len()
                );
                let _ = writeln!(out, "    store out, r\n    return\n}}");
                continue;
            }
            Rule::Nothing if arity == 0 && op.info().shape == marquetry_ir::op::Shape::Nullary => {
                let _ = writeln!(out, "kernel k{}() {{\nentry:\n    {op}\n    return\n}}", out.len());
                continue;
            }
            Rule::Select => {
                for ty in scalars(|_| true) {
                    kernels(&mut out, op, None, &[Type::I1, ty, ty]);
                }
                continue;
            }
            Rule::SubgroupShuffle => {
                for ty in [Type::I32, Type::I64, Type::F32, Type::F64] {
                    kernels(&mut out, op, None, &[ty, Type::I32]);
                }
                continue;
            }
            Rule::Truncate
            | Rule::Extend
            | Rule::FloatConvert
            | Rule::FloatToInt
            | Rule::IntToFloat
            | Rule::Bitcast => {
                conversions(&mut out, op, &legal);
                continue;
            }
            _ => continue,
        };
        for ty in types.into_iter().filter(|&ty| legal(ty, ty)) {
            kernels(&mut out, op, None, &vec![ty; arity]);
        }
    }
    out
}

fn conversions(out: &mut String, op: Op, legal: &dyn Fn(Type, Type) -> bool) {
    for from in scalars(|_| true) {
        for to in scalars(|_| true) {
            let fits = match op.info().rule {
                Rule::Truncate => from.is_int() && to.is_int() && to.bits() < from.bits(),
                Rule::Extend => from.is_int() && to.is_int() && to.bits() > from.bits(),
                Rule::FloatConvert => from.is_float() && to.is_float() && to != from,
                Rule::FloatToInt => from.is_float() && to.is_int() && to != Type::I1,
                Rule::IntToFloat => from.is_int() && from != Type::I1 && to.is_float(),
                _ => from != Type::I1 && to.bits() == from.bits(),
            };
            if fits && legal(from, to) {
                kernels(out, op, Some(to), &[from]);
            }
        }
    }
}

#[test]
fn legal_ops_assemble() {
    for architecture in ARCHITECTURES {
        let target = PtxTarget::parse(&format!("ptx:{architecture}")).expect("the target should exist");
        let source = program(&target);
        assert!(source.matches("kernel").count() > 300);
        compile(&source, architecture);
    }
}

fn atomics() -> String {
    let mut out = String::new();
    for space in ["global", "shared", "generic", "local"] {
        for (n, order) in ["relaxed", "acquire", "release", "acq_rel", "seq_cst"].into_iter().enumerate() {
            let scope = ["subgroup", "group", "device", "system", "device"][n];
            for ty in ["i32", "i64", "f32", "f64"] {
                let ops: &[&str] = match ty {
                    "f32" | "f64" => &["exchange", "add"],
                    _ => &["exchange", "add", "sub", "and", "or", "xor", "min.s", "min.u", "max.s", "max.u"],
                };
                let _ = writeln!(out, "kernel k{}(a: i64, x: {ty}, out: ptr<global>) {{\nentry:", out.len());
                let _ = writeln!(out, "    p = inttoptr.ptr<{space}> a");
                for op in ops {
                    let name = op.replace('.', "");
                    let _ = writeln!(
                        out,
                        "    {name} = rmw_{op} p, x {order} {scope}\n    store out, {name} volatile"
                    );
                }
                let one = if ty.starts_with('f') { "1.0" } else { "1" };
                let _ = writeln!(out, "    constant = rmw_add p, {ty} {one} {order} {scope}");
                if ty.starts_with('i') {
                    let _ = writeln!(out, "    old, done = cmpxchg p, x, {ty} 7 {order} {scope}");
                    let _ = writeln!(out, "    store out, old volatile\n    store out, done volatile");
                }
                if order != "release" && order != "acq_rel" {
                    let _ = writeln!(
                        out,
                        "    read = atomic_load.{ty} p {order} {scope}\n    store out, read volatile"
                    );
                }
                if order != "acquire" && order != "acq_rel" {
                    let _ = writeln!(out, "    atomic_store p, x {order} {scope}");
                }
                if order != "relaxed" {
                    let _ = writeln!(out, "    fence {order} {scope}");
                }
                let _ = writeln!(out, "    return\n}}");
            }
        }
    }
    out
}

#[test]
fn atomics_assemble() {
    for architecture in ARCHITECTURES {
        compile(&atomics(), architecture);
    }
}

#[test]
fn loads_and_stores_of_every_type_space_and_alignment_assemble() {
    let mut source = String::new();
    for space in ["global", "shared", "generic", "local", "constant"] {
        for ty in scalars(|_| true) {
            for (n, flags) in
                ["", " volatile", " align 1", " align 2", " align 4 volatile", " align 16"].iter().enumerate()
            {
                let name = format!("k_{space}_{ty}_{n}");
                let _ = writeln!(source, "kernel {name}(a: i64, q: ptr<global>) {{\nentry:");
                // Hosts have no addresses of shared or local memory to pass.
                let _ = writeln!(source, "    p = inttoptr.ptr<{space}> a");
                let _ = writeln!(source, "    far = ptr_add p, i64 2147483647\n    v = load.{ty} far{flags}");
                let _ = writeln!(
                    source,
                    "    store q, v{flags}\n    store q, {}{flags}\n    return\n}}",
                    constant(ty)
                );
            }
        }
    }
    for architecture in ["sm_75", "sm_90"] {
        compile(&source, architecture);
    }
}
