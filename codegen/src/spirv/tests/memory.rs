//! Memory of every kind, and arguments.

use super::*;
use marquetry_ir::diag::Code;

/// Shared memory, slots, constants, generic pointers, and accesses of several widths.
const KERNELS: &str = "
struct mixed { a: i8, b: f64, c: i1, d: i16 }
global tile: array<f32, 64> in shared
global words: array<i64, 64> in shared
global flags: array<i1, 64> in shared
global counter: i32 in shared
global table: array<i32, 4> in constant = [i32 10, i32 20, i32 30, i32 40]
global zeros: array<i8, 9> in constant
kernel widths(x: ptr<global>, n: i32) {
entry:
    t = address.shared tile
    w = address.shared words
    f = address.shared flags
    c = address.constant table
    z = address.constant zeros
    s = slot.mixed
    pt = index t, n, f32
    store pt, f32 1.0
    pw = index w, n, i64
    store pw, i64 1
    low = load.i8 pw
    half = load.i32 pw
    pf = index f, n, i1
    store pf, i1 true
    g = load.i1 pf
    pc = index c, n, i32
    v = load.i32 pc
    pz = index z, n, i8
    u = load.i8 pz
    sb = field_address s, mixed, 1
    sd = field_address s, mixed, 3
    store sb, f64 2.0
    store sd, i16 2
    y = load.f64 sb
    store x, low
    store x, half align 2
    store x, g
    store x, v volatile
    store x, u
    store x, y align 1
    barrier
    return
}
kernel either(x: ptr<global>, q: i1, n: i32) {
entry:
    s = slot.i32
    t = slot.array<i32, 4>
    p = select q, s, t
    store p, n
    v = load.i32 p
    store x, v
    a = address.shared tile
    b = spacecast.ptr<generic> a
    c = spacecast.ptr<generic> x
    d = select q, b, c
    e = load.i32 d
    store d, e
    branch q, loop(s), loop(t)
loop(w: ptr<local>):
    k = load.i32 w
    m = add k, i32 1
    w2 = index w, i32 1, i32
    store w, m
    more = lt.s m, n
    branch more, loop(w2), done
done:
    o = ptrtoint.i64 w2
    store x, o
    store x, w2
    r = load.ptr<local> x
    h = load.i32 r
    store x, h
    return
}
kernel count(x: ptr<global>) {
entry:
    c = address.shared counter
    o = rmw_add c, i32 1 acq_rel group
    e, ok = cmpxchg c, o, i32 7 relaxed group
    store x, ok
    return
}
method fill(p: ptr<local>, v: i32) noinline {
entry:
    store p, v
    return
}
method get(p: ptr<shared>, i: i32) -> (i32, i1) noinline {
entry:
    q = index p, i, i32
    v = load.i32 q
    z = eq v, i32 0
    return v, z
}
kernel calls(x: ptr<global>) {
entry:
    s = slot.i32
    call fill(s, i32 5)
    v = load.i32 s
    c = address.shared counter
    w, z = call get(c, v)
    store x, w
    store x, z
    return
}
";

#[test]
fn memory_of_every_kind_validates() {
    for target in targets() {
        module(KERNELS, &target);
    }
}

#[test]
fn shared_memory_has_the_elements_that_accesses_want() {
    let text = text_of(KERNELS, &SpirvTarget::vulkan());
    assert!(text.contains("Workgroup"), "{text}");
    // The 64-bit words are also read by bytes: 512 bytes of them.
    assert!(text.contains(" 512"), "{text}");
}

#[test]
fn small_blocks_of_arguments_are_pushed_and_large_ones_pointed_to() {
    let kernel = |count: usize| {
        let params: Vec<String> = (0..count).map(|n| format!("a{n}: i64")).collect();
        format!(
            "kernel k(x: ptr<global>, q: i1, h: f16, {}) {{\nentry:\n    store x, a{}\n    store x, q\n    store x, h\n    return\n}}\n",
            params.join(", "),
            count - 1
        )
    };
    let members = |text: &str| text.matches("Offset").count();
    let target = SpirvTarget::vulkan();
    assert_eq!(members(&text_of(&kernel(14), &target)), 17);
    assert_eq!(members(&text_of(&kernel(15), &target)), 1);
    module(&kernel(15), &SpirvTarget::opencl());
}

