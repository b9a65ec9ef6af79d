//! Calls, control flow, memory, globals, functions of the host, errors.
#![allow(unsafe_code)] // runs the code under test

use super::*;

#[test]
fn loops_and_parallel_block_parameters() {
    let text = "
method fib(n: i32) -> i64 {
entry:
    jump loop(i32 0, i64 0, i64 1)
loop(k: i32, a: i64, b: i64):
    more = lt.s k, n
    branch more, next, done
next:
    s = add a, b
    m = add k, i32 1
    jump loop(m, b, s)
done:
    return a
}";
    for opt_level in [0, 2] {
        assert_eq!(call(&jit(text, opt_level), "fib", &[50]), [12586269025]);
    }
}

#[test]
fn switches_find_their_case() {
    let cases: Vec<i64> = vec![0, 1, 2, 3, -5, -4, 1 << 40, 77, 78, 79, 80, 82, 1000, i64::MIN, i64::MAX];
    for (ty, scale) in [("i8", 8), ("i16", 16), ("i32", 32), ("i64", 64), ("i128", 128)] {
        let fits = |case: &&i64| scale > 64 || **case == (**case << (64 - scale)) >> (64 - scale);
        let kept: Vec<i64> = cases.iter().filter(fits).copied().collect();
        let arms: Vec<String> =
            kept.iter().enumerate().map(|(n, case)| format!("{case}: done(i32 {})", n + 1)).collect();
        let text = format!(
            "method pick(a: {ty}) -> i32 {{\nentry:\n    switch a, done(i32 0), [{}]\ndone(x: i32):\n    return x\n}}",
            arms.join(", ")
        );
        let mask = u128::MAX >> (128 - scale);
        for opt_level in [0, 2] {
            let code = jit(&text, opt_level);
            for probe in cases.iter().flat_map(|&c| [c, c.wrapping_add(1), c.wrapping_sub(1)]) {
                let probe = i128::from(probe) as u128 & mask;
                let wanted = kept.iter().position(|&case| i128::from(case) as u128 & mask == probe);
                let wanted = wanted.map_or(0, |n| n as u128 + 1);
                assert_eq!(call(&code, "pick", &[probe]), [wanted], "{ty} {probe:x}");
            }
        }
    }
}

#[test]
fn many_results_and_indirect_calls() {
    let text = "
method many(a: i64, b: f64) -> (i64, i1, f64, i128, i8, f32, i64) {
entry:
    c = sext.i128 a
    d = trunc.i8 a
    e = gt.s a, i64 0
    f = fconvert.f32 b
    g = mul a, a
    return a, e, b, c, d, f, g
}
method through(a: i64, b: f64) -> (i64, i1, f64, i128, i8, f32, i64) {
entry:
    p = function_address many(i64, f64)
    c, d, e, f, g, h, i = call_indirect p(a, b) -> (i64, i1, f64, i128, i8, f32, i64)
    return c, d, e, f, g, h, i
}";
    let b = u128::from(2.5f64.to_bits());
    let minus = 0u128.wrapping_sub(3);
    for opt_level in [0, 2] {
        let code = jit(text, opt_level);
        let wanted = [minus as u64 as u128, 0, b, minus, 0xfd, u128::from(2.5f32.to_bits()), 9];
        for name in ["many", "through"] {
            assert_eq!(call(&code, name, &[minus & u128::from(u64::MAX), b]), wanted);
        }
    }
}

#[test]
fn memory_globals_and_slots() {
    let text = "
struct pair { x: i8, y: i64 }
global table: array<pair, 3> in constant = [[i8 1, i64 10], [i8 2, i64 -20], [i8 3, i64 30]]
global count: i64 in global
method second(i: i32) -> (i8, i64) {
entry:
    t = address.constant table
    p = index t, i, pair
    x = load.i8 p
    q = field_address p, pair, 1
    y = load.i64 q
    return x, y
}
method next() -> i64 {
entry:
    p = address.global count
    a = load.i64 p
    b = add a, i64 1
    store p, b
    return b
}
method copies(p: ptr<global>, n: i64) -> i32 {
entry:
    s = slot.array<i32, 16>
    f = spacecast.ptr<generic> s
    g = spacecast.ptr<generic> p
    memset f, i8 1, i64 64
    memcpy f, g, i64 20 align 4
    memset f, i8 2, i64 3
    h = ptr_add g, i64 32
    memcpy h, f, n
    q = index s, i64 5, i32
    v = load.i32 q volatile
    r = index s, i8 -1, i32
    t = index r, i8 5, i32
    w = load.i32 t
    x = add v, w
    return x
}";
    for opt_level in [0, 2] {
        let code = jit(text, opt_level);
        assert_eq!(call(&code, "second", &[1]), [2, (-20i64) as u64 as u128]);
        assert_eq!(call(&code, "second", &[2]), [3, 30]);
        assert_eq!(call(&code, "next", &[]), [1]);
        assert_eq!(call(&code, "next", &[]), [2]);
        let mut buffer: Vec<u32> = (100..124).collect();
        let address = buffer.as_mut_ptr().expose_provenance() as u128;
        assert_eq!(call(&code, "copies", &[address, 24]), [0x01010101 + 104]);
        assert_eq!(buffer[8..15], [0x020202, 101, 102, 103, 104, 0x01010101, 114]);
    }
}

