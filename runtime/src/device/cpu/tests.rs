//! Kernels on the CPU device.

use super::*;
use crate::compile::{Compiled, Target, compile};
use crate::device::{KernelParam, open};
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};

fn compiled(source: &str) -> Compiled {
    let mut program = Program::new();
    assert_eq!(text::parse(&mut program, "test.mq", source), []);
    let entries =
        program.methods().filter(|(_, method)| &*method.name == "k").map(|(method, _)| method).collect();
    let job = Job::new(entries, View::device(&[]), OptLevel::Default);
    compile(&program, &job, &Target::parse("native", OptLevel::Default).unwrap()).unwrap()
}

/// Launches kernel `k` on one buffer of `u32`.
fn launch(source: &str, grid: [u32; 3], block: [u32; 3], buffer: &mut [u32]) -> Result<(), DeviceError> {
    let device = open(DeviceKind::Cpu).unwrap();
    let compiled = compiled(source);
    let module = device.load(&compiled.image(&[KernelParam::POINTER], block).unwrap())?;
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_le_bytes()).collect();
    let memory = device.alloc(bytes.len() as u64)?;
    device.write(&memory, 0, &bytes)?;
    device.launch(&module, grid, block, &[Arg::Buffer(&memory, 0)])?;
    let mut out = vec![0; bytes.len()];
    device.read(&memory, 0, &mut out)?;
    for (word, bytes) in buffer.iter_mut().zip(out.chunks_exact(4)) {
        *word = u32::from_le_bytes(bytes.try_into().unwrap());
    }
    Ok(())
}

const SUM: &str = "
global tile: array<i32, 256> in shared
kernel k(p: ptr<global>) {
entry:
    i = local_id 0
    g = group_id 0
    n = group_size 0
    base = mul g, n
    at = add base, i
    q = index p, at, i32
    x = load.i32 q
    t = address.shared tile
    mine = index t, i, i32
    store mine, x
    half = shr.u n, i32 1
    jump loop(half)
loop(k: i32):
    barrier
    more = ne k, i32 0
    branch more, step, done
step:
    active = lt.s i, k
    branch active, work, next
work:
    j = add i, k
    other = index t, j, i32
    a = load.i32 mine
    b = load.i32 other
    c = add a, b
    store mine, c
    jump next
next:
    less = shr.u k, i32 1
    jump loop(less)
done:
    total = load.i32 t
    store q, total
    return
}";

#[test]
fn work_items_wait_for_each_other() {
    let mut data: Vec<u32> = (0..256 * 50).collect();
    launch(SUM, [50, 1, 1], [256, 1, 1], &mut data).unwrap();
    for (group, chunk) in data.chunks(256).enumerate() {
        let wanted: u32 = (0..256).map(|n| group as u32 * 256 + n).sum();
        assert!(chunk.iter().all(|&word| word == wanted), "group {group}");
    }
}

#[test]
fn every_work_item_of_a_grid_runs_once() {
    let source = "
kernel k(p: ptr<global>) {
entry:
    x = local_id 0
    y = local_id 1
    z = local_id 2
    gx = group_id 0
    gy = group_id 1
    gz = group_id 2
    a = mul gz, i32 3
    b = add a, gy
    c = mul b, i32 5
    group = add c, gx
    d = mul z, i32 3
    e = add d, y
    f = mul e, i32 4
    item = add f, x
    g = mul group, i32 24
    at = add g, item
    q = index p, at, i32
    old = rmw_add q, i32 1 relaxed device
    return
}";
    let mut data = vec![7; 5 * 3 * 7 * 24];
    launch(source, [5, 3, 7], [4, 3, 2], &mut data).unwrap();
    assert!(data.iter().all(|&word| word == 8));
    // No groups: nothing happens.
    launch(source, [5, 0, 7], [4, 3, 2], &mut data).unwrap();
    assert!(data.iter().all(|&word| word == 8));
}

#[test]
fn barrier_divergence_is_an_error() {
    let source = "
kernel k(p: ptr<global>) {
entry:
    i = local_id 0
    low = lt.s i, i32 2
    branch low, one, other
one:
    barrier
    return
other:
    barrier
    return
}";
    let error = launch(source, [3, 1, 1], [4, 1, 1], &mut [0]).unwrap_err();
    assert!(
        error.to_string().contains("work-items 0 and 2 of a group wait at different barriers"),
        "{error}"
    );
}

