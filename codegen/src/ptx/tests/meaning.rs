//! What the emitted instructions compute, compared with the definition of every op, expanded ones included.

use super::compile_text;
use super::machine::Machine;
use marquetry_ir::op::{Op, Rule, Shape};
use marquetry_ir::semantics::{Outcome, scalar};
use marquetry_ir::types::Scalar;
use std::fmt::Write;

const OUT: u64 = 0x9000_0000;
const MAILBOX: u64 = 0x9100_0000;

/// One op on operands of one type, and its result.
struct Case {
    op: Op,
    from: Scalar,
    to: Scalar,
    arity: usize,
    /// A constant as the last operand.
    constant: Option<u64>,
}

fn lanes(fits: impl Fn(Scalar) -> bool) -> Vec<Scalar> {
    Scalar::ALL.into_iter().filter(|&s| s != Scalar::I128 && fits(s)).collect()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &op in Op::ALL {
        let arity = match op.info().shape {
            Shape::Unary | Shape::Convert => 1,
            Shape::Binary => 2,
            Shape::Ternary => 3,
            _ => continue,
        };
        let is_number = |s: Scalar| s != Scalar::I1;
        let is_int = |s: Scalar| s.is_int() && s != Scalar::I1;
        let (from, to): (Vec<Scalar>, fn(Scalar, Scalar) -> bool) = match op.info().rule {
            Rule::SameNumber => (lanes(is_number), |a, b| a == b),
            Rule::SameInt | Rule::Overflow => (lanes(is_int), |a, b| a == b),
            Rule::SameBits => (lanes(Scalar::is_int), |a, b| a == b),
            Rule::SameFloat => (lanes(Scalar::is_float), |a, b| a == b),
            Rule::CompareAny => (lanes(|_| true), |_, b| b == Scalar::I1),
            Rule::CompareInt => (lanes(is_int), |_, b| b == Scalar::I1),
            Rule::CompareFloat => (lanes(Scalar::is_float), |_, b| b == Scalar::I1),
            Rule::Select => (lanes(|_| true), |a, b| a == b),
            Rule::Truncate => (lanes(Scalar::is_int), |a, b| b.is_int() && b.bits() < a.bits()),
            Rule::Extend => (lanes(Scalar::is_int), |a, b| b.is_int() && b.bits() > a.bits()),
            Rule::FloatConvert => (lanes(Scalar::is_float), |a, b| b.is_float() && a != b),
            Rule::FloatToInt => (lanes(Scalar::is_float), |_, b| b.is_int() && b != Scalar::I1),
            Rule::IntToFloat => (lanes(is_int), |_, b| b.is_float()),
            Rule::Bitcast => (lanes(is_number), |a, b| b != Scalar::I1 && a.bits() == b.bits()),
            _ => continue,
        };
        for &from in &from {
            for to in lanes(|s| to(from, s)) {
                cases.push(Case { op, from, to, arity, constant: None });
                if arity == 2 {
                    for constant in values(from).into_iter().step_by(3) {
                        cases.push(Case { op, from, to, arity, constant: Some(constant) });
                    }
                }
            }
        }
    }
    cases
}

/// Values at which ops go wrong.
fn values(ty: Scalar) -> Vec<u64> {
    let mask = ty.mask() as u64;
    if ty == Scalar::I1 {
        return vec![0, 1];
    }
    if ty.is_int() {
        let least = 1u64 << (ty.bits() - 1);
        let width = u64::from(ty.bits());
        let plain = [0, 1, 2, 3, 5, width - 1, width, width + 3, 100, least, least - 1, least + 1, u64::MAX];
        let more = [u64::MAX - 6, 0x1234_5678_9abc_def1, 0xfedc_ba98_0000_0000, 0x0000_0001_0000_0080];
        let mut values: Vec<u64> = plain.into_iter().chain(more).map(|v| v & mask).collect();
        values.sort_unstable();
        values.dedup();
        return values;
    }
    let floats =
        [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 0.1, 3.0, -7.0, 127.5, 255.9, -128.7, 65519.0, 65520.0];
    let large = [
        2147483648.0,
        -2147483904.0,
        4294967296.0,
        9.3e18,
        -9.3e18,
        1.9e19,
        1e38,
        -1e300,
        3e-41,
        1e-310,
        6e-8,
    ];
    let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, 1.0009765625, 1.00390625];
    let mut values = Vec::new();
    for value in floats.into_iter().chain(large).chain(special) {
        let bits = u128::from(value.to_bits());
        values.push(match ty {
            Scalar::F64 => bits as u64,
            _ => match scalar(Op::FConvert, Scalar::F64, ty, &[bits]) {
                Some(Outcome::Value(bits)) => bits as u64,
                other => panic!("{other:?}"),
            },
        });
    }
    values.sort_unstable();
    values.dedup();
    values
}

