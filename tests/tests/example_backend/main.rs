//! A complete back-end that is written outside the crates, through their public API only: it compiles shipped kernels for
//! PTX and SPIR-V, which independent checkers accept, and runs them on the CPU device.

mod backend;

use backend::{Params, Report, UNIT, launch};
use marquetry::compile::Compiled;
use marquetry::device::DeviceKind;
use marquetry::engine::{EngineError, Extent, Launcher};
use marquetry::ir::diag::Severity;
use marquetry::ir::types::{Scalar, Type};
use marquetry::session::{Config, Session, SessionError};
use marquetry::value::{HostArg, HostValue};
use marquetry_tests::is_present;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const EXACT: Params = Params { fast_math: false, f64: true };
const FAST: Params = Params { fast_math: true, f64: true };
const OWN: &str = "tests/example_backend/kernel.mq";

/// A host: a session with the back-end, for one target, and a file of kernels.
struct Host {
    session: Session,
    installed: Config,
}

impl Host {
    fn new(file: &str, target: &str) -> Self {
        let session = Session::new();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let source = std::fs::read_to_string(&path).expect("a file of kernels");
        session.define(file, &source).expect("kernels");
        backend::define(&session).expect("the tables");
        let installed = backend::install(&session, target).expect("the back-end");
        Host { session, installed }
    }

    fn compile(&self, kernel: &str, params: Params) -> Result<Arc<Compiled>, SessionError> {
        let config = backend::config(&self.session, &self.installed, params)?;
        self.session.compile(&self.session.job(kernel, &config)?)
    }
}

/// Runs a kernel on the cores of this machine.
fn run(file: &str, name: &str, params: Params, extent: Extent, args: &mut [HostArg]) -> Report {
    let code = Host::new(file, "native").compile(name, params).expect("it compiles");
    let launcher = Launcher::open(DeviceKind::Cpu).expect("the CPU device");
    launch(&launcher, &code, extent, args, 256).expect("it runs")
}

/// A number.
fn number(ty: Type, bits: u128) -> HostArg {
    HostArg::Value(HostValue::scalar(ty, bits).expect("a number"))
}

/// A buffer.
fn buffer(values: impl IntoIterator<Item = f32>) -> HostArg {
    HostArg::Buffer { element: Scalar::F32, bytes: values.into_iter().flat_map(f32::to_le_bytes).collect() }
}

/// What is in a buffer.
fn floats(arg: &HostArg) -> Vec<f32> {
    let HostArg::Buffer { bytes, .. } = arg else { panic!("no buffer") };
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().expect("four bytes"))).collect()
}

const ONE_GROUP: Extent = Extent { grid: [1, 1, 1], block: [8, 1, 1] };

#[test]
fn a_shipped_kernel_runs() {
    let (n, a) = (number(Type::I64, 14), number(Type::F32, 2_f32.to_bits().into()));
    let extent = Extent { grid: [2, 1, 1], block: [8, 1, 1] };
    let mut args = [n, a, buffer((0..16).map(|n| n as f32)), buffer([1.0; 16])];
    let report = run("kernels/saxpy.mq", "saxpy", FAST, extent, &mut args);
    let wanted: Vec<f32> = (0..16).map(|n| if n < 14 { 2.0 * n as f32 + 1.0 } else { 1.0 }).collect();
    assert_eq!(floats(&args[3]), wanted);
    assert!(report.thrown.is_none() && report.lines.is_empty() && report.heap == 0, "{report:?}");
}

#[test]
fn its_tables_replace_functions_where_its_params_say_so() {
    let exact = [-0.003_637_392, -0.158_808, -0.154_286, 0.0, 0.345_714, 0.841_191_95, 2.996_362_7, 8.0];
    let worst = |params: Params| {
        let x = buffer([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 8.0]);
        let mut args = [x, buffer([0.0; 8]), number(Type::I64, 8)];
        run("kernels/gelu.mq", "gelu", params, ONE_GROUP, &mut args);
        let differences =
            floats(&args[1]).into_iter().zip(exact).map(|(found, wanted)| f32::abs(found - wanted));
        differences.fold(0.0, f32::max)
    };
    assert!(worst(EXACT) < 1e-6, "{}", worst(EXACT));
    let found = worst(FAST);
    assert!((1e-5..0.02).contains(&found), "the approximation is off by {found}");
}

