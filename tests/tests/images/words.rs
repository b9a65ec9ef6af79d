//! Facts T173 and T176 of the prior art, by the image loader: what images hold of the host's words, of addresses of
//! functions in tables, and of jobs of several owners. `dlopen` has its half of T176 in `runtime/tests/shared_truth.rs`,
//! over the same program.

use super::{Host, folder, long, threw, written_elsewhere};
use marquetry::compile::Target;
use marquetry::device::DeviceKind;
use marquetry::engine::{EngineError, Extent, Launcher, Outcome};
use marquetry::image::{HostSymbol, Image, LoadedImage};
use marquetry::session::{Backend, Config, Session};
use marquetry::value::HostArg;
use marquetry_ir::program::{Reference, Words};
use marquetry_ir::types::Scalar;
use marquetry_lower::job::OptLevel;
use marquetry_lower::references::Strategy;
use std::ffi::{CStr, c_char};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// What other processes call, too.
const TRUTH: &str = include_str!("../../../runtime/tests/aot/truth.mq");

const NAMES: [&str; 17] = [
    "add(i64)",
    "add(i64, i64)",
    "exponential",
    "concat",
    "greet",
    "name",
    "is_config",
    "count",
    "count_there",
    "apply",
    "triple",
    "through_host",
    "fib",
    "is_even",
    "divide",
    "turn",
    "times",
];

pub(super) fn write(path: &Path) {
    let host = Host::new(TRUTH);
    let jobs: Vec<_> = NAMES.iter().map(|name| host.job(name)).collect();
    host.session.write_image(path, &jobs).unwrap();
    assert_eq!(host.counts(), (0, 0));
}

static COUNTER: AtomicI64 = AtomicI64::new(40);

extern "C" fn host_add(a: i64, b: i64) -> i64 {
    a + b
}

extern "C" fn strlen(text: *const c_char) -> i64 {
    // SAFETY: the program passes texts that end in a zero byte.
    #[allow(unsafe_code)]
    let text = unsafe { CStr::from_ptr(text) };
    text.count_bytes() as i64
}

/// The word of a value, anything but an address.
const CONFIG: u64 = 0x1234_5678_9abc;

fn resolve(symbol: &HostSymbol<'_>) -> Result<*const u8, String> {
    let word = match symbol.reference() {
        Reference::Value(name) if &*name == "config" => CONFIG,
        // A word may be zero.
        Reference::Value(name) if &*name == "odd name#1" => 0,
        Reference::Symbol { name, .. } => match &*name {
            "strlen" => strlen as *const () as u64,
            "host_add" => host_add as *const () as u64,
            "host_counter" => (&raw const COUNTER).expose_provenance() as u64,
            _ => return Err("the host has no such symbol".to_owned()),
        },
        other => return Err(format!("the host has no {other}")),
    };
    Ok(std::ptr::with_exposed_provenance(word as usize))
}

fn loaded(path: &Path) -> Host {
    let host = Host::new(TRUTH);
    #[allow(unsafe_code)]
    // SAFETY: the image was written by these tests, and the resolver gives functions of the declared signatures.
    unsafe { host.session.load_image(path, &resolve) }.unwrap();
    host
}

fn bytes(text: &str, room: usize) -> HostArg {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(room, 0);
    HostArg::Buffer { element: Scalar::I8, bytes }
}

fn words(values: &[i64]) -> HostArg {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    HostArg::Buffer { element: Scalar::I64, bytes }
}

