//! Integers against the host's and against formulas on plain numbers.

use super::*;

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
