//! Every scalar op on every type, on every device that is here, against the definition.

mod webgpu;

use marquetry::device::DeviceKind;
use marquetry::engine::{Engine, EngineKind, Extent};
use marquetry::filetest::corpus::corpus;
use marquetry::filetest::runner::{self, Verdict};
use marquetry::value::{HostArg, HostValue};
use marquetry_ir::op::{Effects, Op, Rule, Shape};
use marquetry_ir::program::Program;
use marquetry_ir::semantics::{self, Outcome, float};
use marquetry_ir::text;
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::job::OptLevel;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Bytes of a result: the value, then at 16 the flag of ops that have one.
const STRIDE: usize = 32;
/// Operand tuples per op.
const TUPLES: usize = 512;

struct Case {
    op: Op,
    params: Vec<Scalar>,
    result: Scalar,
    flag: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &op in Op::ALL {
        let info = op.info();
        let count = match info.shape {
            Shape::Unary | Shape::Convert => 1,
            Shape::Binary => 2,
            Shape::Ternary => 3,
            _ => continue,
        };
        if info.effects.has(Effects::CONVERGENT) {
            continue;
        }
        for from in Scalar::ALL {
            let mut params = vec![from; count];
            if op == Op::Select {
                params[0] = Scalar::I1;
            }
            let (result, flag) = match info.rule {
                Rule::CompareAny | Rule::CompareInt | Rule::CompareFloat => (vec![Scalar::I1], false),
                Rule::Overflow => (vec![from], true),
                _ if info.shape == Shape::Convert => (Scalar::ALL.to_vec(), false),
                _ => (vec![from], false),
            };
            for result in result {
                if op == Op::Bitcast && result == from {
                    continue;
                }
                let case = Case { op, params: params.clone(), result, flag };
                let mut program = Program::new();
                if text::parse(&mut program, "case", &kernel("k", &[&case], 1)).is_empty() {
                    cases.push(case);
                }
            }
        }
    }
    cases
}

/// A kernel that computes ops on the same operands.
fn kernel(name: &str, cases: &[&Case], tuples: usize) -> String {
    let mut s = format!(
        "kernel {name}(x: ptr<global>, y: ptr<global>, z: ptr<global>, out: ptr<global>) {{\nentry:\n    \
         l = local_id 0\n    g = group_id 0\n    s = group_size 0\n    m = mul g, s\n    i = add m, l\n    \
         inside = lt.u i, i32 {tuples}\n    branch inside, body, done\nbody:\n    \
         wide = zext.i64 i\n    at = mul wide, i64 {STRIDE}\n    p0 = ptr_add out, at\n"
    );
    for ((ty, letter), place) in cases[0].params.iter().zip(["a", "b", "c"]).zip(["x", "y", "z"]) {
        let ty = ty.name();
        let _ = writeln!(s, "    q{letter} = index {place}, i, {ty}\n    {letter} = load.{ty} q{letter}");
    }
    for (n, case) in cases.iter().enumerate() {
        let suffix = match case.op.info().shape {
            Shape::Convert => format!(".{}", case.result.name()),
            _ => String::new(),
        };
        let args = ["a", "b", "c"][..case.params.len()].join(", ");
        let flag = if case.flag { format!(", f{n}") } else { String::new() };
        let _ = writeln!(s, "    r{n}{flag} = {}{suffix} {args}\n    store p{n}, r{n}", case.op);
        if case.flag {
            let _ = writeln!(s, "    o{n} = ptr_add p{n}, i64 16\n    store o{n}, f{n}");
        }
        let _ = writeln!(s, "    p{} = ptr_add p{n}, i64 {}", n + 1, STRIDE * tuples);
    }
    s.push_str("    return\ndone:\n    return\n}\n");
    s
}

