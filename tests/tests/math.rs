//! The library's mathematical functions against others: those for f32 against the standard library's in double precision,
//! those for f64 against values of high precision, and both within the error that their documentation states.

use marquetry::compile::{Compiled, Target, compile};
use marquetry::library::{self, LibraryFunction, functions};
use marquetry::value::{HostArg, HostValue};
use marquetry_ir::text;
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Random bits, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (0.5f64).powi(53)
    }
}

/// The error that the documentation states for a function of a type.
fn bound(name: &str, ty: &str) -> f64 {
    static FUNCTIONS: OnceLock<Vec<LibraryFunction>> = OnceLock::new();
    let functions = FUNCTIONS.get_or_init(functions);
    let mine = functions.iter().find(|f| &*f.name == name && f.declaration.ends_with(&format!("-> {ty}")));
    mine.and_then(|function| function.error).unwrap_or_else(|| panic!("{name} for {ty} has no error"))
}

/// A function that applies one of the library's to `n` items: `map(n, x, y, results)`.
fn mapped(name: &str, ty: &str, operands: usize) -> Compiled {
    let call = if operands == 2 { "x, y" } else { "x" };
    let source = format!(
        "method map(n: i64, xs: ptr<global>, ys: ptr<global>, rs: ptr<global>) {{\nentry:\n    jump next(i64 0)\n\
         next(i: i64):\n    more = lt.s i, n\n    branch more, body, end\nbody:\n    px = index xs, i, {ty}\n    \
         py = index ys, i, {ty}\n    pr = index rs, i, {ty}\n    x = load.{ty} px\n    y = load.{ty} py\n    \
         r = call {name}({call})\n    store pr, r\n    j = add i, i64 1\n    jump next(j)\nend:\n    return\n}}\n"
    );
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "map.mq", &source), []);
    let entry = program.methods_of("map").to_vec();
    let job = Job::new(entry, View::native(&[]), OptLevel::Default);
    let target = Target::parse("native", OptLevel::Default).expect("a target");
    compile(&program, &job, &target).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn apply(code: &Compiled, element: Scalar, inputs: [Vec<u8>; 2], count: usize) -> Vec<u8> {
    let number = HostArg::Value(HostValue::scalar(Type::I64, count as u128).expect("a number"));
    let results = vec![0; inputs[0].len()];
    let buffers = inputs.into_iter().chain([results]).map(|bytes| HostArg::Buffer { element, bytes });
    let mut args: Vec<HostArg> = [number].into_iter().chain(buffers).collect();
    code.call(&mut args).expect("it returns");
    match args.pop() {
        Some(HostArg::Buffer { bytes, .. }) => bytes,
        other => panic!("{other:?}"),
    }
}

