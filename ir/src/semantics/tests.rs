//! Edge cases by table; whole ranges and random operands against formulas written another way.

use super::vector::lane_scalar;
use super::*;
use crate::types::Type;
use Scalar::*;

const INTS: [Scalar; 5] = [I8, I16, I32, I64, I128];
const FLOATS: [Scalar; 4] = [F16, BF16, F32, F64];

/// A small generator of repeatable numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bits of a type: often near zero, near a power of two or near an end of the range.
    fn bits(&mut self, ty: Scalar) -> u128 {
        let raw = u128::from(self.next()) << 64 | u128::from(self.next());
        let small = raw % 5;
        let power = 1u128 << ((raw >> 8) % u128::from(ty.bits()));
        let bits = match self.next() % 6 {
            0 => small,
            1 => small.wrapping_neg(),
            2 => power.wrapping_add(small).wrapping_sub(2),
            3 => power.wrapping_sub(1) << (small * 3),
            _ => raw,
        };
        bits & ty.mask()
    }
}

fn value(op: Op, operand: Scalar, result: Scalar, args: &[u128]) -> u128 {
    match scalar(op, operand, result, args) {
        Some(Outcome::Value(bits)) => bits,
        other => panic!("{op} {operand:?} -> {result:?} {args:x?} gives {other:?}"),
    }
}

fn same(op: Op, ty: Scalar, args: &[u128]) -> u128 {
    value(op, ty, ty, args)
}

/// What an integer op gives by plain arithmetic on the integers that two bytes stand for.
fn byte_formula(op: Op, a: u8, b: u8) -> Option<Outcome> {
    let (x, y) = (i32::from(a), i32::from(b));
    let (s, t) = (i32::from(a as i8), i32::from(b as i8));
    let byte = |v: i32| Some(Outcome::Value(u128::from(v as u8)));
    let pair = |v: i32, low: i32, high: i32| Some(Outcome::Pair(u128::from(v as u8), v < low || v > high));
    let truth = |v: bool| Some(Outcome::Value(u128::from(v)));
    let zero = Some(Outcome::Throws(Exception::DivideError));
    let n = y % 8;
    match op {
        Op::Add => byte(x + y),
        Op::Sub => byte(x - y),
        Op::Mul => byte(x * y),
        Op::DivS | Op::DivU | Op::RemS | Op::RemU if b == 0 => zero,
        Op::DivS if s / t == 128 => Some(Outcome::Throws(Exception::OverflowError)),
        Op::DivS => byte(s / t),
        Op::DivU => byte(x / y),
        Op::RemS => byte(s % t),
        Op::RemU => byte(x % y),
        Op::MulHighS => byte((s * t).div_euclid(256)),
        Op::MulHighU => byte(x * y / 256),
        Op::AddSatS => byte((s + t).clamp(-128, 127)),
        Op::AddSatU => byte((x + y).min(255)),
        Op::SubSatS => byte((s - t).clamp(-128, 127)),
        Op::SubSatU => byte((x - y).max(0)),
        Op::AddOverflowS => pair(s + t, -128, 127),
        Op::AddOverflowU => pair(x + y, 0, 255),
        Op::SubOverflowS => pair(s - t, -128, 127),
        Op::SubOverflowU => pair(x - y, 0, 255),
        Op::MulOverflowS => pair(s * t, -128, 127),
        Op::MulOverflowU => pair(x * y, 0, 255),
        Op::MinS => byte(s.min(t)),
        Op::MinU => byte(x.min(y)),
        Op::MaxS => byte(s.max(t)),
        Op::MaxU => byte(x.max(y)),
        Op::And => byte(x & y),
        Op::Or => byte(x | y),
        Op::Xor => byte(x ^ y),
        Op::Shl => byte(x * (1 << n)),
        Op::ShrS => byte(s.div_euclid(1 << n)),
        Op::ShrU => byte(x / (1 << n)),
        Op::RotL => byte(i32::from(a.rotate_left(n as u32))),
        Op::RotR => byte(i32::from(a.rotate_right(n as u32))),
        Op::Eq => truth(x == y),
        Op::Ne => truth(x != y),
        Op::LtS => truth(s < t),
        Op::LeS => truth(s <= t),
        Op::GtS => truth(s > t),
        Op::GeS => truth(s >= t),
        Op::LtU => truth(x < y),
        Op::LeU => truth(x <= y),
        Op::GtU => truth(x > y),
        Op::GeU => truth(x >= y),
        Op::BoundsCheck if x < y => byte(x),
        Op::BoundsCheck => Some(Outcome::Throws(Exception::BoundsError)),
        _ => None,
    }
}