fn edge_values(scalar: Scalar) -> Vec<u128> {
    let bits = scalar.bits();
    let mut values: Vec<u128> =
        vec![0, 1, 2, 3, 5, 7, 8, 31, 32, 63, 64, 65, 100, 127, 128, 200, 255, 256, 65535];
    values.extend((0..bits).flat_map(|n| [1u128 << n, (1 << n) - 1]));
    values.extend([0u128.wrapping_sub(1), 0u128.wrapping_sub(2), 0u128.wrapping_sub(7)]);
    values.extend([0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978, 0xdead_beef_cafe_babe_8000_0000_7fff_ffff]);
    if scalar.is_float() {
        let numbers = [
            0.0,
            1.0,
            0.5,
            1.5,
            2.5,
            3.5,
            0.1,
            0.49999997,
            127.5,
            128.0,
            255.5,
            32767.5,
            65535.0,
            8388607.5,
            3.0,
            2147483600.0,
            4294967000.0,
            9.2e18,
            1.8446743e19,
            65504.0,
            65519.9,
            65520.0,
            1e20,
            1e-45,
            1e300,
            1e-310,
        ];
        for number in numbers {
            for number in [number, -number] {
                if let Some(Outcome::Value(value)) =
                    semantics::scalar(Op::FConvert, Scalar::F64, scalar, &[u128::from(f64::to_bits(number))])
                {
                    values.push(value);
                } else {
                    values.push(u128::from(f64::to_bits(number)));
                }
            }
        }
    }
    let mut values: Vec<u128> = values.into_iter().map(|v| v & scalar.mask()).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// Tuples of operands that none of the ops throws for.
fn tuples(cases: &[&Case]) -> Vec<Vec<u128>> {
    let values: Vec<Vec<u128>> = cases[0].params.iter().map(|&p| edge_values(p)).collect();
    let total: usize = values.iter().map(Vec::len).product();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut all: Vec<Vec<u128>> = Vec::new();
    for n in 0..total.min(100 * TUPLES) {
        let mut pick = n as u64;
        if total > TUPLES {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            pick = (seed >> 20) % total as u64;
        }
        let tuple: Vec<u128> = values
            .iter()
            .map(|list| {
                let value = list[pick as usize % list.len()];
                pick /= list.len() as u64;
                value
            })
            .collect();
        let throws = cases.iter().any(|c| matches!(expected(c, &tuple), Some(Outcome::Throws(_)) | None));
        if !throws {
            all.push(tuple);
        }
        if all.len() == TUPLES {
            break;
        }
    }
    all
}

fn expected(case: &Case, args: &[u128]) -> Option<Outcome> {
    semantics::scalar(case.op, *case.params.last()?, case.result, args)
}

fn moves_bits(op: Op) -> bool {
    matches!(op, Op::Neg | Op::Abs | Op::CopySign | Op::Select | Op::Bitcast)
}

fn check(kind: DeviceKind) {
    match EngineKind::Device(kind).open(OptLevel::None) {
        Ok(mut engine) => check_engine(engine.as_mut(), |_| true),
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

/// Checks every op on every type that the engine has.
fn check_engine(engine: &mut dyn Engine, has: impl Fn(&Case) -> bool) {
    let name = engine.name();
    let all = cases();
    assert!(all.len() > 500, "only {} cases", all.len());
    let mut groups: BTreeMap<(Vec<&str>, bool), Vec<&Case>> = BTreeMap::new();
    for case in all.iter().filter(|case| has(case)) {
        let throws = case.op.effects().has(Effects::THROW);
        let params = case.params.iter().map(|p| p.name()).collect();
        groups.entry((params, throws)).or_default().push(case);
    }
    let mut wrong: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut checked = 0;
    for cases in groups.values().flat_map(|list| list.chunks(12)) {
        let tuples = tuples(cases);
        match run(engine, cases, &tuples) {
            Ok(found) => {
                for (n, case) in cases.iter().enumerate() {
                    for (i, args) in tuples.iter().enumerate() {
                        checked += 1;
                        let at = (n * tuples.len() + i) * STRIDE;
                        let bytes = case.result.bytes() as usize;
                        let mut word = [0u8; 16];
                        word[..bytes].copy_from_slice(&found[at..at + bytes]);
                        let (value, flag) = (u128::from_le_bytes(word), u128::from(found[at + 16]));
                        let (wanted, wanted_flag) = match expected(case, args) {
                            Some(Outcome::Pair(value, flag)) => (value, u128::from(flag)),
                            Some(Outcome::Value(value)) => (value, 0),
                            other => panic!("{other:?}"),
                        };
                        let nan = case.result.is_float()
                            && !moves_bits(case.op)
                            && float::is_nan(case.result, wanted)
                            && float::is_nan(case.result, value);
                        if (value != wanted && !nan) || flag != wanted_flag {
                            let key = format!("{} {:?} -> {:?}", case.op, case.params, case.result);
                            let text =
                                format!("{args:x?}: {value:#x} {flag}, expected {wanted:#x} {wanted_flag}");
                            wrong.entry(key).or_insert((0, text)).0 += 1;
                        }
                    }
                }
            }
            Err(error) => {
                let names: Vec<String> = cases.iter().map(|c| c.op.to_string()).collect();
                wrong.insert(format!("{:?} {names:?}", cases[0].params), (1, error));
            }
        }
    }
    let list: Vec<String> =
        wrong.iter().map(|(key, (count, first))| format!("{key}: {count} wrong; first {first}")).collect();
    assert!(wrong.is_empty(), "{name}, {} of {checked}:\n{}", list.len(), list.join("\n"));
    assert!(checked > 100_000, "only {checked} results were checked");
}

fn run(engine: &mut dyn Engine, cases: &[&Case], tuples: &[Vec<u128>]) -> Result<Vec<u8>, String> {
    let mut program = Program::new();
    let diagnostics = text::parse(&mut program, "ops", &kernel("k", cases, tuples.len()));
    assert!(diagnostics.is_empty());
    let method = program.methods_of("k")[0];
    let mut args: Vec<HostArg> = (0..3)
        .map(|n| {
            let scalar = cases[0].params.get(n).copied().unwrap_or(Scalar::I8);
            let value = |t: &Vec<u128>| {
                let value = HostValue::scalar(Type::scalar(scalar), t.get(n).copied().unwrap_or(0));
                value.map_or_else(Vec::new, |v| v.to_bytes())
            };
            HostArg::Buffer { element: Scalar::I8, bytes: tuples.iter().flat_map(value).collect() }
        })
        .collect();
    let bytes = vec![0; cases.len() * tuples.len() * STRIDE];
    args.push(HostArg::Buffer { element: Scalar::I8, bytes });
    engine.load(Arc::new(program));
    let extent = Extent { grid: [tuples.len().div_ceil(64) as u32, 1, 1], block: [64, 1, 1] };
    engine.launch(method, extent, &mut args).map_err(|e| e.to_string())?;
    match args.pop() {
        Some(HostArg::Buffer { bytes, .. }) => Ok(bytes),
        _ => Err("no results".into()),
    }
}

#[test]
fn ops_mean_the_same_on_vulkan() {
    check(DeviceKind::Vulkan);
}

#[test]
fn ops_mean_the_same_on_opencl() {
    check(DeviceKind::OpenCl);
}

#[test]
fn ops_mean_the_same_in_wgsl() {
    match webgpu::WebGpu::open(OptLevel::None) {
        Ok(mut engine) => {
            let double = |case: &Case| case.params.contains(&Scalar::F64) || case.result == Scalar::F64;
            check_engine(&mut engine, |case| !double(case));
        }
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

/// Launches of all kernels: what each leaves in its buffers is compared with what its directives say. Refused is
/// only a kernel that may throw before a barrier.
#[test]
fn kernels_run_in_wgsl() {
    if let Some((passed, refused)) = launches_in_wgsl("kernels", OptLevel::Default) {
        let other = refused.iter().find(|why| !why.contains("a barrier that some work-items"));
        assert_eq!(other, None);
        assert!(passed > 80, "only {passed} launches");
    }
}

/// The filetests, of which WGSL cannot do all: what it does is right.
#[test]
fn filetests_run_in_wgsl() {
    for level in [OptLevel::None, OptLevel::Default] {
        if let Some((passed, refused)) = launches_in_wgsl("filetests", level) {
            assert!(passed > 30, "only {passed} launches; refused:\n{}", refused.join("\n"));
        }
    }
}

/// How many launches of a folder were right, and which were refused.
fn launches_in_wgsl(folder: &str, level: OptLevel) -> Option<(usize, Vec<String>)> {
    let engine = match webgpu::WebGpu::open(level) {
        Ok(engine) => engine,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return None;
        }
    };
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(engine)];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut passed, mut refused, mut failed) = (0, Vec::new(), Vec::<String>::new());
    for path in corpus(&folder).expect("the folder") {
        let name = path.display().to_string();
        let source = std::fs::read_to_string(&path).expect("a kernel");
        for row in
            runner::run(&name, &source, &mut engines, None).into_iter().filter(|r| r.engine == "webgpu")
        {
            match row.verdict {
                Verdict::Passed => passed += 1,
                Verdict::Skipped(why) if row.text.contains("launch:") => {
                    refused.push(format!("{name}:{}: {}: {why}", row.line, row.text));
                }
                Verdict::Skipped(_) => {}
                Verdict::Failed(why) => failed.push(format!("{name}:{}: {}: {why}", row.line, row.text)),
            }
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    eprintln!("{passed} launches; refused:\n{}", refused.join("\n"));
    Some((passed, refused))
}
