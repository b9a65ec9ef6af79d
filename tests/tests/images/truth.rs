//! What one process compiled means the same in another one.

use super::{Host, double, folder, long, threw, written_elsewhere};
use marquetry::device::DeviceKind;
use marquetry::engine::{EngineError, Extent, Launcher, Outcome};
use marquetry::value::HostArg;
use marquetry_ir::types::Scalar;
use std::path::Path;

const TEXT: &str = include_str!("program.mq");

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