#[test]
fn bytes_follow_plain_formulas() {
    let mut known = 0;
    for &op in Op::ALL {
        if byte_formula(op, 1, 1).is_none() {
            continue;
        }
        known += 1;
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let found = scalar(op, I8, I8, &[a.into(), b.into()]);
                assert_eq!(found, byte_formula(op, a, b), "{op} {a} {b}");
            }
        }
    }
    assert_eq!(known, 42);
    for a in 0..=255u8 {
        let wide = u128::from(a);
        assert_eq!(same(Op::Neg, I8, &[wide]), u128::from(a.wrapping_neg()));
        assert_eq!(same(Op::Abs, I8, &[wide]), u128::from((a as i8).unsigned_abs()));
        assert_eq!(same(Op::Not, I8, &[wide]), u128::from(!a));
        assert_eq!(same(Op::Clz, I8, &[wide]), u128::from(a.leading_zeros()));
        assert_eq!(same(Op::Ctz, I8, &[wide]), u128::from(a.trailing_zeros()));
        assert_eq!(same(Op::PopCount, I8, &[wide]), u128::from(a.count_ones()));
        assert_eq!(same(Op::BitReverse, I8, &[wide]), u128::from(a.reverse_bits()));
        assert_eq!(same(Op::ByteSwap, I8, &[wide]), wide);
    }
}

#[test]
fn wide_integers_follow_the_host() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let (a, b) = (random.bits(I128), random.bits(I128));
        let (s, t) = (a as i128, b as i128);
        let pairs: [(Op, u128, bool); 6] = [
            (Op::AddOverflowU, a.wrapping_add(b), a.checked_add(b).is_none()),
            (Op::SubOverflowU, a.wrapping_sub(b), a < b),
            (Op::MulOverflowU, a.wrapping_mul(b), a.checked_mul(b).is_none()),
            (Op::AddOverflowS, a.wrapping_add(b), s.checked_add(t).is_none()),
            (Op::SubOverflowS, a.wrapping_sub(b), s.checked_sub(t).is_none()),
            (Op::MulOverflowS, a.wrapping_mul(b), s.checked_mul(t).is_none()),
        ];
        for (op, bits, flag) in pairs {
            assert_eq!(scalar(op, I128, I128, &[a, b]), Some(Outcome::Pair(bits, flag)), "{op} {a:x} {b:x}");
        }
        assert_eq!(same(Op::ShrS, I128, &[a, b]), (s >> (b % 128)) as u128);
        assert_eq!(same(Op::RotL, I128, &[a, b]), a.rotate_left((b % 128) as u32));
        assert_eq!(same(Op::RotR, I128, &[a, b]), a.rotate_right((b % 128) as u32));
        assert_eq!(same(Op::AddSatS, I128, &[a, b]), s.saturating_add(t) as u128);
        assert_eq!(same(Op::MulHighU, I128, &[a, b]), limb_product(a, b)[1], "{a:x} {b:x}");
        // The signed product is that of the magnitudes, negated in 256 bits where the signs differ.
        let [low, high] = limb_product(s.unsigned_abs(), t.unsigned_abs());
        let negated = (!high).wrapping_add(u128::from(low == 0));
        let wanted = if (s < 0) != (t < 0) { negated } else { high };
        assert_eq!(same(Op::MulHighS, I128, &[a, b]), wanted, "{s} {t}");
    }
    let least = 1 << 127;
    let thrown = |exception| Some(Outcome::Throws(exception));
    assert_eq!(scalar(Op::DivS, I128, I128, &[least, u128::MAX]), thrown(Exception::OverflowError));
    assert_eq!(scalar(Op::RemS, I128, I128, &[least, u128::MAX]), Some(Outcome::Value(0)));
    assert_eq!(scalar(Op::RemU, I128, I128, &[least, 0]), thrown(Exception::DivideError));
    assert_eq!(same(Op::Clz, I128, &[0]), 128);
    assert_eq!(same(Op::ByteSwap, I32, &[0x1234_5678]), 0x7856_3412);
    assert_eq!(same(Op::BitReverse, I16, &[0x0001]), 0x8000);
}

/// Product of two numbers, low half first, by limbs of 32 bits.
fn limb_product(a: u128, b: u128) -> [u128; 2] {
    let limbs = |x: u128| [0, 1, 2, 3].map(|n| x >> (32 * n) & 0xffff_ffff);
    let mut sums = [0u128; 8];
    for (i, x) in limbs(a).into_iter().enumerate() {
        let mut carry = 0;
        for (j, y) in limbs(b).into_iter().enumerate() {
            let sum = sums[i + j] + x * y + carry;
            sums[i + j] = sum & 0xffff_ffff;
            carry = sum >> 32;
        }
        sums[i + 4] += carry;
    }
    let join = |part: &[u128]| part.iter().rev().fold(0, |sum, limb| sum << 32 | limb);
    [join(&sums[..4]), join(&sums[4..])]
}

