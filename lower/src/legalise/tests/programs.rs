//! Whole functions and kernels: results, memory and exceptions, before and after.

use super::target::{Circular, Harsh};
use crate::dispatch::view::View;
use crate::exceptions::{self, record::Record};
use crate::failure::{Failure, Limit};
use crate::job::{EntryConvention, Job, OptLevel};
use crate::legal::Legal;
use crate::specialise;
use marquetry_ir::interp::{Config, Ended, Interp, Val};
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use marquetry_ir::verify::Verified;

fn unit(text: &str) -> Unit {
    let mut program = Program::new();
    let diagnostics = marquetry_ir::text::parse(&mut program, "test.mq", text);
    assert!(diagnostics.is_empty(), "{}", marquetry_ir::diag::render(&diagnostics, &program.files));
    let entry = *program.methods_of("main").first().expect("a method 'main'");
    let job = Job::new(vec![entry], View::native(&[]), OptLevel::None);
    specialise::run(&program, &job).unwrap_or_else(|failure| panic!("{failure}"))
}

fn legal(unit: &Unit, target: &Harsh) -> Result<Legal, Failure> {
    let mut lowered = exceptions::run(Verified::new(unit.clone()).map_err(Failure::Program)?)?;
    crate::kernel_abi::run(&mut lowered, target, EntryConvention::Native);
    let legal = crate::legalise::run(lowered, target)?;
    let diagnostics = marquetry_ir::verify::verify_unit(legal.unit());
    assert!(diagnostics.is_empty(), "{}", marquetry_ir::diag::render(&diagnostics, &legal.unit().files));
    Ok(legal)
}

/// What one run did.
#[derive(PartialEq, Debug)]
struct Outcome {
    results: Result<Vec<u128>, String>,
    memory: Vec<u8>,
}

const MAILBOX: usize = Record::BYTES;

/// The lanes of results, wide integers in two words.
fn words(vals: &[Val], types: &[Type]) -> Vec<u128> {
    let mut words = Vec::new();
    for (val, &ty) in vals.iter().zip(types) {
        for &lane in val.lanes() {
            words.push(lane & u128::from(u64::MAX));
            if ty == Type::I128 {
                words.push(lane >> 64);
            }
        }
    }
    words
}

fn run(unit: &Unit, legal: Option<&Legal>, args: &[Val], buffer: &[u8]) -> Outcome {
    let entry = unit.entries[0];
    let function = &unit.funcs[entry];
    let mut interp = Interp::new(unit, Config::default());
    let address = interp.memory_mut().alloc(buffer).unwrap();
    let mailbox = interp.memory_mut().alloc(&[0; MAILBOX]).unwrap();
    let mut args = args.to_vec();
    if let Some(last) = function.signature.params.get(args.len())
        && last.is_pointer()
    {
        args.push(Val::pointer(address));
    }
    if function.signature.params.len() > args.len() {
        args.push(Val::pointer(mailbox));
    }
    let ended = if function.kind == MethodKind::Kernel {
        interp.launch(entry, [2, 1, 1], [4, 1, 1], &args)
    } else {
        interp.call(entry, &args)
    };
    let mut results = match ended.unwrap_or_else(|fault| panic!("{fault:?}")) {
        Ended::Returned(vals) => Ok(words(&vals, &function.signature.results)),
        Ended::Threw(thrown) => Err(thrown.kind.to_string()),
    };
    if let Some(legal) = legal {
        let status = match (legal.entries()[0].status, legal.entries()[0].mailbox) {
            (true, _) => results.as_mut().unwrap().remove(0) as usize,
            (_, true) => interp.memory().read(mailbox, 4).unwrap()[0].into(),
            _ => 0,
        };
        if status != 0 {
            results = Err(legal.sites()[status - 1].kind.to_string());
        }
    }
    // What an exception leaves behind depends on who threw first.
    let memory = if results.is_ok() {
        interp.memory().read(address, buffer.len() as u64).unwrap().to_vec()
    } else {
        vec![]
    };
    Outcome { results, memory }
}

fn same(text: &str, cases: &[Vec<Val>]) {
    let unit = unit(text);
    let buffer: Vec<u8> = (0..=255).collect();
    for (vectors, halves, promotes) in [(0, false, true), (0, false, false), (128, false, true)] {
        let legal = legal(&unit, &Harsh::new(vectors, halves, promotes)).unwrap_or_else(|f| panic!("{f}"));
        for args in cases {
            let before = run(&unit, None, args, &buffer);
            let after = run(legal.unit(), Some(&legal), args, &buffer);
            let code = || marquetry_ir::text::print_unit(legal.unit());
            assert_eq!(before, after, "{args:?}\n{}", code());
        }
    }
}

