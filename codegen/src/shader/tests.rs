//! Tests of the shading languages: what is accepted is read back and validated, what is refused says where and why.
//! That the text means what it should is the device tests' part.

use super::*;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{DebugLevel, Job, OptLevel};
use marquetry_lower::pipeline;

fn lower(source: &str, target: &ShaderTarget, debug_level: DebugLevel) -> Result<Legal, Failure> {
    let mut program = Program::new();
    let diagnostics = text::parse(&mut program, "test.mq", source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}\n{source}");
    let kernels = program.methods().filter(|(_, m)| m.kind == MethodKind::Kernel);
    let entries = kernels.map(|(method, _)| method).collect();
    let mut job = Job::new(entries, View::device(&[]), OptLevel::None);
    job.options.debug_level = debug_level;
    pipeline::run(&program, &job, target)
}

fn target(text: &str) -> ShaderTarget {
    ShaderTarget::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn artifact(source: &str, name: &str) -> Artifact {
    let target = target(name);
    let legal = lower(source, &target, DebugLevel::None).unwrap_or_else(|error| panic!("{error}\n{source}"));
    emit(&legal, &target).unwrap_or_else(|error| panic!("{name}: {error}\n{source}"))
}

fn code(source: &str, name: &str) -> String {
    String::from_utf8(artifact(source, name).code).expect("text")
}

/// WGSL of all kernels, read back.
fn wgsl(source: &str) -> String {
    let text = code(source, "wgsl");
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{}\n{text}", error.emit_to_string(&text)));
    let flags = naga::valid::ValidationFlags::all();
    let mut validator = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty());
    validator.validate(&module).unwrap_or_else(|error| panic!("{}\n{text}", error.emit_to_string(&text)));
    text
}

/// What a program is refused for.
fn refusals(source: &str) -> Vec<Diagnostic> {
    let target = target("wgsl");
    let legal = match lower(source, &target, DebugLevel::None) {
        Ok(legal) => legal,
        Err(Failure::Program(list)) => return list,
        Err(other) => panic!("{other}\n{source}"),
    };
    match emit(&legal, &target) {
        Err(EmitError::Program(list)) => list,
        other => panic!("{other:?}\n{source}"),
    }
}

fn kernel(params: &str, lines: &str) -> String {
    let lines: String = lines.split(';').map(|line| format!("    {}\n", line.trim())).collect();
    format!("kernel k({params}) {{\nentry:\n{lines}    return\n}}\n")
}

#[test]
fn what_is_accepted_is_valid() {
    let sources = [
        kernel("", ""),
        kernel("p: ptr<global>, x: i8, y: i64, z: f16, w: i1", "store p, x; store p, y; store p, z"),
        kernel("p: ptr<global>", "x = load.i64 p align 1; y = mul x, x; store p, y align 2"),
        kernel("p: ptr<global>", "x = load.i128 p; y = add x, x; store p, y"),
        kernel("p: ptr<global>", "x = load.f32 p; y = round_away x; store p, y"),
        kernel("p: ptr<global>, q: ptr<global>", "x = rmw_add p, i32 1 relaxed device; store q, x"),
        kernel("p: ptr<global>", "x = rmw_min p, f32 1.0 relaxed device"),
        kernel("p: ptr<global>", "a, b = cmpxchg p, i32 0, i32 1 relaxed device; c = zext.i32 b; store p, c"),
        kernel(
            "p: ptr<global>",
            "s = slot.i32; store s, i32 5; x = rmw_max.s s, i32 7 relaxed device; store p, x",
        ),
        kernel(
            "p: ptr<global>",
            "s = slot.i32; store s, i32 5; x = rmw_max.u s, i32 7 relaxed device; store p, x",
        ),
        kernel("p: ptr<global>", "q = ptr_add p, i64 4; c = eq p, q; d = zext.i32 c; store p, d"),
        kernel(
            "p: ptr<global>",
            "a = local_id 0; b = group_id 1; c = group_size 2; d = group_count 0; barrier; store p, d",
        ),
    ];
    for source in sources {
        wgsl(&source);
        for language in ["msl", "hlsl"] {
            assert!(code(&source, language).contains("k("), "{language}\n{source}");
        }
    }
}