#[test]
fn narrow_results_are_wide_results_wrapped() {
    let mut random = Random(99);
    for _ in 0..4_000 {
        for ty in [I16, I32, I64] {
            let (a, b) = (random.bits(ty), random.bits(ty));
            let (s, t) = (int::signed(ty, a), int::signed(ty, b));
            let (least, most) = (-1i128 << (ty.bits() - 1), (1i128 << (ty.bits() - 1)) - 1);
            assert!((least..=most).contains(&s) && int::wrap(ty, s as u128) == a);
            for (op, exact) in
                [(Op::AddOverflowS, s + t), (Op::SubOverflowS, s - t), (Op::MulOverflowS, s * t)]
            {
                let wanted = Outcome::Pair(exact as u128 & ty.mask(), !(least..=most).contains(&exact));
                assert_eq!(scalar(op, ty, ty, &[a, b]), Some(wanted), "{op} {s} {t}");
            }
            assert_eq!(same(Op::MulHighS, ty, &[a, b]), ((s * t) >> ty.bits()) as u128 & ty.mask());
            assert_eq!(same(Op::MulHighU, ty, &[a, b]), (a * b) >> ty.bits());
            if t != 0 && !(s == least && t == -1) {
                assert_eq!(same(Op::DivS, ty, &[a, b]), (s / t) as u128 & ty.mask());
                assert_eq!(same(Op::RemS, ty, &[a, b]), (s % t) as u128 & ty.mask());
            }
            assert_eq!(value(Op::Sext, ty, I128, &[a]), s as u128);
            assert_eq!(value(Op::Trunc, I128, ty, &[s as u128]), a);
            assert_eq!(value(Op::Zext, ty, I128, &[a]), a);
        }
    }
    assert_eq!(value(Op::Sext, I1, I8, &[1]), 0xff);
    assert_eq!(value(Op::Zext, I1, I8, &[1]), 1);
    assert_eq!(value(Op::Trunc, I8, I1, &[0xfe]), 0);
}

/// Interesting values of a float type, as bits: zeros, subnormals, ones, halves, ends, infinities, NaN.
fn samples(ty: Scalar) -> Vec<u128> {
    let infinity = float::infinity(ty);
    let one = float::from_f64(ty, 1.0).unwrap();
    let mut bits = vec![0, 1, 2, infinity - 1, infinity, infinity + 1, float::canonical_nan(ty), one];
    bits.extend([one - 1, one + 1]);
    bits.extend([0.5, 1.5, 2.5, 3.0, 0.1, 100.0, 126.5].map(|x| float::from_f64(ty, x).unwrap()));
    let negative: Vec<u128> = bits.iter().map(|&b| b | float::sign_bit(ty)).collect();
    bits.extend(negative);
    bits
}

#[test]
fn comparisons_follow_the_host() {
    for ty in FLOATS {
        for &a in &samples(ty) {
            for &b in &samples(ty) {
                let (x, y) = (float::to_f64(ty, a).unwrap(), float::to_f64(ty, b).unwrap());
                let uno = x.is_nan() || y.is_nan();
                let wanted = [
                    (Op::Eq, x == y),
                    (Op::Ne, x != y),
                    (Op::Lt, x < y),
                    (Op::Le, x <= y),
                    (Op::Gt, x > y),
                    (Op::Ge, x >= y),
                    (Op::One, !uno && x != y),
                    (Op::Ueq, uno || x == y),
                    (Op::Ult, uno || x < y),
                    (Op::Ule, uno || x <= y),
                    (Op::Ugt, uno || x > y),
                    (Op::Uge, uno || x >= y),
                    (Op::Ord, !uno),
                    (Op::Uno, uno),
                ];
                for (op, holds) in wanted {
                    assert_eq!(value(op, ty, I1, &[a, b]), u128::from(holds), "{op} {x} {y}");
                }
            }
        }
    }
}

