//! What memory allows and what it catches.

use super::*;
use crate::program::{Reference, Words};
use crate::types::Space;

/// A function of a buffer of 16 bytes and an index.
fn with_buffer(body: &str) -> Result<Ended, Fault> {
    let text = format!("method f(p: ptr<global>, k: i64) -> i32 {{\nentry:\n{body}\n}}\n");
    let unit = unit(&text);
    let mut interp = Interp::new(&unit, Config::default());
    let bytes: Vec<u8> = (0..16).collect();
    let buffer = interp.memory_mut().alloc(&bytes).expect("memory");
    interp.call(unit.find("f").expect("f"), &[Val::pointer(buffer), Val::i64(3)])
}

fn kind(body: &str) -> FaultKind {
    match with_buffer(body) {
        Err(fault) => {
            assert!(fault.location.is_some());
            *fault.kind
        }
        other => panic!("{other:?}\n{body}"),
    }
}

fn value(body: &str) -> i32 {
    match with_buffer(body) {
        Ok(Ended::Returned(values)) => values[0].bits().expect("a scalar") as i32,
        other => panic!("{other:?}\n{body}"),
    }
}

#[test]
fn addresses_are_numbers() {
    assert_eq!(value("q = index p, k, i32\nx = load.i32 q\nreturn x"), 0x0f0e_0d0c);
    assert_eq!(value("q = index p, i8 -1, i32\nr = ptr_add q, i64 8\nx = load.i32 r\nreturn x"), 0x0706_0504);
    assert_eq!(
        value("a = ptrtoint.i64 p\nb = add a, i64 8\nq = inttoptr.ptr<global> b\nx = load.i32 q\nreturn x"),
        0x0b0a_0908
    );
    assert_eq!(
        value(
            "q = ptr_add p, k\na = ptrtoint.i64 p\nb = ptrtoint.i64 q\nd = sub b, a\nx = trunc.i32 d\nreturn x"
        ),
        3
    );
    assert_eq!(value("q = ptr_add p, i64 1\nx = load.i32 q align 1\nreturn x"), 0x0403_0201);
    assert_eq!(value("q = spacecast.ptr<generic> p\nx = load.i32 q\nreturn x"), 0x0302_0100);
    assert_eq!(value("z = eq p, ptr<global> null\nx = zext.i32 z\nreturn x"), 0);
}

#[test]
fn bad_accesses_are_faults() {
    let out = kind("q = index p, i32 4, i32\nx = load.i32 q\nreturn x");
    assert!(matches!(out, FaultKind::OutOfBounds { size: 4, length: 16, .. }), "{out:?}");
    assert!(out.to_string().contains("offset 16"), "{out}");
    let out = kind("q = ptr_add p, i64 -4\nx = load.i32 q\nreturn x");
    assert!(out.to_string().contains("offset -4"), "{out}");
    let out = kind("q = ptr_add p, i64 14\nx = load.i32 q align 2\nreturn x");
    assert!(matches!(out, FaultKind::OutOfBounds { .. }));
    let out = kind("q = ptr_add p, k\nx = load.i32 q\nreturn x");
    assert!(matches!(out, FaultKind::Misaligned { align: 4, .. }), "{out:?}");
    let out = kind("x = load.i32 ptr<global> null\nreturn x");
    assert!(matches!(out, FaultKind::InvalidAddress { address: 0, size: 4 }), "{out:?}");
    let out = kind("x = load.i32 ptr<global> 0x7123456789\nreturn x");
    assert!(matches!(out, FaultKind::InvalidAddress { .. }), "{out:?}");
    let out = kind("g = spacecast.ptr<generic> p\nq = spacecast.ptr<shared> g\nx = load.i32 q\nreturn x");
    assert!(
        matches!(out, FaultKind::WrongSpace { expected: Space::Shared, found: Space::Global, .. }),
        "{out:?}"
    );
    let out = kind("q = ptr_add p, i64 8\nb = load.i1 q\nx = zext.i32 b\nreturn x");
    assert!(matches!(out, FaultKind::NotTruth { .. }), "{out:?}");
    let out = kind("q = ptr_add p, k\nmemcpy q, p, i64 8\nreturn i32 0");
    assert!(matches!(out, FaultKind::Overlap { size: 8, .. }), "{out:?}");
    assert_eq!(value("memcpy p, p, i64 16\nreturn i32 0"), 0);
    assert_eq!(value("q = ptr_add p, i64 8\nmemcpy q, p, i64 8\nx = load.i32 q\nreturn x"), 0x0302_0100);
    assert_eq!(value("memset p, i8 7, i64 4\nx = load.i32 p\nreturn x"), 0x0707_0707);
    assert_eq!(value("memset ptr<global> null, i8 7, i64 0\nreturn i32 1"), 1);
}