/// Compilers compute what is made of constants alone, and refuse what would overflow or divide by zero.
#[test]
fn nothing_is_left_for_compilers_to_refuse() {
    for lines in [
        "x = div.u n, i32 0; store p, x",
        "x = div.s i32 -2147483648, i32 -1; store p, x",
        "x = rem.s n, i32 0; store p, x",
        "x = shl i32 -1, i32 40; store p, x",
        "x = mul i32 -1, i32 -1; store p, x",
        "x = mul f32 3e38, f32 10.0; store p, x",
        "x = div f32 1.0, f32 0.0; store p, x",
        "x = sqrt f32 -1.0; store p, x",
        "x = bitcast.f32 i32 -1; store p, x",
        "store p, f32 nan",
        "store p, f32 -inf",
        "x = floor f32 -0.0; store p, x",
        "s = slot.i32; q = ptr_add s, i64 400; store q, n; x = load.i32 q; store p, x",
    ] {
        wgsl(&kernel("p: ptr<global>, n: i32", lines));
    }
}

#[test]
fn a_bad_division_never_has_a_constant_zero() {
    let text = wgsl(&kernel("p: ptr<global>, n: i32", "x = div.u n, i32 0; store p, x"));
    assert!(!text.contains("/ 0u"), "{text}");
}

/// Each is refused once, in the line that asks for it, with the op or type in the message.
#[test]
fn refusals_name_op_and_place() {
    let rows = [
        ("p: ptr<global>", "x = load.f64 p; y = add x, x", "f64"),
        ("p: ptr<global>", "store p, i32 1 volatile", "volatile 'store'"),
        ("p: ptr<global>", "x = load.i32 p volatile; store p, x", "volatile 'load'"),
        ("p: ptr<global>", "fence acq_rel device", "'fence'"),
        ("p: ptr<global>", "x = subgroup_lane; store p, x", "'subgroup_lane'"),
        ("p: ptr<global>", "x = clock; store p, x", "'clock'"),
        ("p: ptr<global>", "x = rmw_add p, i32 1 acq_rel device", "'rmw_add' of order acq_rel"),
        (
            "p: ptr<global>",
            "x = atomic_load.i32 p acquire device; store p, x",
            "'atomic_load' of order acquire",
        ),
        ("p: ptr<global>", "x = rmw_add p, i64 1 relaxed device", "'rmw_add' on i64"),
        ("p: ptr<global>, q: ptr<global>", "store p, q", "'store' on ptr<global>"),
        ("p: ptr<global>", "x = load.ptr<global> p; y = load.i32 x; store p, y", "'load' on ptr<global>"),
        (
            "p: ptr<global>, q: ptr<global>",
            "c = eq p, q; d = zext.i32 c; store p, d",
            "'eq' on these pointers",
        ),
        (
            "p: ptr<global>",
            "c = ne p, ptr<global> null; d = zext.i32 c; store p, d",
            "'ne' on these pointers",
        ),
        (
            "p: ptr<global>, q: ptr<global>, c: i1",
            "r = select c, p, q; store r, i32 1",
            "'store' through this pointer",
        ),
        ("", "store ptr<global> 0x10, i32 1", "'store' at this address"),
        ("p: ptr<global>", "x = ptrtoint.i64 p; store p, x", "'ptrtoint'"),
    ];
    for (params, lines, wanted) in rows {
        let source = kernel(params, lines);
        let list = refusals(&source);
        let found = list.iter().find(|d| d.message.contains(wanted));
        let found = found.unwrap_or_else(|| panic!("{list:?}\n{source}"));
        assert_eq!(found.code, Code::Unsupported);
        assert!(found.message.starts_with("target wgsl:64x1x1 has no "), "{}", found.message);
        assert!(found.span.is_somewhere() && !found.notes.is_empty(), "{found:?}");
        let op = wanted.split('\'').nth(1).unwrap_or(wanted);
        let place = source.get(found.span.start as usize..found.span.end as usize).unwrap_or("");
        assert!(place.contains(op), "'{place}' is the place of {}", found.message);
    }
}