#[test]
fn minimum_and_maximum_by_table() {
    for ty in FLOATS {
        let of = |x: f64| float::from_f64(ty, x).unwrap();
        let nan = float::canonical_nan(ty);
        let (zero, minus) = (of(0.0), of(-0.0));
        for (a, b, less, more) in [
            (of(1.0), of(2.0), of(1.0), of(2.0)),
            (zero, minus, minus, zero),
            (of(-1.0), of(-3.0), of(-3.0), of(-1.0)),
            (of(f64::NEG_INFINITY), of(f64::INFINITY), of(f64::NEG_INFINITY), of(f64::INFINITY)),
        ] {
            for (x, y) in [(a, b), (b, a)] {
                assert_eq!(same(Op::Min, ty, &[x, y]), less);
                assert_eq!(same(Op::MinNumber, ty, &[x, y]), less);
                assert_eq!(same(Op::Max, ty, &[x, y]), more);
                assert_eq!(same(Op::MaxNumber, ty, &[x, y]), more);
            }
        }
        let odd_nan = nan | float::sign_bit(ty) | 3;
        for (x, y) in [(of(1.0), odd_nan), (odd_nan, of(1.0))] {
            assert_eq!(same(Op::Min, ty, &[x, y]), nan);
            assert_eq!(same(Op::Max, ty, &[x, y]), nan);
            assert_eq!(same(Op::MinNumber, ty, &[x, y]), of(1.0));
            assert_eq!(same(Op::MaxNumber, ty, &[x, y]), of(1.0));
        }
        assert_eq!(same(Op::MaxNumber, ty, &[odd_nan, odd_nan]), nan);
        // Moving bits keeps them; computing makes the canonical NaN.
        assert_eq!(same(Op::Neg, ty, &[odd_nan]), odd_nan ^ float::sign_bit(ty));
        assert_eq!(same(Op::Abs, ty, &[odd_nan]), nan | 3);
        assert_eq!(same(Op::CopySign, ty, &[of(2.0), odd_nan]), of(-2.0));
        assert_eq!(same(Op::Select, ty, &[1, odd_nan, zero]), odd_nan);
        assert_eq!(same(Op::Add, ty, &[odd_nan, of(1.0)]), nan);
        assert_eq!(same(Op::Sub, ty, &[of(f64::INFINITY), of(f64::INFINITY)]), nan);
        assert_eq!(same(Op::Sqrt, ty, &[of(-1.0)]), nan);
        assert_eq!(same(Op::Sqrt, ty, &[minus]), minus);
        assert_eq!(same(Op::Rem, ty, &[of(1.0), zero]), nan);
        assert_eq!(same(Op::Rem, ty, &[of(-5.5), of(2.0)]), of(-1.5));
        assert_eq!(same(Op::Rem, ty, &[of(-4.0), of(2.0)]), minus);
        assert_eq!(same(Op::Div, ty, &[of(1.0), minus]), of(f64::NEG_INFINITY));
    }
}

#[test]
fn rounding_to_integral_by_table() {
    let table = [
        // x, ceil, floor, zero, even, away
        (2.5, 3.0, 2.0, 2.0, 2.0, 3.0),
        (3.5, 4.0, 3.0, 3.0, 4.0, 4.0),
        (-2.5, -2.0, -3.0, -2.0, -2.0, -3.0),
        (-0.5, -0.0, -1.0, -0.0, -0.0, -1.0),
        (0.25, 1.0, 0.0, 0.0, 0.0, 0.0),
        (-0.0, -0.0, -0.0, -0.0, -0.0, -0.0),
        (f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY),
    ];
    for ty in FLOATS {
        let of = |x: f64| float::from_f64(ty, x).unwrap();
        for (x, ceil, floor, zero, even, away) in table {
            assert_eq!(same(Op::Ceil, ty, &[of(x)]), of(ceil), "{x}");
            assert_eq!(same(Op::Floor, ty, &[of(x)]), of(floor), "{x}");
            assert_eq!(same(Op::RoundZero, ty, &[of(x)]), of(zero), "{x}");
            assert_eq!(same(Op::RoundEven, ty, &[of(x)]), of(even), "{x}");
            assert_eq!(same(Op::RoundAway, ty, &[of(x)]), of(away), "{x}");
        }
    }
    let below_half = 0.499_999_97f32;
    assert_eq!(same(Op::RoundAway, F32, &[below_half.to_bits().into()]), 0);
}

/// The float of a 16-bit type nearest to `x` by search among all of them: `at(bits)` is the exact value of
/// a magnitude, doubled, so that midpoints are exact as well.
fn nearest<T: PartialOrd + Copy + std::ops::Add<Output = T>>(
    ty: Scalar,
    x: T,
    half_value: impl Fn(u128) -> T,
) -> u128 {
    let infinity = float::infinity(ty);
    // The least magnitude whose midpoint with the next one is not below x.
    let (mut low, mut high) = (0, infinity);
    while low < high {
        let middle = (low + high) / 2;
        let midpoint = half_value(middle) + half_value(middle + 1);
        let below = midpoint < x || (midpoint == x && middle % 2 == 1);
        (low, high) = if below { (middle + 1, high) } else { (low, middle) };
    }
    low
}