extern "C" fn host_sum(a: i8, b: i16, c: i32, d: i64, e: f32, f: f64, g: bool) -> i16 {
    (i64::from(a) + i64::from(b) + i64::from(c) + d + e as i64 + f as i64 + i64::from(g)) as i16
}

#[test]
fn functions_of_the_host_are_called_or_missed() {
    let text = "
extern func sum(i8, i16, i32, i64, f32, f64, i1) -> i16 as \"host_sum\"
method f(a: i8, b: i16, c: i32, d: i64, e: f32, g: f64, h: i1) -> i16 {
entry:
    r = call sum(a, b, c, d, e, g, h)
    return r
}";
    let target = target("native", 2);
    let legal = legal(text, &target);
    let error = emit_jit(&legal, &target, &|_| None).unwrap_err();
    assert_eq!(error, EmitError::Unresolved(vec!["host_sum".to_owned()]));
    let code =
        emit_jit(&legal, &target, &|name| (name == "host_sum").then_some(host_sum as *const u8)).unwrap();
    let args = [0xff, 0xfffe, 3, 1000, 1.5f32.to_bits() as u128, (-7.9f64).to_bits() as u128, 1];
    assert_eq!(call(&code, "f", &args), [995]);
}

#[test]
fn volatile_loads_are_neither_merged_nor_dropped() {
    let text = "
method poll(p: ptr<global>) -> i32 {
entry:
    a = load.i32 p volatile
    b = load.i32 p volatile
    c = load.i32 p volatile
    return b
}";
    let target = target("native:x86_64", 2);
    let listing = emit_text(&legal(text, &target), &target).unwrap();
    let code = listing.split("; poll$packed").next().unwrap();
    let loads = code.lines().filter(|line| line.contains("movl") && line.contains("(%rdi)")).count();
    assert_eq!(loads, 3, "{listing}");
}

#[test]
fn deep_recursion_and_wrong_calls_are_kept_apart() {
    let text = "
method sum(n: i64) -> i64 {
entry:
    more = gt.s n, i64 0
    branch more, next, done
next:
    m = sub n, i64 1
    r = call sum(m)
    s = add r, n
    return s
done:
    return i64 0
}";
    let code = jit(text, 2);
    assert_eq!(call(&code, "sum", &[10_000]), [50_005_000]);
    // SAFETY: neither call is made.
    unsafe {
        assert!(code.call_packed(0, &[], &mut [0; 8], None).is_err());
        assert!(code.call_packed(7, &[], &mut [], None).is_err());
    }
    assert!(code.kernel(0).is_none());
}

#[test]
fn targets_are_spelled() {
    for (spelling, name) in [
        ("native", "native"),
        ("native+pic", "native"),
        ("native+static", "native+static"),
        ("native:x86_64-unknown-linux-gnu", "native:x86_64-unknown-linux-gnu"),
        ("native:s390x", "native:s390x-unknown-linux-gnu"),
        ("native:aarch64+addresses", "native:aarch64-unknown-linux-gnu+addresses"),
        ("native:riscv64+addresses+static", "native:riscv64gc-unknown-linux-gnu+static+addresses"),
        ("native:x86_64-apple-darwin", "native:x86_64-apple-darwin"),
        ("native:aarch64-apple-darwin", "native:aarch64-apple-darwin"),
        ("native:x86_64-pc-windows-msvc+symbols", "native:x86_64-pc-windows-msvc"),
    ] {
        let target = NativeTarget::parse(spelling, NativeOptions::default()).unwrap();
        assert_eq!(target.name(), name);
        // The name says it all.
        assert_eq!(NativeTarget::parse(name, NativeOptions::default()).unwrap(), target);
    }
    let host = |spelling| NativeTarget::parse(spelling, NativeOptions::default()).unwrap();
    assert_ne!(host("native"), host("native+static"));
    assert_ne!(host("native"), host("native+addresses"));
    for bad in [
        "ptx",
        "native:",
        "native:wasm32-unknown-unknown",
        "native:aarch64-pc-windows-msvc",
        "native:s390x-apple-darwin",
        "native:x86_64-unknown-freebsd",
        "native:i686",
        "native+",
        "native+fixed",
    ] {
        let error = NativeTarget::parse(bad, NativeOptions::default()).unwrap_err().to_string();
        assert!(error.contains(bad) && error.contains("expected native"), "{error}");
    }
}

#[test]
fn objects_are_the_same_each_time() {
    let text = "method f(a: f64, b: f64) -> f64 {\nentry:\n    c = fma a, b, a\n    return c\n}";
    for triple in TRIPLES {
        let target = target(triple, 2);
        let emit = || emit_object(&legal(text, &target), &target).unwrap().code;
        assert_eq!(emit(), emit());
    }
}

#[test]
fn code_is_freed_and_shared_between_threads() {
    let text = "method twice(a: i64) -> i64 {\nentry:\n    b = add a, a\n    return b\n}";
    let code = jit(text, 0);
    std::thread::scope(|scope| {
        for n in 0..4u64 {
            let code = code.clone();
            scope.spawn(move || assert_eq!(call(&code, "twice", &[u128::from(n)]), [u128::from(2 * n)]));
        }
    });
    drop(code);
    // Were code not freed, this would use up the address space that a process of 64 bits may map at all.
    for _ in 0..200 {
        drop(jit(text, 0));
    }
}
