//! Programs with memory, control flow and calls, run on the machine.

use super::compile_text;
use super::machine::Machine;

const OUT: u64 = 0x9000_0000;
const MAILBOX: u64 = 0x9100_0000;

/// Runs the only kernel `k` on these arguments, with an output buffer and a mailbox last; the first words of the
/// buffer.
fn run<const N: usize>(text: &str, args: &[u64]) -> [u64; N] {
    let mut machine = Machine::new(text);
    for word in 0..64 {
        machine.write(OUT + word * 8, 8, 0);
    }
    machine.write(MAILBOX, 32, 0);
    let args: Vec<u64> = args.iter().copied().chain([OUT, MAILBOX]).collect();
    machine.launch("k", &args);
    std::array::from_fn(|word| machine.read(OUT + word as u64 * 8, 8))
}

#[test]
fn values_change_places_on_edges() {
    let text = compile_text(
        "kernel k(n: i32, out: ptr<global>) {
entry:
    jump loop(i32 0, i64 1, i64 2, i64 3, i1 true)
loop(i: i32, a: i64, b: i64, c: i64, flag: i1):
    more = lt.s i, n
    branch more, turn, done
turn:
    next = add i, i32 1
    other = not flag
    branch other, loop(next, b, c, a, other), loop(next, b, a, b, other)
done:
    store out, a
    p = ptr_add out, i64 8
    store p, b
    q = ptr_add p, i64 8
    store q, c
    s = ptr_add out, i64 24
    store s, flag
    return
}
",
        "sm_75",
    );
    let mut wanted = [1, 2, 3, 1];
    for n in 0..12 {
        assert_eq!(run::<4>(&text, &[n]), wanted);
        let [a, b, c, flag] = wanted;
        wanted = if flag == 0 { [b, c, a, 1] } else { [b, a, b, 0] };
    }
}

#[test]
fn switches_take_the_equal_case() {
    for cases in [
        &[1i64, 2, 3, 5, 6, 7][..],
        &[-100, -3, 0, 7, 19, 40, 90, 100, 110, 120, 126],
        &[-128, 127],
        &[-4, -3, -2, -1, 0, 1, 2],
        &[9],
        &[],
    ] {
        for (ty, bits) in [("i8", 8), ("i16", 16), ("i32", 32), ("i64", 64)] {
            let list: Vec<String> = cases.iter().map(|v| format!("{v}: join(i64 {})", v * 7)).collect();
            let text = compile_text(
                &format!(
                    "kernel k(s: {ty}, out: ptr<global>) {{
entry:
    switch s, join(i64 4000), [{}]
join(y: i64):
    store out, y
    return
}}
",
                    list.join(", ")
                ),
                "sm_75",
            );
            for selector in -130i64..=130 {
                let fits = selector << (64 - bits) >> (64 - bits) == selector;
                let wanted = if cases.contains(&selector) { selector * 7 } else { 4000 };
                let argument = selector as u64 & (u64::MAX >> (64 - bits));
                if fits {
                    assert_eq!(
                        run::<1>(&text, &[argument]),
                        [wanted as u64],
                        "{selector} of {cases:?} as {ty}"
                    );
                }
            }
        }
    }
}

#[test]
fn calls_pass_and_return_values() {
    let text = compile_text(
        "method many(a: i8, b: i1, c: f16, d: f64) -> (i8, i1, f16, f64) noinline {
entry:
    n = not b
    m = add a, a
    return m, n, c, d
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
method narrow(x: i16, f: i1) -> i1 {
entry:
    r = eq x, i16 -7
    s = and r, f
    return s
}
kernel k(n: i64, x: i8, y: i16, out: ptr<global>) {
entry:
    r = call fib(n)
    store out, r
    a, b, c, d = call many(x, i1 false, f16 1.5, f64 2.5)
    p1 = ptr_add out, i64 8
    store p1, a
    p2 = ptr_add out, i64 9
    store p2, b
    p3 = ptr_add out, i64 10
    store p3, c
    p4 = ptr_add out, i64 16
    store p4, d
    t = call narrow(y, b)
    p5 = ptr_add out, i64 24
    store p5, t
    q = function_address narrow(i16, i1)
    u = call_indirect q(i16 -7, i1 true) -> i1
    p6 = ptr_add out, i64 32
    store p6, u
    return
}
",
        "sm_75",
    );
    let wanted = [55, 0x3e00_01a0, 2.5f64.to_bits(), 1, 1];
    assert_eq!(run(&text, &[10, 0xd0, 0xfff9]), wanted);
}

#[test]
fn memory_of_every_width_alignment_and_space() {
    for ty in ["i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"] {
        let bits: u64 =
            ty.trim_start_matches(|c: char| c.is_alphabetic()).parse().expect("types name their width");
        let value = 0x8182_8384_8586_8788u64 >> (64 - bits);
        for align in [1, 2, 4, 8] {
            let at = [3, 6, 4, 8][[1, 2, 4, 8].iter().position(|&a| a == align).unwrap_or(0)];
            let text = compile_text(
                &format!(
                    "global tile: array<i8, 64> in shared
kernel k(v: {ty}, out: ptr<global>) {{
entry:
    a = address.shared tile
    b = ptr_add a, i64 {at}
    store b, v align {align}
    w = load.{ty} b align {align}
    s = slot.array<i64, 4>
    t = ptr_add s, i64 {at}
    store t, w align {align} volatile
    g = spacecast.ptr<generic> t
    x = load.{ty} g align {align}
    y = ptr_add out, i64 {at}
    store y, x align {align}
    z = load.{ty} y align {align} volatile
    far = ptr_add out, i64 32
    store far, z
    return
}}
"
                ),
                "sm_75",
            );
            let found: [u64; 5] = run(&text, &[value]);
            assert_eq!(found[4], value, "{ty} align {align}");
        }
    }
}