/// Runs the back-end's own kernel; gives what it wrote.
fn work(params: Params, n: i32, items: u32) -> (Vec<f32>, Report) {
    let extent = Extent { grid: [1, 1, 1], block: [items, 1, 1] };
    let mut args = [buffer([-1.0; 32]), number(Type::I32, u128::from(n.cast_unsigned()))];
    let report = run(OWN, "work", params, extent, &mut args);
    (floats(&args[0]), report)
}

#[test]
fn it_supplies_memory_and_printing() {
    let (out, report) = work(FAST, 7, 4);
    assert_eq!(out[..5], [0.0, 0.5, 1.0, 1.5, -1.0]);
    assert_eq!(report.lines, ["sixty by 7 is 8"]);
    assert_eq!((report.heap, report.throwers), (64, 0));
    assert!(report.thrown.is_none(), "{report:?}");
    // Without its table, base's method means what base says.
    let (out, _) = work(EXACT, 7, 4);
    assert_eq!(out[..5], [0.0, 0.25, 0.5, 0.75, -1.0]);
}

#[test]
fn it_is_told_of_exceptions() {
    let (out, report) = work(FAST, 0, 4);
    assert_eq!(out[..2], [-1.0, -1.0]);
    let thrown = report.thrown.expect("it threw");
    assert_eq!((&*thrown.kind, &*thrown.function), ("DivideError", "work"));
    assert_eq!((report.throwers, report.letter), (4, b'D'));
    assert!(report.lines.is_empty());
}

#[test]
fn it_says_what_it_has_no_memory_for() {
    // The heap has room for half of them.
    let (out, report) = work(FAST, 7, 32);
    assert_eq!(u64::from(report.heap), 32 * UNIT);
    assert_eq!((report.refused, report.throwers, report.letter), (16 * 4, 16, b'O'));
    assert_eq!(&*report.thrown.expect("it threw").kind, "OutOfMemory");
    let written = out.iter().enumerate().filter(|(i, value)| **value == 0.5 * *i as f32).count();
    let left = out.iter().filter(|value| **value == -1.0).count();
    assert_eq!((written, left), (16, 16));
}

#[test]
fn its_hook_says_what_its_devices_lack() {
    let host = Host::new(OWN, "ptx:sm_80");
    let wide = host.compile("wide", FAST).expect("f64 is there");
    let warned: Vec<&str> = wide.warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(warned, ["the example's devices compute with f64 in software"; 2]);
    assert!(wide.warnings.iter().all(|warning| warning.severity == Severity::Warning));
    let error = host.compile("wide", Params { f64: false, ..FAST }).expect_err("there is none");
    let SessionError::Compile(EngineError::Program(problems)) = error else { panic!("{error}") };
    assert_eq!(problems.len(), 2, "{problems:?}");
    let program = host.session.snapshot();
    for (problem, code) in problems.iter().zip(["mul", "add"]) {
        assert_eq!(problem.message, "the example's devices do not compute with f64");
        assert_eq!(problem.notes.first().map(String::as_str), Some("in function 'wide'"));
        let file = problem.file.and_then(|file| program.files.get(file as usize)).expect("a file");
        let (start, end) = (problem.span.start as usize, problem.span.end as usize);
        assert!(file.text.get(start..end).is_some_and(|text| text.contains(code)), "{problem:?}");
    }
}

/// Compiles kernels with and without the back-end's table, and has a checker read the code.
fn accepted(target: &str, extension: &str, command: &dyn Fn(&Path) -> Command) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("code").with_extension(extension);
    let kernels = [
        ("kernels/saxpy.mq", "saxpy"),
        ("kernels/gelu.mq", "gelu"),
        ("kernels/softmax.mq", "softmax"),
        ("kernels/reduce.mq", "reduce"),
        ("kernels/scan.mq", "scan_groups"),
        (OWN, "work"),
    ];
    for (path, name) in kernels {
        let host = Host::new(path, target);
        for params in [EXACT, FAST] {
            let code = host.compile(name, params).unwrap_or_else(|error| panic!("{name}, {target}: {error}"));
            let artifact = code.artifact().expect("code for a driver");
            std::fs::write(&file, &artifact.code).expect("it is written");
            let output = command(&file).output().expect("the checker starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name} for {target}: {said}");
        }
    }
}