#[test]
fn slots_start_uninitialised_and_end_with_the_function() {
    let out = kind("s = slot.i32\nx = load.i32 s\nreturn x");
    assert!(matches!(out, FaultKind::Uninitialised { .. }), "{out:?}");
    let out =
        kind("s = slot.i64\nq = ptr_add s, i64 4\nstore q, i32 1\nx = load.i64 s\ny = trunc.i32 x\nreturn y");
    assert!(matches!(out, FaultKind::Uninitialised { .. }), "{out:?}");
    assert_eq!(value("s = slot.i32\nstore s, i32 5\nx = load.i32 s\nreturn x"), 5);
    // Copies carry what is uninitialised along.
    let copied = "s = slot.array<i32, 2>\nt = slot.array<i32, 2>\nstore s, i32 5\nmemcpy t, s, i64 8\n";
    assert_eq!(value(&format!("{copied}x = load.i32 t\nreturn x")), 5);
    let out = kind(&format!("{copied}q = ptr_add t, i64 4\nx = load.i32 q\nreturn x"));
    assert!(matches!(out, FaultKind::Uninitialised { .. }), "{out:?}");
    let text = "method g() -> ptr<local> {
entry:
    s = slot.i32
    store s, i32 1
    return s
}
method f() -> i32 {
entry:
    s = call g()
    x = load.i32 s
    return x
}
";
    assert!(matches!(fault(text, &[]), FaultKind::UseAfterFree { .. }));
    // One slot per instruction, not per iteration.
    let text = "method f() -> i32 {
entry:
    jump loop(i32 0)
loop(i: i32):
    s = slot.i32
    first = eq i, i32 0
    branch first, init, add
init:
    store s, i32 0
    jump add
add:
    x = load.i32 s
    y = add x, i
    store s, y
    j = add i, i32 1
    more = lt.s j, i32 10
    branch more, loop(j), done
done:
    z = load.i32 s
    return z
}
";
    assert_eq!(returns(text, &[]), [Val::i32(45)]);
}

#[test]
fn slots_are_reused_without_end() {
    let text = "method g(x: i32) -> i32 {
entry:
    s = slot.array<i32, 64>
    store s, x
    y = load.i32 s
    return y
}
method f() -> i32 {
entry:
    jump loop(i32 0)
loop(i: i32):
    x = call g(i)
    j = add x, i32 1
    more = lt.s j, i32 20000
    branch more, loop(j), done
done:
    return j
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config { memory: 1000, ..Config::default() });
    let found = interp.call(unit.find("f").expect("f"), &[]);
    assert_eq!(found, Ok(Ended::Returned(vec![Val::i32(20_000)])));
}

