//! How fast steps are; run it in a release build when changing the step loop.

use super::*;
use std::time::Instant;

fn measure(name: &str, interp: &mut Interp, run: impl FnOnce(&mut Interp) -> Result<Ended, Fault>) {
    let (start, before) = (Instant::now(), interp.steps());
    let ended = run(interp);
    let (time, steps) = (start.elapsed(), interp.steps() - before);
    assert!(matches!(ended, Ok(Ended::Returned(_))), "{ended:?}");
    println!("{name}: {:.1} ns per step, {steps} steps", time.as_nanos() as f64 / steps as f64);
}

#[test]
#[ignore = "measures time"]
fn nanoseconds_per_step() {
    let text = "kernel saxpy(n: i64, a: f32, x: ptr<global>, y: ptr<global>) {
entry:
    g = group_id 0
    s = group_size 0
    l = local_id 0
    b = mul g, s
    c = add b, l
    i = zext.i64 c
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
global tile: array<f32, 256> in shared
kernel sum(x: ptr<global>) {
entry:
    l = local_id 0
    t = address.shared tile
    mine = index t, l, f32
    px = index x, l, f32
    v = load.f32 px
    store mine, v
    jump loop(i32 128)
loop(w: i32):
    barrier
    active = lt.u l, w
    branch active, fold, next
fold:
    o = add l, w
    other = index t, o, f32
    a = load.f32 mine
    b = load.f32 other
    c = add a, b
    store mine, c
    jump next
next:
    half = shr.u w, i32 1
    more = ne half, i32 0
    branch more, loop(half), done
done:
    return
}
method collatz(n: i64) -> i64 {
entry:
    jump outer(i64 1, i64 0)
outer(start: i64, total: i64):
    jump inner(start, total)
inner(x: i64, count: i64):
    odd = and x, i64 1
    is_odd = ne odd, i64 0
    triple = mul x, i64 3
    up = add triple, i64 1
    down = shr.u x, i64 1
    y = select is_odd, up, down
    c = add count, i64 1
    stop = eq y, i64 1
    branch stop, ended, inner(y, c)
ended:
    s = add start, i64 1
    more = le.s s, n
    branch more, outer(s, c), done
done:
    return c
}
method vectors(n: i32) -> f32 {
entry:
    jump loop(n, vec<f32, 4> [1.0, 2.0, 3.0, 4.0])
loop(i: i32, v: vec<f32, 4>):
    a = mul v, vec<f32, 4> [0.5, 0.5, 0.5, 0.5]
    b = add a, vec<f32, 4> [1.0, 1.0, 1.0, 1.0]
    j = sub i, i32 1
    more = ne j, i32 0
    branch more, loop(j, b), done
done:
    s = reduce_add b
    return s
}
method fib(n: i32) -> i32 {
entry:
    small = lt.s n, i32 2
    branch small, one, more
one:
    return n
more:
    a = sub n, i32 1
    b = sub n, i32 2
    x = call fib(a)
    y = call fib(b)
    z = add x, y
    return z
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let count = 1 << 20;
    let x = interp.memory_mut().alloc(&vec![0; count * 4]).expect("memory");
    let y = interp.memory_mut().alloc(&vec![0; count * 4]).expect("memory");
    let find = |name| unit.find(name).expect("a function");
    let args = [Val::i64(count as i64), Val::f32(2.0), Val::pointer(x), Val::pointer(y)];
    let groups = [count as u32 / 256, 1, 1];
    measure("saxpy", &mut interp, |i| i.launch(find("saxpy"), groups, [256, 1, 1], &args));
    let args = [Val::pointer(x)];
    measure("barriers", &mut interp, |i| i.launch(find("sum"), [1000, 1, 1], [256, 1, 1], &args));
    measure("integers", &mut interp, |i| i.call(find("collatz"), &[Val::i64(20_000)]));
    measure("vectors", &mut interp, |i| i.call(find("vectors"), &[Val::i32(1_000_000)]));
    measure("calls", &mut interp, |i| i.call(find("fib"), &[Val::i32(27)]));
}
