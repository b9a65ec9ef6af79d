//! What one process compiled means the same in another one.

use super::{Host, double, folder, long, threw, written_elsewhere};
use marquetry::device::DeviceKind;
use marquetry::engine::{EngineError, Extent, Launcher, Outcome};
use marquetry::value::HostArg;
use marquetry_ir::types::Scalar;
use std::path::Path;

const TEXT: &str = r#"
struct pair { a: i32, b: f32 }
struct closure { code: ptr<generic>, captured: i64 }
global letters: array<i8, 6> in constant = bytes "hello\n"
global count: i64 in global = i64 5
global squares: array<i64, 4> in constant = [i64 0, i64 1, i64 4, i64 9]
global tile: array<i32, 64> in shared
extern func add_there(i64) -> i64 as "host_add"
extern func scale_there(f64) -> f64 as "host_scale"

method integers(a: i64, b: i64) -> i64 {
entry:
    c = mul a, b
    d = xor c, i64 255
    return d
}

method floats(x: f64, y: f64) -> f64 {
entry:
    z = fma x, y, f64 0.5
    w = floor z
    r = sqrt w
    return r
}

method lanes(v: vec<f32, 4>) -> vec<f32, 4> {
entry:
    w = add v, v
    return w
}

method by_value(p: pair) -> f32 {
entry:
    a = get p, 0
    b = get p, 1
    x = stof.f32 a
    y = add x, b
    return y
}

method plus(captured: i64, x: i64) -> i64 noinline {
entry:
    r = add captured, x
    return r
}

method times(captured: i64, x: i64) -> i64 noinline {
entry:
    r = mul captured, x
    return r
}

method closed(which: i1, captured: i64) -> closure noinline {
entry:
    a = function_address plus(i64, i64)
    b = function_address times(i64, i64)
    code = select which, a, b
    c = make.closure code, captured
    return c
}

method apply(c: closure, x: i64) -> i64 noinline {
entry:
    code = get c, 0
    captured = get c, 1
    r = call_indirect code(captured, x) -> i64
    return r
}

method closures(which: i64, captured: i64, x: i64) -> i64 {
entry:
    first = eq which, i64 0
    c = call closed(first, captured)
    r = call apply(c, x)
    return r
}

method letter(n: i64) -> i64 {
entry:
    at = bounds_check n, i64 6
    base = address.constant letters
    p = index base, at, i8
    c = load.i8 p
    r = zext.i64 c
    return r
}

method square(n: i64) -> i64 {
entry:
    base = address.constant squares
    p = index base, n, i64
    r = load.i64 p
    return r
}

method next() -> i64 {
entry:
    p = address.global count
    old = load.i64 p
    new = add old, i64 1
    store p, new
    return new
}

method mutate(p: ptr<global>, n: i64) -> i64 {
entry:
    jump loop(i64 0)
loop(i: i64):
    more = lt.s i, n
    branch more, body, done
body:
    q = index p, i, i64
    x = load.i64 q
    y = mul x, i64 3
    store q, y
    j = add i, i64 1
    jump loop(j)
done:
    return n
}

method copied(to: ptr<global>, from: ptr<global>, bytes: i64) -> i64 {
entry:
    memset to, i8 7, bytes
    half = shr.u bytes, i64 1
    memcpy to, from, half
    return half
}

method calls_host(x: i64) -> i64 {
entry:
    y = call add_there(x)
    z = call add_there(y)
    return z
}

method scaled(x: f64) -> f64 {
entry:
    y = call scale_there(x)
    return y
}

method fib(n: i64) -> i64 {
entry:
    small = lt.s n, i64 2
    branch small, done, more
done:
    return n
more:
    a = sub n, i64 1
    b = sub n, i64 2
    x = call fib(a)
    y = call fib(b)
    r = add x, y
    return r
}

method forever(n: i64) -> i64 {
entry:
    m = add n, i64 1
    x = call forever(m)
    r = add x, n
    return r
}

method divided(a: i64, b: i64) -> i64 {
entry:
    q = div.s a, b
    return q
}

