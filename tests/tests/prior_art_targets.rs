//! Conformance facts of the prior art that concern what the text for a GPU says: instructions that are chosen, symbols that
//! may and may not occur. Each test carries its number.
//!
//! | facts | why they are not here |
//! |---|---|
//! | T097, T127 | calls of reporters: `prior_art_exceptions.rs` |
//! | T106 | bounds of launches: with the emitter, `codegen/src/ptx/tests/control.rs` |
//! | T113, in its letter | there is no op for an object that might live on a heap: what does not escape is a slot, and a call of `malloc` is meant; `t113` here |
//! | T115, in its letter | nothing is contracted: every engine rounds twice; `t115` states the opposite |
//! | T118 to T122 | inexact division, square root and reciprocals: an op has one meaning, there are none |
//! | T125, in its letter | back-ends of SPIR-V are not chosen: environments are, `t125` |
//! | T136 | its parts, for this target: T092, T109, T110, T124 |
//! | T137 | there are no levels of types: values have one type |
//! | T158 | `print` hands bits on; no target that lacks a float has it |
//! | T161 | pointers of two address spaces are never compared: the verifier says so |
//! | T164, its second half | there are no inexact forms |
//! | T167 | signs are bits; the rest is in the filetests, `tests/filetests/floats`, on every engine |

use marquetry::compile::{Target, compile_artifact};
use marquetry::library;
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};

/// The text of the kernel `k` for a target, or what is wrong.
fn compile(source: &str, target: &str) -> Result<String, Vec<Diagnostic>> {
    let mut program: Program = library::program();
    assert_eq!(text::parse(&mut program, "t.mq", source), []);
    let kernel = *program.methods_of("k").first().expect("a kernel");
    let target = Target::parse(target, OptLevel::Default).expect("a target");
    let job = Job::new(vec![kernel], View::device(&[]), OptLevel::Default);
    match compile_artifact(&program, &job, &target) {
        Ok(artifact) => Ok(String::from_utf8_lossy(&artifact.code).into_owned()),
        Err(error) => Err(error.diagnostics().unwrap_or_default()),
    }
}

#[track_caller]
fn emitted(source: &str, target: &str) -> String {
    compile(source, target).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A kernel that stores the value `y` of some lines, which know `p`, a place of its own, and `x`, loaded from it.
fn kernel(ty: &str, lines: &str) -> String {
    format!(
        "kernel k(out: ptr<global>) {{\nentry:\n    i = call global_id(i32 0)\n    p = index out, i, {ty}\n    \
         x = load.{ty} p\n    {}\n    store p, y\n    return\n}}\n",
        lines.replace("; ", "\n    ")
    )
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

/// What the text calls.
fn calls(text: &str) -> usize {
    text.lines().filter(|line| line.trim_start().trim_start_matches("@%p0 ").starts_with("call")).count()
}

#[test]
fn t109_a_division_that_may_throw_needs_nothing_from_outside() {
    let text = emitted(&kernel("i32", "y = div.s i32 100, x"), "ptx:sm_80");
    assert!(text.contains("div.s32"), "{text}");
    assert_eq!(count(&text, ".extern"), 0, "{text}");
}

#[test]
fn t110_a_conversion_of_a_float_is_total_without_branches() {
    let text = emitted(&kernel("f32", "n = ftos.i32 x; y = stof.f32 n"), "ptx:sm_80");
    assert!(text.contains("cvt.rzi.s32.f32"), "{text}");
    assert_eq!(count(&text, "bra"), 0, "{text}");
    assert_eq!(calls(&text), 0, "{text}");
}

const HEAP: &str = "method keep(p: ptr<global>, x: i64) noinline {
entry:
    store p, x volatile
    return
}
kernel k(out: ptr<global>) {
entry:
    p = call gc_pool_alloc(i64 16)
    call keep(p, i64 7)
    x = load.i64 p volatile
    store out, x
    return
}
";

#[test]
fn t112_an_object_that_escapes_is_allocated() {
    let text = emitted(HEAP, "ptx:sm_80");
    assert!(text.contains(".func keep"), "{text}");
    // The arena's place is claimed by an atomic addition.
    assert!(text.contains("atom.") || text.contains("red."), "{text}");
    assert_eq!(count(&text, ".extern"), 0, "{text}");
}

#[test]
fn t113_what_does_not_escape_is_a_register() {
    let lines = "s = slot.i32; c = lt.s x, i32 3; one = select c, i32 1, x; store s, one; z = load.i32 s; y = add z, i32 1";
    let text = emitted(&kernel("i32", lines), "ptx:sm_80");
    for absent in ["atom.", ".local", "st.local", "malloc"] {
        assert!(!text.contains(absent), "{absent}\n{text}");
    }
}

#[test]
fn t115_a_product_and_a_difference_are_not_one_instruction() {
    let text = emitted(&kernel("f32", "z = mul f32 2.001, x; y = sub z, x"), "ptx:sm_80");
    assert!(text.contains("mul.rn.f32") && text.contains("sub.rn.f32"), "{text}");
    assert_eq!(count(&text, "fma"), 0, "{text}");
}

#[test]
fn t116_a_square_root_is_exact() {
    for (ty, wanted) in [("f32", "sqrt.rn.f32"), ("f64", "sqrt.rn.f64")] {
        let text = emitted(&kernel(ty, "y = sqrt x"), "ptx:sm_80");
        assert!(text.contains(wanted), "{text}");
        assert!(!text.contains("approx") && !text.contains("ftz"), "{text}");
    }
}

#[test]
fn t124_boxes_are_made_of_the_modules_own() {
    let lines = "c = lt.s x, i32 3; b = call box_bool(c); u = call unbox_bool(b); y = zext.i32 u";
    let text = emitted(&kernel("i32", lines), "ptx:sm_80");
    assert_eq!(count(&text, ".extern"), 0, "{text}");
}

#[test]
fn t125_environments_differ_and_unknown_ones_are_errors() {
    let source = kernel("i32", "y = add x, i32 1");
    let [vulkan, opencl] = ["spirv:vulkan1.3", "spirv:opencl2.1"].map(|target| emitted(&source, target));
    assert_ne!(vulkan, opencl);
    let names = ["spirv:vulkan1.3", "spirv:opencl2.1"].map(|name| {
        let target = Target::parse(name, OptLevel::Default).expect("a target");
        target.lowering().name()
    });
    assert_ne!(names[0], names[1]);
    let Err(error) = Target::parse("spirv:metal", OptLevel::Default) else {
        panic!("there is no such environment")
    };
    assert!(error.to_string().contains("spirv:metal"), "{error}");
}

#[test]
fn t142_a_float_that_the_target_lacks_is_named_where_it_is_used() {
    let source = "method put(p: ptr<global>, x: f32) noinline {
entry:
    wide = fconvert.f64 x
    twice = add wide, wide
    narrow = fconvert.f32 twice
    store p, narrow
    return
}
kernel k(out: ptr<global>) {
entry:
    x = load.f32 out
    call put(out, x)
    return
}
";
    let problems = compile(source, "wgsl").expect_err("shading languages have no f64");
    let first = problems.first().expect("a problem");
    assert!(first.message.contains("f64"), "{first:?}");
    let place = &source[first.span.start as usize..first.span.end as usize];
    assert!(place.contains("fconvert.f64") || place.contains("wide"), "{place}");
    let notes = first.notes.join("\n");
    assert!(notes.contains("'put'") && notes.contains("'k'"), "{notes}");
}

