//! Every op on every type, before and after.

use super::target::Harsh;
use crate::exceptions::{self, Lowered};
use crate::legal::{Legal, Site};
use crate::legalise::soft_float::Format;
use marquetry_ir::body::{Body, ValueDef};
use marquetry_ir::constant::{ConstData, ConstValue};
use marquetry_ir::entity::Func;
use marquetry_ir::infer::infer;
use marquetry_ir::interp::{Config, Ended, Interp, Val};
use marquetry_ir::op::{Op, Rule, Shape};
use marquetry_ir::program::{Inlining, MethodKind};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::{Scalar, Type, TypeKind, Types};
use marquetry_ir::unit::{Function, Unit};

/// A small generator: xorshift.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// A value of a type: mostly from where things change.
    fn scalar(&mut self, ty: Scalar) -> u128 {
        let bits = ty.bits();
        let pick = self.next() % 16;
        let (sign, mask) = (1u128 << (bits - 1), ty.mask());
        if ty.is_float() {
            let precision = match ty {
                Scalar::F16 => 11,
                Scalar::BF16 => 8,
                Scalar::F32 => 24,
                _ => 53,
            };
            let infinity = (mask >> precision) << (precision - 1) & (mask >> 1);
            let one = infinity >> 1 & !((1 << (precision - 1)) - 1);
            let near = |r: &mut Self, spread: u128| (one + (r.wide() % (2 * spread)) - spread) & mask;
            let signed = if self.next().is_multiple_of(2) { sign } else { 0 };
            return signed
                | match pick {
                    0 => 0,
                    1 => infinity,
                    2 => infinity | 1 << (precision - 2),
                    3 => infinity - 1 - self.wide() % 3,
                    4 => 1 + self.wide() % 3,
                    5 => (1 << (precision - 1)) + self.wide() % 4 - 2,
                    6 => one,
                    // Close in size, so that sums cancel and quotients are small.
                    7..=10 => near(self, 12 << (precision - 1)) & (mask >> 1),
                    // Few bits: ties.
                    11..=12 => {
                        near(self, 12 << (precision - 1)) & (mask >> 1) & !((1 << (precision - 4)) - 1)
                    }
                    13 => self.wide() % (1 << (precision - 1)),
                    // Halfway between two numbers of fewer bits, or just above.
                    14 if precision > 11 => {
                        let fewer = [8, 11, 24][self.next() as usize % if precision > 24 { 3 } else { 2 }];
                        let unit = 1u128 << (precision - fewer);
                        let size = near(self, 12 << (precision - 1)) & (mask >> 1) & !(unit - 1);
                        size | unit >> 1 | u128::from(self.next() & 1)
                    }
                    _ => self.wide() & (mask >> 1),
                };
        }
        if pick > 13 {
            // Halfway between two floats, or just above.
            let fewer = [8, 11, 24, 53][self.next() as usize % 4];
            let top = fewer + self.next() as u32 % 64;
            let halfway = 1 << top | 1 << (top - fewer) | u128::from(self.next() & 3) << (top - fewer + 1);
            return (halfway | u128::from(self.next() & 1)) & mask;
        }
        mask & match pick {
            0 => 0,
            1 => 1,
            2 => mask,
            3 => sign,
            4 => sign - 1,
            5 => mask >> (self.next() % u64::from(bits)),
            6 => 1 << (self.next() % u64::from(bits)),
            7 => !(1 << (self.next() % u64::from(bits))),
            8 => self.wide() % 256,
            9 => (self.wide() % 256).wrapping_neg(),
            10..=12 => self.wide() >> (self.next() % 128),
            _ => self.wide(),
        }
    }

    fn val(&mut self, ty: Type) -> Val {
        match ty.kind() {
            TypeKind::Vector(lane, lanes) => Val::Lanes((0..lanes).map(|_| self.scalar(lane)).collect()),
            TypeKind::Scalar(scalar) => Val::Bits(self.scalar(scalar)),
            _ => Val::Bits(0),
        }
    }
}

/// One case: an op with operand types.
struct Case {
    op: Op,
    suffix: Type,
    args: Vec<Type>,
    mask: Option<Vec<u128>>,
}

impl Case {
    fn new(op: Op, args: &[Type]) -> Self {
        Case { op, suffix: Type::UNKNOWN, args: args.to_vec(), mask: None }
    }

    fn to(op: Op, from: Type, to: Type) -> Self {
        Case { op, suffix: to, args: vec![from], mask: None }
    }
}

