//! Control flow, calls, memory of functions, and the shape of what is emitted.

use super::{ARCHITECTURES, assemble, compile, compile_text, try_compile};

fn compile_everywhere(source: &str) -> String {
    ARCHITECTURES.map(|architecture| compile(source, architecture)).into_iter().next().unwrap_or_default()
}

#[test]
fn saxpy_has_no_superfluous_instruction() {
    let text = compile_everywhere(
        "kernel saxpy(n: i64, a: f32, x: ptr<global>, y: ptr<global>) {
entry:
    g = group_id 0
    s = group_size 0
    l = local_id 0
    g64 = zext.i64 g
    s64 = zext.i64 s
    l64 = zext.i64 l
    before = mul g64, s64
    i = add before, l64
    inside = lt.s i, n
    branch inside, body, done
body:
    px = index x, i, f32
    py = index y, i, f32
    vx = load.f32 px
    vy = load.f32 py
    p = mul a, vx
    r = add p, vy
    store py, r
    jump done
done:
    return
}
",
    );
    assert!(text.contains("mul.rn.f32") && text.contains("add.rn.f32"), "{text}");
    assert!(!text.contains("\tmov.b"), "{text}");
    assert_eq!(text.matches("\tbra\t").count(), 1, "{text}");
}

#[test]
fn constant_offsets_go_into_addresses() {
    let text = compile_everywhere(
        "struct point { x: f32, y: f32 }
kernel k(p: ptr<global>, i: i64, j: i32) {
entry:
    next = add i, i64 3
    row = index p, next, point
    y = field_address row, point, 1
    v = load.f32 y
    up = index p, i32 -2, f32
    store up, v
    wide = sext.i64 j
    w = index p, wide, f32
    store w, v
    return
}
",
    );
    assert!(text.contains("+28]"), "{text}");
    assert!(text.contains("+-8]"), "{text}");
    assert!(text.contains("mul.wide.s32"), "{text}");
}

#[test]
fn loops_with_exchanged_values_and_truth_values() {
    let text = compile_everywhere(
        "kernel k(n: i32, out: ptr<global>) {
entry:
    jump loop(i32 0, i32 0, i32 1, i1 true, f16 1.0)
loop(i: i32, a: i32, b: i32, flag: i1, h: f16):
    more = lt.s i, n
    branch more, loop2, done(a, flag)
loop2:
    next = add i, i32 1
    other = not flag
    branch other, loop(next, b, a, other, h), loop(next, a, b, other, f16 2.0)
done(r: i32, f: i1):
    store out, r
    both = and f, i1 true
    q = ptr_add out, i64 4
    store q, both
    return
}
",
    );
    assert!(text.contains("mov.pred"), "{text}");
}

#[test]
fn switches_become_tables_or_comparisons() {
    let case = |values: &[i64], ty: &str| {
        let mut source =
            format!("kernel k(s: {ty}, out: ptr<global>) {{\nentry:\n    switch s, other(i32 99), [");
        let cases: Vec<String> = values.iter().map(|v| format!("{v}: join(i32 {})", v * 3 % 1000)).collect();
        source += &cases.join(", ");
        source + "]\nother(x: i32):\n    jump join(x)\njoin(y: i32):\n    store out, y\n    return\n}\n"
    };
    for ty in ["i8", "i16", "i32", "i64"] {
        let dense = compile_everywhere(&case(&[1, 2, 3, 5, 6, 7], ty));
        assert!(dense.contains("brx.idx"), "{dense}");
        let sparse = compile_everywhere(&case(&[-100, -3, 0, 7, 19, 40, 90, 100, 110, 120, 126], ty));
        assert!(!sparse.contains("brx.idx") && sparse.contains("setp.ge"), "{sparse}");
        compile_everywhere(&case(&[4], ty));
        compile_everywhere(&case(&[], ty));
    }
}

#[test]
fn calls_of_every_kind() {
    let text = compile_everywhere(
        "method many(a: i8, b: i1, c: f16, d: f64, e: ptr<global>) -> (i8, i1, f16, f64) noinline {
entry:
    n = not b
    return a, n, c, d
}
method fib(n: i64) -> i64 {
entry:
    small = lt.s n, i64 2
    branch small, base, more
base:
    return n
more:
    n1 = sub n, i64 1
    n2 = sub n, i64 2
    a = call fib(n1)
    b = call fib(n2)
    c = add a, b
    return c
}
method one(x: i16, f: i1) -> i1 {
entry:
    r = eq x, i16 7
    s = and r, f
    return s
}
method nothing() {
entry:
    return
}
kernel k(n: i64, out: ptr<global>) {
entry:
    call nothing()
    r = call fib(n)
    store out, r
    a, b, c, d = call many(i8 -3, i1 true, f16 1.5, f64 2.5, out)
    store out, a
    store out, b
    store out, c
    store out, d
    x = trunc.i16 n
    t = call one(x, b)
    store out, t
    p = function_address fib(i64)
    q = function_address many(i8, i1, f16, f64, ptr<global>)
    return
}
",
    );
    assert!(text.contains("call\t($s0), fib, ($q0)"), "{text}");
}

