//! Vectors: every op on lanes, held whole, in halves or in lanes.

use super::*;
use marquetry_ir::op::{Effects, Shape};
use marquetry_ir::semantics::{LaneOutcome, float, lanewise};
use marquetry_ir::types::Scalar;
use std::fmt::Write;

fn vectors() -> Vec<Type> {
    let of = |lane: Scalar, lanes: u32| Type::vector(lane, lanes).unwrap();
    let mut types = Vec::new();
    for lane in [Scalar::I8, Scalar::I16, Scalar::I32, Scalar::I64, Scalar::F32, Scalar::F64] {
        types.push(of(lane, 128 / lane.bits()));
    }
    types.extend([
        of(Scalar::I32, 8),
        of(Scalar::I8, 4),
        of(Scalar::F32, 2),
        of(Scalar::F16, 8),
        of(Scalar::I1, 4),
    ]);
    types
}

struct Case {
    op: Op,
    params: Vec<Type>,
    results: Vec<Type>,
    mask: Option<Vec<u128>>,
    name: String,
}

fn cases() -> (Vec<Case>, String) {
    let vectors = vectors();
    let mut cases: Vec<Case> = Vec::new();
    let mut text = String::new();
    let mut add = |op: Op, params: Vec<Type>, results: Vec<Type>, call: String, mask: Option<Vec<u128>>| {
        let name = format!("f{}", cases.len());
        let list: Vec<String> =
            params.iter().zip(["a", "b", "c"]).map(|(ty, letter)| format!("{letter}: {ty}")).collect();
        let (outs, values) = match &results[..] {
            [one] => (one.to_string(), "r"),
            many => (format!("({}, {})", many[0], many[1]), "r, s"),
        };
        let function = format!(
            "method {name}({}) -> {outs} {{\nentry:\n    {values} = {call}\n    return {values}\n}}\n",
            list.join(", ")
        );
        let mut program = Program::new();
        if !text::parse(&mut program, "case", &function).is_empty() {
            return;
        }
        let fits = program.methods().all(|(_, method)| {
            let body = &method.body;
            let last = body.entry().and_then(|block| body.terminator(block));
            last.is_some_and(|inst| {
                body.args(inst).iter().map(|&arg| body.value_type(arg)).eq(results.iter().copied())
            })
        });
        if fits {
            let _ = text.write_str(&function);
            cases.push(Case { op, params, results, mask, name });
        }
    };
    for &op in Op::ALL {
        let info = op.info();
        let count = match info.shape {
            Shape::Unary | Shape::Convert => 1,
            Shape::Binary => 2,
            Shape::Ternary => 3,
            _ => continue,
        };
        let skipped = [Effects::CONVERGENT, Effects::THROW, Effects::READ, Effects::WRITE];
        if skipped.iter().any(|&effect| info.effects.has(effect)) || op == Op::PtrAdd {
            continue;
        }
        let letters = ["a", "b", "c"][..count].join(", ");
        for &ty in &vectors {
            let lane = Type::scalar(ty.lane().unwrap());
            match (op, info.shape) {
                (Op::Splat, _) => add(op, vec![lane], vec![ty], format!("splat.{ty} a"), None),
                (Op::Extract, _) => add(op, vec![ty, Type::I32], vec![lane], "extract a, b".into(), None),
                (Op::Insert, _) => {
                    add(op, vec![ty, lane, Type::I32], vec![ty], "insert a, b, c".into(), None)
                }
                (Op::Select, _) => {
                    for condition in [Type::I1, ty.mask_type()] {
                        add(op, vec![condition, ty, ty], vec![ty], "select a, b, c".into(), None);
                    }
                }
                (_, Shape::Convert) => {
                    for to in vectors.iter().copied().chain(Scalar::ALL.map(|to| ty.with_lane(to))) {
                        add(op, vec![ty], vec![to], format!("{op}.{to} a"), None);
                    }
                }
                _ => {
                    let mask = ty.mask_type();
                    for results in [vec![ty], vec![lane], vec![mask], vec![ty, mask]] {
                        add(op, vec![ty; count], results, format!("{op} {letters}"), None);
                    }
                }
            }
        }
    }
    for &ty in &vectors {
        let lanes = u128::from(ty.lanes());
        for step in [1, 3, lanes + 1, 2 * lanes - 1] {
            let mask: Vec<u128> = (0..lanes).map(|n| (n * step + 1) % (2 * lanes)).collect();
            add(Op::Shuffle, vec![ty, ty], vec![ty], format!("shuffle a, b, {mask:?}"), Some(mask));
        }
    }
    (cases, text)
}

/// Values of a type, packed: their lanes rotate through the edge values.
fn operands(ty: Type, turn: usize) -> Vec<u128> {
    let Some(lane) = ty.lane() else { return vec![0] };
    let values = if lane == Scalar::I1 { vec![0, 1, 1, 0, 1] } else { edge_values(Type::scalar(lane)) };
    (0..ty.lanes() as usize).map(|n| values[(turn + 7 * n) % values.len()]).collect()
}