#[test]
fn t176_another_process_loads_an_image() {
    let folder = folder();
    let host = loaded(&written_elsewhere("words", folder.path()));
    assert_eq!((host.int("add(i64)", &[41]), host.int("add(i64, i64)", &[40, 2])), (42, 42));
    let mut args = [super::double(1.0)];
    let Outcome::Returned(found) = host.call("exponential", &mut args) else { panic!("it threw") };
    let e = f64::from_bits(found[0].lanes()[0] as u64);
    assert!((e - std::f64::consts::E).abs() < 1e-15, "{e}");
    // Strings of the host, and of the program, which has the address of one in a table.
    let mut args = [bytes("marque\0", 8), bytes("try\0", 4), bytes("", 16)];
    host.call("concat", &mut args);
    assert_eq!(args[2], bytes("marquetry", 16));
    let mut args = [bytes("you\0", 4), bytes("", 16)];
    host.call("greet", &mut args);
    assert_eq!(args[1], bytes("hello, you", 16));
    // Words of the host: given back, compared, and compared with what stands in memory that is changed then.
    let counter = (&raw const COUNTER).addr() as i64;
    let names: Vec<i64> = (0..3).map(|n| host.int("name", &[n])).collect();
    assert_eq!(names, [CONFIG as i64, 0, counter]);
    assert_eq!(threw(host.call("name", &mut [long(3)])).kind, "BoundsError");
    let same: Vec<i64> = names.iter().map(|&word| host.int("is_config", &[word])).collect();
    assert_eq!(same, [1, 0, 0]);
    let mut args = [words(&[CONFIG as i64, 6])];
    assert_eq!(host.call("count", &mut args), Outcome::Returned(vec![value(7)]));
    assert_eq!(args[0], words(&[CONFIG as i64, 7]));
    let mut args = [words(&[5, 6])];
    let thrown = threw(host.call("count", &mut args));
    assert_eq!((thrown.kind.as_str(), thrown.reason.as_deref()), ("TagError", Some("5")));
    assert_eq!(args[0], words(&[5, 6]));
    assert_eq!((host.int("count_there", &[]), host.int("count_there", &[])), (1, 2));
    assert_eq!(COUNTER.load(Ordering::Relaxed), 42);
    // Function values with what they captured, in a table that the other process made.
    assert_eq!(host.int("triple", &[14]), 42);
    assert_eq!(host.int("through_host", &[16]), 42);
    assert_eq!(host.int("fib", &[20]), 6765);
    assert_eq!([host.int("is_even", &[100]), host.int("is_even", &[101])], [1, 0]);
    assert_eq!([host.int("turn", &[0, 8]), host.int("turn", &[1, 8])], [1, 0]);
    assert_eq!(host.int("divide", &[84, 2]), 42);
    assert_eq!(threw(host.call("divide", &mut [long(1), long(0)])).kind, "DivideError");
    assert_eq!(host.counts().0, 0, "nothing was compiled here");
}

fn value(number: i64) -> marquetry::value::HostValue {
    match long(number) {
        HostArg::Value(value) => value,
        _ => panic!("no value"),
    }
}

/// What an image needs that has no address.
fn missing_from(image: &LoadedImage) -> String {
    let missing: Vec<String> = image.missing().map(|error| error.to_string()).collect();
    missing.join("; ")
}

#[test]
fn words_that_are_missing_are_named() {
    let folder = folder();
    let image = || Image::open(&written_elsewhere("words", folder.path())).unwrap();
    let host = Host::new(TRUTH);
    for (missing, wanted) in [
        ("marq_value_config", "value \"config\": not today"),
        ("host_counter", "symbol \"host_counter\": not today"),
        ("strlen", "symbol \"strlen\": not today"),
    ] {
        let refuses = |symbol: &HostSymbol<'_>| match symbol.name == missing {
            true => Err("not today".to_owned()),
            false => resolve(symbol),
        };
        #[allow(unsafe_code)]
        // SAFETY: the image was written by these tests, and what the resolver gives has the declared signatures.
        let loaded = unsafe { host.session.add_image(image(), &refuses) }.unwrap();
        assert_eq!(missing_from(&loaded), wanted);
        assert!(!host.session.stale(&loaded).unwrap().is_empty());
    }
    let null = |_: &HostSymbol<'_>| Ok::<_, String>(std::ptr::null());
    assert!(missing_from(&image().link(&null).unwrap()).ends_with("the resolver gave a null address"));
    // The session supplies what its host does.
    let session = Session::new().hosted(Arc::new(Words([(Reference::value("config"), 1)].into())));
    let error = missing_from(&image().link(&session.symbols()).unwrap());
    assert!(error.contains("symbol \"host_add\": the session has no such symbol"), "{error}");
    assert_eq!(host.counts(), (0, 0));
}