method refused(x: i64) -> i64 noinline {
entry:
    bad = gt.s x, i64 10
    branch bad, no, fine
no:
    throw LimitError, "%d is too much", x
fine:
    return x
}

method refused_within(x: i64) -> i64 {
entry:
    y = call refused(x)
    return y
}

method summed<T>(a: T, b: T) -> T {
entry:
    s = add a, b
    return s
}

kernel reversed(data: ptr<global>) {
entry:
    i = local_id 0
    n = group_size 0
    cells = address.shared tile
    p = index data, i, i32
    x = load.i32 p
    q = index cells, i, i32
    store q, x
    barrier
    last = sub n, i32 1
    j = sub last, i
    r = index cells, j, i32
    y = load.i32 r
    store p, y
    return
}

kernel checked(data: ptr<global>) {
entry:
    i = call global_id(i32 0)
    p = index data, i, i32
    x = load.i32 p
    y = div.s i32 100, x
    store p, y
    print "item %d", y
    return
}
"#;

const FUNCTIONS: [&str; 18] = [
    "integers",
    "floats",
    "lanes",
    "by_value",
    "closures",
    "letter",
    "square",
    "next",
    "mutate",
    "copied",
    "calls_host",
    "scaled",
    "fib",
    "forever",
    "divided",
    "refused_within",
    "summed(i64, i64)",
    "summed(f64, f64)",
];

pub(super) fn write(path: &Path) {
    let host = Host::new(TEXT);
    let mut jobs: Vec<_> = FUNCTIONS.iter().map(|name| host.job(name)).collect();
    jobs.extend(["reversed", "checked"].map(|name| host.kernel(name)));
    host.session.write_image(path, &jobs).unwrap();
    assert_eq!(host.counts(), (0, 0));
}

fn words(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks(8).map(|word| i64::from_le_bytes(word.try_into().unwrap())).collect()
}

fn buffer(values: &[i64]) -> HostArg {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    HostArg::Buffer { element: Scalar::I64, bytes }
}

fn ints(values: &[i32]) -> HostArg {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    HostArg::Buffer { element: Scalar::I32, bytes }
}

#[test]
fn another_process_runs_what_one_compiled() {
    let folder = folder();
    let path = written_elsewhere("truth", folder.path());
    let host = Host::new(TEXT);
    let image = host.load(&path);
    assert_eq!(image.entries().len(), FUNCTIONS.len() + 2);
    assert!(image.entries().all(|entry| entry.validated));

    assert_eq!(host.int("integers", &[6, 7]), 42 ^ 255);
    assert_eq!(host.call("floats", &mut [double(3.0), double(5.3)]), returned(double(4.0)));
    let lanes = marquetry::value::HostValue::vector(
        marquetry_ir::types::Type::vector(Scalar::F32, 4).unwrap(),
        &[1.0f32, 2.0, 3.0, -4.5].map(|x| x.to_bits().into()),
    );
    let Outcome::Returned(found) = host.call("lanes", &mut [HostArg::Value(lanes.unwrap())]) else {
        panic!()
    };
    assert_eq!(found[0].to_string(), "vec<f32, 4> [2.0, 4.0, 6.0, -9.0]");
    let pair = [2i32.to_le_bytes(), 0.5f32.to_le_bytes()].concat();
    let Outcome::Returned(found) = host.call("by_value", &mut [HostArg::Aggregate(pair)]) else { panic!() };
    assert_eq!(found[0].to_string(), "f32 2.5");
    // Values that are functions, with what they captured.
    assert_eq!(host.int("closures", &[0, 40, 2]), 42);
    assert_eq!(host.int("closures", &[1, 6, 7]), 42);
    let word: Vec<u8> = (0..6).map(|n| host.int("letter", &[n]) as u8).collect();
    assert_eq!(word, b"hello\n");
    assert_eq!(host.int("square", &[3]), 9);
    // Memory that lives as long as the image.
    assert_eq!([host.int("next", &[]), host.int("next", &[])], [6, 7]);
    let mut args = [buffer(&[1, -2, 3]), long(3)];
    host.call("mutate", &mut args);
    assert_eq!(args[0], buffer(&[3, -6, 9]));
    let mut args = [buffer(&[0, 0]), buffer(&[11, 12]), long(16)];
    host.call("copied", &mut args);
    let HostArg::Buffer { bytes, .. } = &args[0] else { panic!() };
    assert_eq!(words(bytes), [11, 0x0707_0707_0707_0707]);
    assert_eq!(host.int("calls_host", &[1]), 2001);
    assert_eq!(host.call("scaled", &mut [double(4.0)]), returned(double(10.0)));
    assert_eq!(host.int("fib", &[20]), 6765);
    assert_eq!(host.int("summed(i64, i64)", &[3, 4]), 7);
    assert_eq!(host.call("summed(f64, f64)", &mut [double(1.5), double(2.0)]), returned(double(3.5)));
    assert_eq!(host.counts(), (0, 15), "{:?}", host.session.statistics());
}