fn ints(values: &[i32]) -> Vec<Vec<Val>> {
    values.iter().map(|&value| vec![Val::i32(value)]).collect()
}

#[test]
fn aggregates_through_blocks_calls_and_memory() {
    same(
        "struct point { x: f32, y: i64, z: array<i16, 3> }
         struct none { }
         method shift(p: point, n: none, by: i64) -> (point, i64) noinline {
         entry:
             y = get p, 1
             sum = add y, by
             q = set p, sum, 1
             return q, y
         }
         method main(n: i32, buffer: ptr<global>) -> (i64, i64, i16, f32) {
         entry:
             wide = sext.i64 n
             small = trunc.i16 n
             z = make.array<i16, 3> small, i16 7, small
             p = make.point f32 1.5, wide, z
             e = make.none
             store buffer, p
             q = load.point buffer
             jump loop(i32 0, q, i64 0)
         loop(i: i32, acc: point, sum: i64):
             odd = trunc.i1 i
             r, old = call shift(acc, e, i64 3)
             chosen = select odd, r, point zero
             more = add sum, old
             next = add i, i32 1
             again = lt.s next, i32 5
             branch again, loop(next, chosen, more), done(chosen)
         done(last: point):
             y = get last, 1
             zs = get last, 2
             mid = get zs, 1
             x = get last, 0
             store buffer, last align 1
             return y, more, mid, x
         }",
        &ints(&[0, 1, -5, 77]),
    );
}

#[test]
fn memory_of_every_kind() {
    same(
        "global table: array<i32, 4> in constant = [i32 1, i32 -2, i32 3, i32 -4]
         method main(n: i32, buffer: ptr<global>) -> (i128, f32, i1, i32, i8) {
         entry:
             slot = slot.array<vec<f16, 4>, 3>
             at = field_address slot, array<vec<f16, 4>, 3>, 2
             v = load.vec<f16, 4> buffer
             store at, v
             memcpy slot, at, i64 8
             w = load.vec<f16, 4> slot
             back = ptr_add buffer, i64 64
             store back, w
             wide = load.i128 back
             spot = index back, n, i128
             store spot, wide align 16
             flag = lt.s n, i32 3
             store spot, flag
             again = load.i1 spot
             memset back, i8 85, i64 9
             far = ptr_add back, i64 -8
             memset far, i8 -1, i64 16 align 8
             late = ptr_add buffer, i64 128
             long = zext.i64 n
             memset late, i8 7, long
             memcpy late, buffer, i64 36 align 4
             later = ptr_add buffer, i64 192
             memset later, i8 9, i64 20 align 2
             memcpy later, buffer, i64 48 align 16
             f = load.f32 buffer
             t = address.constant table
             narrow = trunc.i8 n
             masked = and narrow, i8 3
             e = index t, masked, i32
             x = load.i32 e
             b = load.i8 back
             return wide, f, again, x, b
         }",
        &ints(&[1, 2, 3]),
    );
}

#[test]
fn atomics_in_loops_of_exchanges() {
    let lines: String =
        ["add", "exchange"].iter().map(|op| format!("r_{op} = rmw_{op} at, wide relaxed device\n")).collect();
    let ints: String = ["sub", "and", "or", "xor", "min.s", "min.u", "max.s", "max.u", "add"]
        .iter()
        .enumerate()
        .map(|(n, op)| format!("s{n} = rmw_{op} buffer, n acq_rel device\n"))
        .collect();
    same(
        &format!(
            "kernel main(n: i32, buffer: ptr<global>) {{
             entry:
                 wide = sext.i64 n
                 at = ptr_add buffer, i64 8
                 {lines}
                 {ints}
                 floats = ptr_add buffer, i64 16
                 a = rmw_add floats, f32 1.0 relaxed device
                 b = rmw_min floats, f32 0.5 relaxed device
                 doubles = ptr_add buffer, i64 24
                 c = rmw_max doubles, f64 1.0 relaxed device
                 d = atomic_load.f32 floats acquire device
                 atomic_store floats, d release device
                 e = atomic_load.i64 doubles acquire device
                 return
             }}"
        ),
        &self::ints(&[5, -3]),
    );
}

