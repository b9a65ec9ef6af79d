//! Launches: grids, barriers, sub-groups, races.

use super::*;

fn launch(text: &str, groups: u32, block: u32, words: usize) -> (Result<Ended, FaultKind>, Vec<u32>) {
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let buffer = interp.memory_mut().alloc(&vec![0; words * 4]).expect("memory");
    let func = unit.find("k").expect("k");
    let ended = interp.launch(func, [groups, 1, 1], [block, 1, 1], &[Val::pointer(buffer)]);
    let bytes = interp.memory().read(buffer, words as u64 * 4).expect("the buffer");
    let words = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (ended.map_err(|fault| *fault.kind), words)
}

fn kernel(body: &str) -> String {
    format!("global tile: array<i32, 64> in shared\nkernel k(out: ptr<global>) {{\nentry:\n{body}\n}}\n")
}

#[test]
fn every_work_item_runs_once() {
    let text = "kernel k(out: ptr<global>) {
entry:
    g = group_id 0
    s = group_size 0
    l = local_id 0
    b = mul g, s
    i = add b, l
    p = index out, i, i32
    x = load.i32 p
    n = group_count 0
    m = mul n, i32 1000
    y = add x, i
    z = add y, m
    store p, z
    return
}
";
    let (ended, words) = launch(text, 3, 5, 15);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
    assert_eq!(words, (0..15).map(|i| 3000 + i).collect::<Vec<u32>>());
    assert_eq!(launch(text, 0, 5, 1).0, Ok(Ended::Returned(vec![])));
    assert!(matches!(launch(text, 1, u32::MAX, 1).0, Err(FaultKind::BadArguments(_))));
}