#[test]
fn ptxas_accepts_what_it_makes() {
    let ptxas = std::env::var("MARQ_PTXAS").unwrap_or_else(|_| "ptxas".into());
    if is_present(&ptxas) {
        accepted("ptx:sm_80", "ptx", &|file| {
            let mut command = Command::new(&ptxas);
            command.args(["-arch=sm_80", "-o"]).arg(file.with_extension("cubin")).arg(file);
            command
        });
    }
}

#[test]
fn spirv_val_accepts_what_it_makes() {
    if is_present("spirv-val") {
        for (target, environment) in [("spirv:vulkan1.3", "vulkan1.3"), ("spirv:opencl2.1", "opencl2.1")] {
            accepted(target, "spv", &|file| {
                let mut command = Command::new("spirv-val");
                command.args(["--target-env", environment]);
                if environment.starts_with("vulkan") {
                    command.arg("--scalar-block-layout");
                }
                command.arg(file);
                command
            });
        }
    }
}

#[test]
fn params_are_part_of_what_jobs_are() {
    let bytes = |code: &Compiled| code.artifact().expect("code for a driver").code.clone();
    let host = Host::new("kernels/gelu.mq", "ptx:sm_80");
    let fast = host.compile("gelu", FAST).expect("it compiles");
    let again = host.compile("gelu", FAST).expect("it compiles");
    assert!(Arc::ptr_eq(&fast, &again));
    assert_ne!(bytes(&host.compile("gelu", EXACT).expect("it compiles")), bytes(&fast));
    // Only the hook knows what this one means.
    let narrow = host.compile("gelu", Params { f64: false, ..FAST }).expect("it compiles");
    assert_eq!(bytes(&narrow), bytes(&fast));
    assert_eq!(host.session.statistics().compilations, 3);
    // What another session makes of equal values is the same, whatever came before.
    let other = Host::new("kernels/gelu.mq", "ptx:sm_80");
    assert_eq!(bytes(&other.compile("gelu", FAST).expect("it compiles")), bytes(&fast));
}

#[test]
fn what_a_provider_lacks_is_said() {
    let host = Host::new(OWN, "ptx:sm_80");
    let mut config = backend::config(&host.session, &host.installed, FAST).expect("a config");
    config.provider = vec!["example_math".into()];
    let job = host.session.job("work", &config).expect("a job");
    let error = host.session.compile(&job).expect_err("nothing is supplied");
    assert!(error.to_string().contains("gpu_"), "{error}");
}

/// A misspelt table is no empty one.
#[test]
fn tables_that_there_are_not_are_said() {
    let host = Host::new(OWN, "ptx:sm_80");
    let name = "the back-end 'example for ptx:sm_80'";
    let mut config = backend::config(&host.session, &host.installed, FAST).expect("a config");
    config.provider = vec!["example_runtim".into(), "standard".into()];
    let error = host.session.job("work", &config).expect_err("there is no such table").to_string();
    assert_eq!(error, format!("there is no table 'example_runtim', one of the runtime provider of {name}"));
    let mut config = backend::config(&host.session, &host.installed, FAST).expect("a config");
    config.tables = vec!["example_maths".into()];
    let error = host.session.job("work", &config).expect_err("there is no such table").to_string();
    assert_eq!(error, format!("there is no table 'example_maths', one of {name}"));
    let missing = host.session.config("example", marquetry::session::Params::default());
    assert_eq!(missing.expect_err("no such back-end").to_string(), "there is no back-end 'example'");
}

/// What hosts that drive a device themselves need to know of a kernel.
#[test]
fn code_says_what_its_kernel_takes() {
    let host = Host::new("kernels/saxpy.mq", "ptx:sm_80");
    let code = host.compile("saxpy", FAST).expect("it compiles");
    let params = code.kernel_params().expect("an entry");
    // The state comes first; the mailbox is not needed.
    let found: Vec<(u32, bool)> = params.iter().map(|param| (param.size, param.is_pointer)).collect();
    assert_eq!(found, [(4, false), (8, false), (4, false), (8, true), (8, true)]);
}