#[test]
fn exceptions_pass_through_calls() {
    same(
        "method inner(n: i32) -> i32 noinline {
         entry:
             q = div.s i32 100, n
             m = rem.s q, n
             i = bounds_check m, i32 40
             big = lt.s i32 30, q
             branch big, bad, good
         bad:
             throw TooBig, \"too big\"
         good:
             r = add i, q
             return r
         }
         method other(n: i32) -> i32 noinline {
         entry:
             r = call inner(n)
             s = add r, i32 1
             return s
         }
         method calm(n: i32) -> i32 noinline {
         entry:
             return n
         }
         method main(n: i32) -> (i32, i32) {
         entry:
             odd = trunc.i1 n
             there = function_address other(i32)
             here = function_address calm(i32)
             f = select odd, there, here
             r = call_indirect f(n) -> i32
             s = call other(n)
             is7 = eq n, i32 7
             branch is7, never, fine
         never:
             unreachable
         fine:
             return r, s
         }",
        &ints(&[0, 1, 3, 4, 5, 6, 7, -1, -50, i32::MIN]),
    );
}

#[test]
fn the_least_value_over_minus_one() {
    same(
        "method main(a: i32, b: i32) -> (i32, i32, i32) {
         entry:
             r = rem.s a, b
             s = rem.s a, i32 -1
             v = splat.vec<i32, 4> a
             w = insert v, i32 9, i32 1
             t = rem.s w, vec<i32, 4> [-1, 2, -1, 4]
             u = reduce_or t
             q = div.s a, b
             return r, s, q
         }",
        &[[i32::MIN, -1], [i32::MIN, 1], [7, -1], [7, 0], [-7, 2]]
            .map(|[a, b]| vec![Val::i32(a), Val::i32(b)]),
    );
}

#[test]
fn kernels_write_the_first_status_to_the_mailbox() {
    let text = "kernel main(n: i32, buffer: ptr<global>) {
         entry:
             id = local_id 0
             group = group_id 0
             d = sub id, n
             q = div.s i32 12, d
             at = index buffer, id, i32
             old = rmw_add at, q relaxed device
             return
         }";
    let text = text.replace("group = group_id 0\n", "");
    same(&text, &ints(&[3, 9, -1]));
}

#[test]
fn wide_switches_and_conversions() {
    same(
        "method main(n: i32) -> (i32, f32, f64, i128) {
         entry:
             s = sext.i128 n
             big = shl s, i128 70
             f = stof.f32 big
             d = utof.f64 big
             back = ftos.i128 d
             switch big, other(i32 4), [0: hit(i32 1), 1180591620717411303424: hit(i32 2), -1180591620717411303424: hit(i32 3)]
         hit(k: i32):
             return k, f, d, back
         other(j: i32):
             return j, f, d, back
         }",
        &ints(&[0, 1, -1, 2, i32::MIN]),
    );
}

#[test]
fn static_assertions_hold_or_are_reported() {
    let text = |condition: &str| {
        format!(
            "method main(n: i32) -> i32 {{
             entry:
                 c = eq n, i32 3
                 static_assert {condition}, \"three\"
                 return n
             }}"
        )
    };
    same(&text("i1 true"), &ints(&[1]));
    for condition in ["i1 false", "c"] {
        let unit = unit(&text(condition));
        let Err(Failure::Program(problems)) = legal(&unit, &Harsh::new(0, false, true)) else { panic!() };
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "static assertion failed: three");
        assert!(problems[0].span.is_somewhere());
    }
}

#[test]
fn what_is_wrong_in_inlined_code_has_a_backtrace() {
    let text = "method three(n: i32) -> i32 inline {
         entry:
             static_assert i1 false, \"never\"
             return n
         }
         method main(n: i32) -> i32 {
         entry:
             m = call three(n)
             return m
         }";
    let mut unit = unit(text);
    crate::optimise::run(&mut unit, OptLevel::None, &mut crate::observe::Silent);
    let Err(Failure::Program(problems)) = legal(&unit, &Harsh::new(0, false, true)) else { panic!() };
    assert_eq!(problems.len(), 1);
    let at = problems[0].span.start as usize;
    assert!(text[at..].starts_with("static_assert"), "{}", &text[at..]);
    assert_eq!(problems[0].notes, ["the condition is false", "inlined into 'main' at test.mq:8:14"]);
}