/// A unit of one function that computes one op.
fn unit_of(case: &Case) -> (Unit, Vec<Type>) {
    let mut body = Body::new();
    let entry = body.make_block();
    body.append_block(entry);
    let params: Vec<_> = case.args.iter().map(|&ty| body.append_block_param(entry, ty)).collect();
    let imm = match &case.mask {
        Some(mask) => {
            let ty = Type::vector(Scalar::I32, mask.len() as u32).unwrap();
            let constant = body.make_const(ConstData { ty, value: ConstValue::Lanes(mask.clone().into()) });
            match body.value_def(constant) {
                ValueDef::Const(id) => id.as_u32(),
                _ => unreachable!(),
            }
        }
        None => 0,
    };
    let inst = body.make_inst(case.op, case.suffix, &params, imm);
    let types = infer(&body, &Types::new(), inst)
        .unwrap_or_else(|error| panic!("{} {:?} {:?}: {error}", case.op, case.args, case.suffix));
    body.make_results(inst, &types);
    body.append_inst(inst, entry);
    let results: Vec<_> = body.results(inst).collect();
    let leave = body.make_inst(Op::Return, Type::UNKNOWN, &results, 0);
    body.append_inst(leave, entry);
    let mut unit = Unit::default();
    let func = unit.funcs.push(Function {
        name: "f".into(),
        kind: MethodKind::Function,
        signature: Signature::new(case.args.clone(), types.to_vec()),
        body,
        inlining: Inlining::Auto,
        file: None,
        span: Span::NOWHERE,
    });
    unit.entries.push(func);
    (unit, types.to_vec())
}

/// The bits of values one after the other, lowest first.
fn to_bits(vals: &[Val], types: &[Type]) -> Vec<bool> {
    let mut bits = Vec::new();
    for (val, ty) in vals.iter().zip(types) {
        let width = ty.lane().map_or(64, Scalar::bits);
        for lane in val.lanes() {
            bits.extend((0..width).map(|n| lane >> n & 1 == 1));
        }
    }
    bits
}

fn from_bits(bits: &[bool], types: &[Type]) -> Vec<Val> {
    let mut rest = bits.iter();
    let mut take = |width: u32| (0..width).fold(0u128, |sum, n| sum | u128::from(*rest.next().unwrap()) << n);
    types
        .iter()
        .map(|ty| match ty.kind() {
            TypeKind::Vector(lane, lanes) => Val::Lanes((0..lanes).map(|_| take(lane.bits())).collect()),
            TypeKind::Scalar(scalar) => Val::Bits(take(scalar.bits())),
            _ => Val::Bits(take(64)),
        })
        .collect()
}

fn is_nan(ty: Scalar, bits: u128) -> bool {
    let infinity = match ty {
        Scalar::F16 => 0x7c00,
        Scalar::BF16 => 0x7f80,
        Scalar::F32 => 0x7f80_0000,
        Scalar::F64 => 0x7ff0_0000_0000_0000,
        _ => return false,
    };
    bits & (ty.mask() >> 1) > infinity
}

/// Equal, or the same lanes are NaN.
fn agree(wanted: &[Val], found: &[Val], types: &[Type]) -> bool {
    wanted.iter().zip(found).zip(types).all(|((a, b), ty)| {
        let lane = ty.lane().unwrap_or(Scalar::I64);
        let lanes = a.lanes().iter().zip(b.lanes());
        a.lanes().len() == b.lanes().len()
            && lanes.into_iter().all(|(&a, &b)| a == b || (is_nan(lane, a) && is_nan(lane, b)))
    })
}

fn legalise(unit: &Unit, target: &Harsh, case: &Case) -> Legal {
    let lowered: Lowered =
        exceptions::run(marquetry_ir::verify::Verified::new(unit.clone()).unwrap()).unwrap();
    let legal = crate::legalise::run(lowered, target).unwrap_or_else(|failure| {
        panic!("{} {:?} {:?}: {failure}", case.op, case.args, case.suffix);
    });
    let diagnostics = marquetry_ir::verify::verify_unit(legal.unit());
    assert!(diagnostics.is_empty(), "{}", marquetry_ir::diag::render(&diagnostics, &legal.unit().files));
    legal
}

fn run_before(interp: &mut Interp<'_>, args: &[Val]) -> Result<Vec<Val>, String> {
    match interp.call(Func::from_u32(0), args).unwrap_or_else(|fault| panic!("before: {fault:?}")) {
        Ended::Returned(vals) => Ok(vals),
        Ended::Threw(thrown) => Err(thrown.kind.to_string()),
    }
}