#[test]
fn globals_hold_what_they_say() {
    let text = "struct pair { a: i8, b: i32 }
global table: array<i32, 4> in constant = [i32 1, i32 2, i32 3, i32 4]
global counter: i64 in global
global tile: i32 in shared
method count() -> i64 {
entry:
    c = address.global counter
    x = load.i64 c
    y = add x, i64 1
    store c, y
    return y
}
method f(k: i32, w: i1) -> i32 {
entry:
    t = address.constant table
    q = index t, k, i32
    branch w, write, read
write:
    store q, i32 1
    jump read
read:
    x = load.i32 q
    return x
}
method padded() -> pair {
entry:
    s = slot.pair
    p = make.pair i8 1, i32 2
    store s, p
    q = load.pair s
    b = ptr_add s, i64 1
    c = load.i8 b
    return q
}
method shared() -> i32 {
entry:
    t = address.shared tile
    x = load.i32 t
    return x
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let mut call = |name: &str, args: &[Val]| {
        interp.call(unit.find(name).expect("a function"), args).map_err(|fault| *fault.kind)
    };
    let read = call("f", &[Val::i32(2), Val::i1(false)]);
    assert_eq!(read, Ok(Ended::Returned(vec![Val::i32(3)])));
    let written = call("f", &[Val::i32(2), Val::i1(true)]);
    assert!(matches!(written, Err(FaultKind::WriteToConstant { .. })), "{written:?}");
    for n in 1..3 {
        assert_eq!(call("count", &[]), Ok(Ended::Returned(vec![Val::i64(n)])));
    }
    assert!(matches!(call("padded", &[]), Err(FaultKind::Uninitialised { .. })), "padding holds nothing");
    assert_eq!(call("shared", &[]), Err(FaultKind::NotInKernel));
}

#[test]
fn atomics_replace_and_return_the_old_value() {
    let text = "method f(p: ptr<global>) -> (i32, i32, i32, i1, i1, f32) {
entry:
    atomic_store p, i32 5 relaxed device
    a = rmw_add p, i32 -7 acq_rel device
    b = rmw_max.u p, i32 3 relaxed device
    c, yes = cmpxchg p, i32 -2, i32 9 seq_cst system
    d, no = cmpxchg p, i32 -2, i32 10 relaxed group
    q = ptr_add p, i64 4
    atomic_store q, f32 1.5 relaxed device
    x = rmw_min q, f32 nan relaxed device
    y = rmw_add q, f32 1.0 relaxed device
    z = atomic_load.f32 q acquire device
    return a, b, d, yes, no, z
}
";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let buffer = interp.memory_mut().alloc_uninit(8, Space::Global).expect("memory");
    let found = interp.call(unit.find("f").expect("f"), &[Val::pointer(buffer)]);
    let wanted = vec![Val::i32(5), Val::i32(-2), Val::i32(9), Val::i1(true), Val::i1(false), Val::f32(2.5)];
    assert_eq!(found, Ok(Ended::Returned(wanted)));
    assert_eq!(interp.memory().read(buffer, 4), Ok(&9u32.to_le_bytes()[..]));
}

#[test]
fn hosts_read_and_write_within_buffers() {
    let mut memory = Memory::new(10_000);
    let buffer = memory.alloc(&[1, 2, 3]).expect("memory");
    assert_eq!(memory.read(buffer + 1, 2), Ok(&[2, 3][..]));
    assert!(memory.write(buffer + 1, &[7, 7]).is_ok());
    assert!(memory.write(buffer + 2, &[7, 7]).is_err());
    assert!(memory.read(buffer, u64::MAX).is_err());
    let fresh = memory.alloc_uninit(4, Space::Global).expect("memory");
    assert!(matches!(memory.read(fresh, 4), Err(FaultKind::Uninitialised { .. })));
    memory.free(buffer);
    assert!(matches!(memory.read(buffer, 1), Err(FaultKind::UseAfterFree { .. })));
    let again = memory.alloc(&[0; 3]).expect("memory");
    assert_ne!(again, buffer);
    assert!(matches!(memory.alloc(&[0; 20_000]), Err(FaultKind::OutOfMemory { .. })));
    assert!(memory.alloc_uninit(u64::MAX, Space::Global).is_err());
}

#[test]
fn slots_are_filled_before_anybody_reads_or_not_at_all() {
    let text = "global a: array<i64, 2> in constant with [0: address b, 8: value \"x\"]\n\
                global b: array<i64, 2> in constant with [0: address a at 8, 8: value \"y\"]\n\
                method f() -> i64 {\nentry:\n    p = address.constant a\n    n = load.i64 p\n    q = inttoptr.ptr<constant> n\n    \
                m = load.i64 q\n    r = inttoptr.ptr<constant> m\n    v = load.i64 r\n    s = ptr_add q, i64 8\n    \
                w = load.i64 s\n    u = sub v, w\n    return u\n}\n";
    let unit = unit(text);
    let mut interp = Interp::new(&unit, Config::default());
    let func = unit.find("f").expect("f");
    for known in [&[][..], &["x"], &["y"]] {
        let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
        interp.set_host(Arc::new(move |reference: &Reference| {
            let found = known.iter().any(|name| Some(&**name) == reference.name().map(|name| &**name));
            if found { Ok(7) } else { Err("nobody knows".to_owned()) }
        }));
        let fault = interp.call(func, &[]).expect_err("a word is missing");
        assert!(matches!(*fault.kind, FaultKind::NoWord { .. }), "{fault}");
        assert!(fault.to_string().contains("nobody knows"), "{fault}");
    }
    // Nothing is left of those.
    let words = [(Reference::value("x"), 50), (Reference::value("y"), 8)];
    interp.set_host(Arc::new(Words(words.into_iter().collect())));
    let ended = interp.call(func, &[]);
    assert_eq!(ended, Ok(Ended::Returned(vec![Val::i64(42)])));
}
