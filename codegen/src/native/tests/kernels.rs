//! Kernels, run by hand.
#![allow(unsafe_code)] // runs the code under test

use super::context::*;
use super::*;

fn group(shared: *mut u8) -> WorkGroup {
    WorkGroup {
        group_id: [3, 1, 0],
        group_size: [4, 3, 2],
        group_count: [5, 6, 7],
        subgroup_size: SUBGROUP_SIZE,
        shared,
        barrier: solo_barrier,
        subgroup: solo_subgroup,
        scheduler: std::ptr::null(),
    }
}

#[test]
fn work_items_of_a_range_see_their_positions() {
    let text = "
global tile: array<i32, 64> in shared
method place() -> i32 {
entry:
    x = local_id 0
    y = local_id 1
    z = local_id 2
    a = mul z, i32 100
    b = mul y, i32 10
    c = add a, b
    d = add c, x
    return d
}
kernel mark(p: ptr<global>) {
entry:
    v = call place()
    l = subgroup_lane
    g = group_id 0
    n = group_count 2
    t = address.shared tile
    s = index t, l, i32
    store s, v
    h = mul g, i32 1000
    m = mul n, i32 100000
    w = add v, h
    u = add w, m
    q = index p, l, i32
    store q, u
    return
}";
    for opt_level in [0, 2] {
        let code = jit(text, opt_level);
        let index = code.find("mark").unwrap();
        assert!(!code.entries()[index].waits);
        assert_eq!(code.shared_bytes(), 256);
        let (mut out, mut shared) = (vec![0u32; 24], vec![0u32; 64]);
        let args = pack(&[Type::I64], &[out.as_mut_ptr().expose_provenance() as u128]);
        let group = group(shared.as_mut_ptr().cast());
        let kernel = code.kernel(index).unwrap();
        let kernel = kernel.function();
        // SAFETY: argument block, group and both buffers are what the kernel takes.
        unsafe {
            kernel(args.as_ptr(), &group, 0, 7, std::ptr::null());
            kernel(args.as_ptr(), &group, 7, 24, std::ptr::null());
        }
        for (n, (&out, &shared)) in out.iter().zip(&shared).enumerate() {
            let place = (n / 12 * 100 + n / 4 % 3 * 10 + n % 4) as u32;
            assert_eq!((out, shared), (place + 703000, place), "work-item {n}");
        }
        // A function that asks is alone, when the host calls it.
        assert_eq!(call(&code, "place", &[]), [0]);
    }
}

#[test]
fn what_waits_is_known_through_calls() {
    let text = "
method meet() noinline {
entry:
    barrier
    return
}
method deeper() noinline {
entry:
    call meet()
    return
}
kernel waits() {
entry:
    call deeper()
    return
}
kernel free(p: ptr<global>) {
entry:
    x = local_id 0
    store p, x
    return
}";
    let code = jit(text, 2);
    let waits = |name: &str| code.entries()[code.find(name).unwrap()].waits;
    assert!(waits("waits") && waits("deeper") && !waits("free"));
}

#[test]
fn objects_state_what_running_their_kernels_takes() {
    let text = "
kernel free(p: ptr<global>) {
entry:
    x = local_id 0
    store p, x
    return
}
kernel waits(p: ptr<global>, n: i32) {
entry:
    a = slot.array<i32, 20000>
    q = index a, n, i32
    store q, n
    barrier
    x = load.i32 q
    store p, x
    return
}";
    let code = jit(text, 2);
    let target = target("native", 2);
    let artifact = emit_object(&legal(text, &target), &target).unwrap();
    let scheduling = artifact.scheduling.as_ref().unwrap();
    assert_eq!(scheduling.waits, [false, true]);
    assert!(scheduling.stack.fixed > 80_000, "{:?}", scheduling.stack);
    // A kernel in memory and one that was linked are run alike; where the code is plays no part in it here.
    for (entry, bytes) in [(0, 8), (1, 16)] {
        let made = code.kernel(entry).unwrap();
        // SAFETY: the kernel is not run.
        let linked =
            unsafe { NativeKernel::linked(&artifact, entry, made.function(), code.clone()) }.unwrap();
        for kernel in [&made, &linked] {
            assert_eq!(kernel.name(), &*artifact.entries[entry].symbol);
            assert_eq!((kernel.argument_bytes(), kernel.waits()), (bytes, entry == 1));
            assert_eq!((kernel.shared_bytes(), kernel.stack()), (0, scheduling.stack));
        }
    }
}

#[test]
fn kernels_keep_their_code() {
    let text = "
kernel seven(p: ptr<global>) {
entry:
    store p, i32 7
    return
}";
    let code = jit(text, 2);
    let kernel = code.kernel(0).unwrap();
    let (weak, kernels) = (Arc::downgrade(&code), [kernel.clone(), kernel]);
    drop(code);
    let mut out = 0u32;
    let args = pack(&[Type::I64], &[(&raw mut out).expose_provenance() as u128]);
    let group = group(std::ptr::null_mut());
    for kernel in kernels {
        // SAFETY: argument block, group and memory are what the kernel takes.
        unsafe { (kernel.function())(args.as_ptr(), &group, 0, 1, std::ptr::null()) };
        assert_eq!(std::mem::take(&mut out), 7);
    }
    assert!(weak.upgrade().is_none());
}

#[test]
fn an_address_may_lead_to_what_asks_for_its_work_item() {
    let text = "
method lane(a: i32) -> i32 {
entry:
    x = local_id 0
    y = add x, a
    return y
}
method constant(a: i32) -> i32 {
entry:
    return a
}
method through(which: i1, a: i32) -> i32 {
entry:
    p = function_address lane(i32)
    q = function_address constant(i32)
    f = select which, p, q
    r = call_indirect f(a) -> i32
    return r
}
kernel run(p: ptr<global>) {
entry:
    x = local_id 0
    odd = trunc.i1 x
    r = call through(odd, i32 50)
    q = index p, x, i32
    store q, r
    return
}";
    let code = jit(text, 2);
    let mut out = vec![0u32; 24];
    let args = pack(&[Type::I64], &[out.as_mut_ptr().expose_provenance() as u128]);
    let group = group(std::ptr::null_mut());
    let kernel = code.kernel(code.find("run").unwrap()).unwrap();
    // SAFETY: argument block, group and buffer are what the kernel takes.
    unsafe { (kernel.function())(args.as_ptr(), &group, 0, 4, std::ptr::null()) };
    assert_eq!(out[..4], [50, 51, 50, 53]);
    assert_eq!(call(&code, "through", &[1, 9]), [9]);
}

#[test]
fn sub_groups_compute_over_active_lanes() {
    let lanes = [Some((5, 1)), None, Some((u64::from(u32::MAX), 2)), Some((7, 9))];
    let apply = |op: SubgroupOp| {
        let mut results = [99; 4];
        op.apply(false, &lanes, &mut results);
        results
    };
    assert_eq!(apply(SubgroupOp::Add), [11, 99, 11, 11]);
    assert_eq!(apply(SubgroupOp::MinS), [u64::from(u32::MAX), 99, u64::from(u32::MAX), u64::from(u32::MAX)]);
    assert_eq!(apply(SubgroupOp::MinU), [5, 99, 5, 5]);
    assert_eq!(apply(SubgroupOp::Shuffle), [5, 99, u64::from(u32::MAX), 7]); // lane 1 is not active, lane 9 is not
    assert_eq!(apply(SubgroupOp::Ballot), [13, 99, 13, 13]);
    assert_eq!(apply(SubgroupOp::ShuffleUp), [5, 99, 5, 7]);
}