fn run_after(
    interp: &mut Interp<'_>,
    legal: &Legal,
    args: &[Val],
    types: &[Type],
) -> Result<Vec<Val>, String> {
    let signature = &legal.unit().funcs[Func::from_u32(0)].signature;
    let ended = interp.call(Func::from_u32(0), args).unwrap_or_else(|fault| panic!("after: {fault:?}"));
    let Ended::Returned(mut vals) = ended else { panic!("legal code throws") };
    let mut leaves = signature.results.clone();
    if legal.entries()[0].status {
        leaves.remove(0);
        let status = vals.remove(0).bits().unwrap();
        if status != 0 {
            let site: &Site = &legal.sites()[status as usize - 1];
            return Err(site.kind.to_string());
        }
    }
    Ok(from_bits(&to_bits(&vals, &leaves), types))
}

fn check(case: &Case, target: &Harsh, rounds: u32, random: &mut Random) {
    let (unit, results) = unit_of(case);
    let legal = legalise(&unit, target, case);
    let config = Config { races: false, ..Config::default() };
    let (mut before, mut after) = (Interp::new(&unit, config.clone()), Interp::new(legal.unit(), config));
    let exact = if case.op == Op::Fma { nearly_halfway(case.args[0]) } else { Vec::new() };
    for round in 0..rounds as usize + exact.len() {
        let args: Vec<Val> = match exact.get(round) {
            Some(args) => args.clone(),
            None => case.args.iter().map(|&ty| random.val(ty)).collect(),
        };
        let wanted = run_before(&mut before, &args);
        let params = &legal.unit().funcs[Func::from_u32(0)].signature.params;
        let flat = from_bits(&to_bits(&args, &case.args), params);
        let found = run_after(&mut after, &legal, &flat, &results);
        let same = match (&wanted, &found) {
            (Ok(wanted), Ok(found)) => agree(wanted, found, &results),
            (Err(wanted), Err(found)) => wanted == found,
            _ => false,
        };
        assert!(
            same,
            "{} {:?} {:?} of {args:x?}: wanted {wanted:x?}, found {found:x?}\n{}",
            case.op,
            case.args,
            case.suffix,
            marquetry_ir::text::print_unit(legal.unit()),
        );
    }
}

/// Operands of `fma` whose product is halfway between two numbers, with addends that decide, or do not.
fn nearly_halfway(ty: Type) -> Vec<Vec<Val>> {
    let Some(format) = Format::of(ty).filter(|_| !ty.is_vector()) else { return Vec::new() };
    let (p, one) = (format.precision, format.power_of_two(0));
    // (1 + 2^-a) * (1 + 2^-b) ends in 2^-p, half of the last place.
    let (a, b) = (one | 1 << (p - 1 - p / 2), one | 1 << (p - 1 - p.div_ceil(2)));
    let sign = 1 << (format.bits - 1);
    let small = [1, format.implicit(), format.power_of_two(-(p as i32) - 2)];
    let addends = [0, sign].into_iter().chain(small).chain(small.map(|bits| bits | sign));
    addends.flat_map(|c| [a, a | sign].map(|a| [a, b, c].map(Val::Bits).to_vec())).collect()
}

fn vector(lane: Scalar, lanes: u32) -> Type {
    Type::vector(lane, lanes).unwrap()
}

fn types() -> Vec<Type> {
    let mut types: Vec<Type> = Scalar::ALL.iter().map(|&s| Type::scalar(s)).collect();
    types.extend([
        vector(Scalar::I1, 4),
        vector(Scalar::I8, 16),
        vector(Scalar::I16, 2),
        vector(Scalar::I32, 4),
        vector(Scalar::I64, 4),
        vector(Scalar::I128, 2),
        vector(Scalar::F16, 8),
        vector(Scalar::BF16, 4),
        vector(Scalar::F32, 8),
        vector(Scalar::F64, 2),
    ]);
    types
}

