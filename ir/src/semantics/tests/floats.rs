//! Floats by table: comparisons, signed zeros, NaN, rounding to integral values, saturation.

use super::*;

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