#[test]
fn everything_unsupported_is_reported_once_per_place() {
    let unit = unit(
        "kernel main(n: i32, buffer: ptr<global>) {
         entry:
             a = subgroup_reduce_add n
             b = subgroup_reduce_add a
             c = clock
             f = function_address helper()
             store buffer, b
             return
         }
         method helper() {
         entry:
             return
         }",
    );
    let mut target = Harsh::new(0, false, true);
    target.caps_mut().indirect_calls = false;
    let Err(Failure::Program(problems)) = legal(&unit, &target) else { panic!() };
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "target harsh has no addresses of functions",
            "target harsh has no 'subgroup_reduce_add' on i32",
            "target harsh has no 'subgroup_reduce_add' on i32",
            "target harsh has no 'clock' on i64",
        ]
    );
    assert_ne!(problems[1].span, problems[2].span);
}

#[test]
fn recursion_and_shared_memory_have_limits() {
    let unit = unit(
        "global tile: array<f32, 1000> in shared
         method down(n: i32) -> i32 noinline {
         entry:
             m = call down(n)
             return m
         }
         kernel main(n: i32) {
         entry:
             m = call down(n)
             p = address.shared tile
             store p, f32 1.0
             return
         }",
    );
    let mut target = Harsh::new(0, false, true);
    target.caps_mut().recursion = false;
    target.caps_mut().max_shared_bytes = 3999;
    target.caps_mut().max_argument_bytes = 3;
    let Err(Failure::Program(problems)) = legal(&unit, &target) else { panic!() };
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "target harsh takes at most 3 bytes of arguments, found 4",
            "target harsh has at most 3999 bytes of shared memory, found 4000",
            "target harsh has no recursion, and 'down' calls itself",
        ]
    );
}

/// Expansions that lead back to themselves end, in an error or in what the target is said to lack.
#[test]
fn targets_that_expand_everything_are_survived() {
    let target = Circular(Harsh::new(128, false, true));
    let types = ["i8", "i32", "i128", "f16", "f32", "vec<i32, 4>"];
    for (ops, types) in [
        (vec!["add", "mul", "min.s", "mul_high.u", "rotl", "add_sat.s", "lt.u", "eq"], &types[..3]),
        (vec!["add", "sub", "div", "rem", "min", "copy_sign", "le", "uno"], &types[3..5]),
        (vec!["add", "shl", "max.u", "eq"], &types[5..]),
    ] {
        for (op, ty) in ops.iter().flat_map(|op| types.iter().map(move |ty| (op, ty))) {
            let text = format!(
                "method main(a: {ty}, b: {ty}) {{\nentry:\n    c = {op} a, b\n    d = select i1 true, c, c\n    s = slot.{ty}\n    store s, d\n    return\n}}\n"
            );
            let lowered = exceptions::run(Verified::new(unit(&text)).unwrap()).unwrap();
            let found = crate::legalise::run(lowered, &target);
            assert!(matches!(found, Err(Failure::Program(_) | Failure::Internal(_))), "{op} {ty}: {found:?}");
        }
    }
}

#[test]
fn large_values_are_a_limit() {
    let unit = unit(
        "method main(p: ptr<global>) {
         entry:
             x = load.array<i8, 5000> p
             store p, x
             return
         }",
    );
    let found = legal(&unit, &Harsh::new(0, false, true));
    assert!(
        matches!(found, Err(Failure::Limit(Limit { limit: 4096, found: 5000, place: Some(_), .. }))),
        "{found:?}"
    );
}

/// A block with very many guards is split at each; the time is that of one pass.
#[test]
fn many_divisions_in_one_block() {
    let count = 100_000;
    let mut text = String::from("method main(n: i32) -> i32 {\nentry:\n    v0 = add n, i32 1\n");
    for k in 0..count {
        text.push_str(&format!("    v{} = div.s v{k}, n\n", k + 1));
    }
    text.push_str(&format!("    return v{count}\n}}\n"));
    let unit = unit(&text);
    let start = std::time::Instant::now();
    let legal = legal(&unit, &Harsh::new(0, false, true)).unwrap();
    assert_eq!(legal.sites().len(), 2 * count);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    assert_eq!(legal.unit().funcs[legal.unit().entries[0]].signature.results, [Type::I32, Type::I32]);
}