fn returned(value: HostArg) -> Outcome {
    match value {
        HostArg::Value(value) => Outcome::Returned(vec![value]),
        _ => panic!("no value"),
    }
}

#[test]
fn exceptions_arrive_with_kind_and_place() {
    let folder = folder();
    let path = written_elsewhere("truth", folder.path());
    let host = Host::new(TEXT);
    host.load(&path);
    let here = |needle: &str| {
        let line = TEXT[..TEXT.find(needle).unwrap()].matches('\n').count() + 1;
        (line, "program.mq".to_owned())
    };
    let thrown = threw(host.call("divided", &mut [long(1), long(0)]));
    assert_eq!((thrown.kind.as_str(), thrown.function.as_str()), ("DivideError", "divided"));
    let place = thrown.place.unwrap();
    assert_eq!((place.line, place.file.to_string()), here("q = div.s a, b"));
    let thrown = threw(host.call("letter", &mut [long(6)]));
    assert_eq!(thrown.kind, "BoundsError");
    let thrown = threw(host.call("refused_within", &mut [long(11)]));
    assert_eq!((thrown.kind.as_str(), thrown.reason.as_deref()), ("LimitError", Some("11 is too much")));
    assert_eq!(thrown.place.unwrap().line, here("throw LimitError").0);
    // The stack ends with an error here, too.
    let code = host.session.compile(&host.job("forever")).unwrap();
    match code.call(&mut [long(0)]) {
        Err(EngineError::StackOverflow(place)) => {
            assert_eq!(
                (place.function.as_str(), place.place.map(|place| place.file)),
                ("forever", Some("program.mq".into()))
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(host.counts(), (0, 4));
}

#[test]
fn kernels_run_on_the_cores() {
    let folder = folder();
    let path = written_elsewhere("truth", folder.path());
    let host = Host::new(TEXT);
    host.load(&path);
    let launcher = Launcher::open(DeviceKind::Cpu).unwrap();
    let extent = |grid, block| Extent { grid: [grid, 1, 1], block: [block, 1, 1] };
    let code = host.session.compile(&host.kernel("reversed")).unwrap();
    let values: Vec<i32> = (0..64).collect();
    let mut args = [ints(&values)];
    launcher.launch(&code, extent(1, 64), &mut args).unwrap();
    let wanted: Vec<i32> = values.iter().rev().copied().collect();
    assert_eq!(args[0], ints(&wanted));

    let code = host.session.compile(&host.kernel("checked")).unwrap();
    let mut args = [ints(&[1, 2, 4, 5])];
    let launched = launcher.launch(&code, extent(2, 2), &mut args).unwrap();
    assert_eq!(args[0], ints(&[100, 50, 25, 20]));
    let mut output = launched.output;
    output.sort();
    assert_eq!(output, ["item 100", "item 20", "item 25", "item 50"]);
    let launched = launcher.launch(&code, extent(1, 2), &mut [ints(&[1, 0])]).unwrap();
    let thrown = threw(launched.outcome);
    assert_eq!((thrown.kind.as_str(), thrown.function.as_str()), ("DivideError", "checked"));
    assert_eq!(host.counts(), (0, 2));
}
