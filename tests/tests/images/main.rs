//! Images across processes: one process compiles, another one runs; what changed in between is noticed; and files that are
//! not what they should be are refused.

mod edges;
mod foreign;
mod format;
mod hostile;
mod truth;
mod words;

use marquetry::compile::Target;
use marquetry::engine::{Outcome, Thrown};
use marquetry::image::{HostSymbol, Resolver};
use marquetry::session::{Backend, Config, Job, Session};
use marquetry::value::{HostArg, HostValue};
use marquetry_ir::types::Type;
use marquetry_lower::job::OptLevel;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the process that writes is asked to do, through its environment.
const TASK: &str = "MARQ_TEST_IMAGE";

/// A session over the text, with a back-end for functions and one for kernels on this machine's cores.
struct Host {
    session: Session,
    native: Config,
    cpu: Config,
}

impl Host {
    fn new(text: &str) -> Host {
        let session = Session::new();
        let target = || Target::parse("native", OptLevel::Default).unwrap();
        let mut native = Backend::new("native", target());
        native.tables(&["fast"]);
        let native = session.add_backend(native).unwrap();
        let cpu = session.add_backend(Backend::cpu_device("cpu", target())).unwrap();
        session.define("program.mq", text).unwrap_or_else(|error| panic!("{error}"));
        Host { session, native, cpu }
    }

    fn job(&self, name: &str) -> Job {
        self.session.job(name, &self.native).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn kernel(&self, name: &str) -> Job {
        self.session.job(name, &self.cpu).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[allow(unsafe_code)] // the images of these tests come from this crate
    fn load(&self, path: &Path) -> std::sync::Arc<marquetry::image::LoadedImage> {
        // SAFETY: the image was written by these tests, and the resolver gives functions of the declared signatures.
        unsafe { self.session.load_image(path, &resolve) }.unwrap_or_else(|error| panic!("{error}"))
    }

    fn call(&self, name: &str, args: &mut [HostArg]) -> Outcome {
        let code = self.session.compile(&self.job(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        code.call(args).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn int(&self, name: &str, args: &[i64]) -> i64 {
        let mut args: Vec<HostArg> = args.iter().map(|&value| long(value)).collect();
        match self.call(name, &mut args) {
            Outcome::Returned(results) => results[0].lanes()[0] as u64 as i64,
            Outcome::Threw(thrown) => panic!("{name}: {thrown}"),
        }
    }

    /// Compiled here, and taken from images.
    fn counts(&self) -> (u64, u64) {
        let statistics = self.session.statistics();
        (statistics.compilations, statistics.loaded)
    }
}

extern "C" fn host_add(x: i64) -> i64 {
    x + 1000
}

extern "C" fn host_scale(x: f64) -> f64 {
    x * 2.5
}

fn resolve(symbol: &HostSymbol<'_>) -> Result<*const u8, String> {
    match symbol.name {
        "host_add" => Ok(host_add as *const u8),
        "host_scale" => Ok(host_scale as *const u8),
        _ => Err("the host has no such function".to_owned()),
    }
}

const _: fn() -> &'static dyn Resolver = || &resolve;

fn long(value: i64) -> HostArg {
    HostArg::Value(HostValue::scalar(Type::I64, value as u64 as u128).unwrap())
}

fn double(value: f64) -> HostArg {
    HostArg::Value(HostValue::scalar(Type::F64, value.to_bits().into()).unwrap())
}

fn threw(outcome: Outcome) -> Thrown {
    match outcome {
        Outcome::Threw(thrown) => thrown,
        Outcome::Returned(results) => panic!("it returned {results:?}"),
    }
}

/// A folder for the files of a test.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Has another process write the image of a task to a file in this folder.
fn written_elsewhere(task: &str, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{task}.image"));
    let done = child(task, &path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

/// This test binary, as a process that only does a task.
fn child(task: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["the_other_process", "--exact", "--nocapture"])
        .env(TASK, format!("{task}={}", path.display()));
    command
}

/// What the other process does. Without a task, as among all tests, nothing.
#[test]
fn the_other_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (task, path) = task.split_once('=').unwrap();
    let path = Path::new(path);
    match task {
        "truth" => truth::write(path),
        "edges" => edges::write(path),
        "words" => words::write(path),
        "owned" => words::write_owned(path),
        "many" => format::write_many(path),
        other => panic!("unknown task {other}"),
    }
}
