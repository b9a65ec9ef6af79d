//! Round trips and error recovery of the text format.

use super::*;

fn read(text: &str) -> Program {
    let mut program = Program::new();
    let diagnostics = parse(&mut program, "t.mq", text);
    assert!(diagnostics.is_empty(), "{}\n{text}", crate::diag::render(&diagnostics, &program.files));
    program
}

/// Reads and prints; the result must be a fixed point.
fn canonical(text: &str) -> String {
    let printed = print_program(&read(text));
    assert_eq!(print_program(&read(&printed)), printed);
    printed
}

const EXAMPLE: &str = r#"struct point { x: f32, y: f32 }
global table: array<i32, 4> in constant = [i32 1, i32 2, i32 3, i32 4]
global tile: array<f32, 256> in shared
global text: array<i8, 4> in global = bytes "a\"\x00\xff"
extern func sin(f64) -> f64 as "sin"

method axpy(a: f32, x: f32, y: f32) -> f32 inline {
entry:
    p = mul a, x
    r = add p, y
    return r
}

overlay fast_gpu method axpy(a: f32, x: f32, y: f32) -> f32 noinline consistent {
entry:
    r = fma a, x, y
    return r
}

method two(a: i32) -> (i32, i1) {
entry:
    return a, i1 true
}

kernel saxpy(n: i64, a: f32, x: ptr<global>, y: ptr<global>) {
entry:
    i = call global_id(i32 0)
    inside = lt.s i, n
    branch inside, body, done
body:
    px = index x, i, f32
    vx = load.f32 px
    store px, vx align 2 volatile
    old = rmw_add px, f32 1.0 relaxed device
    v, ok = cmpxchg y, i32 0, i32 1 acq_rel device
    s = slot.array<f32, 4>
    q = field_address s, array<f32, 4>, 3
    t = address.shared tile
    m = shuffle vec<f32, 4> [1.0, 2.0, -0.0, inf], vec<f32, 4> [nan, nan:0x7fc00001, -inf, 0.1], [0, 5, 2, 7]
    agg = make.point vx, vx
    g = get agg, 1
    agg2 = set agg, vx, 0
    agg3 = set point zero, vx, 0
    z = ftos.i32 vx
    fp = function_address axpy(f32, f32, f32)
    r = call_indirect fp(vx, vx, vx) -> f32
    fence acq_rel device
    d = local_id 0
    static_assert inside, "message"
    nothing = eq ptr<global> null, ptr<global> 0x10
    switch z, other(vx), [0: one, -5: two(vx)]
two(w: f32):
    throw DivideError
one:
    throw "My Error", "reason"
other(u: f32):
    jump loop(i64 0, u)
loop(k: i64, acc: f32):
    unreachable
done:
    return
}
"#;

#[test]
fn the_example_is_canonical() {
    assert_eq!(canonical(EXAMPLE), EXAMPLE);
}