#[test]
fn t154_a_chain_of_addresses_is_one_offset() {
    let lines = "a = ptr_add p, i64 8; b = ptr_add a, i64 16; c = ptr_add b, i64 4; y = load.i32 c";
    let text = emitted(&kernel("i32", lines), "ptx:sm_80");
    assert!(text.contains("+28]"), "{text}");
    let source = "kernel k(out: ptr<global>, n: i32) {
entry:
    a = ptr_add out, i64 8
    c = lt.s n, i32 3
    branch c, one, done
one:
    store a, n volatile
    b = ptr_add a, i64 16
    d = lt.s n, i32 2
    branch d, two, done
two:
    store b, n volatile
    e = ptr_add b, i64 4
    store e, n volatile
    jump done
done:
    return
}
";
    let text = emitted(source, "ptx:sm_80");
    for offset in ["+8]", "+24]", "+28]"] {
        assert_eq!(count(&text, offset), 1, "{text}");
    }
    assert_eq!(count(&text, "add.s64") + count(&text, "add.u64"), 0, "{text}");
}

#[test]
fn t163_lanes_have_their_own_minimum() {
    for (ty, lanes) in [("vec<f32, 4>", 4), ("vec<f32, 2>", 2)] {
        let lines = format!("z = load.{ty} out; y = max z, x");
        let text = emitted(&kernel(ty, &lines), "ptx:sm_80");
        assert_eq!(count(&text, "max.NaN.f32"), lanes, "{text}");
    }
    let text = emitted(&kernel("f32", "y = min x, f32 1.0"), "ptx:sm_80");
    assert_eq!(count(&text, "min.NaN.f32"), 1, "{text}");
}

#[test]
fn t164_metal_has_the_rounding_functions_by_name() {
    let lines = "a = sqrt x; b = floor a; c = ceil b; y = round_zero c";
    let text = emitted(&kernel("f32", lines), "msl");
    for name in ["sqrt(", "floor(", "ceil(", "trunc("] {
        assert!(text.contains(name), "{name}\n{text}");
    }
    assert!(!text.contains("fast::"), "{text}");
}

/// Metal's own functions leave open what becomes of a NaN.
#[test]
fn t166_minima_are_right_for_nan() {
    let text = emitted(&kernel("f32", "y = min x, f32 1.0"), "msl");
    assert!(!text.contains("metal::min("), "{text}");
}