#[test]
fn kernels_list_what_they_use() {
    let source = "
global a: array<i32, 4> in shared
global b: array<i32, 4> in shared
kernel one(x: ptr<global>) {
entry:
    p = address.shared a
    store p, i32 1
    return
}
kernel two(x: ptr<global>) {
entry:
    p = address.shared b
    store p, i32 1
    i = local_id 0
    store x, i
    return
}
";
    let text = text_of(source, &SpirvTarget::vulkan());
    let lists: Vec<usize> =
        text.lines().filter(|l| l.contains("OpEntryPoint")).map(|l| l.split_whitespace().count()).collect();
    // Push constants and the array; push constants, the array and the position.
    assert_eq!(lists.len(), 2);
    assert_eq!(lists[1], lists[0] + 1, "{text}");
}

#[test]
fn opencl_has_variables_in_global_memory_and_vulkan_says_that_it_has_none() {
    let source = "
global seen: array<i64, 2> in global = [i64 1, i64 2]
kernel k(x: ptr<global>) {
entry:
    p = address.global seen
    v = load.i64 p
    store x, v
    return
}
";
    for target in targets() {
        match target.env.api {
            Api::OpenCl => drop(module(source, &target)),
            Api::Vulkan => {
                let list = refusals(source, &target);
                assert_eq!(list.len(), 1, "{list:?}");
                let wanted = format!("target {target} has no variables in global memory, where 'seen' is");
                assert_eq!((list[0].code, &*list[0].message), (Code::Unsupported, &*wanted));
                assert!(source[list[0].span.start as usize..].starts_with("seen:"), "{list:?}");
            }
        }
    }
}

/// What lowering finds comes at once, whatever it is.
#[test]
fn all_that_vulkan_lacks_is_said_together() {
    let source = "
global first: i32 in global
global unused: i32 in global
global second: i32 in global
kernel k(x: ptr<global>) {
entry:
    p = address.global first
    q = address.global second
    u = address.global unused
    a = rmw_add p, i32 1 seq_cst device
    fence seq_cst device
    store q, a volatile
    return
}
";
    let messages: Vec<String> =
        refusals(source, &SpirvTarget::vulkan()).into_iter().map(|problem| problem.message).collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
    for wanted in ["'rmw_add' of order seq_cst", "'fence' of order seq_cst", "'first'", "'second'"] {
        assert!(messages.iter().any(|message| message.contains(wanted)), "{wanted}: {messages:?}");
    }
}

/// What depends on where pointers point is the emitter's to say: at its place, all of it.
#[test]
fn atomics_that_vulkan_has_no_form_for_are_refused_at_their_places() {
    let source = "
global one: array<i32, 4> in shared
global two: array<i32, 4> in shared
kernel k(x: ptr<global>, c: i1, n: i64) {
entry:
    p = address.shared one
    q = address.shared two
    store p, i8 1
    a = rmw_add p, i32 1 relaxed device
    r = select c, p, q
    b = rmw_or r, i32 1 relaxed device
    s = inttoptr.ptr<shared> n
    d = atomic_load.i32 s relaxed device
    e = add a, b
    f = add e, d
    store x, f
    return
}
kernel nowhere(x: ptr<global>, n: i64) {
entry:
    s = inttoptr.ptr<local> n
    a = load.i32 s
    store x, a
    return
}
";
    let list = refusals(source, &SpirvTarget::vulkan());
    let rows = [
        ("'load' at this address", "a = load"),
        ("'rmw_add' on shared memory that is also accessed in other sizes or kinds", "a = rmw_add"),
        ("'rmw_or' through this pointer", "b = rmw_or"),
        ("'atomic_load' through this pointer", "d = atomic_load"),
    ];
    assert_eq!(list.len(), rows.len(), "{list:?}");
    for (problem, (what, place)) in list.iter().zip(rows) {
        assert_eq!(problem.message, format!("target spirv:vulkan1.3 has no {what}"));
        assert!(source[problem.span.start as usize..].starts_with(place), "{problem:?}");
        assert_eq!(problem.notes.len(), 1, "{problem:?}");
    }
}