fn apply_f32(code: &Compiled, xs: &[f32], ys: &[f32]) -> Vec<f32> {
    let bytes = |list: &[f32]| list.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let out = apply(code, Scalar::F32, [bytes(xs), bytes(ys)], xs.len());
    out.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn apply_f64(code: &Compiled, xs: &[f64], ys: &[f64]) -> Vec<f64> {
    let bytes = |list: &[f64]| list.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let out = apply(code, Scalar::F64, [bytes(xs), bytes(ys)], xs.len());
    out.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect()
}

/// How far a result is from the exact one, in units in the last place of the latter.
fn ulps_f32(found: f32, exact: f64) -> f64 {
    let nearest = exact as f32;
    if nearest.is_nan() || found.is_nan() || nearest.is_infinite() || found.is_infinite() {
        // Where the exact result is at the edge of overflow, either neighbour is a rounding of it.
        let edge = exact.abs() > f64::from(f32::MAX) * (1.0 - 1e-7) && exact.is_finite();
        let near = found == nearest || nearest.is_nan() && found.is_nan() || edge && found.abs() >= f32::MAX;
        return if near { 0.0 } else { f64::INFINITY };
    }
    if exact == 0.0 {
        return if found.to_bits() == nearest.to_bits() { 0.0 } else { f64::INFINITY };
    }
    let exponent = (((exact.abs().to_bits() >> 52) as i32) - 1023).max(-126);
    (f64::from(found) - exact).abs() / 2f64.powi(exponent - 23)
}

/// Inputs of many kinds: all bits, the usual, near 1, near multiples of pi / 2, and special ones.
fn inputs(random: &mut Random) -> Vec<f32> {
    let mut xs: Vec<f32> = (0..4000).map(|_| f32::from_bits(random.next() as u32)).collect();
    xs.extend((0..4000).map(|_| (random.unit() * 4.0 - 2.0) as f32));
    xs.extend((0..4000).map(|_| (random.unit() * 200.0 - 100.0) as f32));
    xs.extend(
        (0..2000).map(|_| (1.0 + (random.unit() - 0.5) * 2f64.powi(-((random.next() % 24) as i32))) as f32),
    );
    let quarters = (0..2000).map(|_| {
        let quarter = (random.next() % (1 << (random.next() % 30))) as f64;
        (quarter * std::f64::consts::FRAC_PI_2) as f32
    });
    xs.extend(quarters);
    xs.extend([0.0, 1.0, f32::MAX, f32::MIN_POSITIVE, 1e-45, f32::INFINITY, f32::NAN].map(|x: f32| x));
    xs.extend([-0.0, -1.0, f32::MIN, -f32::MIN_POSITIVE, -1e-45, f32::NEG_INFINITY].map(|x: f32| x));
    xs
}

#[track_caller]
fn check_f32(name: &str, operands: usize, xs: &[f32], ys: &[f32], exact: impl Fn(f64, f64) -> f64) {
    let code = mapped(name, "f32", operands);
    let bound = bound(name, "f32");
    for ((&x, &y), found) in xs.iter().zip(ys).zip(apply_f32(&code, xs, ys)) {
        let exact = exact(x.into(), y.into());
        let error = ulps_f32(found, exact);
        assert!(
            error <= bound,
            "{name}({x:e}, {y:e}) is {found:e}, not {exact:e}: {error} ulp, at most {bound}"
        );
    }
}

#[test]
fn functions_of_f32_are_as_exact_as_documented() {
    type Exact = fn(f64) -> f64;
    let list: [(&str, Exact); 17] = [
        ("math_exp", f64::exp),
        ("math_exp2", f64::exp2),
        ("math_expm1", f64::exp_m1),
        ("math_log", f64::ln),
        ("math_log2", f64::log2),
        ("math_log10", f64::log10),
        ("math_log1p", f64::ln_1p),
        ("math_sin", f64::sin),
        ("math_cos", f64::cos),
        ("math_tan", f64::tan),
        ("math_asin", f64::asin),
        ("math_acos", f64::acos),
        ("math_atan", f64::atan),
        ("math_sinh", f64::sinh),
        ("math_cosh", f64::cosh),
        ("math_tanh", f64::tanh),
        ("math_cbrt", f64::cbrt),
    ];
    let xs = inputs(&mut Random(1));
    for (name, exact) in list {
        check_f32(name, 1, &xs, &xs, |x, _| exact(x));
    }
    // The standard library has no error function: the one for f64 is tested below.
    let wide: Vec<f64> = xs.iter().map(|&x| x.into()).collect();
    let erf = apply_f64(&mapped("math_erf", "f64", 1), &wide, &wide);
    let erf: BTreeMap<u64, f64> = wide.iter().map(|x| x.to_bits()).zip(erf).collect();
    check_f32("math_erf", 1, &xs, &xs, |x, _| erf[&x.to_bits()]);
}

#[test]
fn functions_of_two_f32_are_as_exact_as_documented() {
    let mut random = Random(2);
    let (mut xs, mut ys) = (inputs(&mut random), inputs(&mut random));
    // Powers that are neither zero nor infinite.
    for _ in 0..8000 {
        let x = f32::from_bits(random.next() as u32 & 0x7fff_ffff);
        xs.push(x);
        ys.push(((random.unit() - 0.5) * 302.0 / f64::from(x).log2()) as f32);
        xs.push((random.next() % 41) as f32 - 20.0);
        ys.push((random.next() % 41) as f32 - 20.0);
    }
    // The sum of the squares of two numbers of type f32 does not overflow.
    check_f32("math_hypot", 2, &xs, &ys, |x, y| match x.is_infinite() || y.is_infinite() {
        true => f64::INFINITY,
        false => (x * x + y * y).sqrt(),
    });
    check_f32("math_atan2", 2, &ys, &xs, f64::atan2);
    check_f32("math_pow", 2, &xs, &ys, f64::powf);
}

/// Results of high precision, each as the nearest f64 and what is missing, in units in its last place. Made with mpmath 1.4
/// at 60 digits, for inputs picked at random, near 1 and near multiples of pi / 2: the bits of the operands, of
/// the nearest result, and the rest.
const EXACT: &str = include_str!("math_f64.txt");

#[test]
fn functions_of_f64_are_as_exact_as_documented() {
    type Case = (f64, f64, f64, f64);
    let mut cases: BTreeMap<&str, Vec<Case>> = BTreeMap::new();
    for line in EXACT.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let name = words.next().expect("a name");
        let mut bits = || f64::from_bits(u64::from_str_radix(words.next().expect("bits"), 16).expect("bits"));
        let (x, y, nearest) = (bits(), bits(), bits());
        let rest: f64 = words.next().expect("the rest").parse().expect("a number");
        cases.entry(name).or_default().push((x, y, nearest, rest));
    }
    assert_eq!(cases.len(), 21);
    for (name, cases) in cases {
        assert!(cases.len() >= 60, "{name}");
        let operands = if ["math_pow", "math_hypot", "math_atan2"].contains(&name) { 2 } else { 1 };
        let xs: Vec<f64> = cases.iter().map(|case| case.0).collect();
        let ys: Vec<f64> = cases.iter().map(|case| case.1).collect();
        let bound = bound(name, "f64");
        for (found, (x, y, nearest, rest)) in
            apply_f64(&mapped(name, "f64", operands), &xs, &ys).into_iter().zip(cases)
        {
            let exponent = ((nearest.to_bits() >> 52 & 0x7ff) as i32).max(1) - 1075;
            // In two steps: the unit itself may be less than the least normal number.
            let error = ((found - nearest) * 2f64.powi(-exponent / 2) * 2f64.powi(-exponent - -exponent / 2)
                - rest)
                .abs();
            assert!(
                error <= bound,
                "{name}({x:e}, {y:e}) is {found:e}, not {nearest:e}: {error} ulp, at most {bound}"
            );
        }
    }
}

#[test]
fn functions_of_small_floats_are_those_of_f32_rounded() {
    let mut program = library::program();
    let source = "method pair(x: f16, y: bf16) -> (f16, bf16) {\nentry:\n    a = call math_pow(x, f16 1.5)\n    \
                  b = call math_sin(y)\n    return a, b\n}\n";
    assert_eq!(text::parse(&mut program, "pair.mq", source), []);
    let job = Job::new(program.methods_of("pair").to_vec(), View::native(&[]), OptLevel::Default);
    let target = Target::parse("native", OptLevel::Default).expect("a target");
    let code = compile(&program, &job, &target).expect("it compiles");
    // 2 to the power 1.5 and the sine of 1.
    let value = |ty, bits| HostArg::Value(HostValue::scalar(ty, bits).expect("a number"));
    let mut args = [value(Type::F16, 0x4000), value(Type::BF16, 0x3f80)];
    let results = code.call(&mut args).expect("it returns");
    let expected = [(Type::F16, 0x41a8), (Type::BF16, 0x3f57)]
        .map(|(ty, bits)| HostValue::scalar(ty, bits).expect("a number"));
    assert_eq!(results, marquetry::engine::Outcome::Returned(expected.to_vec()));
}