#[test]
fn addresses_of_elements_and_fields() {
    let text = compile_text(
        "struct cell { a: i8, b: i32, c: array<i16, 5> }
global table: array<i32, 4> in constant = [i32 11, i32 -22, i32 33, i32 0]
kernel k(i: i8, j: i32, n: i64, p: ptr<global>, out: ptr<global>) {
entry:
    far = add n, i64 3
    c0 = index p, far, cell
    c1 = field_address c0, cell, 2
    c2 = index c1, i, i16
    r = ptrtoint.i64 c2
    store out, r
    wide = sext.i64 j
    d0 = index p, wide, cell
    d1 = field_address d0, cell, 1
    s = ptrtoint.i64 d1
    o1 = ptr_add out, i64 8
    store o1, s
    flat = zext.i64 j
    e0 = index p, flat, i64
    t = ptrtoint.i64 e0
    o2 = ptr_add out, i64 16
    store o2, t
    t0 = address.constant table
    t1 = index t0, i32 1, i32
    v = load.i32 t1
    w = sext.i64 v
    o3 = ptr_add out, i64 24
    store o3, w
    f0 = ptr_add p, i64 8000000000
    f1 = ptr_add f0, i64 2147483647
    f2 = ptr_add f1, i64 2147483647
    u = ptrtoint.i64 f2
    o4 = ptr_add out, i64 32
    store o4, u
    return
}
",
        "sm_75",
    );
    let (i, j, n, p) = (-2i64, -5i32, 7u64, 0x1_0000_0000u64);
    let cell = |at: i64| p.wrapping_add((at * 20) as u64);
    let wanted = [
        cell(10) + 8 - 4,
        cell(-5) + 4,
        p + u64::from(j as u32) * 8,
        -22i64 as u64,
        p + 8_000_000_000 + 2 * 2_147_483_647,
    ];
    assert_eq!(run(&text, &[i as u64 & 255, u64::from(j as u32), n, p]), wanted);
}

#[test]
fn atomics_give_the_old_value() {
    for space in ["global", "shared", "local", "generic"] {
        let address = match space {
            "shared" => "p = address.shared cell",
            "local" => "p = slot.i64",
            "generic" => "l = address.shared cell\n    p = spacecast.ptr<generic> l",
            _ => "p = ptr_add out, i64 128",
        };
        let text = compile_text(
            &format!(
                "global cell: i64 in shared
kernel k(out: ptr<global>) {{
entry:
    {address}
    atomic_store p, i32 5 release device
    a = rmw_add p, i32 -7 relaxed device
    b = rmw_max.u p, i32 3 seq_cst system
    c = rmw_sub p, i32 2 acq_rel group
    d, e = cmpxchg p, i32 -4, i32 9 acquire subgroup
    f, g = cmpxchg p, i32 -4, i32 8 acq_rel device
    h = atomic_load.i32 p acquire device
    store out, a
    o1 = ptr_add out, i64 4
    store o1, b
    o2 = ptr_add out, i64 8
    store o2, c
    o3 = ptr_add out, i64 12
    store o3, d
    o4 = ptr_add out, i64 16
    store o4, e
    o5 = ptr_add out, i64 17
    store o5, g
    o6 = ptr_add out, i64 20
    store o6, h
    small = bitcast.f32 i32 3
    atomic_store p, small relaxed device
    i = rmw_add p, small relaxed device
    j = rmw_exchange p, f32 1.0 relaxed device
    o7 = ptr_add out, i64 24
    store o7, j
    k = rmw_min p, f32 -2.0 relaxed device
    least = atomic_load.f32 p relaxed device
    o8 = ptr_add out, i64 28
    store o8, least
    return
}}
"
            ),
            "sm_75",
        );
        let words = |low: i32, high: i32| u64::from(low as u32) | u64::from(high as u32) << 32;
        let wanted = [words(5, -2), words(-2, -4), words(1, 9), words(6, (-2.0f32).to_bits() as i32)];
        assert_eq!(run(&text, &[]), wanted, "{space}");
    }
}

#[test]
fn lanes_of_a_warp_of_one() {
    for architecture in ["sm_75", "sm_80"] {
        let text = compile_text(
            "kernel k(x: i64, y: i32, out: ptr<global>) {
entry:
    a = subgroup_shuffle x, i32 40
    b = subgroup_shuffle_xor a, i32 1
    c = subgroup_reduce_add b
    d = subgroup_reduce_min.s c
    store out, d
    e = subgroup_reduce_max.u y
    f = subgroup_shuffle_down e, i32 3
    o1 = ptr_add out, i64 8
    store o1, f
    neg = lt.s f, i32 0
    any = subgroup_any neg
    all = subgroup_all any
    votes = subgroup_ballot all
    o2 = ptr_add out, i64 16
    store o2, votes
    subgroup_barrier
    barrier
    return
}
",
            architecture,
        );
        let x = -0x1234_5678_9abci64 as u64;
        assert_eq!(run(&text, &[x, 0x8000_0001]), [x, 0x8000_0001, 1]);
    }
}