/// All cases of an op that computes.
fn cases(op: Op) -> Vec<Case> {
    let types = types();
    let count = match op.info().shape {
        Shape::Unary => 1,
        Shape::Ternary => 3,
        _ => 2,
    };
    let number = |ty: &&Type| ty.lane() != Some(Scalar::I1);
    let same = |keep: &dyn Fn(&&Type) -> bool| -> Vec<Case> {
        types.iter().filter(keep).map(|&ty| Case::new(op, &vec![ty; count])).collect()
    };
    let pairs = |keep: &dyn Fn(Scalar, Scalar) -> bool| -> Vec<Case> {
        let mut cases = Vec::new();
        for from in Scalar::ALL {
            for to in Scalar::ALL.into_iter().filter(|&to| keep(from, to)) {
                cases.push(Case::to(op, Type::scalar(from), Type::scalar(to)));
                if from.bits() + to.bits() < 100 {
                    cases.push(Case::to(op, vector(from, 4), vector(to, 4)));
                }
            }
        }
        cases
    };
    match op.info().rule {
        Rule::SameNumber => same(&number),
        Rule::SameInt | Rule::Overflow | Rule::CompareInt => same(&|ty| number(ty) && ty.is_int()),
        Rule::SameBits => same(&|ty| ty.is_int()),
        Rule::SameFloat | Rule::CompareFloat => same(&|ty| ty.is_float()),
        Rule::CompareAny => same(&|_| true),
        Rule::Select => types
            .iter()
            .flat_map(|&ty| [Case::new(op, &[Type::I1, ty, ty]), Case::new(op, &[ty.mask_type(), ty, ty])])
            .collect(),
        Rule::Truncate => pairs(&|a, b| a.is_int() && b.is_int() && b < a),
        Rule::Extend => pairs(&|a, b| a.is_int() && b.is_int() && a < b),
        Rule::FloatConvert => pairs(&|a, b| a.is_float() && b.is_float() && a != b),
        Rule::FloatToInt => pairs(&|a, b| a.is_float() && b.is_int() && b != Scalar::I1),
        Rule::IntToFloat => pairs(&|a, b| a.is_int() && a != Scalar::I1 && b.is_float()),
        Rule::Bitcast => {
            let numbers: Vec<Type> = types.iter().filter(number).copied().collect();
            let fits = |a: Type, b: Type| a.bits() == b.bits();
            numbers
                .iter()
                .flat_map(|&a| numbers.iter().filter(move |&&b| fits(a, b)).map(move |&b| Case::to(op, a, b)))
                .collect()
        }
        Rule::Splat => types
            .iter()
            .filter(|ty| ty.is_vector())
            .map(|&ty| Case::to(op, Type::scalar(ty.lane().unwrap()), ty))
            .collect(),
        Rule::Extract | Rule::Insert => {
            let mut cases = Vec::new();
            for &ty in types.iter().filter(|ty| ty.is_vector()) {
                for index in [Type::I8, Type::I32, Type::I64, Type::I128] {
                    let lane = Type::scalar(ty.lane().unwrap());
                    let args = if op == Op::Extract { vec![ty, index] } else { vec![ty, lane, index] };
                    cases.push(Case::new(op, &args));
                }
            }
            cases
        }
        Rule::Shuffle => types
            .iter()
            .filter(|ty| ty.is_vector())
            .flat_map(|&ty| {
                let lanes = u128::from(ty.lanes());
                [lanes / 2, lanes, 2 * lanes].into_iter().filter(|&n| n >= 2).map(move |n| Case {
                    mask: Some((0..n).map(|k| (k * 5 + 3) % (2 * lanes)).collect()),
                    ..Case::new(op, &[ty, ty])
                })
            })
            .collect(),
        Rule::ReduceNumber => same_vectors(op, &types, |ty| number(&&ty)),
        Rule::ReduceInt => same_vectors(op, &types, |ty| number(&&ty) && ty.is_int()),
        Rule::ReduceBits => same_vectors(op, &types, Type::is_int),
        Rule::ReduceFloat => same_vectors(op, &types, Type::is_float),
        _ => Vec::new(),
    }
}

fn same_vectors(op: Op, types: &[Type], keep: impl Fn(Type) -> bool) -> Vec<Case> {
    types.iter().filter(|ty| ty.is_vector() && keep(**ty)).map(|&ty| Case::new(op, &[ty])).collect()
}

/// All ops on one target.
fn check_all(target: &Harsh, keep: impl Fn(Type) -> bool) {
    let mut random = Random::new();
    for &op in Op::ALL {
        for case in cases(op) {
            if !case.args.iter().chain([&case.suffix]).all(|&ty| keep(ty)) {
                continue;
            }
            let vectors = case.args.iter().any(|ty| ty.is_vector()) || case.suffix.is_vector();
            let slow = matches!(op, Op::Rem | Op::Fma | Op::Sqrt | Op::Div);
            let rounds = if vectors {
                6
            } else if slow {
                150
            } else {
                60
            };
            check(&case, target, rounds, &mut random);
        }
    }
}

#[test]
fn ops_without_vectors_survive_promotion() {
    check_all(&Harsh::new(0, false, true), |_| true);
}

#[test]
fn ops_without_vectors_survive_expansion() {
    check_all(&Harsh::new(0, false, false), |_| true);
}

#[test]
fn ops_survive_halves_of_vectors() {
    check_all(&Harsh::new(128, false, true), |_| true);
}

/// Where `i64` is split as well, floats of 64 bits have no bits to look at.
#[test]
fn ops_survive_halves_of_integers() {
    check_all(&Harsh::new(64, true, false), |ty| !ty.is_float());
}