#[test]
fn slots_globals_and_spaces() {
    let text = compile_everywhere(
        "global table: array<i32, 4> in constant = [i32 1, i32 2, i32 3, i32 0]
global state: i64 in global
global tile: array<f32, 64> in shared
kernel k(i: i32, out: ptr<global>) {
entry:
    a = slot.array<i32, 4>
    b = slot.f64
    p = index a, i, i32
    store p, i32 7
    p1 = field_address a, array<i32, 4>, 1
    v = load.i32 p1
    store b, f64 1.0
    g = spacecast.ptr<generic> b
    w = load.f64 g
    t = address.constant table
    tp = index t, i, i32
    tv = load.i32 tp
    t2 = load.i32 t
    s = address.shared tile
    sp = index s, i, f32
    sf = load.f32 sp
    st = index s, i32 5, f32
    store st, sf
    sg = spacecast.ptr<generic> s
    back = spacecast.ptr<shared> sg
    store back, sf
    n = ptrtoint.i64 s
    m = inttoptr.ptr<global> n
    e = address.global state
    store e, n
    store out, v
    store out, w
    store out, tv
    store out, t2
    lost = eq m, ptr<global> null
    store out, lost
    return
}
",
    );
    assert!(text.contains(".b8 table[16] = {1,0,0,0,2,0,0,0,3};"), "{text}");
    assert!(text.contains("[$slots+4]") && text.contains("[tile+20]"), "{text}");
    assert!(text.contains("ld.global.nc.b32"), "{text}");
}

#[test]
fn reductions_over_shared_memory() {
    compile_everywhere(
        "global partial: array<i32, 256> in shared
kernel reduce(n: i32, x: ptr<global>, sum: ptr<global>) {
entry:
    local = local_id 0
    size = group_size 0
    slots = address.shared partial
    mine = index slots, local, i32
    inside = lt.s local, n
    branch inside, fetch, begin(i32 0)
fetch:
    px = index x, local, i32
    vx = load.i32 px
    jump begin(vx)
begin(value: i32):
    store mine, value
    barrier
    half = shr.u size, i32 1
    jump level(half)
level(stride: i32):
    more = gt.u stride, i32 0
    branch more, step, finish
step:
    active = lt.u local, stride
    branch active, combine, next
combine:
    other = add local, stride
    theirs = index slots, other, i32
    a = load.i32 mine
    b = load.i32 theirs
    c = add a, b
    store mine, c
    jump next
next:
    barrier
    smaller = shr.u stride, i32 1
    jump level(smaller)
finish:
    first = eq local, i32 0
    branch first, publish, done
publish:
    total = load.i32 mine
    old = rmw_add sum, total relaxed device
    jump done
done:
    return
}
",
    );
}

#[test]
fn large_arguments_ask_for_a_newer_version_and_larger_ones_are_errors() {
    let kernel = |count: usize| {
        let params: Vec<String> = (0..count).map(|n| format!("p{n}: i64")).collect();
        format!("kernel k({}) {{\nentry:\n    return\n}}\n", params.join(", "))
    };
    assert!(compile(&kernel(512), "sm_75").starts_with(".version 6.3\n"));
    assert!(compile(&kernel(513), "sm_75").starts_with(".version 8.1\n"));
    compile(&kernel(4095), "sm_90");
    let found = try_compile(&kernel(4096), "sm_90").map(|_| ());
    assert!(found.is_err_and(|error| error.contains("32768")));
}

#[test]
fn too_much_shared_memory_is_an_error() {
    let kernel = |size: u32| {
        format!(
            "global tile: array<i8, {size}> in shared
kernel k() {{
entry:
    p = address.shared tile
    store p, i8 0
    return
}}
"
        )
    };
    compile(&kernel(49152), "sm_90");
    let found = try_compile(&kernel(49153), "sm_90").map(|_| ());
    assert!(found.is_err_and(|error| error.contains("49153")));
}

#[test]
fn output_is_the_same_every_time() {
    let source = "kernel b() {\nentry:\n    return\n}\nkernel a() {\nentry:\n    return\n}\n";
    assert_eq!(compile(source, "sm_90"), compile(source, "sm_90"));
}