#[test]
fn all_refusals_are_reported_at_once() {
    // What lowering knows.
    let list = refusals(&kernel(
        "p: ptr<global>, q: ptr<global>",
        "store p, i32 1 volatile; store q, i32 1 volatile; fence seq_cst device; x = rmw_add p, i32 1 seq_cst device",
    ));
    assert_eq!(list.len(), 4, "{list:?}");
    // What depends on where pointers point.
    let list = refusals(&kernel(
        "p: ptr<global>, q: ptr<global>, k: i1",
        "c = eq p, q; d = zext.i32 c; store p, d; r = select k, p, q; store r, d",
    ));
    assert_eq!(list.len(), 2, "{list:?}");
}

/// Without optimisation a block may take a value of a type that no instruction has.
#[test]
fn the_parameter_of_a_block_is_refused_for_its_type() {
    let list = refusals(
        "kernel k(p: ptr<global>, c: i1) {\nentry:\n    branch c, yes, no\nyes:\n    jump join(f64 1.0)\n\
         no:\n    jump join(f64 2.0)\njoin(x: f64):\n    store p, i32 1\n    return\n}\n",
    );
    assert_eq!(list.len(), 1, "{list:?}");
    assert!(list[0].message.contains("no type f64") && list[0].span.is_somewhere(), "{list:?}");
}

#[test]
fn globals_in_other_memory_are_refused() {
    let list = refusals(
        "global count: i32 in global\nkernel k() {\nentry:\n    p = address.global count\n    store p, i32 1\n    return\n}\n",
    );
    assert!(list[0].message.contains("'count'") && list[0].span.is_somewhere(), "{list:?}");
}

/// WGSL wants barriers where all of a group are sure to meet.
#[test]
fn a_barrier_that_some_may_miss_is_refused() {
    let list = refusals(
        "kernel k(p: ptr<global>) {\nentry:\n    i = local_id 0\n    c = lt.u i, i32 3\n    branch c, wait, done\n\
         wait:\n    barrier\n    jump done\ndone:\n    return\n}\n",
    );
    assert!(list[0].message.contains("barrier"), "{list:?}");
}

#[test]
fn groups_have_the_size_that_the_target_states() {
    let source = kernel("p: ptr<global>", "x = group_size 1; store p, x");
    for (name, wanted) in [
        ("wgsl", "@workgroup_size(64, 1, 1)"),
        ("wgsl:16x8", "@workgroup_size(16, 8, 1)"),
        ("hlsl:4x4x2", "[numthreads(4, 4, 2)]"),
        ("msl:4x4x2", "max_total_threads_per_threadgroup(32)"),
    ] {
        let text = code(&source, name);
        assert!(text.contains(wanted), "{name}\n{text}");
    }
    assert!(code(&source, "wgsl:16x8").contains("= 8u"));
    let other = target("wgsl").with_block([2, 3, 4]).expect("a group");
    assert_eq!(other.to_string(), "wgsl:2x3x4");
    assert_eq!(target(&other.to_string()), other);
}

#[test]
fn no_implementation_has_such_groups() {
    for name in [
        "wgsl:0",
        "wgsl:0x1x1",
        "wgsl:1x0",
        "wgsl:99999x1x1",
        "wgsl:1x1x65",
        "msl:1024x2",
        "hlsl:32x32x2",
        "wgsl:4294967295x4294967295x4294967295",
        "wgsl:4294967296",
        "wgsl:",
        "wgsl:x",
        "wgsl:1x1x1x1",
        "wgsl:-1",
        "wgsl:1.5",
        "wgsl:16x",
        "wgsl:+1",
        "wgsl2",
        "WGSL",
        "",
    ] {
        let Err(EmitError::Target(message)) = ShaderTarget::parse(name) else {
            panic!("'{name}' is a target")
        };
        assert!(message.contains("1024") || message.contains("expected"), "{message}");
    }
}