/// The exact value of finite bits, and for infinity the value that comes after the largest.
fn extended(ty: Scalar, bits: u128) -> f64 {
    let limit = if ty == F16 { 65536.0 } else { 2f64.powi(128) };
    if bits == float::infinity(ty) { limit } else { float::to_f64(ty, bits).unwrap() }
}

#[test]
fn all_halves_convert_both_ways() {
    for ty in [F16, BF16] {
        for bits in 0..0x1_0000u128 {
            let nan = float::is_nan(ty, bits);
            for wide in [F32, F64] {
                let widened = value(Op::FConvert, ty, wide, &[bits]);
                assert_eq!(float::is_nan(wide, widened), nan);
                let back = value(Op::FConvert, wide, ty, &[widened]);
                assert_eq!(back, if nan { float::canonical_nan(ty) } else { bits }, "{ty:?} {bits:x}");
            }
            if ty == F16 && !nan {
                // Independently: mantissa times a power of two.
                let (exponent, fraction) = ((bits >> 10 & 31) as i32, (bits & 1023) as f64);
                let size = match exponent {
                    0 => fraction * 2f64.powi(-24),
                    31 => f64::INFINITY,
                    _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
                };
                let wanted = if bits >> 15 == 1 { -size } else { size };
                assert_eq!(float::to_f64(ty, bits).unwrap().to_bits(), wanted.to_bits());
            }
            if bits < float::infinity(ty) {
                // Ties go to the even neighbour, anything beside a tie to the nearer one.
                let middle = (extended(ty, bits) + extended(ty, bits + 1)) / 2.0;
                for x in [middle, middle.next_up(), middle.next_down()] {
                    let wanted = nearest(ty, x, |b| extended(ty, b) / 2.0);
                    assert_eq!(value(Op::FConvert, F64, ty, &[x.to_bits().into()]), wanted, "{ty:?} {x:e}");
                }
                let single = middle as f32;
                if f64::from(single) == middle {
                    for x in [single, single.next_up(), single.next_down(), -single] {
                        let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
                        let wanted = nearest(ty, f64::from(x.abs()), |b| extended(ty, b) / 2.0) | sign;
                        assert_eq!(
                            value(Op::FConvert, F32, ty, &[x.to_bits().into()]),
                            wanted,
                            "{ty:?} {x:e}"
                        );
                    }
                }
            }
        }
    }
    // Straight from f64: through f32 this tie would be lost.
    let x = 1.0 + 2f64.powi(-11) + 2f64.powi(-50);
    assert_eq!(value(Op::FConvert, F64, F16, &[x.to_bits().into()]), 0x3c01);
}

#[test]
fn half_arithmetic_rounds_once() {
    // Products, sums and quotients of f16 and bf16, rounded to nearest by search.
    let mut random = Random(3);
    for _ in 0..60_000 {
        let [a, b, c] = [F16; 3].map(|ty| random.bits(ty));
        let finite = |bits: u128| bits & 0x7fff < 0x7c00;
        if !finite(a) || !finite(b) || !finite(c) {
            continue;
        }
        // Exact arithmetic in units of 2^-49: a product has at least 2^-48.
        let units = |bits: u128| (extended(F16, bits) * 2f64.powi(49)) as i128;
        let fixed = |bits: u128| (float::to_f64(F16, bits).unwrap() * 2f64.powi(24)) as i128;
        let exact = fixed(a) * fixed(b) * 2 + (fixed(c) << 25);
        let bits = same(Op::Fma, F16, &[a, b, c]);
        let wanted = nearest(F16, exact.unsigned_abs() as i128, |m| units(m) / 2);
        assert_eq!(bits & 0x7fff, wanted, "{a:x} {b:x} {c:x}");
        assert!(exact == 0 || (bits >> 15 == 1) == (exact < 0));

        let product = fixed(a) * fixed(b) * 2;
        let wanted = nearest(F16, product.unsigned_abs() as i128, |m| units(m) / 2);
        assert_eq!(same(Op::Mul, F16, &[a, b]) & 0x7fff, wanted, "{a:x} {b:x}");
        let sum = (fixed(a) + fixed(b)) << 25;
        let wanted = nearest(F16, sum.unsigned_abs() as i128, |m| units(m) / 2);
        assert_eq!(same(Op::Add, F16, &[a, b]) & 0x7fff, wanted, "{a:x} {b:x}");
        // A quotient in f64 is never so near to a midpoint that it would round onto it.
        if b & 0x7fff != 0 {
            let quotient = (extended(F16, a & 0x7fff)) / extended(F16, b & 0x7fff);
            let wanted = nearest(F16, quotient, |m| extended(F16, m) / 2.0);
            assert_eq!(same(Op::Div, F16, &[a, b]) & 0x7fff, wanted, "{a:x} {b:x}");
        }
        let root = extended(F16, a & 0x7fff).sqrt();
        let wanted = nearest(F16, root, |m| extended(F16, m) / 2.0);
        assert_eq!(same(Op::Sqrt, F16, &[a & 0x7fff]), wanted);
    }
}

