//! `marq-bench image`: from a file of many compiled functions to the result of the first call, against reading the same
//! bytes and against the dynamic linker doing the same.

use super::measure::{alternate, micros, once};
use super::table::Table;
use super::{Options, Outcome};
use libloading::Library;
use marquetry::compile::Target;
use marquetry::engine::Outcome as Called;
use marquetry::image::HostSymbol;
use marquetry::session::{Backend, Config, Session};
use marquetry::value::{HostArg, HostValue};
use marquetry_codegen::native::{NativeOptions, NativeTarget, emit_object};
use marquetry_ir::program::Program;
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// Loading an image of many functions and making the first call
#[derive(clap::Args, Debug)]
pub(super) struct Image {
    /// How many functions
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000])]
    functions: Vec<usize>,
}

/// Most microseconds for 10,000 functions.
const MOST: f64 = 5000.0;

impl Image {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let mut table = Table::new(
            "us from a file to the result of the first call, functions of four instructions",
            &[
                "functions",
                "MB",
                "writing",
                "image",
                "of that opening",
                "reading",
                "image/reading",
                "dlopen",
                "image/dlopen",
            ],
        );
        let mut largest = None;
        for &count in &self.functions {
            let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
            let path = folder.path().join("bench.image");
            let (program, text) = program(count)?;
            let (writer, config) = session(&program)?;
            let jobs: Result<Vec<_>, _> = (0..count).map(|n| writer.job(&name(n), &config)).collect();
            let jobs = jobs.map_err(|error| error.to_string())?;
            let (written, writing) = once(|| writer.write_image(&path, &jobs));
            written.map_err(|error| error.to_string())?;
            let bytes = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
            let shared = shared(&text, folder.path(), count);
            if let Err(why) = &shared {
                table.skip("dlopen", why);
            }
            let shared = shared.ok();
            // Every call of a session in which nothing was loaded yet.
            let mut sessions = Vec::new();
            for _ in 0..=options.effort().repetitions + 1 {
                sessions.push(session(&program)?);
            }
            let mut sessions = sessions.into_iter();
            let (mut opening, mut failed) = (Vec::new(), None);
            let mut used = Vec::new();
            let mut image = || {
                let Some((session, config)) = sessions.next() else { return };
                let result = first_call(&session, &config, &path, count, &mut opening);
                failed = failed.take().or(result.err());
                // Freeing is not part of it.
                used.push(session);
            };
            let times = alternate(
                options.effort(),
                [
                    &mut image,
                    &mut || {
                        std::hint::black_box(read(&path));
                    },
                    &mut || {
                        if let Some(shared) = &shared {
                            std::hint::black_box(load(shared, count));
                        }
                    },
                ],
            );
            if let Some(error) = failed {
                return Err(error);
            }
            let [image, reading, dlopen] = times;
            let dlopen = shared.is_some().then_some(dlopen);
            table.row(vec![
                count.into(),
                (bytes as f64 / 1e6).into(),
                writing.into(),
                image.into(),
                super::measure::median(&mut opening).into(),
                reading.into(),
                (image / reading).into(),
                dlopen.into(),
                dlopen.map(|dlopen| image / dlopen).into(),
            ]);
            if count >= 10_000 {
                largest = Some(image);
            }
        }
        table.target("10,000 functions", largest, MOST, " us");
        table.note("reading: all bytes of the file into memory; dlopen: the same functions as a shared library, bound now");
        table.print(options.json);
        Ok(())
    }
}

fn name(n: usize) -> String {
    format!("function{n}")
}

/// Functions that are all different.
fn program(count: usize) -> Result<(Program, String), String> {
    let mut text = String::new();
    for n in 0..count {
        let _ = write!(
            text,
            "method {}(x: i64, y: i64) -> i64 {{\nentry:\n    a = mul x, i64 {}\n    b = add a, y\n    \
             c = xor b, i64 {n}\n    d = add c, x\n    return d\n}}\n",
            name(n),
            2 * n + 3
        );
    }
    let session = Session::new();
    session.define("bench.mq", &text).map_err(|error| error.to_string())?;
    Ok((Program::clone(&session.snapshot()), text))
}

fn session(program: &Program) -> Result<(Session, Config), String> {
    let session = Session::over(program.clone());
    let target = Target::parse("native", OptLevel::Default).map_err(|error| error.to_string())?;
    let config = session.add_backend(Backend::new("native", target)).map_err(|error| error.to_string())?;
    Ok((session, config))
}

/// Loads an image and calls a function in its middle.
fn first_call(
    session: &Session,
    config: &Config,
    path: &Path,
    count: usize,
    opening: &mut Vec<f64>,
) -> Result<(), String> {
    let resolve = |_: &HostSymbol<'_>| Err::<*const u8, String>("there is none".to_owned());
    let start = Instant::now();
    #[allow(unsafe_code)]
    // SAFETY: the image was written by this bench.
    let image = unsafe { session.load_image(path, &resolve) };
    image.map_err(|error| error.to_string())?;
    opening.push(micros(start.elapsed()));
    let n = count / 2;
    let code = session.job(&name(n), config).and_then(|job| session.compile(&job));
    let code = code.map_err(|error| error.to_string())?;
    let arg = |value: i64| HostValue::scalar(Type::I64, value as u128).map(HostArg::Value);
    let mut args: Vec<HostArg> = [arg(5), arg(7)].into_iter().flatten().collect();
    let called = code.call(&mut args).map_err(|error| error.to_string())?;
    let wanted = expected(n);
    match called {
        Called::Returned(results) if results[0].lanes() == [u128::from(wanted)] => {}
        other => return Err(format!("found {other:?}, wanted {wanted}")),
    }
    match session.statistics().compilations {
        0 => Ok(()),
        more => Err(format!("{more} compilations")),
    }
}

fn expected(n: usize) -> u64 {
    ((5 * (2 * n as u64 + 3) + 7) ^ n as u64) + 5
}

/// All bytes of a file, and one of each page looked at.
fn read(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.iter().step_by(4096).map(|&byte| u64::from(byte)).sum()
}

/// The functions as a shared library.
fn shared(text: &str, folder: &Path, count: usize) -> Result<PathBuf, String> {
    let session = Session::new();
    session.define("bench.mq", text).map_err(|error| error.to_string())?;
    let program: Arc<Program> = session.snapshot();
    let methods = (0..count).filter_map(|n| program.methods_of(&name(n)).first().copied()).collect();
    let target = NativeTarget::host(NativeOptions::default()).map_err(|error| error.to_string())?;
    let job = Job::new(methods, View::native(&[]), OptLevel::Default);
    let legal = pipeline::run(&program, &job, &target).map_err(|error| error.to_string())?;
    let artifact = emit_object(&legal, &target).map_err(|error| error.to_string())?;
    let (object, library) = (folder.join("bench.o"), folder.join("libbench.so"));
    std::fs::write(&object, artifact.code).map_err(|error| error.to_string())?;
    let linker = Command::new("cc").args(["-shared", "-Wl,-z,now", "-o"]).arg(&library).arg(&object).output();
    match linker {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Loads the library, calls a function in its middle, and unloads it.
#[allow(unsafe_code)] // calls the code
fn load(path: &Path, count: usize) -> bool {
    let n = count / 2;
    // SAFETY: the library holds nothing but the bench's functions, which have this signature.
    unsafe {
        let Ok(library) = Library::new(path) else { return false };
        let function = library.get::<unsafe extern "C" fn(i64, i64) -> i64>(name(n).as_bytes());
        function.is_ok_and(|function| function(5, 7) as u64 == expected(n))
    }
}