/// Languages reserve words and naga changes names that end in digits: hosts are told the name in the text.
#[test]
fn entries_are_called_what_the_text_calls_them() {
    let source = ["dot", "k1", "fn", "main", "float", "_", "kernel1"]
        .map(|name| format!("kernel {name}(p: ptr<global>) {{\nentry:\n    store p, i32 1\n    return\n}}\n"))
        .concat();
    for (language, start) in [("wgsl", "fn "), ("msl", "kernel void "), ("hlsl", "void ")] {
        let artifact = artifact(&source, language);
        let text = String::from_utf8_lossy(&artifact.code).into_owned();
        let mut seen = Vec::new();
        for entry in &artifact.entries {
            assert!(
                text.contains(&format!("{start}{}(", entry.symbol)),
                "{language} {}\n{text}",
                entry.symbol
            );
            assert!(!seen.contains(&entry.symbol), "{}", entry.symbol);
            seen.push(entry.symbol.clone());
        }
        assert_eq!(seen.len(), 7);
    }
    // In the order of the job, whatever they are called.
    let names: Vec<_> = artifact(&source, "wgsl").entries.iter().map(|e| e.symbol.to_string()).collect();
    assert!(names[0].starts_with("dot") && names[1].starts_with("k1"), "{names:?}");
}

/// HLSL has no built-in value for the number of groups: it comes from the constants at `b0`, only if it is asked for.
#[test]
fn the_number_of_groups_comes_from_constants_in_hlsl() {
    let with = code(&kernel("p: ptr<global>", "x = group_count 1; store p, x"), "hlsl");
    assert!(with.contains("register(b0)") && with.contains("_NagaConstants.first_instance"), "{with}");
    let without = code(&kernel("p: ptr<global>", "x = group_id 1; store p, x"), "hlsl");
    assert!(!without.contains("register(b0)"), "{without}");
}

#[test]
fn metal_has_so_many_buffers() {
    let params =
        |count: usize| (0..count).map(|n| format!("p{n}: ptr<global>")).collect::<Vec<_>>().join(", ");
    let most = kernel(&params(29), "store p28, i32 1");
    assert!(code(&most, "msl").contains("[[buffer(29)]]"));
    let target = target("msl");
    let legal = lower(&kernel(&params(30), "store p29, i32 1"), &target, DebugLevel::None).expect("legal");
    let error = emit(&legal, &target).expect_err("a limit");
    assert!(matches!(&error, EmitError::Limit(limit) if limit.place.is_some()), "{error}");
}

#[test]
fn large_tables_and_deep_nests_are_limits() {
    let zeros = "1, ".repeat(70_000);
    let source = format!(
        "global table: array<i32, 70001> in constant = [{}]\n{}",
        zeros.replace("1, ", "i32 1, ") + "i32 2",
        kernel("p: ptr<global>", "t = address.constant table; x = load.i32 t; store p, x")
    );
    let target = target("wgsl");
    let legal = lower(&source, &target, DebugLevel::None).expect("legal");
    assert!(matches!(emit(&legal, &target), Err(EmitError::Limit(limit)) if limit.place.is_some()));

    let mut nest = String::from("kernel k(p: ptr<global>, n: i32) {\nentry:\n    jump head0\n");
    for n in 0..200 {
        nest += &format!("head{n}:\n    c{n} = lt.u n, i32 {n}\n    branch c{n}, head{}, tail{n}\n", n + 1);
    }
    nest += "head200:\n    store p, n\n    jump tail199\n";
    for n in (1..200).rev() {
        nest += &format!("tail{n}:\n    jump head{n}\n");
    }
    nest += "tail0:\n    return\n}\n";
    let legal = lower(&nest, &target, DebugLevel::None).expect("legal");
    match emit(&legal, &target) {
        Err(EmitError::Limit(limit)) => assert!(limit.place.is_some()),
        other => assert!(other.is_ok(), "{other:?}"),
    }
}

#[test]
fn the_same_program_is_the_same_text() {
    let source =
        kernel("p: ptr<global>", "s = slot.i64; store s, i64 1; x = load.i64 s; a = local_id 0; store p, x");
    for language in ["wgsl", "msl", "hlsl"] {
        let first = code(&source, language);
        assert!((0..4).all(|_| code(&source, language) == first));
        let target = target(language);
        for level in [DebugLevel::Lines, DebugLevel::Full] {
            let legal = lower(&source, &target, level).expect("legal");
            assert_eq!(emit(&legal, &target).expect("text").code, first.as_bytes(), "{language} {level:?}");
        }
    }
}