#[test]
fn libraries_of_symbols_and_words_of_sessions_arrive() {
    let text = "global a: array<i64, 2> in constant with [0: symbol \"f\" from \"one.so\", 8: word \"flag\"]\n\
                global b: i64 in constant with [0: symbol \"f\" from \"two.so\"]\n\
                method first(n: i64) -> i64 {\nentry:\n    i = bounds_check n, i64 2\n    p = address.constant a\n    \
                q = index p, i, i64\n    v = load.i64 q\n    return v\n}\n\
                method second() -> i64 {\nentry:\n    p = address.constant b\n    v = load.i64 p\n    return v\n}\n";
    let writer = Host::new(text);
    let folder = folder();
    let path = folder.path().join("libraries.image");
    writer.session.write_image(&path, &[writer.job("first"), writer.job("second")]).unwrap();
    let found: Vec<String> =
        Image::open(&path).unwrap().symbols().map(|symbol| symbol.reference().to_string()).collect();
    assert_eq!(found, ["symbol \"f\" from \"one.so\"", "symbol \"f\" from \"two.so\"", "word \"flag\""]);
    let known = [
        (Reference::symbol_of("f", "one.so"), 0x10),
        (Reference::symbol_of("f", "two.so"), 0x20),
        (Reference::word("flag"), 0),
    ];
    let session = Session::new().hosted(Arc::new(Words(known.into())));
    let target = Target::parse("native", OptLevel::Default).unwrap();
    let mut native = Backend::new("native", target);
    native.tables(&["fast"]);
    let config = session.add_backend(native).unwrap();
    session.define("program.mq", text).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: the image was written above; nothing goes through these words.
    unsafe { session.load_image(&path, &session.symbols()) }.unwrap();
    let call = |name: &str, args: &mut [HostArg]| {
        let code = session.compile(&session.job(name, &config).unwrap()).unwrap();
        code.call(args).unwrap()
    };
    assert_eq!(call("first", &mut [long(0)]), Outcome::Returned(vec![value(0x10)]));
    assert_eq!(call("first", &mut [long(1)]), Outcome::Returned(vec![value(0)]));
    assert_eq!(call("second", &mut []), Outcome::Returned(vec![value(0x20)]));
    assert_eq!(session.statistics().compilations, 0);
    // A library of the same symbol in one entry cannot be told from another.
    let both = format!(
        "{text}method both() -> i64 {{\nentry:\n    p = address.constant a\n    v = load.i64 p\n    \
         q = address.constant b\n    w = load.i64 q\n    r = sub v, w\n    return r\n}}\n"
    );
    let writer = Host::new(&both);
    let error = writer.session.image(&[writer.job("both")]).unwrap_err().to_string();
    assert!(error.contains("symbol \"f\" from \"one.so\" and symbol \"f\" from \"two.so\""), "{error}");
}

#[test]
fn what_a_table_holds_the_address_of_is_part_of_an_entry() {
    let text = "global leaf: i64 in constant = i64 7\n\
                global root: ptr<constant> in constant with [0: address leaf]\n\
                global calls: array<ptr<generic>, 2> in constant with [0: function one(), 8: function two()]\n\
                method read(n: i64) -> i64 {\nentry:\n    p = address.constant root\n    q = load.ptr<constant> p volatile\n    \
                v = load.i64 q\n    return v\n}\n\
                method one() -> i64 noinline {\nentry:\n    return i64 1\n}\n\
                method two() -> i64 noinline {\nentry:\n    return i64 2\n}\n\
                method through(n: i64) -> i64 {\nentry:\n    i = bounds_check n, i64 2\n    p = address.constant calls\n    \
                q = index p, i, ptr<generic>\n    f = load.ptr<generic> q\n    v = call_indirect f() -> i64\n    return v\n}\n";
    let writer = Host::new(text);
    let folder = folder();
    let path = folder.path().join("tables.image");
    writer.session.write_image(&path, &[writer.job("read"), writer.job("through")]).unwrap();
    for (old, new, ended) in [
        ("", "", &[][..]),
        ("= i64 7", "= i64 8", &["read(i64)"]),
        ("return i64 2", "return i64 3", &["through(i64)"]),
        ("0: function one()", "0: function two()", &["through(i64)"]),
    ] {
        let host = Host::new(&text.replacen(old, new, usize::from(!old.is_empty())));
        let image = host.load(&path);
        let stale: Vec<String> =
            host.session.stale(&image).unwrap().into_iter().map(|stale| stale.name).collect();
        assert_eq!(stale, ended, "{new}");
        let wanted = if new == "= i64 8" { 8 } else { 7 };
        assert_eq!(host.int("read", &[0]), wanted, "{new}");
        let wanted = match new {
            "return i64 3" => [1, 3],
            "0: function two()" => [2, 2],
            _ => [1, 2],
        };
        assert_eq!([host.int("through", &[0]), host.int("through", &[1])], wanted, "{new}");
        assert_eq!(host.counts(), (ended.len() as u64, 2 - ended.len() as u64), "{new}");
    }
    // An overlay of what a table names, of the job's table.
    let overlay = "overlay fast method two() -> i64 {\nentry:\n    return i64 20\n}\n";
    let host = Host::new(&format!("{text}{overlay}"));
    host.load(&path);
    assert_eq!([host.int("through", &[0]), host.int("through", &[1])], [1, 20]);
}

const OWNED: &str = r#"
global scale: array<f32, 2> in constant = [f32 2.0, f32 0.5]
global config: i64 in constant with [0: value "config"]

method shared(x: i64) -> i64 noinline {
entry:
    y = add x, i64 1
    return y
}
overlay mine method shared(x: i64) -> i64 noinline {
entry:
    y = add x, i64 100
    return y
}

kernel leaf(data: ptr<global>) {
entry:
    i = local_id 0
    p = index data, i, f32
    x = load.f32 p
    y = add x, f32 1.0
    store p, y
    return
}