#[test]
fn fma_rounds_once() {
    // (1 + 2^-12)^2 - 1 keeps 2^-24 only without an intermediate rounding.
    let x = 1.0 + 2f32.powi(-12);
    let bits = |x: f32| u128::from(x.to_bits());
    assert_eq!(same(Op::Fma, F32, &[bits(x), bits(x), bits(-1.0)]), bits(2f32.powi(-11) + 2f32.powi(-24)));
    // A sum in f64 would tie: 2^24 + 1 + 2^-60 is above the midpoint.
    let (big, small) = (2f32.powi(24), 2f32.powi(-30));
    let above = same(Op::Fma, F32, &[bits(small), bits(small), bits(big)]);
    assert_eq!(above, bits(big));
    let odd = 2f32.powi(12) + 1.0;
    assert_eq!(same(Op::Fma, F32, &[bits(odd), bits(odd), bits(2f32.powi(-40))]), bits(16_785_410.0));
    let y = 1.0 + 2f64.powi(-30);
    let wide = |x: f64| u128::from(x.to_bits());
    let wanted = 2f64.powi(-29) + 2f64.powi(-60);
    assert_eq!(same(Op::Fma, F64, &[wide(y), wide(y), wide(-1.0)]), wide(wanted));
    let nan = same(Op::Fma, F64, &[wide(f64::INFINITY), wide(0.0), wide(1.0)]);
    assert_eq!(nan, float::canonical_nan(F64));
}

#[test]
fn floats_to_integers_saturate() {
    for from in FLOATS {
        let of = |x: f64| float::from_f64(from, x).unwrap();
        for to in INTS {
            let most = to.mask() >> 1;
            let check = |op, x: f64, wanted: u128| {
                assert_eq!(value(op, from, to, &[of(x)]), wanted, "{op} {from:?} {to:?} {x}");
            };
            check(Op::FToS, f64::NAN, 0);
            check(Op::FToU, f64::NAN, 0);
            check(Op::FToS, f64::INFINITY, most);
            check(Op::FToS, f64::NEG_INFINITY, most + 1);
            check(Op::FToU, f64::INFINITY, to.mask());
            check(Op::FToU, f64::NEG_INFINITY, 0);
            check(Op::FToS, -1.75, to.mask());
            check(Op::FToS, 1.75, 1);
            check(Op::FToU, -0.75, 0);
            check(Op::FToU, -3.0, 0);
            check(Op::FToS, -128.0, (-128i128) as u128 & to.mask());
            check(Op::FToU, 200.0, 200);
        }
    }
    let check = |x: f32, wanted: i32| {
        assert_eq!(value(Op::FToS, F32, I32, &[x.to_bits().into()]), u128::from(wanted as u32));
    };
    check(2_147_483_520.0, 2_147_483_520);
    check(2_147_483_648.0, i32::MAX);
    check(-2_147_483_904.0, i32::MIN);
}

/// The integer nearest to `x` among those of at most `precision` bits times a power of two; ties to even.
fn rounded(x: u128, precision: u32) -> (u128, u32) {
    let shift = (128 - x.leading_zeros()).saturating_sub(precision);
    if shift == 0 {
        return (x, 0);
    }
    let (kept, rest, half) = (x >> shift, x & ((1 << shift) - 1), 1 << (shift - 1));
    (kept + u128::from(rest > half || (rest == half && kept % 2 == 1)), shift)
}