#[test]
fn returned_work_items_do_not_count() {
    let source = "
kernel k(p: ptr<global>) {
entry:
    i = local_id 0
    low = lt.s i, i32 40
    branch low, stay, leave
stay:
    barrier
    n = subgroup_reduce_add i32 1
    l = subgroup_lane
    up = subgroup_shuffle_down i, i32 1
    b = subgroup_ballot low
    c = trunc.i32 b
    d = popcnt c
    s = mul n, i32 10000
    u = add s, up
    e = mul d, i32 1000000
    v = add u, e
    q = index p, i, i32
    store q, v
    return
leave:
    return
}";
    let mut data = vec![0; 64];
    launch(source, [1, 1, 1], [64, 1, 1], &mut data).unwrap();
    for (n, &word) in data.iter().enumerate() {
        let n = n as u32;
        let wanted = match n {
            0..31 => 32_320_000 + n + 1,
            31 => 32_320_000 + 31, // the lane behind it is of another sub-group
            32..39 => 8_080_000 + n + 1,
            39 => 8_080_000 + 39, // the lane behind it has returned
            _ => 0,
        };
        assert_eq!(word, wanted, "work-item {n}");
    }
}

#[test]
fn lanes_in_a_branch_meet_among_themselves() {
    let source = "
kernel k(p: ptr<global>) {
entry:
    i = local_id 0
    odd = trunc.i1 i
    branch odd, yes, no
yes:
    a = subgroup_reduce_add i
    jump done(a)
no:
    jump done(i32 0)
done(x: i32):
    b = subgroup_reduce_add i32 1
    c = mul b, i32 1000
    d = add c, x
    q = index p, i, i32
    store q, d
    return
}";
    let mut data = vec![0; 32];
    launch(source, [1, 1, 1], [32, 1, 1], &mut data).unwrap();
    let wanted: Vec<u32> = (0..32).map(|n| 32_000 + if n % 2 == 1 { 256 } else { 0 }).collect();
    assert_eq!(data, wanted);
}

#[test]
fn foreign_things_and_wrong_launches_are_refused() {
    let (one, two) = (open(DeviceKind::Cpu).unwrap(), open(DeviceKind::Cpu).unwrap());
    let compiled = compiled(SUM);
    let image = compiled.image(&[KernelParam::POINTER], [1; 3]).unwrap();
    let module = one.load(&image).unwrap();
    let (mine, other) = (one.alloc(4096).unwrap(), two.alloc(4096).unwrap());
    let launch =
        |device: &dyn Device, buffer, block| device.launch(&module, [1; 3], block, &[Arg::Buffer(buffer, 0)]);
    assert_eq!(launch(&*one, &other, [1; 3]), Err(DeviceError::ForeignBuffer));
    assert_eq!(launch(&*two, &other, [1; 3]), Err(DeviceError::ForeignModule));
    assert!(matches!(launch(&*one, &mine, [2048, 1, 1]), Err(DeviceError::Launch { .. })));
    assert!(one.read(&mine, 4090, &mut [0; 8]).is_err());
    let refused = |image: KernelImage<'_>| matches!(one.load(&image), Err(DeviceError::Compile { .. }));
    assert!(refused(KernelImage { entry: "missing", ..image }));
    assert!(refused(KernelImage { code: KernelCode::Bytes(b"ptx"), ..image }));
    assert!(refused(KernelImage { params: &[], ..image }));
}

#[test]
fn kernels_with_large_frames_do_not_run_on_their_launcher_s_stack() {
    // Three frames of 880 kB are more than the stack of a thread that runs tests.
    let frame = |name: &str, inner: &str| {
        format!(
            "method {name}(i: i64) -> i32 noinline {{
             entry:
                 s = slot.array<i32, 220000>
                 p = index s, i, i32
                 r = {inner}
                 store p, r
                 q = index s, i, i32
                 x = load.i32 q volatile
                 return x
             }}
             "
        )
    };
    let source = [
        frame("a", "call b(i)"),
        frame("b", "call c(i)"),
        frame("c", "trunc.i32 i"),
        "kernel k(p: ptr<global>) {
         entry:
             n = load.i32 p
             i = sext.i64 n
             r = call a(i)
             store p, r
             return
         }"
        .to_owned(),
    ]
    .concat();
    let mut buffer = [7];
    launch(&source, [1; 3], [1; 3], &mut buffer).unwrap();
    assert_eq!(buffer, [7]);
}
