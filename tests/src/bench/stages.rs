//! `marq-bench stages`: where the time of a compilation goes.

use super::measure::{Effort, alternate, median, micros, once};
use super::table::{Cell, Table};
use super::{Options, Outcome};
use marquetry::compile::Target;
use marquetry_codegen::native::{NativeContext, emit_jit_with};
use marquetry_ir::entity::{Method, Table as MethodTable};
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::legal::Legal;
use marquetry_lower::observe::Observer;
use marquetry_lower::pipeline;
use marquetry_lower::stage::Stage;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Microseconds per stage, from text to code, of each kernel for each target
#[derive(clap::Args, Debug)]
pub(super) struct Stages {
    /// Programs; without any, those of tests/kernels
    files: Vec<PathBuf>,
    /// Optimisation level, 0 to 3
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=3))]
    opt_level: u32,
}

/// The kernels of the tests, in order.
pub(super) fn kernels() -> Vec<PathBuf> {
    crate::corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels"))
}

/// The name of a file without folder and extension.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// A program on top of the library.
pub(super) fn parse(source: &str) -> Result<Program, String> {
    let mut program = marquetry::library::program();
    match text::parse(&mut program, "bench.mq", source).first() {
        Some(diagnostic) => Err(diagnostic.message.clone()),
        None => Ok(program),
    }
}

/// The methods of the last file that are of one kind.
pub(super) fn own(program: &Program, kind: MethodKind) -> Vec<Method> {
    let last = program.files.len() as u32 - 1;
    let mine = program.methods().filter(|(_, m)| m.file == Some(last) && m.table == MethodTable::BASE);
    mine.filter(|(_, m)| m.kind == kind).map(|(method, _)| method).collect()
}

/// What `marq compile` takes for a target: all kernels or, for native code without any, all functions.
pub(super) fn job(program: &Program, target: &Target, opt_level: OptLevel) -> Option<Job> {
    let mut entries = own(program, MethodKind::Kernel);
    if entries.is_empty() && !target.is_device() {
        entries = own(program, MethodKind::Function);
    }
    let view = if target.is_device() { View::device(&[]) } else { View::native(&[]) };
    (!entries.is_empty()).then_some(Job::new(entries, view, opt_level))
}

/// Time per stage, in the order of the report.
#[derive(Default)]
struct Watch(Vec<Duration>);

impl Observer for Watch {
    fn stage(&mut self, _: Stage, elapsed: Duration) {
        self.0.push(elapsed);
    }
}

fn emit(legal: &Legal, target: &Target, memory: &mut NativeContext) -> Result<(), String> {
    let done = match target {
        Target::Native(native) => emit_jit_with(legal, native, &|_| None, memory).map(drop),
        other => other.emit(legal).map(drop),
    };
    done.map_err(|error| error.to_string())
}

const COLUMNS: [&str; 10] = [
    "kernel",
    "library",
    "parse",
    "specialise",
    "verify",
    "optimise",
    "exceptions",
    "legalise",
    "emit",
    "text to code",
];

impl Stages {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let files = if self.files.is_empty() { kernels() } else { self.files };
        let opt_level = OptLevel::from_number(self.opt_level).unwrap_or_default();
        let spellings = [
            ("native", None),
            ("ptx:sm_90", Some(("text to PTX", 200.0))),
            ("spirv:vulkan1.3", Some(("text to SPIR-V for Vulkan", 190.0))),
            ("spirv:opencl2.1", Some(("text to SPIR-V for OpenCL", 190.0))),
        ];
        for (spelling, target) in spellings {
            let compiler = Target::parse(spelling, opt_level).map_err(|error| error.to_string())?;
            let title = format!("us per stage, {spelling}, -O{}", self.opt_level);
            let mut columns = COLUMNS.to_vec();
            columns.push("program to code");
            let mut table = Table::new(title, &columns);
            let mut without = 0;
            for file in &files {
                let name = stem(file);
                let source = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
                match kernel(&name, &source, &compiler, opt_level, options.effort()) {
                    Ok(Some(row)) => table.row(row),
                    Ok(None) => without += 1,
                    Err(error) => table.skip(&name, &error),
                }
            }
            let (text, program) = (table.geomean(9), table.geomean(10));
            table.means();
            if without > 0 {
                table.note(format!("{without} files have no kernel"));
            }
            if let Some((what, most)) = target {
                table.target(what, text, most, " us");
            }
            if spelling.starts_with("spirv") {
                table.target("program to SPIR-V", program, 60.0, " us");
            }
            table.print(options.json);
        }
        Ok(())
    }
}

fn kernel(
    name: &str,
    source: &str,
    target: &Target,
    opt_level: OptLevel,
    effort: Effort,
) -> Result<Option<Vec<Cell>>, String> {
    let program = parse(source)?;
    if job(&program, target, opt_level).is_none() {
        return Ok(None);
    }
    let mut memory = NativeContext::new();
    let mut samples: [Vec<f64>; 10] = Default::default();
    let start = Instant::now();
    let mut round = 0;
    while effort.goes_on(round, start) {
        let begin = Instant::now();
        let (mut program, library) = once(marquetry::library::program);
        let (_, parsing) = once(|| text::parse(&mut program, "bench.mq", source));
        let Some(job) = job(&program, target, opt_level) else { return Ok(None) };
        let middle = Instant::now();
        let mut watch = Watch::default();
        let legal = pipeline::run_observed(&program, &job, target.lowering(), &mut watch);
        let legal = legal.map_err(|error| error.to_string())?;
        let (emitted, emission) = once(|| emit(&legal, target, &mut memory));
        emitted?;
        let stages = watch.0.iter().map(|&elapsed| micros(elapsed));
        let numbers = [library, parsing].into_iter().chain(stages).chain([
            emission,
            micros(begin.elapsed()),
            micros(middle.elapsed()),
        ]);
        round += 1;
        if round > 3 {
            samples.iter_mut().zip(numbers).for_each(|(samples, number)| samples.push(number));
        }
    }
    let medians = samples.iter_mut().map(|samples| Cell::from(median(samples)));
    Ok(Some(std::iter::once(Cell::from(name)).chain(medians).collect()))
}

/// Microseconds from a program to the code of a kernel.
pub(super) fn emit_time(
    program: &Program,
    job: &Job,
    target: &Target,
    effort: Effort,
) -> Result<f64, String> {
    let legal = pipeline::run(program, job, target.lowering()).map_err(|error| error.to_string())?;
    let mut memory = NativeContext::new();
    emit(&legal, target, &mut memory)?;
    let [time] = alternate(effort, [&mut || drop(emit(&legal, target, &mut memory))]);
    Ok(time)
}
