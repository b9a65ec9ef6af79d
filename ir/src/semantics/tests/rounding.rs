//! One rounding per op: conversions and arithmetic against search and exact integers.

use super::*;

/// The float of a 16-bit type nearest to `x`, by search among all of them. `half_value` gives half the exact value
/// of a magnitude: the sum of two is their midpoint.
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
fn brain_arithmetic_rounds_once() {
    // Operands from 2^-4 to 2^12: products and sums are exact in units of 2^-49.
    let mut random = Random(17);
    let unit = 2f64.powi(49);
    let units = |bits: u128| (extended(BF16, bits) * unit) as i128;
    for _ in 0..60_000 {
        let operand = |raw: u64| u128::from(raw & 0x807f | (123 + raw % 17) << 7);
        let [a, b, c] = [random.next() >> 16, random.next() >> 16, random.next() >> 16].map(operand);
        let exact = |bits: u128| float::to_f64(BF16, bits).unwrap();
        let check = |op: Op, args: &[u128], exact: f64| {
            if exact == 0.0 {
                return;
            }
            let wanted = nearest(BF16, (exact.abs() * unit) as i128, |m| units(m) / 2);
            let sign = u128::from(exact < 0.0) << 15;
            assert_eq!(same(op, BF16, args), wanted | sign, "{op} {args:x?}");
        };
        check(Op::Fma, &[a, b, c], exact(a) * exact(b) + exact(c));
        check(Op::Mul, &[a, b], exact(a) * exact(b));
        check(Op::Add, &[a, b], exact(a) + exact(b));
        check(Op::Sub, &[a, b], exact(a) - exact(b));
        let quotient = nearest(BF16, (exact(a) / exact(b)).abs(), |m| extended(BF16, m) / 2.0);
        assert_eq!(same(Op::Div, BF16, &[a, b]) & 0x7fff, quotient, "{a:x} {b:x}");
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
