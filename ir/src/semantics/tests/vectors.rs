//! Lanes: computed, moved, combined.

use super::super::vector::lane_scalar;
use super::*;

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