#[test]
fn three_dimensions() {
    let text = "kernel k(out: ptr<global>) {
entry:
    x = local_id 0
    y = local_id 1
    z = group_id 2
    a = mul y, i32 2
    b = add a, x
    c = mul z, i32 6
    i = add b, c
    p = index out, i, i32
    v = add i, i32 1
    store p, v
    return
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let buffer = interp.memory_mut().alloc(&[0; 48]).expect("memory");
    let func = unit.find("k").expect("k");
    let ended = interp.launch(func, [1, 1, 2], [2, 3, 1], &[Val::pointer(buffer)]);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
    let wanted: Vec<u8> = (1..13u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(interp.memory().read(buffer, 48), Ok(&wanted[..]));
}

const REVERSE: &str = "l = local_id 0
t = address.shared tile
p = index t, l, i32
store p, l
BETWEEN
m = sub i32 63, l
q = index t, m, i32
x = load.i32 q
r = index out, l, i32
store r, x
return";

#[test]
fn barriers_hand_over_shared_memory() {
    let (ended, words) = launch(&kernel(&REVERSE.replace("BETWEEN", "barrier")), 2, 64, 64);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
    assert_eq!(words, (0..64).rev().collect::<Vec<u32>>());
    let (ended, _) = launch(&kernel(&REVERSE.replace("BETWEEN", "fence acq_rel group")), 1, 64, 64);
    assert!(matches!(ended, Err(FaultKind::Uninitialised { .. })), "{ended:?}");
}

#[test]
fn races_are_found() {
    // Writes of one word by all.
    let text = kernel("l = local_id 0\nt = address.shared tile\nstore t, l\nreturn");
    let (ended, _) = launch(&text, 1, 2, 1);
    assert!(matches!(ended, Err(FaultKind::Race { item: 1, other: Some(0), .. })), "{ended:?}");
    // A read in the same epoch as another's write.
    let body = "l = local_id 0
t = address.shared tile
p = index t, l, i32
store p, l
barrier
n = xor l, i32 1
q = index t, n, i32
x = load.i32 q
store p, x
return";
    let (ended, _) = launch(&kernel(body), 1, 2, 1);
    assert!(matches!(ended, Err(FaultKind::Race { .. })), "{ended:?}");
    // A sub-group op in between orders no memory, a sub-group barrier does.
    let shuffled = body.replace("store p, x", "y = subgroup_shuffle x, i32 0\nstore p, x");
    let (ended, _) = launch(&kernel(&shuffled), 1, 2, 1);
    assert!(matches!(ended, Err(FaultKind::Race { .. })), "{ended:?}");
    let (ended, _) = launch(&kernel(&body.replace("store p, x", "subgroup_barrier\nstore p, x")), 1, 2, 1);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
    // With a barrier between reads and writes there is none.
    let (ended, _) = launch(&kernel(&body.replace("store p, x", "barrier\nstore p, x")), 1, 2, 1);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
    // Atomics do not race with each other, but with plain accesses.
    let body = "l = local_id 0
t = address.shared tile
first = eq l, i32 0
branch first, init, meet
init:
atomic_store t, i32 0 relaxed group
jump meet
meet:
barrier
old = rmw_add t, i32 1 relaxed group
old2 = rmw_add t, i32 1 relaxed group
MORE
barrier
x = load.i32 t
p = index out, l, i32
store p, x
return";
    let (ended, words) = launch(&kernel(&body.replace("MORE", "")), 1, 4, 4);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
    assert_eq!(words, [8; 4]);
    let (ended, _) = launch(&kernel(&body.replace("MORE", "y = load.i32 t")), 1, 4, 4);
    assert!(matches!(ended, Err(FaultKind::Race { .. })), "{ended:?}");
    let (ended, _) = launch(&kernel(&body.replace("MORE", "y = load.i32 t")), 1, 1, 4);
    assert_eq!(ended, Ok(Ended::Returned(vec![])), "alone, nobody races");
    // Atomic and plain reads are no race; a plain write before an atomic one is.
    let body = "l = local_id 0
t = address.shared tile
p = index t, l, i32
store p, i32 5
barrier
FIRST
old = ATOMIC
return";
    let with = |first: &str, atomic: &str| {
        let body = body.replace("FIRST", first).replace("ATOMIC", atomic);
        launch(&kernel(&body), 1, 4, 1).0
    };
    let load = "atomic_load.i32 t relaxed group";
    assert_eq!(with("x = load.i32 t", load), Ok(Ended::Returned(vec![])));
    assert_eq!(with("", load), Ok(Ended::Returned(vec![])));
    let add = "rmw_add t, i32 1 relaxed group";
    assert_eq!(with("y = atomic_load.i32 t relaxed group", add), Ok(Ended::Returned(vec![])));
    let race = with("x = load.i32 t", add);
    assert!(matches!(race, Err(FaultKind::Race { item: 1, other: Some(0), .. })), "{race:?}");
    for atomic in [add, load] {
        let race = with("z = eq l, i32 0\nbranch z, yes, no\nyes:\nstore t, i32 1\njump no\nno:", atomic);
        assert!(matches!(race, Err(FaultKind::Race { item: 1, other: Some(0), .. })), "{race:?}");
    }
    // What an acquiring and releasing atomic orders is no race.
    let body = "l = local_id 0
t = address.shared tile
first = eq l, i32 0
q = ptr_add t, i64 4
branch first, give, take
give:
store q, i32 7
atomic_store t, i32 1 release group
return
take:
x = atomic_load.i32 t acquire group
y = load.i32 q
store out, y
return";
    let (ended, words) = launch(&kernel(body), 1, 2, 1);
    assert_eq!((ended, words), (Ok(Ended::Returned(vec![])), vec![7]));
}

#[test]
fn divergent_barriers_are_faults_and_returned_items_do_not_count() {
    let body = "l = local_id 0
first = lt.u l, i32 2
branch first, one, two
one:
barrier
return
two:
SECOND
return";
    let (ended, _) = launch(&kernel(&body.replace("SECOND", "barrier")), 1, 4, 1);
    assert_eq!(ended, Err(FaultKind::BarrierDivergence));
    let (ended, _) = launch(&kernel(&body.replace("SECOND\n", "")), 1, 4, 1);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
}

#[test]
fn the_first_thrower_decides() {
    let body = "l = local_id 0
g = group_id 0
p = index out, l, i32
store p, i32 1
x = sub l, i32 5
c = eq g, i32 1
branch c, late, done
late:
q = div.s i32 1, x
bad = eq l, i32 6
branch bad, six, done
six:
throw Six
done:
return";
    let (ended, words) = launch(&kernel(body), 3, 8, 8);
    let Ok(Ended::Threw(thrown)) = ended else { panic!("{ended:?}") };
    assert_eq!(&*thrown.kind, "DivideError");
    assert_eq!(words, [1; 8]);
}

#[test]
fn subgroups_exchange_values() {
    let store = "r = index out, l, i32\nstore r, x\nreturn";
    let of = |body: &str, block| {
        let (ended, words) = launch(&kernel(&format!("l = local_id 0\n{body}\n{store}")), 1, block, 64);
        assert_eq!(ended, Ok(Ended::Returned(vec![])), "{body}");
        words
    };
    let words = of("x = subgroup_shuffle_xor l, i32 1", 64);
    assert_eq!(words, (0..64).map(|l| l ^ 1).collect::<Vec<u32>>());
    let words = of("x = subgroup_shuffle_up l, i32 1", 64);
    assert_eq!(words, (0..64).map(|l| if l % 32 == 0 { l } else { l - 1 }).collect::<Vec<u32>>());
    let words = of("x = subgroup_shuffle_down l, i32 2", 40);
    let down = |l: u32| if l < 30 || (32..38).contains(&l) { l + 2 } else { l };
    assert_eq!(words[..40], (0..40).map(down).collect::<Vec<u32>>());
    let words = of("x = subgroup_shuffle l, i32 3", 64);
    assert_eq!((words[0], words[63]), (3, 35));
    let words = of("x = subgroup_reduce_add l", 64);
    assert_eq!((words[31], words[32]), (31 * 32 / 2, 31 * 32 / 2 + 32 * 32));
    let words = of("m = sub l, i32 3\nx = subgroup_reduce_min.s m", 64);
    assert_eq!(words[5] as i32, -3);
    let words = of("e = and l, i32 1\nc = eq e, i32 1\nb = subgroup_ballot c\nx = trunc.i32 b", 64);
    assert_eq!(words[0], 0xaaaa_aaaa);
    let words = of("c = eq l, i32 40\nb = subgroup_any c\nx = zext.i32 b", 64);
    assert_eq!((words[0], words[63]), (0, 1));
    let words = of("c = ne l, i32 40\nb = subgroup_all c\nx = zext.i32 b", 64);
    assert_eq!((words[0], words[63]), (1, 0));
    let words = of("a = subgroup_lane\nb = subgroup_size\nc = mul a, i32 100\nx = add c, b", 64);
    assert_eq!(words[33], 132);
}

#[test]
fn subgroup_ops_in_divergent_code_see_the_lanes_there() {
    let body = "l = local_id 0
low = lt.u l, i32 4
branch low, few, many
few:
a = subgroup_reduce_add i32 1
jump done(a)
many:
b = subgroup_reduce_add i32 1
jump done(b)
done(x: i32):
y = subgroup_reduce_add i32 1
z = mul y, i32 1000
w = add x, z
r = index out, l, i32
store r, w
return";
    let (ended, words) = launch(&kernel(body), 1, 32, 32);
    assert_eq!(ended, Ok(Ended::Returned(vec![])));
    assert_eq!((words[0], words[31]), (32_004, 32_028));
}

#[test]
fn work_item_ops_belong_in_kernels() {
    for op in ["x = local_id 0", "barrier", "subgroup_barrier", "b = subgroup_any i1 true"] {
        let text = format!("method f() {{\nentry:\n{op}\nreturn\n}}\n");
        assert_eq!(fault(&text, &[]), FaultKind::NotInKernel, "{op}");
    }
    let function = unit("method f() {\nentry:\nreturn\n}\n");
    let mut interp = Interp::new(&function, Config::default());
    let ended = interp.launch(function.find("f").expect("f"), [1; 3], [1; 3], &[]);
    assert!(matches!(ended.map_err(|fault| *fault.kind), Err(FaultKind::BadArguments(_))));
}

#[test]
fn fuel_is_for_the_whole_launch() {
    let unit = unit("kernel k() {\nentry:\nreturn\n}\n");
    let mut interp = Interp::new(&unit, Config { fuel: 100, ..Config::default() });
    let func = unit.find("k").expect("k");
    assert!(interp.launch(func, [10, 1, 1], [10, 1, 1], &[]).is_ok());
    let ended = interp.launch(func, [u32::MAX; 3], [10, 1, 1], &[]).map_err(|fault| *fault.kind);
    assert_eq!(ended, Err(FaultKind::OutOfFuel));
}