#[test]
fn integers_to_floats_round_once() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        for from in INTS {
            let bits = random.bits(from);
            for (to, precision) in [(F16, 11), (BF16, 8), (F32, 24), (F64, 53)] {
                let exact = |x: u128| {
                    let (kept, shift) = rounded(x, precision);
                    kept as f64 * 2f64.powi(shift as i32)
                };
                let limit = if to == F16 { 65536.0 } else { 2f64.powi(128) };
                let wanted = |x: f64| if x >= limit && to != F64 { f64::INFINITY } else { x };
                let found = value(Op::UToF, from, to, &[bits]);
                assert_eq!(float::to_f64(to, found), Some(wanted(exact(bits))), "{from:?} {to:?} {bits}");
                let x = int::signed(from, bits);
                let size = wanted(exact(x.unsigned_abs()));
                let found = float::to_f64(to, value(Op::SToF, from, to, &[bits]));
                assert_eq!(found, Some(if x < 0 { -size } else { size }), "{from:?} {to:?} {x}");
            }
        }
    }
    assert_eq!(value(Op::UToF, I128, F32, &[u128::MAX]), float::infinity(F32));
    assert_eq!(value(Op::UToF, I128, BF16, &[u128::MAX]), float::infinity(BF16));
    assert_eq!(value(Op::UToF, I32, F16, &[65519]), 0x7bff);
    assert_eq!(value(Op::UToF, I32, F16, &[65520]), float::infinity(F16));
}

fn vec4(lane: Scalar) -> Type {
    Type::vector(lane, 4).unwrap()
}

