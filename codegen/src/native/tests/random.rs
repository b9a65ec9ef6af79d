//! Random straight-line functions: they compile for every architecture, and the optimiser does not change what they
//! compute.

use super::*;
use marquetry_ir::semantics::float;
use marquetry_ir::types::Scalar;

/// A generator of numbers that are the same everywhere (Knuth's MMIX multiplier).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % limit as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const INTS: [&str; 5] = ["i8", "i16", "i32", "i64", "i128"];
const BINARY: [&str; 21] = [
    "add",
    "sub",
    "mul",
    "and",
    "or",
    "xor",
    "shl",
    "shr.s",
    "shr.u",
    "rotl",
    "rotr",
    "min.s",
    "min.u",
    "max.s",
    "max.u",
    "add_sat.s",
    "add_sat.u",
    "sub_sat.s",
    "sub_sat.u",
    "mul_high.s",
    "mul_high.u",
];
const UNARY: [&str; 8] = ["neg", "abs", "not", "clz", "ctz", "popcnt", "bitreverse", "byteswap"];
const COMPARE: [&str; 10] = ["eq", "ne", "lt.s", "le.s", "gt.s", "ge.s", "lt.u", "le.u", "gt.u", "ge.u"];
const FLOAT: [&str; 6] = ["add", "sub", "mul", "div", "min", "max"];

/// A function of one parameter and one result per integer type and float.
fn function(numbers: &mut Numbers, name: usize) -> String {
    let types = ["i8", "i16", "i32", "i64", "i128", "f32", "f64", "i1"];
    let mut pools: Vec<Vec<String>> = types.iter().map(|ty| vec![format!("p_{ty}")]).collect();
    let params: Vec<String> = types.iter().map(|ty| format!("p_{ty}: {ty}")).collect();
    let mut body = String::new();
    for n in 0..60 {
        let ty = numbers.below(5);
        let word = INTS[ty];
        let bits = 8 << ty;
        let operand = |numbers: &mut Numbers, pool: usize| -> String {
            // Recent values more often, and constants that rules of optimisers look for.
            let constants = ["0", "1", "-1", "7", "63", "127", "-128", "31"];
            if pool < 5 && numbers.below(4) == 0 {
                return format!("{} {}", INTS[pool], numbers.of(&constants));
            }
            let list = &pools[pool];
            let back = numbers.below(list.len().min(6));
            list[list.len() - 1 - back].clone()
        };
        let (pool, call) = match numbers.below(12) {
            0..=3 => {
                let op = numbers.of(&BINARY);
                // The legaliser has `mul_high` of 128 bits, made of much code.
                (ty, format!("{op} {}, {}", operand(numbers, ty), operand(numbers, ty)))
            }
            4 => (ty, format!("{} {}", numbers.of(&UNARY), operand(numbers, ty))),
            5 | 6 => {
                (7, format!("{} {}, {}", numbers.of(&COMPARE), operand(numbers, ty), operand(numbers, ty)))
            }
            7 => (
                ty,
                format!("select {}, {}, {}", operand(numbers, 7), operand(numbers, ty), operand(numbers, ty)),
            ),
            8 if bits > 8 => {
                let to = numbers.below(ty);
                (to, format!("trunc.{} {}", INTS[to], operand(numbers, ty)))
            }
            8 | 9 => {
                let op = numbers.of(&["zext", "sext"]);
                let from = if ty == 0 { 7 } else { numbers.below(ty) };
                (ty, format!("{op}.{word} {}", operand(numbers, from)))
            }
            10 => {
                let float = 5 + numbers.below(2);
                (
                    float,
                    format!(
                        "{} {}, {}",
                        numbers.of(&FLOAT),
                        operand(numbers, float),
                        operand(numbers, float)
                    ),
                )
            }
            _ => {
                let float = 5 + numbers.below(2);
                (
                    7,
                    format!(
                        "{} {}, {}",
                        numbers.of(&["lt", "uge", "one", "uno"]),
                        operand(numbers, float),
                        operand(numbers, float)
                    ),
                )
            }
        };
        body.push_str(&format!("    v{n} = {call}\n"));
        pools[pool].push(format!("v{n}"));
    }
    let results: Vec<&str> = pools.iter().map(|pool| &**pool.last().unwrap()).collect();
    format!(
        "method f{name}({}) -> ({}) {{\nentry:\n{body}    return {}\n}}\n",
        params.join(", "),
        types.join(", "),
        results.join(", ")
    )
}

#[test]
fn the_optimiser_changes_nothing_and_every_architecture_follows() {
    let mut numbers = Numbers(2026);
    let text: String = (0..150).map(|name| function(&mut numbers, name)).collect();
    for triple in TRIPLES {
        for opt_level in [0, 2] {
            let target = target(triple, opt_level);
            if let Err(error) = emit_object(&legal(&text, &target), &target) {
                panic!("{triple} -O{opt_level}: {error}");
            }
        }
    }
    let (plain, optimised) = (jit(&text, 0), jit(&text, 2));
    let types = [
        Scalar::I8,
        Scalar::I16,
        Scalar::I32,
        Scalar::I64,
        Scalar::I128,
        Scalar::F32,
        Scalar::F64,
        Scalar::I1,
    ];
    for name in (0..150).map(|name| format!("f{name}")) {
        for _ in 0..20 {
            let args: Vec<u128> =
                types.iter().map(|&ty| numbers.of(&edge_values(Type::scalar(ty)))).collect();
            let (left, right) = (call(&plain, &name, &args), call(&optimised, &name, &args));
            for ((&left, &right), &ty) in left.iter().zip(&right).zip(&types) {
                let nan = ty.is_float() && float::is_nan(ty, left) && float::is_nan(ty, right);
                assert!(left == right || nan, "{name} {args:x?}: {left:x} and {right:x}");
            }
        }
    }
}