#[test]
fn indirect_calls_name_their_signature() {
    let text = compile_everywhere(
        "method twice(x: i8, f: i1, h: f16) -> (i8, f16) noinline {
entry:
    y = add x, x
    return y, h
}
method inc(x: f64) -> f64 noinline {
entry:
    y = add x, f64 1.0
    return y
}
kernel k(x: i8, h: f16, out: ptr<global>) {
entry:
    p = function_address twice(i8, i1, f16)
    a, b = call_indirect p(x, i1 true, h) -> (i8, f16)
    q = function_address inc(f64)
    c = call_indirect q(f64 2.0) -> f64
    store out, a
    store out, b
    store out, c
    return
}
",
    );
    assert!(text.contains(".callprototype"), "{text}");
}

/// What the language has and PTX has not arrives rewritten: vectors, wide integers, memory ops, exceptions.
#[test]
fn rewritten_ops_assemble() {
    compile_everywhere(
        "struct pair { a: i128, b: vec<f32, 4> }
global table: array<i32, 4> in constant = [i32 1, i32 2, i32 3, i32 4]
kernel k(n: i64, w: i128, v: vec<f32, 4>, x: f32, h: bf16, f: f16, out: ptr<global>) {
entry:
    w2 = mul w, w
    w3 = div.u w2, i128 7
    store out, w3
    v2 = add v, v
    lane = reduce_add v2
    store out, lane
    m = rem x, lane
    mm = min m, f32 0.5
    r = round_away mm
    store out, r
    h2 = add h, h
    store out, h2
    f2 = rem f, f16 3.0
    store out, f2
    t = address.constant table
    memcpy out, t, i64 16
    memset out, i8 0, n
    i = trunc.i32 n
    q = rem.s i, i32 3
    d = div.s n, n
    s, o = mul_overflow.s n, d
    store out, s
    store out, o
    z = add_sat.u i, q
    store out, z
    p = make.pair w, v
    b = get p, 1
    store out, b
    old = rmw_min out, x relaxed device
    bf = utof.bf16 n
    store out, bf
    fm = fma h, h, bf
    store out, fm
    c = bounds_check i, i32 4
    e = index t, c, i32
    l = load.i32 e
    bad = eq l, i32 3
    branch bad, oops, done
oops:
    throw MyError, \"reason\"
done:
    return
}
",
    );
}

#[test]
fn every_target_has_a_version_that_ptxas_takes() {
    let source = "kernel k(x: f32, n: i64, out: ptr<global>) {
entry:
    a = add x, f32 1.0
    h = fconvert.bf16 a
    store out, h
    s = subgroup_reduce_min.s i32 4
    old = rmw_add out, s seq_cst system
    switch n, done, [0: done, 1: one, 2: done, 3: one, 4: done, 5: one]
one:
    store out, a
    jump done
done:
    return
}
";
    for name in
        ["75", "80", "86", "87", "88", "89", "90", "90a", "100", "100a", "100f", "103", "103a", "103f"]
    {
        compile(source, &format!("sm_{name}"));
    }
    for name in ["110", "110a", "110f", "120", "120a", "120f", "121", "121a", "121f"] {
        compile(source, &format!("sm_{name}"));
    }
}

/// A function has no bounds, a kernel has those of its target.
#[test]
fn bounds_of_launches_stand_before_the_bodies_of_kernels() {
    let source = "method f(x: i32) -> i32 noinline {
entry:
    y = add x, i32 1
    return y
}
kernel k(out: ptr<global>) {
entry:
    x = call f(i32 1)
    store out, x
    return
}
";
    let rows: [(&str, &[&str]); 5] = [
        ("sm_80", &[]),
        ("sm_80,maxntid=42", &[".maxntid 42, 1, 1"]),
        ("sm_80,reqntid=16x8", &[".reqntid 16, 8, 1"]),
        ("sm_90,maxntid=42,minnctapersm=2", &[".maxntid 42, 1, 1", ".minnctapersm 2"]),
        ("sm_75,maxnreg=42", &[".maxnreg 42"]),
    ];
    for (target, wanted) in rows {
        let text = compile_text(source, target);
        let directives = [".maxntid", ".reqntid", ".minnctapersm", ".maxnreg"];
        let found: Vec<&str> =
            text.lines().filter(|line| directives.iter().any(|d| line.starts_with(d))).collect();
        assert_eq!(found, wanted, "{text}");
        let entry = text.split_once(".entry k").expect("a kernel").1;
        assert!(wanted.iter().all(|line| entry.contains(line)), "{text}");
        assemble(&text, target.split(',').next().unwrap_or(target));
    }
}