kernel scaled(data: ptr<global>) {
entry:
    i = local_id 0
    j = and i, i32 1
    t = address.constant scale
    s = index t, j, f32
    k = load.f32 s
    p = index data, i, f32
    x = load.f32 p
    y = mul x, k
    store p, y
    return
}

method own(x: i64) -> i64 {
entry:
    y = call shared(x)
    return y
}

method portable() -> i64 {
entry:
    p = address.constant config
    v = load.i64 p
    return v
}
"#;

/// A session with an owner's back-ends, for functions and kernels, and one of nobody in particular.
fn owners() -> (Session, [Config; 3]) {
    let session = Session::new().hosted(Arc::new(Words([(Reference::value("config"), CONFIG)].into())));
    let target = || Target::parse("native", OptLevel::Default).unwrap();
    let mut mine = Backend::new("mine", target());
    mine.tables(&["mine"]);
    let mut device = Backend::cpu_device("mine on the cores", target());
    device.tables(&["mine"]);
    let plain = Backend::new("plain", target());
    session.define("owned.mq", OWNED).unwrap();
    let configs = [mine, device, plain].map(|backend| session.add_backend(backend).unwrap());
    (session, configs)
}

pub(super) fn write_owned(path: &Path) {
    let (session, [mine, device, plain]) = owners();
    let job = |name: &str, config: &Config| session.job(name, config).unwrap();
    let jobs = [
        job("leaf", &device),
        job("scaled", &device),
        job("own", &mine),
        // Somebody else's, compiled while the owner worked.
        job("shared", &plain),
        job("portable", &mine),
    ];
    session.write_image(path, &jobs).unwrap();
    // What depends on the session is refused, by name, and leaves no trace.
    let mut baked = job("portable", &mine);
    baked.config.options.references = Strategy::Bake;
    let error = session.image(&[baked]).unwrap_err().to_string();
    assert_eq!(error, "'portable()' cannot be stored in an image: the word of value \"config\"");
    let marked = job("own", &plain);
    session.prepare(&marked).unwrap();
    assert!(session.mark_session_dependent(&marked));
    assert!(session.image(&[marked]).is_err());
}

#[test]
fn t173_what_owners_compiled_survives_and_what_is_the_sessions_does_not() {
    let folder = folder();
    let path = written_elsewhere("owned", folder.path());
    let (session, [mine, device, plain]) = owners();
    #[allow(unsafe_code)]
    // SAFETY: the image was written by this test; nothing goes through the words.
    unsafe { session.load_image(&path, &session.symbols()) }.unwrap();
    let counts = || (session.statistics().compilations, session.statistics().loaded);
    let launcher = Launcher::open(DeviceKind::Cpu).unwrap();
    let launch = |name: &str| -> Result<Vec<u8>, EngineError> {
        let code = session.compile(&session.job(name, &device).unwrap()).unwrap();
        let bytes = [1.0f32, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut args = [HostArg::Buffer { element: Scalar::F32, bytes }];
        launcher.launch(&code, Extent { grid: [1, 1, 1], block: [2, 1, 1] }, &mut args)?;
        let [HostArg::Buffer { bytes, .. }] = args else { panic!("no buffer") };
        Ok(bytes)
    };
    let floats = |values: [f32; 2]| values.map(f32::to_le_bytes).concat();
    // Own kernels, one with a global, and a function.
    assert_eq!(launch("leaf").unwrap(), floats([2.0, 5.0]));
    assert_eq!(launch("scaled").unwrap(), floats([2.0, 2.0]));
    let call = |name: &str, config: &Config, args: &mut [HostArg]| {
        let code = session.compile(&session.job(name, config).unwrap()).unwrap();
        match code.call(args).unwrap() {
            Outcome::Returned(results) => results[0].lanes()[0] as i64,
            Outcome::Threw(thrown) => panic!("{thrown}"),
        }
    };
    assert_eq!(call("own", &mine, &mut [long(1)]), 101);
    assert_eq!(counts(), (0, 3));
    // The foreign function is there for whoever compiled it, and for no one else: the owner's is another one.
    assert_eq!(call("shared", &plain, &mut [long(1)]), 2);
    assert_eq!(counts(), (0, 4));
    assert_eq!(call("shared", &mine, &mut [long(1)]), 101);
    assert_eq!(counts(), (1, 4));
    assert_eq!(call("own", &mine, &mut [long(2)]), 102);
    // The portable result has this session's word; what was marked in the other session is compiled here.
    assert_eq!(call("portable", &mine, &mut []), CONFIG as i64);
    assert_eq!(counts(), (1, 5));
    assert_eq!(call("own", &plain, &mut [long(1)]), 2);
    assert_eq!(counts(), (2, 5));
}