fn bytes_of(types: &[Type], values: &[Vec<u128>]) -> Vec<u8> {
    let (slots, size) = argument_block(types);
    let mut block = vec![0; size as usize];
    for ((slot, ty), lanes) in slots.iter().zip(types).zip(values) {
        let size = ty.lane().map_or(8, |lane| lane.bytes() as usize);
        for (n, lane) in lanes.iter().enumerate() {
            let start = slot.offset as usize + n * size;
            block[start..start + size].copy_from_slice(&lane.to_le_bytes()[..size]);
        }
    }
    block
}

fn lanes_of(types: &[Type], block: &[u8]) -> Vec<Vec<u128>> {
    let (slots, _) = argument_block(types);
    let lanes = |(slot, ty): (&crate::artifact::Slot, &Type)| {
        let size = ty.lane().map_or(8, |lane| lane.bytes() as usize);
        let read = |n: usize| {
            let mut bytes = [0; 16];
            let start = slot.offset as usize + n * size;
            bytes[..size].copy_from_slice(&block[start..start + size]);
            u128::from_le_bytes(bytes)
        };
        (0..ty.lanes() as usize).map(read).collect()
    };
    slots.iter().zip(types).map(lanes).collect()
}

/// Loads the operands from memory, stores the results there: vectors of all kinds are no parameters of entries.
#[test]
fn ops_on_vectors_compute_what_they_mean() {
    let (cases, text) = cases();
    assert!(cases.len() > 400, "only {} cases", cases.len());
    for opt_level in [0, 2] {
        let target = target("native", opt_level);
        let code = emit_jit(&legal(&text, &target), &target, &|_| None).unwrap();
        let mut wrong = Vec::new();
        for case in &cases {
            let index = code.find(&case.name).unwrap();
            for turn in 0..60 {
                let mut args: Vec<Vec<u128>> = case
                    .params
                    .iter()
                    .enumerate()
                    .map(|(n, &ty)| operands(ty, turn + n * (turn / 5 + 1)))
                    .collect();
                if matches!(case.op, Op::Extract | Op::Insert) {
                    *args.last_mut().unwrap() = vec![turn as u128];
                }
                let operand = case.params[usize::from(case.op == Op::Select)];
                let mut slices: Vec<&[u128]> = args.iter().map(|arg| &arg[..]).collect();
                slices.extend(case.mask.as_deref());
                let wanted = match lanewise(case.op, operand, case.results[0], &slices) {
                    Some(LaneOutcome::Value(lanes)) => vec![lanes.to_vec()],
                    Some(LaneOutcome::Pair(lanes, flags)) => vec![lanes.to_vec(), flags.to_vec()],
                    other => panic!("{} of {:?}: {other:?}", case.op, case.params),
                };
                let types = &code.entries()[index].entry.signature;
                let leaves = |types: &[Type], values: &[Vec<u128>]| -> Vec<Vec<u128>> {
                    let mut rest = values.concat().into_iter();
                    types.iter().map(|ty| rest.by_ref().take(ty.lanes() as usize).collect()).collect()
                };
                let block = bytes_of(&types.params, &leaves(&types.params, &args));
                let mut out = vec![0; code.entries()[index].result_bytes as usize];
                // SAFETY: no addresses are passed.
                assert_eq!(unsafe { code.call_packed(index, &block, &mut out, None) }, Ok(0));
                let found = lanes_of(&code.entries()[index].results, &out).concat();
                let wanted = wanted.concat();
                let lane = case.results[0].lane().unwrap();
                let moves = matches!(
                    case.op,
                    Op::Neg
                        | Op::Abs
                        | Op::CopySign
                        | Op::Select
                        | Op::Bitcast
                        | Op::Shuffle
                        | Op::Splat
                        | Op::Insert
                );
                let same = found.len() == wanted.len()
                    && found.iter().zip(&wanted).all(|(&found, &wanted)| {
                        let nan = |bits| lane.is_float() && float::is_nan(lane, bits);
                        found == wanted || (!moves && nan(found) && nan(wanted))
                    });
                if !same && wrong.len() < 40 {
                    wrong.push(format!(
                        "-O{opt_level} {} {:?} {args:x?}: {found:x?}, expected {wanted:x?}",
                        case.op, case.params
                    ));
                    break;
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn every_architecture_has_vectors() {
    let (_, text) = cases();
    let memory = "
global table: vec<i16, 8> in constant = [i16 1, i16 2, i16 3, i16 4, i16 5, i16 6, i16 7, i16 8]
method memory(p: ptr<global>) -> vec<i16, 8> {
entry:
    a = load.vec<f32, 4> p
    b = load.vec<i64, 4> p volatile
    store p, a align 4
    store p, b volatile
    t = address.constant table
    c = load.vec<i16, 8> t
    d = add c, vec<i16, 8> [1, 2, 3, 4, 5, 6, 7, 8]
    return d
}
";
    for triple in TRIPLES {
        for opt_level in [0, 2] {
            let target = target(triple, opt_level);
            let legal = legal(&format!("{memory}{text}"), &target);
            let object =
                emit_object(&legal, &target).unwrap_or_else(|e| panic!("{triple} -O{opt_level}: {e}"));
            // Only the C library's functions are imported.
            assert!(!object.code.windows(11).any(|name| name == b"__cranelift"), "{triple} -O{opt_level}");
        }
    }
}