fn lanes(outcome: Option<LaneOutcome>) -> Vec<u128> {
    match outcome {
        Some(LaneOutcome::Value(lanes)) => lanes.into_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn vectors_compute_per_lane() {
    let (i32x4, i8x4) = (vec4(I32), vec4(I8));
    let a: &[u128] = &[1, 2, 3, 0xffff_ffff];
    let sum = lanewise(Op::Add, i32x4, i32x4, &[a, &[1; 4]]);
    assert_eq!(lanes(sum), [2, 3, 4, 0]);
    let narrowed = lanewise(Op::Trunc, i32x4, i8x4, &[&[0x101, 2, 3, 4]]);
    assert_eq!(lanes(narrowed), [1, 2, 3, 4]);
    let checked = lanewise(Op::AddOverflowU, i32x4, i32x4, &[a, &[1; 4]]);
    assert_eq!(checked, Some(LaneOutcome::Pair([2, 3, 4, 0].into(), [0, 0, 0, 1].into())));
    let mask = lanewise(Op::LtS, i32x4, i32x4.mask_type(), &[a, &[2; 4]]);
    assert_eq!(lanes(mask), [1, 0, 0, 1]);
    let chosen = lanewise(Op::Select, i32x4, i32x4, &[&[1, 0, 1, 0], a, &[9; 4]]);
    assert_eq!(lanes(chosen), [1, 9, 3, 9]);
    let chosen = lanewise(Op::Select, i32x4, i32x4, &[&[0], a, &[9; 4]]);
    assert_eq!(lanes(chosen), [9; 4]);
    let thrown = lanewise(Op::DivS, i8x4, i8x4, &[&[0x80, 1, 1, 1], &[0xff, 1, 0, 1]]);
    assert_eq!(thrown, Some(LaneOutcome::Throws(Exception::DivideError)));
    let thrown = lanewise(Op::DivS, i8x4, i8x4, &[&[1, 0x80, 1, 1], &[1, 0xff, 1, 1]]);
    assert_eq!(thrown, Some(LaneOutcome::Throws(Exception::OverflowError)));
    assert_eq!(lanes(lanewise(Op::Add, Type::I32, Type::I32, &[&[1], &[2]])), [3]);
    assert_eq!(lanewise(Op::Add, i32x4, i32x4, &[a, &[1; 3]]), None);
}

#[test]
fn vectors_move_lanes() {
    let (i32x4, f32x4) = (vec4(I32), vec4(F32));
    let a: &[u128] = &[10, 11, 12, 13];
    assert_eq!(lanes(lanewise(Op::Splat, Type::I32, i32x4, &[&[7]])), [7; 4]);
    assert_eq!(lanes(lanewise(Op::Extract, i32x4, Type::I32, &[a, &[2]])), [12]);
    assert_eq!(lanes(lanewise(Op::Extract, i32x4, Type::I32, &[a, &[0xff]])), [13]);
    assert_eq!(lanes(lanewise(Op::Insert, i32x4, i32x4, &[a, &[5], &[6]])), [10, 11, 5, 13]);
    let shuffled = lanewise(Op::Shuffle, i32x4, i32x4, &[a, &[20, 21, 22, 23], &[0, 5, 2, 7]]);
    assert_eq!(lanes(shuffled), [10, 21, 12, 23]);
    assert_eq!(lanewise(Op::Shuffle, i32x4, i32x4, &[a, a, &[8]]), None);

    let i64x2 = Type::vector(I64, 2).unwrap();
    assert_eq!(lanes(lanewise(Op::Bitcast, i32x4, i64x2, &[&[1, 2, 3, 4]])), [0x2_0000_0001, 0x4_0000_0003]);
    assert_eq!(lanes(lanewise(Op::Bitcast, i64x2, i32x4, &[&[0x2_0000_0001, 3]])), [1, 2, 3, 0]);
    let i128 = Type::scalar(I128);
    assert_eq!(lanes(lanewise(Op::Bitcast, i64x2, i128, &[&[1, 2]])), [2 << 64 | 1]);
    assert_eq!(lanes(lanewise(Op::Bitcast, Type::F32, Type::I32, &[&[0x7f80_0001]])), [0x7f80_0001]);

    let bits = |x: f32| u128::from(x.to_bits());
    let terms = [bits(1e8), bits(1.0), bits(-1e8), bits(1.0)];
    assert_eq!(lanes(lanewise(Op::ReduceAdd, f32x4, Type::F32, &[&terms])), [bits(1.0)], "in order");
    assert_eq!(lanes(lanewise(Op::ReduceMul, i32x4, Type::I32, &[&[2, 3, 4, 5]])), [120]);
    assert_eq!(lanes(lanewise(Op::ReduceMinS, i32x4, Type::I32, &[&[2, 0xffff_ffff, 4, 5]])), [0xffff_ffff]);
    assert_eq!(lanes(lanewise(Op::ReduceMinU, i32x4, Type::I32, &[&[2, 0xffff_ffff, 4, 5]])), [2]);
    let nan = float::canonical_nan(F32);
    assert_eq!(lanes(lanewise(Op::ReduceMax, f32x4, Type::F32, &[&[0, nan, 0, 0]])), [nan]);
    assert_eq!(lanes(lanewise(Op::ReduceOr, vec4(I1), Type::I1, &[&[0, 0, 1, 0]])), [1]);
}

#[test]
fn constants_are_lanes() {
    let constant = const_from_lanes(vec4(I8), &[1, 2, 3, 4]).unwrap();
    assert_eq!(const_lanes(&constant).as_deref(), Some(&[1, 2, 3, 4][..]));
    assert_eq!(const_from_lanes(vec4(I8), &[1]), None);
    let pointer = Type::pointer(crate::types::Space::Global);
    assert_eq!(const_from_lanes(pointer, &[16]).unwrap().scalar(), Some(16));
    assert_eq!(lane_scalar(Type::UNKNOWN), None);
}

#[test]
fn nothing_panics_and_results_fit() {
    let mut random = Random(5);
    for &op in Op::ALL {
        for from in Scalar::ALL {
            for to in Scalar::ALL {
                for count in 0..4 {
                    for _ in 0..3 {
                        let args: Vec<u128> = (0..count).map(|_| random.bits(from)).collect();
                        let outcome = scalar(op, from, to, &args);
                        if let (Some(Outcome::Value(bits) | Outcome::Pair(bits, _)), true) =
                            (outcome, from == to)
                        {
                            let pointer = matches!(op, Op::PtrAdd | Op::PtrToInt | Op::IntToPtr);
                            assert!(pointer || bits & !to.mask() == 0, "{op} {from:?} {args:x?} {bits:x}");
                        }
                        let slices: Vec<&[u128]> = args.iter().map(std::slice::from_ref).collect();
                        lanewise(op, Type::scalar(from), Type::scalar(to), &slices);
                        lanewise(op, vec4(from), vec4(to), &slices);
                    }
                }
            }
        }
    }
}

#[test]
fn every_pure_number_op_is_defined_for_every_type_it_takes() {
    use crate::op::Rule;
    for &op in Op::ALL {
        let (numbers, operands): (&[Scalar], usize) = match op.info().rule {
            Rule::SameNumber => (&Scalar::ALL[1..], 0),
            Rule::SameInt | Rule::Overflow | Rule::CompareInt | Rule::BoundsCheck => (&INTS, 0),
            Rule::SameBits | Rule::CompareAny => (&Scalar::ALL[..6], 0),
            Rule::SameFloat | Rule::CompareFloat => (&FLOATS, 0),
            Rule::Select => (&Scalar::ALL, 3),
            _ => continue,
        };
        let operands = match op.info().shape {
            _ if operands != 0 => operands,
            crate::op::Shape::Unary => 1,
            crate::op::Shape::Ternary => 3,
            _ => 2,
        };
        for &ty in numbers {
            assert!(scalar(op, ty, ty, &vec![1; operands]).is_some(), "{op} {ty:?}");
        }
    }
}