fn literal(ty: Scalar, bits: u64) -> String {
    let nan = ty.is_float()
        && scalar(Op::Uno, ty, Scalar::I1, &[bits.into(), bits.into()]) == Some(Outcome::Value(1));
    match ty {
        Scalar::I1 => format!("i1 {}", bits != 0),
        _ if ty.is_int() => {
            let unused = 64 - ty.bits();
            format!("{} {}", ty.name(), (bits << unused) as i64 >> unused)
        }
        _ if nan => format!("{} nan", ty.name()),
        _ => {
            let Some(Outcome::Value(wide)) = (if ty == Scalar::F64 {
                Some(Outcome::Value(bits.into()))
            } else {
                scalar(Op::FConvert, ty, Scalar::F64, &[bits.into()])
            }) else {
                panic!("{ty:?} should widen")
            };
            let value = f64::from_bits(wide as u64);
            format!(
                "{} {}",
                ty.name(),
                if value.is_infinite() { format!("{value}") } else { format!("{value:e}") }
            )
        }
    }
}

fn program(cases: &[Case]) -> String {
    let mut out = String::new();
    for (n, case) in cases.iter().enumerate() {
        let select = case.op == Op::Select;
        let ty = |at: usize| if select && at == 0 { Scalar::I1 } else { case.from };
        let params: String = (0..case.arity).map(|at| format!("a{at}: {}, ", ty(at).name())).collect();
        let mut operands: Vec<String> = (0..case.arity).map(|at| format!("a{at}")).collect();
        if let (Some(bits), Some(last)) = (case.constant, operands.last_mut()) {
            *last = literal(case.from, bits);
        }
        let suffix = match case.op.info().shape {
            Shape::Convert => format!(".{}", case.to.name()),
            _ => String::new(),
        };
        let pair = if case.op.info().rule == Rule::Overflow { ", o" } else { "" };
        let line = format!("r{pair} = {}{suffix} {}", case.op, operands.join(", "));
        let _ =
            writeln!(out, "kernel k{n}({params}out: ptr<global>) {{\nentry:\n    {line}\n    store out, r");
        if !pair.is_empty() {
            out += "    p = ptr_add out, i64 8\n    store p, o\n";
        }
        out += "    return\n}\n";
    }
    out
}

fn is_nan(ty: Scalar, bits: u64) -> bool {
    ty.is_float() && scalar(Op::Uno, ty, Scalar::I1, &[bits.into(), bits.into()]) == Some(Outcome::Value(1))
}

fn check_case(machine: &mut Machine, n: usize, case: &Case, operands: &[u64]) -> Result<(), String> {
    let wide: Vec<u128> = operands.iter().map(|&v| v.into()).collect();
    let wanted = scalar(case.op, case.from, case.to, &wide);
    let wanted = wanted.unwrap_or_else(|| panic!("{} on {:?} should be defined", case.op, case.from));
    let bytes = case.to.bytes() as u32;
    machine.write(OUT, 16, 0xaaaa_aaaa_aaaa_aaaa);
    machine.write(MAILBOX, 32, 0);
    let args: Vec<u64> = operands.iter().copied().chain([OUT, MAILBOX]).collect();
    machine.launch(&format!("k{n}"), &args);
    let found = machine.read(OUT, bytes);
    let threw = machine.read(MAILBOX, 4) != 0;
    let fine = match wanted {
        Outcome::Throws(_) => threw,
        Outcome::Value(bits) | Outcome::Pair(bits, _) if is_nan(case.to, bits as u64) => {
            let exact = matches!(case.op, Op::Neg | Op::Abs | Op::CopySign | Op::Bitcast | Op::Select);
            !threw && is_nan(case.to, found) && (!exact || found == bits as u64)
        }
        Outcome::Value(bits) => !threw && found == bits as u64,
        Outcome::Pair(bits, flag) => found == bits as u64 && machine.read(OUT + 8, 1) == u64::from(flag),
    };
    if fine {
        return Ok(());
    }
    let Case { op, from, to, constant, .. } = case;
    Err(format!(
        "k{n}: {op} {from:?} -> {to:?} {operands:x?} constant {constant:x?}: {found:x}, wanted {wanted:x?}"
    ))
}

fn check_architecture(architecture: &str) {
    let cases = cases();
    let text = compile_text(&program(&cases), architecture);
    let mut machine = Machine::new(&text);
    let mut errors = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let (all, select) = (values(case.from), case.op == Op::Select);
        let first = if select { values(Scalar::I1) } else { all.clone() };
        for (i, &a) in first.iter().enumerate() {
            match case.arity {
                1 => errors.extend(check_case(&mut machine, n, case, &[a]).err()),
                2 if let Some(constant) = case.constant => {
                    errors.extend(check_case(&mut machine, n, case, &[a, constant]).err());
                }
                2 => {
                    all.iter().for_each(|&b| errors.extend(check_case(&mut machine, n, case, &[a, b]).err()))
                }
                _ => {
                    for (j, &b) in all.iter().enumerate() {
                        let c = all[(i * 7 + j * 3) % all.len()];
                        errors.extend(check_case(&mut machine, n, case, &[a, b, c]).err());
                    }
                }
            }
        }
    }
    let count = errors.len();
    let shown = errors.iter().step_by(count / 40 + 1).cloned().collect::<Vec<_>>().join("\n");
    assert!(errors.is_empty(), "{count} wrong results\n{shown}");
}

#[test]
fn every_op_computes_what_the_table_says() {
    for architecture in ["sm_75", "sm_90"] {
        check_architecture(architecture);
    }
}
